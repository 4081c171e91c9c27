"""HTTP/1: messages are paired, bodies end where they should, and what programs read differently is bad."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.codecs import guess
from pipectl.core.codecs.base import Frame, FrameKind, Side
from pipectl.core.codecs.http_ import Http
from pipectl.core.errors import CodecError
from pipectl.core.recording.conversation import Mask

from .talks import C, S, decoded, keeps_its_promises, secrets_of, shown, some, wrapped


def request(method: str = "GET", *headers: str, body: str = "") -> bytes:
    return "\r\n".join([f"{method} /path?q=1 HTTP/1.1", "Host: pipe", *headers, "", body]).encode()


def response(status: str = "200 OK", *headers: str, body: str = "") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", body]).encode()


OK = response("200 OK", "Content-Length: 2", body="OK")
UPGRADE = request("POST", "Upgrade: tcp", "Connection: Upgrade")
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = "5\r\nhello\r\n3;name=value\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
SAMPLES = [
    [(C, request()), (S, OK)],
    [(C, request() + request("HEAD")), (S, OK + OK[:-2] + OK)],
    [(C, UPGRADE), (S, response("101 UPGRADED", "Upgrade: tcp")), (C, b"raw"), (S, b"raw, too")],
    [(C, UPGRADE + request()), (S, response("400 Bad Request", "Content-Length: 0")), (S, OK)],
    [(C, request("PUT", CHUNKED, body=CHUNKS)), (S, response("100 Continue") + OK)],
    [(C, request()), (S, response("200 OK", CHUNKED, body=CHUNKS) + OK)],
    [
        (C, request("POST", "Content-Length: 3", "Cookie: secret", body="abc")),
        (S, response("200 OK", body="to the end")),
    ],
]


def test_it_keeps_its_promises() -> None:
    keeps_its_promises("http", *SAMPLES, cases=400)


def test_requests_and_responses_are_told() -> None:
    post = request("POST", "Content-Length: 3", body="abc")
    one, other, ok, not_found = decoded(
        "http", (C, request() + post), (S, OK + response("404 Not Found", "Content-Length: 0"))
    )
    assert [frame.summary for frame in (one, other)] == ["GET /path?q=1", "POST /path?q=1, 3 bytes"]
    assert some(one.fields, "method", "path", "query", "headers") == ["GET", "/path", "q=1", {"host": "pipe"}]
    assert (other.body, ok.body) == (b"abc", b"OK")
    assert [(frame.kind, frame.summary) for frame in (ok, not_found)] == [
        (FrameKind.REPLY, "200 OK, 2 bytes"),
        (FrameKind.ERROR, "404 Not Found"),
    ]
    assert some(ok.fields, "status", "reason") == [200, "OK"]


def test_a_repeated_header_has_all_its_values() -> None:
    (frame,) = decoded("http", (S, response("204 No Content", "A: 1", "B: 2", "a: 3")))
    assert frame.fields["headers"] == {"a": ["1", "3"], "b": "2"}


def test_the_response_to_head_has_no_body_whatever_its_length() -> None:
    talk = (C, request("HEAD") + request()), (S, response("200 OK", "Content-Length: 5") + OK)
    assert shown("http", *talk)[2:] == ["reply 200 OK", "reply 200 OK, 2 bytes"]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_responses_have_no_body(status: str) -> None:
    assert shown("http", (C, request()), (S, response(status) + OK))[1:] == [f"reply {status}", "reply 200 OK, 2 bytes"]


def test_an_interim_response_answers_nothing() -> None:
    assert shown("http", (C, request("PUT")), (S, response("100 Continue") + OK)) == [
        "request PUT /path?q=1",
        "event 100 Continue",
        "reply 200 OK, 2 bytes",
    ]


def test_each_chunk_of_a_response_is_shown_when_it_comes() -> None:
    codec = Http()
    data = response("200 OK", CHUNKED, body="5\r\nhello\r\n")
    frames = [*codec.feed(C, request()), *codec.feed(S, data)]
    assert [(frame.kind, frame.body) for frame in frames[1:]] == [(FrameKind.REPLY, b""), (FrameKind.EVENT, b"hello")]
    assert [frame.body for frame in codec.feed(S, b"0\r\nTrailer: x\r\n\r\n" + OK)] == [b"", b"OK"]


def test_a_request_in_chunks_is_one_frame_if_it_is_short() -> None:
    put = request("PUT", CHUNKED, body=CHUNKS)
    assert [frame.body for frame in decoded("http", (C, put + request()))] == [b"helloabc", b""]
    (first, *chunks) = decoded(Http(max_frame=200), (C, put))
    assert (first.kind, first.body, [chunk.body for chunk in chunks]) == (
        FrameKind.REQUEST,
        b"",
        [b"hello", b"abc", b""],
    )


def test_a_long_upload_in_chunks_is_passed_on_in_parts() -> None:
    chunk = f"{1 << 19:x}\r\n{'x' * (1 << 19)}\r\n"
    frames = decoded("http", (C, request("PUT", CHUNKED, body=f"{chunk * 4}0\r\n\r\n")))
    assert [len(frame.body) for frame in frames] == [1 << 19, 1 << 19, 1 << 19, 1 << 19, 0]
    assert [frame.kind for frame in frames] == [FrameKind.REQUEST] + [FrameKind.EVENT] * 4


def test_a_body_that_is_longer_than_a_frame_is_raw_and_the_next_message_is_found() -> None:
    long = response("200 OK", "Content-Length: 1000", body="x" * 1000)
    assert shown(Http(max_frame=200), (C, request()), (S, long[:500]), (S, long[500:] + OK))[1:] == [
        "reply 200 OK",
        "raw",
        "raw",
        "reply 200 OK, 2 bytes",
    ]


def test_a_body_without_a_length_goes_on_to_the_end() -> None:
    frames = decoded("http", (C, request()), (S, response("200 OK", body="some")), (S, OK))
    assert [(frame.kind, frame.data) for frame in frames[2:]] == [(FrameKind.RAW, b"some"), (FrameKind.RAW, OK)]


def test_after_an_upgrade_both_sides_are_raw() -> None:
    switched = response("101 UPGRADED", "Upgrade: tcp") + b"raw"
    frames = decoded("http", (C, UPGRADE), (S, switched), (C, request()))
    assert [frame.kind for frame in frames] == [FrameKind.REQUEST, FrameKind.REPLY, FrameKind.RAW, FrameKind.RAW]


def test_what_a_client_sends_before_the_upgrade_is_granted_is_raw_only_then() -> None:
    codec = Http()
    assert [frame.kind for frame in codec.feed(C, UPGRADE + b"hello")] == [FrameKind.REQUEST]
    granted = [*codec.feed(S, response("101 UPGRADED"))]
    assert [(frame.side, frame.kind, frame.data[:5]) for frame in granted] == [
        (S, FrameKind.REPLY, b"HTTP/"),
        (C, FrameKind.RAW, b"hello"),
    ]


def test_a_refused_upgrade_changes_nothing() -> None:
    refused = response("400 Bad Request", "Content-Length: 0")
    assert shown("http", (C, UPGRADE + request()), (S, refused + OK))[1:] == [
        "error 400 Bad Request",
        "request GET /path?q=1",
        "reply 200 OK, 2 bytes",
    ]


def test_connect_makes_a_tunnel() -> None:
    tunnel = b"CONNECT host:1 HTTP/1.1\r\nHost: host\r\n\r\n"
    assert shown("http", (C, tunnel), (S, response("200 OK") + b"x"), (C, b"y"))[1:] == ["reply 200 OK", "raw", "raw"]


def test_a_switch_that_nobody_asked_for_is_bad() -> None:
    assert shown("http", (C, request()), (S, response("101 UPGRADED")))[1].startswith("bad a switch of protocols")


@pytest.mark.parametrize(
    ("data", "size", "reason"),
    [
        (request("GET", "Content-Length: 1", "Content-Length: 2"), -1, "conflicting Content-Length headers"),
        (request("GET", "Content-Length: 2", CHUNKED), -1, "both a Content-Length and a transfer coding"),
        (request("GET", "Content-Length: -1"), -1, "bad Content-Length"),
        (request("GET", "Transfer-Encoding: gzip"), -1, "Only Transfer-Encoding: chunked is supported"),
        (request("GET", "Folded: a\r\n b"), -1, "a header is folded over several lines"),
        (request().replace(b"\r\n", b"\n"), -1, "a line ends without a carriage return"),
        (request("GET", "A: 1\nB: 2"), -1, "a line ends without a carriage return"),
        (request("GET", "Long: " + "x" * (1 << 20)), 1 << 16, "no end of the headers within 65536 bytes"),
        (request("GET", "Bad name: 1"), -1, "illegal header line"),
        (request("GET", "Authorization secret"), -1, "illegal header line"),
        (b"GET / HTTP/1.1\r\n\r\n", -1, "Missing mandatory Host: header"),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", -1, "neither HTTP/1.1 nor HTTP/1.0"),
        (b"\x16\x03\x01", 1, "this begins no request of HTTP/1"),
        (b"HELO\r\n", 5, "this begins no request of HTTP/1"),
        (b"X" * 40, 33, "this begins no request of HTTP/1"),
        (request()[:-4], -1, f"the stream ended within a frame, after {len(request()) - 4} bytes"),
    ],
)
def test_a_head_that_is_not_valid_is_bad_and_the_rest_is_raw(data: bytes, size: int, reason: str) -> None:
    bad, *rest = decoded("http", (C, data), (C, request()))
    assert (bad.kind, bad.summary) == (FrameKind.BAD, reason) or data == request()[:-4]
    assert size < 0 or len(bad.data) == size
    assert {frame.kind for frame in rest} <= {FrameKind.RAW}


def test_a_stream_that_ends_in_a_head_says_so() -> None:
    assert shown("http", (C, request()[:-4])) == [
        f"bad the stream ended within a frame, after {len(request()) - 4} bytes"
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("FFFFFFFFFFFFFFFFF\r\nx", "not the size of a chunk"),
        ("FFFFFFFFFFFFFFFF\r\nx", "a frame of 18446744073709551635 bytes is more than the 16777216 allowed"),
        ("-1\r\nx", "not the size of a chunk"),
        ("1\nx\r\n", "not the size of a chunk"),
        ("1\r\nxyz\r\n", "a chunk is longer than its size"),
        ("1" * 2000, "no end within 1024 bytes"),
        ("0\r\n" + "A: b\r\n" * 300, "no end within"),
        ("5\r\nhel", "the stream ended within a frame, after 6 of 10 bytes"),
    ],
)
@pytest.mark.parametrize("side", Side)
def test_a_chunk_that_is_not_valid_is_bad_and_the_rest_is_raw(side: Side, body: str, reason: str) -> None:
    head = request("PUT", CHUNKED, body=body) if side is C else response("200 OK", CHUNKED, body=body)
    first, bad, *rest = decoded("http", (side, head))
    assert (first.kind is FrameKind.BAD, bad.kind) == (False, FrameKind.BAD)
    assert bad.summary.startswith(reason)
    assert {frame.kind for frame in rest} <= {FrameKind.RAW}


def test_too_many_requests_without_a_response_are_bad() -> None:
    frames = decoded("http", (C, request() * 1001))
    assert len(frames) == 1001
    assert frames[-1].kind is FrameKind.BAD


@pytest.mark.parametrize(
    "header",
    ["Authorization: Basic", "COOKIE:", "Set-Cookie: ", "Proxy-Authorization: ", "X-Registry-Auth:", "x-api-key:"],
)
def test_values_of_secret_headers_are_masked_everywhere(header: str) -> None:
    (frame,) = decoded("http", (C, request("GET", f"{header} c2VjcmV0  ", "Other: c")))
    assert [one.endswith(b"c2VjcmV0") for one in secrets_of(frame)] == [True]
    assert "c2VjcmV0" not in repr(Mask().frame(frame))


def test_secrets_of_a_bad_head_are_known() -> None:
    (frame,) = decoded("http", (C, request("GET", "Cookie: a\r\n secret", "Cookie: b")))
    assert frame.kind is FrameKind.BAD
    assert secrets_of(frame) == [b"a\r\n secret", b"b"]


def test_a_body_that_looks_like_a_secret_header_is_none() -> None:
    (frame,) = decoded("http", (C, request("PUT", "Content-Length: 10", body="\r\nCookie: x")[:-1]))
    assert not frame.secrets


# What is made


def test_a_request_is_made_as_a_person_writes_it() -> None:
    assert wrapped("http", b"GET /x?y") == b"GET /x?y HTTP/1.1\r\nHost: pipe\r\n\r\n"
    assert wrapped("http", b"POST /x\nA: b\n\nbody") == (
        b"POST /x HTTP/1.1\r\nA: b\r\nHost: pipe\r\nContent-Length: 4\r\n\r\nbody"
    )


def test_a_response_is_made_with_its_length() -> None:
    assert wrapped("http", b"no", status=404) == b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
    assert wrapped("http", status=204, headers={"x-a": 1}) == b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"


def test_a_request_is_made_in_chunks() -> None:
    data = wrapped("http", b"hello", method="PUT", headers={"Transfer-Encoding": "chunked"})
    assert [frame.body for frame in decoded("http", (C, data))] == [b"hello"]


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({}, b"hello"),
        ({"method": "GET", "path": "/ HTTP/1.1\r\nA: b"}, b""),
        ({"method": "GET", "headers": {"A": "b\r\nC: d"}}, b""),
        ({"method": "GET", "headers": {"A b": "c"}}, b""),
        ({"method": "GET", "headers": {"Content-Length": 5}}, b"abc"),
        ({"status": 200, "headers": {"Content-Length": 1}}, b"abc"),
        ({"status": 204}, b"abc"),
        ({"status": "200"}, b""),
        ({"status": 200, "colour": "red"}, b""),
        ({"path": "/"}, b""),
    ],
)
def test_what_would_be_read_as_something_else_is_not_made(fields: dict[str, object], body: bytes) -> None:
    with pytest.raises(CodecError):
        wrapped("http", body, **fields)


def test_it_recognizes_itself() -> None:
    assert guess("svc", C, request()[:64]).name == "http"
    assert guess("svc", S, OK).name == "http"
    assert guess("svc", C, b"GET lost").name == "text"


# h11 as a judge of its own messages

BODIES = st.lists(st.binary(min_size=1, max_size=50), max_size=3)
MESSAGES = st.lists(
    st.tuples(st.sampled_from(["GET", "HEAD", "POST"]), BODIES, st.booleans(), BODIES, st.booleans()), max_size=4
)


@given(MESSAGES, st.integers(1, 40))
def test_it_reads_what_h11_writes(messages: list[tuple[str, list[bytes], bool, list[bytes], bool]], piece: int) -> None:
    client, server = h11.Connection(h11.CLIENT), h11.Connection(h11.SERVER)
    codec, frames = Http(), []
    for method, asked, asks_in_chunks, answer, answers_in_chunks in messages:
        start = h11.Request(method=method, target="/", headers=[("Host", "x"), framing(asked, asks_in_chunks)])
        sent = written(client, start, asked)
        server.receive_data(sent)
        drain(server)
        reply = h11.Response(status_code=200, headers=[framing(answer, answers_in_chunks)])
        back = written(server, reply, [] if method == "HEAD" else answer)
        client.receive_data(back)
        drain(client)
        client.start_next_cycle()
        server.start_next_cycle()
        for side, data in ((C, sent), (S, back)):
            frames += [one for at in range(0, len(data), piece) for one in codec.feed(side, data[at : at + piece])]
    assert not [frame for frame in frames if frame.kind in (FrameKind.BAD, FrameKind.RAW)]
    assert bodies(frames, C) == [b"".join(asked) for _, asked, *_ in messages]
    assert bodies(frames, S) == [b"" if method == "HEAD" else b"".join(answer) for method, _, _, answer, _ in messages]


def framing(body: list[bytes], in_chunks: bool) -> tuple[str, str]:
    return ("Transfer-Encoding", "chunked") if in_chunks else ("Content-Length", str(len(b"".join(body))))


def written(connection: h11.Connection, start: h11.Request | h11.Response, body: list[bytes]) -> bytes:
    events = [start, *(h11.Data(data=part) for part in body), h11.EndOfMessage()]
    return b"".join(connection.send(event) or b"" for event in events)


def drain(connection: h11.Connection) -> None:
    while connection.next_event() not in (h11.NEED_DATA, h11.PAUSED):
        pass


def bodies(frames: list[Frame], side: Side) -> list[bytes]:
    """Return the bodies of one side's messages, with their chunks."""
    whole: list[bytes] = []
    for frame in (frame for frame in frames if frame.side is side):
        if frame.kind is FrameKind.EVENT:
            whole[-1] += frame.body
        else:
            whole.append(frame.body)
    return whole

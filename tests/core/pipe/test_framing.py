"""The rules by which a frame ends: how they are written, and what they say."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipectl.core.errors import FrameError, MessageTooLongError, PipeError
from pipectl.core.pipe.frames import Frames
from pipectl.core.pipe.framing import IDLE, Count, parse

PREFIXES = ["u8", *(f"u{bits}{order}" for bits in (16, 24, 32, 64) for order in ("le", "be"))]
MORE_PREFIXES = [*PREFIXES, "u8+self", "u16be+self", "u32be+4", "u24le+1", "u32le+self+12"]
FORMATS = ["varint", "content-length", "http", "json", "pkt"]
RULES = ["line", "crlf", "nul", "eof", "bytes:1", "bytes:7", *MORE_PREFIXES, *FORMATS]


# How they are written


@pytest.mark.parametrize("rule", [*RULES, "idle:0.2", "idle:2.5", "bytes:104857601"])
def test_a_rule_is_written_as_it_was_read(rule: str) -> None:
    assert str(parse(rule)) == rule
    assert parse(rule) == parse(rule) != parse("eof" if rule == "line" else "line")


@pytest.mark.parametrize(
    ("text", "rule"), [("bytes:1k", "bytes:1024"), ("idle:200ms", "idle:0.2"), ("idle:1m30s", "idle:90")]
)
def test_a_rule_takes_sizes_and_durations_as_the_options_do(text: str, rule: str) -> None:
    assert str(parse(text)) == rule


def test_idle_alone_has_a_time_of_its_own() -> None:
    assert parse("idle") == IDLE


WRONG = """
line:1 line: newline eof:1 idle:0 idle:-1 idle:nan idle:inf idle:x idle:none idle:1h30 bytes bytes:0 bytes:1.5 bytes:4g
bytes:-1 u16 u8le u12le u32le+ u32le+0 u32le+-1 u32le+self+self u32le+4+self u32le+100000 frame:u32le http:1 HTTP
"""


@pytest.mark.parametrize("text", ["", *WRONG.split()])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="content-length"):
        parse(text)


# One frame


@pytest.mark.parametrize(
    ("rule", "body", "frame"),
    [
        ("line", b"abc", b"abc\n"),
        ("line", b"abc\n", b"abc\n"),
        ("crlf", b"abc", b"abc\r\n"),
        ("nul", b"abc", b"abc\0"),
        ("u8", b"abc", b"\3abc"),
        ("u16be", b"abc", b"\0\3abc"),
        ("u24le", b"abc", b"\3\0\0abc"),
        ("u32le", b"", b"\0\0\0\0"),
        ("u64be", b"a", b"\0\0\0\0\0\0\0\1a"),
        ("u16be+self", b"abc", b"\0\5abc"),
        ("u24le+1", b"\7abc", b"\3\0\0\7abc"),  # a packet of MySQL, with its number
        ("varint", b"x" * 300, b"\xac\x02" + b"x" * 300),
        ("content-length", b"{}", b"Content-Length: 2\r\n\r\n{}"),
        ("json", b"{}", b"{}"),
        ("json", b"12", b"12\n"),
        ("pkt", b"abcd", b"0008abcd0000"),
        ("bytes:3", b"abc", b"abc"),
        ("eof", b"abc", b"abc"),
    ],
)
def test_a_body_is_wrapped_as_the_protocols_have_it(rule: str, body: bytes, frame: bytes) -> None:
    assert parse(rule).wrap(body) == frame


@pytest.mark.parametrize(
    ("rule", "body"), [("u8", bytes(256)), ("u16le", bytes(65536)), ("u16le+self", bytes(65534)), ("u32be+4", b"abc"),
                       ("bytes:3", b"ab")]
)  # fmt: skip
def test_a_body_that_no_frame_can_have_is_refused(rule: str, body: bytes) -> None:
    with pytest.raises(ValueError, match=str(len(body))):
        parse(rule).wrap(body)


@pytest.mark.parametrize("rule", ["line", "bytes:4", "u16le"])
def test_a_reply_is_found_however_it_is_cut(rule: str) -> None:
    whole = b"\x02\x00a\n"
    until = parse(rule)
    assert [until.split(bytearray(whole[:count]), max(0, count - 1)) for count in range(4)] == [None] * 4
    begin, end = until.split(bytearray(whole), 3) or (0, 0)
    assert (begin, end) == (2 if rule.startswith("u") else 0, 4)


@pytest.mark.parametrize("rule", ["eof", "idle"])
def test_bytes_alone_never_end_what_silence_or_the_other_end_must_end(rule: str) -> None:
    assert parse(rule).split(bytearray(b"anything\n" * 100)) is None


def test_the_need_is_known_as_soon_as_it_is_told() -> None:
    assert Count(7).needed(bytearray()) == 7
    assert parse("u32be").needed(bytearray(b"\0\0\1")) is None
    assert parse("u32be").needed(bytearray(b"\0\0\1\0x")) == 256
    assert parse("line").needed(bytearray(b"x")) is None


# Streams


def frames_of(rule: str, pieces: list[bytes], max_frame: int = 1 << 20) -> list[bytes | str]:
    """The bodies of a stream, and the kind of error that ended it, if one did."""
    frames, found = Frames(parse(rule), max_frame), []
    try:
        for piece in pieces:
            for body in frames.feed(piece):
                found.append(body)  # noqa: PERF402 - those before an error count
        found += frames.close()
    except PipeError as error:
        return [*found, type(error).__name__]
    return [*found]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut a stream into pieces, none of them empty."""
    ends = sorted({place % len(data) for place in places} | {0, len(data)}) if data else []
    return [data[begin:end] for begin, end in pairwise(ends)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())


@st.composite
def http_messages(draw: st.DrawFn) -> bytes:
    """A request or a response that says where it ends."""
    first = draw(
        st.sampled_from([b"POST /x HTTP/1.1", b"HTTP/1.1 200 OK", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404"])
    )
    if draw(st.booleans()):
        body = draw(st.binary(max_size=40))
        return first + b"\r\nX: y\r\ncontent-LENGTH:%d\r\n\r\n" % len(body) + body
    chunks = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    coded = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    trailer = draw(st.sampled_from([b"", b"X: y\r\n"]))
    return first + b"\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n" + coded + b"0\r\n" + trailer + b"\r\n"


def bodies_for(rule: str) -> st.SearchStrategy[bytes]:
    """Bodies that a rule has a frame for."""
    match rule:
        case "json":
            return json_values
        case "http":
            return http_messages()
        case "bytes:1" | "bytes:7":
            size = int(rule[-1])
            return st.binary(min_size=size, max_size=size)
        case "line" | "crlf" | "nul":
            return st.binary().map(lambda body: body.translate(None, b"\r\n\0"))
        case _ if "+" in rule and rule[-1].isdigit():
            return st.binary(min_size=int(rule.rpartition("+")[2]))
        case _:
            return st.binary(max_size=200)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "eof"])
@given(data=st.data())
def test_what_is_wrapped_is_found_again_however_it_is_cut(rule: str, data: Any) -> None:
    bodies = data.draw(st.lists(bodies_for(rule), max_size=5))
    stream = b"".join(map(parse(rule).wrap, bodies))
    assert frames_of(rule, cut(stream, data.draw(st.lists(st.integers(0, 1 << 16))))) == bodies


pieces = st.binary(max_size=5) | st.sampled_from(
    [b"\n", b"\r\n", b"\r\n\r\n", b"\x02\0", b"\0\0\0\0", b"0000", b"0005a", b"{", b"}", b'"', b"\\", b"[1, 2]",
     b"null ", b"Content-Length: 2\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 101 X\r\n\r\n", b"GET / HTTP/1.1\r\n",
     b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\nhi\r\n0\r\n\r\n"]
)  # fmt: skip


@pytest.mark.parametrize("rule", [*RULES, "idle"])
@given(stream=st.lists(pieces, max_size=20).map(b"".join), places=st.lists(st.integers(0, 1 << 16)))
@example(stream=b"HTTP/1.1 101 X\r\n\r\nraw", places=[])
@example(stream=b"\r\n\r\n", places=[1])
def test_any_bytes_have_the_same_frames_in_any_pieces(rule: str, stream: bytes, places: list[int]) -> None:
    if rule == "http" and (b" 101 " in stream or b"CONNECT" in stream):
        return  # after which the frames are the pieces
    whole, cut_up = frames_of(rule, [stream] if stream else []), frames_of(rule, cut(stream, places))
    assert cut_up == whole
    assert sum(len(body) for body in whole if isinstance(body, bytes)) <= len(stream)


@pytest.mark.parametrize(
    ("rule", "stream"),
    [
        ("u32le", b"\xff\xff\xff\xff"),
        ("u64be", b"\xff" * 8),
        ("varint", b"\xff\xff\xff\x7f"),
        ("content-length", b"Content-Length: 999999999999\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
        ("bytes:100000", b"x"),
        ("line", b"x" * 101),
        ("json", b"[" * 101),
        ("nul", b"x" * 101 + b"\0"),
    ],
)
def test_a_frame_beyond_the_limit_is_refused_before_it_has_come(rule: str, stream: bytes) -> None:
    with pytest.raises(MessageTooLongError):
        list(Frames(parse(rule), 100).feed(stream))


LONG = b"X: " + b"y" * 70_000
BAD = [
    ("u16be+self", b"\0\1"),
    ("varint", b"\xff" * 10),
    ("varint", b"\xff" * 9 + b"\x7f"),
    ("pkt", b"00zz"),
    ("pkt", b"00030000"),
    ("pkt", b"fff1"),
    ("json", b"}"),
    ("json", b"{} x: "),
    ("content-length", b"\r\n\r\n"),
    ("content-length", b"log line\r\nContent-Length: 2\r\n\r\n{}"),
    ("content-length", b"Content-Length: -2\r\n\r\n{}"),
    ("content-length", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    ("content-length", LONG),
    ("http", b"hello\r\n\r\n"),
    ("http", b"GET / HTTP/1.1\nHost: x\r\n\r\n"),  # a bare line feed
    ("http", b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n"),
    ("http", b"GET / HTTP/1.1\r\nA : b\r\n\r\n"),
    ("http", b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    ("http", b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("http", b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("http", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"),
    ("http", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc"),
    ("http", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 5000),
    ("http", b"GET / HTTP/1.1\r\n" + LONG),
]


@pytest.mark.parametrize(("rule", "stream"), BAD, ids=[f"{rule}-{stream[:24]!r}" for rule, stream in BAD])
def test_what_is_no_frame_is_refused(rule: str, stream: bytes) -> None:
    assert frames_of(rule, [stream])[-1] == "FrameError"


@pytest.mark.parametrize("rule", [*PREFIXES, "varint", "content-length", "pkt", "bytes:7", "http"])
def test_a_stream_that_is_cut_in_a_frame_says_so(rule: str) -> None:
    whole = parse(rule).wrap(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi" if rule == "http" else b"7 bytes")
    frames = Frames(parse(rule))
    assert list(frames.feed(whole + whole[:-1])) != []
    with pytest.raises(FrameError) as raised:
        frames.close()
    assert raised.value.partial == whole[:-1]


@pytest.mark.parametrize(
    ("rule", "stream", "last"),
    [
        ("line", b"a\nb", b"b"),
        ("json", b"{} 42", b"42"),
        ("eof", b"all of it", b"all of it"),
        ("http", b"HTTP/1.1 200 OK\r\n\r\nto the end", b"HTTP/1.1 200 OK\r\n\r\nto the end"),
    ],
)
def test_the_close_ends_what_it_may_end(rule: str, stream: bytes, last: bytes) -> None:
    assert frames_of(rule, [stream])[-1] == last


def test_white_space_after_the_last_value_is_nothing() -> None:
    assert frames_of("json", [b'{"a": [1, "]}"]} \n', b"\n"]) == [b'{"a": [1, "]}"]}']


def test_after_an_upgrade_whatever_comes_is_a_frame() -> None:
    upgrade = b"HTTP/1.1 101 UPGRADED\r\n\r\n"
    assert frames_of("http", [upgrade + b"raw", b"\n\n"]) == [upgrade, b"raw", b"\n\n"]
    connect = b"CONNECT x:1 HTTP/1.1\r\n\r\n"
    assert frames_of("http", [connect, b"raw"]) == [connect, b"raw"]


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_some_responses_never_have_a_body(status: bytes) -> None:
    response = b"HTTP/1.1 %b\r\nContent-Length: 5\r\n\r\n" % status
    assert frames_of("http", [response * 2]) == [response] * 2


def test_an_empty_message_ends_a_frame_of_eof() -> None:
    assert frames_of("eof", [b"a", b"b", b"", b"c", b""]) == [b"ab", b"c"]


@pytest.mark.parametrize("rule", ["json", "pkt", "http", "line", "varint"])
def test_a_long_frame_in_small_pieces_takes_no_square_of_its_time(rule: str) -> None:
    import time

    body = b'"%b"' % (b"x" * 400_000)
    if rule == "http":
        body = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"2\r\nhi\r\n" * 50_000 + b"0\r\n\r\n"
    stream = b"0005x" * 50_000 + b"0000" if rule == "pkt" else parse(rule).wrap(body)
    body = b"x" * 50_000 if rule == "pkt" else body
    begun = time.perf_counter()
    assert frames_of(rule, [stream[at : at + 7] for at in range(0, len(stream), 7)]) == [body]
    assert time.perf_counter() - begun < 5  # a square would take minutes

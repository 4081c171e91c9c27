"""Where a reply ends, as a codec sees it; and what is made of a request."""

import pytest

from pipectl.core.codecs import codec_class
from pipectl.core.codecs.base import FrameKind
from pipectl.core.codecs.replies import CodecRule, request_of
from pipectl.core.errors import CodecError, FrameError

from .test_http import CHUNKED, CHUNKS, OK, UPGRADE, request, response


def replies(codec: str, asked: bytes, *pieces: bytes, is_reply: bool = True) -> list[tuple[int, list[str]]]:
    """Return the size of each reply, and the kinds of its frames; what is left is the last one."""
    rule, received, found = CodecRule(codec_class(codec)(), is_reply=is_reply), bytearray(), []
    rule.for_reply_to(asked)
    for piece in pieces:
        searched = len(received)
        received += piece
        while span := rule.split(received, searched):
            found.append((span.end, [frame.kind.value for frame in rule.take()]))
            del received[: span.end]
            searched = 0
    return found


def test_a_response_with_a_length_ends_with_its_body() -> None:
    assert replies("http", request(), OK[:20], OK[20:]) == [(len(OK), ["reply"])]


def test_a_response_in_chunks_ends_with_the_last_one() -> None:
    chunked = response("200 OK", CHUNKED, body=CHUNKS)
    assert replies("http", request(), chunked[:-5], chunked[-5:]) == [
        (len(chunked), ["reply", "event", "event", "event"])
    ]


def test_an_interim_response_belongs_to_the_final_one() -> None:
    both = response("100 Continue") + OK
    assert replies("http", request(), both) == [(len(both), ["event", "reply"])]


@pytest.mark.parametrize("headers", [("Content-Length: 5",), (CHUNKED,), ()])
def test_a_response_to_head_ends_with_its_head(headers: tuple[str, ...]) -> None:
    head = response("200 OK", *headers)
    assert replies("http", request("HEAD"), head) == [(len(head), ["reply"])] or not headers


def test_an_upgrade_ends_with_its_head() -> None:
    head = response("101 UPGRADED", "Upgrade: tcp")
    assert replies("docker", UPGRADE, head) == [(len(head), ["reply"])]


def test_a_response_without_a_length_ends_at_the_close() -> None:
    rule = CodecRule(codec_class("http")())
    rule.for_reply_to(request())
    received = bytearray(response("200 OK", body="to the end"))
    assert rule.split(received) is None
    assert rule.is_whole_at_close(received)
    assert [frame.kind for frame in rule.take()] == [FrameKind.REPLY, FrameKind.RAW]


def test_events_before_the_reply_are_no_reply() -> None:
    asked, event, reply = b'{"request_id":1}\n', b'{"event":"idle"}\n', b'{"request_id":1,"error":"success"}\n'
    assert replies("json-lines", asked, event, reply) == [(len(event + reply), ["event", "reply"])]


def test_the_reply_to_another_request_is_not_this_one() -> None:
    asked, other, reply = b'{"request_id":2}\n', b'{"request_id":1}\n', b'{"request_id":2}\n'
    assert replies("json-lines", asked, other + reply) == [(len(other + reply), ["reply", "reply"])]


def test_without_replies_each_frame_counts() -> None:
    assert replies("lines", b"", b"one\ntw", b"o\n", is_reply=False) == [(4, ["reply"]), (4, ["reply"])]


def test_a_bad_frame_is_no_reply() -> None:
    with pytest.raises(FrameError, match="conflicting Content-Length"):
        replies("http", request(), response("200 OK", "Content-Length: 1", "Content-Length: 2"))


def test_a_reply_that_is_cut_off_is_not_whole() -> None:
    rule = CodecRule(codec_class("http")())
    rule.for_reply_to(request())
    assert rule.split(bytearray(OK[:-1])) is None
    assert not rule.is_whole_at_close(bytearray(OK[:-1]))


@pytest.mark.parametrize(
    ("codec", "data", "sent"),
    [
        ("docker", b"GET /_ping", b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"),
        ("docker", request(), request()),
        ("ssh-agent", b"REQUEST_IDENTITIES", b"\0\0\0\1\x0b"),
        ("ssh-agent", b"\x0b", b"\0\0\0\1\x0b"),
        ("ssh-agent", b"\0\0\0\1\x0b", b"\0\0\0\1\x0b"),
        ("discord", b'{"v":1,"client_id":"1"}', b'\0\0\0\0\x17\0\0\0{"v":1,"client_id":"1"}'),
        ("discord", b'{"cmd":"X"}', b'\1\0\0\0\x0b\0\0\0{"cmd":"X"}'),
        ("json-lines", b'{"command":[]}', b'{"command":[]}\n'),
        ("json-lines", b'{"command":[]}\n', b'{"command":[]}\n'),
        ("lsp", b'{"id":1}', b'Content-Length: 8\r\n\r\n{"id":1}'),
        ("lines", b"ping", b"ping\n"),
        ("text", b"ping", b"ping"),
        ("hex", b"\0", b"\0"),
    ],
)
def test_a_request_is_sent_as_a_frame(codec: str, data: bytes, sent: bytes) -> None:
    assert request_of(codec_class(codec), data) == sent


@pytest.mark.parametrize(("codec", "data"), [("json-lines", b"{"), ("ssh-agent", b""), ("docker", b"hello")])
def test_a_request_that_the_protocol_does_not_have_is_refused(codec: str, data: bytes) -> None:
    with pytest.raises(CodecError):
        request_of(codec_class(codec), data)

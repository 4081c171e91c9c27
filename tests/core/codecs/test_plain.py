"""The codecs for bytes without a protocol: `text`, `hex`, `lines`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.codecs.base import FrameKind
from pipectl.core.codecs.plain import Lines, is_text
from pipectl.core.errors import CodecError

from .talks import C, S, decoded, keeps_its_promises, shown, wrapped


@pytest.mark.parametrize(
    ("codec", "sample"),
    [("text", "café \u20ac\n".encode()), ("hex", b"\0\1\xff"), ("lines", b"one\r\ntwo\n\nrest")],
)
def test_it_keeps_its_promises(codec: str, sample: bytes) -> None:
    keeps_its_promises(codec, sample)


def test_a_character_cut_in_two_is_shown_whole() -> None:
    assert shown("text", (C, b"caf\xc3"), (C, b"\xa9!"), (C, b"\xe2\x82"), (C, b"\xac")) == [
        "raw caf",
        "raw é!",
        "raw €",
    ]


def test_a_message_waits_for_no_other() -> None:
    (frame,) = Lines().feed(C, b"x\n", message=True)
    assert frame.body == b"x"
    assert shown("text", (C, b"\xc3")) == ["raw \\xc3"]


def test_a_byte_order_mark_is_kept_and_not_shown() -> None:
    (frame,) = decoded("text", (C, b"\xef\xbb\xbfhi"))
    assert (frame.summary, frame.data) == ("hi", b"\xef\xbb\xbfhi")


def test_bytes_that_are_no_text_are_escaped() -> None:
    assert shown("text", (S, b"\xff\xfea")) == ["raw \\xff\\xfea"]


def test_hex_shows_32_bytes_and_that_there_are_more() -> None:
    assert shown("hex", (C, b"\0\xff")) == ["raw 00 ff"]
    assert shown("hex", (C, bytes(33)))[0].endswith("00…")


def test_lines_of_the_client_are_requests_and_those_of_the_server_replies() -> None:
    assert shown("lines", (C, b"one\r\ntw"), (S, b"ok\n"), (C, b"o\n")) == ["request one", "reply ok", "request two"]


def test_a_line_beyond_the_limit_is_bad_and_the_rest_is_raw() -> None:
    frames = decoded(Lines(max_frame=10), (C, b"short\n" + b"a" * 25 + b"\nx\n"))
    assert [frame.kind for frame in frames] == [FrameKind.REQUEST, FrameKind.BAD, FrameKind.RAW]
    assert len(frames[1].data) == 10


@pytest.mark.parametrize("body", [b"a\nb", b"a\r"])
def test_a_line_with_an_end_in_it_is_not_made(body: bytes) -> None:
    with pytest.raises(CodecError):
        wrapped("lines", body)


def test_a_line_has_no_fields() -> None:
    with pytest.raises(CodecError):
        wrapped("lines", b"a", name=1)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])), st.integers(0, 64))
def test_text_is_recognized_however_it_is_cut(text: str, cut: int) -> None:
    assert is_text(b"x" + text.encode()[:cut])


@given(st.binary().filter(lambda data: b"\n" not in data and not data.endswith(b"\r")))
def test_what_is_made_of_a_body_is_read_as_that_body(body: bytes) -> None:
    assert [frame.body for frame in decoded("lines", (C, wrapped("lines", body)))] == [body]

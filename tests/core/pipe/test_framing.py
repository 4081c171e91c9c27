"""The rules that end a reply on a byte pipe: how they are written, and what they say."""

import pytest

from pipectl.core.pipe.framing import IDLE, Count, parse


@pytest.mark.parametrize(
    "rule",
    [
        "newline",
        "eof",
        "idle:0.2",
        "idle:2.5",
        "bytes:1",
        "bytes:104857601",
        "frame:u16le",
        "frame:u16be",
        "frame:u32le",
        "frame:u32be",
    ],
)
def test_a_rule_is_written_as_it_was_read(rule: str) -> None:
    assert str(parse(rule)) == rule


@pytest.mark.parametrize(
    ("text", "rule"), [("bytes:1k", "bytes:1024"), ("idle:200ms", "idle:0.2"), ("idle:1m30s", "idle:90")]
)
def test_a_rule_takes_sizes_and_durations_as_the_options_do(text: str, rule: str) -> None:
    assert str(parse(text)) == rule


def test_idle_alone_has_a_time_of_its_own() -> None:
    assert parse("idle") == IDLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        *[
            "newline:1",
            "eof:1",
            "idle:0",
            "idle:-1",
            "idle:nan",
            "idle:inf",
            "idle:x",
            "idle:none",
            "idle:1h30",
            "bytes",
            "bytes:0",
            "bytes:1.5",
            "bytes:4g",
            "bytes:-1",
        ],
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="newline"):
        parse(text)


def test_a_request_gets_the_length_that_replies_have() -> None:
    assert parse("frame:u16be").wrap(b"abc") == b"\x00\x03abc"
    assert parse("frame:u32le").wrap(b"") == b"\x00\x00\x00\x00"
    assert parse("newline").wrap(b"abc") == b"abc"


def test_a_request_that_its_length_cannot_tell_is_refused() -> None:
    assert len(parse("frame:u16le").wrap(bytes(0xFFFF))) == 0xFFFF + 2
    with pytest.raises(ValueError, match="65536"):
        parse("frame:u16le").wrap(bytes(0x1_0000))


@pytest.mark.parametrize("rule", ["newline", "bytes:4", "frame:u16le"])
def test_a_reply_is_found_however_it_is_cut(rule: str) -> None:
    whole = b"\x02\x00a\n"
    until = parse(rule)
    assert [until.split(bytearray(whole[:count]), max(0, count - 1)) for count in range(4)] == [None] * 4
    begin, end = until.split(bytearray(whole), 3) or (0, 0)
    assert (begin, end) == (2 if rule.startswith("frame") else 0, 4)


@pytest.mark.parametrize("rule", ["eof", "idle"])
def test_bytes_alone_never_end_what_silence_or_the_other_end_must_end(rule: str) -> None:
    assert parse(rule).split(bytearray(b"anything\n" * 100)) is None


def test_the_need_is_known_as_soon_as_it_is_told() -> None:
    assert Count(7).needed(bytearray()) == 7
    assert parse("frame:u32be").needed(bytearray(b"\0\0\1")) is None
    assert parse("frame:u32be").needed(bytearray(b"\0\0\1\0x")) == 256
    assert parse("newline").needed(bytearray(b"x")) is None

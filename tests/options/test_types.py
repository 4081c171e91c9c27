"""What the command line takes: each type, each way to write what is sent, and what is refused as wrong usage."""

import base64
import re
import sys
from contextlib import suppress

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.pipe.framing import Count
from pipectl.options.payload import PayloadFormat
from pipectl.options.types import DURATION, ENCODING, FRAMING, PIPE, SIZE
from tests.runner import Pipectl

ON_WINDOWS = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows")


def written(**options: bool | str) -> PayloadFormat:
    flags = dict.fromkeys(("is_hex", "is_base64", "escapes", "chomp", "newline"), False)
    return PayloadFormat(**{**flags, "encoding": "utf-8", **options})  # type: ignore[arg-type]


# Types


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("5", 5),
        ("2.5", 2.5),
        (".5", 0.5),
        ("3.", 3),
        ("500ms", 0.5),
        ("2m", 120),
        ("1h", 3600),
        ("7S", 7),
        ("1h30m", 5400),
        ("1m.5s", 60.5),
        ("1s250ms", 1.25),
        (" 1 ", 1),
        ("none", None),
        ("None", None),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(text: str, seconds: float | None) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "1d", "1e3", "inf", "nan", "1 2", "ms", ".", "٣", "30m1h", "1h30", "1m1m", "1s 1"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter):
        DURATION.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65536),
        ("1b", 1),
        ("64k", 65536),
        ("64K", 65536),
        ("64kb", 65536),
        ("1MiB", 1 << 20),
        ("2 g", 2 << 30),
        (" 7 ", 7),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text: str, size: int) -> None:
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "big", "-1", "1.5k", "1t", "k", "0x10", "1kk", "٣", "4g", "9" * 30])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter):
        SIZE.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "name"), [("UTF8", "utf-8"), ("utf-16-le", "utf-16-le"), ("latin1", "iso8859-1"), ("cp437", "cp437")]
)
def test_an_encoding_has_one_name(text: str, name: str) -> None:
    assert ENCODING.convert(text, None, None) == name


@pytest.mark.parametrize("text", ["", "nothing", "base64", "rot13", "hex", "zip", "utf-8\0", "idna"])
def test_a_codec_that_is_not_for_text_is_no_encoding(text: str) -> None:
    with pytest.raises(click.BadParameter):
        ENCODING.convert(text, None, None)


def test_a_rule_for_the_end_of_a_reply_is_read() -> None:
    assert FRAMING.convert("bytes:5", None, None) == Count(5)
    with pytest.raises(click.BadParameter, match="line, crlf"):
        FRAMING.convert("bytes:x", None, None)


def test_a_pipe_has_its_full_name() -> None:
    assert PIPE.convert("svc", None, None) == r"\\.\pipe\svc"


@pytest.mark.parametrize("text", ["", r"\\.\pipe", r"C:\x", "http://x", "a\0b", r"\\host\share\x"])
def test_what_cannot_be_a_pipe_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(click.BadParameter) as raised:
        PIPE.convert(text, None, None)
    assert raised.value.message


@given(st.text())
def test_any_text_is_a_pipe_or_is_refused(text: str) -> None:
    with suppress(click.BadParameter):
        assert PIPE.convert(text, None, None).startswith("\\\\")


# What is sent


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_text_is_sent_in_its_encoding(text: str) -> None:
    assert written().encode(text) == text.encode()
    assert written(encoding="utf-16-le").encode(text) == text.encode("utf-16-le")


@given(st.binary())
def test_digits_stand_for_bytes(data: bytes) -> None:
    assert written(is_hex=True).encode(data.hex()) == data
    assert written(is_hex=True).encode(data.hex(" ").upper()) == data
    assert written(is_hex=True).convert(f"{data.hex()}\r\n".encode()) == data
    assert written(is_base64=True).encode(base64.b64encode(data).decode()) == data
    assert written(is_base64=True).convert(base64.encodebytes(data)) == data


@given(st.binary())
def test_any_bytes_can_be_written_with_escapes(data: bytes) -> None:
    text = "".join(f"\\x{byte:02x}" for byte in data)
    assert written(escapes=True).encode(text) == data


@given(st.text(alphabet=st.characters(exclude_characters="\\", exclude_categories=["Cs"])))
def test_text_without_a_backslash_has_no_escapes(text: str) -> None:
    assert written(escapes=True).encode(text) == text.encode()


@pytest.mark.parametrize(
    ("text", "encoding", "data"),
    [
        (r"a\r\n\t\0\\b", "utf-8", b"a\r\n\t\0\\b"),
        (r"\n", "utf-16-le", b"\n\0"),
        (r"\xff", "utf-16-le", b"\xff"),
        (r"\u00fc\u6F22", "utf-8", "ü漢".encode()),
        (r"\u00fc", "latin-1", b"\xfc"),
        (r"\\x41", "utf-8", rb"\x41"),
        (r"\x4141", "utf-8", b"A41"),
    ],
)
def test_escapes_stand_for_characters_and_bytes(text: str, encoding: str, data: bytes) -> None:
    assert written(escapes=True, encoding=encoding).encode(text) == data


@pytest.mark.parametrize("options", [{}, {"is_hex": True}, {"is_base64": True}, {"escapes": True}], ids=str)
def test_a_line_feed_ends_whatever_is_sent(options: dict[str, bool]) -> None:
    assert written(newline=True, **options).encode("abcd").endswith(b"\n")
    assert written(newline=True, encoding="utf-16-le").encode("a") == b"a\0\n\0"
    assert written(newline=True).convert(b"a") == b"a\n"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"is_hex": True}, "0"),
        ({"is_hex": True}, "0x"),
        ({"is_hex": True}, "4 1"),
        ({"is_hex": True}, "0x41 0x1ab"),
        ({"is_hex": True}, "zz"),
        ({"is_hex": True}, "ü"),
        ({"is_base64": True}, "A"),
        ({"is_base64": True}, "AP8"),
        ({"is_base64": True}, "A=8="),
        ({"is_base64": True}, "AP8_"),
        ({"escapes": True}, "\\"),
        ({"escapes": True}, r"\q"),
        ({"escapes": True}, r"\x4"),
        ({"escapes": True}, r"\u12"),
        ({"escapes": True}, r"\ud800"),
        ({"escapes": True, "encoding": "latin-1"}, r"\u6f22"),
        ({"encoding": "ascii"}, "ü"),
        ({}, "\ud800"),
    ],
    ids=repr,
)
def test_what_stands_for_no_bytes_is_a_usage_error(options: dict[str, bool], text: str) -> None:
    with pytest.raises(click.UsageError):
        written(**options).encode(text)


@pytest.mark.parametrize(
    "text",
    [
        "deadbeef",
        "DE-AD-BE-EF",
        "de:ad:be:ef",
        "0xdeadbeef",
        "dead,beef",
        "{0xDE, 0xad, 0XBE,\n 0xef}",
        r"\xde\xad\xbe\xef",
    ],
)
def test_hex_is_read_as_tools_write_it(text: str) -> None:
    assert written(is_hex=True).encode(text) == bytes.fromhex("deadbeef")


def test_a_single_digit_is_a_byte_only_after_0x() -> None:
    assert written(is_hex=True).encode("0x1, 0xa") == b"\x01\x0a"


@pytest.mark.parametrize(("text", "position"), [("de ad b ef", 7), ("dead-beeg", 9), ("12 zz", 4), ("abc", 1)])
def test_wrong_hex_is_refused_with_its_position(text: str, position: int) -> None:
    with pytest.raises(click.UsageError, match=rf"at position {position}\b"):
        written(is_hex=True).encode(text)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=repr)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_chomp_removes_one_line_ending(end: str, encoding: str) -> None:
    data = f"ping{end}".encode()
    assert written(chomp=True, encoding=encoding).convert(data) == "ping".encode(encoding)
    assert written(chomp=True, newline=True).convert(data) == b"ping\n"
    assert written(chomp=True).encode(f"ping\n{end}") == (b"ping\n" if end else b"ping")


# What is read from stdin and from files


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_not_sent(encoding: str) -> None:
    assert written().convert("grüße\r\n".encode(encoding)) == "grüße\r\n".encode()
    assert written(is_hex=True).convert("de ad".encode(encoding)) == b"\xde\xad"
    assert written(encoding="utf-16-le").convert("ü".encode(encoding)) == "ü".encode("utf-16-le")


@pytest.mark.parametrize("data", [b"\xff\xfe\x01\x00", b"\xff\xfe\0", b"\xff\xfe\0\xd8"], ids=repr)
def test_bytes_that_only_look_like_a_mark_are_sent(data: bytes) -> None:
    assert written().convert(data) == data


def test_escapes_and_the_encoding_hold_for_stdin_and_files_too() -> None:
    assert written(escapes=True).convert(rb"\x00\u00fc") == b"\0" + "ü".encode()
    assert written(encoding="utf-16-le").convert("ü".encode()) == written(encoding="utf-16-le").encode("ü")
    with pytest.raises(click.UsageError, match=r"--encoding utf-16-le.* at position 2\b"):
        written(encoding="utf-16-le").convert(b"a\xff")


def test_a_line_of_stdin_is_its_own_bytes_or_those_of_its_text() -> None:
    assert written().convert(b"\xff\0") == b"\xff\0"
    assert written(is_hex=True).convert(b"ff 00") == b"\xff\0"
    assert written(escapes=True).convert(rb"\xff") == b"\xff"
    assert written(encoding="utf-16-le", newline=True).convert("ü".encode()) == b"\xfc\0\n\0"
    with pytest.raises(click.UsageError):
        written(encoding="utf-16-le").convert(b"\xff")


# On a command line


@pytest.mark.parametrize(
    "line",
    [
        ["call", "svc"],
        ["call", "svc", "x", "--stdin"],
        ["call", "svc", "x", "--data-file", "y"],
        ["call", "svc", "-", "--data-file", "y"],
        pytest.param(["call", "svc", "--data-file", "there-is-no-such-file"], marks=ON_WINDOWS),
        ["call", "svc", "x", "y"],
        ["call", "svc", "x", "--empty"],
        ["call", "svc", "--data-file", "y", "--empty"],
        ["call", "svc", "xx", "--hex"],
        ["call", "svc", "00", "--hex", "--base64"],
        ["call", "svc", "00", "--hex", "--escapes"],
        ["call", "svc", "x", "--encoding", "nothing"],
        ["call", "svc", "x", "--as", "picture"],
        ["call", "svc", "x", "--timeout", "soon"],
        ["call", "svc", "x", "--wait", "ever"],
        ["call", "svc", "x", "--sqos", "all"],
        ["call", "svc", "x", "--until", "tomorrow"],
        ["call", "svc", "x", "--max-message", "big"],
        ["call", "svc", "x", "--expect-pid", "me"],
        ["call", "svc", "x", "--format", "xml"],
        ["call", r"C:\svc", "x"],
        ["call", "", "x"],
        ["peek", "svc", "--size", "all"],
        ["state", "svc", "--read-mode", "stream"],
        ["wait", "svc", "--for", "ever"],
        ["client-pid", "svc", "--count", "0"],
        ["list", "a", "b"],
        ["list", "--sort", "size"],
        ["serve"],
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_a_usage_error_with_a_way_to_the_help(pipectl: Pipectl, line: list[str]) -> None:
    result = pipectl(*line)
    assert (result.exit_code, result.stdout) == (2, b"")
    error, hint = result.stderr.splitlines()
    assert re.match(r"error: [^A-Z].*[^.]$", error)
    assert hint.startswith("hint: ")


def test_nothing_to_send_and_too_much_are_told_apart(pipectl: Pipectl) -> None:
    nothing = pipectl("call", "svc").stderr
    assert "nothing to send" in nothing
    assert "PowerShell up to 7.2" in nothing
    assert "only one of" in pipectl("call", "svc", "x", "--empty").stderr


def test_a_pattern_on_the_command_line_is_left_alone(pipectl: Pipectl) -> None:
    """click would put the names of files for `*`."""
    if sys.platform != "win32":
        pytest.skip("only there programs do that themselves")
    assert pipectl("wait", "pipectl-test-*", "--json").error["pipe"] == r"\\.\pipe\pipectl-test-*"

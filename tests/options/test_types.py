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


def written(**options: bool | str) -> PayloadFormat:
    defaults = {"is_hex": False, "is_base64": False, "escapes": False, "newline": False, "encoding": "utf-8"}
    return PayloadFormat(**{**defaults, **options})  # type: ignore[arg-type]


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
        (" 1 ", 1),
        ("none", None),
        ("None", None),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(text: str, seconds: float | None) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "1d", "1e3", "inf", "nan", "1 2", "ms", ".", "٣"])
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
    with pytest.raises(click.BadParameter, match="newline, eof"):
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
    assert written(is_hex=True).finish(f"{data.hex()}\r\n".encode()) == data
    assert written(is_base64=True).encode(base64.b64encode(data).decode()) == data
    assert written(is_base64=True).finish(base64.encodebytes(data)) == data


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
    assert written(newline=True).finish(b"a") == b"a\n"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"is_hex": True}, "0"),
        ({"is_hex": True}, "0x41"),
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


def test_a_line_of_stdin_is_its_own_bytes_or_those_of_its_text() -> None:
    assert written().line(b"\xff\0") == b"\xff\0"
    assert written(is_hex=True).line(b"ff 00") == b"\xff\0"
    assert written(escapes=True).line(rb"\xff") == b"\xff"
    assert written(encoding="utf-16-le", newline=True).line("ü".encode()) == b"\xfc\0\n\0"
    with pytest.raises(click.UsageError):
        written(encoding="utf-16-le").line(b"\xff")


# On a command line


@pytest.mark.parametrize(
    "line",
    [
        ["call", "svc"],
        ["call", "svc", "x", "--stdin"],
        ["call", "svc", "x", "--data-file", "y"],
        ["call", "svc", "-", "--data-file", "y"],
        ["call", "svc", "--data-file", "there-is-no-such-file"],
        ["call", "svc", "x", "y"],
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


def test_a_pattern_on_the_command_line_is_left_alone(pipectl: Pipectl) -> None:
    """click would put the names of files for `*`."""
    if sys.platform != "win32":
        pytest.skip("only there programs do that themselves")
    assert pipectl("wait", "pipectl-test-*", "--json").error["pipe"] == r"\\.\pipe\pipectl-test-*"

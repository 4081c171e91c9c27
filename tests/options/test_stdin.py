"""Standard input: all of it, line by line as it comes, and what a console says as UTF-8."""

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import click
import pytest

from pipectl.options import stdin
from pipectl.output import Output


@pytest.fixture(autouse=True)
def command() -> Iterator[None]:
    """Read for a command."""
    with click.Context(click.Command("x"), obj=Output()):
        yield


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have stdin come in these pieces."""

    def come(*data: bytes) -> None:
        rest = iter([*data, b""])
        monkeypatch.setattr(os, "read", lambda _descriptor, _size: next(rest))

    return come


Pieces = Callable[..., None]


def test_all_of_it_is_read(pieces: Pieces) -> None:
    pieces(b"a\r\n", b"\0\xff")
    assert stdin.read_all() == b"a\r\n\0\xff"


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ([], []),
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a\r\nb"], [b"a", b"b"]),
        ([b"a", b"b\nc", b"\r", b"\nd"], [b"ab", b"c", b"d"]),
        ([b"\n\n"], [b"", b""]),
        ([b"a\rb\n"], [b"a\rb"]),
    ],
    ids=str,
)
def test_lines_come_without_their_ends_however_they_are_cut(
    pieces: Pieces, data: list[bytes], lines: list[bytes]
) -> None:
    pieces(*data)
    assert list(stdin.lines()) == lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ([b"\xef\xbb\xbfa\r\n", b"b"], [b"a", b"b"]),
        ([b"\xef", b"\xbb", b"\xbfa\n"], [b"a"]),
        ([b"\xff\xfea\0\r", b"\0\n\0\xfc", b"\0"], [b"a", "ü".encode()]),
        ([b"\xfe\xff\0a\0\n"], [b"a"]),
        ([b"\xef"], [b"\xef"]),
        ([b"\xff", b"\n"], [b"\xff"]),
    ],
    ids=str,
)
def test_a_byte_order_mark_is_no_part_of_the_lines(pieces: Pieces, data: list[bytes], lines: list[bytes]) -> None:
    pieces(*data)
    assert list(stdin.lines()) == lines


def test_a_line_comes_before_the_next_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []

    def read(_descriptor: int, _size: int) -> bytes:
        reads.append(len(reads))
        return b"line\n"

    monkeypatch.setattr(os, "read", read)
    assert next(stdin.lines()) == b"line"
    assert reads == [0]


def test_a_console_gives_utf_8_whatever_its_code_page(monkeypatch: pytest.MonkeyPatch, pieces: Pieces) -> None:
    pieces("grüße\n".encode("cp437"))
    monkeypatch.delenv("TERM", raising=False)
    console = SimpleNamespace(isatty=lambda: True, buffer=SimpleNamespace(raw=io.BytesIO("grüße\n".encode())))
    monkeypatch.setattr(sys, "stdin", console)
    assert list(stdin.lines()) == ["grüße".encode()]


def test_a_person_is_told_how_the_input_ends(
    monkeypatch: pytest.MonkeyPatch, pieces: Pieces, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces()
    assert list(stdin.lines()) == []
    assert capsys.readouterr().err == ""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True, buffer=SimpleNamespace(raw=raw)))
    monkeypatch.delenv("TERM", raising=False)
    assert stdin.read_all() == b""
    assert capsys.readouterr().err == "reading stdin; end with Ctrl+Z, Enter\n"


def test_a_long_line_takes_time_in_proportion_to_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdin, "chunks", lambda: iter([*[bytes(1024)] * (16 << 10), b"\nnext"]))
    begun = time.process_time()
    assert [len(line) for line in stdin.lines()] == [16 << 20, 4]
    assert time.process_time() - begun < 5  # a minute, if all that is there is joined with each piece

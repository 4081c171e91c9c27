"""Terminals that are pipes, told by their names, and streams that are no console."""

import msvcrt
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO
from uuid import uuid4

import pytest

from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe, fd_create_pipe
from pipectl.core.win32.consoles import is_msys_name, is_msys_terminal, obey_escapes


@pytest.mark.parametrize(
    ("name", "is_terminal"),
    [
        (r"\msys-1888ae32e00d56aa-pty0-to-master", True),
        (r"\msys-1888ae32e00d56aa-pty12-from-master", True),
        (r"\cygwin-e022582115c10879-pty4-to-master", True),
        (r"\msys-dd50a72ab4668b33-pty1-to-master-nat", True),
        (r"\MSYS-1888AE32E00D56AA-PTY0-TO-MASTER", True),
        (r"\msys-1888ae32e00d56aa-pty0-to-slave", False),
        (r"\msys-1888ae32e00d56aa-pipe-0x1", False),
        (r"\my-msys-1888ae32e00d56aa-pty0-to-master", False),
        (r"\msys-1888ae32e00d56aa-pty0-to-master-x", False),
        ("", False),
    ],
)
def test_the_name_of_a_pipe_tells_a_terminal_of_msys(name: str, is_terminal: bool) -> None:
    assert is_msys_name(name) is is_terminal


@pytest.fixture
def terminal() -> Iterator[tuple[IO[str], IO[bytes]]]:
    """What a program in Git Bash's window has as its stdout, and what the window reads."""
    name = rf"\\.\pipe\msys-{uuid4().hex[:16]}-pty0-to-master"
    with create_named_pipe(name, max_instances=1) as window:
        ours = connect(name)
        with (
            os.fdopen(msvcrt.open_osfhandle(ours.handle.detach(), os.O_WRONLY), "w", encoding="ascii") as stream,
            os.fdopen(msvcrt.open_osfhandle(window.detach(), os.O_RDONLY), "rb", buffering=0) as read,
        ):
            yield stream, read


def test_a_real_pipe_of_such_a_name_is_a_terminal(terminal: tuple[IO[str], IO[bytes]]) -> None:
    assert is_msys_terminal(terminal[0])


def test_files_and_other_pipes_are_no_terminals(tmp_path: Path) -> None:
    read, write = fd_create_pipe()
    with os.fdopen(write, "w", encoding="ascii") as pipe, closing(os.fdopen(read)):
        assert not is_msys_terminal(pipe)
    with (tmp_path / "msys-1888ae32e00d56aa-pty0-to-master").open("w") as file:
        assert not is_msys_terminal(file)
        assert not obey_escapes(file)


def test_in_such_a_window_a_reply_is_shown_as_on_a_terminal(
    pipe_name: str, program: list[str], terminal: tuple[IO[str], IO[bytes]]
) -> None:
    stream, window = terminal
    with PipeServer(pipe_name, lambda _client, _data: "ü\x1b[31m漢".encode()):
        subprocess.run(
            [*program, "call", pipe_name, "x"],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TERM": "xterm"},
            timeout=60,
            check=True,
        )
    assert window.read(100).decode() == "ü\\x1b[31m漢\n"

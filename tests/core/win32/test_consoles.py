"""Terminals that are pipes, told by their names, and streams that are no console."""

import msvcrt
import os
import subprocess
import sys
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
from tests.pipes import connect_named_pipe
from tests.runner import Background


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


_MODES = """
import ctypes, msvcrt, struct, subprocess, sys
from contextlib import suppress
from ctypes import byref
from ctypes.wintypes import DWORD
from pipectl.core.win32 import winapi
from pipectl.core.win32.consoles import raw_keys

keyboard, screen = open("CONIN$"), open("CONOUT$", "w")

def modes():
    found = []
    for stream in (keyboard, screen):
        mode = DWORD()
        winapi.GetConsoleMode(msvcrt.get_osfhandle(stream.fileno()), byref(mode))
        found.append(mode.value)
    return found

def type_control(character):
    keys = ctypes.create_string_buffer(struct.pack("<HxxiHHHHI", 1, 1, 1, ord(character) + 64, 0, ord(character), 8))
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(keyboard.fileno()))
    assert ctypes.WinDLL("kernel32").WriteConsoleInputW(handle, keys, 1, byref(DWORD()))

before = modes()
"""


def in_a_console(program: str, *arguments: str) -> str:
    """Run a program in a console of its own, which knows `keyboard`, `screen`, and `modes`; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", _MODES + program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        creationflags=subprocess.CREATE_NO_WINDOW,
        check=True,
    )
    return done.stdout


def test_consoles_are_terminals_and_nul_is_none() -> None:
    program = """
import io, os
from pipectl.output import Stream

nothing = open("NUL"), open("NUL", "w")
assert all(stream.isatty() for stream in nothing)
print([Stream(stream).is_terminal for stream in (keyboard, screen, *nothing)])
os.environ["PYTHONLEGACYWINDOWSSTDIO"] = "1"
print(Stream(io.TextIOWrapper(io.BufferedReader(io.FileIO("CONIN$")))).is_terminal)
"""
    assert in_a_console(program).splitlines() == ["[True, True, False, False]", "True"]


@pytest.mark.parametrize("end", ["pass", "raise KeyboardInterrupt"])
def test_the_console_has_its_modes_again_after_raw_keys(end: str) -> None:
    program = f"""
with suppress(KeyboardInterrupt), raw_keys(keyboard, screen):
    print(modes()[0] & 7)
    {end}
print(before[0] & 7, modes() == before)
"""
    assert in_a_console(program).split() == ["0", "7", "True"]


def test_keys_of_what_is_no_console_are_refused() -> None:
    program = """
with suppress(OSError), raw_keys(keyboard, open("NUL", "w")):
    print("read")
print(modes() == before)
"""
    assert in_a_console(program).split() == ["True"]


def test_ctrl_c_is_a_key_like_others() -> None:
    program = """
with raw_keys(keyboard, screen) as read:
    type_control("\\x03")
    print(ascii(read()))
"""
    assert in_a_console(program).strip() == r"'\x03'"


@pytest.mark.parametrize("way", ["server", "key"])
def test_connect_restores_the_modes_when_the_server_or_a_key_ends_it(
    pipe_name: str, program: list[str], background: Background, way: str
) -> None:
    inside = """
command = subprocess.Popen(sys.argv[2:], stdin=keyboard, stdout=screen, stderr=subprocess.PIPE, text=True)
print("Ctrl+]" in command.stderr.readline(), modes()[0] & 7)
if sys.argv[1] == "key":
    type_control("\\x1d")
else:
    from pipectl.core.pipe.connection import connect
    connect(sys.argv[-2] + "-go", 30).close()
print(command.wait(30), modes() == before)
"""
    with PipeServer(pipe_name, lambda _client, _data: None) as server, create_named_pipe(f"{pipe_name}-go") as go_on:
        running = background(in_a_console, inside, way, *program, "connect", pipe_name, "--raw-keys")
        if way == "server":
            connect_named_pipe(go_on, 60)
            server.stop()
        assert running.result(60).split() == ["True", "0", "0", "True"]

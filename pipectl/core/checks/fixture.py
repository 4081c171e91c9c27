"""Shared helpers for the checks in `ask_*`: pipe names, child processes, and error codes of calls."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import count
from typing import Any, NamedTuple

from pipectl.core.constants import OpenMode
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError
from pipectl.core.names import LOCAL_PREFIX
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Closing, Handle
from pipectl.core.win32.overlapped import Buffer, Overlapped, address_of

# How long, in seconds, an operation may take that should end at once.
SOON = 3.0
FIRST = OpenMode.DUPLEX | OpenMode.OVERLAPPED | OpenMode.FIRST_PIPE_INSTANCE

_numbers = count(1)


class NotTried(Exception):  # noqa: N818 - it is no error
    """This system, or this user, does not allow a check; the text says why, and names nobody."""


class Observed(NamedTuple):
    """What was observed, and a note; neither names a user, a computer, a path, or a pipe of another program."""

    answer: str
    note: str = ""


class Fixture(ExitStack):
    """What one claim works with; at the end, everything it opened is closed and its children are ended."""

    def __init__(self, role_arguments: Sequence[str]) -> None:
        super().__init__()
        self._role_arguments = role_arguments

    def name(self) -> str:
        """Return the full name of a pipe that nobody else uses."""
        return f"{LOCAL_PREFIX}pipectl-selftest-{os.getpid()}-{next(_numbers)}"

    def child(self, role: str, pipe: str = "-", *, flags: int = 0) -> "Companion":
        """Start this program again in a role of `companion`, and wait until it runs; raises NotTried if it does not."""
        program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "pipectl"]
        child = Companion([*program, *self._role_arguments, role, pipe], flags)
        self.callback(child.kill)
        child.start()
        return child


class Companion:
    """A child in a role: it writes lines to its stdout, and ends with its stdin or when it is killed.

    Its `pid` is not that of the process that was started where that unpacks an exe and starts another.
    """

    def __init__(self, command: Sequence[str], flags: int) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=flags or (0 if winapi.GetConsoleOutputCP() else subprocess.CREATE_NO_WINDOW),
        )
        self.pid = self._process.pid

    def start(self) -> None:
        """Wait until it runs; raises NotTried if it does not."""
        line = self.said()
        if not line.isdecimal():
            raise NotTried("no child of this program can be started")
        self.pid = int(line)

    @property
    def is_alone(self) -> bool:
        """Whether no other process has its streams too, as that does which unpacks an exe."""
        return self.pid == self._process.pid

    @property
    def stdin(self) -> Any:
        """What it reads from."""
        return self._process.stdin

    def said(self) -> str:
        """Return the next line that it writes, "" at its end; the bound of the claim bounds this, by killing it."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode("ascii", "replace").strip()

    def kill(self) -> None:
        """End it, and wait for its end; the process that unpacked an exe is left to tidy up and end by itself."""
        with suppress(OSError):  # it reads no more
            self.stdin.close()
        if self._process.poll() is None:  # else the id may be another's by now
            with suppress(OSError):
                os.kill(self.pid, signal.SIGTERM)
        try:
            self._process.wait(SOON)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(SOON)
        if self._process.stdout is not None:
            self._process.stdout.close()


def code_of(function: Callable[..., Any], *arguments: Any, **options: Any) -> int:
    """Return the Win32 code that a call fails with, or 0; what it opens is closed."""
    try:
        result = function(*arguments, **options)
    except PipeError as error:
        if not error.code:
            raise
        return error.code
    if isinstance(result, Closing):
        result.close()
    return 0


def codes(*numbers: int) -> str:
    """Write codes one after the other."""
    return ", ".join(map(str, numbers))


def transfer(
    function: Callable[..., int], pipe: Handle, *arguments: Any, timeout: float | None = SOON
) -> tuple[int, int]:
    """Run one operation on a pipe to its end; return its bytes, and 0 or MORE_DATA."""
    with Overlapped(pipe) as operation:
        operation.start(function, *arguments)
        return operation.result(Deadline(timeout))


def read(pipe: Handle, size: int = 4096, timeout: float = SOON) -> bytes:
    """Read once; what does not fit in stays there."""
    buffer = ctypes.create_string_buffer(size)
    read_bytes, _ = transfer(winapi.ReadFile, pipe, buffer, size, None, timeout=timeout)
    return buffer.raw[:read_bytes]


def write(pipe: Handle, data: Buffer, timeout: float = SOON) -> int:
    """Write once, and return how many bytes were taken."""
    memory = address_of(data)
    return transfer(winapi.WriteFile, pipe, memory, len(memory), None, timeout=timeout)[0]


def listen(pipe: Handle, timeout: float | None = SOON) -> None:
    """Wait until a client is connected."""
    transfer(winapi.ConnectNamedPipe, pipe, timeout=timeout)

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

# The time limit, in seconds, of an operation that should end at once.
SOON = 3.0
FIRST = OpenMode.DUPLEX | OpenMode.OVERLAPPED | OpenMode.FIRST_PIPE_INSTANCE

_numbers = count(1)


class NotTried(Exception):  # noqa: N818 - not an error
    """This system or this user does not allow a check; the text says why, without names of users or computers."""


class Observed(NamedTuple):
    """An observation and a note, without names of users, computers, paths, or pipes of other programs."""

    answer: str
    note: str = ""


class Fixture(ExitStack):
    """The resources of one claim; at its end, everything that it opened is closed and its children are ended."""

    def __init__(self, role_arguments: Sequence[str]) -> None:
        super().__init__()
        self._role_arguments = role_arguments

    def name(self) -> str:
        """Return a unique full pipe name."""
        return f"{LOCAL_PREFIX}pipectl-selftest-{os.getpid()}-{next(_numbers)}"

    def child(self, role: str, pipe: str = "-", *, flags: int = 0) -> "Companion":
        """Start this program in a role of `companion`, and wait until it runs; raises NotTried if it does not."""
        program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "pipectl"]
        child = Companion([*program, *self._role_arguments, role, pipe], flags)
        self.callback(child.kill)
        child.start()
        return child


class Companion:
    """A child in a role: it writes lines to its stdout, and ends when its stdin ends or when it is killed.

    Its `pid` differs from that of the started process if that one unpacks the exe and starts another process.
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
        """Whether no other process shares its streams, as the process that unpacks the exe does."""
        return self.pid == self._process.pid

    @property
    def stdin(self) -> Any:
        """The stream that it reads from."""
        return self._process.stdin

    def said(self) -> str:
        """Return the next line that it writes, or "" at its end; at the claim's time limit, the child is killed."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode("ascii", "replace").strip()

    def kill(self) -> None:
        """End it, and wait for its end; the process that unpacked the exe cleans up and ends by itself."""
        with suppress(OSError):  # it no longer reads
            self.stdin.close()
        if self._process.poll() is None:  # otherwise, another process may have the ID by now
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
    """Return the Win32 error code of a call, or 0; a handle that it opens is closed."""
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
    """Return codes as one text."""
    return ", ".join(map(str, numbers))


def transfer(
    function: Callable[..., int], pipe: Handle, *arguments: Any, timeout: float | None = SOON
) -> tuple[int, int]:
    """Run one operation on a pipe to its end; return the number of bytes, and 0 or MORE_DATA."""
    with Overlapped(pipe) as operation:
        operation.start(function, *arguments)
        return operation.result(Deadline(timeout))


def read(pipe: Handle, size: int = 4096, timeout: float = SOON) -> bytes:
    """Read once; data beyond `size` stays in the pipe."""
    buffer = ctypes.create_string_buffer(size)
    read_bytes, _ = transfer(winapi.ReadFile, pipe, buffer, size, None, timeout=timeout)
    return buffer.raw[:read_bytes]


def write(pipe: Handle, data: Buffer, timeout: float = SOON) -> int:
    """Write once, and return the number of bytes written."""
    memory = address_of(data)
    return transfer(winapi.WriteFile, pipe, memory, len(memory), None, timeout=timeout)[0]


def listen(pipe: Handle, timeout: float | None = SOON) -> None:
    """Wait until a client is connected."""
    transfer(winapi.ConnectNamedPipe, pipe, timeout=timeout)

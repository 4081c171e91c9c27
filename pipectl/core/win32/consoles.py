"""Detects terminals that Windows reports as pipes, and the capabilities of a console."""

import codecs
import msvcrt
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import byref, c_short, create_string_buffer
from ctypes.wintypes import DWORD
from typing import IO

from . import winapi

_FILE_NAME_INFO = 2
_ENABLE_VIRTUAL_TERMINAL_PROCESSING = 4
# ENABLE_PROCESSED_INPUT (the system handles Ctrl+C), ENABLE_LINE_INPUT, ENABLE_ECHO_INPUT.
_COOKED = 1 | 2 | 4
# Makes arrow and function keys escape sequences.
_ENABLE_VIRTUAL_TERMINAL_INPUT = 0x200
_MOST_KEYS = 1024
# The pipe behind a terminal of Cygwin's library, which MSYS2 and Git Bash also use.
_MSYS = re.compile(r"\\(?:cygwin|msys)-[0-9a-f]+-pty\d+-(?:from|to)-master(?:-nat)?", re.IGNORECASE)


def is_msys_terminal(stream: IO[str]) -> bool:
    """Return whether a stream is a pipe to a window of Git Bash, MSYS2 or Cygwin, by its name.

    A query of a synchronous handle blocks while an operation of another process is pending on it. But Python has
    already queried each standard stream before this.
    """
    try:
        return is_msys_name(_name_of(msvcrt.get_osfhandle(stream.fileno())))
    except (OSError, ValueError):  # there is no file, or its name is not available
        return False


def is_msys_name(name: str) -> bool:
    """Return whether a pipe with this name, from FileNameInfo, leads to a terminal of Cygwin's library."""
    return _MSYS.fullmatch(name) is not None


def obey_escapes(stream: IO[str]) -> bool:
    """Enable escape sequences for the console behind a stream; return whether they work, False if it is no console."""
    mode = DWORD()
    try:
        handle = msvcrt.get_osfhandle(stream.fileno())
        winapi.GetConsoleMode(handle, byref(mode))
        winapi.SetConsoleMode(handle, mode.value | _ENABLE_VIRTUAL_TERMINAL_PROCESSING)
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def raw_keys(stdin: IO[str], stdout: IO[str]) -> Iterator[Callable[[], str]]:
    """Make the console pass each key at once, including Ctrl+C, and process escape sequences; restore its modes after.

    Yields a function that waits for keys and returns them; only a key ends its wait. Raises PipeError if one of the
    streams is not a console.
    """
    handle = msvcrt.get_osfhandle(stdin.fileno())
    decoder = codecs.getincrementaldecoder("utf-16-le")("replace")  # a character may be split over two reads
    buffer, count = create_string_buffer(2 * _MOST_KEYS), DWORD()

    def read() -> str:
        winapi.ReadConsoleW(handle, buffer, _MOST_KEYS, byref(count), None)
        return decoder.decode(buffer.raw[: 2 * count.value])

    with (
        _mode(handle, on=_ENABLE_VIRTUAL_TERMINAL_INPUT, off=_COOKED),
        _mode(msvcrt.get_osfhandle(stdout.fileno()), on=_ENABLE_VIRTUAL_TERMINAL_PROCESSING),
    ):
        yield read


@contextmanager
def _mode(handle: int, *, on: int, off: int = 0) -> Iterator[None]:
    """Change the mode of a console, as far as this version of Windows supports it, and restore it."""
    mode = DWORD()
    winapi.GetConsoleMode(handle, byref(mode))
    try:
        winapi.SetConsoleMode(handle, mode.value & ~off)
        with suppress(OSError):  # before Windows 10 1607
            winapi.SetConsoleMode(handle, mode.value & ~off | on)
        yield
    finally:
        winapi.SetConsoleMode(handle, mode.value)


def cursor_column(stream: IO[str]) -> int | None:
    """Return the column of the cursor of the console behind a stream, from 0; None if it is not a console."""
    info = (c_short * 11)()  # CONSOLE_SCREEN_BUFFER_INFO: the size of the buffer, the cursor position, and more
    try:
        winapi.GetConsoleScreenBufferInfo(msvcrt.get_osfhandle(stream.fileno()), info)
    except (OSError, ValueError):
        return None
    return info[2]


def _name_of(handle: int) -> str:
    buffer = create_string_buffer(1024)  # FILE_NAME_INFO: the length in bytes, and the name
    winapi.GetFileInformationByHandleEx(handle, _FILE_NAME_INFO, buffer, len(buffer))
    size = int.from_bytes(buffer.raw[:4], "little")
    return buffer.raw[4 : 4 + size].decode("utf-16-le", "replace")


def console_encoding() -> str:
    """Return the encoding of the console's code page for output; UTF-8 without a console, or a codec for the page."""
    with suppress(LookupError):
        return codecs.lookup(f"cp{winapi.GetConsoleOutputCP()}").name
    return "utf-8"

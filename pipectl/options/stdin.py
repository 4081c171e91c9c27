"""Reads standard input; Ctrl+C always interrupts the wait, whatever stdin is connected to."""

import os
import sys
from collections.abc import Iterable, Iterator

import click

from pipectl.core.constants import BUFFER_SIZE
from pipectl.output import Output, Stream

_DESCRIPTOR = 0


def read_all() -> bytes:
    """Return all of stdin."""
    _prompt()
    return b"".join(chunks())


def lines() -> Iterator[bytes]:
    """Yield each line as it arrives, without its line ending; a byte order mark at the beginning is dropped."""
    _prompt()
    yield from lines_of(chunks())


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each line of a text that arrives in pieces, as `lines` does."""
    from .marks import unmarked_lines

    # Kept in pieces: joining them for each chunk would take quadratic time for a long line.
    begun: list[bytes] = []
    for chunk in unmarked_lines(pieces):
        end, *lines_begun = chunk.split(b"\n")
        begun.append(end)
        for beginning in lines_begun:
            yield b"".join(begun).removesuffix(b"\r")
            begun = [beginning]
    rest = b"".join(begun)
    if rest:
        yield rest


def chunks() -> Iterator[bytes]:
    """Yield the data of stdin as it arrives."""
    from pipectl.core.deadline import Deadline
    from pipectl.core.win32.blocking import run_blocking

    for_ever = Deadline(None)
    while data := run_blocking(_read, for_ever):
        yield data


def pieces() -> Iterator[bytes]:
    """Yield the data of stdin as it arrives, for a separate thread: a wait ends only with the process."""
    while data := _read():
        yield data


def _prompt() -> None:
    """Print a note on how to end the input if stdin is a terminal; Windows consoles use Ctrl+Z, others Ctrl+D."""
    output = click.get_current_context().find_object(Output)
    stream = Stream(sys.stdin)
    if output is not None and stream.is_terminal:
        output.note(f"reading stdin; end with {'Ctrl+D' if stream.is_msys else 'Ctrl+Z, Enter'}")


def _read() -> bytes | None:
    if sys.stdin is None:  # there is no stdin, and its descriptor may belong to another file
        return None
    # Not through the buffer of `sys.stdin`: a thread that still reads would hold its lock when the interpreter exits.
    if sys.stdin.isatty():
        return sys.stdin.buffer.raw.read(BUFFER_SIZE)  # type: ignore[union-attr, no-any-return] # UTF-8 from a console
    return os.read(_DESCRIPTOR, BUFFER_SIZE)

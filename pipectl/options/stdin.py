"""Standard input, read so that Ctrl+C ends the wait for it, whatever it is connected to."""

import os
import sys
from collections.abc import Iterable, Iterator

import click

from pipectl.core.constants import BUFFER_SIZE
from pipectl.output import Output, Stream

_DESCRIPTOR = 0


def read_all() -> bytes:
    """Read to the end."""
    _prompt()
    return b"".join(chunks())


def lines() -> Iterator[bytes]:
    """Yield each line as it comes, without its end; a byte order mark is no part of the first."""
    _prompt()
    yield from lines_of(chunks())


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each line of a text that comes in pieces, as `lines` does."""
    from .marks import unmarked_lines

    # In pieces, because to join what is there with each that comes takes the square of a long line's time.
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
    """Give what comes, as it comes."""
    from pipectl.core.deadline import Deadline
    from pipectl.core.win32.blocking import run_blocking

    for_ever = Deadline(None)
    while data := run_blocking(_read, for_ever):
        yield data


def pieces() -> Iterator[bytes]:
    """Yield what comes, as it comes, for a thread of its own: only the end of the process ends its wait."""
    while data := _read():
        yield data


def _prompt() -> None:
    """Tell a person who is waited for how the input ends; only Windows' consoles have their own way."""
    output = click.get_current_context().find_object(Output)
    stream = Stream(sys.stdin)
    if output is not None and stream.is_terminal:
        output.note(f"reading stdin; end with {'Ctrl+D' if stream.is_msys else 'Ctrl+Z, Enter'}")


def _read() -> bytes | None:
    if sys.stdin is None:  # there is none, and its number may be another file's by now
        return None
    # Not through the buffer of `sys.stdin`: a thread left behind in it would hold its lock when the interpreter ends.
    if sys.stdin.isatty():
        return sys.stdin.buffer.raw.read(BUFFER_SIZE)  # type: ignore[union-attr, no-any-return] # UTF-8 from a console
    return os.read(_DESCRIPTOR, BUFFER_SIZE)

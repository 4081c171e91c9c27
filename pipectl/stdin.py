"""Standard input, read so that Ctrl+C ends the wait for it, whatever it is connected to."""

import os
from collections.abc import Iterator

_CHUNK = 65536
_DESCRIPTOR = 0


def read_all() -> bytes:
    """Read to the end."""
    return b"".join(chunks())


def lines() -> Iterator[bytes]:
    """Give line by line, as they come, without their ends."""
    rest = b""
    for chunk in chunks():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
    if rest:
        yield rest


def chunks() -> Iterator[bytes]:
    """Give what comes, as it comes."""
    from .core.blocking import run_blocking
    from .core.deadline import Deadline

    for_ever = Deadline(None)
    # Not through `sys.stdin`: a thread that is left behind in it would hold its lock when the interpreter ends.
    while data := run_blocking(lambda: os.read(_DESCRIPTOR, _CHUNK), for_ever):
        yield data

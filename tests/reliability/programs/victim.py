"""One end of an exchange that stops at a point, reports this, and waits to be killed: `victim.py SIDE PIPE POINT`.

It uses CPython's own functions for pipes, so that it starts quickly and does not depend on pipectl.
"""

import _winapi
import sys
from contextlib import suppress
from time import sleep

BUFFER = 65536
# More than the pipe's buffer, so that a write of it blocks in the middle.
LARGE = bytes(1 << 20)
DUPLEX_MESSAGE_PIPE = 0x3, 0x6


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def stop(at: int) -> None:
    """Stop here if this is the point."""
    if at == point:
        say("there")
        sleep(60)


def be_server() -> None:
    stop(0)
    end = _winapi.CreateNamedPipe(pipe, *DUPLEX_MESSAGE_PIPE, 1, BUFFER, BUFFER, 0, 0)
    say("listening")
    stop(1)
    with suppress(OSError):  # the client may have connected before
        _winapi.ConnectNamedPipe(end, False)
    stop(2)
    _winapi.ReadFile(end, 10)
    stop(3)
    while _winapi.PeekNamedPipe(end)[0]:
        _winapi.ReadFile(end, BUFFER)
    stop(4)
    if point == 5:
        say("there")
        _winapi.WriteFile(end, LARGE)
    _winapi.WriteFile(end, b"answer")
    stop(6)


def be_client() -> None:
    stop(0)
    end = _winapi.CreateFile(pipe, _winapi.GENERIC_READ | _winapi.GENERIC_WRITE, 0, 0, _winapi.OPEN_EXISTING, 0, 0)
    stop(1)
    _winapi.WriteFile(end, b"question")
    stop(2)
    _winapi.ReadFile(end, 3)
    stop(3)
    _winapi.ReadFile(end, BUFFER)
    stop(4)
    if point == 5:
        say("there")
        _winapi.WriteFile(end, b"answer it later" + LARGE)
        _winapi.WriteFile(end, LARGE)
    stop(6)


side, pipe, point = sys.argv[1], sys.argv[2], int(sys.argv[3])
be_server() if side == "server" else be_client()

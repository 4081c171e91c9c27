"""The child process of a check: pipectl, started in a role. It writes lines to stdout, and exits when stdin ends."""

import os
import signal
import sys
from collections.abc import Callable
from ctypes.wintypes import DWORD
from functools import partial
from threading import Timer

from pipectl.core.constants import Wait
from pipectl.core.deadline import Deadline
from pipectl.core.pipe.connection import connect
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_event, create_file, create_named_pipe
from pipectl.core.win32.handle import wait
from pipectl.core.win32.queries import get_named_pipe_server_process_id

# The time limit of everything here, in seconds, in case the parent hangs.
_LIFE = 30.0
# The delay before a wait gets Ctrl+C, and the time limit for its end after that, in seconds.
_BEFORE_CTRL_C, _PROMPT = 0.2, 1.0


def play(role: str, pipe: str) -> None:
    """Write the ID of this process, and run a role to its end; raises KeyError for an unknown role."""
    _report(os.getpid())
    _ROLES[role](pipe)


def _report(*words: object) -> None:
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def _until_stdin_ends() -> None:
    sys.stdin.buffer.read()


def _serve(pipe: str) -> None:
    """Create an instance, write the number of its handle, and keep it open."""
    with create_named_pipe(pipe) as server:
        _report(server.value)
        _until_stdin_ends()


def _connect(pipe: str) -> None:
    """Connect, write the server's process ID, and stay connected."""
    with create_file(pipe) as client:
        _report(get_named_pipe_server_process_id(client))
        _until_stdin_ends()


def _echo(pipe: str, *, is_message: bool = True) -> None:
    """Echo whatever clients send."""
    from pipectl.core.pipe.config import PipeConfig
    from pipectl.core.pipe.server import PipeServer

    with PipeServer(pipe, lambda _client, data: data, config=PipeConfig(is_message=is_message)):
        _until_stdin_ends()


def _close_stdin(_pipe: str) -> None:
    """Close stdin, write a line, and keep running."""
    os.close(0)
    _report("closed")
    with create_event() as never:
        wait(never, Deadline(_LIFE))


def _interrupt(pipe: str) -> None:
    """Wait in three ways, each interrupted by SIGINT, and write how each wait ended."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the command line's handler ignores repeated signals
    with create_named_pipe(pipe, in_buffer_size=0), connect(pipe) as client:
        _report(_end_of(lambda: client.receive(_LIFE)))
        _report(_end_of(lambda: client.send(bytes(1 << 20), _LIFE)))
        _report(_end_of(lambda: connect(f"{pipe}-absent", _LIFE, wait=Wait.EXISTS)))


def _end_of(waiting: Callable[[], object]) -> str:
    """Return whether SIGINT ends a wait in time."""
    timer = Timer(_BEFORE_CTRL_C, signal.raise_signal, (signal.SIGINT,))
    deadline = Deadline(_BEFORE_CTRL_C + _PROMPT)
    timer.start()
    try:
        waiting()
    except KeyboardInterrupt:
        return "late" if deadline.passed else "ended"
    return "not ended"


def _console(_pipe: str) -> None:
    """Write which processes share this process's console."""
    pids = (DWORD * 1024)()
    _report(*pids[: winapi.GetConsoleProcessList(pids, len(pids))])
    _until_stdin_ends()


_ROLES: dict[str, Callable[[str], None]] = {
    "serve": _serve,
    "connect": _connect,
    "echo": _echo,
    "echo-bytes": partial(_echo, is_message=False),
    "close-stdin": _close_stdin,
    "interrupt": _interrupt,
    "console": _console,
}

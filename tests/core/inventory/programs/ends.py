"""Holds the ends of a pipe that its arguments specify, writes a line when they are open, and exits when stdin ends.

listen NAME COUNT    COUNT instances, overlapped; optional arguments: direction, type and limit
secured NAME SDDL    an instance with a security descriptor; optional: limit, and `remote` to accept other computers
block NAME           an instance without OVERLAPPED in a read that never ends; its client is in this process
accept NAME          an instance without OVERLAPPED that waits for a client
connect NAME COUNT   COUNT clients; optional: the data that each of them sends, which is not read
left NAME            an instance whose client has left
bequeath NAME        an instance that a child inherits, which also has our stdin; the line is the child's process ID
"""

import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from ctypes.wintypes import DWORD
from threading import Thread
from typing import TYPE_CHECKING

from pipectl.core.constants import OpenMode, PipeMode
from pipectl.core.errors import PipeError
from pipectl.core.pipe.connection import connect
from pipectl.core.security.descriptors import security_attributes
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_file, create_named_pipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipectl.core.win32.handle import Handle


def listen(name: str, count: str = "1", direction: str = "duplex", kind: str = "message", most: str = "255") -> None:
    """Hold instances."""
    open_mode = OpenMode[direction.upper()] | OpenMode.OVERLAPPED
    pipe_mode = (PipeMode.MESSAGE if kind == "message" else PipeMode.TYPE_BYTE) | PipeMode.REJECT_REMOTE_CLIENTS
    for _ in range(int(count)):
        held.enter_context(create_named_pipe(name, open_mode, pipe_mode, max_instances=int(most)))


def secured(name: str, sddl: str, most: str = "255", remote: str = "") -> None:
    """Hold an instance with a security descriptor."""
    mode = PipeMode.MESSAGE if remote else PipeMode.MESSAGE | PipeMode.REJECT_REMOTE_CLIENTS
    security = security_attributes(sddl)
    held.enter_context(create_named_pipe(name, pipe_mode=mode, max_instances=int(most), security=security))


def connect_to(name: str, count: str = "1", data: str = "") -> None:
    """Hold clients."""
    for _ in range(int(count)):
        client = held.enter_context(connect(name, 10))
        if data:
            client.send(data.encode(), 10)


def left(name: str) -> None:
    """Hold an instance whose client has left."""
    held.enter_context(create_named_pipe(name, max_instances=1))
    create_file(name).close()


def block(name: str) -> None:
    """Hold an instance whose read waits."""
    server = held.enter_context(create_named_pipe(name, OpenMode.DUPLEX))
    held.enter_context(create_file(name))
    in_background(lambda: winapi.ReadFile(server, bytes(16), 16, DWORD(), None))


def accept(name: str) -> None:
    """Hold an instance that waits for a client."""
    server = held.enter_context(create_named_pipe(name, OpenMode.DUPLEX))
    in_background(lambda: winapi.ConnectNamedPipe(server, None))


def bequeath(name: str) -> str:
    """Hold an instance together with a child."""
    server: Handle = held.enter_context(create_named_pipe(name))
    os.set_handle_inheritable(server.value, True)
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
    )
    held.callback(child.wait)
    return str(child.pid)


def in_background(call: object) -> None:
    """Make a call that is not expected to return."""

    def run() -> None:
        with suppress(PipeError):
            call()  # type: ignore[operator]

    Thread(target=run, daemon=True).start()


held = ExitStack()
roles: "dict[str, Callable[..., str | None]]" = {
    "listen": listen,
    "secured": secured,
    "block": block,
    "accept": accept,
    "connect": connect_to,
    "left": left,
    "bequeath": bequeath,
}
child = roles[sys.argv[1]](*sys.argv[2:])
sys.stdout.write(f"{child or 'ready'}\n")
sys.stdout.flush()
if child is None:
    sys.stdin.read()
    os._exit(0)  # even if a thread still waits
held.close()

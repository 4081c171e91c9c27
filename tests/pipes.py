"""Raw pipe ends, for tests that only need handles: Win32's functions, each of which waits until it has completed."""

import ctypes
from collections.abc import Callable

from pipectl.core.constants import WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.contract import ServerEvents
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.overlapped import Buffer, Overlapped, address_of


def connect_named_pipe(pipe: Handle, timeout: float | None = None) -> None:
    """Wait until a client is connected to this server end; returns at once if one already is.

    Raises PipeClosedError (ERROR_NO_DATA) if a client has connected and left: disconnect, and connect again.
    """
    with Overlapped(pipe) as operation:
        operation.start(winapi.ConnectNamedPipe)
        operation.result(Deadline(timeout))


def disconnect_named_pipe(pipe: Handle) -> None:
    """Disconnect the client of this server end; data that it has not read yet is lost."""
    winapi.DisconnectNamedPipe(pipe)


def read_file(pipe: Handle, size: int, timeout: float | None = None) -> tuple[bytes, bool]:
    """Read up to `size` bytes; return them, and whether the message continues (ERROR_MORE_DATA).

    Raises PipeClosedError at the end of the stream. If it returns no bytes, the message has length zero.
    """
    buffer = ctypes.create_string_buffer(size)
    with Overlapped(pipe) as operation:
        operation.start(winapi.ReadFile, buffer, size, None)
        count, code = operation.result(Deadline(timeout))
    return buffer.raw[:count], code == WinError.MORE_DATA


def write_file(pipe: Handle, data: Buffer, timeout: float | None = None) -> int:
    """Write bytes, as one message on a message pipe; return the number of bytes written."""
    memory = address_of(data)
    with Overlapped(pipe) as operation:
        operation.start(winapi.WriteFile, memory, len(memory), None)
        return operation.result(Deadline(timeout))[0]


def transact_named_pipe(pipe: Handle, data: Buffer, size: int, timeout: float | None = None) -> tuple[bytes, bool]:
    """Write a message and read the reply in one operation; return the same as `read_file`.

    Raises PipeStateError if the handle is not in message read mode or has unread data.
    """
    memory = address_of(data)
    buffer = ctypes.create_string_buffer(size)
    with Overlapped(pipe) as operation:
        operation.start(winapi.TransactNamedPipe, memory, len(memory), buffer, size, None)
        count, code = operation.result(Deadline(timeout))
    return buffer.raw[:count], code == WinError.MORE_DATA


def flush_file_buffers(pipe: Handle) -> None:
    """Wait until the other end has read everything; only the other end can end this wait."""
    winapi.FlushFileBuffers(pipe)


def cancel_io_ex(pipe: Handle) -> bool:
    """Cancel all operations on a handle; return whether there was one."""
    return bool(winapi.CancelIoEx(pipe, None) == 0)


class _Reporting(ServerEvents):
    """Server events that call functions."""

    def __init__(
        self,
        connected: Callable[[Client], bytes | None] | None,
        left: Callable[[Client, PipeError | None], object] | None,
    ) -> None:
        self._connected = connected
        self._left = left

    def connected(self, client: Client) -> None:
        """Call the function, and send its result."""
        greeting = self._connected(client) if self._connected else None
        if greeting is not None:
            client.send(greeting)

    def left(self, client: Client, error: PipeError | None) -> None:
        """Call the function."""
        if self._left:
            self._left(client, error)


def reporting(
    connected: Callable[[Client], bytes | None] | None = None,
    left: Callable[[Client, PipeError | None], object] | None = None,
) -> ServerEvents:
    """Return events that call functions; the function for a new client may return a greeting."""
    return _Reporting(connected, left)

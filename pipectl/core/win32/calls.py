"""The Win32 pipe functions, and the file functions that a pipe program needs: one typed Python function for each.

Names are those of Win32 in snake_case. Pipes are given by full name (`\\\\.\\pipe\\NAME`), which `names.full_name`
returns for any spelling. Times are in seconds; None means no limit. Functions that can wait work on any handle, but a
timeout or Ctrl+C can only end the wait on a handle that was opened with OVERLAPPED. Each function is one operation,
which has ended when the function returns. All raise the errors of `errors`.
"""

import ctypes
from ctypes import byref
from ctypes.wintypes import DWORD, HANDLE
from typing import TYPE_CHECKING

from pipectl.core.constants import (
    BUFFER_SIZE,
    UNLIMITED_INSTANCES,
    Access,
    Disposition,
    FileFlags,
    Nmpwait,
    OpenMode,
    PipeMode,
    ShareMode,
    Sqos,
    WinError,
)
from pipectl.core.deadline import milliseconds
from pipectl.core.errors import InvalidPipeNameError, MessageTooLongError
from pipectl.core.names import check_new, for_waiting

from . import winapi
from .handle import Handle
from .overlapped import Buffer, address_of

# Result types are in a separate module, which programs that only transfer data do not import.
if TYPE_CHECKING:
    from pipectl.core.models import Peek

# Creating pipes


def create_named_pipe(
    pipe: str,
    open_mode: OpenMode = OpenMode.DUPLEX | OpenMode.OVERLAPPED,
    pipe_mode: PipeMode = PipeMode.MESSAGE | PipeMode.REJECT_REMOTE_CLIENTS,
    *,
    max_instances: int = UNLIMITED_INSTANCES,
    out_buffer_size: int = BUFFER_SIZE,
    in_buffer_size: int = BUFFER_SIZE,
    default_timeout: float = 0,
    security: winapi.SECURITY_ATTRIBUTES | None = None,
) -> Handle:
    """Create an instance of a named pipe; it listens from the start.

    `default_timeout` is how long a client waits that leaves the timeout to the server; 0 means Windows' default, 50 ms.
    Without `security`, the pipe gets the default ACL, which grants everyone read access. Raises InvalidPipeNameError
    for a name on another computer, and for a name of more than 256 characters.
    """
    check_new(pipe)
    value = winapi.CreateNamedPipeW(
        pipe,
        open_mode,
        pipe_mode,
        max_instances,
        out_buffer_size,
        in_buffer_size,
        milliseconds(default_timeout),
        security,
    )
    return Handle(value, pipe)


def create_pipe(size: int = 0, security: winapi.SECURITY_ATTRIBUTES | None = None) -> tuple[Handle, Handle]:
    """Create an anonymous pipe and return its read end and its write end; `size` 0 is the system's default."""
    read, write = HANDLE(), HANDLE()
    winapi.CreatePipe(byref(read), byref(write), security, size)
    return Handle(read.value), Handle(write.value)


def fd_create_pipe(
    size: int = 0, security: winapi.SECURITY_ATTRIBUTES | None = None, *, text: bool = False
) -> tuple[int, int]:
    """Create an anonymous pipe and return its ends as C run-time file descriptors; close them with `os.close`."""
    import msvcrt
    import os

    flags = os.O_TEXT if text else os.O_BINARY
    read, write = create_pipe(size, security)
    with read, write:
        read_fd = msvcrt.open_osfhandle(read.value, flags)
        read.detach()  # the descriptor owns it from here on
        try:
            write_fd = msvcrt.open_osfhandle(write.value, flags)
        except OSError:
            os.close(read_fd)
            raise
        write.detach()
    return read_fd, write_fd


# Connecting


def wait_named_pipe(pipe: str, timeout: float | Nmpwait | None = None) -> None:
    """Wait until an instance of a pipe is free, without opening it; another client may still take it first.

    Raises PipeTimeoutError, and PipeNotFoundError at once if there is no such pipe. With a timeout of 0, it checks
    without waiting; `Nmpwait.USE_DEFAULT_WAIT` leaves the timeout to the server. Ctrl+C does not end this wait. Raises
    InvalidPipeNameError for a name that Windows cannot wait for, like `names.for_waiting`.
    """
    try:
        winapi.WaitNamedPipeW(pipe, _nmpwait(timeout))
    except InvalidPipeNameError as error:
        # Windows rejects the form that prevents normalizing. Wine needs it, because it normalizes other forms.
        if error.code != WinError.BAD_PATHNAME or (plain := for_waiting(pipe)) == pipe:
            raise
        winapi.WaitNamedPipeW(plain, _nmpwait(timeout))


def create_file(
    name: str,
    access: Access = Access.DUPLEX,
    *,
    share: ShareMode = ShareMode.NONE,
    security: winapi.SECURITY_ATTRIBUTES | None = None,
    disposition: Disposition = Disposition.OPEN_EXISTING,
    flags: FileFlags = FileFlags.OVERLAPPED,
    sqos: Sqos = Sqos.IDENTIFICATION,
) -> Handle:
    """Open the client end of a pipe, in byte read mode; raises PipeBusyError, PipeNotFoundError or PipeAccessError.

    `sqos` is the impersonation level: by default, the server may identify the client, but not act as it.
    """
    return Handle(winapi.CreateFileW(name, access, share, security, disposition, flags | sqos, None), name)


# Transferring data


def call_named_pipe(pipe: str, data: Buffer, size: int, timeout: float | Nmpwait | None = None) -> bytes:
    """Open a message pipe, send a message, read the reply and close.

    The timeout only limits the wait for a free instance; the wait for the reply has no limit, and Ctrl+C does not end
    it. A reply longer than `size` raises MessageTooLongError, whose `data` is the part that was read; the rest is lost.
    """
    memory = address_of(data)
    buffer = ctypes.create_string_buffer(size)
    count = DWORD()
    code = winapi.CallNamedPipeW(pipe, memory, len(memory), buffer, size, byref(count), _nmpwait(timeout))
    answer = buffer.raw[: count.value]
    if code == WinError.MORE_DATA:
        raise MessageTooLongError(
            f"the reply is longer than {size} bytes", data=answer, function="CallNamedPipeW", pipe=pipe
        )
    return answer


def peek_named_pipe(pipe: Handle, size: int = 0) -> "Peek":
    """Return up to `size` bytes of unread data without consuming it.

    Raises PipeClosedError once the other end is closed and everything is read, and PipeStateError on a server end
    without a client.
    """
    from pipectl.core.models import Peek

    if size > BUFFER_SIZE:  # do not allocate memory for data that is not there
        size = min(size, max(BUFFER_SIZE, peek_named_pipe(pipe).available))
    buffer = ctypes.create_string_buffer(size)
    read, available, left = DWORD(), DWORD(), DWORD()
    winapi.PeekNamedPipe(pipe, buffer if size else None, size, byref(read), byref(available), byref(left))
    # On a byte pipe, Windows and Wine subtract the bytes read from a message of length 0: -4 for 4 bytes.
    rest = left.value if left.value <= available.value else 0
    return Peek(buffer.raw[: read.value], available.value, rest)


# Events


def create_event(*, manual_reset: bool = True, signalled: bool = False) -> Handle:
    """Create an event without a name."""
    return Handle(winapi.CreateEventW(None, manual_reset, signalled, None))


def set_event(event: Handle) -> None:
    """Signal an event."""
    winapi.SetEvent(event)


# Shared helpers


def _nmpwait(timeout: float | Nmpwait | None) -> int:
    if timeout is None:
        return Nmpwait.WAIT_FOREVER
    if isinstance(timeout, Nmpwait):
        return timeout
    # 0 would mean the server's default, so the shortest wait is 1, which is NMPWAIT_NOWAIT.
    return max(Nmpwait.NOWAIT, milliseconds(timeout))

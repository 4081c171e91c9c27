"""The Win32 pipe functions, and the file functions that a pipe program needs: one typed Python function for each.

Names are those of Win32 in snake_case. A pipe is named in full (`\\\\.\\pipe\\NAME`): `names.full_name` makes that of
any spelling. Times are seconds, None is for ever. Functions that can wait work on any handle, but only on one that was
opened with OVERLAPPED can a timeout or Ctrl+C end the wait; each is one operation, which has ended when the function
returns. All raise the errors of `errors`.
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

# What they tell has a module of its own, which one that only moves data does without.
if TYPE_CHECKING:
    from pipectl.core.models import Peek

# Making pipes


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

    `default_timeout` is what a client waits that leaves the time to the server; 0 makes it Windows' 50 ms. Without
    `security` the pipe gets the default access list, which lets everyone read. Raises InvalidPipeNameError for a name
    on another computer, and for one of more than 256 characters.
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
    """Create an anonymous pipe and return its ends as descriptors of the C run-time: close them with `os.close`."""
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
    """Wait until an instance of a pipe is free, without opening it; another client may still be quicker.

    Raises PipeTimeoutError, and PipeNotFoundError at once if there is no such pipe. A timeout of 0 asks and does not
    wait; `Nmpwait.USE_DEFAULT_WAIT` leaves the time to the server. Ctrl+C does not end this wait. Raises
    InvalidPipeNameError for a name that Windows cannot wait for, as `names.for_waiting` does.
    """
    try:
        winapi.WaitNamedPipeW(pipe, _nmpwait(timeout))
    except InvalidPipeNameError as error:
        # Windows refuses the form that hinders it to normalize a name; Wine needs it, because it does normalize others.
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

    `sqos` is what the server may do in the client's name: by default learn who it is, and not act as it.
    """
    return Handle(winapi.CreateFileW(name, access, share, security, disposition, flags | sqos, None), name)


# Moving data


def call_named_pipe(pipe: str, data: Buffer, size: int, timeout: float | Nmpwait | None = None) -> bytes:
    """Open a message pipe, send a message, read the answer, close.

    The timeout bounds only the wait for a free instance; the answer is waited for without end, and Ctrl+C does not
    end it. An answer longer than `size` raises MessageTooLongError, whose `data` is what was read: the rest is lost.
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
    """Look at up to `size` bytes that wait to be read, and leave them there.

    Raises PipeClosedError once the other end is closed and everything is read, PipeStateError on a server end that has
    no client.
    """
    from pipectl.core.models import Peek

    if size > BUFFER_SIZE:  # no memory is made for what is not there
        size = min(size, max(BUFFER_SIZE, peek_named_pipe(pipe).available))
    buffer = ctypes.create_string_buffer(size)
    read, available, left = DWORD(), DWORD(), DWORD()
    winapi.PeekNamedPipe(pipe, buffer if size else None, size, byref(read), byref(available), byref(left))
    # Windows, and Wine, count what was read against a message that a byte pipe does not have: -4 for 4 bytes.
    rest = left.value if left.value <= available.value else 0
    return Peek(buffer.raw[: read.value], available.value, rest)


# Events


def create_event(*, manual_reset: bool = True, signalled: bool = False) -> Handle:
    """Create an event without a name."""
    return Handle(winapi.CreateEventW(None, manual_reset, signalled, None))


def set_event(event: Handle) -> None:
    """Signal an event."""
    winapi.SetEvent(event)


# What the functions share


def _nmpwait(timeout: float | Nmpwait | None) -> int:
    if timeout is None:
        return Nmpwait.WAIT_FOREVER
    if isinstance(timeout, Nmpwait):
        return timeout
    # 0 would mean the server's default, so that the shortest wait is 1, which is NMPWAIT_NOWAIT.
    return max(Nmpwait.NOWAIT, milliseconds(timeout))

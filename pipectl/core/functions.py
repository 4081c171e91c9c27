"""The Win32 pipe functions, and the file functions that a pipe program needs: one typed Python function for each.

Names are those of Win32 in snake_case. A pipe is named in full (`\\\\.\\pipe\\NAME`): `names.full_name` makes that of
any spelling. Times are seconds, None is for ever. Functions that can wait work on any handle, but only on one that was
opened with OVERLAPPED can a timeout or Ctrl+C end the wait; each is one operation, which has ended when the function
returns. All raise the errors of `errors`.
"""

import ctypes
import math
from collections.abc import Callable
from ctypes import byref
from ctypes.wintypes import DWORD, HANDLE
from typing import TYPE_CHECKING

from . import winapi
from .constants import (
    INFINITE,
    UNLIMITED_INSTANCES,
    Access,
    Disposition,
    FileFlags,
    Nmpwait,
    OpenMode,
    PipeConfiguration,
    PipeFlags,
    PipeMode,
    PipeState,
    ShareMode,
    Sqos,
    WinError,
)
from .deadline import Deadline
from .errors import MessageTooLongError
from .handle import Handle
from .overlapped import Buffer, Overlapped, address_of
from .waiting import wait

# What they tell has a module of its own, which one that only moves data does without.
if TYPE_CHECKING:
    from .models import HandleState, LocalInfo, Peek, PipeInfo

# The default of Windows for a server's buffers is 0: every write waits for its read.
BUFFER_SIZE = 65536

_FILE_PIPE_LOCAL_INFORMATION = 24


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
    `security` the pipe gets the default access list, which lets everyone read.
    """
    value = winapi.CreateNamedPipeW(
        pipe,
        open_mode,
        pipe_mode,
        max_instances,
        out_buffer_size,
        in_buffer_size,
        _milliseconds(default_timeout),
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


def connect_named_pipe(pipe: Handle, timeout: float | None = None) -> None:
    """Wait until a client is connected to this server end; one that already is counts.

    Raises PipeClosedError (ERROR_NO_DATA) if a client came and went: disconnect, and connect again.
    """
    with Overlapped(pipe) as operation:
        operation.start(winapi.ConnectNamedPipe)
        operation.result(Deadline(timeout))


def disconnect_named_pipe(pipe: Handle) -> None:
    """Throw the client off this server end; data that it has not read yet is lost."""
    winapi.DisconnectNamedPipe(pipe)


def wait_named_pipe(pipe: str, timeout: float | Nmpwait | None = None) -> None:
    """Wait until an instance of a pipe is free, without opening it; another client may still be quicker.

    Raises PipeTimeoutError, and PipeNotFoundError at once if there is no such pipe. A timeout of 0 asks and does not
    wait; `Nmpwait.USE_DEFAULT_WAIT` leaves the time to the server. Ctrl+C does not end this wait.
    """
    winapi.WaitNamedPipeW(pipe, _nmpwait(timeout))


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


def read_file(pipe: Handle, size: int, timeout: float | None = None) -> tuple[bytes, bool]:
    """Read up to `size` bytes; return them, and whether the message goes on beyond them (ERROR_MORE_DATA).

    Raises PipeClosedError at the end of the stream. No bytes and no error is a message of length zero.
    """
    buffer = ctypes.create_string_buffer(size)
    with Overlapped(pipe) as operation:
        operation.start(winapi.ReadFile, buffer, size, None)
        count, code = operation.result(Deadline(timeout))
    return buffer.raw[:count], code == WinError.MORE_DATA


def write_file(pipe: Handle, data: Buffer, timeout: float | None = None) -> int:
    """Write bytes, as one message on a message pipe; return how many were taken."""
    memory = address_of(data)
    with Overlapped(pipe) as operation:
        operation.start(winapi.WriteFile, memory, len(memory), None)
        return operation.result(Deadline(timeout))[0]


def transact_named_pipe(pipe: Handle, data: Buffer, size: int, timeout: float | None = None) -> tuple[bytes, bool]:
    """Write a message and read the answer in one operation; return as `read_file` does.

    The handle must be in message read mode; PipeStateError tells that it is not, or that unread data waits on it.
    """
    memory = address_of(data)
    buffer = ctypes.create_string_buffer(size)
    with Overlapped(pipe) as operation:
        operation.start(winapi.TransactNamedPipe, memory, len(memory), buffer, size, None)
        count, code = operation.result(Deadline(timeout))
    return buffer.raw[:count], code == WinError.MORE_DATA


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
            f"the answer is longer than {size} bytes", data=answer, function="CallNamedPipeW", pipe=pipe
        )
    return answer


def peek_named_pipe(pipe: Handle, size: int = 0) -> "Peek":
    """Look at up to `size` bytes that wait to be read, and leave them there.

    Raises PipeClosedError once the other end is closed and everything is read, PipeStateError on a server end that has
    no client.
    """
    from .models import Peek

    buffer = ctypes.create_string_buffer(size)
    read, available, left = DWORD(), DWORD(), DWORD()
    winapi.PeekNamedPipe(pipe, buffer if size else None, size, byref(read), byref(available), byref(left))
    # Wine counts what was read against a message that a byte pipe does not have: -4 for 4 bytes.
    rest = left.value if left.value <= available.value else 0
    return Peek(buffer.raw[: read.value], available.value, rest)


def flush_file_buffers(pipe: Handle) -> None:
    """Wait until the other end has read everything; nothing but the other end stops this wait, so mind the thread."""
    winapi.FlushFileBuffers(pipe)


def cancel_io_ex(pipe: Handle) -> bool:
    """Ask for the end of every operation on a handle; return whether there was one."""
    return bool(winapi.CancelIoEx(pipe, None) == 0)


def get_overlapped_result(operation: Overlapped, timeout: float | None = None) -> tuple[int, bool]:
    """Wait for an operation; return the bytes transferred and whether the message goes on beyond them."""
    count, code = operation.result(Deadline(timeout))
    return count, code == WinError.MORE_DATA


# Asking


def get_named_pipe_info(pipe: Handle) -> "PipeInfo":
    """Tell how a pipe was created; works on anonymous pipes too."""
    from .models import PipeInfo

    flags, out_size, in_size, instances = DWORD(), DWORD(), DWORD(), DWORD()
    winapi.GetNamedPipeInfo(pipe, byref(flags), byref(out_size), byref(in_size), byref(instances))
    return PipeInfo(
        is_server_end=bool(flags.value & PipeFlags.SERVER_END),
        is_message_type=bool(flags.value & PipeFlags.TYPE_MESSAGE),
        out_buffer_size=out_size.value,
        in_buffer_size=in_size.value,
        max_instances=_limit(instances.value),
    )


def get_named_pipe_handle_state(
    pipe: Handle, *, collection_data: bool = False, user_name: bool = False
) -> "HandleState":
    """Tell how a handle reads and waits, and how many instances its pipe has now.

    `collection_data` may be asked for only at the client end of a remote pipe, `user_name` only at a server end:
    PipeStateError otherwise.
    """
    from .models import HandleState

    state, instances, count, timeout = DWORD(), DWORD(), DWORD(), DWORD()
    name = ctypes.create_unicode_buffer(512) if user_name else None
    winapi.GetNamedPipeHandleState(
        pipe,
        byref(state),
        byref(instances),
        byref(count) if collection_data else None,
        byref(timeout) if collection_data else None,
        name,
        len(name) if name else 0,
    )
    return HandleState(
        is_message_mode=bool(state.value & PipeMode.READ_MESSAGE),
        is_nowait=bool(state.value & PipeMode.NOWAIT),
        current_instances=instances.value,
        max_collection_count=count.value if collection_data else None,
        collect_data_timeout=timeout.value / 1000 if collection_data else None,
        user_name=name.value if name else None,
    )


def set_named_pipe_handle_state(
    pipe: Handle,
    mode: PipeMode | None = None,
    *,
    max_collection_count: int | None = None,
    collect_data_timeout: float | None = None,
) -> None:
    """Set how a handle reads and waits, both at once; None leaves a value as it is.

    The collection values (bytes, seconds) exist only at the client end of a remote pipe.
    """
    winapi.SetNamedPipeHandleState(
        pipe,
        None if mode is None else byref(DWORD(mode)),
        None if max_collection_count is None else byref(DWORD(max_collection_count)),
        None if collect_data_timeout is None else byref(DWORD(_milliseconds(collect_data_timeout))),
    )


def get_named_pipe_client_process_id(pipe: Handle) -> int:
    """Tell the process that opened the client end; reported by the system, and no proof of identity."""
    return _number(winapi.GetNamedPipeClientProcessId, pipe)


def get_named_pipe_server_process_id(pipe: Handle) -> int:
    """Tell the process that created this instance; reported by the system, and no proof of identity."""
    return _number(winapi.GetNamedPipeServerProcessId, pipe)


def get_named_pipe_client_session_id(pipe: Handle) -> int:
    """Tell the logon session of the client."""
    return _number(winapi.GetNamedPipeClientSessionId, pipe)


def get_named_pipe_server_session_id(pipe: Handle) -> int:
    """Tell the logon session of the server."""
    return _number(winapi.GetNamedPipeServerSessionId, pipe)


def get_named_pipe_client_computer_name(pipe: Handle) -> str | None:
    """Tell the computer that the client of this server end runs on; None for this one."""
    name = ctypes.create_unicode_buffer(256)
    code = winapi.GetNamedPipeClientComputerNameW(pipe, name, ctypes.sizeof(name))
    return None if code == WinError.PIPE_LOCAL else name.value


def get_local_info(pipe: Handle) -> "LocalInfo":
    """Tell what the kernel knows of this instance: FilePipeLocalInformation of NtQueryInformationFile."""
    from .models import LocalInfo

    information = winapi.FILE_PIPE_LOCAL_INFORMATION()
    winapi.NtQueryInformationFile(
        pipe,
        byref(winapi.IO_STATUS_BLOCK()),
        byref(information),
        ctypes.sizeof(information),
        _FILE_PIPE_LOCAL_INFORMATION,
    )
    return LocalInfo(
        is_message_type=bool(information.NamedPipeType & 1),
        rejects_remote=bool(information.NamedPipeType & 2),
        configuration=PipeConfiguration(information.NamedPipeConfiguration).name.lower(),
        max_instances=_limit(information.MaximumInstances),
        current_instances=information.CurrentInstances,
        inbound_quota=information.InboundQuota,
        read_data_available=information.ReadDataAvailable,
        outbound_quota=information.OutboundQuota,
        write_quota_available=information.WriteQuotaAvailable,
        state=PipeState(information.NamedPipeState).name.lower(),
        is_server_end=bool(information.NamedPipeEnd),
    )


# Events


def create_event(*, manual_reset: bool = True, signalled: bool = False) -> Handle:
    """Create an event without a name."""
    return Handle(winapi.CreateEventW(None, manual_reset, signalled, None))


def set_event(event: Handle) -> None:
    """Signal an event."""
    winapi.SetEvent(event)


def reset_event(event: Handle) -> None:
    """Take an event's signal back."""
    winapi.ResetEvent(event)


def wait_for_single_object(handle: Handle, timeout: float | None = None) -> bool:
    """Wait until a handle is signalled; return whether it was before the timeout. Ctrl+C ends it."""
    return wait(handle, Deadline(timeout))


# What the functions share


def _number(function: Callable[..., int], pipe: Handle) -> int:
    number = DWORD()
    function(pipe, byref(number))
    return number.value


def _limit(instances: int) -> int | None:
    # 255 asks for no limit; the kernel, and Wine everywhere, tell it as 0xFFFFFFFF.
    return None if instances in (UNLIMITED_INSTANCES, 0xFFFF_FFFF) else instances


def _milliseconds(seconds: float) -> int:
    return math.ceil(min(INFINITE - 1, max(0, seconds * 1000)))


def _nmpwait(timeout: float | Nmpwait | None) -> int:
    if timeout is None:
        return Nmpwait.WAIT_FOREVER
    if isinstance(timeout, Nmpwait):
        return timeout
    # 0 would mean the server's default, so that the shortest wait is 1, which is NMPWAIT_NOWAIT.
    return max(Nmpwait.NOWAIT, _milliseconds(timeout))

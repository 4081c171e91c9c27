"""The Win32 functions that query an open pipe, or set its state: one typed Python function for each.

Names are those of Win32 in snake_case; times are in seconds. All raise the errors of `errors`.
"""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from ctypes import byref
from ctypes.wintypes import DWORD
from typing import TYPE_CHECKING

from pipectl.core.constants import PipeConfiguration, PipeFlags, PipeMode, PipeState, WinError, instance_limit
from pipectl.core.deadline import milliseconds
from pipectl.core.errors import PipeError

from . import winapi
from .handle import Handle

if TYPE_CHECKING:
    from pipectl.core.models import HandleState, LocalInfo, PipeInfo

_FILE_PIPE_LOCAL_INFORMATION = 24
_FILE_FS_DEVICE_INFORMATION = 4
_OBJECT_BASIC_INFORMATION = 0
_OBJECT_NAME_INFORMATION = 1
_OBJECT_TYPE_INFORMATION = 2

# FILE_DEVICE_NAMED_PIPE, and the first and the largest buffer size for a name.
_NAMED_PIPE = 0x11
_NAME_SIZES = (1024, 66 << 10)


def is_file(handle: int | None) -> bool:
    """Return whether a handle is open and refers to a file, which includes pipes, consoles and devices.

    The kernel only needs the handle for this. GetFileType queries the file, and so blocks while any thread or process
    reads or writes it, if the file was opened without OVERLAPPED.
    """
    # OBJECT_TYPE_INFORMATION begins with the type name, whose text follows the structure; this is far more than enough.
    answer = ctypes.create_string_buffer(1024)
    with suppress(PipeError):
        winapi.NtQueryObject(handle, _OBJECT_TYPE_INFORMATION, answer, len(answer), None)
        name = winapi.UNICODE_STRING.from_buffer(answer)
        return ctypes.wstring_at(name.Buffer, name.Length // 2) == "File"
    return False


def is_pipe(file: Handle) -> bool:
    """Return whether the file behind a handle is a pipe, named or anonymous; requires no access right."""
    answer = (DWORD * 2)()  # FILE_FS_DEVICE_INFORMATION: the type of the device, its characteristics
    winapi.NtQueryVolumeInformationFile(
        file, byref(winapi.IO_STATUS_BLOCK()), answer, ctypes.sizeof(answer), _FILE_FS_DEVICE_INFORMATION
    )
    return bool(answer[0] == _NAMED_PIPE)


def get_object_name(file: Handle) -> str:
    """Return the kernel's name of the file behind a handle, such as `\\Device\\NamedPipe\\NAME`; "" if it has none."""
    for size in _NAME_SIZES:
        answer = ctypes.create_string_buffer(size)
        try:
            winapi.NtQueryObject(file, _OBJECT_NAME_INFORMATION, answer, size, None)
        except PipeError:
            if size == _NAME_SIZES[-1]:
                raise
            continue
        name = winapi.UNICODE_STRING.from_buffer(answer)
        return ctypes.wstring_at(name.Buffer, name.Length // 2) if name.Length else ""
    return ""


def get_handle_count(file: Handle) -> int:
    """Return how many handles all processes have on the file behind a handle, including this one."""
    answer = (DWORD * 14)()  # OBJECT_BASIC_INFORMATION, whose third number is the handle count
    winapi.NtQueryObject(file, _OBJECT_BASIC_INFORMATION, answer, ctypes.sizeof(answer), None)
    return int(answer[2])


def get_named_pipe_info(pipe: Handle) -> "PipeInfo":
    """Return the properties with which a pipe was created; works on anonymous pipes, too."""
    from pipectl.core.models import PipeInfo

    flags, out_size, in_size, instances = DWORD(), DWORD(), DWORD(), DWORD()
    winapi.GetNamedPipeInfo(pipe, byref(flags), byref(out_size), byref(in_size), byref(instances))
    return PipeInfo(
        is_server_end=bool(flags.value & PipeFlags.SERVER_END),
        is_message_type=bool(flags.value & PipeFlags.TYPE_MESSAGE),
        out_buffer_size=out_size.value,
        in_buffer_size=in_size.value,
        max_instances=instance_limit(instances.value),
    )


def get_named_pipe_handle_state(
    pipe: Handle, *, collection_data: bool = False, user_name: bool = False
) -> "HandleState":
    """Return a handle's read and wait mode, and the current number of instances of its pipe.

    `collection_data` is only available at the client end of a remote pipe, and `user_name` only at a server end;
    otherwise it raises PipeStateError.
    """
    from pipectl.core.models import HandleState

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
    """Set a handle's read and wait mode, both at once; None leaves a value unchanged.

    The collection values (bytes, seconds) exist only at the client end of a remote pipe.
    """
    winapi.SetNamedPipeHandleState(
        pipe,
        None if mode is None else byref(DWORD(mode)),
        None if max_collection_count is None else byref(DWORD(max_collection_count)),
        None if collect_data_timeout is None else byref(DWORD(milliseconds(collect_data_timeout))),
    )


def get_named_pipe_client_process_id(pipe: Handle) -> int:
    """Return the ID of the process that opened the client end, as reported by the system; not a proof of identity."""
    return _number(winapi.GetNamedPipeClientProcessId, pipe)


def get_named_pipe_server_process_id(pipe: Handle) -> int:
    """Return the ID of the process that created this instance, as reported by the system; not a proof of identity."""
    return _number(winapi.GetNamedPipeServerProcessId, pipe)


def get_named_pipe_client_computer_name(pipe: Handle) -> str | None:
    """Return the computer name of this server end's client; None for this computer."""
    name = ctypes.create_unicode_buffer(256)
    code = winapi.GetNamedPipeClientComputerNameW(pipe, name, ctypes.sizeof(name))
    return None if code == WinError.PIPE_LOCAL else name.value


def get_local_info(pipe: Handle) -> "LocalInfo":
    """Return the kernel's facts about this instance: FilePipeLocalInformation of NtQueryInformationFile."""
    from pipectl.core.models import LocalInfo

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
        max_instances=instance_limit(information.MaximumInstances),
        current_instances=information.CurrentInstances,
        inbound_quota=information.InboundQuota,
        read_data_available=information.ReadDataAvailable,
        outbound_quota=information.OutboundQuota,
        write_quota_available=information.WriteQuotaAvailable,
        state=PipeState(information.NamedPipeState).name.lower(),
        is_server_end=bool(information.NamedPipeEnd),
    )


def _number(function: Callable[..., int], pipe: Handle) -> int:
    number = DWORD()
    function(pipe, byref(number))
    return number.value

"""pywin32's functions for pipe programs, with its names, arguments, results and errors."""

import ctypes
import msvcrt
import os
from collections.abc import Sequence
from ctypes import byref, c_char
from ctypes.wintypes import DWORD
from ctypes.wintypes import HANDLE as _HANDLE
from operator import index
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pipectl.core.win32 import winapi
from pipectl.core.win32.winapi import bare

from .arguments import (
    HandleLike,
    Integer,
    Memory,
    ask_number,
    to_data,
    to_lasting_memory,
    to_long,
    to_longs,
    to_memory,
    to_optional,
    to_signed,
    to_text,
)
from .constants import ERROR_IO_PENDING, ERROR_MORE_DATA, ERROR_PIPE_CONNECTED
from .errors import api_error, failed, raising
from .objects import HANDLE, OVERLAPPED, finish, handle_value, start, to_handle

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from .descriptors import SECURITY_ATTRIBUTES

# The caller's own memory.
_Own = TypeVar("_Own", bound="bytearray | memoryview | WriteableBuffer")

__all__ = [
    "AllocateReadBuffer",
    "CallNamedPipe",
    "CancelIo",
    "CloseHandle",
    "ConnectNamedPipe",
    "CreateEvent",
    "CreateFile",
    "CreateFileW",
    "CreateNamedPipe",
    "CreatePipe",
    "DisconnectNamedPipe",
    "FdCreatePipe",
    "FlushFileBuffers",
    "GetFileType",
    "GetNamedPipeClientProcessId",
    "GetNamedPipeClientSessionId",
    "GetNamedPipeHandleState",
    "GetNamedPipeInfo",
    "GetNamedPipeServerProcessId",
    "GetNamedPipeServerSessionId",
    "GetOverlappedResult",
    "PeekNamedPipe",
    "ReadFile",
    "ResetEvent",
    "SetEvent",
    "SetNamedPipeHandleState",
    "TransactNamedPipe",
    "WaitForMultipleObjects",
    "WaitForSingleObject",
    "WaitNamedPipe",
    "WriteFile",
]

# The functions of winapi: those that programs call most are bare DLL functions, and the others raise `error`.
_CallNamedPipe = raising(winapi.CallNamedPipeW)
_CancelIo = bare(winapi.CancelIo)
_CloseHandle = bare(winapi.CloseHandle)
_ConnectNamedPipe = bare(winapi.ConnectNamedPipe)
_CreateEvent = bare(winapi.CreateEventW)
_CreateFile = bare(winapi.CreateFileW)
_CreateNamedPipe = bare(winapi.CreateNamedPipeW)
_CreatePipe = raising(winapi.CreatePipe)
_DisconnectNamedPipe = bare(winapi.DisconnectNamedPipe)
_FlushFileBuffers = bare(winapi.FlushFileBuffers)
_GetNamedPipeClientProcessId = raising(winapi.GetNamedPipeClientProcessId)
_GetNamedPipeClientSessionId = raising(winapi.GetNamedPipeClientSessionId)
_GetNamedPipeHandleState = raising(winapi.GetNamedPipeHandleState)
_GetNamedPipeInfo = raising(winapi.GetNamedPipeInfo)
_GetNamedPipeServerProcessId = raising(winapi.GetNamedPipeServerProcessId)
_GetNamedPipeServerSessionId = raising(winapi.GetNamedPipeServerSessionId)
_GetOverlappedResult = bare(winapi.GetOverlappedResult)
_PeekNamedPipe = bare(winapi.PeekNamedPipe)
_ReadFile = bare(winapi.ReadFile)
_ResetEvent = bare(winapi.ResetEvent)
_SetEvent = bare(winapi.SetEvent)
_SetNamedPipeHandleState = bare(winapi.SetNamedPipeHandleState)
_TransactNamedPipe = bare(winapi.TransactNamedPipe)
_WaitForMultipleObjects = raising(winapi.WaitForMultipleObjects)
_WaitForSingleObject = bare(winapi.WaitForSingleObject)
_WaitNamedPipe = raising(winapi.WaitNamedPipeW)
_WriteFile = bare(winapi.WriteFile)


_ALL = 0xFFFF_FFFF  # pywin32 truncates these numbers to 32 bits, unsigned


def to_security(attributes: "SECURITY_ATTRIBUTES | None") -> Any:
    """Return a pointer to security attributes; their module is only imported if there are any."""
    if attributes is None:
        return None
    from .descriptors import structure_of

    return byref(structure_of(attributes))


def _opened(number: int | None, function: str) -> HANDLE:
    """Return the owner of a handle that a function returned; NULL or -1 means that the function failed."""
    if number is None or number == winapi.INVALID_HANDLE_VALUE:
        failed(function)
    handle = HANDLE.__new__(HANDLE)  # without the checks of __init__
    handle.value = number
    return handle


# win32pipe: creating pipes


def CreateNamedPipe(
    pipeName: str,
    openMode: Integer,
    pipeMode: Integer,
    nMaxInstances: Integer,
    nOutBufferSize: Integer,
    nInBufferSize: Integer,
    nDefaultTimeOut: Integer,
    sa: "SECURITY_ATTRIBUTES | None",
    /,
) -> HANDLE:
    """Create an instance of a named pipe; the timeout is in milliseconds."""
    name = to_text(pipeName)
    numbers = to_longs(openMode, pipeMode, nMaxInstances, nOutBufferSize, nInBufferSize, nDefaultTimeOut)
    return _opened(_CreateNamedPipe(name, *numbers, to_security(sa)), "CreateNamedPipe")


def CreatePipe(sa: "SECURITY_ATTRIBUTES | None", nSize: Integer, /) -> tuple[HANDLE, HANDLE]:
    """Create an anonymous pipe; return its read end and its write end."""
    read, write = _HANDLE(), _HANDLE()
    _CreatePipe(read, write, to_security(sa), index(nSize))
    return HANDLE(read.value), HANDLE(write.value)


def FdCreatePipe(sa: "SECURITY_ATTRIBUTES | None", nSize: Integer, mode: Integer, /) -> tuple[int, int]:
    """Create an anonymous pipe; return its ends as C run-time file descriptors, which own the handles."""
    flags = to_long(mode)
    if flags not in (os.O_TEXT, os.O_BINARY):
        raise ValueError("mode must be O_TEXT or O_BINARY")
    read, write = CreatePipe(sa, nSize)
    read_fd = _descriptor(read, flags)
    try:
        return read_fd, _descriptor(write, flags)
    except OSError:
        os.close(read_fd)
        raise


def _descriptor(handle: HANDLE, flags: int) -> int:
    descriptor = msvcrt.open_osfhandle(handle.handle, flags)
    handle.Detach()
    return descriptor


# win32pipe: connecting


def ConnectNamedPipe(hPipe: HandleLike, overlapped: OVERLAPPED | None = None, /) -> int:
    """Wait for a client; return 0, ERROR_PIPE_CONNECTED if one is already connected, or ERROR_IO_PENDING."""
    if overlapped is None:
        is_done = _ConnectNamedPipe(to_handle(hPipe), None)
        return 0 if is_done else failed("ConnectNamedPipe", ERROR_PIPE_CONNECTED, ERROR_IO_PENDING)
    return start(overlapped, "ConnectNamedPipe", _ConnectNamedPipe, to_handle(hPipe))


def DisconnectNamedPipe(hFile: HandleLike, /) -> None:
    """Disconnect the client of a server end; data that it has not read is lost."""
    if not _DisconnectNamedPipe(to_handle(hFile)):
        failed("DisconnectNamedPipe")


def WaitNamedPipe(pipeName: str, timeout: Integer, /) -> None:
    """Wait until an instance is free; the timeout is in milliseconds (0 = the server's default, -1 = no limit)."""
    _WaitNamedPipe(to_text(pipeName), to_long(timeout))


# win32pipe: transferring data


@overload
def TransactNamedPipe(
    pipeName: HandleLike, writeData: "ReadableBuffer", buffer: "Integer | WriteableBuffer", overlapped: None = None, /
) -> tuple[int, bytes]: ...
@overload
def TransactNamedPipe(
    pipeName: HandleLike, writeData: "ReadableBuffer", buffer: Integer, overlapped: OVERLAPPED, /
) -> tuple[int, memoryview]: ...
@overload
def TransactNamedPipe(
    pipeName: HandleLike, writeData: "ReadableBuffer", buffer: _Own, overlapped: OVERLAPPED, /
) -> tuple[int, _Own]: ...
def TransactNamedPipe(
    pipeName: HandleLike,
    writeData: "ReadableBuffer",
    buffer: "Integer | WriteableBuffer",
    overlapped: OVERLAPPED | None = None,
    /,
) -> tuple[int, Any]:
    """Write a message to a handle and read the reply; the result is that of ReadFile."""
    handle, data = to_handle(pipeName), to_data(writeData)
    if overlapped is None:
        memory, count = to_memory(buffer), DWORD()
        is_done = _TransactNamedPipe(handle, data, len(data), memory, len(memory), byref(count), None)
        code = 0 if is_done else failed("TransactNamedPipe", ERROR_MORE_DATA, ERROR_IO_PENDING)
        return code, memory[: count.value]
    answer, memory, size = to_lasting_memory(buffer)
    code = start(overlapped, "TransactNamedPipe", _TransactNamedPipe, handle, data, len(data), memory, size, None)
    return code, answer


def CallNamedPipe(pipeName: str, data: "ReadableBuffer", bufSize: Integer, timeOut: Integer, /) -> bytes:
    """Open a message pipe, send a message, read the reply and close; the timeout is that of WaitNamedPipe.

    If the reply is longer than `bufSize`, the `data` of the raised `error` is the part that was read.
    """
    size, timeout, message, count = to_long(bufSize), to_long(timeOut), to_data(data), DWORD()
    memory: Memory = (c_char * size)()
    code = _CallNamedPipe(to_text(pipeName), message, len(message), memory, size, count, timeout)
    answer: bytes = memory[: count.value]
    if code == ERROR_MORE_DATA:
        failure = api_error(code, "CallNamedPipe")
        failure.data = answer
        raise failure
    return answer


def PeekNamedPipe(hPipe: HandleLike, size: Integer, /) -> tuple[bytes, int, int]:
    """Peek at up to `size` bytes; return them, the number of unread bytes, and the number left in the message."""
    length = to_long(size)
    if length < 0:
        raise MemoryError
    memory: Memory = (c_char * length)()
    read, available, left = DWORD(), DWORD(), DWORD()
    if not _PeekNamedPipe(to_handle(hPipe), memory, length, byref(read), byref(available), byref(left)):
        failed("PeekNamedPipe", ERROR_MORE_DATA)
    return memory[: read.value], available.value, to_signed(left)


def GetOverlappedResult(hFile: HandleLike, overlapped: OVERLAPPED, bWait: Integer, /) -> int:
    """Return the number of bytes transferred; for a pending operation, wait or raise ERROR_IO_INCOMPLETE."""
    wait = 1 if bWait is True else to_long(bWait)
    return finish(overlapped, _GetOverlappedResult, to_handle(hFile), wait)


# win32pipe: queries and settings


def GetNamedPipeInfo(hNamedPipe: HandleLike, /) -> list[int]:
    """Return the flags, the sizes of the out and in buffers, and the maximum number of instances."""
    numbers = DWORD(), DWORD(), DWORD(), DWORD()
    _GetNamedPipeInfo(handle_value(hNamedPipe), *numbers)
    return [to_signed(number) for number in numbers]


def GetNamedPipeHandleState(
    hPipe: HandleLike, bGetCollectionData: Integer = 0, bGetUserName: Integer = 0, /
) -> tuple[int, int, int | None, int | None, str]:
    """Return state, instances, collection count and timeout (None unless requested), and user name (else '')."""
    state, instances = DWORD(), DWORD()
    count, timeout = (DWORD(), DWORD()) if to_long(bGetCollectionData) else (None, None)
    name = ctypes.create_unicode_buffer(512 if to_long(bGetUserName) else 1)
    _GetNamedPipeHandleState(
        handle_value(hPipe), state, instances, count, timeout, name if len(name) > 1 else None, len(name)
    )
    return (
        to_signed(state),
        to_signed(instances),
        None if count is None else to_signed(count),
        None if timeout is None else to_signed(timeout),
        name.value,
    )


def SetNamedPipeHandleState(
    hPipe: HandleLike, Mode: int | None, MaxCollectionCount: int | None, CollectDataTimeout: int | None, /
) -> None:
    """Set a handle's read and wait mode; None leaves a value unchanged."""
    if not _SetNamedPipeHandleState(
        to_handle(hPipe),
        to_optional(Mode, "mode"),
        to_optional(MaxCollectionCount, "maxCollectionCount"),
        to_optional(CollectDataTimeout, "collectDataTimeout"),
    ):
        failed("SetNamedPipeHandleState")


def GetNamedPipeClientProcessId(hPipe: HandleLike, /) -> int:
    """Return the process ID of the client."""
    return ask_number(_GetNamedPipeClientProcessId, hPipe)


def GetNamedPipeServerProcessId(hPipe: HandleLike, /) -> int:
    """Return the process ID of the server."""
    return ask_number(_GetNamedPipeServerProcessId, hPipe)


def GetNamedPipeClientSessionId(hPipe: HandleLike, /) -> int:
    """Return the session ID of the client."""
    return ask_number(_GetNamedPipeClientSessionId, hPipe)


def GetNamedPipeServerSessionId(hPipe: HandleLike, /) -> int:
    """Return the session ID of the server."""
    return ask_number(_GetNamedPipeServerSessionId, hPipe)


# win32file


def CreateFile(
    fileName: str,
    desiredAccess: Integer,
    shareMode: Integer,
    attributes: "SECURITY_ATTRIBUTES | None",
    CreationDisposition: Integer,
    flagsAndAttributes: Integer,
    hTemplateFile: HandleLike,
    /,
) -> HANDLE:
    """Open a file or the client end of a pipe."""
    number = _CreateFile(
        to_text(fileName),
        index(desiredAccess) & _ALL,
        index(shareMode) & _ALL,
        to_security(attributes),
        index(CreationDisposition) & _ALL,
        index(flagsAndAttributes) & _ALL,
        to_handle(hTemplateFile),
    )
    return _opened(number, "CreateFile")


CreateFileW = CreateFile


def AllocateReadBuffer(bufSize: Integer, /) -> memoryview:
    """Return memory for an overlapped read."""
    return memoryview(bytearray(to_long(bufSize)))


@overload
def ReadFile(
    hFile: HandleLike, buffer: "Integer | WriteableBuffer", overlapped: None = None, /
) -> tuple[int, bytes]: ...
@overload
def ReadFile(hFile: HandleLike, buffer: Integer, overlapped: OVERLAPPED, /) -> tuple[int, memoryview]: ...
@overload
def ReadFile(hFile: HandleLike, buffer: _Own, overlapped: OVERLAPPED, /) -> tuple[int, _Own]: ...
def ReadFile(
    hFile: HandleLike, buffer: "Integer | WriteableBuffer", overlapped: OVERLAPPED | None = None, /
) -> tuple[int, Any]:
    """Read; return 0, ERROR_MORE_DATA or ERROR_IO_PENDING, and the data.

    Without OVERLAPPED, the data is new bytes; with it, the whole buffer, or new memory if a size was given.
    """
    handle = to_handle(hFile)
    try:
        if overlapped is None:
            memory = to_memory(buffer)
        else:
            answer, memory, size = to_lasting_memory(buffer)
    except (TypeError, BufferError):
        raise TypeError("Second param must be an integer or writeable buffer object") from None
    if overlapped is None:
        count = DWORD()
        is_done = _ReadFile(handle, memory, len(memory), byref(count), None)
        code = 0 if is_done else failed("ReadFile", ERROR_MORE_DATA, ERROR_IO_PENDING)
        return code, memory[: count.value]
    return start(overlapped, "ReadFile", _ReadFile, handle, memory, size, None), answer


def WriteFile(hFile: HandleLike, data: "ReadableBuffer", ol: OVERLAPPED | None = None, /) -> tuple[int, int]:
    """Write; return 0 or ERROR_IO_PENDING, and the number of bytes written so far."""
    handle, memory, count = to_handle(hFile), to_data(data), DWORD()
    if ol is not None:
        code = start(ol, "WriteFile", _WriteFile, handle, memory, len(memory), byref(count))
    elif _WriteFile(handle, memory, len(memory), byref(count), None):
        code = 0
    else:
        code = failed("WriteFile", ERROR_IO_PENDING)
    return code, count.value


def FlushFileBuffers(hFile: HandleLike, /) -> None:
    """Wait until the other end has read everything."""
    if not _FlushFileBuffers(to_handle(hFile)):
        failed("FlushFileBuffers")


def CancelIo(handle: HandleLike, /) -> None:
    """Cancel the operations that this thread started on a handle."""
    if not _CancelIo(to_handle(handle)):
        failed("CancelIo")


def GetFileType(hFile: HandleLike, /) -> int:
    """Return the type of a handle's file: FILE_TYPE_PIPE for a pipe."""
    return int(winapi.GetFileType(handle_value(hFile)))


def CloseHandle(handle: HandleLike, /) -> None:
    """Close a handle; an owner with a `close` method closes it itself."""
    close = getattr(handle, "close", None)
    if close is not None:
        close()
    elif (value := to_handle(handle)).value and not _CloseHandle(value):
        failed("CloseHandle")


# win32event


def CreateEvent(
    EventAttributes: "SECURITY_ATTRIBUTES | None",
    bManualReset: Integer,
    bInitialState: Integer,
    Name: str | None,
    /,
) -> HANDLE:
    """Create an event, or open the existing one with that name."""
    name = None if Name is None else to_text(Name)
    number = _CreateEvent(to_security(EventAttributes), to_long(bManualReset), to_long(bInitialState), name)
    return _opened(number, "CreateEvent")


def SetEvent(hEvent: HandleLike, /) -> None:
    """Signal an event."""
    if not _SetEvent(to_handle(hEvent)):
        failed("SetEvent")


def ResetEvent(hEvent: HandleLike, /) -> None:
    """Reset an event."""
    if not _ResetEvent(to_handle(hEvent)):
        failed("ResetEvent")


def WaitForSingleObject(hHandle: HandleLike, milliseconds: Integer, /) -> int:
    """Wait for a handle; return WAIT_OBJECT_0 or WAIT_TIMEOUT."""
    result = _WaitForSingleObject(to_handle(hHandle), index(milliseconds) & _ALL)
    return result if result != _ALL else failed("WaitForSingleObject")


def WaitForMultipleObjects(handleList: Sequence[HandleLike], bWaitAll: Integer, milliseconds: Integer, /) -> int:
    """Wait for one or all handles; return WAIT_OBJECT_0 plus the index of the first signaled one, or WAIT_TIMEOUT."""
    try:
        handles = (_HANDLE * len(handleList))(*map(handle_value, handleList))
    except TypeError:
        handles = None
    if handles is None or not isinstance(handleList, Sequence):
        raise TypeError("Handles must be a list of integers")
    return _WaitForMultipleObjects(len(handles), handles, to_long(bWaitAll), index(milliseconds))

"""A stand-in for pywin32's module `win32pipe`, and for what a pipe program takes from the modules beside it.

A program written against pywin32 changes its imports and nothing else:

    import pipectl.core.win32pipe as win32pipe
    import pipectl.core.win32pipe as win32file   # and win32event, win32con, win32security, winerror, pywintypes

Names, order of arguments, results and errors are pywin32's: arguments have no keywords, codes such as ERROR_IO_PENDING
and ERROR_MORE_DATA are returned where pywin32 returns them, numbers are signed where it signs them, and failures raise
`error`. docs/win32.md lists what differs. New programs are better served by `functions` and `connection`.
"""

import ctypes
import msvcrt
import os
from collections.abc import Callable, Sequence
from ctypes import c_char
from ctypes.wintypes import DWORD
from ctypes.wintypes import HANDLE as _HANDLE
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex, SupportsInt

from . import winapi
from .overlapped import address_of
from .popen import popen as popen
from .popen import popen2 as popen2
from .popen import popen3 as popen3
from .popen import popen4 as popen4
from .pywinconstants import *  # noqa: F403
from .pywinconstants import ERROR_MORE_DATA
from .pywintypes import HANDLE as HANDLE
from .pywintypes import OVERLAPPED as OVERLAPPED
from .pywintypes import SECURITY_ATTRIBUTES as SECURITY_ATTRIBUTES
from .pywintypes import SECURITY_DESCRIPTOR as SECURITY_DESCRIPTOR
from .pywintypes import api_error, finish, handle_value, raising, security, start
from .pywintypes import error as error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

HANDLEType = HANDLE
OVERLAPPEDType = OVERLAPPED
SECURITY_ATTRIBUTESType = SECURITY_ATTRIBUTES
SECURITY_DESCRIPTORType = SECURITY_DESCRIPTOR

_Handle = SupportsInt | None
_Integer = SupportsIndex
# `bytes`, or an array of c_char, whose slices are bytes though its type hints say that they are lists.
_Memory = Any

# The functions of winapi, raising `error`.
_CallNamedPipe = raising(winapi.CallNamedPipeW)
_CancelIo = raising(winapi.CancelIo)
_CloseHandle = raising(winapi.CloseHandle)
_ConnectNamedPipe = raising(winapi.ConnectNamedPipe)
_ConvertSddl = raising(winapi.ConvertStringSecurityDescriptorToSecurityDescriptorW)
_CreateEvent = raising(winapi.CreateEventW)
_CreateFile = raising(winapi.CreateFileW)
_CreateNamedPipe = raising(winapi.CreateNamedPipeW)
_CreatePipe = raising(winapi.CreatePipe)
_DisconnectNamedPipe = raising(winapi.DisconnectNamedPipe)
_FlushFileBuffers = raising(winapi.FlushFileBuffers)
_GetNamedPipeClientProcessId = raising(winapi.GetNamedPipeClientProcessId)
_GetNamedPipeClientSessionId = raising(winapi.GetNamedPipeClientSessionId)
_GetNamedPipeHandleState = raising(winapi.GetNamedPipeHandleState)
_GetNamedPipeInfo = raising(winapi.GetNamedPipeInfo)
_GetNamedPipeServerProcessId = raising(winapi.GetNamedPipeServerProcessId)
_GetNamedPipeServerSessionId = raising(winapi.GetNamedPipeServerSessionId)
_GetOverlappedResult = raising(winapi.GetOverlappedResult)
_ImpersonateNamedPipeClient = raising(winapi.ImpersonateNamedPipeClient)
_PeekNamedPipe = raising(winapi.PeekNamedPipe)
_ReadFile = raising(winapi.ReadFile)
_ResetEvent = raising(winapi.ResetEvent)
_RevertToSelf = raising(winapi.RevertToSelf)
_SetEvent = raising(winapi.SetEvent)
_SetNamedPipeHandleState = raising(winapi.SetNamedPipeHandleState)
_TransactNamedPipe = raising(winapi.TransactNamedPipe)
_WaitForMultipleObjects = raising(winapi.WaitForMultipleObjects)
_WaitForSingleObject = raising(winapi.WaitForSingleObject)
_WaitNamedPipe = raising(winapi.WaitNamedPipeW)
_WriteFile = raising(winapi.WriteFile)


# win32pipe: making pipes


def CreateNamedPipe(
    pipeName: str,
    openMode: _Integer,
    pipeMode: _Integer,
    nMaxInstances: _Integer,
    nOutBufferSize: _Integer,
    nInBufferSize: _Integer,
    nDefaultTimeOut: _Integer,
    sa: SECURITY_ATTRIBUTES | None,
    /,
) -> HANDLE:
    """Create an instance of a named pipe; the timeout is in milliseconds."""
    return HANDLE(
        _CreateNamedPipe(
            _text(pipeName),
            _long(openMode),
            _long(pipeMode),
            _long(nMaxInstances),
            _long(nOutBufferSize),
            _long(nInBufferSize),
            _long(nDefaultTimeOut),
            security(sa),
        )
    )


def CreatePipe(sa: SECURITY_ATTRIBUTES | None, nSize: _Integer, /) -> tuple[HANDLE, HANDLE]:
    """Create an anonymous pipe; return its read end and its write end."""
    read, write = _HANDLE(), _HANDLE()
    _CreatePipe(read, write, security(sa), index(nSize))
    return HANDLE(read.value), HANDLE(write.value)


def FdCreatePipe(sa: SECURITY_ATTRIBUTES | None, nSize: _Integer, mode: _Integer, /) -> tuple[int, int]:
    """Create an anonymous pipe; return its ends as descriptors of the C run-time, which own the handles."""
    flags = _long(mode)
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


def ConnectNamedPipe(hPipe: _Handle, overlapped: OVERLAPPED | None = None, /) -> int:
    """Wait for a client; return 0, ERROR_PIPE_CONNECTED if one was there already, or ERROR_IO_PENDING."""
    if overlapped is None:
        return _ConnectNamedPipe(handle_value(hPipe), None)
    return start(overlapped, _ConnectNamedPipe, handle_value(hPipe))


def DisconnectNamedPipe(hFile: _Handle, /) -> None:
    """Throw the client off a server end; data that it has not read is lost."""
    _DisconnectNamedPipe(handle_value(hFile))


def WaitNamedPipe(pipeName: str, timeout: _Integer, /) -> None:
    """Wait some milliseconds until an instance is free; 0 is the server's default, and -1 for ever."""
    _WaitNamedPipe(_text(pipeName), _long(timeout))


# win32pipe: moving data


def TransactNamedPipe(
    pipeName: _Handle,
    writeData: "ReadableBuffer",
    buffer: "_Integer | WriteableBuffer",
    overlapped: OVERLAPPED | None = None,
    /,
) -> tuple[int, Any]:
    """Write a message to a handle and read the answer; the result is that of ReadFile."""
    handle, data, count = handle_value(pipeName), _data(writeData), DWORD()
    if overlapped is None:
        memory = _memory(buffer)
        code = _TransactNamedPipe(handle, data, len(data), memory, len(memory), count, None)
        return code, memory[: count.value]
    answer, memory = _lasting(buffer)
    return start(overlapped, _TransactNamedPipe, handle, data, len(data), memory, len(memory), count), answer


def CallNamedPipe(pipeName: str, data: "ReadableBuffer", bufSize: _Integer, timeOut: _Integer, /) -> bytes:
    """Open a message pipe, send a message, read the answer, close; the timeout is that of WaitNamedPipe.

    The `error` of an answer longer than `bufSize` has in its `data` the part that was read.
    """
    size, timeout, message, count = _long(bufSize), _long(timeOut), _data(data), DWORD()
    memory: _Memory = (c_char * size)()
    code = _CallNamedPipe(_text(pipeName), message, len(message), memory, size, count, timeout)
    answer: bytes = memory[: count.value]
    if code == ERROR_MORE_DATA:
        failure = api_error(code, "CallNamedPipe")
        failure.data = answer
        raise failure
    return answer


def PeekNamedPipe(hPipe: _Handle, size: _Integer, /) -> tuple[bytes, int, int]:
    """Look at up to `size` bytes without taking them; return them, all that waits, and the rest of the message."""
    length = _long(size)
    if length < 0:
        raise MemoryError
    memory: _Memory = (c_char * length)()
    read, available, left = DWORD(), DWORD(), DWORD()
    _PeekNamedPipe(handle_value(hPipe), memory, length, read, available, left)
    return memory[: read.value], available.value, _signed(left)


def GetOverlappedResult(hFile: _Handle, overlapped: OVERLAPPED, bWait: _Integer, /) -> int:
    """Return the bytes that an operation transferred; while it is under way wait, or raise ERROR_IO_INCOMPLETE."""
    count = DWORD()
    code = finish(overlapped, _GetOverlappedResult, handle_value(hFile), count, _long(bWait))
    if code:
        raise api_error(code, "GetOverlappedResult")
    return count.value


# win32pipe: asking and setting


def GetNamedPipeInfo(hNamedPipe: _Handle, /) -> list[int]:
    """Return flags, size of the out buffer, size of the in buffer, and most instances."""
    numbers = DWORD(), DWORD(), DWORD(), DWORD()
    _GetNamedPipeInfo(handle_value(hNamedPipe), *numbers)
    return [_signed(number) for number in numbers]


def GetNamedPipeHandleState(
    hPipe: _Handle, bGetCollectionData: _Integer = 0, bGetUserName: _Integer = 0, /
) -> tuple[int, int, int | None, int | None, str]:
    """Return state, instances, and what was asked for: collection count and timeout or None, user name or ''."""
    state, instances = DWORD(), DWORD()
    count, timeout = (DWORD(), DWORD()) if _long(bGetCollectionData) else (None, None)
    name = ctypes.create_unicode_buffer(512 if _long(bGetUserName) else 1)
    _GetNamedPipeHandleState(
        handle_value(hPipe), state, instances, count, timeout, name if len(name) > 1 else None, len(name)
    )
    return (
        _signed(state),
        _signed(instances),
        None if count is None else _signed(count),
        None if timeout is None else _signed(timeout),
        name.value,
    )


def SetNamedPipeHandleState(
    hPipe: _Handle, Mode: int | None, MaxCollectionCount: int | None, CollectDataTimeout: int | None, /
) -> None:
    """Set how a handle reads and waits; None leaves a value as it is."""
    _SetNamedPipeHandleState(
        handle_value(hPipe),
        _optional(Mode, "mode"),
        _optional(MaxCollectionCount, "maxCollectionCount"),
        _optional(CollectDataTimeout, "collectDataTimeout"),
    )


def GetNamedPipeClientProcessId(hPipe: _Handle, /) -> int:
    """Return the process of the client."""
    return _number(_GetNamedPipeClientProcessId, hPipe)


def GetNamedPipeServerProcessId(hPipe: _Handle, /) -> int:
    """Return the process of the server."""
    return _number(_GetNamedPipeServerProcessId, hPipe)


def GetNamedPipeClientSessionId(hPipe: _Handle, /) -> int:
    """Return the logon session of the client."""
    return _number(_GetNamedPipeClientSessionId, hPipe)


def GetNamedPipeServerSessionId(hPipe: _Handle, /) -> int:
    """Return the logon session of the server."""
    return _number(_GetNamedPipeServerSessionId, hPipe)


# win32file


def CreateFile(
    fileName: str,
    desiredAccess: _Integer,
    shareMode: _Integer,
    attributes: SECURITY_ATTRIBUTES | None,
    CreationDisposition: _Integer,
    flagsAndAttributes: _Integer,
    hTemplateFile: _Handle,
    /,
) -> HANDLE:
    """Open a file or the client end of a pipe."""
    return HANDLE(
        _CreateFile(
            _text(fileName),
            index(desiredAccess),
            index(shareMode),
            security(attributes),
            index(CreationDisposition),
            index(flagsAndAttributes),
            handle_value(hTemplateFile),
        )
    )


CreateFileW = CreateFile


def AllocateReadBuffer(bufSize: _Integer, /) -> memoryview:
    """Make memory for an overlapped read."""
    return memoryview(bytearray(_long(bufSize)))


def ReadFile(
    hFile: _Handle, buffer: "_Integer | WriteableBuffer", overlapped: OVERLAPPED | None = None, /
) -> tuple[int, Any]:
    """Read; return 0, ERROR_MORE_DATA or ERROR_IO_PENDING, and what was read.

    Without OVERLAPPED that is new bytes; with one it is the whole buffer, or new memory if a size was given.
    """
    handle, count = handle_value(hFile), DWORD()
    try:
        answer, memory = (None, _memory(buffer)) if overlapped is None else _lasting(buffer)
    except (TypeError, BufferError):
        raise TypeError("Second param must be an integer or writeable buffer object") from None
    if overlapped is None:
        code = _ReadFile(handle, memory, len(memory), count, None)
        return code, memory[: count.value]
    return start(overlapped, _ReadFile, handle, memory, len(memory), count), answer


def WriteFile(hFile: _Handle, data: "ReadableBuffer", ol: OVERLAPPED | None = None, /) -> tuple[int, int]:
    """Write; return 0 or ERROR_IO_PENDING, and how many bytes were taken by now."""
    handle, memory, count = handle_value(hFile), _data(data), DWORD()
    if ol is None:
        code = _WriteFile(handle, memory, len(memory), count, None)
    else:
        code = start(ol, _WriteFile, handle, memory, len(memory), count)
    return code, count.value


def FlushFileBuffers(hFile: _Handle, /) -> None:
    """Wait until the other end has read everything."""
    _FlushFileBuffers(handle_value(hFile))


def CancelIo(handle: _Handle, /) -> None:
    """Ask for the end of the operations that this thread started on a handle."""
    _CancelIo(handle_value(handle))


def GetFileType(hFile: _Handle, /) -> int:
    """Return what is behind a handle: FILE_TYPE_PIPE for a pipe."""
    return int(winapi.GetFileType(handle_value(hFile)))


def CloseHandle(handle: _Handle, /) -> None:
    """Close a handle; one that has an owner is closed by it, so that it knows."""
    close = getattr(handle, "close", None)
    if close is not None:
        close()
    elif value := handle_value(handle):
        _CloseHandle(value)


# win32event


def CreateEvent(
    EventAttributes: SECURITY_ATTRIBUTES | None,
    bManualReset: _Integer,
    bInitialState: _Integer,
    Name: str | None,
    /,
) -> HANDLE:
    """Create an event, or open the one of that name."""
    name = None if Name is None else _text(Name)
    return HANDLE(_CreateEvent(security(EventAttributes), _long(bManualReset), _long(bInitialState), name))


def SetEvent(hEvent: _Handle, /) -> None:
    """Signal an event."""
    _SetEvent(handle_value(hEvent))


def ResetEvent(hEvent: _Handle, /) -> None:
    """Take an event's signal back."""
    _ResetEvent(handle_value(hEvent))


def WaitForSingleObject(hHandle: _Handle, milliseconds: _Integer, /) -> int:
    """Wait for a handle; return WAIT_OBJECT_0 or WAIT_TIMEOUT."""
    return _WaitForSingleObject(handle_value(hHandle), index(milliseconds))


def WaitForMultipleObjects(handleList: Sequence[_Handle], bWaitAll: _Integer, milliseconds: _Integer, /) -> int:
    """Wait for one or all of some handles; return WAIT_OBJECT_0 and the first one's place, or WAIT_TIMEOUT."""
    if not isinstance(handleList, Sequence):
        raise TypeError("Handles must be a list of integers")
    handles = (_HANDLE * len(handleList))(*map(handle_value, handleList))
    return _WaitForMultipleObjects(len(handles), handles, _long(bWaitAll), index(milliseconds))


# win32security


def ConvertStringSecurityDescriptorToSecurityDescriptor(
    StringSecurityDescriptor: str, StringSDRevision: _Integer, /
) -> SECURITY_DESCRIPTOR:
    """Make a security descriptor of SDDL, such as `D:P(A;;GA;;;SY)(A;;0x12019b;;;AU)`."""
    descriptor = ctypes.c_void_p()
    _ConvertSddl(_text(StringSecurityDescriptor), index(StringSDRevision), descriptor, None)
    try:
        size = winapi.GetSecurityDescriptorLength(descriptor)
        return SECURITY_DESCRIPTOR(ctypes.string_at(descriptor, size))
    finally:
        winapi.LocalFree(descriptor)


def ImpersonateNamedPipeClient(handle: _Handle, /) -> None:
    """Let this thread act as the client of a server end."""
    _ImpersonateNamedPipeClient(handle_value(handle))


def RevertToSelf() -> None:
    """Let this thread be itself again."""
    _RevertToSelf()


# Arguments and results, by pywin32's rules


def _text(text: str) -> str:
    """Check a name, which to Win32 ends at a NUL."""
    if text is None:
        raise TypeError("None is not a valid string in this context")
    if not isinstance(text, str):
        raise TypeError(f"Objects of type '{type(text).__name__}' can not be converted to Unicode.")
    return text


def _long(number: _Integer) -> int:
    """Check a number that goes through a C long: 0xFFFF_FFFF does not fit, and has to be written -1."""
    value = index(number)
    if not -0x8000_0000 <= value <= 0x7FFF_FFFF:
        raise OverflowError("Python int too large to convert to C long")
    return value


def _signed(number: DWORD) -> int:
    """Give a number as a C long has it."""
    return (number.value ^ 0x8000_0000) - 0x8000_0000


def _optional(number: int | None, name: str) -> DWORD | None:
    if number is None:
        return None
    if not isinstance(number, int):
        raise TypeError(f"{name} param must be None or an integer (got {type(number).__name__})")
    return DWORD(_long(number))


def _number(function: Callable[..., int], handle: _Handle) -> int:
    number = DWORD()
    function(handle_value(handle), number)
    return number.value


def _data(data: "ReadableBuffer") -> _Memory:
    """Give the memory of what is written, as ctypes takes it."""
    if type(data) is not bytes:
        view = memoryview(data)
        if not view.c_contiguous:
            raise BufferError("memoryview: underlying buffer is not C-contiguous")
        data = address_of(view)
    if len(data) > 0xFFFF_FFFF:
        raise ValueError("Buffer length can be at most 4294967295 characters")
    return data


def _size(buffer: "_Integer | WriteableBuffer") -> int | None:
    """Give the size that is asked for, or None if memory was given instead."""
    try:
        size = index(buffer)  # type: ignore[arg-type]
    except TypeError:
        return None
    return size if size <= 0x7FFF_FFFF else None


def _memory(buffer: "_Integer | WriteableBuffer") -> _Memory:
    """Give memory to read into: new memory of a size, or the caller's own."""
    size = _size(buffer)
    return _writable(buffer) if size is None else (c_char * size)()


def _lasting(buffer: "_Integer | WriteableBuffer") -> tuple[Any, _Memory]:
    """Give an object that the caller looks at when the read has ended, and the memory in it."""
    size = _size(buffer)
    answer = buffer if size is None else memoryview(bytearray(size))
    return answer, _writable(answer)


def _writable(buffer: Any) -> _Memory:
    view = memoryview(buffer)
    if view.readonly or not view.c_contiguous:
        raise BufferError("Object is not writable.")
    return (c_char * view.nbytes).from_buffer(view)

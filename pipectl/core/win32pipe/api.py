"""The functions of pywin32's `win32api`, `win32event` and `win32file` that pipe programs use and that need no pipe."""

import ctypes
import threading
from ctypes import c_int64, create_unicode_buffer
from ctypes.wintypes import DWORD
from ctypes.wintypes import HANDLE as _HANDLE
from operator import index
from typing import Any

from pipectl.core.win32 import winapi

from . import native
from .arguments import HandleLike, Integer, ask_number, to_long, to_signed, to_text
from .errors import raising
from .functions import to_security
from .objects import HANDLE, handle_value

__all__ = [
    "CreateMutex",
    "DuplicateHandle",
    "FormatMessage",
    "FormatMessageW",
    "GetComputerName",
    "GetCurrentThread",
    "GetCurrentThreadId",
    "GetFileAttributes",
    "GetFileSize",
    "GetHandleInformation",
    "GetLastError",
    "GetModuleFileName",
    "GetStdHandle",
    "GetUserName",
    "OpenEvent",
    "OpenMutex",
    "OpenProcess",
    "ReleaseMutex",
    "SetFilePointer",
    "SetHandleInformation",
    "SetLastError",
    "Sleep",
]

_DuplicateHandle = raising(winapi.DuplicateHandle)
_OpenProcess = raising(winapi.OpenProcess)
_SetHandleInformation = raising(winapi.SetHandleInformation)

_FROM_SYSTEM_WITHOUT_INSERTS = 0x1200
_MOST = 4096  # characters in an error message of the system
_LONGEST_PATH = 32_768


# win32api


def GetLastError() -> int:
    """Return the error code of this thread's last call of a function in this package, which ctypes keeps per thread."""
    return ctypes.get_last_error()


def SetLastError(errorCode: int, /) -> None:
    """Set what GetLastError returns."""
    ctypes.set_last_error(errorCode)


def FormatMessage(errCode: Integer = 0, /) -> str:
    """Return the system's message for a code, with its line ending; 0 means the last error."""
    code = index(errCode) or GetLastError()
    text = create_unicode_buffer(_MOST)
    native.FormatMessage(_FROM_SYSTEM_WITHOUT_INSERTS, None, code, 0, text, _MOST, None)
    return text.value


FormatMessageW = FormatMessage


def Sleep(time: Integer, bAlterable: Integer = 0, /) -> int:
    """Wait for a number of milliseconds."""
    return int(native.SleepEx(index(time), to_long(bAlterable)))


def GetCurrentThread() -> int:
    """Return the pseudo handle of this thread, which must not be closed."""
    return handle_value(winapi.GetCurrentThread())


def GetCurrentThreadId() -> int:
    """Return the ID of this thread."""
    return threading.get_native_id()


def OpenProcess(reqdAccess: Integer, bInherit: Integer, pid: Integer, /) -> HANDLE:
    """Open a process by its ID."""
    return HANDLE(_OpenProcess(index(reqdAccess), to_long(bInherit), index(pid)))


def DuplicateHandle(
    hSourceProcess: HandleLike,
    hSource: HandleLike,
    hTargetProcess: HandleLike,
    desiredAccess: Integer,
    bInheritHandle: Integer,
    options: Integer,
    /,
) -> HANDLE:
    """Duplicate a handle, with the same access rights if `options` is DUPLICATE_SAME_ACCESS."""
    duplicate = _HANDLE()
    source, handle, target = map(handle_value, (hSourceProcess, hSource, hTargetProcess))
    access, inherit = index(desiredAccess), to_long(bInheritHandle)
    _DuplicateHandle(source, handle, target, duplicate, access, inherit, index(options))
    return HANDLE(duplicate.value)


def GetHandleInformation(Object: HandleLike, /) -> int:
    """Return a handle's flags, such as HANDLE_FLAG_INHERIT."""
    return ask_number(native.GetHandleInformation, Object)


def SetHandleInformation(Object: HandleLike, Mask: Integer, Flags: Integer, /) -> None:
    """Set the flags of a handle that are in the mask."""
    _SetHandleInformation(handle_value(Object), index(Mask), index(Flags))


def GetStdHandle(StdHandle: Integer, /) -> int:
    """Return the value of a standard handle, such as STD_OUTPUT_HANDLE."""
    return handle_value(winapi.GetStdHandle(index(StdHandle)))


def _ask_name(function: Any) -> str:
    size = DWORD(257)  # UNLEN, which is the longer of both
    name = create_unicode_buffer(size.value)
    function(name, size)
    return name.value


def GetComputerName() -> str:
    """Return this computer's NetBIOS name."""
    return _ask_name(native.GetComputerName)


def GetUserName() -> str:
    """Return the name of this thread's user."""
    return _ask_name(native.GetUserName)


def GetModuleFileName(hModule: HandleLike, /) -> str:
    """Return the path of a DLL, or of the program for 0 or None."""
    path = create_unicode_buffer(_LONGEST_PATH)
    native.GetModuleFileName(handle_value(hModule), path, _LONGEST_PATH)
    return path.value


# win32event


def CreateMutex(MutexAttributes: Any, bInitialOwner: Integer, Name: str | None, /) -> HANDLE:
    """Create a mutex, or open the existing one with that name."""
    name = None if Name is None else to_text(Name)
    return HANDLE(native.CreateMutex(to_security(MutexAttributes), to_long(bInitialOwner), name))


def OpenMutex(desiredAccess: Integer, bInheritHandle: Integer, name: str, /) -> HANDLE:
    """Open a mutex by its name."""
    return HANDLE(native.OpenMutex(index(desiredAccess), to_long(bInheritHandle), to_text(name)))


def OpenEvent(desiredAccess: Integer, bInheritHandle: Integer, name: str, /) -> HANDLE:
    """Open an event by its name."""
    return HANDLE(native.OpenEvent(index(desiredAccess), to_long(bInheritHandle), to_text(name)))


def ReleaseMutex(hEvent: HandleLike, /) -> None:
    """Release a mutex."""
    native.ReleaseMutex(handle_value(hEvent))


# win32file


def GetFileSize(handle: HandleLike, /) -> int:
    """Return the size of a file in bytes."""
    size = c_int64()
    native.GetFileSize(handle_value(handle), size)
    return size.value


def SetFilePointer(handle: HandleLike, offset: Integer, moveMethod: Integer, /) -> int:
    """Set the file pointer; return its offset from the start of the file."""
    position = c_int64()
    native.SetFilePointer(handle_value(handle), index(offset), position, index(moveMethod))
    return position.value


def GetFileAttributes(fileName: str, /) -> int:
    """Return a file's attributes, or -1 if there is no such file."""
    return to_signed(DWORD(native.GetFileAttributes(to_text(fileName))))

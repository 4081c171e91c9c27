"""The declarations of Win32 functions that only this package needs; they raise `error`."""

from collections.abc import Callable
from ctypes import POINTER, Structure, c_int64, c_void_p
from ctypes.wintypes import BOOL, DWORD, HANDLE, LARGE_INTEGER, LPCWSTR, LPWSTR, WORD
from typing import Any

from pipectl.core.win32 import winapi

from .errors import api_error

_ADVAPI32 = winapi.library("advapi32")
_KERNEL32 = winapi.library("kernel32")


class STARTUPINFO(Structure):
    _fields_ = (
        ("cb", DWORD),
        ("lpReserved", LPWSTR),
        ("lpDesktop", LPWSTR),
        ("lpTitle", LPWSTR),
        ("dwX", DWORD),
        ("dwY", DWORD),
        ("dwXSize", DWORD),
        ("dwYSize", DWORD),
        ("dwXCountChars", DWORD),
        ("dwYCountChars", DWORD),
        ("dwFillAttribute", DWORD),
        ("dwFlags", DWORD),
        ("wShowWindow", WORD),
        ("cbReserved2", WORD),
        ("lpReserved2", c_void_p),
        ("hStdInput", HANDLE),
        ("hStdOutput", HANDLE),
        ("hStdError", HANDLE),
    )


class PROCESS_INFORMATION(Structure):
    _fields_ = (("hProcess", HANDLE), ("hThread", HANDLE), ("dwProcessId", DWORD), ("dwThreadId", DWORD))


def _declare(
    dll: Any, name: str, result: Any, *arguments: Any, check: Any, reported_as: str | None = None
) -> Callable[..., Any]:
    """Declare a function; `reported_as` is its name in errors if pywin32 calls a different, equivalent function."""
    function: Any = winapi.declare(dll, name, result, *arguments, check=check)
    function.error = api_error
    function.__name__ = reported_as or name
    return function  # type: ignore[no-any-return]


def _not_all_ones(result: int, function: Any, arguments: tuple[Any, ...]) -> int:
    """Check a function that fails with a DWORD of -1."""
    return winapi.check_ok()(0, function, arguments) if result == 0xFFFF_FFFF else result


def _not_zero(result: int, function: Any, arguments: tuple[Any, ...]) -> int:
    """Check a function that returns 0 on failure, and a number otherwise."""
    return result or winapi.check_ok()(0, function, arguments)


# fmt: off
_OK = winapi.check_ok()

# Processes and threads
CreateProcess         = _declare(_KERNEL32, "CreateProcessW", BOOL, LPCWSTR, c_void_p, winapi.LPSECURITY_ATTRIBUTES, winapi.LPSECURITY_ATTRIBUTES, BOOL, DWORD, c_void_p, LPCWSTR, POINTER(STARTUPINFO), POINTER(PROCESS_INFORMATION), check=_OK)
GetStartupInfo        = _declare(_KERNEL32, "GetStartupInfoW", None, POINTER(STARTUPINFO), check=winapi.check_nothing)
GetExitCodeProcess    = _declare(_KERNEL32, "GetExitCodeProcess", BOOL, HANDLE, winapi.LPDWORD, check=_OK)
TerminateProcess      = _declare(_KERNEL32, "TerminateProcess", BOOL, HANDLE, DWORD, check=_OK)
ResumeThread          = _declare(_KERNEL32, "ResumeThread", DWORD, HANDLE, check=_not_all_ones)
SuspendThread         = _declare(_KERNEL32, "SuspendThread", DWORD, HANDLE, check=_not_all_ones)
GetProcessId          = _declare(_KERNEL32, "GetProcessId", DWORD, HANDLE, check=_not_zero)

# The computer, this program, and handles
GetComputerName       = _declare(_KERNEL32, "GetComputerNameW", BOOL, LPWSTR, winapi.LPDWORD, check=_OK)
GetUserName           = _declare(_ADVAPI32, "GetUserNameW", BOOL, LPWSTR, winapi.LPDWORD, check=_OK)
GetModuleFileName     = _declare(_KERNEL32, "GetModuleFileNameW", DWORD, HANDLE, LPWSTR, DWORD, check=_not_zero)
FormatMessage         = _declare(_KERNEL32, "FormatMessageW", DWORD, DWORD, c_void_p, DWORD, DWORD, LPWSTR, DWORD, c_void_p, check=_not_zero)
SleepEx               = _declare(_KERNEL32, "SleepEx", DWORD, DWORD, BOOL, check=winapi.check_nothing)
GetHandleInformation  = _declare(_KERNEL32, "GetHandleInformation", BOOL, HANDLE, winapi.LPDWORD, check=_OK)
CreateMutex           = _declare(_KERNEL32, "CreateMutexW", HANDLE, winapi.LPSECURITY_ATTRIBUTES, BOOL, LPCWSTR, check=winapi.check_handle)
OpenMutex             = _declare(_KERNEL32, "OpenMutexW", HANDLE, DWORD, BOOL, LPCWSTR, check=winapi.check_handle)
OpenEvent             = _declare(_KERNEL32, "OpenEventW", HANDLE, DWORD, BOOL, LPCWSTR, check=winapi.check_handle)
ReleaseMutex          = _declare(_KERNEL32, "ReleaseMutex", BOOL, HANDLE, check=_OK)
GetFileSize           = _declare(_KERNEL32, "GetFileSizeEx", BOOL, HANDLE, POINTER(LARGE_INTEGER), check=_OK, reported_as="GetFileSize")
SetFilePointer        = _declare(_KERNEL32, "SetFilePointerEx", BOOL, HANDLE, c_int64, POINTER(LARGE_INTEGER), DWORD, check=_OK, reported_as="SetFilePointer")
GetFileAttributes     = _declare(_KERNEL32, "GetFileAttributesW", DWORD, LPCWSTR, check=winapi.check_nothing)

# Accounts
CreateWellKnownSid    = _declare(_ADVAPI32, "CreateWellKnownSid", BOOL, DWORD, c_void_p, c_void_p, winapi.LPDWORD, check=_OK)
SetSecurityInfo       = _declare(_ADVAPI32, "SetSecurityInfo", DWORD, HANDLE, DWORD, DWORD, c_void_p, c_void_p, c_void_p, c_void_p, check=winapi.check_code)

# Access lists
InitializeAcl         = _declare(_ADVAPI32, "InitializeAcl", BOOL, c_void_p, DWORD, DWORD, check=_OK)
IsValidAcl            = _declare(_ADVAPI32, "IsValidAcl", BOOL, c_void_p, check=winapi.check_nothing)
AddAccessAllowedAce   = _declare(_ADVAPI32, "AddAccessAllowedAce", BOOL, c_void_p, DWORD, DWORD, c_void_p, check=_OK)
AddAccessDeniedAce    = _declare(_ADVAPI32, "AddAccessDeniedAce", BOOL, c_void_p, DWORD, DWORD, c_void_p, check=_OK)
AddAccessAllowedAceEx = _declare(_ADVAPI32, "AddAccessAllowedAceEx", BOOL, c_void_p, DWORD, DWORD, DWORD, c_void_p, check=_OK)
AddAccessDeniedAceEx  = _declare(_ADVAPI32, "AddAccessDeniedAceEx", BOOL, c_void_p, DWORD, DWORD, DWORD, c_void_p, check=_OK)
AddMandatoryAce       = _declare(_ADVAPI32, "AddMandatoryAce", BOOL, c_void_p, DWORD, DWORD, DWORD, c_void_p, check=_OK)
AddAuditAccessAce     = _declare(_ADVAPI32, "AddAuditAccessAce", BOOL, c_void_p, DWORD, DWORD, c_void_p, BOOL, BOOL, check=_OK)
# fmt: on

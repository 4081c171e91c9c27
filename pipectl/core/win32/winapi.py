"""The declarations of Win32: structures, functions and their error checks. The only module that loads a DLL.

Each function is declared once, together with how it fails. The check of a BOOL function converts its result to an error
code: 0 for success, or one of the codes that the declaration lists because they are results and not failures. All other
codes raise a PipeError, with the pipe's name if the first argument has it: a `str`, or an owner with a `name`, such as
`Handle`.

Names and spelling are Microsoft's. Importing this module on another system raises UnsupportedError.
"""

import ctypes
import sys
from collections.abc import Callable
from ctypes import POINTER, Structure, Union, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from ctypes.wintypes import BOOL, BYTE, DWORD, HANDLE, LONG, LPCWSTR, LPWSTR, UINT, ULONG, USHORT
from typing import Any, cast

from pipectl.core.constants import WinError
from pipectl.core.errors import UnsupportedError, error_for

if sys.platform != "win32":
    raise UnsupportedError("Windows named pipes exist only on Windows", topic="system")

_LOAD_LIBRARY_SEARCH_SYSTEM32 = 0x800
INVALID_HANDLE_VALUE = c_void_p(-1).value


class OVERLAPPED(Structure):
    _fields_ = (
        ("Internal", c_size_t),
        ("InternalHigh", c_size_t),
        ("Offset", DWORD),
        ("OffsetHigh", DWORD),
        ("hEvent", HANDLE),
    )


class SECURITY_ATTRIBUTES(Structure):
    _fields_ = (("nLength", DWORD), ("lpSecurityDescriptor", c_void_p), ("bInheritHandle", BOOL))


class IO_STATUS_BLOCK(Structure):
    class _Status(Union):
        _fields_ = (("Status", c_int32), ("Pointer", c_void_p))

    _anonymous_ = ("u",)
    _fields_ = (("u", _Status), ("Information", c_size_t))


class UNICODE_STRING(Structure):
    _fields_ = (("Length", USHORT), ("MaximumLength", USHORT), ("Buffer", c_void_p))


class OBJECT_ATTRIBUTES(Structure):
    _fields_ = (
        ("Length", ULONG),
        ("RootDirectory", HANDLE),
        ("ObjectName", POINTER(UNICODE_STRING)),
        ("Attributes", ULONG),
        ("SecurityDescriptor", c_void_p),
        ("SecurityQualityOfService", c_void_p),
    )


class FILE_PIPE_LOCAL_INFORMATION(Structure):
    _fields_ = (
        ("NamedPipeType", ULONG),
        ("NamedPipeConfiguration", ULONG),
        ("MaximumInstances", ULONG),
        ("CurrentInstances", ULONG),
        ("InboundQuota", ULONG),
        ("ReadDataAvailable", ULONG),
        ("OutboundQuota", ULONG),
        ("WriteQuotaAvailable", ULONG),
        ("NamedPipeState", ULONG),
        ("NamedPipeEnd", ULONG),
    )


class FILETIME(Structure):
    _fields_ = (("dwLowDateTime", DWORD), ("dwHighDateTime", DWORD))


class SID_AND_ATTRIBUTES(Structure):
    _fields_ = (("Sid", c_void_p), ("Attributes", DWORD))


class LUID_AND_ATTRIBUTES(Structure):
    _fields_ = (("LowPart", DWORD), ("HighPart", LONG), ("Attributes", DWORD))


class TOKEN_ACCESS_INFORMATION(Structure):
    _fields_ = (
        ("SidHash", c_void_p),
        ("RestrictedSidHash", c_void_p),
        ("Privileges", c_void_p),
        ("AuthenticationId", DWORD * 2),
        ("TokenType", DWORD),
        ("ImpersonationLevel", DWORD),
        ("MandatoryPolicy", DWORD),
        ("Flags", DWORD),
    )


class TOKEN_USER(Structure):
    _fields_ = (("Sid", c_void_p), ("Attributes", DWORD), ("SidBytes", ctypes.c_ubyte * 68))  # SECURITY_MAX_SID_SIZE


class TOKEN_PRIVILEGE(Structure):
    """TOKEN_PRIVILEGES with one privilege."""

    _fields_ = (("PrivilegeCount", DWORD), ("Luid", DWORD * 2), ("Attributes", DWORD))


class SERVICE_STATUS_PROCESS(Structure):
    _fields_ = (
        ("dwServiceType", DWORD),
        ("dwCurrentState", DWORD),
        ("dwControlsAccepted", DWORD),
        ("dwWin32ExitCode", DWORD),
        ("dwServiceSpecificExitCode", DWORD),
        ("dwCheckPoint", DWORD),
        ("dwWaitHint", DWORD),
        ("dwProcessId", DWORD),
        ("dwServiceFlags", DWORD),
    )


class ENUM_SERVICE_STATUS_PROCESSW(Structure):
    _fields_ = (
        ("lpServiceName", LPWSTR),
        ("lpDisplayName", LPWSTR),
        ("ServiceStatusProcess", SERVICE_STATUS_PROCESS),
    )


CtrlHandler = ctypes.WINFUNCTYPE(BOOL, DWORD)


class SYSTEM_PROCESS_ID_INFORMATION(Structure):
    _fields_ = (("ProcessId", c_void_p), ("ImageName", UNICODE_STRING))


class GENERIC_MAPPING(Structure):
    _fields_ = (("GenericRead", DWORD), ("GenericWrite", DWORD), ("GenericExecute", DWORD), ("GenericAll", DWORD))


class JOBOBJECT_BASIC_LIMIT_INFORMATION(Structure):
    _fields_ = (
        ("PerProcessUserTimeLimit", c_int64),
        ("PerJobUserTimeLimit", c_int64),
        ("LimitFlags", DWORD),
        ("MinimumWorkingSetSize", c_size_t),
        ("MaximumWorkingSetSize", c_size_t),
        ("ActiveProcessLimit", DWORD),
        ("Affinity", c_size_t),
        ("PriorityClass", DWORD),
        ("SchedulingClass", DWORD),
    )


class JOBOBJECT_EXTENDED_LIMIT_INFORMATION(Structure):
    _fields_ = (
        ("BasicLimitInformation", JOBOBJECT_BASIC_LIMIT_INFORMATION),
        ("IoInfo", c_uint64 * 6),
        ("ProcessMemoryLimit", c_size_t),
        ("JobMemoryLimit", c_size_t),
        ("PeakProcessMemoryUsed", c_size_t),
        ("PeakJobMemoryUsed", c_size_t),
    )


LPOVERLAPPED = POINTER(OVERLAPPED)
LPSECURITY_ATTRIBUTES = POINTER(SECURITY_ATTRIBUTES)
LPDWORD = POINTER(DWORD)

_KERNEL32 = ctypes.WinDLL("kernel32", use_last_error=True)
_ADVAPI32 = ctypes.WinDLL("advapi32", use_last_error=True)
_NTDLL = ctypes.WinDLL("ntdll")

_Check = Callable[[Any, Any, tuple[Any, ...]], Any]


# The functions whose first argument, if it is a text, is the name of a pipe.
_NAME_A_PIPE = frozenset(("CreateNamedPipeW", "CallNamedPipeW", "WaitNamedPipeW", "CreateFileW"))


def format_error(code: int) -> str:
    """Return the system's message for a Win32 error code, without its line ending."""
    return ctypes.FormatError(code).strip()


def _pipe_error(code: int, function: str, arguments: tuple[Any, ...]) -> Exception:
    first = arguments[0] if arguments else None
    reason = format_error(code).rstrip(". ")
    if not isinstance(first, str):
        return error_for(code, reason, function, pipe=getattr(first, "name", None))
    if function in _NAME_A_PIPE:
        return error_for(code, reason, function, pipe=first)
    return error_for(code, reason, function, subject=first)


def _fail(code: int, function: Any, arguments: tuple[Any, ...]) -> Any:
    raise function.error(code, function.__name__, arguments)


def _ok(*results: WinError) -> _Check:
    """Check a BOOL: return 0 for success, return an error code in `results`, and raise any other."""
    codes = frozenset(map(int, results))

    def check(succeeded: int, function: Any, arguments: tuple[Any, ...]) -> int:
        if succeeded:
            return 0
        code = ctypes.get_last_error()
        return code if code in codes else _fail(code, function, arguments)

    return check


def _handle(value: int | None, function: Any, arguments: tuple[Any, ...]) -> int:
    """Check a handle: both NULL and INVALID_HANDLE_VALUE are failures, whichever the function uses."""
    if value is None or value == INVALID_HANDLE_VALUE:
        _fail(ctypes.get_last_error(), function, arguments)
    return value  # type: ignore[return-value]


def _code(code: int, function: Any, arguments: tuple[Any, ...]) -> int:
    """Check a function that returns its error code."""
    return code if code == 0 else _fail(code, function, arguments)


def _status(status: int, function: Any, arguments: tuple[Any, ...]) -> int:
    """Check a function that returns an NTSTATUS: 0 is success, and a negative status is a failure."""
    return status if status >= 0 else cast("int", _fail(RtlNtStatusToDosError(status), function, arguments))


def _zero(result: int, function: Any, arguments: tuple[Any, ...]) -> int:
    """Check a socket function: 0 is success; the error code of a failure is the thread's last error."""
    return result if result == 0 else cast("int", _fail(ctypes.get_last_error(), function, arguments))


def _wait(result: int, function: Any, arguments: tuple[Any, ...]) -> int:
    """Check a wait: WAIT_FAILED is the only failure."""
    return _fail(ctypes.get_last_error(), function, arguments) if result == 0xFFFF_FFFF else result


def _plain(result: Any, _function: Any, _arguments: tuple[Any, ...]) -> Any:
    """Check nothing: every result is valid."""
    return result


def _declare(dll: ctypes.CDLL, name: str, result: Any, *arguments: Any, check: _Check) -> Callable[..., Any]:
    try:
        function: Any = dll[name]
    except AttributeError:  # this Windows, or Wine, does not have it
        return _missing(name)
    function.restype = result
    function.argtypes = arguments
    function.error = _pipe_error
    if check is not _plain:
        function.errcheck = check
    return cast("Callable[..., Any]", function)


def raising(error: Callable[[int, str, tuple[Any, ...]], Exception], function: Any) -> Callable[..., Any]:
    """Declare a function of the table a second time, with the same check, but another error.

    `error` creates it from the code, the function's name and its arguments.
    """
    if not hasattr(function, "errcheck"):  # missing here
        return cast("Callable[..., Any]", function)
    twin = bare(function)
    twin.argtypes, twin.errcheck, twin.error = function.argtypes, function.errcheck, error
    return cast("Callable[..., Any]", twin)


def bare(function: Any) -> Any:
    """Declare a function of the table a second time, without conversions and checks, like `_native`."""
    if not hasattr(function, "errcheck"):  # missing here
        return function
    twin: Any = type(function)(ctypes.cast(function, c_void_p).value)
    twin.__name__, twin.restype = function.__name__, function.restype
    return twin


def _native(name: str, stands_for: str) -> Callable[..., int]:
    """Declare the native NT function behind a Win32 function, for code where every microsecond counts.

    It returns an unsigned NTSTATUS. Its arguments must have the types that ctypes passes without conversion, because
    converting and checking them takes as long as the rest of the call: c_void_p for a handle, `byref`, arrays, `bytes`,
    None, and int only for 32 bits. `native_error` returns the error for a status, with the Win32 function's name.
    """
    function: Any = _NTDLL[name]
    function.restype = ULONG
    function.__name__ = stands_for
    return cast("Callable[..., int]", function)


def library(name: str) -> ctypes.CDLL:
    """Load a DLL of Windows that few programs need; its functions are declared where they are used.

    It is only loaded from System32, never from the program's folder, such as a folder of downloads.
    """
    return ctypes.WinDLL(name, use_last_error=True, winmode=_LOAD_LIBRARY_SEARCH_SYSTEM32)


def native_error(status: int, function: Callable[..., int], owner: Any) -> Exception:
    """Return the error for the NTSTATUS of a native function; `owner` has the pipe's name."""
    return _pipe_error(RtlNtStatusToDosError(status), function.__name__, (owner,))


def _missing(name: str) -> Callable[..., Any]:
    def fail(*_arguments: Any) -> Any:
        raise UnsupportedError("this system does not have this function", code=WinError.PROC_NOT_FOUND, function=name)

    return fail


# fmt: off
_PENDING, _MORE = WinError.IO_PENDING, WinError.MORE_DATA
_PDWORD, _POV, _PSA = LPDWORD, LPOVERLAPPED, LPSECURITY_ATTRIBUTES

# Pipes
CreateNamedPipeW             = _declare(_KERNEL32, "CreateNamedPipeW", HANDLE, LPCWSTR, DWORD, DWORD, DWORD, DWORD, DWORD, DWORD, _PSA, check=_handle)
ConnectNamedPipe             = _declare(_KERNEL32, "ConnectNamedPipe", BOOL, HANDLE, _POV, check=_ok(_PENDING, WinError.PIPE_CONNECTED))
DisconnectNamedPipe          = _declare(_KERNEL32, "DisconnectNamedPipe", BOOL, HANDLE, check=_ok())
TransactNamedPipe            = _declare(_KERNEL32, "TransactNamedPipe", BOOL, HANDLE, c_void_p, DWORD, c_void_p, DWORD, _PDWORD, _POV, check=_ok(_PENDING, _MORE))
CallNamedPipeW               = _declare(_KERNEL32, "CallNamedPipeW", BOOL, LPCWSTR, c_void_p, DWORD, c_void_p, DWORD, _PDWORD, DWORD, check=_ok(_MORE))
WaitNamedPipeW               = _declare(_KERNEL32, "WaitNamedPipeW", BOOL, LPCWSTR, DWORD, check=_ok())
PeekNamedPipe                = _declare(_KERNEL32, "PeekNamedPipe", BOOL, HANDLE, c_void_p, DWORD, _PDWORD, _PDWORD, _PDWORD, check=_ok(_MORE))
GetNamedPipeInfo             = _declare(_KERNEL32, "GetNamedPipeInfo", BOOL, HANDLE, _PDWORD, _PDWORD, _PDWORD, _PDWORD, check=_ok())
GetNamedPipeHandleState      = _declare(_KERNEL32, "GetNamedPipeHandleStateW", BOOL, HANDLE, _PDWORD, _PDWORD, _PDWORD, _PDWORD, LPWSTR, DWORD, check=_ok())
SetNamedPipeHandleState      = _declare(_KERNEL32, "SetNamedPipeHandleState", BOOL, HANDLE, _PDWORD, _PDWORD, _PDWORD, check=_ok())
GetNamedPipeClientProcessId  = _declare(_KERNEL32, "GetNamedPipeClientProcessId", BOOL, HANDLE, _PDWORD, check=_ok())
GetNamedPipeServerProcessId  = _declare(_KERNEL32, "GetNamedPipeServerProcessId", BOOL, HANDLE, _PDWORD, check=_ok())
GetNamedPipeClientSessionId  = _declare(_KERNEL32, "GetNamedPipeClientSessionId", BOOL, HANDLE, _PDWORD, check=_ok())
GetNamedPipeServerSessionId  = _declare(_KERNEL32, "GetNamedPipeServerSessionId", BOOL, HANDLE, _PDWORD, check=_ok())
GetNamedPipeClientComputerNameW = _declare(_KERNEL32, "GetNamedPipeClientComputerNameW", BOOL, HANDLE, LPWSTR, ULONG, check=_ok(WinError.PIPE_LOCAL))
ImpersonateNamedPipeClient   = _declare(_ADVAPI32, "ImpersonateNamedPipeClient", BOOL, HANDLE, check=_ok())
RevertToSelf                 = _declare(_ADVAPI32, "RevertToSelf", BOOL, check=_ok())
CreatePipe                   = _declare(_KERNEL32, "CreatePipe", BOOL, POINTER(HANDLE), POINTER(HANDLE), _PSA, DWORD, check=_ok())

# Files and operations
CreateFileW                  = _declare(_KERNEL32, "CreateFileW", HANDLE, LPCWSTR, DWORD, DWORD, _PSA, DWORD, DWORD, HANDLE, check=_handle)
ReadFile                     = _declare(_KERNEL32, "ReadFile", BOOL, HANDLE, c_void_p, DWORD, _PDWORD, _POV, check=_ok(_PENDING, _MORE))
WriteFile                    = _declare(_KERNEL32, "WriteFile", BOOL, HANDLE, c_void_p, DWORD, _PDWORD, _POV, check=_ok(_PENDING))
FlushFileBuffers             = _declare(_KERNEL32, "FlushFileBuffers", BOOL, HANDLE, check=_ok())
GetOverlappedResult          = _declare(_KERNEL32, "GetOverlappedResult", BOOL, HANDLE, _POV, _PDWORD, BOOL, check=_ok(_MORE))
CancelIo                     = _declare(_KERNEL32, "CancelIo", BOOL, HANDLE, check=_ok())
CancelIoEx                   = _declare(_KERNEL32, "CancelIoEx", BOOL, HANDLE, _POV, check=_ok(WinError.NOT_FOUND))
CancelSynchronousIo          = _declare(_KERNEL32, "CancelSynchronousIo", BOOL, HANDLE, check=_ok(WinError.NOT_FOUND))
CloseHandle                  = _declare(_KERNEL32, "CloseHandle", BOOL, HANDLE, check=_ok())
DuplicateHandle              = _declare(_KERNEL32, "DuplicateHandle", BOOL, HANDLE, HANDLE, HANDLE, POINTER(HANDLE), DWORD, BOOL, DWORD, check=_ok())
SetHandleInformation         = _declare(_KERNEL32, "SetHandleInformation", BOOL, HANDLE, DWORD, DWORD, check=_ok())
GetFileInformationByHandleEx = _declare(_KERNEL32, "GetFileInformationByHandleEx", BOOL, HANDLE, DWORD, c_void_p, DWORD, check=_ok())
GetFileType                  = _declare(_KERNEL32, "GetFileType", DWORD, HANDLE, check=_plain)

# The native functions behind them; they need a file offset, too
NO_OFFSET                    = ctypes.byref(c_int64(0))
NtReadFile                   = _native("NtReadFile", "ReadFile")
NtWriteFile                  = _native("NtWriteFile", "WriteFile")
NtTransactNamedPipe          = _native("NtFsControlFile", "TransactNamedPipe")
NtRemoveIoCompletionEx       = _native("NtRemoveIoCompletionEx", "GetQueuedCompletionStatusEx")
NtWaitForSingleObject        = _native("NtWaitForSingleObject", "WaitForSingleObject")
NtWaitForMultipleObjects     = _native("NtWaitForMultipleObjects", "WaitForMultipleObjects")

# Events, waits and completion ports
CreateEventW                 = _declare(_KERNEL32, "CreateEventW", HANDLE, _PSA, BOOL, BOOL, LPCWSTR, check=_handle)
SetEvent                     = _declare(_KERNEL32, "SetEvent", BOOL, HANDLE, check=_ok())
ResetEvent                   = _declare(_KERNEL32, "ResetEvent", BOOL, HANDLE, check=_ok())
WaitForSingleObject          = _declare(_KERNEL32, "WaitForSingleObject", DWORD, HANDLE, DWORD, check=_wait)
WaitForMultipleObjects       = _declare(_KERNEL32, "WaitForMultipleObjects", DWORD, DWORD, c_void_p, BOOL, DWORD, check=_wait)
SetFileCompletionNotificationModes = _declare(_KERNEL32, "SetFileCompletionNotificationModes", BOOL, HANDLE, BYTE, check=_ok())
CreateIoCompletionPort       = _declare(_KERNEL32, "CreateIoCompletionPort", HANDLE, HANDLE, HANDLE, c_size_t, DWORD, check=_handle)
PostQueuedCompletionStatus   = _declare(_KERNEL32, "PostQueuedCompletionStatus", BOOL, HANDLE, DWORD, c_size_t, c_void_p, check=_ok())

# The kernel's queries about handles, open pipes, and the directory of pipes
NtQueryObject                = _declare(_NTDLL, "NtQueryObject", c_int32, HANDLE, ULONG, c_void_p, ULONG, _PDWORD, check=_status)
NtQueryInformationFile       = _declare(_NTDLL, "NtQueryInformationFile", c_int32, HANDLE, POINTER(IO_STATUS_BLOCK), c_void_p, ULONG, ULONG, check=_status)
NtQueryVolumeInformationFile = _declare(_NTDLL, "NtQueryVolumeInformationFile", c_int32, HANDLE, POINTER(IO_STATUS_BLOCK), c_void_p, ULONG, ULONG, check=_status)
NtQuerySystemInformation     = _declare(_NTDLL, "NtQuerySystemInformation", c_int32, ULONG, c_void_p, ULONG, _PDWORD, check=_plain)
NtQueryDirectoryFile         = _declare(_NTDLL, "NtQueryDirectoryFile", c_int32, HANDLE, HANDLE, c_void_p, c_void_p, POINTER(IO_STATUS_BLOCK), c_void_p, ULONG, ULONG, ctypes.c_ubyte, POINTER(UNICODE_STRING), ctypes.c_ubyte, check=_plain)
ReadDirectoryChangesW        = _declare(_KERNEL32, "ReadDirectoryChangesW", BOOL, HANDLE, c_void_p, DWORD, BOOL, DWORD, _PDWORD, _POV, c_void_p, check=_ok(_PENDING))
RtlNtStatusToDosError        = _declare(_NTDLL, "RtlNtStatusToDosError", ULONG, ULONG, check=_plain)

# Processes and their tokens
GetCurrentProcess            = _declare(_KERNEL32, "GetCurrentProcess", HANDLE, check=_plain)
GetCurrentProcessId          = _declare(_KERNEL32, "GetCurrentProcessId", DWORD, check=_plain)
GetCurrentThread             = _declare(_KERNEL32, "GetCurrentThread", HANDLE, check=_plain)
OpenProcess                  = _declare(_KERNEL32, "OpenProcess", HANDLE, DWORD, BOOL, DWORD, check=_handle)
GetExitCodeProcess           = _declare(_KERNEL32, "GetExitCodeProcess", BOOL, HANDLE, _PDWORD, check=_ok())
GetConsoleOutputCP           = _declare(_KERNEL32, "GetConsoleOutputCP", UINT, check=_plain)
GetConsoleMode               = _declare(_KERNEL32, "GetConsoleMode", BOOL, HANDLE, _PDWORD, check=_ok())
SetConsoleMode               = _declare(_KERNEL32, "SetConsoleMode", BOOL, HANDLE, DWORD, check=_ok())
ReadConsoleW                 = _declare(_KERNEL32, "ReadConsoleW", BOOL, HANDLE, c_void_p, DWORD, _PDWORD, c_void_p, check=_ok())
GetConsoleScreenBufferInfo   = _declare(_KERNEL32, "GetConsoleScreenBufferInfo", BOOL, HANDLE, c_void_p, check=_ok())
SetConsoleCtrlHandler        = _declare(_KERNEL32, "SetConsoleCtrlHandler", BOOL, CtrlHandler, BOOL, check=_ok())
GetOEMCP                     = _declare(_KERNEL32, "GetOEMCP", UINT, check=_plain)
GetStdHandle                 = _declare(_KERNEL32, "GetStdHandle", HANDLE, DWORD, check=_plain)
CreateJobObjectW             = _declare(_KERNEL32, "CreateJobObjectW", HANDLE, _PSA, LPCWSTR, check=_handle)
SetInformationJobObject      = _declare(_KERNEL32, "SetInformationJobObject", BOOL, HANDLE, DWORD, c_void_p, DWORD, check=_ok())
AssignProcessToJobObject     = _declare(_KERNEL32, "AssignProcessToJobObject", BOOL, HANDLE, HANDLE, check=_ok())
TerminateJobObject           = _declare(_KERNEL32, "TerminateJobObject", BOOL, HANDLE, DWORD, check=_ok())
NtResumeProcess              = _declare(_NTDLL, "NtResumeProcess", c_int32, HANDLE, check=_status)
QueryFullProcessImageNameW   = _declare(_KERNEL32, "QueryFullProcessImageNameW", BOOL, HANDLE, DWORD, LPWSTR, _PDWORD, check=_ok())
ProcessIdToSessionId         = _declare(_KERNEL32, "ProcessIdToSessionId", BOOL, DWORD, _PDWORD, check=_ok())
GetProcessTimes              = _declare(_KERNEL32, "GetProcessTimes", BOOL, HANDLE, POINTER(FILETIME), POINTER(FILETIME), POINTER(FILETIME), POINTER(FILETIME), check=_ok())
GetProcessHandleCount        = _declare(_KERNEL32, "GetProcessHandleCount", BOOL, HANDLE, _PDWORD, check=_ok())
OpenProcessToken             = _declare(_ADVAPI32, "OpenProcessToken", BOOL, HANDLE, DWORD, POINTER(HANDLE), check=_ok())
OpenThreadToken              = _declare(_ADVAPI32, "OpenThreadToken", BOOL, HANDLE, DWORD, BOOL, POINTER(HANDLE), check=_ok())
GetTokenInformation          = _declare(_ADVAPI32, "GetTokenInformation", BOOL, HANDLE, DWORD, c_void_p, DWORD, _PDWORD, check=_ok(WinError.INSUFFICIENT_BUFFER))
AdjustTokenPrivileges        = _declare(_ADVAPI32, "AdjustTokenPrivileges", BOOL, HANDLE, BOOL, c_void_p, DWORD, c_void_p, _PDWORD, check=_ok())
LookupPrivilegeValueW        = _declare(_ADVAPI32, "LookupPrivilegeValueW", BOOL, LPCWSTR, LPCWSTR, c_void_p, check=_ok())
LookupAccountSidW            = _declare(_ADVAPI32, "LookupAccountSidW", BOOL, LPCWSTR, c_void_p, LPWSTR, _PDWORD, LPWSTR, _PDWORD, _PDWORD, check=_ok(WinError.NONE_MAPPED))
LookupAccountNameW           = _declare(_ADVAPI32, "LookupAccountNameW", BOOL, LPCWSTR, LPCWSTR, c_void_p, _PDWORD, LPWSTR, _PDWORD, _PDWORD, check=_ok(WinError.NONE_MAPPED))
CreateRestrictedToken        = _declare(_ADVAPI32, "CreateRestrictedToken", BOOL, HANDLE, DWORD, DWORD, POINTER(SID_AND_ATTRIBUTES), DWORD, c_void_p, DWORD, c_void_p, POINTER(HANDLE), check=_ok())
DuplicateTokenEx             = _declare(_ADVAPI32, "DuplicateTokenEx", BOOL, HANDLE, DWORD, _PSA, DWORD, DWORD, POINTER(HANDLE), check=_ok())
SetTokenInformation          = _declare(_ADVAPI32, "SetTokenInformation", BOOL, HANDLE, DWORD, c_void_p, DWORD, check=_ok())
SetThreadToken               = _declare(_ADVAPI32, "SetThreadToken", BOOL, c_void_p, HANDLE, check=_ok())
NtCreateLowBoxToken          = _declare(_NTDLL, "NtCreateLowBoxToken", c_int32, POINTER(HANDLE), HANDLE, DWORD, c_void_p, c_void_p, ULONG, c_void_p, ULONG, c_void_p, check=_status)
AccessCheck                  = _declare(_ADVAPI32, "AccessCheck", BOOL, c_void_p, HANDLE, DWORD, POINTER(GENERIC_MAPPING), c_void_p, _PDWORD, _PDWORD, POINTER(BOOL), check=_ok())
GetConsoleProcessList        = _declare(_KERNEL32, "GetConsoleProcessList", DWORD, _PDWORD, DWORD, check=_plain)

# The system itself
NtQueryTimerResolution       = _declare(_NTDLL, "NtQueryTimerResolution", c_int32, POINTER(ULONG), POINTER(ULONG), POINTER(ULONG), check=_status)
IsWow64Process2              = _declare(_KERNEL32, "IsWow64Process2", BOOL, HANDLE, POINTER(USHORT), POINTER(USHORT), check=_ok())
GetACP                       = _declare(_KERNEL32, "GetACP", UINT, check=_plain)
GetOEMCP                     = _declare(_KERNEL32, "GetOEMCP", UINT, check=_plain)
wine_get_version             = _declare(_NTDLL, "wine_get_version", ctypes.c_char_p, check=_plain)

# Services
OpenSCManagerW               = _declare(_ADVAPI32, "OpenSCManagerW", HANDLE, LPCWSTR, LPCWSTR, DWORD, check=_handle)
CloseServiceHandle           = _declare(_ADVAPI32, "CloseServiceHandle", BOOL, HANDLE, check=_ok())
EnumServicesStatusExW        = _declare(_ADVAPI32, "EnumServicesStatusExW", BOOL, HANDLE, DWORD, DWORD, DWORD, c_void_p, DWORD, _PDWORD, _PDWORD, _PDWORD, LPCWSTR, check=_ok(_MORE))

# Security descriptors
ConvertStringSidToSidW       = _declare(_ADVAPI32, "ConvertStringSidToSidW", BOOL, LPCWSTR, POINTER(c_void_p), check=_ok())
ConvertSidToStringSidW       = _declare(_ADVAPI32, "ConvertSidToStringSidW", BOOL, c_void_p, POINTER(c_void_p), check=_ok())
ConvertStringSecurityDescriptorToSecurityDescriptorW = _declare(_ADVAPI32, "ConvertStringSecurityDescriptorToSecurityDescriptorW", BOOL, LPCWSTR, DWORD, POINTER(c_void_p), _PDWORD, check=_ok())
ConvertSecurityDescriptorToStringSecurityDescriptorW = _declare(_ADVAPI32, "ConvertSecurityDescriptorToStringSecurityDescriptorW", BOOL, c_void_p, DWORD, DWORD, POINTER(c_void_p), _PDWORD, check=_ok())
GetSecurityInfo              = _declare(_ADVAPI32, "GetSecurityInfo", DWORD, HANDLE, DWORD, DWORD, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(c_void_p), check=_code)
InitializeSecurityDescriptor = _declare(_ADVAPI32, "InitializeSecurityDescriptor", BOOL, c_void_p, DWORD, check=_ok())
SetSecurityDescriptorDacl    = _declare(_ADVAPI32, "SetSecurityDescriptorDacl", BOOL, c_void_p, BOOL, c_void_p, BOOL, check=_ok())
IsValidSecurityDescriptor    = _declare(_ADVAPI32, "IsValidSecurityDescriptor", BOOL, c_void_p, check=_plain)
GetSecurityDescriptorLength  = _declare(_ADVAPI32, "GetSecurityDescriptorLength", DWORD, c_void_p, check=_plain)
LocalFree                    = _declare(_KERNEL32, "LocalFree", c_void_p, c_void_p, check=_plain)
# fmt: on

# For declarations in the modules that `library` is for.
declare, check_code, check_handle, check_ok, check_zero, unchecked = _declare, _code, _handle, _ok, _zero, _plain
check_nothing = _plain

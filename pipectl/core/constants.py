"""The constants of Win32's pipe API: one enum for each parameter, and the error codes that pipes return."""

import re
from enum import IntEnum, IntFlag, StrEnum


class OpenMode(IntFlag):
    """`dwOpenMode` of CreateNamedPipe: the direction of the pipe, and how the handle works."""

    INBOUND = 0x0000_0001
    OUTBOUND = 0x0000_0002
    DUPLEX = 0x0000_0003
    WRITE_DAC = 0x0004_0000
    # The same bit as WRITE_OWNER: that right cannot be requested without this flag.
    FIRST_PIPE_INSTANCE = 0x0008_0000
    ACCESS_SYSTEM_SECURITY = 0x0100_0000
    OVERLAPPED = 0x4000_0000
    WRITE_THROUGH = 0x8000_0000


class PipeMode(IntFlag):
    """`dwPipeMode` of CreateNamedPipe, and `lpMode` of SetNamedPipeHandleState."""

    TYPE_BYTE = 0x0
    READ_BYTE = 0x0
    WAIT = 0x0
    ACCEPT_REMOTE_CLIENTS = 0x0
    NOWAIT = 0x1
    READ_MESSAGE = 0x2
    TYPE_MESSAGE = 0x4
    REJECT_REMOTE_CLIENTS = 0x8
    MESSAGE = TYPE_MESSAGE | READ_MESSAGE


class PipeFlags(IntFlag):
    """`lpFlags` of GetNamedPipeInfo."""

    CLIENT_END = 0x0
    SERVER_END = 0x1
    TYPE_BYTE = 0x0
    TYPE_MESSAGE = 0x4


class Access(IntFlag):
    """`dwDesiredAccess` of CreateFile, and the rights of an access control entry."""

    NONE = 0x0
    FILE_READ_DATA = 0x0000_0001
    FILE_WRITE_DATA = 0x0000_0002
    # FILE_APPEND_DATA for other files: the right to create a further server instance.
    FILE_CREATE_PIPE_INSTANCE = 0x0000_0004
    FILE_READ_EA = 0x0000_0008
    FILE_WRITE_EA = 0x0000_0010
    FILE_READ_ATTRIBUTES = 0x0000_0080
    FILE_WRITE_ATTRIBUTES = 0x0000_0100
    DELETE = 0x0001_0000
    READ_CONTROL = 0x0002_0000
    WRITE_DAC = 0x0004_0000
    WRITE_OWNER = 0x0008_0000
    SYNCHRONIZE = 0x0010_0000
    ACCESS_SYSTEM_SECURITY = 0x0100_0000
    MAXIMUM_ALLOWED = 0x0200_0000
    # What the generic rights are mapped to on a pipe.
    FILE_GENERIC_READ = 0x0012_0089
    FILE_GENERIC_WRITE = 0x0012_0116
    FILE_GENERIC_EXECUTE = 0x0012_00A0
    FILE_ALL_ACCESS = 0x001F_01FF
    GENERIC_ALL = 0x1000_0000
    GENERIC_EXECUTE = 0x2000_0000
    GENERIC_WRITE = 0x4000_0000
    GENERIC_READ = 0x8000_0000
    DUPLEX = GENERIC_READ | GENERIC_WRITE
    # Everything that a client needs, without FILE_CREATE_PIPE_INSTANCE, which GENERIC_WRITE contains.
    PIPE_CLIENT = 0x0012_019B


class ShareMode(IntFlag):
    """`dwShareMode` of CreateFile. A pipe ignores it."""

    NONE = 0x0
    READ = 0x1
    WRITE = 0x2
    DELETE = 0x4


class Disposition(IntEnum):
    """`dwCreationDisposition` of CreateFile. A pipe accepts only OPEN_EXISTING."""

    CREATE_NEW = 1
    CREATE_ALWAYS = 2
    OPEN_EXISTING = 3
    OPEN_ALWAYS = 4
    TRUNCATE_EXISTING = 5


class FileFlags(IntFlag):
    """`dwFlagsAndAttributes` of CreateFile, without the security bits of `Sqos`."""

    NONE = 0x0
    # Opens a link itself instead of its target.
    OPEN_REPARSE_POINT = 0x0020_0000
    BACKUP_SEMANTICS = 0x0200_0000
    OVERLAPPED = 0x4000_0000
    WRITE_THROUGH = 0x8000_0000


class ReadMode(StrEnum):
    """How a handle reads: whole messages, or bytes."""

    MESSAGE = "message"
    BYTE = "byte"


class WaitMode(StrEnum):
    """What a read or write does if it cannot complete at once: wait, or return."""

    WAIT = "wait"
    NOWAIT = "nowait"


class Sqos(IntFlag):
    """The security quality of service in `dwFlagsAndAttributes` of CreateFile: what a server may do as its client.

    Without SECURITY_SQOS_PRESENT, a server may impersonate the client.
    """

    ANONYMOUS = 0x0010_0000
    IDENTIFICATION = 0x0011_0000
    IMPERSONATION = 0x0012_0000
    DELEGATION = 0x0013_0000


class Nmpwait(IntEnum):
    """`nTimeOut` of WaitNamedPipe and CallNamedPipe: the values that are not a number of milliseconds."""

    USE_DEFAULT_WAIT = 0
    NOWAIT = 1
    WAIT_FOREVER = 0xFFFF_FFFF


class PipeState(IntEnum):
    """`NamedPipeState` of FILE_PIPE_LOCAL_INFORMATION."""

    DISCONNECTED = 1
    LISTENING = 2
    CONNECTED = 3
    CLOSING = 4


class PipeConfiguration(IntEnum):
    """`NamedPipeConfiguration` of FILE_PIPE_LOCAL_INFORMATION: the direction, seen from the server."""

    INBOUND = 0
    OUTBOUND = 1
    DUPLEX = 2


class Wait(StrEnum):
    """What `connect` waits for until its deadline."""

    NONE = "none"
    # Wait for a busy pipe, but fail at once if the pipe does not exist.
    FREE = "free"
    # Also wait for a pipe that does not exist.
    EXISTS = "exists"


class HalfClose(StrEnum):
    """What marks the end of one direction of a pipe."""

    # An empty message on a message pipe; nothing on a byte pipe.
    AUTO = "auto"
    # The same, and a byte pipe is read until the other end closes it.
    EMPTY = "empty"
    NONE = "none"


class EndOf(StrEnum):
    """Which end ends a session."""

    BOTH = "both"
    PIPE = "pipe"
    STDIN = "stdin"


class Condition(StrEnum):
    """What `wait_for` waits for."""

    FREE = "free"
    EXISTS = "exists"
    GONE = "gone"


# No limit, for `nMaxInstances` of CreateNamedPipe. The kernel, and Wine everywhere, report it as 0xFFFFFFFF.
UNLIMITED_INSTANCES = 255
INFINITE = 0xFFFF_FFFF

# The size of pipe buffers and of reads, in bytes. Windows' default for a server's buffers is 0, with which every write
# waits for its read.
BUFFER_SIZE = 64 << 10
# The largest write of a stream, in bytes. NT needs memory for the whole write, and may reject one of many MiB
# (ERROR_NO_SYSTEM_RESOURCES); a message is always one write.
LARGEST_WRITE = 4 << 20
# The default limit for received messages, in bytes.
MAX_MESSAGE = 64 << 20

# NTSTATUS values in OVERLAPPED.Internal while an operation is pending and when it has ended.
FSCTL_PIPE_TRANSCEIVE = 0x0011_C017

STATUS_SUCCESS = 0
STATUS_PENDING = 0x103
STATUS_BUFFER_OVERFLOW = 0x8000_0005
STATUS_END_OF_FILE = 0xC000_0011


class WinError(IntEnum):
    """The Win32 error codes that pipe and socket functions return; `symbol` is Microsoft's name of each."""

    SUCCESS = 0
    FILE_NOT_FOUND = 2
    PATH_NOT_FOUND = 3
    TOO_MANY_OPEN_FILES = 4
    ACCESS_DENIED = 5
    INVALID_HANDLE = 6
    NOT_ENOUGH_MEMORY = 8
    NOT_SUPPORTED = 50
    BAD_NETPATH = 53
    NETNAME_DELETED = 64
    BAD_NET_NAME = 67
    REQ_NOT_ACCEP = 71
    INVALID_PARAMETER = 87
    BROKEN_PIPE = 109
    CALL_NOT_IMPLEMENTED = 120
    SEM_TIMEOUT = 121
    INSUFFICIENT_BUFFER = 122
    INVALID_NAME = 123
    PROC_NOT_FOUND = 127
    BAD_PATHNAME = 161
    BAD_EXE_FORMAT = 193
    FILENAME_EXCED_RANGE = 206
    PIPE_LOCAL = 229
    BAD_PIPE = 230
    PIPE_BUSY = 231
    NO_DATA = 232
    PIPE_NOT_CONNECTED = 233
    MORE_DATA = 234
    WAIT_TIMEOUT = 258
    PIPE_CONNECTED = 535
    PIPE_LISTENING = 536
    HANDLES_CLOSED = 676
    ELEVATION_REQUIRED = 740
    OPERATION_ABORTED = 995
    IO_INCOMPLETE = 996
    IO_PENDING = 997
    NOT_FOUND = 1168
    NO_NET_OR_BAD_PATH = 1203
    SESSION_CREDENTIAL_CONFLICT = 1219
    CONNECTION_REFUSED = 1225
    NETWORK_UNREACHABLE = 1231
    HOST_UNREACHABLE = 1232
    CONNECTION_ABORTED = 1236
    SMB_GUEST_LOGON_BLOCKED = 1272
    LOGON_FAILURE = 1326
    ACCOUNT_RESTRICTION = 1327
    NONE_MAPPED = 1332
    INVALID_SECURITY_DESCR = 1338
    CANNOT_IMPERSONATE = 1368
    LOGON_TYPE_NOT_GRANTED = 1385
    WRONG_TARGET_NAME = 1396
    NO_SYSTEM_RESOURCES = 1450
    TIMEOUT = 1460
    WSAEACCES = 10013
    WSAEADDRINUSE = 10048
    WSAENETUNREACH = 10051
    WSAECONNABORTED = 10053
    WSAECONNRESET = 10054
    WSAETIMEDOUT = 10060
    WSAECONNREFUSED = 10061
    WSAEHOSTUNREACH = 10065

    @property
    def symbol(self) -> str:
        """The name of the code in Microsoft's headers."""
        return self.name if self.name.startswith(("WAIT_", "WSA")) else f"ERROR_{self.name}"


def instance_limit(number: int) -> int | None:
    """Return the instance limit for a number from the system; None means no limit."""
    return None if number in (UNLIMITED_INSTANCES, 0xFFFF_FFFF) else number


def symbol_of(code: int) -> str | None:
    """Return the Win32 symbol of an error code, or None for a code that pipes do not return."""
    try:
        return WinError(code).symbol
    except ValueError:
        return None


_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_TOO_LARGE = 1 << 32  # for a DWORD: ctypes would truncate it


def parse_size(text: str) -> int:
    """Parse a size such as `65536`, `64k` or `1MiB`, below 4 GiB, and return it in bytes; raises ValueError."""
    match = re.fullmatch(r"(\d{1,10})\s*([bkmg]?)(?:i?b)?", text.strip().lower(), re.ASCII)
    size = int(match[1]) * _UNITS[match[2]] if match else _TOO_LARGE
    if size >= _TOO_LARGE:
        raise ValueError(f"invalid size {text!r}: use bytes (65536), or 64k, 1MiB; the maximum is just below 4 GiB")
    return size


def size_text(size: int) -> str:
    """Return a size in the format of `parse_size`, in the largest unit that is exact: `64k`, `64m`."""
    for unit in ("g", "m", "k"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)

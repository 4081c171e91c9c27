"""pywin32's constants for pipe programs, with its names and values: plain ints, signed where pywin32's are.

They come from win32pipe, win32file, win32event, win32con, win32security, pywintypes and winerror. What `constants`
names too is taken from there.
"""

from pipectl.core import constants as _constants

# win32pipe, and win32con
UNICODE = 1
FILE_FLAG_FIRST_PIPE_INSTANCE = _constants.OpenMode.FIRST_PIPE_INSTANCE.value
NMPWAIT_NOWAIT = _constants.Nmpwait.NOWAIT.value
NMPWAIT_USE_DEFAULT_WAIT = _constants.Nmpwait.USE_DEFAULT_WAIT.value
NMPWAIT_WAIT_FOREVER = -1
PIPE_ACCEPT_REMOTE_CLIENTS = _constants.PipeMode.ACCEPT_REMOTE_CLIENTS.value
PIPE_ACCESS_DUPLEX = _constants.OpenMode.DUPLEX.value
PIPE_ACCESS_INBOUND = _constants.OpenMode.INBOUND.value
PIPE_ACCESS_OUTBOUND = _constants.OpenMode.OUTBOUND.value
PIPE_CLIENT_END = _constants.PipeFlags.CLIENT_END.value
PIPE_NOWAIT = _constants.PipeMode.NOWAIT.value
PIPE_READMODE_BYTE = _constants.PipeMode.READ_BYTE.value
PIPE_READMODE_MESSAGE = _constants.PipeMode.READ_MESSAGE.value
PIPE_REJECT_REMOTE_CLIENTS = _constants.PipeMode.REJECT_REMOTE_CLIENTS.value
PIPE_SERVER_END = _constants.PipeFlags.SERVER_END.value
PIPE_TYPE_BYTE = _constants.PipeMode.TYPE_BYTE.value
PIPE_TYPE_MESSAGE = _constants.PipeMode.TYPE_MESSAGE.value
PIPE_UNLIMITED_INSTANCES = _constants.UNLIMITED_INSTANCES
PIPE_WAIT = _constants.PipeMode.WAIT.value

# win32file, and win32con
GENERIC_ALL = _constants.Access.GENERIC_ALL.value
GENERIC_EXECUTE = _constants.Access.GENERIC_EXECUTE.value
GENERIC_READ = -0x8000_0000
GENERIC_WRITE = _constants.Access.GENERIC_WRITE.value
DELETE = _constants.Access.DELETE.value
READ_CONTROL = _constants.Access.READ_CONTROL.value
WRITE_DAC = _constants.Access.WRITE_DAC.value
WRITE_OWNER = _constants.Access.WRITE_OWNER.value
SYNCHRONIZE = _constants.Access.SYNCHRONIZE.value
ACCESS_SYSTEM_SECURITY = _constants.OpenMode.ACCESS_SYSTEM_SECURITY.value
MAXIMUM_ALLOWED = 0x0200_0000
FILE_ALL_ACCESS = 0x001F_01FF
FILE_GENERIC_READ = 0x0012_0089
FILE_GENERIC_WRITE = 0x0012_0116
FILE_SHARE_READ = _constants.ShareMode.READ.value
FILE_SHARE_WRITE = _constants.ShareMode.WRITE.value
FILE_SHARE_DELETE = _constants.ShareMode.DELETE.value
CREATE_NEW = _constants.Disposition.CREATE_NEW.value
CREATE_ALWAYS = _constants.Disposition.CREATE_ALWAYS.value
OPEN_EXISTING = _constants.Disposition.OPEN_EXISTING.value
OPEN_ALWAYS = _constants.Disposition.OPEN_ALWAYS.value
TRUNCATE_EXISTING = _constants.Disposition.TRUNCATE_EXISTING.value
FILE_ATTRIBUTE_NORMAL = 0x80
FILE_FLAG_OVERLAPPED = _constants.FileFlags.OVERLAPPED.value
FILE_FLAG_WRITE_THROUGH = -0x8000_0000
SECURITY_ANONYMOUS = 0x0000_0000
SECURITY_IDENTIFICATION = 0x0001_0000
SECURITY_IMPERSONATION = 0x0002_0000
SECURITY_DELEGATION = 0x0003_0000
SECURITY_CONTEXT_TRACKING = 0x0004_0000
SECURITY_EFFECTIVE_ONLY = 0x0008_0000
SECURITY_SQOS_PRESENT = 0x0010_0000
INVALID_HANDLE_VALUE = -1
FILE_TYPE_UNKNOWN = 0
FILE_TYPE_DISK = 1
FILE_TYPE_CHAR = 2
FILE_TYPE_PIPE = 3

# win32event
INFINITE = -1
MAXIMUM_WAIT_OBJECTS = 64
WAIT_OBJECT_0 = 0x00
WAIT_ABANDONED = 0x80
WAIT_ABANDONED_0 = 0x80
WAIT_IO_COMPLETION = 0xC0
WAIT_TIMEOUT = _constants.WinError.WAIT_TIMEOUT.value
WAIT_FAILED = -1
EVENT_MODIFY_STATE = 0x0000_0002
EVENT_ALL_ACCESS = 0x001F_0003

# win32security
SDDL_REVISION_1 = 1

# pywintypes
FALSE = False
TRUE = True

# winerror
ERROR_SUCCESS = _constants.WinError.SUCCESS.value
ERROR_FILE_NOT_FOUND = _constants.WinError.FILE_NOT_FOUND.value
ERROR_PATH_NOT_FOUND = _constants.WinError.PATH_NOT_FOUND.value
ERROR_TOO_MANY_OPEN_FILES = _constants.WinError.TOO_MANY_OPEN_FILES.value
ERROR_ACCESS_DENIED = _constants.WinError.ACCESS_DENIED.value
ERROR_INVALID_HANDLE = _constants.WinError.INVALID_HANDLE.value
ERROR_NOT_ENOUGH_MEMORY = _constants.WinError.NOT_ENOUGH_MEMORY.value
ERROR_HANDLE_EOF = 38
ERROR_NOT_SUPPORTED = _constants.WinError.NOT_SUPPORTED.value
ERROR_BAD_NETPATH = _constants.WinError.BAD_NETPATH.value
ERROR_BAD_NET_NAME = _constants.WinError.BAD_NET_NAME.value
ERROR_INVALID_PARAMETER = _constants.WinError.INVALID_PARAMETER.value
ERROR_BROKEN_PIPE = _constants.WinError.BROKEN_PIPE.value
ERROR_CALL_NOT_IMPLEMENTED = _constants.WinError.CALL_NOT_IMPLEMENTED.value
ERROR_SEM_TIMEOUT = _constants.WinError.SEM_TIMEOUT.value
ERROR_INSUFFICIENT_BUFFER = _constants.WinError.INSUFFICIENT_BUFFER.value
ERROR_INVALID_NAME = _constants.WinError.INVALID_NAME.value
ERROR_PROC_NOT_FOUND = _constants.WinError.PROC_NOT_FOUND.value
ERROR_ALREADY_EXISTS = 183
ERROR_BAD_EXE_FORMAT = _constants.WinError.BAD_EXE_FORMAT.value
ERROR_FILENAME_EXCED_RANGE = _constants.WinError.FILENAME_EXCED_RANGE.value
ERROR_PIPE_LOCAL = _constants.WinError.PIPE_LOCAL.value
ERROR_BAD_PIPE = _constants.WinError.BAD_PIPE.value
ERROR_PIPE_BUSY = _constants.WinError.PIPE_BUSY.value
ERROR_NO_DATA = _constants.WinError.NO_DATA.value
ERROR_PIPE_NOT_CONNECTED = _constants.WinError.PIPE_NOT_CONNECTED.value
ERROR_MORE_DATA = _constants.WinError.MORE_DATA.value
ERROR_PIPE_CONNECTED = _constants.WinError.PIPE_CONNECTED.value
ERROR_PIPE_LISTENING = _constants.WinError.PIPE_LISTENING.value
ERROR_HANDLES_CLOSED = _constants.WinError.HANDLES_CLOSED.value
ERROR_ELEVATION_REQUIRED = _constants.WinError.ELEVATION_REQUIRED.value
ERROR_OPERATION_ABORTED = _constants.WinError.OPERATION_ABORTED.value
ERROR_IO_INCOMPLETE = _constants.WinError.IO_INCOMPLETE.value
ERROR_IO_PENDING = _constants.WinError.IO_PENDING.value
ERROR_NOT_FOUND = _constants.WinError.NOT_FOUND.value
ERROR_LOGON_FAILURE = _constants.WinError.LOGON_FAILURE.value
ERROR_NONE_MAPPED = _constants.WinError.NONE_MAPPED.value
ERROR_INVALID_SECURITY_DESCR = _constants.WinError.INVALID_SECURITY_DESCR.value
ERROR_CANNOT_IMPERSONATE = _constants.WinError.CANNOT_IMPERSONATE.value
ERROR_NO_SYSTEM_RESOURCES = _constants.WinError.NO_SYSTEM_RESOURCES.value
ERROR_INVALID_SID = 1337
ERROR_ALLOTTED_SPACE_EXCEEDED = 1344
ERROR_TIMEOUT = _constants.WinError.TIMEOUT.value

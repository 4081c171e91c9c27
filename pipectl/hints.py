"""What to try next, for each error of the core, in the words of the command line. Imported when a command fails."""

from .core.constants import WinError
from .core.errors import InvalidPipeNameError, PipeError

_SEE_LIST = "See which pipes there are: `pipectl list`"
_CLOSED = "The other end closed the connection: look at the server's log, or try again"
_MORE_TIME = "Allow more time with `--timeout SECONDS`"
_NOT_NATIVE = "CallNamedPipe needs a duplex message pipe: leave out `--native`"
_IN_THE_WAY = (
    "There is a pipe whose name is the beginning of this one, up to a backslash; as long as it exists, Windows finds "
    "and makes no other below it: `pipectl list`"
)
_NO_PROGRAM = "Give its full path, or see if it can be found: `where {subject}`"
_FORMS = r"A pipe's name is \\.\pipe\NAME, or NAME alone, or \\HOST\pipe\NAME for another computer"

_BY_CODE: dict[int, str] = {
    WinError.FILE_NOT_FOUND: _SEE_LIST,
    WinError.PATH_NOT_FOUND: _SEE_LIST,
    WinError.BAD_NETPATH: "The computer cannot be reached over SMB (port 445): check its name",
    WinError.BAD_NET_NAME: r"A remote pipe is written \\HOST\pipe\NAME",
    WinError.ACCESS_DENIED: "See who may open it: `pipectl info {subject}`",
    WinError.LOGON_FAILURE: r"The remote computer refused the logon: connect first with `net use \\HOST\IPC$`",
    WinError.PIPE_BUSY: "Wait for a free instance: `pipectl wait {subject}`",
    WinError.SEM_TIMEOUT: "Every instance stayed taken: allow more time with `--timeout SECONDS`",
    WinError.WAIT_TIMEOUT: _MORE_TIME,
    WinError.TIMEOUT: _MORE_TIME,
    WinError.BROKEN_PIPE: _CLOSED,
    WinError.NO_DATA: _CLOSED,
    WinError.PIPE_NOT_CONNECTED: _CLOSED,
    WinError.BAD_PIPE: "See its type and state: `pipectl info {subject}`",
    WinError.PIPE_LISTENING: "No client is connected yet",
    WinError.IO_INCOMPLETE: "The operation is still under way",
    WinError.CANNOT_IMPERSONATE: "The server can be told the client's user only after it has read something, "
    "and if the client allows impersonation (`--sqos impersonation`)",
    WinError.INVALID_NAME: r"A pipe's name is \\.\pipe\NAME, or NAME alone, of at most 256 characters in all",
    WinError.BAD_PATHNAME: r"Windows waits only for \\.\pipe\NAME and \\HOST\pipe\NAME",
    WinError.FILENAME_EXCED_RANGE: "A pipe's name has at most 256 characters in all",
}

# The same code, with another meaning in this call.
_BY_CALL: dict[str, dict[int, str]] = {
    "CreateFileW": {WinError.INVALID_NAME: _IN_THE_WAY},
    "CreateNamedPipeW": {
        WinError.INVALID_NAME: _IN_THE_WAY,
        WinError.ACCESS_DENIED: "The name is already served (see `pipectl info {subject}`), its first instance has "
        "another type, direction, instance limit or access list, or a client of a server that has ended still has it "
        "open",
        WinError.PIPE_BUSY: "The name is already served with as many instances as it allows: `pipectl info {subject}`",
    },
    "WaitNamedPipeW": {WinError.HANDLES_CLOSED: _SEE_LIST},
    "TransactNamedPipe": {
        WinError.PIPE_BUSY: "Unread data waits on this connection: read it before the next transaction",
        WinError.BAD_PIPE: "A transaction needs a duplex message pipe in message read mode: `pipectl info {subject}`",
    },
    "ReadFile": {WinError.NO_DATA: "Nothing is there to be read yet, and the handle does not wait: try again"},
    "CallNamedPipeW": {
        WinError.BAD_PIPE: _NOT_NATIVE,
        # This is how a byte pipe shows itself: it cannot be put into message read mode.
        WinError.INVALID_PARAMETER: _NOT_NATIVE,
    },
    "SetNamedPipeHandleState": {
        WinError.ACCESS_DENIED: "Reading whole messages takes FILE_WRITE_ATTRIBUTES, which the pipe's access list "
        "does not give: `pipectl info {subject}`",
        WinError.INVALID_PARAMETER: "Message read mode needs a message pipe, and collection values the client end of a "
        "remote one",
    },
    "GetNamedPipeHandleStateW": {
        WinError.INVALID_PARAMETER: "Collection values exist only at the client end of a remote pipe",
    },
    "CreateProcessW": {
        WinError.FILE_NOT_FOUND: _NO_PROGRAM,
        WinError.PATH_NOT_FOUND: _NO_PROGRAM,
        WinError.ACCESS_DENIED: "Windows or its policy forbids this user to run it",
        WinError.ELEVATION_REQUIRED: "Start pipectl as administrator",
        WinError.BAD_EXE_FORMAT: "It is no program: name the one that runs it first, as in `python script.py`",
    },
}

# What has no code.
_BY_TOPIC: dict[str, str] = {
    "connection": "The requests before it are done: send the rest with another `pipectl transact {subject}`",
    "selftest": "Print a report to paste into an issue: `pipectl selftest --report`",
    "peer": "Nothing was sent. See who serves the pipe: `pipectl info {subject}`",
    "message size": "Allow more with `--max-message SIZE`",
    "system": "Run pipectl on Windows, or with a Windows Python under Wine",
    "directory": "Wine cannot; ask for one by its name: `pipectl wait PIPE --for exists --timeout 0`",
    "remote directory": "Run `pipectl list` on that computer",
    "own instances": "Add this user to the list with FILE_CREATE_PIPE_INSTANCE, as in `(A;;GA;;;SID)`",
    "name": _FORMS,
    "waiting": "Try to open it instead: `pipectl info {subject}`",
    "path": f"{_FORMS}; a POSIX shell needs single quotes around it",
}


def hint_for(error: PipeError) -> str | None:
    """Return what the person may try next, as one line; None where nothing useful can be said."""
    if isinstance(error, InvalidPipeNameError) and error.meant:
        return f"Write {' or '.join(error.meant)}"
    hint = _BY_TOPIC.get(error.topic) or _BY_CALL.get(error.function, {}).get(error.code)
    hint = hint or _BY_CODE.get(error.code)
    return hint and hint.replace("{subject}", quoted(error.subject or "PIPE"))


def quoted(name: str) -> str:
    """Return a name as it can be pasted to a prompt."""
    return f'"{name}"' if any(character in " &()[]{}^=;!'+,`~$" for character in name) else name

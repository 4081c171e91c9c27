"""What to try next, for each error of the core, in the words of the command line. Imported when a command fails."""

import re
from contextlib import suppress

from .core.constants import WinError
from .core.errors import InvalidPipeNameError, PipeError, ProgramNotFoundError
from .core.names import full_name, is_remote, short

_SEE_LIST = "See which pipes there are: `pipectl list`"
_SEE_LIST_THERE = "See which pipes there are: run `pipectl list` on that computer"
_CLOSED = "The other end closed the connection: look at the server's log, or try again"
_MORE_TIME = "Allow more time with `--timeout SECONDS`"
_OTHER_RULE = (
    "The reply may end otherwise: choose another rule, such as `--until idle:0.2`, or allow more time with "
    "`--timeout SECONDS`"
)
_NOT_NATIVE = "CallNamedPipe needs a duplex message pipe: leave out `--native`"
_IN_THE_WAY = (
    "There is a pipe whose name is the beginning of this one, up to a backslash; as long as it exists, Windows finds "
    "and makes no other below it: `pipectl list`"
)
_NO_PROGRAM = "Give its full path, or see whether it can be found: `where.exe {subject}`"
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
        WinError.ACCESS_DENIED: "Windows or its policy forbids this user to run it",
        WinError.ELEVATION_REQUIRED: "Start pipectl as administrator",
        WinError.BAD_EXE_FORMAT: "It is no program: name the one that runs it first, as in `python script.py`",
    },
}

# What has no code.
_BY_TOPIC: dict[str, str] = {
    "empty request": "Send at least one byte, such as a line feed: `--newline`",
    "connection": "The requests before it are done: send the rest with another `pipectl transact {subject}`",
    "peer": "Nothing was sent. See who serves the pipe: `pipectl info {subject}`",
    "frame": "See the bytes as they come: `pipectl read {subject} --as hex`",
    "message size": "Allow more with `--max-message SIZE`",
    "system": "Run pipectl on Windows, or with a Windows Python under Wine",
    "directory": "Ask for one by its name: `pipectl wait PIPE --for exists --timeout 0`",
    "handles": "Open the pipe and ask it: `pipectl info {subject}`",
    "who": "Run it as administrator, or ask the pipe itself, which takes an instance: `pipectl who {subject} --open`",
    "remote directory": "Run `pipectl list` on that computer",
    "remote server": "Run pipectl on that computer, or leave out the name of this one",
    "pattern": _SEE_LIST,
    "own instances": "Add this user to the list with FILE_CREATE_PIPE_INSTANCE, as in `(A;;GA;;;SID)`",
    "name": _FORMS,
    "waiting": "Try to open it instead: `pipectl info {subject}`",
    "path": f"{_FORMS}; a POSIX shell needs single quotes around it",
}


def hint_for(error: PipeError) -> str | None:
    """Return what the person may try next, as one line; None where nothing useful can be said."""
    if isinstance(error, InvalidPipeNameError) and error.meant:
        return f"Write {' or '.join(error.meant)}"
    if isinstance(error, ProgramNotFoundError):
        return _program_hint(error.subject or "PROGRAM")
    if error.partial and error.code == WinError.TIMEOUT:
        return _OTHER_RULE
    hint = _BY_TOPIC.get(error.topic) or _BY_CALL.get(error.function, {}).get(error.code)
    hint = hint or _BY_CODE.get(error.code)
    if hint == _SEE_LIST and error.pipe and is_remote(error.pipe):
        return _SEE_LIST_THERE
    return hint and hint.replace("{subject}", pasteable(error.subject or "PIPE"))


def _program_hint(program: str) -> str:
    from .core.children.search import batch_file

    batch = batch_file(program)
    return f"Batch files need their ending: `{batch}`" if batch else _NO_PROGRAM.replace("{subject}", quoted(program))


def pasteable(pipe: str) -> str:
    r"""Return a pipe's name as it can be pasted to PowerShell, bash or cmd: short, and with slashes for backslashes.

    A slash means the same to `full_name`, and bash removes a backslash.
    """
    shorter = short(pipe).replace("\\", "/")
    with suppress(InvalidPipeNameError):
        return quoted(shorter if full_name(shorter) == full_name(pipe) else pipe)
    return quoted(pipe)


def quoted(argument: str) -> str:
    """Return an argument as it can be pasted to a shell.

    Double quotes serve every shell. Where PowerShell and bash would expand something in them, single quotes serve these
    two; in them, PowerShell wants a single quote doubled.
    """
    if re.fullmatch(r"[\w./:+-]+", argument):
        return argument
    if any(character in '$`"!' for character in argument):
        return "'" + argument.replace("'", "''") + "'"
    return f'"{argument}"'

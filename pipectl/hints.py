"""Hints for the errors of the core: what to try next on the command line. Imported only when a command fails."""

import re
from contextlib import suppress

from .core.constants import WinError
from .core.errors import InvalidPipeNameError, PipeError, ProgramNotFoundError
from .core.names import full_name, is_remote, short

_SEE_LIST = "See which pipes exist: `pipectl list`"
_SEE_LIST_THERE = "See which pipes exist: run `pipectl list` on that computer"
_CLOSED = "The other end closed the connection: check the server's log, or try again"
_MORE_TIME = "Allow more time with `--timeout SECONDS`"
_OTHER_RULE = (
    "The reply may end in another way: try another rule, such as `--until idle:0.2`, or allow more time with "
    "`--timeout SECONDS`"
)
_NOT_NATIVE = "CallNamedPipe needs a duplex message pipe: omit `--native`"
_IN_THE_WAY = (
    "Another pipe has the name of this one up to a backslash; while it exists, Windows neither finds nor creates pipes "
    "below that name: `pipectl list`"
)
_NO_PROGRAM = "Give its full path, or check where Windows finds it: `where.exe {subject}`"
_FORMS = r"Write a pipe's name as \\.\pipe\NAME, just NAME, or \\HOST\pipe\NAME for another computer"

_BY_CODE: dict[int, str] = {
    WinError.FILE_NOT_FOUND: _SEE_LIST,
    WinError.PATH_NOT_FOUND: _SEE_LIST,
    WinError.BAD_NETPATH: "The computer cannot be reached over SMB (TCP port 445): check its name",
    WinError.BAD_NET_NAME: r"Write a remote pipe as \\HOST\pipe\NAME",
    WinError.ACCESS_DENIED: "Find out why: `pipectl doctor {subject}`",
    WinError.NETNAME_DELETED: "Try again: the computer has ended the connection",
    WinError.REQ_NOT_ACCEP: "See which connections are open, and end some on that computer: `net use`",
    WinError.NO_NET_OR_BAD_PATH: "Check the name and the network: `pipectl doctor {subject}`",
    WinError.SESSION_CREDENTIAL_CONFLICT: r"End the other connection first: `net use \\HOST\IPC$ /delete`",
    WinError.NETWORK_UNREACHABLE: "Check whether the computer can be reached: `pipectl doctor {subject}`",
    WinError.SMB_GUEST_LOGON_BLOCKED: r"Log on with an account of that computer: `net use \\HOST\IPC$ /user:NAME`",
    WinError.ACCOUNT_RESTRICTION: r"Log on with an account that has a password: `net use \\HOST\IPC$ /user:NAME`",
    WinError.LOGON_TYPE_NOT_GRANTED: "Give the account the right to access that computer from the network there: "
    "`secpol.msc`",
    WinError.WRONG_TARGET_NAME: "Write the computer's own name, and not an alias: `hostname` on that computer",
    WinError.LOGON_FAILURE: r"The remote computer refused the logon: connect first with `net use \\HOST\IPC$`",
    WinError.CONNECTION_REFUSED: "Nothing listens there: `netstat -ano` shows what does",
    WinError.WSAECONNREFUSED: "Nothing listens there: `netstat -ano` shows what does",
    WinError.WSAEADDRINUSE: "Another program has that port, as `netstat -ano` shows: choose another, or 0 for any",
    WinError.WSAEACCES: "Another program has that port for itself, or Windows keeps it: choose another, or 0 for any",
    WinError.PIPE_BUSY: "Wait for a free instance: `pipectl wait {subject}`",
    WinError.SEM_TIMEOUT: "All instances stayed in use: allow more time with `--timeout SECONDS`",
    WinError.WAIT_TIMEOUT: _MORE_TIME,
    WinError.TIMEOUT: _MORE_TIME,
    WinError.BROKEN_PIPE: _CLOSED,
    WinError.NO_DATA: _CLOSED,
    WinError.PIPE_NOT_CONNECTED: _CLOSED,
    WinError.BAD_PIPE: "See its type: `pipectl info {subject}`",
    WinError.PIPE_LISTENING: "No client is connected yet",
    WinError.IO_INCOMPLETE: "The operation is still in progress",
    WinError.CANNOT_IMPERSONATE: "A server can impersonate a client only after it has read something from it, and only "
    "if the client allows it (`--sqos impersonation`)",
    WinError.INVALID_NAME: r"Write a pipe's name as \\.\pipe\NAME or just NAME; at most 256 characters in total",
    WinError.BAD_PATHNAME: r"Windows can only wait for \\.\pipe\NAME and \\HOST\pipe\NAME",
    WinError.FILENAME_EXCED_RANGE: "A pipe's name can have at most 256 characters in total",
}

# Codes that mean something else in these calls.
_BY_CALL: dict[str, dict[int, str]] = {
    "CreateFileW": {WinError.INVALID_NAME: _IN_THE_WAY},
    "CreateNamedPipeW": {
        WinError.INVALID_NAME: _IN_THE_WAY,
        WinError.ACCESS_DENIED: "The name is in use: by another server (see `pipectl info {subject}`), by a first "
        "instance with another type, direction, instance limit or ACL, or by a client of a server that has exited",
        WinError.PIPE_BUSY: "The name is in use, and the pipe allows no more instances: `pipectl info {subject}`",
    },
    "WaitNamedPipeW": {WinError.HANDLES_CLOSED: _SEE_LIST},
    "TransactNamedPipe": {
        WinError.PIPE_BUSY: "This connection has unread data: read it before the next transaction",
        WinError.BAD_PIPE: "A transaction needs a duplex message pipe in message read mode: `pipectl info {subject}`",
    },
    "ReadFile": {WinError.NO_DATA: "There is no data yet, and the handle is in nowait mode: try again"},
    "CallNamedPipeW": {
        WinError.BAD_PIPE: _NOT_NATIVE,
        # A byte pipe fails like this: it does not support message read mode.
        WinError.INVALID_PARAMETER: _NOT_NATIVE,
    },
    "SetNamedPipeHandleState": {
        WinError.ACCESS_DENIED: "Reading whole messages needs FILE_WRITE_ATTRIBUTES, which the pipe's ACL does not "
        "grant: `pipectl info {subject}`",
        WinError.INVALID_PARAMETER: "Message read mode needs a message pipe; collection settings need the client end "
        "of a remote pipe",
    },
    "GetNamedPipeHandleStateW": {
        WinError.INVALID_PARAMETER: "Collection settings exist only at the client end of a remote pipe",
    },
    "CreateProcessW": {
        WinError.ACCESS_DENIED: "Windows or a policy does not allow this user to run it",
        WinError.ELEVATION_REQUIRED: "Run pipectl in an elevated prompt (Run as administrator)",
        WinError.BAD_EXE_FORMAT: "It is not a program: start it with its interpreter, as in `python script.py`",
    },
}

_ELEVATE = "`powershell Start-Process powershell -Verb RunAs`"
_OWN_LIST = "Change the ACL in the program that creates the pipe: `pipectl help access`"

# For the problems that `doctor` finds, by cause: a hint with one command that can be pasted.
_BY_CAUSE: dict[str, str] = {
    "name-too-long": "Choose a shorter name: `pipectl help quoting`",
    "absent": _SEE_LIST,
    "near-name": "Check whether this is the pipe you mean: `pipectl doctor {value}`",
    "service": "Start the service as administrator: `sc.exe start {value}`",
    "shadowed": "End the server of the other pipe, or choose another name: `pipectl who {value}`",
    "name-kept": "End the process that keeps the name, and start the server again: `taskkill /PID {value}`",
    "server-ended": "End the process that keeps the pipe, and start the server again: `taskkill /F /PID {value}`",
    "servers-differ": "End the server that should not be there: `pipectl who {subject} --ends server`",
    "suspended": "Resume process {value}, which a debugger or Windows has suspended: `resmon`",
    "not-elevated": f"Run the program as administrator: {_ELEVATE}",
    "not-in-list": _OWN_LIST,
    "denied-by-entry": _OWN_LIST,
    "network-logon": "Run the program in a session on the computer itself, and not over ssh or WinRM: `pipectl help "
    "access`",
    "integrity": _OWN_LIST,
    "appcontainer": _OWN_LIST,
    "restricted": _OWN_LIST,
    "direction": "Open it for that direction only: `pipectl doctor {subject} --mode {value}`",
    "denied": f"Read the ACL in an elevated prompt: {_ELEVATE}",
    "denied-all-the-same": "See which drivers filter files and pipes, as administrator: `fltmc filters`",
    "full": "Wait for a free instance: `pipectl wait {subject} --timeout 30`",
    "not-listening": "Wait until the server listens again: `pipectl wait {subject} --timeout 30`",
    "client-left": "Have the server disconnect clients that have left, and wait: `pipectl wait {subject} --timeout 30`",
    "not-reading": "Check which clients the server has, and restart it if it hangs: `pipectl who {subject}`",
    "wrong-type": "Check the type of the pipe: `pipectl state {subject}`",
    "no-reply": "The server may wait for the end of a line: `pipectl call {subject} DATA --newline`",
    "hung-up": "Check what the server sends on its own, and its log: `pipectl peek {subject}`",
    "not-seen": "Run it in an elevated prompt: `pipectl doctor {subject}`",
    "failed": "Check which processes have it open: `pipectl who {subject}`",
    "unknown-host": "Check the computer's name: `nslookup {value}`",
    "no-smb": 'On that computer, allow SMB as administrator: `netsh advfirewall firewall set rule name="File and '
    'Printer Sharing (SMB-In)" new enable=yes`',
    "taken": "Find the process that serves it: `pipectl who {subject}`",
    "no-instance-right": "End the server that created the pipe, or change its ACL: `pipectl who {subject}`",
    "most-instances": "End a server, or raise the limit of the first instance: `pipectl who {subject}`",
    "differs": "Create it like the first instance: `pipectl info {subject}`",
    "protected-prefix": f"Choose another name, or use an elevated prompt: {_ELEVATE}",
}

# Errors without a code.
_BY_TOPIC: dict[str, str] = {
    "bench busy": "Use fewer connections, or allow more time: `pipectl bench {subject} --connections 1`",
    "bench nothing": "Measure for longer: `--duration 30`",
    "bench rule": "Say where a reply ends: `pipectl bench {subject} DATA --newline --until line`",
    "empty request": "Send at least one byte, such as a line feed: `--newline`",
    "connection": "The requests before it succeeded: send the rest with another `pipectl transact {subject}`",
    "frame": "See the bytes as they arrive: `pipectl read {subject} --as hex`",
    "rules": "List the rules, and what they apply to: `pipectl serve {subject} --rules FILE --check`",
    "rules file": "`pipectl help mock` lists all keys",
    "selftest": "Print a report to paste into an issue: `pipectl selftest --report`",
    "peer": "Nothing was sent. See which process serves the pipe: `pipectl info {subject}`",
    "codec": "`pipectl help codecs` lists all codecs, and what each sends",
    "message size": "Allow more with `--max-message SIZE`",
    "system": "Run pipectl on Windows, or with Windows Python under Wine",
    "directory": "Check for a pipe by its name: `pipectl wait PIPE --for exists --timeout 0`",
    "handles": "Open the pipe and query it: `pipectl info {subject}`",
    "who": "Use an elevated prompt, or query the pipe itself, which uses an instance: `pipectl who {subject} --open`",
    "remote directory": "Run `pipectl list` on that computer",
    "remote server": "Run pipectl on that computer, or omit the computer's name if it is this one",
    "pattern": _SEE_LIST,
    "own instances": "Add an entry that grants this user FILE_CREATE_PIPE_INSTANCE, such as `(A;;GA;;;SID)`",
    "name": _FORMS,
    "waiting": "Try to open it instead: `pipectl info {subject}`",
    "place": "Write NAME, pipe:NAME, tcp:PORT, tcp:HOST:PORT, or - for stdin and stdout",
    "mismatch": "Compare less: `--match codec`, `--match kind`, or leave out what always differs: `--ignore FIELD`",
    "recording cut": "Free some space, or keep less: `--record-limit 64m:5`",
    "path": f"{_FORMS}; a POSIX shell needs single quotes around it",
}


def hint_for(error: PipeError) -> str | None:
    """Return a hint on what to try next, as one line; None if there is nothing useful to say."""
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


def fix_for(cause: str, pipe: str, value: str | None = None, code: int = 0) -> str:
    """Return a hint for a cause that `doctor` has found, as one line with a command.

    `value` belongs to the cause, such as another name, and `code` is the Win32 error code from another computer.
    """
    text = _BY_CAUSE.get(cause) or _there(code)
    subject = pasteable(pipe)
    return text.replace("{subject}", subject).replace("{value}", pasteable(value) if value else "PIPE")


def _there(code: int) -> str:
    """Return a hint for an error code from another computer."""
    if code == WinError.ACCESS_DENIED:
        return "See what the network may do there, on that computer: `pipectl doctor NAME --as network`"
    return _BY_CODE.get(code, "Look at the pipe on that computer: `pipectl doctor NAME --as network`")


def _program_hint(program: str) -> str:
    from .core.children.search import batch_file

    batch = batch_file(program)
    if batch:
        return f"Batch files need their extension: `{batch}`"
    return _NO_PROGRAM.replace("{subject}", quoted(program))


def pasteable(pipe: str) -> str:
    r"""Return a pipe's name that can be pasted into PowerShell, bash and cmd: short, with slashes for backslashes.

    `full_name` treats both the same, and bash removes unquoted backslashes.
    """
    shorter = short(pipe).replace("\\", "/")
    with suppress(InvalidPipeNameError):
        return quoted(shorter if full_name(shorter) == full_name(pipe) else pipe)
    return quoted(pipe)


def quoted(argument: str) -> str:
    """Return an argument that can be pasted into a shell, quoted if necessary.

    Double quotes work in every shell. If PowerShell and bash would expand something in them, the argument gets single
    quotes, which work in these two; PowerShell needs single quotes inside them doubled.
    """
    if re.fullmatch(r"[\w./:+-]+", argument):
        return argument
    if any(character in '$`"!' for character in argument):
        return "'" + argument.replace("'", "''") + "'"
    return f'"{argument}"'

"""Everything that can go wrong with a pipe, as types.

The tree; in brackets the built-in class that an error is too, so that `except FileNotFoundError` works:

* PipeError (OSError)
  + PipeNotFoundError (FileNotFoundError)       no pipe of that name, or no such computer
  + PipeBusyError                               it exists, and all its instances are taken
  + PipeAccessError (PermissionError)           its access list, or the kind of logon, refuses
  + PipeTimeoutError (TimeoutError)             the deadline passed
  + PipeClosedError (ConnectionError)           the other end is gone
  + PipeStateError                              not possible in this mode or state of the pipe
  + MessageTooLongError                         a message is longer than the caller allows
  + PeerMismatchError                           the other end is not who it was expected to be
  + OperationAbortedError                       cancelled, by this program or by the end of a thread
  + InvalidPipeNameError (ValueError)           that cannot be the name of a pipe
  + ProgramNotFoundError (FileNotFoundError)    no program of that name
  + UnsupportedError                            this system cannot do that

An error knows the Win32 function that failed, the pipe, the code and its symbol, and a hint: what to try. The hint
depends on the call and not on the code alone: 5 from CreateFile and 5 from CreateNamedPipe are different stories.
"""

from typing import NamedTuple

from .constants import WinError, symbol_of


class PipeError(OSError):
    """A Win32 call on a pipe that failed."""

    def __init__(
        self, reason: str, *, code: int = 0, function: str = "", pipe: str | None = None, hint: str | None = None
    ) -> None:
        # The fourth argument is what fills `winerror` (and `errno` from it) on Windows; it takes a C long.
        super().__init__(0, reason, pipe, code - (1 << 32) if code >= 1 << 31 else code)
        self.reason = reason
        self.code = code
        self.function = function
        self.pipe = pipe
        self._hint = hint

    @property
    def symbol(self) -> str | None:
        """The code's Win32 name, such as `ERROR_PIPE_BUSY`; None where no code was involved or it has no name here."""
        return symbol_of(self.code) if self.code else None

    @property
    def hint(self) -> str | None:
        """What the person may try next, as one line; None where nothing useful can be said."""
        text = self._hint or _hint(self.function, self.code)
        return text and text.replace("{pipe}", quoted(self.pipe or "PIPE"))

    def __str__(self) -> str:
        what = " on ".join(part for part in (self.function, self.pipe) if part)
        code = f" ({', '.join(filter(None, (self.symbol, str(self.code))))})" if self.code else ""
        return f"{what}: {self.reason}{code}" if what else f"{self.reason}{code}"


class PipeNotFoundError(PipeError, FileNotFoundError):
    """There is no pipe of that name."""


class PipeBusyError(PipeError):
    """The pipe exists, and every instance of it is taken."""


class PipeAccessError(PipeError, PermissionError):
    """The pipe's access list refuses this user, this direction or this kind of logon."""


class PipeTimeoutError(PipeError, TimeoutError):
    """The deadline passed before the operation was done."""


class PipeClosedError(PipeError, ConnectionError):
    """The other end closed the pipe, or was never there."""


class PipeStateError(PipeError):
    """The operation is not possible in the mode or state that the pipe is in."""


class MessageTooLongError(PipeError):
    """A message is longer than the caller allows; `data` is the part that was read."""

    def __init__(self, reason: str, *, data: bytes = b"", function: str = "", pipe: str | None = None) -> None:
        super().__init__(reason, code=WinError.MORE_DATA, function=function, pipe=pipe)
        self.data = data


class PeerMismatchError(PipeError):
    """The process at the other end is not the expected one."""


class OperationAbortedError(PipeError):
    """The operation was cancelled before it was done."""


class InvalidPipeNameError(PipeError, ValueError):
    """The text cannot be the name of a pipe."""


class ProgramNotFoundError(PipeError, FileNotFoundError):
    """There is no program of that name to start."""


class UnsupportedError(PipeError):
    """This system, or this version of it, cannot do that."""


class _Known(NamedTuple):
    error: type[PipeError]
    hint: str | None = None


_GONE = _Known(PipeClosedError, "The other end closed the connection: look at the server's log, or try again")

_BY_CODE: dict[int, _Known] = {
    WinError.FILE_NOT_FOUND: _Known(PipeNotFoundError, "See which pipes there are: `pipectl list`"),
    WinError.PATH_NOT_FOUND: _Known(PipeNotFoundError, "See which pipes there are: `pipectl list`"),
    WinError.BAD_NETPATH: _Known(
        PipeNotFoundError, "The computer cannot be reached over SMB (port 445): check its name"
    ),
    WinError.BAD_NET_NAME: _Known(PipeNotFoundError, "A remote pipe is written \\\\HOST\\pipe\\NAME"),
    WinError.ACCESS_DENIED: _Known(PipeAccessError, "See who may open it: `pipectl info {pipe}`"),
    WinError.LOGON_FAILURE: _Known(
        PipeAccessError, "The remote computer refused the logon: connect first with `net use \\\\HOST\\IPC$`"
    ),
    WinError.PIPE_BUSY: _Known(PipeBusyError, "Wait for a free instance: `pipectl wait {pipe}`"),
    WinError.SEM_TIMEOUT: _Known(
        PipeTimeoutError, "Every instance stayed taken: allow more time with `--timeout SECONDS`"
    ),
    WinError.WAIT_TIMEOUT: _Known(PipeTimeoutError, "Allow more time with `--timeout SECONDS`"),
    WinError.TIMEOUT: _Known(PipeTimeoutError, "Allow more time with `--timeout SECONDS`"),
    WinError.BROKEN_PIPE: _GONE,
    WinError.NO_DATA: _GONE,
    WinError.PIPE_NOT_CONNECTED: _GONE,
    WinError.BAD_PIPE: _Known(PipeStateError, "See its type and state: `pipectl info {pipe}`"),
    WinError.PIPE_LOCAL: _Known(PipeStateError),
    WinError.PIPE_LISTENING: _Known(PipeStateError, "No client is connected yet"),
    WinError.IO_INCOMPLETE: _Known(PipeStateError, "The operation is still under way"),
    WinError.INVALID_PARAMETER: _Known(PipeStateError),
    WinError.CANNOT_IMPERSONATE: _Known(
        PipeStateError,
        "The server can be told the client's user only after it has read something, "
        "and if the client allows impersonation (`--sqos impersonation`)",
    ),
    WinError.OPERATION_ABORTED: _Known(OperationAbortedError),
    WinError.INVALID_NAME: _Known(
        InvalidPipeNameError, "A pipe's name is \\\\.\\pipe\\NAME, or NAME alone, of at most 256 characters in all"
    ),
    WinError.FILENAME_EXCED_RANGE: _Known(InvalidPipeNameError, "A pipe's name has at most 256 characters in all"),
    WinError.CALL_NOT_IMPLEMENTED: _Known(UnsupportedError),
    WinError.PROC_NOT_FOUND: _Known(UnsupportedError),
    WinError.NOT_SUPPORTED: _Known(UnsupportedError),
}

_NO_PROGRAM = _Known(ProgramNotFoundError, "Give its full path, or see if it can be found: `where {pipe}`")

# The same code, with another meaning in this call.
_BY_CALL: dict[tuple[str, int], _Known] = {
    ("CreateNamedPipeW", WinError.ACCESS_DENIED): _Known(
        PipeAccessError,
        "The name is already served (see `pipectl info {pipe}`), or its first instance has another type, direction, "
        "instance limit or access list",
    ),
    ("CreateNamedPipeW", WinError.PIPE_BUSY): _Known(
        PipeBusyError, "The name is already served with as many instances as it allows: `pipectl info {pipe}`"
    ),
    # The pipe went while it was waited for; so Wine tells it.
    ("WaitNamedPipeW", WinError.HANDLES_CLOSED): _Known(PipeNotFoundError, "See which pipes there are: `pipectl list`"),
    ("TransactNamedPipe", WinError.PIPE_BUSY): _Known(
        PipeStateError, "Unread data waits on this connection: read it before the next transaction"
    ),
    ("TransactNamedPipe", WinError.BAD_PIPE): _Known(
        PipeStateError, "A transaction needs a duplex message pipe in message read mode: `pipectl info {pipe}`"
    ),
    ("CallNamedPipeW", WinError.BAD_PIPE): _Known(
        PipeStateError, "CallNamedPipe needs a duplex message pipe: leave out `--native`"
    ),
    ("SetNamedPipeHandleState", WinError.INVALID_PARAMETER): _Known(
        PipeStateError,
        "Message read mode needs a message pipe, and collection values the client end of a remote one",
    ),
    ("GetNamedPipeHandleStateW", WinError.INVALID_PARAMETER): _Known(
        PipeStateError, "Collection values exist only at the client end of a remote pipe"
    ),
    # Here a program stands in the place of the pipe.
    ("CreateProcessW", WinError.FILE_NOT_FOUND): _NO_PROGRAM,
    ("CreateProcessW", WinError.PATH_NOT_FOUND): _NO_PROGRAM,
    ("CreateProcessW", WinError.ACCESS_DENIED): _Known(
        PipeAccessError, "Windows or its policy forbids this user to run it"
    ),
    ("CreateProcessW", WinError.ELEVATION_REQUIRED): _Known(PipeAccessError, "Start pipectl as administrator"),
    ("CreateProcessW", WinError.BAD_EXE_FORMAT): _Known(
        PipeError, "It is no program: name the one that runs it first, as in `python script.py`"
    ),
}

_UNKNOWN = _Known(PipeError)


def _known(function: str, code: int) -> _Known:
    return _BY_CALL.get((function, code)) or _BY_CODE.get(code, _UNKNOWN)


def _hint(function: str, code: int) -> str | None:
    return _known(function, code).hint


def error_for(code: int, reason: str, function: str = "", pipe: str | None = None) -> PipeError:
    """Make the error that a Win32 code means when this function gives it; `reason` is the system's text for it."""
    if code == WinError.MORE_DATA:
        return MessageTooLongError(reason, function=function, pipe=pipe)
    return _known(function, code).error(reason, code=code, function=function, pipe=pipe)


def quoted(pipe: str) -> str:
    """Write a pipe's name as it can be pasted to a prompt."""
    return f'"{pipe}"' if any(character in " &()[]{}^=;!'+,`~$" for character in pipe) else pipe

"""Everything that can go wrong with a pipe, as types.

The tree; in brackets the built-in class that an error is too, so that `except FileNotFoundError` works:

* PipeError (OSError)
  + PipeNotFoundError (FileNotFoundError)       no pipe of that name, or no such computer
  + PipeBusyError                               it exists, and all its instances are taken
  + PipeAccessError (PermissionError)           its access list, or the kind of logon, refuses
  + PipeTimeoutError (TimeoutError)             the deadline passed
  + PipeClosedError (ConnectionError)           the other end is gone
  + PipeStateError                              not possible in this mode or state of the pipe
    - ConnectionUnusableError                   the next reply might be another request's: connect again
  + MessageTooLongError                         a message is longer than the caller allows
  + FrameError                                  what came is no frame, or was cut within one
  + PartialResultError                          a part was had before another error
  + PeerMismatchError                           the other end is not who it was expected to be
  + OperationAbortedError                       cancelled, by this program or by the end of a thread
  + InvalidPipeNameError (ValueError)           that cannot be the name of a pipe
  + ProgramNotFoundError (FileNotFoundError)    no program of that name
  + UnsupportedError                            this system cannot do that

An error knows the Win32 function that failed, the pipe or other subject, the code and its symbol. What to try next is
for whoever talks to the person: `pipectl.hints` for the command line.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from .constants import WinError, symbol_of

_T = TypeVar("_T")


class PipeError(OSError):
    """A Win32 call on a pipe that failed.

    `pipe` is the pipe's full name; `subject` what failed where that is no pipe, such as a program, and else the pipe.
    `topic` names what went wrong where no code does, so that advice can be looked up by it. `partial` is what had come
    of a result that is not whole.
    """

    def __init__(
        self,
        reason: str,
        *,
        code: int = 0,
        function: str = "",
        pipe: str | None = None,
        subject: str | None = None,
        topic: str = "",
    ) -> None:
        # The fourth argument is what fills `winerror` (and `errno` from it) on Windows; it takes a C long.
        super().__init__(0, reason, subject or pipe, code - (1 << 32) if code >= 1 << 31 else code)
        self.reason = reason
        self.code = code
        self.function = function
        self.pipe = pipe
        self.subject = subject or pipe
        self.topic = topic
        self.partial = b""

    @property
    def symbol(self) -> str | None:
        """The code's Win32 name, such as `ERROR_PIPE_BUSY`; None where no code was involved or it has no name here."""
        return symbol_of(self.code) if self.code else None

    def __str__(self) -> str:
        what = " on ".join(part for part in (self.function, self.subject) if part)
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


class ConnectionUnusableError(PipeStateError):
    """The connection cannot tell any more which request the next reply answers: `reconnect`, or connect again."""


class MessageTooLongError(PipeError):
    """A message is longer than the caller allows; `data` is the part that was read."""

    def __init__(
        self,
        reason: str,
        *,
        data: bytes = b"",
        function: str = "",
        pipe: str | None = None,
        subject: str | None = None,
        topic: str = "",
    ) -> None:
        super().__init__(reason, code=WinError.MORE_DATA, function=function, pipe=pipe, subject=subject, topic=topic)
        self.data = self.partial = data


class FrameError(PipeError):
    """What came is no frame of the rule in use, or the stream was cut within one."""

    def __init__(self, reason: str, *, pipe: str | None = None) -> None:
        super().__init__(reason, pipe=pipe, topic="frame")


class PeerMismatchError(PipeError):
    """The process at the other end is not the expected one."""


class OperationAbortedError(PipeError):
    """The operation was cancelled before it was done."""


class InvalidPipeNameError(PipeError, ValueError):
    """The text cannot be the name of a pipe; `meant` are the names that it may stand for."""

    def __init__(
        self,
        reason: str,
        *,
        code: int = 0,
        function: str = "",
        pipe: str | None = None,
        subject: str | None = None,
        topic: str = "",
        meant: tuple[str, ...] = (),
    ) -> None:
        super().__init__(reason, code=code, function=function, pipe=pipe, subject=subject, topic=topic)
        self.meant = meant


class ProgramNotFoundError(PipeError, FileNotFoundError):
    """There is no program of that name to start."""


class UnsupportedError(PipeError):
    """This system, or this version of it, cannot do that."""


class PartialResultError(PipeError):
    """Only a part of the result was had before another error, its `__cause__`, ended the rest."""

    @classmethod
    def after(cls, cause: PipeError) -> "PartialResultError":
        """Return the error for a result that another error has cut short; it reads the same."""
        error = cls(
            cause.reason,
            code=cause.code,
            function=cause.function,
            pipe=cause.pipe,
            subject=cause.subject,
            topic=cause.topic,
        )
        error.partial = cause.partial
        return error


_BY_CODE: dict[int, type[PipeError]] = {
    WinError.FILE_NOT_FOUND: PipeNotFoundError,
    WinError.PATH_NOT_FOUND: PipeNotFoundError,
    WinError.BAD_NETPATH: PipeNotFoundError,
    WinError.BAD_NET_NAME: PipeNotFoundError,
    WinError.ACCESS_DENIED: PipeAccessError,
    WinError.LOGON_FAILURE: PipeAccessError,
    WinError.ELEVATION_REQUIRED: PipeAccessError,
    WinError.PIPE_BUSY: PipeBusyError,
    WinError.SEM_TIMEOUT: PipeTimeoutError,
    WinError.WAIT_TIMEOUT: PipeTimeoutError,
    WinError.TIMEOUT: PipeTimeoutError,
    WinError.BROKEN_PIPE: PipeClosedError,
    WinError.NO_DATA: PipeClosedError,
    WinError.PIPE_NOT_CONNECTED: PipeClosedError,
    WinError.BAD_PIPE: PipeStateError,
    WinError.PIPE_LOCAL: PipeStateError,
    WinError.PIPE_LISTENING: PipeStateError,
    WinError.IO_INCOMPLETE: PipeStateError,
    WinError.INVALID_PARAMETER: PipeStateError,
    WinError.CANNOT_IMPERSONATE: PipeStateError,
    WinError.OPERATION_ABORTED: OperationAbortedError,
    WinError.INVALID_NAME: InvalidPipeNameError,
    WinError.BAD_PATHNAME: InvalidPipeNameError,
    WinError.FILENAME_EXCED_RANGE: InvalidPipeNameError,
    WinError.CALL_NOT_IMPLEMENTED: UnsupportedError,
    WinError.PROC_NOT_FOUND: UnsupportedError,
    WinError.NOT_SUPPORTED: UnsupportedError,
}

# The same code, with another meaning in this call.
_BY_CALL: dict[tuple[str, int], type[PipeError]] = {
    # The pipe went while it was waited for; so Wine tells it.
    ("WaitNamedPipeW", WinError.HANDLES_CLOSED): PipeNotFoundError,
    # The pipe file system says so if a pipe exists whose name is the beginning of this one, up to a backslash: then
    # there can be no pipe of this name.
    ("CreateFileW", WinError.INVALID_NAME): PipeNotFoundError,
    # A handle that does not wait finds nothing to read; the other end is still there.
    ("ReadFile", WinError.NO_DATA): PipeStateError,
    # Unread data waits on the connection.
    ("TransactNamedPipe", WinError.PIPE_BUSY): PipeStateError,
    ("CreateProcessW", WinError.FILE_NOT_FOUND): ProgramNotFoundError,
    ("CreateProcessW", WinError.PATH_NOT_FOUND): ProgramNotFoundError,
}


def error_for(
    code: int, reason: str, function: str = "", pipe: str | None = None, subject: str | None = None
) -> PipeError:
    """Return the error that a Win32 code means when this function gives it; `reason` is the system's text for it."""
    if code == WinError.MORE_DATA:
        return MessageTooLongError(reason, function=function, pipe=pipe)
    kind = _BY_CALL.get((function, code)) or _BY_CODE.get(code, PipeError)
    return kind(reason, code=code, function=function, pipe=pipe, subject=subject)


def timed_out(seconds: float | None, pipe: str | None = None) -> PipeTimeoutError:
    """Return the error of an operation that was not done after some seconds."""
    return PipeTimeoutError(f"timed out after {seconds:g} s", code=WinError.TIMEOUT, pipe=pipe)


def if_allowed(question: Callable[..., _T], *arguments: object, **options: object) -> _T | None:
    """Ask, and return None where the system refuses the answer or the subject is gone."""
    with suppress(PipeError):
        return question(*arguments, **options)
    return None

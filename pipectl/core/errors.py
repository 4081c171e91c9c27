"""The exception types, and the type for each Win32 error code.

The hierarchy; each class in parentheses is a second base class, so that `except FileNotFoundError` works:

* PipeError (OSError)
  + PipeNotFoundError (FileNotFoundError)       pipe not found, or computer not found
  + PipeBusyError                               the pipe exists, but all its instances are in use
  + PipeAccessError (PermissionError)           access denied by the ACL, or for this kind of logon
  + PipeTimeoutError (TimeoutError)             timed out
  + PipeClosedError (ConnectionError)           the other end closed the pipe
  + PipeStateError                              not possible with this type, mode or state of the pipe
    - ConnectionUnusableError                   the next reply might belong to another request: connect again
  + MessageTooLongError                         a message is longer than the caller allows
  + FrameError                                  invalid frame, or the stream ended within a frame
  + PartialResultError                          another error occurred after part of the result
  + PeerMismatchError                           the other end is not the expected one
  + OperationAbortedError                       canceled by this program, or because a thread ended
  + InvalidPipeNameError (ValueError)           invalid pipe name
  + ProgramNotFoundError (FileNotFoundError)    program not found
  + UnsupportedError                            not supported on this system
  + CheckFailedError                            a check of the system found a problem
    - MismatchError                             a conversation is not the one that was recorded
  + RecordingError (ValueError)                 the file is not a recording that this version can read
  + RulesError (ValueError)                     the file is not a rules file, or has mistakes

An error has the Win32 function that failed, the pipe or other subject, the code and its symbol. Hints on what to try
next are in `pipectl.hints`, for the command line.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from .constants import WinError, symbol_of

_T = TypeVar("_T")


class PipeError(OSError):
    """A Win32 call on a pipe that failed.

    `pipe` is the pipe's full name. `subject` is the object of the failed operation: the pipe, or for example a program.
    `topic` identifies errors without a code, so that hints can be looked up. `partial` is the part of the result that
    was received before the error.
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

    def name(self, pipe: str | None) -> None:
        """Add the pipe's name to an error that was raised where it is not known."""
        if self.subject is None:
            self.pipe = self.subject = self.filename = pipe

    @property
    def symbol(self) -> str | None:
        """The code's Win32 name, such as `ERROR_PIPE_BUSY`; None if there is no code or it has no name here."""
        return symbol_of(self.code) if self.code else None

    def __str__(self) -> str:
        what = " on ".join(part for part in (self.function, self.subject) if part)
        code = f" ({', '.join(filter(None, (self.symbol, str(self.code))))})" if self.code else ""
        return f"{what}: {self.reason}{code}" if what else f"{self.reason}{code}"


class PipeNotFoundError(PipeError, FileNotFoundError):
    """The pipe was not found."""


class PipeBusyError(PipeError):
    """The pipe exists, but all its instances are in use."""


class PipeAccessError(PipeError, PermissionError):
    """Access denied: the pipe's ACL does not allow this user, this direction or this kind of logon."""


class PipeTimeoutError(PipeError, TimeoutError):
    """The operation timed out."""


class PipeClosedError(PipeError, ConnectionError):
    """The other end closed the pipe, or was never there."""


class PipeStateError(PipeError):
    """The operation is not possible with this type, mode or state of the pipe."""


class ConnectionUnusableError(PipeStateError):
    """The connection no longer knows which request the next reply belongs to: `reconnect`, or connect again."""


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
    """The data is not a frame of the rule in use, or the stream ended within a frame."""

    def __init__(self, reason: str, *, pipe: str | None = None) -> None:
        super().__init__(reason, pipe=pipe, topic="frame")


class CodecError(PipeError):
    """A codec cannot create a frame for the given data."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, topic="codec")


class PeerMismatchError(PipeError):
    """The process at the other end is not the expected one."""


class OperationAbortedError(PipeError):
    """The operation was canceled before it completed."""


class InvalidPipeNameError(PipeError, ValueError):
    """The text is not a valid pipe name; `meant` contains names that may have been intended."""

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
    """The program to start was not found."""


class UnsupportedError(PipeError):
    """The operation is not supported on this system."""


class CheckFailedError(PipeError):
    """A check completed and found a problem."""


class MismatchError(CheckFailedError):
    """A conversation is not the one that was recorded; `difference` is a unified diff of the first difference."""

    def __init__(self, reason: str, difference: str = "") -> None:
        super().__init__(reason, topic="mismatch")
        self.difference = difference

    def __str__(self) -> str:
        return "\n".join(filter(None, (super().__str__(), self.difference)))


class RecordingError(PipeError, ValueError):
    """The file is not a recording, or a recording of an unknown version."""

    def __init__(self, reason: str, *, subject: str | None = None) -> None:
        super().__init__(reason, subject=subject, topic="recording")


class RulesError(PipeError, ValueError):
    """A rules file has mistakes; `mistakes` contains their line numbers and descriptions."""

    def __init__(self, name: str, mistakes: Sequence[tuple[int, str]] = ()) -> None:
        reason = "\n".join(f"{name}:{line}: {text}" for line, text in mistakes)
        super().__init__(reason or name, topic="rules file")
        self.mistakes = mistakes


class PartialResultError(PipeError):
    """Another error, the `__cause__`, occurred after part of the result was received."""

    @classmethod
    def after(cls, cause: PipeError) -> "PartialResultError":
        """Return the error for a partial result, with the message of the error that caused it."""
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
    WinError.NO_NET_OR_BAD_PATH: PipeNotFoundError,
    WinError.NETWORK_UNREACHABLE: PipeNotFoundError,
    WinError.ACCESS_DENIED: PipeAccessError,
    WinError.LOGON_FAILURE: PipeAccessError,
    WinError.ACCOUNT_RESTRICTION: PipeAccessError,
    WinError.LOGON_TYPE_NOT_GRANTED: PipeAccessError,
    WinError.SESSION_CREDENTIAL_CONFLICT: PipeAccessError,
    WinError.SMB_GUEST_LOGON_BLOCKED: PipeAccessError,
    WinError.WRONG_TARGET_NAME: PeerMismatchError,
    WinError.ELEVATION_REQUIRED: PipeAccessError,
    # Nothing listens at that address, or it is unreachable.
    WinError.CONNECTION_REFUSED: PipeNotFoundError,
    WinError.WSAECONNREFUSED: PipeNotFoundError,
    WinError.NETWORK_UNREACHABLE: PipeNotFoundError,
    WinError.WSAENETUNREACH: PipeNotFoundError,
    WinError.HOST_UNREACHABLE: PipeNotFoundError,
    WinError.WSAEHOSTUNREACH: PipeNotFoundError,
    # Another program uses the port; the error is the same as for the name of a pipe.
    WinError.WSAEADDRINUSE: PipeAccessError,
    WinError.WSAEACCES: PipeAccessError,
    WinError.PIPE_BUSY: PipeBusyError,
    WinError.REQ_NOT_ACCEP: PipeBusyError,
    WinError.SEM_TIMEOUT: PipeTimeoutError,
    WinError.WAIT_TIMEOUT: PipeTimeoutError,
    WinError.TIMEOUT: PipeTimeoutError,
    WinError.WSAETIMEDOUT: PipeTimeoutError,
    WinError.BROKEN_PIPE: PipeClosedError,
    WinError.NETNAME_DELETED: PipeClosedError,
    WinError.NO_DATA: PipeClosedError,
    WinError.PIPE_NOT_CONNECTED: PipeClosedError,
    WinError.NETNAME_DELETED: PipeClosedError,
    WinError.CONNECTION_ABORTED: PipeClosedError,
    WinError.WSAECONNABORTED: PipeClosedError,
    WinError.WSAECONNRESET: PipeClosedError,
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

# Codes that mean something else in these calls.
_BY_CALL: dict[tuple[str, int], type[PipeError]] = {
    # The pipe disappeared while waiting; Wine reports it like this.
    ("WaitNamedPipeW", WinError.HANDLES_CLOSED): PipeNotFoundError,
    # The pipe file system reports this if another pipe has the name of this one up to a backslash: then no pipe with
    # this name can exist.
    ("CreateFileW", WinError.INVALID_NAME): PipeNotFoundError,
    # A handle in nowait mode has nothing to read; the other end is still open.
    ("ReadFile", WinError.NO_DATA): PipeStateError,
    # The connection has unread data.
    ("TransactNamedPipe", WinError.PIPE_BUSY): PipeStateError,
    ("CreateProcessW", WinError.FILE_NOT_FOUND): ProgramNotFoundError,
    ("CreateProcessW", WinError.PATH_NOT_FOUND): ProgramNotFoundError,
}


def error_for(
    code: int, reason: str, function: str = "", pipe: str | None = None, subject: str | None = None
) -> PipeError:
    """Return the error for a Win32 code returned by this function; `reason` is the system's text for the code."""
    if code == WinError.MORE_DATA:
        return MessageTooLongError(reason, function=function, pipe=pipe)
    kind = _BY_CALL.get((function, code)) or _BY_CODE.get(code, PipeError)
    return kind(reason, code=code, function=function, pipe=pipe, subject=subject)


def timed_out(seconds: float | None, pipe: str | None = None) -> PipeTimeoutError:
    """Return the error of an operation that timed out after some seconds."""
    return PipeTimeoutError(f"timed out after {seconds:g} s", code=WinError.TIMEOUT, pipe=pipe)


def if_allowed(question: Callable[..., _T], *arguments: object, **options: object) -> _T | None:
    """Return the answer to a question, or None if access is denied or the subject no longer exists."""
    with suppress(PipeError):
        return question(*arguments, **options)
    return None

"""The exit codes, their meanings, and the exit code of each error."""

from enum import IntEnum, unique

from .core import errors


@unique
class ExitCode(IntEnum):
    """The exit codes of all commands except `popen`, which passes on the exit code of its program."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    ABSENT = 3
    BUSY = 4
    DENIED = 5
    TIMED_OUT = 6
    CLOSED = 7
    MISMATCH = 8
    STATE = 9
    PARTIAL = 10
    UNSUPPORTED = 11
    FAILED_CHECK = 12
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "success",
    ExitCode.UNEXPECTED: "unexpected error, or stdout cannot be written or was closed early (for example by `head`)",
    ExitCode.USAGE: "invalid command line",
    ExitCode.ABSENT: "pipe not found, or no pipe matches",
    ExitCode.BUSY: "pipe busy: all instances are in use",
    ExitCode.DENIED: "access denied",
    ExitCode.TIMED_OUT: "timed out",
    ExitCode.CLOSED: "the other end closed the pipe early",
    ExitCode.MISMATCH: "the server is not the expected one (`--expect-*`)",
    ExitCode.STATE: "not possible with this type, mode or state of the pipe",
    ExitCode.PARTIAL: "partial result",
    ExitCode.UNSUPPORTED: "not supported on this system",
    ExitCode.FAILED_CHECK: "a check failed (`selftest`, `bench --fail-above`, `serve --strict`, `serve --expect-all`), "
    "a finding is serious (`audit`), or a conversation is not the recorded one (`replay`)",
    ExitCode.INTERRUPTED: "interrupted by Ctrl+C or Ctrl+Break",
}


@unique
class ProgramCode(IntEnum):
    """The exit codes for `popen`'s own failures; `timeout` and `env` use the same ones."""

    TIMED_OUT = 124
    FAILED = 125
    NOT_RUN = 126
    NOT_FOUND = 127


PROGRAM_MEANINGS = {
    ProgramCode.TIMED_OUT: "timed out: the program was killed",
    ProgramCode.FAILED: "pipectl failed, or the command line is invalid",
    ProgramCode.NOT_RUN: "the program cannot be run",
    ProgramCode.NOT_FOUND: "program not found",
}

_BY_ERROR: dict[type[errors.PipeError], ExitCode] = {
    errors.PipeError: ExitCode.UNEXPECTED,
    errors.PipeNotFoundError: ExitCode.ABSENT,
    errors.PipeBusyError: ExitCode.BUSY,
    errors.PipeAccessError: ExitCode.DENIED,
    errors.PipeTimeoutError: ExitCode.TIMED_OUT,
    errors.PipeClosedError: ExitCode.CLOSED,
    errors.PeerMismatchError: ExitCode.MISMATCH,
    errors.PipeStateError: ExitCode.STATE,
    errors.ConnectionUnusableError: ExitCode.STATE,
    errors.MessageTooLongError: ExitCode.PARTIAL,
    errors.FrameError: ExitCode.PARTIAL,
    errors.PartialResultError: ExitCode.PARTIAL,
    errors.OperationAbortedError: ExitCode.UNEXPECTED,
    errors.InvalidPipeNameError: ExitCode.USAGE,
    errors.ProgramNotFoundError: ExitCode.USAGE,
    errors.UnsupportedError: ExitCode.UNSUPPORTED,
    errors.CheckFailedError: ExitCode.FAILED_CHECK,
    errors.CodecError: ExitCode.USAGE,
    errors.RecordingError: ExitCode.USAGE,
    errors.RulesError: ExitCode.USAGE,
}


def exit_code_for(error: errors.PipeError) -> ExitCode:
    """Return the exit code of an error; a timeout with a partial reply is PARTIAL."""
    if error.partial and isinstance(error, errors.PipeTimeoutError):
        return ExitCode.PARTIAL
    return next(_BY_ERROR[kind] for kind in type(error).__mro__ if kind in _BY_ERROR)


def program_code_for(error: Exception) -> ProgramCode:
    """Return the exit code of `popen` for an error of its own."""
    match error:
        case errors.PipeTimeoutError():
            return ProgramCode.TIMED_OUT
        case errors.ProgramNotFoundError():
            return ProgramCode.NOT_FOUND
        case errors.PipeError(function="CreateProcessW"):
            return ProgramCode.NOT_RUN
        case _:
            return ProgramCode.FAILED

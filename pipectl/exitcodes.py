"""What the exit code of every command means, and which error ends in which."""

from enum import IntEnum, unique

from .core import errors


@unique
class ExitCode(IntEnum):
    """The exit codes; `popen` passes its child's own code on instead."""

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
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.UNEXPECTED: "unexpected error; also if stdout cannot be written, or was closed early (as by `head`)",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.ABSENT: "not found: no such pipe, or none that matches",
    ExitCode.BUSY: "every instance of the pipe is taken",
    ExitCode.DENIED: "access denied",
    ExitCode.TIMED_OUT: "timed out",
    ExitCode.CLOSED: "the other end closed the pipe early",
    ExitCode.MISMATCH: "the other end is not the expected one",
    ExitCode.STATE: "not possible in the mode or state of the pipe",
    ExitCode.PARTIAL: "partial result",
    ExitCode.UNSUPPORTED: "this system cannot do that",
    ExitCode.INTERRUPTED: "interrupted by Ctrl+C or Ctrl+Break",
}


@unique
class ProgramCode(IntEnum):
    """The exit codes of `popen` for what is not its program's: those of `timeout` and `env` elsewhere."""

    TIMED_OUT = 124
    FAILED = 125
    NOT_RUN = 126
    NOT_FOUND = 127


PROGRAM_MEANINGS = {
    ProgramCode.TIMED_OUT: "the program was ended at the time limit",
    ProgramCode.FAILED: "pipectl failed, or the command line is wrong",
    ProgramCode.NOT_RUN: "the program cannot be run",
    ProgramCode.NOT_FOUND: "there is no such program",
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
}


def exit_code_for(error: errors.PipeError) -> ExitCode:
    """Return the exit code in which an error of the core ends; a time that is over with a part of the reply is 10."""
    if error.partial and isinstance(error, errors.PipeTimeoutError):
        return ExitCode.PARTIAL
    return next(_BY_ERROR[kind] for kind in type(error).__mro__ if kind in _BY_ERROR)


def program_code_for(error: Exception) -> ProgramCode:
    """Return the exit code of `popen` for an error that is not its program's."""
    match error:
        case errors.PipeTimeoutError():
            return ProgramCode.TIMED_OUT
        case errors.ProgramNotFoundError():
            return ProgramCode.NOT_FOUND
        case errors.PipeError(function="CreateProcessW"):
            return ProgramCode.NOT_RUN
        case _:
            return ProgramCode.FAILED

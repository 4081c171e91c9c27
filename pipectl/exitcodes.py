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
    FAILED_CHECK = 12
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.UNEXPECTED: "something unexpected; also output that nobody reads any more",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.ABSENT: "there is no such pipe",
    ExitCode.BUSY: "every instance of the pipe is taken",
    ExitCode.DENIED: "access denied",
    ExitCode.TIMED_OUT: "timed out",
    ExitCode.CLOSED: "the other end closed the pipe early",
    ExitCode.MISMATCH: "the other end is not the expected one",
    ExitCode.STATE: "not possible in the mode or state of the pipe",
    ExitCode.PARTIAL: "only a part of the result was had",
    ExitCode.UNSUPPORTED: "this system cannot do that",
    ExitCode.FAILED_CHECK: "checked, and not as it should be",
    ExitCode.INTERRUPTED: "interrupted by Ctrl+C",
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
    errors.PartialResultError: ExitCode.PARTIAL,
    errors.OperationAbortedError: ExitCode.UNEXPECTED,
    errors.InvalidPipeNameError: ExitCode.USAGE,
    errors.ProgramNotFoundError: ExitCode.USAGE,
    errors.UnsupportedError: ExitCode.UNSUPPORTED,
    errors.CheckFailedError: ExitCode.FAILED_CHECK,
}


def exit_code_for(error: errors.PipeError) -> ExitCode:
    """Give the exit code in which an error of the core ends."""
    return next(_BY_ERROR[kind] for kind in type(error).__mro__ if kind in _BY_ERROR)

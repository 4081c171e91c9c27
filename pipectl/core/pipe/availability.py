"""Checks whether a pipe is free, busy or absent, and waits for that to change, without opening the pipe.

WaitNamedPipe queries the file system and not the pipe, and its answer can be out of date at once: it wakes all waiters
together, another client may be faster, and it is known to be wrong in containers. So it is only a hint for when to
retry, and `retry` leaves the decision to the attempt.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from typing import TypeVar

from pipectl.core.constants import Condition, WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeBusyError, PipeError, PipeNotFoundError, PipeTimeoutError, error_for
from pipectl.core.names import is_remote
from pipectl.core.win32.calls import wait_named_pipe

_T = TypeVar("_T")

# The longest wait inside Win32, in seconds: Ctrl+C does not end it.
_SLICE = 0.1
_SHORTEST_PAUSE = 0.01
_LONGEST_PAUSE = 0.1


class Availability(StrEnum):
    """The state of a pipe, as far as it is known without opening it."""

    FREE = "free"
    # Every instance has a client.
    BUSY = "busy"
    ABSENT = "absent"


def probe(pipe: str, timeout: float = 0, deadline: Deadline | None = None) -> Availability:
    """Return whether a pipe is free, busy or absent, waiting up to `timeout` seconds for a busy one.

    Ctrl+C does not end this wait for a local pipe. Raises PipeTimeoutError if another computer does not answer by the
    deadline, or within 5 seconds without one; PipeError if the system does not know, as for an unknown computer.

    On Windows, while a pipe `a` exists, `a\\b` is reported to have the state of `a`, and a pipe without a server is
    busy until its last client has closed its end.
    """
    try:
        _ask(pipe, timeout, deadline or Deadline(0))
    except PipeTimeoutError as error:
        if error.code == WinError.TIMEOUT:  # the other computer did not answer
            raise
        return Availability.BUSY
    except PipeNotFoundError as error:
        if error.code in (WinError.BAD_NETPATH, WinError.BAD_NET_NAME):
            raise
        return Availability.ABSENT
    return Availability.FREE


def wait_for(pipe: str, condition: Condition, deadline: Deadline, *, absent_too: bool = False) -> None:
    """Wait until a pipe is free, exists or is gone, without using processor time; Ctrl+C interrupts the wait.

    Raises PipeTimeoutError. When waiting for a free instance, raises PipeNotFoundError at once if the pipe does not
    exist, unless `absent_too` is set or it existed before: its server may be between two instances.
    """
    pause = pauses()
    is_waited_for = False
    while True:
        # The first probe does not wait: a pipe that disappears while it is waited for did exist, and is not absent.
        state = probe(pipe, deadline.at_most(_SLICE) if is_waited_for else 0, deadline)
        if _meets(state, condition):
            return
        if state is Availability.BUSY:
            absent_too = True
        elif condition is Condition.FREE and not absent_too:
            raise PipeNotFoundError(
                "pipe not found", code=WinError.FILE_NOT_FOUND, function="WaitNamedPipeW", pipe=pipe
            )
        if deadline.passed:
            raise _timed_out(pipe, condition, deadline, state)
        is_waited_for = condition is Condition.FREE and state is Availability.BUSY
        sleep(_SHORTEST_PAUSE if is_waited_for else next(pause), deadline)


def retry(attempt: Callable[[], _T], error: PipeError, pipe: str, deadline: Deadline) -> _T:
    """Retry opening a pipe, which first failed with `error`, until it succeeds or the deadline passes.

    Raises PipeBusyError or PipeNotFoundError if the last attempt did, and any other error of an attempt at once.
    """
    pause, pause_after_race = pauses(), races()
    while not deadline.passed:
        is_free = isinstance(error, PipeBusyError) and _becomes_free(pipe, deadline)
        sleep(next(pause_after_race if is_free else pause), deadline)
        try:
            return attempt()
        except (PipeBusyError, PipeNotFoundError) as again:
            error = again
        except PipeTimeoutError:  # no time was left for another computer to answer
            break
    if not deadline.timeout:
        raise error from None
    raise error_for(error.code, f"{error.reason}{_throughout(deadline)}", error.function, error.pipe) from None


def pauses() -> Iterator[float]:
    """Yield the pauses between retries in seconds: none at first, then longer ones, with random jitter."""
    yield 0
    import random  # a slow import, and seldom needed

    pause = _SHORTEST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1)
        pause = min(pause * 2, _LONGEST_PAUSE)


def races() -> Iterator[float]:
    """Yield the pauses before a free instance is tried, in seconds: none at first, then a few milliseconds.

    A longer pause would only leave the instance to other clients.
    """
    yield 0
    import random

    while True:
        yield random.uniform(0, _SHORTEST_PAUSE)


def sleep(pause: float, deadline: Deadline) -> None:
    """Sleep for a pause, but not beyond the deadline."""
    time.sleep(deadline.at_most(pause))


def _ask(pipe: str, timeout: float, deadline: Deadline) -> None:
    """Wait for a free instance as `wait_named_pipe` does; on another computer, until the deadline at most."""
    if not is_remote(pipe):
        wait_named_pipe(pipe, timeout)
        return
    from pipectl.core.win32.blocking import run_brief

    run_brief(lambda: wait_named_pipe(pipe, timeout), deadline, pipe)


def _becomes_free(pipe: str, deadline: Deadline) -> bool:
    """Wait briefly for a free instance and return whether there is one; False if the system does not know."""
    with suppress(PipeError):
        _ask(pipe, deadline.at_most(_SLICE), deadline)
        return True
    return False


def _meets(state: Availability, condition: Condition) -> bool:
    match condition:
        case Condition.FREE:
            return state is Availability.FREE
        case Condition.EXISTS:
            return state is not Availability.ABSENT
        case Condition.GONE:
            return state is Availability.ABSENT


def _throughout(deadline: Deadline) -> str:
    return f" after {deadline.timeout:g} s" if deadline.timeout else ""


def _timed_out(pipe: str, condition: Condition, deadline: Deadline, state: Availability) -> PipeTimeoutError:
    if state is Availability.ABSENT:
        so_far = "pipe still not found"
    else:
        so_far = "still no free instance" if condition is Condition.FREE else "pipe still exists"
    code = WinError.SEM_TIMEOUT if state is Availability.BUSY and condition is Condition.FREE else WinError.TIMEOUT
    return PipeTimeoutError(so_far + _throughout(deadline), code=code, pipe=pipe)

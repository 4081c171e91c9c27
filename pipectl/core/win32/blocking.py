"""Runs a Win32 call that blocks its thread, and still ends it at a deadline and on Ctrl+C.

CallNamedPipe and FlushFileBuffers are not overlapped, and nothing but the other end of the pipe ends them. So they run
in a thread of their own, whose I/O is cancelled from outside with CancelSynchronousIo. That reaches only what is in the
kernel at that moment, so it is asked again until the thread has ended; one that does not end is left behind.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError, timed_out
from pipectl.core.win32.processes import ThreadAccess

from . import winapi
from .calls import create_event, set_event
from .handle import Handle, wait

_T = TypeVar("_T")

# Between two tries to cancel, and for all of them, in seconds.
_RETRY = 0.01
_PATIENCE = 0.1


def run_blocking(function: Callable[[], _T], deadline: Deadline, pipe: str | None = None) -> _T:
    """Call a function in a thread and give what it returns or raises; PipeTimeoutError once the deadline has passed."""
    outcome: list[_T] = []
    failure: list[BaseException] = []

    def call() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(error)
        finally:
            with suppress(PipeError):  # nobody waits any more
                set_event(ended)

    with create_event() as ended:
        thread = Thread(target=call, daemon=True)
        thread.start()
        try:
            in_time = wait(ended, deadline)
        except BaseException:
            _cancel(thread)
            raise
        if not in_time:
            _cancel(thread)
    if outcome:
        return outcome[0]  # also if it won the race against the cancel
    if in_time:
        raise failure[0]
    raise timed_out(deadline.timeout, pipe)


def _cancel(thread: Thread) -> None:
    # An error is that the thread has ended by itself at this moment.
    with suppress(PipeError), Handle(winapi.OpenThread(ThreadAccess.TERMINATE, False, thread.native_id)) as handle:
        patience = time.perf_counter() + _PATIENCE
        while thread.is_alive() and time.perf_counter() < patience:
            winapi.CancelSynchronousIo(handle)
            thread.join(_RETRY)

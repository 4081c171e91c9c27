"""Runs a blocking Win32 call so that a deadline or Ctrl+C still ends it.

CallNamedPipe and FlushFileBuffers are not overlapped, and nothing but the other end of the pipe ends them; to open or
to wait for a pipe of another computer takes as long as the network does. So they run in a thread of their own, whose
I/O is canceled from outside with CancelSynchronousIo. That reaches only what is in the kernel at that moment, so it is
asked again until the thread has ended; one that does not end is left behind.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import byref
from ctypes.wintypes import HANDLE
from threading import Lock, Thread
from typing import Generic, TypeVar

from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError, timed_out

from . import winapi
from .handle import Closing, Handle, wait

_T = TypeVar("_T")

# THREAD_TERMINATE, which CancelSynchronousIo requires.
_TERMINATE = 1
# Between two tries to cancel, and for all of them, in seconds.
_RETRY = 0.01
_PATIENCE = 0.1
# What a call has that waits for nothing but the answer, in seconds.
_BRIEF = 5.0


def run_blocking(
    function: Callable[[], _T],
    deadline: Deadline,
    pipe: str | None = None,
    *,
    undo: Callable[[_T], object] | None = None,
) -> _T:
    """Call a function in a thread and return what it returns, or raise what it raises.

    Raises PipeTimeoutError once the deadline has passed. `undo` is given what the function returns after the caller
    has given it up: a handle that arrives late has to be closed by somebody.
    """
    with _Call(function, undo) as call:
        return call.outcome(deadline, pipe)


def run_brief(
    function: Callable[[], _T],
    deadline: Deadline,
    pipe: str | None = None,
    *,
    undo: Callable[[_T], object] | None = None,
) -> _T:
    """Call a function that takes long only where something is wrong, as when a computer does not answer.

    It is `run_blocking`, but a deadline of 0 seconds, by which one waits for nobody, leaves it 5 seconds.
    """
    return run_blocking(function, deadline if deadline.timeout != 0 else Deadline(_BRIEF), pipe, undo=undo)


class _Call(Closing, Generic[_T]):
    """A call in a thread of its own, and what becomes of it; who closes it gives the call up."""

    def __init__(self, function: Callable[[], _T], undo: Callable[[_T], object] | None) -> None:
        self._function = function
        self._undo = undo
        self._ended = Handle(winapi.CreateEventW(None, True, False, None))
        self._thread = Thread(target=self._run, daemon=True)
        # What the two threads share, held by the lock.
        self._lock = Lock()
        self._values: list[_T] = []
        self._failure: BaseException | None = None
        self._handle: Handle | None = None
        self._is_given_up = False

    def outcome(self, deadline: Deadline, pipe: str | None) -> _T:
        """Make the call, and return what it returns or raise what it raises, or PipeTimeoutError."""
        self._thread.start()
        try:
            in_time = wait(self._ended, deadline)
        except BaseException:
            self._cancel()
            raise
        if not in_time:
            self._cancel()
        with self._lock:
            if self._values:
                return self._values.pop()  # also if it won the race against the cancel
        if in_time and self._failure is not None:
            raise self._failure
        raise timed_out(deadline.timeout, pipe)

    def close(self) -> None:
        """Abandon the call, and undo its effect if it succeeds later."""
        with self._lock:
            self._is_given_up = True
            unwanted = self._values[:]
            self._values.clear()
            self._ended.close()
            if self._handle is not None:
                self._handle.close()
        for value in unwanted:
            self._throw_away(value)

    def _run(self) -> None:
        try:
            with self._lock:
                if self._is_given_up:
                    return
                # A handle made here, because by its number another thread could be found once this one has ended.
                self._handle = _this_thread()
            self._keep(self._function())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._failure = error
        finally:
            with self._lock:
                if not self._is_given_up:
                    winapi.SetEvent(self._ended)

    def _keep(self, value: _T) -> None:
        with self._lock:
            if not self._is_given_up:
                self._values.append(value)
                return
        self._throw_away(value)

    def _throw_away(self, value: _T) -> None:
        if self._undo is not None:
            self._undo(value)

    def _cancel(self) -> None:
        """End what the thread does in the kernel, and do it again until it has ended or patience has."""
        patience = time.perf_counter() + _PATIENCE
        while self._thread.is_alive() and time.perf_counter() < patience:
            with self._lock:
                handle = self._handle
            if handle is not None:
                with suppress(PipeError):  # the thread has ended at this moment
                    winapi.CancelSynchronousIo(handle)
            self._thread.join(_RETRY)


def _this_thread() -> Handle:
    process, thread = winapi.GetCurrentProcess(), HANDLE()
    winapi.DuplicateHandle(process, winapi.GetCurrentThread(), process, byref(thread), _TERMINATE, False, 0)
    return Handle(thread.value)

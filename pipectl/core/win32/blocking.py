"""Runs a blocking Win32 call so that a deadline or Ctrl+C still ends it.

CallNamedPipe and FlushFileBuffers are not overlapped, and only the other end of the pipe ends them. Opening or waiting
for a pipe on another computer takes as long as the network does. So these calls run in a separate thread, whose I/O is
canceled from outside with CancelSynchronousIo. That only affects a call that is in the kernel at that moment, so it is
repeated until the thread has ended; a thread that does not end is abandoned.
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
# The interval between attempts to cancel, and the time limit for all of them, in seconds.
_RETRY = 0.01
_PATIENCE = 0.1
# The time limit, in seconds, of a call that must not wait for anything but its response.
_BRIEF = 5.0


def run_blocking(
    function: Callable[[], _T],
    deadline: Deadline,
    pipe: str | None = None,
    *,
    undo: Callable[[_T], object] | None = None,
) -> _T:
    """Call a function in a thread and return what it returns, or raise what it raises.

    Raises PipeTimeoutError once the deadline has passed. `undo` is called with the result if the function returns after
    that, for example to close a handle.
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
    """Call a function that only takes long if something is wrong, such as a computer that does not respond.

    Like `run_blocking`, but with a deadline of 0 seconds (do not wait for others) the function still gets 5 seconds.
    """
    return run_blocking(function, deadline if deadline.timeout != 0 else Deadline(_BRIEF), pipe, undo=undo)


class _Call(Closing, Generic[_T]):
    """A call in a separate thread, and its result; `close` abandons the call."""

    def __init__(self, function: Callable[[], _T], undo: Callable[[_T], object] | None) -> None:
        self._function = function
        self._undo = undo
        self._ended = Handle(winapi.CreateEventW(None, True, False, None))
        self._thread = Thread(target=self._run, daemon=True)
        # Shared by the two threads, protected by the lock.
        self._lock = Lock()
        self._values: list[_T] = []
        self._failure: BaseException | None = None
        self._handle: Handle | None = None
        self._is_given_up = False

    def outcome(self, deadline: Deadline, pipe: str | None) -> _T:
        """Make the call, and return its result or raise its error; raises PipeTimeoutError."""
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
                return self._values.pop()  # even if it completed before the cancel took effect
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
                # A handle, because after this thread has ended, another thread could get its ID.
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
        """Cancel the thread's I/O repeatedly until the thread has ended or the time limit has passed."""
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

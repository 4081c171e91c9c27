"""Waits that end at a deadline, and at once on Ctrl+C.

A wait inside a foreign function holds Python's main thread where no signal handler can run. CPython has the cure and
uses it for `time.sleep`: an event that its SIGINT handler sets. The main thread waits for that event too; when it is
set, the wait returns to the interpreter, which raises KeyboardInterrupt before the next bytecode. Other threads never
handle signals, so they must leave the event alone.
"""

import ctypes
import time
from ctypes import byref, c_int64, c_void_p
from ctypes.wintypes import HANDLE
from functools import cache, partial
from threading import get_ident, main_thread

from . import winapi
from .constants import WinError
from .deadline import FOR_EVER, KERNEL_UNITS, Deadline, Timeout
from .handle import Handle

_MAIN = main_thread().ident
_ANY = 1  # WaitAny of WAIT_TYPE
_INTERRUPTED = 1  # the second handle
_Pair = HANDLE * 2


@cache
def _sigint_event() -> int:
    # Exported for CPython's own extension modules since 3.3, though its name says private; tests hold it to that.
    function = ctypes.pythonapi._PyOS_SigintEvent
    function.restype = HANDLE
    return int(function())


class Waiter:
    """Waits for one handle that is waited for often, without building the call's arguments each time."""

    __slots__ = ("_due", "_due_reference", "_handle", "_handles", "_one", "_two")

    def __init__(self, handle: Handle | c_void_p) -> None:
        self._handle = handle
        self._handles = _Pair(handle.value, _sigint_event())
        self._due = c_int64()
        self._due_reference = byref(self._due)
        self._one = partial(winapi.NtWaitForSingleObject, handle, False)
        self._two = partial(winapi.NtWaitForMultipleObjects, 2, self._handles, _ANY, False)

    def wait(self, timeout: Timeout) -> bool:
        """Return whether the handle was signalled before the deadline; lets KeyboardInterrupt through."""
        begun = time.perf_counter()
        seconds = timeout.remaining() if isinstance(timeout, Deadline) else timeout
        due = None
        if seconds is not None and seconds < FOR_EVER:
            self._due.value = int(seconds * KERNEL_UNITS) - 1  # rather too late than too early
            due = self._due_reference
        result = self._two(due) if get_ident() == _MAIN else self._one(due)
        if not result:
            return True
        if result == WinError.WAIT_TIMEOUT:
            return False
        if result == _INTERRUPTED:
            winapi.ResetEvent(self._handles[1])
            # If the program's own handler raises nothing, the wait goes on.
            return self.wait(timeout if isinstance(timeout, Deadline | None) else Deadline(timeout, begun))
        raise winapi.native_error(result, winapi.NtWaitForSingleObject, self._handle)


def wait(handle: Handle, deadline: Deadline) -> bool:
    """Return whether a handle was signalled before the deadline; Ctrl+C raises KeyboardInterrupt in the main thread."""
    return Waiter(handle).wait(deadline)

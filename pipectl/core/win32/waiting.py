"""Waits that end at a deadline, and at once on Ctrl+C.

A wait inside a foreign function holds Python's main thread where no signal handler can run. CPython has the cure and
uses it for `time.sleep`: an event that its SIGINT handler sets. The main thread waits for that event too; when it is
set, the wait returns to the interpreter, which raises KeyboardInterrupt before the next bytecode. Other threads never
handle signals, so they must leave the event alone.
"""

import ctypes
import time
from ctypes import c_void_p
from ctypes.wintypes import HANDLE
from functools import cache, partial
from threading import get_ident, main_thread
from typing import Any

from pipectl.core.constants import WinError
from pipectl.core.deadline import Deadline, Timeout, kernel_time

from . import winapi
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

    __slots__ = ("_due", "_handle", "_handles", "_here", "_in_main_thread", "_timeout")

    def __init__(self, handle: Handle | c_void_p) -> None:
        self._handle = handle
        self._handles = _Pair(handle.value, _sigint_event())
        self._in_main_thread = partial(winapi.NtWaitForMultipleObjects, 2, self._handles, _ANY, False)
        self._here = partial(winapi.NtWaitForSingleObject, handle, False)
        # The last timeout, which often is the next one too, and what the kernel takes for it.
        self._timeout: object = None
        self._due: Any = None

    def wait(self, timeout: Timeout) -> bool:
        """Return whether the handle was signalled before the deadline; lets KeyboardInterrupt through."""
        if timeout is not self._timeout:
            self._set(timeout)
        begun = time.perf_counter()
        result = self._in_main_thread(self._due) if get_ident() == _MAIN else self._here(self._due)
        if not result:
            return True
        if result == WinError.WAIT_TIMEOUT:
            return False
        if result == _INTERRUPTED:
            winapi.ResetEvent(self._handles[1])
            # If the program's own handler raises nothing, the wait goes on.
            return self.wait(timeout if isinstance(timeout, Deadline | None) else Deadline(timeout, begun))
        raise winapi.native_error(result, winapi.NtWaitForSingleObject, self._handle)

    def _set(self, timeout: Timeout) -> None:
        seconds = timeout.remaining() if isinstance(timeout, Deadline) else timeout
        # What is left of a deadline is never the same: to be no timeout is to be set again.
        self._timeout = self if isinstance(timeout, Deadline) else timeout
        self._due = kernel_time(seconds)


def wait(handle: Handle, deadline: Deadline) -> bool:
    """Return whether a handle was signalled before the deadline; Ctrl+C raises KeyboardInterrupt in the main thread."""
    return Waiter(handle).wait(deadline)

"""Waits that end at a deadline, and at once on Ctrl+C.

A wait inside a foreign function holds Python's main thread where no signal handler can run. CPython has the cure and
uses it for `time.sleep`: an event that its SIGINT handler sets. The main thread waits for that event too; when it is
set, the wait returns to the interpreter, which raises KeyboardInterrupt before the next bytecode. Other threads never
handle signals, so they must leave the event alone.
"""

import ctypes
from ctypes.wintypes import HANDLE
from functools import cache
from threading import get_ident, main_thread

from . import winapi
from .constants import WinError
from .deadline import Deadline
from .handle import Handle

_MAIN = main_thread().ident


@cache
def _sigint_event() -> int:
    # Exported for CPython's own extension modules since 3.3, though its name says private; tests hold it to that.
    function = ctypes.pythonapi._PyOS_SigintEvent
    function.restype = HANDLE
    return int(function())


class Waiter:
    """Waits for one handle that is waited for often, without building the call's arguments each time."""

    __slots__ = ("_handle", "_handles")

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._handles = (HANDLE * 2)(handle.value, _sigint_event())

    def wait(self, deadline: Deadline) -> bool:
        """Return whether the handle was signalled before the deadline; lets KeyboardInterrupt through."""
        if get_ident() != _MAIN:
            return not winapi.WaitForSingleObject(self._handle, deadline.milliseconds())
        while True:
            result = winapi.WaitForMultipleObjects(2, self._handles, False, deadline.milliseconds())
            if not result:
                return True
            if result == WinError.WAIT_TIMEOUT:
                return False
            # Ctrl+C. If the program's own handler raises nothing, the wait goes on.
            winapi.ResetEvent(self._handles[1])


def wait(handle: Handle, deadline: Deadline) -> bool:
    """Return whether a handle was signalled before the deadline; Ctrl+C raises KeyboardInterrupt in the main thread."""
    return Waiter(handle).wait(deadline)

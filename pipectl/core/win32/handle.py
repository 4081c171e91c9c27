"""`Handle` owns one Win32 handle; `wait` waits for one, until a deadline, and returns at once on Ctrl+C.

A wait inside a foreign function holds Python's main thread where no signal handler can run. CPython has the cure and
uses it for `time.sleep`: an event that its SIGINT handler sets. The main thread waits for that event too; when it is
set, the wait returns to the interpreter, which raises KeyboardInterrupt before the next bytecode. Other threads never
handle signals, so they must leave the event alone.
"""

import ctypes
import time
import warnings
from ctypes import byref, c_int64, c_void_p
from ctypes.wintypes import HANDLE
from functools import cache, partial
from threading import get_ident, main_thread
from types import TracebackType
from typing import Any, Self

from pipectl.core.constants import INFINITE, WinError
from pipectl.core.deadline import Deadline, Timeout

from . import winapi

_MAIN = main_thread().ident
_ANY = 1  # WaitAny of WAIT_TYPE
_INTERRUPTED = 1  # the second handle
_Pair = HANDLE * 2
_UNSET = object()
# In seconds, what is for ever: longer than Win32's milliseconds have room for, 49 days.
_FOR_EVER = (INFINITE - 1) / 1000
# What Windows tells a handler of a console's events.
_CTRL_C, _CTRL_BREAK = 0, 1
# How long, in seconds, a process may go on after its console was closed; Windows ends it after 5.
_LAST_SECONDS = 4.5
_AT_ONCE = byref(c_int64(0))


class Closing:
    """A thing that `with` closes at its end."""

    __slots__ = ()

    def close(self) -> None:
        """Close the handle; does nothing the second time."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Handle(Closing):
    """The one owner of a Win32 handle; closes it once, at the end of a `with` or by `close`.

    `winapi`'s functions take it as it is. After `close` they get NULL, and so fail with ERROR_INVALID_HANDLE. An
    owner that is forgotten gives a ResourceWarning when it is collected, and closes.
    """

    __slots__ = ("__weakref__", "_as_parameter_", "name")

    def __init__(self, value: int | None, name: str | None = None) -> None:
        # The same object for good, so that whoever keeps it sees NULL after `close`.
        self._as_parameter_ = c_void_p(value)
        # What errors call it: the pipe's full name.
        self.name = name

    @property
    def value(self) -> int:
        """The number that Win32 knows the handle by; raises ValueError after `close`."""
        value = self._as_parameter_.value
        if value is None:
            raise ValueError("the handle is closed")
        return value

    @property
    def pointer(self) -> c_void_p:
        """The handle as functions without declared arguments take it, for as long as it lives."""
        return self._as_parameter_

    @property
    def closed(self) -> bool:
        """Whether this owner has given its handle up."""
        return self._as_parameter_.value is None

    def __int__(self) -> int:
        return self.value

    def detach(self) -> int:
        """Return the raw handle; the caller must close it."""
        value = self.value
        self._as_parameter_.value = None
        return value

    def close(self) -> None:
        """Close the handle; does nothing the second time."""
        pointer = self._as_parameter_
        value, pointer.value = pointer.value, None
        if value is not None:
            winapi.CloseHandle(value)

    def __del__(self) -> None:
        if hasattr(self, "_as_parameter_") and not self.closed:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"0x{self.value:x}"
        return f"<{type(self).__name__} {state}{f' of {self.name}' if self.name else ''}>"


@cache
def _sigint_event() -> int:
    # Exported for CPython's own extension modules since 3.3, though its name says private; tests hold it to that.
    function = ctypes.pythonapi._PyOS_SigintEvent
    function.restype = HANDLE
    return int(function())


@cache
def heed_break() -> object:
    """Make Ctrl+Break, and the end of the console or the session, interrupt this process like Ctrl+C.

    Windows would end it at once, without a word to its clients. At the end of a console it still does, 5 s later.
    """

    def interrupt(event: int) -> bool:
        if event == _CTRL_C:
            return False  # Python's own handler has it
        from signal import SIGINT, raise_signal

        raise_signal(SIGINT)
        if event != _CTRL_BREAK:
            time.sleep(_LAST_SECONDS)  # when this returns, the process is ended
        return True

    handler = winapi.CtrlHandler(interrupt)
    winapi.SetConsoleCtrlHandler(handler, True)
    return handler  # kept, because Windows has no more than its address


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
        begun = time.perf_counter()
        while True:
            if timeout is not self._timeout:
                self._set(timeout)
            result = self._in_main_thread(self._due) if get_ident() == _MAIN else self._here(self._due)
            if not result:
                return True
            if result not in (WinError.WAIT_TIMEOUT, _INTERRUPTED):
                raise winapi.native_error(result, winapi.NtWaitForSingleObject, self._handle)
            # NT ends a wait up to 15.6 ms early, and a program's own handler for Ctrl+C may raise nothing: both go on.
            timeout = timeout if isinstance(timeout, Deadline | None) else Deadline(timeout, begun)
            if result == _INTERRUPTED:
                winapi.ResetEvent(self._handles[1])
            elif timeout is None or timeout.passed:
                return False

    def _set(self, timeout: Timeout) -> None:
        # Unset first and set last: Ctrl+C may come between, and what is kept must never be another timeout's.
        self._timeout = _UNSET
        if isinstance(timeout, Deadline):  # its rest changes with each wait, so its kernel time is never reused
            self._due = kernel_time(timeout.remaining())
        else:
            self._due = kernel_time(timeout)
            self._timeout = timeout


def wait(handle: Handle, deadline: Deadline) -> bool:
    """Return whether a handle was signalled before the deadline; Ctrl+C raises KeyboardInterrupt in the main thread."""
    return Waiter(handle).wait(deadline)


def kernel_time(seconds: float | None) -> Any:
    """Return a time from now as the kernel takes it: negative, in units of 100 ns; None is for ever.

    A time that is over is 0, which asks and does not wait: any other ends with the clock's next tick, 16 ms on Windows.
    """
    if seconds is None or seconds >= _FOR_EVER:
        return None
    if seconds <= 0:
        return _AT_ONCE
    return byref(c_int64(int(seconds * -10_000_000) - 1))  # rather too late than too early

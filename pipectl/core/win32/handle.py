"""`Handle` owns one Win32 handle; `wait` waits for one, until a deadline, and returns at once on Ctrl+C.

While the main thread waits inside a foreign function, Python cannot run a signal handler. CPython solves this for
`time.sleep` with an event that its SIGINT handler sets. Here, too, the main thread also waits for that event; when it
is set, the wait returns to the interpreter, which raises KeyboardInterrupt before the next bytecode. Other threads
never handle signals, so they must not wait for the event.
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
# Seconds from which a wait has no limit: 49 days, the most that Win32's milliseconds can express.
_FOR_EVER = (INFINITE - 1) / 1000
# The console control events that a handler receives.
_CTRL_C, _CTRL_BREAK = 0, 1
# How long, in seconds, a process continues after its console was closed; Windows ends it after 5.
_LAST_SECONDS = 4.5
_AT_ONCE = byref(c_int64(0))


class Closing:
    """A context manager that calls `close` at its end."""

    __slots__ = ()

    def close(self) -> None:
        """Close it; a second call does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Handle(Closing):
    """The one owner of a Win32 handle; closes it once, at the end of a `with` or by `close`.

    It can be passed to the functions of `winapi`. After `close`, they receive NULL and fail with ERROR_INVALID_HANDLE.
    An owner that is collected without having been closed emits a ResourceWarning and closes the handle.
    """

    __slots__ = ("__weakref__", "_as_parameter_", "name")

    def __init__(self, value: int | None, name: str | None = None) -> None:
        # Never replaced, so that everyone who keeps a reference to it sees NULL after `close`.
        self._as_parameter_ = c_void_p(value)
        # The pipe's full name, for errors.
        self.name = name

    @property
    def value(self) -> int:
        """The handle's value in Win32; raises ValueError after `close`."""
        value = self._as_parameter_.value
        if value is None:
            raise ValueError("the handle is closed")
        return value

    @property
    def pointer(self) -> c_void_p:
        """The handle as functions without declared argument types accept it, valid while this owner exists."""
        return self._as_parameter_

    @property
    def closed(self) -> bool:
        """Whether this owner has closed or detached its handle."""
        return self._as_parameter_.value is None

    def __int__(self) -> int:
        return self.value

    def detach(self) -> int:
        """Return the raw handle; the caller must close it."""
        value = self.value
        self._as_parameter_.value = None
        return value

    def close(self) -> None:
        """Close the handle; a second call does nothing."""
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
    # Exported for CPython's own extension modules since 3.3, despite its private name; a test checks that it exists.
    function = ctypes.pythonapi._PyOS_SigintEvent
    function.restype = HANDLE
    return int(function())


@cache
def handle_break() -> object:
    """Make Ctrl+Break, and the end of the console or the session, interrupt this process like Ctrl+C.

    Otherwise, Windows ends the process at once, and its clients are disconnected without a reply. When the console is
    closed, Windows still ends it after 5 s.
    """

    def interrupt(event: int) -> bool:
        if event == _CTRL_C:
            return False  # for Python's own handler
        from signal import SIGINT, raise_signal

        raise_signal(SIGINT)
        if event != _CTRL_BREAK:
            time.sleep(_LAST_SECONDS)  # Windows ends the process when this returns
        return True

    handler = winapi.CtrlHandler(interrupt)
    winapi.SetConsoleCtrlHandler(handler, True)
    return handler  # kept in the cache, because Windows stores only its address


class Waiter:
    """Waits for one handle repeatedly, without building the arguments of the call each time."""

    __slots__ = ("_due", "_handle", "_handles", "_here", "_in_main_thread", "_timeout")

    def __init__(self, handle: Handle | c_void_p) -> None:
        self._handle = handle
        self._handles = _Pair(handle.value, _sigint_event())
        self._in_main_thread = partial(winapi.NtWaitForMultipleObjects, 2, self._handles, _ANY, False)
        self._here = partial(winapi.NtWaitForSingleObject, handle, False)
        # The last timeout, which is often the next one too, and its value for the kernel.
        self._timeout: object = None
        self._due: Any = None

    def wait(self, timeout: Timeout) -> bool:
        """Return whether the handle was signaled before the deadline; Ctrl+C raises KeyboardInterrupt."""
        begun = time.perf_counter()
        while True:
            if timeout is not self._timeout:
                self._set(timeout)
            result = self._in_main_thread(self._due) if get_ident() == _MAIN else self._here(self._due)
            if not result:
                return True
            if result not in (WinError.WAIT_TIMEOUT, _INTERRUPTED):
                raise winapi.native_error(result, winapi.NtWaitForSingleObject, self._handle)
            # Go on: NT may end a wait up to 15.6 ms early, and a program's own handler for Ctrl+C may not raise.
            timeout = timeout if isinstance(timeout, Deadline | None) else Deadline(timeout, begun)
            if result == _INTERRUPTED:
                winapi.ResetEvent(self._handles[1])
            elif timeout is None or timeout.passed:
                return False

    def _set(self, timeout: Timeout) -> None:
        # Unset first and set last: after a Ctrl+C in between, the value must not be that of another timeout.
        self._timeout = _UNSET
        if isinstance(timeout, Deadline):  # its remaining time changes, so its value is never reused
            self._due = kernel_time(timeout.remaining())
        else:
            self._due = kernel_time(timeout)
            self._timeout = timeout


def wait(handle: Handle, deadline: Deadline) -> bool:
    """Return whether a handle was signaled before the deadline; Ctrl+C raises KeyboardInterrupt in the main thread."""
    return Waiter(handle).wait(deadline)


def kernel_time(seconds: float | None) -> Any:
    """Return a time from now in the kernel's form: negative, in units of 100 ns; None for no limit.

    A time that has passed becomes 0, which does not wait; any other value lasts at least until the clock's next tick,
    up to 16 ms on Windows.
    """
    if seconds is None or seconds >= _FOR_EVER:
        return None
    if seconds <= 0:
        return _AT_ONCE
    return byref(c_int64(int(seconds * -10_000_000) - 1))  # round up: too late is better than too early

"""One pending operation on a handle, and the memory that it uses.

An overlapped operation is a loan: the kernel keeps the addresses of the buffer and of the OVERLAPPED structure and
writes to them whenever it likes, until the operation has ended. Python frees memory when the last reference goes. So
an `Overlapped` holds on to both, and there are only three ways out of it:

* the operation ended, and `result` gives what it did;
* the deadline passed: it is cancelled, *waited for*, and PipeTimeoutError raised - unless it won the race against
  the cancel, in which case its result counts and no byte is lost;
* an exception such as KeyboardInterrupt left the wait, or the owner closes: cancelled and waited for likewise.

CancelIoEx only asks; the wait after it is what makes the memory ours again.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import byref
from ctypes.wintypes import DWORD
from typing import Any

from . import winapi
from .constants import STATUS_PENDING, STATUS_SUCCESS, WinError
from .deadline import Deadline
from .errors import OperationAbortedError, PipeTimeoutError
from .handle import Closing, Handle
from .waiting import Waiter

# Events for the next operations: to make one and close it takes a tenth of a short connection's time.
_MOST_SPARE_EVENTS = 16
_spare_events: list[int] = []

# Members of enums, which are not looked up for each operation.
_PENDING, _SUCCESS = WinError.IO_PENDING, WinError.SUCCESS

_STARTING = -1  # in the place of a code: the function has not told one yet


class Overlapped(Closing):
    """Runs operations on one handle, one at a time; `with` makes sure that none outlives its memory."""

    __slots__ = (
        "__weakref__",
        "_arguments",
        "_closed",
        "_code",
        "_event",
        "_handle",
        "_pending",
        "_reference",
        "_struct",
        "_waiter",
    )

    def __init__(self, handle: Handle) -> None:
        self._pending = self._closed = False
        self._handle = handle
        try:
            event = _spare_events.pop()
        except IndexError:
            event = winapi.CreateEventW(None, True, False, None)
        self._event = Handle(event, handle.name)
        self._struct = winapi.OVERLAPPED(hEvent=self._event.value)
        self._reference = byref(self._struct)
        self._waiter = Waiter(self._event)
        self._arguments: tuple[Any, ...] = ()
        self._code = 0

    @property
    def pending(self) -> bool:
        """Whether an operation was started whose result was not taken yet."""
        return self._pending

    @property
    def event(self) -> Handle:
        """The manual-reset event that is set when the operation has ended; it stays this object's own."""
        return self._event

    def start(self, function: Callable[..., int], *arguments: Any) -> int:
        """Call a function of `winapi` on the handle, with the OVERLAPPED as its last argument.

        Returns 0 if the operation is done, IO_PENDING if it is under way, or another code that the function gives as
        a result. Raises what it raises, and RuntimeError while an earlier operation is pending.
        """
        if self._pending:
            raise RuntimeError("an operation is pending")
        self._pending, self._code = True, _STARTING
        if self._closed:
            self._pending = False
            raise self._aborted()
        # TransactNamedPipe leaves Internal alone on Wine 8, and zero there means "done".
        self._struct.Internal = STATUS_PENDING
        self._arguments = arguments
        try:
            code = function(self._handle, *arguments, self._reference)
        except Exception:
            self._pending = False
            raise
        except BaseException:  # Ctrl+C, and nobody knows whether before the operation began or after
            begun = winapi.CancelIoEx(self._handle, self._reference) == 0 or self._struct.Internal != STATUS_PENDING
            self._end(wait=begun)
            raise
        self._pending = code == _PENDING
        self._code = code  # from here on another thread may cancel it
        return code

    def result(self, deadline: Deadline) -> tuple[int, int]:
        """Wait for the end of the operation; return the bytes transferred and a code, 0 or MORE_DATA.

        Raises the operation's own error; PipeTimeoutError if the deadline passed, after the operation was cancelled.
        """
        if not self._pending:
            if self._code == _PENDING:
                raise self._aborted()
            self._arguments = ()
            return self._struct.InternalHigh, self._code
        try:
            done = self._waiter.wait(deadline)
        except BaseException:
            self.cancel()
            raise
        if done:
            if self._struct.Internal == STATUS_SUCCESS:  # which needs no call to be told
                self._pending = False
                self._arguments = ()
                return self._struct.InternalHigh, _SUCCESS
            return self._take(wait=False)
        winapi.CancelIoEx(self._handle, self._reference)
        try:
            return self._take(wait=True)
        except OperationAbortedError:
            raise PipeTimeoutError(
                f"timed out after {deadline.timeout:g} s", code=WinError.TIMEOUT, pipe=self._handle.name
            ) from None

    def cancel(self) -> None:
        """Ask for the end of a pending operation and wait until it has ended; its result is dropped."""
        while self._pending and self._code == _STARTING:
            time.sleep(0)  # another thread is just beginning it
        if self._pending:
            winapi.CancelIoEx(self._handle, self._reference)
            self._end(wait=True)

    def _aborted(self) -> OperationAbortedError:
        return OperationAbortedError("cancelled", code=WinError.OPERATION_ABORTED, pipe=self._handle.name)

    def _end(self, *, wait: bool) -> None:
        with suppress(OSError):  # that it failed, or was cancelled, is as good an end as any
            self._take(wait=wait)

    def _take(self, *, wait: bool) -> tuple[int, int]:
        count = DWORD()
        try:
            code = winapi.GetOverlappedResult(self._handle, self._reference, byref(count), wait)
        finally:
            self._pending = False
            self._arguments = ()
        return count.value, code

    def close(self) -> None:
        """End a pending operation and give the event up; does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        if self._pending or len(_spare_events) >= _MOST_SPARE_EVENTS:
            self.cancel()
            self._event.close()
        else:  # nobody waits for it
            _spare_events.append(self._event.detach())

    def __del__(self) -> None:
        if getattr(self, "_pending", False):
            self.cancel()

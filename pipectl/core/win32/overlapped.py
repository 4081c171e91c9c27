"""One pending operation on a handle, and the memory that it uses.

An overlapped operation is a loan: the kernel keeps the addresses of the buffer and of the OVERLAPPED structure and
writes to them whenever it likes, until the operation has ended. Python frees memory when the last reference goes. So
an `Overlapped` holds on to both, and there are only three ways out of it:

* the operation ended, and `run` or `result` gives what it did;
* the deadline passed: it is cancelled, *waited for*, and PipeTimeoutError raised - unless it won the race against
  the cancel, in which case its result counts and no byte is lost;
* an exception such as KeyboardInterrupt left the wait, or the owner closes: cancelled and waited for likewise.

CancelIoEx only asks; the wait after it is what makes the memory ours again.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import Array, byref, c_char, c_void_p
from ctypes.wintypes import DWORD
from functools import partial
from typing import Any

from pipectl.core.constants import STATUS_BUFFER_OVERFLOW, STATUS_PENDING, STATUS_SUCCESS, WinError
from pipectl.core.deadline import Deadline, Timeout
from pipectl.core.errors import OperationAbortedError, timed_out

from . import winapi
from .handle import Closing, Handle, Waiter

Buffer = bytes | bytearray | memoryview

# Members of enums, which are not looked up for each operation.
_PENDING, _SUCCESS, _MORE = WinError.IO_PENDING, WinError.SUCCESS, WinError.MORE_DATA

# The words of an OVERLAPPED that tell how its operation ended: Internal and InternalHigh.
_STATUS, COUNT = 0, 1

# What an Overlapped is doing. While it is starting, nobody knows yet whether there is something to cancel.
_IDLE, _STARTING, _UNDER_WAY = range(3)


class _Kit:
    """What an operation has of its own: the structure, and the event that is set at its end."""

    __slots__ = ("event", "outcome", "reference", "waiter")

    def __init__(self) -> None:
        self.event = c_void_p(winapi.CreateEventW(None, True, False, None))
        structure = winapi.OVERLAPPED(hEvent=self.event.value)
        self.reference = byref(structure)
        # Its words, because an index takes a quarter of the time of a field of ctypes.
        self.outcome = memoryview(structure).cast("B").cast("P")
        self.waiter = Waiter(self.event)


# For the next operations: to make one and close its event takes a tenth of a short connection's time.
_MOST_SPARE_KITS = 16
_spare_kits: list[_Kit] = []


class Overlapped(Closing):
    """Runs operations on one handle, one at a time; `with` makes sure that none outlives its memory."""

    __slots__ = (
        "__weakref__",
        "_arguments",
        "_closed",
        "_code",
        "_handle",
        "_kit",
        "_state",
        "_wait",
        "outcome",
    )

    def __init__(self, handle: Handle) -> None:
        self._closed = False
        self._state = _IDLE
        self._handle = handle
        try:
            kit = _spare_kits.pop()
        except IndexError:
            kit = _Kit()
        self._kit = kit
        self.outcome = kit.outcome
        self._wait = kit.waiter.wait
        self._arguments: tuple[Any, ...] = ()
        self._code: int = _SUCCESS

    @property
    def pending(self) -> bool:
        """Whether an operation was started whose result was not taken yet."""
        return self._state != _IDLE

    def bind(self, function: Callable[..., int], *arguments: Any) -> "partial[int]":
        """Make the call of a native function of `winapi` on the handle ready for `run`, but for its last arguments."""
        # As all of them begin: the handle, the event, no APC, and where the result goes.
        return partial(function, self._handle.pointer, self._kit.event, None, None, self._kit.reference, *arguments)

    def run(self, call: "partial[int]", timeout: Timeout, *arguments: Any) -> int:
        """Make a call that `bind` prepared, with the rest of its arguments, and wait for the end of the operation.

        Returns 0 or MORE_DATA; the bytes transferred are `outcome[COUNT]`. Raises the operation's own error;
        PipeTimeoutError if the deadline passed, after the operation was cancelled; and RuntimeError while an earlier
        operation is pending.
        """
        if self._state:
            raise RuntimeError("an operation is pending")
        self._state = _STARTING
        if self._closed:
            raise self._aborted()
        self.outcome[_STATUS] = STATUS_PENDING
        try:
            status = call(*arguments)
            if status == STATUS_PENDING:
                self._state = _UNDER_WAY
                if not self._wait(timeout):
                    return self._expire(timeout)[1]
                status = self.outcome[_STATUS]
        except BaseException:
            self._abandon()
            raise
        self._state = _IDLE
        if status == STATUS_SUCCESS:
            return 0
        if status == STATUS_BUFFER_OVERFLOW:
            return _MORE
        raise winapi.native_error(status, call.func, self._handle)

    def start(self, function: Callable[..., int], *arguments: Any) -> int:
        """Call a function of `winapi` on the handle, with the OVERLAPPED as its last argument: `result` waits for it.

        Returns 0 if the operation is done, IO_PENDING if it is under way, or another code that the function gives as
        a result. Raises what it raises, and RuntimeError while an earlier operation is pending.
        """
        # Repeats `run`'s first lines: a helper costs 1 us an operation (docs/performance.md).
        if self._state:
            raise RuntimeError("an operation is pending")
        self._state = _STARTING
        if self._closed:
            raise self._aborted()
        # TransactNamedPipe leaves Internal alone on Wine 8, and zero there means "done".
        self.outcome[_STATUS] = STATUS_PENDING
        self._arguments = arguments
        try:
            self._code = function(self._handle, *arguments, self._kit.reference)
        except BaseException:
            self._abandon()
            raise
        self._state = _UNDER_WAY if self._code == _PENDING else _IDLE
        return self._code

    def result(self, timeout: Timeout) -> tuple[int, int]:
        """Wait for the end of the operation that `start` began; return the bytes transferred and 0 or MORE_DATA.

        Raises the operation's own error, and PipeTimeoutError as `run` does.
        """
        if not self._state:
            if self._code == _PENDING:
                raise self._aborted()
            self._arguments = ()
            return self.outcome[COUNT], self._code
        try:
            if not self._wait(timeout):
                return self._expire(timeout)
        except BaseException:
            self._abandon()
            raise
        return self._collect(wait=False)

    def cancel(self) -> None:
        """Ask for the end of a pending operation and wait until it has ended; its result is dropped."""
        while self._state == _STARTING:
            time.sleep(0)  # another thread is just beginning it
        self._abandon()

    def _expire(self, timeout: Timeout) -> tuple[int, int]:
        winapi.CancelIoEx(self._handle, self._kit.reference)
        try:
            return self._collect(wait=True)
        except OperationAbortedError:
            seconds = timeout.timeout if isinstance(timeout, Deadline) else timeout
            raise timed_out(seconds, self._handle.name) from None

    def _abandon(self) -> None:
        """End an operation that is under way; or one of which Ctrl+C hides whether it began."""
        if not self._state:
            return
        begun = winapi.CancelIoEx(self._handle, self._kit.reference) == 0 or self.outcome[_STATUS] != STATUS_PENDING
        with suppress(OSError):  # that it failed, or was cancelled, is as good an end as any
            self._collect(wait=begun or self._state == _UNDER_WAY)

    def _aborted(self) -> OperationAbortedError:
        self._state = _IDLE
        return OperationAbortedError("cancelled", code=WinError.OPERATION_ABORTED, pipe=self._handle.name)

    def _collect(self, *, wait: bool) -> tuple[int, int]:
        count = DWORD()
        try:
            code = winapi.GetOverlappedResult(self._handle, self._kit.reference, byref(count), wait)
        finally:
            self._state = _IDLE
            self._arguments = ()
        return count.value, code

    def close(self) -> None:
        """End a pending operation and give the event up; does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        if self._state or len(_spare_kits) >= _MOST_SPARE_KITS:
            self.cancel()
            winapi.CloseHandle(self._kit.event)
        else:  # nobody waits for it
            _spare_kits.append(self._kit)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()


def address_of(data: Buffer) -> "bytes | Array[c_char]":
    """Give the memory of any contiguous buffer as ctypes takes it, copying only what is read-only and no `bytes`."""
    if isinstance(data, bytes):
        return data
    view = memoryview(data)
    if view.readonly or not view.contiguous:
        return view.tobytes()
    return (c_char * view.nbytes).from_buffer(view)

"""One pending operation on a handle, and the memory that it uses.

The kernel borrows the memory of an overlapped operation: until the operation has ended, it may write to the buffer and
to the OVERLAPPED structure at any time. Python frees memory when its last reference is dropped. So an `Overlapped`
keeps a reference to both until the operation has ended in one of three ways:

* It completed, and `run` or `result` returns its result.
* The deadline passed. The operation is canceled and *waited for*, and PipeTimeoutError is raised. If it completed
  before the cancel took effect, its result is returned instead, so no byte is lost.
* An exception such as KeyboardInterrupt interrupted the wait, or the owner closes. The operation is canceled and waited
  for in the same way, and `settle` returns what it had done by then.

CancelIoEx only requests the cancel; the memory is ours again after the wait. A second Ctrl+C may interrupt that wait
too. Then the operation stays pending and keeps its memory, and the next call (`run`, `settle` or `close`) ends it
first. So each step that ends an operation can be repeated after an interruption.

CPython runs signal handlers and switches threads only where a function is called or a loop starts over. Statements
between two calls run without interruption, and the order of some statements here relies on that.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from ctypes import Array, byref, c_char, c_void_p, sizeof
from functools import partial
from typing import TYPE_CHECKING, Any

from pipectl.core.constants import STATUS_BUFFER_OVERFLOW, STATUS_PENDING, STATUS_SUCCESS, WinError
from pipectl.core.deadline import Deadline, Timeout
from pipectl.core.errors import OperationAbortedError, PipeError, PipeTimeoutError, timed_out

from . import winapi
from .handle import Closing, Handle, Waiter

if TYPE_CHECKING:
    from types import FrameType

Buffer = bytes | bytearray | memoryview

# Members of enums, which are not looked up for each operation.
_PENDING, _SUCCESS, _MORE = WinError.IO_PENDING, WinError.SUCCESS, WinError.MORE_DATA

# Where an OVERLAPPED holds the result, as indexes of 32-bit words: the status is the lower half of Internal, whose
# upper half the kernel may leave undefined; the lower half of InternalHigh is enough for any byte count.
_STATUS, _COUNT = 0, sizeof(c_void_p) // 4

# The Win32 error code of each status.
_SUCCESSES: dict[int, int] = {STATUS_SUCCESS: int(_SUCCESS), STATUS_BUFFER_OVERFLOW: int(_MORE)}
_CODES = {**_SUCCESSES, STATUS_PENDING: int(_PENDING)}

# The states of an Overlapped: idle; a thread is inside `run` or `result`; an operation that `start` began may be
# pending; an operation that an exception interrupted may be pending.
_IDLE, _INSIDE, _STARTED, _LEFT = range(4)

# How long to wait, in seconds, for a canceled operation to end, and for one that CancelIoEx did not find.
_PATIENCE, _MOMENT = 5.0, 0.1
# How long `close` waits, in seconds, for a thread inside `run` or `result` to leave after the cancel.
_COURTESY = 1.0


class _Kit:
    """The structure and the event of an operation; the event is set while no operation is pending.

    The event is closed only when the last reference to the kit is dropped, so no thread ever waits for a closed event.
    """

    __slots__ = ("event", "outcome", "reference", "waiter")

    def __init__(self) -> None:
        self.event = c_void_p(winapi.CreateEventW(None, True, True, None))
        structure = winapi.OVERLAPPED(hEvent=self.event.value)
        self.reference = byref(structure)
        # As words: indexing takes a quarter of the time of reading a ctypes field.
        self.outcome = memoryview(structure).cast("B").cast("I")
        self.waiter = Waiter(self.event)

    def __del__(self, close: Callable[..., int] = winapi.CloseHandle) -> None:
        if hasattr(self, "event"):  # `__init__` has finished; names of this module may be gone by now
            close(self.event)


# Kits for the next operations: creating one and closing its event takes a tenth of the time of a short connection.
_MOST_SPARE_KITS = 16
_spare_kits: list[_Kit] = []
# The memory of operations that could not be ended. The kernel may use it, so it is never freed.
_lost: list[object] = []


class Overlapped(Closing):
    """Runs operations on one handle, one at a time; at the end of `with`, the pending operation is ended."""

    __slots__ = (
        "__weakref__",
        "_closed",
        "_code",
        "_gone",
        "_handle",
        "_kit",
        "_lent",
        "_outcome",
        "_source",
        "_state",
        "_wait",
        "count",
        "left",
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
        self._outcome = kit.outcome
        self._wait = kit.waiter.wait
        # The bytes that the last operation transferred.
        self.count = 0
        # What the kernel may still use: the arguments of a call.
        self._lent: tuple[Any, ...] = ()
        # What the function of `start` returned, and that function.
        self._code: int = _SUCCESS
        self._source: Any = None
        # The result of an operation that has not been returned to a caller yet: 0, MORE_DATA, or None.
        self.left: int | None = None
        # Created by a `close` that waits for the thread inside.
        self._gone: _Kit | None = None

    @property
    def pending(self) -> bool:
        """Whether an operation was started whose result has not been returned yet."""
        return self._state != _IDLE

    def bind(self, function: Callable[..., int], *arguments: Any) -> "partial[int]":
        """Return a call of a native function of `winapi` on the handle; `run` supplies the remaining arguments."""
        # Their common first parameters: the handle, the event, no APC, and the address for the result.
        return partial(function, self._handle.pointer, self._kit.event, None, None, self._kit.reference, *arguments)

    def run(self, call: "partial[int]", timeout: Timeout, *arguments: Any) -> int:
        """Make a call that `bind` prepared, with its remaining arguments, and wait until the operation has ended.

        Returns 0 or MORE_DATA; the bytes transferred are `count`. Raises the operation's own error; PipeTimeoutError
        if the deadline passed, after the operation was canceled; OperationAbortedError after `close`; and
        RuntimeError while an earlier operation is pending.
        """
        if self._state:
            self._make_ready()
        self._state = _INSIDE
        if self._closed:
            raise self._refused()
        is_late = False
        self._outcome[_STATUS] = STATUS_PENDING
        try:
            status = call(*arguments)
            if status == STATUS_PENDING:
                if self._closed:  # the cancel of `close` may have come before the operation started
                    self._end(begun=True)
                if not self._wait(timeout):
                    is_late = True
                    self._expire(timeout)
                status = self._outcome[_STATUS]
        except BaseException:
            self._state, self.left, self._lent = _LEFT, None, (call, arguments)
            self.settle()
            raise
        self.count = self._outcome[_COUNT]
        self._state = _IDLE
        if self._closed:
            self._report_close()
        if status == STATUS_SUCCESS:
            return 0
        if status == STATUS_BUFFER_OVERFLOW:
            return _MORE
        raise self._error(status, call.func, timeout if is_late else None)

    def start(self, function: Callable[..., int], *arguments: Any) -> int:
        """Call a function of `winapi` on the handle, with the OVERLAPPED as its last argument; `result` waits for it.

        Returns 0 if the operation has completed, IO_PENDING if it is pending, or another code that the function
        returns as a result. Raises the function's errors, and RuntimeError while an earlier operation is pending.
        """
        return self._begin(function, partial(function, self._handle, *arguments, self._kit.reference))

    def begin(self, call: "partial[int]", *arguments: Any) -> int:
        """Make a call that `bind` prepared, with its remaining arguments, as `start` does."""
        function, handle = call.func, self._handle

        def translated() -> int:
            status = call(*arguments)
            if status in _CODES:
                return _CODES[status]
            raise winapi.native_error(status, function, handle)

        return self._begin(function, translated)

    def _begin(self, function: Any, call: Callable[[], int]) -> int:
        if self._state:
            self._make_ready()
        self._state = _INSIDE
        if self._closed:
            raise self._refused()
        # On Wine, TransactNamedPipe does not set Internal, where zero means that the operation has completed.
        self._outcome[_STATUS] = STATUS_PENDING
        self.left, self._code, self._source, self._lent = None, _SUCCESS, function, (call,)
        try:
            self._code = code = call()
        except PipeError:  # it failed at once
            self._state, self._lent = _IDLE, ()
            raise
        except BaseException:
            self._state = _LEFT
            self.settle()
            raise
        self.count = self._outcome[_COUNT]
        self._state, self.left = (_STARTED, None) if code == _PENDING else (_IDLE, code)
        if self._closed:
            self.settle()
            self._report_close()
        return code

    def ended(self, timeout: Timeout) -> bool:
        """Wait for the operation that `start` began, without canceling or finishing it; return whether it has ended."""
        return self._state != _STARTED or self._wait(timeout)

    def result(self, timeout: Timeout) -> tuple[int, int]:
        """Wait until the operation that `start` began has ended; return the bytes transferred and 0 or MORE_DATA.

        Raises the operation's own error, and PipeTimeoutError as `run` does.
        """
        if not self._state:
            if self._code == _PENDING:
                raise self._aborted()
            self._lent = ()
            return self.count, self._code
        if self._state != _STARTED:
            self._make_ready()
            raise self._aborted()
        self._state = _INSIDE
        is_late = False
        try:
            if self._closed:
                self._end(begun=True)
            if not self._wait(timeout):
                is_late = True
                self._expire(timeout)
            status = self._outcome[_STATUS]
            code = _SUCCESSES.get(status)
        except BaseException:
            self._state = _LEFT
            self.settle()
            raise
        self.left, self.count, self._code = code, self._outcome[_COUNT], _SUCCESS
        self._state, self._lent = _IDLE, ()
        if self._closed:
            self._report_close()
        if code is None:
            raise self._error(status, self._source, timeout if is_late else None)
        return self.count, code

    def cancel(self) -> None:
        """End the operation that `start` began and drop its result; if a thread waits for it, only request the end."""
        if self._state == _INSIDE:
            with suppress(PipeError):
                winapi.CancelIoEx(self._handle, self._kit.reference)
        else:
            self.settle()

    def settle(self) -> int | None:
        """End an operation of `start` or of an interrupted `run`; return 0 or MORE_DATA if it succeeded, else None.

        `count` is the number of bytes transferred, and `left` is what was returned; a caller that uses the data sets
        `left` to None. Does not raise if the operation cannot be ended: it stays `pending`.
        """
        state = self._state
        if state in (_STARTED, _LEFT) and self._end(begun=state == _STARTED):
            status, self.count = self._outcome[_STATUS], self._outcome[_COUNT]
            self.left = _SUCCESSES.get(status)
            self._state, self._lent = _IDLE, ()
        return self.left

    def _end(self, *, begun: bool) -> bool:
        """Cancel the operation, and return whether it has ended or never began. Can be repeated."""
        try:
            found = winapi.CancelIoEx(self._handle, self._kit.reference) == 0
        except PipeError:  # the handle is closed, which also ends the operation
            found = True
        # The event is more reliable than the status: each operation resets it first, and the kernel sets it last.
        if self._wait(_PATIENCE if found or begun else _MOMENT):
            return True
        if found or begun or self._outcome[_STATUS] != STATUS_PENDING:
            return False
        _lost.append(self._lent)  # a call that fails at once never sets its event; keep the memory in case it did not
        return True

    def _expire(self, timeout: Timeout) -> None:
        """Cancel an operation whose deadline has passed; raises PipeTimeoutError if it does not end."""
        if not self._end(begun=True):
            raise self._timed_out(timeout)

    def _make_ready(self) -> None:
        """End an interrupted operation; raises RuntimeError if an operation is still pending."""
        if self._state == _LEFT:
            self.settle()
        if self._state:
            raise RuntimeError("an operation is pending")

    def _refused(self) -> OperationAbortedError:
        self._state = _IDLE
        self._report_close()
        return self._aborted()

    def _aborted(self) -> OperationAbortedError:
        return OperationAbortedError("cancelled", code=WinError.OPERATION_ABORTED, pipe=self._handle.name)

    def _error(self, status: int, function: Any, timeout: Timeout) -> Exception:
        """Return the error of an operation: PipeTimeoutError if it was canceled because its deadline had passed."""
        error = winapi.native_error(status, function, self._handle)
        if timeout is None or self._closed or not isinstance(error, OperationAbortedError):
            return error
        return self._timed_out(timeout)

    def _timed_out(self, timeout: Timeout) -> PipeTimeoutError:
        return timed_out(timeout.timeout if isinstance(timeout, Deadline) else timeout, self._handle.name)

    def close(self) -> None:
        """End a pending operation, whichever thread it belongs to, and release the event; can be repeated."""
        was_closed, self._closed = self._closed, True
        if self._state == _INSIDE:
            self._await_thread()
        elif self._state:
            self.settle()
        elif not was_closed and len(_spare_kits) < _MOST_SPARE_KITS:
            _spare_kits.append(self._kit)  # no thread waits for its event, and its result has been read

    def _await_thread(self) -> None:
        """Cancel the operation of the thread inside, and wait until it has left: it may still use the handle."""
        gone = _Kit()
        winapi.ResetEvent(gone.event)
        self._gone = gone
        if self._state == _INSIDE:
            self.cancel()
            if not self._is_in_this_thread():
                gone.waiter.wait(_COURTESY)  # with a limit: on a handle without OVERLAPPED, it may not return

    def _is_in_this_thread(self) -> bool:
        """Return whether a signal handler is closing this, in the thread that it interrupted."""
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if frame.f_code in _INSIDE_CODE and frame.f_locals.get("self") is self:
                return True
            frame = frame.f_back
        return False

    def _report_close(self) -> None:
        if self._gone is not None:
            winapi.SetEvent(self._gone.event)

    def __del__(self) -> None:
        if not hasattr(self, "_gone"):
            return
        self._closed = True  # so that `close` keeps no kit: that of a cycle may have been collected before this
        try:
            self.close()
        finally:
            if self._state:
                _lost.append((self._kit, self._lent))


_INSIDE_CODE = {function.__code__ for function in (Overlapped.run, Overlapped.result, Overlapped._begin)}


def address_of(data: Buffer) -> "bytes | Array[c_char]":
    """Return a buffer in the form that ctypes accepts; copies read-only memory other than `bytes`, and gaps."""
    if isinstance(data, bytes):
        return data
    view = memoryview(data)
    if view.readonly or not view.contiguous:
        return view.tobytes()
    return (c_char * view.nbytes).from_buffer(view)

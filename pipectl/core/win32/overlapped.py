"""One pending operation on a handle, and the memory that it uses.

An overlapped operation is a loan: the kernel keeps the addresses of the buffer and of the OVERLAPPED structure and
writes to them whenever it likes, until the operation has ended. Python frees memory when the last reference goes. So
an `Overlapped` holds on to both, and there are only three ways out of it:

* the operation ended, and `run` or `result` gives what it did;
* the deadline passed: it is canceled, *waited for*, and PipeTimeoutError raised - unless it won the race against
  the cancel, in which case its result counts and no byte is lost;
* an exception such as KeyboardInterrupt left the wait, or the owner closes: canceled and waited for likewise. What
  it had done by then is not lost either: `settle` tells it.

CancelIoEx only asks; the wait after it is what makes the memory ours again. A second Ctrl+C may leave that wait too.
Then the operation stays what it is, with its memory, and whatever is next (`run`, `settle`, `close`) ends it first.
So no step that ends an operation is lost for having been interrupted: each may be taken again.

CPython runs signal handlers, and lets other threads in, only where a function is called or a loop begins again. The
statements between two calls happen together; the order of some here rests on that.
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

# Where an OVERLAPPED tells how its operation ended, in words of 32 bits: the status is the lower half of Internal,
# whose upper half the kernel may leave undefined, and the lower half of InternalHigh counts any operation's bytes.
_STATUS, _COUNT = 0, sizeof(c_void_p) // 4

# What a status says, as Win32's code.
_SUCCESSES: dict[int, int] = {STATUS_SUCCESS: int(_SUCCESS), STATUS_BUFFER_OVERFLOW: int(_MORE)}
_CODES = {**_SUCCESSES, STATUS_PENDING: int(_PENDING)}

# What an Overlapped is doing: a thread is inside `run` or `result`; or nobody is, and the operation that `start` began,
# or that an exception left, may be under way.
_IDLE, _INSIDE, _STARTED, _LEFT = range(4)

# How long the end of an operation is waited for that was canceled, and that of one with nothing to cancel.
_PATIENCE, _MOMENT = 5.0, 0.1
# How long a close waits for the thread that is inside, which a cancel has sent on its way out.
_COURTESY = 1.0


class _Kit:
    """What an operation has of its own: the structure, and the event that is set while none is under way.

    It goes when nobody uses it any more, and the event with it: no thread ever waits for a closed one.
    """

    __slots__ = ("event", "outcome", "reference", "waiter")

    def __init__(self) -> None:
        self.event = c_void_p(winapi.CreateEventW(None, True, True, None))
        structure = winapi.OVERLAPPED(hEvent=self.event.value)
        self.reference = byref(structure)
        # Its words, because an index takes a quarter of the time of a field of ctypes.
        self.outcome = memoryview(structure).cast("B").cast("I")
        self.waiter = Waiter(self.event)

    def __del__(self, close: Callable[..., int] = winapi.CloseHandle) -> None:
        with suppress(AttributeError):  # which `__init__` did not come to
            close(self.event)


# For the next operations: to make one and close its event takes a tenth of a short connection's time.
_MOST_SPARE_KITS = 16
_spare_kits: list[_Kit] = []
# What operations use that nothing could end: the kernel's for good.
_lost: list[object] = []


class Overlapped(Closing):
    """Runs operations on one handle, one at a time; `with` makes sure that none outlives its memory."""

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
        # What `start` was answered, and by which function.
        self._code: int = _SUCCESS
        self._source: Any = None
        # What an operation did that nobody has taken yet: 0, MORE_DATA, or nothing.
        self.left: int | None = None
        # Made by a close that waits for the thread inside.
        self._gone: _Kit | None = None

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
                if self._closed:  # it may have been too early for the cancel of `close`
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
            self._tell_close()
        if status == STATUS_SUCCESS:
            return 0
        if status == STATUS_BUFFER_OVERFLOW:
            return _MORE
        raise self._error(status, call.func, timeout if is_late else None)

    def start(self, function: Callable[..., int], *arguments: Any) -> int:
        """Call a function of `winapi` on the handle, with the OVERLAPPED as its last argument: `result` waits for it.

        Returns 0 if the operation is done, IO_PENDING if it is under way, or another code that the function gives as
        a result. Raises what it raises, and RuntimeError while an earlier operation is pending.
        """
        return self._begin(function, partial(function, self._handle, *arguments, self._kit.reference))

    def begin(self, call: "partial[int]", *arguments: Any) -> int:
        """Make a call that `bind` prepared, with the rest of its arguments, as `start` does."""
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
        # TransactNamedPipe leaves Internal alone on Wine, and zero there means "done".
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
            self._tell_close()
        return code

    def ended(self, timeout: Timeout) -> bool:
        """Wait for the operation that `start` began, without canceling or finishing it; return whether it has ended."""
        return self._state != _STARTED or self._wait(timeout)

    def result(self, timeout: Timeout) -> tuple[int, int]:
        """Wait for the end of the operation that `start` began; return the bytes transferred and 0 or MORE_DATA.

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
            self._tell_close()
        if code is None:
            raise self._error(status, self._source, timeout if is_late else None)
        return self.count, code

    def cancel(self) -> None:
        """End the operation that `start` began; its result is dropped. One that a thread is in is only asked to end."""
        if self._state == _INSIDE:
            with suppress(PipeError):
                winapi.CancelIoEx(self._handle, self._kit.reference)
        else:
            self.settle()

    def settle(self) -> int | None:
        """End what an exception or `start` has left under way; return 0 or MORE_DATA if it had succeeded, else None.

        The bytes transferred are `count`, and the answer is `left` too: whoever takes them sets `left` to None. Does
        not raise if the operation cannot be ended: it stays `pending`.
        """
        state = self._state
        if state in (_STARTED, _LEFT) and self._end(begun=state == _STARTED):
            status, self.count = self._outcome[_STATUS], self._outcome[_COUNT]
            self.left = _SUCCESSES.get(status)
            self._state, self._lent = _IDLE, ()
        return self.left

    def _end(self, *, begun: bool) -> bool:
        """Cancel the operation, and return whether it has ended, or has never begun. May be repeated."""
        try:
            found = winapi.CancelIoEx(self._handle, self._kit.reference) == 0
        except PipeError:  # the handle is closed, which ends it too
            found = True
        # The event tells more than the status: the kernel sets it last, and each operation resets it first.
        if self._wait(_PATIENCE if found or begun else _MOMENT):
            return True
        if found or begun or self._outcome[_STATUS] != STATUS_PENDING:
            return False
        _lost.append(self._lent)  # nobody sets the event of what has failed at once; in case that is not why, keep it
        return True

    def _expire(self, timeout: Timeout) -> None:
        """Cancel an operation whose deadline has passed; PipeTimeoutError if it does not end, and stays pending."""
        if not self._end(begun=True):
            raise self._timed_out(timeout)

    def _make_ready(self) -> None:
        """End what an exception has left; raises RuntimeError if an operation is pending all the same."""
        if self._state == _LEFT:
            self.settle()
        if self._state:
            raise RuntimeError("an operation is pending")

    def _refused(self) -> OperationAbortedError:
        self._state = _IDLE
        self._tell_close()
        return self._aborted()

    def _aborted(self) -> OperationAbortedError:
        return OperationAbortedError("cancelled", code=WinError.OPERATION_ABORTED, pipe=self._handle.name)

    def _error(self, status: int, function: Any, timeout: Timeout) -> Exception:
        """Return the error for an operation; one that was canceled because its deadline had passed timed out."""
        error = winapi.native_error(status, function, self._handle)
        if timeout is None or self._closed or not isinstance(error, OperationAbortedError):
            return error
        return self._timed_out(timeout)

    def _timed_out(self, timeout: Timeout) -> PipeTimeoutError:
        return timed_out(timeout.timeout if isinstance(timeout, Deadline) else timeout, self._handle.name)

    def close(self) -> None:
        """End a pending operation, of whichever thread, and give the event up; may be repeated."""
        was_closed, self._closed = self._closed, True
        if self._state == _INSIDE:
            self._await_thread()
        elif self._state:
            self.settle()
        elif not was_closed and len(_spare_kits) < _MOST_SPARE_KITS:
            _spare_kits.append(self._kit)  # nobody waits for it, and all that it tells has been read

    def _await_thread(self) -> None:
        """Send the thread that is inside on its way out, and wait for it: it may still use the handle."""
        gone = _Kit()
        winapi.ResetEvent(gone.event)
        self._gone = gone
        if self._state == _INSIDE:
            self.cancel()
            if not self._is_in_this_thread():
                gone.waiter.wait(_COURTESY)  # not for ever: a handle without OVERLAPPED may hold it

    def _is_in_this_thread(self) -> bool:
        """Return whether it is a signal handler that closes, in the thread that it has interrupted."""
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            if frame.f_code in _INSIDE_CODE and frame.f_locals.get("self") is self:
                return True
            frame = frame.f_back
        return False

    def _tell_close(self) -> None:
        if self._gone is not None:
            winapi.SetEvent(self._gone.event)

    def __del__(self) -> None:
        if not hasattr(self, "_gone"):
            return
        try:
            self.close()
        finally:
            if self._state:
                _lost.append((self._kit, self._lent))


_INSIDE_CODE = {function.__code__ for function in (Overlapped.run, Overlapped.result, Overlapped._begin)}


def address_of(data: Buffer) -> "bytes | Array[c_char]":
    """Return the memory of any contiguous buffer as ctypes takes it, copying only what is read-only and no `bytes`."""
    if isinstance(data, bytes):
        return data
    view = memoryview(data)
    if view.readonly or not view.contiguous:
        return view.tobytes()
    return (c_char * view.nbytes).from_buffer(view)

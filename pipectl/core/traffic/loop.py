"""A loop in one thread with one completion port: handles completed operations, calls from other threads, and timers.

An operation that starts without an error is reported exactly once, even if it completed at once, and keeps its buffer
alive until then, so a handle can be closed at any time. Functions that block, such as starting a program, run in a few
other threads, which post their results to the loop.
"""

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ctypes import addressof, byref
from threading import Thread, get_ident
from typing import Any, TypeVar

from pipectl.core.constants import STATUS_BUFFER_OVERFLOW, STATUS_PENDING, STATUS_SUCCESS
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.handle import Closing, Handle, wait
from pipectl.core.win32.port import CompletionPort

_T = TypeVar("_T")

_WAKE, _ENDED = 0, 1  # the completion keys
# The results of a native function whose operation queues a completion packet.
BEGUN = frozenset((STATUS_SUCCESS, STATUS_PENDING, STATUS_BUFFER_OVERFLOW))
_SKIP_COMPLETION_PORT_ON_SUCCESS = 1
# How many operations that succeeded at once are reported before the port is checked.
_MOST_READY = 64
# Threads for functions that block; further ones are queued.
_HELPERS = 8
# Seconds that canceled operations may take to end when the loop ends.
_LAST = 1.0


class Operation:
    """An OVERLAPPED for one operation at a time; the loop calls `ended` with its status and byte count."""

    __slots__ = ("_loop", "_overlapped", "address", "ended", "lent", "reference", "skips")

    def __init__(self, loop: "Loop", ended: Callable[[int, int], None]) -> None:
        self._loop = loop
        self.ended = ended
        self._overlapped = winapi.OVERLAPPED()
        self.address = addressof(self._overlapped)
        # The buffer that the kernel uses until the operation ends.
        self.lent: object = None
        # Whether its handle queues no packets for operations that succeed at once, see `Loop.skip_packets`.
        self.skips = False
        self.reference = byref(self._overlapped)

    @property
    def is_pending(self) -> bool:
        """Whether `ended` has not been called yet."""
        return self.address in self._loop.pending

    def begun(self, lent: object = None, status: int = STATUS_PENDING) -> None:
        """Register a pending operation, whose function has returned `status`.

        `lent` is the buffer to keep until it ends. Raises RuntimeError if an operation is already pending.
        """
        loop = self._loop
        if self.address in loop.pending:  # its buffer would be freed too early
            raise RuntimeError("an operation is pending")
        if self.skips and status == STATUS_BUFFER_OVERFLOW:
            self._report_overflow(lent)
            return
        self.lent = lent
        loop.pending[self.address] = self
        if self.skips and status == STATUS_SUCCESS:
            loop.ready.append(self._report_success)

    def _report_success(self) -> None:
        del self._loop.pending[self.address]
        self.lent = None
        self.ended(STATUS_SUCCESS, self._overlapped.InternalHigh or 0)

    def _report_overflow(self, lent: object) -> None:
        """Have `ended` called with STATUS_BUFFER_OVERFLOW, whether or not the system queues a packet for it.

        Wine queues none, and Microsoft does not document it for Windows. If the system does queue one, it arrives
        before the marker's packet, while nothing is pending at this address, and is ignored.
        """
        count = self._overlapped.InternalHigh or 0
        marker = Operation(self._loop, lambda _status, _count: self.ended(STATUS_BUFFER_OVERFLOW, count))
        marker.post_success()
        marker.lent = lent

    def post_success(self) -> None:
        """Post a packet that reports success, where the system queues none."""
        self.begun()
        self._loop.port.post(_ENDED, self.address)

    def cancel(self, handle: Handle) -> None:
        """Cancel the operation if it is pending; `ended` is still called."""
        if self.is_pending:
            with suppress(PipeError):
                winapi.CancelIoEx(handle, self.reference)


class Timer:
    """A function that is called at a time, unless it is canceled."""

    __slots__ = ("_function", "at")

    def __init__(self, seconds: float, function: Callable[[], None]) -> None:
        self.at = time.perf_counter() + seconds
        self._function: Callable[[], None] | None = function

    def cancel(self) -> None:
        """Cancel it."""
        self._function = None

    def fire(self) -> None:
        """Call the function, unless the timer was canceled."""
        function, self._function = self._function, None
        if function is not None:
            function()


class Loop:
    """Runs in a thread of its own from `start` to `stop`; other threads may call `wait`, `post`, `abort` and `close`.

    Any exception raised in it, even a PipeError, is a defect of its user: it ends the loop, and `wait` raises it.
    """

    def __init__(self, name: str, kind: str = "Relay") -> None:
        self._name = f"{kind} {name}"
        self.pending: dict[int, Operation] = {}
        # What is called next: reports operations that succeeded at once and queue no packet.
        self.ready: deque[Callable[[], None]] = deque()
        self.port = CompletionPort(name)
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._turn = itertools.count()
        self.is_stopping = False
        # How many packets are requested at once: as many as are likely to be there, because on Wine each one costs a
        # call to its server, and one more call if there are fewer.
        self.batch = 1
        # When the packets being handled were taken, by perf_counter; their operations ended before that.
        self.now = 0.0
        self._error: BaseException | None = None
        self._at_end: Callable[[], None] = lambda: None
        self._thread: Thread | None = None
        self._ended = calls.create_event()
        self._helpers: ThreadPoolExecutor | None = None

    # For the program's thread

    def start(self, at_end: Callable[[], None]) -> None:
        """Start the thread; when the loop stops, it calls `at_end`, which must cancel the pending operations."""
        self._at_end = at_end
        self._thread = Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the loop has ended; return whether it has. Raises the error that ended it. Ctrl+C interrupts."""
        if not wait(self._ended, Deadline(timeout)):
            return False
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return True

    def abort(self, error: BaseException) -> None:
        """End the loop because of an error, which `wait` raises."""
        self.post(self.fail, error)

    def close(self) -> None:
        """Stop the loop, wait for its end, and close its handles; does nothing the second time."""
        if self._thread is not None:
            self.post(self.stop)
            wait(self._ended, Deadline(None))
            self._thread.join()
            self._thread = None
        if self._helpers is not None:
            self._helpers.shutdown(wait=False, cancel_futures=True)
        self.port.close()
        self._ended.close()

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the loop's thread, after its current work; does nothing once the loop has ended."""
        self._posted.append((function, arguments))
        with suppress(PipeError):
            self.port.post(_WAKE)

    @property
    def is_here(self) -> bool:
        """Whether this is the loop's thread."""
        return self._thread is not None and get_ident() == self._thread.ident

    # For its users, in its thread

    def stop(self) -> None:
        """End the loop."""
        self.is_stopping = True

    def fail(self, error: BaseException) -> None:
        """End the loop because of an error, which `wait` raises in the program's thread."""
        self._error = self._error or error
        self.is_stopping = True

    def skip_packets(self, handle: Handle) -> bool:
        """Have the system queue no packet for operations that succeed at once; return whether it supports that."""
        try:
            winapi.SetFileCompletionNotificationModes(handle, _SKIP_COMPLETION_PORT_ON_SUCCESS)
        except PipeError:
            return False
        return True

    def watch(self, handle: Handle) -> None:
        """Associate a handle with the port, so that its operations are reported here."""
        self.port.add(handle, _ENDED)

    def after(self, seconds: float, function: Callable[[], None]) -> Timer:
        """Call a function after some seconds, unless the timer is canceled before."""
        timer = Timer(seconds, function)
        heapq.heappush(self._timers, (timer.at, next(self._turn), timer))
        return timer

    def elsewhere(self, function: Callable[[], _T], done: Callable[[_T | PipeError], None]) -> None:
        """Call a function that may block in another thread; the loop then calls `done` with its result or PipeError.

        A result that arrives after the end of the loop is closed if possible, and dropped.
        """
        if self._helpers is None:
            self._helpers = ThreadPoolExecutor(_HELPERS, f"Helper of {self._name}")
        self._helpers.submit(self._help, function, done)

    def _help(self, function: Callable[[], _T], done: Callable[[_T | PipeError], None]) -> None:
        try:
            result: _T | PipeError = function()
        except PipeError as error:
            result = error
        except BaseException as error:  # noqa: BLE001 - `wait` raises it
            self.abort(error)
            return
        if self.is_stopping and isinstance(result, Closing):
            result.close()
        self.post(done, result)

    # The thread

    def _run(self) -> None:
        try:
            while not self.is_stopping:
                self._run_once(None)
        except BaseException as error:  # noqa: BLE001 - `wait` raises it
            self.fail(error)
        try:
            self._at_end()
            deadline = Deadline(_LAST)
            while self.pending and not deadline.passed:
                self._run_once(deadline.remaining())
        except BaseException as error:  # noqa: BLE001
            self.fail(error)
        finally:
            winapi.SetEvent(self._ended)

    def _run_once(self, seconds: float | None) -> None:
        """Handle packets, waiting at most some seconds for one, and timers that are due."""
        if self.ready:
            self._take_ready()
            if self.ready:
                seconds = 0.0
        timers = self._timers
        if timers:
            due = max(0.0, timers[0][0] - time.perf_counter())
            seconds = due if seconds is None else min(due, seconds)
        packets = self.port.take(seconds, self.batch) or ()
        self.now = time.perf_counter()
        for _key, address, status, count in packets:
            operation = self.pending.pop(address, None)
            if operation is not None:
                operation.lent = None
                operation.ended(status, count)
            elif self._posted:
                self._call_posted()
        if timers and timers[0][0] <= time.perf_counter():
            self._look_at_the_clock()

    def _take_ready(self) -> None:
        """Report some of the operations that succeeded at once; packets must not wait for all of them."""
        ready = self.ready
        for _ in range(_MOST_READY):
            ready.popleft()()
            if not ready:
                return

    def _call_posted(self) -> None:
        while self._posted:
            function, arguments = self._posted.popleft()
            function(*arguments)

    def _look_at_the_clock(self) -> None:
        now = time.perf_counter()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2].fire()

"""Waits in a few threads until clients have read everything that was written to them, with FlushFileBuffers.

No overlapped operation reports that. A server's loop must not wait, and with a thread for each client, hostile clients
could create any number of threads. If no thread is free before a client's deadline, there is no wait for that client.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import NamedTuple

from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError
from pipectl.core.win32 import winapi
from pipectl.core.win32.blocking import run_blocking
from pipectl.core.win32.handle import Handle

_MOST_THREADS = 8
# Seconds that idle threads may take to end.
_END = 0.1


class _Task(NamedTuple):
    handle: Handle
    deadline: Deadline
    done: Callable[[bool], None]


class Flusher:
    """Flushes server ends; threads are created as needed, and end with `close`."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._free = 0
        self._closed = False

    def flush(self, handle: Handle, deadline: Deadline, done: Callable[[bool], None]) -> None:
        """Wait in another thread until the client has read everything, and call `done` there with whether it has."""
        with self._lock:
            if not self._free and len(self._threads) < _MOST_THREADS:
                self._threads.append(Thread(target=self._run, name="Flusher", daemon=True))
                self._free += 1
                self._threads[-1].start()
        self._tasks.put(_Task(handle, deadline, done))

    def close(self) -> None:
        """End the threads; one that is waiting ends at its deadline."""
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)

    def join(self) -> None:
        """Wait for the end of the threads after `close`, but not for one that is waiting for a client."""
        deadline = Deadline(_END)
        for thread in self._threads:
            thread.join(deadline.remaining())

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            with self._lock:
                self._free -= 1
            is_taken = False
            with suppress(PipeError):  # the client has left, or the deadline has passed
                if not (self._closed or task.deadline.passed):
                    run_blocking(partial(winapi.FlushFileBuffers, task.handle), task.deadline)
                    is_taken = True
            with self._lock:
                self._free += 1
            task.done(is_taken)

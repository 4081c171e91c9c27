"""A point in time that bounds a whole operation, however many Win32 calls it takes."""

import math
import time
from ctypes import byref, c_int64
from typing import Any

from .constants import INFINITE

# In seconds, what is for ever: longer than Win32's milliseconds have room for, 49 days.
_FOR_EVER = (INFINITE - 1) / 1000


class Deadline:
    """The moment at which an operation gives up: `Deadline(5)` is five seconds from now, `Deadline(None)` never."""

    __slots__ = ("at", "timeout")

    def __init__(self, timeout: float | None, begun: float | None = None) -> None:
        self.timeout = timeout
        # Of perf_counter, because monotonic moves in steps of 16 ms on Windows before Python 3.13.
        self.at = None if timeout is None else (time.perf_counter() if begun is None else begun) + timeout

    def remaining(self) -> float | None:
        """Give the seconds that are left, never below 0; None without end."""
        return None if self.at is None else max(0.0, self.at - time.perf_counter())

    def at_most(self, seconds: float) -> float:
        """Give the seconds that are left, but no more than these: one step of a wait that goes in steps."""
        remaining = self.remaining()
        return seconds if remaining is None else min(seconds, remaining)

    def sooner(self, timeout: float) -> "Deadline":
        """Give whichever comes first: this deadline, or one that many seconds from now."""
        other = Deadline(timeout)
        return other if self.at is None or (other.at is not None and other.at < self.at) else self

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self.at is not None and time.perf_counter() >= self.at


# What all functions that can wait take: seconds, a deadline that began before, or None, for ever.
Timeout = float | Deadline | None


def kernel_time(seconds: float | None) -> Any:
    """Give a time from now as the kernel takes it: less than nothing, in units of 100 ns; None is for ever."""
    if seconds is None or seconds >= _FOR_EVER:
        return None
    return byref(c_int64(int(seconds * -10_000_000) - 1))  # rather too late than too early


def milliseconds(seconds: float) -> int:
    """Return a time as Win32 takes it: whole milliseconds, rounded up, and never INFINITE."""
    return math.ceil(min(INFINITE - 1, max(0, seconds * 1000)))

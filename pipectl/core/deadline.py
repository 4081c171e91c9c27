"""Deadlines: time limits for whole operations, however many Win32 calls they take; and the parser for durations."""

import re
import time

from .constants import INFINITE


class Deadline:
    """The time at which an operation times out: `Deadline(5)` is five seconds from now, `Deadline(None)` never."""

    __slots__ = ("at", "timeout")

    def __init__(self, timeout: float | None, begun: float | None = None) -> None:
        self.timeout = timeout
        # From perf_counter, because monotonic has steps of 16 ms on Windows before Python 3.13.
        self.at = None if timeout is None else (time.perf_counter() if begun is None else begun) + timeout

    def remaining(self) -> float | None:
        """Return the remaining seconds, never below 0; None if there is no limit."""
        return None if self.at is None else max(0.0, self.at - time.perf_counter())

    def at_most(self, seconds: float) -> float:
        """Return the remaining seconds, but at most `seconds`: the length of one step of a wait."""
        remaining = self.remaining()
        return seconds if remaining is None else min(seconds, remaining)

    def sooner(self, timeout: float) -> "Deadline":
        """Return the earlier of this deadline and one in `timeout` seconds."""
        other = Deadline(timeout)
        return other if self.at is None or (other.at is not None and other.at < self.at) else self

    @property
    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return self.at is not None and time.perf_counter() >= self.at


class Stopwatch:
    """Measures the time since its creation."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The elapsed seconds, to the microsecond."""
        return round(time.perf_counter() - self._begun, 6)


# The timeout of all functions that can wait: seconds, an existing deadline, or None for no limit.
Timeout = float | Deadline | None


def deadline_of(timeout: Timeout) -> Deadline:
    """Return the deadline for a timeout: a new one that begins now, unless the timeout is a deadline."""
    return timeout if isinstance(timeout, Deadline) else Deadline(timeout)


def milliseconds(seconds: float) -> int:
    """Return a time for Win32: whole milliseconds, rounded up, and never INFINITE."""
    return -int(-min(INFINITE - 1, max(0, seconds * 1000)) // 1)


_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?|{_NUMBER}", re.ASCII)
_SECONDS = (3600, 60, 1, 0.001, 1)


def parse_duration(text: str) -> float | None:
    """Parse a duration such as `2.5`, `500ms` or `1h30m`, and return seconds; None for `none`. Raises ValueError."""
    spelled = text.strip().lower()
    if spelled == "none":
        return None
    match = _DURATION.fullmatch(spelled)
    if match is None or not spelled:
        raise ValueError(f"invalid duration {text!r}: use seconds (2.5), or 500ms, 2m, 1h30m, none")
    parts = zip(match.groups(), _SECONDS, strict=True)
    return sum(float(number) * seconds for number, seconds in parts if number is not None)

"""The schedule of a bench's requests, their results, and the limits for latencies. Runs on any system.

A closed loop sends a request when the reply to the one before has arrived. While the server stalls, no requests are
sent that would have measured the stall: this is called coordinated omission. An open loop sends at a fixed rate, like
users who do not wait for one another, and each latency is measured from the time when its request was due. Times are
those of one clock, in seconds; each method gets the current time as an argument.
"""

import re
from collections.abc import Iterable
from math import ceil, floor
from typing import Any, NamedTuple

from pipectl.core import errors
from pipectl.core.constants import WinError
from pipectl.core.errors import CheckFailedError, PartialResultError, PipeError

from .histogram import Histogram

# How many seconds after its end an open loop still sends requests that were due before.
_CATCH_UP = 1.0
# The reported quantiles of the latencies.
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}

_KINDS: dict[type[PipeError], str] = {
    errors.PipeNotFoundError: "not found",
    errors.PipeBusyError: "busy",
    errors.PipeAccessError: "access denied",
    errors.PipeTimeoutError: "timed out",
    errors.PipeClosedError: "closed",
    errors.PipeStateError: "wrong state",
    errors.MessageTooLongError: "too long",
    errors.FrameError: "invalid frame",
    errors.PeerMismatchError: "other server",
    errors.PipeError: "other",
}


class Plan(NamedTuple):
    """How much is measured: exchanges for `duration` seconds after `warmup` seconds, or `exchanges` of them.

    `rate` is the number of requests per second of an open loop, over all connections; None for a closed loop.
    """

    connections: int = 1
    duration: float = 5.0
    exchanges: int | None = None
    rate: float | None = None
    warmup: float = 0.5


class Schedule:
    """Hands out each request when it is due; a request of the warm-up is due before `measured_from`.

    An open loop with a duration hands out its last requests at most one second late.
    """

    def __init__(self, plan: Plan, begun: float) -> None:
        self.measured_from = begun + plan.warmup
        self.end = self.measured_from + plan.duration
        self.is_closed = False
        # How many requests of an open loop were due but not handed out when the time was up.
        self.backlog = 0
        self._plan = plan
        self._left = plan.exchanges
        # For an open loop: the number of requests handed out, of those in the warm-up, and of all.
        self._taken = self._warming = self._total = 0
        self._is_past_end = False
        if plan.rate is not None:
            self._warming = floor(plan.warmup * plan.rate)
            self._total = self._warming + (plan.exchanges or max(1, ceil(round(plan.duration * plan.rate, 6))))
            self.end = self._due(self._total)

    def take(self, now: float) -> float | None:
        """Return when the next request was due, or None if it is not due yet or there is none."""
        if self.is_over(now):
            return None
        if self._plan.rate is not None:
            due = self._due(self._taken)
            if due > now:
                return None
            self._taken += 1
            return due
        if self._left is not None and now >= self.measured_from:
            self._left -= 1
        return now

    def is_measured(self, due: float) -> bool:
        """Return whether a request with this due time counts."""
        return due >= self.measured_from

    def wait(self, now: float) -> float | None:
        """Return the seconds until the next request of an open loop is due; None in a closed loop, or at the end."""
        is_waiting = self._plan.rate is not None and not self.is_over(now)
        return max(0.0, self._due(self._taken) - now) if is_waiting else None

    def is_over(self, now: float) -> bool:
        """Return whether there are no more requests to send."""
        if self.is_closed:
            return True
        if self._plan.rate is None:
            return now >= self.end if self._left is None else self._left <= 0
        if now >= self.end and not self._is_past_end:
            self._is_past_end, self.backlog = True, self.unsent
        return not self.unsent or (self._plan.exchanges is None and now >= self.end + _CATCH_UP)

    def close(self) -> None:
        """Hand out no more requests."""
        self.is_closed = True

    @property
    def unsent(self) -> int:
        """The number of requests of an open loop that were not handed out."""
        return self._total - self._taken

    def seconds(self, until: float) -> float:
        """Return the length of the measurement, if the last exchange or the bench ended at `until`."""
        is_whole = not self.is_closed and (self._plan.rate is not None or self._left is None)
        return max(0.0, (max(until, self.end) if is_whole else until) - self.measured_from)

    def progress(self, now: float) -> float:
        """Return the part of the time that has passed, or of the requests that were handed out: from 0 to 1."""
        if self._plan.exchanges and self._plan.rate is None:
            return 1 - (self._left or 0) / self._plan.exchanges
        begun = self.measured_from - self._plan.warmup
        return min(1.0, (now - begun) / (self.end - begun))

    def _due(self, number: int) -> float:
        """Return when a request of an open loop is due: a whole number of intervals from the end of the warm-up."""
        return self.measured_from + (number - self._warming) / (self._plan.rate or 1)


class Failures(NamedTuple):
    """Exchanges that failed in the same way: how many, and the first error."""

    exchanges: int
    error: PipeError

    @property
    def kind(self) -> str:
        """The kind of error in a word or two."""
        if self.error.code == WinError.PIPE_BUSY and isinstance(self.error, errors.PipeStateError):
            return "unread data"
        return next(_KINDS[kind] for kind in type(self.error).__mro__ if kind in _KINDS)


class Score:
    """The results of the measured exchanges."""

    def __init__(self, sent_each: int) -> None:
        self.latencies = Histogram()
        # How late an open loop sent requests although a connection was free: the delay that this program causes.
        self.lateness = Histogram()
        self.bytes_received = 0
        # When the last exchange ended.
        self.until = 0.0
        self._sent_each = sent_each
        self._failures: dict[tuple[type[PipeError], int], Failures] = {}

    def succeeded(self, due: float, now: float, received: int) -> None:
        """Count an exchange that was due at `due` and got a reply of `received` bytes."""
        self.latencies.record(now - due)
        self.bytes_received += received
        self.until = now

    def failed(self, now: float, error: PipeError) -> None:
        """Count an exchange that failed."""
        key = type(error), error.code
        count, first = self._failures.get(key, (0, error))
        self._failures[key] = Failures(count + 1, first)
        self.until = now

    @property
    def succeeded_count(self) -> int:
        """The number of exchanges with a reply."""
        return self.latencies.count

    @property
    def failed_count(self) -> int:
        """The number of exchanges that failed."""
        return sum(failures.exchanges for failures in self._failures.values())

    @property
    def failures(self) -> list[Failures]:
        """The kinds of failures, the most frequent first."""
        return sorted(self._failures.values(), key=lambda failures: -failures.exchanges)

    @property
    def bytes_sent(self) -> int:
        """The bytes of the requests that got a reply."""
        return self.succeeded_count * self._sent_each

    def times(self) -> dict[str, float]:
        """Return the minimum, some quantiles, the maximum and the mean of the latencies in seconds; {} if none."""
        latencies = self.latencies
        if not latencies.count:
            return {}
        quantiles = {name: latencies.quantile(part) for name, part in _QUANTILES.items()}
        named = {"min": latencies.least, **quantiles, "max": latencies.most, "mean": latencies.mean}
        return {name: round(seconds, 7) for name, seconds in named.items()}


class Limit(NamedTuple):
    """A limit for a latency, in seconds; `part` is the quantile, from 0 to 1 (1 = the maximum)."""

    name: str
    part: float
    seconds: float

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Parse a limit such as `p99=5ms`, `p50=200us` or `max=1`; raises ValueError."""
        name, _, duration = text.strip().lower().partition("=")
        match = re.fullmatch(r"p(\d{1,2}(?:\.\d{1,4})?|100)|max", name)
        seconds = _seconds(duration) if match else None
        if match is None or seconds is None:
            raise ValueError(f"invalid limit {text!r}: use a percentile or max, and a time: p99=5ms, p99.9=0.1, max=1")
        return cls(name, float(match[1] or 100) / 100, seconds)


def _seconds(text: str) -> float | None:
    """Parse a duration, which may be in microseconds, and return it in seconds; None for none. Raises ValueError."""
    from pipectl.core.deadline import parse_duration

    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:us|µs)", text)
    if match is not None:
        return float(match[1]) / 1e6
    return parse_duration(text) if text else None


def verify(score: Score, limits: Iterable[Limit]) -> None:
    """Raise PartialResultError if exchanges failed, and CheckFailedError if a latency is above its limit.

    PartialResultError has the facts of the most frequent error. It has priority, because failed exchanges have no
    latency.
    """
    if failures := score.failures:
        error = PartialResultError.after(failures[0].error)
        total = score.succeeded_count + score.failed_count
        error.reason = f"{score.failed_count:,} of {total:,} exchanges failed: {error.reason}"
        raise error
    if not score.succeeded_count:
        raise PartialResultError("ended before an exchange was measured", topic="bench nothing")
    above = [
        f"{limit.name} is {seconds * 1000:.3f} ms, above {limit.seconds * 1000:g} ms"
        for limit in limits
        if (seconds := score.latencies.quantile(limit.part)) > limit.seconds
    ]
    if above:
        raise CheckFailedError("; ".join(above), topic="bench")


def failures_as_records(failures: Iterable[Failures]) -> list[dict[str, Any]]:
    """Return how exchanges failed, as records."""
    return [
        {
            "kind": some.kind,
            "exchanges": some.exchanges,
            "message": str(some.error),
            **({"code": int(some.error.code), "symbol": some.error.symbol} if some.error.symbol else {}),
        }
        for some in failures
    ]

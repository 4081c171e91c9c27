"""`Bench`: exchanges with a server over several connections at once, in one thread over one completion port.

A lost connection is opened again as part of its next exchange. The loop's thread opens a local pipe itself, without a
thread switch; if that can block, because the pipe is busy or remote, a helper thread of the loop opens it.
"""

import sys
from collections import deque
from contextlib import ExitStack
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from pipectl.core.constants import MAX_MESSAGE, Sqos, Wait
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeBusyError, PipeError, PipeNotFoundError, PipeStateError, timed_out
from pipectl.core.names import is_remote
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.requests import check_free
from pipectl.core.traffic.loop import Loop, Timer
from pipectl.core.win32.handle import Closing
from pipectl.core.win32.timers import coarse_timers, fine_timers

from .bench_link import Link, Manner
from .bench_plan import Plan, Schedule, Score, failures_as_records

if TYPE_CHECKING:
    from pipectl.core.models import Process
    from pipectl.core.pipe.connection import Expectation
    from pipectl.core.pipe.frames import Framing

# The interpreter's switch interval, in seconds, so that a thread that shows progress delays the loop less than 5 ms.
_SWITCH = 0.0002
# The pause, in seconds, after a connection could not be opened.
_REST = 0.1
# The interval of the check for timeouts, and the longest single wait of a thread for a busy pipe, in seconds.
_GLANCE, _SLICE = 0.05, 0.25


class Target(NamedTuple):
    """The server, and what is exchanged with it; `wait`, `sqos` and `expect` are those of `connect`.

    `timeout` limits each exchange, in seconds. `until` is the framing rule of the replies (None = one whole message);
    rules that end after silence are not supported.
    """

    pipe: str
    request: bytes
    until: "Framing | None" = None
    max_message: int = MAX_MESSAGE
    timeout: float | None = 5.0
    wait: Wait = Wait.FREE
    sqos: Sqos = Sqos.IDENTIFICATION
    expect: "Expectation | None" = None
    # Each exchange opens a new connection, which counts in its latency.
    new_connection: bool = False

    def connect(self, timeout: float | Deadline | None, wait: Wait | None = None) -> Connection:
        """Open a connection; raises the errors of `connect`, and PipeStateError for a byte pipe without a rule."""
        connection = connect(
            self.pipe,
            timeout,
            wait=wait or self.wait,
            sqos=self.sqos,
            expect=self.expect,
            max_message=self.max_message,
        )
        if connection.is_message or self.until is not None:
            return connection
        connection.close()
        raise PipeStateError("a byte pipe does not mark where a reply ends", pipe=self.pipe, topic="bench rule")


class _Line:
    """One of the parallel connections, open or not, and its current exchange."""

    __slots__ = ("attempt", "due", "expires", "is_busy", "link", "refused")

    def __init__(self) -> None:
        self.link: Link | None = None
        self.is_busy = False
        # When the exchange was due, and when it times out.
        self.due = self.expires = 0.0
        # The number of the exchange, so that a connection that is opened too late is not used for the next one.
        self.attempt = 0
        # The last error of opening it.
        self.refused: PipeError | None = None


class Bench(Closing):
    """Measures a server: call `open`, `start`, `wait` until it returns True, and read `score` and `schedule`."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self.target = target
        self.plan = plan
        self.score = Score(len(target.request))
        self.schedule = Schedule(plan, 0.0)
        # The type and the server of the first connection.
        self.is_message = True
        self.server: Process | None = None
        # Whether it gave up because all exchanges failed, and whether it was closed before its end.
        self.has_given_up = self.is_interrupted = False
        self._lines = [_Line() for _ in range(plan.connections)]
        self._idle: deque[_Line] = deque()
        self._manner = Manner(target.request, target.until, target.max_message)
        self._opens_here = target.expect is None and not is_remote(target.pipe)
        self._loop = Loop(target.pipe, "Bench")
        self._loop.batch = plan.connections
        self._timer: Timer | None = None
        self._has_fine_timers = False
        self._switch_interval: float | None = None
        # The time since which every exchange has failed.
        self._failing_since: float | None = None
        self._is_over = False

    # In the program's thread

    def open(self) -> None:
        """Open the connections, or one if each exchange opens its own, and try one exchange.

        Raises the errors of `Target.connect` and of `Connection.ask`. The timeout limits the first connection, the
        exchange, and all other connections together.
        """
        timeout = self.target.timeout
        with ExitStack() as stack:
            first = stack.enter_context(self.target.connect(timeout))
            self._look_at(first)
            first.ask(self.target.request, self.target.until, timeout)
            if self.target.new_connection:
                return
            check_free(first)  # data after a reply belongs to no request
            stack.pop_all()
        self._lines[0].link = self._linked(self._lines[0], first)
        deadline = Deadline(timeout)
        for number, line in enumerate(self._lines[1:], 2):
            try:
                line.link = self._linked(line, self.target.connect(deadline))
            except PipeBusyError as error:
                error.reason = f"connection {number} of {self.plan.connections}: {error.reason}"
                error.topic = "bench busy"
                raise

    def start(self) -> None:
        """Start the warm-up and then the measurement."""
        if self.plan.rate is not None:
            self._has_fine_timers = True
            fine_timers()
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH)
        self.schedule = Schedule(self.plan, perf_counter())
        self._loop.start(self._close_links)
        for line in self._lines:
            self._loop.post(self._free, line)
        self._loop.post(self._glance)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end of the measurement, and return whether it has ended; Ctrl+C ends the wait."""
        return self._loop.wait(seconds)

    def close(self) -> None:
        """Stop, and close all connections. The results stay available. Closing it again does nothing."""
        if not self._is_over:
            self.is_interrupted = True
            self.schedule.close()
        self._loop.close()
        self._close_links()  # of a bench that was not started
        if self._has_fine_timers:
            self._has_fine_timers = False
            coarse_timers()
        if self._switch_interval is not None:
            sys.setswitchinterval(self._switch_interval)
            self._switch_interval = None

    def _look_at(self, connection: Connection) -> None:
        from pipectl.core.errors import if_allowed
        from pipectl.core.inventory.peers import server_of

        self.is_message = connection.is_message
        self.server = if_allowed(server_of, connection.handle)

    @property
    def is_saturated(self) -> bool:
        """Whether more requests were due but not sent when the time was up than a short delay explains."""
        behind = self.schedule.backlog
        return behind > max(len(self._lines), (self.score.succeeded_count + self.score.failed_count) / 100)

    @property
    def seconds(self) -> float:
        """The length of the measurement in seconds."""
        return self.schedule.seconds(self.score.until)

    @property
    def per_second(self) -> float:
        """The number of exchanges with a reply, per second."""
        seconds = self.seconds
        return self.score.succeeded_count / seconds if seconds else 0.0

    @property
    def ended_by(self) -> str:
        """The reason for its end: `plan`, `failures` if it gave up, or `interrupt`."""
        return "interrupt" if self.is_interrupted else "failures" if self.has_given_up else "plan"

    def as_record(self) -> dict[str, Any]:
        """Return the results as a record; times are in seconds."""
        score, plan, target = self.score, self.plan, self.target
        return {
            "pipe": target.pipe,
            "type": "message" if self.is_message else "byte",
            "server": self.server and self.server._asdict(),
            "loop": "closed" if plan.rate is None else "open",
            "rate": plan.rate,
            "connections": plan.connections,
            "new_connection": target.new_connection,
            "until": target.until and str(target.until),
            "request_size": len(target.request),
            "warmup": plan.warmup,
            "seconds": round(self.seconds, 6),
            "exchanges": score.succeeded_count,
            "failed": score.failed_count,
            "per_second": round(self.per_second, 3),
            "bytes_sent": score.bytes_sent,
            "bytes_received": score.bytes_received,
            "latency": score.times() or None,
            "failures": failures_as_records(score.failures),
            "ended_by": self.ended_by,
            **({} if plan.rate is None else self._keeping_up()),
        }

    def _keeping_up(self) -> dict[str, Any]:
        """Return how well an open loop kept its rate."""
        late = self.score.lateness
        return {
            "saturated": self.is_saturated,
            "unsent": self.schedule.unsent,
            "late": {"p50": round(late.quantile(0.5), 7), "p99": round(late.quantile(0.99), 7)},
        }

    # In the loop's thread

    def _free(self, line: _Line) -> None:
        """Begin the next exchange of a connection, if one is due."""
        line.is_busy = False
        now = perf_counter()
        due = self.schedule.take(now)
        if due is not None:
            self._begin(line, due, now)
            return
        self._idle.append(line)
        if self.schedule.is_over(now):
            self._end_if_idle()
        elif self._timer is None:
            self._set_timer(now)

    def _begin(self, line: _Line, due: float, now: float) -> None:
        line.is_busy = True
        line.due = due
        line.expires = float("inf") if self.target.timeout is None else now + self.target.timeout
        line.attempt += 1
        line.refused = None
        if line.link is not None:
            line.link.ask()
        else:
            self._open(line)

    def _set_timer(self, now: float) -> None:
        """Set the timer for the next request of an idle connection."""
        pause = self.schedule.wait(now)
        self._timer = None if pause is None else self._loop.after(pause, self._send_due)

    def _send_due(self) -> None:
        self._timer = None
        while self._idle:
            now = perf_counter()
            due = self.schedule.take(now)
            if due is None:
                self._set_timer(now)
                return
            if self.schedule.is_measured(due):
                self.score.lateness.record(now - due)
            self._begin(self._idle.popleft(), due, now)

    def _done(self, line: _Line, received: int, error: PipeError | None) -> None:
        """Count an exchange that has ended, and begin the next."""
        if error is not None:
            self._failed(line, error)
            return
        self._failing_since = None
        if self.schedule.is_measured(line.due):
            self.score.succeeded(line.due, self._loop.now, received)
        if self.target.new_connection and line.link is not None:
            line.link.close()
            line.link = None
        self._free(line)

    def _failed(self, line: _Line, error: PipeError, *, rest: float = 0.0) -> None:
        """Count an exchange that has failed, close its connection, and begin the next after `rest` seconds."""
        now = perf_counter()
        if self.schedule.is_measured(line.due):
            self.score.failed(now, error)
        if line.link is not None:
            line.link.close()
        line.link = None
        line.attempt += 1
        line.expires = float("inf")
        self._give_up_if_hopeless(now)
        # Not at once: this may have been called by `_begin`.
        self._loop.after(rest, partial(self._free, line))

    def _give_up_if_hopeless(self, now: float) -> None:
        """Stop a bench of a fixed number of exchanges if all have failed for as long as the timeout."""
        self._failing_since = self._failing_since or now
        timeout = self.target.timeout
        if self.plan.exchanges and timeout is not None and now - self._failing_since >= timeout:
            self.has_given_up = True
            self.schedule.close()

    # Opening connections

    def _open(self, line: _Line) -> None:
        if not self._opens_here:
            self._open_elsewhere(line)
            return
        try:
            connection = self.target.connect(0, Wait.NONE)
        except PipeError as error:
            self._not_opened(line, error)
        else:
            self._opened(line, line.attempt, connection)

    def _open_elsewhere(self, line: _Line) -> None:
        """Open a connection in a helper thread; waits for a busy pipe are short, so that each line gets its turn."""
        left = line.expires - perf_counter()
        seconds = left if is_remote(self.target.pipe) else min(left, _SLICE)
        timeout = None if seconds == float("inf") else max(0.0, seconds)
        self._loop.elsewhere(partial(self.target.connect, timeout), partial(self._connect_ended, line, line.attempt))

    def _connect_ended(self, line: _Line, attempt: int, found: Connection | PipeError) -> None:
        if isinstance(found, Connection):
            self._opened(line, attempt, found)
        elif attempt == line.attempt:
            self._not_opened(line, found)

    def _opened(self, line: _Line, attempt: int, connection: Connection) -> None:
        if attempt != line.attempt or self._loop.is_stopping:  # its exchange has timed out
            connection.close()
            return
        line.link = self._linked(line, connection)
        line.link.ask()

    def _not_opened(self, line: _Line, error: PipeError) -> None:
        wait, line.refused = self.target.wait, error
        may_pass = (isinstance(error, PipeBusyError) and wait is not Wait.NONE) or (
            isinstance(error, PipeNotFoundError) and wait is Wait.EXISTS
        )
        if may_pass and perf_counter() < line.expires:
            self._open_elsewhere(line)
        else:
            self._failed(line, error, rest=_REST)

    def _linked(self, line: _Line, connection: Connection) -> Link:
        return Link(self._loop, connection, self._manner, partial(self._done, line))

    # Timeouts, and the end

    def _glance(self) -> None:
        """End exchanges that have timed out."""
        now = perf_counter()
        for line in self._lines:
            if line.is_busy and now >= line.expires:
                self._failed(line, line.refused or timed_out(self.target.timeout, self.target.pipe))
        if self.schedule.is_over(now):
            self._end_if_idle()
        self._loop.after(_GLANCE, self._glance)

    def _end_if_idle(self) -> None:
        if not any(line.is_busy for line in self._lines):
            self._is_over = True
            self._loop.stop()

    def _close_links(self) -> None:
        for line in self._lines:
            if line.link is not None:
                line.link.close()
                line.link = None

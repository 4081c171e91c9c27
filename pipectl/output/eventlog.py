"""The log of a server or a relay, written by a thread of its own: clients that connect and leave, and a summary."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from pipectl.core.deadline import Stopwatch

from . import Output

if TYPE_CHECKING:
    from pipectl.core.models import Process

# Seconds that `close` waits for queued events to be written if the output is not read.
_PATIENCE = 1.0


class Service(Protocol):
    """A server or a relay whose events are logged."""

    def abort(self, error: BaseException) -> None:
        """Stop because of an error, which its `wait` raises; can be called from any thread."""


_S = TypeVar("_S", bound=Service)


class _Lines:
    """Writes events in a thread of its own, so that an output that is not read never blocks the server."""

    def __init__(self, on_error: Callable[[BaseException], None], most: tuple[int, int]) -> None:
        """`most` is how many events may be queued, and how many bytes of events with a size."""
        self._on_error = on_error
        self._most_events, self._most_bytes = most
        # The sizes of events queued and written; each is changed by one thread only.
        self._bytes_put = self._bytes_written = 0
        # Its `put` takes no lock that Ctrl+C could leave locked.
        self._waiting: SimpleQueue[tuple[Callable[[], None], int] | None] = SimpleQueue()
        self._lost = 0
        self._thread = Thread(target=self._run, name="Server log", daemon=True)
        self._thread.start()

    def put(self, write: Callable[[], None], size: int = 0, count: int = 1) -> int:
        """Queue `count` events for writing; return how many were lost before because the output was not read."""
        waiting = self._bytes_put - self._bytes_written
        if self._waiting.qsize() >= self._most_events or (waiting and waiting + size > self._most_bytes):
            self._lost += count
            return 0
        if size:  # only one thread queues events with a size
            self._bytes_put += size
        self._waiting.put((write, size))
        lost, self._lost = self._lost, 0
        return lost

    def close(self, lost: Callable[[int], None]) -> None:
        """Wait, for a limited time, until all is written; `lost` is called with the number of events lost last."""
        if self._lost:
            self._waiting.put((partial(lost, self._lost), 0))
            self._lost = 0
        self._waiting.put(None)
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            while (one := self._waiting.get()) is not None:
                write, size = one
                write()
                self._bytes_written += size
        except BaseException as error:  # noqa: BLE001 - the server's `wait` raises it
            self._on_error(error)


class Peer(Protocol):
    """The identity of a client; it may be looked up when it is read."""

    computer: str | None

    @property
    def process(self) -> "Process":
        """The client's process."""


class Visitor(NamedTuple):
    """A client of the server: its number, and its identity, which may take seconds to look up."""

    number: int
    who: Peer

    @property
    def process(self) -> "Process":
        """The client's process."""
        return self.who.process

    def facts(self) -> dict[str, Any]:
        """Return the fields of the client in a JSON log."""
        return {**self.process._asdict(), "computer": self.who.computer}

    def __str__(self) -> str:
        process = self.process
        session = None if process.session is None else f"session {process.session}"
        services = f"services {' '.join(process.services)}" if process.services else None
        facts = (f"pid {process.pid}", process.program, process.user, session, services, self.who.computer)
        return ", ".join(filter(None, facts))

    def environment(self) -> dict[str, str]:
        """Return the environment variables that describe the client to a program that is run for it."""
        process = self.process
        # A client controls the name and the folder of its program, and a batch file executes what a variable contains.
        exe = process.program and re.sub(r"[^A-Za-z0-9._-]", "_", process.program)
        user = process.user and re.sub(r"[^\w .@$\\-]", "_", process.user)
        facts = {"PID": process.pid, "EXE": exe, "USER": user, "SESSION": process.session}
        return {f"PIPECTL_CLIENT_{name}": "" if fact is None else str(fact) for name, fact in facts.items()}


class EventLog(Generic[_S]):
    """Writes events to an Output, each as a line or as a JSON object, without waiting for the output."""

    def __init__(self, output: Output, announce: Callable[[], None] | None = None) -> None:
        self._output = output
        self._announce = announce
        self._watch = Stopwatch()
        self._server: _S | None = None
        self._lines: _Lines | None = None

    def begin(
        self,
        server: _S,
        facts: Mapping[str, Any],
        access: Callable[[], Sequence[str]],
        tells: bool = True,
    ) -> None:
        """Announce a service, before any event, and start counting; if `tells`, JSON has a `listening` event."""
        self._server = server
        self._lines = _Lines(server.abort, self.most_waiting)
        if self._announce is not None:
            self._lines.put(self._announce)
        if tells and self._output.is_json:
            now = datetime.now().astimezone()
            self._lines.put(lambda: self._write("listening", now, {**facts, "access": list(access())}))
        self._watch = Stopwatch()

    def log(self, event: str, number: int, text: object, facts: Callable[[], dict[str, Any]]) -> None:
        """Queue an event of a client; its text and facts are computed in the thread that writes it."""
        now = datetime.now().astimezone()

        def write() -> None:
            self._write(event, now, {"client": number, **facts()}, f"#{number:<3} {event:<9}  {text}")

        if self._server is not None and self._lines is not None:
            self._put(write, self._lines)
            self._output.progress(self.counts(self._server))

    def log_all(self, event: str, text: str, facts: dict[str, Any]) -> None:
        """Queue an event without a client."""
        now = datetime.now().astimezone()
        if self._lines is not None:
            self._put(lambda: self._write(event, now, facts, f"{event}: {text}"), self._lines)

    def warn(self, text: str) -> None:
        """Queue a warning."""
        if self._lines is not None:
            self._lines.put(partial(self._output.warning, text))

    def counts(self, server: _S) -> str:
        """Return the totals so far, as text."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the queued events."""
        if self._lines is not None:
            self._lines.close(self._write_lost)

    def summarize(self) -> None:
        """Write the queued events and, if the service was started, the totals."""
        self.close()
        if self._server is not None:
            self._output.note(f"{self.summary} {self.counts(self._server)} in {self._watch.seconds:.1f} s")

    # The verb of the summary.
    summary = "served"
    # How many events, and how many bytes of them, may be queued; and the message about those that were lost.
    most_waiting = 1000, 64 << 20
    lost = "{} earlier events were not written, because nothing read the output"

    def _write(self, event: str, now: datetime, facts: dict[str, Any], line: str = "") -> None:
        record = {"time": now.isoformat(timespec="milliseconds"), "event": event, **facts}
        # On a terminal the date is obvious; in a file it is not.
        time = f"{now:%H:%M:%S}.{now.microsecond // 1000:03}" if self._output.stream.is_terminal else record["time"]
        self._output.data.event(record, f"{time}  {line}".rstrip())

    def _put(self, write: Callable[[], None], lines: _Lines, size: int = 0, count: int = 1) -> None:
        lost = lines.put(write, size, count)
        if lost:
            lines.put(partial(self._write_lost, lost))

    def _write_lost(self, count: int) -> None:
        self._output.data.event({"event": "lost", "count": count}, self.lost.format(count))

    def _put_lines(self, write: Callable[[], None], size: int, count: int) -> None:
        """Queue `count` events, which count as `size` bytes until they are written."""
        if self._lines is not None and self._server is not None:
            self._put(write, self._lines, size, count)
            self._output.progress(self.counts(self._server))

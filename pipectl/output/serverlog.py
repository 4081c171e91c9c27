"""What a server tells while it runs: who comes, what they say, who leaves, and a count of it all."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from queue import Full, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from pipectl.core.deadline import Stopwatch
from pipectl.core.inventory.peers import ClientProcess
from pipectl.core.names import escape
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.contract import Running, ServerEvents

from . import Form, Output, View
from .text import beginning, counted, for_json, hexdump, size_in_words

if TYPE_CHECKING:
    from pipectl.core.errors import PipeError
    from pipectl.core.models import Process

_PREVIEW = 60
# Bytes of a message that a log carries, in JSON or with details: one client must not be able to fill a disk, or stop
# the server's loop.
_MOST_LOGGED = 64 << 10
# Events that wait to be written while nobody reads, and the seconds that their end is waited for.
_MOST_WAITING = 1000
_PATIENCE = 1.0


class _Lines:
    """Writes events in a thread of its own, so that an output that nobody reads never stops the server."""

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self._waiting: Queue[Callable[[], None] | None] = Queue(_MOST_WAITING)
        self._lost = 0
        self._thread = Thread(target=self._run, name="Server log", daemon=True)
        self._thread.start()

    def put(self, write: Callable[[], None]) -> int:
        """Have an event written after those before it; return how many were lost before it, because none was read."""
        try:
            self._waiting.put_nowait(write)
        except Full:
            self._lost += 1
            return 0
        lost, self._lost = self._lost, 0
        return lost

    def close(self) -> None:
        """Wait until all is written, but not for ever."""
        with suppress(Full):
            self._waiting.put(None, timeout=_PATIENCE)
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            while (write := self._waiting.get()) is not None:
                write()
        except BaseException as error:  # noqa: BLE001 - the server's `wait` raises it
            self._on_error(error)


class Visitor(NamedTuple):
    """A client of the server: its number there, and who it is, which may take seconds to look up."""

    number: int
    who: ClientProcess

    @property
    def process(self) -> "Process":
        """The client's process."""
        return self.who.process

    def facts(self) -> dict[str, Any]:
        """Return what a JSON log says of it."""
        return {**self.process._asdict(), "computer": self.who.computer}

    def __str__(self) -> str:
        process = self.process
        session = None if process.session is None else f"session {process.session}"
        services = f"services {' '.join(process.services)}" if process.services else None
        facts = (f"pid {process.pid}", process.program, process.user, session, services, self.who.computer)
        return ", ".join(filter(None, facts))


class ServerLog(ServerEvents):
    """Tells the events of one PipeServer to an Output, each as a line or as a JSON object."""

    def __init__(
        self,
        output: Output,
        view: View = View(),
        *,
        announce: Callable[[], None] | None = None,
        access: Callable[[], Sequence[str]] = tuple,
        clients: bool = True,
        messages: bool = True,
        greeting: Callable[[], bytes] | None = None,
        hangs_up: bool = False,
    ) -> None:
        """Log clients and messages; send each new client a greeting, and close it if `hangs_up`."""
        self._greeting = greeting
        self._hangs_up = hangs_up
        self._output = output
        self._announce = announce
        self._access = access
        self._view = view
        self._tells_clients = clients
        self._tells_messages = messages
        self._visitors: WeakKeyDictionary[Client, Visitor] = WeakKeyDictionary()
        self._count = 0
        self._watch = Stopwatch()
        self._server: Running | None = None
        self._lines: _Lines | None = None

    def visitor(self, client: Client) -> Visitor:
        """Return who a client is, also after it has left."""
        return self._visitors[client]

    def started(self, server: Running) -> None:
        """Announce it, before any client, and begin to count."""
        self._server = server
        self._lines = _Lines(server.abort)
        if self._announce is not None:
            self._lines.put(self._announce)
        if self._output.is_json:
            self._lines.put(partial(self._tell_listening, server.pipe, datetime.now().astimezone()))
        self._watch = Stopwatch()

    def connected(self, client: Client) -> None:
        """Tell of a new client, remember who it is, and greet it."""
        self._count += 1
        visitor = self._visitors[client] = Visitor(self._count, ClientProcess(client.handle))
        if self._tells_clients:
            self._tell("connected", client, visitor, visitor.facts)
        if self._greeting is not None:
            greeting = self._greeting()
            client.send(greeting)
            if self._tells_messages:
                self._tell_payload("greeted", client, greeting)
        if self._hangs_up:
            client.close()

    def received(self, client: Client, data: bytes) -> None:
        """Tell a message."""
        if self._tells_messages:
            self._tell_payload("received", client, data)

    def answered(self, client: Client, data: bytes) -> None:
        """Tell an answer."""
        if self._tells_messages:
            self._tell_payload("answered", client, data)

    def left(self, client: Client, error: "PipeError | None") -> None:
        """Tell that a client has left, and why if the server made it."""
        if self._tells_clients:
            self._tell("left", client, error or "", lambda: {"error": str(error) if error else None})

    def unanswered(self, client: Client, data: bytes) -> None:
        """Tell an answer that nobody takes any more."""
        if self._tells_messages:
            self._tell_payload("dropped", client, data)

    def refused(self, error: "PipeError") -> None:
        """Warn that fewer clients can be served at once than were asked for."""
        if self._lines is not None:
            self._lines.put(partial(self._output.warning, f"no further instance, trying again: {error}"))

    def close(self) -> None:
        """Write what waits to be written."""
        if self._lines is not None:
            self._lines.close()

    def summarize(self) -> None:
        """Write what waits, and say what it came to, if it came to anything."""
        self.close()
        if self._server is not None:
            self._output.note(f"served {self._counts(self._server)} in {self._watch.seconds:.1f} s")

    def _tell_listening(self, pipe: str, now: datetime) -> None:
        time = now.isoformat(timespec="milliseconds")
        self._output.data.record({"time": time, "event": "listening", "pipe": pipe, "access": list(self._access())})

    def _tell_payload(self, event: str, client: Client, data: bytes) -> None:
        payload = self._payload(data) if self._output.is_json else None
        self._tell(event, client, self._preview(data), lambda: {"payload": payload})

    def _payload(self, data: bytes) -> dict[str, Any]:
        if len(data) <= _MOST_LOGGED:
            return for_json(data, self._view.encoding, self._view.form)
        form = self._view.form
        text = None if form in (Form.HEX, Form.BASE64) else beginning(data, self._view.encoding, _MOST_LOGGED)
        if text is None:
            shown = for_json(data[:_MOST_LOGGED], self._view.encoding, Form.HEX if form is Form.HEX else Form.BASE64)
        else:
            shown = {"text": text}
        return {**shown, "size": len(data), "truncated": True}

    def _tell(self, event: str, client: Client, text: object, facts: Callable[[], dict[str, Any]]) -> None:
        """Have an event written; its text and its facts are asked for by whoever writes it."""
        now = datetime.now().astimezone()
        number = self._visitors[client].number

        def write() -> None:
            record = {"time": now.isoformat(timespec="milliseconds"), "event": event, "client": number, **facts()}
            # A person at a terminal knows the day; who reads a file later does not.
            time = f"{now:%H:%M:%S}.{now.microsecond // 1000:03}" if self._output.stream.is_terminal else record["time"]
            self._output.data.event(record, f"{time}  #{number:<3} {event:<9}  {text}".rstrip())

        if self._server is not None and self._lines is not None:
            self._put(write, self._lines)
            self._output.progress(self._counts(self._server))

    def _put(self, write: Callable[[], None], lines: _Lines) -> None:
        lost = lines.put(write)
        if lost:
            text = f"{lost} events before this one were not written, because nobody read the output"
            lines.put(partial(self._output.data.event, {"event": "lost", "count": lost}, text))

    def _preview(self, data: bytes) -> str:
        if self._output.verbosity:
            return self._whole(data)
        text = None if self._view.form is Form.HEX else beginning(data, self._view.encoding, 4 * _PREVIEW)
        shown = data[:_PREVIEW].hex(" ") if text is None else escape(text)
        is_whole = len(shown) <= _PREVIEW and len(data) <= 4 * _PREVIEW
        cut = shown if is_whole else f"{shown[:_PREVIEW]}..."
        return f"{size_in_words(len(data))}{': ' if cut else ''}{cut}"

    def _whole(self, data: bytes) -> str:
        """Return all of a message, or its beginning if it is very long; what is no text as a dump below."""
        head, size = data[:_MOST_LOGGED], size_in_words(len(data))
        text = None if self._view.form is Form.HEX else beginning(data, self._view.encoding, _MOST_LOGGED)
        rest = "" if len(head) == len(data) else "..."
        return (
            f"{size}{': ' if head else ''}{escape(text)}{rest}"
            if text is not None
            else f"{size}\n{hexdump(head)}{rest}"
        )

    def _counts(self, server: Running) -> str:
        stats = server.stats
        return (
            f"{counted(stats.clients, 'client')} ({server.connected} now), {counted(stats.messages, 'message')}, "
            f"{size_in_words(stats.bytes_in)} in, {size_in_words(stats.bytes_out)} out"
        )


class VisitorLog(ServerLog):
    """Tells who connects, and lets each client go at once."""

    def __init__(
        self, output: Output, *, announce: Callable[[], None] | None = None, access: Callable[[], Sequence[str]] = tuple
    ) -> None:
        super().__init__(output, announce=announce, access=access, messages=False, hangs_up=True)

    def left(self, client: Client, error: "PipeError | None") -> None:
        """Tell nothing: each leaves at once."""

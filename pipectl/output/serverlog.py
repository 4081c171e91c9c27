"""What a server tells while it runs: who comes, what they say, who leaves, and a count of it all."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pipectl.core.inventory.peers import client_computer, client_of
from pipectl.core.names import escape
from pipectl.core.pipe.server import Client, Later, PipeServer

from . import PLAIN, Form, Output, Show
from .text import counted, decoded, for_json, size_in_words

if TYPE_CHECKING:
    from pipectl.core.errors import PipeError
    from pipectl.core.models import Process

_PREVIEW = 60

Answer = Callable[[Client, bytes], bytes | Later | None]


class Visitor(NamedTuple):
    """A client of the server: its number there, its process, and its computer if that is another one."""

    number: int
    process: "Process"
    computer: str | None

    def __str__(self) -> str:
        process = self.process
        program = process.image.rpartition("\\")[2] if process.image else None
        session = None if process.session is None else f"session {process.session}"
        services = f"services {' '.join(process.services)}" if process.services else None
        return ", ".join(filter(None, (f"pid {process.pid}", program, process.user, session, services, self.computer)))


class ServerLog:
    """Tells the events of one PipeServer to an Output, each as a line or as a JSON object."""

    def __init__(self, output: Output, show: Show = PLAIN, *, clients: bool = True, messages: bool = True) -> None:
        self._output = output
        self._show = show
        self._clients = clients
        self._messages = messages
        self._count = 0
        self._begun = time.perf_counter()
        self.server: PipeServer | None = None

    def connected(self, client: Client) -> None:
        """Tell of a new client, and remember who it is in `client.data`."""
        self._count += 1
        visitor = Visitor(self._count, client_of(client.handle), client_computer(client.handle))
        client.data = visitor
        if self._clients:
            self._tell("connected", client, str(visitor), **visitor.process._asdict(), computer=visitor.computer)

    def connected_and_let_go(self, client: Client) -> None:
        """Tell of a new client, and let it go."""
        self.connected(client)
        client.close()

    def left(self, client: Client, error: "PipeError | None") -> None:
        """Tell that a client has left, and why if the server made it."""
        if self._clients:
            self._tell("left", client, str(error or ""), error=str(error) if error else None)

    def logged(self, answer: Answer) -> Answer:
        """Make a handler that tells each message, and its answer, of another."""
        if not self._messages:
            return answer

        def handler(client: Client, data: bytes) -> bytes | Later | None:
            self._tell_payload("received", client, data)
            reply = answer(client, data)
            if isinstance(reply, bytes):
                self.answered(client, reply)
            return reply

        return handler

    def answered(self, client: Client, data: bytes) -> None:
        """Tell an answer."""
        if self._messages:
            self._tell_payload("answered", client, data)

    def summarise(self) -> None:
        """Say what it came to."""
        if self.server is not None:
            self._output.note(f"served {self._counts()} in {time.perf_counter() - self._begun:.1f} s")

    def _tell_payload(self, event: str, client: Client, data: bytes) -> None:
        payload = for_json(data, self._show.encoding) if self._output.is_json else None
        self._tell(event, client, self._preview(data), payload=payload)

    def _tell(self, event: str, client: Client, text: str, **facts: Any) -> None:
        now = datetime.now().astimezone()
        number = client.data.number
        record = {"time": now.isoformat(timespec="milliseconds"), "event": event, "client": number, **facts}
        line = f"{now:%H:%M:%S}.{now.microsecond // 1000:03}  #{number:<3} {event:<9}  {text}".rstrip()
        self._output.event(record, line)
        self._output.progress(self._counts())

    def _preview(self, data: bytes) -> str:
        text = None if self._show.form is Form.HEX else decoded(data, self._show.encoding)
        shown = data[:_PREVIEW].hex(" ") if text is None else escape(text)
        cut = shown if len(shown) <= _PREVIEW else f"{shown[:_PREVIEW]}..."
        return f"{size_in_words(len(data))}{': ' if cut else ''}{cut}"

    def _counts(self) -> str:
        if self.server is None:
            return ""
        stats = self.server.stats
        return (
            f"{counted(stats.clients, 'client')} ({self.server.connected} now), "
            f"{counted(stats.messages, 'message')}, "
            f"{size_in_words(stats.bytes_in)} in, {size_in_words(stats.bytes_out)} out"
        )

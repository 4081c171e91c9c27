"""The log of a server: clients, their messages, and a summary."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pipectl.core.inventory.peers import ClientProcess
from pipectl.core.names import escape
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.contract import Running, ServerEvents

from . import Form, Output, View
from .eventlog import EventLog, Visitor
from .text import beginning, counted, for_json, hexdump, size_in_words

if TYPE_CHECKING:
    from pipectl.core.errors import PipeError
    from pipectl.core.traffic.faults import Fault

_PREVIEW = 60
# The most bytes of a message in a log, in JSON or with details: a client must not be able to fill a disk, or block the
# server's loop.
_MOST_LOGGED = 64 << 10


class ServerLog(EventLog[Running], ServerEvents):
    """Writes the events of one PipeServer to an Output, each as a line or as a JSON object."""

    def __init__(
        self,
        output: Output,
        view: View = View(),
        *,
        announce: Callable[[], None] | None = None,
        access: Callable[[], Sequence[str]] = tuple,
        clients: bool = True,
        messages: bool = True,
        greeting: Callable[[Client, Callable[[bytes], None]], object] | None = None,
        hangs_up: bool = False,
    ) -> None:
        """Log clients and messages; send each new client a greeting, and close it if `hangs_up`.

        `greeting` calls the function that it gets with the greeting, at once or later in another thread.
        """
        super().__init__(output, announce)
        self._greeting = greeting
        self._hangs_up = hangs_up
        self._access = access
        self._view = view
        self._logs_clients = clients
        self._logs_messages = messages
        self._visitors: WeakKeyDictionary[Client, Visitor] = WeakKeyDictionary()
        self._count = 0

    def visitor(self, client: Client) -> Visitor:
        """Return who a client is, even after it has left."""
        return self._visitors[client]

    def started(self, server: Running) -> None:
        """Announce the server, before any client, and start counting."""
        self.begin(server, {"pipe": server.pipe}, self._access)

    def connected(self, client: Client) -> None:
        """Log a new client, remember who it is, and greet it."""
        self._count += 1
        visitor = self._visitors[client] = Visitor(self._count, ClientProcess(client.handle))
        if self._logs_clients:
            self.log("connected", visitor.number, visitor, visitor.facts)
        if self._greeting is not None:
            self._greeting(client, partial(self._greet, client))
        elif self._hangs_up:
            client.close()

    def _greet(self, client: Client, greeting: bytes) -> None:
        client.send(greeting)
        if self._logs_messages:
            self._log_payload("greeted", client, greeting)
        if self._hangs_up:
            client.close()

    def received(self, client: Client, data: bytes) -> None:
        """Log a message."""
        if self._logs_messages:
            self._log_payload("received", client, data)

    def answered(self, client: Client, data: bytes) -> None:
        """Log a reply."""
        if self._logs_messages:
            self._log_payload("answered", client, data)

    def left(self, client: Client, error: "PipeError | None") -> None:
        """Log that a client has left, and the reason if the server disconnected it."""
        if self._logs_clients:
            number = self.visitor(client).number
            self.log("left", number, error or "", lambda: {"error": str(error) if error else None})

    def unanswered(self, client: Client, data: bytes) -> None:
        """Log a reply whose client has left."""
        if self._logs_messages:
            self._log_payload("dropped", client, data)

    def faulted(self, client: Client, fault: "Fault") -> None:
        """Log a fault, even if nothing else is logged, because it explains what a client receives."""
        facts = {"fault": fault.name, **({"value": fault.text} if fault.text else {})}
        self.log("fault", self.visitor(client).number, fault, lambda: facts)

    def refused(self, error: "PipeError") -> None:
        """Warn that fewer clients can be served at once than configured."""
        self.warn(f"cannot create another instance, retrying: {error}")

    def _log_payload(self, event: str, client: Client, data: bytes) -> None:
        payload = self._payload(data) if self._output.is_json else None
        self.log(event, self.visitor(client).number, self._preview(data), lambda: {"payload": payload})

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

    def _preview(self, data: bytes) -> str:
        if self._output.verbosity:
            return self._whole(data)
        text = None if self._view.form is Form.HEX else beginning(data, self._view.encoding, 4 * _PREVIEW)
        shown = data[:_PREVIEW].hex(" ") if text is None else escape(text)
        is_whole = len(shown) <= _PREVIEW and len(data) <= 4 * _PREVIEW
        cut = shown if is_whole else f"{shown[:_PREVIEW]}..."
        return f"{size_in_words(len(data))}{': ' if cut else ''}{cut}"

    def _whole(self, data: bytes) -> str:
        """Return a message, or its beginning if it is very long; one that is not text as a hex dump below."""
        head, size = data[:_MOST_LOGGED], size_in_words(len(data))
        text = None if self._view.form is Form.HEX else beginning(data, self._view.encoding, _MOST_LOGGED)
        rest = "" if len(head) == len(data) else "..."
        return (
            f"{size}{': ' if head else ''}{escape(text)}{rest}"
            if text is not None
            else f"{size}\n{hexdump(head)}{rest}"
        )

    def counts(self, server: Running) -> str:
        """Return the totals so far, as text."""
        stats = server.stats
        return (
            f"{counted(stats.clients, 'client')} ({server.connected} now), {counted(stats.messages, 'message')}, "
            f"{size_in_words(stats.bytes_in)} in, {size_in_words(stats.bytes_out)} out"
        )


class VisitorLog(ServerLog):
    """Logs who connects, and disconnects each client at once."""

    def __init__(
        self, output: Output, *, announce: Callable[[], None] | None = None, access: Callable[[], Sequence[str]] = tuple
    ) -> None:
        super().__init__(output, announce=announce, access=access, messages=False, hangs_up=True)

    def left(self, client: Client, error: "PipeError | None") -> None:
        """Do nothing: each client is disconnected at once."""

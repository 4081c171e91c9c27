"""The interface between a program and its PipeServer: replies, events and counts."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from pipectl.core.errors import PipeError

from .client import Client


class Later:
    """Returned by a handler that replies later, with `Client.reply`; the client's next message waits until then."""


LATER = Later()

Answer = Callable[[Client, bytes], bytes | Later | None]


class Running(Protocol):
    """A running server, as the receiver of its events sees it."""

    pipe: str

    @property
    def stats(self) -> "Stats":
        """The totals so far."""

    @property
    def connected(self) -> int:
        """The number of clients connected now."""

    def abort(self, error: BaseException) -> None:
        """Stop the server because of an error, which its `wait` raises; can be called from any thread."""


class ServerEvents:
    """The events of a server, called in its thread; override the ones you need.

    A PipeError in one of these closes the client; any other exception stops the server, and its `wait` raises it.
    """

    def started(self, server: Running) -> None:
        """The server has claimed the name; this is the first event, and runs in the thread that called `start`."""

    def connected(self, client: Client) -> None:
        """A client has connected; messages sent to it here precede any reply."""

    def received(self, client: Client, data: bytes) -> None:
        """A client has sent a message; the handler is called next."""

    def answered(self, client: Client, data: bytes) -> None:
        """A reply is sent to a client, by the handler or by `Client.reply`."""

    def unanswered(self, client: Client, data: bytes) -> None:
        """A reply was dropped because the client had already left."""

    def left(self, client: Client, error: PipeError | None) -> None:
        """A client has disconnected, or was closed, possibly because of its own error."""

    def refused(self, error: PipeError) -> None:
        """The system has refused another instance. The server continues with the existing ones, and retries."""


class Stats(NamedTuple):
    """Totals of a server: clients that have connected, messages, and bytes of payload."""

    clients: int
    messages: int
    bytes_in: int
    bytes_out: int

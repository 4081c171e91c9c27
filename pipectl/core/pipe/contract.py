"""The interface between a program and its PipeServer: replies, events and counts."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from pipectl.core.errors import PipeError

from .client import Client


class Later:
    """What a handler returns to answer a message later, with `Client.reply`; until then the client is not read from."""


LATER = Later()

Answer = Callable[[Client, bytes], bytes | Later | None]


class Running(Protocol):
    """A server that runs, for who follows its events."""

    pipe: str

    @property
    def stats(self) -> "Stats":
        """What it has done so far."""

    @property
    def connected(self) -> int:
        """How many clients are connected now."""

    def abort(self, error: BaseException) -> None:
        """End it because of an error, which its `wait` raises; from any thread."""


class ServerEvents:
    """What a server reports, in its one thread; a subclass takes what it needs.

    A PipeError in one of these closes the client; any other exception ends the server, and its `wait` raises it.
    """

    def started(self, server: Running) -> None:
        """The server has taken the name; this comes first, and in the thread that has started it."""

    def connected(self, client: Client) -> None:
        """A client has come; what is sent to it here comes before any answer."""

    def received(self, client: Client, data: bytes) -> None:
        """A client has sent a message, which is answered next."""

    def answered(self, client: Client, data: bytes) -> None:
        """A client is sent an answer, whoever made it."""

    def unanswered(self, client: Client, data: bytes) -> None:
        """An answer was made for a client that had left before."""

    def left(self, client: Client, error: PipeError | None) -> None:
        """A client has left by itself, or was closed, perhaps because of an error of its own."""

    def refused(self, error: PipeError) -> None:
        """The system has refused a further instance. The server goes on with those it has, and tries again."""


class Stats(NamedTuple):
    """What a server has done so far; clients are those that have come, bytes are payload."""

    clients: int
    messages: int
    bytes_in: int
    bytes_out: int

"""`FramedServer`: a PipeServer whose clients send and receive frames in a stream, whatever pieces it arrives in."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from pipectl.core.errors import FrameError

from .client import Client, State
from .frames import Frames, Framing
from .server import PipeServer


class Splitter(Protocol):
    """Splits what a client sends: `Frames`, or another that yields more than bodies."""

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield the frames that these bytes complete; a PipeError disconnects the client."""


class FramedServer(PipeServer):
    """Serves a pipe like PipeServer, but the body of each frame is a message, and each reply is a frame.

    A client that sends an invalid frame, or one longer than `max_message`, is disconnected. `send` sends a frame, too.
    Rules that end with silence are not supported.
    """

    def __init__(self, pipe: str, answer: Callable[..., Any], framing: Framing, **options: Any) -> None:
        super().__init__(pipe, answer, **options)
        self._framing = framing
        # For each client: its splitter, and the frames that wait until earlier ones have a reply.
        self._streams: WeakKeyDictionary[Client, tuple[Splitter, deque[Any]]] = WeakKeyDictionary()

    def _received(self, client: Client, message: bytes) -> None:
        if client.is_paused:
            super()._received(client, message)  # keeps it
            return
        if client not in self._streams:
            self._streams[client] = self._splitter(client), deque()
        frames, waiting = self._streams[client]
        waiting.extend(frames.feed(message))
        self._answer_waiting(client)

    def answer(self, client: Client, data: bytes | None) -> None:
        """Send a deferred reply, and process the frames that arrived after its request."""
        super().answer(client, data)
        self._answer_waiting(client)

    def _answer_waiting(self, client: Client) -> None:
        waiting = self._streams[client][1] if client in self._streams else ()
        while waiting and not client.is_paused and self._may_take(client):
            self._take(client, waiting.popleft())
        client.begin_read()

    def _may_take(self, client: Client) -> bool:
        """Return whether to answer what a client has sent, even if it has left since."""
        return client.state is State.CONNECTED or (client.has_left and self._clients.get(client.key) is client)

    def _splitter(self, _client: Client) -> Splitter:
        return Frames(self._framing, self._config.max_message, self.pipe)

    def _take(self, client: Client, frame: Any) -> None:
        super()._received(client, frame)

    def _queue(self, client: Client, data: bytes) -> bool:
        return super()._queue(client, self._wire(data))

    def _wire(self, body: bytes) -> bytes:
        """Return the frame of a body; raises FrameError if the rule has none for it."""
        try:
            return self._framing.wrap(body)
        except ValueError as error:
            raise FrameError(str(error), pipe=self.pipe) from None

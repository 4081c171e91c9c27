"""A relay that runs for a test, its events, and raw servers as its targets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

from pipectl.core.errors import PipeError
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.traffic.places import parse
from pipectl.core.traffic.relay import Relay, RelayConfig, RelayEvents
from pipectl.core.traffic.session import Session

# The time limit in seconds: long enough for a busy machine, and ends a test that would hang.
PATIENCE = 20


class Told(RelayEvents):
    """The events of a relay, with one queue for each kind of event."""

    def __init__(self) -> None:
        self.connections: SimpleQueue[Session] = SimpleQueue()
        self.opens: SimpleQueue[Session] = SimpleQueue()
        self.ends: SimpleQueue[Session] = SimpleQueue()
        self.strangers: SimpleQueue[PipeError] = SimpleQueue()
        self.targets: SimpleQueue[PipeError | None] = SimpleQueue()
        self.relay: Relay

    def started(self, relay: Relay) -> None:
        self.relay = relay

    def connected(self, session: Session) -> None:
        self.connections.put(session)

    def opened(self, session: Session) -> None:
        self.opens.put(session)

    def left(self, session: Session) -> None:
        self.ends.put(session)

    def turned_away(self, error: PipeError) -> None:
        self.strangers.put(error)

    def target_lost(self, error: PipeError) -> None:
        self.targets.put(error)

    def target_found(self) -> None:
        self.targets.put(None)

    def end(self) -> Session:
        """Wait for the end of the next session."""
        return self.ends.get(timeout=PATIENCE)


def is_silent(queue: "SimpleQueue[Any]", seconds: float = 0.2) -> bool:
    """Return whether nothing arrives for a number of seconds."""
    try:
        queue.get(timeout=seconds)
    except Empty:
        return True
    return False


@contextmanager
def relaying(listen: str, target: Any, *, is_message: bool = True, **config: Any) -> Iterator[tuple[Relay, Told]]:
    """Run a relay between two places; `target` may be a Place."""
    told = Told()
    pipe = config.pop("pipe", PipeConfig(is_message=is_message))
    place = parse(target) if isinstance(target, str) else target
    with Relay(parse(listen), place, events=told, config=RelayConfig(pipe=pipe, **config)) as relay:
        yield relay, told


@contextmanager
def tcp_server() -> Iterator[socket.socket]:
    """Listen on a port of this computer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        yield server


def port_of(server: socket.socket) -> str:
    """Return the address of a server as a place."""
    return f"tcp:127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def accepted(server: socket.socket) -> Iterator[socket.socket]:
    """Accept the next client."""
    client = server.accept()[0]
    with client:
        client.settimeout(PATIENCE)
        yield client


@contextmanager
def tcp_client(relay: Relay) -> Iterator[socket.socket]:
    """Connect to a relay that listens on a TCP address."""
    with socket.create_connection((relay.place.name, relay.place.port), PATIENCE) as client:
        yield client


def received(client: socket.socket, size: int = -1) -> bytes:
    """Receive `size` bytes, or until FIN."""
    data = b""
    while size < 0 or len(data) < size:
        piece = client.recv(size - len(data) if size > 0 else 65536)
        if not piece:
            break
        data += piece
    return data


def relay_threads() -> int:
    """Return the number of relay threads."""
    return sum(thread.name.startswith("Relay") for thread in threading.enumerate())

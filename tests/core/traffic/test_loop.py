"""The loop of a relay: operations that end at once, of which the system queues no packet."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.flusher import Flusher
from pipectl.core.pipe.memory import Memory
from pipectl.core.traffic.ends import End, Limits, PipeEnd, Shared, User
from pipectl.core.traffic.loop import Loop, Operation

from .relaying import PATIENCE


class Reading(User):
    """Keeps what comes, and reads on."""

    def __init__(self) -> None:
        self.messages: SimpleQueue[bytes] = SimpleQueue()

    def received(self, end: End, data: bytes) -> None:
        self.messages.put(data)
        if end.is_long:
            end.release()
        end.read()


@contextmanager
def reading(pipe: str, *sent: bytes) -> Iterator[tuple[Loop, Reading, Connection]]:
    """The end of a message pipe in a loop, to which messages were sent before it reads."""
    loop = Loop("test")
    shared = Shared(loop, Limits(), Memory(1 << 20), Flusher())
    handle = PipeConfig().create(pipe, is_first=True)
    loop.watch(handle)
    end = PipeEnd(shared, handle, is_message=True, is_server=True)
    end.user = user = Reading()
    with connect(pipe, PATIENCE) as client:
        for data in sent:
            client.send(data, PATIENCE)
        loop.post(end.read)
        loop.start(end.close)
        try:
            yield loop, user, client
        finally:
            loop.close()
    assert end.is_gone


MESSAGES = [b"short", b"x" * 4096, b"y" * 4097, b"", b"z" * 20_000, b"end"]


@pytest.mark.parametrize("is_told", [False, True], ids=["as Wine does", "as NT may"])
def test_a_long_message_that_is_there_already_is_received_once(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    """The first part of one, STATUS_BUFFER_OVERFLOW at once: of that Windows may queue a packet, or not."""
    overflow = Operation._report_overflow

    def twice(operation: Operation, lent: object) -> None:
        if is_told:
            operation._loop.port.post(1, operation.address)
        overflow(operation, lent)

    monkeypatch.setattr(Operation, "_report_overflow", twice)
    with reading(pipe_name, *MESSAGES) as (_, user, client):
        assert [user.messages.get(timeout=PATIENCE) for _ in MESSAGES] == MESSAGES
        client.send(b"later", PATIENCE)
        assert user.messages.get(timeout=PATIENCE) == b"later"
        assert user.messages.empty()


def test_what_ends_at_once_again_and_again_keeps_no_packet_waiting(pipe_name: str) -> None:
    turns, many = itertools.count(), threading.Event()
    with reading(pipe_name) as (loop, user, client):

        def again() -> None:
            loop.ready.append(again)
            if next(turns) == 1000:
                many.set()

        loop.post(again)
        assert many.wait(PATIENCE)
        client.send(b"a packet", PATIENCE)
        assert user.messages.get(timeout=PATIENCE) == b"a packet"


def test_a_loop_without_the_mode_is_told_by_packets(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "skip_packets", lambda _loop, _handle: False)
    with reading(pipe_name, *MESSAGES) as (_, user, _client):
        assert [user.messages.get(timeout=PATIENCE) for _ in MESSAGES] == MESSAGES

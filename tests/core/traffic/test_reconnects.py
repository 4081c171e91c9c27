"""A pump that connects again after the pipe has closed: what is sent meanwhile, what is lost, and each end."""

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest

from pipectl.core.constants import EndOf, PipeMode
from pipectl.core.deadline import Deadline, Stopwatch, Timeout
from pipectl.core.errors import PeerMismatchError, PipeBusyError, PipeClosedError, PipeNotFoundError
from pipectl.core.inventory.peers import Expected
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.framing import parse
from pipectl.core.traffic.streams import Pump, Reconnects
from pipectl.core.win32.calls import create_named_pipe
from pipectl.core.win32.handle import Handle
from tests.pipes import connect_named_pipe
from tests.runner import Background

_ENDLESS = float("inf")


class Told(Reconnects):
    """Reconnects that remember what they are told."""

    def __init__(self, times: float = _ENDLESS, timeout: float | None = 20) -> None:
        super().__init__(times, timeout)
        self.events: SimpleQueue[str] = SimpleQueue()

    def closed(self) -> None:
        self.events.put("closed")

    def connected(self) -> None:
        self.events.put("connected")

    def lost(self, reason: str) -> None:
        self.events.put(reason)

    def next(self) -> str:
        return self.events.get(timeout=20)


class Server:
    """A pipe that is served, one client at a time, and not in between."""

    def __init__(self, pipe: str, *, is_message: bool = True) -> None:
        self._pipe = pipe
        self._is_message = is_message

    @contextmanager
    def listening(self) -> Iterator[Connection]:
        with Connection(self._create(Deadline(20)), is_message=self._is_message) as server:
            yield server

    def _create(self, deadline: Deadline) -> Handle:
        """Make the one instance, as soon as the client of the last one has closed its end too."""
        mode = PipeMode.MESSAGE if self._is_message else PipeMode.TYPE_BYTE
        while True:
            try:
                return create_named_pipe(self._pipe, pipe_mode=mode, max_instances=1)
            except PipeBusyError:
                assert not deadline.passed
                time.sleep(0.01)

    @contextmanager
    def served(self) -> Iterator[Connection]:
        with self.listening() as server:
            connect_named_pipe(server.handle, 20)
            yield server


class Typed:
    """A source that yields what the test gives it."""

    def __init__(self) -> None:
        self._pieces: SimpleQueue[bytes | None] = SimpleQueue()

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None:
            yield piece

    def type(self, piece: bytes) -> None:
        self._pieces.put(piece)

    def end(self) -> None:
        self._pieces.put(None)


@pytest.fixture
def typed() -> Iterator[Typed]:
    source = Typed()
    yield source
    source.end()


def failing(pump: Pump, error: type[Exception]) -> None:
    with pytest.raises(error):
        pump.run()


def ignore(_data: bytes) -> None:
    pass


@contextmanager
def pumping(
    pump: Callable[[], Pump], background: Background, server: Server
) -> Iterator[tuple[Connection, Future[Any]]]:
    """Run a pump whose first connection lasts as long as this block; give the server's end, and what is run."""
    with server.listening() as first:
        running = background(pump().run)
        connect_named_pipe(first.handle, 20)
        yield first, running


def test_what_is_typed_meanwhile_goes_to_the_next_connection(
    pipe_name: str, background: Background, typed: Typed
) -> None:
    server, told, came = Server(pipe_name), Told(), SimpleQueue[bytes]()
    with pumping(lambda: Pump(connect(pipe_name, 10), typed, came.put, again=told), background, server) as (first, run):
        typed.type(b"one")
        assert first.receive(20) == b"one"
    assert told.next() == "closed"
    typed.type(b"two")
    typed.type(b"three")
    with server.served() as second:
        assert told.next() == "connected"
        assert [second.receive(20), second.receive(20)] == [b"two", b"three"]
        second.send(b"answer", 20)
        assert came.get(timeout=20) == b"answer"
        typed.end()
        assert second.receive(20) == b""
    run.result(20)
    assert told.events.empty()


@pytest.mark.strict(rule="N1")
def test_the_instance_is_given_up_before_it_is_told(pipe_name: str, background: Background, typed: Typed) -> None:
    told = Told()
    server = Server(pipe_name)
    with pumping(lambda: Pump(connect(pipe_name, 10), typed, ignore, again=told), background, server) as (_, run):
        pass
    assert told.next() == "closed"
    create_named_pipe(pipe_name, max_instances=1).close()  # which is refused while a client has the last one open
    typed.end()
    run.result(20)


def test_what_was_being_sent_is_told_and_not_sent_again(pipe_name: str, background: Background, typed: Typed) -> None:
    server, told = Server(pipe_name), Told()
    with pumping(lambda: Pump(connect(pipe_name, 10), typed, ignore, again=told), background, server) as (first, _):
        typed.type(bytes(1 << 20))  # more than the pipe has room for
        assert first.await_data(1, 20).available
        typed.type(b"next")
    lost = "1048576 bytes that were being sent when the pipe closed may not have arrived"
    assert {told.next(), told.next()} == {"closed", lost}
    with server.served() as second:
        assert second.receive(20) == b"next"
        typed.end()
        assert second.receive(20) == b""


def test_the_attempts_are_bounded_and_the_last_error_is_raised(pipe_name: str, typed: Typed) -> None:
    told = Told(times=3, timeout=0.2)
    with Server(pipe_name).listening():
        pump = Pump(connect(pipe_name, 10), typed, ignore, again=told)
    watch = Stopwatch()
    failing(pump, PipeNotFoundError)
    assert 0.6 <= watch.seconds < 10
    assert told.left == 0


def test_the_last_connection_ends_as_without_reconnecting(pipe_name: str, background: Background, typed: Typed) -> None:
    server, told = Server(pipe_name), Told(times=1)
    with pumping(lambda: Pump(connect(pipe_name, 10), typed, ignore, again=told), background, server) as (_, run):
        pass
    with server.served():
        assert [told.next(), told.next()] == ["closed", "connected"]
    run.result(20)


def test_each_server_is_checked_before_anything_is_sent(pipe_name: str, background: Background, typed: Typed) -> None:
    class Expecting:
        """Expects the first server alone."""

        count = 0

        def check(self, pipe: Handle, timeout: Timeout) -> None:
            self.count += 1
            Expected(exe=None if self.count == 1 else "other.exe").check(pipe, timeout)

    server, told = Server(pipe_name), Told()
    with server.listening():
        pump = Pump(connect(pipe_name, 10, expect=Expecting()), typed, ignore, again=told)
    failed = background(failing, pump, PeerMismatchError)
    assert told.next() == "closed"
    typed.type(b"secret")
    with server.served() as impostor, pytest.raises(PipeClosedError):
        impostor.receive(20)
    failed.result(20)


def test_the_end_of_the_source_ends_the_wait_for_the_pipe(pipe_name: str, background: Background, typed: Typed) -> None:
    told = Told(timeout=None)
    with pumping(lambda: Pump(connect(pipe_name, 10), typed, ignore, again=told), background, Server(pipe_name)) as (
        _,
        run,
    ):
        pass
    assert told.next() == "closed"
    typed.end()
    run.result(5)


def test_a_stop_ends_the_wait_for_the_pipe_though_something_is_to_be_sent(
    pipe_name: str, background: Background, typed: Typed
) -> None:
    told = Told(timeout=None)
    with Server(pipe_name).listening():
        pump = Pump(connect(pipe_name, 10), typed, ignore, again=told)
    run = background(pump.run)
    assert told.next() == "closed"
    typed.type(b"held")
    pump.stop()
    run.result(5)
    pump.stop()


def test_a_pipe_that_is_read_to_its_end_is_read_again_after_the_source(pipe_name: str, background: Background) -> None:
    server, told, came = Server(pipe_name), Told(times=1), SimpleQueue[bytes]()
    with pumping(
        lambda: Pump(connect(pipe_name, 10), iter([b"x"]), came.put, end=EndOf.PIPE, again=told), background, server
    ) as (first, run):
        assert [first.receive(20), first.receive(20)] == [b"x", b""]
    with server.served() as second:
        assert second.receive(20) == b""  # the end, which this server has to learn, too
        second.send(b"more", 20)
        assert came.get(timeout=20) == b"more"
    run.result(20)


def test_a_frame_that_breaks_off_is_told_and_the_next_one_begins_anew(
    pipe_name: str, background: Background, typed: Typed
) -> None:
    server, told, came = Server(pipe_name, is_message=False), Told(), SimpleQueue[bytes]()
    with pumping(
        lambda: Pump(connect(pipe_name, 10), typed, came.put, framing=parse("u8"), again=told), background, server
    ) as (first, _):
        first.send(b"\3one\3tw", 20)
    assert came.get(timeout=20) == b"one"
    events = {told.next(), told.next()}
    assert "closed" in events
    assert any(event.startswith("incomplete data") for event in events)
    with server.served() as second:
        second.send(b"\3two", 20)
        assert came.get(timeout=20) == b"two"
        typed.end()


def test_no_handle_is_left_by_connecting_again(
    pipe_name: str, background: Background, handle_count: Callable[[], int]
) -> None:
    server = Server(pipe_name)

    def reconnect(times: int) -> int:
        told, source = Told(), Typed()
        pump = None
        with server.listening():
            pump = Pump(connect(pipe_name, 10), source, ignore, again=told)
        run = background(pump.run)
        for _ in range(times):
            with server.served():
                while told.next() != "connected":
                    pass
        source.end()
        run.result(20)
        gc.collect()
        return handle_count()

    before, deadline = reconnect(3), Deadline(10)
    after = reconnect(10)
    while after > before + 5 and not deadline.passed:  # threads of the last ones may be ending
        time.sleep(0.01)
        after = handle_count()
    assert after <= before + 5

"""The pump between a pipe and a stream: all bytes, in order, whatever the sizes; and each way in which it ends."""

import gc
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipectl.core.constants import EndOf, HalfClose, PipeMode
from pipectl.core.deadline import Deadline
from pipectl.core.errors import FrameError, PipeClosedError, PipeTimeoutError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.framing import parse
from pipectl.core.pipe.server import PipeServer
from pipectl.core.traffic import streams
from pipectl.core.traffic.streams import Pump
from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import connect_named_pipe, read_file, write_file
from tests.runner import Background

BOTH = pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])


@contextmanager
def served(pipe: str, *, is_message: bool, background: Background) -> Iterator[tuple[Connection, Connection]]:
    """Both ends of a pipe, the server's first."""
    mode = PipeMode.MESSAGE if is_message else PipeMode.TYPE_BYTE
    with create_named_pipe(pipe, pipe_mode=mode) as handle:
        connecting = background(connect, pipe, 10)
        connect_named_pipe(handle, 10)
        with Connection(handle, is_message=is_message) as server, connecting.result(10) as client:
            yield server, client


def endless() -> Iterator[bytes]:
    """A source that never comes to its end; the test leaves it behind."""
    Event().wait()
    yield b""


def echo(_client: Client, data: bytes) -> bytes:
    return data


def test_it_says_again_that_it_waits_after_the_end_of_the_source(
    pipe_name: str, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_REMINDER", 0.01)
    told: SimpleQueue[None] = SimpleQueue()
    with served(pipe_name, is_message=True, background=background) as (server, client):
        pump = Pump(client, iter([b"x"]), lambda _data: None, waits=lambda: told.put(None))
        running = background(pump.run)
        assert server.receive(10) == b"x"
        for _ in range(3):
            told.get(timeout=10)
        pump.stop()
        running.result(10)


@BOTH
def test_all_bytes_pass_both_ways_at_once(
    pipe_name: str,
    is_message: bool,
    background: Background,
    request: pytest.FixtureRequest,
) -> None:
    size = (1 << 30) if request.config.getoption("--long") else (64 << 20)
    chunk = os.urandom(65521)
    count = size // len(chunk)

    def feed(connection: Connection) -> int:
        for _ in range(count):
            connection.send(chunk, 60)
        return count * len(chunk)

    def drain(connection: Connection) -> tuple[int, int]:
        total = crc = 0
        while total < count * len(chunk):
            data = connection.receive(60)
            total, crc = total + len(data), crc32(data, crc)
        return total, crc

    came = [0, 0]

    def sink(data: bytes) -> None:
        came[0] += len(data)
        came[1] = crc32(data, came[1])

    expected = 0
    for _ in range(count):
        expected = crc32(chunk, expected)
    with served(pipe_name, is_message=is_message, background=background) as (server, client):
        sending, draining = background(feed, server), background(drain, server)
        pumping = background(Pump(client, (chunk for _ in range(count)), sink, linger=None).run)
        assert draining.result(900) == (count * len(chunk), expected)
        sending.result(900)
        server.handle.close()  # the operations of the server have ended
        pumping.result(60)
    assert tuple(came) == (count * len(chunk), expected)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(messages=st.lists(st.binary(max_size=70_000), max_size=12))
def test_messages_stay_what_they_are(messages: list[bytes]) -> None:
    from uuid import uuid4

    came: list[bytes] = []
    pipe = rf"\\.\pipe\pipectl-test-{uuid4().hex}"
    with PipeServer(pipe, echo):
        Pump(connect(pipe), iter(messages), came.append, linger=0.2).run()
    assert came == [*messages, b""]  # the last one is the end, which the server has echoed too


def test_messages_become_frames_and_frames_messages(pipe_name: str) -> None:
    came: list[bytes] = []
    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)):
        bodies = [b"a", b"", b"x" * 100_000, b"z"]
        Pump(connect(pipe_name), iter(bodies), came.append, framing=parse("u32le"), linger=0.5).run()
    assert came == bodies


# Ends


class Winio:
    """The server end of a message pipe as Go's winio has it: it reads bytes, and an empty read is the end."""

    def __init__(self, pipe: str) -> None:
        self.handle = create_named_pipe(pipe, pipe_mode=PipeMode.TYPE_MESSAGE)

    def read_to_the_end(self) -> bytes:
        connect_named_pipe(self.handle, 20)
        data = b""
        while piece := read_file(self.handle, 4096, 20)[0]:
            data += piece
        return data


@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "late"])
def test_the_end_is_not_lost_to_a_reader_of_bytes(
    pipe_name: str, background: Background, is_late: bool, request: pytest.FixtureRequest
) -> None:
    """In byte mode an empty message behind an unread one vanishes, so the first must have been read."""
    for number in range(1000 if request.config.getoption("--long") else 20):
        came: list[bytes] = []
        server, sent = Winio(pipe_name), Event()

        def source(data: bytes = b"hi %d" % number, sent: Event = sent) -> Iterator[bytes]:
            yield data
            sent.set()

        def serve(server: Winio = server, sent: Event = sent) -> None:
            if is_late:
                connect_named_pipe(server.handle, 20)
                assert sent.wait(20)
                time.sleep(0.01)  # for the end to come, if it were not to wait
                data = b""
                while piece := read_file(server.handle, 4096, 20)[0]:
                    data += piece
            else:
                data = server.read_to_the_end()
            write_file(server.handle, data.upper(), 20)
            server.handle.close()

        serving = background(serve)
        background(Pump(connect(pipe_name, 10), source(), came.append).run).result(30)
        serving.result(20)
        assert came == [b"HI %d" % number]


def test_a_server_that_says_its_end_and_stays_is_left_after_ours(pipe_name: str, background: Background) -> None:
    with served(pipe_name, is_message=True, background=background) as (server, client):
        came: list[bytes] = []
        pumping = background(Pump(client, iter([b"x"]), came.append).run)
        assert [server.receive(5), server.receive(5)] == [b"x", b""]
        server.send(b"answer", 5)
        server.send(b"", 5)
        pumping.result(5)
        assert came == [b"answer", b""]


def test_silence_is_the_end_where_the_pipe_cannot_be_told(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)):
        came: list[bytes] = []
        begun = time.perf_counter()
        Pump(connect(pipe_name), iter([b"x"]), came.append, linger=0.3).run()
        assert 0.3 <= time.perf_counter() - begun < 2
        assert came == [b"x"]


def test_silence_begins_anew_with_each_piece(pipe_name: str, background: Background) -> None:
    with served(pipe_name, is_message=False, background=background) as (server, client):
        came: list[bytes] = []
        pumping = background(Pump(client, iter([b"x"]), came.append, linger=0.5).run)
        server.receive(5)
        for _ in range(4):
            time.sleep(0.2)
            server.send(b"y", 5)
        pumping.result(5)
        assert came == [b"y"] * 4


@BOTH
def test_a_close_ends_it_at_once_though_the_source_goes_on(
    pipe_name: str, is_message: bool, background: Background
) -> None:
    with served(pipe_name, is_message=is_message, background=background) as (server, client):
        came: list[bytes] = []
        pumping = background(Pump(client, endless(), came.append).run)
        server.send(b"last words", 5)
        begun = time.perf_counter()
        server.close()
        pumping.result(5)
        assert time.perf_counter() - begun < 1
        assert came == [b"last words"]


@BOTH
def test_a_close_with_something_left_to_send_is_an_error(
    pipe_name: str, is_message: bool, background: Background
) -> None:
    with served(pipe_name, is_message=is_message, background=background) as (server, client):
        came: list[bytes] = []

        def serve() -> None:
            server.receive(5)
            server.send(b"enough", 5)
            server.close()

        background(serve)
        with pytest.raises(PipeClosedError):
            Pump(client, (bytes(1 << 16) for _ in range(1000)), came.append).run()
        assert came == [b"enough"]


def test_a_server_that_does_not_read_is_given_up_after_a_time(pipe_name: str, background: Background) -> None:
    with (
        served(pipe_name, is_message=True, background=background) as (_server, client),
        pytest.raises(PipeTimeoutError),
    ):
        Pump(client, iter([b"x"]), lambda _data: None, patience=0.3).run()


@BOTH
def test_the_end_of_the_source_can_be_the_end_of_all(pipe_name: str, is_message: bool, background: Background) -> None:
    with served(pipe_name, is_message=is_message, background=background) as (server, client):
        background(Pump(client, iter([b"x"]), lambda _data: None, end=EndOf.STDIN, half_close=HalfClose.NONE).run)
        assert server.receive(5) == b"x"
        with pytest.raises(PipeClosedError):
            server.receive(5)


def test_without_half_close_an_empty_message_is_a_message(pipe_name: str, background: Background) -> None:
    with served(pipe_name, is_message=True, background=background) as (server, client):
        came: list[bytes] = []
        pumping = background(Pump(client, iter([b"x"]), came.append, half_close=HalfClose.NONE, linger=0.3).run)
        assert server.receive(5) == b"x"
        server.send(b"", 5)
        server.send(b"y", 5)
        pumping.result(5)
        assert came == [b"", b"y"]


def test_two_hundred_take_turns_at_one_instance(pipe_name: str) -> None:
    count = 200

    def answer(client: Client, data: bytes) -> bytes | None:
        if not data:
            client.close()
            return None
        return data

    def come(number: int) -> list[bytes]:
        came: list[bytes] = []
        Pump(connect(pipe_name, 100), iter([b"%d" % number]), came.append).run()
        return came

    with PipeServer(pipe_name, answer, config=PipeConfig(max_instances=1)), ThreadPoolExecutor(count) as pool:
        assert list(pool.map(come, range(count))) == [[b"%d" % number] for number in range(count)]


def test_no_handle_is_left(pipe_name: str, handle_count: Callable[[], int]) -> None:
    def pump(times: int) -> int:
        for _ in range(times):
            Pump(connect(pipe_name, 10), iter([b"x"]), lambda _data: None).run()
        gc.collect()
        return handle_count()

    with PipeServer(pipe_name, echo):
        before, deadline = pump(10), Deadline(10)
        after = pump(20)
        while after > before + 5 and not deadline.passed:  # threads of the last ones may be ending
            time.sleep(0.01)
            after = handle_count()
    assert after <= before + 5


def test_none_from_the_source_ends_it(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo):
        Pump(connect(pipe_name), iter([b"x", None]), lambda _data: None, linger=None).run()


@pytest.mark.parametrize("place", ["source", "sink"])
def test_what_the_source_or_the_sink_raises_ends_it(pipe_name: str, place: str) -> None:
    class OwnError(Exception):
        pass

    def fail(*_: object) -> Iterator[bytes]:
        raise OwnError

    def failing() -> Iterator[bytes]:
        yield from fail()

    def ignore(_data: bytes) -> None:
        pass

    with PipeServer(pipe_name, echo):
        source, sink = (failing(), ignore) if place == "source" else (iter([b"x"]), fail)
        with pytest.raises(OwnError):
            Pump(connect(pipe_name), source, sink).run()


def test_a_frame_that_breaks_off_is_an_error(pipe_name: str, background: Background) -> None:
    with served(pipe_name, is_message=False, background=background) as (server, client):
        came: list[bytes] = []
        server.send(b"\3one\3tw", 5)
        server.close()
        with pytest.raises(FrameError):
            Pump(client, endless(), came.append, framing=parse("u8")).run()
        assert came == [b"one"]


def test_a_sink_that_blocks_stops_the_server_and_not_the_memory(pipe_name: str, background: Background) -> None:
    with served(pipe_name, is_message=False, background=background) as (server, client):
        taken: SimpleQueue[bytes] = SimpleQueue()
        go_on = Event()

        def sink(data: bytes) -> None:
            taken.put(data)
            assert go_on.wait(20)

        pumping = background(Pump(client, endless(), sink).run)
        with pytest.raises(PipeTimeoutError):
            server.send(bytes(8 << 20), 0.5)
        assert taken.qsize() == 1
        go_on.set()
        server.close()
        pumping.result(10)

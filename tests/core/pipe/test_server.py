"""PipeServer with real clients: many at once, slow ones, rude ones, and its own end."""

import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pipectl.core.constants import Wait, WinError
from pipectl.core.errors import (
    MessageTooLongError,
    PipeBusyError,
    PipeClosedError,
    PipeError,
    PipeNotFoundError,
    PipeTimeoutError,
)
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig, StopAfter
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.contract import LATER
from pipectl.core.pipe.framed import FramedServer
from pipectl.core.pipe.framing import parse
from pipectl.core.pipe.server import PipeServer
from tests.pipes import reporting

if TYPE_CHECKING:
    from concurrent.futures import Future

    Background = Callable[..., Future[Any]]


def echo(_client: Client, data: bytes) -> bytes:
    return data


def test_a_client_gets_its_answers_in_order(pipe_name: str) -> None:
    with PipeServer(pipe_name, lambda _, data: b"re: " + data), connect(pipe_name) as client:
        assert [client.transact(b"%d" % number, 5) for number in range(100)] == [b"re: %d" % n for n in range(100)]


@pytest.mark.parametrize("size", [0, 1, 512, 513, 65536, 65537, 1 << 20, 10 << 20])
def test_a_message_of_any_size_comes_back(pipe_name: str, size: int) -> None:
    data = bytes(range(251)) * (size // 251) + bytes(size % 251)
    with PipeServer(pipe_name, echo), connect(pipe_name) as client:
        assert client.transact(data, 20) == data


def test_a_hundred_clients_at_once_are_served(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo) as server, ExitStack() as stack:
        clients = [stack.enter_context(connect(pipe_name, 10)) for _ in range(100)]
        for turn in range(3):
            for number, client in enumerate(clients):
                client.send(b"%d/%d" % (number, turn))
            for number, client in enumerate(clients):
                assert client.receive(5) == b"%d/%d" % (number, turn)
        assert server.connected == 100
        # A client can read an answer before the server has seen that its write is done.
        server.stop()
        assert server.wait(5)
        assert server.stats == (100, 300, server.stats.bytes_in, server.stats.bytes_in)


def test_a_thousand_connects_in_a_row_all_succeed(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo) as server:
        for _ in range(1000):
            with connect(pipe_name, 5) as client:
                assert client.transact(b"x", 5) == b"x"
        assert server.stats.clients == 1000


def test_connects_that_race_each_other_all_succeed(pipe_name: str, background: "Background") -> None:
    def client() -> None:
        for _ in range(100):
            with connect(pipe_name, 10) as connection:
                assert connection.transact(b"x", 10) == b"x"

    with PipeServer(pipe_name, echo) as server:
        for racer in [background(client) for _ in range(10)]:
            racer.result(timeout=30)
        assert server.stats.messages == 1000


def test_a_single_instance_serves_one_after_another(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)):
        for _ in range(20):
            with connect(pipe_name, 5) as client:
                with pytest.raises(PipeBusyError):
                    connect(pipe_name, 0)
                assert client.transact(b"x", 5) == b"x"


def test_clients_that_leave_at_once_do_no_harm(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo):
        for _ in range(500):
            connect(pipe_name, 5).close()
        with connect(pipe_name, 5) as client:
            assert client.transact(b"still there?", 5) == b"still there?"


def test_clients_that_leave_without_their_answer_do_no_harm(pipe_name: str) -> None:
    with PipeServer(pipe_name, lambda _, data: data * 1000):
        for _ in range(200):
            with connect(pipe_name, 5) as client:
                client.send(b"x" * 1000)
        with connect(pipe_name, 5) as client:
            assert client.transact(b"x", 5) == b"x" * 1000


def test_more_clients_than_the_largest_instance_limit_are_served(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo), ExitStack() as stack:
        clients = [stack.enter_context(connect(pipe_name, 10)) for _ in range(300)]
        assert [client.transact(b"x", 5) for client in clients] == [b"x"] * 300


def test_what_a_client_sent_before_it_left_is_still_handled(pipe_name: str) -> None:
    seen: list[bytes] = []
    left = threading.Event()

    def slow(_client: Client, data: bytes) -> bytes:
        left.wait(5)
        seen.append(data)
        return data

    with PipeServer(pipe_name, slow, stop_after=StopAfter(clients=1)) as server:
        with connect(pipe_name) as client:
            for word in (b"one", b"two", b"", b"three"):
                client.send(word)
        left.set()
        assert server.wait(5)
    assert seen == [b"one", b"two", b"", b"three"]


def test_a_client_that_came_and_left_before_it_was_awaited_is_heard(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    create = PipeConfig.create

    def create_and_visit(config: PipeConfig, pipe: str, *, is_first: bool) -> Any:
        handle = create(config, pipe, is_first=is_first)
        with connect(pipe_name) as client:
            client.send(b"was here")
        return handle

    monkeypatch.setattr(PipeConfig, "create", create_and_visit)
    with PipeServer(pipe_name, lambda _, data: seen.append(data), stop_after=StopAfter(clients=1)) as server:
        assert server.wait(5)
    assert seen == [b"was here"]


def test_a_client_that_dies_within_a_long_message_ends_alone(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_pipe: object, _size: int = 0) -> Any:
        raise PipeClosedError("the rest went with the client")

    with PipeServer(pipe_name, echo) as server:
        with monkeypatch.context() as patch, connect(pipe_name) as client:
            patch.setattr("pipectl.core.win32.calls.peek_named_pipe", gone)
            with pytest.raises(PipeClosedError):
                client.transact(b"x" * 1000, 5)
        with connect(pipe_name) as client:
            assert client.transact(b"x" * 1000, 5) == b"x" * 1000
        assert not server.wait(0)


def test_a_client_that_left_is_never_mistaken_for_the_next_on_its_instance(pipe_name: str) -> None:
    known: list[Client] = []
    both = threading.Event()

    def on_connect(client: Client) -> None:
        known.append(client)
        if len(known) == 2:
            both.set()

    with PipeServer(pipe_name, echo, events=reporting(connected=on_connect), config=PipeConfig(max_instances=1)):
        connect(pipe_name, 5).close()
        with connect(pipe_name, 5) as second:
            assert both.wait(5)
            known[0].send(b"for the first")
            assert known[1].pid == os.getpid()
            with pytest.raises(PipeError):
                _ = known[0].pid
            assert second.transact(b"x", 5) == b"x"


def test_a_client_that_reads_again_is_read_from_again(pipe_name: str) -> None:
    # More than the server holds back for one client, so that it has stopped to read from it.
    with PipeServer(pipe_name, lambda _, data: data * 100), connect(pipe_name) as client:
        sent = 0
        while _was_sent(client, b"%04d" % sent * 250):
            sent += 1
        assert sent > 10
        for number in range(sent):
            assert client.receive(10)[:4] == b"%04d" % number
        with suppress(PipeTimeoutError):  # what the timeout had left of one that was not sent
            client.receive(0.5)
        client.send(b"last", 10)  # no request: what timed out may have been answered
        assert client.receive(10) == b"last" * 100


def test_no_message_beyond_the_last_is_answered(pipe_name: str) -> None:
    answered: list[bytes] = []
    ready = threading.Event()

    def answer(_client: Client, data: bytes) -> bytes:
        ready.wait(5)  # until all have asked, so that their questions come in one batch
        answered.append(data)
        return data

    with (
        PipeServer(pipe_name, answer, config=PipeConfig(spare_instances=8), stop_after=StopAfter(messages=2)) as server,
        ExitStack() as stack,
    ):
        for number in range(8):
            stack.enter_context(connect(pipe_name, 5)).send(b"%d" % number)
        ready.set()
        assert server.wait(5)
    assert len(answered) == 2


def test_a_client_that_does_not_read_keeps_nobody_waiting(pipe_name: str) -> None:
    with PipeServer(pipe_name, lambda _, data: data * 100_000), connect(pipe_name) as lazy:
        with pytest.raises(PipeTimeoutError):
            flood(lazy)
        with connect(pipe_name) as client:
            assert client.transact(b"x", 5) == b"x" * 100_000


def _was_sent(client: Connection, data: bytes) -> bool:
    try:
        client.send(data, 0.2)
    except PipeTimeoutError:
        return False
    return True


def flood(client: Any) -> None:
    for _ in range(10_000):
        client.send(b"y" * 1000, 0.2)


def test_a_greeting_comes_before_any_question(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo, events=reporting(connected=lambda _: b"welcome")), connect(pipe_name) as client:
        assert client.receive(5) == b"welcome"
        assert client.transact(b"x", 5) == b"x"


def test_an_answer_may_come_later_and_from_another_thread(pipe_name: str, background: "Background") -> None:
    def later(client: Client, data: bytes) -> Any:
        background(lambda: client.reply(data.upper()))
        return LATER

    with PipeServer(pipe_name, later), connect(pipe_name) as client:
        for _ in range(100):
            assert client.transact(b"x", 5) == b"X"


def test_a_client_that_waits_for_a_late_answer_is_not_read_from(pipe_name: str) -> None:
    seen: list[bytes] = []
    asked: list[Client] = []
    both = threading.Event()

    def later(client: Client, data: bytes) -> Any:
        seen.append(data)
        asked.append(client)
        both.set()
        return LATER

    with PipeServer(pipe_name, later), connect(pipe_name) as client:
        client.send(b"one")
        client.send(b"two")
        assert both.wait(5)
        assert seen == [b"one"]
        asked[0].reply(b"ONE")
        assert client.receive(5) == b"ONE"


def test_a_message_can_be_sent_unasked(pipe_name: str) -> None:
    arrived: list[Client] = []
    there = threading.Event()

    def on_connect(client: Client) -> None:
        arrived.append(client)
        there.set()

    with PipeServer(pipe_name, echo, events=reporting(connected=on_connect)), connect(pipe_name) as client:
        assert there.wait(5)
        for number in range(50):
            arrived[0].send(b"%d" % number)
        assert [client.receive(5) for _ in range(50)] == [b"%d" % number for number in range(50)]


def test_the_last_reply_is_not_lost_when_the_server_lets_go(pipe_name: str) -> None:
    def bye(client: Client, _data: bytes) -> bytes:
        client.close()
        return b"bye" * 1000

    with PipeServer(pipe_name, bye):
        for _ in range(50):
            with connect(pipe_name, 5) as client:
                client.send(b"x")
                assert client.receive(5) == b"bye" * 1000
                with pytest.raises(PipeClosedError):
                    client.receive(5)


def test_the_last_reply_is_not_lost_when_the_server_ends(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo, stop_after=StopAfter(messages=1)) as server, connect(pipe_name) as client:
        client.send(b"z" * 50_000)
        assert server.wait(5)
        server.close()
        assert client.receive(5) == b"z" * 50_000


def test_the_comings_and_goings_are_told(pipe_name: str) -> None:
    events: list[tuple[str, int]] = []
    with PipeServer(
        pipe_name,
        echo,
        events=reporting(
            connected=lambda client: events.append(("came", client.pid)),
            left=lambda _, error: events.append(("left", 0 if error is None else 1)),
        ),
        stop_after=StopAfter(clients=2),
    ) as server:
        for _ in range(2):
            with connect(pipe_name, 5) as client:
                client.transact(b"x", 5)
        assert server.wait(5)
    # The second may be there before the first is seen to have left.
    assert sorted(events) == [("came", os.getpid())] * 2 + [("left", 0)] * 2


def test_a_message_that_is_too_long_ends_its_client_alone(pipe_name: str) -> None:
    reasons: list[PipeError | None] = []
    with PipeServer(
        pipe_name,
        echo,
        events=reporting(left=lambda _, error: reasons.append(error)),
        config=PipeConfig(max_message=100_000),
    ) as server:
        with connect(pipe_name) as client, pytest.raises(PipeClosedError):
            client.transact(b"x" * 100_001, 5)
        with connect(pipe_name) as client:
            assert client.transact(b"x" * 100_000, 5) == b"x" * 100_000
        server.stop()
        assert server.wait(5)
    assert isinstance(reasons[0], MessageTooLongError)


def test_a_client_that_leaves_without_a_byte_does_not_count(pipe_name: str) -> None:
    left = threading.Event()
    events = reporting(left=lambda _client, _error: left.set())
    with PipeServer(pipe_name, echo, events=events, stop_after=StopAfter(clients=1)) as server:
        connect(pipe_name, 5).close()
        assert left.wait(5)
        with connect(pipe_name, 5) as client:
            assert client.transact(b"x", 5) == b"x"
        assert server.wait(5)
        assert server.stats.clients == 2


@pytest.mark.parametrize("how", ["empty message", "part of a frame", "greeting", "closed"])
def test_a_client_that_was_told_or_has_said_something_counts(pipe_name: str, how: str) -> None:
    def greet(client: Client) -> None:
        if how == "greeting":
            client.send(b"hello")
        elif how == "closed":
            client.close()

    framing = parse("u32le") if how == "part of a frame" else None
    make = PipeServer if framing is None else partial(FramedServer, framing=framing)
    config = PipeConfig(is_message=how != "part of a frame")
    with make(
        pipe_name, echo, events=reporting(connected=greet), config=config, stop_after=StopAfter(clients=1)
    ) as server:
        with connect(pipe_name, 5) as client:
            if how == "empty message":
                client.send(b"")
            elif how == "part of a frame":
                client.send(b"x")
        assert server.wait(5)


def test_it_ends_after_its_last_client(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo, stop_after=StopAfter(clients=1)) as server:
        with connect(pipe_name) as client:
            with pytest.raises(PipeBusyError):
                connect(pipe_name, 0)
            client.transact(b"x", 5)
        assert server.wait(5)
    with pytest.raises(PipeNotFoundError):
        connect(pipe_name, 0)


def test_it_ends_after_its_last_message(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo, stop_after=StopAfter(messages=3)) as server, connect(pipe_name) as client:
        assert [client.transact(b"x", 5) for _ in range(3)] == [b"x"] * 3
        assert server.wait(5)


def test_it_ends_when_nothing_happens(pipe_name: str) -> None:
    begun = time.perf_counter()
    with PipeServer(pipe_name, echo, stop_after=StopAfter(idle=0.1)) as server:
        assert server.wait(5)
    assert 0.1 <= time.perf_counter() - begun < 1


def test_a_close_frees_the_name_and_its_clients(pipe_name: str) -> None:
    server = PipeServer(pipe_name, echo).start()
    with connect(pipe_name) as client:
        assert not server.wait(0)
        server.close()
        server.close()
        with pytest.raises(PipeClosedError):
            client.receive(5)
    with pytest.raises(PipeNotFoundError):
        connect(pipe_name, 0)


def test_an_exception_in_a_handler_ends_the_server_and_is_raised_by_wait(pipe_name: str) -> None:
    def fail(_client: Client, _data: bytes) -> bytes:
        raise ZeroDivisionError

    with PipeServer(pipe_name, fail) as server, connect(pipe_name) as client:
        client.send(b"x")
        with pytest.raises(ZeroDivisionError):
            server.wait(5)


def test_a_handle_that_a_handler_has_closed_ends_its_client_alone(pipe_name: str) -> None:
    reasons: list[PipeError | None] = []

    def close(client: Client, data: bytes) -> bytes:
        if data == b"close":
            client.handle.close()
        return data

    events = reporting(left=lambda _client, error: reasons.append(error))
    with PipeServer(pipe_name, close, events=events, config=PipeConfig(max_instances=1)):
        with connect(pipe_name) as client:
            client.send(b"close")
            with pytest.raises(PipeClosedError):
                client.receive(5)
        with connect(pipe_name, 5, wait=Wait.EXISTS) as client:
            assert client.transact(b"x", 5) == b"x"
    assert reasons[0] is not None
    assert (reasons[0].code, reasons[0].function) == (WinError.INVALID_HANDLE, "WriteFile")


def test_an_exception_at_a_clients_end_is_raised_by_an_ending_server_too(pipe_name: str) -> None:
    def fail(_client: Client, _error: PipeError | None) -> None:
        raise ZeroDivisionError

    server = PipeServer(pipe_name, lambda _, data: data * 200_000, events=reporting(left=fail)).start()
    with connect(pipe_name) as stuck:
        stuck.send(b"x")
        server.stop()
        with pytest.raises(ZeroDivisionError):
            server.wait(5)
        server.close()


def test_clients_may_be_written_to_after_the_end(pipe_name: str, background: "Background") -> None:
    known: list[Client] = []
    with PipeServer(pipe_name, echo, events=reporting(connected=known.append)) as server, connect(pipe_name) as client:
        client.transact(b"x", 5)
    background(known[0].send, b"too late").result(timeout=5)
    background(known[0].reply, b"too late").result(timeout=5)
    known[0].close()
    server.stop()


def test_it_stops_while_clients_write_and_do_not_read(pipe_name: str, background: "Background") -> None:
    def flood_until_the_end() -> None:
        with connect(pipe_name) as client, suppress(PipeClosedError):
            while True:
                _was_sent(client, b"y" * 5000)

    with PipeServer(pipe_name, lambda _, data: data * 10) as server:
        flooding = [background(flood_until_the_end) for _ in range(5)]
        with connect(pipe_name) as client:
            client.transact(b"x", 5)
        begun = time.perf_counter()
        server.close()
        assert time.perf_counter() - begun < 5
        for each in flooding:
            each.result(timeout=5)


def test_an_exception_of_the_program_waits_for_no_client_to_read(pipe_name: str) -> None:
    answered = threading.Event()

    def answer(_client: Client, data: bytes) -> bytes:
        answered.set()
        return data * 200_000

    server = PipeServer(pipe_name, answer).start()
    with connect(pipe_name) as client:
        client.send(b"x")
        assert answered.wait(5)
        begun = time.perf_counter()
        server.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert time.perf_counter() - begun < 0.5


def test_a_name_that_is_served_by_a_single_instance_is_refused(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)), pytest.raises(PipeError):
        PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)).start()


@pytest.mark.windows(reason="Wine lets a second first instance be created", claim="W02")
def test_a_name_that_is_served_is_refused(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo), pytest.raises(PermissionError):
        PipeServer(pipe_name, echo).start()


def test_a_byte_pipe_echoes_a_stream(pipe_name: str) -> None:
    data = os.urandom(3 << 20)
    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)), connect(pipe_name) as client:
        assert client.ask(data, parse(f"bytes:{len(data)}"), 20).data == data


def test_servers_leave_no_handle_behind(pipe_name: str, handle_count: Callable[[], int]) -> None:
    def serve() -> None:
        with PipeServer(pipe_name, echo), connect(pipe_name) as client:
            client.transact(b"x", 5)

    serve()
    gc.collect()
    before = handle_count()
    for _ in range(50):
        serve()
    gc.collect()
    assert handle_count() <= before


def test_a_client_that_is_reported_to_have_left_is_counted_no_more(pipe_name: str) -> None:
    counts: list[int] = []
    servers: list[PipeServer] = []
    with PipeServer(
        pipe_name,
        echo,
        events=reporting(left=lambda _client, _error: counts.append(servers[0].connected)),
        stop_after=StopAfter(clients=1),
    ) as server:
        servers.append(server)
        with connect(pipe_name, 5) as client:
            client.send(b"x")
        assert server.wait(5)
    assert counts == [0]


def test_a_client_that_has_left_is_inert(pipe_name: str) -> None:
    known: list[Client] = []
    with PipeServer(pipe_name, echo, events=reporting(connected=known.append), config=PipeConfig(max_instances=1)):
        connect(pipe_name, 5).close()
        with connect(pipe_name, 5) as second:
            assert second.transact(b"x", 5) == b"x"
            for tell in (known[0].close, partial(known[0].send, b"y"), partial(known[0].reply, b"z")):
                tell()
            assert second.transact(b"x", 5) == b"x"

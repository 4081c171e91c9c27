"""The life of an instance, and what must never end a server: one client, a look-up, a refused instance, a mistake."""

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pipectl.core.constants import WinError
from pipectl.core.errors import PipeAccessError, PipeBusyError, PipeClosedError, PipeError, PipeStateError
from pipectl.core.pipe import server as server_module
from pipectl.core.pipe.availability import Availability, probe
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig, StopAfter
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.contract import LATER, ServerEvents
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from tests.pipes import reporting

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    Background = Callable[..., Future[Any]]

ONE = PipeConfig(max_instances=1, linger=0.3)
STATUS_INSUFFICIENT_RESOURCES = 0xC000_009A


def echo(_client: Client, data: bytes) -> bytes:
    return data


def bye(client: Client, data: bytes) -> bytes:
    client.close()
    return data


# Instances


def test_a_client_that_is_closed_and_stays_gives_its_instance_back(pipe_name: str) -> None:
    with PipeServer(pipe_name, bye, config=ONE), connect(pipe_name) as stays:
        stays.send(b"x")
        with connect(pipe_name, 5) as second:
            assert second.transact(b"y", 5) == b"y"
        with pytest.raises(PipeClosedError):  # it had its time to read the answer
            stays.receive(5)


def test_a_client_that_has_taken_all_does_not_linger(pipe_name: str) -> None:
    with PipeServer(pipe_name, bye, config=ONE._replace(linger=30)), connect(pipe_name) as client:
        begun = time.perf_counter()
        assert client.transact(b"x", 5) == b"x"
        with pytest.raises(PipeClosedError):
            client.receive(20)
        assert time.perf_counter() - begun < 5


def test_what_was_written_to_a_closed_client_can_be_read_in_its_time(pipe_name: str) -> None:
    answered = threading.Event()

    class Answered(ServerEvents):
        def answered(self, _client: Client, _data: bytes) -> None:
            answered.set()

    with (
        PipeServer(pipe_name, bye, events=Answered(), config=ONE._replace(linger=30)),
        connect(pipe_name) as client,
    ):
        client.send(b"x" * 1000)
        assert answered.wait(5)
        assert client.receive(5) == b"x" * 1000


def test_without_a_limit_a_closed_client_meets_the_end_of_the_stream(pipe_name: str) -> None:
    left = threading.Event()
    events = reporting(left=lambda _client, _error: left.set())
    with PipeServer(pipe_name, bye, events=events), connect(pipe_name) as client:
        client.send(b"x" * 1000)
        assert left.wait(5)  # for the server it is gone, and its answer was not read yet
        assert client.receive(5) == b"x" * 1000
        with pytest.raises(PipeClosedError) as raised:
            client.receive(5)
    assert raised.value.code == WinError.BROKEN_PIPE


def test_a_client_that_never_reads_is_given_up_after_its_time(pipe_name: str) -> None:
    left = threading.Event()

    def push(client: Client, _data: bytes) -> None:
        client.send(b"x" * 5_000_000)
        client.close()

    events = reporting(left=lambda _client, _error: left.set())
    with PipeServer(pipe_name, push, events=events, config=ONE), connect(pipe_name) as lazy:
        lazy.send(b"x")
        assert left.wait(5)
        with connect(pipe_name, 5):
            pass


def test_the_name_is_there_as_long_as_the_server(pipe_name: str) -> None:
    found: list[Availability] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            found.append(probe(pipe_name))

    with PipeServer(pipe_name, bye, config=ONE):
        looking = threading.Thread(target=look)
        looking.start()
        for _ in range(50):
            with connect(pipe_name, 5) as client:
                client.transact(b"x", 5)
        done.set()
        looking.join()
    assert len(found) > 50
    assert Availability.ABSENT not in found


# What the system refuses


def refusing(monkeypatch: pytest.MonkeyPatch, error: PipeError, times: int) -> None:
    """Have the system refuse so many further instances."""
    create = PipeConfig.create
    left = [times]

    def create_or_refuse(config: PipeConfig, pipe: str, *, is_first: bool) -> Handle:
        if not is_first and left[0]:
            left[0] -= 1
            raise error
        return create(config, pipe, is_first=is_first)

    monkeypatch.setattr(PipeConfig, "create", create_or_refuse)


def test_a_refused_instance_is_reported_once_and_asked_for_again(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[PipeError] = []

    class Refused(ServerEvents):
        def refused(self, error: PipeError) -> None:
            refused.append(error)

    refusing(monkeypatch, PipeBusyError("taken", code=WinError.PIPE_BUSY), 3)
    monkeypatch.setattr(server_module, "_RETRY", 0.05)
    with PipeServer(pipe_name, echo, events=Refused()), connect(pipe_name, 5) as first:
        assert first.transact(b"x", 5) == b"x"
        with connect(pipe_name, 5) as second:  # when the fourth try has succeeded
            assert second.transact(b"y", 5) == b"y"
    assert len(refused) == 1


def test_an_access_list_that_locks_the_server_out_is_refused_at_the_start(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, PipeAccessError("denied", code=WinError.ACCESS_DENIED, function="CreateNamedPipeW"), 1)
    with pytest.raises(PipeAccessError, match="does not allow this user to create more instances"):
        PipeServer(pipe_name, echo).start()
    assert probe(pipe_name) is Availability.ABSENT


# What one client does


def test_an_error_of_a_question_about_a_client_closes_it_alone(pipe_name: str) -> None:
    asked: list[Client] = []

    def fail_once(client: Client) -> None:
        asked.append(client)
        if len(asked) == 1:
            raise PipeClosedError("it has left", code=WinError.NO_DATA)

    with PipeServer(pipe_name, echo, events=reporting(connected=fail_once)) as server:
        with connect(pipe_name) as unlucky, pytest.raises(PipeClosedError):
            unlucky.receive(5)
        with connect(pipe_name, 5) as client:
            assert client.transact(b"x", 5) == b"x"
        assert not server.wait(0)


def test_a_write_that_the_system_has_no_room_for_closes_its_client_alone(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = winapi.NtWriteFile

    def refuse_long(*arguments: Any) -> int:
        return STATUS_INSUFFICIENT_RESOURCES if arguments[6] > 1000 else write(*arguments)

    refuse_long.__name__ = "WriteFile"
    monkeypatch.setattr(winapi, "NtWriteFile", refuse_long)
    reasons: list[PipeError | None] = []
    events = reporting(left=lambda _client, error: reasons.append(error))
    with PipeServer(pipe_name, lambda _client, data: data * 100, events=events):
        monkeypatch.undo()
        with connect(pipe_name) as unlucky:
            unlucky.send(b"x" * 100)
        with connect(pipe_name, 5) as client:
            assert client.transact(b"x", 5) == b"x" * 100
    assert [error.code for error in reasons if error] == [WinError.NO_SYSTEM_RESOURCES]


def test_a_client_that_leaves_before_its_late_answer_is_noticed(pipe_name: str) -> None:
    asked: list[Client] = []
    left = threading.Event()

    def later(client: Client, _data: bytes) -> Any:
        asked.append(client)
        return LATER

    events = reporting(left=lambda _client, _error: left.set())
    with PipeServer(pipe_name, later, events=events, config=ONE):
        with connect(pipe_name) as client:
            client.send(b"x")
            while not asked:
                time.sleep(0.001)
        assert left.wait(5)
        with connect(pipe_name, 5):
            asked[0].reply(b"too late")


def test_a_message_that_came_before_the_late_answer_is_answered_after_it(pipe_name: str) -> None:
    asked: list[tuple[Client, bytes]] = []
    both = threading.Event()

    def later(client: Client, data: bytes) -> Any:
        asked.append((client, data))
        if data == b"two":
            both.set()
        return LATER

    with PipeServer(pipe_name, later), connect(pipe_name) as client:
        client.send(b"one")
        client.send(b"two")
        while not asked:
            time.sleep(0.001)
        asked[0][0].reply(b"ONE")
        assert client.receive(5) == b"ONE"
        assert both.wait(5)
        asked[1][0].reply(b"TWO")
        assert client.receive(5) == b"TWO"


def test_an_answer_for_a_client_that_has_left_is_reported_so(pipe_name: str) -> None:
    reported: list[str] = []
    left, asked = threading.Event(), threading.Event()
    clients: list[Client] = []

    class Reports(ServerEvents):
        def answered(self, _client: Client, _data: bytes) -> None:
            reported.append("answered")

        def unanswered(self, _client: Client, _data: bytes) -> None:
            reported.append("unanswered")

        def left(self, _client: Client, _error: PipeError | None) -> None:
            left.set()

    def later(client: Client, _data: bytes) -> Any:
        clients.append(client)
        asked.set()
        return LATER

    with PipeServer(pipe_name, later, events=Reports()):
        with connect(pipe_name) as client:
            client.send(b"x")
            assert asked.wait(5)
        assert left.wait(5)
        clients[0].reply(b"nobody takes it")
    assert reported == ["unanswered"]


@pytest.mark.parametrize("most", [1, 9, 600, 70_000])
def test_a_message_may_be_just_as_long_as_is_allowed(pipe_name: str, most: int) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_message=most)):
        with connect(pipe_name, 5) as client:
            assert client.transact(bytes(most), 5) == bytes(most)
        with connect(pipe_name, 5) as client, pytest.raises(PipeClosedError):
            client.transact(bytes(most + 1), 5)


def test_long_messages_of_many_clients_are_answered_within_the_memory(pipe_name: str, background: "Background") -> None:
    size = 1 << 20
    with PipeServer(pipe_name, echo, config=PipeConfig(max_memory=2 * size)) as server:

        def ask(number: int) -> bool:
            data = bytes([number]) * size
            with connect(pipe_name, 20) as client:
                return all(client.transact(data, 20) == data for _ in range(3))

        asking = [background(ask, number) for number in range(12)]
        assert all(each.result(timeout=60) for each in asking)
        assert server.stats.messages == 36


# The end of a server


def test_a_late_answer_that_is_on_the_way_is_sent_before_the_end(pipe_name: str, background: "Background") -> None:
    asked: list[Client] = []

    def later(client: Client, _data: bytes) -> Any:
        asked.append(client)
        return LATER

    with PipeServer(pipe_name, later) as server, connect(pipe_name) as client:
        client.send(b"x")
        while not asked:
            time.sleep(0.001)
        server.stop(drain=10)
        receiving = background(client.receive, 5)
        asked[0].reply(b"in time")
        assert receiving.result(timeout=5) == b"in time"
        assert server.wait(5)


def test_a_handler_that_closes_the_server_stops_it(pipe_name: str) -> None:
    servers: list[PipeServer] = []

    def close(_client: Client, data: bytes) -> bytes:
        servers[0].close()
        return data

    with PipeServer(pipe_name, close) as server, connect(pipe_name) as client:
        servers.append(server)
        assert client.transact(b"x", 5) == b"x"
        assert server.wait(5)


# Mistakes


@pytest.mark.parametrize("data", [bytearray(b"x"), "text", 1], ids=repr)
def test_what_is_no_message_is_refused_where_it_is_sent(pipe_name: str, data: Any) -> None:
    raised: list[BaseException] = []

    def answer(client: Client, message: bytes) -> bytes:
        for send in (client.send, client.reply):
            try:
                send(data)
            except TypeError as error:
                raised.append(error)
        return message

    with PipeServer(pipe_name, answer), connect(pipe_name) as client:
        assert client.transact(b"x", 5) == b"x"
    assert len(raised) == 2


def test_a_client_that_does_not_read_what_it_is_sent_is_closed(pipe_name: str) -> None:
    reasons: list[PipeError | None] = []
    known: list[Client] = []
    left, there = threading.Event(), threading.Event()

    def connected(client: Client) -> None:
        known.append(client)
        there.set()

    def gone(_client: Client, error: PipeError | None) -> None:
        reasons.append(error)
        left.set()

    events = reporting(connected=connected, left=gone)
    config = PipeConfig(max_queue=100_000, linger=0.1)
    with PipeServer(pipe_name, echo, events=events, config=config), connect(pipe_name):
        assert there.wait(5)
        for _ in range(100_000):  # more than Wine's own buffers hold
            known[0].send(b"tiny")
            if left.is_set():
                break
        assert left.wait(5)
    assert isinstance(reasons[0], PipeStateError)


def test_a_server_that_ends_leaves_a_client_what_it_has_not_read(pipe_name: str) -> None:
    with connect_and_ask(pipe_name) as client:
        assert client.receive(5) == b"x" * 1000


def connect_and_ask(pipe: str) -> Any:
    """Return a connection whose answer is there, and whose server has ended."""
    with PipeServer(pipe, echo, stop_after=StopAfter(messages=1)) as server:
        client = connect(pipe)
        client.send(b"x" * 1000)
        assert server.wait(5)
    return client

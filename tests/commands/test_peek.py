"""`pipectl peek`: what waits, and stays."""

import time
from threading import Timer

import pytest

from pipectl.core.constants import OpenMode, PipeMode
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import Connection
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import reporting
from tests.runner import Pipectl


class Greeter(PipeServer):
    """Says something to each client, after a while, and nothing else."""

    def __init__(self, pipe: str, greeting: bytes | None = None, *, after: float = 0, is_message: bool = True) -> None:
        def greet(client: Client) -> None:
            if greeting is not None:
                Timer(after, client.send, [greeting]).start()

        super().__init__(
            pipe,
            lambda _client, _data: None,
            events=reporting(connected=greet),
            config=PipeConfig(is_message=is_message),
        )


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_what_the_server_has_sent_is_shown(pipe_name: str, pipectl: Pipectl, is_message: bool) -> None:
    with Greeter(pipe_name, b"wel\0come", is_message=is_message):
        result = pipectl("peek", pipe_name, "--timeout", "5")
    assert result == (0, b"wel\0come", "8 bytes to be read\n")


def test_it_is_still_there_to_be_read(pipe_name: str, pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def read_and_close(connection: Connection) -> None:
        read.append(connection.receive(5))
        close(connection)

    close = Connection.close
    monkeypatch.setattr(Connection, "close", read_and_close)
    with Greeter(pipe_name, b"welcome"):
        assert pipectl("peek", pipe_name, "--timeout", "5", "--size", "3").stdout == b"wel"
    assert read == [b"welcome"]


def test_the_first_message_is_shown_and_all_that_waits_is_counted(pipe_name: str, pipectl: Pipectl) -> None:
    def greet(client: Client) -> bytes:
        client.send(b"welcome")
        return b"you"

    with PipeServer(pipe_name, lambda _client, _data: None, events=reporting(connected=greet)):
        told = pipectl("peek", pipe_name, "--timeout", "5", "--size", "4", "--json").object
    assert told["available"] >= 7  # the second may come a moment later
    assert {**told, "available": 10} == {
        "schema": 1,
        "pipe": pipe_name,
        "available": 10,
        "left_in_message": 3,
        "data": {"size": 4, "text": "welc"},
    }


def test_it_waits_for_something_as_long_as_the_timeout(pipe_name: str, pipectl: Pipectl, late: float) -> None:
    with Greeter(pipe_name, b"late", after=0.3):
        begun = time.perf_counter()
        assert pipectl("peek", pipe_name, "--timeout", "5").stdout == b"late"
        assert 0.2 < time.perf_counter() - begun < 0.3 + late


def test_when_nothing_comes_the_exit_code_is_6(pipe_name: str, pipectl: Pipectl, late: float) -> None:
    with Greeter(pipe_name):
        begun = time.perf_counter()
        result = pipectl("peek", pipe_name, "--timeout", "0.3")
        taken = time.perf_counter() - begun
    assert (result.exit_code, result.stdout) == (6, b"")
    assert 0.3 <= taken < 0.3 + late


def test_without_a_timeout_it_only_looks(pipe_name: str, pipectl: Pipectl) -> None:
    with Greeter(pipe_name):
        assert pipectl("peek", pipe_name) == (0, b"", "no data to read\n")


def test_a_pipe_that_is_only_written_to_is_exit_code_5(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name, OpenMode.INBOUND):
        assert pipectl("peek", pipe_name).exit_code == 5


def test_a_pipe_that_is_only_read_from_can_be_looked_at(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name, OpenMode.OUTBOUND, PipeMode.TYPE_BYTE):
        assert pipectl("peek", pipe_name).exit_code == 0


def test_an_absent_pipe_is_exit_code_3(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("peek", pipe_name).exit_code == 3


def test_more_than_there_can_be_is_asked_for_in_time(pipe_name: str, pipectl: Pipectl) -> None:
    begun = time.perf_counter()
    with Greeter(pipe_name, b"hello"):
        result = pipectl("peek", pipe_name, "--size", "4294967295", "--timeout", "2", "--as", "raw")
    assert (result.exit_code, result.stdout) == (0, b"hello")
    assert time.perf_counter() - begun < 5

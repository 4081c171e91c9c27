"""Requests and their replies: what was there before, what came late, what was refused, and what was answered early."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pipectl.core.constants import Access, OpenMode, PipeMode, WinError
from pipectl.core.errors import (
    ConnectionUnusableError,
    MessageTooLongError,
    PipeAccessError,
    PipeClosedError,
    PipeStateError,
    PipeTimeoutError,
)
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.contract import LATER, Later
from pipectl.core.pipe.framing import parse
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.overlapped import Overlapped
from tests import pipes

if TYPE_CHECKING:
    from concurrent.futures import Future

    Background = Callable[..., Future[Any]]

Ends = tuple[Connection, Connection]
LINE = parse("newline")
# One that a transaction takes, and one that is too long for it.
SIZES = (10, 100_000)


def _pair(pipe_name: str, mode: PipeMode) -> Iterator[Ends]:
    handle = calls.create_named_pipe(pipe_name, pipe_mode=mode)
    with Connection(handle, is_message=mode == PipeMode.MESSAGE) as server, connect(pipe_name) as client:
        pipes.connect_named_pipe(handle, 5)
        yield server, client


@pytest.fixture
def message_pair(pipe_name: str) -> Iterator[Ends]:
    yield from _pair(pipe_name, PipeMode.MESSAGE)


@pytest.fixture
def byte_pair(pipe_name: str) -> Iterator[Ends]:
    yield from _pair(pipe_name, PipeMode.TYPE_BYTE)


@pytest.fixture(params=["message", "byte"])
def pair(request: pytest.FixtureRequest, pipe_name: str) -> Iterator[Ends]:
    yield from _pair(pipe_name, PipeMode.MESSAGE if request.param == "message" else PipeMode.TYPE_BYTE)


# Late replies


@pytest.mark.parametrize("size", SIZES)
def test_after_a_timeout_the_next_request_is_refused(pair: Ends, size: int) -> None:
    _, client = pair
    with pytest.raises(PipeTimeoutError):
        client.ask(b"1" * size, LINE, 0.01)
    for _ in range(2):
        with pytest.raises(ConnectionUnusableError):
            client.ask(b"2", LINE, 5)


def test_a_late_reply_is_received_and_is_no_reply_to_the_next_request(pair: Ends) -> None:
    server, client = pair
    with pytest.raises(PipeTimeoutError):
        client.ask(b"1", LINE, 0.01)
    server.send(b"late\n")
    assert client.receive(5) == b"late\n"
    with pytest.raises(ConnectionUnusableError):
        client.ask(b"2", LINE, 5)


def test_a_connection_that_cannot_tell_replies_apart_connects_again(pipe_name: str) -> None:
    unanswered: list[Client] = []

    def answer(client: Client, data: bytes) -> bytes | Later:
        if data == b"later":
            unanswered.append(client)
            return LATER
        return data

    with PipeServer(pipe_name, answer), connect(pipe_name) as client:
        with pytest.raises(PipeTimeoutError):
            client.transact(b"later", 0.05)
        client.reconnect(5)
        unanswered[0].reply(b"late")
        assert [client.transact(b"%d" % number, 5) for number in range(3)] == [b"0", b"1", b"2"]


def test_only_what_connect_has_made_connects_again(message_pair: Ends) -> None:
    server, client = message_pair
    with pytest.raises(PipeStateError):
        server.reconnect()
    assert not server.handle.closed
    client.send(b"still there")
    assert server.receive(5) == b"still there"


def test_a_reconnection_that_fails_can_be_tried_again(pipe_name: str) -> None:
    with PipeServer(pipe_name, lambda _client, data: data):
        client = connect(pipe_name)
    with pytest.raises(FileNotFoundError):
        client.reconnect(0)
    with PipeServer(pipe_name, lambda _client, data: data), client:
        client.reconnect(5)
        assert client.transact(b"x", 5) == b"x"


def test_a_send_that_may_have_arrived_in_part_ends_requests(pair: Ends) -> None:
    server, client = pair
    with pytest.raises(PipeTimeoutError):
        client.send(b"x" * (4 << 20), 0.05)
    server.send(b"answer\n")
    with pytest.raises(ConnectionUnusableError):
        client.ask(b"y", LINE, 5)
    assert client.receive(5) == b"answer\n"


# What was there before


@pytest.mark.parametrize("size", SIZES)
def test_what_waits_to_be_read_refuses_a_request_and_stays(pair: Ends, size: int, background: "Background") -> None:
    server, client = pair
    server.send(b"greeting\n")
    for _ in range(2):
        with pytest.raises(PipeStateError) as raised:
            client.ask(b"x" * size, LINE, 5)
        assert raised.value.symbol == "ERROR_PIPE_BUSY"
        assert not isinstance(raised.value, ConnectionUnusableError)
    assert client.receive(5) == b"greeting\n"
    background(answer_a_request, server, size, b"reply\n")
    assert client.ask(b"x" * size, LINE, 5).data == b"reply\n"


def answer_a_request(server: Connection, size: int, reply: bytes) -> None:
    left = size
    while left:
        left -= len(server.receive(5))
    server.send(reply, 5)


@pytest.mark.parametrize("size", SIZES)
def test_a_lone_message_of_no_bytes_refuses_a_request_and_stays(message_pair: Ends, size: int) -> None:
    server, client = message_pair
    server.send(b"")
    for _ in range(2):
        with pytest.raises(PipeStateError):
            client.transact(b"x" * size, 5)
    assert client.receive(5) == b""


def test_what_a_rule_left_over_is_no_reply_to_the_next_request(byte_pair: Ends) -> None:
    server, client = byte_pair
    server.send(b"one\ntwo\n")
    assert client.receive_until(LINE, 5).data == b"one\n"
    with pytest.raises(PipeStateError):
        client.ask(b"x", LINE, 5)
    assert client.receive_until(LINE, 5).data == b"two\n"


# Refused


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("refusal", [b"too many\n", b"too many" * 1000 + b"\n"])
def test_what_a_server_said_before_it_closed_is_the_reply(pair: Ends, size: int, refusal: bytes) -> None:
    server, client = pair
    server.send(refusal)
    server.close()
    assert client.ask(b"x" * size, LINE, 5).data == refusal
    with pytest.raises(PipeClosedError):
        client.ask(b"x" * size, LINE, 5)


@pytest.mark.parametrize("size", SIZES)
def test_a_server_that_refuses_and_then_closes_is_understood(
    pair: Ends, size: int, background: "Background", monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipectl.core.pipe import requests

    server, client = pair
    server.send(b"too many\n")
    seen = threading.Event()
    state = requests._state

    def see(pipe: Any) -> str:
        seen.set()
        return state(pipe)

    monkeypatch.setattr(requests, "_MOMENT", 5)
    monkeypatch.setattr(requests, "_state", see)

    def close() -> None:
        seen.wait(5)
        server.close()

    background(close)
    assert client.ask(b"x" * size, LINE, 5).data == b"too many\n"


def test_what_a_server_says_just_before_the_request_is_the_reply(pair: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = pair
    begin = Overlapped.begin

    def refuse_first(operation: Overlapped, call: Any, *arguments: Any) -> int:
        if arguments:  # a read has all of its own by then
            server.send(b"too many\n")
            server.close()
        return begin(operation, call, *arguments)

    monkeypatch.setattr(Overlapped, "begin", refuse_first)
    assert client.ask(bytes(100_000), LINE, 5).data == b"too many\n"


@pytest.mark.parametrize("size", SIZES)
def test_a_server_that_closes_in_silence_is_closed(pair: Ends, size: int) -> None:
    server, client = pair
    server.close()
    for _ in range(2):
        with pytest.raises(PipeClosedError):
            client.ask(b"x" * size, LINE, 5)


# Answered early


def refuse_after_ten_bytes(server: Connection) -> None:
    with suppress(MessageTooLongError):
        server.receive_into(bytearray(10), 5)
    server.send(b"too large\n", 5)


@pytest.mark.parametrize("size", [65_536, 65_537, 1 << 20])
def test_a_reply_before_the_request_is_taken_counts(pair: Ends, size: int, background: "Background") -> None:
    server, client = pair

    answering = background(refuse_after_ten_bytes, server)
    assert client.ask(b"x" * size, LINE, 5).data == b"too large\n"
    answering.result(5)


def test_a_connection_whose_request_is_not_taken_is_used_up(pair: Ends, background: "Background") -> None:
    server, client = pair

    background(refuse_after_ten_bytes, server)
    assert client.ask(b"x" * (1 << 20), LINE, None).data == b"too large\n"  # though nothing bounds the wait
    with pytest.raises(ConnectionUnusableError, match="before it was taken whole"):
        client.ask(b"x", LINE, 5)


def test_a_request_that_is_taken_after_its_reply_still_arrives_whole(
    message_pair: Ends, background: "Background"
) -> None:
    server, client = message_pair
    data = bytes(range(256)) * 4096

    def answer() -> None:
        with pytest.raises(MessageTooLongError):
            server.receive_into(bytearray(10), 5)
        server.send(b"yes", 5)

    background(answer)
    assert client.transact(data, 5) == b"yes"
    assert server.receive(5) == data
    client.send(b"next", 5)
    assert server.receive(5) == b"next"


# Too long, and never the rest of it


def test_a_message_beyond_the_limit_is_refused_each_time(message_pair: Ends, background: "Background") -> None:
    server, client = message_pair
    client.max_message = 5000
    background(server.send, b"x" * 6000, 5)
    for _ in range(3):
        with pytest.raises(MessageTooLongError):
            client.receive(5)
    with pytest.raises(PipeStateError):
        client.transact(b"x", 5)


# Whole messages


class _Strict:
    """Has what only Windows does: SetNamedPipeHandleState needs FILE_WRITE_ATTRIBUTES (N6), which may be refused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, allows_attributes: bool) -> None:
        self._may_set: dict[int, bool] = {}
        self._allows = allows_attributes
        self._create, self._set = winapi.CreateFileW, winapi.SetNamedPipeHandleState
        monkeypatch.setattr(winapi, "CreateFileW", self.create)
        monkeypatch.setattr(winapi, "SetNamedPipeHandleState", self.set)

    def create(self, name: str, access: int, *rest: Any) -> int:
        may_set = bool(access & (Access.FILE_WRITE_ATTRIBUTES | Access.GENERIC_WRITE | Access.GENERIC_ALL))
        if may_set and not self._allows:
            raise PipeAccessError("refused", code=WinError.ACCESS_DENIED, function="CreateFileW", pipe=name)
        value = int(self._create(name, access, *rest))
        self._may_set[value] = may_set
        return value

    def set(self, handle: Any, *rest: Any) -> int:
        if not self._may_set[handle.value]:
            raise PipeAccessError("refused", code=WinError.ACCESS_DENIED, function="SetNamedPipeHandleState")
        return int(self._set(handle, *rest))


def test_a_client_that_only_reads_reads_whole_messages(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _Strict(monkeypatch, allows_attributes=True)
    for access in (Access.GENERIC_READ, (Access.DUPLEX, Access.GENERIC_READ)):
        with (
            calls.create_named_pipe(pipe_name, OpenMode.OUTBOUND | OpenMode.OVERLAPPED) as server,
            connect(pipe_name, access=access) as client,
        ):
            assert client.is_message
            for message in (b"one", b"two"):
                pipes.write_file(server, message)
            assert [client.receive(5), client.receive(5)] == [b"one", b"two"]


def test_a_client_that_could_only_join_messages_is_refused(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _Strict(monkeypatch, allows_attributes=False)
    with calls.create_named_pipe(pipe_name, OpenMode.OUTBOUND | OpenMode.OVERLAPPED):
        with pytest.raises(PipeAccessError) as raised:
            connect(pipe_name, access=Access.GENERIC_READ)
        assert raised.value.function == "SetNamedPipeHandleState"


def test_a_client_that_may_only_read_bytes_reads_bytes(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _Strict(monkeypatch, allows_attributes=False)
    mode = OpenMode.OUTBOUND | OpenMode.OVERLAPPED
    with (
        calls.create_named_pipe(pipe_name, mode, PipeMode.TYPE_BYTE) as server,
        connect(pipe_name, access=Access.GENERIC_READ) as client,
    ):
        assert not client.is_message
        pipes.write_file(server, b"bytes")
        assert client.receive(5) == b"bytes"

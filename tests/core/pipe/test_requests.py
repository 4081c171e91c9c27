"""Requests and their replies: what was there before, what came late, what was refused, and what was answered early."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import cycle
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
from pipectl.core.pipe.frames import Framing
from pipectl.core.pipe.framing import parse
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.overlapped import Overlapped
from tests import pipes

if TYPE_CHECKING:
    from concurrent.futures import Future

    Background = Callable[..., Future[Any]]

Ends = tuple[Connection, Connection]
Rule = Framing | None
LINE = parse("line")
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


@pytest.fixture(params=["message", "stream of messages", "byte"])
def kind(request: pytest.FixtureRequest) -> str:
    """What a pipe carries: messages, each a reply; or a stream, also in messages, whose replies a rule ends."""
    return str(request.param)


@pytest.fixture
def pair(kind: str, pipe_name: str) -> Iterator[Ends]:
    yield from _pair(pipe_name, PipeMode.TYPE_BYTE if kind == "byte" else PipeMode.MESSAGE)


@pytest.fixture
def rule(kind: str) -> Rule:
    return None if kind == "message" else LINE


# Late replies


@pytest.mark.parametrize("size", SIZES)
def test_after_a_timeout_the_next_request_is_refused(pair: Ends, rule: Rule, size: int) -> None:
    _, client = pair
    with pytest.raises(PipeTimeoutError):
        client.ask(b"1" * size, rule, 0.01)
    for _ in range(2):
        with pytest.raises(ConnectionUnusableError):
            client.ask(b"2", rule, 5)


def test_a_late_reply_is_received_and_is_no_reply_to_the_next_request(pair: Ends, rule: Rule) -> None:
    server, client = pair
    with pytest.raises(PipeTimeoutError):
        client.ask(b"1", rule, 0.01)
    server.send(b"late\n")
    assert client.receive(5) == b"late\n"
    with pytest.raises(ConnectionUnusableError):
        client.ask(b"2", rule, 5)


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


def test_a_send_that_may_have_arrived_in_part_ends_requests(pair: Ends, rule: Rule) -> None:
    server, client = pair
    with pytest.raises(PipeTimeoutError):
        client.send(b"x" * (4 << 20), 0.05)
    server.send(b"answer\n")
    with pytest.raises(ConnectionUnusableError):
        client.ask(b"y", rule, 5)
    assert client.receive(5) == b"answer\n"


# What was there before


@pytest.mark.parametrize("size", SIZES)
def test_what_waits_to_be_read_refuses_a_request_and_stays(
    pair: Ends, rule: Rule, size: int, background: "Background"
) -> None:
    server, client = pair
    server.send(b"greeting\n")
    for _ in range(2):
        with pytest.raises(PipeStateError) as raised:
            client.ask(b"x" * size, rule, 5)
        assert raised.value.symbol == "ERROR_PIPE_BUSY"
        assert not isinstance(raised.value, ConnectionUnusableError)
    assert client.receive(5) == b"greeting\n"
    background(answer_a_request, server, size, b"reply\n")
    assert client.ask(b"x" * size, rule, 5).data == b"reply\n"


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


# A stream in messages


def cut(stream: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut a stream into messages of these sizes, over and over; a size of 0 is an empty message."""
    pieces, begin = [], 0
    for size in cycle(sizes):
        pieces.append(stream[begin : begin + size])
        begin += size
        if begin >= len(stream):
            return pieces
    return pieces


def answer_in(server: Connection, pieces: list[bytes]) -> bytes:
    """Receive one message, send these, and return what was received."""
    request = server.receive(5)
    for piece in pieces:
        server.send(piece, 5)
    return request


# Around the size of the first buffer of a Connection, and beyond; with empty messages.
SIZES_OF_MESSAGES = [(1,), (1, 0, 2), (4095, 1), (4096,), (4097, 0), (5000, 3, 0, 0, 1), (20_000,)]


@pytest.mark.parametrize("sizes", SIZES_OF_MESSAGES, ids=str)
@pytest.mark.parametrize("text", ["line", "bytes", "u32be", "eof", "idle:0.3"])
def test_a_rule_joins_messages_cut_anywhere(
    message_pair: Ends, text: str, sizes: tuple[int, ...], background: "Background"
) -> None:
    server, client = message_pair
    body = b"x" * (30 * max(sizes) if max(sizes) < 10 else 9000) + b"\n"
    until = parse(f"bytes:{len(body)}" if text == "bytes" else text)
    pieces = cut(until.wrap(body), filter(None, sizes) if text == "eof" else sizes)
    for _ in range(2):
        answering = background(answer_in, server, [*pieces, b""] if text == "eof" else pieces)
        assert client.ask(b"request", until, 10) == (body, str(until))
        assert answering.result(5) == b"request"


@pytest.mark.parametrize("text", ["line", "bytes:4", "u16le"])
def test_what_is_over_after_a_rule_stays_for_the_next_reply(
    message_pair: Ends, text: str, background: "Background"
) -> None:
    server, client = message_pair
    until = parse(text)
    first, second = (until.wrap(body) for body in (b"one\n", b"two\n"))
    background(answer_in, server, [first[:1], first[1:] + second[:3], second[3:] + b"rest", b"message"])
    assert client.ask(b"request", until, 5) == (b"one\n", text)
    with pytest.raises(PipeStateError) as raised:
        client.ask(b"too early", until, 5)
    assert not isinstance(raised.value, ConnectionUnusableError)
    assert client.receive_until(until, 5) == (b"two\n", text)
    assert [client.receive(5), client.receive(5)] == [b"rest", b"message"]


def test_an_empty_message_ends_a_stream_and_no_other_rule(message_pair: Ends, background: "Background") -> None:
    server, client = message_pair
    eof = parse("eof")
    for pieces, reply in [([b""], b""), ([b"a", b"b\n", b""], b"ab\n"), ([b"x" * 5000, b""], b"x" * 5000)]:
        answering = background(answer_in, server, pieces)
        assert client.ask(b"request", eof, 5) == (reply, "eof")
        answering.result(5)  # before another thread sends
    background(answer_in, server, [b"", b"a", b"", b"b\n"])
    assert client.ask(b"request", LINE, 5) == (b"ab\n", "line")


def test_an_empty_message_that_came_before_a_rule_was_asked_for_ends_it(message_pair: Ends) -> None:
    server, client = message_pair
    for piece in (b"a\nb", b"", b"next"):
        server.send(piece, 5)
    assert client.receive_until(LINE, 5) == (b"a\n", "line")
    assert client.receive_until(parse("eof"), 5) == (b"b", "eof")
    assert client.receive(5) == b"next"


@pytest.mark.parametrize("text", ["eof", "line", "idle:5"])
def test_a_close_ends_a_stream_in_messages(message_pair: Ends, text: str, background: "Background") -> None:
    server, client = message_pair

    def answer_and_close() -> None:
        answer_in(server, [b"half ", b"a line"])
        server.close()

    background(answer_and_close)
    assert client.ask(b"request", parse(text), 5) == (b"half a line", "eof")
    with pytest.raises(PipeClosedError):
        client.ask(b"request", parse(text), 5)


@pytest.mark.parametrize("text", ["bytes:20", "u16le"])
def test_a_close_in_the_middle_of_a_frame_is_an_error(message_pair: Ends, text: str, background: "Background") -> None:
    server, client = message_pair

    def answer_and_close() -> None:
        answer_in(server, [b"\x14", b"\0half"])
        server.close()

    background(answer_and_close)
    with pytest.raises(PipeClosedError):
        client.ask(b"request", parse(text), 5)


def test_a_timeout_in_the_middle_of_messages_loses_nothing(message_pair: Ends) -> None:
    server, client = message_pair
    for piece in (b"hal", b"f a "):
        server.send(piece, 5)
    for _ in range(2):
        with pytest.raises(PipeTimeoutError):
            client.receive_until(LINE, 0.05)
    server.send(b"line\nand", 5)
    assert client.receive_until(LINE, 5) == (b"half a line\n", "line")
    assert client.receive(5) == b"and"


def test_after_a_timeout_in_the_middle_the_next_request_is_refused(
    message_pair: Ends, background: "Background"
) -> None:
    server, client = message_pair
    answering = background(answer_in, server, [b"hal", b"f"])
    with pytest.raises(PipeTimeoutError):
        client.ask(b"request", LINE, 0.5)
    answering.result(5)
    server.send(b" a line\n", 5)
    for until in (LINE, None):
        with pytest.raises(ConnectionUnusableError):
            client.ask(b"next", until, 5)
    assert client.receive_until(LINE, 5).data == b"half a line\n"


def test_a_stream_beyond_the_limit_is_refused_whatever_its_messages(
    message_pair: Ends, background: "Background"
) -> None:
    server, client = message_pair
    client.max_message = 5000
    background(answer_in, server, [b"x" * 1000] * 7)
    with pytest.raises(MessageTooLongError):
        client.ask(b"request", LINE, 5)


@pytest.mark.parametrize("size", [0, 70_000])
def test_a_request_with_a_rule_is_one_message(message_pair: Ends, size: int, background: "Background") -> None:
    server, client = message_pair
    answering = background(answer_in, server, [b"reply\n"])
    assert client.ask(b"x" * size, LINE, 5).data == b"reply\n"
    assert answering.result(5) == b"x" * size
    background(answer_in, server, [b"whole", b"not asked for"])
    assert client.ask(b"y", None, 5) == (b"whole", "message")


# Refused


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("refusal", [b"too many\n", b"too many" * 1000 + b"\n"])
def test_what_a_server_said_before_it_closed_is_the_reply(pair: Ends, rule: Rule, size: int, refusal: bytes) -> None:
    server, client = pair
    server.send(refusal)
    server.close()
    assert client.ask(b"x" * size, rule, 5).data == refusal
    with pytest.raises(PipeClosedError):
        client.ask(b"x" * size, rule, 5)


@pytest.mark.parametrize("size", SIZES)
def test_a_server_that_refuses_and_then_closes_is_understood(
    pair: Ends, rule: Rule, size: int, background: "Background", monkeypatch: pytest.MonkeyPatch
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
    assert client.ask(b"x" * size, rule, 5).data == b"too many\n"


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
def test_a_server_that_closes_in_silence_is_closed(pair: Ends, rule: Rule, size: int) -> None:
    server, client = pair
    server.close()
    for _ in range(2):
        with pytest.raises(PipeClosedError):
            client.ask(b"x" * size, rule, 5)


# Answered early


def refuse_after_ten_bytes(server: Connection) -> None:
    with suppress(MessageTooLongError):
        server.receive_into(bytearray(10), 5)
    server.send(b"too large\n", 5)


@pytest.mark.parametrize("size", [65_536, 65_537, 1 << 20])
def test_a_reply_before_the_request_is_taken_counts(
    pair: Ends, rule: Rule, size: int, background: "Background"
) -> None:
    server, client = pair

    answering = background(refuse_after_ten_bytes, server)
    assert client.ask(b"x" * size, rule, 5).data == b"too large\n"
    answering.result(5)


def test_a_connection_whose_request_is_not_taken_is_used_up(pair: Ends, rule: Rule, background: "Background") -> None:
    server, client = pair

    background(refuse_after_ten_bytes, server)
    assert client.ask(b"x" * (1 << 20), rule, None).data == b"too large\n"  # though nothing bounds the wait
    with pytest.raises(ConnectionUnusableError, match="before the server read all of it"):
        client.ask(b"x", rule, 5)


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

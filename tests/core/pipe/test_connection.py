"""Connections: deadlines, absent and busy pipes, whole messages, replies on byte pipes."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pipectl.core.constants import STATUS_PENDING, Access, OpenMode, PipeMode, Wait, WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import (
    MessageTooLongError,
    OperationAbortedError,
    PipeAccessError,
    PipeBusyError,
    PipeClosedError,
    PipeError,
    PipeNotFoundError,
    PipeStateError,
    PipeTimeoutError,
)
from pipectl.core.pipe import availability
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.framing import parse
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.overlapped import Overlapped, address_of
from tests import pipes

if TYPE_CHECKING:
    from concurrent.futures import Future

    Background = Callable[..., Future[Any]]


def _pair(pipe_name: str, **options: Any) -> Iterator[tuple[Connection, Connection]]:
    is_message = options.get("pipe_mode", PipeMode.MESSAGE) == PipeMode.MESSAGE
    handle = calls.create_named_pipe(pipe_name, **options)
    with Connection(handle, is_message=is_message) as server, connect(pipe_name) as client:
        pipes.connect_named_pipe(handle, 5)
        yield server, client


@pytest.fixture
def message_pair(pipe_name: str) -> Iterator[tuple[Connection, Connection]]:
    yield from _pair(pipe_name)


@pytest.fixture
def byte_pair(pipe_name: str) -> Iterator[tuple[Connection, Connection]]:
    yield from _pair(pipe_name, pipe_mode=PipeMode.TYPE_BYTE)


Ends = tuple[Connection, Connection]


# Connecting


def test_an_absent_pipe_fails_at_once(pipe_name: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(PipeNotFoundError):
        connect(pipe_name, 30)
    assert time.perf_counter() - begun < 5


def test_an_absent_pipe_is_waited_for_if_asked(pipe_name: str, background: "Background") -> None:
    waiting = background(connect, pipe_name, 10, wait=Wait.EXISTS)
    with calls.create_named_pipe(pipe_name) as server:
        pipes.connect_named_pipe(server, 10)
        waiting.result(timeout=10).close()


def test_an_absent_pipe_stays_not_found_when_the_deadline_passes(pipe_name: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(PipeNotFoundError):
        connect(pipe_name, 0.05, wait=Wait.EXISTS)
    assert 0.05 <= time.perf_counter() - begun < 0.5


def test_a_busy_pipe_is_waited_for_until_an_instance_is_free(pipe_name: str, background: "Background") -> None:
    with calls.create_named_pipe(pipe_name, max_instances=1) as server:
        first = connect(pipe_name)
        waiting = background(connect, pipe_name, 10)
        first.close()
        pipes.disconnect_named_pipe(server)
        pipes.connect_named_pipe(server, 10)
        waiting.result(timeout=10).close()


@pytest.mark.parametrize(("timeout", "wait"), [(0.05, Wait.FREE), (0, Wait.FREE), (30, Wait.NONE)])
def test_a_busy_pipe_stays_busy_when_the_deadline_passes(pipe_name: str, timeout: float, wait: Wait) -> None:
    begun = time.perf_counter()
    with calls.create_named_pipe(pipe_name, max_instances=1), connect(pipe_name):
        with pytest.raises(PipeBusyError) as raised:
            connect(pipe_name, timeout, wait=wait)
        assert raised.value.symbol == "ERROR_PIPE_BUSY"
        assert time.perf_counter() - begun < timeout + 0.5 if wait is Wait.FREE else 5


def test_a_pipe_between_two_instances_of_its_server_is_waited_for(
    pipe_name: str, background: "Background", monkeypatch: pytest.MonkeyPatch
) -> None:
    met_busy, go_on = threading.Event(), threading.Event()

    def await_instance(_pipe: str, _timeout: float) -> None:
        met_busy.set()
        go_on.wait(5)

    monkeypatch.setattr(availability, "wait_named_pipe", await_instance)
    with calls.create_named_pipe(pipe_name, max_instances=1), connect(pipe_name):
        waiting = background(connect, pipe_name, 10)
        met_busy.wait(5)
    go_on.set()  # for a moment there is no such pipe
    with calls.create_named_pipe(pipe_name) as again:
        pipes.connect_named_pipe(again, 5)
        waiting.result(timeout=10).close()


def test_the_first_direction_that_is_allowed_is_taken(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name, OpenMode.OUTBOUND | OpenMode.OVERLAPPED) as server:
        with pytest.raises(PipeAccessError):
            connect(pipe_name)
        with connect(pipe_name, access=(Access.DUPLEX, Access.GENERIC_READ | Access.FILE_WRITE_ATTRIBUTES)) as client:
            pipes.write_file(server, b"one way")
            assert client.receive(5) == b"one way"


def test_message_and_byte_pipes_are_told_apart(message_pair: Ends, pipe_name: str) -> None:
    assert message_pair[1].is_message
    name = pipe_name + "-byte"
    with calls.create_named_pipe(name, pipe_mode=PipeMode.TYPE_BYTE), connect(name) as client:
        assert not client.is_message


# Whole messages


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 1 << 20, 10 << 20])
def test_a_message_of_any_size_arrives_whole(message_pair: Ends, background: "Background", size: int) -> None:
    server, client = message_pair
    data = bytes(range(251)) * (size // 251) + bytes(size % 251)
    sending = background(client.send, data, 20)
    assert server.receive(20) == data
    sending.result(timeout=20)


def test_messages_stay_apart_and_in_order(message_pair: Ends) -> None:
    server, client = message_pair
    messages = [b"", b"a", b"", b"bc", b"x" * 5000, b"d"]
    for message in messages:
        client.send(message)
    assert [server.receive(5) for _ in messages] == messages


@pytest.mark.parametrize("size", [0, 1, 65537, 1 << 20])
def test_a_message_arrives_in_memory_of_ones_own(message_pair: Ends, background: "Background", size: int) -> None:
    server, client = message_pair
    memory = bytearray(b"-" * ((1 << 20) + 1))
    sending = background(client.send, b"x" * size, 10)
    assert server.receive_into(memory, 10) == size
    assert memory == b"x" * size + b"-" * (len(memory) - size)
    sending.result(timeout=10)


def test_a_message_too_long_for_the_memory_is_told_and_still_had(message_pair: Ends) -> None:
    server, client = message_pair
    client.send(b"abcdef")
    client.send(b"next")
    with pytest.raises(MessageTooLongError) as raised:
        server.receive_into(bytearray(4), 5)
    assert raised.value.data == b"abcd"
    assert server.receive(5) == b"abcdef"
    memory = bytearray(4)
    assert server.receive_into(memoryview(memory)[:], 5) == 4
    assert memory == b"next"


def test_what_a_byte_pipe_has_left_comes_first_into_memory(byte_pair: Ends) -> None:
    server, client = byte_pair
    server.send(b"line\nrest")
    assert client.receive_until(parse("line"), 5).data == b"line\n"
    memory = bytearray(3)
    assert client.receive_into(memory, 5) == 3
    assert bytes(memory) == b"res"
    assert client.receive_into(memory, 5) == 1
    assert bytes(memory) == b"tes"


def test_memory_that_cannot_be_written_is_refused_before_anything_is_read(message_pair: Ends) -> None:
    server, client = message_pair
    client.send(b"kept")
    with pytest.raises(TypeError):
        server.receive_into(memoryview(b"read-only"), 5)
    assert server.receive(5) == b"kept"


def test_a_message_beyond_the_limit_is_refused(message_pair: Ends, background: "Background") -> None:
    server, client = message_pair
    server.max_message = 100_000
    sending = background(_outcome, client.send, b"x" * 100_001, 10)
    with pytest.raises(MessageTooLongError):
        server.receive(10)
    server.close()
    assert isinstance(sending.result(timeout=10), PipeClosedError | None)


def test_a_request_is_answered(message_pair: Ends, background: "Background") -> None:
    server, client = message_pair
    background(lambda: server.send(b"re: " + server.receive(5)))
    assert client.transact(b"ping", 5) == b"re: ping"


@pytest.mark.parametrize("size", [70_000, 1 << 20])
def test_a_long_request_gets_its_long_answer(message_pair: Ends, background: "Background", size: int) -> None:
    server, client = message_pair
    echo = background(lambda: server.send(server.receive(10), 10))
    assert client.transact(b"y" * size, 10) == b"y" * size
    echo.result(timeout=10)


def test_an_unread_message_refuses_a_request(message_pair: Ends) -> None:
    server, client = message_pair
    server.send(b"unasked")
    for size in (4, 100_000):
        with pytest.raises(PipeStateError) as raised:
            client.transact(b"x" * size, 5)
        assert raised.value.symbol == "ERROR_PIPE_BUSY"
    assert client.receive(5) == b"unasked"


# Deadlines


def test_a_receive_that_times_out_keeps_the_bytes_that_come_later(message_pair: Ends) -> None:
    server, client = message_pair
    for _ in range(20):
        with pytest.raises(PipeTimeoutError):
            client.receive(0.001)
    server.send(b"late")
    assert client.receive(5) == b"late"


def test_a_message_that_arrives_around_the_deadline_is_never_lost(message_pair: Ends) -> None:
    server, client = message_pair
    received = 0
    for number in range(300):
        timer = threading.Thread(target=server.send, args=(b"%d" % number,))
        timer.start()
        try:
            assert client.receive(0.0005) == b"%d" % number
        except PipeTimeoutError:
            assert client.receive(5) == b"%d" % number
        received += 1
        timer.join()
    assert received == 300


def test_a_send_that_nobody_reads_times_out(message_pair: Ends) -> None:
    _, client = message_pair
    client.send(b"x" * 65536)  # as much as the buffer takes
    begun = time.perf_counter()
    with pytest.raises(PipeTimeoutError):
        client.send(b"x" * 65536, 0.1)
    assert 0.1 <= time.perf_counter() - begun < 0.5


def test_a_request_without_an_answer_times_out(message_pair: Ends) -> None:
    begun = time.perf_counter()
    with pytest.raises(PipeTimeoutError):
        message_pair[1].transact(b"ping", 0.1)
    assert 0.1 <= time.perf_counter() - begun < 0.5


def test_an_interrupt_of_a_start_ends_what_was_begun(message_pair: Ends) -> None:
    server, client = message_pair
    buffer = bytearray(100)

    def interrupted(*arguments: Any) -> int:
        winapi.ReadFile(*arguments)
        raise KeyboardInterrupt

    with Overlapped(client.handle) as operation:
        with pytest.raises(KeyboardInterrupt):
            operation.start(interrupted, address_of(buffer), len(buffer), None)
        assert not operation.pending
        buffer += b"x"  # would raise BufferError if the memory were still lent
    server.send(b"still whole")
    assert client.receive(5) == b"still whole"


def test_an_interrupt_of_a_run_ends_what_was_begun(message_pair: Ends) -> None:
    server, client = message_pair
    buffer = bytearray(100)

    def interrupted(*arguments: Any) -> int:
        assert winapi.NtReadFile(*arguments) == STATUS_PENDING
        raise KeyboardInterrupt

    with Overlapped(client.handle) as operation:
        with pytest.raises(KeyboardInterrupt):
            operation.run(operation.bind(interrupted, address_of(buffer), len(buffer), None, None), None)
        assert not operation.pending
        buffer += b"x"  # would raise BufferError if the memory were still lent
    server.send(b"still whole")
    assert client.receive(5) == b"still whole"


def test_an_operation_runs_alone_and_not_after_the_end(message_pair: Ends) -> None:
    operation = Overlapped(message_pair[1].handle)
    with operation:
        read = operation.bind(winapi.NtReadFile, bytes(9), 9, None, None)
        operation.start(winapi.ReadFile, bytes(9), 9, None)
        with pytest.raises(RuntimeError):
            operation.run(read, 5)
        operation.cancel()
    with pytest.raises(OperationAbortedError):
        operation.run(read, 5)
    assert not operation.pending


def test_a_closed_handle_runs_nothing(pipe_name: str) -> None:
    handle = calls.create_named_pipe(pipe_name)
    with Overlapped(handle) as operation:
        read = operation.bind(winapi.NtReadFile, bytes(9), 9, None, None)
        handle.close()
        with pytest.raises(PipeError) as caught:
            operation.run(read, 5)
    assert (caught.value.code, caught.value.function) == (WinError.INVALID_HANDLE, "ReadFile")


def test_an_interrupt_before_the_operation_has_begun_waits_for_nothing(message_pair: Ends) -> None:
    def interrupted(*_arguments: Any) -> int:
        raise KeyboardInterrupt

    with Overlapped(message_pair[1].handle) as operation, pytest.raises(KeyboardInterrupt):
        operation.start(interrupted)


def test_an_operation_that_failed_to_start_can_be_followed_by_another(message_pair: Ends) -> None:
    server, client = message_pair
    server.close()
    for _ in range(2):
        with pytest.raises(PipeClosedError):
            client.send(b"x", 5)


# The end of a stream


def test_the_last_words_are_read_and_then_the_stream_ends(message_pair: Ends) -> None:
    server, client = message_pair
    server.send(b"last words")
    server.close()
    assert client.receive(5) == b"last words"
    with pytest.raises(PipeClosedError):
        client.receive(5)


def test_a_send_to_a_closed_end_tells_so(message_pair: Ends) -> None:
    server, client = message_pair
    server.close()
    with pytest.raises(PipeClosedError):
        client.send(b"anyone?", 5)


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_request_to_a_closed_end_tells_so(message_pair: Ends, size: int) -> None:
    server, client = message_pair
    server.close()
    with pytest.raises(PipeClosedError):
        client.transact(bytes(size), 5)


def test_a_close_ends_a_receive_of_another_thread(message_pair: Ends, background: "Background") -> None:
    server, client = message_pair
    receiving = background(_outcome, client.receive, 20)
    server.close()
    assert isinstance(receiving.result(timeout=5), PipeClosedError)


def test_our_own_close_ends_a_receive_of_another_thread(message_pair: Ends, background: "Background") -> None:
    _, client = message_pair
    receiving = background(_outcome, client.receive, 20)
    while not client._read_operation.pending:
        assert not receiving.done()
    client.close()
    assert isinstance(receiving.result(timeout=5), OperationAbortedError)


def test_a_close_aborts_a_listen(pipe_name: str, background: "Background") -> None:
    server = calls.create_named_pipe(pipe_name)
    listening = background(_outcome, pipes.connect_named_pipe, server, 20)
    with connect(pipe_name):  # so that it is known to listen, or to have done so
        listening.result(timeout=5)
    pipes.disconnect_named_pipe(server)
    with Overlapped(server) as operation:
        operation.start(winapi.ConnectNamedPipe)
        pipes.cancel_io_ex(server)
        with pytest.raises(OperationAbortedError):
            operation.result(Deadline(5))
    server.close()
    with pytest.raises(PipeNotFoundError):
        connect(pipe_name, 0)


def test_an_empty_message_is_not_the_end(message_pair: Ends) -> None:
    server, client = message_pair
    server.send(b"")
    server.send(b"more")
    server.close()
    assert (client.receive(5), client.receive(5)) == (b"", b"more")
    with pytest.raises(PipeClosedError):
        client.receive(5)


def test_an_empty_request_gets_an_empty_answer(message_pair: Ends, background: "Background") -> None:
    server, client = message_pair
    background(lambda: server.send(server.receive(5)))
    assert client.transact(b"", 5) == b""


# Byte pipes


def test_a_byte_pipe_gives_what_is_there(byte_pair: Ends) -> None:
    server, client = byte_pair
    server.send(b"one")
    server.send(b"two")
    assert client.receive(5) == b"onetwo"


def test_a_byte_pipe_has_no_requests(byte_pair: Ends) -> None:
    with pytest.raises(PipeStateError):
        byte_pair[1].transact(b"ping", 1)


@pytest.mark.parametrize(
    ("rule", "sent", "reply", "rest"),
    [
        ("line", b"first\nsecond\n", b"first\n", b"second\n"),
        ("bytes:5", b"12345678", b"12345", b"678"),
        ("u16be", b"\x00\x03abcdef", b"abc", b"def"),
        ("u32le", b"\x03\x00\x00\x00abcdef", b"abc", b"def"),
        ("u16le", b"\x00\x00rest", b"", b"rest"),
    ],
)
def test_a_rule_ends_the_reply_and_keeps_the_rest(
    byte_pair: Ends, rule: str, sent: bytes, reply: bytes, rest: bytes
) -> None:
    server, client = byte_pair
    server.send(sent)
    assert client.receive_until(parse(rule), 5) == (reply, rule)
    assert client.receive(5) == rest


def test_a_reply_in_pieces_is_put_together(byte_pair: Ends) -> None:
    server, client = byte_pair
    for piece in (b"\x00", b"\x00\x00", b"\x04", b"ab", b"cd"):
        server.send(piece)
        if piece != b"cd":
            with pytest.raises(PipeTimeoutError):
                client.receive_until(parse("u32be"), 0.01)
    assert client.receive_until(parse("u32be"), 5).data == b"abcd"


def test_silence_ends_a_reply_but_only_after_it_has_begun(byte_pair: Ends) -> None:
    server, client = byte_pair
    with pytest.raises(PipeTimeoutError):
        client.receive_until(parse("idle:0.01"), 0.1)
    server.send(b"here")
    assert client.receive_until(parse("idle:0.01"), 5) == (b"here", "idle:0.01")


def test_a_close_ends_a_reply_that_has_begun(byte_pair: Ends) -> None:
    server, client = byte_pair
    server.send(b"half a li")
    server.close()
    assert client.receive_until(parse("line"), 5) == (b"half a li", "eof")
    with pytest.raises(PipeClosedError):
        client.receive_until(parse("line"), 5)


def test_a_close_ends_a_reply_until_eof_even_an_empty_one(byte_pair: Ends) -> None:
    server, client = byte_pair
    server.close()
    assert client.receive_until(parse("eof"), 5) == (b"", "eof")


@pytest.mark.parametrize("rule", ["bytes:5", "u16le"])
def test_a_close_in_a_counted_reply_is_an_error(byte_pair: Ends, rule: str) -> None:
    server, client = byte_pair
    server.send(b"\x05\x00x")
    server.close()
    with pytest.raises(PipeClosedError):
        client.receive_until(parse(rule), 5)


def test_a_frame_longer_than_allowed_is_refused_before_it_is_read(byte_pair: Ends) -> None:
    server, client = byte_pair
    server.send(b"\xff\xff\xff\xff")
    with pytest.raises(MessageTooLongError):
        client.receive_until(parse("u32be"), 5)


def test_a_server_that_answers_while_it_reads_blocks_nobody(byte_pair: Ends, background: "Background") -> None:
    server, client = byte_pair
    data = b"z" * (1 << 20)

    def echo() -> None:
        left = len(data)
        while left:
            piece = server.receive(10)
            server.send(piece, 10)
            left -= len(piece)

    background(echo)
    assert client.ask(data, parse(f"bytes:{len(data)}"), 20).data == data


def test_a_whole_reply_counts_though_the_request_was_not_read_to_its_end(
    byte_pair: Ends, background: "Background"
) -> None:
    server, client = byte_pair

    def refuse() -> None:
        server.receive(5)
        server.send(b"too large\n", 5)
        server.close()

    background(refuse)
    assert client.ask(b"z" * (1 << 20), parse("line"), 10) == (b"too large\n", "line")


# Memory


def test_connections_leave_no_handle_behind(pipe_name: str, handle_count: Callable[[], int]) -> None:
    def round_trip() -> None:
        handle = calls.create_named_pipe(pipe_name)
        with Connection(handle, is_message=True) as server, connect(pipe_name) as client:
            client.send(b"x")
            server.receive(5)
            with pytest.raises(PipeTimeoutError):
                client.receive(0)

    round_trip()
    before = handle_count()
    for _ in range(200):
        round_trip()
    assert handle_count() <= before


def test_a_buffer_that_is_written_is_not_resized_meanwhile(message_pair: Ends) -> None:
    server, client = message_pair
    data = bytearray(b"a" * 10)
    client.send(data)
    data += b"b"  # would raise BufferError if the memory were still lent
    client.send(data)
    assert [server.receive(5), server.receive(5)] == [b"a" * 10, b"a" * 10 + b"b"]


def _outcome(function: Callable[..., object], *arguments: object) -> BaseException | None:
    try:
        function(*arguments)
    except OSError as error:
        return error
    return None

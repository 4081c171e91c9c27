"""Each Win32 function against a real pipe, both ends in this process."""

import ctypes
import msvcrt
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pipectl.core.constants import Access, Nmpwait, OpenMode, PipeMode, WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import (
    MessageTooLongError,
    PipeBusyError,
    PipeClosedError,
    PipeError,
    PipeNotFoundError,
    PipeStateError,
    PipeTimeoutError,
)
from pipectl.core.win32 import calls, queries, winapi
from pipectl.core.win32.handle import Handle, wait
from pipectl.core.win32.overlapped import Buffer, Overlapped
from pipectl.hints import hint_for
from tests import pipes

if TYPE_CHECKING:
    from concurrent.futures import Future

Background = Callable[..., "Future[Any]"]


class Pair(NamedTuple):
    server: Handle
    client: Handle


@pytest.fixture
def pair(pipe_name: str) -> Iterator[Pair]:
    """A connected message pipe; the client in message read mode."""
    with calls.create_named_pipe(pipe_name) as server, calls.create_file(pipe_name) as client:
        pipes.connect_named_pipe(server, 5)
        queries.set_named_pipe_handle_state(client, PipeMode.READ_MESSAGE)
        yield Pair(server, client)


def test_a_message_goes_each_way_whole(pair: Pair) -> None:
    assert pipes.write_file(pair.client, b"ping") == 4
    assert pipes.read_file(pair.server, 100, 5) == (b"ping", False)
    assert pipes.write_file(pair.server, b"pong") == 4
    assert pipes.read_file(pair.client, 100, 5) == (b"pong", False)


def test_a_short_buffer_gives_the_message_in_parts(pair: Pair) -> None:
    pipes.write_file(pair.client, b"abcdef")
    assert pipes.read_file(pair.server, 4, 5) == (b"abcd", True)
    assert pipes.read_file(pair.server, 4, 5) == (b"ef", False)


def test_a_message_of_length_zero_is_a_message(pair: Pair) -> None:
    assert pipes.write_file(pair.client, b"") == 0
    assert pipes.read_file(pair.server, 4, 5) == (b"", False)


@pytest.mark.parametrize(
    "data", [b"xyz", bytearray(b"xyz"), memoryview(b"-xyz-")[1:4], memoryview(b"x-y-z")[::2]], ids=repr
)
def test_any_buffer_can_be_written(pair: Pair, data: "Buffer") -> None:
    pipes.write_file(pair.client, data)
    assert pipes.read_file(pair.server, 10, 5) == (b"xyz", False)


def test_a_read_that_times_out_keeps_the_data_that_comes_later(pair: Pair) -> None:
    with pytest.raises(PipeTimeoutError) as raised:
        pipes.read_file(pair.server, 10, 0.02)
    assert raised.value.symbol == "ERROR_TIMEOUT"
    pipes.write_file(pair.client, b"late")
    assert pipes.read_file(pair.server, 10, 5) == (b"late", False)


def test_a_transaction_writes_and_reads(pair: Pair) -> None:
    with Overlapped(pair.client) as transaction:
        memory, answer = b"ping", ctypes.create_string_buffer(10)
        assert transaction.start(winapi.TransactNamedPipe, memory, 4, answer, 10, None) == WinError.IO_PENDING
        assert pipes.read_file(pair.server, 10, 5) == (b"ping", False)
        pipes.write_file(pair.server, b"pong")
        assert transaction.result(Deadline(5)) == (4, 0)
        assert answer.raw[:4] == b"pong"


def test_a_transaction_in_byte_mode_is_a_state_error(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name), calls.create_file(pipe_name) as client:
        with pytest.raises(PipeStateError) as raised:
            pipes.transact_named_pipe(client, b"x", 10, 1)
        assert raised.value.symbol == "ERROR_BAD_PIPE"


def test_peek_shows_and_does_not_consume(pair: Pair) -> None:
    assert calls.peek_named_pipe(pair.server, 10) == (b"", 0, 0)
    pipes.write_file(pair.client, b"abcdef")
    pipes.write_file(pair.client, b"gh")
    assert calls.peek_named_pipe(pair.server, 4) == (b"abcd", 8, 2)
    assert calls.peek_named_pipe(pair.server) == (b"", 8, 6)
    assert pipes.read_file(pair.server, 10, 5) == (b"abcdef", False)


def test_a_peek_at_more_than_there_is_takes_no_memory_for_it(pair: Pair) -> None:
    pipes.write_file(pair.client, b"abc")
    tracemalloc.start()
    try:
        assert calls.peek_named_pipe(pair.server, 0xFFFF_FFFF) == (b"abc", 3, 0)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_peek_shows_all_of_a_long_message(pair: Pair, background: Background) -> None:
    message = bytes(range(256)) * 1024
    writing = background(pipes.write_file, pair.client, message, 10)
    while calls.peek_named_pipe(pair.server).available < len(message):
        time.sleep(0.01)
    assert calls.peek_named_pipe(pair.server, 1 << 30).data == message
    pipes.read_file(pair.server, len(message), 5)
    writing.result(timeout=10)


def test_a_read_that_finds_nothing_does_not_say_that_the_peer_is_gone(pair: Pair) -> None:
    queries.set_named_pipe_handle_state(pair.client, PipeMode.READ_MESSAGE | PipeMode.NOWAIT)
    with pytest.raises(PipeStateError) as raised:
        pipes.read_file(pair.client, 10, 5)
    assert raised.value.symbol == "ERROR_NO_DATA"
    assert hint_for(raised.value)
    pipes.write_file(pair.server, b"now")
    assert pipes.read_file(pair.client, 10, 5) == (b"now", False)


def test_peek_at_an_anonymous_pipe_has_no_message_to_be_left() -> None:
    read, write = calls.create_pipe()
    with read, write:
        pipes.write_file(write, b"abcd")
        assert calls.peek_named_pipe(read, 2) == (b"ab", 4, 0)


def test_an_unknown_pipe_is_not_found_at_once(pipe_name: str) -> None:
    with pytest.raises(PipeNotFoundError) as raised:
        calls.create_file(pipe_name)
    assert (raised.value.symbol, raised.value.pipe) == ("ERROR_FILE_NOT_FOUND", pipe_name)
    with pytest.raises(PipeNotFoundError):
        calls.wait_named_pipe(pipe_name, 60)
    with pytest.raises(PipeNotFoundError):
        calls.call_named_pipe(pipe_name, b"x", 10, 60)


def test_a_second_client_of_a_single_instance_finds_it_busy(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name, max_instances=1), calls.create_file(pipe_name):
        with pytest.raises(PipeBusyError) as raised:
            calls.create_file(pipe_name)
        assert raised.value.symbol == "ERROR_PIPE_BUSY"
        with pytest.raises(PipeTimeoutError):
            calls.wait_named_pipe(pipe_name, 0)
        with pytest.raises(PipeBusyError):
            calls.create_named_pipe(pipe_name, max_instances=1)


def test_wait_finds_a_free_instance(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name):
        calls.wait_named_pipe(pipe_name, 0)
        calls.wait_named_pipe(pipe_name, 5)
        calls.wait_named_pipe(pipe_name, Nmpwait.USE_DEFAULT_WAIT)
        calls.wait_named_pipe(pipe_name)


def test_connect_waits_for_a_client(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name) as server, Overlapped(server) as connecting:
        assert connecting.start(winapi.ConnectNamedPipe) == WinError.IO_PENDING
        with calls.create_file(pipe_name):
            connecting.result(Deadline(5))
            assert queries.get_local_info(server).state == "connected"


def test_connect_times_out_without_a_client(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name) as server, pytest.raises(PipeTimeoutError):
        pipes.connect_named_pipe(server, 0.02)


def test_a_client_that_came_and_went_is_told_by_connect(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name) as server:
        calls.create_file(pipe_name).close()
        with pytest.raises(PipeClosedError) as raised:
            pipes.connect_named_pipe(server, 5)
        assert raised.value.symbol == "ERROR_NO_DATA"
        pipes.disconnect_named_pipe(server)
        with Overlapped(server) as connecting:
            connecting.start(winapi.ConnectNamedPipe)
            with calls.create_file(pipe_name):
                connecting.result(Deadline(5))


def test_what_was_written_before_a_close_can_be_read_and_then_it_ends(pair: Pair) -> None:
    pipes.write_file(pair.server, b"last words")
    pair.server.close()
    assert pipes.read_file(pair.client, 100, 5) == (b"last words", False)
    with pytest.raises(PipeClosedError) as raised:
        pipes.read_file(pair.client, 100, 5)
    assert raised.value.symbol == "ERROR_BROKEN_PIPE"


def test_a_disconnect_throws_away_what_was_not_read(pair: Pair) -> None:
    pipes.write_file(pair.server, b"lost")
    pipes.disconnect_named_pipe(pair.server)
    with pytest.raises(PipeClosedError) as raised:
        pipes.read_file(pair.client, 100, 5)
    assert raised.value.symbol == "ERROR_PIPE_NOT_CONNECTED"


def test_a_call_is_a_whole_exchange(pipe_name: str, background: Background) -> None:
    with calls.create_named_pipe(pipe_name) as server:
        call = background(calls.call_named_pipe, pipe_name, b"ping", 100, 5)
        pipes.connect_named_pipe(server, 5)
        assert pipes.read_file(server, 100, 5) == (b"ping", False)
        pipes.write_file(server, b"pong")
        assert call.result(timeout=5) == b"pong"


def test_a_call_whose_answer_is_too_long_keeps_the_part_that_came(pipe_name: str, background: Background) -> None:
    with calls.create_named_pipe(pipe_name) as server:
        call = background(_raised_by, calls.call_named_pipe, pipe_name, b"ping", 3, 5)
        pipes.connect_named_pipe(server, 5)
        pipes.read_file(server, 100, 5)
        pipes.write_file(server, b"pong")
        error = call.result(timeout=5)
    assert isinstance(error, MessageTooLongError)
    assert error.data == b"pon"


def _raised_by(function: Callable[..., object], *arguments: object) -> BaseException:
    try:
        function(*arguments)
    except OSError as error:
        return error
    raise AssertionError("nothing was raised")


def test_info_tells_how_the_pipe_was_created(pipe_name: str) -> None:
    with (
        calls.create_named_pipe(pipe_name, max_instances=3, out_buffer_size=4096, in_buffer_size=8192) as server,
        calls.create_file(pipe_name) as client,
    ):
        assert queries.get_named_pipe_info(server) == (True, True, 4096, 8192, 3)
        assert queries.get_named_pipe_info(client)[:2] == (False, True)


def test_unlimited_instances_are_none(pair: Pair) -> None:
    assert queries.get_named_pipe_info(pair.server).max_instances is None


def test_the_handle_state_is_told_and_set(pair: Pair) -> None:
    assert queries.get_named_pipe_handle_state(pair.client)[:3] == (True, False, 1)
    queries.set_named_pipe_handle_state(pair.client, PipeMode.READ_BYTE | PipeMode.NOWAIT)
    assert queries.get_named_pipe_handle_state(pair.client)[:2] == (False, True)
    queries.set_named_pipe_handle_state(pair.client)
    assert queries.get_named_pipe_handle_state(pair.client)[:2] == (False, True)


def test_message_mode_on_a_byte_pipe_is_a_state_error(pipe_name: str) -> None:
    with (
        calls.create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE),
        calls.create_file(pipe_name) as client,
        pytest.raises(PipeStateError) as raised,
    ):
        queries.set_named_pipe_handle_state(client, PipeMode.READ_MESSAGE)
    assert raised.value.symbol == "ERROR_INVALID_PARAMETER"


@pytest.mark.windows(reason="Wine answers 0 and 0", claim="W15")
def test_collection_data_of_a_local_pipe_is_a_state_error(pair: Pair) -> None:
    with pytest.raises(PipeStateError):
        queries.get_named_pipe_handle_state(pair.client, collection_data=True)


def test_both_ends_are_in_this_process(pair: Pair) -> None:
    for end in pair:
        assert queries.get_named_pipe_client_process_id(end) == os.getpid()
        assert queries.get_named_pipe_server_process_id(end) == os.getpid()


@pytest.mark.windows(reason="Wine has no GetNamedPipeClientComputerName", claim="W07")
def test_a_local_client_has_no_computer_name(pair: Pair) -> None:
    assert queries.get_named_pipe_client_computer_name(pair.server) is None


def test_local_info_tells_what_the_kernel_knows(pair: Pair) -> None:
    pipes.write_file(pair.client, b"12345")
    info = queries.get_local_info(pair.server)
    assert (info.is_message_type, info.configuration, info.state) == (True, "duplex", "connected")
    assert (info.max_instances, info.current_instances, info.is_server_end) == (None, 1, True)
    assert info.read_data_available == 5


def test_an_anonymous_pipe_carries_bytes_and_ends() -> None:
    read, write = calls.create_pipe(4096)
    with read:
        with write:
            pipes.write_file(write, b"bytes")
            assert not queries.get_named_pipe_info(read).is_message_type
        assert pipes.read_file(read, 100) == (b"bytes", False)
        with pytest.raises(PipeClosedError):
            pipes.read_file(read, 100)


@pytest.mark.parametrize(("text", "in_the_pipe"), [(False, b"line\n"), (True, b"line\r\n")])
def test_descriptors_of_an_anonymous_pipe_translate_line_ends_in_text_mode(text: bool, in_the_pipe: bytes) -> None:
    read, write = calls.fd_create_pipe(text=text)
    try:
        os.write(write, b"line\n")
        borrowed = Handle(msvcrt.get_osfhandle(read))
        assert calls.peek_named_pipe(borrowed, 100).data == in_the_pipe
        kept = borrowed.pointer
        borrowed.detach()
        assert kept.value is None  # so that nothing is done with a handle that is another's
        assert os.read(read, 100) == b"line\n"
    finally:
        os.close(read)
        os.close(write)


def test_flush_returns_once_the_other_end_has_read(pair: Pair, background: Background) -> None:
    pipes.write_file(pair.server, b"read me")
    flush = background(pipes.flush_file_buffers, pair.server)
    assert pipes.read_file(pair.client, 100, 5) == (b"read me", False)
    flush.result(timeout=5)


def test_a_cancelled_read_is_aborted(pair: Pair) -> None:
    with Overlapped(pair.server) as reading:
        buffer = ctypes.create_string_buffer(10)
        assert reading.start(winapi.ReadFile, buffer, 10, None) == WinError.IO_PENDING
        assert pipes.cancel_io_ex(pair.server)
        with pytest.raises(PipeError) as raised:
            reading.result(5)
        assert raised.value.symbol == "ERROR_OPERATION_ABORTED"


@pytest.mark.windows(reason="Wine says that it cancelled something when there was nothing", claim="W13")
def test_nothing_to_cancel_is_told(pair: Pair) -> None:
    assert not pipes.cancel_io_ex(pair.server)


def test_a_one_way_pipe_refuses_the_other_way(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name, OpenMode.INBOUND | OpenMode.OVERLAPPED):
        with pytest.raises(PermissionError) as raised:
            calls.create_file(pipe_name, Access.GENERIC_READ)
        assert raised.value.winerror == WinError.ACCESS_DENIED
        calls.create_file(pipe_name, Access.GENERIC_WRITE).close()


def test_an_event_is_set_and_waited_for() -> None:
    with calls.create_event() as event:
        assert not wait(event, Deadline(0))
        calls.set_event(event)
        assert wait(event, Deadline(5))


def test_a_closed_handle_is_invalid_and_closing_twice_is_silent(pipe_name: str) -> None:
    server = calls.create_named_pipe(pipe_name)
    server.close()
    server.close()
    with pytest.raises(PipeError) as raised:
        calls.peek_named_pipe(server)
    assert raised.value.symbol == "ERROR_INVALID_HANDLE"


def test_a_forgotten_handle_warns(pipe_name: str) -> None:
    with pytest.warns(ResourceWarning):
        calls.create_named_pipe(pipe_name)
    with pytest.raises(PipeNotFoundError):
        calls.wait_named_pipe(pipe_name, 0)

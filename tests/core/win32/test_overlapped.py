"""One operation and its memory: whoever interrupts it, cancels it, closes it or waits for it, and from which thread."""

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from ctypes import create_string_buffer
from typing import TYPE_CHECKING, Any

import pytest

from pipectl.core.constants import STATUS_PENDING, WinError
from pipectl.core.errors import OperationAbortedError, PipeTimeoutError
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.win32 import calls, overlapped, winapi
from pipectl.core.win32.handle import Handle, Waiter
from pipectl.core.win32.overlapped import Overlapped
from tests import pipes
from tests.runner import run_python

if TYPE_CHECKING:
    from concurrent.futures import Future

    Background = Callable[..., Future[Any]]

Ends = tuple[Handle, Handle]


@pytest.fixture
def pair(pipe_name: str) -> Iterator[Ends]:
    """Two ends that read messages."""
    with calls.create_named_pipe(pipe_name) as server, connect(pipe_name) as client:
        pipes.connect_named_pipe(server, 5)
        yield server, client.handle


def read_into(operation: Overlapped, buffer: Any) -> Any:
    return operation.bind(winapi.NtReadFile, buffer, len(buffer), winapi.NO_OFFSET, None)


def leave(operation: Overlapped, buffer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a read under way, by two interrupts: of its wait, and of its end."""

    def interrupt(*_arguments: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(winapi, "CancelIoEx", interrupt)
        with pytest.raises(KeyboardInterrupt):
            operation.run(read_into(operation, buffer), 0)


# Interrupted


def test_what_an_interrupted_operation_had_got_is_told(pair: Ends) -> None:
    server, client = pair
    pipes.write_file(server, b"here already")
    buffer = create_string_buffer(100)

    def interrupted(*arguments: Any) -> int:
        assert winapi.NtReadFile(*arguments) == 0
        raise KeyboardInterrupt

    with Overlapped(client) as operation:
        call = operation.bind(interrupted, buffer, 100, winapi.NO_OFFSET, None)
        with pytest.raises(KeyboardInterrupt):
            operation.run(call, 5)
        assert not operation.pending
        assert (operation.settle(), operation.count, buffer.value) == (0, 12, b"here already")


def test_an_end_that_is_interrupted_too_is_taken_again(pair: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = pair
    buffer = create_string_buffer(100)
    with Overlapped(client) as operation:
        leave(operation, buffer, monkeypatch)
        assert operation.pending
        pipes.write_file(server, b"after both")  # which the read that was left gets
        assert (operation.settle(), operation.count, buffer.value) == (0, 10, b"after both")
        pipes.write_file(server, b"next")
        assert operation.run(read_into(operation, buffer), 5) == 0


@pytest.mark.parametrize("next_step", ["run", "close", "cancel"])
def test_whatever_comes_next_ends_what_was_left(pair: Ends, next_step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = pair
    operation, buffer = Overlapped(client), create_string_buffer(100)
    leave(operation, buffer, monkeypatch)
    begun = time.perf_counter()
    if next_step == "run":
        with pytest.raises(PipeTimeoutError):
            operation.run(read_into(operation, buffer), 0)
    else:
        getattr(operation, next_step)()
    assert time.perf_counter() - begun < 1
    assert not operation.pending
    operation.close()
    pipes.write_file(server, b"whole")
    assert pipes.read_file(client, 100, 5) == (b"whole", False)


def test_a_handler_that_closes_ends_the_wait_that_it_interrupts(pipe_name: str) -> None:
    program = """
import signal, sys, threading, time
from pipectl import OperationAbortedError, connect

with connect(sys.argv[1]) as client:
    signal.signal(signal.SIGINT, lambda number, frame: client.close())
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    begun = time.perf_counter()
    try:
        client.receive(20)
    except OperationAbortedError:
        print(0.2 <= time.perf_counter() - begun < 0.5)
"""
    with calls.create_named_pipe(pipe_name):
        ran = run_python(program, pipe_name)
    assert (ran.returncode, ran.stderr, ran.stdout.strip()) == (0, "", "True")


def test_an_interrupt_never_leaves_another_timeouts_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipectl.core.win32 import handle

    kernel_time = handle.kernel_time

    def interrupt(_seconds: float | None) -> Any:
        monkeypatch.setattr(handle, "kernel_time", kernel_time)
        raise KeyboardInterrupt

    with calls.create_event() as event:
        waiter = Waiter(event)  # whose first time is for ever
        monkeypatch.setattr(handle, "kernel_time", interrupt)
        timeout = 0.01
        with pytest.raises(KeyboardInterrupt):
            waiter.wait(timeout)
        assert not waiter.wait(timeout)


# Closed from another thread


def test_the_length_of_a_message_is_its_own_whoever_closes(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A close that comes just when a read has ended hands its structure on to the next operation, which uses it."""
    with calls.create_named_pipe(pipe_name) as server, connect(pipe_name) as client:
        pipes.connect_named_pipe(server, 5)
        pipes.write_file(server, b"x" * 100)
        run = Overlapped.run

        def close_and_use(operation: Overlapped, *arguments: Any) -> int:
            code = run(operation, *arguments)
            if operation is client._read_operation:
                client.close()
                assert pipes.write_file(server_of_another, b"another") == 7
                assert pipes.read_file(another, 10, 5) == (b"another", False)
            return code

        name = f"{pipe_name}-another"
        with calls.create_named_pipe(name) as server_of_another, calls.create_file(name) as another:
            pipes.connect_named_pipe(server_of_another, 5)
            monkeypatch.setattr(Overlapped, "run", close_and_use)
            assert client.receive(5) == b"x" * 100


def test_a_close_waits_until_the_thread_inside_has_left(pair: Ends, background: "Background") -> None:
    _, client = pair
    for _ in range(200):
        operation = Overlapped(client)
        buffer = create_string_buffer(10)
        ended = threading.Event()

        def run(operation: Overlapped = operation, buffer: Any = buffer, ended: threading.Event = ended) -> None:
            try:
                with pytest.raises(OperationAbortedError):
                    operation.run(read_into(operation, buffer), 20)
            finally:
                ended.set()

        running = background(run)
        operation.close()
        assert not operation.pending
        running.result(5)
        assert ended.is_set()


def test_a_close_of_an_operation_that_just_begins_uses_no_core(pair: Ends, background: "Background") -> None:
    """On a handle without OVERLAPPED the call itself blocks; what closes waits a second for it, and not in a loop."""
    _, client = pair
    inside, go_on = threading.Event(), threading.Event()

    def blocking(*_arguments: Any) -> int:
        inside.set()
        go_on.wait(10)
        return 0

    operation = Overlapped(client)
    running = background(operation.run, operation.bind(blocking), 5)
    assert inside.wait(5)
    begun, used = time.perf_counter(), time.process_time()
    operation.close()
    assert time.perf_counter() - begun < 2
    assert time.process_time() - used < 0.5
    go_on.set()
    running.result(5)


def test_no_two_operations_ever_share_a_structure(pair: Ends) -> None:
    _, client = pair
    operation = Overlapped(client)
    for _ in range(3):
        operation.close()
    ones = [Overlapped(client) for _ in range(20)]
    assert len({id(one._kit) for one in ones}) == 20
    for one in ones:
        one.close()


# What the kernel says


def test_an_operation_that_is_collected_in_a_cycle_leaves_no_closed_event(
    pair: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python then finalizes each member of the cycle, whatever the finalizer of another one keeps."""
    spare: list[Any] = []
    monkeypatch.setattr(overlapped, "_spare_kits", spare)
    cycle: list[Any] = [Overlapped(pair[1])]
    cycle.append(cycle)
    del cycle
    gc.collect()
    for kit in spare:
        os.get_handle_inheritable(kit.event.value)  # raises for a handle that is closed


def test_only_the_lower_half_of_the_status_counts(pair: Ends) -> None:
    server, client = pair
    buffer = create_string_buffer(10)

    def with_undefined_half(*arguments: Any) -> int:
        status = winapi.NtReadFile(*arguments)
        words = memoryview(operation._kit.outcome).cast("B").cast("I")
        words[1] = 0xDEADBEEF  # as drivers may leave it that copy the whole union
        pipes.write_file(server, b"message")
        return status

    with Overlapped(client) as operation:
        call = operation.bind(with_undefined_half, buffer, 10, winapi.NO_OFFSET, None)
        assert operation.run(call, 5) == 0
        assert operation.count == 7


def test_an_operation_that_has_failed_at_once_is_ended_in_a_moment(pair: Ends) -> None:
    server, client = pair
    server.close()

    def interrupted(*arguments: Any) -> int:
        assert winapi.NtReadFile(*arguments) not in (0, STATUS_PENDING)
        raise KeyboardInterrupt

    begun = time.perf_counter()
    with Overlapped(client) as operation:
        call = operation.bind(interrupted, create_string_buffer(10), 10, winapi.NO_OFFSET, None)
        with pytest.raises(KeyboardInterrupt):
            operation.run(call, 5)
        assert not operation.pending
    assert time.perf_counter() - begun < 1


def test_an_operation_that_nothing_ends_keeps_its_memory(pair: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    _, client = pair
    buffer = bytearray(10)
    with Overlapped(client) as operation:
        with monkeypatch.context() as patch:
            patch.setattr(overlapped, "_PATIENCE", 0.05)
            patch.setattr(winapi, "CancelIoEx", lambda *_arguments: 0)
            with pytest.raises(PipeTimeoutError):
                operation.run(read_into(operation, overlapped.address_of(buffer)), 0.01)
            assert operation.pending
            with pytest.raises(RuntimeError):
                operation.run(read_into(operation, create_string_buffer(1)), 0)
            with pytest.raises(BufferError):
                buffer.append(0)
        operation.settle()
        assert not operation.pending


def test_a_started_operation_is_asked_for_without_being_ended(pair: Ends) -> None:
    server, client = pair
    buffer = create_string_buffer(10)
    with Overlapped(client) as operation:
        assert operation.begin(read_into(operation, buffer)) == WinError.IO_PENDING
        assert not operation.ended(0.01)
        pipes.write_file(server, b"now")
        assert operation.ended(5)
        assert operation.result(0) == (3, 0)


def test_an_interrupted_connection_closes_at_once(pipe_name: str) -> None:
    """Two real signals in a row, the second while the first one's operation is being ended."""
    program = """
import signal, sys, time
from pipectl import ConnectionUnusableError, connect
from pipectl.core.win32 import winapi

cancel = winapi.CancelIoEx
def again(*arguments):
    winapi.CancelIoEx = cancel
    signal.raise_signal(signal.SIGINT)

import threading
with connect(sys.argv[1]) as client:
    winapi.CancelIoEx = again
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    try:
        client.transact(b"unanswered", 20)
    except KeyboardInterrupt:
        try:
            client.transact(b"next", 5)
        except ConnectionUnusableError:
            print("refused")
    begun = time.perf_counter()
print(time.perf_counter() - begun < 0.5)
"""
    with calls.create_named_pipe(pipe_name) as server, Connection(server, is_message=True):
        ran = run_python(program, pipe_name)
    assert (ran.returncode, ran.stderr, ran.stdout.split()) == (0, "", ["refused", "True"])

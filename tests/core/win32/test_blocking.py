"""Calls that block: bounded by a deadline all the same, and whatever they do comes back to the caller."""

import os
import threading
import time
from typing import Any

import pytest

from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeTimeoutError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32 import winapi
from pipectl.core.win32.blocking import run_blocking
from pipectl.core.win32.calls import call_named_pipe, create_named_pipe
from tests.pipes import flush_file_buffers, write_file


def test_what_is_returned_comes_back() -> None:
    assert run_blocking(lambda: 42, Deadline(5)) == 42
    assert run_blocking(lambda: None, Deadline(None)) is None


@pytest.mark.parametrize("error", [ValueError("x"), KeyError(), SystemExit(3)], ids=repr)
def test_what_is_raised_is_raised_in_the_callers_thread(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        run_blocking(fail, Deadline(5))
    assert raised.value is error


def test_it_runs_in_a_thread_of_its_own() -> None:
    assert run_blocking(threading.get_ident, Deadline(5)) != threading.get_ident()


def test_a_call_that_stays_in_the_kernel_is_cancelled_at_the_deadline(pipe_name: str) -> None:
    def keep_silent(_client: Client, _data: bytes) -> None:
        return None

    with PipeServer(pipe_name, keep_silent):
        begun = time.perf_counter()
        with pytest.raises(PipeTimeoutError) as raised:
            run_blocking(lambda: call_named_pipe(pipe_name, b"x", 10), Deadline(0.2), pipe_name)
        assert 0.2 <= time.perf_counter() - begun < 0.5
    assert raised.value.pipe == pipe_name


def test_a_flush_that_nobody_hears_is_cancelled_too(pipe_name: str) -> None:
    with create_named_pipe(pipe_name) as server, connect(pipe_name):
        write_file(server, b"unread", 5)
        with pytest.raises(PipeTimeoutError):
            run_blocking(lambda: flush_file_buffers(server), Deadline(0.2))


def test_a_read_of_a_stream_that_stays_silent_is_given_up() -> None:
    reader, writer = os.pipe()
    with pytest.raises(PipeTimeoutError):
        run_blocking(lambda: os.read(reader, 1), Deadline(0.1))
    os.close(writer)
    os.close(reader)


def test_a_thread_that_nothing_ends_is_left_behind_and_may_end_later() -> None:
    ended = threading.Event()
    with pytest.raises(PipeTimeoutError):
        run_blocking(lambda: ended.wait(20), Deadline(0.1))
    ended.set()


def test_from_another_thread_than_the_main_one_it_works_as_well() -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(run_blocking(lambda: 42, Deadline(5))))
    thread.start()
    thread.join(10)
    assert results == [42]


def test_no_handle_is_left_behind() -> None:
    for _ in range(20):
        run_blocking(lambda: None, Deadline(5))  # an event that is not closed warns, and a warning is an error here


def test_what_comes_too_late_is_undone() -> None:
    go_on, undone = threading.Event(), threading.Event()

    def come_late() -> int:
        go_on.wait(20)
        return 42

    def undo(value: int) -> None:
        assert value == 42
        undone.set()

    with pytest.raises(PipeTimeoutError):
        run_blocking(come_late, Deadline(0.1), undo=undo)
    assert not undone.is_set()
    go_on.set()
    assert undone.wait(10)


def test_what_comes_in_time_is_not_undone() -> None:
    undone: list[int] = []
    assert run_blocking(lambda: 42, Deadline(5), undo=undone.append) == 42
    assert undone == []


def test_no_thread_is_looked_up_by_a_number_that_another_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    def duplicate(*arguments: Any) -> Any:
        ended.append(threading.get_ident())
        return real(*arguments)

    real = winapi.DuplicateHandle
    monkeypatch.setattr(winapi, "DuplicateHandle", duplicate)
    assert run_blocking(threading.get_ident, Deadline(5)) == ended[0]
    assert not hasattr(winapi, "OpenThread")

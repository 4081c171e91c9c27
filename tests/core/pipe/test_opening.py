"""Opening what is not at hand: pipes of other computers, and names that another pipe is in the way of."""

import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pipectl.core.constants import Wait
from pipectl.core.errors import PipeClosedError, PipeNotFoundError, PipeTimeoutError, error_for
from pipectl.core.pipe.connection import connect
from pipectl.core.win32 import calls, winapi
from pipectl.hints import hint_for
from tests import pipes

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    Background = Callable[..., Future[Any]]


def test_a_computer_that_does_not_answer_has_until_the_end(monkeypatch: pytest.MonkeyPatch, pipe_name: str) -> None:
    answer, real = threading.Event(), winapi.CreateFileW

    def create_file(_name: str, *arguments: Any) -> Any:
        answer.wait(20)
        return real(pipe_name, *arguments)

    monkeypatch.setattr(winapi, "CreateFileW", create_file)
    with calls.create_named_pipe(pipe_name, max_instances=1) as server:
        begun = time.perf_counter()
        with pytest.raises(PipeTimeoutError) as raised:
            connect(r"\\host\pipe\svc", 0.2)
        assert 0.2 <= time.perf_counter() - begun < 2
        assert raised.value.pipe == r"\\host\pipe\svc"
        answer.set()
        with suppress(PipeClosedError):  # it came, and left already
            pipes.connect_named_pipe(server, 10)
        with pytest.raises(PipeClosedError):  # the handle that came late was closed
            pipes.read_file(server, 10, 10)


def test_ctrl_c_ends_the_opening_of_a_pipe_on_another_computer(
    monkeypatch: pytest.MonkeyPatch, background: "Background"
) -> None:
    answer, interrupted_at = threading.Event(), []

    def create_file(name: str, *_arguments: Any) -> Any:
        answer.wait(20)
        raise error_for(53, "no such computer", "CreateFileW", name)

    def interrupt() -> None:
        time.sleep(0.3)
        interrupted_at.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(winapi, "CreateFileW", create_file)
    background(interrupt)
    with pytest.raises(KeyboardInterrupt):
        connect(r"\\host\pipe\svc", None)
    assert time.perf_counter() - interrupted_at[0] < 0.5
    answer.set()


def test_a_pipe_that_another_is_in_the_way_of_is_absent_and_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, pipe_name: str
) -> None:
    real, refusals = winapi.CreateFileW, iter([True] * 3)

    def create_file(name: str, *arguments: Any) -> Any:
        if next(refusals, False):
            raise error_for(123, "syntax", "CreateFileW", name)
        return real(name, *arguments)

    monkeypatch.setattr(winapi, "CreateFileW", create_file)
    with calls.create_named_pipe(pipe_name):
        with pytest.raises(PipeNotFoundError) as raised:
            connect(pipe_name)
        assert "up to a backslash" in (hint_for(raised.value) or "")
        connect(pipe_name, 10, wait=Wait.EXISTS).close()

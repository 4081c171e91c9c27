"""Pipes that are asked for, and waited for, without being opened."""

import _thread
import signal
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from pipectl.core.constants import Condition
from pipectl.core.deadline import Deadline
from pipectl.core.errors import (
    InvalidPipeNameError,
    PipeBusyError,
    PipeClosedError,
    PipeError,
    PipeNotFoundError,
    PipeTimeoutError,
    error_for,
)
from pipectl.core.names import VERBATIM_PREFIX, full_name, short
from pipectl.core.pipe import availability
from pipectl.core.pipe.availability import Availability, probe, retry, wait_for
from pipectl.core.pipe.connection import connect
from pipectl.core.win32 import calls, winapi
from tests import pipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from pipectl.core.win32.handle import Handle

    Background = Callable[..., Future[Any]]


def test_a_pipe_is_absent_free_busy_and_free_again(pipe_name: str) -> None:
    assert probe(pipe_name) is Availability.ABSENT
    with calls.create_named_pipe(pipe_name, max_instances=1) as server:
        assert probe(pipe_name) is Availability.FREE
        with connect(pipe_name):
            assert probe(pipe_name) is Availability.BUSY
        pipes.disconnect_named_pipe(server)
        assert probe(pipe_name) is Availability.BUSY
        _listen(server)
        assert probe(pipe_name) is Availability.FREE
    assert probe(pipe_name) is Availability.ABSENT


def _listen(server: "Handle") -> None:
    with pytest.raises(PipeTimeoutError):
        pipes.connect_named_pipe(server, 0)


@pytest.mark.parametrize("tail", ["\\inner", "|*?", " ", "ü", "\x01"])
def test_a_pipe_of_an_odd_name_is_probed_too(pipe_name: str, tail: str) -> None:
    assert probe(pipe_name + tail) is Availability.ABSENT
    with calls.create_named_pipe(pipe_name + tail):
        assert probe(pipe_name + tail) is Availability.FREE


def test_a_probe_takes_no_instance(pipe_name: str, background: "Background") -> None:
    with calls.create_named_pipe(pipe_name, max_instances=1) as server:
        accepted = background(pipes.connect_named_pipe, server, 10)
        for _ in range(20):
            assert probe(pipe_name) is Availability.FREE
        wait_for(pipe_name, Condition.FREE, Deadline(0))
        assert not accepted.done()
        with connect(pipe_name):
            accepted.result(timeout=10)


@pytest.mark.parametrize("condition", Condition)
def test_what_is_so_already_is_not_waited_for(pipe_name: str, condition: Condition) -> None:
    begun = time.perf_counter()
    if condition is Condition.GONE:
        wait_for(pipe_name, condition, Deadline(30))
    else:
        with calls.create_named_pipe(pipe_name):
            wait_for(pipe_name, condition, Deadline(30))
    assert time.perf_counter() - begun < 5


def test_a_busy_pipe_exists(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name, max_instances=1), connect(pipe_name):
        wait_for(pipe_name, Condition.EXISTS, Deadline(0))


def test_an_absent_pipe_does_not_become_free(pipe_name: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(PipeNotFoundError) as raised:
        wait_for(pipe_name, Condition.FREE, Deadline(30))
    assert time.perf_counter() - begun < 5
    assert raised.value.symbol == "ERROR_FILE_NOT_FOUND"
    assert raised.value.pipe == pipe_name


@pytest.mark.parametrize("timeout", [0, 0.2])
def test_what_does_not_happen_times_out(pipe_name: str, timeout: float) -> None:
    def times_out(condition: Condition, **options: bool) -> PipeTimeoutError:
        begun = time.perf_counter()
        with pytest.raises(PipeTimeoutError) as raised:
            wait_for(pipe_name, condition, Deadline(timeout), **options)
        assert timeout <= time.perf_counter() - begun < timeout + 2
        return raised.value

    assert times_out(Condition.EXISTS).symbol == "ERROR_TIMEOUT"
    assert times_out(Condition.FREE, absent_too=True).symbol == "ERROR_TIMEOUT"
    with calls.create_named_pipe(pipe_name, max_instances=1):
        assert times_out(Condition.GONE).pipe == pipe_name
        with connect(pipe_name):
            assert times_out(Condition.FREE).symbol == "ERROR_SEM_TIMEOUT"
            times_out(Condition.GONE)


def test_a_pipe_that_becomes_free_is_noticed(pipe_name: str, background: "Background") -> None:
    with calls.create_named_pipe(pipe_name, max_instances=1) as server:
        with connect(pipe_name):
            waiting = background(wait_for, pipe_name, Condition.FREE, Deadline(10))
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.2)
        pipes.disconnect_named_pipe(server)
        _listen(server)
        waiting.result(timeout=5)


def test_a_pipe_that_appears_and_one_that_goes_are_noticed(pipe_name: str, background: "Background") -> None:
    appearing = background(wait_for, pipe_name, Condition.EXISTS, Deadline(10))
    becoming_free = background(wait_for, pipe_name, Condition.FREE, Deadline(10), absent_too=True)
    with pytest.raises(TimeoutError):
        appearing.result(timeout=0.2)
    with calls.create_named_pipe(pipe_name):
        appearing.result(timeout=5)
        becoming_free.result(timeout=5)
        going = background(wait_for, pipe_name, Condition.GONE, Deadline(10))
        with pytest.raises(TimeoutError):
            going.result(timeout=0.2)
    going.result(timeout=5)


def test_a_server_between_two_instances_is_waited_for(pipe_name: str, background: "Background") -> None:
    with calls.create_named_pipe(pipe_name, max_instances=1), connect(pipe_name):
        waiting = background(wait_for, pipe_name, Condition.FREE, Deadline(10))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
    assert probe(pipe_name) is Availability.ABSENT
    with pytest.raises(TimeoutError):
        waiting.result(timeout=0.3)
    with calls.create_named_pipe(pipe_name):
        waiting.result(timeout=5)


def test_a_pipe_that_went_while_it_was_busy_times_out(pipe_name: str, background: "Background") -> None:
    with calls.create_named_pipe(pipe_name, max_instances=1), connect(pipe_name):
        waiting = background(pytest.raises, PipeTimeoutError, wait_for, pipe_name, Condition.FREE, Deadline(1))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
    waiting.result(timeout=10)


def test_a_wait_asks_first_and_then_waits_in_short_slices(monkeypatch: pytest.MonkeyPatch, pipe_name: str) -> None:
    # If the first question were a wait, a pipe that went during it would be taken for one that never was.
    waits = []

    def stay_busy(_pipe: str, timeout: float) -> None:
        waits.append(timeout)
        raise PipeTimeoutError("busy")

    monkeypatch.setattr(availability, "wait_named_pipe", stay_busy)
    with pytest.raises(PipeTimeoutError):
        wait_for(pipe_name, Condition.FREE, Deadline(0.05))
    assert waits[0] == 0
    assert all(0 <= wait <= 0.1 for wait in waits[1:])
    assert 1 < len(waits) < 8


def test_one_of_many_waiters_wins_and_the_others_wait_on(pipe_name: str, background: "Background") -> None:
    def take() -> int:
        tries = 0
        while True:
            wait_for(pipe_name, Condition.FREE, Deadline(20))
            tries += 1
            try:
                calls.create_file(pipe_name).close()
            except PipeError:
                continue  # another one was quicker
            return tries

    with calls.create_named_pipe(pipe_name, max_instances=1) as server:
        takers = [background(take) for _ in range(5)]
        for _ in takers:
            with suppress(PipeClosedError):  # it came, and left already
                pipes.connect_named_pipe(server, 20)
            pipes.disconnect_named_pipe(server)
        assert all(taker.result(timeout=20) >= 1 for taker in takers)


@pytest.mark.parametrize("condition", Condition)
def test_ctrl_c_ends_a_wait_at_once(pipe_name: str, background: "Background", condition: Condition) -> None:
    interrupted_at = []

    def interrupt() -> None:
        time.sleep(0.3)  # into the middle of the wait
        interrupted_at.append(time.perf_counter())
        _thread.interrupt_main()

    with ExitStack() as stack:
        if condition is not Condition.EXISTS:
            stack.enter_context(calls.create_named_pipe(pipe_name, max_instances=1))
            stack.enter_context(connect(pipe_name))
        background(interrupt)
        with pytest.raises(KeyboardInterrupt):
            wait_for(pipe_name, condition, Deadline(30))
        assert time.perf_counter() - interrupted_at[0] < 0.5  # 0.2 on a quiet machine


# Names that Windows cannot wait for as they are


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that WaitNamedPipe was given; like that of Windows it knows one prefix, and finds a free instance."""
    names = []

    def wait(name: str, _timeout: int) -> int:
        names.append(name)
        if not name.startswith("\\\\.\\pipe\\"):
            raise error_for(161, "syntax", "WaitNamedPipeW", name)
        return 0

    monkeypatch.setattr(winapi, "WaitNamedPipeW", wait)
    return names


def test_a_verbatim_name_is_waited_for_in_the_form_that_windows_takes(asked: list[str], pipe_name: str) -> None:
    assert probe(f"{VERBATIM_PREFIX}{short(pipe_name)}.") is Availability.FREE
    assert asked[-1] == f"{pipe_name}."


@pytest.mark.usefixtures("asked")
def test_a_verbatim_name_with_a_slash_is_refused_by_a_wait() -> None:
    with pytest.raises(InvalidPipeNameError) as raised:
        wait_for(full_name(VERBATIM_PREFIX + "a/b"), Condition.EXISTS, Deadline(5))
    assert raised.value.topic == "waiting"


@pytest.mark.parametrize("tail", [".", " ", "/b"])
def test_a_verbatim_name_is_probed(pipe_name: str, tail: str) -> None:
    verbatim = full_name(VERBATIM_PREFIX + short(pipe_name) + tail)
    assert probe(verbatim) is Availability.ABSENT
    with calls.create_named_pipe(verbatim):
        assert probe(verbatim) is Availability.FREE


# Races for a free instance


def test_a_free_instance_is_tried_for_at_once_and_soon_again(monkeypatch: pytest.MonkeyPatch, pipe_name: str) -> None:
    slept: list[float] = []
    monkeypatch.setattr(availability, "wait_named_pipe", lambda _pipe, _timeout: None)  # always free, always lost
    monkeypatch.setattr(availability, "sleep", lambda pause, _deadline: slept.append(pause))

    def attempt() -> str:
        if len(slept) < 30:
            raise PipeBusyError("taken", code=231)
        return "mine"

    assert retry(attempt, PipeBusyError("taken", code=231), pipe_name, Deadline(30)) == "mine"
    assert slept[0] == 0
    assert max(slept) <= 0.01


# Other computers


@pytest.fixture
def silent_host(monkeypatch: pytest.MonkeyPatch) -> "Iterator[None]":
    """A computer that does not answer, before the end of the test."""
    answer = threading.Event()

    def wait(name: str, _timeout: int) -> int:
        answer.wait(20)
        raise error_for(53, "no such computer", "WaitNamedPipeW", name)

    monkeypatch.setattr(winapi, "WaitNamedPipeW", wait)
    yield
    answer.set()


@pytest.mark.usefixtures("silent_host")
@pytest.mark.parametrize("condition", Condition)
def test_a_computer_that_does_not_answer_has_until_the_deadline(condition: Condition) -> None:
    begun = time.perf_counter()
    with pytest.raises(PipeTimeoutError):
        wait_for(r"\\host\pipe\svc", condition, Deadline(0.2))
    assert 0.2 <= time.perf_counter() - begun < 2


@pytest.mark.usefixtures("silent_host")
def test_ctrl_c_ends_a_wait_for_another_computer(background: "Background") -> None:
    interrupted_at = []

    def interrupt() -> None:
        time.sleep(0.3)
        interrupted_at.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    background(interrupt)
    with pytest.raises(KeyboardInterrupt):
        probe(r"\\host\pipe\svc")
    assert time.perf_counter() - interrupted_at[0] < 0.5

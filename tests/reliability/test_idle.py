"""What only waits costs no processor time: waits for a pipe, and servers whose clients say nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from ctypes import byref
from typing import NamedTuple

import pytest

from pipectl.core.constants import Condition
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeTimeoutError
from pipectl.core.pipe.availability import wait_for
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import ProcessAccess
from tests.runner import Running

from .conftest import Amount, Figure

MANY = 1000
# The system counts processor time in steps of 10 to 16 ms.
STEP = 0.02

Start = Callable[..., Running]


class Idle(NamedTuple):
    """How to wait for so many seconds, how to ask for the processor time that was used, and what share it may have."""

    wait: Callable[[float], object] = time.sleep
    used: Callable[[], float] = time.process_time
    share: float = 0.01


Situation = Callable[[str, Start], AbstractContextManager[Idle]]


def waiting_for(condition: Condition) -> Situation:
    @contextmanager
    def situation(pipe: str, _start: Start) -> Iterator[Idle]:
        def wait(seconds: float) -> None:
            with pytest.raises(PipeTimeoutError):
                wait_for(pipe, condition, Deadline(seconds))

        with ExitStack() as stack:
            if condition is not Condition.EXISTS:
                stack.enter_context(calls.create_named_pipe(pipe, max_instances=1))
                stack.enter_context(connect(pipe))
            yield Idle(wait, share=0.05)  # it asks again and again, at least every tenth of a second

    return situation


def serving_in_this_process(clients: int) -> Situation:
    @contextmanager
    def situation(pipe: str, _start: Start) -> Iterator[Idle]:
        with PipeServer(pipe, lambda _, data: data) as server, silent_clients(pipe, clients):
            assert server.connected == clients
            yield Idle()

    return situation


@contextmanager
def the_command_serve(pipe: str, start: Start) -> Iterator[Idle]:
    process = start("serve", pipe, "--log", "none")
    assert process.said().startswith("serving")
    with silent_clients(pipe, MANY):
        yield Idle(used=lambda: processor_time(process.pid))


@contextmanager
def silent_clients(pipe: str, count: int) -> Iterator[None]:
    """Connect clients, and go on when the server has seen the last one."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(pipe, 30)) for _ in range(count)]
        assert clients[-1].transact(b"x", 30) == b"x"
        yield


def processor_time(pid: int) -> float:
    """Give the seconds that a process has used."""
    times = [winapi.FILETIME() for _ in range(4)]
    with Handle(winapi.OpenProcess(ProcessAccess.QUERY_LIMITED_INFORMATION, False, pid)) as process:
        winapi.GetProcessTimes(process, *map(byref, times))
    return float(sum((time.dwHighDateTime << 32) + time.dwLowDateTime for time in times[2:])) / 1e7


SITUATIONS: dict[str, Situation] = {
    **{f"a wait for {condition}": waiting_for(condition) for condition in Condition},
    "a server of one silent client": serving_in_this_process(1),
    "a server of a thousand silent clients": serving_in_this_process(MANY),
    "`serve` with a thousand silent clients": the_command_serve,
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_idle_costs_no_processor_time(
    situation: Situation, pipe_name: str, running: Start, amount: Amount, figure: Figure
) -> None:
    seconds = amount(1, 10)
    with situation(pipe_name, running) as idle:
        begun = idle.used()
        idle.wait(seconds)
        used = idle.used() - begun
    figure(f"{used * 1000:.0f} ms of processor time in {seconds} s")
    assert used < max(seconds * idle.share, STEP)

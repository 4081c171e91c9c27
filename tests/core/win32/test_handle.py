"""Ctrl+C ends every wait at once: in processes of their own, because a signal is the whole process's."""

import time
from typing import Any

import pytest

from pipectl.core.constants import PipeMode, WinError
from pipectl.core.deadline import Deadline
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.handle import Waiter, wait
from tests.runner import run_python

_PROGRAM = """
import signal, sys, threading, time
from pipectl.core.constants import Wait
from pipectl.core.win32 import calls
from tests import pipes
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.framing import parse
from pipectl.core.pipe.server import PipeServer

pipe = sys.argv[1]
begun = []

def interrupt():
    begun.append(time.perf_counter())
    signal.raise_signal(signal.SIGINT)

try:
    with {setting}:
        threading.Timer(0.3, interrupt).start()
        {wait}
except KeyboardInterrupt:
    print(time.perf_counter() - begun[0])
"""

_WAITS = {
    "connect to a busy pipe": ("connect(pipe)", "connect(pipe, None)"),
    "connect to an absent pipe": ("connect(pipe)", "connect(pipe + '-absent', None, wait=Wait.EXISTS)"),
    "receive": ("connect(pipe) as client", "client.receive()"),
    "receive with a deadline": ("connect(pipe) as client", "client.receive(20)"),
    "send": ("connect(pipe) as client", "client.send(bytes(1 << 20))"),
    "request": ("connect(pipe) as client", "client.transact(b'x')"),
    "listen": ("calls.create_named_pipe(pipe + '-own') as server", "pipes.connect_named_pipe(server)"),
    "serve": ("PipeServer(pipe + '-own', lambda _, data: data) as server", "server.wait()"),
    "serve a client that does not read": (
        "PipeServer(pipe + '-own', lambda _, data: data * 200_000) as server, connect(pipe + '-own') as client",
        "client.send(b'x'); server.wait()",
    ),
}


@pytest.mark.parametrize("wait", _WAITS)
def test_ctrl_c_ends_any_wait_at_once(pipe_name: str, wait: str) -> None:
    setting, body = _WAITS[wait]
    program = _PROGRAM.format(setting=setting, wait=body)
    with calls.create_named_pipe(pipe_name, max_instances=1):
        ran = run_python(program, pipe_name)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert float(ran.stdout) < 0.2


def test_ctrl_c_ends_a_reply_until_silence(pipe_name: str) -> None:
    program = _PROGRAM.format(setting="connect(pipe) as client", wait="client.ask(b'x', parse('line'), None)")
    with calls.create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE):
        ran = run_python(program, pipe_name)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert float(ran.stdout) < 0.2


def test_a_handler_of_its_own_that_raises_nothing_lets_the_wait_go_on(pipe_name: str) -> None:
    program = """
import signal, sys, threading, time
from pipectl.core.pipe.connection import connect
from pipectl.core.errors import PipeTimeoutError

caught = []
signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
with connect(sys.argv[1]) as client:
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    begun = time.perf_counter()
    try:
        client.receive(0.5)
    except PipeTimeoutError:
        print(caught == [signal.SIGINT] and 0.5 <= time.perf_counter() - begun < 0.75)
"""
    with calls.create_named_pipe(pipe_name):
        ran = run_python(program, pipe_name)
    assert (ran.returncode, ran.stderr, ran.stdout.strip()) == (0, "", "True")


@pytest.mark.parametrize("timeout", [None, 0, 1e-9, 60, 4_294_967, 1e12, 1e308, float("inf")])
def test_any_time_can_be_waited(timeout: float | None) -> None:
    with calls.create_event(signalled=True) as event:
        assert wait(event, Deadline(timeout))
        assert Waiter(event).wait(timeout)
    assert Deadline(timeout).at_most(1) <= 1


def test_a_time_that_is_over_is_not_waited_for(background: Any) -> None:
    with calls.create_event() as event:
        assert not wait(event, Deadline(-1))
        assert not background(lambda: Waiter(event).wait(-1)).result()


@pytest.mark.parametrize("timeout", [0, -1, Deadline(0)])
def test_a_time_that_is_over_is_zero_for_the_kernel(timeout: float | Deadline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other time ends with the clock's next tick on Windows, 16 ms later; zero asks and returns."""
    dues = []

    def wait_for(*arguments: Any) -> int:
        dues.append(arguments[-1]._obj.value)
        return int(WinError.WAIT_TIMEOUT)

    monkeypatch.setattr(winapi, "NtWaitForMultipleObjects", wait_for)
    with calls.create_event() as event:
        assert not Waiter(event).wait(timeout)
    assert dues == [0]


def test_each_wait_has_its_own_time_however_long_the_last_was(background: Any) -> None:
    with calls.create_event() as event:
        waiter = Waiter(event)
        assert not waiter.wait(Deadline(0.01))
        waiting = background(waiter.wait, None)
        with pytest.raises(TimeoutError):
            waiting.result(0.2)
        calls.set_event(event)
        assert waiting.result()
        winapi.ResetEvent(event)
        for timeout in (0.01, Deadline(0.01), 0.01, 0):
            begun = time.perf_counter()
            assert not waiter.wait(timeout)
            assert time.perf_counter() - begun < 1
        calls.set_event(event)
        assert waiter.wait(60)

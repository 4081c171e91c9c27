"""Ctrl+C ends every command at once with exit code 130, whatever it waits for, and however often it comes."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from pipectl.core.constants import PipeMode, Wait
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from pipectl.core.win32.handle import handle_break
from tests.commands.interruptible import Interruptible
from tests.pipes import connect_named_pipe, reporting
from tests.runner import run_python

Start = Callable[..., Interruptible]


@pytest.fixture
def start(pipe_name: str) -> Iterator[Start]:
    """Start a command on the pipe."""
    with ExitStack() as stack:

        def started(command: str, *options: str, **how: str) -> Interruptible:
            program = Interruptible(pipe_name, command, *options, **how)
            stack.callback(program.kill)
            return program

        yield started


@pytest.fixture(params=[1, 5], ids=["once", "five times"])
def times(request: pytest.FixtureRequest) -> int:
    """How often Ctrl+C comes, a millisecond apart."""
    return int(request.param)


class Silent(PipeServer):
    """Notes what comes, and says nothing."""

    def __init__(self, pipe: str, *, is_message: bool = True) -> None:
        self.came, self.received = Event(), Event()

        def receive(_client: Client, _data: bytes) -> None:
            self.received.set()

        def greet(_client: Client) -> None:
            self.came.set()

        super().__init__(pipe, receive, events=reporting(connected=greet), config=PipeConfig(is_message=is_message))


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_call_that_waits_for_a_reply(pipe_name: str, start: Start, times: int, is_message: bool) -> None:
    with Silent(pipe_name, is_message=is_message) as server:
        program = start("call", pipe_name, "x", "--timeout", "none")
        assert server.received.wait(20)
        program.interrupt(times)


# The system's part, which is to call the handler of a console's events, needs a console.
CTRL_BREAK = "handle_break()(1)"


def test_call_by_ctrl_break(pipe_name: str, start: Start, times: int) -> None:
    with Silent(pipe_name) as server:
        program = start("call", pipe_name, "x", "--timeout", "none", how=CTRL_BREAK)
        assert server.received.wait(20)
        program.interrupt(times)


def test_serve_by_ctrl_break_says_what_it_has_served(pipe_name: str, start: Start, times: int) -> None:
    program = start("serve", pipe_name, how=CTRL_BREAK)
    with connect(pipe_name, 20, wait=Wait.EXISTS) as client:
        assert client.transact(b"x", 10) == b"x"
        assert "served 1 client" in program.interrupt(times).stderr


def test_ctrl_c_is_left_to_python_by_the_handler_of_other_events() -> None:
    handler: Callable[[int], int] = handle_break()  # type: ignore[assignment]
    assert handler(0) == 0


def test_call_by_the_native_function(pipe_name: str, start: Start, times: int) -> None:
    with Silent(pipe_name) as server:
        program = start("call", pipe_name, "x", "--native", "--timeout", "none")
        assert server.received.wait(20)
        program.interrupt(times)


def test_call_to_a_server_that_does_not_read(pipe_name: str, start: Start, times: int, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(1 << 20))
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE) as server:
        program = start("call", pipe_name, "--data-file", str(tmp_path / "data"), "--timeout", "none")
        connect_named_pipe(server, 20)
        program.interrupt(times)


def test_call_that_waits_for_a_busy_pipe(pipe_name: str, start: Start, times: int) -> None:
    with create_named_pipe(pipe_name, max_instances=1), connect(pipe_name):
        start("call", pipe_name, "x", "--timeout", "none").interrupt(times)


def test_call_that_waits_for_stdin(pipe_name: str, start: Start, times: int) -> None:
    start("call", pipe_name, "-").interrupt(times)


@pytest.mark.parametrize("command", ["read", "connect"])
def test_a_command_that_waits_for_what_a_server_sends(pipe_name: str, start: Start, times: int, command: str) -> None:
    with Silent(pipe_name) as server:
        program = start(command, pipe_name)
        assert server.came.wait(20)
        program.interrupt(times)


def test_write_that_waits_for_a_server_to_read(pipe_name: str, start: Start, times: int) -> None:
    with create_named_pipe(pipe_name) as server:
        program = start("write", pipe_name, "x", "--flush", "--timeout", "none")
        connect_named_pipe(server, 20)
        program.interrupt(times)


def test_serve_without_clients(pipe_name: str, start: Start, times: int) -> None:
    program = start("serve", pipe_name)
    program.said()
    program.interrupt(times)


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_serve_says_once_what_it_came_to(pipe_name: str, start: Start, times: int, options: tuple[str, ...]) -> None:
    program = start("serve", pipe_name, *options)
    with connect(pipe_name, 20, wait=Wait.EXISTS) as client:
        assert client.transact(b"x", 20) == b"x"
        result = program.interrupt(times)
    assert result.stderr.count("served 1 client") == 1
    assert result.stdout.count(b"answered") == 1


@pytest.mark.parametrize("number", range(4))
def test_twice_a_millisecond_apart_ends_no_tear_down_halfway(pipe_name: str, start: Start, number: int) -> None:
    del number
    with Silent(pipe_name) as server:
        calling = start("call", pipe_name, "x", "--timeout", "none")
        assert server.received.wait(20)
        calling.interrupt(2)
    serving = start("serve", pipe_name)
    with connect(pipe_name, 20, wait=Wait.EXISTS):
        serving.wrote()
        assert serving.interrupt(2).stderr.count("served 1 client") == 1
    running = start("popen", "--", sys.executable, "-S", "-c", "import time; print(flush=True); time.sleep(60)")
    running.wrote()
    running.interrupt(2)


def test_an_interrupt_in_a_destructor_is_not_lost(pipe_name: str) -> None:
    program = """
import pipectl.cli, signal
from pipectl.output.serverlog import ServerLog

class Unlucky:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

pipectl.cli._TEAR_DOWN = 300
ServerLog.started = lambda log, server: Unlucky() and None
pipectl.cli.main()
"""
    done = run_python(program, "serve", pipe_name, timeout=50)
    assert (done.returncode, done.stderr.strip()) == (130, "")


def test_a_tear_down_that_hangs_is_ended(pipe_name: str) -> None:
    program = """
import pipectl.cli, signal, threading
from pipectl.output.serverlog import ServerLog

def hang(log):
    signal.raise_signal(signal.SIGINT)
    threading.Event().wait(60)

pipectl.cli._TEAR_DOWN = 1
ServerLog.started = lambda log, server: signal.raise_signal(signal.SIGINT)
ServerLog.summarize = hang
pipectl.cli.main()
"""
    begun = time.perf_counter()
    done = run_python(program, "serve", pipe_name, timeout=50)
    assert (done.returncode, "Traceback" in done.stderr) == (130, False)
    assert time.perf_counter() - begun < 30


def test_serve_with_a_client_that_does_not_read(pipe_name: str, start: Start, times: int, tmp_path: Path) -> None:
    (tmp_path / "reply").write_bytes(bytes(10 << 20))
    program = start("serve", pipe_name, "--reply-file", str(tmp_path / "reply"))
    with connect(pipe_name, 20, wait=Wait.EXISTS) as client:
        client.send(b"x", 5)
        while b"answered" not in program.wrote():
            pass
        program.interrupt(times)


def test_serve_with_a_program_that_runs(pipe_name: str, start: Start, times: int) -> None:
    program = start("serve", pipe_name, "--exec", sys.executable, "-c", "import time; time.sleep(60)")
    with connect(pipe_name, 20, wait=Wait.EXISTS) as client:
        client.send(b"x", 5)
        while b"received" not in program.wrote():
            pass
        program.interrupt(times)


def test_transact_that_waits_for_stdin(pipe_name: str, start: Start, times: int) -> None:
    with Silent(pipe_name) as server:
        program = start("transact", pipe_name)
        assert server.came.wait(20)
        program.interrupt(times)


@pytest.mark.parametrize("condition", ["exists", "free", "gone"])
def test_wait(pipe_name: str, start: Start, times: int, condition: str) -> None:
    with ExitStack() as stack:
        if condition != "exists":
            stack.enter_context(create_named_pipe(pipe_name, max_instances=1))
            stack.enter_context(connect(pipe_name))
        start("wait", pipe_name, "--for", condition, "--timeout", "none").interrupt(times)


def test_peek_that_waits_for_something(pipe_name: str, start: Start, times: int) -> None:
    with Silent(pipe_name) as server:
        program = start("peek", pipe_name, "--timeout", "none")
        assert server.came.wait(20)
        program.interrupt(times)


def test_client_pid(pipe_name: str, start: Start, times: int) -> None:
    program = start("client-pid", pipe_name)
    program.said()
    program.interrupt(times)


def test_popen(start: Start, times: int) -> None:
    program = start("popen", "--", sys.executable, "-c", "import time; print(flush=True); time.sleep(60)")
    program.wrote()
    program.interrupt(times)

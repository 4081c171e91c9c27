"""Programs as answers: several at once, failing ones, and none that outlives its server."""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeClosedError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.contract import ServerEvents
from pipectl.core.pipe.server import PipeServer
from pipectl.core.traffic import programs
from pipectl.core.traffic.programs import Failure, ProgramAnswers
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import wait
from tests.core.children.programs import process

ECHO = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"


class Told(ServerEvents):
    """What a server with a program was told."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.failures: list[Failure] = []

    def answered(self, _client: Client, data: bytes) -> None:
        self.answers.append(data)

    def failed(self, _client: Client, failure: Failure) -> None:
        self.failures.append(failure)


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-c", program, *arguments]


def nothing(_client: Client) -> dict[str, str]:
    return {}


@contextmanager
def serving(pipe: str, arguments: list[str], told: Told, timeout: float | None = None) -> Iterator[PipeServer]:
    answers = ProgramAnswers(arguments, nothing, told.failed, timeout=timeout)
    with closing(answers), PipeServer(pipe, answers, events=told) as server:
        yield server


def test_a_message_is_stdin_and_stdout_the_answer(pipe_name: str) -> None:
    told, messages = Told(), [b"", b"\0\xff\r\n", os.urandom(1 << 20)]
    with serving(pipe_name, python(ECHO), told), connect(pipe_name) as client:
        assert [client.transact(data, 20) for data in messages] == messages
    assert (told.answers, told.failures) == (messages, [])


def test_answers_of_one_client_come_in_the_order_of_its_messages(pipe_name: str) -> None:
    program = "import sys, time; data = sys.stdin.read(); time.sleep(0.4 if data == 'slow' else 0); print(data, end='')"
    with serving(pipe_name, python(program), Told()), connect(pipe_name) as client:
        client.send(b"slow", 5)
        client.send(b"fast", 5)
        assert [client.receive(10), client.receive(10)] == [b"slow", b"fast"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (python("import os; os.write(2, b' why \\n'); os._exit(3)"), 3, "why"),
        (python("import os; os.write(2, b'f\\x81r'); os._exit(3)"), 3, "für"),
        (["there-is-no-such-program"], None, None),
    ],
    ids=["fails", "fails in another code page", "absent"],
)
def test_without_an_answer_the_client_is_let_go_and_the_failure_told(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int | None, text: str | None
) -> None:
    monkeypatch.setattr(winapi, "GetConsoleOutputCP", lambda: 850)
    told = Told()
    with serving(pipe_name, arguments, told), connect(pipe_name) as client, pytest.raises(PipeClosedError):
        client.transact(b"x", 20)
    (failure,) = told.failures
    assert failure.exit_code == code
    assert text is None or failure.text == text
    assert told.answers == []


# Starts a program of its own, writes the numbers of both to a file, and hangs; with a message it answers at once.
HANG = """
import os, subprocess, sys, time
if sys.stdin.read():
    print("quick", end="")
    sys.exit()
started = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
with open(sys.argv[1], "w") as file:
    print(os.getpid(), started.pid, file=file)
time.sleep(60)
"""


def test_a_program_that_takes_too_long_ends_with_what_it_started(pipe_name: str, tmp_path: Path) -> None:
    told, numbers, begun = Told(), tmp_path / "numbers", time.perf_counter()
    with serving(pipe_name, python(HANG, str(numbers)), told, timeout=4):
        with connect(pipe_name) as client:
            client.send(b"", 5)
            while not (numbers.exists() and numbers.read_text().endswith("\n")):
                assert told.failures == [], "the program was ended before it had begun"
                time.sleep(0.01)
            with ExitStack() as stack:
                both = [stack.enter_context(process(int(pid))) for pid in numbers.read_text().split()]
                with pytest.raises(PipeClosedError):
                    client.receive(20)
                assert [wait(one, Deadline(5)) for one in both] == [True, True]
        with connect(pipe_name) as client:
            assert client.transact(b"x", 20) == b"quick"
    assert time.perf_counter() - begun < 40
    assert [(failure.exit_code, failure.was_ended) for failure in told.failures] == [(None, True)]
    assert told.answers == [b"quick"]


def test_a_program_that_stays_within_its_time_answers(pipe_name: str) -> None:
    told, slow = Told(), "import time; time.sleep(1); print('slow', end='')"
    with serving(pipe_name, python(slow), told, timeout=20), connect(pipe_name) as client:
        assert client.transact(b"x", 20) == b"slow"
    assert told.failures == []


def test_programs_that_take_too_long_leave_no_handle(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch, handle_count: Callable[[], int]
) -> None:
    monkeypatch.setattr(programs, "_AT_ONCE", 1)
    told, counts = Told(), []
    answers = ProgramAnswers(python("import time; time.sleep(60)"), nothing, told.failed, timeout=0.2)
    with closing(answers), PipeServer(pipe_name, answers, events=told) as server:
        for _ in range(8):
            with connect(pipe_name) as client, pytest.raises(PipeClosedError):
                client.transact(b"x", 20)
            while server.connected:
                time.sleep(0.01)
            # In the one thread, so that it is done with the program; tracebacks of timeouts hold what they passed.
            answers._pool.submit(gc.collect).result(20)
            counts.append(handle_count())
    assert counts[-1] <= counts[2] + 2, counts  # one handle a program would be five
    assert [failure.was_ended for failure in told.failures] == [True] * 8


def test_programs_that_hang_end_with_the_clients_that_left(pipe_name: str, tmp_path: Path) -> None:
    hang = "import os, sys, time; open(os.path.join(sys.argv[1], str(os.getpid())), 'w'); time.sleep(60)"
    told = Told()
    begun = time.perf_counter()
    with serving(pipe_name, python(hang, str(tmp_path)), told) as server:
        for count in range(1, 4):
            with connect(pipe_name, 5) as client:
                client.send(b"x", 5)
                while len(list(tmp_path.iterdir())) < count:
                    time.sleep(0.01)
        while server.connected:
            time.sleep(0.01)
    assert time.perf_counter() - begun < 30
    assert (told.answers, told.failures) == ([], [])


def test_a_server_that_ends_ends_its_programs(pipe_name: str, tmp_path: Path) -> None:
    program = "import sys, time; open(sys.argv[1], 'w'); time.sleep(1); open(sys.argv[2], 'w')"
    told = Told()
    begun, alive = tmp_path / "begun", tmp_path / "alive"
    with serving(pipe_name, python(program, str(begun), str(alive)), told), connect(pipe_name) as client:
        client.send(b"x", 5)
        while not begun.exists():
            time.sleep(0.01)
    time.sleep(1.2)
    assert not alive.exists()
    assert (told.answers, told.failures) == ([], [])


def test_an_error_where_it_is_told_ends_the_server(pipe_name: str) -> None:
    def fail(_client: Client, _failure: Failure) -> None:
        raise RuntimeError("cannot tell")

    answers = ProgramAnswers(python("import sys; sys.exit(3)"), nothing, fail)
    with closing(answers), PipeServer(pipe_name, answers) as server, connect(pipe_name) as client:
        client.send(b"x", 5)
        with pytest.raises(RuntimeError, match="cannot tell"):
            server.wait(20)

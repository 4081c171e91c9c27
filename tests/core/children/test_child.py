"""`Child` and `run`: streams that come live, the ends of a child, and what must not outlive it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import pipectl
from pipectl.core.children.child import Child, run
from pipectl.core.deadline import Deadline
from pipectl.core.errors import MessageTooLongError, PipeTimeoutError
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle, wait

from .programs import MEGABYTES, STAY, process, python

if TYPE_CHECKING:
    from concurrent.futures import Future

Background = Callable[..., "Future[Any]"]


# Streaming


class Sink:
    """Takes chunks, and tells when it has got something."""

    def __init__(self) -> None:
        self.data = b""
        self.came = threading.Event()

    def __call__(self, chunk: bytes) -> None:
        self.data += chunk
        self.came.set()


@pytest.fixture
def silence() -> Iterator[Iterator[bytes]]:
    """A source that gives nothing before the test is over."""
    over = threading.Event()

    def wait_for_it() -> Iterator[bytes]:
        over.wait(60)
        yield b""

    yield wait_for_it()
    over.set()


def test_what_a_child_writes_comes_live_and_apart() -> None:
    stdout, stderr = Sink(), Sink()

    def answers() -> Iterator[bytes]:
        assert stdout.came.wait(20)
        yield b"go on\n"
        assert stderr.came.wait(20)
        yield b"end\n"

    program = """
import os, sys
os.write(1, b"one")
sys.stdin.readline()
os.write(2, b"two")
sys.stdin.readline()
sys.exit(3)
"""
    with Child(python(program), stdin=answers(), on_stdout=stdout, on_stderr=stderr) as child:
        assert child.wait(30) == 3
    assert (stdout.data, stderr.data) == (b"one", b"two")
    stats = child.stats
    assert stats[:3] == (10, 3, 3)
    assert stats.exit_code == 3
    assert 0 < stats.seconds < 30
    assert child.stats == stats  # the clock stands still


def test_without_a_sink_for_stderr_the_streams_come_as_one() -> None:
    output = Sink()
    with Child("echo one& echo two>&2", on_stdout=output) as child:
        child.wait(20)
    assert output.data == b"one\r\ntwo\r\n"


def test_the_exit_code_can_be_asked_for_again_and_later() -> None:
    with Child("exit 7", on_stdout=Sink()) as child:
        assert child.stats.exit_code is None or child.wait(20) == 7
        assert (child.wait(20), child.wait(0)) == (7, 7)
    child.close()
    assert child.wait(0) == 7


def test_a_wait_that_timed_out_can_be_repeated() -> None:
    stdout, may_end = Sink(), threading.Event()

    def ends() -> Iterator[bytes]:
        assert may_end.wait(20)
        yield b""

    with Child(python(STAY), stdin=ends(), on_stdout=stdout) as child:
        for _ in range(2):
            with pytest.raises(PipeTimeoutError) as raised:
                child.wait(0.01)
            assert raised.value.symbol == "ERROR_TIMEOUT"
        may_end.set()
        assert child.wait(20) == 0


def test_an_error_in_a_sink_ends_the_child_and_is_raised(silence: Iterator[bytes]) -> None:
    def full(_chunk: bytes) -> None:
        raise OSError("the disk is full")

    with (
        Child(python(STAY), stdin=silence, on_stdout=full) as child,
        pytest.raises(OSError, match="the disk is full"),
    ):
        child.wait(20)


def test_an_error_in_the_source_ends_the_child_and_is_raised() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the disk is broken")

    with (
        Child(python("while True: pass"), stdin=broken(), on_stdout=Sink()) as child,
        pytest.raises(OSError, match="the disk is broken"),
    ):
        child.wait(20)


def test_a_child_that_closes_its_stdin_early_is_no_error_and_loses_nothing() -> None:
    data = bytes(MEGABYTES)
    program = f"import os; os.close(0); os.write(1, b'x' * {MEGABYTES}); os._exit(7)"
    done = run(python(program), data, timeout=30)
    assert done == (7, b"x" * MEGABYTES, b"")


def test_a_source_that_gives_nothing_holds_nobody_up(silence: Iterator[bytes]) -> None:
    begun = time.perf_counter()
    with Child("exit 7", stdin=silence, on_stdout=Sink()) as child:
        assert child.wait(20) == 7
    assert time.perf_counter() - begun < 10


# Ends


def family() -> tuple[Child, Handle, Handle]:
    """A child that does not end, with a child of its own that does not either; and handles on the two processes."""
    program = """
import os, subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
os.write(1, b"%d %d" % (os.getpid(), grandchild.pid))
time.sleep(60)
"""
    stdout = Sink()
    child = Child(python(program), on_stdout=stdout)
    assert stdout.came.wait(20)
    first, second = (process(int(pid)) for pid in stdout.data.split())
    return child, first, second


def test_a_deadline_ends_the_child_and_all_that_it_has_started() -> None:
    child, first, second = family()
    with first, second:
        assert not wait(second, Deadline(0))
        begun = time.perf_counter()
        with pytest.raises(PipeTimeoutError), child:
            child.wait(0.2)
        took = time.perf_counter() - begun
        assert wait(first, Deadline(10))
        assert wait(second, Deadline(10))
    assert 0.2 <= took < 0.5


def test_a_child_does_not_run_before_it_is_in_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    assign = winapi.AssignProcessToJobObject
    has_run = []

    def late(job: Handle, child: Handle) -> int:
        has_run.append(wait(child, Deadline(0.5)))
        return int(assign(job, child))

    monkeypatch.setattr(winapi, "AssignProcessToJobObject", late)
    assert run("exit 7").exit_code == 7
    assert has_run == [False]


def test_a_child_can_be_ended_from_another_thread(background: Background) -> None:
    child, first, second = family()
    with first, second, child:
        ending = background(child.kill)
        assert child.wait(10) == 1
        assert wait(second, Deadline(10))
        ending.result(10)


def test_the_end_of_the_process_ends_its_children_too() -> None:
    program = """
import os, sys
from pipectl.core.children.child import Child
child = Child([sys.executable, "-S", "-u", "-c", "import os, time; print(os.getpid()); time.sleep(60)"],
              on_stdout=lambda data: os.write(1, data))
child.wait()
"""
    root = str(Path(pipectl.__file__).parents[1])
    with subprocess.Popen([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        with process(int(parent.stdout.readline())) as child:
            parent.kill()
            assert wait(child, Deadline(10))


def test_what_a_child_leaves_behind_at_its_normal_end_lives_on() -> None:
    program = """
import subprocess, sys
daemon = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          creationflags=subprocess.DETACHED_PROCESS)
print(daemon.pid)
daemon.returncode = 0
"""
    pid = int(run(python(program), timeout=20).stdout)
    with process(pid) as daemon:
        assert not wait(daemon, Deadline(0.2))
        os.kill(pid, signal.SIGTERM)
        assert wait(daemon, Deadline(10))


_WAITS = {
    "read of a file": "popen3(silent)[1].read()",
    "write to a file": "popen(silent, 'wb').write(bytes(10_000_000))",
    "close of a file": "popen(silent, 'wb').close()",
    "wait for a child": "Child(silent, on_stdout=len).__enter__().wait()",
    "run": "run(silent, bytes(10_000_000))",
}


@pytest.mark.parametrize("waits", _WAITS)
def test_ctrl_c_ends_a_wait_at_once(waits: str) -> None:
    program = f"""
import os, signal, sys, threading, time
from pipectl.core.children.child import Child, run
from pipectl.core.children.files import popen, popen3

silent = [sys.executable, "-S", "-c", "import time; time.sleep(20)"]
begun = []

def interrupt():
    begun.append(time.perf_counter())
    signal.raise_signal(signal.SIGINT)

threading.Timer(0.5, interrupt).start()
try:
    {_WAITS[waits]}
except KeyboardInterrupt:
    os._exit(int((time.perf_counter() - begun[0]) * 1000))
os._exit(12345)
"""
    root = str(Path(pipectl.__file__).parents[1])
    milliseconds = subprocess.run([sys.executable, "-c", program], cwd=root, timeout=30, check=False).returncode
    assert milliseconds < 200


# One exchange


def test_an_exchange_gives_back_everything_whatever_the_bytes() -> None:
    data = os.urandom(MEGABYTES)
    program = """
import os, sys
data = sys.stdin.buffer.read()
sys.stderr.buffer.write(data[::-1])
sys.stderr.flush()
sys.stdout.buffer.write(data)
sys.stdout.flush()
os._exit(3)
"""
    assert run(python(program), data, timeout=60) == (3, data, data[::-1])


def test_the_environment_is_added_to() -> None:
    name = f"pipectl_test_{uuid4().hex}"
    program = f"import os, sys; sys.stdout.buffer.write((os.environ['{name}'] + str('PATH' in os.environ)).encode())"
    assert run(python(program), env={name: "grüße 🌍 "}).stdout.decode() == "grüße 🌍 True"
    assert name.upper() not in os.environ
    assert run(python("import os; print('PATH' in os.environ)"), env={}).stdout == b"True\r\n"


def test_the_environment_knows_no_case() -> None:
    lines = run("set PATH", env={"Path": "mine"}).stdout.splitlines()
    assert [line for line in lines if line.upper().startswith(b"PATH=")] == [b"PATH=mine"]


def test_an_exit_code_is_unsigned() -> None:
    assert run("exit -1073741819").exit_code == 0xC000_0005


def test_a_program_that_runs_too_long_is_ended() -> None:
    begun = time.perf_counter()
    with pytest.raises(PipeTimeoutError):
        run(python("while True: pass"), timeout=0.5)
    assert 0.5 <= time.perf_counter() - begun < 0.8


@pytest.mark.parametrize("stream", [1, 2])
def test_a_program_that_writes_too_much_is_ended(stream: int) -> None:
    with pytest.raises(MessageTooLongError) as raised:
        run(python(f"import os\nwhile True: os.write({stream}, bytes(1000))"), timeout=30, max_output=100_000)
    assert 100_000 < len(raised.value.data) < 200_000

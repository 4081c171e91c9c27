"""What a child leaves behind: programs that hold its streams, and one that nobody waits for."""

import _winapi
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pipectl.core.children.child import Child, run
from pipectl.core.children.files import popen
from pipectl.core.children.process import read_some
from pipectl.core.deadline import Deadline
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import fd_create_pipe
from pipectl.core.win32.handle import Handle, wait

from .programs import process, python

CREATE_SUSPENDED = 0x4

# Starts a program that holds its stdout and stderr, says its number, and ends.
LEAVE = """
import os, subprocess, sys
left = subprocess.Popen([sys.executable, "-S", "-u", "-c", sys.argv[1]], stdin=subprocess.DEVNULL,
                        stdout=1, stderr=2)
os.write(1, b"%d " % left.pid)
left.returncode = 0
os._exit(7)
"""
QUIET = "import time; time.sleep(60)"
CHATTY = "import os, time\nfor _ in range(600): os.write(1, b'.'); time.sleep(0.03)"
FLOOD = "import os, time\nend = time.time() + 60\nwhile time.time() < end: os.write(1, bytes(1000))"


@contextmanager
def left_behind(output: bytes) -> Iterator[Handle]:
    """The program whose number the output begins with; it is ended at the end."""
    pid = int(output.split()[0])
    with process(pid) as program:
        try:
            yield program
        finally:
            os.kill(pid, signal.SIGTERM)
            assert wait(program, Deadline(10))


@pytest.mark.parametrize("leftover", [QUIET, CHATTY, FLOOD], ids=["quiet", "chatty", "flooding"])
def test_a_child_has_ended_though_what_it_started_holds_its_streams(leftover: str) -> None:
    begun = time.perf_counter()
    done = run(python(LEAVE, leftover), timeout=30)
    took = time.perf_counter() - begun
    assert done.exit_code == 7
    with left_behind(done.stdout) as program:
        assert took < 10
        assert not wait(program, Deadline(0.5))


def test_nothing_is_handed_over_after_the_end() -> None:
    pieces: list[bytes] = []
    with Child(python(LEAVE, CHATTY), on_stdout=pieces.append) as child:
        assert child.wait(30) == 7
        number = len(pieces)
        time.sleep(0.3)
        assert len(pieces) == number
        assert child.stats.stdout == sum(map(len, pieces))
    with left_behind(b"".join(pieces)):
        pass


def test_a_slow_reader_gets_all_that_an_ended_child_wrote() -> None:
    pieces: list[bytes] = []

    def keep(data: bytes) -> None:
        time.sleep(0.7)
        pieces.append(data)

    program = "import os, time\nfor number in range(3): os.write(1, b'%d' % number * 1000); time.sleep(0.1)"
    with Child(python(program), on_stdout=keep) as child:
        assert child.wait(30) == 0
    assert b"".join(pieces) == b"0" * 1000 + b"1" * 1000 + b"2" * 1000


def test_ctrl_c_while_a_child_is_being_started_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Handle] = []
    seen = threading.Event()
    real = _winapi.CreateProcess

    def create(*arguments: Any) -> Any:
        created = real(*arguments)
        started.append(process(created[2]))
        signal.raise_signal(signal.SIGINT)  # it is suspended, and in no job yet
        time.sleep(0.05)
        seen.set()
        return created

    monkeypatch.setattr(_winapi, "CreateProcess", create)
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-S", "-c", QUIET])
    assert seen.wait(10)
    (child,) = started
    with child:
        assert wait(child, Deadline(10))


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The creation flags of each program that is started."""
    found: list[int] = []
    real = _winapi.CreateProcess

    def create(*arguments: Any) -> Any:
        found.append(arguments[5])
        return real(*arguments)

    monkeypatch.setattr(_winapi, "CreateProcess", create)
    return found


@pytest.mark.parametrize("code_page", [0, 437], ids=["no console", "a console"])
def test_only_without_a_console_a_child_gets_a_hidden_one(
    flags: list[int], monkeypatch: pytest.MonkeyPatch, code_page: int
) -> None:
    monkeypatch.setattr(winapi, "GetConsoleOutputCP", lambda: code_page)
    popen("exit 0").close()
    run("exit 0")
    hidden = 0 if code_page else subprocess.CREATE_NO_WINDOW
    # Ctrl+C is for what is left to itself, and not for what this process ends.
    assert flags == [hidden, hidden | CREATE_SUSPENDED | subprocess.CREATE_NEW_PROCESS_GROUP]


def test_a_read_that_gives_nothing_is_not_the_end_of_the_stream() -> None:
    class Hesitant(io.FileIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            return b"" if self.reads <= 3 else super().read(size) or b""

    read_end, write_end = fd_create_pipe()
    with Hesitant(read_end) as pipe:
        os.write(write_end, b"data")
        assert read_some(pipe) == b"data"
        os.close(write_end)
        assert read_some(pipe) == b""

"""The exe in a terminal: it draws, and Ctrl+C ends it; and a conversation, with the exe or without."""

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("makes a terminal as Linux has them", allow_module_level=True)

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 60

if not (_ROOT / ".dev" / "windows" / ".stamp").exists():
    pytest.skip("needs what `dev.py` sets up", allow_module_level=True)

NEEDS_EXE = pytest.mark.skipif(not (_ROOT / "dist" / "pipectl.exe").exists(), reason="needs the exe")


class Terminal:
    """A terminal in which the exe runs, or what `dev.py` runs otherwise."""

    def __init__(self, *arguments: str, door: str = "exe") -> None:
        self.shown = b""
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execv(sys.executable, [sys.executable, str(_ROOT / "scripts" / "dev.py"), door, *arguments])

    def read_until(self, text: bytes | None) -> None:
        """Read what is shown until a text has come, or up to the end."""
        deadline = time.monotonic() + _PATIENCE
        while (text is None or text not in self.shown) and time.monotonic() < deadline:
            if not select.select((self._fd,), (), (), 1)[0]:
                continue
            try:
                self.shown += os.read(self._fd, 1 << 16)
            except OSError:  # the program has ended
                return

    def type(self, data: bytes) -> None:
        """Type something."""
        os.write(self._fd, data)

    def exit_code(self) -> int:
        """Wait for the program's end."""
        self.read_until(None)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


@NEEDS_EXE
def test_ctrl_c_ends_a_server_with_130() -> None:
    terminal = Terminal("serve", f"pipectl-test-{uuid4().hex}")
    terminal.read_until(b"access")
    terminal.type(b"\x03")
    assert terminal.exit_code() == 130


@NEEDS_EXE
def test_tour_is_drawn_with_all_that_drawing_needs() -> None:
    terminal = Terminal("demo")
    assert terminal.exit_code() == 0
    assert b"unexpected" not in terminal.shown


@contextmanager
def serving(pipe: str, *options: str) -> Iterator[None]:
    """Serve a pipe in another process."""
    door = [
        sys.executable,
        str(_ROOT / "scripts" / "dev.py"),
        "run",
        "serve",
        pipe,
        "--once",
        "--log",
        "none",
        *options,
    ]
    with subprocess.Popen(door, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        assert server.stderr
        assert b"serving" in server.stderr.readline()
        yield  # it ends when its one client has left


_LATE = """
import sys, threading
from pipectl import PipeServer
def answer(client, data):
    threading.Timer(2, client.send, [data.upper()]).start()
with PipeServer(sys.argv[1], answer) as server:
    print("serving", flush=True)
    sys.stdin.read()
"""


def test_what_comes_while_one_types_takes_nothing_of_the_line() -> None:
    pipe = rf"\\.\pipe\pipectl-test-{uuid4().hex}"
    door = [sys.executable, str(_ROOT / "scripts" / "dev.py"), "python", "-c", _LATE, pipe]
    with subprocess.Popen(door, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout
        assert b"serving" in server.stdout.readline()
        terminal = Terminal("connect", pipe, door="run")
        terminal.read_until(b">\x1b[K")  # the prompt
        time.sleep(1)  # until Wine's console reads keys, for which there is no event
        terminal.type(b"one\r")
        time.sleep(1)  # for the next prompt, which waits for an answer for a moment
        terminal.type(b"tw")
        terminal.read_until(b"< ONE")
        terminal.type(b"o\r")
        terminal.read_until(b"< TWO")
        terminal.type(b"/quit\r")
        assert terminal.exit_code() == 0
        server.communicate()


def talk(*lines: tuple[str, str], last: bytes, options: tuple[str, ...] = ()) -> tuple[str, int]:
    """Type lines, wait for what each has shown, and type the last; return all of it, and the exit code."""
    pipe = f"pipectl-test-{uuid4().hex}"
    with serving(pipe, *options):
        terminal = Terminal("connect", pipe, door="run")
        terminal.read_until(b">\x1b[K")  # the prompt
        time.sleep(1)  # until Wine's console reads keys, for which there is no event
        for line, answer in lines:
            terminal.type(line.encode() + b"\r")
            terminal.read_until(answer.encode())
        terminal.type(last)
        code = terminal.exit_code()
    return re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", terminal.shown.decode()).replace("\r", ""), code


def test_a_line_is_a_message_and_the_answer_stands_below_it() -> None:
    lines = ("ping", "< ping"), ("/hex 01ff", "01 ff"), ("/nothing", "no `/nothing`"), ("//x", "< /x")
    shown, code = talk(*lines, last=b"/quit\r")
    assert code == 0
    assert ">ping\n< ping\n>" in shown
    assert "/hex 01ff\n< 00000000  01 ff " in shown
    assert "//x\n< /x\n" in shown


def test_escape_sequences_of_the_server_are_shown_and_not_obeyed() -> None:
    shown, code = talk(("ping", "2Jx"), last=b"/quit\r", options=("--escapes", "--reply", r"\x1b[2Jx"))
    assert r"< \x1b[2Jx" in shown
    assert code == 0


def test_ctrl_c_ends_a_conversation_with_130() -> None:
    assert talk(("ping", "< ping"), last=b"\x03")[1] == 130


def test_the_server_hears_of_eof_and_its_own_end_is_the_end() -> None:
    shown, code = talk(("ping", "< ping"), last=b"/eof\r")
    assert shown.rstrip().endswith("< <empty message>")
    assert code == 0


def test_each_raw_key_is_sent_at_once_and_unseen_until_ctrl_bracket() -> None:
    pipe = f"pipectl-test-{uuid4().hex}"
    with serving(pipe):
        options = ("--raw-keys", "--reconnect", "forever", "--send", "first!")
        terminal = Terminal("connect", pipe, *options, door="run")
        terminal.read_until(b"first!")
        time.sleep(1)  # until Wine's console reads keys, for which there is no event
        for key in (b"Q", b"W"):
            terminal.type(key)
            terminal.read_until(key)
        terminal.type(b"\x1d")
        assert terminal.exit_code() == 0
    # Once from the server, and not from the console.
    assert [terminal.shown.count(key) for key in (b"Q", b"W", b"first!")] == [1, 1, 1]

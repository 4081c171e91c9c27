"""The exe in a terminal: it draws, and Ctrl+C ends it."""

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("makes a terminal as Linux has them", allow_module_level=True)

import os
import pty
import select
import time
from pathlib import Path
from uuid import uuid4

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 60

if not (_ROOT / "dist" / "pipectl.exe").exists() or not (_ROOT / ".dev" / "windows" / ".stamp").exists():
    pytest.skip("needs the exe, and what `dev.py` sets up", allow_module_level=True)


class Terminal:
    """A terminal in which the exe runs."""

    def __init__(self, *arguments: str) -> None:
        self.shown = b""
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execv(sys.executable, [sys.executable, str(_ROOT / "scripts" / "dev.py"), "exe", *arguments])

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


def test_ctrl_c_ends_a_server_with_130() -> None:
    terminal = Terminal("serve", f"pipectl-test-{uuid4().hex}")
    terminal.read_until(b"access")
    terminal.type(b"\x03")
    assert terminal.exit_code() == 130


def test_tour_is_drawn_with_all_that_drawing_needs() -> None:
    terminal = Terminal("demo")
    assert terminal.exit_code() == 0
    assert b"unexpected" not in terminal.shown

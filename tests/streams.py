"""Standard streams that store what was written, and may be terminals."""

import io
import sys

import pytest

from pipectl.output import Mode, Output


class Stream(io.TextIOWrapper):
    """A standard stream that stores what was written, and may be a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="\n")
        self._is_terminal = is_terminal
        self.is_broken = False

    def flush(self) -> None:
        if self.is_broken:
            raise BrokenPipeError
        super().flush()

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def written(self) -> bytes:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()

    @property
    def text(self) -> str:
        return self.written.decode()


class Streams:
    """Standard streams for an Output: terminals of 80 columns without colors, or redirected."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, are_terminals: bool) -> None:
        self.stdout, self.stderr = Stream(is_terminal=are_terminals), Stream(is_terminal=are_terminals)
        self._monkeypatch = monkeypatch

    def connect(self) -> None:
        """Install them as standard streams; only call this in a test, because pytest installs its own before."""
        self._monkeypatch.setattr(sys, "stdout", self.stdout)
        self._monkeypatch.setattr(sys, "stderr", self.stderr)

    def output(self, mode: Mode | None = None, *, quiet: bool = False, verbosity: int = 0) -> Output:
        """Return an Output that writes to them."""
        self.connect()
        output = Output()
        output.mode, output.quiet, output.verbosity = mode, quiet, verbosity
        return output

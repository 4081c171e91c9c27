"""`popen`, `popen2`, `popen3` and `popen4`: files for the streams of a child, as in Python 2 and pywin32.

A string is run by the shell, `close` returns the exit status, and the child is never killed. A pipe holds a few
kilobytes, and a child that fills one while the program waits on another would deadlock. So each file is read by a
thread of its own while the program waits on any file of the child. At other times, a child that fills a pipe blocks, as
it should.
"""

import contextlib
import io
import os
import subprocess
import warnings
from collections.abc import Iterator
from errno import EINVAL, EPIPE
from functools import partial
from threading import Condition, Thread
from typing import IO, TYPE_CHECKING, Any, Self

from pipectl.core.deadline import Deadline
from pipectl.core.win32 import winapi
from pipectl.core.win32.blocking import run_blocking
from pipectl.core.win32.calls import create_event
from pipectl.core.win32.handle import wait
from pipectl.core.win32.processes import StdHandle

from .process import Command, Process, inherited, pipe, read_some


class _Family:
    """The state that the files of one child share: the child, how many are open, and which are waited on."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.process: Process | None = None
        self._open = 0
        self._waited_at: list[io.RawIOBase] = []

    def join(self) -> None:
        self._open += 1

    def leave(self, *, may_wait: bool) -> int | None:
        """Count a closed file; after the last, wait for the child, and return its status, or None if that is 0."""
        with self.changed:
            self._open -= 1
            if self._open or self.process is None:
                return None
            process, self.process = self.process, None
        try:
            return (process.wait(Deadline(None)) or None) if may_wait else None
        finally:
            process.close()

    @contextlib.contextmanager
    def waiting_at(self, stream: io.RawIOBase) -> Iterator[None]:
        """Read all streams of the child while the block runs, so that the child is not blocked by another stream."""
        with self.changed:
            self._waited_at.append(stream)
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self._waited_at.remove(stream)

    def wants(self, stream: io.RawIOBase, *, has_data: bool) -> bool:
        """Return whether to read more of a stream: a wait on it has no data, or a wait on another stream is pending."""
        return any(other is not stream or not has_data for other in self._waited_at)


class _Input(io.RawIOBase):
    """The stream that a child reads."""

    def __init__(self, pipe: io.FileIO, family: _Family) -> None:
        self._pipe = pipe
        self._family = family

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._pipe.fileno()

    def write(self, data: Any) -> int | None:
        # A copy, because Ctrl+C may leave the write pending.
        write = partial(self._pipe.write, bytes(data))
        try:
            with self._family.waiting_at(self):
                return run_blocking(write, Deadline(None))
        except OSError as error:
            # ERROR_NO_DATA, which means that the reader has closed, becomes EINVAL in the C runtime.
            if error.errno != EINVAL:
                raise
            raise BrokenPipeError(EPIPE, os.strerror(EPIPE)) from None

    def close(self) -> None:
        self._pipe.close()
        super().close()


class _Output(io.RawIOBase):
    """A stream that a child writes; a thread reads the pipe while that is needed, so that Ctrl+C ends a wait."""

    def __init__(self, pipe: io.FileIO, family: _Family) -> None:
        self._pipe = pipe
        self._family = family
        # All of these under the lock of `family.changed`.
        self._data = bytearray()
        self._ended = False
        self._is_reading = False
        self._ready = create_event()
        Thread(target=self._pump, name="popen", daemon=True).start()

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._pipe.fileno()

    def readinto(self, memory: Any) -> int:
        with self._family.waiting_at(self):
            wait(self._ready, Deadline(None))
        with self._family.changed:
            count = min(len(memory), len(self._data))
            memory[:count] = self._data[:count]
            del self._data[:count]
            if not self._data and not self._ended:
                winapi.ResetEvent(self._ready)
        return count

    def close(self) -> None:
        with self._family.changed:
            if not self.closed:
                super().close()
                self._ready.close()
                self._family.changed.notify_all()
                if not self._is_reading:
                    self._pipe.close()

    # The thread

    def _pump(self) -> None:
        while self._is_wanted():
            data = read_some(self._pipe)
            with self._family.changed:
                self._is_reading = False
                if self.closed:
                    self._pipe.close()
                    return
                self._data += data
                self._ended = not data
                winapi.SetEvent(self._ready)

    def _is_wanted(self) -> bool:
        """Wait until a read is needed; return False if none will be."""
        with self._family.changed:
            self._family.changed.wait_for(
                lambda: self.closed or self._ended or self._family.wants(self, has_data=bool(self._data))
            )
            self._is_reading = not self.closed and not self._ended
            return self._is_reading


class _UnbufferedWriter(io.BufferedWriter):
    """Writes at once, like the files of Python 2, so that a child can answer each request."""

    def write(self, data: Any) -> int:
        count = super().write(data)
        self.flush()
        return count


if TYPE_CHECKING:
    _File = IO[Any]
else:
    _File = object


class PipeFile(_File):
    """A file on a stream of a child, whose `close` returns the child's exit status.

    That is None for 0, as in Python 2, else the code, unsigned. Only the last file of the child that is closed returns
    it, after waiting for the child's end; the others return None. `write` sends at once.
    """

    _family: _Family | None = None

    def joining(self, family: _Family) -> Self:
        """Add the file to a family; without one, it closes like any other file."""
        self._family = family
        family.join()
        return self

    def close(self) -> int | None:  # type: ignore[override]
        """Close the file; if it is the child's last one, wait for the child's end and return its exit status."""
        return self._close(may_wait=True)

    def _close(self, *, may_wait: bool) -> int | None:
        family, self._family = self._family, None
        with contextlib.suppress(BrokenPipeError):  # which `write` has already raised
            super().close()
        return family.leave(may_wait=may_wait) if family else None

    def __del__(self) -> None:
        # Garbage collection must not wait for a child.
        if self._family is not None:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            self._close(may_wait=False)


class _TextFile(PipeFile, io.TextIOWrapper):  # type: ignore[misc]
    pass


class _BinaryReader(PipeFile, io.BufferedReader):  # type: ignore[misc]
    pass


class _BinaryWriter(PipeFile, _UnbufferedWriter):  # type: ignore[misc]
    pass


def popen(command: Command, mode: str = "r", *, encoding: str | None = None, errors: str | None = None) -> PipeFile:
    """Run a command and return a file on its stdout (`r`) or stdin (`w`), of text, or of bytes with a `b` after it.

    Its other outputs are those of this process, if there are any, and it has no other input. Text is encoded as in
    `open`; the output of the shell's own commands is `encoding="oem"`.
    """
    if mode not in ("r", "rt", "rb", "w", "wt", "wb"):
        raise ValueError(f"mode must be 'r' or 'w', and 't' or 'b' after it, not {mode!r}")
    stdin, stdout = (
        (subprocess.DEVNULL, subprocess.PIPE) if mode[0] == "r" else (subprocess.PIPE, inherited(StdHandle.OUTPUT))
    )
    streams = stdin, stdout, inherited(StdHandle.ERROR)
    return _files(command, streams, mode[1:] or "t", encoding, errors)[0]


def popen2(
    command: Command, mode: str = "t", *, encoding: str | None = None, errors: str | None = None
) -> tuple[PipeFile, PipeFile]:
    """Run a command and return files on its stdin and stdout, of text (`t`) or bytes (`b`); otherwise like `popen`."""
    streams = subprocess.PIPE, subprocess.PIPE, inherited(StdHandle.ERROR)
    stdin, stdout = _files(command, streams, mode, encoding, errors)
    return stdin, stdout


def popen3(
    command: Command, mode: str = "t", *, encoding: str | None = None, errors: str | None = None
) -> tuple[PipeFile, PipeFile, PipeFile]:
    """Run a command and return files on its stdin, stdout and stderr; otherwise like `popen2`."""
    streams = subprocess.PIPE, subprocess.PIPE, subprocess.PIPE
    stdin, stdout, stderr = _files(command, streams, mode, encoding, errors)
    return stdin, stdout, stderr


def popen4(
    command: Command, mode: str = "t", *, encoding: str | None = None, errors: str | None = None
) -> tuple[PipeFile, PipeFile]:
    """Run a command and return files on its stdin, and on its stdout and stderr together; otherwise like `popen2`."""
    streams = subprocess.PIPE, subprocess.PIPE, subprocess.STDOUT
    stdin, output = _files(command, streams, mode, encoding, errors)
    return stdin, output


def _files(
    command: Command,
    streams: tuple[int, int | None, int | None],
    mode: str,
    encoding: str | None,
    errors: str | None,
) -> list[PipeFile]:
    """Start a command and return a file for each of its three streams that is subprocess.PIPE."""
    if mode not in ("t", "b"):
        raise ValueError(f"mode must be 't' or 'b', not {mode!r}")
    family = _Family()
    files: list[PipeFile] = []
    ends = list(streams)
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undo:
        for index, stream in enumerate(streams):
            if stream == subprocess.PIPE:
                ends[index], end = pipe(theirs, undo, to_child=index == 0)
                raw = _Output(end, family) if index else _Input(end, family)
                undo.callback(raw.close)
                files.append(_file(raw, mode, encoding, errors))
        family.process = Process(command, *ends)
        undo.pop_all()
    return [file.joining(family) for file in files]


def _file(raw: _Input | _Output, mode: str, encoding: str | None, errors: str | None) -> PipeFile:
    is_output = isinstance(raw, _Output)
    if mode == "b":
        return _BinaryReader(raw) if is_output else _BinaryWriter(raw)
    buffer = io.BufferedReader(raw) if is_output else _UnbufferedWriter(raw)
    return _TextFile(buffer, encoding or "locale", errors, write_through=True)

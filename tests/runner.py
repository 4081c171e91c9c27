"""Runs pipectl for the tests, in this process or in a separate one, and returns its result."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from concurrent.futures import Future

# The time limit in seconds: long enough for a busy machine, and ends a test that would hang.
_PATIENCE = 60
_ROOT = Path(__file__).parents[1]


class Result(NamedTuple):
    """The result of a command."""

    exit_code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Its stdout as text."""
        return self.stdout.decode()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects that it wrote to stdout."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object that it wrote to stdout."""
        (only,) = self.objects
        return only

    @property
    def error(self) -> dict[str, Any]:
        """The JSON error that it wrote to stderr."""
        error: dict[str, Any] = json.loads(self.stderr.splitlines()[-1])["error"]
        return error


Pipectl = Callable[..., Result]
Background = Callable[..., "Future[Any]"]


def run_process(arguments: Sequence[str], stdin: bytes = b"", env: dict[str, str] | None = None) -> Result:
    """Run a program to its end, with additional environment variables."""
    done = subprocess.run(
        arguments,
        input=stdin,
        capture_output=True,
        timeout=_PATIENCE,
        env=env and {**os.environ, **env},
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr.decode())


def run_python(
    program: str, *arguments: str, timeout: float = 30, stdout: int | IO[bytes] = subprocess.PIPE
) -> "subprocess.CompletedProcess[str]":
    """Run a Python program that can import pipectl and the tests."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=timeout,
        check=False,
        cwd=_ROOT,
    )


class Running:
    """A running program."""

    def __init__(self, arguments: Sequence[str], *, reads_stdout: bool = True) -> None:
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.pid = self._process.pid
        self._stdout = _Lines(self._process.stdout, reads=reads_stdout)
        self._stderr = _Lines(self._process.stderr)

    def tell(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def said(self) -> str:
        """Wait for the next line on its stderr."""
        return self._stderr.next().decode()

    def wrote(self) -> bytes:
        """Wait for the next line on its stdout."""
        return self._stdout.next()

    def end_stdin(self) -> None:
        """Close its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def end(self) -> Result:
        """Wait for its end, and return its result with the output that was not read before."""
        code = self._process.wait(_PATIENCE)
        return Result(code, self._stdout.rest(), self._stderr.rest().decode())

    def crash(self) -> None:
        """Terminate it at once; its children keep its stdin."""
        self._process.kill()
        self._process.wait(_PATIENCE)

    def kill(self) -> None:
        """Terminate it if it still runs."""
        self._process.kill()
        self._process.wait(_PATIENCE)
        self._stdout.read()
        self._stdout.rest()
        self._stderr.rest()
        self.end_stdin()


class _Lines:
    """The lines of a stream, read by a thread, so that a wait for a line can time out."""

    def __init__(self, stream: IO[bytes] | None, *, reads: bool = True) -> None:
        assert stream is not None
        self._stream = stream
        self._lines: Queue[bytes] = Queue()
        self._thread = Thread(target=self._read, daemon=True)
        if reads:
            self.read()

    def read(self) -> None:
        """Start to read, if that was postponed."""
        if self._thread.ident is None:
            self._thread.start()

    def next(self) -> bytes:
        return self._lines.get(timeout=_PATIENCE)

    def rest(self) -> bytes:
        self._thread.join(_PATIENCE)
        return b"".join(self._lines.queue)

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                self._lines.put(line)


# The type of the fixture `holding`, which starts a program that holds ends of a pipe.
Holding = Callable[..., tuple[Running, str]]

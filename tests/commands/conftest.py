"""Runs pipectl: in this process, or, with `--exe FILE`, as the built program."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import pytest

from pipectl.cli import cli


class Result(NamedTuple):
    """What a command left behind."""

    exit_code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """What it wrote to stdout, as text."""
        return self.stdout.decode()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects that it wrote to stdout."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """The JSON error that it wrote to stderr."""
        error: dict[str, Any] = json.loads(self.stderr.splitlines()[-1])["error"]
        return error


Pipectl = Callable[..., Result]


@pytest.fixture
def program(request: pytest.FixtureRequest) -> list[str]:
    """The command line that starts pipectl as a process of its own."""
    exe = request.config.getoption("--exe")
    return [exe] if exe else [sys.executable, "-m", "pipectl"]


@pytest.fixture
def pipectl(
    request: pytest.FixtureRequest, program: list[str], capsysbinary: pytest.CaptureFixture[bytes]
) -> Pipectl:
    """Run a command line, and give what came of it."""

    def in_process(*arguments: str) -> Result:
        capsysbinary.readouterr()
        code = cli.run(list(arguments), prog_name="pipectl")
        captured = capsysbinary.readouterr()
        return Result(code, captured.out, captured.err.decode())

    def as_process(*arguments: str) -> Result:
        return run_process([*program, *arguments])

    return as_process if request.config.getoption("--exe") else in_process


@pytest.fixture
def pipectl_process(program: list[str]) -> Pipectl:
    """Run a command line as a process of its own, perhaps with something on its stdin, and give what came of it."""

    def run(*arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Result:
        return run_process([*program, *arguments], stdin, env)

    return run


def run_process(arguments: Sequence[str], stdin: bytes = b"", env: dict[str, str] | None = None) -> Result:
    """Run a program to its end, within a minute."""
    done = subprocess.run(arguments, input=stdin, capture_output=True, timeout=60, env=env, check=False)
    return Result(done.returncode, done.stdout, done.stderr.decode())


class Running:
    """A pipectl that runs as a process of its own, until it ends or is ended."""

    def __init__(self, arguments: Sequence[str]) -> None:
        new_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, creationflags=new_group
        )
        self.pid = self._process.pid

    def said(self) -> str:
        """Wait for the next line on stderr."""
        assert self._process.stderr is not None
        return self._process.stderr.readline().decode()

    def end(self) -> Result:
        """Wait for the end, and give what it left."""
        out, err = self._process.communicate(timeout=60)
        return Result(self._process.returncode, out, err.decode())

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def running(program: list[str]) -> Iterator[Callable[..., Running]]:
    """Start a command line as a process of its own; what still runs at the end of the test is ended."""
    started: list[Running] = []

    def start(*arguments: str) -> Running:
        started.append(Running([*program, *arguments]))
        return started[-1]

    yield start
    for process in started:
        process.kill()


Background = Callable[..., "Future[Any]"]

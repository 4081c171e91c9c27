"""Every exit code, each in a real situation."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Self
from unittest.mock import patch
from uuid import uuid4

import pytest

from pipectl.core.checks import ask_names
from pipectl.core.constants import OpenMode
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from pipectl.exitcodes import MEANINGS, PROGRAM_MEANINGS, ExitCode, ProgramCode
from tests.runner import Pipectl

WRITTEN = rf"\\.\pipe\pipectl-test-{uuid4().hex}"
PYTHON = [sys.executable, "-c"]


def echo(_client: Client, data: bytes) -> bytes:
    return data


def keep_silent(_client: Client, _data: bytes) -> None:
    return None


def hang_up(client: Client, _data: bytes) -> None:
    client.close()


def hang_up_at_two(client: Client, data: bytes) -> bytes | None:
    if data == b"two":
        client.close()
        return None
    return data


class Taken(PipeServer):
    """A pipe whose only instance has a client."""

    def __init__(self, pipe: str) -> None:
        super().__init__(pipe, echo, config=PipeConfig(max_instances=1))

    def __enter__(self) -> Self:
        super().__enter__()
        self.client = connect(self.pipe)
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()
        super().__exit__(*error)  # type: ignore[arg-type]


def interrupted(client: Client, _data: bytes) -> None:
    """Interrupt this process with Ctrl+C."""
    import signal

    client.close()
    signal.raise_signal(signal.SIGINT)


def nothing(_pipe: str) -> AbstractContextManager[object]:
    return nullcontext()


def serving(
    answer: Callable[[Client, bytes], bytes | None], config: PipeConfig = PipeConfig()
) -> Callable[[str], PipeServer]:
    return lambda pipe: PipeServer(pipe, answer, config=config)


@contextmanager
def unread(pipe: str) -> Iterator[None]:
    """Serve a pipe, and create another one for output, whose reader leaves before the reply."""
    with create_named_pipe(WRITTEN) as reader:

        def answer(_client: Client, data: bytes) -> bytes:
            reader.close()
            return data

        with PipeServer(pipe, answer):
            yield


def surprised(_pipe: str) -> AbstractContextManager[object]:
    """Make a claim of the self-test differ."""
    return patch.object(ask_names, "unlimited", lambda _fixture: "something else")


Situation = Callable[[str], AbstractContextManager[object]]

SITUATIONS: list[tuple[ExitCode | ProgramCode, Situation, list[str]]] = [
    (ExitCode.DONE, serving(echo), ["call", "PIPE", "x"]),
    (ExitCode.UNEXPECTED, unread, ["call", "PIPE", "x", "-o", WRITTEN]),
    (ProgramCode.TIMED_OUT, nothing, ["popen", "--timeout", "0.2", "--", *PYTHON, "import time; time.sleep(60)"]),
    (ProgramCode.FAILED, nothing, ["popen"]),
    (ProgramCode.NOT_RUN, nothing, ["popen", "--no-stdin", __file__]),
    (ProgramCode.NOT_FOUND, nothing, ["popen", "--no-stdin", "there-is-no-such-program"]),
    (ExitCode.USAGE, nothing, ["call", "PIPE"]),
    (ExitCode.USAGE, nothing, ["call", r"C:\file", "x"]),
    (ExitCode.ABSENT, nothing, ["call", "PIPE", "x"]),
    (ExitCode.BUSY, Taken, ["call", "PIPE", "x", "--timeout", "0.1"]),
    (ExitCode.DENIED, partial(create_named_pipe, open_mode=OpenMode.INBOUND), ["call", "PIPE", "x"]),
    (ExitCode.TIMED_OUT, serving(keep_silent), ["call", "PIPE", "x", "--timeout", "0.1"]),
    (ExitCode.CLOSED, serving(hang_up), ["call", "PIPE", "x"]),
    (ExitCode.MISMATCH, serving(echo), ["call", "PIPE", "x", "--expect-pid", "4"]),
    (ExitCode.STATE, serving(echo, config=PipeConfig(is_message=False)), ["call", "PIPE", "x", "--native"]),
    (ExitCode.PARTIAL, serving(hang_up_at_two), ["transact", "PIPE", "one", "two"]),
    (ExitCode.PARTIAL, serving(echo), ["call", "PIPE", "too long", "--max-message", "4"]),
    (ExitCode.UNSUPPORTED, nothing, ["list", r"\\server\pipe\*"]),
    (ExitCode.FAILED_CHECK, surprised, ["selftest", "--only", "W63"]),
    (ExitCode.FAILED_CHECK, serving(echo), ["bench", "PIPE", "--count", "9", "--no-floor", "--fail-above", "max=0"]),
    (ExitCode.INTERRUPTED, serving(interrupted), ["call", "PIPE", "x"]),
]


@pytest.mark.parametrize(
    ("code", "situation", "line"), SITUATIONS, ids=[f"{code.value}-{line[0]}" for code, _, line in SITUATIONS]
)
def test_each_exit_code_is_met(
    request: pytest.FixtureRequest,
    pipe_name: str,
    pipectl: Pipectl,
    code: ExitCode | ProgramCode,
    situation: Situation,
    line: list[str],
) -> None:
    if code in (ExitCode.INTERRUPTED, ExitCode.FAILED_CHECK) and request.config.getoption("--exe"):
        pytest.skip("needs something done to this process")
    with situation(pipe_name):
        assert pipectl(*(pipe_name if word == "PIPE" else word for word in line)).exit_code == code


def test_the_table_above_has_every_code_and_every_code_has_a_meaning() -> None:
    assert set(ExitCode) == set(MEANINGS)
    assert set(ProgramCode) == set(PROGRAM_MEANINGS)
    assert {code for code, _, _ in SITUATIONS} == {*ExitCode, *ProgramCode}

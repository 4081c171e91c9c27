"""Every command line of docs/talk.md runs as it is printed, but for the name of the pipe and the programs around it."""

import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from pipectl.core.constants import Access, Wait
from pipectl.core.deadline import Deadline
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.exitcodes import ExitCode
from tests.commands.interruptible import Interruptible
from tests.pipes import reporting
from tests.runner import Pipectl

PAGE = (Path(__file__).parents[2] / "docs" / "talk.md").read_text(encoding="utf-8")
_PONG = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


def lines_of(page: str) -> list[str]:
    """Return the command lines of pipectl on a page, without what starts them, feeds them or explains them."""
    blocks = "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```", page))
    found = re.findall(r'(?m)"pipectl(?:\.exe)? ([^"]+)"|(?:^|\| |winhost )pipectl ([^#\n]+)', blocks)
    return [(quoted or bare).rstrip() for quoted, bare in found]


def words(line: str, pipe: str) -> list[str]:
    """Split a line as a shell does, and use another name for its pipe."""
    command, _, *rest = [word.strip('"') for word in shlex.split(line, posix=False)]
    return [command, pipe, *rest]


class Case(NamedTuple):
    """What a line meets, and what comes of it."""

    stdout: bytes
    stdin: bytes = b""
    answer: Callable[[bytes], bytes | None] = lambda data: data
    greeting: bytes | None = None
    is_message: bool = True
    exit_code: int = 0


CASES = {
    "connect mpvsocket --frame line --json": Case(
        b'{"error": "success"}',
        b'{"command":["get_property","pause"]}\n',
        lambda data: b'{"error": "success"}\n' if data.endswith(b"]}\n") else b"not a line",
        is_message=False,
    ),
    "read svc --until line --duration 10": Case(b"news\n", greeting=b"news\n", is_message=False),
    "write svc reload --flush": Case(b"", answer=lambda data: None if data == b"reload" else b"what?"),
    "connect openssh-ssh-agent": Case(b"\0\0\0\1\x0b", b"\0\0\0\1\x0b", is_message=False),
    "connect docker_engine": Case(_PONG, b"GET /_ping HTTP/1.1\r\n\r\n", lambda data: _PONG if data else None),
    "connect ssh-gateway": Case(b"SSH-2.0-x\r\n", b"SSH-2.0-x\r\n", is_message=False),
    r'call docker_engine --escapes "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n" --until http': Case(
        _PONG, answer=lambda data: _PONG if data.endswith(b"Host: d\r\n\r\n") else b"HTTP/1.1 400 \r\n\r\n"
    ),
    # The tests are not SYSTEM.
    "connect svc --expect-user SYSTEM": Case(b"", b"secret", exit_code=ExitCode.MISMATCH),
}
# Served until Ctrl+C: what a client sends, and what it receives.
SERVED = {
    "serve svc --greeting hello --type byte --frame line": (b"ping\n", b"hello\nping\n"),
    "serve news --direction out --reply-file news.txt": (None, b"news"),
    "serve log --direction in --log-file log.txt": (b"line", None),
}
# tests/exe/test_terminal.py runs it, because it needs a terminal.
AT_A_TERMINAL = {"connect com1-of-vm --raw-keys --reconnect forever"}


@contextmanager
def serving(pipe: str, case: Case) -> Iterator[None]:
    def answer(client: Client, data: bytes) -> bytes | None:
        if not data or case.greeting:
            client.close()
        return case.answer(data) if data else None

    def greet(client: Client) -> bytes | None:
        if case.greeting:
            client.send(case.greeting)
            client.close()
        return None

    with PipeServer(pipe, answer, events=reporting(connected=greet), config=PipeConfig(is_message=case.is_message)):
        yield


@pytest.mark.parametrize("line", CASES)
def test_a_line_of_the_page_runs_as_it_is_printed(pipe_name: str, pipectl_process: Pipectl, line: str) -> None:
    case = CASES[line]
    with serving(pipe_name, case):
        result = pipectl_process(*words(line, pipe_name), stdin=case.stdin)
    assert result.exit_code == case.exit_code, result.stderr
    if "--json" in line:
        assert result.object["data"]["text"].encode() == case.stdout
    else:
        assert result.stdout == case.stdout


@pytest.mark.parametrize("line", SERVED)
def test_a_server_of_the_page_runs_until_ctrl_c(
    pipe_name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, expected = SERVED[line]
    (tmp_path / "news.txt").write_bytes(b"news")
    access = {"in": Access.GENERIC_WRITE, "out": Access.GENERIC_READ}
    direction = re.search(r"--direction (\w+)", line)
    with ExitStack() as stack:
        monkeypatch.chdir(tmp_path)
        program = Interruptible(pipe_name, *words(line, pipe_name))
        stack.callback(program.kill)
        client = stack.enter_context(
            connect(pipe_name, 30, wait=Wait.EXISTS, access=access[direction[1]] if direction else Access.DUPLEX)
        )
        if sent:
            client.send(sent, 10)
        received = b""
        while expected and len(received) < len(expected):
            received += client.receive(10)
        assert received == (expected or b"")
        deadline = Deadline(20)
        while "--log-file" in line and b": line" not in (tmp_path / "log.txt").read_bytes():
            assert not deadline.passed
            time.sleep(0.01)
        assert "error" not in program.interrupt().stderr


def test_every_line_of_the_page_is_run() -> None:
    assert {*lines_of(PAGE)} == CASES.keys() | SERVED.keys() | AT_A_TERMINAL

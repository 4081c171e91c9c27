"""The sessions of docs/tap.md print what is printed there, but for names, times and processes."""

import re
from itertools import chain
from pathlib import Path

import pytest

from pipectl.core.constants import Wait
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from tests.runner import Background, Pipectl, Result

PAGE = Path(__file__).parents[2] / "docs" / "tap.md"
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
# The commands of the page, in order, each with what it prints.
SESSIONS = {
    command: output
    for block in BLOCKS
    for command, output in re.findall(r"> (pipectl .+)\n((?:(?!> ).*\n)*)", block)
    if output
}
ASKED = (
    b'{"id": 1, "method": "greet", "params": ["Ann"]}\n',
    b'{"id": 2, "method": "login", "params": {"password": "hunter2"}}\n',
    b'{"id": 3, "method": "sum", "params": [1, 2]}\n',
)
ANSWERED = (
    b'{"id": 1, "result": "hello Ann"}\n',
    b'{"id": 2, "result": true}\n',
    b'{"id": 3, "error": {"code": -32601, "message": "no such method"}}\n',
)


def answer(_client: Client, data: bytes) -> bytes:
    masked = re.sub(rb"\*+", b"hunter2", data)
    return dict(zip(ASKED, ANSWERED, strict=True))[masked]


def newer(_client: Client, data: bytes) -> bytes:
    return answer(_client, data).replace(b"hello", b"hi")


def ask(pipe: str) -> None:
    with connect(pipe, 20, wait=Wait.EXISTS) as client:
        for request in ASKED:
            client.send(request, 20)
            client.receive(20)


def words(command: str, pipe: str) -> list[str]:
    found = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', command)]
    return [pipe if word == "svc" else word for word in found[1:]]


def replaced(text: str, pipe: str = "svc") -> list[str]:
    """What is printed, without what differs from run to run."""
    for pattern, word in (
        (re.escape(pipe), "svc"),
        (re.escape(pipe.rpartition("\\")[2]), "svc"),
        (r"svc-new", "svc"),
        (r"access: [^;]+;", "access: WHO;"),
        (r"pid \d+, [^\n]+", "PROCESS"),
        (r"\+?\d+(\.\d+)? ?m?s\b", "TIME"),
        (r"(?m)^(#\d+ +[<>] +)\d+\.\d+", r"\1TIME"),
        (r" +", " "),
    ):
        text = re.sub(pattern, word, text)
    return [line.rstrip() for line in text.splitlines()]


def is_printed(command: str, result: Result, pipe: str) -> bool:
    """Whether a page shows what a command has written: messages before, data, and messages after it."""
    messages, data = replaced(result.stderr, pipe), replaced(result.text, pipe)
    shown = replaced(SESSIONS[command].replace(r"\\.\pipe\svc", "svc"))
    found = [[*messages[:count], *data, *messages[count:]] for count in range(len(messages) + 1)]
    assert shown in found, "\n".join(chain(["shown:"], shown, ["printed:"], messages, data))
    return True


def test_the_sessions_of_the_page_run_as_they_are_printed(
    pipe_name: str, pipectl: Pipectl, background: Background, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tap, *later = SESSIONS
    with PipeServer(pipe_name, answer):
        done = background(pipectl, *words(tap, pipe_name))
        ask(f"{pipe_name}-tap")
        assert is_printed(tap, done.result(20), pipe_name)
    assert b"hunter2" not in Path("svc.jsonl").read_bytes()
    for command in later:
        with PipeServer(pipe_name, newer if "svc-new" in command else answer):
            line = [pipe_name if word == "svc-new" else word for word in words(command, pipe_name)]
            assert is_printed(command, pipectl(*line), pipe_name)
    assert len(later) >= 4

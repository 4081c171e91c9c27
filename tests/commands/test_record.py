"""`--record` and `--pcapng` of `relay`: everything that passes is in the file, and the log stays what it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipectl.core.constants import Wait
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.recording.recording import Closed, Opened, Recording, Said, read
from tests.runner import Background, Pipectl, Running

PATIENCE = 20


def echo(_client: Client, data: bytes) -> bytes:
    return data


def ask(pipe: str, *messages: bytes) -> None:
    with connect(pipe, PATIENCE, wait=Wait.EXISTS) as client:
        for message in messages:
            client.send(message, PATIENCE)
            assert client.receive(PATIENCE) == message


def recorded(path: Path) -> Recording:
    found = read(path.read_bytes().splitlines(keepends=True))
    assert found.warnings == ()
    return found


@pytest.mark.parametrize("is_message", [True, False])
def test_a_relay_records_what_passes_and_logs_as_before(
    pipe_name: str, pipectl: Pipectl, background: Background, tmp_path: Path, is_message: bool
) -> None:
    path, target = tmp_path / "rec.jsonl", f"{pipe_name}-2"
    messages = [b"a", b"\x00\xff", b"pass=secret", *([b""] if is_message else [])]
    with PipeServer(target, echo, config=PipeConfig(is_message=is_message)):
        line = ["relay", pipe_name, target, "--count", "2", "--record", str(path), "--redact", "pass=(.*)"]
        done = background(pipectl, *line)
        for _ in range(2):
            ask(pipe_name, *messages)
        result = done.result(PATIENCE)
    assert result.exit_code == 0
    assert sorted(line.split()[2] for line in result.text.splitlines()) == ["connected"] * 2 + ["left"] * 2
    found = recorded(path)
    assert (found.header.pipe, found.header.target, found.header.is_message) == (pipe_name, target, is_message)
    for client in (1, 2):
        for side in ("client", "server"):
            said = [one.data for one in found.conversations()[client] if one.side == side]
            masked = [message.replace(b"secret", b"******") for message in messages]
            assert said == masked if is_message else b"".join(said) == b"".join(masked)
    for client in (1, 2):
        mine = [one for one in found.events if one.client == client]
        assert (type(mine[0]), type(mine[-1])) == (Opened, Closed)


def test_a_relay_to_a_program_is_recorded_too(
    pipe_name: str, pipectl: Pipectl, background: Background, tmp_path: Path
) -> None:
    path = tmp_path / "rec.jsonl"
    line = ["relay", pipe_name, "--once", "--type", "byte", "--record", str(path), "--exec", "findstr", "x"]
    done = background(pipectl, *line)
    with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
        client.send(b"1x\r\n", PATIENCE)
    done.result(PATIENCE)
    said = [one for one in recorded(path).events if isinstance(one, Said)]
    assert said[0].data == b"1x\r\n"


def test_packets_on_stdout_leave_no_room_for_a_log(pipe_name: str, running: Callable[..., Running]) -> None:
    with PipeServer(f"{pipe_name}-2", echo):
        program = running("relay", pipe_name, f"{pipe_name}-2", "--once", "--pcapng", "-")
        ask(pipe_name, b"some words")
        result = program.end()
    assert result.exit_code == 0
    assert result.stdout.startswith(bytes.fromhex("0a0d0d0a"))
    assert result.stdout.count(b"some words") == 2
    assert b"connected" not in result.stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["-", "svc", "--pcapng", "-"], "stdout is one end"),
        (["a", "b", "--redact", "x"], "Add `--record FILE`"),
        (["a", "b", "--codec", "hex"], "Add `--record FILE`"),
        (["a", "b", "--secrets"], "Add `--record FILE`"),
        (["a", "b", "--append"], "needs `--record`"),
    ],
    ids=str,
)
def test_a_wrong_line_is_refused_and_says_why(pipectl: Pipectl, line: list[str], words: str) -> None:
    result = pipectl("relay", *line)
    assert (result.exit_code, result.stdout) == (2, b"")
    assert words in result.stderr

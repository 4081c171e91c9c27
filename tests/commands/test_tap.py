"""`pipectl tap`: clients and servers notice nothing, and what they say is shown, decoded and recorded."""

import json
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from pipectl.core.constants import Wait
from pipectl.core.errors import PipeClosedError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.framing import Count
from pipectl.core.pipe.server import PipeServer
from pipectl.core.recording.recording import Closed, Opened, Said, read
from pipectl.options import record
from pipectl.output import eventlog, taplog
from tests import schema
from tests.commands.interruptible import Interruptible
from tests.runner import Background, Pipectl, Running

PATIENCE = 20
Start = Callable[..., Running]
REQUEST = b'{"jsonrpc": "2.0", "id": 7, "method": "greet"}\n'
REPLY = b'{"jsonrpc": "2.0", "id": 7, "result": "hi"}\n'


def reply(_client: Client, data: bytes) -> bytes:
    return REPLY if data == REQUEST else data


@contextmanager
def served(pipe: str, *, is_message: bool = True) -> Iterator[None]:
    with PipeServer(pipe, reply, config=PipeConfig(is_message=is_message)):
        yield


def ask(pipe: str, *messages: bytes) -> list[bytes]:
    with connect(pipe, PATIENCE, wait=Wait.EXISTS) as client:
        return [exchanged(client, message) for message in messages]


def exchanged(client: Connection, message: bytes) -> bytes:
    client.send(message, PATIENCE)
    return client.receive(PATIENCE)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--on", "svc"], "both names are the same"),
        (["--to", "SVC"], "both names are the same"),
        (["--on", "a", "--to", "b"], "only one of"),
        (["--codec", "jsonn"], "no codec is called"),
        (["--redact", "("], "regular expression"),
        (["--append"], "needs `--record`"),
        (["--record-limit", "5k"], "needs `--record`"),
        (["--record", "x", "--record-limit", "5k:0"], "number of files"),
        (["--record", "-"], "--json"),
        (["--pcapng-as", "tcp"], "needs `--pcapng`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_line_is_refused_and_says_why(pipectl: Pipectl, line: list[str], words: str) -> None:
    result = pipectl("tap", "svc", *line)
    assert (result.exit_code, result.stdout) == (2, b"")
    assert words in result.stderr


def test_frames_are_shown_with_who_has_sent_them_and_the_time_between(pipe_name: str, running: Start) -> None:
    with served(pipe_name):
        program = running("tap", pipe_name, "--once", "--codec", "json-lines", "--timing")
        assert ask(f"{pipe_name}-tap", REQUEST, REQUEST) == [REPLY, REPLY]
        result = program.end()
    lines = result.text.splitlines()
    assert lines[0].startswith("#1  connected  pid ")
    assert [line[:5] for line in lines[1:5]] == ["#1  >", "#1  <", "#1  >", "#1  <"]
    assert "greet" in lines[1]
    assert "ms" in lines[2].split()[2]
    assert "closed by the client after" in lines[5]
    assert "2 answered, median" in lines[5]
    assert lines[7].split()[-3] == "2"
    assert f"{pipe_name}-tap -> {pipe_name} (message" in result.stderr
    assert "clients:" not in result.stderr


def test_it_says_how_clients_of_a_known_pipe_are_told_another(pipe_name: str, running: Start) -> None:
    pipe = rf"\\.\pipe\mpv-{pipe_name[9:]}"
    with served(pipe):
        program = running("tap", pipe, "--once")
        ask(f"{pipe}-tap", REQUEST)
        assert f"clients: mpv --input-ipc-server={pipe}-tap" in program.end().stderr


def test_a_client_can_neither_command_the_terminal_nor_forge_a_line(pipe_name: str, running: Start) -> None:
    evil = b"\x1b]0;owned\x07\n#2  connected  pid 1\r\n[red]x[/red]\xe2\x80\xae"
    with served(pipe_name):
        for options in ([], ["--codec", "text"], ["--codec", "lines", "--full"]):
            program = running("tap", pipe_name, "--once", *options)
            ask(f"{pipe_name}-tap", evil)
            text = program.end().text
            assert not any(character in text for character in "\x1b\x07\u202e")
            assert not [line for line in text.splitlines() if line.startswith("#2")]


@pytest.mark.parametrize("is_message", [True, False])
def test_its_json_is_a_recording_with_every_byte(pipe_name: str, running: Start, is_message: bool) -> None:
    messages = [REQUEST, b"\x00\xff", b"text", *([b""] if is_message else [])]
    with served(pipe_name, is_message=is_message):
        program = running("tap", pipe_name, "--once", "--json")
        replies = ask(f"{pipe_name}-tap", *messages)
        result = program.end()
    for one in result.objects:
        assert schema.errors(one, schema.load("tap.schema.json")) == []
    found = read(result.stdout.splitlines(keepends=True))
    assert found.warnings == ()
    assert found.header.is_message is is_message
    for side, sent in (("client", messages), ("server", replies)):
        said = [one.data for one in found.events if isinstance(one, Said) and one.side == side]
        assert b"".join(said) == b"".join(sent)
    assert isinstance(found.events[0], Opened)
    assert isinstance(found.events[-1], Closed)


def test_a_recording_has_each_message_and_no_secret(pipe_name: str, running: Start, tmp_path: Path) -> None:
    path = tmp_path / "rec.jsonl"
    with served(pipe_name):
        for count, options in enumerate(([], ["--append"]), 1):
            line = ["tap", pipe_name, "--once", "--record", str(path), "--redact", "pass=(\\S+)", *options]
            program = running(*line)
            ask(f"{pipe_name}-tap", b"user pass=hunter2 x", b"", b"\xff")
            assert program.end().exit_code == 0
            content = path.read_bytes()
            assert b"hunter2" not in content
            found = read(content.splitlines(keepends=True))
            said = [one for one in found.events if isinstance(one, Said)]
            masked = b"user pass=******* x"
            assert [one.data for one in said] == [masked, masked, b"", b"", b"\xff", b"\xff"] * count
            assert [one.is_end for one in said] == [False, False, True, True, False, False] * count
            assert found.header.redacted == ("pass=(\\S+)",)
    again = running(*line[:-1]).end()
    assert again.exit_code == 2
    assert "--append" in again.stderr
    assert path.read_bytes() == content


def test_only_the_frames_that_are_asked_for_and_their_replies_are_shown(pipe_name: str, running: Start) -> None:
    with served(pipe_name):
        line = [
            "tap",
            pipe_name,
            "--once",
            "--json",
            "--codec",
            "json-lines",
            "--show",
            "method=greet",
            "--show",
            "mark",
        ]
        program = running(*line)
        ask(f"{pipe_name}-tap", REQUEST, b'{"id": 8, "method": "other"}\n', b'{"event": "mark"}\n')
        result = program.end()
    shown = [one["data"]["text"].encode() for one in result.objects if "data" in one]
    assert shown == [REQUEST, REPLY, b'{"event": "mark"}\n', b'{"event": "mark"}\n']


def test_faults_strike_the_peers_and_are_shown(pipe_name: str, running: Start) -> None:
    with served(pipe_name):
        program = running("tap", pipe_name, "--once", "--codec", "lines", "--json", "--fault", "cut=3")
        assert ask(f"{pipe_name}-tap", b"a word\n") == [b"a w"]
        result = program.end()
    assert "faults: cut=3; `--seed " in json.loads(result.stderr.splitlines()[1])["note"]
    (fault,) = [one for one in result.objects if one.get("event") == "fault"]
    assert (fault["fault"], fault["value"], fault["from"]) == ("cut", "3", "server")
    for one in result.objects:
        assert schema.errors(one, schema.load("tap.schema.json")) == []
    found = read(result.stdout.splitlines(keepends=True))
    assert found.warnings == ()
    assert [one.data for one in found.events if isinstance(one, Said)] == [b"a word\n"] * 2


def test_with_to_it_takes_the_servers_name(pipe_name: str, running: Start) -> None:
    with served(f"{pipe_name}-moved"):
        program = running("tap", pipe_name, "--to", f"{pipe_name}-moved", "--once")
        assert ask(pipe_name, b"x") == [b"x"]
        assert program.end().exit_code == 0


def test_packets_go_to_stdout_alone(pipe_name: str, running: Start) -> None:
    with served(pipe_name):
        program = running("tap", pipe_name, "--once", "--pcapng", "-")
        ask(f"{pipe_name}-tap", b"some words")
        result = program.end()
    assert result.stdout.startswith(bytes.fromhex("0a0d0d0a"))
    assert result.stdout.count(b"some words") == 2
    assert b"connected" not in result.stdout


# What cannot keep up


def test_a_screen_that_nobody_reads_stops_neither_peers_nor_recordings(
    pipe_name: str, program: list[str], tmp_path: Path
) -> None:
    path, block, count = tmp_path / "rec.jsonl", bytes(range(256)) * 256, 200
    with served(pipe_name, is_message=False):
        line = [*program, "tap", pipe_name, "--once", "--full", "--codec", "hex", "--record", str(path)]
        tap = Running(line, reads_stdout=False)
        try:
            with connect(f"{pipe_name}-tap", PATIENCE, wait=Wait.EXISTS) as client:
                for _ in range(count):
                    client.send(block, PATIENCE)
                    assert client.receive_until(Count(len(block)), PATIENCE).data == block
            while b'"close"' not in path.read_bytes()[-300:]:
                pass
        finally:
            tap.kill()
    said = [one for one in read(path.read_bytes().splitlines(keepends=True)).events if isinstance(one, Said)]
    for side in ("client", "server"):
        assert b"".join(one.data for one in said if one.side == side) == block * count


def test_what_was_not_shown_is_counted(
    pipe_name: str, pipectl: Pipectl, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taplog.TapLog, "most_waiting", (0, 0))
    with served(pipe_name):
        done = background(pipectl, "tap", pipe_name, "--once")
        ask(f"{pipe_name}-tap", b"x")
        # Its announcement, who has come, both frames, who has left.
        assert done.result(PATIENCE).text == "... 5 frames not shown, because nothing read the output\n"


def test_lines_are_lost_by_their_bytes_and_told_before_the_next() -> None:
    may_write, is_writing, errors = Event(), Event(), list[BaseException]()
    lines = eventlog._Lines(errors.append, (100, 10))

    def slow() -> None:
        is_writing.set()
        may_write.wait(PATIENCE)

    assert lines.put(slow, 6) == 0
    assert is_writing.wait(PATIENCE)
    assert lines.put(lambda: None, 5) == 0  # lost
    assert lines.put(lambda: None, 4) == 1
    lines.put(lambda: None, 5)
    lost: list[int] = []
    may_write.set()
    lines.close(lost.append)
    assert (lost, errors) == ([1], [])


def test_packets_that_nobody_reads_end_it_and_let_the_peers_go(pipe_name: str, program: list[str]) -> None:
    with served(pipe_name):
        line = [*program, "tap", pipe_name, "--pcapng", "-"]
        with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tap:
            assert tap.stdout is not None
            assert tap.stdout.read(4) == bytes.fromhex("0a0d0d0a")
            tap.stdout.close()
            with connect(f"{pipe_name}-tap", PATIENCE, wait=Wait.EXISTS) as client, pytest.raises(PipeClosedError):
                deque((exchanged(client, bytes(10_000)) for _ in range(1000)), 0)
            assert tap.wait(PATIENCE) == 1
            assert tap.stderr is not None
            assert b"Traceback" not in tap.stderr.read()


class Full:
    """A file on a disk with room for the first line alone."""

    def __init__(self) -> None:
        self.count = 0
        self.is_closed = False

    def write(self, data: bytes) -> int:
        self.count += 1
        if self.count > 2:
            raise OSError(28, "No space left on device")
        return len(data)

    def close(self) -> None:
        self.is_closed = True


def test_a_disk_that_is_full_ends_it_with_10_and_lets_the_peers_go(
    pipe_name: str, pipectl: Pipectl, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Full()
    monkeypatch.setattr(record, "open_private", lambda _path, _appends: file)
    with served(pipe_name):
        done = background(pipectl, "tap", pipe_name, "--record", "rec.jsonl")
        with connect(f"{pipe_name}-tap", PATIENCE, wait=Wait.EXISTS) as client:
            client.send(b"x", PATIENCE)
            with pytest.raises(PipeClosedError):
                deque(iter(lambda: client.receive(PATIENCE), None), 0)
        result = done.result(PATIENCE)
    assert result.exit_code == 10
    assert "rec.jsonl: the file is cut off: No space left" in result.stderr
    assert file.is_closed


def test_ctrl_c_leaves_a_recording_that_is_whole(pipe_name: str, tmp_path: Path) -> None:
    path = tmp_path / "rec.jsonl"
    with served(pipe_name):
        program = Interruptible(pipe_name, "tap", pipe_name, "--record", str(path), "--json")
        try:
            with connect(f"{pipe_name}-tap", PATIENCE, wait=Wait.EXISTS) as client:
                assert exchanged(client, b"x") == b"x"
                result = program.interrupt()
                with pytest.raises(PipeClosedError):
                    client.receive(PATIENCE)
        finally:
            program.kill()
    found = read(path.read_bytes().splitlines(keepends=True))
    assert found.warnings == ()
    assert [one.data for one in found.events if isinstance(one, Said)] == [b"x", b"x"]
    assert isinstance(found.events[-1], Closed)
    lines: list[dict[str, Any]] = [json.loads(line) for line in result.text.splitlines()]
    assert lines[-1]["event"] == "close"

"""The log of a server: what it writes, that it is bounded, and that an output nobody reads stops nobody."""

import json
import sys
import threading
import time
from typing import Any

import pytest

from pipectl.core.pipe.client import Client
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.contract import LATER
from pipectl.core.pipe.server import PipeServer
from pipectl.output import Form, Mode, Output, View
from pipectl.output.serverlog import ServerLog
from tests.runner import Running


def echo(_client: Client, data: bytes) -> bytes:
    return data


def logged(pipe: str, data: bytes, mode: Mode | None = None, view: View = View()) -> None:
    """Serve one message, and write the log of it to stdout."""
    output = Output()
    output.mode = mode
    events = ServerLog(output, view)
    with PipeServer(pipe, lambda _client, _data: None, events=events) as server, connect(pipe) as client:
        client.send(data, 5)
        while not server.stats.messages:
            time.sleep(0.001)
    events.summarize()


def received(text: str) -> str:
    (line,) = [line for line in text.splitlines() if " received " in line]
    return line.partition(" received ")[2].strip()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"ping", "4 bytes: ping"),
        (b"", "0 bytes"),
        (b"\0\1", "2 bytes: 00 01"),
        (b"a\nb", r"3 bytes: a\x0ab"),
        (b"x" * 61, f"61 bytes: {'x' * 60}..."),
        ("ü".encode() * 1000, f"2.0 KiB: {'ü' * 60}..."),
        (b"x" * 239 + "ü".encode() * 10, f"259 bytes: {'x' * 60}..."),
    ],
)
def test_a_message_is_shown_by_its_beginning(
    pipe_name: str, capsys: pytest.CaptureFixture[str], data: bytes, shown: str
) -> None:
    logged(pipe_name, data)
    assert received(capsys.readouterr().out) == shown.encode(sys.stdout.encoding, "backslashreplace").decode(
        sys.stdout.encoding
    )


def test_a_long_message_costs_the_log_no_more_than_a_short_one(
    pipe_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.process_time()
    logged(pipe_name, b"\n" * (16 << 20))
    logged(pipe_name, b"\n" * (16 << 20), view=View(Form.HEX))
    assert time.process_time() - begun < 2
    assert len(capsys.readouterr().out) < 2000


@pytest.mark.parametrize("byte", [b"\x01", b"\xff", "ü".encode()], ids=["control", "binary", "text"])
def test_json_carries_the_beginning_of_a_long_message(
    pipe_name: str, capsys: pytest.CaptureFixture[str], byte: bytes
) -> None:
    data = byte * (1 << 20)
    logged(pipe_name, data, Mode.JSON)
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (payload,) = [one["payload"] for one in objects if one["event"] == "received"]
    assert (payload["size"], payload["truncated"]) == (len(data), True)
    assert len(payload.get("text", "") or payload["base64"]) < 100_000


def test_an_output_that_nobody_reads_stops_nobody(pipe_name: str) -> None:
    # Its stdout is a pipe that nobody reads, which takes some kilobytes.
    server = Running([sys.executable, "-m", "pipectl", "serve", pipe_name, "--json"], reads_stdout=False)
    try:
        assert "serving" in server.said()
        with connect(pipe_name, 10) as client:
            for _ in range(2000):
                assert client.transact(b"x" * 100, 5) == b"x" * 100
    finally:
        server.kill()


def test_an_answer_that_nobody_takes_is_logged_as_dropped(pipe_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Client] = []
    left = threading.Event()

    class Log(ServerLog):
        def left(self, client: Client, error: Any) -> None:
            super().left(client, error)
            left.set()

    def later(client: Client, _data: bytes) -> Any:
        asked.append(client)
        return LATER

    events = Log(Output())
    with PipeServer(pipe_name, later, events=events):
        with connect(pipe_name) as client:
            client.send(b"x")
            while not asked:
                time.sleep(0.001)
        assert left.wait(5)
        asked[0].reply(b"late")
    events.summarize()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["connected", "received", "left", "dropped"]

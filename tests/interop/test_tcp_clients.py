"""Clients that know only TCP, through a relay to the kind of pipe that their servers have on Windows."""

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

import pytest

from pipectl.core.constants import PipeMode
from pipectl.core.errors import PipeClosedError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import Connection
from pipectl.core.pipe.framing import parse
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from tests.core.traffic.relaying import relaying
from tests.pipes import connect_named_pipe, reporting
from tests.runner import Background, run_process

from .test_codecs import NODE_ENVIRONMENT, node_program, outcome_of

_QEMU = """
import asyncio, json, sys
from qemu.qmp import QMPClient

async def main():
    client = QMPClient("test")
    await client.connect((sys.argv[1], int(sys.argv[2])))
    with client.listener("STOP") as stops:
        status = await client.execute("query-status")
        await client.execute("stop")
        event = await stops.get()
    await client.disconnect()
    print(json.dumps([status, event["event"]]))

asyncio.run(main())
"""


def serve_one_monitor(pipe: str) -> None:
    """Serve a monitor as QEMU does: one instance, and one client."""
    with create_named_pipe(pipe, pipe_mode=PipeMode.TYPE_BYTE, max_instances=1) as handle:
        connect_named_pipe(handle, 60)
        with Connection(handle, is_message=False) as server, suppress(PipeClosedError):

            def say(thing: dict[str, Any]) -> None:
                server.send(json.dumps(thing).encode() + b"\r\n", 20)

            say({"QMP": {"version": {"qemu": {"major": 9, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}})
            while True:  # the client ends no request with a line
                request = json.loads(server.receive_until(parse("json"), 30).data)
                status = {"running": True, "status": "running"} if request["execute"] == "query-status" else {}
                say({"return": status} | {key: request[key] for key in request if key == "id"})
                if request["execute"] == "stop":
                    say({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}})


@pytest.mark.skipif(find_spec("qemu") is None, reason="needs qemu.qmp")
def test_qemus_client_talks_with_a_monitor_that_has_one_client(pipe_name: str, background: Background) -> None:
    serving = background(serve_one_monitor, pipe_name)
    with relaying("tcp:0", pipe_name) as (relay, told):
        done = run_process([sys.executable, "-c", _QEMU, relay.place.name, str(relay.place.port)])
        assert done.stderr == ""
        assert json.loads(done.stdout) == [{"running": True, "status": "running"}, "STOP"]
        assert told.end().error is None
    serving.result(20)


_MYSQL = """
import pymysql, sys
with pymysql.connect(host=sys.argv[1], port=int(sys.argv[2]), user="root", password="secret") as connection:
    connection.ping(reconnect=False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        print(connection.get_server_info(), cursor.fetchall())
"""
_SALT = b"12345678", b"abcdefghijkl"
_HELLO = (
    b"\x0a8.0.0-mock\0"
    + struct.pack("<I", 7)
    + _SALT[0]
    # The capabilities: 4.1's protocol and its secure passwords; the next half: named authentication.
    + struct.pack("<xHBHHB10x", 0xA209, 33, 2, 0x0008, 21)
    + _SALT[1]
    + b"\0mysql_native_password\0"
)
_OK, _END = b"\0\0\0\2\0\0\0", b"\xfe\0\0\2\0"
_COLUMN = b"\3def\0\0\0\x011\0\x0c" + struct.pack("<HIBHB2x", 63, 1, 3, 0, 0)
_QUERY, _QUIT = 3, 1


def packets(*bodies: bytes, first: int) -> bytes:
    """Return packets of MySQL, numbered from `first`."""
    headers = (struct.pack("<I", len(body) | (first + number) << 24) for number, body in enumerate(bodies))
    return b"".join(header + body for header, body in zip(headers, bodies, strict=True))


def answer(client: Client, data: bytes) -> bytes | None:
    if data[4] == _QUIT:
        client.close()
        return None
    if data[4:] == b"\3SELECT 1":
        return packets(b"\1", _COLUMN, _END, b"\x011", _END, first=1)
    return packets(_OK, first=data[3] + 1)


@pytest.mark.skipif(find_spec("pymysql") is None, reason="needs PyMySQL")
def test_pymysql_logs_in_and_asks_a_server_on_a_byte_pipe(pipe_name: str) -> None:
    events = reporting(connected=lambda _client: packets(_HELLO, first=0))
    with (
        PipeServer(pipe_name, answer, events=events, config=PipeConfig(is_message=False)),
        relaying("tcp:0", pipe_name) as (relay, told),
    ):
        done = run_process([sys.executable, "-c", _MYSQL, relay.place.name, str(relay.place.port)])
        assert done.stderr == ""
        assert done.text.split(None, 1) == ["8.0.0-mock", "((1,),)\r\n"]
        assert told.end().error is None


@contextmanager
def serving_grpc() -> Iterator[str]:
    """Run a server of gRPC, and yield its place."""
    program = node_program("grpc_echo.js", "@grpc/grpc-js")
    with subprocess.Popen(
        [*program, "serve"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # Node.js cannot use one of Linux
        env=NODE_ENVIRONMENT,
    ) as server:
        assert server.stdout
        try:
            yield f"tcp:127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_grpc_passes_through_a_pipe(pipe_name: str, is_message: bool) -> None:
    with (
        serving_grpc() as server,
        relaying(pipe_name, server, is_message=is_message) as (_, told),
        relaying("tcp:0", pipe_name) as (front, _),
    ):
        outcome = outcome_of("grpc_echo.js", f"{front.place.name}:{front.place.port}", "@grpc/grpc-js")
        assert told.end().error is None
    assert outcome == {"one": "ping", "large": True, "refused": "not you", "count": 499500, "joined": "abc"}

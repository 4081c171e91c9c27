"""docker-py on `pipectl.win32pipe`, on pywin32, and through relays: the same outcome of the same program.

It is the client of a server of ours, which knows as much of Docker's API as the program uses.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pipectl.core.constants import WinError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.server import PipeServer
from pipectl.core.traffic.places import Kind, Place
from tests.core.traffic.relaying import relaying
from tests.runner import run_python

if find_spec("docker") is None:
    pytest.skip("needs docker", allow_module_level=True)

_PROGRAM = Path(__file__).parent / "peers" / "docker_client.py"
_EVENTS = 3


class Docker:
    """As much of Docker's server as the program needs, in the one thread of a PipeServer."""

    def __init__(self) -> None:
        self._unread: dict[Client, bytes] = {}
        self._hijacked: set[Client] = set()
        self._watching: Client | None = None
        self._events = 0

    def __call__(self, client: Client, data: bytes) -> bytes | None:
        """Answer a request when all of it is there."""
        if client in self._hijacked:
            return data.upper()
        request = self._unread.pop(client, b"") + data
        head, has_head, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not has_head or len(body) < (int(length[1]) if length else 0):
            self._unread[client] = request
            return None
        return self._answer(client, head.split()[1].decode().removeprefix("/v1.44"), body)

    def _answer(self, client: Client, path: str, body: bytes) -> bytes | None:
        match path.partition("?")[0].strip("/").split("/"):
            case ["_ping"]:
                self._send_event()
                return _response(b"OK", "text/plain")
            case ["version"]:
                return _json({"Version": "27.0"})
            case ["events"]:
                self._watching, self._events = client, 0
                client.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                self._send_event()
            case ["containers", "json"]:
                return _json([{"Id": "x" * 300_000}])
            case ["containers", number, "json"]:
                return _json({"Id": number})
            case ["containers", _, "archive"]:
                return _json({}, "200 OK" if body == b"y" * 300_000 else "400 Bad Request")
            case ["exec", *_]:
                self._hijacked.add(client)
                return b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            case ["images", *_]:
                return _json({"message": "No such image"}, "404 Not Found")
        return None  # `info` is never answered

    def _send_event(self) -> None:
        """Send the client that watches the next event, or the end of the stream after the last."""
        if self._watching is None:
            return
        if self._events < _EVENTS:
            event = b'{"number": %d}\n' % self._events
            self._watching.send(b"%x\r\n%s\r\n" % (len(event), event))
            self._events += 1
        else:
            self._watching.send(b"0\r\n\r\n")
            self._watching = None


def _response(body: bytes, kind: str, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _json(body: Any, status: str = "200 OK") -> bytes:
    return _response(json.dumps(body).encode(), "application/json", status)


@contextmanager
def relayed(pipe: str, ways: str, *, is_message: bool) -> Iterator[str]:
    """Put relays in front of a pipe, one for each of `ways`, the last one nearest to the client; give what to open."""
    front = pipe
    with ExitStack() as stack:
        for number, way in enumerate(ways.split()):
            name = f"{pipe}-{number}"
            if way == "pipe":
                stack.enter_context(relaying(name, front, is_message=is_message))
            else:
                tcp, _ = stack.enter_context(relaying("tcp:0", front))
                stack.enter_context(relaying(name, str(tcp.place), is_message=is_message))
            front = name
        yield front


# Docker's own server has a message pipe.
@pytest.fixture(
    scope="module",
    params=[
        "pipectl-message",
        "pipectl-byte",
        "pywin32-message",
        "pipectl-message-pipe",
        "pipectl-byte-pipe",
        "pipectl-message-tcp",
        "pipectl-byte-tcp",
        "pipectl-message-tcp pipe",
    ],
)
def outcome(request: pytest.FixtureRequest) -> Any:
    """What the program writes, with one API and on one type of pipe, and perhaps through relays."""
    api, kind, ways = (*request.param.split("-"), "")[:3]
    pipe = rf"\\.\pipe\pipectl-test-{uuid4().hex}"
    is_message = kind == "message"
    with (
        PipeServer(pipe, Docker(), config=PipeConfig(is_message=is_message)),
        relayed(pipe, ways, is_message=is_message) as front,
    ):
        command = [sys.executable, str(_PROGRAM), api, front]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.stderr.decode(errors="replace") == ""
    return json.loads(done.stdout)


def test_docker_py_pings_and_asks_for_the_version(outcome: dict[str, Any]) -> None:
    assert (outcome["ping"], outcome["version"]) == (True, "27.0")


def test_docker_py_reads_each_event_before_the_next_is_sent(outcome: dict[str, Any]) -> None:
    assert outcome["streamed"] == [{"number": number} for number in range(_EVENTS)]


def test_docker_py_sends_and_receives_long_bodies(outcome: dict[str, Any]) -> None:
    assert (outcome["long request"], outcome["long body"]) == (True, True)


@pytest.mark.parametrize("how", ["sequential", "concurrent"])
def test_docker_py_gets_the_reply_to_each_request(outcome: dict[str, Any], how: str) -> None:
    assert outcome[how] == [f"{number}" for number in range(100)]


def test_docker_py_times_out_and_connects_again(outcome: dict[str, Any]) -> None:
    assert outcome["timed out"] == ["ReadTimeout", None]
    assert outcome["after the timeout"]


def test_docker_py_uses_a_connection_as_a_socket(outcome: dict[str, Any]) -> None:
    assert outcome["hijacked"] == ["ONE", "TWO"]


def test_docker_py_reports_what_is_not_found(outcome: dict[str, Any]) -> None:
    assert outcome["not found"] == ["ImageNotFound", None]
    assert outcome["absent"] == ["error", WinError.FILE_NOT_FOUND]


# A client that asks two things; each connection is a program of its own here, which takes a second to start.
_FEW = """
import json, runpy, sys
sys.argv = sys.argv[1:]
docker = runpy.run_path(sys.argv[0])["client"](sys.argv[2])
print(json.dumps([docker.ping(), docker.version()["Version"]]))
"""


@pytest.mark.parametrize("words", [("relay", "-"), ("connect",)], ids=" ".join)
def test_docker_py_is_answered_through_a_program(pipe_name: str, words: tuple[str, ...]) -> None:
    program = (sys.executable, "-m", "pipectl", *words, pipe_name, "--quiet")
    place = Place(Kind.PROGRAM, "pipectl", arguments=program)
    with PipeServer(pipe_name, Docker()), relaying(f"{pipe_name}-front", place):
        done = run_python(_FEW, str(_PROGRAM), "pipectl", f"{pipe_name}-front", timeout=60)
    assert (done.stderr, json.loads(done.stdout)) == ("", [True, "27.0"])

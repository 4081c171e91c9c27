"""Packages that use pywin32's pipes, unchanged: on `pipectl.win32pipe` they do what they do on pywin32.

docker-py has a file of its own, test_docker.py. wexpect needs a console, and under Wine does not run on
pywin32 either.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.server import PipeServer

_PROGRAM = Path(__file__).parent / "peers" / "pywin32_users.py"
_APIS = ("pywin32", "pipectl")
_CHILD = "import sys; data = sys.stdin.read(); sys.stdout.write(data.upper()); sys.exit(7)"


def started(api: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(_PROGRAM), api, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


def outputs(*programs: "subprocess.Popen[str]") -> list[list[str]]:
    """What each program prints, if none of them fails."""
    with ExitStack() as stack:
        for program in programs:
            stack.enter_context(program)
            stack.callback(program.kill)
        ended = [(program.communicate(timeout=60), program.returncode) for program in programs]
    assert [(stderr, code) for (_, stderr), code in ended] == [("", 0)] * len(programs)
    return [stdout.splitlines() for (stdout, _), _ in ended]


@pytest.mark.parametrize("api", _APIS)
def test_twisted_runs_a_child_through_three_pipes(api: str) -> None:
    pytest.importorskip("twisted")
    assert outputs(started(api, "twisted", _CHILD)) == [["ended 7", "7000 b'HELLO\\r\\n'"]]


@pytest.mark.parametrize(("server", "client"), [("pipectl", "pipectl"), ("pipectl", "pywin32"), ("pywin32", "pipectl")])
def test_rpyc_calls_and_is_called_back(pipe_name: str, server: str, client: str) -> None:
    pytest.importorskip("rpyc")
    serving = started(server, "rpyc_server", pipe_name)
    assert serving.stdout is not None
    assert serving.stdout.readline() == "listening\n"
    served, printed = outputs(serving, started(client, "rpyc_client", pipe_name))
    assert served == ["the client has left"]
    assert printed == ["5 361 True", "TypeError True"]


def _node(_client: Client, data: bytes) -> bytes:
    """Answer as a node of Ethereum does."""
    request = json.loads(data)
    answers = {"eth_blockNumber": "0x10", "web3_clientVersion": "v" * 100_000}
    reply = {"jsonrpc": "2.0", "id": request["id"]}
    if request["method"] in answers:
        return json.dumps({**reply, "result": answers[request["method"]]}).encode()
    return json.dumps({**reply, "error": {"code": -32601, "message": "not found"}}).encode()


@pytest.mark.parametrize("api", _APIS)
def test_web3_asks_a_node(api: str) -> None:
    """It is found by the name that it has everywhere: one that is given is not resolved under Wine."""
    if find_spec("web3") is None:  # which takes seconds to import
        pytest.skip("needs web3")
    with PipeServer(r"\\.\pipe\geth.ipc", _node, config=PipeConfig(is_message=False)):
        assert outputs(started(api, "web3")) == [["True 16 100000", "MethodUnavailable"]]


@pytest.mark.parametrize("api", _APIS)
def test_pywin32s_own_demonstration_gets_its_answer(api: str) -> None:
    pytest.importorskip("win32pipe")
    with PipeServer(r"\\.\pipe\PyPipeTest", lambda _, data: data + b", hello!"):
        lines = outputs(started(api, "demo", "-v", "some", "words"))[0]
    assert lines == [
        "Sending b'some words'",
        "Server sent back 'b'some words, hello!''",
        "Sent and received a message!",
    ]

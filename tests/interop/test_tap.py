"""Real programs behind a tap: they notice nothing, and what was recorded plays again, as their server and as them."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipectl.core.recording.recording import read
from tests.interop.test_rules import PROGRAMS, command
from tests.runner import Background, Pipectl, Running

_ROOT = Path(__file__).parents[2]
_CODECS = {"docker": "docker", "agent": "ssh-agent", "lsp": "lsp", "discord": "discord"}
# What is another one each time.
_IGNORED = {"discord": ["--ignore", "/args/pid"]}


def outcome(name: str, pipe: str) -> Any:
    """Run a program and return what came of it."""
    program, module, rules, _ = PROGRAMS[name]
    done = subprocess.run(
        command(program, module, rules, pipe),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "NODE_PATH": str(_ROOT / ".dev" / "node" / "node_modules")},
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_notices_no_tap_and_its_recording_plays_on_both_sides(
    pipectl: Pipectl,
    running: Callable[..., Running],
    pipe_name: str,
    background: Background,
    tmp_path: Path,
    name: str,
) -> None:
    *_, rules, expected = PROGRAMS[name]
    behind, record = f"{pipe_name}-behind", tmp_path / "rec.jsonl"
    serve = ["serve", behind, "--rules", str(_ROOT / "examples" / "rules" / f"{rules}.toml"), "--idle-timeout", "5"]
    compared = ["--match", "codec", "--codec", _CODECS[rules], *_IGNORED.get(rules, [])]

    server = running(*serve)
    assert pipectl("wait", behind, "--for", "exists", "--timeout", "20").exit_code == 0
    line = ["tap", behind, "--on", pipe_name, "--record", str(record), "--codec", _CODECS[rules], "--json"]
    tap = background(pipectl, *line, "--idle-timeout", "5")
    assert pipectl("wait", pipe_name, "--for", "exists", "--timeout", "20").exit_code == 0
    assert outcome(name, pipe_name) == expected
    shown = tap.result(30)
    assert (shown.exit_code, server.end().exit_code) == (0, 0)
    kinds = [one["decoded"]["kind"] for one in shown.objects if "decoded" in one]
    assert "request" in kinds
    assert not {"bad", "raw"} & set(kinds) or name == "ssh2"  # which is promised more bytes than it gets
    found = read(record.read_bytes().splitlines(keepends=True))
    assert found.warnings == ()

    played = background(pipectl, "replay", str(record), "--serve", pipe_name, *compared)
    assert pipectl("wait", pipe_name, "--for", "exists", "--timeout", "20").exit_code == 0
    assert outcome(name, pipe_name) == expected
    assert played.result(30).exit_code == 0

    server = running(*serve)
    assert pipectl("wait", behind, "--for", "exists", "--timeout", "20").exit_code == 0
    called = pipectl("replay", str(record), "--call", behind, *compared)
    assert called.exit_code == 0, called.stderr
    assert server.end().exit_code == 0

"""Real programs behind a tap: they notice nothing, and what was recorded plays again, as their server and as them."""

from collections.abc import Callable
from pathlib import Path

from pipectl.core.recording.recording import read
from pipectl.exitcodes import ExitCode
from tests.runner import Background, Pipectl, Running

from .test_rules import EACH, EXAMPLES, Program, outcome

_CODECS = {"docker": "docker", "agent": "ssh-agent", "lsp": "lsp", "discord": "discord"}
# What is another one each time.
_IGNORED = {"discord": ["--ignore", "/args/pid"]}


@EACH
def test_a_program_notices_no_tap_and_its_recording_plays_on_both_sides(
    pipectl: Pipectl,
    running: Callable[..., Running],
    pipe_name: str,
    background: Background,
    tmp_path: Path,
    peer: Program,
) -> None:
    command, codec, until = peer.command(pipe_name), _CODECS[peer.rules], ["--count", str(peer.connections)]
    behind, record = f"{pipe_name}-behind", tmp_path / "rec.jsonl"
    serve = ["serve", behind, "--rules", str(EXAMPLES / f"{peer.rules}.toml"), *until]
    compared = ["--match", "codec", "--codec", codec, *_IGNORED.get(peer.rules, [])]

    server = running(*serve)
    assert pipectl("wait", behind, "--for", "exists", "--timeout", "20").exit_code == 0
    line = ["tap", behind, "--on", pipe_name, "--record", str(record), "--codec", codec, "--json"]
    tap = background(pipectl, *line, *until)
    assert pipectl("wait", pipe_name, "--for", "exists", "--timeout", "20").exit_code == 0
    assert outcome(command) == peer.expected
    shown = tap.result(30)
    assert shown.exit_code == (
        ExitCode.CLOSED if peer.module == "pypresence" else ExitCode.DONE
    )  # its server resets it
    assert server.end().exit_code == 0
    kinds = [one["decoded"]["kind"] for one in shown.objects if "decoded" in one]
    assert "request" in kinds
    assert not {"bad", "raw"} & set(kinds) or peer.module == "ssh2"  # which is promised more bytes than it gets
    found = read(record.read_bytes().splitlines(keepends=True))
    assert found.warnings == ()

    played = background(pipectl, "replay", str(record), "--serve", pipe_name, *compared)
    assert pipectl("wait", pipe_name, "--for", "exists", "--timeout", "20").exit_code == 0
    assert outcome(command) == peer.expected
    assert played.result(30).exit_code == 0

    server = running(*serve)
    assert pipectl("wait", behind, "--for", "exists", "--timeout", "20").exit_code == 0
    called = pipectl("replay", str(record), "--call", behind, *compared)
    assert called.exit_code == 0, called.stderr
    assert server.end().exit_code == 0

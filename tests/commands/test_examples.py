"""Every example of every help, and of the README, runs as it is printed, but for the name of the pipe."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Event

import pytest

from pipectl.commands import COMMANDS
from pipectl.core.codecs.base import Side
from pipectl.core.constants import Wait
from pipectl.core.errors import PipeClosedError
from pipectl.core.inventory import directory
from pipectl.core.models import PipeEntry
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.recording.recording import Header, Said, event_line, header_line
from pipectl.core.win32.calls import create_named_pipe
from pipectl.exitcodes import ExitCode
from tests.commands.interruptible import Interruptible
from tests.pipes import reporting
from tests.runner import Background, Pipectl

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
IN_HELP = [example.line for entry in COMMANDS.values() for example in import_module(entry.module).command.examples]
IN_README = [shown or listed for shown, listed in re.findall(r"(?m)^> (pipectl .+)$|^\| `(pipectl .+?)` \|", README)]
LINES = list(dict.fromkeys([*IN_HELP, *IN_README]))

# What runs until Ctrl+C.
ENDLESS = {
    "pipectl serve svc --reply pong",
    "pipectl serve svc --allow users --exec sort /r",
    "pipectl relay tcp:2375 docker_engine",
    "pipectl relay svc tcp:127.0.0.1:4444",
    "pipectl relay svc --exec ssh host cat",
    "pipectl tap docker_engine",
    "pipectl tap svc --show error --record svc.jsonl",
    "pipectl tap svc --pcapng -",
    "pipectl client-pid svc",
    "pipectl client-pid svc --json",
    "pipectl client-pid svc --allow users",
}
# What shows changes until Ctrl+C.
WATCHING = {"pipectl watch", "pipectl watch --initial --json", "pipectl watch svc --who"}
# What takes seconds, and runs with the same options in a module of its own.
SEEN_ELSEWHERE = {
    "pipectl selftest",
    "pipectl selftest --report",
    "pipectl demo --pause",
    "pipectl demo --quiet",
    "pipectl demo --json",
    "pipectl bench svc --duration 1",
    "pipectl bench svc --rate 100 --duration 1 --fail-above p99=1s",
}
# What serves the pipe itself, or waits for it to go.
WITHOUT_A_SERVER = (
    "pipectl serve",
    "pipectl relay",
    "pipectl client-pid",
    "pipectl wait svc --for gone",
    "pipectl demo",
    "pipectl decode",
    "pipectl replay svc.jsonl --serve",
)


def words(line: str, pipe: str) -> list[str]:
    """Split a line as a shell does, and use another name for `svc`."""
    found = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', line)]
    return [re.sub(r"^(\\\\\.\\pipe\\)?svc$", lambda _: pipe, word) for word in found[1:]]


@contextmanager
def server_for(line: str, pipe: str) -> Iterator[None]:
    """Serve the pipe, if the line needs that, with a greeting for those that wait for one."""
    if line.startswith(WITHOUT_A_SERVER):
        yield
        return

    def greet(_client: Client) -> bytes | None:
        return b"welcome\n" if " peek " in line or " read " in line else None

    with PipeServer(pipe, lambda _client, data: data, events=reporting(connected=greet)):
        yield


def connect_soon(pipe: str) -> None:
    """Come when there is a server."""
    with connect(pipe, 20, wait=Wait.EXISTS) as client, suppress(PipeClosedError):
        client.send(b"x", 20)


def program_of(line: str) -> str | None:
    """The program that a line starts, if any."""
    match = re.search(r"--(?:exec)? (\w+)", line)
    return match and match[1]


@pytest.mark.parametrize("line", [line for line in LINES if line not in ENDLESS | WATCHING])
def test_an_example_runs_as_it_is_printed(
    pipe_name: str,
    pipectl: Pipectl,
    pipectl_process: Pipectl,
    background: Background,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    line: str,
) -> None:
    if line in SEEN_ELSEWHERE and not request.config.getoption("--long"):
        pytest.skip("runs in a module of its own, and here with `--long`")
    if line in SEEN_ELSEWHERE and not request.config.getoption("--long"):
        pytest.skip("another module runs it, and `--long` does here")
    needed = program_of(line) if " popen " in line else None
    if needed and not shutil.which(needed):
        pytest.skip(f"there is no {needed} here")
    monkeypatch.setattr(directory, "list_pipes", lambda: [PipeEntry("docker_engine", 3, None)])
    if "svc.jsonl" in line:
        monkeypatch.chdir(tmp_path)
        Path("svc.jsonl").write_bytes(header_line(Header(is_message=True)) + event_line(Said(0, 1, Side.CLIENT, b"x")))
    if line.startswith(("pipectl serve", "pipectl client-pid", "pipectl replay svc.jsonl --serve")):
        background(connect_soon, pipe_name)
    with server_for(line, pipe_name):
        arguments = words(line, pipe_name)
        result = pipectl_process(*arguments, stdin=b"") if re.search(" (popen|connect) ", line) else pipectl(*arguments)
    # Under Wine many claims differ from Windows; and of `docker_engine`, which is not there, no ACL can be read.
    others = {" selftest": ExitCode.FAILED_CHECK, " audit ": ExitCode.PARTIAL}
    assert result.exit_code in (0, *(code for word, code in others.items() if word in line)), result.stderr


@pytest.mark.parametrize("line", sorted(ENDLESS))
def test_an_example_without_an_end_runs_until_ctrl_c(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    program = Interruptible(pipe_name, *words(line, pipe_name))
    try:
        if "relay tcp:" in line or " tap " in line:
            while not re.search("relaying|tapping", program.said()):
                pass
        else:
            connect_soon(pipe_name)
            while b"connected" not in program.wrote():
                pass
        assert "error" not in program.interrupt().stderr
    finally:
        program.kill()


@pytest.mark.parametrize("line", sorted(WATCHING))
def test_an_example_that_watches_shows_a_pipe_until_ctrl_c(pipe_name: str, background: Background, line: str) -> None:
    is_seen = Event()

    def come_and_go() -> None:
        while not is_seen.wait(0.7):
            with create_named_pipe(pipe_name):
                is_seen.wait(0.7)

    program = Interruptible(pipe_name, *words(line, pipe_name))
    background(come_and_go)
    try:
        program.wrote()
        assert "error" not in program.interrupt().stderr
    finally:
        is_seen.set()
        program.kill()


def test_no_example_redirects_stdin_which_powershell_cannot() -> None:
    assert not [line for line in LINES if "<" in line]


def test_the_endless_and_the_slow_ones_are_examples() -> None:
    assert set(LINES) >= ENDLESS | WATCHING | SEEN_ELSEWHERE


def test_the_readme_shows_every_command_but_the_tour() -> None:
    assert {line.split()[1] for line in IN_README} == COMMANDS.keys() - {"demo", "help"}


def test_the_program_in_the_readme_gets_its_answer(pipe_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = re.search(r"```python\n(from pipectl import connect.*?)```", README, re.DOTALL)
    assert program
    with PipeServer(pipe_name, lambda _client, _data: b"pong"):
        exec(program[1].replace(r"\\.\pipe\svc", pipe_name), {})
    assert capsys.readouterr().out == "b'pong'\n"

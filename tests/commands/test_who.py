"""`pipectl who`: the processes that hold a pipe's ends, and what it says of those that it cannot find."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pipectl.core.inventory import directory
from pipectl.core.inventory import who as who_module
from pipectl.core.inventory.processes import describe_all
from pipectl.core.models import PipeEntry, Process
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from tests.core.inventory.test_walk import Openings, SilentPipe
from tests.nt.layer import RefusedProcesses
from tests.runner import Holding, Pipectl

NO_PROCESS = 0xFFFF_FFFC


def ends_of(found: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Which end, whose, and what says so."""
    return [(end["end"], end["process"]["pid"], end["source"]) for end in found["ends"]]


def echo(_client: object, data: bytes) -> bytes:
    """Answer."""
    return data


# Who


def test_a_table_shows_each_end_with_its_process(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)):
        client, _ = holding("connect", pipe_name)
        result = pipectl("who", pipe_name)
    name = pipe_name.removeprefix("\\\\.\\pipe\\")
    rows = [line.split() for line in result.text.splitlines()]
    assert rows[0] == ["PIPE", "END", "PID", "PROGRAM", "USER", "STATE"]
    program = Path(sys.executable).name
    assert [row[:4] for row in rows[1:]] == [
        [name, "server", str(os.getpid()), program],
        [name, "client", str(client.pid), program],
    ]
    assert (result.exit_code, result.stderr) == (0, "all instances found (1)\n")


def test_bytes_that_wait_and_with_verbose_the_session_have_columns(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        client.send(b"12345", 5)
        heads, server, _client = pipectl("who", pipe_name, "--verbose").text.splitlines()
    assert heads.split() == ["PIPE", "END", "PID", "PROGRAM", "USER", "SESSION", "STATE", "UNREAD"]
    assert server.split()[-2:] == ["connected", "5"]


def test_json_has_the_facts_of_an_end(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name, max_instances=2):
        found = pipectl("who", pipe_name, "--json").object
    (end,) = found["ends"]
    assert (found["pipe"], found["instances"], found["max_instances"], found["complete"]) == (pipe_name, 1, 2, True)
    assert (end["end"], end["state"], end["opened_by"], end["source"]) == ("server", "listening", os.getpid(), "handle")
    assert Path(end["process"]["image"]).samefile(sys.executable)
    assert end["started"].endswith("Z")
    assert "peer" not in end


def test_the_pipe_is_not_opened(pipe_name: str, pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(who_module, "open_pipe", None)
    with create_named_pipe(pipe_name, max_instances=1):
        assert pipectl("who", pipe_name).exit_code == 0
        connect(pipe_name).close()  # its only instance is free


def test_a_client_names_a_server_that_may_not_be_looked_into(
    pipe_name: str, pipectl: Pipectl, holding: Holding
) -> None:
    server, _ = holding("listen", pipe_name, "2")
    with connect(pipe_name), RefusedProcesses():
        result = pipectl("who", pipe_name, "--json")
    assert result.exit_code == 10
    assert ends_of(result.object) == [("server", server.pid, "peer"), ("client", os.getpid(), "handle")]
    assert (result.object["instances"], result.object["complete"]) == (2, False)
    assert result.object["unseen"]["processes"] >= 1


# Which pipes


def test_patterns_choose_pipes(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(f"{pipe_name}-a"), create_named_pipe(f"{pipe_name}-b"), create_named_pipe(f"{pipe_name}c"):
        found = pipectl("who", f"{pipe_name.upper()}-*", "--json").objects
    assert [one["pipe"] for one in found] == [f"{pipe_name}-a", f"{pipe_name}-b"]


@pytest.mark.parametrize("by", ["--pid", "--exe", "--user"])
def test_a_process_chooses_the_pipes_of_which_it_has_an_end(
    pipe_name: str, pipectl: Pipectl, holding: Holding, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    server, _ = holding("listen", f"{pipe_name}-theirs")
    real = describe_all

    def describe(*arguments: Any) -> dict[int, Process]:
        known = Process(server.pid, r"C:\a\App.exe", r"VM\bob")
        return {pid: known if pid == server.pid else process for pid, process in real(*arguments).items()}

    monkeypatch.setattr(who_module, "describe_all", describe)
    for value in {"--pid": [str(server.pid)], "--exe": ["APP.EXE", r"c:\a\app.exe"], "--user": ["Bob", r"vm\BOB"]}[by]:
        with create_named_pipe(f"{pipe_name}-ours"):
            result = pipectl("who", f"{pipe_name}-*", by, value, "--json")
        assert [one["pipe"] for one in result.objects] == [f"{pipe_name}-theirs"]


def test_only_the_ends_that_are_asked_for_are_shown(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    with PipeServer(pipe_name, echo):
        client, _ = holding("connect", pipe_name)
        servers = pipectl("who", pipe_name, "--ends", "server", "--json").object
        clients = pipectl("who", pipe_name, "--ends", "client", "--json").object
        nothing = pipectl("who", pipe_name, "--ends", "server", "--pid", str(client.pid))
    assert {end for end, *_ in ends_of(servers)} == {"server"}
    assert ends_of(clients) == [("client", client.pid, "handle")]
    assert servers["complete"]
    assert clients["complete"]
    assert nothing.exit_code == 3


def test_what_is_wrong_is_told_whichever_ends_are_shown(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    holding("listen", pipe_name)
    holding("listen", pipe_name)
    found = pipectl("who", pipe_name, "--ends", "client", "--json").object
    assert (found["ends"], [warning["kind"] for warning in found["warnings"]]) == ([], ["several-servers"])


def test_a_known_server_is_not_denied_because_clients_are_asked_for(
    pipe_name: str, pipectl: Pipectl, holding: Holding
) -> None:
    holding("listen", pipe_name, "2")
    with connect(pipe_name), RefusedProcesses():
        assert pipectl("who", pipe_name, "--ends", "client").exit_code == 10


@pytest.mark.parametrize(
    "line", [["PIPE"], ["PIPE*"], ["PIPE", "--pid", str(os.getpid())], ["--pid", str(NO_PROCESS)], ["--exe", "no.exe"]]
)
def test_what_matches_nothing_is_exit_code_3(pipe_name: str, pipectl: Pipectl, line: list[str]) -> None:
    result = pipectl("who", *(word.replace("PIPE", pipe_name) for word in line), "--json")
    assert (result.exit_code, result.stdout, result.error["exit_code"]) == (3, b"", 3)


def test_a_word_means_the_pipe_of_that_name_or_else_any_that_has_it(pipe_name: str, pipectl: Pipectl) -> None:
    word = pipe_name[9:]
    with create_named_pipe(f"{pipe_name}-2"):
        assert pipectl("who", word, "--json").object["pipe"] == f"{pipe_name}-2"
        with create_named_pipe(pipe_name):
            assert pipectl("who", word.upper(), "--json").object["pipe"] == pipe_name


def test_a_process_that_does_not_exist_is_named(pipectl: Pipectl) -> None:
    error = pipectl("who", "--pid", str(NO_PROCESS), "--json").error
    assert (error["exit_code"], error["subject"]) == (3, f"process {NO_PROCESS}")


def test_pipes_of_another_computer_cannot_be_looked_into(pipectl: Pipectl) -> None:
    assert pipectl("who", r"\\server\pipe\svc").exit_code == 11


# What is missing


def test_a_pipe_without_any_end_in_sight_is_denied(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    holding("listen", pipe_name)
    with RefusedProcesses():
        result = pipectl("who", pipe_name, "--json")
    assert result.exit_code == 5
    assert ends_of(result.object) == []
    assert result.error["pipe"] == pipe_name


def test_a_pipe_of_the_directory_is_shown_without_an_end_too(
    pipe_name: str, pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = pipe_name.removeprefix("\\\\.\\pipe\\")
    monkeypatch.setattr(directory, "list_pipes", lambda: [PipeEntry(f"{name}-pgsignal_42", 3, None)])
    result = pipectl("who", f"{pipe_name}*", "--json")
    assert result.exit_code == 10
    assert (result.object["instances"], result.object["found"], result.object["complete"]) == (3, 0, False)


def test_opening_asks_a_pipe_whose_server_is_not_found(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    server, _ = holding("listen", pipe_name)
    with RefusedProcesses():
        result = pipectl("who", pipe_name, "--open", "--json")
    assert ends_of(result.object) == [("server", server.pid, "pipe")]
    assert not result.object["complete"]


def test_a_process_that_may_not_be_looked_into_is_denied(pipectl: Pipectl, holding: Holding, pipe_name: str) -> None:
    server, _ = holding("listen", pipe_name)
    with RefusedProcesses():
        assert pipectl("who", "--pid", str(server.pid)).exit_code == 5


def test_handles_that_give_no_answer_are_counted_and_leave_the_exit_code(
    pipe_name: str, pipectl: Pipectl, holding: Holding
) -> None:
    server, _ = holding("listen", pipe_name)
    with SilentPipe(pipe_name):
        result = pipectl("who", pipe_name, "--json")
    assert result.exit_code == 10
    assert [busy["pid"] for busy in result.object["unseen"]["busy"]] == [server.pid]


def test_time_that_is_up_is_exit_code_6(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name):
        result = pipectl("who", pipe_name, "--timeout", "0", "--json")
    assert result.exit_code == 6
    assert result.object["unseen"]["unasked"] > 0


def test_all_looks_into_protected_processes_too(
    pipe_name: str, pipectl: Pipectl, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipectl.core.inventory import walk

    server, _ = holding("listen", pipe_name)
    monkeypatch.setattr(walk, "_PROTECTED", {"python.exe"})
    with Openings() as openings:
        pipectl("who", pipe_name)
    assert 0x40 not in [access for pid, access in openings.made.items() if pid == server.pid]
    assert ends_of(pipectl("who", pipe_name, "--all", "--json").object) == [("server", server.pid, "handle")]


# What looks wrong


def test_two_processes_that_serve_one_name_are_told(
    pipe_name: str, pipectl: Pipectl, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = holding("listen", pipe_name)
    second, _ = holding("listen", pipe_name)
    pids = sorted([first.pid, second.pid])
    same = pipectl("who", pipe_name, "--json").object
    assert same["warnings"] == [{"kind": "several-servers", "pids": pids, "programs_differ": False}]
    real = describe_all
    monkeypatch.setattr(
        who_module,
        "describe_all",
        lambda *arguments: real(*arguments) | {first.pid: Process(first.pid, r"C:\evil.exe", r"VM\mallory")},
    )
    result = pipectl("who", pipe_name)
    assert result.exit_code == 0
    assert f"warning: {pipe_name}: different programs serve this name, processes {pids[0]} and {pids[1]}" in (
        result.stderr
    )


def test_a_child_that_keeps_the_pipe_of_a_dead_server_is_told(
    pipe_name: str, pipectl: Pipectl, holding: Holding
) -> None:
    parent, child = holding("bequeath", pipe_name)
    assert pipectl("who", pipe_name, "--json").object["warnings"] == []
    parent.crash()
    found = pipectl("who", pipe_name, "--json").object
    (warning,) = found["warnings"]
    assert warning == {"kind": "server-ended", "pid": parent.pid, "held_by": [int(child)], "by_children": True}
    result = pipectl("who", pipe_name)
    assert f"opened by {parent.pid}" in result.text
    assert f"its server, process {parent.pid}, has exited" in result.stderr

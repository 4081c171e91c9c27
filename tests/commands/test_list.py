"""`pipectl list`: the directory of pipes; its reading is tested with `core.inventory.directory`."""

import os
import sys
from pathlib import Path

import pytest

from pipectl.commands import list as list_command
from pipectl.core.errors import UnsupportedError
from pipectl.core.inventory import catalog, directory
from pipectl.core.models import PipeEntry
from pipectl.core.pipe.connection import connect
from pipectl.core.win32.calls import create_named_pipe
from tests.runner import Holding, Pipectl


@pytest.fixture
def some_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have three pipes in the directory."""
    entries = [PipeEntry("svc", 1, 1), PipeEntry("dotnet-diagnostic-42", 3, None), PipeEntry("App\x1b[31m", 2, 5)]
    monkeypatch.setattr(directory, "list_pipes", lambda: entries)


@pytest.mark.usefixtures("some_pipes")
def test_pipes_are_listed_by_name_with_their_instances(pipectl: Pipectl) -> None:
    result = pipectl("list")
    assert result.text.splitlines() == [
        "NAME                  INSTANCES  MAX INSTANCES  PID HINT",
        r"App\x1b[31m                   2              5",
        "dotnet-diagnostic-42          3      unlimited        42",
        "svc                           1              1",
    ]
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.usefixtures("some_pipes")
def test_the_busiest_can_come_first(pipectl: Pipectl) -> None:
    names = [one["name"] for one in pipectl("list", "--sort", "instances", "--json").objects]
    assert names == ["dotnet-diagnostic-42", "App\x1b[31m", "svc"]


@pytest.mark.usefixtures("some_pipes")
def test_a_pattern_chooses(pipectl: Pipectl) -> None:
    assert pipectl("list", "*DIAG*", "--format", "raw").text == "dotnet-diagnostic-42\t3\tunlimited\t42\n"
    assert pipectl("list", r"\\.\pipe\s?c", "--format", "raw").text == "svc\t1\t1\t\n"


@pytest.mark.usefixtures("some_pipes")
def test_json_has_an_object_for_each_pipe(pipectl: Pipectl) -> None:
    told = pipectl("list", "*c", "--json").objects
    assert told == [{"schema": 1, "name": "svc", "instances": 1, "max_instances": 1}]


@pytest.mark.usefixtures("some_pipes")
@pytest.mark.parametrize(
    ("pattern", "names"),
    [("diag", ["dotnet-diagnostic-42"]), ("S", ["dotnet-diagnostic-42", "svc"]), (r"\\.\pipe\svc", ["svc"])],
)
def test_a_word_matches_anywhere_in_a_name(pipectl: Pipectl, pattern: str, names: list[str]) -> None:
    assert [one["name"] for one in pipectl("list", pattern, "--json").objects] == names


@pytest.mark.usefixtures("some_pipes")
@pytest.mark.parametrize("pattern", ["svx", "svc?", r"\\.\pipe\sv"])
def test_no_match_is_exit_code_3_with_the_near_names(pipectl: Pipectl, pattern: str) -> None:
    result = pipectl("list", pattern)
    assert (result.exit_code, result.stdout) == (3, b"")
    error, hint = result.stderr.splitlines()
    assert error == f"error: {pattern}: no pipe matches"
    assert hint.startswith("hint: Did you mean `svc`?")


def test_another_computer_cannot_be_asked(pipectl: Pipectl) -> None:
    assert pipectl("list", r"\\server\pipe\*").exit_code == 11


def test_a_system_that_lists_neither_pipes_nor_handles_is_exit_code_11(
    pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise UnsupportedError("no", topic="directory")

    monkeypatch.setattr(directory, "list_pipes", refuse)
    monkeypatch.setattr(catalog, "walk", refuse)
    result = pipectl("list", "--json")
    assert (result.exit_code, result.stdout, result.error["exit_code"]) == (11, b"", 11)


def test_a_real_pipe_is_listed_with_its_server_and_stays_free(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name, max_instances=2):
        told = pipectl("list", pipe_name, "--json").object
        connect(pipe_name).close()
    assert (told["instances"], told["max_instances"]) == (1, 2)
    (server,) = told["servers"]
    assert server["pid"] == os.getpid()
    assert Path(server["image"]).samefile(sys.executable)


def test_where_the_directory_cannot_be_read_the_handles_show_the_pipes_and_it_says_so(
    pipe_name: str, pipectl: Pipectl, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise UnsupportedError("no")

    monkeypatch.setattr(directory, "list_pipes", refuse)
    holding("listen", pipe_name, "3")
    assert pipectl("list", pipe_name, "--json").object["source"] == "handles"
    result = pipectl("list", pipe_name)
    assert result.exit_code == 0
    assert "some may be missing" in result.stderr
    assert result.text.splitlines()[1].split()[1] == "3"
    assert pipectl("list", pipe_name, "--quiet").stderr == ""


@pytest.mark.usefixtures("some_pipes")
def test_a_directory_that_can_be_read_is_all_there_is(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name):
        assert pipectl("list", pipe_name, "--json")[:2] == (3, b"")


def test_a_process_chooses_the_pipes_that_it_serves(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    server, _ = holding("listen", f"{pipe_name}-theirs")
    ours = {"pid": str(os.getpid()), "exe": Path(sys.executable).name.upper()}
    with create_named_pipe(f"{pipe_name}-ours"), connect(f"{pipe_name}-theirs"):

        def names(*options: str) -> list[str]:
            found = pipectl("list", f"{pipe_name}*", *options, "--json").objects
            return [one["name"].rpartition("-")[2] for one in found]

        assert names("--pid", str(server.pid)) == ["theirs"]
        assert names("--pid", ours["pid"]) == ["ours"]
        assert names("--exe", ours["exe"]) == names("--exe", sys.executable) == ["ours", "theirs"]
        assert names("--exe", "other.exe") == []


def test_a_process_that_is_not_there_is_exit_code_3(pipectl: Pipectl) -> None:
    assert pipectl("list", "--pid", str(0xFFFF_FFFC)).exit_code == 3


def test_a_list_without_time_for_servers_has_none(
    pipe_name: str, pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_command, "_SEARCH", 0)
    entry = PipeEntry(pipe_name.removeprefix("\\\\.\\pipe\\"), 1, 1)
    monkeypatch.setattr(directory, "list_pipes", lambda: [entry])
    with create_named_pipe(pipe_name):
        result = pipectl("list", pipe_name, "--format", "raw")
    assert result.text == f"{entry.name}\t1\t1\t\n"

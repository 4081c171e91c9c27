"""`pipectl list`: the directory of pipes; its reading is tested with `core.inventory.directory`."""

import pytest

from pipectl.core.inventory import directory
from pipectl.core.models import PipeEntry
from pipectl.core.pipe.connection import connect
from pipectl.core.win32.calls import create_named_pipe
from tests.conftest import ON_WINE
from tests.runner import Pipectl


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
        r"App\x1b[31m           2          5",
        "dotnet-diagnostic-42  3          unlimited      42",
        "svc                   1          1",
    ]
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.usefixtures("some_pipes")
def test_the_busiest_can_come_first(pipectl: Pipectl) -> None:
    names = [one["name"] for one in pipectl("list", "--sort", "instances", "--json").objects]
    assert names == ["dotnet-diagnostic-42", "App\x1b[31m", "svc"]


@pytest.mark.usefixtures("some_pipes")
def test_a_pattern_chooses(pipectl: Pipectl) -> None:
    assert pipectl("list", "*DIAG*", "--output", "raw").text == "dotnet-diagnostic-42\t3\tunlimited\t42\n"
    assert pipectl("list", r"\\.\pipe\s?c", "--output", "raw").text == "svc\t1\t1\t\n"


@pytest.mark.usefixtures("some_pipes")
def test_json_has_an_object_for_each_pipe(pipectl: Pipectl) -> None:
    told = pipectl("list", "*c", "--json").objects
    assert told == [{"schema": 1, "name": "svc", "instances": 1, "max_instances": 1}]


@pytest.mark.usefixtures("some_pipes")
def test_no_pipe_is_an_empty_list(pipectl: Pipectl) -> None:
    assert pipectl("list", "nothing*", "--json") == (0, b"", "")


def test_another_computer_cannot_be_asked(pipectl: Pipectl) -> None:
    assert pipectl("list", r"\\server\pipe\*").exit_code == 11


@pytest.mark.skipif(not ON_WINE, reason="Windows can list its pipes")
def test_a_system_that_cannot_list_is_exit_code_11(pipectl: Pipectl) -> None:
    result = pipectl("list", "--json")
    assert (result.exit_code, result.stdout, result.error["exit_code"]) == (11, b"", 11)


@pytest.mark.windows(reason="Wine cannot list pipes", claim="W08")
def test_a_real_pipe_is_listed(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name, max_instances=2), connect(pipe_name):
        told = pipectl("list", pipe_name, "--json").object
    assert (told["instances"], told["max_instances"]) == (1, 2)

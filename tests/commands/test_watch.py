"""`pipectl watch`: what it says of pipes that appear, change and go; when is tested with `core.inventory.history`."""

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipectl.core.errors import PipeTimeoutError, UnsupportedError
from pipectl.core.inventory import directory
from pipectl.core.inventory import watch as watching
from pipectl.core.inventory.holders import Walk
from pipectl.core.inventory.watch import Watch
from pipectl.core.models import PipeEntry
from pipectl.core.win32.calls import create_named_pipe
from tests.commands.interruptible import Interruptible
from tests.core.inventory.test_walk import SilentPipe
from tests.nt.layer import Directory
from tests.runner import Holding, Pipectl, Running

Start = Callable[..., Running]


def short(pipe: str) -> str:
    """The name in the directory."""
    return pipe.rpartition("\\")[2]


@pytest.fixture
def directory_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the directory show, one look after the other, what is given; and the last for good."""

    def show(*looks: list[PipeEntry]) -> None:
        ahead = list(looks)
        monkeypatch.setattr(directory, "list_pipes", lambda: ahead.pop(0) if len(ahead) > 1 else ahead[0])

    return show


@pytest.fixture
def no_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no directory that can be read."""

    def refuse() -> None:
        raise UnsupportedError("no")

    monkeypatch.setattr(directory, "list_pipes", refuse)


def in_short(found: list[dict[str, Any]]) -> list[tuple[str, int | None]]:
    """The events, and how many instances there were after each."""
    return [(one["event"], one.get("instances")) for one in found]


# By the directory


def test_changes_are_shown_as_they_are_seen(directory_of: Callable[..., None], pipectl: Pipectl) -> None:
    one, two = PipeEntry("svc", 1, 5), PipeEntry("svc", 2, 5)
    other = PipeEntry("other", 1, 1)
    # The first look only finds out that the directory can be read.
    directory_of([], [other], [other, one], [other, two], [other], [other], [other, one])
    result = pipectl("watch", "--count", "4", "--interval", "10ms", "--json")
    assert result.exit_code == 0
    found = result.objects
    assert in_short(found) == [("appeared", 1), ("instances", 2), ("gone", None), ("appeared", 1)]
    assert {event["pipe"] for event in found} == {r"\\.\pipe\svc"}
    assert found[1]["was"] == 1
    assert 0 < found[2]["lived"] < found[2]["lived"] + found[3]["gap"]


def test_a_person_reads_a_line_for_each(directory_of: Callable[..., None], pipectl: Pipectl) -> None:
    directory_of([], [], [PipeEntry("svc", 1, 5)], [PipeEntry("svc", 3, 5)])
    result = pipectl("watch", "--count", "2", "--interval", "10ms")
    lines = [line.split("  ") for line in result.text.splitlines()]
    assert [[part.strip() for part in line[1:] if part] for line in lines] == [
        ["appeared", "svc", "1 instance"],
        ["instances", "svc", "3 instances, was 1"],
    ]


def test_only_names_that_match_are_watched(directory_of: Callable[..., None], pipectl: Pipectl) -> None:
    directory_of([], [], [PipeEntry("other", 1, 1)], [PipeEntry("other", 1, 1), PipeEntry("svc", 1, 1)])
    found = pipectl("watch", "svc", "--count", "1", "--interval", "10ms", "--json").object
    assert found["pipe"] == r"\\.\pipe\svc"


def test_what_is_there_already_is_shown_if_asked_for(directory_of: Callable[..., None], pipectl: Pipectl) -> None:
    directory_of([PipeEntry("svc", 2, None)])
    found = pipectl("watch", "--initial", "--count", "1", "--json").object
    assert (found["event"], found["instances"], found["unlimited"]) == ("present", 2, True)
    result = pipectl("watch", "--timeout", "50ms", "--interval", "10ms", "--json")
    assert (result.exit_code, result.stdout, result.error["exit_code"]) == (6, b"", 6)


def test_who_names_the_server_of_a_pipe_that_appeared(
    pipe_name: str, directory_of: Callable[..., None], pipectl: Pipectl
) -> None:
    directory_of([], [], [PipeEntry(short(pipe_name), 1, None)])
    with create_named_pipe(pipe_name):
        (server,) = pipectl("watch", "--who", "--count", "1", "--interval", "10ms", "--json").object["servers"]
    assert server["pid"] == os.getpid()


def test_a_directory_that_cannot_be_read_once_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, pipectl: Pipectl
) -> None:
    looks: Iterator[int] = iter(range(100))

    def list_pipes() -> list[PipeEntry]:
        if next(looks) in (2, 3, 4):
            raise UnsupportedError("no")
        return [PipeEntry("svc", 1, 1)]

    monkeypatch.setattr(directory, "list_pipes", list_pipes)
    assert pipectl("watch", "--timeout", "200ms", "--interval", "10ms").text == ""
    assert next(looks) > 6


def test_watching_a_directory_of_150_pipes_takes_hardly_any_time() -> None:
    with Directory([PipeEntry(f"pipe-{number}", 1, None) for number in range(150)]):
        watch = Watch()
        begun = time.process_time()
        with pytest.raises(PipeTimeoutError):
            list(watch.changes(0.25, 3))
    # Of one core; 0.3 % was measured, and the directory is made by Python here.
    assert (time.process_time() - begun) / 3 < 0.03


# By the handles of processes


def test_real_pipes_are_seen_to_appear_to_change_and_to_go(pipe_name: str, running: Start, holding: Holding) -> None:
    with create_named_pipe(f"{pipe_name}-first"):
        program = running("watch", f"{pipe_name}*", "--initial", "--who", "--interval", "20ms", "--json")

        def said() -> dict[str, Any]:
            event: dict[str, Any] = json.loads(program.wrote())
            return event

        assert said()["event"] == "present"
        server, _ = holding("listen", pipe_name)
        appeared = said()
        with create_named_pipe(pipe_name):
            changed = said()
            server.kill()
            assert in_short([said()]) == [("instances", 1)]
        assert in_short([appeared, changed, said()]) == [("appeared", 1), ("instances", 2), ("gone", None)]
    assert [one["pid"] for one in appeared["servers"]] == [server.pid]
    assert {one["pid"] for one in changed["servers"]} == {server.pid, os.getpid()}


@pytest.mark.usefixtures("no_directory")
def test_a_pipe_whose_handles_give_no_answer_is_not_gone(pipe_name: str, holding: Holding) -> None:
    holding("listen", pipe_name)
    watch = Watch(pipe_name)
    assert next(watch.changes(0.02, 5))["event"] == "present"
    events: list[str] = []
    with SilentPipe(pipe_name), pytest.raises(PipeTimeoutError):
        events.extend(record["event"] for record in watch.changes(0.02, 1.0))
    assert events == []


@pytest.mark.usefixtures("no_directory")
def test_walks_take_at_most_a_fifth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = []

    def slow_walk(_timeout: float) -> Walk:
        walks.append(time.perf_counter())
        time.sleep(0.1)
        return Walk(())

    monkeypatch.setattr(watching, "walk", slow_walk)
    watch = Watch()
    with pytest.raises(PipeTimeoutError):
        list(watch.changes(0.01, 2))
    assert 3 <= len(walks) <= 6


@pytest.mark.usefixtures("no_directory")
def test_it_says_that_the_directory_cannot_be_read(pipectl: Pipectl) -> None:
    result = pipectl("watch", "pipectl-test-none", "--timeout", "0")
    assert result.exit_code == 6
    assert "directory of pipes cannot be read" in result.stderr


@pytest.mark.usefixtures("no_directory")
def test_where_nothing_can_be_listed_it_is_exit_code_11(monkeypatch: pytest.MonkeyPatch, pipectl: Pipectl) -> None:
    def refuse(_timeout: float) -> None:
        raise UnsupportedError("no")

    monkeypatch.setattr(watching, "walk", refuse)
    assert pipectl("watch").exit_code == 11


# Its end


def test_ctrl_c_ends_it(pipe_name: str) -> None:
    program = Interruptible(pipe_name, "watch", "--initial", "--interval", "1h", "--json")
    try:
        program.wrote()
        program.interrupt()
    finally:
        program.kill()


@pytest.mark.parametrize("interval", ["0", "none", "1ms"])
def test_an_interval_without_a_pause_is_refused(pipectl: Pipectl, interval: str) -> None:
    assert pipectl("watch", "--interval", interval).exit_code == 2

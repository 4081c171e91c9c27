"""`pipectl client-pid`: who connects."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pipectl.core.constants import Wait
from pipectl.core.errors import PipeClosedError
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from tests.nt.layer import FirstInstance
from tests.pipes import reporting
from tests.runner import Background, Pipectl, Running

if TYPE_CHECKING:
    from pipectl.core.pipe.client import Client


def test_each_client_is_told_and_let_go(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    result = background(pipectl, "client-pid", pipe_name, "--count", "2", "--json")
    for _ in range(2):
        with connect(pipe_name, 10, wait=Wait.EXISTS) as client, pytest.raises(PipeClosedError):
            client.receive(5)
    told = [one for one in result.result(10).objects if one["event"] == "connected"]
    assert result.result().exit_code == 0
    assert [(one["client"], one["pid"], one["image"]) for one in told] == [
        (number, os.getpid(), sys.executable) for number in (1, 2)
    ]
    assert all(one["user"].endswith(os.environ["USERNAME"]) and "session" in one for one in told)


def test_a_client_of_another_process_is_told(
    pipe_name: str, pipectl: Pipectl, pipectl_process: Pipectl, background: Background
) -> None:
    result = background(pipectl, "client-pid", pipe_name, "--count", "1", "--json")
    with connect(pipe_name, 10, wait=Wait.EXISTS):
        pass
    assert result.result(10).objects[1]["pid"] == os.getpid()

    result = background(pipectl, "client-pid", pipe_name, "--count", "1", "--json")
    calling = background(pipectl_process, "call", pipe_name, "x", "--wait", "exists")
    pid = result.result(20).objects[1]["pid"]
    assert calling.result(20).exit_code == 7
    assert pid != os.getpid()


def test_for_people_it_is_a_line(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    result = background(pipectl, "client-pid", pipe_name, "--count", "1")
    connect(pipe_name, 10, wait=Wait.EXISTS).close()
    assert f"pid {os.getpid()}, python.exe" in result.result(10).text.splitlines()[0]
    assert f"listening on {pipe_name}" in result.result().stderr


def test_a_pipe_that_is_served_already_is_left_alone(pipe_name: str, pipectl: Pipectl) -> None:
    came: list[Client] = []
    events = reporting(connected=came.append)
    with FirstInstance(), PipeServer(pipe_name, lambda _client, _data: None, events=events):
        result = pipectl("client-pid", pipe_name, "--timeout", "1")
    assert (result.exit_code, result.stdout) == (5, b"")
    assert f"pipectl info {pipe_name[9:]}" in result.stderr
    assert came == []


def test_the_timeout_ends_it_with_exit_code_6(pipe_name: str, pipectl: Pipectl, late: float) -> None:
    begun = time.perf_counter()
    result = pipectl("client-pid", pipe_name, "--timeout", "0.3")
    assert 0.3 <= time.perf_counter() - begun < 0.5 + late
    assert (result.exit_code, result.stdout) == (6, b"")


@pytest.mark.parametrize("option", ["--wait", "--sqos", "--expect-pid"])
def test_it_connects_to_nothing_and_has_no_options_for_that(pipectl: Pipectl, option: str) -> None:
    assert pipectl("client-pid", "svc", option, "1").exit_code == 2


def test_json_begins_with_the_event_that_clients_can_connect(pipe_name: str, running: Callable[..., Running]) -> None:
    program = running("client-pid", pipe_name, "--json", "--count", "1")
    event = json.loads(program.wrote())
    connect(pipe_name, 0).close()
    assert (event["event"], event["pipe"]) == ("listening", pipe_name)
    assert any(words.startswith("SYSTEM: ") for words in event["access"])
    assert program.end().exit_code == 0

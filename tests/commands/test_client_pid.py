"""`pipectl client-pid`: who connects."""

import os
import sys

import pytest

from pipectl.core.constants import Wait
from pipectl.core.errors import PipeClosedError
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32 import winapi
from tests.runner import Background, Pipectl


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
    assert result.result(10).objects[0]["pid"] == os.getpid()

    result = background(pipectl, "client-pid", pipe_name, "--count", "1", "--json")
    calling = background(pipectl_process, "call", pipe_name, "x", "--wait", "exists")
    pid = result.result(20).objects[0]["pid"]
    assert calling.result(20).exit_code == 7
    assert pid != os.getpid()


def test_for_people_it_is_a_line(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    result = background(pipectl, "client-pid", pipe_name, "--count", "1")
    connect(pipe_name, 10, wait=Wait.EXISTS).close()
    assert f"pid {os.getpid()}, python.exe" in result.result(10).text.splitlines()[0]
    assert f"listening on {pipe_name}" in result.result().stderr


def test_a_pipe_that_is_served_already_has_its_server_told(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, _data: None):
        result = pipectl("client-pid", pipe_name, "--json")
    assert result.exit_code == 0
    assert (result.object["pipe"], result.object["server"]["pid"]) == (pipe_name, os.getpid())


def test_a_pipe_that_only_a_client_still_has_open_is_listened_on(
    pipe_name: str, pipectl: Pipectl, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Windows lets such a pipe be waited for, and not be opened; under Wine it is gone.
    monkeypatch.setattr(winapi, "WaitNamedPipeW", lambda _name, _timeout: 0)
    result = background(pipectl, "client-pid", pipe_name, "--count", "1", "--json")
    connect(pipe_name, 10, wait=Wait.EXISTS).close()
    assert result.result(10).objects[0]["event"] == "connected"

"""`pipectl wait`: until a pipe is free, exists, or is gone; told by the exit code."""

import time
from collections.abc import Callable
from threading import Timer

import pytest

from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import reporting
from tests.runner import Background, Pipectl


def echo(_client: Client, data: bytes) -> bytes:
    return data


@pytest.fixture
def soon() -> "Callable[[Callable[[], object]], None]":
    """Do something in 0.3 seconds."""
    return lambda function: Timer(0.3, function).start()


Soon = Callable[[Callable[[], object]], None]


@pytest.mark.parametrize("condition", ["free", "exists"])
def test_a_free_pipe_is_not_waited_for(pipe_name: str, pipectl: Pipectl, condition: str) -> None:
    with create_named_pipe(pipe_name):
        assert pipectl("wait", pipe_name, "--for", condition, "--timeout", "0").exit_code == 0


def test_it_waits_until_a_busy_pipe_is_free(pipe_name: str, pipectl: Pipectl, soon: Soon, late: float) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)):
        client = connect(pipe_name)
        soon(client.close)
        begun = time.perf_counter()
        assert pipectl("wait", pipe_name).exit_code == 0
        assert 0.2 < time.perf_counter() - begun < 0.5 + late


def test_a_pipe_that_stays_busy_is_exit_code_6(pipe_name: str, pipectl: Pipectl, late: float) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)), connect(pipe_name):
        assert pipectl("wait", pipe_name, "--for", "exists", "--timeout", "0").exit_code == 0
        begun = time.perf_counter()
        assert pipectl("wait", pipe_name, "--timeout", "0.3").exit_code == 6
        assert 0.3 <= time.perf_counter() - begun < 0.3 + late


def test_an_absent_pipe_is_exit_code_3_if_it_is_not_waited_for(pipe_name: str, pipectl: Pipectl) -> None:
    result = pipectl("wait", pipe_name, "--timeout", "0")
    assert (result.exit_code, result.stdout) == (3, b"")


@pytest.mark.parametrize("options", [[], ["--for", "free"], ["--for", "exists"]], ids=" ".join)
def test_it_waits_until_there_is_a_pipe(
    pipe_name: str, pipectl: Pipectl, soon: Soon, late: float, options: list[str]
) -> None:
    servers = []
    soon(lambda: servers.append(create_named_pipe(pipe_name)))
    begun = time.perf_counter()
    assert pipectl("wait", pipe_name, *options) == (0, b"", "")
    assert 0.2 < time.perf_counter() - begun < 0.5 + late
    servers[0].close()


def test_a_pipe_that_never_comes_is_exit_code_6(pipe_name: str, pipectl: Pipectl) -> None:
    result = pipectl("wait", pipe_name, "--timeout", "0.1")
    assert (result.exit_code, "not found" in result.stderr) == (6, True)
    assert pipectl("wait", pipe_name, "--for", "exists", "--timeout", "0.1").exit_code == 6
    assert pipectl("wait", pipe_name, "--for", "exists", "--timeout", "0").exit_code == 6


def test_it_waits_until_a_pipe_is_gone(pipe_name: str, pipectl: Pipectl, soon: Soon, late: float) -> None:
    soon(create_named_pipe(pipe_name).close)
    begun = time.perf_counter()
    assert pipectl("wait", pipe_name, "--for", "gone").exit_code == 0
    assert 0.2 < time.perf_counter() - begun < 0.5 + late
    assert pipectl("wait", pipe_name, "--for", "gone", "--timeout", "0").exit_code == 0


def test_a_pipe_that_stays_is_exit_code_6(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name):
        assert pipectl("wait", pipe_name, "--for", "gone", "--timeout", "0.1").exit_code == 6


def test_a_pipe_that_is_waited_for_is_never_opened(pipe_name: str, pipectl: Pipectl) -> None:
    came: list[Client] = []
    with PipeServer(pipe_name, echo, events=reporting(connected=came.append)):
        for condition in ("free", "exists"):
            assert pipectl("wait", pipe_name, "--for", condition).exit_code == 0
        assert pipectl("wait", pipe_name, "--for", "gone", "--timeout", "0.1").exit_code == 6
    assert came == []


def test_several_may_wait_for_the_same_pipe(pipe_name: str, program: list[str], background: Background) -> None:
    from tests.runner import run_process

    waiting = [background(run_process, [*program, "wait", pipe_name, "--for", "exists"]) for _ in range(2)]
    time.sleep(0.2)
    with create_named_pipe(pipe_name):
        assert [one.result(20).exit_code for one in waiting] == [0, 0]


def test_success_is_silent_but_with_details_or_as_data(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name):
        assert pipectl("wait", pipe_name) == (0, b"", "")
        result = pipectl("wait", pipe_name, "-v")
        assert (result.stdout, result.stderr.startswith(f"{pipe_name}: free, after 0")) == (b"", True)
        told = pipectl("wait", pipe_name, "--json").object
    assert told == {"schema": 1, "pipe": pipe_name, "is": "free", "seconds": told["seconds"]}


def test_json_has_the_error_too(pipe_name: str, pipectl: Pipectl) -> None:
    error = pipectl("wait", pipe_name, "--json", "--timeout", "0").error
    assert (error["pipe"], error["exit_code"], error["symbol"]) == (pipe_name, 3, "ERROR_FILE_NOT_FOUND")

"""What is sent comes from a file, or from what has a file's name."""

import time
from pathlib import Path
from typing import Any

import pytest

from pipectl.core.constants import Sqos
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import reporting
from tests.runner import Pipectl


def pong(_client: Client, _data: bytes) -> bytes:
    return b"pong"


def test_a_request_too_long_for_its_frame_is_wrong_usage_and_not_sent(
    pipe_name: str, pipectl: Pipectl, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(bytes(65536))
    with PipeServer(pipe_name, pong, config=PipeConfig(is_message=False)) as server:
        result = pipectl("call", pipe_name, "--data-file", str(tmp_path / "data"), "--frame", "u16be")
        assert server.stats.clients == 0
    assert result.exit_code == 2
    assert "u16be" in result.stderr


def test_a_data_file_that_lets_one_wait_is_given_up(pipe_name: str, pipectl: Pipectl, late: float) -> None:
    silent = f"{pipe_name}-silent"
    with PipeServer(pipe_name, pong), create_named_pipe(silent):
        begun = time.perf_counter()
        result = pipectl("call", pipe_name, "--data-file", silent, "--timeout", "0.3")
        taken = time.perf_counter() - begun
    assert result.exit_code == 6
    assert silent in result.stderr
    assert 0.3 <= taken < 0.3 + late


def test_a_pipe_as_data_file_may_learn_who_reads_and_no_more(
    pipe_name: str, pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, flags = winapi.CreateFileW, {}

    def create_file(name: str, *arguments: Any) -> Any:
        flags[name] = arguments[4]
        return real(name, *arguments)

    monkeypatch.setattr(winapi, "CreateFileW", create_file)

    def dictate(client: Client) -> None:
        client.send(b"dictated")
        client.close()

    source = PipeServer(f"{pipe_name}-source", pong, events=reporting(dictate), config=PipeConfig(is_message=False))
    with source, PipeServer(pipe_name, lambda _client, data: data):
        result = pipectl("call", pipe_name, "--data-file", f"{pipe_name}-source", "--timeout", "5")
    assert result == (0, b"dictated", "")
    assert flags[f"{pipe_name}-source"] & 0x001F_0000 == Sqos.IDENTIFICATION


def test_a_data_file_is_read_also_where_nothing_is_waited_for(pipe_name: str, pipectl: Pipectl, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"ping")
    with PipeServer(pipe_name, lambda _client, data: data):
        result = pipectl("call", pipe_name, "--data-file", str(tmp_path / "data"), "--timeout", "none")
    assert result == (0, b"ping", "")
    result = pipectl("call", pipe_name, "--data-file", str(tmp_path / "data"), "--timeout", "0")
    assert result.exit_code == 3  # of the pipe, which is not there any more

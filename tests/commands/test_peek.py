"""`pipectl peek`: what waits, and stays."""

import sys

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows' pipes", allow_module_level=True)

import time

from pipectl.core.constants import OpenMode, PipeMode
from pipectl.core.functions import create_named_pipe, write_file
from pipectl.core.server import Client, PipeServer
from tests.runner import Pipectl


def mute(_client: Client, _data: bytes) -> None:
    return None


def greeting(data: bytes, **options: bool) -> "dict[str, object]":
    return {"on_message": mute, "on_connect": lambda _client: data, **options}


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_what_the_server_has_sent_is_shown(pipe_name: str, pipectl: Pipectl, is_message: bool) -> None:
    with PipeServer(pipe_name, mute, on_connect=lambda _client: b"welcome", is_message=is_message):
        result = pipectl("peek", pipe_name, "--timeout", "5")
    assert (result.exit_code, result.stdout) == (0, b"welcome")
    assert "7 bytes wait" in result.stderr


def test_it_stays_where_it_is(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name) as server:
        assert pipectl("peek", pipe_name).stdout == b""

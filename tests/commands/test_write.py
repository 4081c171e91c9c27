"""`pipectl write`: data without a reply, on duplex and on one-way pipes."""

import pytest

from pipectl.core.constants import OpenMode, PipeMode
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import connect_named_pipe, read_file
from tests.runner import Background, Pipectl

BOTH = pytest.mark.parametrize("mode", [PipeMode.MESSAGE, PipeMode.TYPE_BYTE], ids=["message", "byte"])


@BOTH
@pytest.mark.parametrize("direction", [OpenMode.INBOUND, OpenMode.DUPLEX], ids=["inbound", "duplex"])
def test_data_arrives_and_no_reply_is_waited_for(
    pipe_name: str, pipectl: Pipectl, background: Background, mode: PipeMode, direction: OpenMode
) -> None:
    with create_named_pipe(pipe_name, direction | OpenMode.OVERLAPPED, mode) as server:
        result = background(pipectl, "write", pipe_name, "hello", "--newline")
        connect_named_pipe(server, 10)
        assert result.result(10) == (0, b"", "")
        assert read_file(server, 100, 5) == (b"hello\n", False)


def test_a_frame_is_sent(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE) as server:
        result = background(pipectl, "write", pipe_name, "ping", "--frame", "u32be", "--json")
        connect_named_pipe(server, 10)
        assert read_file(server, 100, 5)[0] == b"\0\0\0\4ping"
        told = result.result(10).object
    assert (told["sent"], told["flushed"]) == (8, False)


def test_an_empty_message_is_sent(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.MESSAGE) as server:
        result = background(pipectl, "write", pipe_name, "--empty", "--flush")
        connect_named_pipe(server, 10)
        assert read_file(server, 100, 5) == (b"", False)
        assert result.result(10).exit_code == 0


def test_nothing_on_a_byte_pipe_is_exit_code_9(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, data: data, config=PipeConfig(is_message=False)):
        assert pipectl("write", pipe_name, "--empty").exit_code == 9


@BOTH
def test_flush_waits_until_the_server_has_read(
    pipe_name: str, pipectl: Pipectl, background: Background, mode: PipeMode
) -> None:
    with create_named_pipe(pipe_name, pipe_mode=mode) as server:
        result = background(pipectl, "write", pipe_name, "x", "--flush", "--timeout", "0.5")
        connect_named_pipe(server, 10)
        assert result.result(10).exit_code == 6
    with create_named_pipe(pipe_name, pipe_mode=mode) as server:
        result = background(pipectl, "write", pipe_name, "x", "--flush", "--timeout", "10", "--json")
        connect_named_pipe(server, 10)
        assert read_file(server, 100, 5)[0] == b"x"
        assert result.result(10).object["flushed"] is True


def test_a_body_without_a_frame_is_wrong_usage(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("write", pipe_name, "x" * 256, "--frame", "u8").exit_code == 2


def test_an_absent_pipe_is_exit_code_3(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("write", pipe_name, "x").exit_code == 3

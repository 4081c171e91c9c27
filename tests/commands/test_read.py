"""`pipectl read`: what a server sends, piece by piece, on duplex and on one-way pipes."""

import time
from collections.abc import Callable, Sequence

import pytest

from pipectl.core.constants import OpenMode, PipeMode
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import connect_named_pipe, reporting, write_file
from tests.runner import Background, Pipectl, Running


def sending(pipe: str, pieces: Sequence[bytes], *, is_message: bool = True, closes: bool = True) -> PipeServer:
    """Serve a pipe whose clients are sent these pieces, and then perhaps closed."""

    def greet(client: Client) -> None:
        for piece in pieces:
            client.send(piece)
        if closes:
            client.close()

    config = PipeConfig(is_message=is_message)
    return PipeServer(pipe, lambda _client, _data: None, events=reporting(connected=greet), config=config)


def test_each_message_is_a_line_until_the_server_closes(pipe_name: str, pipectl: Pipectl) -> None:
    with sending(pipe_name, [b"one", b"", b"two\n"]):
        assert pipectl("read", pipe_name) == (0, b"one\n\ntwo\n", "")


def test_raw_messages_are_joined(pipe_name: str, pipectl: Pipectl) -> None:
    with sending(pipe_name, [b"one", b"two"]):
        assert pipectl("read", pipe_name, "--as", "raw").stdout == b"onetwo"


def test_each_message_is_an_object_with_its_time(pipe_name: str, pipectl: Pipectl) -> None:
    with sending(pipe_name, [b"one", b"\xff"]):
        first, second = pipectl("read", pipe_name, "--json").objects
    assert (first["message"], first["data"]) == (1, {"size": 3, "text": "one"})
    assert (second["message"], second["data"]) == (2, {"size": 1, "base64": "/w=="})
    assert first["time"] <= second["time"]


def test_a_stream_is_printed_as_it_is(pipe_name: str, pipectl: Pipectl) -> None:
    with sending(pipe_name, [b"on", b"e\ntwo"], is_message=False):
        assert pipectl("read", pipe_name).stdout == b"one\ntwo"


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
@pytest.mark.parametrize(
    ("option", "rule", "stdout"),
    [
        ("--until", "line", b"one\r\ntwo\r\n"),
        ("--frame", "line", b"one\ntwo\n"),
        ("--frame", "eof", b"one\r\ntwo\r\n"),
    ],
)
def test_a_rule_ends_each_piece(
    pipe_name: str, pipectl: Pipectl, is_message: bool, option: str, rule: str, stdout: bytes
) -> None:
    with sending(pipe_name, [b"one\r", b"\ntwo\r\n"], is_message=is_message):
        assert pipectl("read", pipe_name, option, rule) == (0, stdout, "")


def test_a_count_is_the_end(pipe_name: str, pipectl: Pipectl) -> None:
    with sending(pipe_name, [b"one", b"two", b"three"], closes=False):
        assert pipectl("read", pipe_name, "--count", "2") == (0, b"one\ntwo\n", "")


@pytest.mark.parametrize(
    ("pieces", "closes", "exit_code", "symbol"),
    [
        ([], False, 6, "ERROR_TIMEOUT"),
        ([b"one"], False, 10, "ERROR_TIMEOUT"),
        ([], True, 7, "ERROR_BROKEN_PIPE"),
        ([b"one"], True, 10, "ERROR_BROKEN_PIPE"),
    ],
    ids=["nothing in time", "too few in time", "nothing", "too few"],
)
def test_fewer_than_the_count_is_an_error(
    pipe_name: str, pipectl: Pipectl, pieces: list[bytes], closes: bool, exit_code: int, symbol: str
) -> None:
    with sending(pipe_name, pieces, closes=closes):
        result = pipectl("read", pipe_name, "--count", "2", "--timeout", "0.5")
    assert (result.exit_code, result.stdout) == (exit_code, b"".join(piece + b"\n" for piece in pieces))
    assert symbol in result.stderr


def test_a_frame_that_breaks_off_is_exit_code_10(pipe_name: str, pipectl: Pipectl) -> None:
    with sending(pipe_name, [b"\3onetw"], is_message=False):
        result = pipectl("read", pipe_name, "--frame", "u8")
    assert result.exit_code == 10


def test_white_space_after_the_last_value_is_no_frame(pipe_name: str, pipectl: Pipectl) -> None:
    with sending(pipe_name, [b"{} [1]\n"], is_message=False):
        assert pipectl("read", pipe_name, "--until", "json") == (0, b"{}\n[1]\n", "")


def test_a_duration_is_an_end_without_an_error(pipe_name: str, pipectl: Pipectl, late: float) -> None:
    with sending(pipe_name, [b"one"], closes=False):
        begun = time.perf_counter()
        assert pipectl("read", pipe_name, "--duration", "0.4") == (0, b"one\n", "")
        assert 0.4 <= time.perf_counter() - begun < 0.6 + late


@pytest.mark.parametrize("mode", [PipeMode.MESSAGE, PipeMode.TYPE_BYTE], ids=["message", "byte"])
def test_a_pipe_that_only_sends_is_read(
    pipe_name: str, pipectl: Pipectl, background: Background, mode: PipeMode
) -> None:
    with create_named_pipe(pipe_name, OpenMode.OUTBOUND | OpenMode.OVERLAPPED, mode) as server:
        result = background(pipectl, "read", pipe_name, "--count", "2", "--until", "line")
        connect_named_pipe(server, 10)
        write_file(server, b"one\n", 5)
        write_file(server, b"two\n", 5)
        assert result.result(10) == (0, b"one\ntwo\n", "")


def test_a_server_that_is_killed_is_exit_code_7(pipe_name: str, running: Callable[..., Running]) -> None:
    server = running("serve", pipe_name, "--greeting", "hello")
    server.said()
    program = running("read", pipe_name)
    assert program.wrote() == b"hello\n"
    server.crash()
    result = program.end()
    assert (result.exit_code, result.stdout) == (7, b"")
    assert "ended with exit code 1" in result.stderr


def test_what_comes_is_printed_at_once(pipe_name: str, running: Callable[..., Running]) -> None:
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.MESSAGE) as server:
        program = running("read", pipe_name)
        connect_named_pipe(server, 30)
        for word in (b"one", b"two"):
            write_file(server, word, 5)
            assert program.wrote() == word + b"\n"
    assert program.end().exit_code == 0


def test_an_absent_pipe_is_exit_code_3(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("read", pipe_name).exit_code == 3

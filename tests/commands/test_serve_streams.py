"""`pipectl serve` with frames, a greeting and one-way pipes."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipectl.core.constants import Access, OpenMode, Wait
from pipectl.core.errors import PipeAccessError, PipeClosedError
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.framing import parse
from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import connect_named_pipe, write_file
from tests.runner import Background, Pipectl, Running


def test_frames_of_a_byte_pipe_are_answered_one_by_one(
    pipe_name: str, pipectl: Pipectl, background: Background
) -> None:
    line = ("serve", pipe_name, "--type", "byte", "--frame", "u32be", "--reply", "pong", "--once", "--json")
    result = background(pipectl, *line)
    with connect(pipe_name, 20, wait=Wait.EXISTS) as client:
        client.send(b"\0\0\0\1a\0\0", 5)
        assert client.receive_until(parse("u32be"), 5).data == b"pong"
        client.send(b"\0\1b", 5)
        assert client.receive_until(parse("u32be"), 5).data == b"pong"
    events = result.result(20).objects
    assert [one["payload"]["text"] for one in events if one["event"] == "received"] == ["a", "b"]


def test_a_program_answers_each_frame(pipe_name: str, running: Callable[..., Running]) -> None:
    program = "import sys; sys.stdout.write(sys.stdin.read().upper())"
    line = ("serve", pipe_name, "--type", "byte", "--frame", "line", "--count", "1", "--exec", sys.executable, "-c")
    server = running(*line, program)
    with connect(pipe_name, 30, wait=Wait.EXISTS) as client:
        client.send(b"one\ntwo\n", 5)
        assert [client.receive_until(parse("line"), 20).data for _ in range(2)] == [b"ONE\n", b"TWO\n"]
    assert server.end().exit_code == 0


@pytest.mark.parametrize(("options", "greeting"), [([], b"hello"), (["--frame", "line", "--type", "byte"], b"hello\n")])
def test_a_greeting_comes_before_anything_else(
    pipe_name: str, pipectl: Pipectl, background: Background, options: list[str], greeting: bytes
) -> None:
    result = background(pipectl, "serve", pipe_name, "--greeting", "hello", "--once", *options)
    with connect(pipe_name, 20, wait=Wait.EXISTS) as client:
        assert client.receive(5) == greeting
        client.send(b"x\n", 5)
        assert client.receive(5) == b"x\n"
    assert "greeted" in result.result(20).text


def test_a_pipe_on_which_only_clients_send(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    result = background(pipectl, "serve", pipe_name, "--direction", "in", "--messages", "1", "--json")
    with connect(pipe_name, 20, wait=Wait.EXISTS, access=Access.GENERIC_WRITE) as client:
        with pytest.raises(PipeAccessError):
            connect(pipe_name, 5, access=Access.GENERIC_READ)
        client.send(b"one", 5)
    events = result.result(20).objects
    assert [one["event"] for one in events[1:3]] == ["connected", "received"]


@pytest.mark.parametrize(
    "options", [["--reply", "news"], ["--greeting", "news"], ["--instances", "1", "--reply", "news"]]
)
@pytest.mark.parametrize("kind", ["message", "byte"])
def test_a_pipe_on_which_only_the_server_sends(
    pipe_name: str, pipectl: Pipectl, background: Background, options: list[str], kind: str
) -> None:
    line = ("serve", pipe_name, "--direction", "out", "--count", "2", "--type", kind)
    result = background(pipectl, *line, *options)
    for _ in range(2):
        with connect(pipe_name, 20, wait=Wait.EXISTS, access=Access.GENERIC_READ) as client:
            assert client.receive(5) == b"news"
            with pytest.raises(PipeClosedError):
                client.receive(5)
    assert result.result(20).exit_code == 0


def test_a_file_is_read_anew_for_each_client_of_a_one_way_pipe(
    pipe_name: str, pipectl: Pipectl, background: Background, tmp_path: Path
) -> None:
    (file := tmp_path / "reply").write_bytes(b"old")
    line = ("serve", pipe_name, "--direction", "out", "--count", "2", "--reply-file", str(file))
    result = background(pipectl, *line)
    for news in (b"old", b"new"):
        file.write_bytes(news)
        with connect(pipe_name, 20, wait=Wait.EXISTS, access=Access.GENERIC_READ) as client:
            assert client.receive(5) == news
    result.result(20)


@pytest.mark.parametrize(
    "options",
    [
        ["--direction", "in", "--reply", "x"],
        ["--direction", "in", "--greeting", "x"],
        ["--direction", "out"],
        ["--direction", "out", "--echo"],
        ["--direction", "out", "--exec", "sort"],
        ["--frame", "idle:1"],
        ["--frame", "u8", "--reply", "x" * 256],
    ],
    ids=lambda options: " ".join(options)[:40],
)
def test_what_does_not_go_together_is_wrong_usage(pipe_name: str, pipectl: Pipectl, options: list[str]) -> None:
    assert pipectl("serve", pipe_name, *options).exit_code == 2


def test_a_file_that_blocks_stops_nobody_but_those_who_wait_for_it(
    pipe_name: str, running: Callable[..., Running]
) -> None:
    """The file is a pipe, which comes to its end when the test closes it."""

    file, mode = f"{pipe_name}-file", OpenMode.OUTBOUND | OpenMode.OVERLAPPED
    with create_named_pipe(file, mode) as first, create_named_pipe(file, mode) as second:
        program = running("serve", pipe_name, "--reply-file", file, "--json")
        connect_named_pipe(first, 30)
        write_file(first, b"old", 5)
        first.close()
        with connect(pipe_name, 30, wait=Wait.EXISTS) as waiting:
            waiting.send(b"x", 5)
            connect_named_pipe(second, 30)
            with connect(pipe_name, 5):
                while b'"client": 2' not in program.wrote():
                    pass
            write_file(second, b"new", 5)
            second.close()
            assert waiting.receive(10) == b"new"
        program.kill()

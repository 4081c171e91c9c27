"""What a server may send that is no frame, too much, or cut; and what `connect` and `read` may be given in vain."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from pipectl.core.constants import PipeMode
from pipectl.core.errors import PipeClosedError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import Connection
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from pipectl.exitcodes import ExitCode
from tests.commands.interruptible import Interruptible
from tests.pipes import connect_named_pipe, reporting
from tests.runner import Background, Pipectl, Running

# What the rule cannot accept, however it goes on.
BAD = [
    ("u32le", b"\xff\xff\xff\xff"),
    ("u64be", b"\xff" * 8),
    ("u8+self", b"\0"),
    ("varint", b"\xff" * 11),
    ("content-length", b"Content-Length: -1\r\n\r\n"),
    ("content-length", b"Content-Type: x\r\n\r\n"),
    ("content-length", b"a line of a log\nContent-Length: 2\r\n\r\n{}"),
    ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
    ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"),
    ("http", b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 20)),
    ("json", b"]"),
    ("json", b"[" * (1 << 20) + b"x" * (1 << 20)),
    ("pkt", b"zzzz"),
    ("line", b"x" * (2 << 20)),
]
BOTH = pytest.mark.parametrize("command", ["connect", "read"])


def options_of(command: str, rule: str) -> list[str]:
    return ["--frame" if command == "connect" else "--until", rule, "--max-message", "1m"]


@BOTH
@pytest.mark.parametrize(("rule", "data"), BAD, ids=[f"{rule} {data[:20]!r}" for rule, data in BAD])
def test_what_is_no_frame_is_exit_code_10_and_names_the_pipe_while_it_is_open(
    pipe_name: str, running: Callable[..., Running], background: Background, command: str, rule: str, data: bytes
) -> None:
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE) as handle:
        program = running(command, pipe_name, *options_of(command, rule))
        connect_named_pipe(handle, 30)
        with Connection(handle, is_message=False) as server:

            def send() -> None:
                with suppress(PipeClosedError):  # it does not read everything
                    server.send(data, 30)

            background(send)
            result = program.end()
    assert (result.exit_code, result.stdout) == (ExitCode.PARTIAL, b"")
    assert pipe_name in result.stderr.splitlines()[0]


@BOTH
@pytest.mark.parametrize("rule", ["u32le", "json", "http"])
def test_a_server_that_leaves_within_a_frame_is_exit_code_10(
    pipe_name: str, pipectl_process: Pipectl, command: str, rule: str
) -> None:
    part = {"u32le": b"\x10\0\0\0abc", "json": b'{"a', "http": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"}[rule]

    def leave(client: Client) -> bytes:
        client.close()
        return part

    with PipeServer(
        pipe_name, lambda _client, _data: None, events=reporting(connected=leave), config=PipeConfig(is_message=False)
    ):
        result = pipectl_process(command, pipe_name, *options_of(command, rule))
    assert (result.exit_code, result.stdout) == (ExitCode.PARTIAL, b"")


@BOTH
@pytest.mark.parametrize("is_framed", [False, True], ids=["messages", "frames"])
def test_a_message_that_is_too_long_is_exit_code_10_and_what_came_before_is_kept(
    pipe_name: str, pipectl_process: Pipectl, command: str, is_framed: bool
) -> None:
    def send(client: Client) -> None:
        for size in (10, 1025):
            client.send((size.to_bytes(2, "big") if is_framed else b"") + b"x" * size)

    options = options_of(command, "u16be")[: None if is_framed else 0]
    with PipeServer(
        pipe_name,
        lambda _client, _data: None,
        events=reporting(connected=send),
        config=PipeConfig(is_message=not is_framed),
    ):
        result = pipectl_process(command, pipe_name, *options, "--max-message", "1k", "--as", "raw")
    assert result.exit_code == ExitCode.PARTIAL
    assert result.stdout.count(b"x") == 10


def test_a_part_of_a_frame_of_stdin_is_not_sent_and_is_exit_code_10(pipe_name: str, pipectl_process: Pipectl) -> None:
    received = []
    with PipeServer(pipe_name, lambda _client, data: received.append(data)):
        options = ["--stdin-as", "frames", "--frame", "u32le", "--half-close", "none", "--linger", "100ms"]
        result = pipectl_process("connect", pipe_name, *options, stdin=b"\3\0\0\0one\3\0\0\0tw")
    assert result.exit_code == ExitCode.PARTIAL
    assert received == [b"one"]


def test_without_a_linger_a_server_that_never_closes_is_waited_for_until_ctrl_c(pipe_name: str) -> None:
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE) as handle:
        program = Interruptible(pipe_name, "connect", pipe_name, "--linger", "none")
        connect_named_pipe(handle, 30)
        program.tell("x")
        program.end_stdin()
        with Connection(handle, is_message=False) as server:
            assert server.receive(10) == b"x\n"
            server.send(b"late\n", 10)
            assert program.wrote() == b"late\n"
            program.interrupt()


@BOTH
def test_a_stdout_that_is_closed_ends_it_with_1(
    pipe_name: str, program: list[str], background: Background, command: str
) -> None:
    def send_on(server: Connection) -> None:
        with suppress(PipeClosedError):
            while True:
                server.send(b"line\n", 30)

    with create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE) as handle:
        process = subprocess.Popen(
            [*program, command, pipe_name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        with process, Connection(handle, is_message=False) as server:
            connect_named_pipe(handle, 30)
            assert process.stdout
            process.stdout.close()
            background(send_on, server)
            begun = time.perf_counter()
            assert process.wait(30) == ExitCode.UNEXPECTED
            assert time.perf_counter() - begun < 10

"""`pipectl connect`: stdin and stdout passed through, and the ends of it."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from zlib import crc32

import pytest

from pipectl.core.constants import PipeMode
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import Connection
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from pipectl.exitcodes import ExitCode
from tests.pipes import connect_named_pipe, disconnect_named_pipe, read_file, write_file
from tests.reliability.growth import memory_in_use
from tests.runner import Background, Pipectl, Running

FULL_DISK = Path("Z:/dev/full")
BOTH = pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])


def echo(_client: Client, data: bytes) -> bytes:
    return data


def serving(pipe: str, *, is_message: bool = True) -> PipeServer:
    return PipeServer(pipe, echo, config=PipeConfig(is_message=is_message))


@BOTH
def test_stdin_and_stdout_are_passed_through(pipe_name: str, pipectl_process: Pipectl, is_message: bool) -> None:
    data = bytes(range(256)) * 1000
    with serving(pipe_name, is_message=is_message):
        assert pipectl_process("connect", pipe_name, stdin=data) == (0, data, "")


@pytest.mark.skipif(not FULL_DISK.exists(), reason="only Linux has such a file")
def test_a_full_disk_ends_it_with_an_error(pipe_name: str, program: list[str]) -> None:
    with serving(pipe_name), FULL_DISK.open("wb", buffering=0) as full:
        done = subprocess.run(
            [*program, "connect", pipe_name],
            input=b"data",
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    assert done.returncode == ExitCode.UNEXPECTED
    assert b"stdout cannot be written" in done.stderr


@BOTH
def test_much_passes_both_ways_at_once(
    pipe_name: str, program: list[str], background: Background, is_message: bool, request: pytest.FixtureRequest
) -> None:
    size = (1 << 30) if request.config.getoption("--long") else (64 << 20)
    chunk = os.urandom(1 << 20)
    mode = PipeMode.MESSAGE if is_message else PipeMode.TYPE_BYTE

    def checked(read: Callable[[], bytes]) -> int:
        total = crc = 0
        while total < size:
            data = read()
            assert data
            total, crc = total + len(data), crc32(data, crc)
        return crc

    expected = 0
    for _ in range(size >> 20):
        expected = crc32(chunk, expected)

    def cut(write: Callable[[bytes], object]) -> None:
        at = random.randrange(1, len(chunk))
        write(chunk[:at])
        write(chunk[at:])

    with create_named_pipe(pipe_name, pipe_mode=mode) as handle:
        command = subprocess.Popen(
            [*program, "connect", pipe_name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with command:
            assert command.stdin
            assert command.stdout
            stdout = command.stdout
            connect_named_pipe(handle, 30)
            with Connection(handle, is_message=is_message) as server:
                from_pipe = background(checked, lambda: server.receive(60))
                from_stdout = background(checked, lambda: os.read(stdout.fileno(), 1 << 16))

                def send() -> None:
                    for _ in range(size >> 20):
                        cut(partial(server.send, timeout=60))

                sending = background(send)
                memory = []
                for _ in range(size >> 20):
                    cut(command.stdin.write)
                    memory.append(memory_in_use(int(command._handle)))  # type: ignore[attr-defined]
                command.stdin.flush()  # the last piece may be a short one
                assert from_pipe.result(600) == expected
                sending.result(600)
                assert from_stdout.result(600) == expected
                assert max(memory) - memory[len(memory) // 8] < 8 << 20
            command.stdin.close()
            assert command.wait(30) == 0


@pytest.mark.parametrize("by", ["close", "disconnect"])
def test_it_ends_at_once_when_the_pipe_does_though_stdin_is_open(
    pipe_name: str, running: Callable[..., Running], by: str
) -> None:
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.MESSAGE) as server:
        program = running("connect", pipe_name)
        connect_named_pipe(server, 30)
        write_file(server, b"last words\n", 5)
        assert program.wrote() == b"last words\n"
        begun = time.perf_counter()
        if by == "disconnect":
            disconnect_named_pipe(server)
        else:
            server.close()
        assert program.end().exit_code == 0
        assert time.perf_counter() - begun < 1


def test_a_server_that_is_killed_ends_it_at_once(pipe_name: str, running: Callable[..., Running]) -> None:
    server = running("serve", pipe_name)
    server.said()
    program = running("connect", pipe_name)
    program.tell("ping")
    assert program.wrote() == b"ping\n"
    begun = time.perf_counter()
    server.crash()
    result = program.end()
    assert time.perf_counter() - begun < 5
    assert (result.exit_code, result.stdout) == (7, b"")
    assert "ended with exit code 1" in result.stderr


def test_a_pipe_that_closes_before_all_is_sent_is_exit_code_7(
    pipe_name: str, running: Callable[..., Running], background: Background
) -> None:
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE) as server:
        program = running("connect", pipe_name)
        connect_named_pipe(server, 30)

        def tell() -> None:
            with suppress(OSError):  # it ends before it has read all
                program.tell("x" * (1 << 20))

        telling = background(tell)
        read_file(server, 10, 5)
        server.close()
        telling.result(10)
        assert program.end().exit_code == 7


def test_the_end_of_stdin_is_an_empty_message(pipe_name: str, running: Callable[..., Running]) -> None:
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.MESSAGE) as server:
        program = running("connect", pipe_name)
        connect_named_pipe(server, 30)
        program.tell("request")
        assert read_file(server, 100, 5) == (b"request\n", False)
        program.end_stdin()
        assert read_file(server, 100, 5) == (b"", False)
        write_file(server, b"answer", 5)
        server.close()
        assert program.end() == (0, b"answer", "")


@pytest.mark.parametrize(
    ("is_message", "options", "end"),
    [
        (True, [], "until the server closes the pipe"),
        (True, ["--half-close", "none"], "until no data has arrived for 0.2 s"),
        (False, [], "until no data has arrived for 0.2 s"),
        (True, ["--end", "stdin"], "stdin has ended"),
    ],
)
def test_with_details_it_says_what_is_waited_for_after_stdin(
    pipe_name: str, pipectl_process: Pipectl, is_message: bool, options: list[str], end: str
) -> None:
    with serving(pipe_name, is_message=is_message):
        result = pipectl_process("connect", pipe_name, "-v", "--linger", "200ms", *options, stdin=b"x")
    assert result.exit_code == 0
    assert result.stderr.strip().endswith(end)


def test_lines_are_messages(pipe_name: str, pipectl_process: Pipectl) -> None:
    def count(_client: Client, data: bytes) -> bytes:
        return b"%d" % len(data) if data else b""

    with PipeServer(pipe_name, count):
        result = pipectl_process("connect", pipe_name, "--stdin-as", "lines", stdin=b"one\r\n\nfour\nx")
    assert result == (0, b"3\n4\n1\n", "")


def test_lines_are_read_as_the_options_say(pipe_name: str, pipectl_process: Pipectl) -> None:
    with serving(pipe_name):
        result = pipectl_process(
            "connect", pipe_name, "--stdin-as", "lines", "--hex", "--as", "raw", stdin=b"de ad\nbeef"
        )
    assert result == (0, b"\xde\xad\xbe\xef", "")


def test_lines_become_frames_on_a_byte_pipe(pipe_name: str, pipectl_process: Pipectl) -> None:
    received = []

    def receive(_client: Client, data: bytes) -> bytes:
        received.append(data)
        return data

    with PipeServer(pipe_name, receive, config=PipeConfig(is_message=False)):
        result = pipectl_process("connect", pipe_name, "--frame", "u16be", "--linger", "300ms", stdin=b"one\ntwo\n")
    assert result == (0, b"one\ntwo\n", "")
    assert b"".join(received) == b"\0\3one\0\3two"


def test_frames_of_stdin_are_messages_and_messages_frames_of_stdout(pipe_name: str, pipectl_process: Pipectl) -> None:
    received = []

    def receive(_client: Client, data: bytes) -> bytes:
        received.append(data)
        return data.upper()

    with PipeServer(pipe_name, receive):
        result = pipectl_process(
            "connect", pipe_name, "--stdin-as", "frames", "--frame", "u32le", stdin=b"\3\0\0\0one\3\0\0\0two"
        )
    assert result.stdout[:14] == b"\3\0\0\0ONE\3\0\0\0TWO"
    assert received[:2] == [b"one", b"two"]


def test_frames_of_stdin_need_a_message_pipe(pipe_name: str, pipectl_process: Pipectl) -> None:
    with serving(pipe_name, is_message=False):
        assert pipectl_process("connect", pipe_name, "--stdin-as", "frames", "--frame", "line").exit_code == 9


def test_what_comes_is_printed_as_objects(pipe_name: str, pipectl_process: Pipectl) -> None:
    with serving(pipe_name):
        told = pipectl_process("connect", pipe_name, "--json", "--stdin-as", "lines", stdin=b"a\nb\n").objects
    assert [one["data"].get("text") for one in told] == ["a", "b", ""]


@pytest.mark.parametrize(
    "options",
    [
        ["--stdin-as", "frames"],
        ["--frame", "idle:1"],
        ["--hex"],
        ["--stdin-as", "raw", "--escapes"],
        ["--send", "x", "--hex"],
        ["--send", "x" * 256, "--frame", "u8"],
        ["--raw-keys"],
        ["--raw-keys", "--frame", "line"],
        ["--raw-keys", "--stdin-as", "lines"],
        ["--reconnect", "0"],
        ["--reconnect", "always"],
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_is_wrong_usage(pipe_name: str, pipectl_process: Pipectl, options: list[str]) -> None:
    with serving(pipe_name):
        assert pipectl_process("connect", pipe_name, *options).exit_code == 2


@pytest.fixture(params=["pipe", "file", "NUL", "closed"])
def stdin(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[tuple[object, bytes]]:
    """What a program may have for its stdin, and what comes from it."""
    if request.param == "pipe":
        reading, writing = os.pipe()
        os.write(writing, b"data")
        os.close(writing)
        yield reading, b"data"
        os.close(reading)
    elif request.param == "file":
        (path := tmp_path / "file").write_bytes(b"data")  # type: ignore[operator]
        with path.open("rb") as file:
            yield file, b"data"
    else:
        yield subprocess.DEVNULL if request.param == "NUL" else None, b""


@BOTH
def test_any_stdin_will_do(pipe_name: str, program: list[str], stdin: tuple[object, bytes], is_message: bool) -> None:
    source, data = stdin
    closes = "import os, sys, subprocess; os.close(0); sys.exit(subprocess.call(sys.argv[1:], close_fds=True))"
    command = [*program, "connect", pipe_name, "--linger", "200ms"]
    with serving(pipe_name, is_message=is_message):
        if source is None:
            command = [sys.executable, "-c", closes, *command]
        done = subprocess.run(command, stdin=source, capture_output=True, timeout=30, check=False)  # type: ignore[call-overload]
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")


def test_what_is_to_be_sent_first_goes_before_stdin(pipe_name: str, pipectl_process: Pipectl) -> None:
    received = []

    def receive(_client: Client, data: bytes) -> None:
        received.append(data)

    with PipeServer(pipe_name, receive):
        options = ["--send", "one", "--send", "", "--send", "three", "--half-close", "none", "--linger", "100ms"]
        assert pipectl_process("connect", pipe_name, *options, stdin=b"stdin\n") == (0, b"", "")
    assert received == [b"one", b"", b"three", b"stdin\n"]


def test_what_is_sent_first_is_read_as_the_options_say_and_framed(pipe_name: str, pipectl_process: Pipectl) -> None:
    received = []

    def receive(_client: Client, data: bytes) -> None:
        received.append(data)

    with PipeServer(pipe_name, receive, config=PipeConfig(is_message=False)):
        options = ["--send", "ff 00", "--hex", "--frame", "u8", "--linger", "100ms"]
        assert pipectl_process("connect", pipe_name, *options, stdin=b"7f\n") == (0, b"", "")
    assert b"".join(received) == b"\2\xff\0\1\x7f"


def test_the_pipe_is_connected_to_again_and_stdin_goes_on(pipe_name: str, running: Callable[..., Running]) -> None:
    program: Running | None = None
    for number in range(3):
        if program is not None:
            assert "was closed" in program.said()
        with create_named_pipe(pipe_name, pipe_mode=PipeMode.MESSAGE, max_instances=1) as server:
            program = program or running("connect", pipe_name, "--reconnect", "2", "--timeout", "30")
            connect_named_pipe(server, 30)
            if number:
                assert "connected to" in program.said()
            program.tell(f"to {number}")
            assert read_file(server, 100, 30) == (b"to %d\n" % number, False)
            write_file(server, b"from %d\n" % number, 5)
            assert program.wrote() == b"from %d\n" % number
    assert program
    assert program.end() == (0, b"", "")


def test_a_pipe_that_does_not_come_again_is_exit_code_3(pipe_name: str, running: Callable[..., Running]) -> None:
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.MESSAGE) as server:
        program = running("connect", pipe_name, "--reconnect", "1", "--timeout", "0.3")
        connect_named_pipe(server, 30)
    assert program.end().exit_code == 3


def test_an_absent_pipe_is_exit_code_3(pipe_name: str, pipectl_process: Pipectl) -> None:
    assert pipectl_process("connect", pipe_name).exit_code == 3


def test_an_impostor_is_sent_nothing(pipe_name: str, pipectl_process: Pipectl) -> None:
    received = []
    with PipeServer(pipe_name, lambda _client, data: received.append(data)):
        result = pipectl_process("connect", pipe_name, "--expect-exe", "other.exe", stdin=b"secret")
    assert (result.exit_code, received) == (8, [])


def test_many_take_turns_at_one_instance(pipe_name: str, program: list[str], request: pytest.FixtureRequest) -> None:
    # Two hundred interpreters keep a small machine busy for minutes; two hundred threads are in test_streams.py.
    count, patience = (200, 1800) if request.config.getoption("--long") else (5, 60)

    def answer(client: Client, data: bytes) -> bytes | None:
        if not data:
            client.close()
            return None
        return data

    with PipeServer(pipe_name, answer, config=PipeConfig(max_instances=1)):
        commands = [
            subprocess.Popen(
                [*program, "connect", pipe_name, "--timeout", str(patience)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(count)
        ]
        for number, command in enumerate(commands):
            assert command.stdin
            command.stdin.write(b"%d" % number)
            command.stdin.close()
        results = []
        for command in commands:
            with command:
                assert command.stdout
                results.append((command.stdout.read(), command.wait(patience)))
    assert results == [(b"%d" % number, 0) for number in range(count)]

"""`pipectl call`: one request and its reply, and every way in which there is none."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from pipectl.core.constants import OpenMode, PipeMode
from pipectl.core.names import short
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig, StopAfter
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.framing import parse
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import reporting
from tests.runner import Background, Pipectl, Running

MEGABYTES = bytes(range(256)) * (10 << 12)  # 10 MiB


def echo(_client: Client, data: bytes) -> bytes:
    return data


def pong(_client: Client, _data: bytes) -> bytes:
    return b"pong"


def hang_up(client: Client, _data: bytes) -> None:
    client.close()


# The reply


def test_one_process_serves_and_another_calls(
    pipe_name: str, running: Callable[..., Running], pipectl_process: Pipectl
) -> None:
    server = running("serve", pipe_name, "--reply", "pong", "--once")
    server.said()
    assert pipectl_process("call", pipe_name, "ping") == (0, b"pong", "")
    assert server.end().exit_code == 0


@pytest.mark.parametrize("source", ["stdin", "file"])
def test_ten_megabytes_come_back_byte_for_byte(
    pipe_name: str, pipectl_process: Pipectl, tmp_path: Path, source: str
) -> None:
    (tmp_path / "data").write_bytes(MEGABYTES)
    sending = ["-"] if source == "stdin" else ["--data-file", str(tmp_path / "data")]
    with PipeServer(pipe_name, echo):
        result = pipectl_process("call", pipe_name, *sending, stdin=MEGABYTES if source == "stdin" else b"")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == MEGABYTES


@pytest.mark.parametrize("data", [b"pong", b"", b"\0\xff\r\n\n", b"x" * 65537, "grüße".encode("utf-16-le")], ids=len)
def test_redirected_output_is_the_reply_and_nothing_else(pipe_name: str, pipectl: Pipectl, data: bytes) -> None:
    with PipeServer(pipe_name, lambda _client, _data: data):
        assert pipectl("call", pipe_name, "x") == (0, data, "")


def test_an_empty_message_can_be_sent_and_received(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, data: str(len(data)).encode()):
        assert pipectl("call", pipe_name, "").stdout == b"0"
    with PipeServer(pipe_name, echo):
        assert pipectl("call", pipe_name, "", "--json").object["reply"] == {"size": 0, "text": ""}


def test_empty_sends_an_empty_message(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, data: repr(data).encode()):
        assert pipectl("call", pipe_name, "--empty").stdout == b"b''"


def test_an_empty_request_to_a_byte_pipe_is_refused_at_once(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)):
        result = pipectl("call", pipe_name, "", "--timeout", "2")
        assert pipectl("call", pipe_name, "", "--newline").stdout == b"\n"
    assert result.exit_code == 9
    assert "--newline" in result.stderr


def test_a_byte_order_mark_of_stdin_is_not_sent(pipe_name: str, pipectl_process: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        assert pipectl_process("call", pipe_name, "-", "--chomp", stdin=b"\xef\xbb\xbfping\r\n").stdout == b"ping"
        assert pipectl_process("transact", pipe_name, stdin="\ufeffa\r\nb".encode()).stdout == b"a\nb\n"


def test_the_name_may_be_written_in_any_way(pipe_name: str, pipectl: Pipectl) -> None:
    name = pipe_name.rpartition("\\")[2]
    with PipeServer(pipe_name, pong):
        for spelling in (name, name.upper(), f"//./pipe/{name}", rf"\.\pipe\{name}", f"npipe:////./pipe/{name}"):
            assert pipectl("call", spelling, "ping").stdout == b"pong"


def test_json_tells_the_pipe_the_reply_what_ended_it_and_the_time(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, _data: b"\x00\xff"):
        told = pipectl("call", pipe_name, "ping", "--json").object
    assert 0 < told.pop("seconds") < 5
    reply = {"size": 2, "base64": "AP8="}
    assert told == {"schema": 1, "pipe": pipe_name, "ended_by": "message", "reply": reply}


def test_verbose_tells_on_stderr_what_ended_the_reply(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)):
        result = pipectl("call", pipe_name, "ping", "--newline", "--until", "line", "-v")
    assert result.stdout == b"ping\n"
    assert "ended by line" in result.stderr


# Byte pipes


@pytest.mark.parametrize(
    ("rule", "sent", "reply", "ended_by"),
    [
        ("line", b"one\ntwo\n", b"one\n", "line"),
        ("eof", b"one\ntwo\n", b"one\ntwo\n", "eof"),
        ("idle:0.1", b"one\ntwo", b"one\ntwo", "eof"),
        ("bytes:3", b"one\ntwo", b"one", "bytes:3"),
        ("u16le", b"\x03\x00onetwo", b"one", "u16le"),
        ("u16be", b"\x00\x03onetwo", b"one", "u16be"),
        ("u32le", b"\x03\x00\x00\x00onetwo", b"one", "u32le"),
        ("u32be", b"\x00\x00\x00\x03onetwo", b"one", "u32be"),
    ],
)
def test_a_reply_on_a_byte_pipe_ends_where_the_rule_says(
    pipe_name: str, pipectl: Pipectl, rule: str, sent: bytes, reply: bytes, ended_by: str
) -> None:
    def answer_and_hang_up(client: Client, _data: bytes) -> bytes:
        client.close()
        return sent

    with PipeServer(pipe_name, answer_and_hang_up, config=PipeConfig(is_message=False)):
        told = pipectl("call", pipe_name, "ping", "--until", rule, "--json").object
    assert (told["reply"], told["ended_by"]) == ({"size": len(reply), "text": reply.decode()}, ended_by)


@pytest.mark.parametrize("rule", ["line", "eof", "idle:0.5", "bytes:4", "u16be", "u32le"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_reply_in_pieces_on_a_message_pipe_ends_where_the_rule_says(
    pipe_name: str, pipectl: Pipectl, rule: str, size: int
) -> None:
    received, until = [], parse(rule)

    def answer(client: Client, data: bytes) -> bytes:
        received.append(data)
        stream = until.wrap(b"one\n")
        for begin in range(0, len(stream), size):
            client.send(stream[begin : begin + size])
        return b"" if until.ends_at_empty_message or until.idle else b"next"

    with PipeServer(pipe_name, answer):
        told = pipectl("call", pipe_name, "ping", "--until", rule, "--json").object
    assert (told["reply"], told["ended_by"]) == ({"size": 4, "text": "one\n"}, rule)
    assert received == [b"ping"]


def test_without_a_rule_a_reply_on_a_message_pipe_is_one_message(pipe_name: str, pipectl: Pipectl) -> None:
    def answer(client: Client, _data: bytes) -> bytes:
        client.send(b"HTTP/1.1 200 OK\r\n\r\n")
        return b"body"

    with PipeServer(pipe_name, answer):
        assert pipectl("call", pipe_name, "ping").stdout == b"HTTP/1.1 200 OK\r\n\r\n"


def test_a_stream_on_a_message_pipe_that_does_not_end_times_out(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, _data: b"half a line"):
        result = pipectl("call", pipe_name, "ping", "--until", "line", "--timeout", "0.3")
    assert (result.exit_code, result.stdout) == (10, b"")


def test_silence_ends_a_reply_of_a_server_that_stays(pipe_name: str, pipectl: Pipectl, late: float) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)):
        begun = time.perf_counter()
        told = pipectl("call", pipe_name, "ping", "--json").object
        taken = time.perf_counter() - begun
    assert told["ended_by"] == "idle:0.2"
    assert 0.2 <= taken < 0.2 + late


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_frame_goes_both_ways(pipe_name: str, pipectl: Pipectl, order: str) -> None:
    received = []

    def answer(_client: Client, data: bytes) -> bytes:
        received.append(data)
        return data

    with PipeServer(pipe_name, answer, config=PipeConfig(is_message=False)):
        result = pipectl("call", pipe_name, "ping", "--frame", f"u32{order[0]}e")
    assert result.stdout == b"ping"
    assert b"".join(received) == (b"\4\0\0\0ping" if order == "little" else b"\0\0\0\4ping")


def test_a_framed_line_is_sent_and_printed_without_its_end(pipe_name: str, pipectl: Pipectl) -> None:
    received = []

    def answer(_client: Client, data: bytes) -> bytes:
        received.append(data)
        return b"one\r\ntwo\r\n"

    with PipeServer(pipe_name, answer, config=PipeConfig(is_message=False)):
        assert pipectl("call", pipe_name, "ping", "--frame", "line").stdout == b"one"
    assert received == [b"ping\n"]


def test_until_and_frame_exclude_each_other(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("call", pipe_name, "x", "--until", "line", "--frame", "line").exit_code == 2


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        ("GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ("HEAD / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
    ],
)
def test_a_reply_over_http_ends_with_its_body(pipe_name: str, pipectl: Pipectl, request_: str, response: bytes) -> None:
    with PipeServer(pipe_name, lambda _client, _data: response):
        told = pipectl("call", pipe_name, request_, "--until", "http", "--json").object
    assert (told["reply"]["text"], told["ended_by"]) == (response.decode(), "http")


def test_a_reply_that_is_no_frame_is_exit_code_10(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, _data: b"not JSON"):
        assert pipectl("call", pipe_name, "x", "--until", "content-length", "--timeout", "1").exit_code == 10
    with PipeServer(pipe_name, lambda _client, _data: b"}"):
        assert pipectl("call", pipe_name, "x", "--until", "json").exit_code == 10


# Who is there, and who should be


def test_an_absent_pipe_is_exit_code_3_with_a_hint(pipe_name: str, pipectl: Pipectl) -> None:
    result = pipectl("call", pipe_name, "ping")
    assert (result.exit_code, result.stdout) == (3, b"")
    assert "ERROR_FILE_NOT_FOUND" in result.stderr
    assert "hint: See which pipes exist: `pipectl list`" in result.stderr


def test_an_absent_pipe_can_be_waited_for(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    result = background(_serve_once_later, pipe_name)
    assert pipectl("call", pipe_name, "ping", "--wait", "exists").stdout == b"pong"
    result.result(10)


def _serve_once_later(pipe: str) -> None:
    time.sleep(0.2)
    with PipeServer(pipe, pong, stop_after=StopAfter(clients=1)) as server:
        assert server.wait(10)


@pytest.mark.parametrize(("options", "least"), [((), 0.3), (("--wait", "none"), 0)])
def test_a_busy_pipe_is_exit_code_4_with_a_hint_after_the_timeout(
    pipe_name: str, pipectl: Pipectl, options: list[str], least: float, late: float
) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)), connect(pipe_name):
        begun = time.perf_counter()
        result = pipectl("call", pipe_name, "ping", "--timeout", "0.3", *options)
        taken = time.perf_counter() - begun
    assert (result.exit_code, result.stdout) == (4, b"")
    assert f"hint: Wait for a free instance: `pipectl wait {short(pipe_name)}`" in result.stderr
    assert least <= taken < least + late


def test_a_busy_pipe_is_called_as_soon_as_it_is_free(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    with PipeServer(pipe_name, pong, config=PipeConfig(max_instances=1)):
        first = connect(pipe_name)
        leaving = background(_close_later, first)
        assert pipectl("call", pipe_name, "ping").stdout == b"pong"
        leaving.result(10)


def _close_later(connection: Connection) -> None:
    time.sleep(0.2)
    connection.close()


def test_a_pipe_that_lets_nobody_ask_and_answer_is_exit_code_5(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name, OpenMode.INBOUND | OpenMode.OVERLAPPED):
        result = pipectl("call", pipe_name, "ping", "--json")
    assert (result.exit_code, result.error["symbol"]) == (5, "ERROR_ACCESS_DENIED")


@pytest.mark.parametrize(
    "expected",
    [("--expect-pid", "4"), ("--expect-exe", "other.exe"), ("--expect-user", "somebody")],
    ids=lambda expected: expected[0],
)
def test_another_server_than_expected_is_sent_nothing(
    pipe_name: str, pipectl: Pipectl, expected: tuple[str, str]
) -> None:
    received = []
    left = Event()
    events = reporting(left=lambda _client, _error: left.set())
    with PipeServer(pipe_name, lambda _client, data: received.append(data), events=events):
        result = pipectl("call", pipe_name, "secret", *expected)
        assert left.wait(5)
    assert (result.exit_code, result.stdout, received) == (8, b"", [])
    assert f"not the {expected[0].removeprefix('--expect-').replace('pid', 'process').replace('exe', 'program')}" in (
        result.stderr
    )


def test_the_expected_server_is_called(pipe_name: str, pipectl: Pipectl) -> None:
    program, user = Path(sys.executable).name.upper(), os.environ["USERNAME"]
    with PipeServer(pipe_name, pong):
        result = pipectl(
            "call", pipe_name, "ping", "--expect-pid", str(os.getpid()), "--expect-exe", program, "--expect-user", user
        )
    assert result.stdout == b"pong"


def test_pid_zero_is_an_expectation_too(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, pong):
        assert pipectl("call", pipe_name, "ping", "--expect-pid", "0").exit_code == 8


# When it takes too long, or breaks off


def test_a_server_that_does_not_read_is_exit_code_6(
    pipe_name: str, pipectl: Pipectl, tmp_path: Path, late: float
) -> None:
    (tmp_path / "data").write_bytes(MEGABYTES)
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE):
        begun = time.perf_counter()
        result = pipectl("call", pipe_name, "--data-file", str(tmp_path / "data"), "--timeout", "0.3")
        taken = time.perf_counter() - begun
    assert result.exit_code == 6
    assert 0.3 <= taken < 0.3 + late


@pytest.mark.parametrize("options", [(), ("--native",)], ids=["overlapped", "native"])
@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_a_server_that_does_not_answer_is_exit_code_6(
    pipe_name: str, pipectl: Pipectl, is_message: bool, options: tuple[str, ...], late: float
) -> None:
    if options and not is_message:
        pytest.skip("CallNamedPipe is for messages")
    with PipeServer(pipe_name, lambda _client, _data: None, config=PipeConfig(is_message=is_message)):
        begun = time.perf_counter()
        result = pipectl("call", pipe_name, "ping", "--timeout", "0.3", *options)
        taken = time.perf_counter() - begun
    assert (result.exit_code, result.stdout) == (6, b"")
    assert "--timeout" in result.stderr
    assert 0.3 <= taken < 0.3 + late


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_a_server_that_hangs_up_is_exit_code_7(pipe_name: str, pipectl: Pipectl, is_message: bool) -> None:
    with PipeServer(pipe_name, hang_up, config=PipeConfig(is_message=is_message)):
        assert pipectl("call", pipe_name, "ping").exit_code == 7


@pytest.mark.parametrize("rule", ["bytes:10", "u32le"])
def test_a_reply_that_breaks_off_is_exit_code_7(pipe_name: str, pipectl: Pipectl, rule: str) -> None:
    def half(client: Client, _data: bytes) -> bytes:
        client.close()
        return b"\x09\0\0\0half"

    with PipeServer(pipe_name, half, config=PipeConfig(is_message=False)):
        result = pipectl("call", pipe_name, "ping", "--until", rule)
    assert (result.exit_code, result.stdout) == (7, b"")


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_a_reply_beyond_the_limit_is_exit_code_10(pipe_name: str, pipectl: Pipectl, is_message: bool) -> None:
    with PipeServer(pipe_name, lambda _client, _data: bytes(200_000), config=PipeConfig(is_message=is_message)):
        result = pipectl("call", pipe_name, "ping", "--max-message", "100k", "--until", "bytes:200000")
    assert (result.exit_code, result.stdout) == (10, b"")
    assert "--max-message" in result.stderr


# CallNamedPipe itself


@pytest.mark.parametrize("size", [0, 1, 65536])
def test_native_calls_a_message_pipe(pipe_name: str, pipectl: Pipectl, size: int) -> None:
    with PipeServer(pipe_name, lambda _client, data: data * size):
        assert pipectl("call", pipe_name, "x", "--native") == (0, b"x" * size, "")


def test_native_takes_no_more_than_64_kilobytes(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, _data: bytes(65537)):
        assert pipectl("call", pipe_name, "x", "--native").exit_code == 10


def test_native_refuses_a_byte_pipe(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)):
        assert pipectl("call", pipe_name, "x", "--native").exit_code == 9


@pytest.mark.parametrize(
    "guard",
    [
        "--expect-pid 4",
        "--expect-exe a",
        "--expect-user a",
        "--sqos identification",
        "--wait exists",
        "--until eof",
        "--max-message 1k",
    ],
)
def test_native_sends_nothing_past_a_guard_that_it_has_not(pipe_name: str, pipectl: Pipectl, guard: str) -> None:
    with PipeServer(pipe_name, echo) as server:
        result = pipectl("call", pipe_name, "x", "--native", *guard.split())
        assert server.stats.clients == 0
    assert result.exit_code == 2
    assert guard.split()[0] in result.stderr


def test_native_meets_an_absent_pipe(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("call", pipe_name, "x", "--native").exit_code == 3


def test_native_gives_up_at_a_busy_pipe(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)), connect(pipe_name):
        assert pipectl("call", pipe_name, "x", "--native", "--timeout", "0.2").exit_code == 6


# A reply that is not whole


def two_bytes(_client: Client, _data: bytes) -> bytes:
    return b"hi"


@pytest.mark.parametrize("command", ["call", "transact"])
def test_a_timeout_tells_what_had_come(pipe_name: str, pipectl: Pipectl, command: str) -> None:
    with PipeServer(pipe_name, two_bytes, config=PipeConfig(is_message=False)):
        line = (command, pipe_name, "x", "--until", "line", "--timeout", "0.3")
        result, as_json = pipectl(*line), pipectl(*line, "--json")
    error, hint = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (10, b"")
    assert error.endswith("; 2 bytes received: `hi`")
    assert "--until idle" in hint
    assert (as_json.exit_code, as_json.error["exit_code"]) == (10, 10)
    assert as_json.error["partial"] == {"size": 2, "text": "hi"}


def test_a_close_tells_what_had_come_too(pipe_name: str, pipectl: Pipectl) -> None:
    def hang_up(client: Client, _data: bytes) -> bytes:
        client.close()
        return b"\1\2"

    with PipeServer(pipe_name, hang_up, config=PipeConfig(is_message=False)):
        error = pipectl("call", pipe_name, "x", "--until", "bytes:3", "--json").error
    assert (error["exit_code"], error["partial"]) == (7, {"size": 2, "text": "\1\2"})


def test_of_a_reply_that_is_too_long_the_beginning_is_told(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, _data: b"x" * 100_000):
        result = pipectl("call", pipe_name, "x", "--max-message", "70000", "--json")
    assert result.exit_code == 10
    assert result.error["partial"]["text"] == "x" * result.error["partial"]["size"] != ""

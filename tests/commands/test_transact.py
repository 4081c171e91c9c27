"""`pipectl transact`: many requests over one connection."""

import time
from collections.abc import Callable

import pytest

from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.framing import parse
from pipectl.core.pipe.server import PipeServer
from tests.runner import Pipectl, Running


def upper(_client: Client, data: bytes) -> bytes:
    return data.upper()


def silent_at_three(_client: Client, data: bytes) -> bytes | None:
    return None if data == b"three" else data


def test_arguments_are_requests_over_one_connection(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, upper) as server:
        assert pipectl("transact", pipe_name, "one", "two", "three") == (0, b"ONE\nTWO\nTHREE\n", "")
        assert (server.stats.clients, server.stats.messages) == (1, 3)


@pytest.mark.parametrize(
    ("options", "stdout"),
    [
        ([], b"A\nB\n"),
        (["--as", "text"], b"A\nB\n"),
        (["--as", "raw"], b"AB"),
        (["--format", "raw"], b"AB"),
        (["--separator", r"\0"], b"A\0B\0"),
        (["--separator", ";", "--as", "hex"], b"41;42;"),
        (["--separator", ";", "--as", "raw"], b"A;B;"),
        (["--separator", ""], b"AB"),
    ],
    ids=str,
)
def test_a_program_can_tell_the_replies_apart_unless_it_asks_for_raw_bytes(
    pipe_name: str, pipectl: Pipectl, options: list[str], stdout: bytes
) -> None:
    with PipeServer(pipe_name, upper):
        assert pipectl("transact", pipe_name, "a", "b", *options) == (0, stdout, "")


def test_json_has_an_object_for_each_exchange(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, upper):
        told = pipectl("transact", pipe_name, "one", "", "--json").objects
    assert all(one.pop("seconds") > 0 for one in told)
    common = {"schema": 1, "pipe": pipe_name, "ended_by": "message"}
    assert told == [
        {**common, "exchange": 1, "sent": 3, "reply": {"size": 3, "text": "ONE"}},
        {**common, "exchange": 2, "sent": 0, "reply": {"size": 0, "text": ""}},
    ]


def test_verbose_tells_each_ones_time(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, upper):
        told = pipectl("transact", pipe_name, "one", "two", "-v").stderr.splitlines()
    assert [line.partition(" ms")[1] for line in told] == [" ms", " ms"]


def test_lines_of_stdin_are_answered_as_they_come(pipe_name: str, running: Callable[..., Running]) -> None:
    with PipeServer(pipe_name, upper) as server:
        program = running("transact", pipe_name, "--as", "text")
        for word in ("one", "two", "grüße"):
            program.tell(word)
            assert program.wrote().decode() == f"{word.encode().upper().decode()}\n"
        program.end_stdin()
        assert program.end() == (0, b"", "")
        assert server.stats.clients == 1


def test_every_line_of_a_file_is_a_request_also_the_last_without_an_end(
    pipe_name: str, pipectl_process: Pipectl
) -> None:
    with PipeServer(pipe_name, lambda _client, data: b"<" + data + b">"):
        result = pipectl_process("transact", pipe_name, stdin=b"one\r\n\n\xff\nlast")
    assert (result.exit_code, result.stdout) == (0, b"<one>\n<>\n<\xff>\n<last>\n")


def test_lines_are_read_as_the_options_say(pipe_name: str, pipectl_process: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, data: data):
        result = pipectl_process("transact", pipe_name, "--hex", "--as", "raw", stdin=b"00 ff\n\n41\n")
    assert result == (0, b"\0\xffA", "")


def test_a_byte_pipe_is_answered_request_by_request(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, upper, config=PipeConfig(is_message=False)):
        result = pipectl("transact", pipe_name, "one", "two", "--newline", "--until", "line")
    assert result == (0, b"ONE\nTWO\n", "")


@pytest.mark.parametrize("rule", ["line", "eof", "bytes:16", "u32be"])
def test_a_stream_in_messages_is_answered_request_by_request(pipe_name: str, pipectl: Pipectl, rule: str) -> None:
    received, until = [], parse(rule)

    def answer(client: Client, data: bytes) -> bytes | None:
        received.append(data)
        stream = until.wrap(b"headers\0body:%d\n" % (len(received) + 10))
        client.send(stream[:9])
        if until.ends_at_empty_message:
            client.send(stream[9:])
            return b""
        client.send(b"")
        return stream[9:]

    with PipeServer(pipe_name, answer):
        told = pipectl("transact", pipe_name, "one", "two", "three", "--until", rule, "--json").objects
    assert [one["reply"]["text"] for one in told] == [f"headers\0body:{number}\n" for number in (11, 12, 13)]
    assert {one["ended_by"] for one in told} == {rule}
    assert received == [b"one", b"two", b"three"]


def test_what_a_rule_leaves_over_is_no_reply_to_the_next_request(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, data: data + b"\nleft over\n"):
        result = pipectl("transact", pipe_name, "one", "two", "--until", "line")
    assert (result.exit_code, result.stdout) == (10, b"one\n")
    assert "ERROR_PIPE_BUSY" in result.stderr


def test_replies_before_a_failure_stand_and_the_exit_code_is_10(pipe_name: str, pipectl: Pipectl, late: float) -> None:
    with PipeServer(pipe_name, silent_at_three):
        begun = time.perf_counter()
        result = pipectl("transact", pipe_name, "one", "two", "three", "four", "--timeout", "0.3")
        taken = time.perf_counter() - begun
    assert (result.exit_code, result.stdout) == (10, b"one\ntwo\n")
    assert "timed out" in result.stderr
    assert 0.3 <= taken < 0.3 + late


def test_a_failure_of_the_first_exchange_has_its_own_exit_code(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, silent_at_three):
        assert pipectl("transact", pipe_name, "three", "--timeout", "0.1").exit_code == 6
    assert pipectl("transact", pipe_name, "one").exit_code == 3


def test_each_exchange_has_all_of_the_timeout(pipe_name: str, pipectl: Pipectl) -> None:
    def slow(_client: Client, data: bytes) -> bytes:
        time.sleep(0.25)
        return data

    with PipeServer(pipe_name, slow):
        assert pipectl("transact", pipe_name, *"abcd", "--timeout", "0.7").stdout == b"a\nb\nc\nd\n"


def test_no_line_at_all_is_no_request(pipe_name: str, pipectl_process: Pipectl) -> None:
    with PipeServer(pipe_name, upper) as server:
        assert pipectl_process("transact", pipe_name, stdin=b"") == (0, b"", "")
        assert server.stats.messages == 0


def test_another_server_than_expected_is_sent_nothing(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, upper) as server:
        assert pipectl("transact", pipe_name, "secret", "--expect-pid", "4").exit_code == 8
        assert server.stats.messages == 0


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        ("auto", b"a\n\nb\n"),
        ("text", b"a\n\nb\n"),
        ("hex", b"61\n\n62\n"),
        ("base64", b"YQ==\n\nYg==\n"),
        ("raw", b"ab"),
    ],
)
def test_an_empty_reply_is_a_line_too(pipe_name: str, pipectl: Pipectl, form: str, lines: bytes) -> None:
    with PipeServer(pipe_name, lambda _client, data: data):
        assert pipectl("transact", pipe_name, "a", "", "b", "--as", form).stdout == lines


def test_a_request_too_long_for_its_frame_is_wrong_usage(pipe_name: str, pipectl: Pipectl) -> None:
    def framed(_client: Client, data: bytes) -> bytes:
        return data

    with PipeServer(pipe_name, framed, config=PipeConfig(is_message=False)):
        result = pipectl("transact", pipe_name, "short", "x" * 65536, "--frame", "u16le", "--as", "text")
    assert (result.exit_code, result.stdout) == (2, b"short\n")
    assert "u16le" in result.stderr

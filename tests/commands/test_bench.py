"""`pipectl bench`: what it shows, what it warns of, and its exit codes."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.contract import LATER
from pipectl.core.pipe.server import PipeServer
from pipectl.exitcodes import ExitCode
from tests import schema
from tests.commands.interruptible import Interruptible
from tests.runner import Pipectl

# What measures 20 exchanges and nothing else.
QUICK = ["--count", "20", "--warmup", "0", "--no-floor"]


def echo(_client: Client, data: bytes) -> bytes:
    return data


def first(count: int) -> Callable[[Client, bytes], Any]:
    """Make a handler that echoes so many messages and then replies no more."""
    left = iter(range(count))

    def handle(_client: Client, data: bytes) -> Any:
        return LATER if next(left, None) is None else data

    return handle


def check(found: dict[str, Any]) -> None:
    assert schema.errors(found, schema.load("bench.schema.json")) == []


def test_a_table_has_exchanges_throughput_and_latencies(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        result = pipectl("bench", pipe_name, "ping", *QUICK)
    assert result.exit_code == 0
    labels = [line.partition("  ")[0] for line in result.text.splitlines()]
    assert labels == ["exchanges", "throughput", "data"] + [
        f"latency {name}" for name in ("min", "p50", "p90", "p99", "p99.9", "max", "mean")
    ]
    assert "20 in " in result.text
    assert "80 bytes sent, 80 bytes received" in result.text


def general(text: str) -> list[str]:
    """The lines of a transcript, without the numbers and the names that differ from run to run."""
    shown = re.sub(r"[\d.,]+ (?:µs|ms|s|bytes|KiB|MiB)\b|[\d,.]*\d", "N", text)
    return [re.sub(r"\\\\.\\pipe\\[\w-]+", "PIPE", line) for line in shown.splitlines()]


@pytest.mark.parametrize("number", [0, 1])
def test_the_transcripts_of_the_documentation_are_what_it_prints(pipe_name: str, pipectl: Pipectl, number: int) -> None:
    text = (schema.DIRECTORY.parent / "bench.md").read_text(encoding="utf-8")
    line, transcript = re.findall(r"```console\n> pipectl (.+)\n((?:.+\n)+)```", text)[number]
    with PipeServer(pipe_name, echo):
        result = pipectl(*line.replace("svc", pipe_name).replace("10000", "100").split(), "--warmup", "0")
    warning, *notes = result.stderr.splitlines(keepends=True)
    assert general(f"{warning}{result.text}{''.join(notes)}") == general(transcript)


def test_json_has_everything_in_seconds_and_the_floor(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        found = pipectl("bench", pipe_name, "-c", "3", "--count", "20", "--size", "1k", "--json").object
    check(found)
    assert (found["exchanges"], found["failed"], found["failures"], found["ended_by"]) == (20, 0, [], "plan")
    assert (found["connections"], found["request_size"], found["bytes_received"]) == (3, 1024, 20480)
    assert (found["loop"], found["type"], found["new_connection"]) == ("closed", "message", False)
    assert 0 < found["latency"]["min"] <= found["latency"]["p50"] <= found["latency"]["max"] < 10
    assert found["floor"]["per_second"] > 100
    assert 0 < found["floor"]["p50"] < 1
    assert found["server"]["pid"] > 0


def test_an_open_loop_says_how_late_it_sent(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        found = pipectl("bench", pipe_name, "--rate", "100", *QUICK, "--json").object
    check(found)
    assert (found["loop"], found["rate"], found["exchanges"], found["unsent"]) == ("open", 100, 20, 0)
    assert found["late"]["p50"] <= found["late"]["p99"]


def test_it_warns_of_the_load_on_a_real_server_unless_it_is_quiet(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        assert "warning: " in pipectl("bench", pipe_name, *QUICK).stderr
        assert pipectl("bench", pipe_name, *QUICK, "-q").stderr == ""
        result = pipectl("bench", pipe_name, *QUICK, "--rate", "200")
    assert "python.exe), gets real requests, 200 times a second" in result.stderr


def test_a_closed_loop_says_that_it_hides_stalls_and_an_open_one_does_not(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        assert "coordinated omission" in pipectl("bench", pipe_name, *QUICK).stderr
        assert "coordinated omission" not in pipectl("bench", pipe_name, *QUICK, "--rate", "200").stderr


def test_a_server_that_does_not_keep_up_is_saturated(pipe_name: str, pipectl: Pipectl) -> None:
    def slow(_client: Client, data: bytes) -> bytes:
        time.sleep(0.02)
        return data

    with PipeServer(pipe_name, slow):
        result = pipectl("bench", pipe_name, "--rate", "1000", *QUICK)
    assert "saturated" in result.stderr
    assert result.exit_code == 0


@pytest.mark.parametrize("options", [[], ["--connections", "3"], ["--rate", "100"], ["--new-connection"]], ids=str)
def test_the_limits_decide_the_exit_code(pipe_name: str, pipectl: Pipectl, options: list[str]) -> None:
    with PipeServer(pipe_name, echo):
        line = ["bench", pipe_name, *QUICK, *options]
        assert pipectl(*line, "--fail-above", "p99=30", "--fail-above", "max=60").exit_code == 0
        result = pipectl(*line, "--fail-above", "p99=60", "--fail-above", "p50=0", "--json")
    assert result.exit_code == result.error["exit_code"] == ExitCode.FAILED_CHECK
    assert "p50 is" in result.error["message"]
    assert "p99" not in result.error["message"]
    check(result.object)  # which is there all the same


def test_a_byte_pipe_is_measured_by_a_rule_and_compared_with_a_byte_pipe(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)):
        found = pipectl("bench", pipe_name, "ping", "--newline", "--until", "line", "--count", "20", "--json").object
    check(found)
    assert (found["type"], found["until"], found["bytes_sent"]) == ("byte", "line", 100)
    assert found["floor"]["per_second"] > 100


def test_a_request_can_be_a_frame(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)):
        found = pipectl("bench", pipe_name, "ping", "--frame", "u32le", *QUICK, "--json").object
    assert (found["exchanges"], found["request_size"], found["until"]) == (20, 8, "u32le")


# Servers that do not answer as they should


def test_a_pipe_that_does_not_exist_is_exit_code_3(pipe_name: str, pipectl: Pipectl) -> None:
    result = pipectl("bench", pipe_name, *QUICK)
    assert (result.exit_code, result.stdout) == (ExitCode.ABSENT, b"")


def test_a_pipe_that_never_answers_is_exit_code_6_before_anything_is_measured(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, first(0)):
        begun = time.perf_counter()
        result = pipectl("bench", pipe_name, "--timeout", "0.3", "--duration", "30", "--json")
    assert (result.exit_code, result.stdout) == (ExitCode.TIMED_OUT, b"")
    assert result.error["symbol"] == "ERROR_TIMEOUT"
    assert time.perf_counter() - begun < 20


def test_a_pipe_of_one_instance_is_measured_with_one_connection(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)):
        assert pipectl("bench", pipe_name, *QUICK).exit_code == 0
        result = pipectl("bench", pipe_name, *QUICK, "--connections", "2", "--timeout", "0.3", "--json")
    assert (result.exit_code, result.stdout) == (ExitCode.BUSY, b"")
    assert "connection 2 of 2" in result.error["message"]
    assert "--connections 1" in result.error["hint"]


def test_a_byte_pipe_without_a_rule_is_exit_code_9_and_the_hint_has_a_rule(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)):
        result = pipectl("bench", pipe_name, *QUICK, "--json")
    assert result.exit_code == ExitCode.STATE
    assert "--until line" in result.error["hint"]


def test_data_that_the_server_refuses_is_exit_code_7(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_message=100)):
        result = pipectl("bench", pipe_name, "--size", "101", *QUICK)
    assert (result.exit_code, result.stdout) == (ExitCode.CLOSED, b"")


def test_exchanges_that_fail_are_exit_code_10_and_what_succeeded_is_shown(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, first(11)):
        line = ["bench", pipe_name, "--timeout", "0.2", *QUICK, "--fail-above", "max=0", "--json"]
        result = pipectl(*line)
    assert result.exit_code == result.error["exit_code"] == ExitCode.PARTIAL
    assert "exchanges failed" in result.error["message"]
    check(result.object)
    assert result.object["exchanges"] == 10
    (failures,) = result.object["failures"]
    assert (failures["kind"], failures["symbol"]) == ("timed out", "ERROR_TIMEOUT")
    assert failures["exchanges"] == result.object["failed"]
    assert result.object["ended_by"] == "failures"


def test_a_table_shows_the_kinds_of_failures_and_that_it_gave_up(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, first(11)):
        result = pipectl("bench", pipe_name, "--timeout", "0.2", *QUICK)
    assert " timed out: " in result.text.splitlines()[-1]
    assert "given up: every exchange failed for 0.2 s" in result.stderr


# Wrong usage


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--duration", "1", "--count", "1"], "only one of"),
        (["--duration", "0"], "--duration"),
        (["--warmup", "none"], "--warmup"),
        (["--timeout", "0"], "--timeout"),
        (["--connections", "0"], "0 is not"),
        (["--rate", "0"], "--rate"),
        (["--rate", "nan"], "--rate"),
        (["--fail-above", "p99"], "invalid limit"),
        (["--until", "idle:0.2"], "silence"),
        (["--until", "eof"], "closes"),
        (["--size", "5m"], "5,242,880"),
        (["ping", "--empty"], "only one of"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_wrong_usage(
    pipe_name: str, pipectl: Pipectl, options: list[str], words: str
) -> None:
    result = pipectl("bench", pipe_name, *options)
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, b"")
    assert words in result.stderr


def test_no_data_is_so_many_bytes_and_empty_is_none(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        assert pipectl("bench", pipe_name, *QUICK, "--json").object["request_size"] == 64
        assert pipectl("bench", pipe_name, *QUICK, "--size", "0", "--json").object["request_size"] == 0
        assert pipectl("bench", pipe_name, *QUICK, "--empty", "--json").object["request_size"] == 0


# Ctrl+C


def test_ctrl_c_ends_it_and_shows_what_was_measured(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo) as server:
        program = Interruptible(pipe_name, "bench", pipe_name, "--duration", "60", "--no-floor", "--json")
        try:
            while server.stats.messages < 10:
                time.sleep(0.05)
            time.sleep(0.6)  # until the warm-up is over
            result = program.interrupt()
        finally:
            program.kill()
    check(result.object)
    assert result.object["exchanges"] > 0
    assert result.object["ended_by"] == "interrupt"


def test_ctrl_c_ends_the_measurement_of_its_own_echo_server(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo):
        program = Interruptible(pipe_name, "bench", pipe_name, "--duration", "60")
        try:
            assert "gets real requests" in program.said()  # after which that begins
            result = program.interrupt()
        finally:
            program.kill()
    assert result.stdout == b""


def test_ctrl_c_ends_the_wait_for_a_server_that_does_not_answer(pipe_name: str) -> None:
    with PipeServer(pipe_name, first(1)) as server:
        program = Interruptible(
            pipe_name, "bench", pipe_name, "--timeout", "none", "--warmup", "0", "--no-floor", "--json"
        )
        try:
            while server.stats.messages < 2:
                time.sleep(0.05)
            result = program.interrupt()
        finally:
            program.kill()
    assert (result.object["exchanges"], result.object["failed"]) == (0, 0)

"""The engine of `bench`: exchanges over real pipes, and servers that are slow, silent, leaving or strange."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from pipectl.core.checks.bench import Bench, Target
from pipectl.core.checks.bench_plan import Plan
from pipectl.core.constants import Wait
from pipectl.core.deadline import Timeout
from pipectl.core.errors import (
    MessageTooLongError,
    PeerMismatchError,
    PipeBusyError,
    PipeClosedError,
    PipeNotFoundError,
    PipeStateError,
    PipeTimeoutError,
)
from pipectl.core.inventory.peers import Expected
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.contract import LATER
from pipectl.core.pipe.framing import Count, Eof, parse
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32.handle import Handle
from tests.pipes import reporting

# Long enough for a busy machine, and the end of a test that would hang.
PATIENCE = 30
SMALL = bytes(64)


def echo(_client: Client, data: bytes) -> bytes:
    return data


def silent(_client: Client, _data: bytes) -> None:
    return None


def run(target: Target, plan: Plan) -> Bench:
    """Measure to the end, and return the bench, closed."""
    with Bench(target, plan) as bench:
        bench.open()
        bench.start()
        assert bench.wait(PATIENCE)
    return bench


def a_number(exchanges: int = 20, connections: int = 1, rate: float | None = None) -> Plan:
    """Measure a number of exchanges, without a warm-up."""
    return Plan(connections, exchanges=exchanges, warmup=0, rate=rate)


def kinds(bench: Bench) -> dict[str, int]:
    """How many exchanges failed, by kind."""
    return {failures.kind: failures.exchanges for failures in bench.score.failures}


class Gate:
    """A handler that echoes until it is told not to, and knows how many messages it had."""

    def __init__(self, lets_pass: int) -> None:
        self.left = lets_pass
        self.count = 0

    def __call__(self, _client: Client, data: bytes) -> Any:
        self.count += 1
        self.left -= 1
        return data if self.left >= 0 else LATER


@contextmanager
def serving(pipe: str, handler: Callable[[Client, bytes], Any] = echo, **config: Any) -> Iterator[PipeServer]:
    with PipeServer(pipe, handler, config=PipeConfig(**config)) as server:
        yield server


# What is measured


@pytest.mark.parametrize("connections", [1, 7])
def test_a_number_of_exchanges_is_that_number(pipe_name: str, connections: int) -> None:
    gate = Gate(1000)
    with serving(pipe_name, gate) as server:
        bench = run(Target(pipe_name, SMALL), a_number(100, connections))
        assert (gate.count, server.stats.clients) == (101, connections)  # one more is the trial
    assert (bench.score.succeeded_count, bench.score.failed_count) == (100, 0)
    assert (bench.score.bytes_sent, bench.score.bytes_received) == (6400, 6400)
    assert 0 < bench.score.latencies.least <= bench.score.times()["p50"] <= bench.score.latencies.most < PATIENCE
    assert bench.per_second == pytest.approx(100 / bench.seconds)
    assert not bench.is_saturated


def test_a_duration_is_measured_after_the_warm_up(pipe_name: str) -> None:
    gate = Gate(1_000_000)
    begun = time.perf_counter()
    with serving(pipe_name, gate):
        bench = run(Target(pipe_name, SMALL), Plan(duration=0.3, warmup=0.2))
    assert time.perf_counter() - begun >= 0.5
    assert bench.seconds == pytest.approx(0.3, abs=0.2)
    assert 0 < bench.score.succeeded_count < gate.count - 1  # that of the warm-up are not in it


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 65536, 65537, 1 << 20])
def test_messages_of_any_size_are_exchanged(pipe_name: str, size: int) -> None:
    with serving(pipe_name):
        bench = run(Target(pipe_name, bytes(size)), a_number(5))
    assert (bench.score.succeeded_count, bench.score.bytes_received) == (5, 5 * size)


def test_replies_of_changing_sizes_are_read_whole(pipe_name: str) -> None:
    sizes = iter([1, 1, 5000, 0, 200_000, 3, 4096, 9_000])
    with serving(pipe_name, lambda _client, _data: bytes(next(sizes))):
        bench = run(Target(pipe_name, SMALL), a_number(7))
    assert bench.score.bytes_received == 1 + 5000 + 200_000 + 3 + 4096 + 9_000


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
@pytest.mark.parametrize(
    ("rule", "request_"), [("line", b"ping\n"), ("bytes:70000", bytes(70_000)), ("u32le", b"\1\0\0\0x")]
)
def test_a_rule_says_where_replies_end(pipe_name: str, is_message: bool, rule: str, request_: bytes) -> None:
    with serving(pipe_name, is_message=is_message):
        bench = run(Target(pipe_name, request_, parse(rule)), a_number(10, 2))
    assert (bench.score.succeeded_count, bench.score.bytes_received) == (10, 10 * len(request_))


def test_each_exchange_can_have_a_connection_of_its_own(pipe_name: str) -> None:
    with serving(pipe_name) as server:
        bench = run(Target(pipe_name, SMALL, new_connection=True), a_number(20, 3))
        assert server.stats.clients == 21
    assert (bench.score.succeeded_count, bench.score.failed_count) == (20, 0)


class SlowEof(Eof):
    """A rule whose next read begins when the server has closed."""

    def split(self, received: bytearray, searched: int = 0) -> None:  # noqa: ARG002
        time.sleep(0.02)


@pytest.mark.parametrize("rule", [Eof(), SlowEof()], ids=["at once", "late"])
def test_a_reply_can_end_where_the_server_closes(pipe_name: str, rule: Eof) -> None:
    def reply(client: Client, data: bytes) -> bytes:
        client.send(data)
        client.close()
        return b""

    with serving(pipe_name, reply, is_message=False):
        bench = run(Target(pipe_name, SMALL, rule, new_connection=True), a_number(50))
    assert (bench.score.succeeded_count, bench.score.bytes_received, kinds(bench)) == (50, 3200, {})


def test_a_pipe_of_one_instance_takes_one_connection_after_the_other(pipe_name: str) -> None:
    with serving(pipe_name, max_instances=1) as server:
        assert run(Target(pipe_name, SMALL), a_number(5)).score.succeeded_count == 5
        bench = run(Target(pipe_name, SMALL, new_connection=True), a_number(5, 2))
        assert (bench.score.succeeded_count, kinds(bench), server.stats.clients) == (5, {}, 7)


def test_a_bench_leaves_no_thread_and_no_handle(pipe_name: str, handle_count: Callable[[], int]) -> None:
    with serving(pipe_name) as server:

        def settled_count() -> int:
            while server.connected:  # the server may not have seen the last ones leave
                time.sleep(0.01)
            return handle_count()

        run(Target(pipe_name, SMALL), a_number(5, 3))
        before = settled_count()
        for new_connection in (True, False):
            run(Target(pipe_name, SMALL, new_connection=new_connection), a_number(30, 3))
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("Bench")]
        assert settled_count() <= before + 3  # of the server's instances


# An open loop


def test_an_open_loop_keeps_its_rate(pipe_name: str) -> None:
    with serving(pipe_name):
        bench = run(Target(pipe_name, SMALL), Plan(rate=100, duration=0.5, warmup=0.1))
    assert bench.score.succeeded_count == 50
    assert bench.per_second == pytest.approx(100, rel=0.2)
    assert bench.score.lateness.count > 0
    assert not bench.is_saturated


def test_a_stall_is_in_the_latency_of_each_request_that_was_due_in_it(pipe_name: str) -> None:
    """Of 20 requests in 0.2 s, the first keeps the server for 0.4 s: a closed loop would see one slow exchange."""
    count = iter(range(100))

    def stall(client: Client, data: bytes) -> Any:
        if next(count) == 1:  # 0 is the trial
            threading.Timer(0.4, client.reply, [data]).start()
            return LATER
        return data

    with serving(pipe_name, stall):
        bench = run(Target(pipe_name, SMALL), a_number(20, rate=100))
    assert bench.score.succeeded_count == 20
    assert bench.score.latencies.quantile(0.5) > 0.2
    assert bench.is_saturated


def test_a_server_that_is_too_slow_for_the_rate_is_saturated(pipe_name: str) -> None:
    def slow(_client: Client, data: bytes) -> bytes:
        time.sleep(0.02)
        return data

    with serving(pipe_name, slow):
        bench = run(Target(pipe_name, SMALL), Plan(rate=500, duration=0.4, warmup=0))
    assert bench.is_saturated
    assert bench.schedule.unsent > 0
    assert bench.score.latencies.most > 0.4


# Servers that do not answer as they should


def test_a_pipe_that_never_answers_fails_before_anything_is_measured(pipe_name: str) -> None:
    with (
        serving(pipe_name, silent),
        Bench(Target(pipe_name, SMALL, timeout=0.3), a_number()) as bench,
        pytest.raises(PipeTimeoutError),
    ):
        bench.open()


def test_a_pipe_that_does_not_exist_is_not_found(pipe_name: str) -> None:
    with Bench(Target(pipe_name, SMALL), a_number()) as bench, pytest.raises(PipeNotFoundError):
        bench.open()


def test_a_pipe_can_be_waited_for(pipe_name: str) -> None:
    server = PipeServer(pipe_name, echo)
    timer = threading.Timer(0.3, server.start)
    timer.start()
    try:
        assert run(Target(pipe_name, SMALL, wait=Wait.EXISTS), a_number(5)).score.succeeded_count == 5
    finally:
        timer.join()
        server.close()


def test_more_connections_than_instances_are_busy(pipe_name: str) -> None:
    with (
        serving(pipe_name, max_instances=2),
        Bench(Target(pipe_name, SMALL, timeout=0.3), a_number(connections=5)) as bench,
        pytest.raises(PipeBusyError, match="connection 3 of 5") as raised,
    ):
        bench.open()
    assert raised.value.symbol == "ERROR_PIPE_BUSY"


def test_a_byte_pipe_needs_a_rule(pipe_name: str) -> None:
    with (
        serving(pipe_name, is_message=False),
        Bench(Target(pipe_name, SMALL), a_number()) as bench,
        pytest.raises(PipeStateError, match="byte pipe"),
    ):
        bench.open()


@pytest.mark.parametrize("new_connection", [True, False])
def test_a_server_that_is_not_the_expected_one_gets_no_request(pipe_name: str, new_connection: bool) -> None:
    gate = Gate(1000)
    wrong = Target(pipe_name, SMALL, expect=Expected(pid=4), new_connection=new_connection)
    with serving(pipe_name, gate), Bench(wrong, a_number()) as bench, pytest.raises(PeerMismatchError):
        bench.open()
    assert gate.count == 0


def test_a_request_that_the_server_does_not_take_is_an_error(pipe_name: str) -> None:
    with (
        serving(pipe_name, max_message=10),
        Bench(Target(pipe_name, SMALL), a_number()) as bench,
        pytest.raises(PipeClosedError),
    ):
        bench.open()


def test_a_reply_that_is_too_long_is_an_error(pipe_name: str) -> None:
    with (
        serving(pipe_name),
        Bench(Target(pipe_name, bytes(100), max_message=99), a_number()) as bench,
        pytest.raises(MessageTooLongError),
    ):
        bench.open()


def test_a_greeting_belongs_to_no_request(pipe_name: str) -> None:
    greeting = reporting(connected=lambda _client: b"hello")
    with (
        PipeServer(pipe_name, echo, events=greeting),
        Bench(Target(pipe_name, SMALL), a_number()) as bench,
        suppress(PipeStateError),  # of `open`, unless the greeting comes so late that it is taken for the first reply
    ):
        bench.open()
        bench.start()
        assert bench.wait(PATIENCE)
        assert kinds(bench)["unread data"] >= 1


def test_a_second_reply_makes_the_next_exchange_fail(pipe_name: str) -> None:
    def twice(client: Client, data: bytes) -> bytes:
        client.send(data)
        return data

    with (
        PipeServer(pipe_name, twice),
        Bench(Target(pipe_name, SMALL, Count(64)), a_number()) as bench,
    ):
        bench.open()
        bench.start()
        assert bench.wait(PATIENCE)
    assert kinds(bench)["unread data"] >= 1


@pytest.mark.parametrize("begins_at", [0, 3])
def test_data_after_a_reply_belongs_to_no_request(pipe_name: str, begins_at: int) -> None:
    count = iter(range(1000))
    target = Target(pipe_name, b"ping\n", parse("line"))
    with (
        serving(pipe_name, lambda _client, _data: b"a\n" if next(count) < begins_at else b"a\nb", is_message=False),
        Bench(target, a_number(6)) as bench,
    ):
        if not begins_at:
            with pytest.raises(PipeStateError, match="unread"):
                bench.open()
            return
        bench.open()
        bench.start()
        assert bench.wait(PATIENCE)
    assert bench.score.succeeded_count == 4
    assert kinds(bench) == {"unread data": 2}


def test_a_reply_that_has_become_too_long_makes_its_exchange_fail(pipe_name: str) -> None:
    sizes = iter([10, 10, 5000, 4500, 10])
    with serving(pipe_name, lambda _client, _data: bytes(next(sizes))):
        bench = run(Target(pipe_name, SMALL, max_message=4500), a_number(4))
    assert (bench.score.bytes_received, kinds(bench)) == (4520, {"too long": 1})


class Slow:
    """An expectation that takes longer than an exchange may, at its second look."""

    looks = 0

    def check(self, pipe: Handle, timeout: Timeout) -> None:  # noqa: ARG002
        self.looks += 1
        if self.looks == 2:
            time.sleep(0.5)


def test_a_connection_that_comes_too_late_is_closed_and_not_used(pipe_name: str) -> None:
    gate = Gate(1000)
    target = Target(pipe_name, SMALL, timeout=0.3, expect=Slow(), new_connection=True)
    with serving(pipe_name, gate):
        bench = run(target, a_number(50, rate=50))
    assert (bench.score.succeeded_count, kinds(bench), gate.count) == (49, {"timed out": 1}, 50)


def test_a_silent_server_costs_each_exchange_its_timeout_and_then_the_bench_gives_up(pipe_name: str) -> None:
    gate = Gate(11)
    with serving(pipe_name, gate):
        bench = run(Target(pipe_name, SMALL, timeout=0.3), a_number(1000))
    assert bench.score.succeeded_count == 10
    assert 1 < kinds(bench)["timed out"] < 10
    assert bench.has_given_up


def test_a_late_reply_is_not_taken_for_the_next_one(pipe_name: str) -> None:
    late: list[Client] = []

    def delay(client: Client, data: bytes) -> Any:
        if len(late) == 0 and data == SMALL and gate(client, data) is LATER:
            late.append(client)
            return LATER
        return data

    gate = Gate(3)
    with serving(pipe_name, delay) as server:
        bench = run(Target(pipe_name, SMALL, timeout=0.3), a_number(10))
        assert server.stats.clients == 2
    assert (bench.score.succeeded_count, kinds(bench)) == (9, {"timed out": 1})


@pytest.mark.parametrize("connections", [1, 3])
def test_a_server_that_goes_is_counted_and_one_that_comes_back_is_used(pipe_name: str, connections: int) -> None:
    plan = Plan(connections, duration=1.5, warmup=0)
    with serving(pipe_name) as server, Bench(Target(pipe_name, SMALL), plan) as bench:
        bench.open()
        bench.start()
        while bench.score.succeeded_count < 10:
            assert not bench.wait(0.01)
        server.close()
        while "not found" not in kinds(bench):
            assert not bench.wait(0.01)
        before = bench.score.succeeded_count
        with serving(pipe_name):
            assert bench.wait(PATIENCE)
        assert bench.score.succeeded_count > before
    assert kinds(bench).keys() == {"closed", "not found"}


def test_a_pipe_that_others_keep_busy_is_counted_as_busy_once_for_each_timeout(pipe_name: str) -> None:
    target, plan = Target(pipe_name, SMALL, timeout=0.3, new_connection=True), Plan(duration=2, warmup=0)
    with serving(pipe_name, max_instances=1), Bench(target, plan) as bench:
        bench.open()
        bench.start()
        with connect(pipe_name, PATIENCE):
            assert bench.wait(PATIENCE)
    assert kinds(bench).keys() == {"busy"}
    assert 1 <= bench.score.failed_count <= 2 / 0.3 + 1


def test_a_server_that_is_gone_for_the_timeout_ends_a_number_of_exchanges(pipe_name: str) -> None:
    with serving(pipe_name) as server, Bench(Target(pipe_name, SMALL, timeout=0.5), a_number(1_000_000)) as bench:
        bench.open()
        bench.start()
        while bench.score.succeeded_count < 10:
            assert not bench.wait(0.01)
        server.close()
        assert bench.wait(PATIENCE)
    assert bench.has_given_up
    assert "not found" in kinds(bench)


def test_a_client_that_the_server_throws_out_connects_again(pipe_name: str) -> None:
    count = iter(range(1000))

    def refuse_some(client: Client, data: bytes) -> Any:
        if next(count) % 5 == 4:
            client.close()
            return LATER
        return data

    with serving(pipe_name, refuse_some):
        bench = run(Target(pipe_name, SMALL), a_number(50))
    assert (bench.score.succeeded_count, kinds(bench)) == (40, {"closed": 10})


def test_a_bench_that_is_closed_in_the_middle_keeps_what_it_has(pipe_name: str) -> None:
    with serving(pipe_name):
        with Bench(Target(pipe_name, SMALL), Plan(3, duration=60, warmup=0)) as bench:
            bench.open()
            bench.start()
            while bench.score.succeeded_count < 10:
                assert not bench.wait(0.01)
        count = bench.score.succeeded_count
        assert count >= 10
        assert bench.per_second == pytest.approx(count / bench.seconds)
        assert bench.seconds < PATIENCE
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("Bench")]


def test_a_bench_that_waits_for_a_reply_can_be_closed_at_once(pipe_name: str) -> None:
    with serving(pipe_name, Gate(1)):
        with Bench(Target(pipe_name, SMALL, timeout=None), a_number()) as bench:
            bench.open()
            bench.start()
            assert not bench.wait(0.05)
            begun = time.perf_counter()
        assert time.perf_counter() - begun < 1
    assert bench.score.succeeded_count == bench.score.failed_count == 0

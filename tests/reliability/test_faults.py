"""The other end is killed, stalls, says half of it or nothing, comes and goes; and every clock is kept.

Each fault has one of two ends: the right answer, or a clear error in time. Whoever is left works on.
"""

import random
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles

import pytest

from pipectl.core.constants import Condition, PipeMode, Wait, WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeBusyError, PipeClosedError, PipeError, PipeNotFoundError, PipeTimeoutError
from pipectl.core.pipe.availability import wait_for
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.contract import LATER, Later
from pipectl.core.pipe.exchanges import call_native
from pipectl.core.pipe.framing import parse
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32 import calls
from pipectl.core.win32.blocking import run_blocking
from tests import pipes
from tests.runner import Background

from .conftest import Amount, Figure

VICTIM = Path(__file__).parent / "programs" / "victim.py"
POINTS = 7
# Generous: what is asserted is that there is an end. What it took is measured.
PATIENCE = 20


def echo(_client: Client, data: bytes) -> bytes:
    return data


# Killed


class Victim:
    """A process at one end of an exchange, to be killed at a point of it."""

    def __init__(self, side: str, pipe: str, point: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", VICTIM, side, pipe, str(point)], stdout=subprocess.PIPE
        )

    def await_word(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline().split() == [word.encode()]

    def kill(self) -> None:
        """End it with TerminateProcess."""
        self._process.kill()
        self._process.wait(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()


def test_a_server_killed_at_any_point_leaves_an_answer_or_a_clear_error(
    pipe_name: str, background: Background, amount: Amount, figure: Figure
) -> None:
    chance = random.Random(1)
    seconds = []
    outcomes = dict.fromkeys(("answer", "closed", "absent"), 0)
    for number, point in enumerate(islice(cycle(range(POINTS)), amount(25, 500))):
        victim = Victim("server", f"{pipe_name}-{number}", point)
        try:
            if point > 0:
                victim.await_word("listening")
            asking = background(ask, f"{pipe_name}-{number}", bytes(1 << 20) if point == 3 else b"question")
            victim.await_word("there")
            time.sleep(chance.uniform(0, 0.005))
        finally:
            victim.kill()
        killed = time.perf_counter()
        outcome = asking.result(PATIENCE)
        seconds.append(time.perf_counter() - killed)
        outcomes[outcome] += 1
        assert outcome in {0: ("absent",), 5: ("answer", "closed"), 6: ("answer",)}.get(point, ("closed",))
    figure(f"{len(seconds)} servers killed; {outcomes}; known after {spread(seconds)}")


def ask(pipe: str, question: bytes) -> str:
    """Ask a server that will be killed; tell what came of it."""
    try:
        with connect(pipe, PATIENCE) as connection:
            connection.send(question, PATIENCE)
            assert connection.receive(PATIENCE) in (b"answer", bytes(1 << 20))
    except PipeClosedError:
        return "closed"
    except PipeNotFoundError:
        return "absent"
    return "answer"


def test_clients_that_are_killed_at_any_point_leave_a_server_that_serves(
    pipe_name: str, amount: Amount, figure: Figure, handle_count: Callable[[], int]
) -> None:
    unanswered: list[Client] = []

    def answer(client: Client, data: bytes) -> bytes | Later:
        if data.startswith(b"answer it later"):
            unanswered.append(client)
            return LATER
        return data * 1000

    chance = random.Random(2)
    number = amount(25, 500)
    with PipeServer(pipe_name, answer) as server, connect(pipe_name) as steady:
        for point in islice(cycle(range(POINTS)), number):
            if point == 1:
                handles = handle_count()
            victim = Victim("client", pipe_name, point)
            try:
                victim.await_word("there")
                time.sleep(chance.uniform(0, 0.005))
            finally:
                victim.kill()
            assert steady.transact(b"still there?", PATIENCE) == b"still there?" * 1000
        for client in unanswered:  # from which nothing was read, not even its end
            client.reply(b"late")
        wait_until(lambda: server.connected == 1)
        assert handle_count() <= handles + 10
        assert server.stats.clients == 1 + number - len(range(0, number, POINTS))
    figure(f"{number} clients killed; the server answered another one after each")


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what a server will have done soon."""
    deadline = Deadline(PATIENCE)
    while not condition():
        assert not deadline.passed
        time.sleep(0.01)


def spread(seconds: list[float]) -> str:
    """Tell a distribution in milliseconds."""
    cuts = quantiles(seconds, n=100, method="inclusive")
    points = {"median": median(seconds), "95 %": cuts[94], "99 %": cuts[98], "most": max(seconds)}
    return ", ".join(f"{name} {second * 1000:.1f} ms" for name, second in points.items())


# Come and gone


def test_clients_that_leave_at_once_leave_a_server_that_serves(
    pipe_name: str, amount: Amount, figure: Figure, handle_count: Callable[[], int]
) -> None:
    number = amount(1000, 10_000)
    with PipeServer(pipe_name, echo) as server:
        for _ in range(100):
            connect(pipe_name, PATIENCE).close()
        handles = handle_count()
        for _ in range(number):
            connect(pipe_name, PATIENCE).close()
        wait_until(lambda: server.stats.clients == number + 100 and not server.connected)
        assert handle_count() <= handles + 10
        with connect(pipe_name) as connection:
            assert connection.transact(b"x", PATIENCE) == b"x"
    figure(f"{number:,} clients came and left")


def test_a_client_that_came_and_left_is_no_data_and_the_instance_goes_on(pipe_name: str, amount: Amount) -> None:
    with calls.create_named_pipe(pipe_name) as server:
        for _ in range(amount(1000, 10_000)):
            calls.create_file(pipe_name).close()
            with pytest.raises(PipeClosedError) as raised:
                pipes.connect_named_pipe(server, PATIENCE)
            assert raised.value.code == WinError.NO_DATA
            pipes.disconnect_named_pipe(server)
            with suppress(PipeTimeoutError):  # it listens again
                pipes.connect_named_pipe(server, 0)


def test_a_limit_of_instances_is_waited_for_by_all_and_all_are_served(
    pipe_name: str, background: Background, amount: Amount
) -> None:
    turns = amount(3, 30)

    def take_turns() -> None:
        for _ in range(turns):
            with connect(pipe_name, PATIENCE * 3) as connection:
                assert connection.transact(b"x", PATIENCE) == b"x"

    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=3)) as server:
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(connect(pipe_name, PATIENCE))
            with pytest.raises(PipeBusyError):
                connect(pipe_name, 0)
            clients = [background(take_turns) for _ in range(20)]
        for client in clients:
            client.result(PATIENCE * 3)
        assert server.stats.messages == 20 * turns


# Nothing, half of it, and very much


def test_messages_of_no_bytes_are_messages(pipe_name: str, amount: Amount) -> None:
    with PipeServer(pipe_name, echo) as server, connect(pipe_name) as connection:
        for number in range(amount(300, 3000)):
            assert connection.transact(b"", PATIENCE) == b""
            connection.send(b"")
            connection.send(b"%d" % number)
            assert [connection.receive(PATIENCE) for _ in range(2)] == [b"", b"%d" % number]
        assert server.stats.messages == 3 * amount(300, 3000)


def byte_pipe(pipe: str) -> Connection:
    """Make a server end that does only what a test makes it do."""
    return Connection(calls.create_named_pipe(pipe, pipe_mode=PipeMode.TYPE_BYTE), is_message=False)


def test_half_a_frame_is_kept_until_the_rest_comes(pipe_name: str) -> None:
    with byte_pipe(pipe_name) as server, connect(pipe_name) as client:
        server.send(b"\x06\0fir")
        with pytest.raises(PipeTimeoutError):
            client.receive_until(parse("u16le"), 0.05)
        server.send(b"st!\x01\0")
        assert client.receive_until(parse("u16le"), PATIENCE).data == b"first!"
        with pytest.raises(PipeTimeoutError):
            client.receive_until(parse("u16le"), 0.05)


def test_half_a_frame_and_then_the_end_is_no_reply(pipe_name: str) -> None:
    with connect_to_one_that_ends_with(b"\x06\0fir", pipe_name) as client, pytest.raises(PipeClosedError):
        client.receive_until(parse("u16le"), PATIENCE)


def connect_to_one_that_ends_with(data: bytes, pipe: str) -> Connection:
    with byte_pipe(pipe) as server:
        client = connect(pipe)
        server.send(data)
    return client


def test_a_stream_goes_through_a_server_and_comes_back_whole(
    pipe_name: str, background: Background, amount: Amount, figure: Figure
) -> None:
    piece = random.Random(3).randbytes(1 << 18)
    pieces = amount(64, 4096)

    def send_all() -> int:
        checksum = 0
        for number in range(pieces):
            data = number.to_bytes(8, "big") + piece[8:]
            connection.send(data, PATIENCE)
            checksum = zlib.crc32(data, checksum)
        return checksum

    with PipeServer(pipe_name, echo, config=PipeConfig(is_message=False)), connect(pipe_name) as connection:
        begun = time.perf_counter()
        sending = background(send_all)
        received = checksum = 0
        while received < pieces * len(piece):
            data = connection.receive(PATIENCE)
            received += len(data)
            checksum = zlib.crc32(data, checksum)
        seconds = time.perf_counter() - begun
        assert checksum == sending.result(PATIENCE)
    figure(f"{received >> 20} MiB there and back in {seconds:.1f} s: {2 * received / seconds / 1e6:.0f} MB/s moved")


# Clocks


def clocks(pipe: str) -> dict[str, Callable[[float], object]]:
    """Every way to wait that has a deadline, on pipes on which nothing will happen."""
    busy, byte = f"{pipe}-busy", f"{pipe}-byte"
    large = bytes(1 << 20)  # more than the pipe keeps: nobody reads it
    return {
        "connect, absent": lambda timeout: connect(f"{pipe}-absent", timeout, wait=Wait.EXISTS),
        "connect, busy": lambda timeout: connect(busy, timeout),
        "wait, busy": lambda timeout: wait_for(busy, Condition.FREE, Deadline(timeout)),
        "wait, exists": lambda timeout: wait_for(busy, Condition.GONE, Deadline(timeout)),
        "receive": lambda timeout: with_new(pipe, lambda client: client.receive(timeout)),
        "await data": lambda timeout: with_new(pipe, lambda client: client.await_data(1, timeout)),
        "send": lambda timeout: with_new(pipe, lambda client: send_third(client, large, timeout)),
        "request": lambda timeout: with_new(pipe, lambda client: client.transact(b"x", timeout)),
        "request, large": lambda timeout: with_new(pipe, lambda client: client.transact(large, timeout)),
        "until, nothing": lambda timeout: with_new(byte, lambda c: c.ask(b"x", parse("eof"), timeout)),
        "until, large": lambda timeout: with_new(byte, lambda c: c.ask(large, parse("line"), timeout)),
        "native call": lambda timeout: call_native(pipe, b"x", timeout),
    }


def send_third(client: Connection, data: bytes, timeout: float) -> None:
    """Send what the server will not read: it has not answered the first, and keeps only one more."""
    client.send(b"first")
    client.send(b"second")
    client.send(data, timeout)


def with_new(pipe: str, operation: Callable[[Connection], object]) -> object:
    with connect(pipe, PATIENCE) as client:
        return operation(client)


def test_every_deadline_is_kept(pipe_name: str, amount: Amount, figure: Figure) -> None:
    """Nothing ends early; half of all end within 0.1 s of their time. How late the latest is, is the machine's."""
    late: list[float] = []
    with ExitStack() as stack:
        for name in (pipe_name, f"{pipe_name}-byte"):
            is_message = name == pipe_name
            stack.enter_context(PipeServer(name, lambda *_: LATER, config=PipeConfig(is_message=is_message)))
        stack.enter_context(calls.create_named_pipe(f"{pipe_name}-busy", max_instances=1))
        stack.enter_context(calls.create_file(f"{pipe_name}-busy"))
        for name, operation in clocks(pipe_name).items():
            of_one = []
            for timeout in [0.03, 0.07, 0.15] * amount(1, 20):
                begun = time.perf_counter()
                with pytest.raises(PipeError) as raised:
                    operation(timeout)
                of_one.append(time.perf_counter() - begun - timeout)
                assert isinstance(raised.value, PipeTimeoutError | PipeNotFoundError | PipeBusyError)
            assert min(of_one) >= 0
            assert median(of_one) < 0.1
            figure(f"{name}: late by {spread(of_one)}")
            late += of_one
    figure(f"all {len(late)}: late by {spread(late)}; within 0.1 s: {sum(one <= 0.1 for one in late)}")


def test_what_ends_just_at_its_deadline_is_done_or_timed_out(amount: Amount, figure: Figure) -> None:
    """A call that blocks is cancelled in its thread, which may have ended by itself at that moment."""
    done = 0
    for number in range(amount(100, 2000)):
        timeout = 0.001 * (number % 5)
        with suppress(PipeTimeoutError):
            run_blocking(partial(time.sleep, timeout), Deadline(timeout))
            done += 1
    figure(f"{done} of {amount(100, 2000)} were done")


def test_a_server_ends_in_time_though_nobody_reads(pipe_name: str) -> None:
    with ExitStack() as stack:
        server = PipeServer(pipe_name, lambda _, data: data * 100_000).start()
        stack.callback(server.close)
        for _ in range(10):
            client = stack.enter_context(connect(pipe_name, PATIENCE))
            client.send(b"question")
        wait_until(lambda: server.stats.messages == 10)
        begun = time.perf_counter()
        server.stop(drain=0.2)
        assert server.wait(PATIENCE)
        assert time.perf_counter() - begun < 5


def test_many_wait_in_threads_and_each_ends_by_its_own_deadline(pipe_name: str, background: Background) -> None:
    silent = threading.Event()

    def receive() -> float:
        with connect(pipe_name, PATIENCE) as client:
            silent.wait(PATIENCE)
            begun = time.perf_counter()
            with pytest.raises(PipeTimeoutError):
                client.receive(0.3)
            return time.perf_counter() - begun

    with PipeServer(pipe_name, echo) as server:
        waiting = [background(receive) for _ in range(30)]
        wait_until(lambda: server.connected == 30)
        silent.set()
        assert all(0.3 <= one.result(PATIENCE) < 5 for one in waiting)

"""Attackers that send anything, or half of it, or nothing, and an honest client among them that is served all the same.

The attackers are raw peers in a process of their own, which is killed in the middle of its sessions and started again.
"""

import gc
import random
import struct
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event, active_count
from typing import NamedTuple

import pytest

from pipectl.core.errors import PipeError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from tests.pipes import reporting
from tests.runner import Background

from .conftest import Amount, Figure
from .growth import MOST_HANDLES, memory_in_use

ATTACKER = Path(__file__).parent / "programs" / "attacker.py"
# So many sessions of one process, and then it is killed.
SESSIONS_OF_ONE = 25
# Seconds in which the honest client must be served, whatever the others do, and in which they are forgotten.
BOUND = 5.0
# Less than a KiB for each session of the long form; in the short one, room for what the allocators keep.
MOST_GROWTH = 4 << 20
# What the server takes; the attackers also send more.
MOST = 256 << 10
# What a message of the honest client begins with; the attackers' are random.
HEAD = struct.Struct("<16sI")
SIZES = (0, 1, 100, 5000, 100_000)

CONFIGS = {
    "without a limit": PipeConfig(max_message=MOST),
    "of three instances": PipeConfig(max_message=MOST, max_instances=3, linger=0.2),
}


class Honest:
    """A client that numbers its messages, and takes nothing for a reply but its own message; and the server's books."""

    def __init__(self, pipe: str) -> None:
        self.asked = self.answered = self.let_go = 0
        self.connects, self.replies = array("d"), array("d")
        self._pipe = pipe
        self._chance = random.Random(0)
        self._name = self._chance.randbytes(16)

    def answer(self, _client: Client, data: bytes) -> bytes:
        """Be the server: an echo, by which no message of the honest client is lost, doubled or out of order."""
        if data.startswith(self._name):
            assert HEAD.unpack_from(data)[1] == self.answered
            self.answered += 1
        return data

    def left(self, _client: Client, error: PipeError | None) -> None:
        """Count the clients that the server has closed for what they did."""
        self.let_go += error is not None

    def talk_until(self, ended: Event) -> None:
        """Come, say something a few times, leave, and come again."""
        while not ended.is_set():
            with timed(self.connects):
                connection = connect(self._pipe, BOUND)
            with connection:
                for _ in range(self._chance.randint(1, 10)):
                    request = HEAD.pack(self._name, self.asked) + self._chance.randbytes(self._chance.choice(SIZES))
                    with timed(self.replies):
                        assert connection.transact(request, BOUND) == request
                    self.asked += 1
                assert not connection.peek().available


@contextmanager
def timed(seconds: "array[float]") -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - begun)


def attacked(pipe: str, seed: int, sessions: int) -> Counter[str]:
    """Have a pipe attacked by one process, which is killed when so many sessions have begun; count them by kind."""
    arguments = [sys.executable, "-S", "-E", str(ATTACKER), pipe, str(seed)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        begun = Counter(process.stdout.readline().decode().strip() for _ in range(sessions))
        process.kill()
    return begun


class Left(NamedTuple):
    """What is there when a server has ended."""

    handles: int
    threads: int
    memory: int


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_an_honest_client_is_served_whatever_others_do_to_the_server(
    pipe_name: str,
    background: Background,
    amount: Amount,
    figure: Figure,
    handle_count: Callable[[], int],
    config: PipeConfig,
) -> None:
    def attack(pipe: str, sessions: int) -> tuple[Honest, Counter[str]]:
        honest, kinds, ended = Honest(pipe), Counter[str](), Event()
        with PipeServer(pipe, honest.answer, events=reporting(left=honest.left), config=config) as server:
            talking = background(honest.talk_until, ended)
            try:
                for seed in range(sessions // SESSIONS_OF_ONE):
                    kinds += attacked(pipe, seed, SESSIONS_OF_ONE)
                    assert not server.wait(0)  # which raises what a handler has raised
                    assert not talking.done() or talking.exception() is None
            finally:
                ended.set()
            talking.result(BOUND)
            assert honest.asked == honest.answered
            assert_forgotten(server)
        return honest, kinds

    def left() -> Left:
        gc.collect()
        return Left(handle_count(), active_count(), memory_in_use())

    attack(f"{pipe_name}-first", SESSIONS_OF_ONE)  # what is made only once
    before = left()
    begun = time.perf_counter()
    honest, kinds = attack(pipe_name, amount(75, 5000))
    seconds = time.perf_counter() - begun
    after = left()
    figure(
        f"{kinds.total():,} sessions in {seconds:.0f} s, {honest.let_go} closed by the server; of which {dict(kinds)}"
    )
    figure(f"{len(honest.connects):,} honest connects, {spread(honest.connects)}")
    figure(f"{len(honest.replies):,} honest replies, {spread(honest.replies)}")
    figure(f"before {before}, after {after}")
    assert honest.let_go
    assert max(honest.connects + honest.replies) < BOUND
    assert after.handles - before.handles <= MOST_HANDLES
    assert after.threads <= before.threads
    assert after.memory - before.memory < MOST_GROWTH


def assert_forgotten(server: PipeServer) -> None:
    """Assert that no client is left, now that the processes of all have ended."""
    last = time.perf_counter() + BOUND
    while server.connected and time.perf_counter() < last:
        assert not server.wait(0.01)
    assert server.connected == 0


def spread(seconds: "array[float]") -> str:
    return f"median {median(seconds) * 1000:.1f} ms, at most {max(seconds) * 1000:.0f} ms"

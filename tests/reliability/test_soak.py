"""Long and wide: a hundred clients, and with `--long` a million messages."""

import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pipectl.core.pipe.client import Client
from pipectl.core.pipe.server import PipeServer

from .conftest import Amount, Figure
from .growth import memory_in_use

PROGRAM = Path(__file__).parent / "programs" / "soak_client.py"
HEAD = struct.Struct("<IIi")
CLIENTS = 100
# Two bytes for each message of the long form; in the short one, room for what is made once.
MOST_GROWTH = 2 << 20


class Sample(NamedTuple):
    """What the process uses at a moment of the soak."""

    handles: int
    threads: int
    memory: int


class Ledger:
    """Answers with an echo, and keeps the books of every client: what is lost, doubled or out of order ends it."""

    def __init__(self) -> None:
        self.expected: Counter[int] = Counter()
        self.total = 0

    def __call__(self, _client: Client, data: bytes) -> bytes:
        client, number, checksum = HEAD.unpack_from(data)
        assert number == self.expected[client]
        assert checksum == zlib.crc32(data[HEAD.size :]) - (1 << 31)
        self.expected[client] += 1
        self.total += 1
        return data


def test_no_message_of_a_hundred_clients_is_lost_doubled_or_out_of_order(
    pipe_name: str, amount: Amount, figure: Figure, handle_count: Callable[[], int]
) -> None:
    messages = amount(20_000, 1_000_000)
    ledger = Ledger()
    samples: list[Sample] = []
    arguments = [sys.executable, "-S", str(PROGRAM), pipe_name, str(CLIENTS), str(messages)]
    with PipeServer(pipe_name, ledger) as server:
        begun = time.perf_counter()
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as clients:
            while clients.poll() is None:
                if ledger.total > messages * (len(samples) + 1) // 10:
                    samples.append(Sample(handle_count(), threading.active_count(), memory_in_use()))
                assert not server.wait(0.05)  # which raises what the ledger has found
            assert clients.stdout is not None
            assert int(clients.stdout.read()) == messages
        seconds = time.perf_counter() - begun
    assert ledger.expected == dict.fromkeys(range(CLIENTS), messages // CLIENTS)
    assert server.stats[:2] == (CLIENTS, messages)
    first, last = samples[0], samples[-1]
    assert last.handles - first.handles <= 10
    assert last.threads == first.threads
    assert last.memory - first.memory < MOST_GROWTH
    figure(f"{messages:,} messages of {CLIENTS} clients in {seconds:.0f} s, {messages / seconds:,.0f} a second")
    figure(f"at a tenth {first}, at the end {last}")

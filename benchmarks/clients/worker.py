"""Shared by all clients in Python: they read lines of `WORK COUNT`, and print the elapsed seconds."""

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import repeat

SMALL = bytes(64)
CHUNK = bytes(65536)
LARGE = bytes(1 << 20)


def run(works: Mapping[str, Callable[[], object]]) -> None:
    """Do works as often as stdin requests."""
    run_loops({name: partial(_do, work) for name, work in works.items()})


def _do(work: Callable[[], object], count: int) -> None:
    for _ in repeat(None, count):
        work()


def run_loops(loops: Mapping[str, Callable[[int], object]]) -> None:
    """Do works as often as stdin requests; each work is a function of the count."""
    for line in sys.stdin:
        name, count = line.split()
        loop = loops[name]
        begun = time.perf_counter()
        loop(int(count))
        print(time.perf_counter() - begun, flush=True)


def exchanges(exchange: Callable[[bytes], object]) -> dict[str, Callable[[], object]]:
    """Return the works that send data and receive the same amount, by name."""
    return {
        "write_read_64": lambda: exchange(SMALL),
        "write_read_64k": lambda: exchange(CHUNK),
        "write_read_1m": lambda: exchange(LARGE),
    }

"""Measure how long it takes to find the processes that have pipes open.

Run `python3 scripts/dev.py python benchmarks/walk.py [ROUNDS]`. The pipes are created in this process; the walk covers
all processes of the system. Prints the median and the minimum of the rounds.
"""

import struct
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from pipectl.core.deadline import Deadline
from pipectl.core.inventory.handles import parse_handles
from pipectl.core.inventory.walk import walk
from pipectl.core.win32.calls import create_named_pipe

PIPE = r"\\.\pipe\pipectl-benchmark-walk"
ENTRIES = 200_000
FILE = 37


def timed(rounds: int, work: Callable[[], object]) -> str:
    """Return the time that a function takes, as text."""
    work()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1000)
    return f"{median(times):.0f} ms ({min(times):.0f})"


def table() -> memoryview:
    """Return a table of handles in the system's format; one handle in eight is a file."""
    entry = struct.Struct("<QQQIHHII")
    rows = b"".join(
        entry.pack(0, 4 * (i % 300), 4 * i, 0x12019F, 0, FILE if i % 8 == 0 else 16, 0, 0) for i in range(ENTRIES)
    )
    return memoryview(struct.pack("<QQ", ENTRIES, 0) + rows)


def main(rounds: int = 11) -> None:
    """Measure, and print a line for each."""
    handles = table()
    print(f"{ENTRIES:,} entries parsed: {timed(rounds, lambda: list(parse_handles(handles, FILE)))}")
    with ExitStack() as stack:
        for more in (0, 100, 900):
            for _ in range(more):
                stack.enter_context(create_named_pipe(PIPE))
            found = len(walk(Deadline(5)).ends)
            print(f"walk that finds {found:,} ends: {timed(rounds, lambda: walk(Deadline(5)))}")


main(*map(int, sys.argv[1:]))

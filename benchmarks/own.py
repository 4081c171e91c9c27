"""Measure the cost of the stand-in for pywin32 in one process: `python3 benchmarks/run.py own`.

First, its own cost for each call: the native function is replaced by GetCurrentProcessId, which returns at once and
never fails. The floor is the ctypes call alone, with prepared arguments. Then, the same calls through pywin32 and
through the stand-in, each on a separate pipe, in alternating blocks: the second percentile of each counts, because
other load only makes a block longer.
"""

import ctypes
import statistics
import time
from collections.abc import Callable, Iterator
from ctypes import byref, c_char, c_void_p
from ctypes.wintypes import DWORD
from itertools import repeat
from typing import Any

from pipectl.core import win32pipe
from pipectl.core.win32pipe import functions

SIZE = 64
CALLS = 2000
# The number of messages that fit into the pipe without a read.
MESSAGES = 200
GOAL_MICROSECONDS = 1.2


def own(rounds: int) -> dict[str, Any]:
    """Print both tables, and return them."""
    results: dict[str, Any] = {"microseconds": own_cost(rounds)}
    try:
        import pywintypes
        import win32event
        import win32file
        import win32pipe as theirs
    except ImportError:
        return results
    results["ratios"] = beside((theirs, win32file, win32event, pywintypes), rounds)
    return results


# Its own cost


def at_once(function: Any) -> Any:
    """Return a function that ctypes calls like this one, and that returns at once."""
    address = ctypes.cast(ctypes.WinDLL("kernel32").GetCurrentProcessId, c_void_p).value
    twin: Any = type(function)(address)
    twin.restype = function.restype
    return twin


def own_cost(rounds: int) -> dict[str, dict[str, float]]:
    """Return the minimum and the median of each call in microseconds, and those of its floor."""
    event = win32pipe.CreateEvent(None, True, False, None)
    data, memory, count, overlapped = bytes(SIZE), (c_char * SIZE)(), DWORD(), win32pipe.OVERLAPPED()
    read = at_once(functions._ReadFile)
    calls: dict[str, tuple[str, Callable[[], object]]] = {
        "ReadFile": ("_ReadFile", lambda: win32pipe.ReadFile(event, SIZE)),
        "WriteFile": ("_WriteFile", lambda: win32pipe.WriteFile(event, data)),
        "ReadFile, overlapped": ("_ReadFile", lambda: win32pipe.ReadFile(event, SIZE, overlapped)),
        "WriteFile, overlapped": ("_WriteFile", lambda: win32pipe.WriteFile(event, data, overlapped)),
        "GetOverlappedResult": (
            "_GetOverlappedResult",
            lambda: win32pipe.GetOverlappedResult(event, overlapped, True),
        ),
        "PeekNamedPipe": ("_PeekNamedPipe", lambda: win32pipe.PeekNamedPipe(event, SIZE)),
        "WaitForSingleObject": ("_WaitForSingleObject", lambda: win32pipe.WaitForSingleObject(event, 0)),
        "floor: the ctypes call": ("_ReadFile", lambda: read(event, memory, SIZE, byref(count), None)),
    }
    print(
        f"\nown cost of a call, in microseconds (goal: {GOAL_MICROSECONDS} for ReadFile and WriteFile of {SIZE} bytes)"
    )
    table = {}
    for name, (native, call) in calls.items():
        original = getattr(functions, native)
        setattr(functions, native, at_once(original))
        try:
            times = [seconds(call, CALLS) / CALLS * 1e6 for _ in range(rounds)]
        finally:
            setattr(functions, native, original)
        table[name] = {"least": min(times), "median": statistics.median(times)}
        print(f"  {name:<24}{min(times):.2f}  (median {statistics.median(times):.2f})", flush=True)
    return table


def seconds(call: Callable[[], object], calls: int) -> float:
    begun = time.perf_counter()
    for _ in repeat(None, calls):
        call()
    return time.perf_counter() - begun


# Compared with pywin32


class Names:
    """The names of pywin32's modules in one namespace, like the stand-in's."""

    def __init__(self, *modules: Any) -> None:
        for module in modules:
            self.__dict__.update(vars(module))


def beside(modules: tuple[Any, ...], rounds: int) -> dict[str, float]:
    """Return the ratio of the time of pywin32 to that of the stand-in for each work, in their shortest blocks."""
    sides = [dict(works(api)) for api in (Names(*modules), win32pipe)]
    print("\nthe stand-in beside pywin32, as ratios of their shortest blocks (goal: 0.9)")
    table = {}
    for work in sides[0]:
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(20 * rounds):
            for side in (0, 1) if turn % 2 else (1, 0):
                times[side].append(sides[side][work]())
        theirs, ours = (statistics.quantiles(found, n=50)[0] for found in times)
        table[work] = theirs / ours
        print(f"  {work:<38}{table[work]:.3f}", flush=True)
    return table


def works(api: Any) -> Iterator[tuple[str, Callable[[], float]]]:
    """Yield the name and the block of each work; a block returns the seconds of its calls only."""
    pipe = rf"\\.\pipe\pipectl-benchmark-own-{id(api):x}"
    server = api.CreateNamedPipe(pipe, 0x4000_0003, 6, 2, 1 << 16, 1 << 16, 0, None)
    client = api.CreateFile(pipe, -0x4000_0000, 0, None, 3, 0x4000_0000, None)
    plain = api.CreateNamedPipe(f"{pipe}-plain", 3, 6, 1, 1 << 16, 1 << 16, 0, None)
    peer = api.CreateFile(f"{pipe}-plain", -0x4000_0000, 0, None, 3, 0, None)
    data, ol, other = bytes(SIZE), api.OVERLAPPED(), api.OVERLAPPED()
    for each in (ol, other):
        each.hEvent = api.CreateEvent(None, True, False, None)
    buffer, event = api.AllocateReadBuffer(SIZE), api.CreateEvent(None, True, True, None)

    def read() -> float:
        seconds(lambda: api.WriteFile(peer, data), MESSAGES)
        return seconds(lambda: api.ReadFile(plain, SIZE), MESSAGES)

    def write() -> float:
        taken = seconds(lambda: api.WriteFile(peer, data), MESSAGES)
        seconds(lambda: api.ReadFile(plain, SIZE), MESSAGES)
        return taken

    def peek() -> float:
        api.WriteFile(peer, data)
        taken = seconds(lambda: api.PeekNamedPipe(plain, SIZE), MESSAGES)
        api.ReadFile(plain, SIZE)
        return taken

    def exchange() -> None:
        api.ReadFile(server, buffer, ol)
        api.WriteFile(client, data, other)
        api.WaitForSingleObject(ol.hEvent, 1000)
        api.GetOverlappedResult(server, ol, True)

    def cycle() -> None:
        end = api.CreateNamedPipe(f"{pipe}-cycle", 3, 6, 1, 4096, 4096, 0, None)
        near = api.CreateFile(f"{pipe}-cycle", -0x4000_0000, 0, None, 3, 0, None)
        api.ConnectNamedPipe(end, None)
        near.Close()
        end.Close()

    yield f"ReadFile of {SIZE} bytes", read
    yield f"WriteFile of {SIZE} bytes", write
    yield "PeekNamedPipe", peek
    yield "WaitForSingleObject", lambda: seconds(lambda: api.WaitForSingleObject(event, 0), MESSAGES)
    yield "overlapped read, write, wait, result", lambda: seconds(exchange, MESSAGES)
    yield "create, open, connect, close", lambda: seconds(cycle, MESSAGES // 4)

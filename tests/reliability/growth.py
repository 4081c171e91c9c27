"""What a function leaves behind each time that it is called: handles, Python objects, memory."""

import ctypes
import gc
import sys
from collections.abc import Callable
from ctypes.wintypes import DWORD, HANDLE
from typing import NamedTuple

from pipectl.core.win32 import winapi

# Less than one of anything for each round; room for what other threads and the allocators do meanwhile. Memory comes
# in arenas of 1 MiB: in 500 rounds a loss shows from 2 KiB each on, in 10,000 from 100 bytes on.
MOST_HANDLES = 10
MOST_OBJECTS = 100
MOST_BYTES = 1 << 20


class Growth(NamedTuple):
    """How much of each there is, or how much more; objects are those that refer to others, blocks all of them."""

    handles: int
    objects: int
    blocks: int
    memory: int


class _Memory(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS."""

    _fields_ = (
        ("cb", DWORD),
        ("PageFaultCount", DWORD),
        ("sizes", ctypes.c_size_t * 6),
        ("PagefileUsage", ctypes.c_size_t),
        ("PeakPagefileUsage", ctypes.c_size_t),
    )


_K32GetProcessMemoryInfo = ctypes.WinDLL("kernel32").K32GetProcessMemoryInfo
_K32GetProcessMemoryInfo.argtypes = (HANDLE, ctypes.POINTER(_Memory), DWORD)


def memory_in_use(process: int | None = None) -> int:
    """Return the bytes that a process has for itself, by its handle; without one, this process."""
    found = _Memory(cb=ctypes.sizeof(_Memory))
    assert _K32GetProcessMemoryInfo(winapi.GetCurrentProcess() if process is None else process, found, found.cb)
    return int(found.PagefileUsage)


def assert_nothing_grows(
    function: Callable[[], object], handle_count: Callable[[], int], rounds: int, most_blocks: int
) -> None:
    """Call a function so many times; afterwards there must be no more of anything, but for a little noise."""

    def use() -> Growth:
        gc.collect()
        handles = handle_count()
        gc.collect()  # what the count itself has made
        return Growth(handles, len(gc.get_objects()), sys.getallocatedblocks(), memory_in_use())

    for _ in range(max(3, rounds // 25)):  # what is made only once, and what the allocators keep for the next time
        function()
    before = use()
    for _ in range(rounds):
        function()
    growth = Growth(*(after - then for after, then in zip(use(), before, strict=True)))
    most = Growth(MOST_HANDLES, min(MOST_OBJECTS, rounds // 2), most_blocks, MOST_BYTES)
    assert all(found <= limit for found, limit in zip(growth, most, strict=True)), f"{growth}, at most {most}"

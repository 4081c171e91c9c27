"""Detects leaks of a function that is called repeatedly: handles, Python objects and memory."""

import ctypes
import gc
import sys
from collections.abc import Callable
from ctypes.wintypes import DWORD, HANDLE
from typing import NamedTuple

from pipectl.core.win32 import winapi

# Less than one of anything per round, with room for other threads and the allocators. Memory is allocated in arenas of
# 1 MiB: 500 rounds detect a leak of 2 KiB or more per round, and 10,000 rounds detect 100 bytes or more.
MOST_HANDLES = 10
MOST_OBJECTS = 100
MOST_BYTES = 1 << 20


class Growth(NamedTuple):
    """Amounts, or their growth; objects are those that the garbage collector tracks, and blocks all allocated ones."""

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
    """Return the private memory of a process in bytes, by its handle; by default, of this process."""
    found = _Memory(cb=ctypes.sizeof(_Memory))
    assert _K32GetProcessMemoryInfo(winapi.GetCurrentProcess() if process is None else process, found, found.cb)
    return int(found.PagefileUsage)


def assert_nothing_grows(
    function: Callable[[], object], handle_count: Callable[[], int], rounds: int, most_blocks: int
) -> None:
    """Call a function repeatedly; afterwards, nothing must have grown, except for a little noise."""

    def use() -> Growth:
        gc.collect()
        handles = handle_count()
        gc.collect()  # objects that the count itself has created
        return Growth(handles, len(gc.get_objects()), sys.getallocatedblocks(), memory_in_use())

    for _ in range(max(3, rounds // 25)):  # for objects that are created only once, and memory that the allocators keep
        function()
    gc.collect()
    gc.freeze()  # so that the collections below do not examine all that the tests before have left
    before = use()
    for _ in range(rounds):
        function()
    growth = Growth(*(after - then for after, then in zip(use(), before, strict=True)))
    most = Growth(MOST_HANDLES, min(MOST_OBJECTS, rounds // 2), most_blocks, MOST_BYTES)
    assert all(found <= limit for found, limit in zip(growth, most, strict=True)), f"{growth}, at most {most}"

"""An echo server with pipectl's PipeServer: `pipectl_server.py PIPE`; prints its memory for each line that it reads."""

import ctypes
import sys
from ctypes.wintypes import BOOL, DWORD, HANDLE

from pipectl import PipeServer


class _MemoryCounters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS."""

    _fields_ = (
        ("cb", DWORD),
        ("PageFaultCount", DWORD),
        ("WorkingSets", ctypes.c_size_t * 2),
        ("PoolUsages", ctypes.c_size_t * 4),
        ("PagefileUsage", ctypes.c_size_t),
        ("PeakPagefileUsage", ctypes.c_size_t),
    )


def private_bytes() -> int:
    """Return the private memory of this process in bytes."""
    kernel32 = ctypes.WinDLL("kernel32")
    kernel32.GetCurrentProcess.restype = HANDLE
    tell = kernel32.K32GetProcessMemoryInfo
    tell.restype, tell.argtypes = BOOL, (HANDLE, ctypes.POINTER(_MemoryCounters), DWORD)
    counters = _MemoryCounters(cb=ctypes.sizeof(_MemoryCounters))
    tell(kernel32.GetCurrentProcess(), ctypes.byref(counters), counters.cb)
    return int(counters.PagefileUsage)


with PipeServer(sys.argv[1], lambda _, data: data) as server:
    for _ in sys.stdin:
        print(private_bytes(), server.connected, flush=True)

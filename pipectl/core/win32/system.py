"""The tables of NtQuerySystemInformation, as bytes."""

import ctypes
from ctypes.wintypes import ULONG
from enum import IntEnum

from pipectl.core.constants import WinError
from pipectl.core.errors import UnsupportedError, error_for

from . import winapi

_STATUS_INFO_LENGTH_MISMATCH = 0xC000_0004
# In bytes; a typical computer has 100,000 to 300,000 handles of 40 bytes.
_FIRST_SIZE = 1 << 20
_LARGEST_SIZE = 512 << 20


class SystemInformation(IntEnum):
    """`SystemInformationClass` of NtQuerySystemInformation."""

    PROCESSES = 5
    EXTENDED_HANDLES = 64


class Table:
    """The data that the system wrote, and its address, because it contains pointers into itself."""

    def __init__(self, size: int) -> None:
        # Kept alive, because the view does not own it.
        self._memory = ctypes.create_string_buffer(size)
        self.address = ctypes.addressof(self._memory)
        self.data = memoryview(self._memory).cast("B")

    def fill(self, what: SystemInformation) -> tuple[int, int]:
        """Query the system; return the status, and the number of bytes that the data has or needs."""
        needed = ULONG()
        status = winapi.NtQuerySystemInformation(what, self._memory, len(self.data), ctypes.byref(needed))
        return status & 0xFFFF_FFFF, needed.value


def query_system(what: SystemInformation) -> Table:
    """Return one of the system's tables.

    Raises PipeAccessError if this process may not read it, as in an AppContainer, and UnsupportedError if there is no
    such table.
    """
    size = _FIRST_SIZE
    while True:
        table = Table(size)
        status, needed = table.fill(what)
        # More than is needed now, because the table may have grown by the next call.
        size = max(2 * size, needed * 5 // 4)
        if status != _STATUS_INFO_LENGTH_MISMATCH or size > _LARGEST_SIZE:
            break
    if status:
        raise _failure(what, winapi.RtlNtStatusToDosError(status))
    return table


def _failure(what: SystemInformation, code: int) -> Exception:
    things = what.name.lower().replace("_", " ")
    function = "NtQuerySystemInformation"
    if code == WinError.ACCESS_DENIED:
        return error_for(code, f"this process may not list {things}", function)
    return UnsupportedError(f"this system cannot list {things}", code=code, function=function, topic="handles")

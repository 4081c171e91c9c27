"""An I/O completion port: collects the completed operations of many handles."""

import ctypes
from collections.abc import Iterable
from ctypes import byref
from ctypes.wintypes import ULONG
from functools import partial
from struct import Struct

from pipectl.core.constants import STATUS_SUCCESS, WinError

from . import winapi
from .handle import Closing, Handle, kernel_time

_BATCH = 64
# FILE_IO_COMPLETION_INFORMATION: key, operation, status, bytes. Unpacked at once, because each access to a ctypes field
# takes as long as a call.
_PACKET = Struct("PPIP")

Packet = tuple[int, int, int, int]


class CompletionPort(Closing):
    """Receives a packet when an operation on one of its handles ends, if the operation was started without an error."""

    def __init__(self, name: str) -> None:
        self._handle = Handle(winapi.CreateIoCompletionPort(winapi.INVALID_HANDLE_VALUE, None, 0, 0), name)
        self._packets = ctypes.create_string_buffer(_PACKET.size * _BATCH)
        self._memory = memoryview(self._packets)
        self._count = ULONG()
        self._remove_call = partial(winapi.NtRemoveIoCompletionEx, self._handle.pointer, self._packets)
        self._count_reference = byref(self._count)

    def add(self, handle: Handle, key: int) -> None:
        """Associate a handle with this port; the packets of its operations have the key."""
        winapi.CreateIoCompletionPort(handle, self._handle, key, 0)

    def post(self, key: int, operation: int | None = None) -> None:
        """Queue a packet as if an operation had succeeded; can be called from any thread."""
        winapi.PostQueuedCompletionStatus(self._handle, 0, key, operation)

    def take(self, seconds: float | None, most: int = _BATCH) -> Iterable[Packet] | None:
        """Wait for packets; return key, address of the OVERLAPPED, status and bytes of each, or None on a timeout."""
        status = self._remove_call(min(_BATCH, most), self._count_reference, kernel_time(seconds), False)
        if status == WinError.WAIT_TIMEOUT:
            return None
        if status != STATUS_SUCCESS:
            raise winapi.native_error(status, winapi.NtRemoveIoCompletionEx, self._handle)
        return _PACKET.iter_unpack(self._memory[: self._count.value * _PACKET.size])

    def close(self) -> None:
        """Close the port; a second call does nothing."""
        self._handle.close()

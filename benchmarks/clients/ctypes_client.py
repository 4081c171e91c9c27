"""The minimum for Python: ctypes, without deadlines and checks: `ctypes_client.py PIPE`."""

import ctypes
import sys
from ctypes import byref, c_void_p
from ctypes.wintypes import BOOL, DWORD, HANDLE, LPCWSTR

from worker import CHUNK, LARGE, SMALL, exchanges, run

from pipectl.core.win32.winapi import OVERLAPPED

_GENERIC_READ_WRITE = 0xC000_0000
_OPEN_EXISTING = 3
_OVERLAPPED_IDENTIFICATION = 0x4011_0000
_READMODE_MESSAGE = byref(DWORD(2))
_STATUS_PENDING = 0x103

kernel32 = ctypes.WinDLL("kernel32")
CreateFile = kernel32.CreateFileW
CreateFile.restype, CreateFile.argtypes = HANDLE, (LPCWSTR, DWORD, DWORD, c_void_p, DWORD, DWORD, HANDLE)
CreateEvent = kernel32.CreateEventW
CreateEvent.restype, CreateEvent.argtypes = HANDLE, (c_void_p, BOOL, BOOL, LPCWSTR)
CloseHandle = kernel32.CloseHandle
CloseHandle.argtypes = (HANDLE,)
SetState = kernel32.SetNamedPipeHandleState
SetState.argtypes = (HANDLE, c_void_p, c_void_p, c_void_p)
ReadFile = kernel32.ReadFile
ReadFile.argtypes = (HANDLE, c_void_p, DWORD, c_void_p, c_void_p)
WriteFile = kernel32.WriteFile
WriteFile.argtypes = (HANDLE, c_void_p, DWORD, c_void_p, c_void_p)
Transact = kernel32.TransactNamedPipe
Transact.argtypes = (HANDLE, c_void_p, DWORD, c_void_p, DWORD, c_void_p, c_void_p)
GetOverlappedResult = kernel32.GetOverlappedResult
GetOverlappedResult.argtypes = (HANDLE, c_void_p, c_void_p, BOOL)


def connect(pipe: str) -> int:
    while True:
        handle = CreateFile(pipe, _GENERIC_READ_WRITE, 0, None, _OPEN_EXISTING, _OVERLAPPED_IDENTIFICATION, None)
        if handle != c_void_p(-1).value:
            SetState(handle, _READMODE_MESSAGE, None, None)
            return int(handle)


pipe = sys.argv[1]
operation = OVERLAPPED(hEvent=CreateEvent(None, True, False, None))
overlapped = byref(operation)
count = DWORD()
moved = byref(count)
buffer = ctypes.create_string_buffer(len(LARGE))
address = ctypes.addressof(buffer)
echo, sink = connect(pipe), connect(f"{pipe}-sink")


def write(handle: int, data: bytes) -> None:
    if not WriteFile(handle, data, len(data), None, overlapped):
        GetOverlappedResult(handle, overlapped, moved, True)


def exchange(data: bytes) -> bytes:
    write(echo, data)
    ReadFile(echo, address, max(len(data), len(CHUNK)), None, overlapped)
    GetOverlappedResult(echo, overlapped, moved, True)
    return ctypes.string_at(address, count.value)


def transact(handle: int) -> bytes:
    operation.Internal = _STATUS_PENDING
    Transact(handle, SMALL, len(SMALL), address, len(CHUNK), None, overlapped)
    GetOverlappedResult(handle, overlapped, moved, True)
    return ctypes.string_at(address, count.value)


def open_transact_close() -> None:
    handle = connect(pipe)
    transact(handle)
    CloseHandle(handle)


run(
    {
        **exchanges(exchange),
        "transact_64": lambda: transact(echo),
        "open_transact_close": open_transact_close,
        "write_64k": lambda: write(sink, CHUNK),
    }
)

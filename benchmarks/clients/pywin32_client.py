"""pywin32, or pipectl's stand-in for it, which runs the same program: `pywin32_client.py PIPE pywin32|pipectl`."""

import sys
from importlib import import_module
from typing import Any

from worker import CHUNK, LARGE, SMALL, exchanges, run

_PYWIN32 = ("pywintypes", "win32event", "win32file", "win32pipe")

modules = _PYWIN32 if sys.argv[2] == "pywin32" else ["pipectl.core.win32pipe"] * 4
pywintypes, win32event, win32file, win32pipe = map(import_module, modules)

_READMODE_MESSAGE = 2
_ERROR_PIPE_BUSY = 231
_STATUS_PENDING = 0x103

pipe = sys.argv[1]
buffer, large_buffer = win32file.AllocateReadBuffer(len(CHUNK)), win32file.AllocateReadBuffer(len(LARGE))
overlapped = pywintypes.OVERLAPPED()
overlapped.hEvent = win32event.CreateEvent(None, True, False, None)


def connect(pipe: str) -> Any:
    while True:
        try:
            handle = win32file.CreateFile(pipe, -0x4000_0000, 0, None, 3, 0x4011_0000, None)
        except pywintypes.error as error:
            if error.winerror != _ERROR_PIPE_BUSY:
                raise
        else:
            win32pipe.SetNamedPipeHandleState(handle, _READMODE_MESSAGE, None, None)
            return handle


echo, sink = connect(pipe), connect(f"{pipe}-sink")


def write(handle: Any, data: bytes) -> None:
    win32file.WriteFile(handle, data, overlapped)
    win32file.GetOverlappedResult(handle, overlapped, True)


def exchange(data: bytes) -> bytes:
    write(echo, data)
    memory = buffer if len(data) <= len(buffer) else large_buffer
    win32file.ReadFile(echo, memory, overlapped)
    return bytes(memory[: win32file.GetOverlappedResult(echo, overlapped, True)])


def transact(handle: Any) -> bytes:
    overlapped.Internal = _STATUS_PENDING
    win32pipe.TransactNamedPipe(handle, SMALL, buffer, overlapped)
    return bytes(buffer[: win32file.GetOverlappedResult(handle, overlapped, True)])


def open_transact_close() -> None:
    handle = connect(pipe)
    transact(handle)
    handle.Close()


run(
    {
        **exchanges(exchange),
        "transact_64": lambda: transact(echo),
        "open_transact_close": open_transact_close,
        "write_64k": lambda: write(sink, CHUNK),
    }
)

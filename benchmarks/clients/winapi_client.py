"""CPython's own `_winapi`, which has no TransactNamedPipe: `winapi_client.py PIPE`."""

import _winapi
import sys

from worker import CHUNK, LARGE, exchanges, run

_SQOS_IDENTIFICATION = 0x0011_0000


def connect(pipe: str) -> int:
    access = _winapi.GENERIC_READ | _winapi.GENERIC_WRITE
    flags = _winapi.FILE_FLAG_OVERLAPPED | _SQOS_IDENTIFICATION
    handle = _winapi.CreateFile(pipe, access, 0, _winapi.NULL, _winapi.OPEN_EXISTING, flags, _winapi.NULL)
    _winapi.SetNamedPipeHandleState(handle, _winapi.PIPE_READMODE_MESSAGE, None, None)
    return handle


pipe = sys.argv[1]
echo, sink = connect(pipe), connect(f"{pipe}-sink")


def write(handle: int, data: bytes) -> None:
    operation, _ = _winapi.WriteFile(handle, data, overlapped=True)
    operation.GetOverlappedResult(True)


def exchange(data: bytes) -> bytes | None:
    write(echo, data)
    operation, _ = _winapi.ReadFile(echo, len(LARGE) if len(data) > len(CHUNK) else len(CHUNK), overlapped=True)
    operation.GetOverlappedResult(True)
    return operation.getbuffer()


run({**exchanges(exchange), "write_64k": lambda: write(sink, CHUNK)})

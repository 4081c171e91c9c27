"""An echo server and its client on pywin32: `pywin32_echo.py serve|call PIPE message|byte plain|overlapped`.

The two kinds of handles only differ in how they wait: a plain handle blocks in ReadFile, and an overlapped one in
GetOverlappedResult.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

import pywintypes
import win32event
import win32file
import win32pipe
import winerror

_SIZES = (0, 1, 65536, 1 << 20)
_CHUNK = 65536
_DEFAULT_TIMEOUT_MS = 0


class Stream:
    """One end of a pipe."""

    def __init__(self, handle: Any, is_message: bool, is_overlapped: bool) -> None:
        self.handle = handle
        self.is_message = is_message
        self.is_overlapped = is_overlapped

    def operate(self, function: Callable[..., Any], argument: Any) -> tuple[int, Any, int | None]:
        """Run one operation to its end; return pywin32's code and result, and the number of bytes transferred."""
        if not self.is_overlapped:
            return (*function(self.handle, argument), None)
        overlapped = pywintypes.OVERLAPPED()
        overlapped.hEvent = win32event.CreateEvent(None, True, False, None)
        _, result = function(self.handle, argument, overlapped)
        win32event.WaitForSingleObject(overlapped.hEvent, win32event.INFINITE)
        try:
            return 0, result, win32file.GetOverlappedResult(self.handle, overlapped, True)
        except pywintypes.error as error:
            if error.winerror != winerror.ERROR_MORE_DATA:
                raise
            return error.winerror, result, overlapped.InternalHigh

    def receive(self) -> bytes | None:
        """Read a whole message, or on a byte pipe the available data; return None at the end."""
        data = b""
        while True:
            try:
                code, piece, count = self.operate(win32file.ReadFile, _CHUNK)
            except pywintypes.error as error:
                if error.winerror in (winerror.ERROR_BROKEN_PIPE, winerror.ERROR_PIPE_NOT_CONNECTED):
                    return None
                raise
            data += bytes(piece[:count])
            if code != winerror.ERROR_MORE_DATA:
                return data

    def send(self, data: bytes) -> None:
        self.operate(win32file.WriteFile, data)

    def exchange(self, data: bytes) -> bytes | None:
        """Send bytes and read as many."""
        if self.is_message:
            self.send(data)
            return self.receive()
        answer = b""
        for start in range(0, len(data), _CHUNK):
            self.send(data[start : start + _CHUNK])
            while len(answer) < min(len(data), start + _CHUNK):
                answer += self.receive() or b""
        return answer


def serve(pipe: str, is_message: bool, is_overlapped: bool) -> None:
    open_mode = win32pipe.PIPE_ACCESS_DUPLEX | (win32file.FILE_FLAG_OVERLAPPED if is_overlapped else 0)
    pipe_mode = win32pipe.PIPE_TYPE_MESSAGE | win32pipe.PIPE_READMODE_MESSAGE if is_message else 0
    while True:
        handle = win32pipe.CreateNamedPipe(
            pipe, open_mode, pipe_mode, win32pipe.PIPE_UNLIMITED_INSTANCES, _CHUNK, _CHUNK, _DEFAULT_TIMEOUT_MS, None
        )
        if is_overlapped:
            overlapped = pywintypes.OVERLAPPED()
            overlapped.hEvent = win32event.CreateEvent(None, True, False, None)
            if win32pipe.ConnectNamedPipe(handle, overlapped) == winerror.ERROR_IO_PENDING:
                win32file.GetOverlappedResult(handle, overlapped, True)
        else:
            win32pipe.ConnectNamedPipe(handle)
        threading.Thread(target=echo, args=(Stream(handle, is_message, is_overlapped),), daemon=True).start()


def echo(stream: Stream) -> None:
    while (data := stream.receive()) is not None:
        stream.send(data)
        if data == b"bye":
            break
    stream.handle.Close()


def connect(pipe: str, is_message: bool, is_overlapped: bool) -> Stream:
    handle = win32file.CreateFile(
        pipe,
        win32file.GENERIC_READ | win32file.GENERIC_WRITE,
        0,
        None,
        win32file.OPEN_EXISTING,
        win32file.FILE_FLAG_OVERLAPPED if is_overlapped else 0,
        None,
    )
    if is_message:
        win32pipe.SetNamedPipeHandleState(handle, win32pipe.PIPE_READMODE_MESSAGE, None, None)
    return Stream(handle, is_message, is_overlapped)


def call(pipe: str, is_message: bool, is_overlapped: bool) -> None:
    streams: list[Stream] = []
    while len(streams) < 10:
        try:
            streams.append(connect(pipe, is_message, is_overlapped))
        except pywintypes.error as error:
            if error.winerror != winerror.ERROR_PIPE_BUSY:
                raise
            win32pipe.WaitNamedPipe(pipe, 5000)
    for number, stream in enumerate(streams):
        stream.send(b"%d" % number)
    for number, stream in enumerate(streams):
        assert stream.receive() == b"%d" % number
    for size in _SIZES:
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        assert streams[0].exchange(data) == data, size
    assert streams[0].exchange(b"bye") == b"bye"
    assert streams[0].receive() is None


if __name__ == "__main__":
    role, name, kind, waiting = sys.argv[1:]
    (serve if role == "serve" else call)(name, kind == "message", waiting == "overlapped")

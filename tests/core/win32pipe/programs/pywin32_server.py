"""A typical pipe server with pywin32: overlapped, one client after another, until one sends quit."""

import sys

import pywintypes
import win32event
import win32file
import win32pipe
import winerror

PIECE = 64
TIMEOUT = 10000


def finish(pipe, overlapped):
    """Wait for an operation; return its bytes, and whether the message continues."""
    if win32event.WaitForSingleObject(overlapped.hEvent, TIMEOUT) != win32event.WAIT_OBJECT_0:
        win32file.CancelIo(pipe)
    try:
        return win32pipe.GetOverlappedResult(pipe, overlapped, True), False
    except pywintypes.error as e:
        if e.winerror != winerror.ERROR_MORE_DATA:
            raise
        return PIECE, True


def read(pipe, overlapped):
    message, more = b"", True
    buffer = win32file.AllocateReadBuffer(PIECE)
    while more:
        win32file.ReadFile(pipe, buffer, overlapped)
        count, more = finish(pipe, overlapped)
        message += bytes(buffer[:count])
    return message


def write(pipe, message, overlapped):
    win32file.WriteFile(pipe, message, overlapped)
    return finish(pipe, overlapped)[0]


def serve(pipe, overlapped):
    while True:
        message = read(pipe, overlapped)
        print("got", len(message), message[:10])
        if message == b"quit":
            return False
        print("sent", write(pipe, message.upper(), overlapped))


def main(name):
    security = pywintypes.SECURITY_ATTRIBUTES()
    security.SetSecurityDescriptorDacl(1, None, 0)
    stop = win32event.CreateEvent(None, 0, 0, None)
    overlapped = pywintypes.OVERLAPPED()
    overlapped.hEvent = win32event.CreateEvent(None, 1, 0, None)
    pipe = win32pipe.CreateNamedPipe(
        name,
        win32pipe.PIPE_ACCESS_DUPLEX | win32file.FILE_FLAG_OVERLAPPED,
        win32pipe.PIPE_TYPE_MESSAGE | win32pipe.PIPE_READMODE_MESSAGE | win32pipe.PIPE_WAIT,
        win32pipe.PIPE_UNLIMITED_INSTANCES,
        512,
        512,
        0,
        security,
    )
    print("info", win32pipe.GetNamedPipeInfo(pipe)[:3], pipe == int(pipe))
    more = True
    while more:
        if win32pipe.ConnectNamedPipe(pipe, overlapped) == winerror.ERROR_PIPE_CONNECTED:
            win32event.SetEvent(overlapped.hEvent)
        ready = win32event.WaitForMultipleObjects([stop, overlapped.hEvent], 0, TIMEOUT)
        print("connected", ready == win32event.WAIT_OBJECT_0 + 1)
        try:
            more = serve(pipe, overlapped)
        except pywintypes.error as e:
            # From ReadFile or GetOverlappedResult, whichever is called after the client has left.
            print("client gone:", e.winerror, e.strerror)
        win32pipe.DisconnectNamedPipe(pipe)
    win32file.CloseHandle(pipe)
    print("closed", pipe.handle, pipe)


main(sys.argv[1])

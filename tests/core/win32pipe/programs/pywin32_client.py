"""A typical pipe client with pywin32: calls, transactions, messages in pieces, and error handling by code."""

import sys
import time

import pywintypes
import win32con
import win32file
import win32pipe
import winerror


def wait(name):
    """Wait until the server has created its pipe."""
    for _ in range(400):
        try:
            win32pipe.WaitNamedPipe(name, 5000)
            break
        except pywintypes.error as e:
            if e.args[0] != winerror.ERROR_FILE_NOT_FOUND:
                raise
            time.sleep(0.025)


def connect(name):
    wait(name)
    pipe = win32file.CreateFile(
        name,
        win32con.GENERIC_READ | win32con.GENERIC_WRITE,
        0,
        None,
        win32con.OPEN_EXISTING,
        win32con.FILE_ATTRIBUTE_NORMAL,
        None,
    )
    win32pipe.SetNamedPipeHandleState(pipe, win32pipe.PIPE_READMODE_MESSAGE, None, None)
    return pipe


def read(pipe, size):
    """Read a whole message."""
    code, message = win32file.ReadFile(pipe, size)
    while code == winerror.ERROR_MORE_DATA:
        code, more = win32file.ReadFile(pipe, size)
        message += more
    return message


def main(name):
    wait(name)
    print("call", win32pipe.CallNamedPipe(name, b"hello", 512, 5000))
    pipe = connect(name)
    print("info", win32pipe.GetNamedPipeInfo(pipe)[:3], win32pipe.GetNamedPipeHandleState(pipe))
    print("transact", win32pipe.TransactNamedPipe(pipe, b"short", 512))
    print("transact", win32pipe.TransactNamedPipe(pipe, b"longer than that", bytearray(4)))
    print("peek", win32pipe.PeekNamedPipe(pipe, 6))
    print("rest", win32file.ReadFile(pipe, 512))
    for size in (0, 63, 64, 65, 2000):
        written = win32file.WriteFile(pipe, b"x" * size)
        print("echo", size, written, read(pipe, 100) == b"X" * size)
    try:
        win32pipe.TransactNamedPipe(pipe, "text", 512)
    except TypeError:
        print("text is no data")
    pipe.Close()
    try:
        win32file.WriteFile(pipe, b"too late")
    except win32pipe.error as e:
        print("closed:", e)
    for function, arguments in (
        (win32pipe.WaitNamedPipe, (name + "-missing", 10)),
        (win32pipe.CallNamedPipe, (name + "-missing", b"", 10, win32pipe.NMPWAIT_WAIT_FOREVER)),
        (win32file.CreateFile, (name + "-missing", win32con.GENERIC_READ, 0, None, 3, 0, None)),
        (win32pipe.PeekNamedPipe, (pipe, 10)),
    ):
        try:
            function(*arguments)
        except pywintypes.error as e:
            print("failed:", e.args)
    pipe = connect(name)
    win32file.WriteFile(pipe, b"quit")
    try:
        print(read(pipe, 10))
    except pywintypes.error as e:
        print("the end:", e.winerror, e.funcname)


main(sys.argv[1])

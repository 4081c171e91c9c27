"""The same call through the real pywin32 and through the stand-in for it: the same outcome.

An outcome is what was returned or what was raised, with all its details; a handle counts as a handle, memory as its
length and whether it can be written. What differs on purpose is in test_win32pipe.py, and in docs/win32.md.
"""

import sys

import pytest

from pipectl.core.win32pipe import constants

pytest.importorskip("win32pipe", reason="compares with pywin32")

import array
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from uuid import uuid4

import ntsecuritycon
import pywintypes
import win32api
import win32con
import win32event
import win32file
import win32pipe
import win32process
import win32security
import winerror

from pipectl.core import win32pipe as ours


class Api:
    """The names of several modules in one place, as the stand-in has them."""

    def __init__(self, name: str, *modules: ModuleType) -> None:
        self.name = name
        self._modules = modules

    def __getattr__(self, name: str) -> Any:
        return next(getattr(module, name) for module in self._modules if hasattr(module, name))


PYWIN32 = Api(
    "pywin32",
    win32pipe,
    win32file,
    win32event,
    pywintypes,
    winerror,
    win32con,
    win32security,
    win32process,
    win32api,
    ntsecuritycon,
)
OURS = Api("ours", ours)


class Scene(NamedTuple):
    """Both ends of a connected pipe, one way of doing overlapped operations at each, and all the functions."""

    api: Any
    name: str
    server: Any
    client: Any
    ol: Any
    other: Any

    def tried(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Give the outcome of a call."""
        try:
            return self.plain(function(*arguments))
        except self.api.error as error:
            return "error", error.args, error.winerror, error.funcname, error.strerror, str(error)
        except Exception as error:  # noqa: BLE001 - whichever it is, it is the outcome
            return type(error)

    def plain(self, value: Any) -> Any:
        """Give what can be compared of a result."""
        if isinstance(value, tuple | list):
            return type(value)(map(self.plain, value))
        if isinstance(value, self.api.HANDLEType):
            return "a handle" if value else "no handle"
        if isinstance(value, memoryview):
            return "memory", len(value), value.readonly, value.format
        return value


def overlapped(api: Any) -> Any:
    ol = api.OVERLAPPED()
    ol.hEvent = api.CreateEvent(None, True, False, None)
    return ol


@contextmanager
def scene(api: Any, pipe_mode: int = 6, open_mode: int = 0x4000_0003) -> Iterator[Scene]:
    name = rf"\\.\pipe\pipectl-test-{uuid4().hex}"
    flags = api.FILE_FLAG_OVERLAPPED if open_mode & api.FILE_FLAG_OVERLAPPED else 0
    server = api.CreateNamedPipe(name, open_mode, pipe_mode, 1, 4096, 4096, 0, None)
    client = api.CreateFile(name, api.GENERIC_READ | api.GENERIC_WRITE, 0, None, api.OPEN_EXISTING, flags, None)
    try:
        api.SetNamedPipeHandleState(client, pipe_mode & api.PIPE_READMODE_MESSAGE, None, None)
        yield Scene(api, name, server, client, overlapped(api), overlapped(api))
    finally:
        client.Close()
        server.Close()


def results(function: Callable[[Scene], Any], **options: int) -> tuple[Any, Any]:
    """Give what a function returns with pywin32, and with the stand-in."""
    given = []
    for api in (PYWIN32, OURS):
        with scene(api, **options) as here:
            given.append(here.plain(function(here)))
    return given[0], given[1]


def outcomes(call: Callable[[Scene], Any]) -> tuple[Any, Any]:
    """Give what a call returns or raises with pywin32, and with the stand-in."""
    return results(lambda here: here.tried(call, here))


def assert_same(steps: Callable[[Scene], list[Any]], **options: int) -> None:
    """Steps run to their end on both sides, because they raise here if not, and each has the same outcome."""
    expected, found = results(steps, **options)
    assert found == expected
    assert found, "no step has an outcome"


# One call each


MISSING = r"\\.\pipe\pipectl-test-missing"
BAD_HANDLE = 0x00AB_CDE0

CALLS: dict[str, Callable[[Scene], Any]] = {
    # Numbers of arguments
    "CreateNamedPipe with nothing": lambda s: s.api.CreateNamedPipe(),
    "CreateNamedPipe without sa": lambda s: s.api.CreateNamedPipe(s.name, 3, 0, 1, 0, 0, 0),
    "ConnectNamedPipe with nothing": lambda s: s.api.ConnectNamedPipe(),
    "ConnectNamedPipe with too much": lambda s: s.api.ConnectNamedPipe(s.server, None, None),
    "DisconnectNamedPipe with nothing": lambda s: s.api.DisconnectNamedPipe(),
    "WaitNamedPipe without a time": lambda s: s.api.WaitNamedPipe(s.name),
    "WaitNamedPipe by keyword": lambda s: s.api.WaitNamedPipe(s.name, timeout=1),
    "GetNamedPipeInfo with nothing": lambda s: s.api.GetNamedPipeInfo(),
    "GetNamedPipeHandleState with nothing": lambda s: s.api.GetNamedPipeHandleState(),
    "GetNamedPipeHandleState with too much": lambda s: s.api.GetNamedPipeHandleState(s.client, 0, 0, 0),
    "SetNamedPipeHandleState without times": lambda s: s.api.SetNamedPipeHandleState(s.client, 0),
    "PeekNamedPipe without size": lambda s: s.api.PeekNamedPipe(s.client),
    "TransactNamedPipe without buffer": lambda s: s.api.TransactNamedPipe(s.client, b"x"),
    "CallNamedPipe without a time": lambda s: s.api.CallNamedPipe(MISSING, b"x", 10),
    "CreatePipe with nothing": lambda s: s.api.CreatePipe(),
    "FdCreatePipe without mode": lambda s: s.api.FdCreatePipe(None, 0),
    "GetOverlappedResult without wait": lambda s: s.api.GetOverlappedResult(s.client, s.ol),
    "ReadFile without size": lambda s: s.api.ReadFile(s.client),
    "WriteFile without data": lambda s: s.api.WriteFile(s.client),
    "CreateFile with nothing": lambda s: s.api.CreateFile(),
    "CreateEvent without name": lambda s: s.api.CreateEvent(None, 1, 0),
    "OVERLAPPED with something": lambda s: s.api.OVERLAPPED(1),
    "SECURITY_ATTRIBUTES with something": lambda s: s.api.SECURITY_ATTRIBUTES(1),
    # Text
    "a name of bytes": lambda s: s.api.WaitNamedPipe(b"x", 1),
    "a name of None": lambda s: s.api.WaitNamedPipe(None, 1),
    "a name of a number": lambda s: s.api.CreateFile(5, 0, 0, None, 3, 0, None),
    "a name of None to call": lambda s: s.api.CallNamedPipe(None, b"x", 1, 1),
    "a name with a NUL": lambda s: s.api.WaitNamedPipe(s.name + "\0rest", 1),
    "a name with a NUL that no pipe has": lambda s: s.api.WaitNamedPipe(MISSING + "\0rest", 1),
    "a name with a NUL to create": lambda s: s.api.CreateNamedPipe(s.name + "\0rest", 3, 0, 1, 0, 0, 0, None),
    "a name that is no pipe's": lambda s: s.api.CreateNamedPipe("nonsense", 3, 0, 1, 0, 0, 0, None),
    "an empty name": lambda s: s.api.CreateFile("", 0, 0, None, 3, 0, None),
    "an event's name of a number": lambda s: s.api.CreateEvent(None, 1, 0, 5),
    "an event's name with a NUL": lambda s: s.api.CreateEvent(None, 1, 0, s.name[9:] + "\0rest"),
    # Numbers
    "a time of 0xFFFFFFFF": lambda s: s.api.WaitNamedPipe(MISSING, 0xFFFF_FFFF),
    "a time of -1": lambda s: s.api.WaitNamedPipe(MISSING, -1),
    "a time of 2**31": lambda s: s.api.WaitNamedPipe(MISSING, 2**31),
    "a time below -2**31": lambda s: s.api.WaitNamedPipe(MISSING, -(2**31) - 1),
    "a float of a time": lambda s: s.api.WaitNamedPipe(MISSING, 1.0),
    "a text of a time": lambda s: s.api.WaitNamedPipe(MISSING, "1"),
    "no time": lambda s: s.api.WaitNamedPipe(MISSING, None),
    "a bool of a time": lambda s: s.api.WaitNamedPipe(MISSING, True),
    "a call's time of -1": lambda s: s.api.CallNamedPipe(MISSING, b"x", 1, -1),
    "a call's time of 2**31": lambda s: s.api.CallNamedPipe(MISSING, b"x", 1, 2**31),
    "a call's size of 2**31": lambda s: s.api.CallNamedPipe(MISSING, b"x", 2**31, 1),
    "a call's float of a size": lambda s: s.api.CallNamedPipe(MISSING, b"x", 1.0, 1),
    "an open mode of 0x80000000": lambda s: s.api.CreateNamedPipe(s.name, 0x8000_0003, 0, 1, 0, 0, 0, None),
    "a float of an open mode": lambda s: s.api.CreateNamedPipe(s.name, 3.0, 0, 1, 0, 0, 0, None),
    "a float of a buffer's size": lambda s: s.api.CreateNamedPipe(s.name, 3, 0, 1, 0.0, 0, 0, None),
    "an access of 0x80000000": lambda s: s.api.CreateFile(MISSING, 0x8000_0000, 0, None, 3, 0, 0),
    "an access of -2**31": lambda s: s.api.CreateFile(MISSING, -(2**31), 0, None, 3, 0, 0),
    "an access beyond 32 bits": lambda s: s.api.CreateFile(MISSING, 2**40, 0, None, 3, 0, 0),
    "a float of an access": lambda s: s.api.CreateFile(MISSING, 1.0, 0, None, 3, 0, 0),
    "an anonymous pipe of -1 bytes": lambda s: s.api.CreatePipe(None, -1),
    "an anonymous pipe beyond 32 bits": lambda s: s.api.CreatePipe(None, 2**32 + 4096),
    "an anonymous pipe of 1.0 bytes": lambda s: s.api.CreatePipe(None, 1.0),
    "a peek of -1": lambda s: s.api.PeekNamedPipe(s.server, -1),
    "a peek of 2**31": lambda s: s.api.PeekNamedPipe(s.server, 2**31),
    "a peek of 1.0": lambda s: s.api.PeekNamedPipe(s.server, 1.0),
    "a peek of None": lambda s: s.api.PeekNamedPipe(s.server, None),
    "a text of a flag": lambda s: s.api.GetNamedPipeHandleState(s.client, "1"),
    "no flag": lambda s: s.api.GetNamedPipeHandleState(s.client, None),
    "a flag beyond 32 bits": lambda s: s.api.GetNamedPipeHandleState(s.client, 2**40),
    "a text of a mode": lambda s: s.api.SetNamedPipeHandleState(s.client, "2", None, None),
    "a float of a mode": lambda s: s.api.SetNamedPipeHandleState(s.client, 2.0, None, None),
    "a text of a count": lambda s: s.api.SetNamedPipeHandleState(s.client, 2, "2", None),
    "a text of a timeout": lambda s: s.api.SetNamedPipeHandleState(s.client, 2, None, "2"),
    "a bool of a mode": lambda s: s.api.SetNamedPipeHandleState(s.client, True, None, None),
    "a mode that there is not": lambda s: s.api.SetNamedPipeHandleState(s.client, 0x100, None, None),
    "a negative mode": lambda s: s.api.SetNamedPipeHandleState(s.client, -1, None, None),
    "a wait for 0.5": lambda s: s.api.WaitForSingleObject(s.ol.hEvent, 0.5),
    "a wait beyond 32 bits": lambda s: s.api.WaitForSingleObject(s.ol.hEvent, 2**32),
    "a text of a manual reset": lambda s: s.api.CreateEvent(None, "1", 0, None),
    "no manual reset": lambda s: s.api.CreateEvent(None, None, 0, None),
    "a float of a manual reset": lambda s: s.api.CreateEvent(None, 1.0, 0, None),
    "a text of GetOverlappedResult's wait": lambda s: s.api.GetOverlappedResult(s.client, s.ol, "1"),
    "no GetOverlappedResult's wait": lambda s: s.api.GetOverlappedResult(s.client, s.ol, None),
    "descriptors in no mode": lambda s: s.api.FdCreatePipe(None, 0, 0),
    "descriptors in another mode": lambda s: s.api.FdCreatePipe(None, 0, os.O_RDWR),
    "a float of AllocateReadBuffer's size": lambda s: s.api.AllocateReadBuffer(1.0),
    "AllocateReadBuffer of 2**31": lambda s: s.api.AllocateReadBuffer(2**31),
    # Handles
    "no handle": lambda s: s.api.GetNamedPipeInfo(None),
    "the handle 0": lambda s: s.api.GetNamedPipeInfo(0),
    "the handle -1": lambda s: s.api.GetNamedPipeInfo(-1),
    "the handle 2**64-1": lambda s: s.api.GetNamedPipeInfo(2**64 - 1),
    "the handle 2**63": lambda s: s.api.GetNamedPipeInfo(2**63),
    "the handle 2**64": lambda s: s.api.GetNamedPipeInfo(2**64),
    "an object for a handle": lambda s: s.api.GetNamedPipeInfo(object()),
    "a word for a handle": lambda s: s.api.GetNamedPipeInfo("handle"),
    "a list for a handle": lambda s: s.api.GetNamedPipeInfo([]),
    "a handle's number": lambda s: s.api.GetNamedPipeInfo(int(s.client)),
    "a handle's number as a float": lambda s: s.api.GetNamedPipeInfo(float(int(s.client))),
    "something with __int__ for a handle": lambda s: s.api.GetNamedPipeInfo(Number(int(s.client))),
    "a word for a template": lambda s: s.api.CreateFile(MISSING, 0, 0, None, 3, 0, "handle"),
    "a handle that is none to connect": lambda s: s.api.ConnectNamedPipe(BAD_HANDLE),
    "a handle that is none to disconnect": lambda s: s.api.DisconnectNamedPipe(BAD_HANDLE),
    "a handle that is none to transact": lambda s: s.api.TransactNamedPipe(BAD_HANDLE, b"x", 1),
    "a handle that is none to peek": lambda s: s.api.PeekNamedPipe(BAD_HANDLE, 1),
    "a handle that is none to read": lambda s: s.api.ReadFile(BAD_HANDLE, 1),
    "a handle that is none to read overlapped": lambda s: s.api.ReadFile(BAD_HANDLE, 1, s.ol),
    "a handle that is none to write": lambda s: s.api.WriteFile(BAD_HANDLE, b"x"),
    "a handle that is none to write overlapped": lambda s: s.api.WriteFile(BAD_HANDLE, b"x", s.ol),
    "a handle that is none to flush": lambda s: s.api.FlushFileBuffers(BAD_HANDLE),
    "a handle that is none to cancel": lambda s: s.api.CancelIo(BAD_HANDLE),
    "a handle that is none to close": lambda s: s.api.CloseHandle(BAD_HANDLE),
    "a handle that is none to set": lambda s: s.api.SetEvent(BAD_HANDLE),
    "a handle that is none to reset": lambda s: s.api.ResetEvent(BAD_HANDLE),
    "a handle that is none to wait for": lambda s: s.api.WaitForSingleObject(BAD_HANDLE, 0),
    "a handle that is none for its state": lambda s: s.api.GetNamedPipeHandleState(BAD_HANDLE),
    "a handle that is none to set the state of": lambda s: s.api.SetNamedPipeHandleState(BAD_HANDLE, 0, None, None),
    "a handle that is none for its client": lambda s: s.api.GetNamedPipeClientProcessId(BAD_HANDLE),
    "a handle that is none for its server": lambda s: s.api.GetNamedPipeServerProcessId(BAD_HANDLE),
    "a handle that is none for its client's session": lambda s: s.api.GetNamedPipeClientSessionId(BAD_HANDLE),
    "a handle that is none for its server's session": lambda s: s.api.GetNamedPipeServerSessionId(BAD_HANDLE),
    "a handle that is none to impersonate": lambda s: s.api.ImpersonateNamedPipeClient(BAD_HANDLE),
    "no handle to close": lambda s: s.api.CloseHandle(None),
    "the handle 0 to close": lambda s: s.api.CloseHandle(0),
    "a word to close": lambda s: s.api.CloseHandle("handle"),
    # Data
    "text to write": lambda s: s.api.WriteFile(s.client, "x"),
    "nothing to write": lambda s: s.api.WriteFile(s.client, None),
    "a number to write": lambda s: s.api.WriteFile(s.client, 5),
    "every second byte to write": lambda s: s.api.WriteFile(s.client, memoryview(b"abcdef")[::2]),
    "text to transact": lambda s: s.api.TransactNamedPipe(s.client, "x", 1),
    "nothing to transact": lambda s: s.api.TransactNamedPipe(s.client, None, 1),
    "text to call with": lambda s: s.api.CallNamedPipe(MISSING, "x", 1, 1),
    "nothing to call with": lambda s: s.api.CallNamedPipe(MISSING, None, 1, 1),
    # Memory to read into
    "a read into bytes": lambda s: s.api.ReadFile(s.server, b"abc"),
    "a read into text": lambda s: s.api.ReadFile(s.server, "abc"),
    "a read into nothing": lambda s: s.api.ReadFile(s.server, None),
    "a read of 1.0": lambda s: s.api.ReadFile(s.server, 1.0),
    "a read of 2**31": lambda s: s.api.ReadFile(s.server, 2**31),
    "an overlapped read into bytes": lambda s: s.api.ReadFile(s.server, b"abc", s.ol),
    "a transaction into bytes": lambda s: s.api.TransactNamedPipe(s.client, b"x", b"abc"),
    "a transaction into text": lambda s: s.api.TransactNamedPipe(s.client, b"x", "abc"),
    "a transaction into nothing": lambda s: s.api.TransactNamedPipe(s.client, b"x", None),
    "an overlapped transaction into bytes": lambda s: s.api.TransactNamedPipe(s.client, b"x", b"abc", s.ol),
    # Objects of other kinds
    "a number for an OVERLAPPED to connect": lambda s: s.api.ConnectNamedPipe(s.server, 5),
    "a number for an OVERLAPPED to read": lambda s: s.api.ReadFile(s.server, 5, 5),
    "a number for an OVERLAPPED to write": lambda s: s.api.WriteFile(s.server, b"x", 5),
    "a number for an OVERLAPPED to transact": lambda s: s.api.TransactNamedPipe(s.client, b"x", 5, 5),
    "a number for an OVERLAPPED to ask": lambda s: s.api.GetOverlappedResult(s.server, 5, True),
    "a number for SECURITY_ATTRIBUTES": lambda s: s.api.CreateNamedPipe(s.name, 3, 0, 1, 0, 0, 0, 5),
    "a number for a file's SECURITY_ATTRIBUTES": lambda s: s.api.CreateFile(s.name, 0, 0, 5, 3, 0, None),
    "a number for a pipe's SECURITY_ATTRIBUTES": lambda s: s.api.CreatePipe(5, 0),
    "a number for descriptors' SECURITY_ATTRIBUTES": lambda s: s.api.FdCreatePipe(5, 0, os.O_BINARY),
    "a number for an event's SECURITY_ATTRIBUTES": lambda s: s.api.CreateEvent(5, 1, 0, None),
    "a number to wait for many": lambda s: s.api.WaitForMultipleObjects(5, False, 0),
    "a set to wait for": lambda s: s.api.WaitForMultipleObjects({s.ol.hEvent}, False, 0),
    "words to wait for": lambda s: s.api.WaitForMultipleObjects(["handle"], False, 0),
    "nothing to wait for": lambda s: s.api.WaitForMultipleObjects([], False, 0),
    "no handle to wait for among many": lambda s: s.api.WaitForMultipleObjects([None], False, 0),
    "too many to wait for": lambda s: s.api.WaitForMultipleObjects([s.ol.hEvent] * 65, False, 0),
    "nonsense for SDDL": lambda s: s.api.ConvertStringSecurityDescriptorToSecurityDescriptor("nonsense", 1),
    "bytes for SDDL": lambda s: s.api.ConvertStringSecurityDescriptorToSecurityDescriptor(b"D:", 1),
    # Things as they are
    "a pipe that is not there": lambda s: s.api.CreateFile(MISSING, s.api.GENERIC_READ, 0, None, 3, 0, None),
    "a wait for a pipe that is not there": lambda s: s.api.WaitNamedPipe(MISSING, 10_000),
    "a call to a pipe that is not there": lambda s: s.api.CallNamedPipe(MISSING, b"x", 10, 10_000),
    "a pipe that is busy": lambda s: s.api.CreateFile(s.name, s.api.GENERIC_READ, 0, None, 3, 0, None),
    "a wait for a pipe that is busy": lambda s: s.api.WaitNamedPipe(s.name, 1),
    "a wait for as long as the server says": lambda s: s.api.WaitNamedPipe(s.name, s.api.NMPWAIT_USE_DEFAULT_WAIT),
    "a call to a pipe that is busy": lambda s: s.api.CallNamedPipe(s.name, b"x", 10, s.api.NMPWAIT_NOWAIT),
    "one instance too many": lambda s: s.api.CreateNamedPipe(s.name, 3, 4, 1, 0, 0, 0, None),
    "a client that is there already": lambda s: s.api.ConnectNamedPipe(s.server),
    "a client that is there already, None": lambda s: s.api.ConnectNamedPipe(s.server, None),
    "a client that is there already, overlapped": lambda s: (s.api.ConnectNamedPipe(s.server, s.ol), s.ol.Internal),
    "a connect of a client": lambda s: s.api.ConnectNamedPipe(s.client),
    "a disconnect": lambda s: s.api.DisconnectNamedPipe(s.server),
    "a disconnect of a client": lambda s: s.api.DisconnectNamedPipe(s.client),
    "info of the server's end": lambda s: s.api.GetNamedPipeInfo(s.server),
    "info of the client's end": lambda s: s.api.GetNamedPipeInfo(s.client),
    "the state": lambda s: s.api.GetNamedPipeHandleState(s.client),
    "the state of the server's end": lambda s: s.api.GetNamedPipeHandleState(s.server, False, False),
    "the state with collection data": lambda s: s.api.GetNamedPipeHandleState(s.client, 1),
    "the state with the user at a client": lambda s: s.api.GetNamedPipeHandleState(s.client, 0, 1),
    "the state with the user before a read": lambda s: s.api.GetNamedPipeHandleState(s.server, 0, 1),
    "no new state": lambda s: s.api.SetNamedPipeHandleState(s.client, None, None, None),
    "collection data to set": lambda s: s.api.SetNamedPipeHandleState(s.client, None, 100, 100),
    "a peek at nothing": lambda s: s.api.PeekNamedPipe(s.server, 10),
    "the client's process": lambda s: s.api.GetNamedPipeClientProcessId(s.server),
    "the server's process": lambda s: s.api.GetNamedPipeServerProcessId(s.client),
    "the client's session": lambda s: s.api.GetNamedPipeClientSessionId(s.server),
    "the server's session": lambda s: s.api.GetNamedPipeServerSessionId(s.client),
    "an anonymous pipe": lambda s: s.api.CreatePipe(None, 0),
    "an event": lambda s: s.api.CreateEvent(None, 1, 0, None),
    "an event's signal": lambda s: s.api.SetEvent(s.ol.hEvent),
    "an event's signal taken back": lambda s: s.api.ResetEvent(s.ol.hEvent),
    "a flush of nothing": lambda s: s.api.FlushFileBuffers(s.client),
    "a cancel of nothing": lambda s: s.api.CancelIo(s.client),
    "a pipe's file type": lambda s: s.api.GetFileType(s.client),
    "memory": lambda s: s.api.AllocateReadBuffer(7),
    "no memory": lambda s: s.api.AllocateReadBuffer(0),
    "a return to oneself": lambda s: s.api.RevertToSelf(),
    "a result before there was an operation": lambda s: s.api.GetOverlappedResult(s.client, s.ol, False),
    "a transaction in byte mode": lambda s: (
        s.api.SetNamedPipeHandleState(s.client, s.api.PIPE_READMODE_BYTE, None, None),
        s.api.TransactNamedPipe(s.client, b"x", 10, s.ol),
    ),
}


class Number:
    def __init__(self, value: int) -> None:
        self.value = value

    def __int__(self) -> int:
        return self.value


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_one_call_has_the_same_outcome(call: Callable[[Scene], Any]) -> None:
    expected, found = outcomes(call)
    assert found == expected


def refusal(s: Scene, call: Callable[[Scene], Any]) -> str:
    """What a call says of arguments that it does not take. Python alone says which one is missing."""
    try:
        call(s)
    except TypeError as error:
        return "" if " argument" in str(error) else str(error)
    except Exception:  # noqa: BLE001 - compared above
        pass
    return ""


def test_what_is_refused_is_refused_in_pywin32s_words() -> None:
    expected: dict[str, str] = {}
    found: dict[str, str] = {}
    for api, texts in ((PYWIN32, expected), (OURS, found)):
        for name, call in CALLS.items():
            with scene(api) as here:
                texts[name] = refusal(here, call)
    assert found == expected
    assert len(set(found.values())) > 15


def test_most_of_these_calls_do_fail_as_meant() -> None:
    """A typing error in the table would be the same AttributeError on both sides."""
    found = [outcome for call in CALLS.values() for outcome in outcomes(call)]
    assert AttributeError not in found
    assert StopIteration not in found
    assert {outcome for outcome in found if isinstance(outcome, type)} == {
        TypeError,
        OverflowError,
        ValueError,
        MemoryError,
        BufferError,
    }


# Several calls, each with what the ones before it left behind


def messages(s: Scene) -> list[Any]:
    """Whole messages, parts of them, and none at all; read, and before that looked at."""
    done = []
    for message in (b"abcdef", b"", bytearray(b"gh"), memoryview(b"-ij-")[1:3], array.array("i", [1, 2])):
        done.append(s.tried(s.api.WriteFile, s.client, message, s.ol))
        done.append(s.tried(s.api.GetOverlappedResult, s.client, s.ol, True))
    done += [s.tried(s.api.PeekNamedPipe, s.server, size) for size in (0, 4, 100)]
    for size in (4, 100, 100, 100, 100, 100):
        code, memory = s.api.ReadFile(s.server, size, s.other)
        status, count = s.other.Internal, s.other.InternalHigh
        done.append((code, s.plain(memory), status, count, bytes(memory[:count])))
        done.append(s.tried(s.api.GetOverlappedResult, s.server, s.other, True))
    return [*done, s.tried(s.api.PeekNamedPipe, s.server, 10)]


def synchronous_messages(s: Scene) -> list[Any]:
    """The same without OVERLAPPED."""
    writes = [s.tried(s.api.WriteFile, s.client, data) for data in (b"abcdef", b"gh", b"", b"ij")]
    peek = s.tried(s.api.PeekNamedPipe, s.server, 4)
    return [writes, peek, [s.tried(s.api.ReadFile, s.server, size) for size in (4, 100, 2, 100, True, bytearray(9))]]


def read_buffers(s: Scene) -> list[Any]:
    """Every row of the table of read buffers."""
    done: list[Any] = []
    for buffer in (10, bytearray(10), s.api.AllocateReadBuffer(10), memoryview(bytearray(10))[2:8]):
        for ol in (None, s.other):
            s.api.WriteFile(s.client, b"abc", s.ol)
            code, result = s.api.ReadFile(s.server, buffer, ol)
            filled = b"" if isinstance(buffer, int) else bytes(buffer[:3])
            done.append((code, type(result), bytes(result[:3]), len(result), result is buffer, filled))
    return done


def transaction(s: Scene) -> list[Any]:
    """A transaction in parts, whose answer is longer than its memory, in each kind of memory."""
    done: list[Any] = []
    for memory in (10, 3, bytearray(10), bytearray(3), s.api.AllocateReadBuffer(10)):
        code, result = s.api.TransactNamedPipe(s.client, b"ping", memory, s.ol)
        s.api.ReadFile(s.server, 10, s.other)
        s.api.WriteFile(s.server, b"pong", s.other)
        done.append((code, s.api.WaitForSingleObject(s.ol.hEvent, 5000), type(result), len(result), result is memory))
        done.append((s.tried(s.api.GetOverlappedResult, s.client, s.ol, False), bytes(result[:3])))
        if len(result) == 3:
            done.append(s.tried(s.api.ReadFile, s.client, 10))
    return done


def pending(s: Scene) -> list[Any]:
    """What is under way, is cancelled, and is done."""
    memory = s.api.AllocateReadBuffer(10)  # kept, or with pywin32 it would be written to after it was freed
    read = partial(s.tried, s.api.ReadFile, s.server, memory, s.ol)
    result = partial(s.tried, s.api.GetOverlappedResult, s.server, s.ol)
    cancelled = [read(), s.ol.Internal, result(False), s.api.CancelIo(s.server), result(True), result(False)]
    finished = [read(), s.api.WriteFile(s.client, b"late", s.other), result(True), s.ol.InternalHigh, bytes(memory[:4])]
    return cancelled + finished


def waits(s: Scene) -> list[Any]:
    """Events and waits for them."""
    one, other = s.ol.hEvent, s.other.hEvent
    wait = partial(s.tried, s.api.WaitForMultipleObjects)
    done = [s.api.WaitForSingleObject(one, 0), wait([one, other], False, 0), wait((one, other), True, 1)]
    s.api.SetEvent(other)
    done += [s.api.WaitForSingleObject(other, -1), wait([one, other], False, s.api.INFINITE), wait([one, other], 1, 0)]
    s.api.SetEvent(one)
    done += [wait([one, int(other)], True, 0), wait([one, other], False, 0)]
    s.api.ResetEvent(one)
    return [*done, wait([one], False, 0)]


def ends(s: Scene) -> list[Any]:
    """A disconnect, and a close: what each end meets then."""
    s.api.WriteFile(s.server, b"lost", s.ol)
    s.api.DisconnectNamedPipe(s.server)
    done = [
        s.tried(s.api.ReadFile, s.client, 10, s.other),
        s.tried(s.api.WriteFile, s.client, b"x", s.other),
        s.tried(s.api.PeekNamedPipe, s.client, 10),
        s.tried(s.api.PeekNamedPipe, s.server, 10),
        s.tried(s.api.TransactNamedPipe, s.client, b"x", 10, s.other),
        s.tried(s.api.ConnectNamedPipe, s.server, s.ol),
        s.tried(s.api.GetOverlappedResult, s.server, s.ol, False),
    ]
    s.client.Close()
    with_client = s.api.CreateFile(s.name, s.api.GENERIC_READ | s.api.GENERIC_WRITE, 0, None, 3, 0, None)
    done.append(s.tried(s.api.GetOverlappedResult, s.server, s.ol, True))
    s.api.WriteFile(s.server, b"last", s.ol)
    s.api.CloseHandle(s.server)
    done += [s.tried(s.api.ReadFile, with_client, 10), s.tried(s.api.ReadFile, with_client, 10)]
    done += [s.tried(s.api.WriteFile, with_client, b"x"), s.tried(s.api.PeekNamedPipe, with_client, 0)]
    with_client.close()
    return [*done, s.tried(s.api.ReadFile, with_client, 10), int(s.server), bool(s.server)]


def a_client_that_came_and_went(s: Scene) -> list[Any]:
    s.client.Close()
    return [s.tried(s.api.ConnectNamedPipe, s.server), s.tried(s.api.ConnectNamedPipe, s.server, s.ol)]


def without_waiting(s: Scene) -> list[Any]:
    """PIPE_NOWAIT."""
    s.api.SetNamedPipeHandleState(s.server, s.api.PIPE_READMODE_BYTE | s.api.PIPE_NOWAIT, None, None)
    done = [s.tried(s.api.GetNamedPipeHandleState, s.server), s.tried(s.api.ReadFile, s.server, 10)]
    s.api.DisconnectNamedPipe(s.server)
    return [*done, s.tried(s.api.ConnectNamedPipe, s.server), s.tried(s.api.ReadFile, s.server, 10)]


def the_users_name(s: Scene) -> list[Any]:
    s.api.WriteFile(s.client, b"x", s.ol)
    s.api.ReadFile(s.server, 10, s.other)
    state = s.tried(s.api.GetNamedPipeHandleState, s.server, 1, 1)
    return [state, s.tried(s.api.ImpersonateNamedPipeClient, s.server), s.tried(s.api.RevertToSelf)]


def calls(s: Scene) -> list[Any]:
    """CallNamedPipe, and a server that answers; the second answer is too long."""
    name = s.name + "-calls"
    server = s.api.CreateNamedPipe(name, s.api.PIPE_ACCESS_DUPLEX | s.api.FILE_FLAG_OVERLAPPED, 6, 1, 64, 64, 0, None)

    def finish(code: int) -> None:
        if code == s.api.ERROR_IO_PENDING:
            s.api.WaitForSingleObject(s.ol.hEvent, 5000)

    def answer(times: int) -> None:
        memory = s.api.AllocateReadBuffer(10)
        for _ in range(times):
            finish(s.api.ConnectNamedPipe(server, s.ol))
            finish(s.api.ReadFile(server, memory, s.ol)[0])
            finish(s.api.WriteFile(server, b"pong", s.ol)[0])
            s.tried(s.api.FlushFileBuffers, server)
            s.api.DisconnectNamedPipe(server)

    with ThreadPoolExecutor(1) as pool:
        answering = pool.submit(answer, 3)
        done = [s.tried(s.api.CallNamedPipe, name, b"ping", size, 5000) for size in (4, 3, 64)]
        answering.result(timeout=10)
    return [*done, s.tried(s.api.WaitNamedPipe, name, 1)]


def anonymous(s: Scene) -> list[Any]:
    read, write = s.api.CreatePipe(None, 4096)
    done = [s.tried(s.api.WriteFile, write, b"abcd"), s.tried(s.api.PeekNamedPipe, read, 2)]
    done += [s.tried(s.api.GetNamedPipeInfo, end) for end in (read, write)]
    done += [s.tried(s.api.GetNamedPipeHandleState, read), s.tried(s.api.ReadFile, read, 100)]
    write.Close()
    done += [s.tried(s.api.ReadFile, read, 100), s.tried(s.api.PeekNamedPipe, read, 0)]
    read.Close()
    return done


def descriptors(s: Scene) -> list[Any]:
    done: list[Any] = []
    for mode in (os.O_BINARY, os.O_TEXT):
        read, write = s.api.FdCreatePipe(s.api.SECURITY_ATTRIBUTES(), 0, mode)
        os.write(write, b"line\n")
        os.close(write)
        done.append((os.read(read, 100), os.read(read, 100), os.get_inheritable(read)))
        os.close(read)
    return done


def handles(s: Scene) -> list[Any]:
    """HANDLE itself."""
    make = s.api.HANDLE
    done: list[Any] = [s.tried(make, value) for value in (object(), "handle", [], 2**64)]
    for value in (None, 0, -1, 2**64 - 1, 2**63, True, 5.5, Number(12)):
        handle = make(value)
        done.append((handle.handle, int(handle), bool(handle), repr(handle), str(handle), handle.Detach()))
        done.append((handle.handle, handle.Detach(), handle.Close(), handle.close(), repr(handle)))
    zero, twelve = make(), make(12)
    done += [zero == 0, zero == make(0), zero != make(0), zero != 1, zero == None, zero == "0", zero == 0.0]  # noqa: E711
    done += [twelve == 12, twelve != 12, twelve == zero, 12 == twelve]  # noqa: SIM300
    done += [hash(zero) == hash(make(0)), hash(zero) == hash(zero), len({zero, zero, make(0)})]
    for operation in (lambda: zero < 1, lambda: zero + 1, lambda: -zero, lambda: float(zero), lambda: [1][zero]):
        done.append(s.tried(operation))
    done += [s.tried(setattr, zero, name, 5) for name in ("handle", "unknown")]
    done += [s.tried(getattr, zero, "unknown"), s.tried(zero.Close, 1), s.tried(make, 1, 2), twelve.Detach()]
    bad = make(BAD_HANDLE)
    return [*done, s.tried(bad.Close), bad.handle, s.tried(bad.Close)]


def closing(s: Scene) -> list[Any]:
    """Each way to close, after which a handle is none."""
    done: list[Any] = []
    for close in (lambda handle: handle.Close(), lambda handle: handle.close(), s.api.CloseHandle):
        handle = s.api.CreateEvent(None, 1, 0, None)
        number = int(handle)
        done += [close(handle), handle.handle, s.tried(s.api.SetEvent, handle), s.tried(s.api.SetEvent, number)]
        done.append(s.tried(s.api.CloseHandle, handle))
    number = s.api.CreateEvent(None, 1, 0, None).Detach()
    done += [s.tried(s.api.SetEvent, number), s.api.CloseHandle(number), s.tried(s.api.CloseHandle, number)]
    number = int(s.api.CreateEvent(None, 1, 0, None))  # the owner is gone, and so is the handle
    return [*done, s.tried(s.api.SetEvent, number)]


def overlapped_attributes(s: Scene) -> list[Any]:
    ol = s.api.OVERLAPPED()
    names = ("Internal", "InternalHigh", "Offset", "OffsetHigh", "hEvent", "object", "dword")
    done = [[getattr(ol, name) for name in names]]
    for name in names:
        done += [[s.tried(setattr, ol, name, value), getattr(ol, name)] for value in (5, 0xFFFF_FFFF, "word", object)]
    event = s.api.CreateEvent(None, 1, 0, None)
    ol.hEvent = event
    number = int(event)
    done.append([ol.hEvent is event, s.tried(setattr, ol, "hEvent", object()), ol.hEvent is event])
    del event
    done.append([int(ol.hEvent) == number, s.tried(s.api.SetEvent, number)])
    done.append([s.tried(setattr, ol, "unknown", 1), s.tried(getattr, ol, "unknown"), s.tried(delattr, ol, "hEvent")])
    new, other = s.api.OVERLAPPED(), s.api.OVERLAPPED()
    done.append([new == other, new != other, new == 5, hash(new) == hash(other), s.tried(lambda: new < other)])
    for name in ("Offset", "dword", "object"):
        before = getattr(new, name)
        setattr(new, name, 7)
        done.append([new == other, new != other])
        setattr(new, name, before)
    return done


def security_attributes(s: Scene) -> list[Any]:
    sa = s.api.SECURITY_ATTRIBUTES()
    done: list[Any] = [sa.bInheritHandle, type(sa.SECURITY_DESCRIPTOR) is s.api.SECURITY_DESCRIPTORType]
    settings = (0, True, 7, "word", None, 1.0)
    done += [[s.tried(setattr, sa, "bInheritHandle", value), sa.bInheritHandle] for value in settings]
    done += [s.tried(setattr, sa, "SECURITY_DESCRIPTOR", value) for value in (5, object())]
    control = sa.GetSecurityDescriptorControl
    done.append(control())
    for arguments in ((1, None, 0), (1, None, 1), (0, None, 1), (True, None, False), (1, 5, 0), ("1", None, 0), (1,)):
        done.append([s.tried(sa.SetSecurityDescriptorDacl, *arguments), control()])
    done += [s.tried(sa.SetDacl, 1, None, 0), control(), s.tried(sa.Initialize), control()]
    sa.SECURITY_DESCRIPTOR = None
    done += [sa.SECURITY_DESCRIPTOR, s.tried(getattr, sa, "SetSecurityDescriptorDacl")]
    done += [s.tried(getattr, sa, "unknown"), s.tried(setattr, sa, "unknown", 1)]
    return [*done, s.tried(delattr, sa, "bInheritHandle")]


def security_descriptors(s: Scene) -> list[Any]:
    make = s.api.SECURITY_DESCRIPTOR
    blank = bytes(make())
    done: list[Any] = [blank, bytes(make(100)), bytes(make(blank)), bytes(make(bytearray(blank)))]
    done += [s.tried(make, value) for value in (b"abc", b"", "text", 1.0)]
    of_sddl = s.api.ConvertStringSecurityDescriptorToSecurityDescriptor
    descriptor = of_sddl("O:SYG:SYD:P(A;;GA;;;SY)(A;;0x12019b;;;AU)", s.api.SDDL_REVISION_1)
    done += [bytes(descriptor), descriptor.GetSecurityDescriptorControl(), bytes(make(bytes(descriptor)))]
    descriptor.SetSecurityDescriptorDacl(1, None, 0)
    done += [descriptor.GetSecurityDescriptorControl(), bytes(descriptor)[:4]]
    return [*done, *(s.tried(of_sddl, *arguments) for arguments in ((), ("D:",), ("D:", "1"), (None, 1), ("D:", 2)))]


def inheritance(s: Scene) -> list[Any]:
    """Whether children inherit what is made with SECURITY_ATTRIBUTES as they are, and without."""
    done: list[Any] = []
    sa = s.api.SECURITY_ATTRIBUTES()
    not_inherited = s.api.SECURITY_ATTRIBUTES()
    not_inherited.bInheritHandle = 0
    for attributes in (sa, not_inherited, None):
        made = [
            s.api.CreateNamedPipe(f"{s.name}-{len(done)}", 3, 0, 1, 0, 0, 0, attributes),
            s.api.CreateEvent(attributes, 1, 0, None),
            *s.api.CreatePipe(attributes, 0),
        ]
        done.append([os.get_handle_inheritable(int(handle)) for handle in made])
    return done


def errors(s: Scene) -> list[Any]:
    """The exception itself."""
    make = s.api.error
    done: list[Any] = [issubclass(make, OSError), make.__mro__[1:], s.tried(lambda: make(code=1))]
    for arguments in ((), (1,), (1, "f"), (1, "f", "text"), (1, "f", "text", "more")):
        error = make(*arguments)
        done.append((error.args, error.winerror, error.funcname, error.strerror, str(error), repr(error)))
    return done


STEPS = (
    messages, read_buffers, transaction, pending, waits, ends, a_client_that_came_and_went, without_waiting,
    the_users_name, calls, anonymous, descriptors, handles, closing, overlapped_attributes, security_attributes,
    security_descriptors, inheritance, errors,
)  # fmt: skip


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: steps.__name__)
def test_several_calls_have_the_same_outcomes(steps: Callable[[Scene], list[Any]]) -> None:
    assert_same(steps)


def bytes_in_parts(s: Scene) -> list[Any]:
    """What a byte pipe makes of messages, with OVERLAPPED and without."""
    done = [s.tried(s.api.WriteFile, s.client, data, s.ol) for data in (b"abcdef", b"", b"gh", b"ij")]
    done += [s.tried(s.api.PeekNamedPipe, s.server, size) for size in (0, 4, 100)]
    for size in (4, 1, bytearray(3), 100):
        code, result = s.api.ReadFile(s.server, size, s.other)
        count = s.api.GetOverlappedResult(s.server, s.other, True)
        done.append((code, count, bytes(result[:count]), len(result)))
    return done


@pytest.mark.parametrize("steps", [bytes_in_parts, pending, ends, without_waiting], ids=lambda steps: steps.__name__)
def test_several_calls_on_a_byte_pipe_have_the_same_outcomes(steps: Callable[[Scene], list[Any]]) -> None:
    assert_same(steps, pipe_mode=0)


def test_calls_without_overlapped_operations_have_the_same_outcomes() -> None:
    assert_same(synchronous_messages, open_mode=win32pipe.PIPE_ACCESS_DUPLEX)


# Names and numbers


def test_every_name_of_pywin32s_win32pipe_is_there() -> None:
    assert {name for name in dir(win32pipe) if not name.startswith("__")} <= set(dir(ours))


def test_every_constant_is_pywin32s() -> None:
    names = [name for name in dir(constants) if isinstance(getattr(constants, name), int)]
    assert len(names) > 300
    found, expected = (
        {name: (type(value), value) for name in names for value in [getattr(api, name)]} for api in (ours, PYWIN32)
    )
    assert found == expected


# Together


def test_pywin32s_handles_are_taken_and_closed_by_their_owner() -> None:
    with scene(PYWIN32) as theirs:
        assert ours.GetNamedPipeInfo(theirs.client) == win32pipe.GetNamedPipeInfo(theirs.client)
        assert ours.WriteFile(theirs.client, b"x", ours.OVERLAPPED()) == (0, 1)
        assert ours.PeekNamedPipe(theirs.server, 5) == (b"x", 1, 0)
        event = win32event.CreateEvent(None, 1, 1, None)
        assert ours.WaitForMultipleObjects([event], True, 0) == ours.WAIT_OBJECT_0
        ol = ours.OVERLAPPED()
        ol.hEvent = event
        ours.CloseHandle(event)
        assert event.handle == 0
        assert ol.hEvent is event


def test_pywin32_takes_our_handles() -> None:
    with scene(OURS) as here:
        assert win32pipe.GetNamedPipeInfo(here.client) == ours.GetNamedPipeInfo(here.client)
        assert win32event.WaitForSingleObject(here.ol.hEvent, 0) == win32event.WAIT_TIMEOUT


def test_pywin32s_descriptors_come_over_as_bytes() -> None:
    of_sddl = "D:P(A;;GA;;;SY)"
    theirs = win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(of_sddl, 1)
    assert bytes(ours.SECURITY_DESCRIPTOR(bytes(theirs))) == bytes(theirs)
    assert bytes(ours.ConvertStringSecurityDescriptorToSecurityDescriptor(of_sddl, 1)) == bytes(theirs)


PROGRAMS = Path(__file__).parent / "programs"
ROOT = Path(__file__).parents[3]


def program(name: str, library: str, folder: Path) -> Path:
    """Give a program for pywin32 as it is, or with its imports changed and nothing else."""
    path = PROGRAMS / f"pywin32_{name}.py"
    if library == "pywin32":
        return path
    text, count = re.subn(
        r"^import (pywintypes|win32\w+|winerror)$",
        r"import pipectl.core.win32pipe as \1",
        path.read_text(),
        flags=re.MULTILINE,
    )
    assert count == 5
    changed = folder / f"{name}.py"
    changed.write_text(text)
    return changed


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[str]]:
    """What server and client print, for each pair of libraries."""
    folder = tmp_path_factory.mktemp("programs")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    printed = {}
    for pair in ((server, client) for server in ("pywin32", "ours") for client in ("pywin32", "ours")):
        pipe = rf"\\.\pipe\pipectl-test-{uuid4().hex}"
        with ExitStack() as stack:
            running = [
                stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, str(program(name, library, folder)), pipe],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        env=environment,
                        text=True,
                    )
                )
                for name, library in zip(("server", "client"), pair, strict=True)
            ]
            for process in running:
                stack.callback(process.kill)
            printed[pair] = [process.communicate(timeout=30)[0].replace(pipe, "PIPE") for process in running]
    return printed


def test_programs_print_the_same_whichever_library_each_of_them_uses(
    conversations: dict[tuple[str, str], list[str]],
) -> None:
    server, client = conversations["pywin32", "pywin32"]
    assert server.endswith("closed 0 <PyHANDLE:0>\n"), server
    assert client.endswith("the end: 233 ReadFile\n"), client
    for found in conversations.values():
        assert found == [server, client]

"""What programs use round a pipe: processes, handles, accounts, tokens. The same as pywin32, and without it too."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("win32pipe", reason="compares with pywin32")

import ntsecuritycon
import pywintypes
import win32api
import win32con
import win32event
import win32file
import win32process
import win32security

from pipectl.core import win32pipe as ours
from tests.core.win32pipe.test_access import tried
from tests.reliability.growth import assert_nothing_grows

MODULES: tuple[ModuleType, ...] = (
    win32process,
    win32api,
    win32event,
    win32file,
    win32security,
    win32con,
    ntsecuritycon,
    pywintypes,
)


class Pywin32:
    """The names of all these modules in one place, as the stand-in has them."""

    def __getattr__(self, name: str) -> Any:
        return next(getattr(module, name) for module in MODULES if hasattr(module, name))


MISSING = 0x00AB_CDE0
SCRIPT = "import os, sys; print(ascii(os.environ.get('MARK', 'none')), end=str()); sys.exit(7)"
CODE = f'"{sys.executable}" -c "{SCRIPT}"'


def child(api: Any, environment: Any = None, flags: int = 0, line: str = CODE) -> tuple[int, str]:
    """Run a program with its stdout in a pipe; return its exit code and what it wrote."""
    sa = api.SECURITY_ATTRIBUTES()
    read, write = api.CreatePipe(sa, 0)
    api.SetHandleInformation(read, api.HANDLE_FLAG_INHERIT, 0)
    info = api.STARTUPINFO()
    info.dwFlags = api.STARTF_USESTDHANDLES
    info.hStdOutput = info.hStdError = write
    process, thread, _, _ = api.CreateProcess(None, line, None, None, 1, flags, environment, None, info)
    write.Close()
    if flags & api.CREATE_SUSPENDED:
        assert api.ResumeThread(thread) == 1
    assert api.WaitForSingleObject(process, 30_000) == api.WAIT_OBJECT_0
    return api.GetExitCodeProcess(process), api.ReadFile(read, 100)[1].decode("ascii")


ENVIRONMENTS = {
    "the same": (None, "'none'"),
    "text": ({**os.environ, "MARK": "f\xfc"}, r"'f\xfc'"),
    "bytes": ({**{os.fsencode(name): os.fsencode(value) for name, value in os.environ.items()}, b"MARK": b"f"}, "'f'"),
}


@pytest.mark.parametrize(("environment", "expected"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_a_child_runs_with_its_streams_and_environment(environment: Any, expected: str) -> None:
    assert child(ours, environment) == (7, expected)


def test_a_suspended_child_waits_until_it_is_resumed() -> None:
    assert child(ours, flags=ours.CREATE_SUSPENDED) == (7, "'none'")


def processes(api: Any) -> list[Any]:
    info = api.STARTUPINFO()
    numbers = ("dwX", "dwYCountChars", "dwFlags", "wShowWindow", "hStdInput", "hStdError", "lpTitle", "lpDesktop")
    done: list[Any] = [[getattr(info, name) for name in numbers]]
    event = api.CreateEvent(None, 1, 0, None)
    info.hStdInput, info.lpTitle, info.dwFlags, info.wShowWindow = event, "title", -1, 5
    done += [info.hStdInput is event, info.lpTitle, info.dwFlags, info.wShowWindow]
    info.hStdInput, info.lpTitle = 5, None
    done += [info.hStdInput, info.lpTitle, tried(api, setattr, info, "hStdInput", "x")]
    done += [tried(api, setattr, info, name, "x") for name in ("foo", "dwX")]
    start = api.GetStartupInfo()
    done += [start.dwFlags, start.lpTitle, start.wShowWindow]
    done += [
        tried(api, api.CreateProcess, None, "x", None, None, 0, 0, environment, None, info)
        for environment in (None, {1: "2"}, {"a": b"2"}, {"a": 2}, 5)
    ]
    done += [tried(api, api.CreateProcess, None, "x", None, None, 0, 0, None, None, info) for info in (None, 5)]
    process, thread, pid, _ = api.CreateProcess(None, CODE, None, None, 0, api.CREATE_SUSPENDED, None, None, info)
    done += [api.SuspendThread(thread), api.GetExitCodeProcess(process), api.GetProcessId(process) == pid]
    opened = api.OpenProcess(api.PROCESS_ALL_ACCESS, 0, pid)
    done += [api.TerminateProcess(opened, -3), api.WaitForSingleObject(process, 30_000)]
    done += [api.GetExitCodeProcess(process)]
    for function in (api.GetExitCodeProcess, api.ResumeThread, api.SuspendThread, api.GetProcessId):
        done.append(tried(api, function, MISSING))
    done += [tried(api, api.TerminateProcess, MISSING, 1), tried(api, api.OpenProcess, 0x400, 0, 0x7FFF_FFF0)]
    return [*done, api.GetCurrentProcess(), api.GetCurrentProcessId()]


def handles(api: Any) -> list[Any]:
    event = api.CreateEvent(None, 1, 0, None)
    process = api.GetCurrentProcess()
    twin = api.DuplicateHandle(process, event, process, 0, 1, api.DUPLICATE_SAME_ACCESS)
    api.SetEvent(twin)
    done = [api.WaitForSingleObject(event, 0), type(twin) is type(event), api.GetHandleInformation(twin)]
    done += [api.SetHandleInformation(twin, api.HANDLE_FLAG_INHERIT, 0), api.GetHandleInformation(twin)]
    done += [tried(api, api.DuplicateHandle, process, MISSING, process, 0, 0, 2)]
    done += [tried(api, api.SetHandleInformation, MISSING, 1, 0), tried(api, api.DuplicateHandle, process, event)]
    done += [tried(api, api.GetStdHandle, number) for number in (-10, -11, -12, 5)]
    mutex = api.CreateMutex(None, 1, None)
    done += [api.ReleaseMutex(mutex), tried(api, api.ReleaseMutex, mutex)]
    return [*done, *(tried(api, opens, 0x10_0000, 0, "pipectl-test-no") for opens in (api.OpenEvent, api.OpenMutex))]


def system(api: Any) -> list[Any]:
    done = [tried(api, api.FormatMessage, *codes) for codes in ((2,), (109,), (-2147024894,), ("x",))]
    done += [tried(api, api.FormatMessage, 99_999)[0]]
    done += [api.Sleep(1), api.Sleep(1, 1), tried(api, api.Sleep), api.GetCurrentThread(), api.GetCurrentThreadId()]
    return [*done, api.GetComputerName(), api.GetUserName(), api.GetModuleFileName(0), api.GetModuleFileName(None)]


def accounts(api: Any) -> list[Any]:
    token = api.OpenProcessToken(api.GetCurrentProcess(), api.TOKEN_QUERY)
    user = api.GetTokenInformation(token, api.TokenUser)[0]
    done = [tried(api, api.GetTokenInformation, token, kind) for kind in (1, 2, 4, 5, 8, 9, 12, 18, 20, 25, 6)]
    done += [tried(api, api.GetTokenInformation, token, 99), tried(api, api.GetTokenInformation, MISSING, 1)]
    done += [
        tried(api, api.OpenThreadToken, api.GetCurrentThread(), 8, 1),
        tried(api, api.OpenProcessToken, MISSING, 8),
    ]
    done += [api.ConvertSidToStringSid(user), tried(api, api.ConvertSidToStringSid, "S-1-1-0")]
    done += [tried(api, api.ConvertStringSidToSid, text) for text in ("S-1-5-18", "nonsense", None)]
    done += [tried(api, api.LookupAccountSid, None, sid) for sid in (user, api.ConvertStringSidToSid("S-1-9-9"), 5)]
    for name in (api.GetUserName(), "Everyone", "nobody-of-that-name", None):
        done += [tried(api, api.LookupAccountName, system, name) for system in (None, "")]
    done += [tried(api, api.CreateWellKnownSid, kind) for kind in (api.WinWorldSid, api.WinLocalSystemSid, 999)]
    return [*done, tried(api, api.CreateWellKnownSid, 38, user), tried(api, api.CreateWellKnownSid, 1, None)]


def open_handles(api: Any) -> list[Any]:
    event = api.CreateEvent(None, 1, 0, None)
    acl = api.ACL()
    acl.AddAccessAllowedAce(api.ACL_REVISION, api.EVENT_ALL_ACCESS, api.CreateWellKnownSid(api.WinWorldSid))
    dacl = api.DACL_SECURITY_INFORMATION
    done = [api.SetSecurityInfo(event, api.SE_KERNEL_OBJECT, dacl, None, None, acl, None)]
    found = api.GetSecurityInfo(event, api.SE_KERNEL_OBJECT, dacl | api.OWNER_SECURITY_INFORMATION)
    done += [api.ConvertSecurityDescriptorToStringSecurityDescriptor(found, 1, kind) for kind in (1, 4, 5)]
    done += [tried(api, api.GetSecurityInfo, MISSING, 6, 4), tried(api, api.SetSecurityInfo, event, 6, 4, 1, 2, 3, 4)]
    return [*done, tried(api, api.ConvertSecurityDescriptorToStringSecurityDescriptor, "D:", 1, 4)]


STEPS = (processes, handles, system, accounts, open_handles)


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: steps.__name__)
def test_each_step_has_pywin32s_outcome(steps: Callable[[Any], list[Any]]) -> None:
    expected, found = steps(Pywin32()), steps(ours)
    assert len(found) > 6
    assert found == expected


def test_a_files_place_and_size_are_pywin32s(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    done = []
    for api in (Pywin32(), ours):
        file = api.CreateFile(str(path), api.GENERIC_READ, 0, None, api.OPEN_EXISTING, 0, None)
        steps: list[Any] = [api.GetFileSize(file), api.SetFilePointer(file, 2, api.FILE_BEGIN), api.ReadFile(file, 2)]
        steps += [api.SetFilePointer(file, 1 << 40, api.FILE_CURRENT), tried(api, api.SetFilePointer, file, -1, 0)]
        done.append([*steps, tried(api, api.GetFileSize, MISSING)])
        file.Close()
    assert done[0] == done[1]
    for name in (str(path), str(tmp_path), str(tmp_path / "no")):  # win32api has another, which raises
        assert ours.GetFileAttributes(name) == win32file.GetFileAttributes(name)
    assert done[1][2] == (0, b"34")


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: steps.__name__)
def test_no_handle_and_no_object_is_left(steps: Callable[[Any], list[Any]], handle_count: Callable[[], int]) -> None:
    assert_nothing_grows(lambda: steps(ours), handle_count, rounds=20, most_blocks=200)

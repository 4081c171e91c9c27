"""The description of processes: this one, others, and ones that do not exist."""

import ctypes
import getpass
import os
import subprocess
import sys
from collections.abc import Callable
from ctypes.wintypes import LPWSTR
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from pipectl.core.errors import PipeError, PipeTimeoutError
from pipectl.core.inventory import processes
from pipectl.core.inventory.processes import describe, parse_services, running_services
from pipectl.core.models import Process
from pipectl.core.security.accounts import account_name, current_user_sid
from pipectl.core.win32 import winapi

EVERYONE = "S-1-1-0"
SYSTEM = "S-1-5-18"
NOBODY = "S-1-5-21-1-2-3-4"

# The number of a process is a multiple of 4.
NO_PROCESS = 0xFFFF_FFFD


def test_this_process_is_known() -> None:
    process = describe(os.getpid())
    assert process.pid == os.getpid()
    assert process.image is not None
    assert Path(process.image).samefile(sys.executable)
    assert process.user is not None
    assert process.user.rpartition("\\")[2].lower() == getpass.getuser().lower()
    assert process.session is not None
    assert process.services == ()


def test_a_child_is_known_as_long_as_it_lives() -> None:
    with subprocess.Popen(["cmd", "/c", "pause"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        process = describe(child.pid)
        assert process.program is not None
        assert process.program.lower() == "cmd.exe"
        assert process[2:4] == describe(os.getpid())[2:4]


def test_of_a_process_that_is_not_there_nothing_is_known() -> None:
    assert describe(NO_PROCESS) == Process(NO_PROCESS)


@pytest.mark.parametrize(
    ("image", "program"),
    [(r"C:\Windows\System32\svchost.exe", "svchost.exe"), (r"\\host\share\a b.exe", "a b.exe"), (None, None)],
)
def test_the_program_is_the_file_name_of_the_image(image: str | None, program: str | None) -> None:
    assert Process(1, image).program == program


def test_asking_leaves_no_handle_behind(handle_count: Callable[[], int]) -> None:
    def ask() -> None:
        describe(os.getpid())
        describe(NO_PROCESS)

    ask()
    before = handle_count()
    for _ in range(10):
        ask()
    assert handle_count() <= before


# Users


def test_this_user_has_a_sid_and_the_sid_a_name() -> None:
    sid = current_user_sid()
    assert sid.startswith("S-1-5-")
    assert account_name(sid) == describe(os.getpid()).user


def test_a_name_has_its_domain_before_it_if_there_is_one() -> None:
    assert "\\" not in (account_name(EVERYONE) or "\\")
    assert (account_name(SYSTEM) or "").count("\\") == 1


def test_a_sid_that_nobody_has_is_without_a_name() -> None:
    assert account_name(NOBODY) is None


@pytest.mark.parametrize("text", ["S-1", "nobody"])
def test_what_is_no_sid_is_an_error(text: str) -> None:
    with pytest.raises(PipeError):
        account_name(text)


def test_whoami_says_the_same_name() -> None:
    told = subprocess.run("whoami", capture_output=True, text=True, check=True).stdout
    assert told.strip().lower() == (describe(os.getpid()).user or "").lower()


@pytest.mark.windows(reason="Wine's `whoami` tells no SID", claim="W52")
def test_whoami_says_the_same_sid() -> None:
    told = subprocess.run(["whoami", "/user", "/fo", "csv", "/nh"], capture_output=True, text=True, check=True).stdout
    assert told.strip().strip('"').split('","')[1] == current_user_sid()


# Services


def test_running_services_are_told_with_their_processes() -> None:
    services = running_services()
    assert services
    for pid, names in services.items():
        assert describe(pid).services == names
    assert os.getpid() not in services


def test_a_service_manager_that_does_not_respond_is_left_alone_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now, ended = [1000.0], Event()
    asked: list[float] = []

    def enumerate_services() -> dict[int, tuple[str, ...]]:
        asked.append(now[0])
        ended.wait(30)
        return {os.getpid(): ("svc",)}

    monkeypatch.setattr(processes, "_enumerate_services", enumerate_services)
    monkeypatch.setattr(processes, "_SERVICES_PATIENCE", 0.05)
    monkeypatch.setattr(processes, "_remembered", processes._RememberedServices())
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: now[0]))
    try:
        with pytest.raises(PipeTimeoutError):
            running_services()
        for now[0] in (1000.0, 1059.0, 1060.0):
            process = describe(os.getpid())
            assert process.services == ()
            assert process.image is not None
        assert asked == [1000.0, 1000.0, 1060.0]
    finally:
        ended.set()
    monkeypatch.setattr(processes, "_SERVICES_PATIENCE", 10.0)
    for now[0] in (1120.0, 1120.9, 1121.0):
        assert describe(os.getpid()).services == ("svc",)
    assert asked[3:] == [1120.0, 1121.0]


def test_the_buffer_of_services_is_read_as_it_was_written() -> None:
    services = [(4, "RpcSs"), (0xFFFF_FFFF, ""), (4, "Grüße 🌍")]
    entry_size = ctypes.sizeof(winapi.ENUM_SERVICE_STATUS_PROCESSW)
    texts = [name.encode("utf-16-le") + b"\0\0" for _, name in services]
    buffer = ctypes.create_string_buffer(entry_size * len(services) + sum(map(len, texts)) + 1)
    # As Windows does it: the entries at the front, and the texts that they point at from the end on.
    end = ctypes.addressof(buffer) + len(buffer)
    for index, ((pid, _), text) in enumerate(zip(services, texts, strict=True)):
        end -= len(text)
        ctypes.memmove(end, text, len(text))
        entry = winapi.ENUM_SERVICE_STATUS_PROCESSW.from_buffer(buffer, index * entry_size)
        entry.lpServiceName = ctypes.cast(end, LPWSTR)
        entry.ServiceStatusProcess.dwProcessId = pid
    assert list(parse_services(buffer, len(services))) == services

"""Who a process is: its program, user and session, and the services it hosts.

What this user may not know is absent, and never guessed. A process id is a number that the system reports, and no proof
of identity: the process may have ended since, and another may have its number.
"""

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import byref, c_void_p
from ctypes.wintypes import DWORD, HANDLE
from functools import lru_cache
from typing import TypeVar

from . import winapi
from .constants import (
    ProcessAccess,
    ServiceManagerAccess,
    ServiceState,
    ServiceType,
    TokenAccess,
    TokenInformation,
    WinError,
)
from .errors import PipeError
from .handle import Handle
from .models import Process

_T = TypeVar("_T")

# The longest path that Windows has, in characters.
_MAX_PATH = 32768
# Longer than any account's or domain's name: UNLEN and DNS names end at 256 and 255.
_MAX_NAME = 512
# The most that EnumServicesStatusEx takes, in bytes.
_MAX_SERVICES = 256 << 10
_SC_ENUM_PROCESS_INFO = 0


def describe(pid: int) -> Process:
    """Tell what this user may know of a process: its program, user, session and services."""
    image = user = None
    with (
        suppress(PipeError),
        Handle(winapi.OpenProcess(ProcessAccess.QUERY_LIMITED_INFORMATION, False, pid)) as process,
    ):
        image = _if_allowed(_image, process)
        user = _if_allowed(_user, process)
    services = _if_allowed(_services_in, int(time.monotonic())) or {}
    return Process(pid, image, user, _if_allowed(_session, pid), services.get(pid, ()))


def running_services() -> dict[int, tuple[str, ...]]:
    """Tell which services run, by their names, and in which processes."""
    services: dict[int, tuple[str, ...]] = {}
    buffer = ctypes.create_string_buffer(_MAX_SERVICES)
    needed, count, resume = DWORD(), DWORD(), DWORD()
    with _service_manager() as manager:
        code: int = WinError.MORE_DATA
        while code == WinError.MORE_DATA:
            code = winapi.EnumServicesStatusExW(
                manager,
                _SC_ENUM_PROCESS_INFO,
                ServiceType.WIN32,
                ServiceState.ACTIVE,
                buffer,
                len(buffer),
                byref(needed),
                byref(count),
                byref(resume),
                None,
            )
            for pid, name in parse_services(buffer, count.value):
                services[pid] = (*services.get(pid, ()), name)
    return services


@lru_cache(maxsize=1)
def _services_in(_second: int) -> dict[int, tuple[str, ...]]:
    # Once a second at most: to ask takes ten times as long as all else about a client, and many may come at once.
    return running_services()


def parse_services(buffer: "ctypes.Array[ctypes.c_char]", count: int) -> Iterator[tuple[int, str]]:
    """Read what EnumServicesStatusEx has written: the process and the name of each service."""
    for entry in (winapi.ENUM_SERVICE_STATUS_PROCESSW * count).from_buffer(buffer):
        yield entry.ServiceStatusProcess.dwProcessId, entry.lpServiceName


def current_user_sid() -> str:
    """Tell whom this process runs as: the user's SID, such as `S-1-5-21-…-1001`."""
    return _user_sid(winapi.GetCurrentProcess())


def account_name(sid: str) -> str | None:
    """Give the name of an account, `DOMAIN\\name`, or None where no name is known for the SID."""
    name, domain = ctypes.create_unicode_buffer(_MAX_NAME), ctypes.create_unicode_buffer(_MAX_NAME)
    sizes = byref(DWORD(_MAX_NAME)), byref(DWORD(_MAX_NAME))
    # That a domain cannot be reached is as good as a name that nobody knows.
    with _sid(sid) as binary, suppress(PipeError):
        winapi.LookupAccountSidW(None, binary, name, sizes[0], domain, sizes[1], byref(DWORD()))
    return "\\".join(part for part in (domain.value, name.value) if part) or None


def _if_allowed(question: Callable[..., _T], *arguments: object) -> _T | None:
    """Ask, and take a refusal, or a process that is gone, for no answer."""
    with suppress(PipeError):
        return question(*arguments)
    return None


def _image(process: Handle) -> str:
    path, size = ctypes.create_unicode_buffer(_MAX_PATH), DWORD(_MAX_PATH)
    winapi.QueryFullProcessImageNameW(process, 0, path, byref(size))
    return path.value


def _user(process: Handle) -> str:
    sid = _user_sid(process)
    return account_name(sid) or sid


def _session(pid: int) -> int:
    session = DWORD()
    winapi.ProcessIdToSessionId(pid, byref(session))
    return session.value


def _user_sid(process: Handle | int) -> str:
    token = HANDLE()
    winapi.OpenProcessToken(process, TokenAccess.QUERY, byref(token))
    user = winapi.TOKEN_USER()
    with Handle(token.value) as owner:
        winapi.GetTokenInformation(owner, TokenInformation.USER, byref(user), ctypes.sizeof(user), byref(DWORD()))
    text = c_void_p()
    winapi.ConvertSidToStringSidW(user.Sid, byref(text))
    try:
        return ctypes.wstring_at(text)
    finally:
        winapi.LocalFree(text)


@contextmanager
def _sid(text: str) -> Iterator[c_void_p]:
    binary = c_void_p()
    winapi.ConvertStringSidToSidW(text, byref(binary))
    try:
        yield binary
    finally:
        winapi.LocalFree(binary)


@contextmanager
def _service_manager() -> Iterator[int]:
    manager = winapi.OpenSCManagerW(None, None, ServiceManagerAccess.ENUMERATE_SERVICE)
    try:
        yield manager
    finally:
        winapi.CloseServiceHandle(manager)

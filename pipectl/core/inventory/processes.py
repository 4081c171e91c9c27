"""Describes a process: its program, user and session, and the services it hosts.

Facts that this user may not know are absent, never guessed. A process ID that the system reports is no proof of
identity: the process may have ended since, and another process may have its ID.
"""

import ctypes
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from ctypes import byref
from ctypes.wintypes import DWORD
from typing import NamedTuple

from pipectl.core.constants import WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError, PipeTimeoutError, if_allowed
from pipectl.core.models import Process
from pipectl.core.security.accounts import account_name, user_sid
from pipectl.core.win32 import winapi
from pipectl.core.win32.blocking import run_brief
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import ProcessAccess, ServiceManagerAccess, ServiceState, ServiceType

# The longest path in Windows, in characters.
_MAX_PATH = 32768
# The largest buffer that EnumServicesStatusEx accepts, in bytes.
_MAX_SERVICES = 256 << 10
_SC_ENUM_PROCESS_INFO = 0
# Seconds that the service manager may take. It responds within milliseconds, or something is wrong with it.
_SERVICES_PATIENCE = 0.5
# Seconds for which the services are remembered, and for which none are known after the service manager has failed.
_SERVICES_FOR = 1.0
_NO_SERVICES_FOR = 60.0


class Glimpse(NamedTuple):
    """The facts about a process that the system reports at once, without looking up names."""

    pid: int
    image: str | None = None
    user_sid: str | None = None
    session: int | None = None


def glimpse(pid: int) -> Glimpse:
    """Return the facts that this user can query at once: a process's program, the SID of its user, and its session."""
    image = sid = None
    with (
        suppress(PipeError),
        Handle(winapi.OpenProcess(ProcessAccess.QUERY_LIMITED_INFORMATION, False, pid)) as process,
    ):
        image = if_allowed(_image, process)
        sid = if_allowed(user_sid, process)
    return Glimpse(pid, image, sid, if_allowed(_session, pid))


def identify(seen: Glimpse) -> Process:
    """Add the name of a process's user, and its services; takes seconds if a domain controller does not respond."""
    user = seen.user_sid and (if_allowed(account_name, seen.user_sid) or seen.user_sid)
    return Process(seen.pid, seen.image, user, seen.session, _remembered.services().get(seen.pid, ()))


def describe(pid: int) -> Process:
    """Return the facts about a process that this user may query: its program, user, session and services."""
    return identify(glimpse(pid))


def describe_all(pids: Iterable[int], deadline: Deadline) -> dict[int, Process]:
    """Return the facts about processes that this user may query; a user whose name is not found in time is a SID."""
    seen = {pid: glimpse(pid) for pid in pids}
    try:
        return run_brief(lambda: {pid: identify(found) for pid, found in seen.items()}, deadline)
    except PipeTimeoutError:
        return {pid: Process(pid, found.image, found.user_sid, found.session) for pid, found in seen.items()}


def running_services() -> dict[int, tuple[str, ...]]:
    """Return the names of the running services, by process ID.

    Raises PipeTimeoutError if the service manager does not respond within half a second.
    """
    return run_brief(_enumerate_services, Deadline(_SERVICES_PATIENCE))


def _enumerate_services() -> dict[int, tuple[str, ...]]:
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


class _RememberedServices:
    """The running services, queried at most once a second, because many clients may connect.

    The query takes ten times as long as all others for a client, and if it fails, often seconds: Wine's service manager
    can stop accepting callers when one is killed while it connects. So a failure is remembered for a minute.
    """

    def __init__(self) -> None:
        self._services: dict[int, tuple[str, ...]] = {}
        self._expire = 0.0

    def services(self) -> dict[int, tuple[str, ...]]:
        """Return the names of the running services, by process ID; none if they are not known."""
        if time.monotonic() >= self._expire:
            found = if_allowed(running_services)
            self._services = found or {}
            self._expire = time.monotonic() + (_NO_SERVICES_FOR if found is None else _SERVICES_FOR)
        return self._services


_remembered = _RememberedServices()


def parse_services(buffer: "ctypes.Array[ctypes.c_char]", count: int) -> Iterator[tuple[int, str]]:
    """Yield the process ID and the name of each service in a buffer that EnumServicesStatusEx has filled."""
    for entry in (winapi.ENUM_SERVICE_STATUS_PROCESSW * count).from_buffer(buffer):
        yield entry.ServiceStatusProcess.dwProcessId, entry.lpServiceName


def _image(process: Handle) -> str:
    path, size = ctypes.create_unicode_buffer(_MAX_PATH), DWORD(_MAX_PATH)
    winapi.QueryFullProcessImageNameW(process, 0, path, byref(size))
    return path.value


def _session(pid: int) -> int:
    session = DWORD()
    winapi.ProcessIdToSessionId(pid, byref(session))
    return session.value


@contextmanager
def _service_manager() -> Iterator[int]:
    manager = winapi.OpenSCManagerW(None, None, ServiceManagerAccess.ENUMERATE_SERVICE)
    try:
        yield manager
    finally:
        winapi.CloseServiceHandle(manager)

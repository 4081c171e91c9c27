r"""Walks through the handles of all processes to find the ends of pipes, without opening a pipe.

Each handle on a file is duplicated for a moment, with the right to read attributes and no right to data, and the
duplicate is queried. This has no side effects: the owner's handle does not change, no data is read, and no instance is
used. Each end also names the process at the other end.

Processes that this user may not inspect are counted, and nothing is guessed about them. An administrator sees all
processes except those that Windows protects, by SeDebugPrivilege, which is enabled only during the walk.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from ctypes import byref
from ctypes.wintypes import HANDLE
from typing import TypeVar

from pipectl.core.constants import Access, PipeState, ShareMode, WinError
from pipectl.core.deadline import Timeout, deadline_of
from pipectl.core.errors import PipeAccessError, PipeError, error_for, if_allowed
from pipectl.core.models import LocalInfo
from pipectl.core.security.privileges import debugging
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_file
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import ProcessAccess
from pipectl.core.win32.queries import (
    get_handle_count,
    get_local_info,
    get_named_pipe_client_computer_name,
    get_named_pipe_client_process_id,
    get_named_pipe_server_process_id,
    get_object_name,
    is_pipe,
)
from pipectl.core.win32.system import SystemInformation, query_system

from .bounded import ask_each
from .handles import OpenHandle, parse_handles, type_of
from .holders import End, Walk
from .processlist import ListedProcess, parse_processes, suspended

_T = TypeVar("_T")

_DEVICE = "\\Device\\NamedPipe\\"
# The idle process, and the kernel's own.
_IDLE = 0
_SYSTEM = 4
# Windows protects these even from administrators, and security software raises an alarm when a program opens lsass.
# `walk` skips them unless it is asked for every process.
_PROTECTED = {"csrss.exe", "lsass.exe", "msmpeng.exe", "smss.exe", "wininit.exe"}
_CONNECTED = (PipeState.CONNECTED.name.lower(), PipeState.CLOSING.name.lower())


def walk(timeout: Timeout = 5.0, *, every_process: bool = False) -> Walk:
    """Find the ends of all named pipes and the processes that hold them; handles not queried in time are counted.

    `every_process` also tries the processes that Windows protects. Raises PipeAccessError if this process may not list
    handles, as in an AppContainer, and UnsupportedError if the system cannot list them.
    """
    deadline = deadline_of(timeout)
    with ExitStack() as stack:
        stack.enter_context(debugging())
        running = list_processes()
        handles = file_handles()
        wanted = {handle.pid for handle in handles}
        left_alone = set() if every_process else _left_alone(wanted, running)
        opened = _open(wanted - left_alone, stack)
        questions = [handle for handle in handles if handle.pid in opened]
        asked = ask_each(questions, _Lender(opened), _Examiner(running), deadline)
    gone = wanted - opened.keys() - list_processes().keys()
    return Walk(
        ends=[end for _, end in asked.answers],
        busy=asked.hung,
        unseen=sorted(wanted - opened.keys() - gone),
        unasked=len(asked.unasked),
        running=running,
    )


def ask_ends(
    ends: Sequence[End],
    question: Callable[[Handle], _T | None],
    timeout: Timeout = 1.0,
    *,
    access: Access = Access.FILE_READ_ATTRIBUTES,
) -> list[tuple[End, _T]]:
    """Query the ends that a walk has found, through duplicates of their handles with this access, or with less.

    Ends that do not respond in time or that are already closed are left out.
    """
    by_handle = {_handle_of(end): end for end in ends if end.handle is not None}

    def ask(handle: OpenHandle, duplicate: Handle) -> _T | None:
        # The value may belong to another handle by now.
        is_same = is_pipe(duplicate) and get_object_name(duplicate) == _DEVICE + by_handle[handle].pipe
        return question(duplicate) if is_same else None

    with ExitStack() as stack:
        stack.enter_context(debugging())
        opened = _open({handle.pid for handle in by_handle}, stack)
        questions = [handle for handle in by_handle if handle.pid in opened]
        lend = _Lender(opened, (access, Access.FILE_READ_ATTRIBUTES, Access.NONE))
        asked = ask_each(questions, lend, ask, deadline_of(timeout))
    return [(by_handle[handle], answer) for handle, answer in asked.answers]


def _handle_of(end: End) -> OpenHandle:
    return OpenHandle(end.pid, end.handle or 0, end.access or 0, is_inheritable=bool(end.is_inheritable))


def file_handles() -> list[OpenHandle]:
    """Return the handles of all processes on files, which include pipes, consoles and devices.

    Raises PipeAccessError if this process may not list handles, as in an AppContainer, and UnsupportedError if the
    system cannot list them.
    """
    # The index of the type `File` differs between versions of Windows; the handle of an own file reveals it.
    with create_file("NUL", Access.NONE, share=ShareMode.READ | ShareMode.WRITE) as ours:
        table = query_system(SystemInformation.EXTENDED_HANDLES)
        kind = type_of(table.data, os.getpid(), ours.value)
    if kind is None:
        raise error_for(WinError.ACCESS_DENIED, "this process may not list handles", "NtQuerySystemInformation")
    return list(parse_handles(table.data, kind))


def list_processes() -> dict[int, ListedProcess]:
    """Return all processes by process ID."""
    table = query_system(SystemInformation.PROCESSES)
    return {process.pid: process for process in parse_processes(table.data, table.address)}


def suspended_processes() -> frozenset[int]:
    """Return the suspended processes, such as one in a debugger or an app in the background; empty on Wine."""
    return suspended(query_system(SystemInformation.PROCESSES).data)


def _left_alone(pids: Iterable[int], running: Mapping[int, ListedProcess]) -> set[int]:
    protected = {pid for pid, process in running.items() if process.program.lower() in _PROTECTED}
    return {pid for pid in pids if pid in protected or pid in (_IDLE, _SYSTEM)}


def _open(pids: Iterable[int], stack: ExitStack) -> dict[int, Handle | int]:
    """Open the processes that this user may open; for this process, use its pseudo handle."""
    opened: dict[int, Handle | int] = {}
    for pid in pids:
        if pid == os.getpid():
            opened[pid] = winapi.GetCurrentProcess()
            continue
        with suppress(PipeError):
            opened[pid] = stack.enter_context(Handle(winapi.OpenProcess(ProcessAccess.DUP_HANDLE, False, pid)))
    return opened


class _Lender:
    """Duplicates handles without the right to read or write data."""

    def __init__(
        self,
        opened: Mapping[int, Handle | int],
        # The first of these that the owner's handle has: the server of an outbound pipe has no right to attributes.
        access: Sequence[Access] = (Access.FILE_READ_ATTRIBUTES, Access.NONE),
    ) -> None:
        self._opened = opened
        self._access = access
        self._own = winapi.GetCurrentProcess()

    def __call__(self, handle: OpenHandle) -> Handle:
        for access in self._access[:-1]:
            with suppress(PipeAccessError):
                return self._duplicate(handle, access)
        return self._duplicate(handle, self._access[-1])

    def _duplicate(self, handle: OpenHandle, access: Access) -> Handle:
        duplicate = HANDLE()
        winapi.DuplicateHandle(self._opened[handle.pid], handle.handle, self._own, byref(duplicate), access, False, 0)
        return Handle(duplicate.value)


class _Examiner:
    """Queries a handle, and stops as soon as it is not an end of a named pipe."""

    def __init__(self, running: Mapping[int, ListedProcess]) -> None:
        self._running = running

    def __call__(self, handle: OpenHandle, duplicate: Handle) -> End | None:
        if not is_pipe(duplicate):
            return None
        name = get_object_name(duplicate)
        if not name.startswith(_DEVICE) or name == _DEVICE:  # an anonymous pipe, or the directory
            return None
        local = if_allowed(get_local_info, duplicate)
        client, computer = self._client(duplicate, local)
        return End(
            pipe=name.removeprefix(_DEVICE),
            pid=handle.pid,
            is_server=local and local.is_server_end,
            handle=handle.handle,
            access=handle.access,
            is_inheritable=handle.is_inheritable,
            handles=max(1, get_handle_count(duplicate) - 1),
            state=local and local.state,
            unread=local and local.read_data_available,
            instances=local and local.current_instances,
            max_instances=local and local.max_instances,
            server_pid=if_allowed(get_named_pipe_server_process_id, duplicate),
            client_pid=client,
            computer=computer,
        )

    def _client(self, duplicate: Handle, local: LocalInfo | None) -> tuple[int | None, str | None]:
        """Return the client's process, and its computer if it is another one."""
        if local is None or local.state not in _CONNECTED:  # for a listening instance, Wine returns a random number
            return None, None
        pid = if_allowed(get_named_pipe_client_process_id, duplicate)
        if pid in self._running and pid != _SYSTEM:
            return pid, None
        return pid, if_allowed(get_named_pipe_client_computer_name, duplicate)

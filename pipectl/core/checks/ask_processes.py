"""Checks claims about other processes and accounts on this system; each function returns what it observed."""

import ctypes
import ntpath
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from ctypes import byref, create_string_buffer

from pipectl.core.deadline import Stopwatch
from pipectl.core.errors import PipeError
from pipectl.core.inventory.processes import running_services
from pipectl.core.security import accounts
from pipectl.core.security.accounts import current_user_sid
from pipectl.core.win32 import tcptable, winapi
from pipectl.core.win32.calls import create_named_pipe
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.overlapped import Overlapped
from pipectl.core.win32.processes import ProcessAccess
from pipectl.core.win32.queries import get_named_pipe_client_process_id
from pipectl.core.win32.winsock import Address, Socket

from . import tokens
from .fixture import SOON, Fixture, NotTried, Observed, listen

_SYSTEM_PROCESS_ID_INFORMATION = 88


def closed_stdin(fixture: Fixture) -> str:
    """Return the result of a write to a child that has closed its stdin and still runs."""
    child = fixture.child("close-stdin")
    if not child.is_alone:
        raise NotTried("the process that unpacks the exe has the stream too")
    child.said()
    try:
        child.stdin.write(b"x")
        child.stdin.flush()
    except OSError:
        return "broken pipe"
    return "taken"


def image(_fixture: Fixture) -> Observed:
    """Return whether the system reports the image of a process by its ID alone."""
    memory = ctypes.create_unicode_buffer(32768)
    question = winapi.SYSTEM_PROCESS_ID_INFORMATION(os.getpid())
    question.ImageName.MaximumLength = 65534
    question.ImageName.Buffer = ctypes.addressof(memory)
    size = ctypes.sizeof(question)
    status = winapi.NtQuerySystemInformation(_SYSTEM_PROCESS_ID_INFORMATION, byref(question), size, None)
    if status:
        return Observed("refused", f"status {status & 0xFFFF_FFFF:08X}")
    is_ours = ntpath.basename(memory.value).lower() == ntpath.basename(sys.executable).lower()
    return Observed("this program" if is_ours else "another program")


def _processes_of_services(access: ProcessAccess) -> Iterator[Handle | None]:
    """Yield a handle to the process of each running service, or None if access is denied."""
    for pid in running_services():
        if pid in (0, 4, os.getpid()):
            continue
        try:
            process = Handle(winapi.OpenProcess(access, False, pid))
        except PipeError:
            yield None
            continue
        with process:
            yield process


def foreign_token(_fixture: Fixture) -> Observed:
    """Return whether access to the tokens of service processes is denied."""
    if tokens.is_elevated():
        raise NotTried("this process is elevated")
    own = current_user_sid()
    refused = opened = 0
    for process in _processes_of_services(ProcessAccess.QUERY_LIMITED_INFORMATION):
        sid = None
        if process is not None:
            with suppress(PipeError):
                sid = accounts.user_sid(process)
        if sid != own:  # a service may run as this user
            refused += sid is None
            opened += sid is not None
    if not refused + opened:
        raise NotTried("no service of another user runs here")
    return Observed("refused" if not opened else "some are not refused", f"{refused} refused, {opened} opened")


def dup_handle(_fixture: Fixture) -> Observed:
    """Return whether handles of service processes can be duplicated."""
    answers = [process is not None for process in _processes_of_services(ProcessAccess.DUP_HANDLE)]
    return Observed("some" if any(answers) else "none", f"{sum(answers)} of {len(answers)}")


def account_name_in_time(_fixture: Fixture) -> Observed:
    """Return whether the name of this process's account is found in time."""
    sid = current_user_sid()
    watch = Stopwatch()
    name = accounts.look_up(sid)
    seconds = watch.seconds
    answer = "no name" if name is None else "in time" if seconds < 5 else "late"
    return Observed(answer, f"{seconds * 1000:.1f} ms")


def whoami(_fixture: Fixture) -> str:
    """Return whether `whoami` prints the SID of the token."""
    try:
        done = subprocess.run(
            ["whoami", "/user", "/fo", "csv", "/nh"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SOON,
            check=False,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotTried("`whoami` cannot be run") from error
    return "the same" if current_user_sid().encode() in done.stdout else "another, or none"


def console(fixture: Fixture) -> str:
    """Return whether a child with CREATE_NO_WINDOW and one without share this process's console."""
    if not winapi.GetConsoleOutputCP():
        raise NotTried("this process has no console")
    answers = []
    for flags in (subprocess.CREATE_NO_WINDOW, 0):
        on_console = fixture.child("console", flags=flags).said().split()
        answers.append("shared" if str(os.getpid()) in on_console else "its own")
    return ", ".join(answers)


def peers(fixture: Fixture) -> Observed:
    """Return which processes a server and its client, a child process, report for each other."""
    pipe = fixture.name()
    watch = Stopwatch()
    with create_named_pipe(pipe) as server:
        child = fixture.child("connect", pipe)
        seconds = watch.seconds
        listen(server, None)  # limited by the bound of the claim
        client_pid = get_named_pipe_client_process_id(server)
        server_pid = child.said()
    client = "the child" if client_pid == child.pid else "another"
    answer = f"{client}, {'this process' if server_pid == str(os.getpid()) else 'another'}"
    return Observed(answer, f"the child needed {seconds:.2f} s to start")


# TCP on this computer


def tcp_peer(_fixture: Fixture) -> str:
    """Return which process has the other end of a loopback connection."""
    with _connected() as (client, server):
        return "this process" if tcptable.process_of(client.local, server.local) == os.getpid() else "unknown"


def tcp_reset(_fixture: Fixture) -> str:
    """Return the code of reading from a connection that was reset."""
    with _connected() as (client, server):
        server.reset()
        server.close()
        try:
            with Overlapped(client) as operation:
                operation.start(winapi.ReadFile, create_string_buffer(1), 1, None)
                operation.result(SOON)
        except PipeError as error:
            return str(error.code)
    return "closed"


@contextmanager
def _connected() -> Iterator[tuple[Socket, Socket]]:
    """Yield both ends of a loopback connection."""
    with ExitStack() as stack:
        listener, client, server = (
            stack.enter_context(Socket(is_ipv6=False, name=name)) for name in ("listener", "client", "server")
        )
        listener.listen(Address(bytes((127, 0, 0, 1)), 0))
        client.connect_within(listener.local, SOON)
        listener.accept_within(server, SOON)
        yield client, server

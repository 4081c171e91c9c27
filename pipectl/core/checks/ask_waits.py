"""Checks claims about waits, cancellation and times on this system; each function returns what it observed."""

import ctypes
import time
from contextlib import ExitStack
from threading import Thread

from pipectl.core.constants import Access, FileFlags, ShareMode
from pipectl.core.deadline import Deadline
from pipectl.core.errors import OperationAbortedError, PipeError, PipeTimeoutError
from pipectl.core.names import LOCAL_PREFIX
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32 import winapi
from pipectl.core.win32.blocking import run_blocking
from pipectl.core.win32.calls import create_event, create_file, create_named_pipe
from pipectl.core.win32.handle import Handle, wait
from pipectl.core.win32.overlapped import Overlapped
from pipectl.core.win32.port import CompletionPort

from .fixture import SOON, Fixture, NotTried, Observed, code_of, codes, write

_FILE_NOTIFY_CHANGE_FILE_NAME = 0x1
_CLIENTS = 300
_REQUESTS = 200
# How much longer or shorter than requested a wait may be, in seconds: a few ticks of 15.6 ms on a busy machine.
_LATE, _EARLY = 0.1, 0.016


def _echo(_client: Client, data: bytes) -> bytes:
    return data


def nothing_to_cancel(fixture: Fixture) -> str:
    """Return the code of canceling when there is nothing to cancel."""
    with create_named_pipe(fixture.name()) as server:
        return codes(winapi.CancelIoEx(server, None))


def ctrl_c(fixture: Fixture) -> str:
    """Return whether SIGINT ends three kinds of waits in a child."""
    child = fixture.child("interrupt", fixture.name())
    return ", ".join(child.said() or "died" for _ in range(3))


def ticks(_fixture: Fixture) -> Observed:
    """Return whether waits have the requested length, and by how much they are late."""
    late = []
    with create_event() as event:
        for seconds in (0, 0.03, 0.07, 0.15):
            begun = time.perf_counter()
            wait(event, Deadline(seconds))
            late.append(time.perf_counter() - begun - seconds)
    is_in_time = all(-_EARLY <= delay <= _LATE for delay in late)
    note = f"{', '.join(f'{delay * 1000:.1f}' for delay in late)} ms late"
    return Observed("in time" if is_in_time else "early or late", note)


def thread_that_ends(fixture: Fixture) -> str:
    """Return how reads end after their thread has exited, on handles without and with a completion port."""
    with ExitStack() as stack:
        port = stack.enter_context(CompletionPort("a port"))
        found = []
        for label in ("without", "with"):
            pipe = fixture.name()
            server = stack.enter_context(create_named_pipe(pipe))
            client = stack.enter_context(create_file(pipe))
            if label == "with":
                port.add(client, 1)
            operation = stack.enter_context(Overlapped(client))
            thread = Thread(target=_begin_to_read, args=(operation,))
            thread.start()
            thread.join(SOON)
            found.append(f"{label}: {_fate(operation, server)}")
    return ", ".join(found)


def _begin_to_read(operation: Overlapped) -> None:
    operation.start(winapi.ReadFile, ctypes.create_string_buffer(10), 10, None)


def _fate(operation: Overlapped, server: Handle) -> str:
    if not operation.ended(0.3):
        write(server, b"x")
        return "goes on" if operation.ended(SOON) else "hangs"
    try:
        operation.result(SOON)
    except OperationAbortedError as error:
        return str(error.code)
    return "ended"


def directory_changes(fixture: Fixture) -> Observed:
    """Return whether a wait for changes in the directory of pipes ends when a pipe is created."""
    share = ShareMode.READ | ShareMode.WRITE
    buffer = ctypes.create_string_buffer(4096)
    with (
        create_file(
            LOCAL_PREFIX,
            Access.FILE_READ_DATA | Access.SYNCHRONIZE,
            share=share,
            flags=FileFlags.BACKUP_SEMANTICS | FileFlags.OVERLAPPED,
        ) as directory,
        Overlapped(directory) as operation,
    ):
        try:
            operation.start(_read_changes, buffer, len(buffer), False, _FILE_NOTIFY_CHANGE_FILE_NAME, None)
        except PipeError as error:
            return Observed("refused", f"code {error.code}")
        was_pending = not operation.ended(0.1)
        pipe = fixture.name()
        with create_named_pipe(pipe):
            if not operation.ended(1):
                return Observed("does not end", "a pipe was created")
            size, _ = operation.result(SOON)
        has_name = pipe.rpartition("\\")[2].encode("utf-16-le") in buffer.raw
        note = f"{size} bytes, {'with' if has_name else 'without'} the name"
        return Observed("ends" if was_pending else "does not wait", note)


def _read_changes(directory: Handle, *arguments: object) -> int:
    """Call ReadDirectoryChangesW, which has one more argument after the OVERLAPPED."""
    return int(winapi.ReadDirectoryChangesW(directory, *arguments, None))


def silent_computer(_fixture: Fixture) -> Observed:
    """Return whether opening a pipe on a computer that does not respond is canceled at its deadline."""
    remote = r"\\192.0.2.1\pipe\x"
    begun = time.perf_counter()
    try:
        run_blocking(lambda: create_file(remote), Deadline(1), remote, undo=Handle.close).close()
    except PipeTimeoutError:
        seconds = time.perf_counter() - begun
        return Observed("canceled in time" if seconds < 2 else "canceled late", f"{seconds:.1f} s")
    except PipeError as error:
        return Observed("refused", f"code {error.code} after {time.perf_counter() - begun:.1f} s")
    raise NotTried("somebody answers at an address that nobody has")


def hasty_clients(fixture: Fixture) -> Observed:
    """Return whether a server still replies after many clients that disconnected at once."""
    pipe = fixture.name()
    begun = time.perf_counter()
    with PipeServer(pipe, _echo):
        came = sum(code_of(connect, pipe, SOON) == 0 for _ in range(_CLIENTS))
        seconds = time.perf_counter() - begun
        with connect(pipe, SOON) as client:
            answer = client.transact(b"still here", SOON)
    note = f"{came} clients in {seconds:.1f} s"
    return Observed("answers" if answer == b"still here" else "answers wrong", note)


def latency(fixture: Fixture) -> Observed:
    """Return how many of 200 requests got a reply, and how long that took."""
    pipe = fixture.name()
    times = []
    with PipeServer(pipe, _echo), connect(pipe, SOON) as client:
        for number in range(_REQUESTS):
            data = number.to_bytes(64)
            begun = time.perf_counter()
            if client.transact(data, SOON) == data:
                times.append(time.perf_counter() - begun)
    times.sort()
    median, slow = times[len(times) // 2], times[-2]
    return Observed(str(len(times)), f"median {median * 1e6:,.0f} us, slowest but one {slow * 1e6:,.0f} us")

"""Checks claims about handles, including those of other processes; each function returns what it observed."""

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from ctypes import byref
from ctypes.wintypes import HANDLE, ULONG
from functools import partial
from threading import Event, Thread

from pipectl.core.constants import Access, FileFlags, PipeMode, ShareMode
from pipectl.core.deadline import Stopwatch
from pipectl.core.errors import PipeClosedError, PipeError
from pipectl.core.inventory.handles import type_of
from pipectl.core.names import LOCAL_PREFIX
from pipectl.core.pipe.lifetime import ServerLifetime
from pipectl.core.security.descriptors import get_security
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_event, create_file, create_named_pipe
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import ProcessAccess, ThreadAccess
from pipectl.core.win32.queries import get_local_info, get_named_pipe_server_process_id, get_object_name
from pipectl.core.win32.system import SystemInformation, query_system

from . import tokens
from .fixture import SOON, Companion, Fixture, NotTried, Observed, code_of, codes, read, write

# The size of SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX, which has 40 bytes, or 28 in a 32-bit program.
_WORDS_OF_AN_ENTRY = 5 if ctypes.sizeof(HANDLE) == 8 else 7
_FILE_PROCESS_IDS_USING_FILE_INFORMATION = 47
_FILE_TYPE_PIPE = 3
_SAME_ACCESS = 2
# The time limit, in seconds, of a query that may never return.
_PATIENCE = 0.3


# The list of all handles


def listed(fixture: Fixture) -> Observed:
    """Return whether the list of all handles has a handle of this process."""
    event = fixture.enter_context(create_event())
    watch = Stopwatch()
    table = query_system(SystemInformation.EXTENDED_HANDLES)
    words = table.data.cast("P")  # the count, a reserved word, and the entries, whose first word is the address
    addresses = words[2 : 2 + _WORDS_OF_AN_ENTRY * words[0] : _WORDS_OF_AN_ENTRY]
    note = f"{words[0]:,} handles, {watch.seconds * 1000:.0f} ms, {'with' if any(addresses) else 'without'} addresses"
    is_there = type_of(table.data, os.getpid(), event.value) is not None
    return Observed("found" if is_there else "not found", note)


def listed_at_low_integrity(_fixture: Fixture) -> str:
    """Return the code of querying all handles at low integrity."""
    with tokens.at_low_integrity() as token, tokens.as_token(token):
        return codes(code_of(query_system, SystemInformation.EXTENDED_HANDLES))


# Queries of a handle that is in a synchronous call


class _Question:
    """A query of a handle, in a separate thread that may never end."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._answered = Event()
        self._thread_handle: Handle | None = None
        self._has_begun = Event()
        Thread(target=self._run, daemon=True).start()
        self._has_begun.wait(SOON)

    def is_answered(self, seconds: float) -> bool:
        """Wait for the answer, and return whether it arrived in time."""
        return self._answered.wait(seconds)

    def cancel(self) -> None:
        """Cancel the synchronous I/O of the thread."""
        if self._thread_handle is not None:
            with suppress(PipeError):
                winapi.CancelSynchronousIo(self._thread_handle)

    def close(self) -> None:
        """Close the handle of the thread."""
        if self._thread_handle is not None:
            self._thread_handle.close()

    def _run(self) -> None:
        process, thread = winapi.GetCurrentProcess(), HANDLE()
        own = winapi.GetCurrentThread()
        winapi.DuplicateHandle(process, own, process, byref(thread), ThreadAccess.TERMINATE, False, 0)
        self._thread_handle = Handle(thread.value)
        self._has_begun.set()
        with suppress(PipeError):
            self._ask()
        self._answered.set()


@contextmanager
def _read_synchronously(fixture: Fixture) -> Iterator[Handle]:
    """Yield a handle that a thread reads from without OVERLAPPED, and end the read afterwards."""
    pipe = fixture.name()
    with (
        create_named_pipe(pipe, pipe_mode=PipeMode.TYPE_BYTE | PipeMode.REJECT_REMOTE_CLIENTS) as server,
        create_file(pipe, flags=FileFlags.NONE) as client,
    ):
        buffer, size = ctypes.create_string_buffer(1), ULONG()
        thread = Thread(target=code_of, args=(winapi.ReadFile, client, buffer, 1, byref(size), None), daemon=True)
        thread.start()
        thread.join(_PATIENCE)  # until it is in the kernel
        try:
            yield client
        finally:
            write(server, b"x")
            thread.join(SOON)


def _duplicate(process: Handle | int, handle: int, access: int, options: int = 0) -> Handle:
    copy = HANDLE()
    winapi.DuplicateHandle(process, handle, winapi.GetCurrentProcess(), byref(copy), access, False, options)
    return Handle(copy.value)


_QUESTIONS: dict[str, Callable[[Handle], object]] = {
    "GetFileType": winapi.GetFileType,
    "NtQueryInformationFile": get_local_info,
    "NtQueryObject": get_object_name,
}


def questions_during_a_read(fixture: Fixture) -> str:
    """Return which queries of a duplicate block while its owner reads; all must return when the read ends."""
    with ExitStack() as stack:
        with _read_synchronously(fixture) as client:
            asked = {}
            for name, ask in _QUESTIONS.items():
                copy = _duplicate(winapi.GetCurrentProcess(), client.value, 0, _SAME_ACCESS)
                question = asked[name] = _Question(partial(ask, stack.enter_context(copy)))
                stack.callback(question.close)
            waiting = [name for name, question in asked.items() if not question.is_answered(_PATIENCE)]
        if not all(question.is_answered(SOON) for question in asked.values()):
            return "some wait for ever"
    return f"{', '.join(waiting) or 'none'} wait"


def question_left_behind(fixture: Fixture) -> str:
    """Return whether canceling ends a blocked query, and how long closing its handle takes."""
    with _read_synchronously(fixture) as client:
        copy = _duplicate(winapi.GetCurrentProcess(), client.value, 0, _SAME_ACCESS)
        question = _Question(partial(winapi.GetFileType, copy.value))
        try:
            if question.is_answered(_PATIENCE):
                raise NotTried("no question waits here")
            question.cancel()
            cancelled = "ended" if question.is_answered(_PATIENCE) else "still waits"
        finally:
            watch = Stopwatch()
            copy.close()
            question.close()
        return f"{cancelled}, {'closed at once' if watch.seconds < _PATIENCE else 'closed late'}"


# The handles of another process


def _serving_child(fixture: Fixture) -> tuple[Companion, str, int]:
    """Start a child that serves a pipe; return the child, the pipe's name, and the child's handle."""
    pipe = fixture.name()
    child = fixture.child("serve", pipe)
    return child, pipe, int(child.said())


def _copy_from(child: Companion, handle: int) -> Handle:
    access = Access.READ_CONTROL | Access.FILE_READ_ATTRIBUTES
    rights = ProcessAccess.DUP_HANDLE | ProcessAccess.QUERY_LIMITED_INFORMATION
    with Handle(winapi.OpenProcess(rights, False, child.pid)) as process:
        return _duplicate(process, handle, access)


def duplicate(fixture: Fixture) -> str:
    """Return which queries work on a duplicate of a child's end without data access."""
    child, pipe, handle = _serving_child(fixture)
    with _copy_from(child, handle) as copy:
        told = {
            "pipe": winapi.GetFileType(copy) == _FILE_TYPE_PIPE,
            "name": get_object_name(copy) == rf"\Device\NamedPipe\{pipe.removeprefix(LOCAL_PREFIX)}",
            "state": _holds(lambda: get_local_info(copy).state == "listening"),
            "server": _holds(lambda: get_named_pipe_server_process_id(copy) == child.pid),
            "descriptor": _holds(lambda: bool(get_security(copy).sddl)),
        }
    return ", ".join(what for what, is_told in told.items() if is_told)


def _holds(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except PipeError:
        return False


def killed_server(fixture: Fixture) -> Observed:
    """Return what is left of a killed server's pipe after a duplicate of its end is closed, too."""
    child, pipe, handle = _serving_child(fixture)
    with _copy_from(child, handle):
        child.kill()
        held = code_of(winapi.WaitNamedPipeW, pipe, 1)
    code = code_of(create_file, pipe)
    note = f"while a duplicate is held, a wait gives {held}"
    return Observed("gone" if code == 2 else f"code {code}", note)


def code_of_a_killed_server(fixture: Fixture) -> str:
    """Return the exit code of a killed server at the moment when its client sees the pipe closed."""
    child, pipe, _handle = _serving_child(fixture)
    with create_file(pipe, flags=FileFlags.OVERLAPPED) as client, ServerLifetime(client) as server:
        killing = Thread(target=os.kill, args=(child.pid, signal.SIGTERM), daemon=True)
        killing.start()
        with suppress(PipeClosedError):
            read(client)
        code = server.exit_code  # at once, not after the process has ended
        killing.join(SOON)
    return str(code)


def users_of_a_file(fixture: Fixture) -> Observed:
    """Return whether the system reports the processes that use a pipe, the device and the directory."""
    pipe = fixture.name()
    share = ShareMode.READ | ShareMode.WRITE
    found = {}
    with create_named_pipe(pipe) as server:
        found["end"] = _users_of(server)
    for label, path in (("device", LOCAL_PREFIX.rstrip("\\")), ("directory", LOCAL_PREFIX)):
        try:
            with create_file(path, Access.FILE_READ_ATTRIBUTES, share=share, flags=FileFlags.NONE) as handle:
                found[label] = _users_of(handle)
        except PipeError as error:
            found[label] = f"cannot be opened: {error.code}"
    return Observed("an answer each", ", ".join(f"{label}: {answer}" for label, answer in found.items()))


def _users_of(handle: Handle) -> str:
    memory = ctypes.create_string_buffer(64 << 10)
    block = winapi.IO_STATUS_BLOCK()
    code = code_of(
        winapi.NtQueryInformationFile,
        handle,
        byref(block),
        memory,
        len(memory),
        _FILE_PROCESS_IDS_USING_FILE_INFORMATION,
    )
    return f"code {code}" if code else f"{ULONG.from_buffer(memory).value} processes"

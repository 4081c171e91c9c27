"""Checks claims about reads, writes, their error codes, and queries; each function returns what it observed."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref
from ctypes.wintypes import DWORD

from pipectl.core.constants import PipeMode
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError, PipeTimeoutError
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_file, create_named_pipe
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.overlapped import Overlapped
from pipectl.core.win32.port import CompletionPort
from pipectl.core.win32.queries import (
    get_local_info,
    get_named_pipe_client_process_id,
    get_named_pipe_handle_state,
    set_named_pipe_handle_state,
)

from .fixture import SOON, Fixture, Observed, code_of, codes, read, transfer, write

_BYTE = PipeMode.TYPE_BYTE | PipeMode.REJECT_REMOTE_CLIENTS
_MESSAGE = PipeMode.MESSAGE | PipeMode.REJECT_REMOTE_CLIENTS
_LARGE = 64 << 20


@contextmanager
def _pair(fixture: Fixture, mode: PipeMode = _MESSAGE, *, buffer: int = 4096) -> Iterator[tuple[Handle, Handle]]:
    """Yield both ends of a pipe; on a message pipe, the client reads whole messages."""
    pipe = fixture.name()
    with (
        create_named_pipe(pipe, pipe_mode=mode, out_buffer_size=buffer, in_buffer_size=buffer) as server,
        create_file(pipe) as client,
    ):
        if mode & PipeMode.TYPE_MESSAGE:
            set_named_pipe_handle_state(client, PipeMode.READ_MESSAGE)
        yield server, client


# Codes


def situations(fixture: Fixture) -> str:
    """Return the codes of nine situations."""
    absent = code_of(create_file, fixture.name())
    with _pair(fixture) as (server, client):
        busy = code_of(create_file, server.name)
        set_named_pipe_handle_state(client, PipeMode.READ_BYTE)
        wrong_mode = code_of(_transact, client)
        set_named_pipe_handle_state(client, PipeMode.READ_MESSAGE)
        write(server, b"0123456789")
        _, longer = transfer(winapi.ReadFile, client, ctypes.create_string_buffer(4), 4, None)
        connected = _connect_code(server)
        winapi.DisconnectNamedPipe(server)
        disconnected = code_of(read, client)
    with _pair(fixture) as (server, client):
        client.close()
        gone = _connect_code(server)
    with _pair(fixture) as (server, client):
        server.close()
        closed = code_of(read, client)
    with create_named_pipe(fixture.name()) as server:
        listening = code_of(read, server)
    found = (absent, busy, wrong_mode, longer, gone, disconnected, closed, connected, listening)
    return " ".join(map(str, found))


def _transact(client: Handle) -> None:
    buffer = ctypes.create_string_buffer(10)
    transfer(winapi.TransactNamedPipe, client, b"x", 1, buffer, len(buffer), None)


def _connect_code(server: Handle) -> int:
    """Return the code of ConnectNamedPipe itself; if a client is connected, `Overlapped` returns it as a result."""
    with Overlapped(server) as operation:
        try:
            return operation.start(winapi.ConnectNamedPipe)
        except PipeError as error:
            return error.code


def nowait(fixture: Fixture) -> str:
    """Return the codes of reading an empty and a closed pipe with PIPE_NOWAIT."""
    with _pair(fixture, _BYTE) as (server, client):
        set_named_pipe_handle_state(client, PipeMode.NOWAIT)
        empty = code_of(read, client)
        server.close()
        return codes(empty, code_of(read, client))


def peek_on_a_byte_pipe(fixture: Fixture) -> str:
    """Return how many bytes PeekNamedPipe says are left of the message after 4 bytes."""
    with _pair(fixture, _BYTE) as (server, client):
        write(server, b"0123456789")
        buffer, left = ctypes.create_string_buffer(4), DWORD()
        winapi.PeekNamedPipe(client, buffer, len(buffer), byref(DWORD()), byref(DWORD()), byref(left))
        return str(ctypes.c_int32(left.value).value)


# Operations


def empty_write(fixture: Fixture) -> str:
    """Return the result of a pending read of a byte pipe after a write of 0 bytes."""
    with _pair(fixture, _BYTE) as (server, client), Overlapped(client) as operation:
        operation.start(winapi.ReadFile, ctypes.create_string_buffer(10), 10, None)
        write(server, b"")
        if not operation.ended(SOON / 3):
            return "nothing: it goes on waiting"
        return f"{operation.result(SOON)[0]} bytes"


def packets_of_a_part(fixture: Fixture) -> str:
    """Return how many completion packets are queued for a read that ends at once with ERROR_MORE_DATA."""
    with _pair(fixture) as (server, client), CompletionPort("a port") as port, Overlapped(client) as operation:
        port.add(client, 1)
        write(server, b"0123456789")
        operation.start(winapi.ReadFile, ctypes.create_string_buffer(4), 4, None)
        operation.ended(SOON)
        found = 0
        while packets := port.take(0.2):
            found += len(list(packets))
        return str(found)


def cancelled_write(fixture: Fixture) -> Observed:
    """Return whether a reader gets at most the beginning of a canceled write."""
    data = bytes(range(256)) * 4096
    found = []
    for label, mode in (("byte", _BYTE), ("message", _MESSAGE)):
        with _pair(fixture, mode) as (server, client):
            try:
                write(server, data, 0.1)
            except PipeTimeoutError:
                rest = _waiting(client)
                found.append((label, rest, data.startswith(rest)))
            else:
                found.append((label, b"", True))
    note = ", ".join(f"{label}: {len(rest):,} bytes" for label, rest, _ in found)
    return Observed("a beginning at most" if all(is_begin for *_, is_begin in found) else "something else", note)


def _waiting(client: Handle) -> bytes:
    """Return the unread data."""
    available = DWORD()
    winapi.PeekNamedPipe(client, None, 0, None, byref(available), None)
    return read(client, available.value) if available.value else b""


def large_write(fixture: Fixture) -> Observed:
    """Return whether a pipe works after an unread write of 64 MiB."""
    with _pair(fixture, _BYTE) as (server, client):
        try:
            note = f"{write(server, bytes(_LARGE), 0.2):,} bytes taken"
        except PipeTimeoutError:
            note = "it waits, and was cancelled"
        except PipeError as error:
            note = f"refused with {error.code}"
        deadline = Deadline(SOON)
        while not deadline.passed and _waiting(client):
            pass
        write(server, b"on")
        return Observed("works on" if read(client) == b"on" else "is disturbed", note)


def write_quota(fixture: Fixture) -> str:
    """Return the state of the write quota of a server's end before a write, after it, and after a read of all data."""
    with _pair(fixture) as (server, client):
        found = [_quota(server)]
        write(server, bytes(100))
        found.append(_quota(server))
        read(client)
        found.append(_quota(server))
    return ", ".join(found)


def _quota(server: Handle) -> str:
    info = get_local_info(server)
    return "whole" if info.write_quota_available == info.outbound_quota > 0 else "less"


# Queries about the ends


def collection_values(fixture: Fixture) -> str:
    """Return the codes of querying and of setting the collection values of a local pipe."""
    with _pair(fixture) as (_, client):
        return codes(
            code_of(get_named_pipe_handle_state, client, collection_data=True),
            code_of(set_named_pipe_handle_state, client, max_collection_count=100),
        )


def computer_name(fixture: Fixture) -> str:
    """Return the code of querying the computer name of a local client."""
    with _pair(fixture) as (server, _):
        name = ctypes.create_unicode_buffer(256)
        return codes(winapi.GetNamedPipeClientComputerNameW(server, name, ctypes.sizeof(name)))


def client_of_a_listener(fixture: Fixture) -> Observed:
    """Return whether an instance without a client reports a client process."""
    with create_named_pipe(fixture.name()) as server:
        code = code_of(get_named_pipe_client_process_id, server)
    return Observed("refused" if code else "answered", f"code {code}")

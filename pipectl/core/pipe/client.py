"""`Client`: one instance of a server's pipe and the client connected to it, from listening to disconnecting.

A client has at most one pending read and one pending write, which complete on the server's port. It moves its own data
and changes its own state; the server passes it the packets, and then acts on its state. So a client costs two
OVERLAPPED structures and a small buffer, which grows only if it sends long messages.

* After a client has closed its end, nothing can be sent to it, but data that it sent before is still read.
* A client that does not read its replies is not read from either, once `_HIGH_WATER` bytes are queued for it.
* The memory of an operation is freed only after its completion packet has arrived.
"""

import ctypes
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from ctypes import byref
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pipectl.core.constants import LARGEST_WRITE, STATUS_BUFFER_OVERFLOW, STATUS_PENDING, STATUS_SUCCESS, WinError
from pipectl.core.errors import MessageTooLongError, PipeClosedError, PipeError
from pipectl.core.win32 import calls, queries, winapi
from pipectl.core.win32.handle import Handle

from .config import PipeConfig
from .memory import Memory

if TYPE_CHECKING:
    from pipectl.core.deadline import Deadline

_SMALL_BUFFER = 512
_LARGE_BUFFER = 65536
_HIGH_WATER = 1 << 20

# The results of an operation that queues a completion packet.
_BEGUN = frozenset((STATUS_SUCCESS, STATUS_PENDING, STATUS_BUFFER_OVERFLOW))


class State(Enum):
    """The state of a client. The states follow in this order; any but the first and the last may be skipped."""

    # Its instance waits for a client.
    LISTENING = 1
    # It is read from and written to.
    CONNECTED = 2
    # The server is closing it: it gets no more answers, but queued data is still written.
    CLOSING = 3
    # Everything is written. It has some time to read that, because DisconnectNamedPipe would discard it.
    LINGERING = 4
    # It has closed its end, has read everything, or its time is up. Nothing more is read or written.
    GONE = 5


_LISTENING, _CONNECTED, _CLOSING, _LINGERING, _GONE = State

# The overhead that is counted for each queued message.
_OVERHEAD = 64


class Loop(Protocol):
    """The part of a server that its clients use."""

    def is_here(self) -> bool:
        """Return whether this is the server's thread."""

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the server's thread, after its current work."""

    def send(self, client: "Client", data: bytes) -> None:
        """Send a message that is not a reply."""

    def answer(self, client: "Client", data: bytes | None) -> None:
        """Send the reply to a message, and read the next one."""

    def close_client(self, client: "Client") -> None:
        """Close a client, and remove it when that is done."""

    def fail(self, error: BaseException) -> None:
        """Stop the server because of an error."""


class Client:
    """A client of a PipeServer. Its methods `send`, `reply`, `close` and `fail` may be called from any thread."""

    __slots__ = (
        "__weakref__",
        "_being_written",
        "_buffer",
        "_config",
        "_is_reading",
        "_loop",
        "_memory",
        "_output",
        "_output_size",
        "_parts",
        "_read_call",
        "_read_overlapped",
        "_reads",
        "_refuses_writes",
        "_rest",
        "_size",
        "_write_accepted",
        "_write_call",
        "_write_overlapped",
        "error",
        "handle",
        "has_left",
        "is_flushing",
        "is_paused",
        "is_silent",
        "key",
        "next_message",
        "read_address",
        "state",
        "time",
        "when_gone",
    )

    def __init__(self, loop: Loop, key: int, handle: Handle, memory: Memory, config: PipeConfig) -> None:
        self.state = _LISTENING
        # The error for which the server closed it, if any.
        self.error: PipeError | None = None
        # The server end of the pipe, for queries; the server owns it.
        self.handle = handle
        # The completion key.
        self.key = key
        # Whether an answer is deferred. Until then, one more message is read and kept, only to detect that the client
        # leaves.
        self.is_paused = False
        self.next_message: bytes | None = None
        # Whether a thread uses the handle to wait until the client has read everything.
        self.is_flushing = False
        self.has_left = False
        # Whether nothing was received from it, nothing was sent to it, and `close` was not called.
        self.is_silent = True
        # Called in the server's thread when the client has left; other threads must check `state` after setting it.
        self.when_gone: Callable[[], None] | None = None
        # Until when it may linger; None until it is closed.
        self.time: Deadline | None = None
        self._loop = loop
        self._config = config
        self._reads = config.reads
        self._memory = memory

        self._read_overlapped = winapi.OVERLAPPED()
        self.read_address = ctypes.addressof(self._read_overlapped)
        # Whether a read, or the wait for a client, is pending.
        self._is_reading = False
        # The beginning of a message that is longer than the buffer.
        self._parts: bytearray | None = None
        self._keep_buffer(_SMALL_BUFFER)

        self._write_overlapped = winapi.OVERLAPPED()
        write = byref(self._write_overlapped)
        # The arguments that never change: the handle, no event, no APC, the value in the packet, and the result.
        self._write_call = partial(winapi.NtWriteFile, handle.pointer, None, None, write, write)
        self._being_written: bytes | None = None
        # Whether the write has succeeded at once, so that its packet is already queued.
        self._write_accepted = False
        # Whether a write has failed, or nothing more is to be written.
        self._refuses_writes = False
        # The messages that are queued for writing.
        self._output: deque[bytes] | None = None
        # The rest of a stream's data that is written in pieces.
        self._rest: memoryview | None = None
        self._output_size = 0

    # For programs

    @property
    def pid(self) -> int:
        """The client's process, as the system reports it."""
        return queries.get_named_pipe_client_process_id(self.handle)

    def send(self, data: bytes) -> None:
        """Queue a message for the client; it is dropped if the client has left.

        If more than the server's `max_queue` bytes are queued, the client is closed. Raises TypeError unless `data` is
        `bytes`.
        """
        _check_bytes(data)
        if self._loop.is_here():
            self._loop.send(self, data)  # before the answer that the handler returns
        else:
            self._loop.post(self._loop.send, self, data)

    def reply(self, data: bytes | None) -> None:
        """Send the reply for which the handler returned LATER; None sends nothing. Raises TypeError like `send`."""
        if data is not None:
            _check_bytes(data)
        self._loop.post(self._loop.answer, self, data)

    def close(self) -> None:
        """Disconnect the client after everything queued for it is written; does nothing if it has left."""
        self.is_silent = False
        self._loop.post(self._loop.close_client, self)

    def fail(self, error: BaseException) -> None:
        """Stop the server because of an error, which its `wait` raises like one of a handler."""
        self._loop.post(self._loop.fail, error)

    @property
    def was_visit(self) -> bool:
        """Whether it only opened the pipe and left, as Docker's client does to check that the pipe exists."""
        return self.is_silent and self.has_left

    # For the server: reading

    def listen(self) -> bool:
        """Begin to wait for a client; return False if one has already connected, for which no packet is queued."""
        self._is_reading = True
        try:
            return bool(winapi.ConnectNamedPipe(self.handle, byref(self._read_overlapped)) != WinError.PIPE_CONNECTED)
        except PipeClosedError:  # a client has connected and left again, perhaps after sending a message
            return False

    def begin_read(self) -> None:
        """Begin a read, unless one is pending, a message waits to be answered, or too much is queued for writing.

        While the packet of a write is queued, the read is left to `write_ended`: by then there is often data, and a
        read that completes at once costs less.
        """
        if (
            self._is_reading
            or not self._reads
            or self.state is not _CONNECTED
            or self.next_message is not None
            or self._write_accepted
            or self._output_size >= _HIGH_WATER
        ):
            return
        status = self._read_call()
        if status in _BEGUN:
            self._is_reading = True
        else:
            self._note_failure(status, winapi.NtReadFile)
            self.leave()

    def read_ended(self, status: int, count: int) -> bytes | None:
        """Handle the result of a read; return a message if it is whole, and None if the server must check `state`."""
        self._is_reading = False
        if self.state is not _CONNECTED:
            if self.state in (_CLOSING, _LINGERING) and status not in _BEGUN:
                self.leave()  # data that it sends after it was closed is dropped, but its leaving is detected
            return None
        if status == STATUS_SUCCESS:
            self.is_silent = False
            data: bytes = self._buffer[:count]
            if self._parts is not None:
                return self._joined(data)
            if count == self._size < _LARGE_BUFFER:
                self._keep_buffer(min(count * 4, _LARGE_BUFFER))
            return data
        if status == STATUS_BUFFER_OVERFLOW:
            self.is_silent = False
            self._read_on(count)
        else:
            self.leave()
        return None

    def cancel_read(self) -> None:
        """Cancel the pending read, or the pending wait for a client."""
        if self._is_reading:
            winapi.CancelIoEx(self.handle, byref(self._read_overlapped))

    def _joined(self, rest: bytes) -> bytes:
        assert self._parts is not None
        data = b"".join((self._parts, rest))
        self._parts = None
        self._keep_buffer(min(len(data), _LARGE_BUFFER))
        return data

    def _read_on(self, count: int) -> None:
        """Keep a part of a message, and begin to read the rest, or close the client if the message is too long."""
        if self._parts is None:
            self._parts = bytearray()
        self._parts += memoryview(self._buffer)[:count]
        try:
            left = calls.peek_named_pipe(self.handle).left_in_message
        except PipeClosedError:  # if a writer is killed, the rest of its message is lost
            self.leave()
            return
        if len(self._parts) + left > self._config.max_message:
            self._parts = None
            self.begin_close(MessageTooLongError(f"a message is longer than {self._config.max_message} bytes"))
            return
        if self._memory.take(self, len(self._parts) + left):
            self.go_on()

    def go_on(self) -> None:
        """Read the rest of a message, now that there is memory for it."""
        try:
            left = calls.peek_named_pipe(self.handle).left_in_message
        except PipeClosedError:
            self.leave()
            return
        self._keep_buffer(max(left, 1))
        self.begin_read()

    def _keep_buffer(self, size: int) -> None:
        if self._config.is_message:  # no larger than a message may be, so that a longer one is detected
            size = max(1, min(size, self._config.max_message))
        # Any, because its slices are bytes, although the type hints say lists.
        self._buffer: Any = ctypes.create_string_buffer(size)
        self._size = size
        read = byref(self._read_overlapped)
        self._read_call = partial(
            winapi.NtReadFile, self.handle.pointer, None, None, read, read, self._buffer, size, winapi.NO_OFFSET, None
        )

    # For the server: writing

    def queue(self, data: bytes) -> bool:
        """Write a message after those already queued; return whether the client can still receive it."""
        self.is_silent = False
        if self._refuses_writes or self.state is not _CONNECTED:
            return False
        if not (data or self._config.is_message):
            return True
        if self._being_written is None:
            self._write(data)
            return not self._refuses_writes
        if self._output is None:
            self._output = deque()
        self._output.append(data)
        self._output_size += len(data) + _OVERHEAD
        return True

    @property
    def is_overfull(self) -> bool:
        """Whether more is queued for writing than the server allows; one message of any size is allowed."""
        return self._output_size > self._config.max_queue and self._output is not None and len(self._output) > 1

    def write_ended(self, status: int) -> None:
        """Handle the result of a write: write queued data, and begin the next read."""
        self._being_written = None
        self._write_accepted = False
        if status != STATUS_SUCCESS:
            self._refuse_writes()
        elif self._rest is not None:
            self._write_piece(self._rest)
        elif self._output:
            data = self._output.popleft()
            self._output_size -= len(data) + _OVERHEAD
            self._write(data)
        if self.state is _CONNECTED:
            self.begin_read()
        else:
            self._linger_if_written()

    def _write(self, data: bytes) -> None:
        if len(data) > LARGEST_WRITE and not self._config.is_message:
            self._write_piece(memoryview(data))
            return
        status = self._write_call(data, len(data), winapi.NO_OFFSET, None)
        if status in _BEGUN:
            self._being_written = data
            self._write_accepted = status == STATUS_SUCCESS
        else:
            self._note_failure(status, winapi.NtWriteFile)
            self._refuse_writes()
            if self.error is not None:  # the client is still connected, and would wait for this forever
                self.begin_close()

    def _write_piece(self, data: memoryview) -> None:
        self._rest = data[LARGEST_WRITE:] or None
        self._write(bytes(data[:LARGEST_WRITE]))

    def _refuse_writes(self) -> None:
        """Write no more to a client that closed its end; what it sent before is still read."""
        self._refuses_writes = True
        self._output = self._rest = None
        self._output_size = 0

    def _note_failure(self, status: int, function: Callable[..., int]) -> None:
        """Keep the error of an operation that failed at once, unless the client has closed its end."""
        error = winapi.native_error(status, function, self.handle)
        if isinstance(error, PipeError) and not isinstance(error, PipeClosedError):
            self.error = self.error or error

    # For the server: leaving

    def begin_close(self, error: PipeError | None = None) -> None:
        """Stop answering; the client lingers once everything queued is written."""
        self.error = self.error or error
        if self.state is _CONNECTED:
            self.is_paused = False
            self.next_message = None
            self._memory.give_back(self)
            self.begin_read()  # to detect that the client leaves
        if self.state is _CONNECTED:
            self.state = _CLOSING
            self._linger_if_written()

    def leave(self) -> None:
        """Enter GONE, because the client has closed its end."""
        self.has_left = True
        self.end()

    def end(self) -> None:
        """Enter GONE: the client has left, has read everything, or its time is up."""
        self.state = _GONE
        self.is_paused = False
        self.next_message = self._parts = None
        self._memory.give_back(self)
        self._refuse_writes()
        if not self.is_idle:
            with suppress(PipeError):  # a handler has closed the handle
                winapi.CancelIoEx(self.handle, None)

    @property
    def is_idle(self) -> bool:
        """Whether no operation is pending, so that no packet will arrive, and no thread uses the handle."""
        return not (self._is_reading or self.is_flushing) and self._being_written is None

    def _linger_if_written(self) -> None:
        if self.state is _CLOSING and self._being_written is None:
            self.state = _LINGERING


def _check_bytes(data: object) -> None:
    if not isinstance(data, bytes):
        raise TypeError(f"a message is bytes, not {type(data).__name__}")

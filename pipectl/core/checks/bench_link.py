"""`Link`: one connection of a bench, which sends the same request repeatedly and counts the bytes of each reply.

A request to a message pipe is a transaction, as in `call`: one operation. A byte pipe, a framing rule for the reply, or
a request that is too long for a transaction needs two: a read, which begins first, and a write. So a server that
replies before it has read the whole request does not block, and a read that ends at once has found unexpected data.
"""

import ctypes
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pipectl.core.constants import (
    BUFFER_SIZE,
    FSCTL_PIPE_TRANSCEIVE,
    STATUS_BUFFER_OVERFLOW,
    STATUS_PENDING,
    STATUS_SUCCESS,
    WinError,
)
from pipectl.core.errors import MessageTooLongError, PipeClosedError, PipeError, PipeStateError, error_for
from pipectl.core.traffic.loop import BEGUN, Loop, Operation
from pipectl.core.win32 import calls, winapi

if TYPE_CHECKING:
    from pipectl.core.pipe.connection import Connection
    from pipectl.core.pipe.frames import Framing

# The largest transaction that Windows guarantees, in bytes.
_MAX_TRANSACTION = 65536
_FIRST_BUFFER, _LARGEST_KEPT_BUFFER = 4096, 1 << 20


class Manner(NamedTuple):
    """The request, the framing rule of its reply (None = one message), and the maximum size of a reply in bytes."""

    request: bytes
    until: "Framing | None"
    max_message: int


# Receives the result of an exchange: the size of the reply, or an error, after which the link must be closed.
Done = Callable[[int, PipeError | None], None]


class Link:
    """A connection whose operations complete in a loop; call all its methods in the loop's thread.

    `done` is called once for each `ask`, even if it fails at once, but not after `close`.
    """

    __slots__ = (
        "_buffer",
        "_connection",
        "_count",
        "_done",
        "_is_closed",
        "_manner",
        "_read_call",
        "_reading",
        "_received",
        "_searched",
        "_size",
        "_transact_call",
        "_until",
        "_write_call",
        "_writing",
    )

    def __init__(self, loop: Loop, connection: "Connection", manner: Manner, done: Done) -> None:
        self._connection = connection
        self._manner = manner
        self._done = done
        self._is_closed = False
        # The current reply: the number of its bytes and, with a framing rule, its bytes and how many were searched.
        self._count = 0
        self._until: Framing | None = None
        self._received = bytearray()
        self._searched = 0
        is_transaction = connection.is_message and manner.until is None and len(manner.request) <= _MAX_TRANSACTION
        self._reading = Operation(loop, self._transacted if is_transaction else self._read)
        self._writing = Operation(loop, self._written)
        self._transact_call: partial[int] | None = None
        handle, write, request = connection.handle.pointer, self._writing.reference, manner.request
        self._write_call = partial(
            winapi.NtWriteFile, handle, None, None, write, write, request, len(request), winapi.NO_OFFSET, None
        )
        self._keep_buffer(_FIRST_BUFFER if connection.is_message else BUFFER_SIZE, transacts=is_transaction)
        loop.watch(connection.handle)

    def ask(self) -> None:
        """Send the request; `done` is called when the reply is complete."""
        self._count = 0
        if self._transact_call is not None:
            status = self._transact_call()
            if status in BEGUN:
                self._reading.begun()
            else:
                self._fail(status, winapi.NtTransactNamedPipe)
            return
        rule = self._manner.until
        self._until = None if rule is None else rule.for_reply_to(self._manner.request).begin()
        if self._received:
            self._fail_by(_unread(self._connection))
            return
        status = self._begin_read()
        if status == STATUS_PENDING:
            self._begin_write()
        elif status in BEGUN:
            self._fail_by(_unread(self._connection))
        else:
            self._fail(status, winapi.NtReadFile)

    def close(self) -> None:
        """Close the connection; a pending operation keeps its memory until it has ended."""
        if not self._is_closed:
            self._is_closed = True
            for operation in (self._reading, self._writing):
                operation.cancel(self._connection.handle)
                if not operation.is_pending:
                    operation.ended = _nothing  # breaks a reference cycle, which each new connection would leave behind
            self._connection.close()

    def _begin_read(self) -> int:
        """Start a read and return the status; with a status in BEGUN, a packet follows, even if the read has ended."""
        status = self._read_call()
        if status in BEGUN:
            self._reading.begun(self._buffer)
        return status

    def _read_on(self) -> None:
        status = self._begin_read()
        if status not in BEGUN:
            self._read_failed(status)

    def _begin_write(self) -> None:
        status = self._write_call()
        if status in BEGUN:
            self._writing.begun()
            return
        error = winapi.native_error(status, winapi.NtWriteFile, self._connection.handle)
        if not isinstance(error, PipeClosedError):  # what the server sent before it closed can still be read
            self._fail_by(error)

    def _transacted(self, status: int, count: int) -> None:
        if status == STATUS_SUCCESS and not self._is_closed:
            self._done(self._count + count, None)
        else:
            self._read(status, count)

    def _read(self, status: int, count: int) -> None:
        if self._is_closed:
            return
        if status not in (STATUS_SUCCESS, STATUS_BUFFER_OVERFLOW):
            self._read_failed(status)
            return
        self._count += count
        if self._count > self._manner.max_message:
            self._fail_by(self._too_long(self._count))
        elif self._until is not None:
            self._look_for_end(self._until, count)
        elif status == STATUS_BUFFER_OVERFLOW:
            self._read_rest()
        else:
            self._end_if_written()

    def _read_rest(self) -> None:
        """Read the rest of a message into a buffer that is large enough for the next message."""
        try:
            left = calls.peek_named_pipe(self._connection.handle).left_in_message
        except PipeClosedError as error:  # the rest is lost if the server's process was terminated
            self._fail_by(error)
            return
        size = self._count + left
        if size > self._manner.max_message:
            self._fail_by(self._too_long(size))
            return
        self._keep_buffer(max(size, 1), transacts=self._transact_call is not None)
        self._read_on()

    def _look_for_end(self, until: "Framing", count: int) -> None:
        received = self._received
        received += memoryview(self._buffer)[:count]
        if not count and until.ends_at_empty_message:
            self._reply_ends(len(received))
            return
        try:
            span = until.split(received, self._searched)
            needed = until.needed(received) or 0
        except PipeError as error:
            self._fail_by(error)
            return
        if span is not None:
            self._reply_ends(span.end)
        elif needed > self._manner.max_message:
            self._fail_by(self._too_long(needed))
        else:
            self._searched = len(received)
            self._read_on()

    def _reply_ends(self, end: int) -> None:
        self._count = end
        del self._received[:end]
        self._searched = 0
        self._end_if_written()

    def _read_failed(self, status: int) -> None:
        error = winapi.native_error(status, winapi.NtReadFile, self._connection.handle)
        assert isinstance(error, PipeError)
        if isinstance(error, PipeClosedError) and self._until and self._until.is_whole_at_close(self._received):
            self._reply_ends(len(self._received))
        else:
            self._fail_by(error)

    def _written(self, status: int, _count: int) -> None:
        if self._is_closed or status == STATUS_SUCCESS:
            if not (self._is_closed or self._reading.is_pending):
                self._done(self._count, None)
            return
        error = winapi.native_error(status, winapi.NtWriteFile, self._connection.handle)
        if not (isinstance(error, PipeClosedError) and self._reading.is_pending):
            self._fail_by(error)

    def _end_if_written(self) -> None:
        """End the exchange if the request is written; otherwise, `_written` ends it."""
        if not self._writing.is_pending:
            self._done(self._count, None)

    def _fail(self, status: int, function: Callable[..., int]) -> None:
        error = winapi.native_error(status, function, self._connection.handle)
        if isinstance(error, PipeStateError) and error.code != WinError.PIPE_BUSY:
            # Its state was valid before, so the server must have closed it.
            error = PipeClosedError(error.reason, code=error.code, function=error.function, pipe=error.pipe)
        self._fail_by(error)

    def _fail_by(self, error: Exception) -> None:
        assert isinstance(error, PipeError)
        self.close()
        self._done(0, error)

    def _too_long(self, size: int) -> MessageTooLongError:
        limit = self._manner.max_message
        return MessageTooLongError(
            f"{size} bytes exceed the limit of {limit} bytes", pipe=self._connection.pipe, topic="message size"
        )

    def _keep_buffer(self, size: int, *, transacts: bool) -> None:
        """Create a buffer for reads; transactions use it too, unless it is too large to keep for other replies."""
        buffer: Any = (ctypes.c_char * size)()
        handle, read, request = self._connection.handle.pointer, self._reading.reference, self._manner.request
        begin = (handle, None, None, read, read)
        self._buffer = buffer
        self._read_call = partial(winapi.NtReadFile, *begin, buffer, size, winapi.NO_OFFSET, None)
        if transacts and size <= _LARGEST_KEPT_BUFFER:
            self._transact_call = partial(
                winapi.NtTransactNamedPipe, *begin, FSCTL_PIPE_TRANSCEIVE, request, len(request), buffer, size
            )


def _nothing(_status: int, _count: int) -> None:
    """Do nothing."""


def _unread(connection: "Connection") -> PipeError:
    return error_for(WinError.PIPE_BUSY, "unread data that belongs to no request", "TransactNamedPipe", connection.pipe)

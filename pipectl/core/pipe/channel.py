"""`Channel`: one end of a pipe that sends and receives with deadlines; an interrupted wait loses no data."""

import ctypes
from typing import TYPE_CHECKING, Any, Literal

from pipectl.core.constants import BUFFER_SIZE, FSCTL_PIPE_TRANSCEIVE, LARGEST_WRITE, MAX_MESSAGE, WinError
from pipectl.core.deadline import Deadline, Timeout, deadline_of
from pipectl.core.errors import MessageTooLongError, OperationAbortedError, PipeError, PipeTimeoutError
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Closing, Handle
from pipectl.core.win32.overlapped import Buffer, Overlapped, address_of

if TYPE_CHECKING:
    from pipectl.core.models import Peek

# The buffer of a message pipe grows with the messages received.
_FIRST_BUFFER = 4096
_LARGEST_KEPT_BUFFER = 1 << 20

# What precedes the next read: nothing, bytes of a stream, the beginning of a message, a whole message, or a pending
# read that an exception interrupted or a request began.
Ahead = Literal["", "bytes", "part", "whole", "left"]
# Why the next reply might belong to another request: the last reply may still arrive, the last request is not read
# completely yet, or the last send may have arrived in part.
Spent = Literal["", "unanswered", "not taken", "cut"]
# Errors after which a part of a write may have arrived; after any other error, nothing has.
_CUTTING = (PipeTimeoutError, OperationAbortedError)


class Channel(Closing):
    """The part of a Connection that transfers data; shares its private state only with `requests`."""

    __slots__ = (
        "_ahead",
        "_buffer",
        "_partial",
        "_parts",
        "_read_call",
        "_read_operation",
        "_size",
        "_spent",
        "_target",
        "_transact_call",
        "_unfinished",
        "_unsent",
        "_write_call",
        "_write_operation",
        "handle",
        "is_message",
        "max_message",
    )

    def __init__(self, handle: Handle, *, is_message: bool, max_message: int = MAX_MESSAGE) -> None:
        self.handle = handle
        self.is_message = is_message
        self.max_message = max_message
        self._ahead: Ahead = ""
        self._target: Any = None  # the buffer of a pending read
        # The parts of a message received so far; and before them, bytes of a stream received after the end of a reply,
        # or before a deadline passed.
        self._parts: list[bytes | memoryview] = []
        self._partial = bytearray()
        # Why the next reply might belong to another request; empty if it cannot.
        self._spent: Spent = ""
        self._read_operation = Overlapped(handle)
        self._transact_call = self._read_operation.bind(winapi.NtTransactNamedPipe, FSCTL_PIPE_TRANSCEIVE)
        # Created for the first send: many connections are only for requests.
        self._write_operation: Overlapped | None = None
        # The write of a request, which may still be pending when the reply arrives.
        self._unfinished: Overlapped | None = None
        # The rest of that request, which is not being written yet.
        self._unsent: bytes | memoryview = b""
        # No larger than a message may be, so that a longer one is detected.
        self._keep_buffer(max(1, min(max_message, _FIRST_BUFFER if is_message else BUFFER_SIZE)))

    @property
    def pipe(self) -> str | None:
        """The pipe's full name."""
        return self.handle.name

    def send(self, data: Buffer, timeout: Timeout = None) -> None:
        """Write all data, as one message on a message pipe.

        Raises PipeTimeoutError if the other end did not read it in time; a part may have arrived. Raises
        PipeClosedError if the other end is closed: data that it sent before can still be received.
        """
        operation = self._write_operation or self._begin_writing(timeout)
        memory = data if data.__class__ is bytes else address_of(data)
        if len(memory) > LARGEST_WRITE and not self.is_message:
            self._send_in_pieces(memory, deadline_of(timeout))
            return
        try:
            operation.run(self._write_call, timeout, memory, len(memory), winapi.NO_OFFSET, None)
        except BaseException as error:
            if not isinstance(error, PipeError) or isinstance(error, _CUTTING):
                self._spent = self._spent or "cut"
            raise

    def receive(self, timeout: Timeout = None) -> bytes:
        """Return one whole message; on a byte pipe, the available bytes, at least one.

        Raises PipeClosedError at the end of the stream, PipeTimeoutError, and MessageTooLongError beyond
        `max_message`, as does each later call. Data received before a timeout or Ctrl+C is kept for the next call.
        """
        if self._ahead:
            return self._receive_on(timeout)
        operation = self._read_operation
        try:
            code = operation.run(self._read_call, timeout)
        except BaseException:
            self._ahead, self._target = "left", self._buffer
            self._recover()
            raise
        if code:
            self._parts += (self._buffer[: operation.count],)
            self._ahead = "part"
            return self._receive_on(timeout)
        message: bytes = self._buffer[: operation.count]
        return message

    def receive_into(self, memory: bytearray | memoryview, timeout: Timeout = None) -> int:
        """Read one whole message, or the available bytes, into the caller's buffer and return the size.

        Faster for large messages: `receive` must allocate new memory for each one and copy it. Raises the errors of
        `receive`, and MessageTooLongError for a message longer than the buffer, which `receive` can still return.
        """
        view = memoryview(memory).cast("B")
        lent: Any = (ctypes.c_char * len(view)).from_buffer(view)
        if self._ahead and self._is_something_ahead(timeout):
            return self._copy_into(view)
        operation = self._read_operation
        try:
            code = operation.run(operation.bind(winapi.NtReadFile, lent, len(view), winapi.NO_OFFSET, None), timeout)
        except BaseException:
            self._ahead, self._target = "left", lent
            self._recover()
            raise
        if code:
            self._parts += (lent[: operation.count],)
            self._ahead = "part"
            raise self._too_long_for(view)
        return operation.count

    def peek(self, size: int = 0) -> "Peek":
        """Return up to `size` bytes of unread data without consuming them."""
        from pipectl.core.win32.calls import peek_named_pipe  # not needed to exchange messages

        return peek_named_pipe(self.handle, size)

    def close(self) -> None:
        """Cancel pending operations of all threads and close the handle; the other end can still read written data."""
        try:
            for operation in (self._read_operation, self._write_operation, self._unfinished):
                if operation is not None:
                    operation.close()
        finally:
            self.handle.close()

    # Sending

    def _send_in_pieces(self, memory: "bytes | ctypes.Array[ctypes.c_char]", deadline: Deadline) -> None:
        begin = 0
        try:
            for begin in range(0, len(memory), LARGEST_WRITE):
                piece: Any = memory[begin : begin + LARGEST_WRITE]
                self.send(piece, deadline)
        except BaseException:
            if begin:
                self._spent = self._spent or "cut"
            raise

    def _begin_writing(self, timeout: Timeout) -> Overlapped:
        operation = self._unfinished or Overlapped(self.handle)
        if not operation.ended(timeout):
            raise PipeTimeoutError(
                "the other end has still not read an earlier request", code=WinError.TIMEOUT, pipe=self.pipe
            )
        call = operation.bind(winapi.NtWriteFile)
        operation.settle()
        self._write_operation, self._write_call, self._unfinished = operation, call, None
        return operation

    # Receiving

    def _keep_buffer(self, size: int) -> None:
        # Any, because its slices are bytes, although the type hints say lists.
        buffer: Any = (ctypes.c_char * size)()
        call = self._read_operation.bind(winapi.NtReadFile, buffer, size, winapi.NO_OFFSET, None)
        self._buffer, self._size, self._read_call = buffer, size, call

    def _recover(self) -> None:
        """End a pending read and keep the data that it received; may be repeated."""
        operation = self._read_operation
        code = operation.settle()
        if operation.pending:
            return
        data = self._target[: operation.count]
        # No call from here on, so an interruption cannot separate these statements.
        if code is None:
            self._ahead = "part" if self._parts else "bytes" if self._partial else ""
        elif self.is_message:
            self._parts += (data,)
            self._ahead = "part" if code else "whole"
        else:
            self._partial += data
            self._ahead = "bytes"
        operation.left = self._target = None

    def _receive_on(self, timeout: Timeout) -> bytes:
        """Return the data that an earlier call kept; on a message pipe, with the rest of its message."""
        if not self._is_something_ahead(timeout):
            return self.receive(timeout)
        if self._partial:
            return self._consume(len(self._partial))
        message = b"".join(self._parts)
        if self._size < len(message) <= _LARGEST_KEPT_BUFFER:
            self._keep_buffer(1 << (len(message) - 1).bit_length())
        self._parts, self._ahead = [], ""
        return message

    def _copy_into(self, view: memoryview) -> int:
        if not self._partial and sum(map(len, self._parts)) > len(view):
            raise self._too_long_for(view)
        message = self._consume(min(len(view), len(self._partial))) if self._partial else self._receive_on(None)
        view[: len(message)] = message
        return len(message)

    def _is_something_ahead(self, timeout: Timeout) -> bool:
        """Return whether data was received before: bytes of a stream, or a message, whose rest is then read."""
        if self._ahead == "left":
            self._recover()
        if self._ahead == "left":
            raise RuntimeError("an operation is pending")
        if self._ahead == "part" and not self._partial:
            self._read_rest(deadline_of(timeout))
        return self._ahead != ""

    def _read_rest(self, deadline: Deadline) -> None:
        """Read until the parts are a whole message."""
        operation = self._read_operation
        while self._ahead == "part":
            left = max(1, self.peek().left_in_message)
            self._check_size(sum(map(len, self._parts)) + left)
            rest = ctypes.create_string_buffer(left)
            view = memoryview(rest)
            call = operation.bind(winapi.NtReadFile, rest, left, winapi.NO_OFFSET, None)
            try:
                code = operation.run(call, deadline)
            except BaseException:
                self._ahead, self._target = "left", view
                self._recover()
                raise
            self._parts += (view[: operation.count],)
            self._ahead = "part" if code else "whole"

    def _consume(self, count: int) -> bytes:
        data = bytes(memoryview(self._partial)[:count])
        del self._partial[:count]
        if self._ahead == "bytes" and not self._partial:
            self._ahead = ""
        return data

    def _check_size(self, size: int) -> None:
        if size > self.max_message:
            raise MessageTooLongError(
                f"{size} bytes exceed the limit of {self.max_message} bytes",
                data=b"".join(self._parts) or bytes(self._partial),
                pipe=self.pipe,
                topic="message size",
            )

    def _too_long_for(self, view: memoryview) -> MessageTooLongError:
        data = b"".join(self._parts)[: len(view)]
        return MessageTooLongError(
            f"a message is longer than the buffer of {len(view)} bytes", data=data, pipe=self.pipe
        )

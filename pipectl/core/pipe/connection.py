"""`Connection`: one end of a pipe, with deadlines and whole messages; `connect` makes one to a server.

`CreateFileW` alone decides whether a pipe is absent, busy or ours. WaitNamedPipe is only a hint for when to try again:
it wakes every waiter at once, it does not know that another client was quicker, and it is not to be trusted in
containers. A pipe that was busy and is then not found is between two instances of its server, and is waited for.
"""

import ctypes
from contextlib import suppress
from ctypes import byref
from ctypes.wintypes import DWORD
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from pipectl.core.constants import (
    BUFFER_SIZE,
    FSCTL_PIPE_TRANSCEIVE,
    MAX_MESSAGE,
    Access,
    Disposition,
    FileFlags,
    PipeMode,
    Sqos,
    Wait,
    WinError,
)
from pipectl.core.deadline import Deadline, Timeout
from pipectl.core.errors import (
    MessageTooLongError,
    PipeAccessError,
    PipeBusyError,
    PipeClosedError,
    PipeNotFoundError,
    PipeStateError,
    PipeTimeoutError,
)
from pipectl.core.names import is_remote
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Closing, Handle
from pipectl.core.win32.overlapped import Buffer, Overlapped, address_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipectl.core.models import Peek

    from .framing import Framing

# Windows guarantees a transaction no more than this.
_MAX_TRANSACTION = 65536

# The buffer of a message pipe grows with the messages that come.
_FIRST_BUFFER = 4096
_LARGEST_KEPT_BUFFER = 1 << 20

# A handle that may do less than both directions still tells everything about the pipe.
ANY_DIRECTION = (
    Access.DUPLEX,
    Access.GENERIC_READ | Access.FILE_WRITE_ATTRIBUTES,
    Access.GENERIC_WRITE | Access.FILE_READ_ATTRIBUTES,
)

# What goes before the next read: nothing, some bytes of a stream, a message's head, a whole message, or a read that an
# exception left or a request began.
Ahead = Literal["", "bytes", "part", "whole", "left"]
# Why the next reply might be another request's: the last one's may still come, the last one is not taken whole yet,
# or what was sent last may have arrived in part.
Spent = Literal["", "unanswered", "not taken", "cut"]

# As plain numbers, for every call.
_OVERLAPPED, _OPEN_EXISTING = int(FileFlags.OVERLAPPED), int(Disposition.OPEN_EXISTING)
_READ_MESSAGE = byref(DWORD(PipeMode.READ_MESSAGE))

# What asking about a pipe takes; a pipe that is stingy may still allow a direction.
TO_ASK = (Access.FILE_READ_ATTRIBUTES | Access.READ_CONTROL | Access.SYNCHRONIZE, *ANY_DIRECTION)
# To set a handle's state NT wants this right too, which GENERIC_READ does not contain.
TO_SET = (TO_ASK[0] | Access.FILE_WRITE_ATTRIBUTES, *ANY_DIRECTION)


class Expectation(Protocol):
    """Decides whether the server behind a client's handle is the right one; `inventory.peers.Expected` is one."""

    def check(self, pipe: Handle) -> None:
        """Return if it is; raise PeerMismatchError if not."""


class Reply(NamedTuple):
    """What came back, and what ended it: on a byte pipe the rule asked for, or `eof`; else `message`."""

    data: bytes
    ended_by: str


class Connection(Closing):
    """One end of a named pipe that was opened with OVERLAPPED; owns the handle.

    One thread may send while another receives, and any may close. A timeout of None waits for ever; Ctrl+C ends any
    wait. On a message pipe `send` and `receive` move whole messages, on a byte pipe whatever bytes there are.

    Each receive gives one whole message, or says why not, whatever was interrupted before. A reply is never a message
    that was there before its request, nor the reply to another: where that is not sure any more, the next request
    raises ConnectionUnusableError, and `reconnect` makes a new beginning. `receive` still gives what comes.
    """

    __slots__ = (
        "_ahead",
        "_buffer",
        "_opening",
        "_partial",
        "_parts",
        "_read_call",
        "_read_operation",
        "_size",
        "_spent",
        "_target",
        "_transact_call",
        "_unfinished",
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
        self._target: Any = None  # where a read that was left puts its bytes
        # The parts of a message that have come; and before them the bytes of a stream that came after the end of a
        # reply, or before a deadline passed.
        self._parts: list[bytes | memoryview] = []
        self._partial = bytearray()
        # Why the next reply might be another request's; empty if it cannot be.
        self._spent: Spent = ""
        # How `connect` made it.
        self._opening: Callable[[Timeout], Connection] | None = None
        self._read_operation = Overlapped(handle)
        self._transact_call = self._read_operation.bind(winapi.NtTransactNamedPipe, FSCTL_PIPE_TRANSCEIVE)
        # Made for the first send: many connections are only for requests.
        self._write_operation: Overlapped | None = None
        # One whose request had not been taken when its reply came.
        self._unfinished: Overlapped | None = None
        # No larger than a message may be, so that a longer one shows itself.
        self._keep_buffer(max(1, min(max_message, _FIRST_BUFFER if is_message else BUFFER_SIZE)))

    @property
    def pipe(self) -> str | None:
        """The pipe's full name."""
        return self.handle.name

    def send(self, data: Buffer, timeout: Timeout = None) -> None:
        """Write everything, as one message on a message pipe.

        Raises PipeTimeoutError if the other end did not take it in time; a part may have arrived. Raises
        PipeClosedError if the other end is closed: what it has sent before can still be received.
        """
        operation = self._write_operation or self._begin_writing(timeout)
        memory = data if data.__class__ is bytes else address_of(data)
        try:
            operation.run(self._write_call, timeout, memory, len(memory), winapi.NO_OFFSET, None)
        except PipeClosedError:
            raise
        except BaseException:
            self._spent = self._spent or "cut"
            raise

    def receive(self, timeout: Timeout = None) -> bytes:
        """Read one whole message; on a byte pipe what is there, at least one byte.

        Raises PipeClosedError at the end of the stream, PipeTimeoutError, and MessageTooLongError beyond
        `max_message`, as each later call does then. What came before a timeout or Ctrl+C is kept for the next call.
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
        """Read one whole message, or the bytes that are there, into memory of the caller's, and return the size.

        For large messages: `receive` has to make new memory for each, and to copy into it. Raises what `receive` does,
        and MessageTooLongError for a message longer than the memory, which `receive` still gives.
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

    def receive_until(self, until: "Framing", timeout: Timeout = None) -> Reply:
        """Read a stream up to the end that a rule sets; what came after it is kept for the next call.

        The close of the other end ends any reply that has begun, except a frame or a count that is not whole:
        PipeClosedError. Raises PipeTimeoutError with what came kept for the next call. Messages are taken for a stream.
        """
        if self._ahead == "left":
            self._recover()
        from .requests import receive_until  # which a message pipe does without

        return receive_until(self, until, _deadline(timeout), Reply)

    def transact(self, data: Buffer, timeout: Timeout = None) -> bytes:
        """Send a message and receive the answer to it, by TransactNamedPipe where it serves.

        If the other end has closed, what it had said before is the answer, as a refusal is. Raises PipeStateError on a
        byte pipe, and if an unread message waits on the connection, such as a greeting: receive it first. Raises
        ConnectionUnusableError if the answer might be that to an earlier request, PipeClosedError, PipeTimeoutError.
        """
        if not self.is_message:
            raise PipeStateError("a byte pipe has no messages to answer", pipe=self.pipe)
        memory = data if data.__class__ is bytes else address_of(data)
        if self._spent or self._ahead or len(memory) > _MAX_TRANSACTION:
            from .requests import check_free, exchange  # seldom needed

            check_free(self)
            if len(memory) > _MAX_TRANSACTION:
                return exchange(self, bytes(data), _deadline(timeout))
        operation = self._read_operation
        self._spent = "unanswered"
        try:
            code = operation.run(self._transact_call, timeout, memory, len(memory), self._buffer, self._size)
        except (PipeStateError, PipeClosedError) as error:
            from .requests import refusal

            return refusal(self, error, _deadline(timeout))
        except BaseException:
            self._ahead, self._target = "left", self._buffer
            self._recover()
            raise
        if code:
            self._parts += (self._buffer[: operation.count],)
            self._ahead = "part"
            message = self._receive_on(timeout)
        else:
            message = self._buffer[: operation.count]
        self._spent = ""
        return message

    def ask(self, data: Buffer, until: "Framing | None" = None, timeout: Timeout = None) -> Reply:
        """Send a request and receive its reply, on a pipe of either type; raises what `transact` does.

        `until` tells where a reply ends on a byte pipe: by default, when nothing has come for 0.2 s. A whole reply
        counts, however much of the request it took; but if not all was taken, the connection is used up.
        """
        if self.is_message:
            return Reply(self.transact(data, timeout), "message")
        from .framing import IDLE  # which a message pipe does without
        from .requests import ask_until

        until = until or IDLE
        return ask_until(self, until.wrap(bytes(data)), until, _deadline(timeout), Reply)

    def peek(self, size: int = 0) -> "Peek":
        """Look at up to `size` bytes that wait to be read, and leave them there."""
        from pipectl.core.win32.calls import peek_named_pipe  # which an exchange of messages does without

        return peek_named_pipe(self.handle, size)

    def await_data(self, size: int, timeout: Timeout = None) -> "Peek":
        """Wait until something can be read, and look at up to `size` bytes of it; a timeout of 0 only looks.

        Windows has no event for that, so that it looks again and again, at first after 10 ms.
        """
        from .requests import await_data

        return await_data(self, size, _deadline(timeout))

    def reconnect(self, timeout: Timeout = 5.0) -> None:
        """Close, and connect to the pipe again as `connect` did; what was unread or under way is gone.

        Raises what `connect` does, and may be called again then; PipeStateError if `connect` did not make this one.
        """
        opening = self._opening
        if opening is None:
            raise PipeStateError("only what `connect` has made can be connected again", pipe=self.pipe)
        self.close()
        fresh = opening(timeout)
        try:
            Connection.__init__(self, fresh.handle, is_message=fresh.is_message, max_message=fresh.max_message)
        finally:
            self._opening = opening

    def close(self) -> None:
        """End what is pending, in any thread, and close the handle; the other end can still read what was written."""
        try:
            for operation in (self._read_operation, self._write_operation, self._unfinished):
                if operation is not None:
                    operation.close()
        finally:
            self.handle.close()

    # Sending

    def _begin_writing(self, timeout: Timeout) -> Overlapped:
        operation = self._unfinished or Overlapped(self.handle)
        if not operation.ended(timeout):
            raise PipeTimeoutError("an earlier request is still not taken", code=WinError.TIMEOUT, pipe=self.pipe)
        call = operation.bind(winapi.NtWriteFile)
        operation.settle()
        self._write_operation, self._write_call, self._unfinished = operation, call, None
        return operation

    # Receiving

    def _keep_buffer(self, size: int) -> None:
        # Its slices are bytes, though its type hints say that they are lists.
        buffer: Any = (ctypes.c_char * size)()
        call = self._read_operation.bind(winapi.NtReadFile, buffer, size, winapi.NO_OFFSET, None)
        self._buffer, self._size, self._read_call = buffer, size, call

    def _recover(self) -> None:
        """Keep what a read that was left, or begun, has got, and end it; may be repeated."""
        operation = self._read_operation
        code = operation.settle()
        if operation.pending:
            return
        data = self._target[: operation.count]
        # No call from here on: all of it happens, or nothing.
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
        """Give what an earlier call left, on a message pipe with the rest of its message."""
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
        """Return whether bytes wait here, or a message, which is whole by then."""
        if self._ahead == "left":
            self._recover()
        if self._ahead == "left":
            raise RuntimeError("an operation is pending")
        if self._ahead == "part" and not self._partial:
            self._read_rest(_deadline(timeout))
        return self._ahead != ""

    def _read_rest(self, deadline: Deadline) -> None:
        """Read on until the parts are a whole message."""
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
                f"{size} bytes are more than the {self.max_message} allowed",
                data=b"".join(self._parts) or bytes(self._partial),
                pipe=self.pipe,
                topic="message size",
            )

    def _too_long_for(self, view: memoryview) -> MessageTooLongError:
        data = b"".join(self._parts)[: len(view)]
        return MessageTooLongError(f"a message is longer than the {len(view)} bytes given", data=data, pipe=self.pipe)


def connect(
    pipe: str,
    timeout: Timeout = 5.0,
    *,
    wait: Wait = Wait.FREE,
    access: Access | tuple[Access, ...] = Access.DUPLEX,
    sqos: Sqos = Sqos.IDENTIFICATION,
    expect: "Expectation | None" = None,
    max_message: int = MAX_MESSAGE,
) -> Connection:
    """Open the client end of a pipe, given its full name; a message pipe is put into message read mode.

    `access` may be several, of which the first that the pipe's access list allows is taken. `expect`, such as an
    `Expected`, is asked whether the server is the right one before anything is sent. Raises PipeNotFoundError,
    PipeBusyError, both also when the deadline passed and that was still so, PipeAccessError, and PeerMismatchError.
    """
    asked = access
    if access is not Access.DUPLEX:  # which contains all that it takes
        from .modes import with_message_mode

        asked = with_message_mode(access)
    handle = open_pipe(pipe, timeout, wait=wait, access=asked, sqos=sqos, expect=expect)
    try:
        connection = Connection(handle, is_message=_enter_message_mode(handle, access), max_message=max_message)
    except BaseException:
        handle.close()
        raise
    connection._opening = lambda timeout: connect(
        pipe, timeout, wait=wait, access=access, sqos=sqos, expect=expect, max_message=max_message
    )
    return connection


def open_pipe(
    pipe: str,
    timeout: Timeout = 5.0,
    *,
    wait: Wait = Wait.FREE,
    access: Access | tuple[Access, ...] = Access.DUPLEX,
    sqos: Sqos = Sqos.IDENTIFICATION,
    expect: "Expectation | None" = None,
) -> Handle:
    """Open the client end of a pipe as `connect` does, and leave the handle as Windows makes it: in byte read mode."""
    # A sum, because the operators of enums take longer than to open a pipe.
    flags = _OVERLAPPED + sqos
    attempt = partial(_open, pipe, access, flags)
    if is_remote(pipe):
        from pipectl.core.win32.blocking import run_brief  # what a local pipe does without

        timeout = _deadline(timeout)
        attempt = partial(run_brief, attempt, timeout, pipe, undo=Handle.close)
    try:
        handle = attempt()
    except (PipeBusyError, PipeNotFoundError) as error:
        if wait is Wait.NONE or (wait is Wait.FREE and isinstance(error, PipeNotFoundError)):
            raise
        from .availability import retry  # only for a pipe that has to be waited for

        handle = retry(attempt, error, pipe, _deadline(timeout))
    if expect is not None:
        try:
            expect.check(handle)
        except BaseException:
            handle.close()
            raise
    return handle


def _open(pipe: str, access: Access | tuple[Access, ...], flags: int) -> Handle:
    if isinstance(access, tuple):
        for choice in access[:-1]:
            with suppress(PipeAccessError):
                return _open(pipe, choice, flags)
        access = access[-1]
    return Handle(winapi.CreateFileW(pipe, access, 0, None, _OPEN_EXISTING, flags, None), pipe)


def _enter_message_mode(handle: Handle, access: Access | tuple[Access, ...]) -> bool:
    """Set message read mode and return True, or False on a byte pipe; PipeAccessError if messages would be joined."""
    try:
        winapi.SetNamedPipeHandleState(handle, _READ_MESSAGE, None, None)
    except (PipeStateError, PipeAccessError) as error:
        from .modes import is_message_after

        return is_message_after(error, handle, access)
    return True


def _deadline(timeout: Timeout) -> Deadline:
    return timeout if isinstance(timeout, Deadline) else Deadline(timeout)

"""`Connection`: one end of a pipe, with deadlines and whole messages; `connect` makes one to a server.

`CreateFileW` alone decides whether a pipe is absent, busy or ours. WaitNamedPipe is only a hint for when to try again:
it wakes every waiter at once, it does not know that another client was quicker, and it is not to be trusted in
containers. A pipe that was busy and is then not found is between two instances of its server, and is waited for.
"""

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ctypes import byref
from ctypes.wintypes import DWORD
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

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
from pipectl.core.deadline import Deadline, Stopwatch, Timeout
from pipectl.core.errors import (
    MessageTooLongError,
    PartialResultError,
    PipeAccessError,
    PipeBusyError,
    PipeClosedError,
    PipeError,
    PipeNotFoundError,
    PipeStateError,
    PipeTimeoutError,
    error_for,
)
from pipectl.core.names import is_remote
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Closing, Handle
from pipectl.core.win32.overlapped import COUNT, Buffer, Overlapped, address_of

if TYPE_CHECKING:
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

    One thread may send while another receives. A timeout of None waits for ever; Ctrl+C ends any wait. On a message
    pipe `send` and `receive` move whole messages, on a byte pipe whatever bytes there are.
    """

    __slots__ = (
        "_buffer",
        "_partial",
        "_read_call",
        "_read_operation",
        "_size",
        "_transact_call",
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
        self._read_operation = Overlapped(handle)
        self._transact_call = self._read_operation.bind(winapi.NtTransactNamedPipe, FSCTL_PIPE_TRANSCEIVE)
        # Made for the first send: many connections are only for requests.
        self._write_operation: Overlapped | None = None
        # What a receive had got when its deadline passed, or came after the end of a reply.
        self._partial = bytearray()
        # No larger than a message may be, so that a longer one shows itself.
        self._keep_buffer(max(1, min(max_message, _FIRST_BUFFER if is_message else BUFFER_SIZE)))

    @property
    def pipe(self) -> str | None:
        """The pipe's full name."""
        return self.handle.name

    def send(self, data: Buffer, timeout: Timeout = None) -> None:
        """Write everything, as one message on a message pipe.

        Raises PipeTimeoutError if the other end did not take it in time; on a byte pipe a part may have arrived.
        """
        operation = self._write_operation or self._begin_writing()
        memory = data if data.__class__ is bytes else address_of(data)
        operation.run(self._write_call, timeout, memory, len(memory), winapi.NO_OFFSET, None)

    def receive(self, timeout: Timeout = None) -> bytes:
        """Read one whole message; on a byte pipe what is there, at least one byte.

        Raises PipeClosedError at the end of the stream, PipeTimeoutError, and MessageTooLongError beyond
        `max_message`, after which the connection is of no more use. What came before a timeout is kept for the next
        call.
        """
        if self._partial:
            return self._receive_on(timeout)
        operation = self._read_operation
        code = operation.run(self._read_call, timeout)
        if code:
            return self._whole_message(code, timeout)
        message: bytes = self._buffer[: operation.outcome[COUNT]]
        return message

    def receive_into(self, memory: bytearray | memoryview, timeout: Timeout = None) -> int:
        """Read one whole message, or the bytes that are there, into memory of the caller's, and return the size.

        For large messages: `receive` has to make new memory for each, and to copy into it. Raises what `receive` does,
        and MessageTooLongError for a message longer than the memory, which `receive` still gives.
        """
        view = memoryview(memory).cast("B")
        lent = (ctypes.c_char * len(view)).from_buffer(view)
        if self._partial:
            message = (
                self._consume(min(len(view), len(self._partial))) if not self.is_message else self.receive(timeout)
            )
            if len(message) > len(view):
                raise self._too_long_for(view, message)
            view[: len(message)] = message
            return len(message)
        code = self._read_operation.run(
            self._read_operation.bind(winapi.NtReadFile, lent, len(view), winapi.NO_OFFSET, None), timeout
        )
        count: int = self._read_operation.outcome[COUNT]
        if code:
            self._partial += view[:count]
            raise self._too_long_for(view, bytes(view[:count]))
        return count

    def receive_until(self, until: "Framing", timeout: Timeout = None) -> Reply:
        """Read from a byte pipe up to the end that a rule sets; what came after it is kept for the next call.

        The close of the other end ends any reply that has begun, except a frame or a count that is not whole:
        PipeClosedError. Raises PipeTimeoutError with what came kept for the next call.
        """
        deadline = _deadline(timeout)
        searched = 0
        while (span := until.split(self._partial, searched)) is None:
            searched = len(self._partial)
            self._check_size(until.needed(self._partial) or searched)
            ended_by = self._receive_more(until, deadline)
            if ended_by:
                return Reply(self._consume(len(self._partial)), ended_by)
        begin, end = span
        return Reply(self._consume(end)[begin:], str(until))

    def transact(self, data: Buffer, timeout: Timeout = None) -> bytes:
        """Send a message and receive the answer to it, by TransactNamedPipe where it serves.

        Raises PipeStateError on a byte pipe, and if an unread message waits on the connection.
        """
        if not self.is_message:
            raise PipeStateError("a byte pipe has no messages to answer", pipe=self.pipe)
        memory = data if data.__class__ is bytes else address_of(data)
        if self._partial:
            raise self._unread()
        if len(memory) > _MAX_TRANSACTION:
            return self._exchange(data, _deadline(timeout))
        operation = self._read_operation
        try:
            code = operation.run(self._transact_call, timeout, memory, len(memory), self._buffer, self._size)
        except PipeStateError:
            self.peek()  # raises PipeClosedError if the other end is gone, which a transaction calls a wrong state
            raise
        if code:
            return self._whole_message(code, timeout)
        message: bytes = self._buffer[: operation.outcome[COUNT]]
        return message

    def _ask_until(self, data: Buffer, until: "Framing", timeout: Timeout = None) -> Reply:
        """Send bytes and receive the reply that a rule ends; a server that answers while it reads blocks nobody."""
        deadline = _deadline(timeout)
        sending = self._start_send(data)
        try:
            reply = self.receive_until(until, deadline)
        except BaseException:
            sending.cancel()
            raise
        with suppress(PipeClosedError):  # a whole reply counts, however much of the request it took
            sending.result(deadline)
        return reply

    def ask(self, data: Buffer, until: "Framing | None" = None, timeout: Timeout = None) -> Reply:
        """Send a request and receive its reply, on a pipe of either type.

        `until` tells where a reply ends on a byte pipe: by default, when nothing has come for 0.2 s.
        """
        if self.is_message:
            return Reply(self.transact(data, timeout), "message")
        from .framing import IDLE  # which a message pipe does without

        until = until or IDLE
        return self._ask_until(until.wrap(bytes(data)), until, timeout)

    def peek(self, size: int = 0) -> "Peek":
        """Look at up to `size` bytes that wait to be read, and leave them there."""
        from pipectl.core.win32.calls import peek_named_pipe  # which an exchange of messages does without

        return peek_named_pipe(self.handle, size)

    def await_data(self, size: int, timeout: Timeout = None) -> "Peek":
        """Wait until something can be read, and look at up to `size` bytes of it; a timeout of 0 only looks.

        Windows has no event for that, so that it looks again and again, at first after 10 ms.
        """
        from .availability import pauses, sleep

        deadline = _deadline(timeout)
        pause = pauses()
        while not (found := self.peek(size)).available and deadline.timeout != 0:
            if deadline.passed:
                raise PipeTimeoutError(
                    f"nothing came within {deadline.timeout:g} s", code=WinError.TIMEOUT, pipe=self.pipe
                )
            sleep(next(pause), deadline)
        return found

    def close(self) -> None:
        """End what is pending and close the handle; what was written before can still be read by the other end."""
        self._read_operation.close()
        if self._write_operation is not None:
            self._write_operation.close()
        self.handle.close()

    # Sending

    def _start_send(self, data: Buffer) -> Overlapped:
        memory = address_of(data)
        operation = self._write_operation or self._begin_writing()
        operation.start(winapi.WriteFile, memory, len(memory), None)
        return operation

    def _begin_writing(self) -> Overlapped:
        self._write_operation = operation = Overlapped(self.handle)
        self._write_call = operation.bind(winapi.NtWriteFile)
        return operation

    def _exchange(self, data: Buffer, deadline: Deadline) -> bytes:
        if self.peek().available:
            raise self._unread()
        self.send(data, deadline)
        return self.receive(deadline)

    def _unread(self) -> PipeError:
        return error_for(WinError.PIPE_BUSY, "an unread message waits", "TransactNamedPipe", self.pipe)

    # Receiving

    def _keep_buffer(self, size: int) -> None:
        # Its slices are bytes, though its type hints say that they are lists.
        self._buffer: Any = (ctypes.c_char * size)()
        self._size = size
        self._read_call = self._read_operation.bind(winapi.NtReadFile, self._buffer, size, winapi.NO_OFFSET, None)

    def _consume(self, count: int) -> bytes:
        with memoryview(self._partial) as view, view[:count] as taken:
            data = bytes(taken)
        del self._partial[:count]
        return data

    def _check_size(self, size: int) -> None:
        if size > self.max_message:
            raise MessageTooLongError(
                f"{size} bytes are more than the {self.max_message} allowed",
                data=bytes(self._partial),
                pipe=self.pipe,
                topic="message size",
            )

    def _too_long_for(self, view: memoryview, data: bytes) -> MessageTooLongError:
        return MessageTooLongError(
            f"a message does not fit the {len(view)} bytes that were given for it", data=data, pipe=self.pipe
        )

    def _receive_on(self, timeout: Timeout) -> bytes:
        """Give what an earlier call left, on a message pipe with the rest of its message."""
        if not self.is_message:
            return self._consume(len(self._partial))
        return self._whole_message(self._read_operation.run(self._read_call, timeout), timeout)

    def _whole_message(self, code: int, timeout: Timeout) -> bytes:
        """Read the rest of a message that is longer than the buffer, or that an earlier call began to read."""
        part = memoryview(self._buffer)[: self._read_operation.outcome[COUNT]]
        while code == WinError.MORE_DATA:
            self._partial += part
            left = max(1, self.peek().left_in_message)
            self._check_size(len(self._partial) + left)
            rest = ctypes.create_string_buffer(left)
            code = self._read_operation.run(
                self._read_operation.bind(winapi.NtReadFile, rest, left, winapi.NO_OFFSET, None), timeout
            )
            part = memoryview(rest)[: self._read_operation.outcome[COUNT]]
        message = b"".join((self._partial, part))
        self._partial.clear()
        if self._size < len(message) <= _LARGEST_KEPT_BUFFER:
            self._keep_buffer(1 << (len(message) - 1).bit_length())
        return message

    def _receive_more(self, until: "Framing", deadline: Deadline) -> str | None:
        """Add what comes next to what was received; or tell what ended the reply: silence, or the other end."""
        silence = deadline if until.idle is None or not self._partial else deadline.sooner(until.idle)
        try:
            self._read_operation.run(self._read_call, silence)
        except PipeTimeoutError:
            if silence is deadline:
                raise
            return str(until)
        except PipeClosedError:
            if not until.is_whole_at_close(self._partial):
                raise
            return "eof"
        self._partial += memoryview(self._buffer)[: self._read_operation.outcome[COUNT]]
        return None


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
    handle = open_pipe(pipe, timeout, wait=wait, access=access, sqos=sqos, expect=expect)
    try:
        return Connection(handle, is_message=_enter_message_mode(handle), max_message=max_message)
    except BaseException:
        handle.close()
        raise


class Exchange(NamedTuple):
    """A request that was sent over a connection, and its reply; the number counts from 1."""

    number: int
    request: bytes
    reply: Reply
    seconds: float


def exchanges(
    connection: Connection, requests: Iterable[bytes], until: "Framing | None" = None, timeout: float | None = None
) -> Iterator[Exchange]:
    """Send requests one after another, and yield each with its reply; `timeout` is that of each exchange.

    Raises PartialResultError if one fails after others have succeeded.
    """
    for number, request in enumerate(requests, 1):
        watch = Stopwatch()
        try:
            reply = connection.ask(request, until, timeout)
        except PipeError as error:
            if number == 1:
                raise
            raise PartialResultError.after(error) from error
        yield Exchange(number, request, reply, watch.seconds)


def call_native(pipe: str, data: Buffer, timeout: Timeout = 5.0) -> bytes:
    """Call a message pipe by CallNamedPipe itself, with all of it bounded, and open to Ctrl+C.

    Windows guarantees no answer of more than 64 KiB: MessageTooLongError, whose `data` is what was read.
    """
    from pipectl.core.win32.blocking import run_blocking  # seldom needed
    from pipectl.core.win32.calls import call_named_pipe

    deadline = _deadline(timeout)
    return run_blocking(lambda: call_named_pipe(pipe, data, _MAX_TRANSACTION, deadline.remaining()), deadline, pipe)


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


def _enter_message_mode(handle: Handle) -> bool:
    """Set message read mode and return True, or return False for a byte pipe or a handle that may only write."""
    try:
        winapi.SetNamedPipeHandleState(handle, _READ_MESSAGE, None, None)
    except (PipeStateError, PipeAccessError):
        from pipectl.core.win32.queries import get_named_pipe_info

        return get_named_pipe_info(handle).is_message_type
    return True


def _deadline(timeout: Timeout) -> Deadline:
    return timeout if isinstance(timeout, Deadline) else Deadline(timeout)

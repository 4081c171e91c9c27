"""`Connection`: one end of a pipe, with deadlines and whole messages; `connect` opens one to a server.

Only `CreateFileW` decides whether a pipe is absent, busy or available. WaitNamedPipe only hints at when to retry: it
wakes all waiting clients at once, does not know that another client was faster, and is unreliable in containers. If a
busy pipe is then not found, its server is between two instances, so the wait continues.
"""

from contextlib import suppress
from ctypes import byref
from ctypes.wintypes import DWORD
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipectl.core.constants import (
    MAX_MESSAGE,
    Access,
    Disposition,
    FileFlags,
    PipeMode,
    Sqos,
    Wait,
)
from pipectl.core.deadline import Timeout, deadline_of
from pipectl.core.errors import (
    PipeAccessError,
    PipeBusyError,
    PipeClosedError,
    PipeNotFoundError,
    PipeStateError,
)
from pipectl.core.names import is_remote
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.overlapped import Buffer, address_of

from .channel import Channel

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipectl.core.models import Peek

    from .frames import Framing

# The largest transaction that Windows guarantees.
_MAX_TRANSACTION = 65536

# A handle for one direction is enough to query everything about the pipe.
ANY_DIRECTION = (
    Access.DUPLEX,
    Access.GENERIC_READ | Access.FILE_WRITE_ATTRIBUTES,
    Access.GENERIC_WRITE | Access.FILE_READ_ATTRIBUTES,
)

# Plain numbers, because every call uses them.
_OVERLAPPED, _OPEN_EXISTING = int(FileFlags.OVERLAPPED), int(Disposition.OPEN_EXISTING)
_READ_MESSAGE = byref(DWORD(PipeMode.READ_MESSAGE))

# The rights for queries; a pipe that denies them may still allow one direction.
TO_ASK = (Access.FILE_READ_ATTRIBUTES | Access.READ_CONTROL | Access.SYNCHRONIZE, *ANY_DIRECTION)
# Setting a handle's state also requires FILE_WRITE_ATTRIBUTES, which GENERIC_READ does not contain.
TO_SET = (TO_ASK[0] | Access.FILE_WRITE_ATTRIBUTES, *ANY_DIRECTION)


class Expectation(Protocol):
    """Decides whether the server behind a client's handle is the right one; `inventory.peers.Expected` is one."""

    def check(self, pipe: Handle, timeout: Timeout) -> None:
        """Raise PeerMismatchError unless it is the right server; PipeTimeoutError if that is not known in time."""


class Reply(NamedTuple):
    """A reply, and what ended it: the rule in use, `eof`, or `message` on a message pipe without a rule."""

    data: bytes
    ended_by: str


class Connection(Channel):
    """One end of a named pipe that was opened with OVERLAPPED; owns the handle.

    One thread can send while another receives, and any thread can close. A timeout of None means no limit; Ctrl+C ends
    any wait. On a message pipe `send` and `receive` transfer whole messages, on a byte pipe the available bytes.

    Each receive returns one whole message or raises an error, whatever was interrupted before. A reply is never a
    message that arrived before its request, nor the reply to another request: if that can no longer be ensured, the
    next request raises ConnectionUnusableError, and `reconnect` opens a new connection. `receive` still works then.
    """

    __slots__ = ("_opening",)

    def __init__(self, handle: Handle, *, is_message: bool, max_message: int = MAX_MESSAGE) -> None:
        super().__init__(handle, is_message=is_message, max_message=max_message)
        # Opens the pipe again as `connect` did.
        self._opening: Callable[[Timeout, Wait | None], Connection] | None = None

    def receive_until(self, until: "Framing", timeout: Timeout = None) -> Reply:
        """Receive a reply that ends by a rule; data after it is kept for the next call.

        If the other end closes, a reply that has begun ends, except for an incomplete frame or byte count, which raises
        PipeClosedError. After PipeTimeoutError, the data received so far is kept for the next call. On a message pipe,
        messages are joined, whatever their sizes; an empty message ends `eof`, and other rules ignore it.
        """
        if self._ahead == "left":
            self._recover()
        from .requests import receive_until  # not needed for a transaction

        return receive_until(self, until, deadline_of(timeout), Reply)

    def transact(self, data: Buffer, timeout: Timeout = None) -> bytes:
        """Send a message and return the reply to it, with TransactNamedPipe where possible.

        If the other end has closed, the message that it sent before, such as a refusal, is the reply. Raises
        PipeStateError on a byte pipe, and if the connection has an unread message: receive it first. Raises
        ConnectionUnusableError if the reply might belong to an earlier request, PipeClosedError, PipeTimeoutError.
        """
        if not self.is_message:
            raise PipeStateError("a byte pipe has no messages", pipe=self.pipe)
        memory = data if data.__class__ is bytes else address_of(data)
        if self._spent or self._ahead or len(memory) > _MAX_TRANSACTION:
            from .requests import check_free, exchange  # seldom needed

            check_free(self)
            if len(memory) > _MAX_TRANSACTION:
                return exchange(self, bytes(data), deadline_of(timeout))
        operation = self._read_operation
        self._spent = "unanswered"
        try:
            code = operation.run(self._transact_call, timeout, memory, len(memory), self._buffer, self._size)
        except (PipeStateError, PipeClosedError) as error:
            from .requests import refusal

            return refusal(self, error, deadline_of(timeout))
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

    def ask(
        self, data: Buffer, until: "Framing | None" = None, timeout: Timeout = None, *, is_framed: bool = False
    ) -> Reply:
        """Send a request and return its reply, on both types of pipe; raises the errors of `transact`.

        `until` sets where the reply ends, as in `receive_until`; with `is_framed`, the request is sent as a frame of
        that rule, and the reply is the body of its frame. By default the reply is one message on a message pipe, and on
        a byte pipe it ends after 0.2 s without data. A whole reply is returned even if the server did not read the
        whole request, but then the connection cannot be used for another request. An empty request on a byte pipe
        raises PipeStateError, because nothing would be sent, and a request that the rule has no frame for, ValueError.
        """
        if until is None and self.is_message:
            return Reply(self.transact(data, timeout), "message")
        from .framing import IDLE  # not needed for a transaction
        from .requests import ask_until

        until, request = until or IDLE, bytes(data)
        if not is_framed:
            return ask_until(self, request, until, deadline_of(timeout), Reply)
        reply = ask_until(self, until.wrap(request), until, deadline_of(timeout), Reply)
        return Reply(until.body(reply.data), reply.ended_by)

    def await_data(self, size: int, timeout: Timeout = None) -> "Peek":
        """Wait for data and return up to `size` bytes of it, without consuming them; a timeout of 0 does not wait.

        Windows has no event for that, so this polls, at intervals of at most 0.1 s.
        """
        from .requests import await_data

        return await_data(self, size, deadline_of(timeout))

    def reconnect(self, timeout: Timeout = 5.0, *, wait: Wait | None = None) -> None:
        """Close, and connect to the pipe again as `connect` did; unread data and pending operations are lost.

        `wait` replaces the value that `connect` was called with. Raises the errors of `connect`, after which it can be
        called again; PipeStateError if this connection was not opened by `connect`.
        """
        opening = self._opening
        if opening is None:
            raise PipeStateError("only a connection made by `connect` can be reconnected", pipe=self.pipe)
        self.close()
        fresh = opening(timeout, wait)
        try:
            Connection.__init__(self, fresh.handle, is_message=fresh.is_message, max_message=fresh.max_message)
        finally:
            self._opening = opening


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
    """Open the client end of a pipe by its full name, in message read mode on a message pipe.

    If `access` has several values, the first that the pipe's ACL allows is used. `expect`, such as an `Expected`,
    verifies the server before anything is sent. Raises PipeNotFoundError and PipeBusyError, also if the pipe is still
    absent or busy at the deadline, PipeAccessError, and PeerMismatchError.
    """
    asked = access
    if access is not Access.DUPLEX:  # which includes the right to set message mode
        from .modes import with_message_mode

        asked = with_message_mode(access)
    handle = open_pipe(pipe, timeout, wait=wait, access=asked, sqos=sqos, expect=expect)
    try:
        connection = Connection(handle, is_message=_enter_message_mode(handle, access), max_message=max_message)
    except BaseException:
        handle.close()
        raise
    connection._opening = lambda timeout, now: connect(
        pipe, timeout, wait=now or wait, access=access, sqos=sqos, expect=expect, max_message=max_message
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
    if expect is not None:
        timeout = deadline_of(timeout)  # for opening and checking together
    if is_remote(pipe):
        from pipectl.core.win32.blocking import run_brief  # not needed for a local pipe

        timeout = deadline_of(timeout)
        attempt = partial(run_brief, attempt, timeout, pipe, undo=Handle.close)
    try:
        handle = attempt()
    except (PipeBusyError, PipeNotFoundError) as error:
        if wait is Wait.NONE or (wait is Wait.FREE and isinstance(error, PipeNotFoundError)):
            raise
        from .availability import retry  # only for a pipe that has to be waited for

        handle = retry(attempt, error, pipe, deadline_of(timeout))
    if expect is not None:
        try:
            expect.check(handle, timeout)
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

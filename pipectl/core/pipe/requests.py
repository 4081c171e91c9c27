"""Requests beyond a single transaction, replies that end by a rule, and the errors if there is no reply.

Any request that is not a transaction has this order: begin the read, begin the write, end the read, end the write. So
a server that answers while it reads causes no deadlock, whatever the size; and a read that completes before the write
begins reveals unread data, even an empty message, which PeekNamedPipe does not report.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar, cast

from pipectl.core.constants import LARGEST_WRITE, WinError
from pipectl.core.deadline import Deadline, Timeout
from pipectl.core.errors import (
    ConnectionUnusableError,
    FrameError,
    PipeAccessError,
    PipeClosedError,
    PipeError,
    PipeStateError,
    PipeTimeoutError,
    error_for,
)
from pipectl.core.win32 import winapi
from pipectl.core.win32.queries import get_local_info

from .availability import pauses, sleep
from .channel import Channel
from .frames import Framing

if TYPE_CHECKING:
    from pipectl.core.models import Peek
    from pipectl.core.win32.overlapped import Overlapped

_T = TypeVar("_T")

# Seconds for a server to read all of a request that it has answered, and for one that refuses a request to close.
_MOMENT = 0.1
# Seconds to wait for the write of a piece before checking whether a reply has begun to arrive.
_GLANCE = 0.01

_REASONS = {
    "unanswered": "an earlier request did not get its whole reply, which may still arrive",
    "not taken": "the last request was answered before the server read all of it",
    "cut": "the last request may have arrived only in part",
}


def check_free(pipe: Channel) -> None:
    """Raise an error if the next reply might not belong to the next request."""
    if pipe._ahead == "left":
        pipe._recover()
    if pipe.handle.closed:
        return  # the request will raise the error
    if pipe._spent:
        raise ConnectionUnusableError(f"{_REASONS[pipe._spent]}: connect again", pipe=pipe.pipe, topic="connection")
    if pipe._ahead:
        raise _unread(pipe)


def exchange(pipe: Channel, data: bytes, deadline: Deadline) -> bytes:
    """Send a message of any size, and return the reply to it."""
    try:
        _begin(pipe, data, deadline)
        if pipe._ahead == "left":
            _end_read(pipe, deadline)
        answer = pipe.receive(deadline)
    except BaseException as error:
        _give_up(pipe, error)
        raise
    _end(pipe, deadline)
    return answer


def ask_until(
    pipe: Channel, data: bytes, until: Framing, deadline: Deadline, reply_of: Callable[[bytes, str], _T]
) -> _T:
    """Send bytes, and return the reply that a rule ends; `reply_of` makes it from its bytes and what ended it."""
    if not (data or pipe.is_message):
        raise PipeStateError("an empty request to a byte pipe sends nothing", pipe=pipe.pipe, topic="empty request")
    check_free(pipe)
    try:
        _begin(pipe, data, deadline)
        reply = receive_until(pipe, until.for_reply_to(data), deadline, reply_of)
    except BaseException as error:
        _give_up(pipe, error)
        raise
    _end(pipe, deadline)
    return reply


def receive_until(pipe: Channel, until: Framing, deadline: Deadline, reply_of: Callable[[bytes, str], _T]) -> _T:
    """Receive a reply that a rule ends, and keep the data after it; a read that is already pending is used."""
    until, searched, ended_by = until.begin(), 0, _fold(pipe, until)
    try:
        while ended_by is None and (span := until.split(pipe._partial, searched)) is None:
            searched = len(pipe._partial)
            pipe._check_size(until.needed(pipe._partial) or searched)
            ended_by = _read_more(pipe, until, deadline)
    except (PipeTimeoutError, PipeClosedError) as error:
        error.partial = bytes(pipe._partial)
        raise
    except FrameError as error:
        error.name(pipe.pipe)
        raise
    begin, end = (0, len(pipe._partial)) if ended_by else (span or (0, 0))
    reply = reply_of(bytes(memoryview(pipe._partial)[begin:end]), ended_by or str(until))
    # No call from here on, so that Ctrl+C cannot lose data.
    del pipe._partial[:end]
    pipe._parts = []  # of an empty message that ended it
    pipe._ahead = "bytes" if pipe._partial else ""
    return reply


def refusal(pipe: Channel, error: PipeError, deadline: Deadline) -> bytes:
    """Return what the other end sent before it closed without reading the request; or raise the error."""
    if isinstance(error, PipeStateError) and not _is_closed(pipe, deadline, at_once=error.code != WinError.PIPE_BUSY):
        pipe._spent = ""  # the request was not sent
        raise _unread(pipe) if error.code == WinError.PIPE_BUSY else error
    pipe._spent = ""
    return pipe.receive(deadline)


def await_data(pipe: Channel, size: int, deadline: Deadline) -> "Peek":
    """Poll until there is unread data, and return up to `size` bytes of it."""
    pause = pauses()
    while not (found := pipe.peek(size)).available and deadline.timeout != 0:
        if deadline.passed:
            raise PipeTimeoutError(f"no data within {deadline.timeout:g} s", code=WinError.TIMEOUT, pipe=pipe.pipe)
        sleep(next(pause), deadline)
    return found


def _begin(pipe: Channel, data: bytes, deadline: Deadline) -> None:
    """Begin the read, and then the write; if the other end is closed, only what it has sent can be read.

    Raises PipeStateError if there was unread data.
    """
    writing = pipe._write_operation or pipe._begin_writing(deadline)
    pipe._write_operation, pipe._unfinished = None, writing
    pipe._ahead, pipe._target = "left", pipe._buffer
    if pipe._read_operation.begin(pipe._read_call) != WinError.IO_PENDING:
        pipe._recover()
        if _is_closed(pipe, deadline):
            return
        raise _unread(pipe)
    pipe._spent = "unanswered"
    pipe._unsent = b"" if pipe.is_message else memoryview(data)[LARGEST_WRITE:]
    try:
        _begin_to_write(pipe, data if pipe.is_message else data[:LARGEST_WRITE])
    except PipeError:
        pipe._spent = ""  # nothing was sent
        raise


def _begin_to_write(pipe: Channel, data: bytes) -> None:
    writing = cast("Overlapped", pipe._unfinished)
    try:
        writing.begin(pipe._write_call, data, len(data), winapi.NO_OFFSET, None)
    except PipeClosedError:
        pipe._unsent = b""  # what it sent before it closed can still be read


def _write_on(pipe: Channel, deadline: Deadline) -> None:
    """Write the rest of a request, piece by piece, until data has arrived."""
    while pipe._unsent and not pipe._read_operation.ended(0) and not deadline.passed:
        writing = cast("Overlapped", pipe._unfinished)
        if writing.ended(deadline.sooner(_GLANCE)):
            with suppress(PipeClosedError):
                writing.result(0)
            piece, pipe._unsent = bytes(pipe._unsent[:LARGEST_WRITE]), pipe._unsent[LARGEST_WRITE:]
            _begin_to_write(pipe, piece)


def _end(pipe: Channel, deadline: Deadline) -> None:
    """Give the server a moment to read all of a request that it has answered; otherwise, the write stays pending."""
    writing = pipe._unfinished
    if writing is not None:
        if pipe._unsent or not writing.ended(deadline.sooner(_MOMENT)):
            pipe._spent, pipe._unsent = "not taken", b""
            return
        writing.settle()
        pipe._write_operation, pipe._unfinished = writing, None
    pipe._spent = ""


def _give_up(pipe: Channel, error: BaseException) -> None:
    """Cancel the pending operations of a request; after the end of the stream, no late reply can arrive."""
    if isinstance(error, PipeClosedError):
        pipe._spent = ""
    if pipe._ahead == "left":
        pipe._recover()
    pipe._unsent = b""
    if pipe._unfinished is not None:
        pipe._unfinished.cancel()


def _end_read(pipe: Channel, timeout: Timeout) -> None:
    try:
        pipe._read_operation.result(timeout)
    finally:
        pipe._recover()


def _read_more(pipe: Channel, until: Framing, deadline: Deadline) -> str | None:
    """Receive more data; return what ended the reply, if it ended: silence, or the other end."""
    silence = deadline
    try:
        if pipe._ahead != "left":
            pipe._ahead, pipe._target = "left", pipe._buffer
            pipe._read_operation.begin(pipe._read_call)
        if pipe._unsent:
            _write_on(pipe, deadline)
        if until.idle is not None and pipe._partial:
            silence = deadline.sooner(until.idle)
        _end_read(pipe, silence)
    except PipeTimeoutError:
        if silence is deadline:
            raise
        return str(until)
    except PipeClosedError:
        if pipe._ahead == "left":
            pipe._recover()
        if not until.is_whole_at_close(pipe._partial):
            raise
        return "eof"
    return _fold(pipe, until)


def _fold(pipe: Channel, until: Framing) -> str | None:
    """Add the message, or the part of one, that was read to the stream; or return `eof` if it ended the reply.

    An empty message that ends a reply stays where it is, so that Ctrl+C before the reply is returned does not lose it.
    """
    if not pipe._parts:
        return None
    data = b"".join(pipe._parts)
    if not data and pipe._ahead == "whole" and until.ends_at_empty_message:
        return "eof"
    pipe._partial += data
    pipe._parts, pipe._ahead = [], "bytes" if pipe._partial else ""
    return None


def _unread(pipe: Channel) -> PipeError:
    what = "unread data" if pipe._partial or not pipe.is_message else "an unread message"
    return error_for(WinError.PIPE_BUSY, f"{what} on the connection: receive it first", "TransactNamedPipe", pipe.pipe)


def _is_closed(pipe: Channel, deadline: Deadline, *, at_once: bool = False) -> bool:
    """Return whether the other end is closed, or closes within a moment, as a server that refuses a request does."""
    moment, pause = deadline.sooner(0 if at_once else _MOMENT), pauses()
    while _state(pipe) == "connected":
        if moment.passed:
            return False
        sleep(next(pause), moment)
    return True


def _state(pipe: Channel) -> str:
    try:
        return get_local_info(pipe.handle).state
    except PipeAccessError:  # if it cannot be queried, it is assumed to be unchanged
        return "connected"
    except PipeClosedError:
        return "closing"

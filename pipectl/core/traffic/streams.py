"""Data between a pipe and a stream: `received` yields it piece by piece, `Pump` moves both directions at once.

A pipe has no half-close. On a message pipe an empty message says by convention that one direction has ended: Go's
winio, and so Docker, send and expect it. A reader in byte mode loses it if the message before is still unread, so it
is sent only after FlushFileBuffers. A byte pipe can say nothing, so there silence has to be the end.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from threading import Thread

from pipectl.core.constants import EndOf, HalfClose
from pipectl.core.deadline import Deadline, Timeout, deadline_of
from pipectl.core.errors import (
    FrameError,
    PartialResultError,
    PipeClosedError,
    PipeError,
    PipeStateError,
    PipeTimeoutError,
)
from pipectl.core.pipe.connection import Connection
from pipectl.core.pipe.frames import Frames, Framing
from pipectl.core.win32 import winapi
from pipectl.core.win32.blocking import run_blocking
from pipectl.core.win32.calls import create_event, set_event
from pipectl.core.win32.handle import wait

# Seconds after the pipe was closed in which a send fails that has begun, and in which the source can yield more.
_PATIENCE = 1.0
_MOMENT = 0.1


def write(connection: Connection, data: bytes, timeout: Timeout = None, *, flush: bool = False) -> None:
    """Send data that has no reply; with `flush`, wait until the other end has read it.

    Raises PipeStateError for no data on a byte pipe, PipeClosedError, and PipeTimeoutError.
    """
    if not (data or connection.is_message):
        raise PipeStateError(
            "an empty message on a byte pipe sends nothing", pipe=connection.pipe, topic="empty request"
        )
    deadline = deadline_of(timeout)
    connection.send(data, deadline)
    if flush:
        _flush(connection, deadline)


def received(
    connection: Connection,
    until: Framing | None = None,
    timeout: Timeout = None,
    *,
    is_framed: bool = False,
    count: int | None = None,
) -> Iterator[bytes]:
    """Yield each message, block of a stream, or frame of a rule: `count` of them, or until there are no more.

    `until` and `is_framed` are those of `Connection.ask`. Without `count`, this ends when the other end
    closes the pipe, and at the timeout. With `count`, both are errors: PartialResultError after the first piece, before
    it the error itself. Raises FrameError, with the data of the frame, if the other end closed within a frame.
    """
    number = 0
    try:
        for data in _pieces(connection, until, deadline_of(timeout)):
            number += 1
            yield until.body(data) if until is not None and is_framed else data
            if number == count:
                return
    except (PipeTimeoutError, PipeClosedError) as error:
        is_between = until is None or until.is_nothing(bytearray(error.partial))
        if isinstance(error, PipeClosedError) and not is_between:
            cut = FrameError(f"the other end closed within a frame of {until}", pipe=connection.pipe)
            cut.partial = error.partial
            raise cut from error
        if count is None and is_between:
            return
        if number:
            raise PartialResultError.after(error) from error
        raise


def _pieces(connection: Connection, until: Framing | None, deadline: Deadline) -> Iterator[bytes]:
    while True:
        if until is None:
            yield connection.receive(deadline)
            continue
        data, ended_by = connection.receive_until(until, deadline)
        if ended_by == "eof" and not data:
            connection.peek()  # which fails at the end of the stream, and not after an empty message
        yield data


def _flush(connection: Connection, deadline: Deadline) -> None:
    run_blocking(partial(winapi.FlushFileBuffers, connection.handle), deadline, connection.pipe)


class Pump:
    """Sends what a source yields, and passes what arrives to a sink, both at once, until both directions have ended.

    The source and the sink run in a thread each; the thread of the source is abandoned if it still waits at the end. A
    source yields bytes, each a message on a message pipe, or None to end at once. With a `framing` the pipe carries
    frames, and the source and the sink handle their bodies.
    """

    def __init__(
        self,
        connection: Connection,
        source: Iterable[bytes | None],
        sink: Callable[[bytes], object],
        *,
        framing: Framing | None = None,
        half_close: HalfClose = HalfClose.AUTO,
        end: EndOf = EndOf.BOTH,
        linger: float | None = 1.0,
        patience: float | None = 5.0,
    ) -> None:
        """`linger`: seconds without data that end it after the source, if nothing else can; None waits for the close.

        `patience`: seconds that the other end has to read what was sent, before an empty message is sent.
        """
        self._connection = connection
        self._source = source
        self._sink = sink
        self._framing = framing
        self._half_close = half_close
        self._end = end
        self._linger = linger
        self._patience = patience
        # Set when one of the following changes; each is changed by one thread only.
        self._changed = create_event()
        self._error: BaseException | None = None
        self._has_sent_all = False
        # Whether an empty message has marked the end of this direction, and that of the other.
        self._has_told_end = False
        self._was_told_end = False
        self._is_closed = False
        self._is_unsent = False
        self._is_stopped = False
        # Whether the source has sent an empty message, so that empty messages do not mark the end in this session.
        self._has_sent_empty = False
        self._is_delivering = False
        self._is_sending = False
        self._last = time.perf_counter()

    def run(self) -> None:
        """Pump until the end, and close the connection.

        Raises the errors of the source and the sink; PipeClosedError if the pipe was closed while there was data to
        send; PipeTimeoutError if the other end did not read all data in time; FrameError.
        """
        threads = [
            Thread(target=self._guarded, args=(work,), name=f"Pump {name}", daemon=True)
            for name, work in (("output", self._receive), ("input", self._send))
        ]
        try:
            for thread in threads:
                thread.start()
            while not self._is_over():
                if wait(self._changed, Deadline(self._rest_of_silence())):
                    winapi.ResetEvent(self._changed)
            if self._is_closed:
                # If there is more to send, a send fails now, which shows that.
                threads[1].join(_PATIENCE if self._is_sending else _MOMENT)
        finally:
            self._is_stopped = True
            self._connection.close()
            self._changed.close()
        if self._error is not None:
            raise self._error
        if self._is_unsent:
            raise PipeClosedError("the other end closed the pipe before all data was sent", pipe=self._connection.pipe)

    def _is_over(self) -> bool:
        if self._error is not None or self._is_closed or self._is_stopped:
            return True
        if not self._has_sent_all:
            return False
        if self._end is EndOf.STDIN or self._was_told_end:
            return True
        return self._rest_of_silence() == 0

    def _rest_of_silence(self) -> float | None:
        """Return for how many more seconds no data must arrive until the end; None if silence is not the end."""
        if self._linger is None or not self._has_sent_all or self._has_told_end or self._end is EndOf.PIPE:
            return None
        return self._linger if self._is_delivering else max(0, self._last + self._linger - time.perf_counter())

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run the function of a thread, and signal that something has changed."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            if not self._is_stopped:
                self._error = self._error or error
        with suppress(PipeError):
            set_event(self._changed)

    # From the source

    def _send(self) -> None:
        wrap = self._framing.wrap if self._framing else bytes
        try:
            for data in self._source:
                if data is None:
                    self._is_stopped = True
                    return
                self._has_sent_empty |= not data
                self._is_sending = True
                self._connection.send(wrap(data))
                self._is_sending = False
        except PipeClosedError:
            self._is_unsent = True  # what it sent before can still be read, up to the end of the stream
            return
        with suppress(PipeClosedError):
            self._tell_end()
        self._last = time.perf_counter()
        self._has_sent_all = True

    def _tell_end(self) -> None:
        by_type = self._half_close is HalfClose.AUTO and self._connection.is_message
        if not by_type and self._half_close is not HalfClose.EMPTY:
            return
        if self._connection.is_message:
            _flush(self._connection, Deadline(self._patience))
            self._connection.send(b"", self._patience)
        self._has_told_end = not self._has_sent_empty

    # To the sink

    def _receive(self) -> None:
        frames = Frames(self._framing, self._connection.max_message) if self._framing else None
        try:
            while True:
                data = self._connection.receive()
                self._deliver([data] if frames is None else frames.feed(data))
                if not data and self._half_close is not HalfClose.NONE:
                    self._was_told_end = not self._has_sent_empty
                    set_event(self._changed)
        except PipeClosedError:
            self._deliver([] if frames is None else frames.close())
            self._is_closed = True

    def _deliver(self, pieces: Iterable[bytes]) -> None:
        self._is_delivering = True
        for piece in pieces:
            self._sink(piece)
        self._last = time.perf_counter()
        self._is_delivering = False

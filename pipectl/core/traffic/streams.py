"""Data between a pipe and a stream: `received` yields it piece by piece, `Pump` moves both directions at once.

A pipe has no half-close. On a message pipe, an empty message signals the end of one direction by convention: go-winio,
and so Docker, send and expect it. A reader in byte mode loses it if the message before is still unread, so it is sent
only after FlushFileBuffers. A byte pipe has no such signal, so silence has to be the end there.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from pipectl.core.constants import EndOf, HalfClose, Wait
from pipectl.core.deadline import Deadline, Timeout, deadline_of
from pipectl.core.errors import (
    FrameError,
    PartialResultError,
    PipeBusyError,
    PipeClosedError,
    PipeError,
    PipeNotFoundError,
    PipeStateError,
    PipeTimeoutError,
)
from pipectl.core.pipe.connection import Connection
from pipectl.core.win32 import winapi
from pipectl.core.win32.blocking import run_blocking
from pipectl.core.win32.handle import Handle, wait

if TYPE_CHECKING:
    from pipectl.core.pipe.frames import Frames, Framing

# Seconds to wait, after the pipe was closed, for a pending send to fail, and for the source to yield more.
_PATIENCE = 1.0
_MOMENT = 0.05
# Seconds between two calls of `waits`.
_REMINDER = 10.0
# Seconds between the end of a connection and the next attempt: a server may accept clients and close at once.
_PAUSE = 0.1
# After these errors, another attempt to reconnect may succeed.
_PASSING = (PipeNotFoundError, PipeBusyError, PipeTimeoutError, PipeClosedError)


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
    until: "Framing | None" = None,
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


def _pieces(connection: Connection, until: "Framing | None", deadline: Deadline) -> Iterator[bytes]:
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


class Reconnects:
    """How often a Pump reconnects after the pipe has closed; override the methods to be notified.

    The threads of the Pump call them; no method runs twice at the same time.
    """

    def __init__(self, times: float, timeout: float | None) -> None:
        """`times`: attempts in total, may be infinite; `timeout`: seconds for each, None for no limit."""
        self.left = times
        self.timeout = timeout

    def closed(self) -> None:
        """Called when the pipe has closed, before the Pump waits for it."""

    def connected(self) -> None:
        """Called when the Pump has reconnected."""

    def lost(self, reason: str) -> None:
        """Called when data may have been lost with the connection."""


class _WhileWanted(Deadline):
    """A deadline that also passes when its wait is no longer wanted."""

    __slots__ = ("_is_wanted",)

    def __init__(self, timeout: float | None, is_wanted: Callable[[], bool]) -> None:
        super().__init__(timeout)
        self._is_wanted = is_wanted

    def remaining(self) -> float | None:
        return super().remaining() if self._is_wanted() else 0.0

    @property
    def passed(self) -> bool:
        return super().passed or not self._is_wanted()


class Pump:
    """Sends what a source yields, and passes what arrives to a sink, both at once, until both directions have ended.

    The source and the sink run in a thread each; the thread of the source is abandoned if it still waits at the end. A
    source yields bytes, each a message on a message pipe, or None to end at once. With a `framing` the pipe carries
    frames, and the source and the sink handle their bodies.

    With `again`, the Pump reconnects when the pipe closes, until the source has ended; with EndOf.PIPE also after that.
    What the source yields meanwhile goes to the next connection. A piece that was being sent is not sent again, because
    a part of it may have arrived.
    """

    def __init__(
        self,
        connection: Connection,
        source: Iterable[bytes | None],
        sink: Callable[[bytes], object],
        *,
        framing: "Framing | None" = None,
        half_close: HalfClose = HalfClose.AUTO,
        end: EndOf = EndOf.BOTH,
        linger: float | None = 1.0,
        patience: float | None = 5.0,
        again: Reconnects | None = None,
        waits: Callable[[], object] = lambda: None,
    ) -> None:
        """`linger`: seconds without data that end it after the source, if no other signal can; None waits for a close.

        `patience`: seconds that the other end has to read what was sent, before an empty message is sent.

        `waits`: called when the source has ended, and every 10 seconds while the Pump still runs after that.
        """
        self._connection = connection
        self._source = source
        self._sink = sink
        self._framing = framing
        self._half_close = half_close
        self._end = end
        self._linger = linger
        self._patience = patience
        self._again = again
        self._waits = waits
        # Set while there is a connection to send to; the lock is held during each send.
        self._is_up = Event()
        self._is_up.set()
        self._gate = Lock()
        # Set when one of the following changes; each is changed by one thread only.
        self._changed = Handle(winapi.CreateEventW(None, True, False, None))
        self._error: BaseException | None = None
        self._has_sent_all = False
        # Whether an empty message has marked the end of this direction, and that of the other.
        self._has_signaled_end = False
        self._end_was_signaled = False
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
        send; PipeTimeoutError if the other end did not read all data in time; FrameError; and the errors of
        `Connection.reconnect`.
        """
        try:
            self._start("output", self._receive)
            sender = self._start("input", self._send)
            self._await_end()
            while self._is_closed and self._goes_on() and self._connect_again():
                self._await_end()
            if self._is_closed:
                # If there is more to send, the send fails now and reveals it.
                sender.join(_PATIENCE if self._is_sending else _MOMENT)
        finally:
            self._is_stopped = True
            self._is_up.set()
            self._connection.close()
            self._changed.close()
        if self._error is not None:
            raise self._error
        if self._is_unsent:
            raise PipeClosedError("the other end closed the pipe before all data was sent", pipe=self._connection.pipe)

    @property
    def is_closed(self) -> bool:
        """Whether `run` has ended because the other end closed the pipe."""
        return self._is_closed

    def stop(self) -> None:
        """End `run` at once; for any thread. Does nothing after the end."""
        self._is_stopped = True
        with suppress(PipeError):
            winapi.SetEvent(self._changed)

    def _start(self, name: str, work: Callable[[], None]) -> Thread:
        thread = Thread(target=self._guarded, args=(work,), name=f"Pump {name}", daemon=True)
        thread.start()
        return thread

    def _await_end(self) -> None:
        reminder = Deadline(_REMINDER)
        while not self._is_over():
            until = Deadline(self._rest_of_silence())
            if self._has_sent_all:
                if reminder.passed:
                    self._waits()
                    reminder = Deadline(_REMINDER)
                until = until.sooner(reminder.at_most(_REMINDER))
            if wait(self._changed, until):
                winapi.ResetEvent(self._changed)
                reminder = Deadline(_REMINDER)

    def _is_over(self) -> bool:
        if self._error is not None or self._is_closed or self._is_stopped:
            return True
        if not self._has_sent_all:
            return False
        if self._end is EndOf.STDIN or self._end_was_signaled:
            return True
        return self._rest_of_silence() == 0

    def _rest_of_silence(self) -> float | None:
        """Return how many more seconds of silence end the Pump; None if silence does not end it."""
        if self._linger is None or not self._has_sent_all or self._has_signaled_end or self._end is EndOf.PIPE:
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
            winapi.SetEvent(self._changed)

    # From the source

    def _send(self) -> None:
        wrap = self._framing.wrap if self._framing else bytes
        try:
            for data in self._source:
                if data is None:
                    self._is_stopped = True
                    return
                self._has_sent_empty |= not data
                self._transmit(wrap(data))
        except PipeClosedError:
            self._is_unsent = True  # what it sent before can still be read, up to the end of the stream
            return
        self._waits()
        with self._gate:
            if self._is_up.is_set():
                self._signal_end()
            self._last = time.perf_counter()
            self._has_sent_all = True

    def _transmit(self, data: bytes) -> None:
        """Send a piece on this connection, or on the next one if it has ended."""
        with self._up():
            self._is_sending = True
            try:
                self._connection.send(data)
            except PipeClosedError:
                if self._again is None or not self._goes_on():
                    raise
                self._is_up.clear()
                self._again.lost(f"{len(data)} bytes that were being sent when the pipe closed may not have arrived")
            self._is_sending = False

    @contextmanager
    def _up(self) -> Iterator[None]:
        """Wait for a connection, and hold it while a send uses it."""
        while True:
            self._is_up.wait()
            with self._gate:
                if self._is_up.is_set():
                    yield
                    return

    def _signal_end(self) -> None:
        by_type = self._half_close is HalfClose.AUTO and self._connection.is_message
        if not by_type and self._half_close is not HalfClose.EMPTY:
            return
        if self._connection.is_message:
            with suppress(PipeClosedError):
                _flush(self._connection, Deadline(self._patience))
                self._connection.send(b"", self._patience)
        self._has_signaled_end = not self._has_sent_empty

    # To the sink

    def _receive(self) -> None:
        frames = self._frames()
        try:
            while True:
                data = self._connection.receive()
                self._deliver([data] if frames is None else frames.feed(data))
                if not data and self._half_close is not HalfClose.NONE:
                    self._end_was_signaled = not self._has_sent_empty
                    winapi.SetEvent(self._changed)
        except PipeClosedError:
            if not self._goes_on():
                self._deliver([] if frames is None else frames.close())
            else:
                self._is_up.clear()
                self._deliver_rest(frames)
            self._is_closed = True

    def _frames(self) -> "Frames | None":
        if self._framing is None:
            return None
        from pipectl.core.pipe.frames import Frames

        return Frames(self._framing, self._connection.max_message, self._connection.pipe)

    def _deliver_rest(self, frames: "Frames | None") -> None:
        try:
            self._deliver([] if frames is None else frames.close())
        except FrameError as error:
            assert self._again is not None
            self._again.lost(f"incomplete data: {error.reason}")

    def _deliver(self, pieces: Iterable[bytes]) -> None:
        self._is_delivering = True
        for piece in pieces:
            self._sink(piece)
        self._last = time.perf_counter()
        self._is_delivering = False

    # The next connection

    def _goes_on(self) -> bool:
        """Return whether to reconnect when this connection ends."""
        return self._again is not None and self._again.left > 0 and self._is_wanted()

    def _is_wanted(self) -> bool:
        is_at_end = self._has_sent_all and self._end is not EndOf.PIPE
        return not (self._is_stopped or self._error or is_at_end)

    def _connect_again(self) -> bool:
        """Reconnect and return True, or return False if no connection is wanted any more.

        Raises the error of the last attempt, and immediately any error that a retry cannot fix.
        """
        again = self._again
        assert again is not None
        with self._gate:  # a send that was pending has failed by now
            self._connection.close()  # at once, because an instance lives until both its ends are closed
        if not self._goes_on():  # the source has ended meanwhile
            return False
        again.closed()
        while self._goes_on():
            time.sleep(_PAUSE)
            again.left -= 1
            try:
                self._connection.reconnect(_WhileWanted(again.timeout, self._is_wanted), wait=Wait.EXISTS)
            except _PASSING:
                if again.left <= 0 and self._is_wanted():
                    raise
                continue
            self._begin_anew()
            again.connected()
            return True
        return False

    def _begin_anew(self) -> None:
        self._is_closed = self._has_signaled_end = self._end_was_signaled = False
        self._last = time.perf_counter()
        self._start("output", self._receive)
        with self._gate:
            self._is_up.set()
            if self._has_sent_all:
                self._signal_end()

"""`Session`: one client of a relay and its connection to the target, until both are closed.

Data from one end is written to the other before more is read. So each direction buffers one read or one message, and
an end that does not read blocks the one that writes.

The end of one side is passed on to the other, if that can receive it:

* FIN, the end of a program's output or of stdin, and an empty message each end one direction. A socket gets FIN, a
  program the end of its stdin, a message pipe an empty message. Between message pipes, empty messages have no meaning.
* A byte pipe cannot receive an end. A client's is closed, and it can still read what was written; a target's stays
  open until no data has arrived for `linger`.
* When one side has closed, the other is closed after everything that was read is written to it. What a socket or a
  program sends until then is dropped, and counted.
* A reset is passed on as a reset.
"""

import time
from typing import TYPE_CHECKING, Protocol

from pipectl.core.errors import PipeClosedError, PipeError, PipeStateError

from .ends import End, Ending, User
from .loop import Timer

if TYPE_CHECKING:
    from .loop import Loop

# Seconds before the target is opened for a client that sends nothing: it may only check that the pipe exists.
_LOOK = 0.05


class Connected(Protocol):
    """Receives a connection to the target, or an error."""

    def __call__(self, target: End | PipeError, first: bytes | None = None, /) -> None:
        """Use the connection; `first` is data that the target has already sent."""


class Owner(Protocol):
    """The part of a relay that its sessions use."""

    loop: "Loop"
    # Seconds that a side has to send its last data, see `RelayConfig`.
    linger: float
    half_closes: bool

    def begin(self, session: "Session", opened: Connected) -> None:
        """Count the client, and connect it to the target."""

    def opened(self, session: "Session") -> None:
        """Note that the client is connected to the target."""

    def forget(self, session: "Session") -> None:
        """Note that a session is over, and that none of its operations is pending."""


class Flow:
    """One direction of a session: the amount of data, and the state of its end."""

    __slots__ = ("bytes", "dropped", "is_finished", "is_over", "is_refused", "messages", "unsaid")

    def __init__(self) -> None:
        self.bytes = 0
        self.messages = 0
        # Bytes that were read but not delivered.
        self.dropped = 0
        # Empty messages that could not be passed on.
        self.unsaid = 0
        # Whether the source has signaled an end, is not read from any more, and the sink accepts no more data.
        self.is_finished = self.is_over = self.is_refused = False


class Session(User):
    """A client and its connection to the target; `number` counts from 1, and stays 0 for a visit."""

    def __init__(self, owner: Owner, client: End, who: object = None) -> None:
        self.client = client
        self.target: End | None = None
        # Who the client is, if the relay has looked that up.
        self.who = who
        self.number = 0
        self.to_target, self.to_client = Flow(), Flow()
        self.begun = time.perf_counter()
        # Which side has ended it, and the error, if there was one.
        self.ended_by = ""
        self.error: PipeError | None = None
        self._owner = owner
        self._is_closing = False
        self._held: bytes | None = None
        self._early_end: tuple[Ending, PipeError | None] | None = None
        self._last = self.begun
        # Which end has sent the last data, and how many seconds before a side left or the session was closed.
        self.last_from: End | None = None
        self.silence: float | None = None
        self._look: Timer | None = None
        self._silence: Timer | None = None
        client.user = self

    # The beginning

    def start(self, *, at_once: bool = False) -> None:
        """Connect to the target after the first byte or `_LOOK` seconds, or at once."""
        if at_once:
            self._open()
        else:
            self._look = self._owner.loop.after(_LOOK, self._open)
        self.client.read()

    def _open(self) -> None:
        _cancelled(self._look)
        self._owner.begin(self, self._opened)

    def _opened(self, target: End | PipeError, first: bytes | None = None) -> None:
        if isinstance(target, PipeError):
            self.close(target, ended_by="target")
            return
        if self._is_closing:
            target.close()
            return
        self.target, target.user = target, self
        self._last = time.perf_counter()
        self._owner.opened(self)
        self._begin(target, first)

    def _begin(self, target: End, first: bytes | None) -> None:
        """Pass on what was received so far, and continue to read."""
        held, self._held = self._held, None
        if held is not None:
            self.received(self.client, held)
        elif self._early_end is not None:
            self.ended(self.client, *self._early_end)
        if first is not None:
            self.received(target, first)
        elif not self._is_closing:
            target.read()

    @property
    def last_activity(self) -> float:
        """When data was last received, in the seconds of `time.perf_counter`."""
        return self._last

    @property
    def is_visit(self) -> bool:
        """Whether the client has not been connected to the target, and so does not count."""
        return not self.number

    # Events of the ends

    def received(self, end: End, data: bytes) -> None:
        self._last = time.perf_counter()
        self.last_from = end
        sink: End | None
        if end is self.client:
            flow, sink = self.to_target, self.target
        else:
            flow, sink = self.to_client, self.client
        if sink is not None:
            if data and not (flow.is_refused or flow.is_finished):
                flow.bytes += len(data)
                flow.messages += end.is_message
                sink.write(data)
            else:
                self._pass_on(flow, end, sink, data)
            return
        self._held = data
        if not self.number:
            self._open()

    def written(self, end: End) -> None:
        if end is self.client:
            flow, source = self.to_client, self.target
        else:
            flow, source = self.to_target, self.client
        assert source is not None
        if source.is_long:
            source.release()
        if not flow.is_over:
            source.read()
        if flow.is_finished:
            self._close_if_finished()

    def refused(self, end: End, lost: int, error: PipeError) -> None:
        flow = self._to(end)
        flow.bytes -= lost
        flow.dropped += lost
        flow.is_refused = True
        if not isinstance(error, PipeClosedError):
            self.close(error, ended_by=self._name(end))
            return
        # Data that it wrote before it closed may be unread, and its end comes after that.
        self._await_silence()
        if not flow.is_over:
            self._other(end).read()

    def ended(self, end: End, ending: Ending, error: PipeError | None) -> None:
        if self._is_closing:
            return
        if self.target is None:
            self._ended_early(ending, error)
            return
        flow = self._from(end)
        if ending is Ending.RESET:
            self.close(error, ended_by=self._name(end), reset=isinstance(error, PipeClosedError))
        elif ending is Ending.CLOSED:
            self.error = self.error or error
            flow.is_over = True
            self._left(end)
        elif not flow.is_over:
            flow.is_over = True
            self._finish(flow, end)

    def _ended_early(self, ending: Ending, error: PipeError | None) -> None:
        """Handle the end of a client without a target: it was a visit, or the end waits until the target is open."""
        if self.number:
            self._early_end = ending, error
        else:
            self.close(ended_by="client")

    def gone(self, end: End) -> None:  # noqa: ARG002
        if all(one is None or one.is_gone for one in (self.client, self.target)):
            self._owner.forget(self)

    # Passing on

    def _pass_on(self, flow: Flow, source: End, sink: End, data: bytes) -> None:
        """Handle an empty message, data after an end, and data for a side that accepts no more."""
        if flow.is_refused:
            flow.dropped += len(data)
            if source.is_long:
                source.release()
            source.read()
        elif flow.is_finished and (data or not sink.is_message):
            self._after_its_end(flow, source, data)
        elif not (data or sink.is_message):
            self._empty_message(flow, source, sink)
        else:
            flow.messages += source.is_message
            sink.write(data)

    def _after_its_end(self, flow: Flow, source: End, data: bytes) -> None:
        if data:
            flow.dropped += len(data)
            error = PipeStateError(
                f"{len(data)} bytes came after an empty message, which had been passed on as the end"
            )
            self.close(error, ended_by=self._name(source))
        else:
            source.read()

    def _empty_message(self, flow: Flow, source: End, sink: End) -> None:
        """Handle an empty message to a side without messages: signal the end of the direction, if possible."""
        self._signal_end(flow, sink)
        if not self._is_closing:
            source.read()

    def _signal_end(self, flow: Flow, sink: End) -> None:
        if self._owner.half_closes and sink.signal_end():
            flow.is_finished = True
            self._close_if_finished()
        else:
            flow.unsaid += 1

    # Ending

    def _finish(self, flow: Flow, source: End) -> None:
        """Pass on the end of one direction."""
        sink = self._other(source)
        flow.is_finished = True
        signals = self._owner.half_closes and not flow.is_refused and not (sink is self.client and sink.ends_at_once)
        if signals and sink.signal_end():
            self._close_if_finished()
        elif sink is self.client:
            self.close(ended_by="target")
        else:
            self._await_silence()

    def _left(self, end: End) -> None:
        """Close the other end too; one that drains is first read from for `linger`."""
        other = self._other(end)
        flow, back = self._from(end), self._from(other)
        self.ended_by = self.ended_by or self._name(end)
        self.silence = time.perf_counter() - self._last
        back.is_refused = True
        if not other.drains or back.is_over:
            self.close()
            return
        if not flow.is_finished:
            flow.is_finished = True
            other.signal_end()
        other.read()
        self._owner.loop.after(self._owner.linger, self.close)

    def _close_if_finished(self) -> None:
        ends = [end for end in (self.client, self.target) if end is not None]
        if self.to_target.is_finished and self.to_client.is_finished and not any(end.is_writing for end in ends):
            self.close(ended_by="client" if self.to_target.is_over else "target")

    def close(self, error: PipeError | None = None, *, ended_by: str = "relay", reset: bool = False) -> None:
        """Close both ends; written data can still be read, except with `reset` at the end that did not cause it."""
        if self._is_closing:
            return
        self._is_closing = True
        if self.silence is None:
            self.silence = time.perf_counter() - self._last
        self.error, self.ended_by = error or self.error, self.ended_by or ended_by
        for timer in (self._look, self._silence):
            _cancelled(timer)
        if self._held is not None:
            self.to_target.dropped += len(self._held)
        for end in (self.client, self.target):
            if end is not None:
                end.close(reset=reset and self._name(end) != self.ended_by)

    # Time

    def _await_silence(self) -> None:
        """Close once no data has arrived for `linger`."""
        if self._silence is None:
            self._last = time.perf_counter()
            self._silence = self._owner.loop.after(self._owner.linger, self._look_for_silence)

    def _look_for_silence(self) -> None:
        left = self._last + self._owner.linger - time.perf_counter()
        if left > 0:
            self._silence = self._owner.loop.after(left, self._look_for_silence)
        else:
            self.close(ended_by="client" if self.to_target.is_over else "target")

    # Its two sides

    def _from(self, end: End) -> Flow:
        return self.to_target if end is self.client else self.to_client

    def _to(self, end: End) -> Flow:
        return self.to_client if end is self.client else self.to_target

    def _other(self, end: End) -> End:
        other = self.target if end is self.client else self.client
        assert other is not None
        return other

    def _name(self, end: End) -> str:
        return "client" if end is self.client else "target"


def _cancelled(timer: Timer | None) -> None:
    if timer is not None:
        timer.cancel()

"""`WatchedSession`: a session that reports the data it reads, and lets filters change it, at no cost to others."""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipectl.core.codecs.base import Side
from pipectl.core.errors import PipeError

from .ends import End, Ending
from .filters import Filter, Then, Verdict
from .session import Flow, Owner, Session

if TYPE_CHECKING:
    from .loop import Timer

# Called with data that was read: the session, the sender, the data, and whether it is a message. See `RelayEvents`.
Passed = Callable[[Session, Side, bytes, bool], None]
# Returns the filter for what one side of a session sends, if there is one.
Filters = Callable[[Session, Side], Filter | None]


class _Stream:
    """One direction with a filter, and the rest of its last verdict."""

    __slots__ = ("endings", "filter", "flow", "is_over", "pieces", "sink", "source", "timer", "verdict")

    def __init__(self, chosen: Filter, source: End, sink: End, flow: Flow) -> None:
        self.filter = chosen
        self.source = source
        self.sink = sink
        self.flow = flow
        self.pieces: deque[tuple[float, bytes]] = deque()
        # The verdict that is being carried out; it stays if it stalls the source.
        self.verdict: Verdict | None = None
        self.timer: Timer | None = None
        # How the source has ended, which is passed on after the pieces; and whether the filter was notified.
        self.endings: list[tuple[Ending, PipeError | None]] = []
        self.is_over = False

    def drop(self) -> list[tuple[Ending, PipeError | None]]:
        """Drop the remaining pieces, which cannot be delivered, and return the endings that were not passed on."""
        if self.timer is not None:
            self.timer.cancel()
        self.flow.dropped += sum(len(data) for _, data in self.pieces)
        self.pieces.clear()
        self.verdict = None
        endings, self.endings = self.endings, []
        return endings


class WatchedSession(Session):
    """A session that reports what it reads, and writes what filters return for it."""

    def __init__(
        self, owner: Owner, client: End, who: object = None, *, passed: Passed | None, filters: Filters | None
    ) -> None:
        super().__init__(owner, client, who)
        self._passed = passed
        self._filters = filters
        # By the end that is read from.
        self._streams: dict[End, _Stream] = {}

    # Events of the ends

    def _begin(self, target: End, first: bytes | None) -> None:
        if self._filters is not None:
            for side, source, sink in ((Side.CLIENT, self.client, target), (Side.SERVER, target, self.client)):
                chosen = self._filters(self, side)
                if chosen is not None:
                    self._streams[source] = _Stream(chosen, source, sink, self._from(source))
        super()._begin(target, first)

    def received(self, end: End, data: bytes) -> None:
        if self.target is None:  # it is kept, and passed in again once the target is open
            super().received(end, data)
            return
        self._report(end, data, end.is_message)
        stream = self._streams.get(end)
        if stream is None or stream.flow.is_refused or stream.flow.is_finished:
            super().received(end, data)
        else:
            self._last = time.perf_counter()
            self.last_from = end
            self._apply(stream, stream.filter.take(data, end.is_message))

    def ended(self, end: End, ending: Ending, error: PipeError | None) -> None:
        flow = self._from(end)
        if self._is_closing or self.target is None or (ending is Ending.FINISHED and flow.is_over):
            super().ended(end, ending, error)
            return
        if ending is Ending.FINISHED:
            self._report(end, b"", is_message=False)
        stream = self._streams.get(end)
        if stream is None or ending is Ending.RESET or flow.is_refused:
            super().ended(end, ending, error)
            return
        stream.endings.append((ending, error))
        if stream.verdict is None:
            self._go_on(stream)

    def written(self, end: End) -> None:
        stream = self._streams.get(self._other(end))
        if stream is None or stream.verdict is None:
            super().written(end)
        else:
            self._write_on(stream)

    def refused(self, end: End, lost: int, error: PipeError) -> None:
        source = self._other(end)
        endings = self._streams[source].drop() if source in self._streams else []
        super().refused(end, lost, error)
        for ending in endings:
            super().ended(source, *ending)

    def close(self, error: PipeError | None = None, *, ended_by: str = "relay", reset: bool = False) -> None:
        if not self._is_closing:
            if self._held is not None and self.number:
                self._report(self.client, self._held, self.client.is_message)
            for stream in self._streams.values():
                stream.drop()
        super().close(error, ended_by=ended_by, reset=reset)

    def _look_for_silence(self) -> None:
        if any(stream.verdict is not None for stream in self._streams.values()):
            self._last = time.perf_counter()  # data that waits to be written is no silence
        super()._look_for_silence()

    def _report(self, end: End, data: bytes, is_message: bool) -> None:
        if self._passed is not None:
            self._passed(self, Side.CLIENT if end is self.client else Side.SERVER, data, is_message)

    # What filters decide

    def _apply(self, stream: _Stream, verdict: Verdict) -> None:
        stream.verdict = verdict
        stream.pieces.extend(verdict.pieces)
        stream.flow.dropped += verdict.lost
        self._write_on(stream)

    def _write_on(self, stream: _Stream) -> None:
        """Write the next piece, at once or when it is due; after the last one, do what the verdict says."""
        while stream.pieces:
            delay, data = stream.pieces[0]
            if delay > 0:
                stream.pieces[0] = 0.0, data
                self._later(stream, delay)
                return
            stream.pieces.popleft()
            if self._write(stream, data):
                return
        verdict = stream.verdict
        if verdict is not None and verdict.pause > 0:
            stream.verdict = verdict._replace(pause=0.0)
            self._later(stream, verdict.pause)
        elif verdict is not None:  # and the session was not closed meanwhile
            self._follow(stream, verdict)

    def _later(self, stream: _Stream, seconds: float) -> None:
        stream.timer = self._owner.loop.after(seconds, lambda: self._write_on(stream))

    def _write(self, stream: _Stream, data: bytes) -> bool:
        """Write a piece, and return whether `written` or `refused` will report its completion."""
        flow, sink = stream.flow, stream.sink
        if flow.is_refused:
            flow.dropped += len(data)
        elif not (data or sink.is_message):
            self._signal_end(flow, sink)
        elif data and flow.is_finished:
            self._after_its_end(flow, stream.source, data)
        else:
            self._last = time.perf_counter()
            flow.bytes += len(data)
            flow.messages += stream.source.is_message or sink.is_message
            sink.write(data)
            return True
        return False

    def _follow(self, stream: _Stream, verdict: Verdict) -> None:
        match verdict.then:
            case Then.READ:
                stream.verdict = None
                self._go_on(stream)
            case Then.STALL:
                if stream.source.is_long:
                    stream.source.release()
            case then:
                ended_by = self._name(stream.source) if verdict.error else "relay"
                self.close(verdict.error, ended_by=ended_by, reset=then is Then.RESET)

    def _go_on(self, stream: _Stream) -> None:
        """Read again; if the source has ended, get the rest from the filter, and then pass the end on."""
        if not stream.endings:
            super().written(stream.sink)
        elif not stream.is_over:
            stream.is_over = True
            self._apply(stream, stream.filter.end())
        else:
            endings, stream.endings = stream.endings, []
            for ending in endings:
                super().ended(stream.source, *ending)

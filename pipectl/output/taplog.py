"""What `tap` shows: who connects, each frame as it passes, who leaves; and what a recording is told."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pipectl.core.codecs.base import Side
from pipectl.core.errors import PipeError
from pipectl.core.recording.conversation import Decoded
from pipectl.core.recording.recording import Closed, Event, Header, Opened, Said, event_to_json
from pipectl.core.traffic.observer import Observer
from pipectl.core.traffic.relay import Relay
from pipectl.core.traffic.session import Session

from . import Output
from .frames import FrameView, Wanted, short_time, times_in_words
from .relaylog import RelayLog

# Bytes of lines that may wait to be written, and how many lines.
_MOST_BYTES = 4 << 20
_MOST_LINES = 20_000
# Replies whose times are kept, for each client and for all.
_MOST_TIMES = 100_000


class TapLog(RelayLog):
    """Tells the events of one Relay to an observer, and shows what that makes of them."""

    most_waiting = _MOST_LINES, _MOST_BYTES
    lost = "... {} frames not shown, because nothing read the output"

    def __init__(
        self,
        output: Output,
        *,
        announce: Callable[[Relay], None],
        observe: Callable[["TapLog", Relay], Observer],
        frames: FrameView,
        wanted: Wanted,
        header: Header,
        shows: bool = True,
    ) -> None:
        super().__init__(output, announce=announce, clients=False)
        self._observe = observe
        self._frames = frames
        self._wanted = wanted
        self._header = header
        self._shows = shows
        self._observer: Observer
        # For each client: when it came, when something of it was shown last, and how long its replies took.
        self._came: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._times: dict[int, list[float]] = {}
        # By what was asked: how long the replies took.
        self.answers: dict[str, list[float]] = {}

    # In the relay's thread

    def started(self, relay: Relay) -> None:
        """Announce it, and begin to observe."""
        super().started(relay)
        if self._output.is_json and self._shows:
            header = self._header._replace(pipe=str(relay.place)).to_json()
            self._put_line(lambda: self._output.data.event(header, ""), 0)
        self._observer = self._observe(self, relay)

    def connected(self, session: Session) -> None:
        """Tell of a client, and remember who it is."""
        super().connected(session)
        self._observer.opened(session.number, self._visitors[session].facts)

    def passed(self, session: Session, side: Side, data: bytes, is_message: bool) -> None:
        """Tell what one side has sent."""
        self._observer.passed(session.number, side, data, is_message)

    def left(self, session: Session) -> None:
        """Tell how a session has ended."""
        self._error = error = session.error
        by = {"target": "server"}.get(session.ended_by, session.ended_by)
        code = error.code if isinstance(error, PipeError) else 0
        self._observer.closed(session.number, by, code, str(error or ""))

    # In the program's thread

    def hurry(self) -> None:
        """Keep the relay waiting no more."""
        self._observer.hurry()

    def close(self) -> None:
        """Write what waits to be written."""
        if hasattr(self, "_observer"):
            self._observer.close()
        super().close()

    def times(self) -> list[dict[str, Any]]:
        """Return how long replies took, for each kind of request, those that took longest in all first."""
        found = sorted(self.answers.items(), key=lambda item: -sum(item[1]))
        return [
            {
                "request": summary,
                "replies": len(seconds),
                "median": short_time(sorted(seconds)[len(seconds) // 2]),
                "longest": short_time(max(seconds)),
            }
            for summary, seconds in found
        ]

    # In the observer's thread

    def codec_failed(self, error: Exception) -> None:
        """Warn that a codec has failed, with its traceback if that is asked for."""
        from traceback import format_exception

        self.warn(f"the codec failed, and the rest of this client is shown as it is: {error!r}")
        if self._output.debug:
            self.warn("".join(format_exception(error)).rstrip())

    def show(self, part: Event | Decoded) -> None:
        """Show what the observer tells."""
        if not self._shows:
            return
        match part:
            case Decoded():
                if part.request is not None and part.seconds is not None:
                    self._count(part.client, part.request.frame.summary, part.seconds)
                self._last[part.client] = part.t
                if self._wanted.matches(part):
                    self._put_event(self._frames.record, self._frames.line, part, len(part.frame.data))
            case Said(is_end=True):
                # It may have waited for a frame of what was sent before it.
                end = part._replace(t=max(part.t, self._last.get(part.client, 0.0)))
                line = partial(self._frames.end_line, is_message=self._header.is_message)
                self._put_event(event_to_json, line, end, 0)
            case Opened():
                self._came[part.client] = part.t
                self._put_event(event_to_json, _opened_line, part, 0)
            case Closed():
                times = times_in_words(self._times.pop(part.client, []))
                self._last.pop(part.client, None)
                seconds = part.t - self._came.pop(part.client, part.t)
                self._put_event(event_to_json, partial(_closed_line, seconds, times), part, 0)

    def _count(self, client: int, summary: str, seconds: float) -> None:
        times = self._times.setdefault(client, [])
        if len(times) < _MOST_TIMES:
            times.append(seconds)
        if summary in self.answers or len(self.answers) < _MOST_LINES:
            by_request = self.answers.setdefault(summary, [])
            if len(by_request) < _MOST_TIMES:
                by_request.append(seconds)

    def _put_event(
        self, record: Callable[[Any], Mapping[str, Any]], line: Callable[[Any], str], part: Any, size: int
    ) -> None:
        data = self._output.data
        if self._output.is_json:
            self._put_line(lambda: data.event(record(part), ""), size)
        else:
            self._put_line(lambda: data.event({}, line(part)), size)


def _opened_line(opened: Opened) -> str:
    facts = opened.facts
    image = str(facts.get("image") or "").rpartition("\\")[2]
    known = (f"pid {facts.get('pid')}", image, facts.get("user"), facts.get("computer"))
    return f"#{opened.client:<2} connected  {', '.join(str(fact) for fact in known if fact)}"


def _closed_line(seconds: float, times: str, closed: Closed) -> str:
    error = f": {closed.error}" if closed.error else ""
    return f"#{closed.client:<2} closed by the {closed.by} after {short_time(seconds)}: {times}{error}"

"""What `tap` shows: who connects, each frame as it passes, who leaves; and what a recording is told."""

from collections.abc import Callable

from pipectl.core.codecs.base import Side
from pipectl.core.errors import PipeError
from pipectl.core.recording.conversation import Part
from pipectl.core.recording.recording import Header
from pipectl.core.traffic.observer import Observer
from pipectl.core.traffic.relay import Relay
from pipectl.core.traffic.session import Session

from . import Output
from .frames import Story
from .relaylog import RelayLog

# Bytes of lines that may wait to be written, and how many lines.
_MOST_BYTES = 4 << 20
_MOST_LINES = 20_000


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
        story: Story,
        header: Header,
        shows: bool = True,
    ) -> None:
        super().__init__(output, announce=announce, clients=False)
        self._observe = observe
        self.story = story
        self._header = header
        self._shows = shows
        self._observer: Observer

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

    # In the observer's thread

    def codec_failed(self, error: Exception) -> None:
        """Warn that a codec has failed, with its traceback if that is asked for."""
        from traceback import format_exception

        self.warn(f"the codec failed, and the rest of this client is shown as it is: {error!r}")
        if self._output.debug:
            self.warn("".join(format_exception(error)).rstrip())

    def show(self, part: Part) -> None:
        """Show what the observer tells."""
        told = self.story.tell(part) if self._shows else None
        if told is not None:
            data = self._output.data
            if self._output.is_json:
                self._put_line(lambda: data.event(told.record(), ""), told.size)
            else:
                self._put_line(lambda: data.event({}, told.line()), told.size)

"""What `tap` shows: who connects, each frame as it passes, who leaves; and what a recording is told."""

from collections.abc import Callable

from pipectl.core.recording.conversation import Part
from pipectl.core.recording.recording import Header
from pipectl.core.traffic.relay import Relay

from . import Output
from .frames import Story
from .recordlog import Observe, RecordingLog

# Bytes of lines that may wait to be written, and how many lines.
_MOST_BYTES = 4 << 20
_MOST_LINES = 20_000


class TapLog(RecordingLog):
    """Tells the events of one Relay to an observer, and shows what that makes of them."""

    most_waiting = _MOST_LINES, _MOST_BYTES
    lost = "... {} frames not shown, because nothing read the output"

    def __init__(
        self,
        output: Output,
        *,
        announce: Callable[[Relay], None],
        observe: Observe,
        story: Story,
        header: Header,
        shows: bool = True,
    ) -> None:
        super().__init__(output, announce=announce, observe=observe, clients=False)
        self._story = story
        self._header = header
        self._shows = shows

    def started(self, relay: Relay) -> None:
        """Announce it, and begin to observe."""
        super().started(relay)
        if self._output.is_json and self._shows:
            header = self._header._replace(pipe=str(relay.place)).to_json()
            self._put_line(lambda: self._output.data.event(header, ""), 0)

    def show(self, part: Part) -> None:
        """Show what the observer tells."""
        told = self._story.tell(part) if self._shows else None
        if told is not None:
            data = self._output.data
            if self._output.is_json:
                self._put_line(lambda: data.event(told.record(), ""), told.size)
            else:
                self._put_line(lambda: data.event({}, told.line()), told.size)

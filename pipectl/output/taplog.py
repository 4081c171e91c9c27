"""The output of `tap`: clients that connect and leave, and each frame as it passes; with or without a recording."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipectl.core.codecs.base import Side
from pipectl.core.recording.conversation import Part
from pipectl.core.recording.recording import Header
from pipectl.core.traffic.relay import Relay
from pipectl.core.traffic.session import Session

from . import Output
from .frames import Shown, Story
from .recordlog import Observe, RecordingLog

if TYPE_CHECKING:
    from pipectl.core.traffic.faults import Fault

# The most bytes of lines that may be queued for writing, and the most lines.
_MOST_BYTES = 4 << 20
_MOST_LINES = 20_000


class TapLog(RecordingLog):
    """Passes the events of one Relay to an observer, and shows the decoded parts."""

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

        # The parts that are not queued for writing yet.
        self._shown: list[Shown] = []

    def started(self, relay: Relay) -> None:
        """Announce the relay, and create the observer."""
        super().started(relay)
        if self._output.is_json and self._shows:
            header = self._header._replace(pipe=str(relay.place)).to_json()
            self._put_lines(lambda: self._output.data.event(header, ""), 0, 1)

    def faulted(self, session: Session, side: Side, fault: "Fault") -> None:
        """Show a fault that has occurred; the data is shown and recorded as it was before the fault."""
        value = {"value": fault.text} if fault.text else {}
        t = round(self._observer.now, 6) if self._observer is not None else 0.0
        record = {"t": t, "client": session.number, "event": "fault", "fault": fault.name, **value, "from": side.value}
        line = f"#{session.number:<2} fault {fault} (from the {side})"
        self._put_lines(lambda: self._output.data.event(record, line), 0, 1)

    # In the observer's thread

    def show(self, part: Part) -> None:
        """Keep a part from the observer, to show it when `rest` is called."""
        shown = self._story.shown(part) if self._shows else None
        if shown is not None:
            self._shown.append(shown)

    def rest(self) -> None:
        """Queue the kept parts for writing."""
        if not self._shown:
            return
        shown, self._shown = self._shown, []
        data = self._output.data

        def write() -> None:
            if self._output.is_json:
                for one in shown:
                    data.event(one.record(), "")
            else:
                data.event({}, "\n".join(one.line() for one in shown))

        self._put_lines(write, sum(one.size for one in shown), len(shown))

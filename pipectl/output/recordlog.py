"""The log of a relay that records: the same as without, with all events and data passed to an observer too."""

from collections.abc import Callable, Sequence

from pipectl.core.codecs.base import Side
from pipectl.core.recording.conversation import Part
from pipectl.core.traffic.observer import Observer
from pipectl.core.traffic.relay import Relay
from pipectl.core.traffic.session import Session

from . import Output
from .relaylog import RelayLog

# Creates the observer of a relay that is about to start.
Observe = Callable[["RecordingLog", Relay], Observer]


class RecordingLog(RelayLog):
    """Passes the events of one Relay to an Output and to an Observer."""

    def __init__(
        self,
        output: Output,
        *,
        announce: Callable[[Relay], None],
        observe: Observe,
        access: Callable[[], Sequence[str]] = tuple,
        clients: bool = True,
    ) -> None:
        super().__init__(output, announce=announce, access=access, clients=clients)
        self._observe = observe
        self._observer: Observer | None = None

    # In the relay's thread

    def started(self, relay: Relay) -> None:
        """Announce the relay, and create the observer."""
        super().started(relay)
        self._observer = self._observe(self, relay)

    def connected(self, session: Session) -> None:
        """Report a new client, and remember who it is."""
        super().connected(session)
        if self._observer is not None:
            self._observer.opened(session.number, self._visitors[session].facts)

    def passed(self, session: Session, side: Side, data: bytes, is_message: bool) -> None:
        """Report data that one side has sent."""
        if self._observer is not None:
            self._observer.passed(session.number, side, data, is_message)

    def left(self, session: Session) -> None:
        """Report how a session has ended."""
        super().left(session)
        by = {"target": "server"}.get(session.ended_by, session.ended_by)
        error = session.error
        if self._observer is not None:
            self._observer.closed(session.number, by, error.code if error else 0, str(error or ""))

    # In the program's thread

    def stop_waiting(self) -> None:
        """Stop making the relay wait, because it is about to end."""
        if self._observer is not None:
            self._observer.stop_waiting()

    def close(self) -> None:
        """Write the queued events."""
        if self._observer is not None:
            self._observer.close()
        super().close()

    # In the observer's thread

    def show(self, part: Part) -> None:
        """Do nothing: a relay does not show the data."""

    def rest(self) -> None:
        """Do nothing: nothing is shown."""

    def codec_failed(self, error: Exception) -> None:
        """Warn that a codec has failed, with its traceback if `--debug` is set."""
        from traceback import format_exception

        self.warn(f"the codec failed, and the rest of this client is taken as it is: {error!r}")
        if self._output.debug:
            self.warn("".join(format_exception(error)).rstrip())

"""What a relay tells while it records: the same as without, and everything that passes to an observer."""

from collections.abc import Callable, Sequence

from pipectl.core.codecs.base import Side
from pipectl.core.recording.conversation import Part
from pipectl.core.traffic.observer import Observer
from pipectl.core.traffic.relay import Relay
from pipectl.core.traffic.session import Session

from . import Output
from .relaylog import RelayLog

# Makes the observer of a relay that is about to listen.
Observe = Callable[["RecordingLog", Relay], Observer]


class RecordingLog(RelayLog):
    """Tells the events of one Relay to an Output and to an Observer."""

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
        """Announce it, and begin to observe."""
        super().started(relay)
        self._observer = self._observe(self, relay)

    def connected(self, session: Session) -> None:
        """Tell of a client, and remember who it is."""
        super().connected(session)
        if self._observer is not None:
            self._observer.opened(session.number, self._visitors[session].facts)

    def passed(self, session: Session, side: Side, data: bytes, is_message: bool) -> None:
        """Tell what one side has sent."""
        if self._observer is not None:
            self._observer.passed(session.number, side, data, is_message)

    def left(self, session: Session) -> None:
        """Tell how a session has ended."""
        super().left(session)
        by = {"target": "server"}.get(session.ended_by, session.ended_by)
        error = session.error
        if self._observer is not None:
            self._observer.closed(session.number, by, error.code if error else 0, str(error or ""))

    # In the program's thread

    def hurry(self) -> None:
        """Keep the relay waiting no more."""
        if self._observer is not None:
            self._observer.hurry()

    def close(self) -> None:
        """Write what waits to be written."""
        if self._observer is not None:
            self._observer.close()
        super().close()

    # In the observer's thread

    def show(self, part: Part) -> None:
        """Do nothing: a relay does not show what passes."""

    def rest(self) -> None:
        """Do nothing: nothing is shown."""

    def codec_failed(self, error: Exception) -> None:
        """Warn that a codec has failed, with its traceback if that is asked for."""
        from traceback import format_exception

        self.warn(f"the codec failed, and the rest of this client is taken as it is: {error!r}")
        if self._output.debug:
            self.warn("".join(format_exception(error)).rstrip())

"""`Disturbance`: the faults of `--fault` in a relay, as filters of what one side or both send."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from pipectl.core.codecs.base import Side

from .faults import Ending, Fault, Faults, FaultStream
from .filters import Filter, Then, Verdict

if TYPE_CHECKING:
    from .session import Session
    from .watched import Filters

_THEN = {Ending.CLOSE: Then.CLOSE, Ending.RESET: Then.RESET, Ending.STALL: Then.STALL}
# The faults of arrivals that a relay does not support, because they need the instances of a server's pipe.
UNFIT = frozenset(("busy", "absent"))


class Disturbance:
    """Makes the filters of a relay with faults, and decides which clients it refuses.

    Faults change what is written, after other `filters`: with frames, the length or the delimiter can be damaged too.
    On a byte pipe, TCP or stdio, each read counts as a message. `on_fault` is called in the relay's thread for each
    fault that occurs, with the side whose data it affects; for a refused client, that is the client.
    """

    def __init__(
        self,
        faults: Faults,
        sides: Collection[Side] = (Side.SERVER,),
        *,
        filters: "Filters | None" = None,
        on_fault: "Callable[[Session, Side, Fault], object]" = lambda _session, _side, _fault: None,
    ) -> None:
        self._faults = faults
        self._sides = sides
        self._filters = filters
        self._on_fault = on_fault

    def filter(self, session: "Session", side: Side) -> Filter | None:
        """Return the filter for what one side of a session sends; for `RelayConfig.filters`."""
        first = self._filters(session, side) if self._filters is not None else None
        sink = session.target if side is Side.CLIENT else session.client
        if side not in self._sides or not self._faults.of_data or sink is None:
            return first
        stream = self._faults.stream(session.number, side.value, is_message=sink.is_message)
        return _Disturbed(stream, first, lambda fault: self._on_fault(session, side, fault))

    def refuses(self, session: "Session") -> bool:
        """Return whether a new client is disconnected; for `RelayConfig.refuses`."""
        arrival = self._faults.arrival(session.number)
        for fault in arrival.struck:
            self._on_fault(session, Side.CLIENT, fault)
        return arrival.is_refused


class _Disturbed:
    """A filter that applies faults to what another filter returns, or to the data itself."""

    def __init__(self, stream: FaultStream, first: Filter | None, on_fault: Callable[[Fault], object]) -> None:
        self._stream = stream
        self._first = first
        self._on_fault = on_fault

    def take(self, data: bytes, is_message: bool) -> Verdict:
        """Return the pieces with their faults; a fault that ends the connection drops what follows it."""
        return self._disturbed(Verdict([(0.0, data)]) if self._first is None else self._first.take(data, is_message))

    def end(self) -> Verdict:
        """Return what the other filter has kept, with its faults."""
        return Verdict() if self._first is None else self._disturbed(self._first.end())

    def _disturbed(self, verdict: Verdict) -> Verdict:
        pieces: list[tuple[float, bytes]] = []
        for pause, data in verdict.pieces:
            if not data and not self._stream.is_message:  # no data, but the end of this direction
                pieces.append((pause, data))
                continue
            plan = self._stream.plan(data)
            for fault in plan.struck:
                self._on_fault(fault)
            for index, piece in enumerate(plan.pieces):
                pieces.append((piece.delay + (0.0 if index else pause), piece.data))
            if plan.ending is not None:
                return Verdict(pieces, _THEN[plan.ending])
        return verdict._replace(pieces=pieces)

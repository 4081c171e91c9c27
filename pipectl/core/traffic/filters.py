"""`Filter`: decides what a relay writes for the data of one side of a session. Frames and faults are filters."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from pipectl.core.errors import PipeError


class Then(Enum):
    """What follows when all pieces of a verdict are written."""

    # The next read of the same side.
    READ = "read"
    # Both sides are closed, and can still read what was written to them.
    CLOSE = "close"
    # Both sides are reset, as far as their kind allows: what they have not read is lost.
    RESET = "reset"
    # This side is not read from any more; the other direction goes on.
    STALL = "stall"


class Verdict(NamedTuple):
    """What is written, and what follows."""

    # For each piece: how many seconds to wait before it is written, after the write before it has ended; and its bytes.
    # Each piece is a write of its own, and so a message on a message pipe. An empty piece is an empty message there; to
    # a side without messages it tells the end of this direction, as an empty message that is passed on does.
    pieces: Sequence[tuple[float, bytes]] = ()
    then: Then = Then.READ
    # How many seconds to wait before that.
    pause: float = 0.0
    # With CLOSE: the error that the session ends with.
    error: PipeError | None = None
    # How many of the bytes that were read are lost, for the log. Bytes that a fault drops on purpose do not count.
    lost: int = 0


class Filter(Protocol):
    """Decides about one direction of one session; all calls come from the relay's thread, and must not block.

    The relay reads again only when all pieces of a verdict are written, so a filter is never called while the pieces
    of its last verdict wait. A filter may keep data for a later verdict; what it keeps counts for nobody's limit but
    its own. It must not raise: an error of the data is a verdict with CLOSE.
    """

    def take(self, data: bytes, is_message: bool) -> Verdict:
        """Decide about one read; with `is_message` it is a whole message, which may be empty."""

    def end(self) -> Verdict:
        """Decide about what was kept, because this side has ended its direction, or has closed in order.

        After the pieces the end is passed on. Nothing is asked if this side was reset or the session was closed.
        """

"""`Filter`: decides what a relay writes for the data of one side of a session. Frames and faults are filters."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from pipectl.core.errors import PipeError


class Then(Enum):
    """What follows when all pieces of a verdict are written."""

    # Read from the same side again.
    READ = "read"
    # Close both sides, which can still read what was written to them.
    CLOSE = "close"
    # Reset both sides, as far as their kind allows: unread data is lost.
    RESET = "reset"
    # Never read from this side again; the other direction continues.
    STALL = "stall"


class Verdict(NamedTuple):
    """What to write, and what follows."""

    # For each piece: the seconds to wait after the previous write before it is written, and its bytes. Each piece is
    # one write, and so one message on a message pipe. An empty piece is an empty message there; on a side without
    # messages, it signals the end of this direction, like an empty message that is passed on.
    pieces: Sequence[tuple[float, bytes]] = ()
    then: Then = Then.READ
    # Seconds to wait before `then`.
    pause: float = 0.0
    # With CLOSE: the error that the session ends with.
    error: PipeError | None = None
    # How many of the bytes that were read are lost, for the log; bytes that a fault drops are not counted.
    lost: int = 0


class Filter(Protocol):
    """Decides about one direction of one session. It is called in the relay's thread, and must not block or raise.

    The relay reads again only when all pieces of a verdict are written, so a filter is never called while pieces of
    its last verdict are waiting. A filter may keep data for a later verdict, and must limit how much it keeps. For
    invalid data, it returns a verdict with CLOSE.
    """

    def take(self, data: bytes, is_message: bool) -> Verdict:
        """Return the verdict on one read; with `is_message`, a whole message, which may be empty."""

    def end(self) -> Verdict:
        """Return the verdict on the data kept so far, because this side has ended its direction or closed normally.

        The end is passed on after the pieces. Not called if this side was reset or the session was closed.
        """

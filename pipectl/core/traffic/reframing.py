"""`Reframing`: a filter for a side of a relay that carries frames; each frame becomes a message on the other side."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pipectl.core.codecs.base import Side
from pipectl.core.errors import FrameError, MessageTooLongError
from pipectl.core.pipe.frames import Frames, Framing

from .filters import Then, Verdict

if TYPE_CHECKING:
    from .session import Session


class Reframing:
    """A Filter that unpacks the frames of the side that is read, and wraps data for the other side in frames.

    On a side without a rule, each message is a frame; without messages, each read. An invalid frame, or a message that
    the rule cannot wrap, ends the session after everything before it was passed on. The error is FrameError, or
    MessageTooLongError as soon as the length of a frame is known.
    """

    def __init__(self, source: Framing | None, sink: Framing | None, max_frame: int, *, has_empty: bool = True) -> None:
        """`source` is the rule of the side that is read, `sink` that of the other side; `max_frame` is in bytes.

        `has_empty`: whether the other side can receive an empty message.
        """
        self._source = source
        self._frames = Frames(source, max_frame) if source is not None else None
        self._sink = sink
        self._has_empty = has_empty

    def take(self, data: bytes, is_message: bool) -> Verdict:
        """Return a piece for each message or frame that these bytes complete."""
        if self._frames is None:
            return self._pieces([data])
        if is_message and not data:  # on a message pipe that carries a stream, the end of the stream
            return Verdict([(0.0, b"")])
        return self._pieces(self._frames.feed(data))

    def end(self) -> Verdict:
        """Return the last frame, if the end completes one."""
        if self._frames is None:
            return Verdict()
        try:
            return self._pieces(self._frames.close())
        except FrameError as error:
            lost = len(error.partial)
            reason = FrameError(f"the stream ended within a frame of `{self._source}`, after {lost} bytes")
            return Verdict(then=Then.CLOSE, error=reason, lost=lost)

    def _pieces(self, bodies: Iterable[bytes]) -> Verdict:
        pieces: list[tuple[float, bytes]] = []
        try:
            for body in bodies:
                frame = self._wrapped(body)
                if frame or self._has_empty:
                    pieces.append((0.0, frame))
        except (FrameError, MessageTooLongError) as error:
            kept = self._frames.kept if self._frames is not None else 0
            return Verdict(pieces, Then.CLOSE, error=error, lost=kept + len(error.partial))
        return Verdict(pieces)

    def _wrapped(self, body: bytes) -> bytes:
        if self._sink is None:
            return body
        try:
            return self._sink.wrap(body)
        except ValueError as reason:
            error = FrameError(str(reason))
            error.partial = body
            raise error from None


def reframing(listen: Framing | None, target: Framing | None, max_frame: int) -> "Callable[[Session, Side], Reframing]":
    """Return a function that creates the filters of a relay; the rule of a side without frames is None."""

    def chosen(session: "Session", side: Side) -> Reframing:
        source, sink, other = listen, target, session.target
        if side is Side.SERVER:
            source, sink, other = target, listen, session.client
        has_empty = sink is None and other is not None and other.is_message
        return Reframing(source, sink, max_frame, has_empty=has_empty)

    return chosen

"""`Framing`, a rule for where a frame ends in a stream, and `Frames`, which splits a stream by a rule."""

from collections.abc import Iterator
from typing import NamedTuple

from pipectl.core.constants import MAX_MESSAGE
from pipectl.core.errors import FrameError, MessageTooLongError


class Span(NamedTuple):
    """The position of a whole reply in the received bytes; `end` is also where the next one begins."""

    begin: int
    end: int


class Framing:
    """A rule for where a frame ends; two rules are equal if their texts are equal."""

    __slots__ = ()

    @property
    def ends_at_empty_message(self) -> bool:
        """Whether an empty message ends a frame; for the other rules it is a piece without bytes."""
        return False

    @property
    def idle(self) -> float | None:
        """The silence that ends a frame, in seconds; None if silence does not."""
        return None

    def begin(self) -> "Framing":
        """Return the rule for one stream: a rule that remembers how far it has read returns a new one."""
        return self

    def for_reply_to(self, request: bytes) -> "Framing":
        """Return the rule for the reply to a request, which may decide whether the reply has a body."""
        del request
        return self

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        """Return the position of the frame in the received bytes, or None while it is not whole.

        An earlier call has seen the first `searched` bytes. Raises FrameError for an invalid frame.
        """
        del received, searched
        return None

    def needed(self, received: bytearray) -> int | None:
        """Return the length of the whole frame, as far as it is known from the received bytes."""
        del received
        return None

    def is_whole_at_close(self, received: bytearray) -> bool:
        """Return whether what was received before the other end closed is a frame."""
        return bool(received)

    def is_nothing(self, rest: bytearray) -> bool:
        """Return whether the bytes after the last frame can be ignored, such as white space."""
        return not rest

    def wrap(self, body: bytes) -> bytes:
        """Return the frame of a body; raises ValueError if the rule has no frame for it."""
        return body

    def body(self, frame: bytes) -> bytes:
        """Return the body of a frame that `split` has found."""
        return frame

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class Frames:
    """Splits one stream into the bodies of its frames, whatever pieces it arrives in.

    At most `max_frame` bytes are kept: a larger length is an error as soon as it is known. Errors name the `pipe` that
    the stream is from, if there is one.
    """

    def __init__(self, framing: Framing, max_frame: int = MAX_MESSAGE, pipe: str | None = None) -> None:
        self._framing = framing.begin()
        self._max_frame = max_frame
        self._pipe = pipe
        self._received = bytearray()
        self._searched = 0
        self._count = 0

    @property
    def kept(self) -> int:
        """The number of bytes of an incomplete frame that are kept."""
        return len(self._received)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the body of each frame that these bytes complete; consume all of them before the next call.

        Raises FrameError for an invalid frame, and MessageTooLongError.
        """
        if not data and self._framing.ends_at_empty_message:
            yield from self.close()
            return
        self._received += data
        while (body := self._next()) is not None:
            yield body

    def _next(self) -> bytes | None:
        received, framing = self._received, self._framing
        try:
            span = framing.split(received, self._searched)
            needed = (framing.needed(received) or 0) if span is None else 0
        except FrameError as error:
            error.name(self._pipe)
            raise
        if span is None:
            self._searched = len(received)
            self._check(max(needed, len(received)))
            return None
        self._check(span.end - span.begin)
        frame = bytes(memoryview(received)[span.begin : span.end])
        del received[: span.end]
        self._searched = 0
        self._count += 1
        return framing.body(frame)

    def close(self) -> list[bytes]:
        """Return the last frame, if the end of the stream ends one; raises FrameError if it is incomplete."""
        received, self._received, self._searched = self._received, bytearray(), 0
        if self._framing.is_whole_at_close(received) and (received or not self._count):
            self._count += 1
            return [self._framing.body(bytes(received))]
        if self._framing.is_nothing(received):
            return []
        error = FrameError("the stream ended within a frame", pipe=self._pipe)
        error.partial = bytes(received)
        raise error

    def _check(self, size: int) -> None:
        if size > self._max_frame:
            raise MessageTooLongError(
                f"a frame of {size} bytes is more than the {self._max_frame} allowed",
                pipe=self._pipe,
                topic="message size",
            )

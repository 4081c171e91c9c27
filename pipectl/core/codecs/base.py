"""`Codec`, which turns the bytes of one conversation into `Frame`s, and what every codec promises.

* **Lossless**: the `data` of all frames of a side, joined, with what `end` yields, are the bytes that were fed.
* **Independent of cuts**: the frames are the same however the bytes were cut into pieces. `RAW` frames of one side that
  follow one another count as one, because raw bytes are passed on as they arrive.
* **Total**: `feed`, `end` and `guess` raise nothing, whatever the bytes. An invalid part becomes a frame of the kind
  `BAD` with the reason as its summary; where the next frame cannot be found, the rest of that side is `RAW`.
* **Bounded and linear**: at most `max_frame` bytes are kept for each side, each byte is looked at a bounded number of
  times, and a frame beyond the limit makes the rest of its side `RAW`. Only parts that the protocol itself delimits,
  such as the chunks of an HTTP response, may be passed on before their message is whole.
* What `wrap` makes of fields and a body, `feed` reads as that.

`pipectl.testing.check_codec` tests these promises for any codec, including one of your own. `streamed.StreamCodec`
keeps the first four for a codec that only has to say where a frame ends.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from pipectl.core.errors import CodecError

# What a frame may have at most, in bytes, before its side is shown as raw bytes.
MAX_FRAME = 16 << 20

_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})


class Side(StrEnum):
    """Who has sent something."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def other(self) -> "Side":
        """The other side."""
        return Side.SERVER if self is Side.CLIENT else Side.CLIENT


class FrameKind(StrEnum):
    """What a frame is in its conversation."""

    REQUEST = "request"
    REPLY = "reply"
    # Neither a reply nor a request that gets one.
    EVENT = "event"
    # A reply that reports an error.
    ERROR = "error"
    # Bytes of which the codec knows nothing.
    RAW = "raw"
    # Bytes that break the protocol; `summary` has the reason.
    BAD = "bad"


class Frame(NamedTuple):
    """A unit of the protocol that one side has sent."""

    side: Side
    # The bytes of the stream, header and all, and those of the content.
    data: bytes
    body: bytes
    kind: FrameKind = FrameKind.RAW
    # One line; what is shown neutralizes it.
    summary: str = ""
    # Small values that JSON has, for `--json`, for rules and for filters; a large body is in `body` alone.
    fields: Mapping[str, Any] = _NO_FIELDS
    # Pairs a reply with its request; frames without one are paired in order.
    ident: str | None = None
    # The parts of `data` that are secret: masked wherever a frame is shown or recorded.
    secrets: tuple[slice, ...] = ()


class Codec:
    """Decodes both directions of one connection; a new one for each, because a protocol may have state.

    A subclass names its protocol in the class variables and implements `feed`, `end` and, if frames can be made,
    `wrap`. Consume what `feed` yields before the next call.
    """

    # As `--codec` has it, and as a table has it.
    name: ClassVar[str]
    title: ClassVar[str]
    # Patterns of the names of pipes on which this protocol is usual, as in `fnmatch`, in lower case.
    pipes: ClassVar[tuple[str, ...]] = ()
    # The rule, as `--frame` has it, by which a server on a byte pipe splits requests for `wrap`'s counterpart.
    framing: ClassVar[str] = "chunk"
    # The name of Wireshark's dissector, and the TCP port that Wireshark knows the protocol by; 0 is none.
    wireshark: ClassVar[tuple[str, int]] = ("data", 0)
    # How a client is made to use another name: `{path}` stands for `\\.\pipe\NAME`, `{url}` for `//./pipe/NAME`.
    hint: ClassVar[str] = ""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self.max_frame = max_frame

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        """Yield the frames that these bytes of one side complete; `message` means that they are a whole message."""
        raise NotImplementedError

    def end(self, side: Side) -> Iterator[Frame]:
        """Yield what is left of a side that has ended."""
        raise NotImplementedError

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        """Return the bytes of a frame. Raises CodecError if the protocol has none like it, or none can be made."""
        del fields, body
        raise CodecError(f"the codec {self.name} cannot make frames")

    @classmethod
    def makes_frames(cls) -> bool:
        """Return whether the codec can make frames at all."""
        return cls.wrap is not Codec.wrap

    def ends_reply(self, frame: Frame) -> bool:
        """Return whether a reply ends with this frame of the server."""
        return frame.kind in (FrameKind.REPLY, FrameKind.ERROR)

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        """Return how likely it is that a side with these first bytes, at most 64 of them, speaks this; 0 to 100."""
        del side, first
        return 0

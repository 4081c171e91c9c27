"""`Codec`, which turns the bytes of one conversation into `Frame`s, and the guarantees of every codec.

* **Lossless**: the joined `data` of all frames of a side, including those from `end`, equals the bytes that were fed.
* **Independent of cuts**: the frames are the same wherever the bytes are split. Adjacent `RAW` frames of one side count
  as one, because raw bytes are passed on as they arrive.
* **Total**: `feed`, `end` and `guess` never raise, whatever the bytes. An invalid part becomes a frame of the kind
  `BAD` with the reason as its summary; if the next frame cannot be found, the rest of that side is `RAW`.
* **Bounded and linear**: at most `max_frame` bytes are kept for each side, each byte is examined a bounded number of
  times, and a frame beyond the limit makes the rest of its side `RAW`. Only parts that the protocol itself delimits,
  such as the chunks of an HTTP response, may be passed on before their message is complete.
* **Reversible**: `feed` reads the output of `wrap` as the same fields and body.

`pipectl.testing.check_codec` tests these guarantees for any codec, including one of your own. `streamed.StreamCodec`
provides the first four for a codec that only implements where a frame ends.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from pipectl.core.errors import CodecError

# The maximum size of a frame in bytes. If a frame is larger, the rest of its side is raw.
MAX_FRAME = 16 << 20

_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})


class Side(StrEnum):
    """The side that has sent a frame."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def other(self) -> "Side":
        """The other side."""
        return Side.SERVER if self is Side.CLIENT else Side.CLIENT


class FrameKind(StrEnum):
    """The role of a frame in its conversation."""

    REQUEST = "request"
    REPLY = "reply"
    # Neither a reply nor a request that gets one.
    EVENT = "event"
    # A reply that reports an error.
    ERROR = "error"
    # Bytes that the codec does not decode.
    RAW = "raw"
    # Bytes that break the protocol; `summary` has the reason.
    BAD = "bad"


class Frame(NamedTuple):
    """A unit of the protocol that one side has sent."""

    side: Side
    # The bytes of the stream, including any header, and the bytes of the content.
    data: bytes
    body: bytes
    kind: FrameKind = FrameKind.RAW
    # One line; the output code neutralizes control characters.
    summary: str = ""
    # Small JSON values for `--json`, rules and filters; a large body is only in `body`.
    fields: Mapping[str, Any] = _NO_FIELDS
    # Pairs a reply with its request; frames without `ident` are paired in order.
    ident: str | None = None
    # The secret parts of `data`, which are masked wherever a frame is shown or recorded.
    secrets: tuple[slice, ...] = ()


class Codec:
    """Decodes both directions of one connection; each connection needs a new codec, because a protocol can have state.

    A subclass describes its protocol in the class variables and implements `feed`, `end` and, if it can create frames,
    `wrap`. Consume what `feed` yields before the next call.
    """

    # The name for `--codec`, and the title in a table.
    name: ClassVar[str]
    title: ClassVar[str]
    # `fnmatch` patterns, in lower case, for the names of pipes that usually carry this protocol.
    pipes: ClassVar[tuple[str, ...]] = ()
    # The framing rule, as for `--frame`, by which a server on a byte pipe splits requests.
    framing: ClassVar[str] = "chunk"
    # The name of Wireshark's dissector, and the TCP port that Wireshark associates with the protocol; 0 = none.
    wireshark: ClassVar[tuple[str, int]] = ("data", 0)
    # How to connect a client to another pipe. `{path}` is replaced by `\\.\pipe\NAME`, and `{url}` by `//./pipe/NAME`.
    hint: ClassVar[str] = ""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self.max_frame = max_frame

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        """Yield the frames that these bytes of one side complete; with `message`, the bytes are one whole message."""
        raise NotImplementedError

    def end(self, side: Side) -> Iterator[Frame]:
        """Yield what is left of a side that has ended."""
        raise NotImplementedError

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        """Return the bytes of a frame. Raises CodecError if the protocol has no such frame or cannot create frames."""
        del fields, body
        raise CodecError(f"the codec {self.name} cannot make frames")

    @classmethod
    def makes_frames(cls) -> bool:
        """Return whether the codec can create frames."""
        return cls.wrap is not Codec.wrap

    def ends_reply(self, frame: Frame) -> bool:
        """Return whether a reply ends with this frame of the server."""
        return frame.kind in (FrameKind.REPLY, FrameKind.ERROR)

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        """Return how likely a side with these first bytes (at most 64) uses this protocol, from 0 to 100."""
        del side, first
        return 0

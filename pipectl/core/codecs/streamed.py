"""`StreamCodec`: for protocols whose frames follow one another in a stream, wherever the stream is split.

A subclass has one generator, `read`, which reads one frame from a `Stream`. It waits with `yield from stream.size(8)`,
and yields each `Frame`. The code reads as if all bytes were there, and no byte is parsed twice.
"""

from collections.abc import Generator, Iterator, Mapping
from typing import Any, TypeVar

from pipectl.core.errors import CodecError

from .base import MAX_FRAME, Codec, Frame, FrameKind, Side

_T = TypeVar("_T")
# Reads a stream: yields a frame, or None to wait for more bytes.
Steps = Generator[Frame | None, None, _T]


class Broken(Exception):  # noqa: N818 - a frame is broken; nothing fails
    """The next `size` bytes break the protocol, and nothing after them can be decoded."""

    def __init__(self, reason: str, size: int) -> None:
        super().__init__(reason)
        self.size = size


class Stream:
    """The bytes that one side has sent and that are not in a frame yet."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.received = bytearray()
        self.limit = limit
        self.is_ended = False

    def size(self, size: int, header: int = 0) -> Steps[None]:
        """Wait until `size` bytes are there; if that exceeds `limit`, raise Broken for the header, of this size."""
        if size > self.limit:
            raise Broken(f"a frame of {size} bytes is more than the {self.limit} allowed", header)
        while len(self.received) < size:
            if self.is_ended:
                raise Broken(self.ended(size), len(self.received))
            yield None

    def find(self, end: bytes, most: int = 0, begin: int = 0) -> Steps[int]:
        """Wait for `end` within `most` bytes from `begin`; return the offset after it, or -1 if the stream ended."""
        last = min(begin + (most or self.limit), self.limit)
        searched = begin
        while (at := self.received.find(end, searched, last)) < 0:
            if len(self.received) >= last:
                raise Broken(f"no end within {last - begin} bytes", last)
            if self.is_ended:
                return -1
            searched = max(begin, len(self.received) - len(end) + 1)
            yield None
        return at + len(end)

    def take(self, size: int) -> bytes:
        """Remove and return the first bytes."""
        taken = bytes(memoryview(self.received)[:size])
        del self.received[:size]
        return taken

    def ended(self, size: int | None = None) -> str:
        """Return the error text for a stream that ended within a frame."""
        of = "" if size is None else f" of {size}"
        return f"the stream ended within a frame, after {len(self.received)}{of} bytes"


class StreamCodec(Codec):
    """The base of codecs that implement `read`."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        super().__init__(max_frame)
        self._streams = {side: Stream(max_frame) for side in Side}
        self._readers = {side: self._frames(side, self._streams[side]) for side in Side}

    def read(self, side: Side, stream: Stream) -> Steps[Any]:
        """Read one or more frames from a stream that has at least one byte; raises Broken."""
        raise NotImplementedError

    def secrets(self, side: Side, data: bytes) -> tuple[slice, ...]:
        """Return the secret parts of a frame, which may be incomplete. Also called for `BAD` frames."""
        del side, data
        return ()

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        del message  # a frame may be in several messages, and a message may have several
        self._streams[side].received += data
        return self._new_frames(side)

    def end(self, side: Side) -> Iterator[Frame]:
        self._streams[side].is_ended = True
        return self._new_frames(side)

    def _new_frames(self, side: Side) -> Iterator[Frame]:
        for frame in self._readers[side]:
            if frame is None:
                return
            yield frame

    def _frames(self, side: Side, stream: Stream) -> Steps[None]:
        """Read all frames; after Broken, the rest is raw."""
        try:
            while stream.received or not stream.is_ended:
                if stream.received:
                    yield from self.read(side, stream)
                else:
                    yield None
        except Broken as error:
            if error.size:
                data = stream.take(error.size)
                yield bad(side, data, str(error))._replace(secrets=self.secrets(side, data))
        while stream.received or not stream.is_ended:
            if stream.received:
                yield raw(side, stream.take(len(stream.received)))
            else:
                yield None


def bad(side: Side, data: bytes, reason: str) -> Frame:
    """Return a frame of bytes that break the protocol."""
    return Frame(side, data, data, FrameKind.BAD, reason)


def raw(side: Side, data: bytes, summary: str = "") -> Frame:
    """Return a frame of bytes as they are."""
    return Frame(side, data, data, FrameKind.RAW, summary)


def kind_of(side: Side) -> FrameKind:
    """Return the default kind of a frame: the client sends requests, and the server replies."""
    return FrameKind.REQUEST if side is Side.CLIENT else FrameKind.REPLY


def confirm(fields: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise CodecError for a field whose value is not that of the frame."""
    for name, value in fields.items():
        if name not in found or found[name] != value:
            has = f"has {found[name]!r}" if name in found else "has none"
            raise CodecError(f"the field {name!r} cannot be {value!r}: the message, as its body is, {has}")


def shortened(text: str | bytes, most: int = 200) -> str:
    """Return a text for a summary, truncated if it is long; bytes that are not UTF-8 are escaped."""
    if isinstance(text, bytes):
        text = text[: 4 * most + 1].decode(errors="backslashreplace")
    return text if len(text) <= most else f"{text[: most - 1]}…"

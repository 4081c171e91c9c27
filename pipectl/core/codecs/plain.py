"""Codecs for data without a protocol, or with lines only: `text`, `hex` and `lines`."""

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from typing import Any

from pipectl.core.errors import CodecError

from .base import MAX_FRAME, Codec, Frame, Side
from .streamed import Steps, Stream, StreamCodec, kind_of, raw, shortened

# An incomplete UTF-8 character at the end of the data.
_CUT = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")


class Text(Codec):
    """UTF-8 text as it arrives; invalid bytes are escaped in the summary."""

    name = "text"
    title = "text in UTF-8"

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        super().__init__(max_frame)
        self._kept = dict.fromkeys(Side, b"")

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        data = self._kept[side] + data
        cut = None if message else _CUT.search(data, max(0, len(data) - 3))
        end = cut.start() if cut else len(data)
        self._kept[side] = data[end:]
        return iter([_text(side, data[:end])] if end else [])

    def end(self, side: Side) -> Iterator[Frame]:
        rest, self._kept[side] = self._kept[side], b""
        return iter([_text(side, rest)] if rest else [])

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        del side
        return 10 if is_text(first) else 0


class Hex(Codec):
    """Any bytes, as they arrive."""

    name = "hex"
    title = "bytes in hex"

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        del message
        return iter([raw(side, data, data[:32].hex(" ") + ("…" if len(data) > 32 else ""))] if data else [])

    def end(self, side: Side) -> Iterator[Frame]:
        del side
        return iter(())

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        del side, first
        return 1


class Lines(StreamCodec):
    """Lines, each a request or a reply."""

    name = "lines"
    title = "lines, each a request or a reply"
    framing = "line"

    def read(self, side: Side, stream: Stream) -> Steps[None]:
        line, body = yield from read_line(stream)
        yield Frame(side, line, body, kind_of(side), shortened(body))

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        no_fields(self, fields)
        return line_of(body)


def read_line(stream: Stream) -> Steps[tuple[bytes, bytes]]:
    """Read a line; return it with and without its line ending. The last line of a stream may have none."""
    end = yield from stream.find(b"\n")
    line = stream.take(end if end >= 0 else len(stream.received))
    return line, line.removesuffix(b"\n").removesuffix(b"\r") if end >= 0 else line


def line_of(body: bytes) -> bytes:
    """Return a body as a line; raises CodecError if it would be read as a different line or as several."""
    if b"\n" in body or body.endswith(b"\r"):
        raise CodecError("a line cannot contain the end of a line")
    return body + b"\n"


def no_fields(codec: Codec, fields: Mapping[str, Any]) -> None:
    """Raise CodecError if there are fields, for a codec whose frames only have a body."""
    if fields:
        raise CodecError(f"a frame of the codec {codec.name} has no field {next(iter(fields))!r}")


def is_text(data: bytes) -> bool:
    """Return whether data is UTF-8 without control characters other than white space and ESC."""
    data = _CUT.sub(b"", data)
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return bool(data) and not _CONTROL.search(data)


def _text(side: Side, data: bytes) -> Frame:
    return raw(side, data, shortened(data.removeprefix(BOM_UTF8)))

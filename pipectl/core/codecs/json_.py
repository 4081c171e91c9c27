"""Codecs for streams of JSON values: `json`, `json-lines`, and `u32json` with a length before each value."""

from collections.abc import Callable, Mapping
from typing import Any

from pipectl.core.errors import CodecError, FrameError
from pipectl.core.pipe.formats import Json as JsonFraming

from .base import Frame, Side
from .jsontext import Meaning, meaning_of, read_json
from .plain import line_of, read_line
from .streamed import Broken, Steps, Stream, StreamCodec, bad, confirm, raw

_WHITE = b" \t\r\n"


class JsonValues(StreamCodec):
    """JSON values one after another, with or without white space between them."""

    name = "json"
    title = "JSON values one after another"
    pipes = ("*geth.ipc", "org.keepassxc.keepassxc.browserserver*")
    framing = "json"
    wireshark = ("json", 0)

    def read(self, side: Side, stream: Stream) -> Steps[None]:
        received, framing, searched = stream.received, JsonFraming(), 0
        while (end := _end_of(framing, stream, searched)) is None:
            if stream.is_ended and framing.is_nothing(received):
                yield raw(side, stream.take(len(received)))
                return
            if stream.is_ended and not framing.is_whole_at_close(received):
                raise Broken(stream.ended(), len(received))
            if stream.is_ended:
                end = len(received)
                break
            searched = len(received)
            yield None
        data = stream.take(end)
        yield json_frame(side, data, data.strip(_WHITE))

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        return JsonFraming().wrap(checked(fields, body).strip(_WHITE))

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        del side
        return 60 if looks_like_json(first) else 0


class JsonLines(StreamCodec):
    """A JSON value on each line."""

    name = "json-lines"
    title = "JSON values, one on each line"
    pipes = ("mpv*", "*qmp*", "watchman*")
    framing = "line"
    wireshark = ("json", 0)
    hint = "mpv --input-ipc-server={path}"

    def read(self, side: Side, stream: Stream) -> Steps[None]:
        line, body = yield from read_line(stream)
        yield json_frame(side, line, body) if line.strip(_WHITE) else raw(side, line)

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        return line_of(checked(fields, body))

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        del side
        return 65 if looks_like_json(first) and b"\n" in first else 0


class U32Json(StreamCodec):
    """A JSON value after its length, as in browsers' native messaging."""

    name = "u32json"
    title = "JSON after a length of four bytes, as in native messaging"
    pipes = ("*chrome.nativemessaging*",)
    framing = "u32le"
    wireshark = ("json", 0)

    def read(self, side: Side, stream: Stream) -> Steps[None]:
        yield from stream.size(4)
        size = 4 + int.from_bytes(stream.received[:4], "little")
        yield from stream.size(size, header=4)
        data = stream.take(size)
        yield json_frame(side, data, data[4:])

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        return len(checked(fields, body)).to_bytes(4, "little") + body

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        del side
        return 70 if len(first) >= 6 and first[3] == 0 and looks_like_json(first[4:]) else 0


def json_frame(side: Side, data: bytes, body: bytes) -> Frame:
    """Return the frame of a JSON value; it is `BAD` if the value is invalid."""
    try:
        value = read_json(body)
    except ValueError as error:
        return bad(side, data, str(error))._replace(body=body)
    kind, summary, fields, ident = meaning_of(side, value, body)
    return Frame(side, data, body, kind, summary, fields, ident)


def checked(
    fields: Mapping[str, Any], body: bytes, meaning: Callable[[Side, Any, bytes], Meaning] = meaning_of
) -> bytes:
    """Return the body if it is JSON with these fields; otherwise raise CodecError."""
    try:
        value = read_json(body)
    except ValueError as error:
        raise CodecError(f"the body is not valid: {error}") from None
    confirm(fields, meaning(Side.CLIENT, value, body).fields)
    return body


def looks_like_json(first: bytes) -> bool:
    """Return whether these are the first bytes of a JSON object or array."""
    start = first.lstrip(_WHITE)
    return start[:1] in (b"{", b"[") and start[1:].lstrip(_WHITE)[:1] in b'"{[}]0123456789-tfn'


def _end_of(framing: JsonFraming, stream: Stream, searched: int) -> int | None:
    """Return the offset of the end of the value, or None if it is incomplete; raises Broken."""
    received, reason, end = stream.received, "", None
    try:
        span = framing.split(received, searched)
        end = span and span.end
    except FrameError as error:
        reason, end = error.reason, len(received) - len(received.lstrip(_WHITE)) + 1
    if (len(received) if end is None else end) > stream.limit:
        raise Broken(f"no end within {stream.limit} bytes", stream.limit)
    if reason:
        raise Broken(reason, end or 1)
    return end

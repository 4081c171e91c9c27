"""The codec `http`: requests and responses of HTTP/1, up to the switch to another protocol.

A message with a length is one frame. A chunked response is one frame for its head and one for each chunk, because some
responses last for hours; a short chunked request is one frame. These are raw: a body that ends with the connection, a
body that is longer than a frame may be, and everything after an upgrade.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pipectl.core.errors import CodecError

from .base import MAX_FRAME, Frame, FrameKind, Side
from .httpstatus import REASONS
from .streamed import Broken, Steps, Stream, StreamCodec, raw, shortened

if TYPE_CHECKING:
    from .httphead import Head

# The longest head, and the longest line between chunks.
_MOST_HEAD = 64 << 10
_MOST_LINE = 1024
# The largest chunked request that is one frame, in bytes.
_MOST_COLLECTED = 1 << 20
# The maximum number of requests without a response.
_MOST_OPEN = 1000

_HEAD_END = re.compile(rb"\n\r?\n")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_LONGEST_WORD = 33
_VERSION = b"HTTP/1."
_REQUEST = re.compile(rb"[A-Z]{3,20} (?:[/*]|https?://)")
_STATUS = re.compile(rb"HTTP/1\.[01] \d")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
_SECRET = re.compile(
    rb"(?im)^(?:(?:proxy-)?authorization|(?:set-)?cookie|x-registry-(?:auth|config)|x-(?:api|auth)-(?:key|token))"
    rb"[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)"
)
_VALUE = re.compile(r"[^\r\n\0]*")


class Asked(NamedTuple):
    """What a request determines about its response."""

    method: bytes = b"GET"
    may_switch: bool = True


class Http(StreamCodec):
    """HTTP/1.1 and HTTP/1.0."""

    name = "http"
    title = "HTTP/1"
    pipes: ClassVar[tuple[str, ...]] = ("*\\tailscale\\tailscaled",)
    framing = "http"
    wireshark = ("http", 80)
    # The Host header of a request that has none.
    host = "pipe"

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        super().__init__(max_frame)
        # The requests without a response, and the numbers of requests and final responses so far.
        self._open: deque[Asked] = deque()
        self._asked = self._answered = 0
        # Whether both sides have switched to another protocol.
        self._is_switched = False

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        """Yield the complete frames of both sides: how the client's data is read may depend on a response."""
        return self._of_both(side, super().feed(side, data, message=message))

    def end(self, side: Side) -> Iterator[Frame]:
        return self._of_both(side, super().end(side))

    def _of_both(self, side: Side, frames: Iterator[Frame]) -> Iterator[Frame]:
        if side is Side.CLIENT:
            yield from frames
            return
        for frame in frames:
            yield frame
            # Before the next response, so that the client's frames do not depend on where the responses were split.
            yield from self._new_frames(Side.CLIENT)
        yield from self._new_frames(Side.CLIENT)

    def read(self, side: Side, stream: Stream) -> Steps[None]:
        end = yield from self._head_end(side, stream)
        head = bytes(stream.received[:end]).lstrip(b"\r\n")
        try:
            yield from (self._request if side is Side.CLIENT else self._response)(stream, head, end)
        except ValueError as error:
            raise Broken(str(error), end) from None

    def _head_end(self, side: Side, stream: Stream) -> Steps[int]:
        """Wait for the end of a head; raises Broken as soon as the data cannot begin one."""
        begin, searched, most = 0, 0, min(_MOST_HEAD, stream.limit)
        received = stream.received
        while not self._is_switched:
            while begin < min(len(received), most) and received[begin] in (13, 10):
                begin += 1
            _check_begin(side, bytes(received[begin : min(begin + _LONGEST_WORD, most)]), begin)
            match = _HEAD_END.search(received, max(begin, searched - 2), most)
            if match:
                return match.end()
            if len(received) >= most:
                raise Broken(f"no end of the headers within {most} bytes", most)
            if stream.is_ended and begin == len(received):
                break  # white space
            if stream.is_ended:
                raise Broken(stream.ended(), len(received))
            searched = len(received)
            yield None
        raise Broken("", 0)

    # ---- requests and responses ----------------------------------------------------------------------------------

    def _request(self, stream: Stream, data: bytes, end: int) -> Steps[None]:
        from .httphead import read_request

        head = read_request(data)
        if len(self._open) >= _MOST_OPEN:
            raise ValueError(f"more than {_MOST_OPEN} requests without a response")
        method, target = head.start
        asked = Asked(method, method == b"CONNECT" or bool(head.values(b"upgrade")))
        # Most equal the one before and share its object, so that a thousand of them use little memory.
        self._open.append(self._open[-1] if self._open and self._open[-1] == asked else asked)
        self._asked += 1
        number = self._asked
        path, _, query = _text(target).partition("?")
        fields = {"method": _text(method), "path": path, **({"query": query} if query else {}), **_fields(head)}
        summary = f"{fields['method']} {shortened(_text(target))}"
        one = Frame(Side.CLIENT, b"", b"", FrameKind.REQUEST, summary, fields)
        if head.is_chunked:
            yield from self._chunked(stream, one, end, min(_MOST_COLLECTED, stream.limit - 2 * _MOST_LINE))
        else:
            yield from self._sized(stream, one, end, head.length or 0)
        while asked.may_switch and self._answered < number and not stream.is_ended:
            if len(stream.received) > stream.limit:
                raise Broken("", 0)
            yield None

    def _response(self, stream: Stream, data: bytes, end: int) -> Steps[None]:
        from .httphead import read_response

        asked = self._open[0] if self._open else Asked()
        head = read_response(data, asked.method, may_switch=asked.may_switch)
        status = int(head.start[0])
        fields: dict[str, Any] = {"status": status, "reason": _text(head.start[1]), **_fields(head)}
        kind = FrameKind.ERROR if status >= 400 else FrameKind.REPLY
        one = Frame(Side.SERVER, b"", b"", kind, f"{status} {shortened(fields['reason'])}".rstrip(), fields)
        if status < 200 and status != 101:
            yield from self._sized(stream, one._replace(kind=FrameKind.EVENT), end, 0)
            return
        is_switch = status == 101 or (asked.method == b"CONNECT" and status < 300)
        is_head = asked.method == b"HEAD"
        is_sized = head.is_chunked or head.length is not None
        has_body = not (is_switch or is_head or status in (204, 304))
        if is_head or not (is_sized or is_switch or status in (204, 304)):
            fields["ends"] = "head" if is_head else "close"
        self._answered += 1
        if self._open:
            self._open.popleft()
        self._is_switched = is_switch or (fields.get("ends") == "close" and self.takes_over(head))
        if has_body and head.is_chunked:
            yield from self._chunked(stream, one, end, 0)
        else:
            yield from self._sized(stream, one, end, (head.length or 0) if has_body else 0)
        if is_switch or fields.get("ends") == "close":
            yield from self.rest(stream, head)
            raise Broken("", 0)

    def takes_over(self, head: "Head") -> bool:
        """Return whether a response without a length also ends the client's HTTP, as an upgrade does."""
        del head
        return False

    def rest(self, stream: Stream, head: "Head") -> Steps[None]:
        """Read the server's data after its last response; the rest is raw."""
        del stream, head
        yield from ()

    def describe(self, frame: Frame) -> Frame:
        """Return a frame with details from its body."""
        return frame

    def secrets(self, side: Side, data: bytes, head: int | None = None) -> tuple[slice, ...]:
        """Return the positions of the values of secret headers; `head` is the size of the headers, if known."""
        del side
        found = _SECRET.finditer(data, 0, len(data) if head is None else head)
        # Without trailing white space, so that the value is the same as in the fields.
        return tuple(slice(one.start(1), one.start(1) + len(one[1].rstrip())) for one in found if one[1].strip())

    def _finished(self, one: Frame, data: bytes, body: bytes, head: int) -> Frame:
        summary = f"{one.summary}, {len(body)} bytes" if body else one.summary
        secrets = self.secrets(one.side, data, head)
        return self.describe(one._replace(data=data, body=body, summary=summary, secrets=secrets))

    # ---- bodies --------------------------------------------------------------------------------------------------

    def _sized(self, stream: Stream, one: Frame, head: int, length: int) -> Steps[None]:
        """Read a body with a length; if it is too long for a frame, yield a frame for the head and then raw bytes."""
        if head + length <= stream.limit:
            yield from stream.size(head + length)
            data = stream.take(head + length)
            yield self._finished(one, data, data[head:], head)
            return
        yield self._finished(one, stream.take(head), b"", head)
        while length and not (stream.is_ended and not stream.received):
            if stream.received:
                data = stream.take(min(length, len(stream.received)))
                length -= len(data)
                yield raw(one.side, data)
            else:
                yield None

    def _chunked(self, stream: Stream, one: Frame, head: int, most: int) -> Steps[None]:
        """Read a chunked body as one frame of at most `most` bytes; beyond that, yield a frame for each chunk."""
        data, body = bytearray(stream.take(head)), bytearray()
        is_one, size = True, 1
        try:
            while size:
                if is_one and len(data) > most:
                    is_one = False
                    yield self._finished(one, bytes(data), bytes(body), head)
                begin, size = yield from _chunk_size(stream)
                if is_one and len(data) + begin + size > most:
                    is_one = False
                    yield self._finished(one, bytes(data), bytes(body), head)
                chunk = yield from _chunk(stream, begin, size)
                if is_one:
                    data += chunk
                    body += chunk[begin : begin + size]
                else:
                    yield self._part(one.side, chunk, chunk[begin : begin + size])
        except Broken:
            if is_one:
                yield self._finished(one, bytes(data), bytes(body), head)
            raise
        if is_one:
            yield self._finished(one, bytes(data), bytes(body), head)

    def _part(self, side: Side, data: bytes, body: bytes) -> Frame:
        summary = f"chunk of {len(body)} bytes" if body else "end of the chunks"
        one = Frame(side, data, body, FrameKind.EVENT, summary, {"chunk": len(body)})
        return self.describe(one._replace(secrets=self.secrets(side, data, 0)))

    # ---- creating frames -----------------------------------------------------------------------------------------

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        """Return a message: a request with the field `method` (and `path`, `query`), a response with `status`.

        `headers` maps names to a value or a list of values; Host and Content-Length are added. Without fields, the body
        is a request in short form: `GET /path`, optional header lines, an empty line and the body.
        """
        if not fields:
            fields, body = _written(body)
        if fields.get("ends") == "head":
            raise CodecError("the response to HEAD cannot be read without its request")
        data = b"%b\r\n\r\n%b" % (self._head(fields, body), _in_chunks(body) if _is_chunked(fields) else body)
        again = type(self)()
        frames = [*again.feed(Side.CLIENT if "method" in fields else Side.SERVER, data)]
        if not frames or frames[0].kind is FrameKind.BAD:
            raise CodecError(frames[0].summary if frames else "the body is not as long as its Content-Length")
        if fields.get("ends") != "close" and (len(frames) > 1 or frames[0].body != body):
            raise CodecError("the body does not belong to such a head")
        return data

    def _head(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        headers = {str(name).lower(): value for name, value in fields.get("headers", {}).items()}
        version = fields.get("version", "1.1")
        if "method" in fields:
            query = f"?{fields['query']}" if fields.get("query") else ""
            first = f"{fields['method']} {fields.get('path', '/')}{query} HTTP/{version}"
            if version != "1.0":
                headers.setdefault("host", self.host)
            needs_length = bool(body)
        elif "status" in fields:
            status = fields["status"]
            first = f"HTTP/{version} {status} {fields.get('reason', REASONS.get(status, ''))}"
            if not isinstance(status, int):
                raise CodecError(f"a status is a number, and not {status!r}")
            needs_length = "ends" not in fields and status >= 200 and status not in (204, 304)
        else:
            raise CodecError("a message of HTTP has the field 'method', or the field 'status'")
        if needs_length and not headers.keys() & {"content-length", "transfer-encoding"}:
            headers["content-length"] = f"{len(body)}"
        if unknown := fields.keys() - {"method", "path", "query", "status", "reason", "headers", "ends", "version"}:
            raise CodecError(f"a message of HTTP has no field {min(unknown)!r}")
        return b"\r\n".join([_line(first), *_lines(headers)])

    def ends_reply(self, frame: Frame) -> bool:
        """Return whether a response ends with this frame; a response without a length ends only with the connection."""
        if frame.kind is FrameKind.EVENT:
            return frame.fields.get("chunk") == 0
        return super().ends_reply(frame) and not (frame.fields.get("ends") == "close" or _has_chunks(frame))

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        return 95 if (_REQUEST if side is Side.CLIENT else _STATUS).match(first) else 0


# ---- chunks ---------------------------------------------------------------------------------------------------------


def _chunk_size(stream: Stream) -> Steps[tuple[int, int]]:
    """Wait for the size of a chunk; return the offset of its contents, and the size."""
    end = yield from stream.find(b"\n", _MOST_LINE)
    if end < 0:
        raise Broken(stream.ended(), len(stream.received))
    match = _CHUNK.fullmatch(stream.received, 0, end)
    if not match:
        raise Broken("not the size of a chunk", end)
    return end, int(match[1], 16)


def _chunk(stream: Stream, begin: int, size: int) -> Steps[bytes]:
    """Read a chunk whose size is known; the last chunk includes the trailers."""
    if size:
        end = begin + size + 2
        yield from stream.size(end, begin)
        if stream.received[end - 2 : end] != b"\r\n":
            raise Broken("a chunk is longer than its size", end - 2)
        return stream.take(end)
    line = begin
    while (end := (yield from stream.find(b"\r\n", begin + _MOST_LINE - line, line))) > line + 2:
        line = end
    if end < 0:
        raise Broken(stream.ended(), len(stream.received))
    return stream.take(end)


def _in_chunks(body: bytes) -> bytes:
    return (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"


# ---- heads ----------------------------------------------------------------------------------------------------------


def _check_begin(side: Side, first: bytes, begin: int) -> None:
    """Raise Broken at the first byte that cannot be in the first word of a message, which begins at `begin`."""
    if side is Side.SERVER:
        wrong = next((at for at, pair in enumerate(zip(first, _VERSION, strict=False)) if pair[0] != pair[1]), None)
    else:
        word = _METHOD.match(first)
        end = word.end() if word else 0
        wrong = end if first[end : end + 1].strip(b" ") or first[:1] == b" " else None
    if wrong is not None:
        raise Broken(f"this begins no {'request' if side is Side.CLIENT else 'response'} of HTTP/1", begin + wrong + 1)


def _fields(head: "Head") -> dict[str, Any]:
    """Return the fields that requests and responses have in common."""
    headers: dict[str, Any] = {}
    for name, value in head.headers:
        before = headers.get(_text(name), [])
        headers[_text(name)] = [*(before if isinstance(before, list) else [before]), _text(value)]
    single = {name: values[0] if len(values) == 1 else values for name, values in headers.items()}
    return {"headers": single, **({} if head.version == b"1.1" else {"version": _text(head.version)})}


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _line(text: str) -> bytes:
    if not _VALUE.fullmatch(text):
        raise CodecError(f"a line of a head cannot be {shortened(repr(text), 60)}")
    return text.encode(errors="replace")


def _lines(headers: Mapping[str, Any]) -> Iterator[bytes]:
    for name, values in headers.items():
        for value in values if isinstance(values, list) else [values]:
            yield _line(f"{'-'.join(word.capitalize() for word in name.split('-'))}: {value}")


def _has_chunks(frame: Frame) -> bool:
    """Return whether chunks follow a response; none follow the response to HEAD."""
    return _is_chunked(frame.fields) and frame.fields.get("ends") != "head"


def _is_chunked(fields: Mapping[str, Any]) -> bool:
    return any(str(name).lower() == "transfer-encoding" for name in fields.get("headers", {}))


def _written(text: bytes) -> tuple[dict[str, Any], bytes]:
    """Parse a request in short form; raises CodecError for anything else."""
    head, _, body = text.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = _text(head).split("\n")
    words = first.split(" ")
    if len(words) not in (2, 3) or not _METHOD.fullmatch(words[0].encode()) or (words[2:] and words[2] != "HTTP/1.1"):
        raise CodecError(f"{shortened(first, 60)!r} is no request: use for example GET /path")
    path, _, query = words[1].partition("?")
    headers = dict(line.split(":", 1) for line in lines if ":" in line)
    fields: dict[str, Any] = {"method": words[0], "path": path, "headers": {k: v.strip() for k, v in headers.items()}}
    return fields | ({"query": query} if query else {}), body

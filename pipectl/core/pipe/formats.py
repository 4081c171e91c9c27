"""Frames with more structure than a delimiter or a length: HTTP, JSON, Content-Length headers, pkt-lines, varints.

A stream may arrive in any pieces and may be hostile. Each rule therefore reads every byte once, remembers its
position, and raises FrameError with the reason for an invalid frame. Rules with state are created for each stream.
"""

import re
from collections.abc import Callable, Generator, Iterator

from pipectl.core.errors import FrameError

from .frames import Framing, Span

# The longest headers of a message, and the longest line between chunks.
_MOST_HEADERS = 64 << 10
_MOST_LINE = 4096
# The longest pkt-line, its four digits included.
_MOST_PKT = 65520
_HEADERS_END = b"\r\n\r\n"


class Varint(Framing):
    """After as many bytes as a length before them says, encoded as in protobuf: 7 bits in a byte, lowest first."""

    __slots__ = ()

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        del searched
        found = self._length(received)
        return Span(found[1], sum(found)) if found and len(received) >= sum(found) else None

    def needed(self, received: bytearray) -> int | None:
        found = self._length(received)
        return found and found[0]

    def _length(self, received: bytearray) -> tuple[int, int] | None:
        """Return the number, and how many bytes it has; raises FrameError beyond 64 bits."""
        length = 0
        for index, byte in enumerate(received[:10]):
            length |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if length >= 1 << 64:
                    break
                return length, index + 1
        else:
            if len(received) < 10:
                return None
        raise FrameError("a length of more than 64 bits")

    def is_whole_at_close(self, received: bytearray) -> bool:
        del received
        return False

    def wrap(self, body: bytes) -> bytes:
        """Return a body with its length before it."""
        digits, length = bytearray(), len(body)
        while length >= 0x80:
            digits.append(length & 0x7F | 0x80)
            length >>= 7
        return bytes(digits) + bytes([length]) + body

    def __str__(self) -> str:
        return "varint"


class ContentLength(Framing):
    """Headers up to an empty line, and as many bytes as Content-Length says: LSP and DAP."""

    __slots__ = ()

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        del searched
        begin, length = _headers_end(received, 0), self.needed(received)
        if begin is None or length is None or len(received) < begin + length:
            return None
        return Span(begin, begin + length)

    def needed(self, received: bytearray) -> int | None:
        """Return the value of Content-Length; raises FrameError for headers without one."""
        end = _headers_end(received, 0)
        if end is None:
            return None
        return _content_length(_headers_of(bytes(received[: end - len(_HEADERS_END)]).split(b"\r\n")))

    def is_whole_at_close(self, received: bytearray) -> bool:
        del received
        return False

    def wrap(self, body: bytes) -> bytes:
        """Return a body with a header before it."""
        return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)

    def __str__(self) -> str:
        return "content-length"


class Pkt(Framing):
    """Git's pkt-lines, up to a flush packet: the body is what the lines contain, joined."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at = 0

    def begin(self) -> "Pkt":
        return Pkt()

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        at = self._at if searched else 0
        while len(received) >= at + 4:
            length = _pkt_length(received[at : at + 4])
            at += max(4, length)
            if not length:
                self._at = 0
                return Span(0, at)
        self._at = at
        return None

    def needed(self, received: bytearray) -> int | None:
        return max(self._at, len(received)) or None

    def is_whole_at_close(self, received: bytearray) -> bool:
        del received
        return False

    def wrap(self, body: bytes) -> bytes:
        """Return a body as pkt-lines of the largest size, and a flush packet."""
        most = _MOST_PKT - 4
        lines = (body[at : at + most] for at in range(0, len(body), most))
        return b"".join(b"%04x%b" % (len(line) + 4, line) for line in lines) + b"0000"

    def body(self, frame: bytes) -> bytes:
        """Return what the pkt-lines contain."""
        return b"".join(_pkt_contents(frame))

    def __str__(self) -> str:
        return "pkt"


def _pkt_length(digits: bytes | bytearray) -> int:
    """Return the length that a pkt-line has; 0 is a flush packet, and 1 and 2 are others without contents."""
    if not re.fullmatch(rb"[0-9a-fA-F]{4}", digits):
        raise FrameError(f"{bytes(digits)!r} is not the length of a pkt-line")
    length = int(digits, 16)
    if length == 3 or length > _MOST_PKT:
        raise FrameError(f"invalid length of a pkt-line: {length}")
    return length


def _pkt_contents(frame: bytes) -> Iterator[bytes]:
    at = 0
    while length := _pkt_length(frame[at : at + 4]):
        yield frame[at + 4 : at + length]
        at += max(4, length)


class Json(Framing):
    """One JSON value after another, with or without white space between them; what they contain is not checked."""

    __slots__ = ("_at", "_begin", "_depth", "_is_scalar", "_is_string")

    def __init__(self) -> None:
        self._restart()

    def begin(self) -> "Json":
        return Json()

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        if not searched:
            self._restart()
        if self._begin is None and not self._find_begin(received):
            return None
        end = self._scalar_end(received) if self._is_scalar else self._end(received)
        if end is None or self._begin is None:
            return None
        span = Span(self._begin, end)
        self._restart()
        return span

    def is_whole_at_close(self, received: bytearray) -> bool:
        return self._is_scalar and bool(received)

    def is_nothing(self, rest: bytearray) -> bool:
        return not rest.strip(_WHITE)

    def wrap(self, body: bytes) -> bytes:
        """Return a value; a line feed ends a number or a word, which the next value would otherwise continue."""
        return body + b"\n" if _SCALAR.fullmatch(body[-1:]) else body

    def body(self, frame: bytes) -> bytes:
        """Return a value without white space around it."""
        return frame.strip(_WHITE)

    def _restart(self) -> None:
        self._at = 0
        self._begin: int | None = None
        self._depth = 0
        self._is_string = self._is_scalar = False

    def _find_begin(self, received: bytearray) -> bool:
        begin = _SPACE.match(received, self._at).end()  # type: ignore[union-attr] # it also matches nothing
        self._at = begin
        if begin == len(received):
            return False
        first = received[begin : begin + 1]
        self._is_scalar = _SCALAR.fullmatch(first) is not None
        if not self._is_scalar and first not in b'{["':
            raise FrameError(f"{bytes(first)!r} does not begin a JSON value")
        self._begin = begin
        return True

    def _scalar_end(self, received: bytearray) -> int | None:
        self._at = _SCALARS.match(received, self._at).end()  # type: ignore[union-attr] # it matches nothing too
        return self._at if self._at < len(received) else None

    def _end(self, received: bytearray) -> int | None:
        """Return where an object, an array or a string ends, looking only at quotes, brackets and braces."""
        while match := (_IN_STRING if self._is_string else _OUTSIDE).search(received, self._at):
            mark = bytes(match[0])
            self._at = match.end()
            if mark == b"\\":
                self._at += 1  # perhaps beyond the received bytes
            elif mark == b'"':
                self._is_string = not self._is_string
            else:
                self._depth += 1 if mark in _OPENING else -1
            if not (self._depth or self._is_string):
                return self._at
        self._at = max(self._at, len(received))
        return None

    def __str__(self) -> str:
        return "json"


_WHITE = b" \t\r\n"
_SPACE = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb"[-+.0-9A-Za-z]")
_SCALARS = re.compile(rb"[-+.0-9A-Za-z]*")
_OPENING = (b"{", b"[")
_OUTSIDE = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'["\\]')


Headers = list[tuple[bytes, bytes]]
# Reads a part of a message: yields how many bytes it needs at least, and returns where the part ends.
Reader = Generator[int, None, int]


class Http(Framing):
    """One HTTP/1 message after another, headers and body; after an upgrade, any data that arrives is a frame.

    Interim responses (1xx) belong to the one that follows. One direction alone does not show that a response has no
    body because it answers HEAD, or is the last because it answers CONNECT: `for_reply_to` takes the request.
    """

    __slots__ = ("_is_raw", "_method", "_needed", "_reader", "_received", "_to_close")

    def __init__(self, method: bytes = b"") -> None:
        self._method = method
        self._received = bytearray()
        # Reads the message piece by piece, and each byte once.
        self._reader: Reader | None = None
        self._needed = 0
        # Whether the message lasts until the other end closes, and whether no more messages follow.
        self._to_close = self._is_raw = False

    def begin(self) -> "Http":
        return Http(self._method)

    def for_reply_to(self, request: bytes) -> "Http":
        return Http(request.split(b" ", 1)[0])

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        if self._is_raw:
            return Span(0, len(received)) if received else None
        if self._reader is None or not searched:
            self._reader, self._to_close = self._message(), False
        self._received = received
        try:
            self._needed = next(self._reader)
        except StopIteration as end:
            self._reader, self._needed = None, 0
            return Span(0, end.value)
        return None

    def needed(self, received: bytearray) -> int | None:
        return max(self._needed, len(received)) or None

    def is_whole_at_close(self, received: bytearray) -> bool:
        return self._to_close and bool(received)

    def is_nothing(self, rest: bytearray) -> bool:
        return not rest.strip(b"\r\n")

    def _message(self) -> Reader:
        at = 0
        while True:
            while True:
                while self._received.startswith(b"\r\n", at):  # as a client may send before a request, also in pieces
                    at += 2
                if (end := _headers_end(self._received, at)) is not None:
                    break
                yield 0
            first, *rest = bytes(self._received[at : end - len(_HEADERS_END)]).split(b"\r\n")
            at = end
            headers = _headers_of(rest)
            if match := _REQUEST.fullmatch(first):
                return (yield from self._request(match[1], headers, at))
            match = _RESPONSE.fullmatch(first)
            if not match:
                raise FrameError(f"{first[:60]!r} does not begin an HTTP message")
            status = int(match[1])
            if status == 101 or status >= 200:
                return (yield from self._response(status, headers, at))

    def _request(self, method: bytes, headers: Headers, at: int) -> Reader:
        if method == b"CONNECT":
            self._is_raw = True
        elif (end := (yield from self._body(headers, at))) is not None:
            return end
        elif _values(headers, b"transfer-encoding"):
            raise FrameError("a request whose transfer coding is not chunked has no end")
        return at

    def _response(self, status: int, headers: Headers, at: int) -> Reader:
        self._is_raw = status == 101 or (self._method == b"CONNECT" and status < 300)
        if self._is_raw or status in (204, 304) or self._method == b"HEAD":
            return at
        if (end := (yield from self._body(headers, at))) is not None:
            return end
        self._to_close = True
        while True:
            yield 0

    def _body(self, headers: Headers, at: int) -> Generator[int, None, int | None]:
        """Find the end of a body that begins here; return None if the headers do not say where it ends."""
        codings, is_sized = _values(headers, b"transfer-encoding"), bool(_values(headers, b"content-length"))
        if codings and is_sized:
            raise FrameError("a message has both a Content-Length and a transfer coding")
        if is_sized:
            return (yield from self._until(at + _content_length(headers)))
        if codings and codings[-1].rpartition(b",")[2].strip().lower() == b"chunked":
            return (yield from self._chunks(at))
        return None

    def _until(self, end: int) -> Reader:
        while len(self._received) < end:
            yield end
        return end

    def _line(self, at: int) -> Generator[int, None, bytes]:
        """Wait for a short line, and return it without its end."""
        while (end := self._received.find(b"\r\n", at, at + _MOST_LINE)) < 0:
            if len(self._received) >= at + _MOST_LINE:
                raise FrameError("a line between chunks does not end")
            yield 0
        return bytes(self._received[at:end])

    def _chunks(self, at: int) -> Reader:
        """Find the end of a chunked body, with its trailers."""
        while True:
            line = yield from self._line(at)
            at += len(line) + 2
            if not (match := _CHUNK.fullmatch(line)):
                raise FrameError(f"{line[:60]!r} is not the size of a chunk")
            size = int(match[1], 16)
            if not size:
                break
            at = yield from self._until(at + size + 2)
            if self._received[at - 2 : at] != b"\r\n":
                raise FrameError("a chunk is longer than its size says")
        begin = at
        while line := (yield from self._line(at)):
            at += len(line) + 2
            if at - begin > _MOST_HEADERS:
                raise FrameError("the trailers are too long")
        return at + 2

    def __str__(self) -> str:
        return "http"


_RESPONSE = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?: [^\r\n]*)?")
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) [^ \r\n]+ HTTP/1\.[01]")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*")


def _headers_end(received: bytearray, begin: int) -> int | None:
    """Return where the empty line after headers ends; raises FrameError if they are too long."""
    end = received.find(_HEADERS_END, begin, begin + _MOST_HEADERS)
    if end < 0 and len(received) - begin >= _MOST_HEADERS:
        raise FrameError(f"more than {_MOST_HEADERS} bytes of headers")
    return None if end < 0 else end + len(_HEADERS_END)


def _headers_of(lines: list[bytes]) -> Headers:
    """Return headers as names in lower case with their values; raises FrameError for anything else."""
    headers = []
    for line in lines:
        match = _HEADER.fullmatch(line)
        if not match:
            raise FrameError(f"{line[:60]!r} is not a header")
        headers.append((match[1].lower(), match[2]))
    return headers


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _content_length(headers: Headers) -> int:
    """Return the one Content-Length of headers; raises FrameError if there is none, or another as well."""
    lengths = set(_values(headers, b"content-length"))
    if len(lengths) != 1:
        raise FrameError("several values of Content-Length" if lengths else "no Content-Length")
    (length,) = lengths
    if not re.fullmatch(rb"\d{1,19}", length):
        raise FrameError(f"{length[:60]!r} is not a valid Content-Length")
    return int(length)


FORMATS: dict[str, Callable[[], Framing]] = {
    "varint": Varint,
    "content-length": ContentLength,
    "http": Http,
    "json": Json,
    "pkt": Pkt,
}

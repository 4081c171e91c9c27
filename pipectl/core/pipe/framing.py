"""Where a frame ends in a stream: one small class for each rule, and one table of their names for every option.

A byte pipe carries a stream, and so do some message pipes, whose messages are then pieces of any size. `parse` reads a
rule as a person writes it; docs/framing.md lists them all. A rule has two uses:

* to find the end of a reply (`--until`): `split` returns its position. A delimiter belongs to it, a length does not;
* to frame both directions (`--frame`): `wrap` makes a frame of a body, and `body` returns what `split` found without
  the delimiter. `frames.Frames` splits a whole stream.

Formats with more structure than a delimiter or a length are in `formats`, which is imported only for them.
"""

import re
from collections.abc import Callable
from typing import Literal

from pipectl.core.constants import parse_size
from pipectl.core.deadline import parse_duration
from pipectl.core.errors import FrameError

from .frames import Framing, Span

ByteOrder = Literal["little", "big"]


class Delimiter(Framing):
    """After the next delimiter, which ends the frame and is not part of the body."""

    __slots__ = ("_end", "_name")

    def __init__(self, name: str, end: bytes) -> None:
        self._name = name
        self._end = end

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        size = len(self._end)
        begin = received.find(self._end, max(0, searched - size + 1))
        return None if begin < 0 else Span(0, begin + size)

    def wrap(self, body: bytes) -> bytes:
        """Return a body with the delimiter at its end, which is not added twice."""
        return body if body.endswith(self._end) else body + self._end

    def body(self, frame: bytes) -> bytes:
        """Return a frame without its delimiter, which the last one of a stream may lack."""
        return frame.removesuffix(self._end)

    def __str__(self) -> str:
        return self._name


class Line(Delimiter):
    """After the next line feed; a carriage return before it belongs to the delimiter."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("line", b"\n")

    def body(self, frame: bytes) -> bytes:
        """Return a line without its end."""
        return frame[:-1].removesuffix(b"\r") if frame.endswith(b"\n") else frame


class Eof(Framing):
    """When the other end closes, even if it sent nothing, or ends its direction with an empty message."""

    __slots__ = ()

    @property
    def ends_at_empty_message(self) -> bool:
        return True

    def is_whole_at_close(self, received: bytearray) -> bool:
        del received
        return True

    def __str__(self) -> str:
        return "eof"


class Idle(Framing):
    """When nothing has arrived for some seconds after the first byte."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = _positive(seconds)

    @property
    def idle(self) -> float:
        return self._seconds

    def __str__(self) -> str:
        return f"idle:{self._seconds:g}"


class Count(Framing):
    """After a number of bytes."""

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        self._size = int(_positive(size))

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        del searched
        return Span(0, self._size) if len(received) >= self._size else None

    def needed(self, received: bytearray) -> int:
        del received
        return self._size

    def is_whole_at_close(self, received: bytearray) -> bool:
        del received
        return False

    def wrap(self, body: bytes) -> bytes:
        """Return a body of the right size; raises ValueError for another."""
        if len(body) != self._size:
            raise ValueError(f"{len(body)} bytes are not a frame of {self._size} bytes")
        return body

    def __str__(self) -> str:
        return f"bytes:{self._size}"


class Prefix(Framing):
    """After as many bytes as an unsigned number before them says.

    The number has `size` bytes in this order. It can include itself, and a header of `header` bytes that it does not
    count can follow it; the header belongs to the body.
    """

    __slots__ = ("_counts_itself", "_header", "_order", "_size")

    def __init__(self, size: int, order: ByteOrder, *, counts_itself: bool = False, header: int = 0) -> None:
        self._size = size
        self._order: ByteOrder = order
        self._counts_itself = counts_itself
        self._header = header

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        del searched
        length, begin = self.needed(received), self._size
        return Span(begin, begin + length) if length is not None and len(received) >= begin + length else None

    def needed(self, received: bytearray) -> int | None:
        """Return the length of the body; raises FrameError if it is negative."""
        size = self._size
        if len(received) < size:
            return None
        length = int.from_bytes(received[:size], self._order) - size * self._counts_itself
        if length < 0:
            raise FrameError(f"a length of {length + size} cannot include the {size} bytes of the length itself")
        return length + self._header

    def is_whole_at_close(self, received: bytearray) -> bool:
        del received
        return False

    def wrap(self, body: bytes) -> bytes:
        """Return a body with its length before it; raises ValueError if the length field is too small for it."""
        length = len(body) - self._header + self._size * self._counts_itself
        if len(body) < self._header:
            raise ValueError(f"{len(body)} bytes are too few for a header of {self._header} bytes")
        if length >= 1 << 8 * self._size:
            raise ValueError(f"{len(body)} bytes do not fit into a frame with a length field of {self._size} bytes")
        return length.to_bytes(self._size, self._order) + body

    def __str__(self) -> str:
        order = "" if self._size == 1 else "le" if self._order == "little" else "be"
        itself = "+self" if self._counts_itself else ""
        return f"u{self._size * 8}{order}{itself}{f'+{self._header}' if self._header else ''}"


def _positive(number: float) -> float:
    if 0 < number < float("inf"):
        return number
    raise ValueError(f"{number} is not a positive number")


# The rule for a byte pipe if none is given.
IDLE = Idle(0.2)

# The rules, as listed in errors and the help.
NAMES = (
    "line, crlf, nul, u8, u16le to u64be (+self, +N), varint, content-length, http, json, pkt, bytes:SIZE, "
    "idle:SECONDS, eof"
)
_PREFIX = re.compile(r"u(?:(8)|(16|24|32|64)(le|be))(\+self)?(?:\+([1-9]\d{0,4}))?")


def parse(text: str) -> Framing:
    """Read a rule such as `line` or `idle:0.5`; raises ValueError, which lists the rules."""
    kind, colon, amount = text.partition(":")
    try:
        if not colon and (match := _PREFIX.fullmatch(kind)):
            return _prefix(*match.groups())
        return _AMOUNTS[kind](amount) if kind in _AMOUNTS else _alone(kind, colon)
    except (KeyError, ValueError):
        raise ValueError(f"unknown rule {text!r}: use one of {NAMES}") from None


def _prefix(byte: str | None, bits: str | None, order: str | None, itself: str | None, header: str | None) -> Prefix:
    return Prefix(
        int(byte or bits or 0) // 8,
        "little" if order == "le" else "big",
        counts_itself=itself is not None,
        header=int(header or 0),
    )


def _alone(kind: str, colon: str) -> Framing:
    if colon:
        raise ValueError(kind)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    from .formats import FORMATS  # not needed for the other rules

    return FORMATS[kind]()


_SIMPLE: dict[str, Framing] = {
    "line": Line(),
    "crlf": Delimiter("crlf", b"\r\n"),
    "nul": Delimiter("nul", b"\0"),
    "eof": Eof(),
}
_AMOUNTS: dict[str, Callable[[str], Framing]] = {
    "idle": lambda amount: Idle(parse_duration(amount) or 0) if amount else IDLE,
    "bytes": lambda amount: Count(parse_size(amount)),
}

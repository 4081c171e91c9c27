"""Where a reply ends in a stream: one small class for each rule.

A byte pipe carries a stream, and so do some message pipes, whose messages are then pieces of any size.

`parse` reads a rule as a person writes it:

* `newline`: after the next line feed, which belongs to the reply;
* `eof`: when the other end closes, or on a message pipe sends an empty message, which ends one direction;
* `idle:SECONDS`: when nothing has come for that long after the first byte, such as `idle:0.5` or `idle:200ms`;
* `bytes:SIZE`: after that many bytes, such as `bytes:12` or `bytes:1k`;
* `frame:u32le`: after as many bytes as the length before them says, which is no part of the reply; a request gets one
  too.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from pipectl.core.constants import parse_size
from pipectl.core.deadline import parse_duration

ByteOrder = Literal["little", "big"]


class Span(NamedTuple):
    """Where a whole reply stands in the bytes received; `end` is also where the next one begins."""

    begin: int
    end: int


class Framing:
    """A rule by which a reply ends; two are equal if they read the same."""

    __slots__ = ()

    @property
    def ends_at_empty_message(self) -> bool:
        """Whether an empty message ends a reply; to the other rules it is a piece without bytes."""
        return False

    @property
    def idle(self) -> float | None:
        """The silence that ends a reply, in seconds; None if silence does not."""
        return None

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        """Return where in the bytes received the reply stands, or None while it is not whole.

        The first `searched` bytes were seen by an earlier call.
        """
        del received, searched
        return None

    def needed(self, received: bytearray) -> int | None:
        """Return how long a whole reply will be, as far as what was received can tell."""
        del received
        return None

    def is_whole_at_close(self, received: bytearray) -> bool:
        """Return whether what was received before the other end closed is a reply."""
        return bool(received)

    def wrap(self, body: bytes) -> bytes:
        """Return a request as the other end expects it."""
        return body

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class Line(Framing):
    """After the next line feed."""

    __slots__ = ()

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        end = received.find(b"\n", searched) + 1
        return Span(0, end) if end else None

    def __str__(self) -> str:
        return "newline"


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
    """When nothing has come for some seconds after the first byte."""

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

    def __str__(self) -> str:
        return f"bytes:{self._size}"


class Prefix(Framing):
    """After as many bytes as an unsigned number before them says; the number has `size` bytes in this order."""

    __slots__ = ("_order", "_size")

    def __init__(self, size: int, order: ByteOrder) -> None:
        self._size = size
        self._order: ByteOrder = order

    def split(self, received: bytearray, searched: int = 0) -> Span | None:
        del searched
        length, begin = self.needed(received), self._size
        return Span(begin, begin + length) if length is not None and len(received) >= begin + length else None

    def needed(self, received: bytearray) -> int | None:
        size = self._size
        return int.from_bytes(received[:size], self._order) if len(received) >= size else None

    def is_whole_at_close(self, received: bytearray) -> bool:
        del received
        return False

    def wrap(self, body: bytes) -> bytes:
        """Return a request with its length before it; raises ValueError if the number cannot say it."""
        if len(body) >= 1 << 8 * self._size:
            raise ValueError(f"{len(body)} bytes do not fit into a frame with a length field of {self._size} bytes")
        return len(body).to_bytes(self._size, self._order) + body

    def __str__(self) -> str:
        return f"frame:u{self._size * 8}{'le' if self._order == 'little' else 'be'}"


def _positive(number: float) -> float:
    if 0 < number < float("inf"):
        return number
    raise ValueError(f"{number} is not a positive number")


# The rule for a byte pipe if none is given.
IDLE = Idle(0.2)

_PREFIXES = {
    "u16le": Prefix(2, "little"),
    "u16be": Prefix(2, "big"),
    "u32le": Prefix(4, "little"),
    "u32be": Prefix(4, "big"),
}


def parse(text: str) -> Framing:
    """Read a rule such as `newline` or `idle:0.5`; raises ValueError, which lists the rules."""
    kind, _, amount = text.partition(":")
    try:
        return _RULES[kind](amount)
    except (KeyError, ValueError):
        rules = ["newline", "eof", "idle:SECONDS", "bytes:SIZE", *(f"frame:{prefix}" for prefix in _PREFIXES)]
        raise ValueError(f"unknown rule {text!r}: use one of {', '.join(rules)}") from None


def _alone(framing: Framing) -> Callable[[str], Framing]:
    def rule(amount: str) -> Framing:
        if amount:
            raise ValueError(amount)
        return framing

    return rule


_RULES: dict[str, Callable[[str], Framing]] = {
    "newline": _alone(Line()),
    "eof": _alone(Eof()),
    "idle": lambda amount: Idle(parse_duration(amount) or 0) if amount else IDLE,
    "bytes": lambda amount: Count(parse_size(amount)),
    "frame": lambda amount: _PREFIXES[amount],
}

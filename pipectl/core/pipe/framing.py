"""Where a reply ends on a byte pipe, which has no messages of its own.

`parse` reads the rule as a person writes it:

* `newline`: after the next line feed, which belongs to the reply;
* `eof`: when the other end closes;
* `idle:SECONDS`: when nothing has come for that long after the first byte;
* `bytes:N`: after N bytes;
* `frame:u32le`: a length comes first, as u16 or u32, le or be, and is no part of the reply; the request gets one too.
"""

from typing import Literal, NamedTuple

Kind = Literal["newline", "eof", "idle", "bytes", "frame"]


class Until(NamedTuple):
    """The rule by which a reply ends; `amount` is seconds, bytes, or the size of the length in bytes."""

    kind: Kind
    amount: float = 0
    byte_order: Literal["little", "big"] = "little"

    @property
    def idle(self) -> float | None:
        """The silence in seconds that ends a reply, or None if silence does not."""
        return self.amount if self.kind == "idle" else None

    def __str__(self) -> str:
        if self.kind == "frame":
            return f"frame:u{self.amount * 8:g}{'le' if self.byte_order == 'little' else 'be'}"
        if self.kind == "bytes":
            return f"bytes:{int(self.amount)}"
        return f"idle:{self.amount:g}" if self.kind == "idle" else self.kind

    def wrap(self, request: bytes) -> bytes:
        """Make a request as the other end expects it: with its length before it if replies come so."""
        if self.kind != "frame":
            return request
        size = int(self.amount)
        if len(request) >= 1 << 8 * size:
            raise ValueError(f"{len(request)} bytes do not fit a frame whose length has {size} bytes")
        return len(request).to_bytes(size, self.byte_order) + request

    @property
    def is_all_or_nothing(self) -> bool:
        """Whether a reply that the other end's close cuts short is no reply."""
        return self.kind in ("bytes", "frame")

    def split(self, received: bytearray, searched: int = 0) -> tuple[int, int] | None:
        """Tell where in the bytes received the reply begins and ends; None if it is not whole yet.

        The first `searched` bytes were seen by an earlier call.
        """
        if self.kind == "newline":
            end = received.find(b"\n", searched) + 1
            return (0, end) if end else None
        if self.kind == "bytes":
            return (0, int(self.amount)) if len(received) >= self.amount else None
        if self.kind == "frame":
            return self._frame(received)
        return None  # only time, or the other end, tells

    def needed(self, received: bytearray) -> int | None:
        """Tell how long a whole reply will be, as far as what was received can say."""
        if self.kind == "bytes":
            return int(self.amount)
        size = int(self.amount)
        if self.kind == "frame" and len(received) >= size:
            return int.from_bytes(received[:size], self.byte_order)
        return None

    def _frame(self, received: bytearray) -> tuple[int, int] | None:
        length, size = self.needed(received), int(self.amount)
        return (size, size + length) if length is not None and len(received) >= size + length else None


IDLE = Until("idle", 0.2)


def parse(text: str) -> Until:
    """Read a rule such as `newline` or `idle:0.5`; raises ValueError that says what is possible."""
    kind, _, amount = text.partition(":")
    try:
        if kind in ("newline", "eof") and not amount:
            return Until("newline" if kind == "newline" else "eof")
        if kind == "idle":
            return Until("idle", _positive(float(amount))) if amount else IDLE
        if kind == "bytes":
            return Until("bytes", _positive(int(amount)))
        if kind == "frame" and amount in _FRAMES:
            return _FRAMES[amount]
    except ValueError:
        pass
    raise ValueError(f"{text!r} is none of newline, eof, idle:SECONDS, bytes:N, frame:u32le (or u32be, u16le, u16be)")


_FRAMES = {
    "u16le": Until("frame", 2, "little"),
    "u16be": Until("frame", 2, "big"),
    "u32le": Until("frame", 4, "little"),
    "u32be": Until("frame", 4, "big"),
}


def _positive(number: float) -> float:
    if 0 < number < float("inf"):
        return number
    raise ValueError(number)

"""The faults of `--fault` and of rules files: how they change data before it is sent, and treat clients that connect.

Nothing is executed here. `apply` returns a `Plan` for some data and its faults: pieces with delays, and what happens to
the connection afterwards. The random choices for a client depend only on the seed and the client's number, so the same
seed and the same data get the same faults, regardless of timing and of other clients.

Faults are applied in a fixed order, whichever order they are given in: those that change the bytes (`flip`, `garbage`,
`truncate`, `cut`), `duplicate`, `empty`, those that divide (`split`, `rate`), and those that delay. Of several faults
that end the connection, the first one counts.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple

from pipectl.core.constants import parse_size
from pipectl.core.deadline import parse_duration

# Data is divided into at most this many pieces, the last with the rest; also the highest count that is accepted.
MOST_PIECES = 1 << 16
# Pieces per second that `rate` sends on a byte pipe.
_STEPS = 20


class Ending(StrEnum):
    """What happens to a connection after the last piece."""

    # CloseHandle: what was written can still be read, followed by ERROR_BROKEN_PIPE.
    CLOSE = "close"
    # DisconnectNamedPipe: unread data is lost, and the other end gets ERROR_PIPE_NOT_CONNECTED.
    RESET = "reset"
    # It stays open, but is no longer read from or written to.
    STALL = "stall"


class Fault(NamedTuple):
    """One fault with its value and its probability."""

    name: str
    # As `KINDS` reads it: seconds, bytes, sizes, a word; None for a default that depends on the data.
    value: Any = None
    probability: float = 1.0
    # The value as it was written.
    text: str = ""

    def __str__(self) -> str:
        return f"{self.name}{f'={self.text}' if self.text else ''}"


class Outgoing(NamedTuple):
    """Bytes for one write, what a log shows for them, and faults for this write alone.

    `data` of None sends nothing; its faults can still delay what follows, or end the connection.
    """

    data: bytes | None
    shown: bytes
    faults: tuple[Fault, ...] = ()


class Piece(NamedTuple):
    """Bytes for one write, and the seconds to wait before it."""

    delay: float
    data: bytes


class Plan(NamedTuple):
    """What to send in place of some data, how the connection ends after it, if it does, and the faults applied."""

    pieces: tuple[Piece, ...] = ()
    ending: Ending | None = None
    struck: tuple[Fault, ...] = ()


class Arrival(NamedTuple):
    """What happens when a client connects: whether it is disconnected, and how long no other can connect."""

    is_refused: bool = False
    # Seconds without a free instance (ERROR_PIPE_BUSY), and seconds without the name (ERROR_FILE_NOT_FOUND).
    busy: float = 0
    absent: float = 0
    struck: tuple[Fault, ...] = ()


# The values


def _duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds is None:
        raise ValueError("a fault needs a duration that ends")
    return seconds


def _rate(text: str) -> int:
    return _positive(parse_size(text.removesuffix("/s")), text)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(_positive(parse_size(size), size) for size in text.split(","))


def _count(text: str) -> int:
    number = _positive(parse_size(text), text)
    if number > MOST_PIECES:
        raise ValueError(f"{text!r} is more than {MOST_PIECES}")
    return number


def _positive(number: int, text: str) -> int:
    if not number:
        raise ValueError(f"{text!r} is less than 1")
    return number


def _garbage(text: str) -> tuple[int, str]:
    count, colon, place = text.partition(":")
    return _count(count), _word("before", "after", "over")(place) if colon else "after"


def _word(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text in words:
            return text
        raise ValueError(f"use one of {', '.join(words)}{did_you_mean(text, words)}")

    return read


class _Kind(NamedTuple):
    """How the value of a fault is read; `default` is the text if there is none, or None if a value is required."""

    read: Callable[[str], Any] | None
    default: str | None
    summary: str


# All faults. Those in `ARRIVALS` apply when a client connects, all others when data is sent.
KINDS: dict[str, _Kind] = {
    "delay": _Kind(_duration, None, "send it this much later"),
    "jitter": _Kind(_duration, None, "vary the delay by up to this much"),
    "rate": _Kind(_rate, None, "send at most this many bytes a second"),
    "split": _Kind(_sizes, None, "send pieces of N bytes, or of N,M,... bytes and then the rest"),
    "gap": _Kind(_duration, None, "wait between pieces"),
    "truncate": _Kind(parse_size, "", "send only the first N bytes, or half of them"),
    "cut": _Kind(parse_size, "", "send only the first N bytes, or half of them, and close"),
    "drop": _Kind(None, "", "send nothing"),
    "duplicate": _Kind(_count, "1", "send it N more times"),
    "garbage": _Kind(_garbage, "8", "add N random bytes, at the end or N:before, or write them N:over it"),
    "flip": _Kind(_count, "1", "flip N bits"),
    "empty": _Kind(None, "", "send an empty message before it, on a message pipe"),
    "stall": _Kind(None, "", "send nothing, and read nothing any more"),
    "close": _Kind(
        _word("before", "middle", "after", "reset"), "after", "close before, in the middle of or after it, or reset"
    ),
    "refuse": _Kind(None, "", "disconnect a new client at once"),
    "busy": _Kind(_duration, "2s", "have no free instance for this long after a client connects"),
    "absent": _Kind(_duration, "2s", "remove the pipe for this long after a client leaves"),
}
ARRIVALS = frozenset(("refuse", "busy", "absent"))

PRESETS: dict[str, tuple[str, ...]] = {
    "mild": ("delay=20ms@0.3", "jitter=20ms@0.3"),
    "bad": ("delay=100ms@0.5", "jitter=100ms", "drop@0.02", "duplicate@0.02", "close=before@0.02", "close=reset@0.02"),
    "terrible": (
        *("delay=300ms@0.5", "jitter=300ms", "drop@0.05", "duplicate@0.05", "flip@0.05", "garbage@0.05"),
        *("cut@0.05", "stall@0.02", "close=before@0.05", "close=reset@0.05", "refuse@0.05"),
    ),
}

# The names that other tools use.
_ELSEWHERE = {
    "delay": ("latency", "wait"),
    "rate": ("slow", "bandwidth"),
    "split": ("slicer",),
    "stall": ("hang", "timeout"),
    "duplicate": ("double",),
    "flip": ("garble",),
    "close=reset": ("reset", "reset_peer"),
    "cut": ("limit_data",),
    "absent": ("down",),
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown word: a question with the most similar known one, or nothing."""
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), known, n=1)
    return f": did you mean `{near[0]}`?" if near else ""


def fault(name: str, value: str | None = None, probability: float = 1.0) -> Fault:
    """Return a fault by its name and the text of its value, None if there is none; raises ValueError."""
    if name not in KINDS:
        ours = next((f": it is `{ours}` here" for ours, theirs in _ELSEWHERE.items() if name in theirs), "")
        meant = ours or did_you_mean(name, [*KINDS, *PRESETS])
        raise ValueError(f"unknown fault `{name}`{meant or ': use one of ' + ', '.join([*KINDS, *PRESETS])}")
    kind = KINDS[name]
    if value is not None and kind.read is None:
        raise ValueError(f"`{name}` takes no value")
    text = kind.default if value is None else value
    if text is None:
        raise ValueError(f"`{name}` needs a value: {name}=... ({kind.summary})")
    try:
        return Fault(name, kind.read(text) if kind.read and text else None, probability, text)
    except ValueError as error:
        raise ValueError(f"`{name}={text}`: {error}") from None


def parse(text: str) -> tuple[Fault, ...]:
    """Return the fault of `NAME[=VALUE][@PROBABILITY]`, or those of a preset; raises ValueError."""
    if text in PRESETS:
        return tuple(fault for written in PRESETS[text] for fault in parse(written))
    written, at, share = text.partition("@")
    name, equals, value = written.partition("=")
    if name in PRESETS:
        raise ValueError(f"the preset `{name}` takes no value and no probability")
    if equals and not value:
        raise ValueError(f"`{written}` has no value after `=`")
    return (fault(name, value if equals else None, _probability(share) if at else 1.0),)


def _probability(text: str) -> float:
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError(f"`@{text}` is not a probability: use 0 to 1, or 0% to 100%")
    return number


# The decisions


class Faults:
    """The faults of a server or relay, and the seed of their random choices."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self.seed = seed
        self.arrivals = [fault for fault in faults if fault.name in ARRIVALS]
        self.of_data = [fault for fault in faults if fault.name not in ARRIVALS]

    def __str__(self) -> str:
        return ", ".join(
            f"{fault}{'' if fault.probability == 1 else f'@{fault.probability:g}'}"
            for fault in (*self.arrivals, *self.of_data)
        )

    def arrival(self, client: int) -> Arrival:
        """Return what happens when the client with this number connects."""
        struck = list(_striking(self.arrivals, self.random(client, "arrival")))
        values = {fault.name: fault.value for fault in reversed(struck)}
        return Arrival("refuse" in values, values.get("busy", 0), values.get("absent", 0), tuple(struck))

    def stream(self, client: int, side: str = "server", *, is_message: bool = False) -> "FaultStream":
        """Return the object that plans all data that one side of a client's connection sends."""
        return FaultStream(self.of_data, self.random(client, side), is_message=is_message)

    def random(self, client: int, purpose: str) -> Random:
        """Return the random numbers for one purpose of one client."""
        return Random(f"{self.seed}/{client}/{purpose}")


class FaultStream:
    """Plans the faults of one direction of one connection, message by message."""

    def __init__(self, faults: Sequence[Fault], random: Random, *, is_message: bool) -> None:
        self._faults = faults
        self._random = random
        # Whether the data goes to a message pipe.
        self.is_message = is_message

    def plan(self, data: bytes | None, more: Sequence[Fault] = ()) -> Plan:
        """Return what to send in place of the data of one write; `more` are faults for this write alone.

        If `data` is None, nothing is sent: the pieces have no bytes, and only the faults in `more` apply.
        """
        faults = more if data is None else [*more, *self._faults]
        return apply(faults, data or b"", self._random, is_message=self.is_message)


def apply(faults: Sequence[Fault], data: bytes, random: Random, *, is_message: bool) -> Plan:
    """Return what to send in place of data, on a pipe of messages or of bytes."""
    struck = [fault for fault in _striking(faults, random) if is_message or fault.name != "empty"]
    values = {fault.name: fault.value for fault in reversed(struck)}
    ending = next(filter(None, map(_ending, struck)), None)
    if "drop" in values or "stall" in values or values.get("close") in ("before", "reset"):
        return Plan((), ending, tuple(struck))
    data = _changed(data, values, random)
    pieces: list[bytes] = []
    for _ in range(1 + values.get("duplicate", 0)):
        pieces += [b""] * ("empty" in values)
        pieces += _divided(data, values, is_message=is_message)
    return Plan(tuple(_timed(pieces, values, random)), ending, tuple(struck))


def _striking(faults: Iterable[Fault], random: Random) -> Iterator[Fault]:
    """Return the faults that occur this time; each draws one number, so that they do not depend on each other."""
    draws = [(fault, random.random()) for fault in faults]
    return (fault for fault, draw in draws if draw < fault.probability)


def _ending(fault: Fault) -> Ending | None:
    if fault.name == "stall":
        return Ending.STALL
    if fault.name == "close":
        return Ending.RESET if fault.value == "reset" else Ending.CLOSE
    return Ending.CLOSE if fault.name == "cut" else None


def _changed(data: bytes, values: dict[str, Any], random: Random) -> bytes:
    changed = bytearray(data)
    for bit in _some(values.get("flip", 0), len(changed) * 8, random):
        changed[bit // 8] ^= 1 << bit % 8
    count, place = values.get("garbage", (0, "after"))
    if place == "over":
        for at in _some(count, len(changed), random):
            changed[at] = int(random.random() * 256)
    else:
        garbage = random.randbytes(count)
        changed = bytearray(garbage + changed if place == "before" else changed + garbage)
    half = len(changed) // 2
    for name in ("truncate", "cut"):
        if name in values:
            del changed[half if values[name] is None else values[name] :]
    if values.get("close") == "middle":
        del changed[half:]
    return bytes(changed)


def _some(count: int, of: int, random: Random) -> set[int]:
    """Return `count` different numbers below `of`, or all of them."""
    if count >= of:
        return set(range(of))
    numbers: set[int] = set()
    while len(numbers) < count:
        numbers.add(int(random.random() * of))
    return numbers


def _divided(data: bytes, values: dict[str, Any], *, is_message: bool) -> list[bytes]:
    """Return the pieces that `split` sets, or `rate` on a byte pipe; otherwise the data stays whole."""
    sizes: tuple[int, ...] = values.get("split", ())
    if not sizes and "rate" in values and not is_message:
        sizes = (max(1, values["rate"] // _STEPS),)
    if len(sizes) == 1:
        sizes *= min(MOST_PIECES - 1, max(0, len(data) - 1) // sizes[0])
    pieces, begin = [], 0
    for size in sizes:
        if begin + size >= len(data):
            break
        pieces.append(data[begin : begin + size])
        begin += size
    return [*pieces, data[begin:]]


def _timed(pieces: list[bytes], values: dict[str, Any], random: Random) -> Iterator[Piece]:
    late, jitter, rate = values.get("delay", 0), values.get("jitter", 0), values.get("rate")
    # Jitter is around the delay if there is one, and otherwise added to 0.
    late = max(0.0, late + jitter * (2 * random.random() - 1 if late else random.random()))
    for index, piece in enumerate(pieces):
        pause = values.get("gap", 0) if index else late
        yield Piece(pause + (len(piece) / rate if rate else 0), piece)

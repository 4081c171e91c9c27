"""`check_codec` tests whether a codec, built-in or your own, has the guarantees of `pipectl.core.codecs.base`.

It only needs the standard library. Its cases depend on a seed, so a failure can be reproduced.
"""

import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple, NoReturn

from pipectl.core.codecs.base import MAX_FRAME, Codec, Frame, FrameKind, Side
from pipectl.core.errors import CodecError

# A conversation: the data of both sides, in order. Bytes alone are a conversation of one side, and are tested for both.
Talk = list[tuple[Side, bytes]]
Sample = bytes | Sequence[tuple[Side, bytes]]

# Four times the input may take this many times as long. Linear work takes 4 times as long, quadratic work 16 times.
_MOST_SLOWER = 7.0
# How many bytes of a long conversation a codec may keep in addition to a frame.
_MOST_KEPT = 50_000
# How many bytes it may keep in addition to `max_frame`: the beginning of the next frame.
_MOST_HEADER = 16
_PARTS = (b"\r\n", b"\n", b"\0", b"{", b"[", b'"', b"}", b"]", b":", b" ", b"0", b"1", b"9", b"a", b"\xff", b"\x80")


class _Case(NamedTuple):
    """A test case, with the details for an error."""

    codec: type[Codec]
    seed: int
    number: int
    talk: Talk
    max_frame: int

    def fail(self, promise: str, details: str) -> NoReturn:
        raise AssertionError(
            f"{self.codec.__qualname__} is not {promise}: {details}\n"
            f"reproduce: check_codec(..., seed={self.seed}, cases=range({self.number}, {self.number + 1})), where\n"
            f"max_frame={self.max_frame} and this is said: {_shown(self.talk)}"
        )


def check_codec(
    codec: type[Codec], samples: Iterable[Sample] = (), cases: int | range = 200, *, seed: int = 0, timing: bool = True
) -> None:
    """Raise AssertionError if a codec breaks a guarantee, with the guarantee and the input.

    `samples` are conversations that the codec understands; without them, most inputs are random data. Each case is one
    conversation, created from them with `seed`. `timing` also measures whether work is linear and memory is bounded.
    """
    talks = [talk for sample in samples for talk in _talks(sample)]
    numbers = range(cases) if isinstance(cases, int) else cases
    for number, talk in enumerate(talks):
        _check_wrap(_Case(codec, seed, number, talk, MAX_FRAME))
    for number in numbers:
        random = Random(f"{seed} {number}")
        max_frame = random.choice((MAX_FRAME, MAX_FRAME, 1000, 100, random.randrange(1, 40)))
        _check_case(_Case(codec, seed, number, _made(random, talks), max_frame), random)
    for talk in talks if timing else ():
        for side in {side for side, _ in talk}:
            data = b"".join(said for who, said in talk if who is side)
            if data:
                _check_linear(codec, side, data)
                _check_memory(codec, side, data)


# ---- one case -------------------------------------------------------------------------------------------------------


def _check_case(case: _Case, random: Random) -> None:
    whole = _decoded(case, [[said] for _, said in case.talk])
    pieces = [_cut(random, said) for _, said in case.talk]
    if random.randrange(4) == 0:
        pieces = [[said[at : at + 1] for at in range(len(said))] for _, said in case.talk]
    in_pieces = _decoded(case, pieces)
    for side in Side:
        _check_same(case, side, whole[side], in_pieces[side])
    _decoded(case, [[said] for _, said in case.talk], is_message=True)
    for side, said in case.talk:
        certain = _guess(case, side, said[:64])
        if not (isinstance(certain, int) and 0 <= certain <= 100):
            case.fail("total", f"guess returned {certain!r}, which is no int from 0 to 100")


def _decoded(case: _Case, pieces: list[list[bytes]], *, is_message: bool = False) -> dict[Side, list[Frame]]:
    """Return the frames of each side, each of them checked; the codec must have returned every byte."""
    codec = case.codec(max_frame=case.max_frame)
    frames: dict[Side, list[Frame]] = {side: [] for side in Side}
    fed = dict.fromkeys(Side, b"")
    size = dict.fromkeys(Side, 0)

    def take(call: Callable[[], Iterable[Frame]]) -> None:
        try:
            found = list(call())
        except Exception as error:  # noqa: BLE001 - whatever it is, it breaks the promise
            case.fail("total", f"{type(error).__name__}: {error} for the pieces {_shown(pieces)}")
        for frame in found:
            _check_frame(case, frame)
            frames[frame.side].append(frame)
            size[frame.side] += len(frame.data)

    for (side, _), parts in zip(case.talk, pieces, strict=True):
        for part in parts:
            fed[side] += part
            take(lambda side=side, part=part: codec.feed(side, part, message=is_message))  # type: ignore[misc]
            if (kept := len(fed[side]) - size[side]) > case.max_frame + _MOST_HEADER:
                case.fail("bounded", f"it keeps {kept} bytes of the {side}, and its max_frame is {case.max_frame}")
    for side in Side:
        take(lambda side=side: codec.end(side))  # type: ignore[misc]
        data = b"".join(frame.data for frame in frames[side])
        if data != fed[side]:
            at = next((at for at, (a, b) in enumerate(zip(data, fed[side], strict=False)) if a != b), len(data))
            case.fail("lossless", f"{len(fed[side])} bytes of the {side} became {len(data)}, different from {at} on")
    return frames


def _check_frame(case: _Case, frame: Frame) -> None:
    wrong = ""
    if not isinstance(frame.kind, FrameKind) or not isinstance(frame.side, Side):
        wrong = "its kind or side is not one of the enum"
    elif not frame.data:
        wrong = "it has no data"
    elif frame.kind is FrameKind.BAD and not frame.summary:
        wrong = "it is bad, and its summary has no reason"
    elif any(one.step or not 0 <= (one.start or 0) <= (one.stop or 0) <= len(frame.data) for one in frame.secrets):
        wrong = "its secrets are not slices of its data"
    elif not isinstance(frame.ident, str | None):
        wrong = "its ident is not a string"
    else:
        try:
            json.dumps(dict(frame.fields), allow_nan=False).encode()
            frame.summary.encode()
        except (TypeError, ValueError) as error:
            wrong = f"its fields or its summary cannot be written: {error}"
    if wrong:
        case.fail("making valid frames", f"{wrong}: {_shown(frame)}")


def _check_same(case: _Case, side: Side, whole: list[Frame], in_pieces: list[Frame]) -> None:
    one, other = _joined(whole), _joined(in_pieces)
    if one != other:
        at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
        case.fail(
            "independent of cuts",
            f"frame {at} of the {side} is {_shown(one[at : at + 1])} in one piece, and {_shown(other[at : at + 1])}",
        )


def _joined(frames: Iterable[Frame]) -> list[Frame]:
    """Return frames with adjacent raw frames joined."""
    joined: list[Frame] = []
    for frame in frames:
        if frame.kind is FrameKind.RAW:
            before = joined.pop() if joined and joined[-1].kind is FrameKind.RAW else Frame(frame.side, b"", b"")
            joined.append(Frame(frame.side, before.data + frame.data, before.body + frame.body))
        else:
            joined.append(frame._replace(fields=dict(frame.fields)))
    return joined


def _guess(case: _Case, side: Side, first: bytes) -> int:
    try:
        return case.codec.guess(side, first)
    except Exception as error:  # noqa: BLE001 - whatever it is, it breaks the promise
        case.fail("total", f"guess of {_shown(first)}: {type(error).__name__}: {error}")


def _check_wrap(case: _Case) -> None:
    """Wrap the fields and the body of each frame of a sample, and decode the result."""
    for side, frames in _decoded(case, [[said] for _, said in case.talk]).items():
        for frame in frames:
            if frame.kind in (FrameKind.RAW, FrameKind.BAD):
                continue
            try:
                data = case.codec().wrap(frame.fields, frame.body)
            except CodecError:
                continue
            codec = case.codec()
            again = [one for one in (*codec.feed(side, data), *codec.end(side)) if one.kind is not FrameKind.RAW]
            if [(one.kind, one.body, dict(one.fields), one.ident) for one in again] != [
                (frame.kind, frame.body, dict(frame.fields), frame.ident)
            ]:
                case.fail("reading what it wraps", f"{_shown(frame)} was wrapped as {_shown(data)}: {_shown(again)}")


# ---- inputs ---------------------------------------------------------------------------------------------------------


def _talks(sample: Sample) -> Iterator[Talk]:
    if isinstance(sample, bytes):
        yield from ([(side, sample)] for side in Side)
    else:
        yield list(sample)


def _made(random: Random, talks: list[Talk]) -> Talk:
    """Return a conversation of samples, possibly damaged, and random data; adjacent data of one side is one part."""
    made: Talk = []
    for _ in range(random.randrange(1, 4)):
        parts = random.choice(talks) if talks and random.randrange(8) else [(random.choice(list(Side)), b"")]
        for who, whole in parts:
            side = who if random.randrange(10) else who.other
            said = whole if random.randrange(3) else _damaged(random, whole)
            before = made.pop()[1] if made and made[-1][0] is side else b""
            made.append((side, before + said))
    return made


def _damaged(random: Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(spoilt) + 1)
        until = min(len(spoilt), at + random.randrange(1, 9))
        match random.randrange(6):
            case 0:
                del spoilt[at:until]
            case 1:
                spoilt[at:until] = random.choice(_PARTS)
            case 2:
                spoilt[at:at] = random.choice(_PARTS) * random.choice((1, 2, 300))
            case 3:
                spoilt[at:at] = random.randbytes(random.randrange(1, 9))
            case 4:
                spoilt[at:at] = spoilt[until:]
            case _:
                del spoilt[at:]
        del spoilt[4000:]
    return bytes(spoilt)


def _cut(random: Random, data: bytes) -> list[bytes]:
    ends = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(1, 8)))
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 3000 else f"{text[:3000]}… {len(text)} characters"


# ---- time and memory ------------------------------------------------------------------------------------------------


def _inputs(data: bytes) -> Iterator[tuple[str, Callable[[int], bytes]]]:
    yield "the sample again and again", lambda size: data * (size // len(data) + 1)
    for cut in {len(data) // 2, len(data) - 1}:
        for filler in (b"a", b"[", b"0", b"\n"):
            yield f"its first {cut} bytes, then {filler!r}", lambda size, cut=cut, one=filler: data[:cut] + one * size  # type: ignore[misc]


def _check_linear(codec: type[Codec], side: Side, data: bytes) -> None:
    for what, make in _inputs(data):
        for piece in (64, 1 << 16):
            if _is_slow(codec, side, make, piece):
                raise AssertionError(
                    f"{codec.__qualname__} is not linear: 4 times the input takes over {_MOST_SLOWER} times as long: "
                    f"pieces of {piece}; the {side} sends {what}; the sample is {_shown(data)}"
                )


def _is_slow(codec: type[Codec], side: Side, make: Callable[[int], bytes], piece: int) -> bool:
    """Return whether four times the input takes too long in every measurement."""
    size = 4 << 10
    while (before := _seconds(codec, side, make(size), piece)) < 0.005 and size < 1 << 17:
        size *= 2
    for _ in range(4):
        after = _seconds(codec, side, make(4 * size), piece)
        if after <= max(_MOST_SLOWER * before, 0.03):  # shorter times are not significant
            return False
        before = max(before, _seconds(codec, side, make(size), piece))
    return True


def _seconds(codec: type[Codec], side: Side, data: bytes, piece: int) -> float:
    one = codec()
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    begin = time.perf_counter()
    for part in pieces:
        for _ in one.feed(side, part):
            pass
    return time.perf_counter() - begin


def _check_memory(codec: type[Codec], side: Side, data: bytes) -> None:
    """Feed a long conversation of one side; the memory that the codec keeps must not grow with it."""
    max_frame = 4096
    for what, make in _inputs(data):
        one = codec(max_frame=max_frame)
        is_traced = tracemalloc.is_tracing()
        tracemalloc.start()
        try:
            for part in (make(30_000), make(90_000)):
                for at in range(0, len(part), 4096):
                    for _ in one.feed(side, part[at : at + 4096]):
                        pass
            del part
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            if not is_traced:
                tracemalloc.stop()
        if kept > 4 * max_frame + _MOST_KEPT:
            raise AssertionError(
                f"{codec.__qualname__} is not bounded: it keeps {kept} bytes of memory after 120,000 bytes of the "
                f"{side}, which sends {what}; the sample is {_shown(data)}"
            )

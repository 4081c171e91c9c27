"""`check_codec` finds each kind of broken guarantee, and reports how to reproduce it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pipectl.core.codecs.base import Codec, Frame, FrameKind, Side
from pipectl.core.codecs.plain import Lines
from pipectl.testing import check_codec
from tests.conftest import ON_WINE

SAMPLE = b"one\ntwo\nthree\n"


class _Whole(Codec):
    """Every read is a frame."""

    name = title = "whole"

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:  # noqa: ARG002
        yield from [Frame(side, data, data)] if data else []

    def end(self, side: Side) -> Iterator[Frame]:  # noqa: ARG002
        return iter(())


class Raises(_Whole):
    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        data.decode("ascii")
        return super().feed(side, data, message=message)


class Loses(_Whole):
    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        return super().feed(side, data.rstrip(b"\n"), message=message)


class Cuts(_Whole):
    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        return (frame._replace(kind=FrameKind.EVENT) for frame in super().feed(side, data, message=message))


class Keeps(_Whole):
    """Has frames only at the end."""

    def __init__(self, max_frame: int = 0) -> None:
        super().__init__(max_frame)
        self._kept = dict.fromkeys(Side, b"")

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:  # noqa: ARG002
        self._kept[side] += data
        return iter(())

    def end(self, side: Side) -> Iterator[Frame]:
        return super().feed(side, self._kept[side])


class Misreads(Lines):
    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        return super().wrap(fields, body[::-1])


class Guesses(_Whole):
    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        del side
        return first[0]


class BadFields(_Whole):
    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        return (one._replace(fields={"body": one.body}) for one in super().feed(side, data, message=message))


class BadSecrets(_Whole):
    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        return (one._replace(secrets=(slice(0, 99999),)) for one in super().feed(side, data, message=message))


class Quadratic(_Whole):
    def __init__(self, max_frame: int = 0) -> None:
        super().__init__(max_frame)
        self._seen = b""

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        self._seen = (self._seen + data).replace(b"\0", b"\1")
        return super().feed(side, data, message=message)


class Remembers(_Whole):
    def __init__(self, max_frame: int = 0) -> None:
        super().__init__(max_frame)
        self._seen: list[Frame] = []

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        for frame in super().feed(side, data, message=message):
            self._seen.append(frame)
            yield frame


def test_a_codec_that_keeps_its_promises_passes() -> None:
    check_codec(_Whole, [SAMPLE], timing=False)
    check_codec(Lines, [SAMPLE, [(Side.CLIENT, b"a\n"), (Side.SERVER, b"b\n")]], timing=False)


@pytest.mark.parametrize(
    ("codec", "promise"),
    [
        (Raises, "total"),
        (Loses, "lossless"),
        (Cuts, "independent of cuts"),
        (Keeps, "bounded"),
        (Misreads, "reading what it wraps"),
        (Guesses, "total"),
        (BadFields, "making valid frames"),
        (BadSecrets, "making valid frames"),
    ],
)
def test_a_broken_promise_is_found(codec: type[Codec], promise: str) -> None:
    with pytest.raises(AssertionError, match=f"{codec.__name__} is not {promise}"):
        check_codec(codec, [SAMPLE], timing=False)


@pytest.mark.skipif(ON_WINE, reason="what it measures on Linux is the same, and steadier")
@pytest.mark.parametrize(("codec", "promise"), [(Quadratic, "linear"), (Remembers, "bounded")])
def test_time_and_memory_that_grow_are_found(codec: type[Codec], promise: str) -> None:
    with pytest.raises(AssertionError, match=f"{codec.__name__} is not {promise}"):
        check_codec(codec, [[(Side.CLIENT, SAMPLE)]], 0)


def test_what_failed_once_fails_again() -> None:
    with pytest.raises(AssertionError) as failed:
        check_codec(Loses, [SAMPLE], timing=False, seed=7)
    number = int(str(failed.value).partition("range(")[2].partition(",")[0])
    with pytest.raises(AssertionError) as again:
        check_codec(Loses, [SAMPLE], range(number, number + 1), timing=False, seed=7)
    assert str(again.value) == str(failed.value)

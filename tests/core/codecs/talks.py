"""Shared by the tests of all codecs: functions that decode conversations and check a codec's guarantees."""

from collections.abc import Mapping
from typing import Any

from hypothesis import settings

from pipectl.core.codecs import codec_class
from pipectl.core.codecs.base import Codec, Frame, Side
from pipectl.testing import Sample, check_codec
from tests.conftest import ON_WINE

C, S = Side.CLIENT, Side.SERVER


def decoded(codec: str | Codec, *talk: tuple[Side, bytes]) -> list[Frame]:
    """Return all frames of a conversation, including those that its end completes."""
    it = codec_class(codec)() if isinstance(codec, str) else codec
    frames = [frame for side, data in talk for frame in it.feed(side, data)]
    return frames + [frame for side in Side for frame in it.end(side)]


def shown(codec: str | Codec, *talk: tuple[Side, bytes]) -> list[str]:
    """Return each frame's kind and summary."""
    return [f"{frame.kind} {frame.summary}".rstrip() for frame in decoded(codec, *talk)]


def wrapped(codec: str, body: bytes = b"", /, **fields: Any) -> bytes:
    return codec_class(codec)().wrap(fields, body)


def secrets_of(frame: Frame) -> list[bytes]:
    return [frame.data[one] for one in frame.secrets]


def keeps_its_promises(codec: str, *samples: Sample, cases: int = 200) -> None:
    """Check the guarantees of a codec; times are only measured for the first sample, if they are meaningful."""
    found = codec_class(codec)
    # `max_examples` is larger with `--long`.
    check_codec(found, samples, max(cases, settings().max_examples), timing=False)
    first = [(C, samples[0])] if isinstance(samples[0], bytes) else samples[0][:1]
    check_codec(found, [first], 0, timing=not ON_WINE)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def some(fields: Mapping[str, Any], *names: str) -> list[Any]:
    return [fields.get(name) for name in names]

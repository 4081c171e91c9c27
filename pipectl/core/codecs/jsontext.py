"""Parses untrusted JSON within limits, and describes messages by fields.

JSON that programs read differently or cannot pass on is rejected, too: a key that occurs twice, NaN, a number too large
for a float, half a surrogate pair.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from json.decoder import JSONDecodeError, JSONDecoder
from math import isfinite
from typing import Any, NamedTuple

from .base import FrameKind, Side
from .streamed import kind_of, shortened

MOST_DEPTH = 200
MOST_DIGITS = 400
# Limits for fields; what exceeds them is only in the body.
_MOST_FIELDS = 16
_LONGEST_FIELD = 256

# These may exceed a limit, so data that contains them is checked further.
_BRACKETS = (b"[", b"{")
_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{\]}]', re.DOTALL)
_LARGE_NUMBER = re.compile(rb"[0-9]{300}|[0-9.][eE]\+?[0-9]{3}")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(data: bytes | bytearray) -> Any:
    """Parse a JSON value in UTF-8; raises ValueError with the reason if it is invalid."""
    if sum(map(data.count, _BRACKETS)) > MOST_DEPTH:
        _check_depth(data)
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    decoder = _CAREFUL if _LARGE_NUMBER.search(data) else _DECODER
    try:
        value = decoder.decode(text)
    except JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
    if _SURROGATE.search(data):
        _check_pairs(value)
    return value


def _check_depth(data: bytes | bytearray) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        mark = data[match.start()]
        if mark != 0x22:
            depth += 1 if mark in b"[{" else -1
            if depth > MOST_DEPTH:
                raise ValueError(f"deeper than {MOST_DEPTH}")


def _check_pairs(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key {shortened(twice, 40)!r} occurs twice")
    return found


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _number(kind: type[int] | type[float], digits: str) -> float:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    number = kind(digits)
    if kind is float and not isfinite(number):
        raise ValueError("a number beyond all floats")
    return number


_DECODER = JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_CAREFUL = JSONDecoder(
    object_pairs_hook=_object,
    parse_constant=_constant,
    parse_int=partial(_number, int),
    parse_float=partial(_number, float),
)


class Meaning(NamedTuple):
    """The meaning of a JSON value in its conversation."""

    kind: FrameKind
    summary: str
    fields: dict[str, Any]
    ident: str | None = None


def meaning_of(side: Side, value: Any, body: bytes) -> Meaning:
    """Return the meaning of a value: a JSON-RPC message, an object with `id` or `request_id`, or any other value."""
    fields = dict(small_fields(value)) if isinstance(value, dict) else {}
    if isinstance(value, dict) and ("method" in value or "result" in value or isinstance(value.get("error"), dict)):
        return rpc_meaning(value, fields)
    kind = kind_of(side)
    if side is Side.SERVER and "event" in fields:
        kind = FrameKind.EVENT
    elif side is Side.SERVER and fields.get("error", "success") not in ("success", None, False, 0, ""):  # as in mpv
        kind = FrameKind.ERROR
    named = next((fields[key] for key in ("request_id", "id") if fields.get(key) is not None), None)
    return Meaning(kind, shortened(body), fields, None if named is None or kind is FrameKind.EVENT else ident_of(named))


def rpc_meaning(value: Mapping[str, Any], fields: dict[str, Any]) -> Meaning:
    """Return the meaning of a JSON-RPC message."""
    ident = None if value.get("id") is None else ident_of(value["id"])
    number = "" if ident is None else f" #{ident}"
    if "method" in value:
        kind = FrameKind.EVENT if ident is None else FrameKind.REQUEST
        return Meaning(
            kind, f"{shortened(str(value['method']), 100)}{number}{_brief(value.get('params'))}", fields, ident
        )
    error = value.get("error")
    if error is None:
        return Meaning(FrameKind.REPLY, f"result{number}{_brief(value.get('result'))}", fields, ident)
    if isinstance(error, dict):
        fields.update((f"error.{key}", one) for key, one in small_fields(error))
        error = f"{error.get('code', '')} {error.get('message', error.get('desc', ''))}".strip()
    return Meaning(FrameKind.ERROR, f"error{number}: {shortened(str(error))}", fields, ident)


def ident_of(value: Any) -> str:
    """Return a JSON id as text; 1 and "1" are different ids."""
    return shortened(json.dumps(value), 100)


def small_fields(value: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Return the members of an object that are small: no objects, no arrays, no long texts."""
    small = (
        (key, one)
        for key, one in value.items()
        if len(key) <= _LONGEST_FIELD
        and not isinstance(one, dict | list)
        and not (isinstance(one, str) and len(one) > _LONGEST_FIELD)
    )
    return (one for _, one in zip(range(_MOST_FIELDS), small, strict=False))


def _brief(value: Any) -> str:
    """Return a space and the beginning of a value, or an empty text for an empty value."""
    if value in (None, {}, []):
        return ""
    if isinstance(value, dict | list) and len(value) > 20:
        value = f"{len(value)} members"
    return f" {shortened(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 120)}"

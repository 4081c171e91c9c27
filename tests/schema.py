"""Validates values by the part of JSON Schema that the schemas in docs/schema use; an unknown keyword is an error."""

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = Path(__file__).parent.parent / "docs" / "schema"

_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
# Keywords that do not restrict a value, or that were checked before.
_SAYINGS = {"type", "$schema", "title", "description", "$defs"}


@cache
def load(file: str) -> Any:
    """Read a schema."""
    return json.loads((DIRECTORY / file).read_text(encoding="utf-8"))


def errors(value: Any, schema: dict[str, Any], place: str = "it") -> list[str]:
    """Return how a value violates a schema."""
    if "type" in schema and not _is(schema["type"], value):
        return [f"{place} is no {schema['type']}: {value!r}"]
    return [error for keyword, rule in schema.items() for error in _check(keyword, rule, value, schema, place)]


def _check(keyword: str, rule: Any, value: Any, schema: dict[str, Any], place: str) -> list[str]:
    if keyword in _SAYINGS:
        return []
    if keyword == "$ref":
        file, _, path = rule.partition("#/$defs/")
        return errors(value, load(file)["$defs"][path], place)
    if keyword == "oneOf":
        found = [errors(value, choice, place) for choice in rule]
        return [] if found.count([]) == 1 else [f"{place} is {found.count([])} of the choices: {found}"]
    if keyword == "properties":
        return [error for name in rule.keys() & value for error in errors(value[name], rule[name], f"{place}.{name}")]
    if keyword == "items":
        return [error for item in value for error in errors(item, rule, f"an item of {place}")]
    holds: dict[str, Callable[[], bool]] = {
        "const": lambda: value == rule,
        "enum": lambda: value in rule,
        "minimum": lambda: value >= rule,
        "pattern": lambda: re.search(rule, value) is not None,
        "required": lambda: set(rule) <= set(value),
        "additionalProperties": lambda: set(value) <= set(schema["properties"]),
    }
    return [] if holds[keyword]() else [f"{place} breaks `{keyword}: {rule}`: {value!r}"]


def _is(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))

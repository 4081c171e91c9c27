"""Templates of rules files: texts in which the request, its client or random data replace `${...}`.

Nothing is executed. A template is parsed once, from the file. What it inserts is never parsed as a template again.
"""

import binascii
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from .faults import did_you_mean
from .rules_match import MISSING, Found, Message, at_pointer

# The names that the braces can contain, besides groups of regular expressions.
NAMES = (
    "body",
    "hex",
    "hex:FROM:TO",
    "json:/POINTER",
    "field:NAME",
    "client.pid",
    "client.exe",
    "client.user",
    "client.number",
    "n",
    "count",
    "now",
    "unix",
    "uuid",
    "random:N",
)
_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([^}]*)\}|(\$\{)")
_SLICE = re.compile(r"hex:(-?\d{1,9})?:(-?\d{1,9})?")
_MOST_RANDOM = 1 << 16


class Scene(NamedTuple):
    """What a reply can depend on: the message, what the rule's regular expressions found in it, and random numbers."""

    message: Message
    found: Found
    # How often the rule was used, this time included.
    uses: int
    random: Random


class Groups(NamedTuple):
    """The groups that the regular expressions of a rule have: how many, and their names."""

    size: int = 0
    names: tuple[str, ...] = ()


_Part = Callable[[Any], Any]
_NO_GROUPS = Groups()


class Template:
    """A text, or with `is_hex` bytes in hex, with placeholders; raises ValueError if it is invalid."""

    def __init__(self, text: str, groups: Groups = _NO_GROUPS, *, is_hex: bool = False) -> None:
        self._parts = [part for part in _parts(text, groups, is_hex=is_hex) if part != b""]

    @property
    def is_constant(self) -> bool:
        """Whether nothing is inserted."""
        return not any(map(callable, self._parts))

    def render(self, scene: Scene | None = None) -> bytes:
        """Return the bytes, text as UTF-8; only a constant needs no scene."""
        return b"".join(_bytes(part(scene) if callable(part) else part) for part in self._parts)

    def text(self, scene: Scene | None) -> str:
        """Return the text; inserted bytes that are not UTF-8 are replaced."""
        return self.render(scene).decode(errors="replace")

    def value(self, scene: Scene | None) -> Any:
        """Return a value for JSON: that of the placeholder if there is nothing else, otherwise the text."""
        if len(self._parts) == 1 and callable(self._parts[0]):
            value = self._parts[0](scene)
            if not isinstance(value, bytes | str):
                return None if value is MISSING else value
        return self.text(scene)


class JsonTemplate:
    """A JSON value whose strings are templates; raises ValueError if one is invalid."""

    def __init__(self, value: Any, groups: Groups = _NO_GROUPS) -> None:
        self._value = _compiled(value, groups)
        self.is_constant = all(template.is_constant for template in _templates(self._value))

    def value(self, scene: Scene | None = None) -> Any:
        """Return the value; only a constant needs no scene."""
        return _filled(self._value, scene)

    def render(self, scene: Scene | None = None) -> bytes:
        """Return the value as JSON, without white space."""
        return json.dumps(self.value(scene), ensure_ascii=False, separators=(",", ":")).encode()


def _compiled(value: Any, groups: Groups) -> Any:
    if isinstance(value, str):
        return Template(value, groups)
    if isinstance(value, Mapping):
        return {key: _compiled(one, groups) for key, one in value.items()}
    if isinstance(value, list):
        return [_compiled(one, groups) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ValueError(f"{value} is not a JSON value: write it as a string")


def _templates(value: Any) -> Iterator[Template]:
    if isinstance(value, Template):
        yield value
    elif isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _templates(one)


def _filled(value: Any, scene: Scene | None) -> Any:
    if isinstance(value, Template):
        return value.value(scene)
    if isinstance(value, Mapping):
        return {key: _filled(one, scene) for key, one in value.items()}
    return [_filled(one, scene) for one in value] if isinstance(value, list) else value


def _parts(text: str, groups: Groups, *, is_hex: bool) -> Iterator[bytes | _Part]:
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        if match[2]:
            raise ValueError(f"`{text[match.start() : match.start() + 20]}` has no `}}`: write `$${{` for `${{` itself")
        yield _literal(text[end : match.start()], is_hex=is_hex)
        yield b"${" if match[1] is None else _part(match[1], groups, is_hex=is_hex)
        end = match.end()
    yield _literal(text[end:], is_hex=is_hex)


def _literal(text: str, *, is_hex: bool) -> bytes:
    if not is_hex:
        return text.encode(errors="surrogateescape")
    digits = "".join(text.split())
    if wrong := re.search(r"[^0-9a-fA-F]", digits):
        raise ValueError(f"`{wrong[0]}` is not a hex digit")
    if len(digits) % 2:
        raise ValueError(f"an odd number of hex digits: `{text.strip()}`")
    return bytes.fromhex(digits)


def _part(name: str, groups: Groups, *, is_hex: bool) -> _Part:
    """Return the function that fills in a placeholder; raises ValueError for an unknown one."""
    if name in _SIMPLE:
        return _SIMPLE[name]
    if name == "hex":
        return (lambda scene: scene.message.body) if is_hex else (lambda scene: scene.message.body.hex())
    kind, _, rest = name.partition(":")
    if part := _SLICE.fullmatch(name):
        span = slice(*(None if end is None else int(end) for end in part.groups()))
        return lambda scene: scene.message.body[span] if is_hex else scene.message.body[span].hex()
    if kind == "json" and rest[:1] in ("", "/") and name != "json":
        return lambda scene: at_pointer(scene.message.json, rest)
    if kind == "field" and rest:
        return lambda scene: scene.message.frame.fields.get(rest, MISSING)
    if kind == "random" and rest.isascii() and rest.isdecimal() and 0 < int(rest) <= _MOST_RANDOM:
        size = int(rest)
        return lambda scene: scene.random.randbytes(size) if is_hex else scene.random.randbytes(size).hex()
    return _group(name, groups)


def _group(name: str, groups: Groups) -> _Part:
    if name.isascii() and name.isdecimal() and 0 < int(name) <= groups.size:
        index = int(name) - 1
        return lambda scene: scene.found.groups[index]
    if name in groups.names:
        return lambda scene: scene.found.names[name]
    if name.isdecimal():
        raise ValueError(f"`${{{name}}}`: the regular expressions of this rule have {groups.size} groups")
    meant = did_you_mean(name, [*NAMES, *groups.names]) or f": use one of {', '.join([*NAMES, *groups.names])}"
    raise ValueError(f"unknown placeholder `${{{name}}}`{meant}")


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if value is MISSING or value is None:
        return b""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode(errors="surrogateescape")


def _now(_scene: Scene) -> str:
    seconds = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds * 1000) % 1000:03}Z"


def _uuid(scene: Scene) -> str:
    digits = scene.random.randbytes(16).hex()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


_SIMPLE: dict[str, _Part] = {
    "body": lambda scene: scene.message.body,
    "client.pid": lambda scene: scene.message.client.pid,
    "client.exe": lambda scene: scene.message.client.exe,
    "client.user": lambda scene: scene.message.client.user,
    "client.number": lambda scene: scene.message.client.number,
    "n": lambda scene: scene.uses,
    "count": lambda scene: scene.message.count,
    "now": _now,
    "unix": lambda _scene: int(time.time()),
    "uuid": _uuid,
}


def from_base64(text: str) -> bytes:
    """Return the bytes of a base64 text; raises ValueError."""
    return binascii.a2b_base64("".join(text.split()), strict_mode=True)


def lines(texts: Sequence[str]) -> str:
    """Return texts as lines, each with a line feed at its end."""
    return "".join(f"{text}\n" for text in texts)

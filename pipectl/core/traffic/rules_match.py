"""The conditions of rules, which decide whether a rule applies to a message. Nothing is executed.

Each condition is a function of a `Message` and of `Found`, to which regular expressions add their groups. A part of a
message that cannot be read, such as invalid JSON, matches nothing.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from ntpath import basename
from typing import Any, NamedTuple, Protocol

from pipectl.core.codecs.base import Frame
from pipectl.core.codecs.jsontext import read_json
from pipectl.core.constants import parse_size

# The most bytes of a content, and the most characters of another text, that a regular expression searches.
MOST_SEARCHED = 64 << 10


class _Missing:
    """The result of a pointer to a value that does not exist."""


MISSING = _Missing()


class Who(Protocol):
    """The client of a message, as far as it is known; looking up the name of a user may take seconds."""

    @property
    def number(self) -> int:
        """Its number among the clients of the server, from 1."""

    @property
    def pid(self) -> int:
        """The id of its process."""

    @property
    def exe(self) -> str | None:
        """The path of its program."""

    @property
    def user(self) -> str | None:
        """Its user, as `DOMAIN\\name`."""

    @property
    def is_remote(self) -> bool:
        """Whether it is on another computer."""


class Found:
    """What the groups of regular expressions have matched; a group without a match is an empty text."""

    def __init__(self) -> None:
        self.groups: list[str] = []
        self.names: dict[str, str] = {}

    def add(self, match: re.Match[str]) -> None:
        """Add the groups of a match after those of earlier ones."""
        self.groups += match.groups("")
        self.names.update(match.groupdict(""))


class Head(NamedTuple):
    """The head of an HTTP request."""

    method: str
    path: str
    query: str
    # Names in lower case.
    headers: dict[str, str]


class Message:
    """A message of a client, and what can be read of it, each thing once."""

    def __init__(self, frame: Frame, client: Who, count: int) -> None:
        self.frame = frame
        self.client = client
        # Its number among the messages of its client, from 1.
        self.count = count

    @property
    def body(self) -> bytes:
        """The content, without what the framing or the codec has around it."""
        return self.frame.body

    @cached_property
    def text(self) -> str:
        """The beginning of the content as text; bytes that are not UTF-8 survive."""
        return self.body[:MOST_SEARCHED].decode(errors="surrogateescape")

    @cached_property
    def json(self) -> Any:
        """The content as JSON, or MISSING."""
        try:
            return read_json(self.body)
        except ValueError:
            return MISSING

    @cached_property
    def head(self) -> Head | None:
        """The head of an HTTP request, None for anything else."""
        lines = self.frame.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            return None
        path, _, query = words[1].partition("?")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        return Head(words[0], path, query, headers)


Condition = Callable[[Message, Found], bool]


def all_of(conditions: Sequence[Condition]) -> Condition:
    """Return a condition that holds if all of these do, or if there are none."""
    return lambda message, found: all(one(message, found) for one in conditions)


def any_of(conditions: Sequence[Condition]) -> Condition:
    """Return a condition that holds if one of these does; groups are not kept."""
    return lambda message, _found: any(one(message, Found()) for one in conditions)


def none_of(condition: Condition) -> Condition:
    """Return a condition that holds if another does not."""
    return lambda message, _found: not condition(message, Found())


def matches(pattern: re.Pattern[str], text: Callable[[Message], Any], *, is_whole: bool = False) -> Condition:
    """Return a condition that holds if a regular expression matches a text, with `is_whole` all of it."""

    def holds(message: Message, found: Found) -> bool:
        subject = text(message)
        if not isinstance(subject, str):
            return False
        match = (pattern.fullmatch if is_whole else pattern.search)(subject[:MOST_SEARCHED])
        if match:
            found.add(match)
        return match is not None

    return holds


def bytes_pattern(text: str) -> re.Pattern[bytes]:
    """Return the pattern of hex digits with `??` for any byte, `?` for any digit, and `*`; raises ValueError."""
    pattern, digits = [], "".join(text.split())
    for part in re.findall(r"\*|..?", digits):
        if part == "*":
            pattern.append(b".*")
        elif not re.fullmatch(r"[0-9a-fA-F?]{2}", part):
            odd = "an odd number of hex digits" if re.fullmatch(r"[0-9a-fA-F?]\*?", part) else "not hex"
            raise ValueError(f"{odd}: `{part}` in `{text}`")
        else:
            pattern.append(_one_byte(part.lower()))
    return re.compile(b"".join(pattern), re.DOTALL)


def _one_byte(digits: str) -> bytes:
    values = [value for value in range(256) if all(a in (b, "?") for a, b in zip(digits, f"{value:02x}", strict=True))]
    return b"[" + b"".join(re.escape(bytes([value])) for value in values) + b"]"


_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}


def comparison(written: object) -> Callable[[int], bool]:
    """Return a comparison with a number such as `5`, `"=5"` or `">1k"`; raises ValueError."""
    text = str(written).strip()
    sign = next((sign for sign in _COMPARISONS if text.startswith(sign)), "")
    compare, limit = _COMPARISONS[sign or "="], parse_size(text.removeprefix(sign))
    return lambda number: compare(number, limit)


def at_pointer(value: Any, pointer: str) -> Any:
    """Return the value at a JSON pointer, or MISSING."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(key, MISSING)
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9]\d{0,9}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return MISSING
    return value


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are the same in JSON, where `true` is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def is_program(written: str) -> Condition:
    """Return a condition that holds if the client's program has this name or path; case is ignored."""
    wanted = written.lower()

    def holds(message: Message, _found: Found) -> bool:
        exe = (message.client.exe or "").lower()
        return wanted in (exe, basename(exe))

    return holds


def is_user(written: str) -> Condition:
    """Return a condition that holds if the client's user has this name, with or without a domain; case is ignored."""
    wanted = written.lower()

    def holds(message: Message, _found: Found) -> bool:
        user = (message.client.user or "").lower()
        return wanted in (user, user.rpartition("\\")[2])

    return holds


def parameter(query: str, name: str) -> str | None:
    """Return the first value of a parameter of a query; None if there is none."""
    from urllib.parse import parse_qsl

    return next((value for key, value in parse_qsl(query, keep_blank_values=True) if key == name), None)

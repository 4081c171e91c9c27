"""Reads `when`, the conditions of a rule, into a function; every mistake is added with its line."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from . import rules_match as match
from .rules_lines import Mistakes, Path
from .rules_match import MISSING, Condition, Head, Message
from .rules_template import Groups

_HTTP = ("method", "path", "query", "header")
_CLIENT = ("exe", "user", "pid", "remote")


class WhenReader:
    """Reads the conditions of one rule, and counts the groups of its regular expressions."""

    def __init__(self, mistakes: Mistakes, *, has_fields: bool) -> None:
        self._mistakes = mistakes
        self._has_fields = has_fields
        self._groups: list[re.Pattern[str]] = []
        # Whether groups are kept: within `any` and `not`, it is not known which of them will match.
        self._keeps = True

    @property
    def groups(self) -> Groups:
        """The groups that `${1}` and `${name}` can refer to."""
        names = [name for pattern in self._groups for name in pattern.groupindex]
        return Groups(sum(pattern.groups for pattern in self._groups), tuple(names))

    def read(self, table: Any, path: Path) -> Condition:
        """Return a condition that holds if all conditions of a table do."""
        if not isinstance(table, dict):
            self._mistakes.add(path, "`when` must be a table: when = { text = ... }")
            return match.all_of(())
        self._mistakes.keys(table, _READERS, path)
        conditions: list[Condition] = []
        for key, value in table.items():
            if key in _READERS:
                with self._mistakes.at((*path, key)):
                    conditions += _READERS[key](self, value, (*path, key))
        return match.all_of(conditions)

    def regex(self, text: Any, subject: Callable[[Message], Any], *, is_whole: bool = False) -> Condition:
        """Return a condition that holds if a regular expression matches; raises ValueError."""
        try:
            pattern = re.compile(_string(text), re.DOTALL)
        except re.error as error:
            at = "" if error.pos is None else f" at character {error.pos + 1}"
            raise ValueError(f"not a regular expression: {error.msg}{at}: `{text}`") from None
        if self._keeps:
            self._groups.append(pattern)
        return match.matches(pattern, subject, is_whole=is_whole)

    def value(self, wanted: Any, subject: Callable[[Message], Any], path: Path) -> Condition:
        """Return a condition: a value is equal in JSON, or as `{ regex = ... }` or `{ exists = ... }` requires."""
        if isinstance(wanted, dict) and set(wanted) == {"exists"}:
            exists = self._mistakes.get(wanted, "exists", bool, path, default=True)
            return lambda message, _found: (subject(message) is not MISSING) == exists
        if isinstance(wanted, dict) and set(wanted) == {"regex"}:
            with self._mistakes.at((*path, "regex")):
                return self.regex(wanted["regex"], lambda message: _as_text(subject(message)))
        return lambda message, _found: match.is_same(subject(message), wanted)

    # One for each key of `when`

    def body(self, value: Any, _path: Path, compare: Callable[[bytes, bytes], bool]) -> list[Condition]:
        """Compare the content with a text."""
        wanted = _string(value).encode()
        return [lambda message, _found: compare(message.body, wanted)]

    def pattern(self, value: Any, _path: Path) -> list[Condition]:
        """Search the content for a regular expression."""
        return [self.regex(value, lambda message: message.text)]

    def hex(self, value: Any, _path: Path) -> list[Condition]:
        """Compare the content with bytes, some of which may be wildcards."""
        pattern = match.bytes_pattern(_string(value))
        return [lambda message, _found: pattern.fullmatch(message.body) is not None]

    def size(self, value: Any, _path: Path) -> list[Condition]:
        """Compare the size of the content."""
        holds = match.comparison(value)
        return [lambda message, _found: holds(len(message.body))]

    def nth(self, value: Any, _path: Path) -> list[Condition]:
        """Compare the number of the message among those of its client."""
        holds = match.comparison(value)
        return [lambda message, _found: holds(message.count)]

    def empty(self, value: Any, _path: Path) -> list[Condition]:
        """Check whether the content is empty."""
        if not isinstance(value, bool):
            raise ValueError("`empty` must be true or false")
        return [lambda message, _found: (not message.body) == value]

    def json(self, value: Any, path: Path) -> list[Condition]:
        """Compare parts of the content, which is JSON."""
        conditions = []
        for pointer, wanted in _table(value).items():
            if pointer and not pointer.startswith("/"):
                raise ValueError(f"`{pointer}` is not a JSON pointer: write `/{pointer.replace('.', '/')}`")
            subject = partial(_json_at, pointer=pointer)
            conditions.append(self.value(wanted, subject, (*path, pointer)))
        return conditions

    def field(self, value: Any, path: Path) -> list[Condition]:
        """Compare fields that a codec has found."""
        if not self._has_fields:
            raise ValueError("`field` needs a codec: write `codec = ...` at the top")
        return [
            self.value(wanted, partial(_field_of, name=name), (*path, name)) for name, wanted in _table(value).items()
        ]

    def http(self, value: Any, path: Path) -> list[Condition]:
        """Compare parts of the head of an HTTP request with regular expressions, which must match the whole."""
        table = _table(value)
        self._mistakes.keys(table, _HTTP, path)
        conditions: list[Condition] = [lambda message, _found: message.head is not None]
        for key, wanted in table.items():
            with self._mistakes.at((*path, key)):
                if isinstance(wanted, dict) and key in ("query", "header"):
                    of = _header if key == "header" else _parameter
                    conditions += [self.regex(one, of(name), is_whole=True) for name, one in wanted.items()]
                elif key == "header":
                    raise ValueError("`header` must be a table: header = { Accept = '.*json.*' }")
                elif key in _HTTP:
                    conditions.append(self.regex(wanted, partial(_of_head, key=key), is_whole=True))
        return conditions

    def client(self, value: Any, path: Path) -> list[Condition]:
        """Compare facts about the client."""
        table = _table(value)
        self._mistakes.keys(table, _CLIENT, path)
        conditions: list[Condition] = []
        if "exe" in table:
            conditions.append(match.is_program(_string(table["exe"])))
        if "user" in table:
            conditions.append(match.is_user(_string(table["user"])))
        if "pid" in table:
            pid = self._mistakes.get(table, "pid", int, path, 0)
            conditions.append(lambda message, _found: message.client.pid == pid)
        if "remote" in table:
            is_remote = self._mistakes.get(table, "remote", bool, path, default=False)
            conditions.append(lambda message, _found: message.client.is_remote == is_remote)
        return conditions

    def negated(self, value: Any, path: Path) -> list[Condition]:
        """Return a condition that holds if those of a table do not."""
        return [match.none_of(self._without_groups(value, path))]

    def alternatives(self, value: Any, path: Path) -> list[Condition]:
        """Return a condition that holds if those of one of several tables do."""
        if not isinstance(value, list) or not value:
            raise ValueError("`any` must be an array of tables: any = [{ text = ... }, { text = ... }]")
        return [match.any_of([self._without_groups(one, (*path, index)) for index, one in enumerate(value)])]

    def _without_groups(self, value: Any, path: Path) -> Condition:
        keeps, self._keeps = self._keeps, False
        condition = self.read(value, path)
        self._keeps = keeps
        return condition


def _equals(body: bytes, wanted: bytes) -> bool:
    return body == wanted


def _contains(body: bytes, wanted: bytes) -> bool:
    return wanted in body


_Reader = Callable[[WhenReader, Any, Path], list[Condition]]
_READERS: Mapping[str, _Reader] = {
    "text": partial(WhenReader.body, compare=_equals),
    "starts": partial(WhenReader.body, compare=bytes.startswith),
    "ends": partial(WhenReader.body, compare=bytes.endswith),
    "contains": partial(WhenReader.body, compare=_contains),
    "regex": WhenReader.pattern,
    "hex": WhenReader.hex,
    "size": WhenReader.size,
    "empty": WhenReader.empty,
    "json": WhenReader.json,
    "field": WhenReader.field,
    "http": WhenReader.http,
    "client": WhenReader.client,
    "nth": WhenReader.nth,
    "not": WhenReader.negated,
    "any": WhenReader.alternatives,
}


def _json_at(message: Message, pointer: str) -> Any:
    return match.at_pointer(message.json, pointer)


def _field_of(message: Message, name: str) -> Any:
    return message.frame.fields.get(name, MISSING)


def _of_head(message: Message, key: str) -> str | None:
    head: Head | None = message.head
    return None if head is None else str(getattr(head, key))


def _header(name: str) -> Callable[[Message], str | None]:
    return lambda message: message.head and message.head.headers.get(name.lower())


def _parameter(name: str) -> Callable[[Message], str | None]:
    return lambda message: message.head and match.parameter(message.head.query, name)


def _as_text(value: Any) -> str | None:
    """Return a value of JSON as a regular expression sees it: a string as it is, and others as JSON."""
    from json import dumps

    return None if value is MISSING else value if isinstance(value, str) else dumps(value, ensure_ascii=False)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"`{value}` must be a string")
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"`{value}` must be a table")
    return value

"""Mistakes in a rules file, TOML or JSON, and the lines of its keys, which the parsers do not report."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from pipectl.core.errors import CodecError

from .faults import did_you_mean

_T = TypeVar("_T")
# The keys and indexes that lead to a value: ("rule", 2, "reply", "text").
Path = tuple[str | int, ...]

# Whole tokens of both languages, where `#` begins a comment only outside of strings; white space is left out.
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)
    |(?P<string>\"{3}(?:[^\\]|\\.)*?\"{3,5}|'{3}.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')
    |(?P<mark>[\[\]{},=:\n])
    |(?P<word>[^\s\[\]{},=:\#"']+)""",
    re.VERBOSE | re.DOTALL,
)


def lines_of(text: str, *, is_json: bool = False) -> dict[Path, int]:
    """Return the line, from 1, of each key and element of a text that its parser has accepted."""
    tokens = _Tokens(text)
    found: dict[Path, int] = {(): 1}
    if is_json:
        _value(tokens, (), found)
    else:
        _document(tokens, found)
    return found


class _Tokens:
    """The tokens of a text, one after another, and their lines."""

    def __init__(self, text: str) -> None:
        self._tokens = self._all(text)
        self.line = self._next_line = 1
        self.token = ""
        self.advance()

    def _all(self, text: str) -> Iterator[tuple[str, int]]:
        line = 1
        for match in _TOKEN.finditer(text):
            if match.lastgroup != "space":
                yield match[0], line
            line += match[0].count("\n")

    def advance(self) -> str:
        """Advance to the next token, "" at the end; return the previous one."""
        before = self.token
        self.token, self.line = next(self._tokens, ("", self.line))
        return before

    def skip_lines(self) -> None:
        """Skip line ends, which have no meaning within brackets."""
        while self.token == "\n":
            self.advance()


def _document(tokens: _Tokens, found: dict[Path, int]) -> None:
    """Read TOML: headers, and keys with their values."""
    table: Path = ()
    counts: dict[Path, int] = {}
    while True:
        tokens.skip_lines()
        line = tokens.line
        if not tokens.token:
            return
        if tokens.token != "[":
            _pair(tokens, table, found)
            continue
        tokens.advance()
        is_array = tokens.token == "["
        if is_array:
            tokens.advance()
        *outer, last = _key(tokens)
        while tokens.token == "]":
            tokens.advance()
        table = ()
        for part in outer:  # of an array, its last element is meant
            table = (*table, part)
            table += (counts[table] - 1,) if table in counts else ()
        table = (*table, last)
        if is_array:
            counts[table] = counts.get(table, 0) + 1
            found.setdefault(table, line)
            table += (counts[table] - 1,)
        found.setdefault(table, line)


def _pair(tokens: _Tokens, table: Path, found: dict[Path, int]) -> None:
    """Read a key, `=` or `:`, and the value."""
    line, path = tokens.line, table
    for part in _key(tokens):
        path = (*path, part)
        found.setdefault(path, line)
    tokens.advance()
    _value(tokens, path, found)


def _key(tokens: _Tokens) -> list[str]:
    """Read a key and return its parts, which are separated by dots; quoted parts may contain dots."""
    parts: list[str] = []
    while tokens.token not in ("=", ":", "]", ""):
        token = tokens.advance()
        if token[0] in "\"'":
            parts.append(token[1:-1])
        else:
            parts += filter(None, token.split("."))
    return parts


def _value(tokens: _Tokens, path: Path, found: dict[Path, int]) -> None:
    tokens.skip_lines()
    opening = tokens.token
    if opening not in ("[", "{"):
        _scalar(tokens)
        return
    tokens.advance()
    index = 0
    while True:
        while tokens.token in (",", "\n"):
            tokens.advance()
        if tokens.token in ("]", "}", ""):
            tokens.advance()
            return
        if opening == "{":
            _pair(tokens, path, found)
        else:
            found.setdefault((*path, index), tokens.line)
            _value(tokens, (*path, index), found)
            index += 1


def _scalar(tokens: _Tokens) -> None:
    """Read a string, a number or a date; a time of day has colons."""
    while tokens.token not in (",", "\n", "]", "}", ""):
        tokens.advance()


class Mistake(NamedTuple):
    """An error or a warning about a rules file, and its line."""

    line: int
    text: str


class Mistakes:
    """Collects the errors and warnings of a rules file, to report all of them at once."""

    def __init__(self, lines: dict[Path, int]) -> None:
        self._lines = lines
        self.errors: list[Mistake] = []
        self.warnings: list[Mistake] = []

    def line(self, path: Path) -> int:
        """Return the line of a path, or of the nearest one that contains it."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def add(self, path: Path, text: str) -> None:
        """Add an error."""
        self.errors.append(Mistake(self.line(path), text))

    def warn(self, path: Path, text: str) -> None:
        """Add a warning: the file can be used."""
        self.warnings.append(Mistake(self.line(path), text))

    @contextmanager
    def at(self, path: Path) -> Iterator[None]:
        """Add a ValueError or CodecError as the mistake of a path."""
        try:
            yield
        except ValueError as error:
            self.add(path, str(error))
        except CodecError as error:
            self.add(path, error.reason)

    def keys(self, table: Mapping[str, Any], known: Iterable[str], path: Path) -> bool:
        """Add an error for each unknown key; return whether all keys are known."""
        unknown = [key for key in table if key not in known]
        for key in unknown:
            meant = did_you_mean(key, known) or f": use one of {', '.join(known)}"
            self.add((*path, key), f"unknown key `{key}`{meant}")
        return not unknown

    def get(self, table: Mapping[str, Any], key: str, kind: type[_T], path: Path, default: _T) -> _T:
        """Return a value of a table; the default if it is absent, or, with an error added, of another type."""
        value = table.get(key, default)
        if isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
            return value
        if key in table:
            self.add((*path, key), f"`{key}` must be {_WORDS[kind]}, not {_described(value)}")
        return default


_WORDS: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    dict: "a table",
    list: "an array",
}


def _described(value: object) -> str:
    return next((words for kind, words in reversed(_WORDS.items()) if isinstance(value, kind)), f"`{value}`")

"""The click parameter types: pipe names, durations, sizes, encodings, framing rules, enum members and file paths."""

import codecs
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipectl.core.constants import parse_size
from pipectl.core.deadline import parse_duration
from pipectl.core.errors import InvalidPipeNameError
from pipectl.core.names import full_name

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pipectl.core.checks.baseline import Known
    from pipectl.core.checks.bench_plan import Limit
    from pipectl.core.pipe.frames import Framing
    from pipectl.core.security.access_check import Token
    from pipectl.core.traffic.places import Place

_E = TypeVar("_E", bound=Enum)


class PipeName(click.ParamType[str]):
    """The name of a pipe in any spelling, converted to its full name without opening the pipe."""

    name = "pipe"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return full_name(value)
        except InvalidPipeNameError as error:
            raise click.BadParameter(str(error), ctx, param) from error  # the cause has the hint

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem]":
        """Complete from the directory of pipes, without opening any."""
        from click.shell_completion import CompletionItem

        from pipectl.core.inventory.directory import names_beginning

        return [CompletionItem(name) for name in names_beginning(incomplete)]


class PlaceName(PipeName):
    """A place that `relay` connects: a pipe, a TCP address, or stdin and stdout. Nothing is opened."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Place":  # type: ignore[override]
        from pipectl.core.traffic.places import parse

        try:
            return parse(value)
        except InvalidPipeNameError as error:
            raise click.BadParameter(str(error), ctx, param) from error  # the cause has the hint


class Duration(click.ParamType[float | None]):
    """A duration in seconds, or with units such as `500ms` or `1h30m`; `none` means no limit and converts to None."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return] # a default
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Times(click.ParamType[float]):
    """How often something is done: a number from 1, or `forever`, which is infinite."""

    name = "times"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if value == "forever":
            return float("inf")
        if not value.isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is neither a number from 1 nor `forever`", param, ctx)
        return int(value)


class Size(click.ParamType[int]):
    """A number of bytes, or with a binary unit such as `64k` or `1MiB`; at most what fits into a DWORD."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Encoding(click.ParamType[str]):
    """The name of a text encoding that Python supports."""

    name = "encoding"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            "".encode(value)  # rejects codecs that are not text encodings
            b"x".decode(value, "backslashreplace")  # rejects codecs for special text only, such as idna
        except (LookupError, ValueError):
            self.fail(f"unknown text encoding {value!r}: use utf-8, utf-16-le, latin-1, cp1252 …", param, ctx)
        return codecs.lookup(value).name


class FramingRule(click.ParamType["Framing"]):
    """A framing rule, which sets where a reply ends."""

    name = "rule"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> "Framing":
        from pipectl.core.pipe.framing import parse

        try:
            return parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class CodecName(click.ParamType[str]):
    """The name of a codec, or a file and a class; `words` are allowed as well."""

    name = "codec"

    def __init__(self, *words: str) -> None:
        self._words = words

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from pipectl.core.codecs.plugins import find
        from pipectl.core.errors import CodecError

        try:
            if value not in self._words:
                find(value)
        except CodecError as error:
            raise click.BadParameter(str(error), ctx, param) from error  # `--debug` shows the cause
        return value

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem]":
        """Complete the names of the built-in codecs."""
        from click.shell_completion import CompletionItem

        from pipectl.core.codecs import CODECS

        return [CompletionItem(name, help=entry.title) for name, entry in CODECS.items() if name.startswith(incomplete)]


class TokenOf(click.ParamType["tuple[str, Token]"]):
    """The account whose access is checked; the value is the text, and the token."""

    name = "who"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> "tuple[str, Token]":
        from pipectl.core.security.tokens import by_name

        try:
            return value, by_name(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class LatencyLimit(click.ParamType["Limit"]):
    """The limit of a latency: a percentile or max, and a time."""

    name = "limit"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> "Limit":
        from pipectl.core.checks.bench_plan import Limit

        try:
            return Limit.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class FilePath(click.ParamType[str]):
    """The path of a file that is opened later; it replaces click's own type, which imports `locale`."""

    name = "path"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem]":
        """Let the shell complete the path."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class BaselineFile(FilePath):
    """A file with a baseline, which is read at once; a missing file and one of another kind are usage errors."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "frozenset[Known]":  # type: ignore[override]
        from pathlib import Path

        from pipectl.core.checks.baseline import parse

        try:
            return parse(Path(value).read_text(encoding="utf-8-sig"))
        except OSError as error:
            self.fail(f"`{value}` cannot be read: {error.strerror}", param, ctx)
        except ValueError as error:
            self.fail(f"`{value}`: {error}", param, ctx)


class Word(click.Choice[_E]):
    """One member of an enum, written as its name in lower case."""

    def normalize_choice(self, choice: Any, ctx: click.Context | None) -> str:
        """Return the lower-case word by which a member or an argument is compared."""
        return super().normalize_choice(choice.name.lower() if isinstance(choice, Enum) else choice, ctx)


PIPE = PipeName()
PLACE = PlaceName()
DURATION = Duration()
TIMES = Times()
SIZE = Size()
ENCODING = Encoding()
FRAMING = FramingRule()
FILE = FilePath()
TOKEN = TokenOf()
LIMIT = LatencyLimit()

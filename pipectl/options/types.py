"""The click types: a pipe's name, a time, a size, an encoding, a framing, a word of an enum, the path of a file."""

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

    from pipectl.core.pipe.frames import Framing

_E = TypeVar("_E", bound=Enum)


class PipeName(click.ParamType[str]):
    """The name of a pipe in any spelling; the value is its full name. The pipe is not touched."""

    name = "pipe"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return full_name(value)
        except InvalidPipeNameError as error:
            raise click.BadParameter(str(error), ctx, param) from error  # whose hint is told too

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem]":
        """Complete from the directory of pipes, which touches none of them."""
        from click.shell_completion import CompletionItem

        from pipectl.core.inventory.directory import names_beginning

        return [CompletionItem(name) for name in names_beginning(incomplete)]


class Duration(click.ParamType[float | None]):
    """A duration in seconds, or with units such as `500ms` or `1h30m`; `none` is no limit, and its value None."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return] # a default
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Size(click.ParamType[int]):
    """A number of bytes, or with a unit of 1024 such as `64k` or `1MiB`; no more than Win32 can count."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Encoding(click.ParamType[str]):
    """The name of a text encoding that Python knows."""

    name = "encoding"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            "".encode(value)  # refuses codecs that are not for text
            b"x".decode(value, "backslashreplace")  # and those, such as idna, that are for a kind of text alone
        except (LookupError, ValueError):
            self.fail(f"{value!r} is no text encoding: write utf-8, utf-16-le, latin-1, cp1252 …", param, ctx)
        return codecs.lookup(value).name


class FramingRule(click.ParamType["Framing"]):
    """The rule by which a reply ends."""

    name = "rule"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> "Framing":
        from pipectl.core.pipe.framing import parse

        try:
            return parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Word(click.Choice[_E]):
    """One member of an enum, written as its name in small letters."""

    def normalize_choice(self, choice: Any, ctx: click.Context | None) -> str:
        """Give the word that a member, or an argument, is compared by."""
        return super().normalize_choice(choice.name.lower() if isinstance(choice, Enum) else choice, ctx)


class FilePath(click.ParamType[str]):
    """The path of a file; opened later. In the place of click's own, which imports `locale` for the word `path`."""

    name = "path"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem]":
        """Leave it to the shell."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


PIPE = PipeName()
DURATION = Duration()
SIZE = Size()
ENCODING = Encoding()
FRAMING = FramingRule()
FILE = FilePath()

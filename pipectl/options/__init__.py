"""Parses the command line: options grouped in help sections, commands with examples, and the options of every command.

The other files hold what several commands share: click types, payloads, and the options of clients and servers.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import click

from pipectl.output import Color, Mode, Output, Stream

_F = TypeVar("_F", bound=Callable[..., Any])

# The help sections that several commands share, in order; a command's own sections come before them.
WHO = "Access"
SENT = "Data to send"
REPLY = "Reply"
CONNECTION = "Connection"
OUTPUT = "Output"
_ORDER = (WHO, SENT, REPLY, CONNECTION, OUTPUT)


# Everything after one of these on a command line belongs to another program.
EXEC = "--exec"
ENDS_OUR_OPTIONS = ("--", EXEC)


class Example(NamedTuple):
    """An example in a command's help: a line that runs as it is printed, and what it does."""

    line: str
    does: str


class UsageError(click.UsageError):
    """An invalid command line, with its own hint instead of a pointer to the help."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Option(click.Option):
    """An option that belongs to a section of the help."""

    def __init__(self, *arguments: Any, section: str = "Options", **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.section = section


def option(*names: str, **attributes: Any) -> Callable[[_F], _F]:
    """Return a decorator that adds an Option to a command's function."""
    return click.option(*names, cls=Option, **attributes)


def echo(text: str) -> None:
    """Write help text to stdout; raises OutputClosedError if the reader has closed it, and OutputFailedError."""
    try:
        click.echo(text)
    except OSError as error:
        Stream(sys.stdout).fail(error)


def info_option(*names: str, text: Callable[[click.Context], str], summary: str) -> Option:
    """Return an option that prints a text and exits.

    It replaces click's own, which look up a translation of their help at every start and import `locale` for that.
    """

    def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value and not ctx.resilient_parsing:
            echo(text(ctx))
            ctx.exit()

    return Option(
        names, is_flag=True, is_eager=True, expose_value=False, callback=callback, section=OUTPUT, help=summary
    )


class OptionGroup(Protocol):
    """Options that several commands share, and the single value that a command receives for them."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options, and any arguments, in help order."""

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Any:
        """Return the value, built from all parameters of the command line; raises click.UsageError."""


class Command(click.Command):
    """A command with the common output options, option groups and examples.

    `groups` maps the name of a parameter of the command's function to the group whose value it receives. `formats` are
    values of `--format` that only this command has and writes itself: `Output.mode` is that value.
    """

    def __init__(
        self,
        *arguments: Any,
        examples: Sequence[tuple[str, str]] = (),
        groups: Mapping[str, type[OptionGroup]] | None = None,
        formats: Sequence[str] = (),
        **attributes: Any,
    ) -> None:
        super().__init__(*arguments, **attributes)
        self.add_help_option = False
        self.examples = [Example(*example) for example in examples]
        self._groups = dict(groups or {})
        shared = [parameter for group in self._groups.values() for parameter in group.parameters()]
        self._shared = {parameter.name for parameter in shared}
        own = self.params
        self.params = [
            *(parameter for parameter in own if isinstance(parameter, click.Argument)),
            *shared,
            *(parameter for parameter in own if not isinstance(parameter, click.Argument)),
            *_output_options(formats),
            info_option("-h", "--help", text=click.Context.get_help, summary="Show this message and exit."),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, passing the value of each group instead of its options."""
        try:
            values = {name: group.from_params(ctx.params) for name, group in self._groups.items()}
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        if "MSYSTEM" in os.environ:
            self._note_changed_arguments(ctx)
        ctx.params = {name: value for name, value in ctx.params.items() if name not in self._shared} | values
        _open_file(ctx, ctx.ensure_object(Output))
        if sys.platform == "win32":
            from pipectl.core.win32.handle import handle_break

            handle_break()
        return super().invoke(ctx)

    def _note_changed_arguments(self, ctx: click.Context) -> None:
        """Print a note for each argument that this shell has probably converted, except file paths."""
        from .msys import changed_arguments

        given = [ctx.params.get(parameter.name or "") for parameter in self.params if parameter.type.name != "path"]
        texts = [text for value in given for text in (value if isinstance(value, tuple) else (value,))]
        for changed, written in changed_arguments(text for text in texts if isinstance(text, str)):
            ctx.ensure_object(Output).note(
                f"this shell has probably converted `{written}` to `{changed}`: write `/{written}`, or set "
                "MSYS2_ARG_CONV_EXCL='*'"
            )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, Option):
                sections.setdefault(parameter.section, []).append(record)
        for title in sorted(sections, key=lambda title: _ORDER.index(title) if title in _ORDER else -1):
            with formatter.section(title):
                formatter.write_dl(sections[title], col_max=26)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the examples."""
        if not self.examples:
            return
        with formatter.section("Examples"):
            for index, example in enumerate(self.examples):
                if index:
                    formatter.write_paragraph()
                formatter.write(f"{' ' * formatter.current_indent}{example.line}\n")
                with formatter.indentation(), formatter.indentation():
                    formatter.write_text(example.does)


def with_examples(*examples: tuple[str, str], **attributes: Any) -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator that turns a function into a Command: its docstring is the help, followed by the examples."""
    return click.command(**{"cls": Command, "examples": examples, **attributes})  # type: ignore[no-any-return]


def _open_file(ctx: click.Context, output: Output) -> None:
    """Open the file of `-o` before any request is sent; raises UsageError if it cannot be opened."""
    if output.path is None:
        return
    try:
        output.open(output.path)
    except OSError as error:
        raise click.UsageError(f"`{output.path}` cannot be written: {error.strerror}", ctx) from None
    ctx.call_on_close(output.close)


def _output_options(formats: Sequence[str] = ()) -> list[click.Parameter]:
    """Return the options that every command has; their values go to the command's Output."""
    from .types import FILE  # not needed for the overview

    def stored(*names: str, apply: Callable[[Output, Any], None], **attributes: Any) -> Option:
        def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
            if value:
                apply(ctx.ensure_object(Output), value)

        return Option(names, expose_value=False, callback=callback, section=OUTPUT, **attributes)

    def set_mode(output: Output, mode: Any) -> None:
        output.mode = mode if mode in formats else Mode(mode)

    def set_file(output: Output, value: Any) -> None:
        output.path = value

    def set_json(output: Output, _value: Any) -> None:
        output.mode = Mode.JSON

    def set_color(output: Output, value: Any) -> None:
        output.color = Color(value)

    def set_verbosity(output: Output, value: Any) -> None:
        output.verbosity = value

    def set_quiet(output: Output, _value: Any) -> None:
        output.quiet = True

    def set_debug(output: Output, _value: Any) -> None:
        output.debug = True

    return [
        stored(
            "-o",
            "--output",
            apply=set_file,
            type=FILE,
            metavar="FILE",
            help="Write the data to FILE instead of stdout; unlike `>` in PowerShell, this keeps binary data intact.",
        ),
        stored(
            "--format",
            apply=set_mode,
            type=click.Choice([*(mode.value for mode in Mode), *formats]),
            help="Output format: a table, JSON (one object per line), or raw values.  [default: table on a terminal, "
            "plain text otherwise]",
        ),
        stored("--json", apply=set_json, is_flag=True, help="Short for `--format json`."),
        stored(
            "--color",
            apply=set_color,
            type=click.Choice([color.value for color in Color]),
            help="When to use color.  [default: auto: on a terminal unless NO_COLOR is set]",
        ),
        stored("-v", "--verbose", apply=set_verbosity, count=True, help="More detail on stderr."),
        stored("-q", "--quiet", apply=set_quiet, is_flag=True, help="Only errors and warnings on stderr."),
        stored("--debug", apply=set_debug, is_flag=True, help="Show a traceback with errors."),
    ]

"""How argv becomes values: options in sections of the help, commands with examples, and the options all commands have.

The other files hold what several commands share: click types, payloads, how a pipe is opened, how it is served.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import click

from pipectl.output import Color, Mode, Output, OutputClosedError

_F = TypeVar("_F", bound=Callable[..., Any])

# The sections of the help that several commands have, in their order there; what a command has alone comes before them.
WHO = "Who is let in"
SENT = "What is sent"
REPLY = "The reply"
CONNECTION = "The connection"
OUTPUT = "Output"
_ORDER = (WHO, SENT, REPLY, CONNECTION, OUTPUT)


# What follows one of these on a command line is for another program.
EXEC = "--exec"
ENDS_OUR_OPTIONS = ("--", EXEC)


class Example(NamedTuple):
    """An example in a command's help: a line that runs as it is printed, and what it does."""

    line: str
    does: str


class UsageError(click.UsageError):
    """A wrong command line, with a hint of its own in the place of the way to the help."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Option(click.Option):
    """An option that stands in a section of the help."""

    def __init__(self, *arguments: Any, section: str = "Options", **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.section = section


def option(*names: str, **attributes: Any) -> Callable[[_F], _F]:
    """Make a decorator that adds an Option to a command's function."""
    return click.option(*names, cls=Option, **attributes)


def echo(text: str) -> None:
    """Write help, which is no data; raises OutputClosedError if nobody reads."""
    try:
        click.echo(text)
    except OSError as error:
        raise OutputClosedError from error


def telling(*names: str, text: Callable[[click.Context], str], summary: str) -> Option:
    """Make an option that prints a text and ends the command line there.

    In the place of click's own, which look for a translation of their help at every start, and import `locale` for it.
    """

    def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value and not ctx.resilient_parsing:
            echo(text(ctx))
            ctx.exit()

    return Option(
        names, is_flag=True, is_eager=True, expose_value=False, callback=callback, section=OUTPUT, help=summary
    )


class OptionGroup(Protocol):
    """Options that several commands have, and the one value that a command gets for them."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options, and perhaps arguments, in the order of the help."""

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Any:
        """Return the value, made of all parameters of the command line; raises click.UsageError."""


class Command(click.Command):
    """A command with the output options that every command has, with groups of options, and with examples.

    `groups` are the groups by the name under which the command's function gets the value of each.
    """

    def __init__(
        self,
        *arguments: Any,
        examples: Sequence[tuple[str, str]] = (),
        groups: Mapping[str, type[OptionGroup]] | None = None,
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
            *_output_options(),
            telling("-h", "--help", text=click.Context.get_help, summary="Show this message and exit."),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with the value of each group in the place of its options."""
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
            from pipectl.core.win32.handle import heed_break

            heed_break()
        return super().invoke(ctx)

    def _note_changed_arguments(self, ctx: click.Context) -> None:
        """Tell which arguments this shell has probably changed; what is the path of a file, it is to change."""
        from .msys import changed_arguments

        given = [ctx.params.get(parameter.name or "") for parameter in self.params if parameter.type.name != "path"]
        texts = [text for value in given for text in (value if isinstance(value, tuple) else (value,))]
        for changed, written in changed_arguments(text for text in texts if isinstance(text, str)):
            ctx.ensure_object(Output).note(
                f"this shell has probably changed `{written}` to `{changed}`: write `/{written}`, or set "
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
    """Make a decorator that makes a Command of a function: its docstring is the help, with the examples at its end."""
    return click.command(**{"cls": Command, "examples": examples, **attributes})  # type: ignore[no-any-return]


def _open_file(ctx: click.Context, output: Output) -> None:
    """Open the file of `-o`, before anything is sent whose reply it is for; raises UsageError if that cannot be."""
    if output.path is None:
        return
    try:
        output.open(output.path)
    except OSError as error:
        raise click.UsageError(f"`{output.path}` cannot be written: {error.strerror}", ctx) from None
    ctx.call_on_close(output.close)


def _output_options() -> list[click.Parameter]:
    """Make the options that every command has; their values go to the command's Output."""
    from .types import FILE  # which the overview does without

    def stored(*names: str, apply: Callable[[Output, Any], None], **attributes: Any) -> Option:
        def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
            if value:
                apply(ctx.ensure_object(Output), value)

        return Option(names, expose_value=False, callback=callback, section=OUTPUT, **attributes)

    def set_mode(output: Output, mode: Any) -> None:
        output.mode = Mode(mode)

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
            help="Write the data to this file, whatever the shell does with stdout; binary data stays as it is.",
        ),
        stored(
            "--format",
            apply=set_mode,
            type=click.Choice([mode.value for mode in Mode]),
            help="Write a table, JSON (one object a line), or the raw values.  [default: table on a terminal, plain "
            "text otherwise]",
        ),
        stored("--json", apply=set_json, is_flag=True, help="Short for `--format json`."),
        stored(
            "--color",
            apply=set_color,
            type=click.Choice([color.value for color in Color]),
            help="Color messages and tables.  [default: auto, on a terminal unless NO_COLOR is set]",
        ),
        stored("-v", "--verbose", apply=set_verbosity, count=True, help="More detail on stderr."),
        stored("-q", "--quiet", apply=set_quiet, is_flag=True, help="Only errors and warnings on stderr."),
        stored("--debug", apply=set_debug, is_flag=True, help="Show a traceback with an error."),
    ]

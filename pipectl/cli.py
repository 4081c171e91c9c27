"""The root of the command line: commands that are imported when they are called, and the one place that ends errors."""

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise, takewhile
from typing import Any

import click

from . import __version__
from .commands import COMMANDS
from .core.errors import PipeError, PipeNotFoundError
from .exitcodes import ExitCode, exit_code_for
from .output import Mode, Output, OutputClosedError

_OVERVIEW = r"""The tool for Windows named pipes: call them, serve them, look into them.

A pipe is written NAME, \\.\pipe\NAME or \\HOST\pipe\NAME; in a POSIX shell, NAME alone needs no quotes. Data goes to
stdout, everything else to stderr; `--json` makes objects of both.
"""


class LazyGroup(click.Group):
    """A group whose commands are found by name in COMMANDS, and whose errors end here."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Give the commands in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command, and nothing else."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = import_module(entry.module).command
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; one that does not exist is answered with the near ones."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview from the table, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary.rstrip(".")) for name, entry in COMMANDS.items()])
        formatter.write_paragraph()
        formatter.write_text("See `pipectl COMMAND --help` for each, and `pipectl demo` for a tour.")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and end its errors here: click would take that of a closed pipe for a closed stdout."""
        try:
            return super().invoke(ctx)
        except PipeError as error:
            return _failed(ctx.ensure_object(Output), error)
        except OSError as error:
            _raise_if_closed(error)
            return _unexpected(ctx.ensure_object(Output), error)

    def main(self, args: Sequence[str] | None = None, *arguments: Any, **options: Any) -> Any:
        """Run, and exit with the code that what happened means."""
        code = self.run(sys.argv[1:] if args is None else list(args), *arguments, **options)
        # Those of Windows are unsigned, such as 0xC0000005 of a child that crashed; this takes a C long.
        sys.exit(code - (1 << 32) if code >= 1 << 31 else code)

    def run(self, args: list[str], *arguments: Any, **options: Any) -> int:
        """Run a command line; tell what goes wrong, and return the exit code."""
        output = Output()
        options = {"obj": output, "windows_expand_args": False, **options, "standalone_mode": False}
        try:
            return self._code_of(args, *arguments, **options)
        except click.Abort:
            return ExitCode.INTERRUPTED
        except click.ClickException as error:
            if _asks_for_json(args):  # also if the error was met before the option
                output.mode = Mode.JSON
            _tell_usage(output, error)
            return error.exit_code
        except OutputClosedError:
            _silence_stdout()
            return ExitCode.UNEXPECTED
        except Exception as error:  # noqa: BLE001 - the last resort, without a traceback for somebody at a prompt
            return _unexpected(output, error)

    def _code_of(self, args: list[str], *arguments: Any, **options: Any) -> int:
        try:
            code = super().main(args, *arguments, **options)
        except OSError as error:
            _raise_if_closed(error)
            raise
        return code if isinstance(code, int) else ExitCode.DONE


@click.group(cls=LazyGroup, help=_OVERVIEW, invoke_without_command=True)
@click.version_option(__version__, prog_name="pipectl", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Show the overview if no command is given."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _raise_if_closed(error: OSError) -> None:
    """Tell a stdout that nobody reads from other errors; click, which prints help, does not."""
    if error.errno in (errno.EPIPE, errno.EINVAL):
        raise OutputClosedError from error


def _unexpected(output: Output, error: Exception) -> ExitCode:
    output.traceback(error)
    output.error(f"unexpected: {error!r}", "Run it again with `--debug`, and report what it shows")
    return ExitCode.UNEXPECTED


def _failed(output: Output, error: PipeError) -> ExitCode:
    output.traceback(error)
    code = ExitCode.PARTIAL if output.is_partial else exit_code_for(error)
    hint = _near_names(error) if isinstance(error, PipeNotFoundError) else None
    output.error(
        str(error),
        hint or error.hint,
        function=error.function or None,
        pipe=error.pipe,
        code=error.code or None,
        symbol=error.symbol,
        exit_code=code,
    )
    return code


def _asks_for_json(args: Sequence[str]) -> bool:
    """Tell whether the command line asks for JSON; what follows `--` or `--exec` is for another program."""
    ours = list(takewhile(lambda argument: argument not in ("--", "--exec"), args))
    return "--json" in ours or ("--output", "json") in pairwise(ours)


def _tell_usage(output: Output, error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    near = getattr(error, "possibilities", None)  # which `format_message` would put into the message
    message, _, hint = (error.message if near else error.format_message()).partition("\n")
    if not hint and context:
        hint = _hint(near, f"{context.command_path} --help")
    output.error(message[:1].lower() + message[1:].rstrip("."), hint or None, exit_code=error.exit_code)


def _near_names(error: PipeNotFoundError) -> str | None:
    from .core.discovery import did_you_mean

    names = did_you_mean(error.pipe) if error.pipe else []
    return _hint(names, "pipectl list") if names else None


def _hint(names: Sequence[str] | None, see: str) -> str:
    """Write a hint that asks whether one of some names was meant, and tells where all of them are."""
    question = f"Did you mean {' or '.join(f'`{name}`' for name in names)}? " if names else ""
    return f"{question}See `{see}`"


def _silence_stdout() -> None:
    """Keep the interpreter from flushing, at its end, what nobody reads."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)

"""The root of the command line: imports commands when they are called, and handles their errors."""

import _signal  # type: ignore[import-not-found] # `signal` would be a module more, and half a millisecond
import _thread
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from threading import enumerate as running_threads
from threading import main_thread
from typing import Any, NoReturn

import click

from . import __version__
from .commands import COMMANDS, TOPICS
from .options import echo, info_option
from .output import Output

_OVERVIEW = r"""A command-line tool for Windows named pipes: call, serve and inspect them.

Write a pipe as NAME, \\.\pipe\NAME or \\HOST\pipe\NAME; a simple NAME needs no quotes in any shell. Data goes to
stdout, messages to stderr; `--json` prints both as JSON objects.
"""

# ExitCode.INTERRUPTED, whose module is imported only when a command fails.
_INTERRUPTED = 130
# Seconds that a command has to end after Ctrl+C, and that a destructor interrupted by Ctrl+C has.
_TEAR_DOWN, _MOMENT = 5.0, 0.01


# If it is set, click answers a shell's completion request before anything else.
_COMPLETE = "_PIPECTL_COMPLETE"
# The options of the root itself, and the common options that take a value.
_OF_THE_ROOT = ("-h", "--help", "-V", "--version")
_WITH_A_VALUE = ("--output", "--format", "-o", "--color")


class LazyGroup(click.Group):
    """A group that finds its commands by name in COMMANDS, and handles their errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return one command; None if there is no such command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = import_module(entry.module).command
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; the error for an unknown one suggests similar names."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview from the table, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary.rstrip(".")) for name, entry in COMMANDS.items()])
        with formatter.section("Topics"):
            formatter.write_dl([(name, entry.summary.rstrip(".")) for name, entry in TOPICS.items()])
        formatter.write_paragraph()
        formatter.write_text("See `pipectl help COMMAND` or `pipectl help TOPIC`, and `pipectl demo` for a tour.")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and handle its errors here: click would take a closed pipe's error for a closed stdout."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            return _end(ctx.ensure_object(Output), error)

    def main(self, args: Sequence[str] | None = None, *arguments: Any, **options: Any) -> Any:
        """Run the command line and exit with its exit code."""
        code = self.run(sys.argv[1:] if args is None else list(args), *arguments, **options)
        # Windows exit codes are unsigned, such as 0xC0000005 of a crashed child; `sys.exit` takes a C long.
        sys.exit(code - (1 << 32) if code >= 1 << 31 else code)

    def run(self, args: list[str], *arguments: Any, **options: Any) -> int:
        """Run a command line, report its error if it fails, and return the exit code."""
        output = Output()
        args = _in_our_order(args)
        if _COMPLETE in os.environ:
            from .options.completion import register

            register()
        options = {"obj": output, "windows_expand_args": False, **options, "standalone_mode": False}
        try:
            code = super().main(args, *arguments, **options)
        except Exception as error:  # noqa: BLE001 - the last resort: no traceback at a prompt
            return _end(output, error, args)
        return code if isinstance(code, int) else 0


@click.group(
    cls=LazyGroup,
    help=_OVERVIEW,
    invoke_without_command=True,
    add_help_option=False,
    params=[
        info_option(
            "-V", "--version", text=lambda _ctx: f"pipectl {__version__}", summary="Show the version and exit."
        ),
        info_option("-h", "--help", text=click.Context.get_help, summary="Show this message and exit."),
    ],
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Print the overview if no command is given."""
    if ctx.invoked_subcommand is None:
        echo(ctx.get_help())


class _Interrupts:
    """Turns the first Ctrl+C into KeyboardInterrupt and ignores later ones, which would interrupt the cleanup.

    Everything the cleanup waits for has a time limit; if it still takes too long, the process ends without it.
    """

    def __init__(self) -> None:
        self.arrived = False

    def listen(self) -> None:
        """Handle Ctrl+C from now on."""
        sys.unraisablehook = self._again
        _signal.signal(_signal.SIGINT, self._take)

    def _take(self, *_: object) -> None:
        # No call between these two lines, so that no other Ctrl+C can come between them.
        if self.arrived:
            return
        self.arrived = True
        _thread.start_new_thread(_end_late, ())
        raise KeyboardInterrupt

    def _again(self, lost: Any) -> None:
        """Repeat an interrupt that came in a destructor, where Python only reports the exception and continues."""
        if lost.exc_type is KeyboardInterrupt:
            _thread.start_new_thread(self._repeat, ())  # raised here, it would be lost too
        else:
            sys.__unraisablehook__(lost)

    def _repeat(self) -> None:
        time.sleep(_MOMENT)
        self.arrived = False
        _signal.raise_signal(_signal.SIGINT)  # also ends a wait; `interrupt_main` does not


def _end_late() -> None:
    time.sleep(_TEAR_DOWN)
    _end_interrupted()


def _end_interrupted(*_: object) -> None:
    os._exit(_INTERRUPTED)


def main() -> None:
    """Run the program and end the process with its exit code; 130 if Ctrl+C was pressed at any time."""
    interrupts = _Interrupts()
    try:
        interrupts.listen()
        code = _exit_code()
        _leave(_INTERRUPTED if interrupts.arrived else code)
    except KeyboardInterrupt:
        _leave(_INTERRUPTED)


def _exit_code() -> Any:
    try:
        cli(prog_name="pipectl")
    except SystemExit as leaving:
        return leaving.code


def _leave(code: Any) -> NoReturn:
    """End the process at once if no thread is running that the interpreter would wait for.

    The interpreter would free its memory piece by piece, which takes longer than a call; the system does it at once.
    """
    others = [thread for thread in running_threads() if thread is not main_thread()]
    if isinstance(code, int) and all(thread.daemon for thread in others):
        with suppress(OSError):  # the interpreter's own flush will report it
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
            os._exit(code)
    _signal.signal(_signal.SIGINT, _end_interrupted)
    sys.exit(code)


def _in_our_order(args: list[str]) -> list[str]:
    """Return a command line with options before the command moved behind it, and `/?` replaced by `--help`."""
    count = 0
    while args[count : count + 1] and args[count].startswith("-") and args[count] not in _OF_THE_ROOT:
        count += 1 + (args[count] in _WITH_A_VALUE)
    command = args[count : count + 1]
    ours = [*command, *args[:count], *args[count + 1 :]] if command else args
    return ["--help" if argument == "/?" and place < 2 else argument for place, argument in enumerate(ours)]


def _end(output: Output, error: Exception, args: Sequence[str] = ()) -> int:
    from .failures import end  # needed only on failure

    return end(output, error, args)

"""Reports the error of a failed command, with a hint, and returns its exit code. Imported only on failure."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise, takewhile
from typing import Any

import click

from .core.errors import InvalidPipeNameError, PipeError, PipeNotFoundError
from .core.names import full_name
from .exitcodes import ExitCode, exit_code_for, program_code_for
from .hints import hint_for, pasteable
from .options import ENDS_OUR_OPTIONS
from .output import Mode, Output, OutputClosedError, OutputFailedError

# Bytes of a partial reply that an error shows, as text and in JSON.
_MOST_SHOWN = 40
_MOST_IN_JSON = 64 << 10


def end(output: Output, error: Exception, args: Sequence[str] = ()) -> int:
    """Report an error and return the exit code; `args` is the command line, which may ask for JSON."""
    if isinstance(error, click.Abort) or _is_interrupted(error):
        return ExitCode.INTERRUPTED
    if isinstance(error, click.ClickException):
        return _wrong_usage(output, error, args)
    if isinstance(error, PipeError):
        return _failed(output, error)
    if isinstance(error, OutputClosedError):
        _silence_stdout()
        return _code(output, error, ExitCode.UNEXPECTED)
    if isinstance(error, OutputFailedError):
        _silence_stdout()
        code = _code(output, error, ExitCode.UNEXPECTED)
        output.error(str(error), exit_code=code)
        return code
    return _unexpected(output, error)


def _is_interrupted(error: BaseException | None) -> bool:
    """Return whether an error was raised while Ctrl+C ended the command; such an error is not reported."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _code(output: Output, error: Exception, code: int) -> int:
    """Return the exit code, or the one for failures of `popen` itself."""
    return program_code_for(error) if output.runs_program else code


def _unexpected(output: Output, error: Exception) -> int:
    _show_traceback(output, error)
    code = _code(output, error, ExitCode.UNEXPECTED)
    what = str(error) if isinstance(error, OSError) else repr(error)  # the repr of an OSError has no file name
    output.error(f"unexpected: {what}", "Run it again with `--debug` and report the traceback", exit_code=code)
    return code


def _failed(output: Output, error: PipeError) -> int:
    _show_traceback(output, error)
    code = _code(output, error, exit_code_for(error))
    subject = None if error.pipe else error.subject
    hint = _near_names(error) if isinstance(error, PipeNotFoundError) else None
    output.error(
        f"{error}{_beginning(error.partial)}",
        hint or hint_for(error),
        function=error.function or None,
        pipe=error.pipe,
        **{"program" if output.runs_program else "subject": subject},
        code=error.code or None,
        symbol=error.symbol,
        partial=_part(error.partial) if output.is_json and error.partial else None,
        exit_code=code,
    )
    return code


def _show_traceback(output: Output, error: Exception) -> None:
    """Print the traceback of an error if `--debug` is set."""
    if output.debug:
        from traceback import format_exception

        output.note("".join(format_exception(error)).rstrip())


def _beginning(partial: bytes) -> str:
    """Return text that shows the beginning of a partial result; "" if there is none."""
    if not partial:
        return ""
    from .core.names import escape
    from .output.text import beginning, counted

    text = beginning(partial, "utf-8", _MOST_SHOWN)
    shown = partial[:_MOST_SHOWN].hex(" ") if text is None else f"`{escape(text)}`"
    return f"; {counted(len(partial), 'byte')} received: {shown}{'...' if len(partial) > _MOST_SHOWN else ''}"


def _part(partial: bytes) -> dict[str, Any]:
    from .output.text import for_json

    kept = for_json(partial[:_MOST_IN_JSON], "utf-8")
    return kept if len(partial) <= _MOST_IN_JSON else {**kept, "size": len(partial), "truncated": True}


def _wrong_usage(output: Output, error: click.ClickException, args: Sequence[str]) -> int:
    if _asks_for_json(args):  # even if the error came before the option was parsed
        output.mode = Mode.JSON
    code = _code(output, error, error.exit_code)
    context = getattr(error, "ctx", None)
    near = getattr(error, "possibilities", None)  # `format_message` would put them into the message
    message = error.message if near else error.format_message()
    hint = hint_for(error.__cause__) if isinstance(error.__cause__, PipeError) else getattr(error, "hint", None)
    if hint is None and context:
        hint = _hint(near, f"{context.command_path} --help")
    output.error(message[:1].lower() + message[1:].rstrip("."), hint, exit_code=code)
    return code


def _asks_for_json(args: Sequence[str]) -> bool:
    """Return whether the command line asks for JSON; arguments after `--` or `--exec` belong to another program."""
    ours = list(takewhile(lambda argument: argument not in ENDS_OUR_OPTIONS, args))
    return "--json" in ours or "--format=json" in ours or ("--format", "json") in pairwise(ours)


def _near_names(error: PipeNotFoundError) -> str | None:
    from .core.inventory.directory import did_you_mean

    names: list[str] = []
    with suppress(InvalidPipeNameError):  # a pattern without its wildcards may be invalid
        names = did_you_mean(error.pipe or full_name((error.subject or "").strip("*?")))
    return _hint([pasteable(name) for name in names], "pipectl list") if names else None


def _hint(names: Sequence[str] | None, see: str) -> str:
    """Return a hint that suggests similar names and a command that shows all of them."""
    question = f"Did you mean {' or '.join(f'`{name}`' for name in names)}? " if names else ""
    return f"{question}See `{see}`"


def _silence_stdout() -> None:
    """Redirect stdout to the null device, so that the interpreter's final flush does not fail."""
    with suppress(OSError):  # without a file behind it, there is nothing to flush to
        stdout = sys.stdout.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stdout)
        os.close(null)

"""`pipectl popen`: runs a command over anonymous pipes."""

from functools import partial

import click

from pipectl.options import Command, option, stdin, with_examples
from pipectl.options.types import DURATION, ENCODING
from pipectl.output import Output


class PopenCommand(Command):
    """Reports its own failures with exit codes that programs seldom use."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set these exit codes before anything can fail."""
        ctx.ensure_object(Output).runs_program = True
        return super().parse_args(ctx, args)


@with_examples(
    ("pipectl popen -- ipconfig /all", "Run a command without a window and pass on its output."),
    (
        "pipectl popen --merge-stderr --timeout 10 -- net start",
        "Merge stderr into stdout; kill the command and its children after 10 s.",
    ),
    ("pipectl popen --no-stdin --json -- cmd /c dir", "Give it an empty stdin and print each line as JSON."),
    cls=PopenCommand,
    context_settings={"allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- PROGRAM [ARGS]...")
@option("--no-stdin", is_flag=True, help="Give the command an empty stdin instead of pipectl's own.")
@option("--merge-stderr", is_flag=True, help="Merge the command's stderr into its stdout.")
@option(
    "--encoding",
    type=ENCODING,
    help="Encoding of the command's output, for display on a terminal and JSON.  [default: UTF-8; on a terminal also "
    "the console's code page]",
)
@option(
    "-t",
    "--timeout",
    type=DURATION,
    default="none",
    show_default=True,
    help="Kill the command and its children after this time.",
)
@click.pass_obj
def command(
    output: Output,
    /,
    arguments: tuple[str, ...],
    no_stdin: bool,
    merge_stderr: bool,
    encoding: str | None,
    timeout: float | None,
) -> int:
    """Run a command over anonymous pipes and stream its output.

    Runs PROGRAM directly, without a shell or a window. Passes stdin on to it, and its stdout and stderr back as they
    arrive; exits with its exit code. If pipectl fails, the exit code is 124 (timed out), 125 (other error), 126
    (PROGRAM cannot be run) or 127 (PROGRAM not found). Ctrl+C kills the command and its children.
    """
    from pipectl.core.children.child import Child
    from pipectl.output.programs import ProgramOutput

    passed_on = ProgramOutput(output, encoding)
    with Child(
        arguments,
        stdin=() if no_stdin else stdin.chunks(),
        on_stdout=partial(passed_on.write, "stdout"),
        on_stderr=None if merge_stderr else partial(passed_on.write, "stderr"),
    ) as child:
        exit_code = child.wait(timeout)
    stats = child.stats
    passed_on.finish(
        exit_code=exit_code,
        seconds=round(stats.seconds, 3),
        stdin_bytes=stats.stdin,
        stdout_bytes=stats.stdout,
        stderr_bytes=stats.stderr,
    )
    output.detail(
        f"exit code {exit_code} after {stats.seconds:.3f} s; {stats.stdin} bytes to stdin, {stats.stdout} from stdout, "
        f"{stats.stderr} from stderr"
    )
    return exit_code

"""`pipectl popen`: a command over anonymous pipes."""

from functools import partial

import click

from pipectl.options import option, stdin, with_examples
from pipectl.options.types import DURATION
from pipectl.output import Output


@with_examples(
    ("pipectl popen -- ipconfig /all", "Run a command without a window, and pass on what it writes."),
    (
        "pipectl popen --mode 4 --timeout 10 -- net start",
        "Put stderr into stdout; end it, and all it started, after 10 s.",
    ),
    ("pipectl popen --mode w -- sort /r < names.txt", "Feed a command from stdin."),
    context_settings={"allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- PROGRAM [ARGS]...")
@option(
    "-m",
    "--mode",
    type=click.Choice(["r", "w", "2", "3", "4"]),
    default="3",
    show_default=True,
    help="Connect its stdout (r), stdin (w), both (2), stderr apart too (3), or stderr into stdout (4).",
)
@option(
    "--timeout",
    type=DURATION,
    default="none",
    show_default=True,
    help="End it, and all that it started, after so long.",
)
@click.pass_obj
def command(output: Output, /, arguments: tuple[str, ...], mode: str, timeout: float | None) -> int:
    """Run a command over anonymous pipes, and stream what it writes.

    Runs PROGRAM itself, without a shell and without a window. Its stdout and stderr are passed on as they come, stdin
    is passed to it, and its exit code is this command's own. Ctrl+C ends it and all that it has started.
    """
    from pipectl.core.children.child import Child

    with Child(
        arguments,
        stdin=() if mode == "r" else stdin.chunks(),
        on_stdout=partial(output.data.stream, "stdout"),
        on_stderr=None if mode == "4" else partial(output.data.stream, "stderr"),
    ) as child:
        exit_code = child.wait(timeout)
    stats = child.stats
    output.data.summary(
        "exit",
        {
            "exit_code": exit_code,
            "seconds": round(stats.seconds, 3),
            "stdin_bytes": stats.stdin,
            "stdout_bytes": stats.stdout,
            "stderr_bytes": stats.stderr,
        },
    )
    output.detail(
        f"exit code {exit_code} after {stats.seconds:.3f} s; {stats.stdin} bytes to stdin, {stats.stdout} from stdout, "
        f"{stats.stderr} from stderr"
    )
    return exit_code

"""`pipectl wait`: waits until a pipe is free, exists, or is gone."""

import click

from pipectl.core.constants import Condition
from pipectl.core.deadline import Deadline, Stopwatch
from pipectl.options import option, with_examples
from pipectl.options.client import pipe_argument
from pipectl.options.types import DURATION, Word
from pipectl.output import Output

_STATES = {Condition.FREE: "become free", Condition.EXISTS: "appear", Condition.GONE: "disappear"}


@with_examples(
    ("pipectl wait svc --timeout 30", "Wait until the service has started and a client can connect."),
    ("pipectl wait svc --for exists --timeout 0", "Test whether the pipe exists: exit code 0 if it does, 6 if not."),
    ("pipectl wait svc --for gone --timeout none", "Wait until the service has stopped."),
)
@pipe_argument
@option(
    "--for",
    "condition",
    type=Word(Condition),
    default=Condition.FREE.value,
    show_default=True,
    help="Condition to wait for: an instance is free, the pipe exists, or the pipe is gone.",
)
@option(
    "-t",
    "--timeout",
    type=DURATION,
    default="5",
    show_default=True,
    help="Time limit (2.5, 500ms, 2m; 0 = do not wait; none = no limit).",
)
@click.pass_obj
def command(output: Output, /, pipe: str, condition: Condition, timeout: float | None) -> None:
    """Wait until a pipe is free, exists, or is gone.

    Also waits for a pipe that does not exist yet. Does not open the pipe, so another client may still connect first.
    Prints nothing without `-v` or `--json`. Exit code: 0 condition met, 6 timed out, 3 pipe not found (only when
    waiting for `free` with `--timeout 0`).
    """
    from pipectl.core.pipe.availability import wait_for

    watch = Stopwatch()
    with output.waiting(f"{pipe} to {_STATES[condition]}"):
        wait_for(pipe, condition, Deadline(timeout), absent_too=timeout != 0)
    seconds = watch.seconds
    if output.mode is None:
        output.detail(f"{pipe}: {condition}, after {round(seconds, 3):g} s")
    else:
        output.data.record({"pipe": pipe, "is": condition, "seconds": seconds})

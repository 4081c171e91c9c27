"""`pipectl wait`: until a pipe is free, exists, or is gone."""

import click

from pipectl.core.constants import Condition
from pipectl.core.deadline import Deadline, Stopwatch
from pipectl.options import option, with_examples
from pipectl.options.client import pipe_argument
from pipectl.options.types import DURATION, Word
from pipectl.output import Output

_STATES = {Condition.FREE: "free", Condition.EXISTS: "there", Condition.GONE: "gone"}


@with_examples(
    ("pipectl wait svc --timeout 30", "Wait until the service has started, and a client can connect."),
    ("pipectl wait svc --for exists --timeout 0", "Test whether the pipe exists: the exit code is 0 if it does."),
    ("pipectl wait svc --for gone --timeout none", "Wait until the service has ended."),
)
@pipe_argument
@option(
    "--for",
    "condition",
    type=Word(Condition),
    default=Condition.FREE.value,
    show_default=True,
    help="Wait until an instance is free, until the pipe exists, or until it is gone.",
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

    A pipe that does not exist yet is waited for too. Does not open the pipe, so that another client may still be
    quicker. Prints nothing without `-v` or `--json`; the exit code is 0 on success, 6 when the time is up, and 3 if
    the pipe did not exist, with `--timeout 0`.
    """
    from pipectl.core.pipe.availability import wait_for

    watch = Stopwatch()
    with output.waiting(f"{pipe} to be {_STATES[condition]}"):
        wait_for(pipe, condition, Deadline(timeout), absent_too=timeout != 0)
    seconds = watch.seconds
    if output.mode is None:
        output.detail(f"{pipe}: {condition}, after {round(seconds, 3):g} s")
    else:
        output.data.record({"pipe": pipe, "is": condition, "seconds": seconds})

"""`pipectl wait`: until a pipe is free, exists, or is gone."""

import click

from pipectl.core.constants import Condition
from pipectl.core.deadline import Deadline, Stopwatch
from pipectl.options import option, with_examples
from pipectl.options.client import pipe_argument
from pipectl.options.types import DURATION, Word
from pipectl.output import Output


@with_examples(
    ("pipectl wait svc", "Wait up to five seconds until a client could connect."),
    ("pipectl wait svc --for exists --timeout 30", "Wait until the service has made its pipe."),
    ("pipectl wait svc --for gone --timeout none", "Wait until the service has ended."),
)
@pipe_argument
@option(
    "--for",
    "condition",
    type=Word(Condition),
    default=Condition.FREE.value,
    show_default=True,
    help="Wait until an instance is free, until there is such a pipe, or until there is none.",
)
@option(
    "-t",
    "--timeout",
    type=DURATION,
    default="5",
    show_default=True,
    help="Give up after so long; 0 only asks, `none` waits for ever.",
)
@click.pass_obj
def command(output: Output, /, pipe: str, condition: Condition, timeout: float | None) -> None:
    """Wait until a pipe is free, exists, or is gone.

    Does not open the pipe, so that another client may still be quicker. For scripts: the exit code is 0 when it is so,
    3 if there is no such pipe to become free, 6 when the time is up.
    """
    from pipectl.core.pipe.availability import wait_for

    watch = Stopwatch()
    wait_for(pipe, condition, Deadline(timeout))
    seconds = watch.seconds
    if output.mode is None:
        output.note(f"{pipe}: {condition}, after {round(seconds, 3):g} s")
    else:
        output.data.record({"pipe": pipe, "is": condition, "seconds": seconds})

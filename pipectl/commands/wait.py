"""`pipectl wait`: until a pipe is free, exists, or is gone."""

import time

import click

from pipectl.options import option, with_examples
from pipectl.options.types import DURATION, pipe_argument
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
    type=click.Choice(["free", "exists", "gone"]),
    default="free",
    show_default=True,
    help="Wait until an instance is free, until there is such a pipe, or until there is none.",
)
@option(
    "--timeout",
    type=DURATION,
    default="5",
    show_default=True,
    help="Give up after so long; 0 only asks, `none` waits for ever.",
)
@click.pass_obj
def command(output: Output, /, pipe: str, condition: str, timeout: float | None) -> None:
    """Wait until a pipe is free, exists, or is gone.

    Does not open the pipe, so that another client may still be quicker. For scripts: the exit code is 0 when it is so,
    3 if there is no such pipe to become free, 6 when the time is up.
    """
    from pipectl.core.constants import Condition
    from pipectl.core.deadline import Deadline
    from pipectl.core.pipe.availability import wait_for

    begun = time.perf_counter()
    wait_for(pipe, Condition(condition), Deadline(timeout))
    seconds = round(time.perf_counter() - begun, 3)
    if output.mode is None:
        output.note(f"{pipe}: {condition}, after {seconds:g} s")
    else:
        output.record({"pipe": pipe, "is": condition, "seconds": seconds})

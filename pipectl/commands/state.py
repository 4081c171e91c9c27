"""`pipectl state`: shows or sets the read mode and wait mode of a pipe handle."""

import click

from pipectl.core.constants import ReadMode, WaitMode
from pipectl.options import option, with_examples
from pipectl.options.client import OpenOptions, pipe_argument
from pipectl.options.types import DURATION, SIZE, Word
from pipectl.output import Output

_SET = "Settings"


@with_examples(
    ("pipectl state svc", "Show a new client's read mode and wait mode, and the number of instances."),
    ("pipectl state svc --read-mode message", "Test whether a client can read whole messages."),
    ("pipectl state svc --wait-mode nowait --json", "Set the wait mode and print the state before and after."),
    groups={"opening": OpenOptions},
)
@pipe_argument
@option("--read-mode", type=Word(ReadMode), section=_SET, help="Read whole messages or bytes.")
@option("--wait-mode", type=Word(WaitMode), section=_SET, help="Let reads and writes block, or return immediately.")
@option("--collect-count", type=SIZE, section=_SET, help="Bytes to collect before sending; remote pipes only.")
@option(
    "--collect-timeout",
    type=DURATION,
    section=_SET,
    help="Longest time to collect data before sending; remote pipes only.",
)
@click.pass_obj
def command(
    output: Output,
    /,
    pipe: str,
    opening: OpenOptions,
    read_mode: ReadMode | None,
    wait_mode: WaitMode | None,
    collect_count: int | None,
    collect_timeout: float | None,
) -> None:
    """Show or set the read mode and wait mode of a pipe handle.

    Opens the pipe for a moment, which uses one instance. The state belongs to this command's own handle: setting it
    shows what the pipe allows, and does not affect other clients.
    """
    from pipectl.core.inventory.details import change_state, handle_state
    from pipectl.core.pipe.connection import TO_ASK, TO_SET, open_pipe

    is_set = (read_mode, wait_mode, collect_count, collect_timeout) != (None, None, None, None)
    access = TO_SET if is_set else TO_ASK
    with (
        output.waiting(f"a free instance of {pipe}"),
        open_pipe(pipe, opening.timeout, access=access, **opening.opening()) as handle,
    ):
        before = handle_state(handle)
        if not is_set:
            output.data.record({"pipe": pipe, **before})
            return
        change_state(
            handle,
            read_mode=read_mode,
            wait_mode=wait_mode,
            collect_count=collect_count,
            collect_timeout=collect_timeout,
        )
        after = handle_state(handle)
    output.data.change({"pipe": pipe}, before, after)

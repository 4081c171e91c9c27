"""`pipectl state`: how a handle on a pipe reads and waits, and setting it."""

import click

from pipectl.core.constants import ReadMode, WaitMode
from pipectl.options import option, with_examples
from pipectl.options.client import OpenOptions, pipe_argument
from pipectl.options.types import DURATION, SIZE, Word
from pipectl.output import Output

_SET = "What is set"


@with_examples(
    ("pipectl state svc", "See how a new client's handle reads and waits, and how many instances there are."),
    ("pipectl state svc --read-mode message", "See whether the pipe lets a client read messages."),
    ("pipectl state svc --wait-mode nowait --json", "Set the wait mode, and print the state before and after."),
    groups={"opening": OpenOptions},
)
@pipe_argument
@option("--read-mode", type=Word(ReadMode), section=_SET, help="Read messages, or bytes.")
@option("--wait-mode", type=Word(WaitMode), section=_SET, help="Block, or return at once.")
@option("--collect-count", type=SIZE, section=_SET, help="Collect this many bytes before sending; remote pipes only.")
@option("--collect-timeout", type=DURATION, section=_SET, help="Collect for at most this time; remote pipes only.")
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
    """Show how a handle on a pipe reads and waits, and set it.

    Opens the pipe: it takes one instance while it looks. A state belongs to one handle, this command's own: setting it
    tries what the pipe allows, and changes nothing for others.
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

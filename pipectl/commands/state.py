"""`pipectl state`: how a handle on a pipe reads and waits, and setting it."""

from typing import Any

import click

from pipectl.options import option, with_examples
from pipectl.options.client import Opening, opening
from pipectl.options.types import DURATION, SIZE, pipe_argument
from pipectl.output import Output

_SET = "What is set"


@with_examples(
    ("pipectl state svc", "See how a new client's handle reads and waits, and how many instances there are."),
    ("pipectl state svc --read-mode message", "See whether the pipe lets a client read messages."),
    ("pipectl state svc --wait-mode nowait --json", "Set the wait mode, and print the state before and after."),
)
@pipe_argument
@option("--read-mode", type=click.Choice(["message", "byte"]), section=_SET, help="Read messages, or bytes.")
@option("--wait-mode", type=click.Choice(["wait", "nowait"]), section=_SET, help="Block, or return at once.")
@option("--collect-count", type=SIZE, section=_SET, help="Collect so much before sending; remote pipes alone.")
@option("--collect-timeout", type=DURATION, section=_SET, help="Collect for so long at most; remote pipes alone.")
@opening
@click.pass_obj
def command(output: Output, /, pipe: str, opening: Opening, **wanted: Any) -> None:
    """Show how a handle on a pipe reads and waits, and set it.

    Opens the pipe: it takes one instance while it looks. A state belongs to one handle, this command's own: setting it
    tries what the pipe allows, and changes nothing for others.
    """
    from pipectl.core.inventory.details import change_state, handle_state

    with opening.handle(pipe) as handle:
        before = handle_state(handle)
        change_state(handle, **wanted)
        after = handle_state(handle)
    if after != before or any(value is not None for value in wanted.values()):
        output.change({"pipe": pipe}, before, after)
    else:
        output.record({"pipe": pipe, **before})

"""`pipectl info`: all that can be known of a pipe."""

import click

from pipectl.options import option, with_examples
from pipectl.options.client import OpenOptions, pipe_argument
from pipectl.output import Output


@with_examples(
    ("pipectl info svc", "See a pipe's type, instances, server and access list."),
    ("pipectl info svc --no-open", "See what can be known without opening it."),
    ("pipectl info svc --json", "Print it all as one JSON object."),
    groups={"opening": OpenOptions},
)
@pipe_argument
@option("--no-open", is_flag=True, help="Do not open the pipe: tell only what its directory says.")
@click.pass_obj
def command(output: Output, /, pipe: str, no_open: bool, opening: OpenOptions) -> None:
    """Show how a pipe was made, who serves it, and who may open it.

    Opens the pipe: it takes one instance while it looks, which can end a server that serves only one client;
    `--no-open` does not. What this user, or this system, cannot know is left out.
    """
    from pipectl.core.inventory.details import glance, inspect
    from pipectl.core.pipe.connection import TO_ASK, open_pipe

    if no_open:
        output.data.record(glance(pipe))
        return
    with open_pipe(pipe, opening.timeout, access=TO_ASK, **opening.opening()) as handle:
        facts = inspect(handle)
    output.data.record(facts)

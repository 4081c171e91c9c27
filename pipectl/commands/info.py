"""`pipectl info`: shows a pipe's properties, server and access."""

from typing import TYPE_CHECKING

import click

from pipectl.options import option, with_examples
from pipectl.options.client import OpenOptions, pipe_argument
from pipectl.output import Output

if TYPE_CHECKING:
    from pipectl.output import Record


@with_examples(
    ("pipectl info svc", "Show a pipe's server, type, instances and ACL."),
    ("pipectl info svc --no-open", "Show what is known without opening it."),
    ("pipectl info svc --json", "Print everything as one JSON object."),
    groups={"opening": OpenOptions},
)
@pipe_argument
@option("--no-open", is_flag=True, help="Do not open the pipe; show only what the directory of pipes contains.")
@click.pass_obj
def command(output: Output, /, pipe: str, no_open: bool, opening: OpenOptions) -> None:
    """Show a pipe's type and limits, its server process, and who may open it.

    Opens the pipe for a moment, which uses one instance and can end a server that serves only one client; use
    `--no-open` to avoid that. Facts that this user or system cannot obtain are omitted. Shows the most important facts;
    `-v` and `--json` show all.
    """
    from pipectl.core.inventory.details import glance, inspect
    from pipectl.core.pipe.connection import TO_ASK, open_pipe

    if no_open:
        output.data.record(glance(pipe))
        return
    with (
        output.waiting(f"a free instance of {pipe}"),
        open_pipe(pipe, opening.timeout, access=TO_ASK, **opening.opening()) as handle,
    ):
        facts = inspect(handle)
    output.data.record(facts if output.is_json or output.verbosity else _first(facts))


def _first(facts: "Record") -> "Record":
    """Return the most important facts: who serves the pipe, its type and limits, and who may open it."""
    server = {name: value for name, value in (facts.get("server") or {}).items() if name != "session"}
    made = {name: facts.get(name) for name in ("type", "direction", "instances", "max_instances", "unlimited")}
    access = (facts.get("security") or {}).get("access")
    return {
        "pipe": facts.get("pipe"),
        "server": server,
        **{name: value for name, value in made.items() if value is not None},
        # Only if true: Microsoft does not document how a pipe that accepts remote clients reports it.
        "rejects_remote": facts.get("rejects_remote") or None,
        "access": access,
        "you_may": facts.get("you_may"),
    }

"""`pipectl info`: all that can be known of a pipe."""

from typing import TYPE_CHECKING

import click

from pipectl.options import option, with_examples
from pipectl.options.client import OpenOptions, pipe_argument
from pipectl.output import Output

if TYPE_CHECKING:
    from pipectl.output import Record


@with_examples(
    ("pipectl info svc", "See a pipe's server, type, instances and access list."),
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
    `--no-open` does not. What this user, or this system, cannot know is left out. Shows the most important
    facts, and all of them with `-v` or `--json`.
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
    """Return what most people ask: who serves the pipe, how it was made, and who may open it."""
    server = {name: value for name, value in (facts.get("server") or {}).items() if name != "session"}
    made = {name: facts.get(name) for name in ("type", "direction", "instances", "max_instances", "unlimited")}
    access = (facts.get("security") or {}).get("access")
    return {
        "pipe": facts.get("pipe"),
        "server": server,
        **{name: value for name, value in made.items() if value is not None},
        # Only if it is said: Microsoft does not document that a pipe that does not reject them says so.
        "rejects_remote": facts.get("rejects_remote") or None,
        "access": access,
        "you_may": facts.get("you_may"),
    }

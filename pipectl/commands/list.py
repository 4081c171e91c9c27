"""`pipectl list`: the pipes there are."""

import click

from pipectl.options import option, with_examples
from pipectl.output import Output
from pipectl.output.text import counted


@with_examples(
    ("pipectl list", "See all pipes of this computer."),
    ('pipectl list "*docker*" --sort instances', "See the pipes whose name has docker in it, the busiest first."),
    ("pipectl list --json", "Print an object for each pipe."),
)
@click.argument("glob", default="*", help="A name in which `*` and `?` stand for what you do not know.")
@option(
    "--sort",
    type=click.Choice(["name", "instances"]),
    default="name",
    show_default=True,
    help="Put them in the order of their names, or the busiest first.",
)
@click.pass_obj
def command(output: Output, /, glob: str, sort: str) -> None:
    """List the pipes of this computer, with their instances.

    Opens no pipe: it reads the directory of pipes. `pid hint` is the process that a name speaks of, and may be wrong.
    """
    from pipectl.core.inventory.details import listing
    from pipectl.core.inventory.directory import list_pipes, matching, sorted_by

    records = [listing(entry) for entry in sorted_by(sort, matching(glob, list_pipes()))]
    columns = ("name", "instances", "max_instances", "pid_hint")
    output.data.records(records, columns, title=counted(len(records), "pipe"))

"""`pipectl list`: the pipes there are."""

import click

from pipectl.options import option, with_examples
from pipectl.output import Output
from pipectl.output.text import counted


@with_examples(
    ("pipectl list", "See all pipes of this computer."),
    ("pipectl list docker --sort instances", "List the pipes whose name contains docker, the busiest first."),
    ("pipectl list --json", "Print an object for each pipe."),
)
@click.argument(
    "glob",
    default="*",
    metavar="[PATTERN]",
    help="A part of the name, or the whole name with `*` and `?` as wildcards.",
)
@option(
    "--sort",
    type=click.Choice(["name", "instances"]),
    default="name",
    show_default=True,
    help="Sort by name, or by number of instances (highest first).",
)
@click.pass_obj
def command(output: Output, /, glob: str, sort: str) -> None:
    """List the pipes of this computer, with their instances.

    Opens no pipe: it reads the directory of pipes. `pid hint` is a process id guessed from the name; it may be wrong.
    If no pipe matches, the exit code is 3.
    """
    from pipectl.core.inventory.details import listing
    from pipectl.core.inventory.directory import list_pipes, some_matching, sorted_by

    records = [listing(entry) for entry in sorted_by(sort, some_matching(glob, list_pipes()))]
    columns = ("name", "instances", "max_instances", "pid_hint")
    output.data.records(records, columns, title=counted(len(records), "pipe"))

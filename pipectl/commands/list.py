"""`pipectl list`: lists the pipes on this computer."""

from typing import TYPE_CHECKING, Any

import click

from pipectl.options import option, with_examples
from pipectl.output import Output
from pipectl.output.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

# Time limit in seconds for finding servers.
_SEARCH = 2.0


@with_examples(
    ("pipectl list", "List all pipes on this computer."),
    ("pipectl list docker --sort instances", "List the pipes whose name contains docker, most instances first."),
    ("pipectl list --json", "Print one JSON object per pipe."),
)
@click.argument(
    "glob",
    default="*",
    metavar="[PATTERN]",
    help="Part of a name, or a pattern for the whole name with the wildcards * and ?.",
)
@option(
    "--sort",
    type=click.Choice(["name", "instances"]),
    default="name",
    show_default=True,
    help="Sort by name, or by number of instances (highest first).",
)
@option("--pid", type=click.IntRange(0), metavar="PID", help="Only pipes that this process serves.")
@option("--exe", metavar="PROGRAM", help="Only pipes that this program serves: a file name or a full path.")
@click.pass_obj
def command(output: Output, /, glob: str, sort: str, pid: int | None, exe: str | None) -> None:
    """List the named pipes on this computer and their instances.

    Opens no pipe: it reads the directory of pipes, and finds servers by the handles of the processes that this user may
    inspect. If the directory cannot be read, only pipes found by handles are listed, and some may be missing. `pid
    hint` is a process id guessed from the name; it may be wrong. If no pipe matches, the exit code is 3.
    """
    from pipectl.core.inventory.catalog import catalog
    from pipectl.core.inventory.directory import some_matching, sorted_by

    pipes = catalog(_SEARCH, pid=pid, exe=exe)
    records = [pipes.record(entry) for entry in sorted_by(sort, some_matching(glob, pipes.entries))]
    if not output.is_json:
        records = [{**record, "server": _servers(record)} for record in records]
    server = ("server",) if any(record["servers"] for record in records) else ()
    columns = ("name", "instances", "max_instances", "pid_hint", *server)
    output.data.records(records, columns, title=counted(len(records), "pipe"))
    if pipes.by_handles is not None:
        output.note(
            "the directory of pipes cannot be read: these were found by the handles of "
            f"{pipes.by_handles} processes, and some may be missing"
        )


def _servers(record: "Mapping[str, Any]") -> str | None:
    """Return the servers of a pipe as text, such as `1234 svc.exe`."""
    found = (
        " ".join(filter(None, (str(server["pid"]), server.get("image", "").rpartition("\\")[2])))
        for server in record["servers"]
    )
    return ", ".join(found) or None

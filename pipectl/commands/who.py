"""`pipectl who`: which processes hold the ends of pipes."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from pipectl.core.names import short
from pipectl.options import option, with_examples
from pipectl.options.types import DURATION
from pipectl.output import Output
from pipectl.output.text import counted

_ENDS = {"server": True, "client": False, "all": None}
_COLUMNS = ("pipe", "end", "pid", "program", "user", "session", "state", "unread", "note")
# Left out where nothing stands in them: all columns take more than most terminals have.
_RARE = ("session", "unread", "note")


@with_examples(
    ("pipectl who svc", "See the server of a pipe, and its clients."),
    ("pipectl who svc --ends server", "See who serves a pipe, without its clients."),
    ("pipectl who svc --json", "Print an object for each pipe, with all its ends."),
)
@click.argument("pattern", default="*", help="The name of a pipe, a part of it, or a pattern with `*` and `?`.")
@option("--pid", type=click.IntRange(0), metavar="PID", help="Only pipes that this process has an end of.")
@option("--exe", metavar="PROGRAM", help="Only pipes that this program, a file name or a path, has an end of.")
@option("--user", metavar="USER", help="Only pipes that a process of this user has an end of.")
@option("--ends", type=click.Choice(list(_ENDS)), default="all", show_default=True, help="Only these ends.")
@option(
    "--open",
    "opens",
    is_flag=True,
    help="Open a pipe whose server is not found, and ask it: this takes one of its instances.",
)
@option(
    "--all",
    "every_process",
    is_flag=True,
    help="Also look into processes that Windows protects, such as lsass.exe; security software may report it.",
)
@option(
    "--timeout",
    type=DURATION,
    default="5",
    show_default=True,
    help="Time limit for the whole operation; `none` is no limit.",
)
@click.pass_obj
def command(
    output: Output,
    /,
    pattern: str,
    ends: str,
    opens: bool,
    every_process: bool,
    timeout: float | None,
    **process: Any,
) -> None:
    """Show which processes hold a pipe's ends: its server and its clients.

    Opens no pipe, unless `--open` says so, and disturbs no process: it looks at the handles of all processes that this
    user may look into. Each end also names the process at the other one. Exit code 10 means that an instance, or a
    process that holds one, was not found; an administrator sees more. 3 means that there is no such pipe or process.
    """
    from pipectl.core.inventory.who import Wanted, who

    wanted = Wanted(pattern, is_server=_ENDS[ends], **process)
    found = who(wanted, timeout, opens=opens, every_process=every_process)
    if output.is_json:
        output.data.records(found.records, ())
    else:
        rows = [row for record in found.records for row in _rows(record)]
        if not output.verbosity:
            rows = [{**row, "session": None} for row in rows]
        columns = [column for column in _COLUMNS if column not in _RARE or any(row.get(column) for row in rows)]
        output.data.records(rows, columns, title=counted(len(found.records), "pipe"))
        for record in found.records:
            for text in _warnings(record):
                output.warning(text)
        if found.shortfall is None and len(found.records) == 1:
            output.note(f"all instances found ({found.records[0]['instances']})")
    if found.shortfall is not None:
        raise found.shortfall


def _rows(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row for each end; one without an end for a pipe of which none is known."""
    if not record["ends"]:
        hint = record["pid_hint"]
        note = f"no end is found; the name speaks of process {hint}" if hint else "no end is found"
        yield {"pipe": short(record["pipe"]), "note": note}
    for end in record["ends"]:
        process = end["process"]
        services = f" ({', '.join(process['services'])})" if "services" in process else ""
        image = process.get("image")
        program = image and image.rpartition("\\")[2] + services
        yield {**end, **process, "pipe": short(record["pipe"]), "program": program, "note": _note(end)}


def _note(end: Mapping[str, Any]) -> str | None:
    if "computer" in end:
        return f"from \\\\{end['computer']}"
    if end["source"] != "handle":
        return "told by the other end" if end["source"] == "peer" else "told by the pipe"
    opener = end.get("opened_by")
    return f"opened by {opener}" if opener not in (None, end["process"]["pid"]) else None


def _warnings(record: Mapping[str, Any]) -> Iterator[str]:
    for warning in record["warnings"]:
        if warning["kind"] == "server-ended":
            keepers = " and ".join(map(str, warning["held_by"]))
            child = "its child " if warning["by_children"] else "process "
            yield (
                f"{record['pipe']}: its server, process {warning['pid']}, has ended, and {child}{keepers} keeps it: "
                "clients connect, and nobody answers"
            )
        else:
            pids = " and ".join(map(str, warning["pids"]))
            if warning["programs_differ"]:
                yield f"{record['pipe']}: different programs serve this name, processes {pids}"
            else:
                yield f"{record['pipe']}: processes {pids} serve this name"

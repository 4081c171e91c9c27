"""`pipectl who`: shows which processes have pipes open."""

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
# Left out if they are empty: all columns together are wider than most terminals.
_RARE = ("session", "unread", "note")


@with_examples(
    ("pipectl who svc", "Show the server of a pipe and its clients."),
    ("pipectl who svc --ends server", "Show which process serves a pipe."),
    ("pipectl who svc --json", "Print one JSON object per pipe, with all its ends."),
)
@click.argument("pattern", default="*", help="The name of a pipe, a part of it, or a pattern with * and ?.")
@option("--pid", type=click.IntRange(0), metavar="PID", help="Only pipes that this process has open.")
@option("--exe", metavar="PROGRAM", help="Only pipes that this program has open: a file name or a full path.")
@option("--user", metavar="USER", help="Only pipes that a process of this user has open.")
@option("--ends", type=click.Choice(list(_ENDS)), default="all", show_default=True, help="Which ends to show.")
@option(
    "--open",
    "opens",
    is_flag=True,
    help="If the server of a pipe is not found, open the pipe and query it: this uses one of its instances.",
)
@option(
    "--all",
    "every_process",
    is_flag=True,
    help="Also inspect processes that Windows protects, such as lsass.exe; security software may report this.",
)
@option(
    "--timeout",
    type=DURATION,
    default="5",
    show_default=True,
    help="Time limit for the whole operation (2.5, 500ms, 2m; none = no limit).",
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
    """Show which processes have a pipe open: its server and its clients.

    Opens no pipe (except with `--open`) and does not disturb any process: it examines the handles of all processes that
    this user may inspect. Each end also names the process at the other end. Exit code 3 means that the pipe or process
    was not found; 10 that the result is incomplete: an instance, or a process that has it open, was not found. An
    elevated prompt sees more.
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
    """Yield one row per end, or one row without a process if no end of the pipe is known."""
    if not record["ends"]:
        hint = record["pid_hint"]
        note = f"no process found; the name suggests process {hint}" if hint else "no process found"
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
        return "reported by peer" if end["source"] == "peer" else "reported by pipe"
    opener = end.get("opened_by")
    return f"opened by {opener}" if opener not in (None, end["process"]["pid"]) else None


def _warnings(record: Mapping[str, Any]) -> Iterator[str]:
    for warning in record["warnings"]:
        if warning["kind"] == "server-ended":
            keepers = " and ".join(map(str, warning["held_by"]))
            child = "its child " if warning["by_children"] else "process "
            yield (
                f"{record['pipe']}: its server, process {warning['pid']}, has exited, but {child}{keepers} keeps the "
                "pipe open: clients can connect, but get no reply"
            )
        else:
            pids = " and ".join(map(str, warning["pids"]))
            if warning["programs_differ"]:
                yield f"{record['pipe']}: different programs serve this name, processes {pids}"
            else:
                yield f"{record['pipe']}: processes {pids} serve this name"

"""`pipectl watch`: shows pipes as they appear and disappear."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import click

from pipectl.core.names import short
from pipectl.options import option, with_examples
from pipectl.options.types import DURATION
from pipectl.output import Output
from pipectl.output.text import counted

# Seconds; polling more often would cause noticeable load.
_SHORTEST = 0.01


@with_examples(
    ("pipectl watch", "Show pipes as they appear and disappear, until Ctrl+C."),
    ("pipectl watch svc --who", "Show when a pipe appears, changes and disappears, and which process serves it."),
    ("pipectl watch --initial --json", "Print one JSON object per existing pipe, then one per change."),
)
@click.argument("pattern", default="*", help="The name of a pipe, with the wildcards * and ?.")
@option("--interval", type=DURATION, default="0.25", show_default=True, help="Time between two checks.")
@option("--who", "with_servers", is_flag=True, help="Also show which processes serve the pipe.")
@option("--initial", is_flag=True, help="Also show the pipes that exist at the start.")
@option("--count", type=click.IntRange(1), metavar="N", help="Exit after N events.")
@option(
    "--timeout",
    type=DURATION,
    default="none",
    show_default=True,
    help="Exit after this time, with exit code 6 (2.5, 500ms, 2m; none = no limit).",
)
@click.pass_obj
def command(
    output: Output,
    /,
    pattern: str,
    interval: float | None,
    with_servers: bool,
    initial: bool,
    count: int | None,
    timeout: float | None,
) -> None:
    """Show pipes as they appear and disappear, and how their instances change.

    Opens no pipe: it polls the directory of pipes, and may miss a pipe that exists for less than `--interval`. If a
    name disappears and comes back, the length of the gap is shown: another program could have claimed the name during
    that time. If the directory cannot be read, it polls the handles of processes. Sysmon events 17 and 18 record every
    pipe, however short-lived.
    """
    from pipectl.core.inventory.watch import Watch

    if interval is None or interval < _SHORTEST:
        raise click.BadParameter(f"must be at least {_SHORTEST:g} seconds", param_hint="--interval")
    watch = Watch(pattern, with_servers=with_servers)
    if watch.by_handles:
        output.note("the directory of pipes cannot be read: watching the handles of processes; some may be missing")
    events = (record for record in watch.changes(interval, timeout) if initial or record["event"] != "present")
    for record in islice(events, count):
        output.data.event(record, _line(record))


def _line(record: Mapping[str, Any]) -> str:
    """Return an event as one line of text."""
    clock = record["time"].partition("T")[2][:12]
    return "  ".join([clock, f"{record['event']:9}", short(record["pipe"]), *_details(record)])


def _details(record: Mapping[str, Any]) -> list[str]:
    details = []
    if record["instances"] is not None:
        was = f", was {record['was']}" if record["was"] is not None else ""
        details.append(f"{counted(record['instances'], 'instance')}{was}")
    if record["servers"]:
        details.append(", ".join(_program(server) for server in record["servers"]))
    if record["lived"] is not None:
        details.append(f"after {record['lived']:g} s")
    if record["gap"] is not None:
        details.append(f"the name was free for {record['gap']:g} s")
    return details


def _program(server: Mapping[str, Any]) -> str:
    return f"{server['pid']} {server.get('image', '').rpartition(chr(92))[2]}".rstrip()

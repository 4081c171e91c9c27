"""`pipectl transact`: one connection, many requests."""

import time
from typing import TYPE_CHECKING

import click

from pipectl.options import stdin, with_examples
from pipectl.options.client import Connecting, connecting
from pipectl.options.payload import Written, showing, written
from pipectl.options.types import pipe_argument
from pipectl.output import Output, Show

if TYPE_CHECKING:
    from collections.abc import Iterable


@with_examples(
    ("pipectl transact svc hello status quit", "Send three requests over one connection, each after the last reply."),
    ("pipectl transact svc --json < requests.txt", "Send each line of a file; print one object for each exchange."),
    ("pipectl transact svc --as text -v one two", "Print each reply on a line, and each one's time on stderr."),
)
@pipe_argument
@click.argument("data", nargs=-1, help="The requests; without them, each line of stdin is one.")
@showing
@written
@connecting
@click.pass_obj
def command(
    output: Output, /, pipe: str, data: tuple[str, ...], show: Show, written: Written, connecting: Connecting
) -> None:
    """Send many requests to a pipe over one connection, and print each reply.

    Opens the pipe: it takes one instance until the last reply. Lines of stdin are sent as they come. `--timeout` bounds
    connecting, and each exchange. If one fails, the replies before it stand, and the exit code is 10.
    """
    requests: Iterable[bytes] = map(written.encode, data) if data else map(written.line, stdin.lines())
    with connecting.open(pipe, connecting.deadline()) as connection:
        for number, request in enumerate(requests, 1):
            begun = time.perf_counter()
            reply = connection.ask(request, connecting.until, connecting.deadline())
            milliseconds = round((time.perf_counter() - begun) * 1000, 3)
            facts = {"pipe": pipe, "exchange": number, "sent": len(request), "ended_by": reply.ended_by}
            output.payload(reply.data, show, {**facts, "ms": milliseconds})
            output.is_partial = True
            output.detail(f"{number}: {len(request)} bytes sent, {len(reply.data)} received in {milliseconds:.1f} ms")

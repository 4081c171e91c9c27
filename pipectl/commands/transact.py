"""`pipectl transact`: one connection, many requests."""

from typing import TYPE_CHECKING

import click

from pipectl.core.deadline import Deadline
from pipectl.options import stdin, with_examples
from pipectl.options.client import RequestOptions, pipe_argument
from pipectl.options.payload import PayloadFormat, Separator, ViewOptions
from pipectl.output import Form, Mode, Output, View

if TYPE_CHECKING:
    from collections.abc import Iterable


@with_examples(
    ("pipectl transact svc hello status quit", "Send three requests over one connection, each after the last reply."),
    ("pipectl transact svc --json < requests.txt", "Send each line of a file; print one object for each exchange."),
    ("pipectl transact svc -v one two", "Print each reply on a line, and each one's time on stderr."),
    groups={
        "view": ViewOptions,
        "written": PayloadFormat,
        "separator": Separator,
        "request": RequestOptions,
    },
)
@pipe_argument
@click.argument("data", nargs=-1, help="The requests; without them, each line of stdin is one.")
@click.pass_obj
def command(
    output: Output,
    /,
    pipe: str,
    data: tuple[str, ...],
    view: View,
    written: PayloadFormat,
    request: RequestOptions,
    separator: Separator,
) -> None:
    """Send many requests to a pipe over one connection, and print each reply.

    Opens the pipe: it takes one instance until the last reply. Lines of stdin are sent as they come. `--timeout` limits
    connecting, and each exchange. If one fails, the replies before it stand, and the exit code is 10. Each reply ends
    with a line feed, unless raw bytes are asked for; a reply that contains one is told apart with `--json`.
    """
    from pipectl.core.pipe.connection import connect
    from pipectl.core.pipe.exchanges import exchanges

    is_raw = view.form is Form.RAW or output.mode is Mode.RAW
    timeout = request.open.timeout
    written_requests: Iterable[bytes] = map(written.encode, data) if data else map(written.convert, stdin.lines())
    requests = map(request.checked, written_requests)
    with output.waiting(f"a free instance of {pipe}"):
        connection = connect(pipe, Deadline(timeout), max_message=request.max_message, **request.open.opening())
    with connection:
        replies = exchanges(connection, requests, request.until, timeout, is_framed=request.is_framed)
        for number, sent, reply, seconds in replies:
            facts = {"pipe": pipe, "exchange": number, "sent": len(sent), "ended_by": reply.ended_by}
            output.detail(f"{number}: {len(sent)} bytes sent, {len(reply.data)} received in {seconds * 1000:.1f} ms")
            end = separator.after(reply.data, is_raw=is_raw)
            output.data.payload(reply.data, view, {**facts, "seconds": seconds}, end=end)

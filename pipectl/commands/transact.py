"""`pipectl transact`: sends several requests over one connection."""

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
    ("pipectl transact svc hello status quit", "Send three requests, each after the previous reply."),
    ("pipectl transact svc --json hello status", "Print one JSON object per exchange."),
    ("pipectl transact svc -v one two", "Print each reply on a line, and the time it took on stderr."),
    groups={
        "view": ViewOptions,
        "written": PayloadFormat,
        "separator": Separator,
        "request": RequestOptions,
    },
)
@pipe_argument
@click.argument("data", nargs=-1, help="The requests. If there are none, each line of stdin is a request.")
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
    """Send several requests over one connection and print each reply.

    Opens the pipe, which uses one instance until the last reply. Lines of stdin are sent as they arrive. `--timeout`
    limits connecting and each exchange. If an exchange fails after others succeeded, their replies are printed and the
    exit code is 10. Each reply ends with a line feed, except with `--as raw`; use `--json` if replies can contain line
    feeds.
    """
    from pipectl.core.pipe.connection import connect
    from pipectl.core.pipe.exchanges import exchanges

    is_raw = view.form is Form.RAW or output.mode is Mode.RAW
    timeout = request.open.timeout
    written_requests: Iterable[bytes] = map(written.encode, data) if data else map(written.convert, stdin.lines())
    requests = map(request.checked, written_requests)
    decoder = request.codec.decoder(output, view)
    until = request.until or (decoder.rule if decoder else None)
    if decoder is not None:
        requests = map(decoder.request, requests)
    with output.waiting(f"a free instance of {pipe}"):
        connection = connect(pipe, Deadline(timeout), max_message=request.max_message, **request.open.opening())
    with connection:
        replies = exchanges(connection, requests, until, timeout, is_framed=request.is_framed)
        for number, sent, reply, seconds in replies:
            facts = {"pipe": pipe, "exchange": number, "sent": len(sent), "ended_by": reply.ended_by}
            output.detail(f"{number}: {len(sent)} bytes sent, {len(reply.data)} received in {seconds * 1000:.1f} ms")
            if decoder is not None:
                decoder.show_reply(sent, reply.data, {**facts, "seconds": seconds}, was_split=until is decoder.rule)
                continue
            end = separator.after(reply.data, is_raw=is_raw)
            output.data.payload(reply.data, view, {**facts, "seconds": seconds}, end=end)

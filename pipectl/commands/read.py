"""`pipectl read`: prints what a server sends, as it arrives."""

import click

from pipectl.core.constants import Access
from pipectl.core.deadline import Deadline
from pipectl.options import REPLY, option, with_examples
from pipectl.options.client import ReadOptions, pipe_argument
from pipectl.options.payload import Separator, ViewOptions
from pipectl.output import Form, Mode, Output, View


@with_examples(
    ("pipectl read svc --count 1", "Print the first message, or exit with code 6 after 5 seconds."),
    ("pipectl read svc --until line --duration 2", "Print what arrives within two seconds, line by line."),
    ("pipectl read svc --count 1 --json --as hex", "Print one message with its time, as JSON."),
    groups={"view": ViewOptions, "separator": Separator, "reading": ReadOptions},
)
@pipe_argument
@option("-n", "--count", type=click.IntRange(1), metavar="N", section=REPLY, help="Exit after N messages.")
@click.pass_obj
def command(
    output: Output, /, pipe: str, view: View, separator: Separator, reading: ReadOptions, count: int | None
) -> None:
    """Receive from a pipe and print the data as it arrives.

    Opens the pipe for reading only, so it also works on a pipe on which only the server sends. Uses one instance until
    the command exits. A line feed follows each message, except with `--as raw`. On a byte pipe without `--until` or
    `--frame`, the bytes are printed as they arrive.
    """
    from pipectl.core.pipe.connection import connect
    from pipectl.core.pipe.lifetime import ServerLifetime
    from pipectl.core.traffic.streams import received
    from pipectl.output.conversation import Messages

    opening = Deadline(reading.open.timeout)
    with output.waiting(f"a free instance of {pipe}"):
        connection = connect(
            pipe, opening, access=Access.GENERIC_READ, max_message=reading.max_message, **reading.open.opening()
        )
    with connection, ServerLifetime(connection.handle) as server:
        deadline = Deadline(reading.duration) if count is None else opening
        is_stream = reading.until is None and not connection.is_message
        is_raw = is_stream or view.form is Form.RAW or output.mode is Mode.RAW
        decoder = reading.codec.decoder(output, view, is_reply=False)
        until = reading.until or (decoder.rule if decoder else None)
        messages = received(connection, until, is_framed=reading.is_framed, count=count, timeout=deadline)
        shown = Messages(output, pipe, view, lambda data: separator.after(data, is_raw=is_raw), decoder)
        for data in messages:
            shown.show(data)
        if count is None and not deadline.passed:
            server.check(connection.pipe)

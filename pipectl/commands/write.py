"""`pipectl write`: sends data without waiting for a reply."""

from typing import TYPE_CHECKING

import click

from pipectl.core.constants import Access
from pipectl.core.deadline import Deadline, Stopwatch
from pipectl.options import SENT, option, with_examples
from pipectl.options.client import OpenOptions, framed, pipe_argument
from pipectl.options.payload import EncodingOption, Payload
from pipectl.options.types import FRAMING
from pipectl.output import Output

if TYPE_CHECKING:
    from pipectl.core.pipe.frames import Framing


@with_examples(
    ("pipectl write svc hello", "Send `hello`, and disconnect."),
    ("pipectl write svc hello --flush", "Send `hello`, and wait until the server has read it."),
    ("pipectl write svc reload --newline --json", "Send a line, and print the time it took as JSON."),
    groups={"encoding": EncodingOption, "payload": Payload, "opening": OpenOptions},
)
@pipe_argument
@option("--frame", type=FRAMING, section=SENT, help="Send a frame of this rule: `pipectl help framing` lists them.")
@option("--flush", is_flag=True, section=SENT, help="Wait until the server has read everything.")
@click.pass_obj
def command(
    output: Output,
    /,
    pipe: str,
    payload: bytes,
    encoding: str,
    opening: OpenOptions,
    frame: "Framing | None",
    flush: bool,
) -> None:
    """Send data to a pipe without waiting for a reply.

    Opens the pipe for writing only, so it also works on a pipe on which only clients send. Uses one instance, and
    disconnects when the data is in the pipe's buffer, or with `--flush` when the server has read it. On a message pipe
    the data is one message.
    """
    from pipectl.core.pipe.connection import connect
    from pipectl.core.traffic.streams import write

    del encoding  # the payload is already encoded
    data = framed(frame, payload)
    deadline, watch = Deadline(opening.timeout), Stopwatch()
    with output.waiting(f"a free instance of {pipe}"):
        connection = connect(pipe, deadline, access=Access.GENERIC_WRITE, **opening.opening())
    with connection, output.waiting(f"the server of {pipe} to read"):
        write(connection, data, deadline, flush=flush)
    seconds = watch.seconds
    output.detail(f"{len(data)} bytes sent in {seconds * 1000:.1f} ms")
    if output.is_json:
        output.data.record({"pipe": pipe, "sent": len(data), "flushed": flush, "seconds": seconds})

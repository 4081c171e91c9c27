"""`pipectl call`: one request, its reply."""

import time
from typing import TYPE_CHECKING

import click

from pipectl.options import CONNECTION, option, with_examples
from pipectl.options.client import Connecting, connecting
from pipectl.options.payload import payload, showing
from pipectl.options.types import pipe_argument
from pipectl.output import Output, Show

if TYPE_CHECKING:
    from pipectl.core.deadline import Deadline
    from pipectl.core.pipe.connection import Reply


@with_examples(
    ("pipectl call svc ping", "Send `ping` and print the reply."),
    ("pipectl call svc --hex 01000000 --as hex", "Send four bytes, and see the reply's bytes."),
    (r'pipectl call \\.\pipe\svc "ping" --json --timeout 2', "Print the reply, and its time, as JSON."),
)
@pipe_argument
@showing
@payload
@connecting
@option(
    "--native",
    is_flag=True,
    section=CONNECTION,
    help="Use CallNamedPipe itself: message pipes alone, at most 64 KiB of reply, no `--sqos`, no `--expect-*`.",
)
@click.pass_obj
def command(output: Output, /, pipe: str, payload: bytes, show: Show, connecting: Connecting, native: bool) -> None:
    """Send one request to a pipe and print the reply.

    Opens the pipe: it takes one instance, and leaves when the reply is there. On a message pipe the reply is one whole
    message, of any size; on a byte pipe it ends where `--until` says.
    """
    begun = time.perf_counter()
    exchange = _native if native else _overlapped
    reply = exchange(output, pipe, payload, connecting, connecting.deadline())
    milliseconds = round((time.perf_counter() - begun) * 1000, 3)
    output.payload(reply.data, show, {"pipe": pipe, "ended_by": reply.ended_by, "ms": milliseconds})
    output.detail(f"{len(reply.data)} bytes in {milliseconds:.1f} ms, ended by {reply.ended_by}")


def _overlapped(output: Output, /, pipe: str, payload: bytes, connecting: Connecting, deadline: "Deadline") -> "Reply":
    with connecting.open(pipe, deadline) as connection:
        output.detail(f"connected to {pipe}, a {'message' if connection.is_message else 'byte'} pipe")
        return connection.ask(payload, connecting.until, deadline)


def _native(_output: Output, /, pipe: str, payload: bytes, _connecting: Connecting, deadline: "Deadline") -> "Reply":
    from pipectl.core.pipe.connection import Reply, call

    return Reply(call(pipe, payload, deadline), "message")

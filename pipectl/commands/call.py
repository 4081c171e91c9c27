"""`pipectl call`: sends one request and prints the reply."""

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from pipectl.core.deadline import Deadline, Stopwatch
from pipectl.options import CONNECTION, option, with_examples
from pipectl.options.client import RequestOptions, pipe_argument
from pipectl.options.payload import Payload, ViewOptions
from pipectl.output import Output, View

if TYPE_CHECKING:
    from pipectl.core.pipe.connection import Reply
    from pipectl.core.pipe.frames import Framing

_NOT_NATIVE = ("wait", "until", "frame", "codec", "max_message", "sqos", "expect_pid", "expect_exe", "expect_user")


@with_examples(
    ("pipectl call svc ping", "Send `ping` and print the reply."),
    ("pipectl call svc --hex 01000000 --as hex", "Send four bytes and print the reply in hex."),
    (r'pipectl call \\.\pipe\svc "ping" --json --timeout 2', "Print the reply and the time it took as JSON."),
    groups={"view": ViewOptions, "payload": Payload, "request": RequestOptions},
)
@pipe_argument
@option(
    "--native",
    is_flag=True,
    section=CONNECTION,
    help="Use the CallNamedPipe API: message pipes only, replies up to 64 KiB, and the server may impersonate you. "
    "Excludes `--wait`, `--until`, `--frame`, `--codec`, `--max-message`, `--sqos` and `--expect-*`.",
)
@click.pass_obj
def command(output: Output, /, pipe: str, payload: bytes, view: View, request: RequestOptions, native: bool) -> None:
    """Send one request to a pipe and print the reply.

    Opens the pipe, which uses one instance, and disconnects after the reply. On a message pipe the reply is one whole
    message of any size; `--until` and `--frame` set another rule for where a reply ends.
    """
    request.checked(payload)
    if native:
        _refuse_what_native_ignores()
    watch = Stopwatch()
    decoder = request.codec.decoder(output, view)
    payload = payload if decoder is None else decoder.request(payload)
    until = request.until or (decoder.rule if decoder else None)
    reply = _call_native(pipe, payload, request) if native else _call(output, pipe, payload, request, until)
    seconds = watch.seconds
    # Before the reply, which may not end with a line feed.
    output.detail(f"{len(reply.data)} bytes in {seconds * 1000:.1f} ms, ended by {reply.ended_by}")
    facts = {"pipe": pipe, "ended_by": reply.ended_by, "seconds": seconds}
    if decoder is None:
        output.data.payload(reply.data, view, facts)
    else:
        decoder.show_reply(payload, reply.data, facts, was_split=until is decoder.rule)


def _refuse_what_native_ignores() -> None:
    """Raise UsageError for an option that CallNamedPipe does not support."""
    context = click.get_current_context()
    for parameter in context.command.params:
        is_given = parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
        if is_given and parameter.name in _NOT_NATIVE:
            raise click.UsageError(f"`--native` cannot be combined with `{parameter.opts[-1]}`")


def _call(output: Output, pipe: str, payload: bytes, request: RequestOptions, until: "Framing | None") -> "Reply":
    from pipectl.core.pipe.connection import connect

    deadline = Deadline(request.open.timeout)
    with output.waiting(f"a free instance of {pipe}"):
        connection = connect(pipe, deadline, max_message=request.max_message, **request.open.opening())
    with connection, output.waiting(f"the reply of {pipe}"):
        output.detail(f"connected to {pipe}, a {'message' if connection.is_message else 'byte'} pipe")
        return connection.ask(payload, until, deadline, is_framed=request.is_framed)


def _call_native(pipe: str, payload: bytes, request: RequestOptions) -> "Reply":
    from pipectl.core.pipe.connection import Reply
    from pipectl.core.pipe.exchanges import call_native

    return Reply(call_native(pipe, payload, request.open.timeout), "message")

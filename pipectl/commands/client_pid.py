"""`pipectl client-pid`: who connects to a pipe."""

from contextlib import ExitStack

import click

from pipectl.options import option, with_examples
from pipectl.options.client import Opening, opening
from pipectl.options.server import Allowing, allowing
from pipectl.options.types import pipe_argument
from pipectl.output import Output


@with_examples(
    ("pipectl client-pid svc --count 1", "Listen on a pipe, and tell who is the first to connect."),
    ("pipectl client-pid svc --json", "Print an object for each client, until Ctrl+C."),
    ("pipectl client-pid svc --allow users", "Let other users of this computer connect."),
)
@pipe_argument
@option("--count", type=click.IntRange(1), metavar="N", help="End after so many clients.")
@allowing
@opening
@click.pass_obj
def command(output: Output, /, pipe: str, count: int | None, allowing: Allowing, opening: Opening) -> None:
    """Tell who connects to a pipe: process, program, user, session, computer.

    Takes the name and listens; each client is told, and let go. If another process serves the pipe already, it opens
    the pipe, which takes one instance, and tells who serves it.
    """
    from pipectl.core.inventory.peers import server_of
    from pipectl.core.pipe.availability import exists
    from pipectl.core.pipe.server import PipeServer
    from pipectl.core.security.descriptors import security_attributes
    from pipectl.output.serverlog import ServerLog

    if exists(pipe):
        output.note(f"{pipe} is served already; this is its server")
        with opening.handle(pipe) as handle:
            output.record({"pipe": pipe, "server": server_of(handle)._asdict()})
        return
    events = ServerLog(output, messages=False)
    with ExitStack() as stack:
        events.server = stack.enter_context(
            PipeServer(
                pipe,
                lambda _client, _data: None,
                on_connect=events.connected_and_let_go,
                security=security_attributes(allowing.sddl()),
                allow_remote=allowing.remote,
                stop_after_clients=count,
            )
        )
        output.note(f"listening on {pipe}; end with Ctrl+C")
        events.server.wait()

"""`pipectl client-pid`: who connects to a pipe."""

from contextlib import closing

import click

from pipectl.options import option, with_examples
from pipectl.options.client import OpenOptions, pipe_argument
from pipectl.options.server import AccessOptions
from pipectl.output import Output


@with_examples(
    ("pipectl client-pid svc --count 1", "Listen on a pipe, and tell who is the first to connect."),
    ("pipectl client-pid svc --json", "Print an object for each client, until Ctrl+C."),
    ("pipectl client-pid svc --allow users", "Let other users of this computer connect."),
    groups={"access": AccessOptions, "opening": OpenOptions},
)
@pipe_argument
@option("-n", "--count", type=click.IntRange(1), metavar="N", help="End after this many clients.")
@click.pass_obj
def command(output: Output, /, pipe: str, count: int | None, access: AccessOptions, opening: OpenOptions) -> None:
    """Tell who connects to a pipe: process, program, user, session, computer.

    Takes the name and listens; each client is told, and let go. If another process serves the pipe already, it opens
    the pipe, which takes one instance, and tells who serves it.
    """
    from pipectl.core.inventory.peers import find_server
    from pipectl.core.pipe.config import PipeConfig, StopAfter
    from pipectl.core.pipe.server import PipeServer
    from pipectl.output.serverlog import VisitorLog

    server_process = find_server(pipe, opening.timeout, **opening.opening())
    if server_process is not None:
        output.note(f"{pipe} is served already; this is its server")
        output.data.record({"pipe": pipe, "server": server_process._asdict()})
        return
    config = PipeConfig(security=access.security().attributes, allow_remote=access.allow_remote)
    log = VisitorLog(output, announce=lambda: output.note(f"listening on {pipe}; end with Ctrl+C"))
    server = PipeServer(
        pipe, lambda _client, _data: None, events=log, config=config, stop_after=StopAfter(clients=count)
    )
    with closing(log), server:
        server.wait()

"""`pipectl client-pid`: reports who connects to a pipe."""

from contextlib import closing
from functools import partial

import click

from pipectl.core.errors import timed_out
from pipectl.options import option, with_examples
from pipectl.options.client import pipe_argument
from pipectl.options.server import AccessOptions
from pipectl.options.types import DURATION
from pipectl.output import Output


@with_examples(
    ("pipectl client-pid svc --count 1 --timeout 10", "Wait up to ten seconds for a client and show it."),
    ("pipectl client-pid svc --json", "Print one JSON object per event, until Ctrl+C."),
    ("pipectl client-pid svc --allow users", "Allow other users of this computer to connect."),
    groups={"access": AccessOptions},
)
@pipe_argument
@option("-n", "--count", type=click.IntRange(1), metavar="N", help="Exit after N clients.")
@option(
    "-t",
    "--timeout",
    type=DURATION,
    default="none",
    show_default=True,
    help="Exit after this time, with exit code 6 (2.5, 500ms, 2m; none = no limit).",
)
@click.pass_obj
def command(output: Output, /, pipe: str, count: int | None, access: AccessOptions, timeout: float | None) -> None:
    """Listen on a pipe and report each client: process, program, user, session, computer.

    Claims the pipe name, which must be free, prints each client that connects, and disconnects it. To see which process
    serves an existing pipe, use `info`.
    """
    from pipectl.core.pipe.config import PipeConfig, StopAfter
    from pipectl.core.pipe.server import PipeServer
    from pipectl.output.serverlog import VisitorLog

    security = access.security()
    config = PipeConfig(security=security.attributes, allow_remote=access.allow_remote)
    announce = partial(output.note, f"listening on {pipe}; press Ctrl+C to stop")
    log = VisitorLog(output, announce=announce, access=security.in_words)
    server = PipeServer(
        pipe, lambda _client, _data: None, events=log, config=config, stop_after=StopAfter(clients=count)
    )
    with closing(log), server:
        if not server.wait(timeout):
            raise timed_out(timeout, pipe)

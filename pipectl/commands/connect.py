"""`pipectl connect`: exchanges data with a pipe in both directions at once."""

import click

from pipectl.core.deadline import Deadline
from pipectl.options import with_examples
from pipectl.options.client import pipe_argument
from pipectl.options.payload import PayloadFormat, Separator, ViewOptions
from pipectl.options.talk import TalkOptions
from pipectl.output import Output, View


@with_examples(
    (
        "pipectl connect svc",
        "Type messages and see the replies, until Ctrl+Z Enter; redirected, pass stdin and stdout.",
    ),
    ("pipectl connect svc --frame line --json", "Send each line of stdin, and print each reply as JSON."),
    (
        "pipectl connect svc --send hello --half-close none --linger 500ms",
        "Send `hello` first; at the end of stdin, exit after 0.5 s without data.",
    ),
    groups={"view": ViewOptions, "written": PayloadFormat, "separator": Separator, "talk": TalkOptions},
)
@pipe_argument
@click.pass_obj
def command(
    output: Output, /, pipe: str, view: View, written: PayloadFormat, separator: Separator, talk: TalkOptions
) -> None:
    """Exchange data with a pipe in both directions at once.

    Opens the pipe, which uses one instance until the command exits. On a terminal, each line is a message, and `/help`
    lists further commands. If stdin or stdout is redirected, bytes pass unchanged, as WSL, ssh's ProxyCommand and
    scripts need it. At the end of stdin, a message pipe is sent an empty message, which Docker and other servers
    understand as the end, and the command reads until the server closes the pipe. On a byte pipe it exits after one
    second without data. When the server closes the pipe, the command exits at once, unless `--reconnect` is set.
    """
    from pipectl.core.pipe.connection import connect

    with output.waiting(f"a free instance of {pipe}"):
        connection = connect(pipe, Deadline(talk.open.timeout), max_message=talk.max_message, **talk.open.opening())
    with connection:
        talk.talk(output, connection, view, written, separator)

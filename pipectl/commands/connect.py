"""`pipectl connect`: both directions of a pipe at once."""

import click

from pipectl.core.deadline import Deadline
from pipectl.options import with_examples
from pipectl.options.client import pipe_argument
from pipectl.options.payload import PayloadFormat, Separator, ViewOptions
from pipectl.options.talk import TalkOptions
from pipectl.output import Output, View


@with_examples(
    ("pipectl connect svc", "Type messages and see what comes, until Ctrl+Z; elsewhere pass stdin and stdout through."),
    ("pipectl connect svc --frame line --json < requests.txt", "Send the lines of a file; print each answer as JSON."),
    ("pipectl connect svc --half-close none --linger 500ms < requests.txt", "End after half a second of silence."),
    groups={"view": ViewOptions, "written": PayloadFormat, "separator": Separator, "talk": TalkOptions},
)
@pipe_argument
@click.pass_obj
def command(
    output: Output, /, pipe: str, view: View, written: PayloadFormat, separator: Separator, talk: TalkOptions
) -> None:
    """Talk with a pipe in both directions, or pass stdin and stdout through.

    Opens the pipe: it takes one instance until the end. On a terminal a line is a message, and `/help` lists what else
    can be typed. Where stdin or stdout is redirected, bytes pass unchanged, as for WSL, ssh's ProxyCommand and scripts.
    After the end of stdin, a message pipe gets an empty message, which Docker and others take for the end, and is read
    until it closes; on a byte pipe a second of silence is the end. If the pipe closes, the command ends at once.
    """
    from pipectl.core.pipe.connection import connect

    with output.waiting(f"a free instance of {pipe}"):
        connection = connect(pipe, Deadline(talk.open.timeout), max_message=talk.max_message, **talk.open.opening())
    with connection:
        talk.talk(output, connection, view, written, separator)

"""`pipectl peek`: shows unread data without consuming it."""

from typing import TYPE_CHECKING

import click

from pipectl.core.constants import BUFFER_SIZE, size_text
from pipectl.core.deadline import Deadline
from pipectl.options import option, with_examples
from pipectl.options.client import ImpatientOpenOptions, OpenOptions, pipe_argument
from pipectl.options.payload import ViewOptions
from pipectl.options.types import SIZE
from pipectl.output import Output, View
from pipectl.output.text import counted

if TYPE_CHECKING:
    from pipectl.core.models import Peek


@with_examples(
    ("pipectl peek svc", "Show what the server sends on connect, as a hex dump."),
    ("pipectl peek svc --timeout 10 --as text", "Wait up to ten seconds for data and show it as text."),
    ("pipectl peek svc --size 16 --json", "Show the first 16 bytes and how many more there are."),
    groups={"view": ViewOptions, "opening": ImpatientOpenOptions},
)
@pipe_argument
@option("--size", type=SIZE, default=size_text(BUFFER_SIZE), show_default=True, help="Show at most this many bytes.")
@click.pass_obj
def command(output: Output, /, pipe: str, size: int, view: View, opening: OpenOptions) -> None:
    """Show unread data in a pipe without consuming it.

    Opens its own connection, which uses one pipe instance: it sees what the server sends to a new client, such as a
    greeting, but not data for other clients. With `--timeout` it waits for data to arrive.
    """
    from pipectl.core.pipe.connection import ANY_DIRECTION, connect

    deadline = Deadline(opening.timeout)
    with (
        output.waiting(f"data from {pipe}"),
        connect(pipe, deadline, access=ANY_DIRECTION, **opening.opening()) as connection,
    ):
        found = connection.await_data(size, deadline)
    facts = {"pipe": pipe, "available": found.available, "left_in_message": found.left_in_message}
    output.note(_in_words(found))
    output.data.payload(found.data, view, facts, field="data", as_dump=True)


def _in_words(found: "Peek") -> str:
    if not found.available:
        return "no data to read"
    rest = f"; the first message has {counted(found.left_in_message, 'more byte')}" if found.left_in_message else ""
    return f"{counted(found.available, 'byte')} to be read{rest}"

"""`pipectl help`: shows help for a command or a topic."""

from importlib import import_module
from typing import cast

import click

from pipectl.options import UsageError, echo, with_examples

from . import COMMANDS, TOPICS


@with_examples(
    ("pipectl help", "Show the overview of all commands and topics."),
    ("pipectl help call", "Show the same as `pipectl call --help`."),
    ("pipectl help quoting", "Show how to quote requests in PowerShell, cmd and bash."),
)
@click.argument("subject", required=False, metavar="[COMMAND|TOPIC]")
@click.argument("detail", required=False, metavar="[RULE]")
@click.pass_context
def command(context: click.Context, /, subject: str | None, detail: str | None) -> None:
    """Show help for a command or a topic.

    All pages are built in and available offline. `pipectl help audit P003` explains a rule of `audit`.
    """
    root = context.find_root()
    if subject is None:
        echo(root.get_help())
    elif subject in TOPICS:
        echo(import_module(TOPICS[subject].module).TEXT.rstrip())
    else:
        found = cast("click.Group", root.command).get_command(root, subject)
        if found is None:
            raise UsageError(f"no such command or topic `{subject}`", _near(subject))
        # A command whose help has more pages can explain them.
        explain = getattr(import_module(COMMANDS[subject].module), "explain", None)
        if detail is None:
            echo(found.get_help(click.Context(found, info_name=subject, parent=root)))
        if explain is not None:
            echo(explain(detail))
        elif detail is not None:
            raise UsageError(f"`{subject}` has no page `{detail}`", f"See `pipectl help {subject}`")


def _near(subject: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(subject.lower(), [*COMMANDS, *TOPICS])
    question = f"Did you mean {' or '.join(f'`{name}`' for name in near)}? " if near else ""
    return f"{question}See `pipectl help`"

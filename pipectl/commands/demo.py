"""`pipectl demo`: a tour."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.options import option, with_examples

if TYPE_CHECKING:
    from pipectl.core.pipe.client import Client
    from pipectl.output import Output


class Step(NamedTuple):
    """One command of the tour, and what it shows; `client` makes somebody connect while it runs."""

    shows: str
    arguments: str
    client: bool = False


# {n} is a name that no other tour uses.
_TOUR = (
    Step("Send a request to a message pipe, and see the reply", "call {n} ping --as text"),
    Step("See bytes as they are", "call {n} --hex 0001ff41 --as hex"),
    Step("Send several requests over one connection", "transact {n} --as text one two three"),
    Step("Talk to a byte pipe, whose replies end with a line", "call {n}-byte ping --newline --until line"),
    Step("Look at what a server says unasked, and leave it there", "peek {n}-greeting --as text --timeout 2"),
    Step("See all about a pipe", "info {n}"),
    Step("See who holds a pipe, without opening it", "who {n}"),
    Step("See how a handle reads and waits", "state {n} --read-mode message"),
    Step("Wait until a pipe is free, without opening it", "wait {n}"),
    Step("Serve a pipe: here somebody calls it, and it ends", "serve {n}-served --reply pong --once", client=True),
    Step("See who connects to a pipe", "client-pid {n}-listen --count 1", client=True),
    Step("Run a command over anonymous pipes, and get its exit code", "popen -- cmd /c echo hello from a child"),
    Step("List pipes by a pattern", "list {n}*"),
    Step("Meet a pipe that is not there", "call {n}-absent ping"),
    Step("Meet a pipe that is busy", "call {n}-busy ping --timeout 0.2"),
    Step("Have it all as JSON", "call {n} ping --json"),
)

_TRY_NEXT = (
    "pipectl serve svc --reply pong        in one window, and in another:",
    "pipectl call svc ping",
    "pipectl info svc",
    "pipectl COMMAND --help                has examples for each",
)


@with_examples(
    ("pipectl demo --pause", "Take the tour step by step."),
    ("pipectl demo --json", "Take it with every command's output as JSON."),
    ("pipectl demo --quiet", "Show only the output of the commands, and their errors."),
)
@option("--pause", is_flag=True, help="Wait for a key after each command; only on a terminal.")
@click.pass_context
def command(ctx: click.Context, pause: bool) -> None:
    """Take a tour: a server, and each command against it.

    Opens only pipes of its own, which others can call while it runs. Each command runs as it would at a prompt, with
    its output and its exit code.
    """
    output: Output = ctx.obj
    root: Any = ctx.find_root().command
    options = [*(["--format", output.mode.value] if output.mode else []), *(["--quiet"] if output.quiet else [])]
    name = f"pipectl-demo-{os.getpid()}"
    with _servers(name):
        for step in _TOUR:
            line = step.arguments.format(n=name)
            _heading(output, step.shows, f"pipectl {line}")
            with _caller(line.split()[1]) if step.client else nullcontext():
                code = root.run([*_with(line.split(), options)])
            if code:
                output.note(f"exit code {code}")
            if pause:
                click.pause("Press any key for the next command ...", err=True)
    _heading(output, "That was the tour. Try next", *_TRY_NEXT)


def _heading(output: "Output", title: str, *lines: str) -> None:
    """Begin a part of the tour; with JSON its output speaks for itself."""
    if output.is_json:
        return
    output.note("")
    output.note(title, style="bold")
    for line in lines:
        output.note(f"> {line}" if len(lines) == 1 else f"  {line}", style="cyan")


def _with(line: list[str], options: list[str]) -> list[str]:
    """Put options behind the command, where all commands take them."""
    return [line[0], *options, *line[1:]]


@contextmanager
def _servers(name: str) -> Iterator[None]:
    """Serve what the tour calls: a message pipe, a byte pipe, one that greets, and one that is always busy."""
    from pipectl.core.names import full_name
    from pipectl.core.pipe.config import PipeConfig
    from pipectl.core.pipe.connection import connect
    from pipectl.core.pipe.contract import ServerEvents
    from pipectl.core.pipe.server import PipeServer
    from pipectl.core.security.descriptors import pipe_security

    class Greeting(ServerEvents):
        """Greets each client."""

        def connected(self, client: "Client") -> None:
            client.send(b"welcome, whoever you are")

    config = PipeConfig(security=pipe_security().attributes)

    def answer(_client: "Client", data: bytes) -> bytes:
        return b"pong" if data == b"ping" else data

    with (
        PipeServer(full_name(name), answer, config=config),
        PipeServer(full_name(f"{name}-byte"), answer, config=config._replace(is_message=False)),
        PipeServer(full_name(f"{name}-greeting"), answer, events=Greeting(), config=config),
        PipeServer(full_name(f"{name}-busy"), answer, config=config._replace(max_instances=1)),
        connect(full_name(f"{name}-busy")),
    ):
        yield


@contextmanager
def _caller(name: str) -> Iterator[None]:
    """Have somebody call a pipe as soon as it exists."""
    from pipectl.core.constants import Wait
    from pipectl.core.errors import PipeError
    from pipectl.core.names import full_name
    from pipectl.core.pipe.connection import connect

    def call() -> None:
        with suppress(PipeError), connect(full_name(name), 5, wait=Wait.EXISTS) as connection:
            connection.ask(b"ping", timeout=5)

    thread = Thread(target=call, daemon=True)
    thread.start()
    yield
    thread.join(5)

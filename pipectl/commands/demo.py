"""`pipectl demo`: a guided tour of the commands."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.options import option, with_examples

if TYPE_CHECKING:
    from pipectl.core.pipe.client import Client
    from pipectl.output import Output


class Step(NamedTuple):
    """One command of the tour, and what it shows; with `client`, a client connects while it runs."""

    shows: str
    arguments: str
    client: bool = False


# {n} is a name unique to this run, and {f} a file that is removed at the end.
_TOUR = (
    Step("Send a request to a message pipe and print the reply", "call {n} ping --as text"),
    Step("Send and show binary data", "call {n} --hex 0001ff41 --as hex"),
    Step("Send several requests over one connection", "transact {n} --as text one two three"),
    Step("Call a byte pipe whose replies end with a line feed", "call {n}-byte ping --newline --until line"),
    Step("Show what a server sends on connect, without consuming it", "peek {n}-greeting --as text --timeout 2"),
    Step("Receive and print what a server sends", "read {n}-greeting --count 1 --as text"),
    Step("Send data without waiting for a reply", "write {n} hello --flush"),
    Step("Inspect a pipe", "info {n}"),
    Step("Show which processes have a pipe open, without opening it", "who {n}"),
    Step("Show pipes as they appear and disappear", "watch {n} --initial --count 1 --timeout 2"),
    Step("Find out whether a pipe can be opened, and if not, why", "doctor {n}"),
    Step("Find out whether others could misuse a pipe", "audit {n}"),
    Step("Measure throughput and latencies", "bench {n} --count 1000 --warmup 0"),
    Step("Show and set the read mode of a handle", "state {n} --read-mode message"),
    Step("Wait until a pipe is free, without opening it", "wait {n}"),
    Step("Serve a pipe (here for one client)", "serve {n}-served --reply pong --once", client=True),
    Step("Pass data between two pipes (here for one client)", "relay {n}-relayed {n} --once", client=True),
    Step(
        "Show and record what a client and a server say to each other",
        "tap {n}-tapped --to {n} --once --record {f}",
        client=True,
    ),
    Step("Show a recording", "decode {f}"),
    Step("Send what a recorded client sent, and compare the replies", "replay {f} --call {n}"),
    Step("Show who connects to a pipe", "client-pid {n}-listen --count 1", client=True),
    Step("Run a command over anonymous pipes and get its exit code", "popen -- cmd /c echo hello from a child"),
    Step("List pipes by pattern", "list {n}*"),
    Step("Call a pipe that does not exist", "call {n}-absent ping"),
    Step("Call a pipe that is busy", "call {n}-busy ping --timeout 0.2"),
    Step("Print JSON", "call {n} ping --json"),
)

_TRY_NEXT = (
    "pipectl serve svc --reply pong        in one window, and in another:",
    "pipectl call svc ping",
    "pipectl info svc",
    "pipectl COMMAND --help                shows examples",
)


@with_examples(
    ("pipectl demo --pause", "Take the tour step by step."),
    ("pipectl demo --json", "Show the output of every command as JSON."),
    ("pipectl demo --quiet", "Show only the output and errors of the commands."),
)
@option("--pause", is_flag=True, help="Wait for a key after each command; only on a terminal.")
@click.pass_context
def command(ctx: click.Context, pause: bool) -> None:
    """Take a guided tour: a demo server, and each command against it.

    Opens only its own pipes, which you can also call from another window while it runs. Each command runs as it would
    at a prompt, with its output and its exit code.
    """
    output: Output = ctx.obj
    root: Any = ctx.find_root().command
    options = [*(["--format", str(output.mode)] if output.mode else []), *(["--quiet"] if output.quiet else [])]
    name = f"pipectl-demo-{os.getpid()}"
    file = os.path.join(os.environ.get("TEMP", "."), f"{name}.jsonl")  # noqa: PTH118 - `pathlib` is a slow import
    with _servers(name), ExitStack() as stack:
        stack.callback(_remove, file)
        for step in _TOUR:
            words = [word.format(n=name, f=file) for word in step.arguments.split()]
            _heading(output, step.shows, f"pipectl {' '.join(words)}")
            with _caller(words[1]) if step.client else nullcontext():
                code = root.run(_with(words, options))
            if code:
                output.note(f"exit code {code}")
            if pause:
                click.pause("Press any key for the next command ...", err=True)
    _heading(output, "That was the tour. What to try next", *_TRY_NEXT)


def _heading(output: "Output", title: str, *lines: str) -> None:
    """Print the heading of a step; with JSON, print nothing."""
    if output.is_json:
        return
    output.note("")
    output.note(title, style="bold")
    for line in lines:
        output.note(f"> {line}" if len(lines) == 1 else f"  {line}", style="cyan")


def _remove(file: str) -> None:
    with suppress(OSError):  # no step has created it
        os.remove(file)  # noqa: PTH107


def _with(line: list[str], options: list[str]) -> list[str]:
    """Return a command line with options inserted after the command."""
    return [line[0], *options, *line[1:]]


@contextmanager
def _servers(name: str) -> Iterator[None]:
    """Serve the pipes of the tour: a message pipe, a byte pipe, one that greets, and one that is always busy."""
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
    """Call a pipe from another thread as soon as it exists."""
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

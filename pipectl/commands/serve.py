"""`pipectl serve`: a server with the answers that the command line gives it."""

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import click

from pipectl.options import OUTPUT, Command, option, with_examples
from pipectl.options.payload import Written, read_file, showing, written
from pipectl.options.server import Allowing, allowing
from pipectl.options.types import DURATION, FILE, SIZE, pipe_argument
from pipectl.output import Output, Show

if TYPE_CHECKING:
    from pipectl.core.pipe.server import Client
    from pipectl.core.traffic.programs import ProgramAnswers
    from pipectl.output.serverlog import Answer, ServerLog

_ANSWERS = "What is answered"
_PIPE = "The pipe"
_END = "When it ends"


class ServeCommand(Command):
    """Leaves everything after `--exec` to the program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the `--` behind `--exec` that the person left out."""
        if "--exec" in args:
            end = args.index("--exec") + 1
            args = [*args[:end], *([] if args[end : end + 1] == ["--"] else ["--"]), *args[end:]]
        return super().parse_args(ctx, args)


@with_examples(
    ("pipectl serve svc --reply pong", "Answer every message with `pong`, until Ctrl+C."),
    ("pipectl serve svc --type byte --once", "Echo one client's bytes, and end when it leaves."),
    ("pipectl serve svc --allow users --exec sort /r", "Let a program answer: the message is its stdin."),
    cls=ServeCommand,
)
@pipe_argument
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="[--exec PROGRAM [ARGS]...]")
@option("--echo", "echo", is_flag=True, section=_ANSWERS, help="Answer with the message itself.  [default]")
@option("--reply", metavar="TEXT", section=_ANSWERS, help="Answer with this text.")
@option("--reply-file", type=FILE, metavar="FILE", section=_ANSWERS, help="Answer with what a file holds now.")
@option(
    "--exec",
    "execute",
    is_flag=True,
    section=_ANSWERS,
    help="Answer with the stdout of PROGRAM ARGS, run for each message, which is its stdin, without a shell; "
    "PIPECTL_CLIENT_PID, _EXE, _USER and _SESSION tell it the client.",
)
@option(
    "--type",
    "kind",
    type=click.Choice(["message", "byte"]),
    default="message",
    show_default=True,
    section=_PIPE,
    help="Keep messages apart, or carry a stream of bytes.",
)
@option(
    "--instances",
    type=click.IntRange(1, 255),
    default=255,
    show_default=True,
    metavar="N",
    section=_PIPE,
    help="Serve at most so many clients at once; 255 is no limit.",
)
@option(
    "--buffer",
    type=SIZE,
    default="64k",
    show_default=True,
    section=_PIPE,
    help="Let Windows keep so much that is not read yet, each way.",
)
@option("--max-message", type=SIZE, default="64m", show_default=True, section=_PIPE, help="Refuse a longer message.")
@option("--once", is_flag=True, section=_END, help="End after one client: the same as `--count 1`.")
@option("--count", type=click.IntRange(1), metavar="N", section=_END, help="End after so many clients.")
@option("--messages", type=click.IntRange(1), metavar="N", section=_END, help="End after so many answers.")
@option(
    "--idle-timeout",
    type=DURATION,
    default="none",
    section=_END,
    help="End when nothing has happened for so long.  [default: none]",
)
@option(
    "--log",
    type=click.Choice(["all", "clients", "none"]),
    default="all",
    show_default=True,
    section=OUTPUT,
    help="Write a line for every message, for comings and goings alone, or for nothing.",
)
@allowing
@showing
@written
@click.pass_obj
def command(
    output: Output,
    /,
    pipe: str,
    show: Show,
    written: Written,
    allowing: Allowing,
    log: str,
    **options: Any,
) -> None:
    """Serve a pipe: echo, a fixed reply, or a program's answers.

    Takes the name, which must be free, and serves any number of clients at once until Ctrl+C. The pipe is open to you,
    to administrators and to the system alone, and to no other computer, unless you say otherwise.
    """
    from pipectl.core.pipe.server import PipeServer
    from pipectl.core.security.descriptors import access_in_words, lets_everyone_in, security_attributes
    from pipectl.output.serverlog import ServerLog

    sddl = allowing.sddl()
    events = ServerLog(output, show, clients=log != "none", messages=log == "all")
    with ExitStack() as stack:
        server = PipeServer(
            pipe,
            events.logged(_answer(stack, events, output, written, options)),
            on_connect=events.connected,
            on_disconnect=events.left,
            is_message=options["kind"] == "message",
            max_instances=options["instances"],
            buffer_size=options["buffer"],
            max_message=options["max_message"],
            security=security_attributes(sddl),
            allow_remote=allowing.remote,
            stop_after_clients=1 if options["once"] else options["count"],
            stop_after_messages=options["messages"],
            idle_timeout=options["idle_timeout"],
        )
        stack.callback(events.summarise)
        stack.enter_context(output.live())
        events.server = stack.enter_context(server)
        output.note(f"serving {pipe}; end with Ctrl+C")
        for words in access_in_words(sddl):
            output.note(f"access: {words}")
        if lets_everyone_in(sddl):
            output.warning("everyone may connect, guests and services included")
        server.wait()


def _answer(
    stack: ExitStack, events: "ServerLog", output: Output, written: Written, options: dict[str, Any]
) -> "Answer":
    """Give the handler that the options ask for."""
    text, file, execute = options["reply"], options["reply_file"], options["execute"]
    if (text is not None) + (file is not None) + execute + options["echo"] > 1:
        raise click.UsageError("`--echo`, `--reply`, `--reply-file` and `--exec` exclude one another")
    if bool(options["program"]) != execute:
        raise click.UsageError("`--exec` goes with PROGRAM, and PROGRAM with `--exec`")
    if execute:
        return stack.enter_context(closing(_program(events, output, options["program"])))
    if text is None and file is None:
        return lambda _client, data: data
    reply = written.encode(text) if file is None else written.finish(read_file(file))
    return lambda _client, _data: reply


def _program(events: "ServerLog", output: Output, arguments: tuple[str, ...]) -> "ProgramAnswers":
    from pipectl.core.traffic.programs import Failure, ProgramAnswers

    def environment(client: "Client") -> dict[str, str]:
        process = client.data.process
        facts = {"PID": process.pid, "EXE": process.image, "USER": process.user, "SESSION": process.session}
        return {f"PIPECTL_CLIENT_{name}": "" if fact is None else str(fact) for name, fact in facts.items()}

    def failed(client: "Client", failure: Failure) -> None:
        what = "could not be run" if failure.exit_code is None else f"ended with exit code {failure.exit_code}"
        output.warning(f"#{client.data.number}: `{arguments[0]}` {what}: {failure.text}".removesuffix(": "))

    return ProgramAnswers(arguments, environment, events.answered, failed)

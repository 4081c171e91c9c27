"""`pipectl serve`: runs a server whose answers are set on the command line."""

from collections.abc import Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.core.constants import OpenMode
from pipectl.options import EXEC, OUTPUT, Option, UsageError, option, with_examples
from pipectl.options.client import framed, pipe_argument
from pipectl.options.payload import PayloadFormat, ViewOptions
from pipectl.options.replies import FileReply, TextReply
from pipectl.options.rules import RulesOptions
from pipectl.options.server import (
    EndOptions,
    ExecCommand,
    FaultOptions,
    PipeOptions,
    announce_faults_and_access,
    log_file_option,
)
from pipectl.options.types import DURATION, FILE, FRAMING
from pipectl.output import Output, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipectl.core.pipe.client import Client
    from pipectl.core.pipe.config import StopAfter
    from pipectl.core.pipe.contract import Answer, Later
    from pipectl.core.pipe.frames import Framing
    from pipectl.core.pipe.server import PipeServer
    from pipectl.core.security.descriptors import PipeSecurity
    from pipectl.core.traffic.faults import Faults
    from pipectl.core.traffic.programs import ProgramAnswers
    from pipectl.options.replies import Reply, Send
    from pipectl.output.serverlog import ServerLog

_ANSWERS = "What is answered"


class AnswerOptions(NamedTuple):
    """The answers of a server; by default, an echo."""

    reply: "Reply | None"
    program: tuple[str, ...]
    program_timeout: float | None
    greeting: bytes | None
    framing: "Framing | None"
    is_echo: bool

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return PROGRAM and the options of the answer."""
        return [
            click.Argument(["program"], nargs=-1, type=click.UNPROCESSED, metavar="[--exec PROGRAM [ARGS]...]"),
            Option(["--echo"], is_flag=True, section=_ANSWERS, help="Answer with the message itself.  [default]"),
            Option(["--reply"], metavar="TEXT", section=_ANSWERS, help="Answer with this text."),
            Option(
                ["--reply-file"],
                type=FILE,
                metavar="FILE",
                section=_ANSWERS,
                help="Answer with the content of a file, which is read again for each message.",
            ),
            Option(
                [EXEC, "execute"],
                is_flag=True,
                section=_ANSWERS,
                help="Answer with the stdout of PROGRAM ARGS, run for each message, which is its stdin, without a "
                "shell; PIPECTL_CLIENT_PID, _EXE, _USER and _SESSION tell it the client. A batch file must not take "
                "what a client has sent or chosen into a command line: cmd would run it.",
            ),
            Option(
                ["--exec-timeout"],
                type=DURATION,
                default="60",
                show_default=True,
                section=_ANSWERS,
                help="Time limit for PROGRAM, which is ended then, together with everything that it has started; its "
                "client is disconnected (500ms, 2m; none = no limit). Write it before `--exec`.",
            ),
            Option(["--greeting"], metavar="TEXT", section=_ANSWERS, help="Send this text first to each new client."),
            Option(
                ["--frame"],
                type=FRAMING,
                section=_ANSWERS,
                help="Treat each frame of this rule as a message, and reply with frames: `pipectl help framing`.  "
                "[default: each message; on a byte pipe, data as it arrives]",
            ),
            *PayloadFormat.parameters(),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "AnswerOptions":
        """Return the answer; raises UsageError for more than one."""
        written = PayloadFormat.from_params(params)
        text, file, execute = params["reply"], params["reply_file"], params["execute"]
        if (text is not None) + (file is not None) + execute + params["echo"] > 1:
            raise click.UsageError("use only one of `--echo`, `--reply`, `--reply-file` and `--exec`")
        if execute and not params["program"]:
            raise click.UsageError("`--exec` needs a PROGRAM")
        if params["program"] and not execute:
            stray = params["program"][0]
            raise UsageError(f"unexpected argument `{stray}`", f"Write `--reply {stray}` or `--exec {stray}`")
        timeout, frame, greeting = params["exec_timeout"], params["frame"], params["greeting"]
        if timeout == 0:
            raise click.UsageError("`--exec-timeout 0` would end every program at once; `none` is no limit")
        if frame is not None and frame.idle is not None:
            raise click.UsageError(
                f"`--frame {frame}`: a server cannot use silence as the end of a message: use another rule"
            )
        reply: Reply | None = None if file is None else FileReply(file, written)
        if text is not None:
            reply = TextReply(_framable(frame, written.encode(text)))
        greeted = None if greeting is None else _framable(frame, written.encode(greeting))
        return cls(reply, params["program"], timeout, greeted, frame, params["echo"])

    def check(self, direction: OpenMode) -> None:
        """Raise UsageError if a pipe of this direction cannot carry the answers."""
        answers = bool(self.reply or self.program or self.is_echo)
        if direction is OpenMode.INBOUND and (answers or self.greeting is not None):
            raise click.UsageError("with `--direction in` only clients send: omit the reply and `--greeting`")
        if direction is OpenMode.OUTBOUND and (self.program or self.is_echo or not (answers or self.greeting)):
            raise click.UsageError(
                "with `--direction out` nothing is received: use `--greeting`, `--reply` or `--reply-file`"
            )


def _framable(rule: "Framing | None", data: bytes) -> bytes:
    """Return an answer; raises UsageError if the rule of `--frame` has no frame for it."""
    framed(rule, data)
    return data


@with_examples(
    ("pipectl serve svc --reply pong", "Answer every message with `pong`, until Ctrl+C."),
    ("pipectl serve svc --type byte --once", "Echo one client's bytes, and end when it leaves."),
    ("pipectl serve svc --allow users --exec sort /r", "Let a program answer: the message is its stdin."),
    cls=ExecCommand,
    groups={
        "view": ViewOptions,
        "answers": AnswerOptions,
        "rules": RulesOptions,
        "made": PipeOptions,
        "faults": FaultOptions,
        "stop_after": EndOptions,
    },
)
@pipe_argument
@option(
    "--log",
    type=click.Choice(["all", "clients", "none"]),
    default="all",
    show_default=True,
    section=OUTPUT,
    help="What to log: every message, only connects and disconnects, or nothing.",
)
@log_file_option
@click.pass_obj
def command(
    output: Output,
    /,
    pipe: str,
    view: View,
    answers: AnswerOptions,
    rules: RulesOptions | None,
    made: PipeOptions,
    faults: "Faults | None",
    stop_after: "StopAfter",
    log: str,
) -> None:
    """Serve a pipe: echo, a fixed reply, rules, or a program's answers.

    Takes the name, which must be free, and serves any number of clients at once until Ctrl+C. The pipe is open to you,
    to administrators and to the system alone, and to no other computer, unless you say otherwise.
    """
    if rules is not None:
        made = _follow_file(output, rules, made)
        if rules.only_checks:
            return
    answers.check(made.direction)
    _check_faults(faults, made)
    security = made.access.security()
    announce = partial(_announce, output, pipe, made, security, answers.program, faults, rules)
    is_outbound = made.direction is OpenMode.OUTBOUND
    events = _log_class(rules)(
        output,
        view,
        announce=announce,
        access=security.in_words,
        clients=log != "none",
        messages=log == "all",
        greeting=_greeting(answers, is_outbound=is_outbound),
        hangs_up=is_outbound,
    )
    with ExitStack() as stack:
        if isinstance(answers.reply, FileReply):
            stack.enter_context(answers.reply.reading(output.warning))
        answer = _answer(stack, events, output, answers, made.direction)
        server = _server(answers.framing, faults, rules, events)(
            pipe, answer, events=events, config=made.config(security), stop_after=stop_after
        )
        stack.enter_context(output.live())
        stack.callback(events.summarize)
        stack.enter_context(server)
        server.wait()


def _check_faults(faults: "Faults | None", made: PipeOptions) -> None:
    if faults is not None and not made.is_message and any(fault.name == "empty" for fault in faults.of_data):
        raise click.UsageError("`--fault empty`: a byte pipe has no empty messages")


def _announce(
    output: Output,
    pipe: str,
    made: PipeOptions,
    security: "PipeSecurity",
    program: tuple[str, ...],
    faults: "Faults | None",
    rules: RulesOptions | None,
) -> None:
    kind = "message" if made.is_message else "byte"
    network = "" if made.access.allow_remote else "; no network"
    output.note(f"serving {pipe} ({kind}, access: {', '.join(security.admitted())}{network}); press Ctrl+C to stop")
    if program:
        _announce_program(output, program)
    if rules is not None:
        seed = (faults or rules.faults).seed
        output.note(f"rules: {rules.name}, {len(rules.rules.rules)} rules; `--seed {seed}` repeats the random choices")
    announce_faults_and_access(output, faults, security)


def _announce_program(output: Output, program: tuple[str, ...]) -> None:
    """Show the whole command line, which has all options after `--exec`, and warn if there is no such program."""
    from subprocess import list2cmdline

    from pipectl.output.programs import warn_if_missing

    output.note(f"for each message: {list2cmdline(program)}")
    warn_if_missing(output, program[0])


def _follow_file(output: Output, rules: RulesOptions, made: PipeOptions) -> PipeOptions:
    """Return how to create the pipe, with the type in the rules file; show the rules if they are only checked."""
    for mistake in rules.rules.warnings:
        output.warning(f"{rules.name}:{mistake.line}: {mistake.text}")
    if rules.only_checks:
        from pipectl.output.ruleslog import show_rules

        show_rules(output, rules.name, rules.rules)
    return made if rules.rules.is_message is None else made._replace(is_message=rules.rules.is_message)


def _log_class(rules: RulesOptions | None) -> "type[ServerLog]":
    if rules is None:
        from pipectl.output.serverlog import ServerLog

        return ServerLog
    from pipectl.output.ruleslog import RulesLog

    return RulesLog


def _server(
    framing: "Framing | None", faults: "Faults | None", rules: RulesOptions | None, events: "ServerLog"
) -> "Callable[..., PipeServer]":
    """Return the class of the server, or its equivalent for frames, faults and rules."""
    if rules is not None:
        return _rules_server(faults or rules.faults, rules, events)
    if faults is not None:
        from pipectl.core.traffic.planned import PlanServer

        return partial(PlanServer, framing=framing, faults=faults, on_fault=events.faulted)
    if framing is None:
        from pipectl.core.pipe.server import PipeServer

        return PipeServer
    from pipectl.core.pipe.framed import FramedServer

    return partial(FramedServer, framing=framing)


def _rules_server(faults: "Faults", rules: RulesOptions, events: "ServerLog") -> "Callable[..., PipeServer]":
    """Return the factory of a server that answers by rules, and ignores its handler."""
    from pathlib import Path

    from pipectl.core.traffic.rules_file import Watched
    from pipectl.core.traffic.rules_server import RulesServer
    from pipectl.output.ruleslog import RulesLog

    assert isinstance(events, RulesLog)
    reload = Watched(Path(rules.name), rules.parse, rules.rules, events.warn).changed if rules.watches else None
    make = partial(RulesServer, rules=rules.rules, faults=faults, on_fault=events.faulted, rules_events=events)
    make = partial(make, is_strict=rules.is_strict, expects_all=rules.expects_all, reload=reload)
    return lambda pipe, _answer, **options: make(pipe, **options)


def _greeting(answers: AnswerOptions, *, is_outbound: bool) -> "Callable[[Client, Send], object] | None":
    """Return a function that sends the greeting; if nothing can be received, it includes the reply."""
    greeting, reply = answers.greeting or b"", answers.reply if is_outbound else None
    if reply is not None:
        return lambda client, send: reply.deliver(client, lambda data: send(greeting + data))
    return None if answers.greeting is None else lambda _client, send: send(greeting)


def _answer(
    stack: ExitStack, events: "ServerLog", output: Output, answers: AnswerOptions, direction: OpenMode
) -> "Answer":
    """Return the handler for the options."""
    if direction is OpenMode.INBOUND:
        return lambda _client, _data: None
    if answers.program:
        return stack.enter_context(closing(_program(events, output, answers)))
    reply = answers.reply
    if reply is None:
        return lambda _client, data: data
    if isinstance(reply, TextReply):
        return lambda _client, _data: reply.data

    from pipectl.core.pipe.contract import LATER

    def later(client: "Client", _data: bytes) -> "Later":
        reply.deliver(client, client.reply)
        return LATER

    return later


def _program(events: "ServerLog", output: Output, answers: AnswerOptions) -> "ProgramAnswers":
    from pipectl.core.traffic.programs import Failure, ProgramAnswers

    def environment(client: "Client") -> dict[str, str]:
        return events.visitor(client).environment()

    def failed(client: "Client", failure: Failure) -> None:
        what = f"ended with exit code {failure.exit_code}"
        if failure.exit_code is None:
            what = "was ended" if failure.was_ended else "could not be run"
        program = answers.program[0]
        output.warning(f"#{events.visitor(client).number}: `{program}` {what}: {failure.text}".removesuffix(": "))

    return ProgramAnswers(answers.program, environment, failed, timeout=answers.program_timeout)

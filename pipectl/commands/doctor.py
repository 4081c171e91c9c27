"""`pipectl doctor`: finds out why a pipe cannot be opened or created."""

import re
from typing import TYPE_CHECKING, Any

import click

from pipectl.options import option, with_examples
from pipectl.options.client import pipe_argument
from pipectl.options.types import DURATION, TOKEN
from pipectl.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipectl.core.checks.doctor import Diagnosis
    from pipectl.core.checks.doctor_model import Check
    from pipectl.core.security.access_check import Judgement, Token
    from pipectl.output import Record

_WORDS = {"ok": "ok", "problem": "PROBLEM", "note": "note", "unknown": "not checked", "skipped": "not checked"}
_TYPES = {"message": True, "byte": False}


@with_examples(
    ("pipectl doctor svc", "Find out why a pipe cannot be opened, and how to fix it."),
    ("pipectl doctor svc --mode read", "Ask for a client that only reads."),
    ("pipectl doctor svc --ask ping", "Also send something, and see whether the server replies."),
)
@pipe_argument
@option(
    "--mode",
    type=click.Choice(["read", "write", "duplex"]),
    default="duplex",
    show_default=True,
    help="What a client opens it for; with `--serve`, what the server does.",
)
@option("--type", "kind", type=click.Choice(list(_TYPES)), help="The type of pipe that the program needs.")
@option(
    "--as",
    "whom",
    type=TOKEN,
    metavar="WHO",
    help="Ask for somebody else, without opening the pipe: elevated, low, appcontainer, network, anonymous, users, "
    "pid:N, a SID or an account.",
)
@option("--serve", "serves", is_flag=True, help="Ask why the pipe cannot be made, instead of opened.")
@option("--ask", "data", metavar="DATA", help="Also send this, which the server may act on, and wait for a reply.")
@option("--no-open", is_flag=True, help="Do not open the pipe: tell what can be known without.")
@option(
    "-t",
    "--timeout",
    type=DURATION,
    default="5",
    show_default=True,
    help="Time limit for the whole operation; `none` is no limit. Each check has a second at most.",
)
@click.pass_obj
def command(
    output: Output,
    /,
    pipe: str,
    mode: str,
    kind: str | None,
    whom: "tuple[str, Token] | None",
    serves: bool,
    data: str | None,
    no_open: bool,
    timeout: float | None,
) -> int:
    """Find out why a pipe cannot be opened, and how to fix it.

    Looks at all that can be seen without opening the pipe, and then opens it once, which takes one instance for a
    moment; `--no-open`, `--as` and `--serve` keep it closed. The first problem is the verdict, and decides the exit
    code. 0 means that the pipe can be opened, 10 that no problem was found, but something could not be looked at. What
    it says of access and of other computers has not yet been run on Windows.
    """
    from pipectl.core.checks.doctor_facts import Question, examine
    from pipectl.core.checks.doctor_model import Mode
    from pipectl.exitcodes import exit_code_for

    if data is not None and (no_open or whom or serves or mode != "duplex"):
        raise click.UsageError("`--ask` opens the pipe for both directions: leave out the options that do not")
    who, token = whom or (None, None)
    question = Question(
        pipe,
        Mode(mode),
        who=who,
        token=token,
        serves=serves,
        is_message=_TYPES.get(kind or ""),
        opens=not no_open,
        data=None if data is None else data.encode(),
    )
    with output.waiting(f"what can be known of {pipe}"):
        diagnosis = examine(question, timeout)
    exit_code = 0 if diagnosis.error is None else int(exit_code_for(diagnosis.error))
    fix = _fix(diagnosis)
    if output.is_json:
        asked = {"mode": mode, "type": kind, "as": who, "serve": serves}
        output.data.record({**_record(diagnosis), "asked": asked, "exit_code": exit_code, "fix": fix})
        return exit_code
    shown = [check for check in diagnosis.checks if check.status != "skipped" or output.verbosity]
    output.data.record(_table(shown, is_long=bool(output.verbosity)))
    output.data.event({}, f"verdict: {diagnosis.summary}")
    if fix:
        output.data.event({}, f"fix: {fix['text']}")
        if fix["sddl"]:
            output.data.event({}, f"suggested access list: {fix['sddl']}")
    return exit_code


def _table(checks: "Sequence[Check]", *, is_long: bool) -> "Record":
    """Return the result of each check; with its details if it found a problem, or if `is_long`."""
    width = max(len(_WORDS[check.status]) for check in checks)
    return {
        check.id: [
            f"{_WORDS[check.status]:<{width}}  {check.text}",
            *(f"{'':<{width}}    {line}" for line in check.details if is_long or check.problem),
        ]
        for check in checks
    }


def _fix(diagnosis: "Diagnosis") -> dict[str, Any] | None:
    """Return what to try: a sentence, the command in it, and a suggested access list."""
    from pipectl.hints import fix_for

    problem = diagnosis.problem
    if problem is None:
        return None
    text = fix_for(problem.cause, diagnosis.pipe, problem.value, problem.code)
    command = re.search(r"`([^`]+)`", text)
    return {"text": text, "command": command and command[1], "sddl": problem.sddl}


def _record(diagnosis: "Diagnosis") -> "Record":
    return {
        "pipe": diagnosis.pipe,
        "verdict": diagnosis.outcome,
        "cause": diagnosis.problem and diagnosis.problem.cause,
        "summary": diagnosis.summary,
        "checks": [_check(check) for check in diagnosis.checks],
    }


def _check(check: "Check") -> "Record":
    about: dict[str, Any] = {"id": check.id, "status": check.status, "text": check.text, "details": list(check.details)}
    if check.problem and check.problem.code:
        about["code"] = check.problem.code
    return {**about, **_judged(check.judgement)} if check.judgement else about


def _judged(judgement: "Judgement") -> "Record":
    """Return the rights that were judged, and the rule that decides each."""
    return {
        "granted": hex(judgement.granted),
        "missing": hex(judgement.missing),
        "reasons": [
            {
                name: value
                for name, value in {**reason._asdict(), "rights": hex(reason.rights)}.items()
                if value is not None
            }
            for reason in judgement.reasons
        ],
    }

"""`pipectl selftest`: checks on this system what pipectl assumes about Windows."""

from typing import TYPE_CHECKING, Any

import click

from pipectl.options import option, with_examples
from pipectl.output import Output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipectl.core.checks.claim import Claim

_NAME = "selftest"
# The hidden option that starts a child in a role.
_ROLE = "--role"


class ClaimId(click.ParamType[str]):
    """The id of a claim, in any case."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from pipectl.core.checks.claims import CLAIMS

        if value.upper() not in {claim.id for claim in CLAIMS}:
            raise click.BadParameter(f"there is no claim `{value}`; `pipectl selftest --list` lists them", ctx, param)
        return value.upper()


@with_examples(
    ("pipectl selftest", "Check every claim, in a few seconds."),
    ("pipectl selftest --report", "Print a report to paste into an issue."),
    ("pipectl selftest --only W02 --only W19 --json", "Check two claims and print one JSON object per claim."),
)
@option("--list", "lists", is_flag=True, help="List the claims without checking them.")
@option("--only", metavar="ID", type=ClaimId(), multiple=True, help="Check only this claim; can be repeated.")
@option("--admin", is_flag=True, help="Also check the claims that need an elevated prompt.")
@option(
    "--network", is_flag=True, help="Also check the claims that need SMB: \\\\localhost, and an unreachable address."
)
@option("--report", is_flag=True, help="Print a report in Markdown instead of a table.")
@option(_ROLE, nargs=2, hidden=True, help="Play a role for another selftest: its name, and a pipe.")
@click.pass_obj
def command(
    output: Output,
    /,
    lists: bool,
    only: tuple[str, ...],
    admin: bool,
    network: bool,
    report: bool,
    role: tuple[str, str] | None,
) -> None:
    """Check what pipectl assumes about Windows, claim by claim.

    Opens only its own pipes, starts a copy of itself as the other process, and uses no network (except with
    `--network`). Takes less than 20 seconds. A claim holds, differs, or is not tried because this system or this user
    does not allow it.

    The exit code is 0 if no claim differs and 12 if one does. Under Wine many claims are known to differ: a run there
    exits with 12 and proves nothing about Windows.

    The report contains no names of users, computers, SIDs, paths or other programs' pipes. Nothing is sent anywhere.
    """
    from pipectl.core.checks.claim import Need
    from pipectl.core.checks.claims import chosen

    if role:
        from pipectl.core.checks.companion import play

        play(*role)
    elif lists:
        _list(output, chosen(only))
    elif report and output.mode is not None:
        raise click.UsageError("`--report` prints Markdown: leave out `--json` and `--format`")
    else:
        offered = [need for need, is_offered in ((Need.ADMIN, admin), (Need.NETWORK, network)) if is_offered]
        _check(output, chosen(only), offered, as_report=report)


def _list(output: Output, claims: "Sequence[Claim]") -> None:
    from pipectl.core.checks.claims import described
    from pipectl.output.text import counted

    records = [described(claim) for claim in claims]
    output.data.records(records, ("claim", "id", "needs"), title=counted(len(records), "claim"))


def _check(output: Output, claims: "Sequence[Claim]", offered: "Sequence[str]", *, as_report: bool) -> None:
    from pipectl.core.checks.selftest import Summary, recorded, run
    from pipectl.core.checks.system import facts
    from pipectl.output.report import markdown

    summary, system = Summary(), facts()
    if "wine" in system:
        output.note("this is Wine: differences here say nothing about Windows")
    with output.live():
        for result in run(claims, (_NAME, _ROLE), offered):
            summary.add(result)
            output.progress(f"{summary}, {result.claim.id}")
    # Before the data, so that the verdict is shown even if stdout is full or closed.
    (output.warning if summary.differing else output.note)(str(summary))
    records = [recorded(result) for result in summary.results]
    if as_report:
        output.stream.write_text(markdown(f"pipectl selftest: {summary}", system, records))
    else:
        rows = records if output.is_json else [{**record, "answer": _answer(record)} for record in records]
        output.data.records(rows, ("claim", "id", "verdict", "answer", "note"))
        if output.is_json:
            output.data.record({"event": "summary", **summary.counts(), "system": system})
    summary.verify()


def _answer(record: "Mapping[str, Any]") -> str | None:
    """Return what was observed, and what was expected if that differs."""
    if record["verdict"] != "differs":
        return record["observed"]  # type: ignore[no-any-return]
    return f"{record['observed']} (expected: {record['expected']})"

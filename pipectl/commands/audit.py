"""`pipectl audit`: finds pipes that others could misuse."""

from typing import TYPE_CHECKING, Any

import click

from pipectl.options import UsageError, option, with_examples
from pipectl.options.types import DURATION, FILE, TOKEN, BaselineFile
from pipectl.output import Output

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pipectl.core.checks.audit import Report
    from pipectl.core.checks.audit_rules import Finding, Severity
    from pipectl.core.checks.baseline import Known
    from pipectl.core.security.access_check import Token
    from pipectl.output import Record

_SARIF = "sarif"
_ALL = "*"


class RuleId(click.ParamType[str]):
    """The id of a rule, in any case."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from pipectl.core.checks.audit_table import BY_ID

        if value.upper() not in BY_ID:
            raise click.BadParameter(f"there is no rule `{value}`; `pipectl help audit` lists them", ctx, param)
        return value.upper()


@with_examples(
    ("pipectl audit", "Judge all pipes whose ACL can be read."),
    ('pipectl audit "*docker*" --strict --json', "Print one JSON object per finding about some pipes, and a summary."),
    ("pipectl audit --rule P001 --rule P003 --format sarif", "Print the findings of two rules for a code scanner."),
    formats=(_SARIF,),
)
@click.argument("pattern", default=_ALL, help="The name of a pipe, a part of it, or a pattern with * and ?.")
@option("--rule", "rules", type=RuleId(), metavar="ID", multiple=True, help="Apply only this rule; can be repeated.")
@option("--ignore", "ignored", type=RuleId(), metavar="ID", multiple=True, help="Skip this rule; can be repeated.")
@option(
    "--severity",
    type=click.Choice(["note", "low", "medium", "high", "critical"]),
    default="medium",
    show_default=True,
    help="The least severity that counts for the exit code, and that a table shows; -v shows all.",
)
@option(
    "--as",
    "whom",
    type=TOKEN,
    metavar="WHO",
    help="Judge what somebody may do, instead of users in general: elevated, low, appcontainer, network, anonymous, "
    "users, pid:N, a SID or an account.",
)
@option("--baseline", type=BaselineFile(), metavar="FILE", help="Count only findings that are not in this file.")
@option(
    "--write-baseline",
    "target",
    type=FILE,
    metavar="FILE",
    help="Write the findings to this file, as a baseline for later audits.",
)
@option("--strict", is_flag=True, help="Exit with code 10 if a pipe could not be judged.")
@option(
    "--open",
    "opens",
    is_flag=True,
    help="Open a pipe whose ACL cannot be read otherwise: this uses one of its instances for a moment.",
)
@option(
    "--watch-for",
    "seconds",
    type=DURATION,
    metavar="SECONDS",
    help="First watch the pipes for this time, for names that disappear and come back (P016).",
)
@option(
    "--timeout",
    type=DURATION,
    default="10",
    show_default=True,
    help="Time limit for gathering the facts (2.5, 500ms, 2m; none = no limit).",
)
@click.pass_obj
def command(
    output: Output,
    /,
    pattern: str,
    rules: tuple[str, ...],
    ignored: tuple[str, ...],
    severity: str,
    whom: "tuple[str, Token] | None",
    baseline: "frozenset[Known] | None",
    target: str | None,
    strict: bool,
    opens: bool,
    seconds: float | None,
    timeout: float | None,
) -> int:
    """Find pipes that others could misuse: ACLs, squatting, remote access.

    Opens no pipe (except with `--open`): it reads ACLs through the handles of processes that this user may inspect. An
    elevated prompt sees nearly all. `pipectl help audit P003` explains a rule. Exit code 12 means that a new finding
    has at least the severity that counts; 10, with `--strict`, that a pipe could not be judged.

    It cannot see whether a server uses FIRST_PIPE_INSTANCE, and whether clients check their server or limit the
    impersonation level. Not yet run on Windows.
    """
    from pipectl.core.checks.audit import gather, judged, watch_names
    from pipectl.core.checks.audit_rules import Severity, Who
    from pipectl.core.checks.audit_table import BY_ID
    from pipectl.core.checks.baseline import absent, known, text_of
    from pipectl.output.whole import write_whole

    if seconds is None and "P016" in rules:
        raise UsageError("P016 needs time to watch", "Add `--watch-for 60`")
    gaps = None
    if seconds is not None:
        with output.waiting(f"names that disappear and come back, {seconds:g} s"):
            gaps = watch_names(pattern, seconds)
    with output.waiting("the ACLs of pipes"):
        gathered = gather(pattern, timeout, opens=opens, gaps=gaps)
    report = judged(gathered, Who.of(whom[1]) if whom else None)
    wanted = set(rules or BY_ID) - set(ignored)
    report = report._replace(findings=[one for one in report.findings if one.rule in wanted])
    least = Severity[severity.upper()]
    serious = {
        one for one in report.findings if one.severity >= least and (baseline is None or known(one) not in baseline)
    }
    missing = absent(baseline or (), report.findings, wanted, report.judged, is_all=pattern == _ALL)
    _show(output, report, serious, baseline, missing)
    if not output.is_json:
        _tell(output, report, len(serious), least, advice="" if opens else ", or `--open`")
    if target is not None:
        write_whole(target, text_of(report.findings))
    if serious:
        return 12
    return 10 if strict and report.is_partial else 0


def explain(rule: str | None) -> str:
    """Return the list of rules, or one rule with its reason and fix; raises UsageError for an unknown id."""
    from pipectl.core.checks.audit_table import BY_ID, RULES, explained

    if rule is None:
        return "\nRules (pipectl help audit ID):\n" + "\n".join(f"  {one.id}  {one.title}" for one in RULES)
    if rule.upper() not in BY_ID:
        raise UsageError(f"there is no rule `{rule}`", "See `pipectl help audit`")
    return "\n\n".join(click.wrap_text(paragraph, 100) for paragraph in explained(BY_ID[rule.upper()]))


def _show(
    output: Output,
    report: "Report",
    serious: "Collection[Finding]",
    baseline: "Collection[Known] | None",
    missing: "Sequence[Known]",
) -> None:
    from pipectl.core.names import short
    from pipectl.output.text import counted

    if output.mode == _SARIF:
        _write_sarif(output, report, baseline, missing)
        return
    records = [_record(finding, report, baseline) for finding in report.findings]
    if output.is_json:
        output.data.records(records, ())
        output.data.record({"event": "summary", **_summary(report, serious), "absent": len(missing)})
        return
    counts = [output.verbosity > 0 or finding in serious for finding in report.findings]
    rows = [{**record, "pipe": short(record["pipe"])} for record, is_it in zip(records, counts, strict=True) if is_it]
    if rows:
        output.data.records(rows, ("severity", "rule", "pipe", "why"), title=counted(len(rows), "finding"))
        output.note(f"`pipectl help audit {rows[0]['rule']}` explains the rule, and how to fix what it finds")


def _tell(output: Output, report: "Report", serious: int, least: "Severity", advice: str) -> None:
    """Print how many pipes were judged, and which were not."""
    from pipectl.output.text import counted

    judged = report.pipes - len(report.not_judged)
    others = len(report.findings) - serious
    shows = "1 other (-v shows it)" if others == 1 else f"{others:,} others (-v shows them)"
    more = f"; {shows}" if others and not output.verbosity else ""
    level = f"{least.name.lower()}{' or higher' if least < max(type(least)) else ''}"
    output.note(f"{counted(judged, 'pipe')} judged: {counted(serious, 'finding')} of severity {level}{more}")
    if report.not_judged:
        count = counted(len(report.not_judged), "pipe")
        output.warning(f"{count} not judged, because the ACL cannot be read: use an elevated prompt{advice}")
        output.detail(f"not judged: {', '.join(report.not_judged)}")
    if report.partly_judged:
        count = counted(len(report.partly_judged), "pipe")
        output.warning(f"{count} may have more servers than could be found: use an elevated prompt")
        output.detail(f"not all servers found: {', '.join(report.partly_judged)}")
    if report.by_handles:
        output.note("the directory of pipes cannot be read: other pipes may exist")


def _record(finding: "Finding", report: "Report", baseline: "Collection[Known] | None") -> "Record":
    from pipectl.core.checks.audit_table import BY_ID
    from pipectl.core.checks.baseline import known
    from pipectl.core.names import from_directory

    rule = BY_ID[finding.rule]
    processes = [server.process for server in report.servers[finding.pipe]]
    return {
        "rule": finding.rule,
        "severity": finding.severity.name.lower(),
        "pipe": from_directory(finding.pipe),
        "servers": [{"pid": one.pid, **({"image": one.image} if one.image else {})} for one in processes],
        "account": finding.account,
        "rights": hex(finding.rights) if finding.rights else None,
        "entry": finding.entry,
        "why": finding.why,
        "fix": rule.fix,
        "references": list(rule.references),
        "new": baseline is None or known(finding) not in baseline,
    }


def _summary(report: "Report", serious: "Collection[Finding]") -> dict[str, Any]:
    from pipectl.core.names import from_directory

    return {
        "pipes": report.pipes,
        "not_judged": [from_directory(pipe) for pipe in report.not_judged],
        "partly_judged": [from_directory(pipe) for pipe in report.partly_judged],
        "unseen": report.unseen,
        "complete": not report.is_partial,
        "findings": len(report.findings),
        "serious": len(serious),
    }


def _write_sarif(
    output: Output, report: "Report", baseline: "Collection[Known] | None", missing: "Sequence[Known]"
) -> None:
    import json

    from pipectl import __version__
    from pipectl.core.checks.sarif import document

    text = json.dumps(
        document(
            report.findings,
            __version__,
            not_judged=report.not_judged,
            partly_judged=report.partly_judged,
            is_complete=not report.is_partial,
            baseline=baseline,
            missing=missing,
        ),
        indent=1,
    )
    output.stream.write_text(text)

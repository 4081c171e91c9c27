"""SARIF 2.1.0, the format of findings that code scanners and CI systems exchange. Runs on any system."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from .audit_rules import Finding, Severity
from .audit_table import RULES, Rule, link
from .baseline import Known, known, steady

_Object = dict[str, Any]
_UNRESERVED = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = ("note", "warning", "warning", "error", "error")
# The score from 0 to 10 by which GitHub sorts findings, for each severity.
_SCORES = ("1.0", "3.0", "5.0", "7.5", "9.0")
# The severity of a rule begins with the word for its highest severity.
_WORDS = {severity.name.lower(): severity for severity in Severity}


def document(
    findings: Sequence[Finding],
    version: str,
    *,
    not_judged: Iterable[str] = (),
    partly_judged: Iterable[str] = (),
    is_complete: bool = True,
    baseline: Collection[Known] | None = None,
    missing: Iterable[Known] = (),
) -> _Object:
    """Return the document of one audit.

    `baseline` contains the findings that were known before, and `missing` those of them that were not found.
    """
    rules = {rule.id: index for index, rule in enumerate(RULES)}
    results = [_result(finding, rules, baseline) for finding in findings]
    results += [_absent(one, rules) for one in missing]
    problems = [f"the ACL of {pipe} cannot be read" for pipe in not_judged]
    problems += [f"{pipe} may have more servers than could be found" for pipe in partly_judged]
    notifications = [{"level": "warning", "message": {"text": problem}} for problem in problems]
    run = {
        "tool": {"driver": {"name": "pipectl", "version": version, "rules": list(map(_rule, RULES))}},
        "invocations": [{"executionSuccessful": is_complete, "toolExecutionNotifications": notifications}],
        "results": results,
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> _Object:
    severity = _WORDS[rule.severity.partition(" ")[0].rstrip(";")]
    cwes = [reference for reference in rule.references if reference.startswith("CWE-")]
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.fix},
        **({"helpUri": link(rule.references[0])} if rule.references else {}),
        "defaultConfiguration": {"level": _LEVELS[severity]},
        "properties": {
            "security-severity": _SCORES[severity],
            "tags": ["security", *(f"external/cwe/{cwe.lower()}" for cwe in cwes)],
        },
    }


def _result(finding: Finding, rules: dict[str, int], baseline: Collection[Known] | None) -> _Object:
    state = None if baseline is None else "unchanged" if known(finding) in baseline else "new"
    return {
        "ruleId": finding.rule,
        "ruleIndex": rules[finding.rule],
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.pipe}: {finding.why}"},
        "locations": [_location(finding.pipe)],
        "partialFingerprints": _fingerprints(known(finding)),
        **({"baselineState": state} if state else {}),
    }


def _absent(one: Known, rules: dict[str, int]) -> _Object:
    return {
        "ruleId": one.rule,
        **({"ruleIndex": rules[one.rule]} if one.rule in rules else {}),
        "message": {"text": f"{one.pipe}: no longer found"},
        "locations": [_location(one.pipe)],
        "partialFingerprints": _fingerprints(one),
        "baselineState": "absent",
    }


def _fingerprints(one: Known) -> _Object:
    # GitHub reads only the second one.
    return dict.fromkeys(("pipectl/v1", "primaryLocationLineHash"), str(one))


def _location(pipe: str) -> _Object:
    # GitHub shows only results with a file and a line. The name stays the same after a restart, so that GitHub
    # recognizes the finding.
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": f"pipes/{_quoted(steady(pipe))}"},
            "region": {"startLine": 1},
        },
        "logicalLocations": [{"name": pipe, "fullyQualifiedName": rf"\\.\pipe\{pipe}", "kind": "resource"}],
    }


def _quoted(name: str) -> str:
    """Return a name quoted for a URI; importing `urllib` would load too many modules."""
    return "".join(
        chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in name.encode("utf-8", "surrogatepass")
    )

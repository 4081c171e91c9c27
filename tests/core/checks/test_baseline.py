"""Baselines: a finding stays known when its program is started again, and a new one is new."""

import json

import pytest

from pipectl.core.checks.audit_rules import Finding, Severity
from pipectl.core.checks.baseline import Known, absent, known, parse, steady, text_of
from pipectl.core.security.sids import EVERYONE


def finding(pipe: str = "svc", rule: str = "P003", account: str | None = EVERYONE) -> Finding:
    """Something that is wrong with a pipe."""
    return Finding(rule, Severity.HIGH, pipe, "why", account, 1)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("svc", "svc"),
        ("mojo.4312.77.123456789", "mojo.*.*.*"),
        ("LOCAL\\{3F2504E0-4F89-41D3-9A0C-0305E82C3301}", "local\\{*}"),
        ("crashpad_91_ABCDEF0123", "crashpad_*_*"),
        ("Winsock2\\CatalogChangeListener-3a8-0", "winsock*\\catalogchangelistener-*a*-*"),
        ("sock7f3a9c2b1dxyz", "sock*xyz"),
        ("deadbeef", "deadbeef"),
        ("facade", "facade"),
    ],
)
def test_what_changes_in_a_name_is_a_star(name: str, pattern: str) -> None:
    assert steady(name) == pattern


def test_a_finding_is_known_again_after_a_restart() -> None:
    baseline = parse(text_of([finding("mojo.4312.77.123456789")]))
    assert known(finding("mojo.99.3.5")) in baseline
    assert known(finding("MOJO.99.3.5")) in baseline


@pytest.mark.parametrize("other", [finding("svc2x"), finding(rule="P002"), finding(account="S-1-5-11")], ids=str)
def test_a_finding_about_another_pipe_rule_or_account_is_new(other: Finding) -> None:
    assert known(other) not in parse(text_of([finding()]))


def test_a_baseline_is_sorted_and_has_each_finding_once() -> None:
    text = text_of([finding("b"), finding("a1"), finding("a2"), finding(account=None)])
    assert [one["pipe"] for one in json.loads(text)["findings"]] == ["a*", "b", "svc"]
    assert parse(text_of([])) == frozenset()


def test_what_is_no_longer_found_is_absent() -> None:
    baseline = parse(text_of([finding("a"), finding("b"), finding("gone")]))
    pipes = {"a": True, "b": True}
    a, gone = Known("P003", "a", EVERYONE), Known("P003", "gone", EVERYONE)
    assert absent(baseline, [finding("b")], ["P003"], pipes, is_all=True) == [a, gone]
    assert absent(baseline, [finding("b")], ["P003"], pipes, is_all=False) == [a]


def test_what_was_not_looked_for_is_not_absent() -> None:
    baseline = parse(text_of([finding("a1"), finding("b")]))
    assert absent(baseline, [], ["P001"], {"a1": True, "b": True}, is_all=True) == []
    assert absent(baseline, [], ["P003"], {"a1": False, "a2": True, "b": False}, is_all=True) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "1",
        '{"schema": 2, "findings": []}',
        '{"schema": 1, "findings": [{}]}',
        '{"schema": 1, "findings": 1}',
    ],
)
def test_a_text_that_is_no_baseline_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="baseline"):
        parse(text)

"""Baselines of an audit: known findings, with names that stay the same after a restart. Runs on any system."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from .audit_rules import Finding

_SCHEMA = 1
# GUIDs, hexadecimal numbers of 8 or more digits, and any other digits.
_CHANGING = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[a-f]*\d)[0-9a-f]{8,}|\d+", re.IGNORECASE)


class Known(NamedTuple):
    """A finding without the parts that change each time a program starts."""

    rule: str
    pipe: str
    account: str

    def __str__(self) -> str:
        return "/".join(self)


def steady(name: str) -> str:
    """Return a pipe's name with `*` for the parts that may change each time a program starts."""
    return _CHANGING.sub("*", name).lower()


def known(finding: Finding) -> Known:
    """Return the entry for a finding in a baseline."""
    return Known(finding.rule, steady(finding.pipe), finding.account or "")


def parse(text: str) -> frozenset[Known]:
    """Parse a baseline; raises ValueError if the text is not one."""
    try:
        content = json.loads(text)
        schema, found = content["schema"], content["findings"]
        if schema == _SCHEMA:
            return frozenset(Known(*(str(one[field]) for field in Known._fields)) for one in found)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("it is not a baseline of `pipectl audit`") from error
    raise ValueError(f"it is a baseline of schema {schema!r}, and this pipectl reads schema {_SCHEMA}")


def text_of(findings: Iterable[Finding]) -> str:
    """Return a baseline with these findings, sorted and one per line, so that baselines can be compared."""
    lines = ",\n".join(json.dumps(one._asdict()) for one in sorted(set(map(known, findings))))
    return f'{{"schema": {_SCHEMA}, "findings": [\n{lines}\n]}}\n'


def absent(
    baseline: Iterable[Known],
    findings: Iterable[Finding],
    rules: Collection[str],
    judged: Mapping[str, bool],
    *,
    is_all: bool,
) -> list[Known]:
    """Return the findings of a baseline that no longer occur, as far as these rules and pipes show.

    `judged` maps each pipe to whether it could be judged. `is_all` means that there are no other pipes, so that a
    finding about another pipe no longer occurs.
    """
    sure: dict[str, bool] = {}
    for pipe, is_judged in judged.items():
        sure[steady(pipe)] = is_judged and sure.get(steady(pipe), True)
    gone = set(baseline).difference(map(known, findings))
    return sorted(one for one in gone if one.rule in rules and sure.get(one.pipe, is_all))

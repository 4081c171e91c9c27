"""Writes the report of a self-test as Markdown, to paste into an issue."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .text import cells, fields

_COLUMNS = ("id", "verdict", "claim", "expected", "observed", "note", "seconds")


def markdown(title: str, system: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str:
    """Return a report that an issue shows collapsed: facts about the system, and a row for each claim."""
    return "\n".join(
        [
            f"<details><summary>{title}</summary>",
            "",
            *_table(("system", ""), fields(system)),
            "",
            *_table(_COLUMNS, cells(records, _COLUMNS)),
            "",
            "</details>",
        ]
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(heads)
    yield _row(["---"] * len(heads))
    yield from map(_row, rows)


def _row(cells_of_row: Iterable[str]) -> str:
    escaped = " | ".join(cell.replace("|", r"\|") for cell in cells_of_row)
    return f"| {escaped} |"

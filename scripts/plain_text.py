"""Converts Markdown to plain text for a terminal of 80 columns; supports the Markdown that docs/ uses."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from textwrap import fill

_WIDTH = 79
_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
_PATH = re.compile(r"(?:[\w./-]*/)?([\w-]+)\.(?:md|schema\.json)(?:#.*)?")


def plain_text(page: str) -> str:
    """Return a page as plain text, without comments and without Markdown syntax that is only for renderers."""
    page = re.sub(r"<!--.*?-->\n?", "", page, flags=re.DOTALL)
    return "\n\n".join(text for block in _blocks(page) if (text := _block(block))) + "\n"


def _blocks(page: str) -> Iterator[list[str]]:
    """Yield the lines of each block: a fenced block, or the text between empty lines."""
    block: list[str] = []
    is_fenced = False
    for line in page.splitlines():
        is_fenced ^= line.startswith("```")
        if line or is_fenced:
            block.append(line)
        else:
            yield block
            block = []
    yield block


def _block(lines: list[str]) -> str:
    first = lines[0] if lines else ""
    if first.startswith("```"):
        return "\n".join(f"    {line}".rstrip() for line in lines[1:-1])
    if first.startswith("#"):
        return _inline(first.lstrip("# ")).upper() if first.startswith("# ") else _inline(first.lstrip("# "))
    if first.startswith("|"):
        return _table([_cells(line) for line in lines if not re.fullmatch(r"[|\s:-]+", line)])
    items = groupby(_items(lines), key=lambda item: item[0])
    return "\n".join(_filled(" ".join(line for _, line in item)) for _, item in items)


def _items(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield each line with the number of the list item that it belongs to."""
    number = 0
    for line in lines:
        number += line.startswith("- ")
        yield number, line.strip()


def _filled(text: str) -> str:
    return _wrapped(_inline(text), "  " if text.startswith("- ") else "")


def _wrapped(text: str, indent: str, first: str = "") -> str:
    return fill(
        text, _WIDTH, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _inline(text: str) -> str:
    """Replace links and emphasis; code keeps its backticks, which show where it begins and ends."""
    return _LINK.sub(_link, text).replace("**", "")


def _link(match: re.Match[str]) -> str:
    label, target = match.groups()
    page = _PATH.fullmatch(target)
    return label if page else f"{label} ({target})"


def _cells(line: str) -> list[str]:
    return [_inline(cell.strip().replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def _table(rows: list[list[str]]) -> str:
    """Format a table in columns or, if they are too wide, each row as a first line and indented lines."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + 2 * len(widths) <= _WIDTH:
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    head, *body = rows
    return "\n".join(
        "\n".join([_wrapped(first, "  "), *(_wrapped(f"{label}: {cell}", " " * 6, " " * 4) for label, cell in cells)])
        for row in body
        for first, cells in [(row[0], list(zip(head[1:], row[1:], strict=True)))]
    )

"""Converts bytes and values to text that is safe for a terminal, and to JSON."""

import codecs
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

from pipectl.core.names import escape

SCHEMA = 1

_ROW = 16
# The widest cell of a table that the others are aligned to.
_WIDEST = 64

UNLIMITED = "unlimited"


def printable(text: str) -> str:
    """Escape what could disturb a terminal; line ends and tabs stay."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(escape, line.split("\t"))) for line in lines)


def decoded(data: bytes, encoding: str) -> str | None:
    """Return the bytes as text in this encoding, or None if they are not valid or unlikely to be text."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def beginning(data: bytes, encoding: str, size: int) -> str | None:
    """Return the text of the first bytes without a character that is cut, or None as `decoded` does."""
    head = data[:size]
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, len(head) == len(data))
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def hexdump(data: bytes) -> str:
    """Show bytes as lines of an offset, sixteen bytes, and their ASCII text."""
    return "\n".join(_dump_lines(data))


def _dump_lines(data: bytes) -> Iterator[str]:
    for offset in range(0, len(data), _ROW):
        row = data[offset : offset + _ROW]
        digits = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}"
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{offset:08x}  {digits:<48}  {text}"


def for_person(data: bytes, form: str, encoding: str) -> str:
    """Return bytes for display in a form of `--as`; by default as text if they are text, otherwise as a hex dump."""
    match form:
        case "auto":
            return _at_best(data, encoding)
        case "hex":
            return hexdump(data)
        case "text":
            return printable(data.decode(encoding, "backslashreplace"))
        case _:
            return for_program(data, form, encoding)


def _at_best(data: bytes, encoding: str) -> str:
    if not data:
        return "<empty message>"
    text = decoded(data, encoding)
    return hexdump(data) if text is None else printable(text)


def for_program(data: bytes, form: str, encoding: str) -> str:
    """Return bytes as text in a form of `--as`, for a file."""
    match form:
        case "hex":
            return data.hex()
        case "base64":
            return base64(data)
        case _:
            return data.decode(encoding, "backslashreplace")


def for_json(data: bytes, encoding: str, form: str = "auto") -> dict[str, Any]:
    """Return bytes for JSON: their size, and their text if it can be converted back; otherwise base64.

    If the form is hex or base64, they are always in that form.
    """
    if form == "hex":
        return {"size": len(data), "hex": data.hex()}
    if form != "base64":
        with suppress(UnicodeError):
            text = data.decode(encoding)
            if text.encode(encoding) == data:  # a byte order mark, for one, would be lost
                return {"size": len(data), "text": text}
    return {"size": len(data), "base64": base64(data)}


def json_line(record: Mapping[str, Any]) -> str:
    """Return a record as a line of JSON, with the number of its schema; fields that are None are omitted."""
    import json

    return json.dumps({"schema": SCHEMA, **_present(record)}) + "\n"


def _present(value: Any) -> Any:
    # Models have () for nothing. An empty list is a fact, such as an access list without entries.
    if isinstance(value, Mapping):
        return {key: _present(field) for key, field in value.items() if field is not None and field != ()}
    return value


def base64(data: bytes) -> str:
    """Return bytes as base64, on one line."""
    return b2a_base64(data, newline=False).decode()


def size_in_words(count: int) -> str:
    """Return a number of bytes as text, such as `1.5 KiB`."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{count} {'byte' if count == 1 else unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def counted(number: int, what: str) -> str:
    """Return a number with its noun, such as `1 client` and `2 clients`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def in_words(value: Any) -> str:
    """Return a value of a record as text, on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, Iterable):
        return ", ".join(map(in_words, value))
    return str(value)


def fields(record: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Return the fields of a record as labels and texts: absent ones left out, nested ones labeled with their path.

    A field with several values has one line for each, and the label on the first.
    """
    for key, value in _with_limit(record).items():
        label = f"{place}{key.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from fields(value, f"{label} ")
        elif isinstance(value, list | tuple):
            yield from zip(chain((label,), repeat("")), map(in_words, value), strict=False)
        elif value is not None:
            yield label, in_words(value)


def cells(records: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> list[list[str]]:
    """Return the fields of records in these columns, as text; absent fields are empty."""
    columns = list(columns)
    return [["" if r.get(c) is None else in_words(r[c]) for c in columns] for r in map(_with_limit, records)]


def _with_limit(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record with the limit of instances in words if there is none, for which JSON has no number."""
    if UNLIMITED not in record:
        return record
    return {("max_instances" if key == UNLIMITED else key): value for key, value in record.items()} | {
        "max_instances": UNLIMITED
    }


def column_lines(rows: Iterable[Sequence[str]], *, has_heads: bool = True) -> list[str]:
    """Return rows as lines with aligned columns, numbers aligned right; the first row has the heads.

    A very long cell does not widen its column, but shifts the cells that follow it.
    """
    columns = [_padded(column, has_heads=has_heads) for column in zip(*rows, strict=True)]
    return ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]


def _padded(column: Sequence[str], *, has_heads: bool) -> list[str]:
    widths = list(map(_width, column))
    width = max((width for width in widths if width <= _WIDEST), default=_WIDEST)
    values = [cell for cell in column[has_heads:] if cell]
    is_number = bool(values) and all(cell.isdecimal() or cell == UNLIMITED for cell in values)
    spaces = [" " * (width - taken) for taken in widths]
    return [space + cell if is_number else cell + space for cell, space in zip(column, spaces, strict=True)]


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # included in the exe, unlike unicodedata

    return cell_len(text)

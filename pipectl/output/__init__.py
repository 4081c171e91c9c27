"""Where everything that a command says goes: data to stdout, talk to stderr. The only module that knows rich.

There are three forms of data. `table` is for people; `json` is one ASCII object a line; `raw` is the values alone.
Without a choice, a terminal gets tables, and a file or a pipe gets a payload's own bytes and plain columns, which are
never cut to a width. rich is loaded only when something is drawn on a terminal.

Everything that comes from outside is neutralised before a terminal gets it: see `rendering`.
"""

import codecs
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

if TYPE_CHECKING:
    from threading import Timer

    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

_SCHEMA = 1
# Seconds between two drawings of the progress line.
_REDRAW = 0.1


class Mode(StrEnum):
    """The forms of data: `--output`."""

    TABLE = "table"
    JSON = "json"
    RAW = "raw"


class Form(StrEnum):
    """How a payload is shown: `--as`."""

    AUTO = "auto"
    TEXT = "text"
    HEX = "hex"
    BASE64 = "base64"
    RAW = "raw"


class Show(NamedTuple):
    """How a payload is shown, and the encoding of its text."""

    form: Form = Form.AUTO
    encoding: str = "utf-8"


PLAIN = Show()


class OutputClosedError(Exception):
    """Nobody reads stdout any more, as after `| head -1`."""


class Output:
    """The output of one command; commands get it as click's `obj`, with the options already applied."""

    def __init__(self) -> None:
        self.mode: Mode | None = None
        self.verbosity = 0
        self.quiet = False
        self.debug = False
        self._consoles: dict[bool, Console] = {}
        self._live: Live | None = None
        self._progress = ""
        self._redraw: Timer | None = None
        # Whether something was already had when an error ends the command: the exit code says so.
        self.is_partial = False

    @property
    def is_json(self) -> bool:
        """Whether data and errors are JSON objects."""
        return self.mode is Mode.JSON

    # Data

    def payload(
        self,
        data: bytes,
        show: Show,
        record: Mapping[str, Any],
        *,
        field: str = "reply",
        as_dump: bool = False,
    ) -> None:
        """Write what a pipe sent; `record` is what JSON, and an explicit table, tell beside it.

        `field` is its name in JSON; `as_dump` shows even text to a person as a hex dump.
        """
        for_person = show._replace(form=Form.HEX) if as_dump and show.form is Form.AUTO else show
        if self.is_json:
            self._json({**record, field: _for_json(data, show.encoding)})
        elif self.mode is Mode.TABLE:
            self.record({**record, "bytes": len(data)})
            self._text(_shown_to_person(data, for_person))
        elif self.mode is Mode.RAW or show.form is Form.RAW:
            self._bytes(data)
        elif _is_terminal(sys.stdout):
            self._text(_shown_to_person(data, for_person))
        elif show.form is Form.AUTO:
            self._bytes(data)
        else:
            self._text(_shown_to_program(data, show))

    def record(self, record: Mapping[str, Any]) -> None:
        """Write one thing with its fields; fields that are None are absent."""
        if self.is_json:
            self._json(record)
            return
        fields = _fields(record)
        if self.mode is Mode.RAW:
            self._text("\n".join(f"{label}\t{value}" for label, value in fields))
        elif _is_terminal(sys.stdout):
            self._draw(_field_table(fields))
        else:
            self._text(_plain_columns(fields))

    def records(self, records: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str | None = None) -> None:
        """Write many things of a kind, one a line; `columns` are the fields to show, JSON has all."""
        if self.is_json:
            for record in records:
                self._json(record)
            return
        from .text import in_words

        rows = [["" if row.get(c) is None else in_words(row[c]) for c in columns] for row in records]
        heads = [column.replace("_", " ") for column in columns]
        if self.mode is Mode.RAW:
            self._text("\n".join("\t".join(row) for row in rows))
        elif _is_terminal(sys.stdout):
            self._draw(_row_table(heads, rows, title))
        else:
            self._text(_plain_columns([[head.upper() for head in heads], *rows]))

    def change(self, record: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Write how something was before and after: JSON has both as objects in the record, a table side by side."""
        if self.is_json:
            self._json({**record, "before": before, "after": after})
            return
        was, now = dict(_fields(before)), dict(_fields(after))
        rows = [{"state": label, "before": was.get(label), "after": now.get(label)} for label in was | now]
        self.records(rows, ("state", "before", "after"))

    def event(self, record: Mapping[str, Any], line: str) -> None:
        """Write something that just happened, at once: its record in JSON, its line for people."""
        if self.is_json:
            self._json(record)
        elif self._live is not None and _is_terminal(sys.stdout):
            self._live.console.print(_printable(line), soft_wrap=True)
        else:
            self._text(_printable(line))

    def stream(self, name: str, data: bytes) -> None:
        """Pass a piece of a child's `stdout` or `stderr` on, at once: to the stream of that name, or as JSON."""
        if self.is_json:
            self._json({"event": name, "data": _for_json(data, "utf-8")})
        else:
            _write(sys.stderr if name == "stderr" else sys.stdout, data)

    def summary(self, event: str, record: Mapping[str, Any]) -> None:
        """Say at the end what it came to: on stderr, for a person at a terminal; or as JSON."""
        if self.is_json:
            self._json({"event": event, **record})
        elif not self.quiet and _is_terminal(sys.stderr):
            self._console(to_stderr=True).print(_field_table(_fields(record)))

    # Talk

    def heading(self, title: str, *lines: str) -> None:
        """Begin a part of a tour."""
        self._talk("")
        self._talk(title, style="bold")
        for line in lines:
            self._talk(f"> {line}" if len(lines) == 1 else f"  {line}", style="cyan")

    def note(self, text: str) -> None:
        """Say something to the person, unless `--quiet`."""
        if not self.quiet:
            self._talk(text)

    def detail(self, text: str) -> None:
        """Say something that only `--verbose` asks for."""
        if self.verbosity and not self.quiet:
            self._talk(text)

    def warning(self, text: str) -> None:
        """Warn of something that goes on nevertheless."""
        self._talk(text, label="warning", style="yellow")

    def error(self, text: str, hint: str | None = None, **facts: Any) -> None:
        """Say why the command failed and what to try; `facts` are for JSON."""
        if self.is_json:
            record = {"schema": _SCHEMA, "error": {"message": text, **facts, "hint": hint}}
            with suppress(OutputClosedError):
                _write(sys.stderr, _json_line(record))
            return
        self._talk(text, label="error", style="bold red")
        if hint:
            self._talk(hint, label="hint", style="cyan")

    def traceback(self, error: Exception) -> None:
        """Show where an error comes from, if `--debug` asks for it."""
        if self.debug:
            from traceback import format_exception

            self._talk("".join(format_exception(error)).rstrip())

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep a line at the bottom of a terminal for what `progress` tells; elsewhere do nothing."""
        if self.quiet or self.mode is not None or not _is_terminal(sys.stderr):
            yield
            return
        from rich.live import Live

        # Drawn only when something happened, so that waiting costs nothing.
        with Live(console=self._console(to_stderr=True), auto_refresh=False, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def progress(self, text: str) -> None:
        """Change the line at the bottom of the terminal; drawn at most ten times a second, the last text always."""
        self._progress = text
        if self._live is not None and self._redraw is None:
            from threading import Timer

            self._redraw = Timer(_REDRAW, self._draw_progress)
            self._redraw.daemon = True
            self._redraw.start()

    def _draw_progress(self) -> None:
        from rich.text import Text

        self._redraw = None
        if (live := self._live) is not None:
            live.update(Text(self._progress, style="dim"), refresh=True)

    # Ways to the streams

    def _talk(self, text: str, label: str = "", style: str = "") -> None:
        text = _printable(text)
        if not _is_terminal(sys.stderr) or not (style or self._live):
            prefix = f"{label}: " if label else ""
            with suppress(OutputClosedError):
                _write(sys.stderr, f"{prefix}{text}\n")
            return
        from rich.text import Text

        line = Text.assemble((f"{label}: ", style), text) if label else Text(text, style)
        self._console(to_stderr=True).print(line, soft_wrap=True)

    def _text(self, text: str) -> None:
        if text and not text.endswith("\n"):
            text += "\n"
        _write(sys.stdout, text)

    def _bytes(self, data: bytes) -> None:
        _write(sys.stdout, data)

    def _json(self, record: Mapping[str, Any]) -> None:
        _write(sys.stdout, _json_line({"schema": _SCHEMA, **record}))

    def _draw(self, table: "Table") -> None:
        self._console(to_stderr=False).print(table)

    def _console(self, *, to_stderr: bool) -> "Console":
        if to_stderr not in self._consoles:
            from rich.console import Console

            self._consoles[to_stderr] = Console(stderr=to_stderr, markup=False, emoji=False, highlight=False)
        return self._consoles[to_stderr]


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty()


def _write(stream: TextIO, data: str | bytes) -> None:
    """Write everything at once, text with line feeds alone; raises OutputClosedError if nobody reads."""
    if isinstance(data, str) and not _is_terminal(stream):
        data = data.encode(_text_encoding(stream), "backslashreplace")
    try:
        if isinstance(data, str):
            stream.write(data)
        else:
            stream.flush()
            stream.buffer.write(data)
        stream.flush()
    except OSError as error:  # EPIPE, or EINVAL on Windows
        raise OutputClosedError from error


def _text_encoding(stream: TextIO) -> str:
    """Give the encoding of redirected text: the console's, which is how PowerShell and cmd read a program's output."""
    if sys.platform != "win32":
        return stream.encoding
    from pipectl.core.win32.winapi import GetConsoleOutputCP

    with suppress(LookupError):  # there is no console, or no codec for its code page
        return codecs.lookup(f"cp{GetConsoleOutputCP()}").name
    return "utf-8"


def _json_line(record: Mapping[str, Any]) -> str:
    import json

    return json.dumps(_present(record)) + "\n"


def _present(value: Any) -> Any:
    """Leave out what is absent: fields that are None, or an empty tuple."""
    if isinstance(value, Mapping):
        return {key: _present(field) for key, field in value.items() if field is not None and field != ()}
    return value


# What follows imports `rendering` when there is something to draw: a redirected payload needs nothing of it.


def _for_json(data: bytes, encoding: str) -> dict[str, Any]:
    from .text import for_json

    return for_json(data, encoding)


def _fields(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    from .text import fields

    return list(fields(record))


def _printable(text: str) -> str:
    from .text import printable

    return printable(text)


def _shown_to_person(data: bytes, show: Show) -> str:
    from . import text

    if show.form is Form.HEX:
        return text.hexdump(data)
    if show.form is Form.TEXT:
        return text.printable(data.decode(show.encoding, "backslashreplace"))
    return text.for_person(data, show.encoding) if show.form is Form.AUTO else _shown_to_program(data, show)


def _shown_to_program(data: bytes, show: Show) -> str:
    if show.form is Form.HEX:
        return data.hex()
    if show.form is Form.BASE64:
        from .text import base64

        return base64(data)
    return data.decode(show.encoding, "backslashreplace")


def _plain_columns(rows: Iterable[Sequence[str]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _field_table(fields: Iterable[tuple[str, str]]) -> "Table":
    table = _table(None)
    table.show_header = False
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in fields:
        table.add_row(label, value)
    return table


def _row_table(heads: Iterable[str], rows: Iterable[Iterable[str]], title: str | None) -> "Table":
    table = _table(title)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _table(title: str | None) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(title) if title else None, title_justify="left", box=box.ROUNDED, header_style="bold")

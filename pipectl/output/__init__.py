"""Where everything that a command says goes: data to stdout, talk to stderr.

There are three forms of data. `table` is for people; `json` is one ASCII object a line; `raw` is the values alone.
Without a choice, a terminal gets tables, and a file or a pipe gets a payload's own bytes and plain columns, which are
never cut to a width. The form is chosen once: `Output.data` is the writer that has it.

Everything that comes from outside is neutralized before a terminal gets it: see `text`. What this file does not need to
write a redirected payload is imported when it is used: `text`, `json` and `tables`, which alone knows rich.
"""

import codecs
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

if TYPE_CHECKING:
    from .tables import Screen

SCHEMA = 1

Record = Mapping[str, Any]


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


class View(NamedTuple):
    """How a payload is shown, and the encoding of its text."""

    form: Form = Form.AUTO
    encoding: str = "utf-8"


class OutputClosedError(Exception):
    """Nobody reads stdout any more, as after `| head -1`."""


class Writer:
    """Writes data for whoever reads a file or a pipe: a payload's own bytes, and columns of text.

    The writers for the other forms differ from this one where they say so. With `has_facts` a payload comes with the
    facts about it, and as a person reads it.
    """

    def __init__(self, *, has_facts: bool = False) -> None:
        self._has_facts = has_facts

    def payload(
        self,
        data: bytes,
        view: View,
        record: Record,
        *,
        field: str = "reply",  # noqa: ARG002 - for JSON
        as_dump: bool = False,
        as_line: bool = False,
    ) -> None:
        """Write what a pipe sent; `record` are the facts about it.

        `field` is its name in JSON; `as_dump` shows even text to a person as a hex dump; `as_line` gives a payload
        that is empty a line too, where one is asked for as text, so that many can be told apart.
        """
        for_person = view._replace(form=Form.HEX) if as_dump and view.form is Form.AUTO else view
        if self._has_facts:
            self.record({**record, "bytes": len(data)})
            self._shown_to_person(data, for_person)
        elif view.form is Form.RAW:
            write(sys.stdout, data)
        elif as_line and not data and view.form is not Form.AUTO:
            write(sys.stdout, "\n")
        else:
            self._payload_alone(data, view, for_person)

    def record(self, record: Record) -> None:
        """Write one thing with its fields; fields that are None are absent."""
        from .text import fields

        self._columns(list(fields(record)))

    def records(self, records: Sequence[Record], columns: Sequence[str], title: str | None = None) -> None:
        """Write many things of a kind, one a line; `columns` are the fields to show."""
        from .text import cells

        self._rows([column.replace("_", " ") for column in columns], cells(records, columns), title)

    def change(self, record: Record, before: Record, after: Record) -> None:
        """Write how something was before and after, side by side; `record` says what it is."""
        del record
        from .text import fields

        was, now = dict(fields(before)), dict(fields(after))
        rows = [{"state": label, "before": was.get(label), "after": now.get(label)} for label in was | now]
        self.records(rows, ("state", "before", "after"))

    def event(self, record: Record, line: str) -> None:
        """Write something that just happened, at once: its line for people, or its record."""
        del record
        from .text import printable

        write_text(printable(line))

    def stream(self, name: str, data: bytes) -> None:
        """Pass a piece of a child's `stdout` or `stderr` on, at once, to the stream of that name."""
        write(sys.stderr if name == "stderr" else sys.stdout, data)

    def summary(self, event: str, record: Record) -> bool:
        """Write at the end what it came to, if that is part of the data; return whether it is."""
        del event, record
        return False

    # What differs on a terminal

    def _payload_alone(self, data: bytes, view: View, for_person: View) -> None:
        del for_person
        if view.form is Form.AUTO:
            write(sys.stdout, data)
            return
        write_text(_for_program(data, view))

    def _shown_to_person(self, data: bytes, view: View) -> None:
        write_text(_for_person(data, view))

    def _columns(self, rows: Sequence[Sequence[str]]) -> None:
        from .text import columns

        write_text(columns(rows))

    def _rows(self, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
        del title
        self._columns([[head.upper() for head in heads], *rows])


class TableWriter(Writer):
    """Writes data for a person at a terminal: tables, and payloads as a person reads them."""

    def __init__(self, screen: "Screen", *, has_facts: bool = False) -> None:
        super().__init__(has_facts=has_facts)
        self._screen = screen

    def event(self, record: Record, line: str) -> None:
        """Write the line, above one that stays at the bottom."""
        if not self._screen.is_live:
            super().event(record, line)
            return
        from .text import printable

        self._screen.print_above(printable(line))

    def _payload_alone(self, data: bytes, view: View, for_person: View) -> None:
        del view
        self._shown_to_person(data, for_person)

    def _columns(self, rows: Sequence[Sequence[str]]) -> None:
        self._screen.draw_fields(rows)

    def _rows(self, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
        self._screen.draw_rows(heads, rows, title)


class RawWriter(Writer):
    """Writes the values alone, with tabs between them."""

    def payload(
        self,
        data: bytes,
        view: View,
        record: Record,
        *,
        field: str = "reply",
        as_dump: bool = False,
        as_line: bool = False,
    ) -> None:
        """Write the bytes, however they are to be shown."""
        del view, record, field, as_dump, as_line
        write(sys.stdout, data)

    def _columns(self, rows: Sequence[Sequence[str]]) -> None:
        write_text("\n".join(map("\t".join, rows)))

    def _rows(self, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
        del heads, title
        self._columns(rows)


class JsonWriter(Writer):
    """Writes objects, one a line, which have all that is known."""

    def payload(
        self,
        data: bytes,
        view: View,
        record: Record,
        *,
        field: str = "reply",
        as_dump: bool = False,
        as_line: bool = False,
    ) -> None:
        """Write the record, with the bytes as the last field."""
        del as_dump, as_line
        from .text import for_json

        self.record({**record, field: for_json(data, view.encoding)})

    def record(self, record: Record) -> None:
        """Write an object."""
        write(sys.stdout, json_line(record))

    def records(self, records: Sequence[Record], columns: Sequence[str], title: str | None = None) -> None:
        """Write an object for each, with all its fields."""
        del columns, title
        for record in records:
            self.record(record)

    def change(self, record: Record, before: Record, after: Record) -> None:
        """Write one object that has both."""
        self.record({**record, "before": before, "after": after})

    def event(self, record: Record, line: str) -> None:
        """Write the record."""
        del line
        self.record(record)

    def stream(self, name: str, data: bytes) -> None:
        """Write an event."""
        from .text import for_json

        self.record({"event": name, "data": for_json(data, "utf-8")})

    def summary(self, event: str, record: Record) -> bool:
        """Write an event."""
        self.record({"event": event, **record})
        return True


class Output:
    """The output of one command; commands get it as click's `obj`, with the options already applied."""

    def __init__(self) -> None:
        self.mode: Mode | None = None
        self.verbosity = 0
        self.quiet = False
        self.debug = False
        # Whether a line stays at the bottom of the terminal.
        self._is_live = False

    @property
    def is_json(self) -> bool:
        """Whether data and errors are JSON objects."""
        return self.mode is Mode.JSON

    @cached_property
    def data(self) -> Writer:
        """The writer of data in the form that was chosen, or else suits stdout."""
        if self.mode is Mode.JSON:
            return JsonWriter()
        if self.mode is Mode.RAW:
            return RawWriter()
        has_facts = self.mode is Mode.TABLE
        if not is_terminal(sys.stdout):
            return Writer(has_facts=has_facts)
        return TableWriter(self._screen, has_facts=has_facts)

    @cached_property
    def _screen(self) -> "Screen":
        from .tables import Screen

        return Screen()

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
            with suppress(OutputClosedError):
                write(sys.stderr, json_line({"error": {"message": text, **facts, "hint": hint}}))
            return
        self._talk(text, label="error", style="bold red")
        if hint:
            self._talk(hint, label="hint", style="cyan")

    def traceback(self, error: Exception) -> None:
        """Show where an error comes from, if `--debug` asks for it."""
        if self.debug:
            from traceback import format_exception

            self._talk("".join(format_exception(error)).rstrip())

    def summary(self, event: str, record: Record) -> None:
        """Say at the end what it came to: in the data of a program, or to a person at a terminal, on stderr."""
        if not self.data.summary(event, record) and not self.quiet and is_terminal(sys.stderr):
            from .text import fields

            self._screen.draw_fields(list(fields(record)), to_stderr=True)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep a line at the bottom of a terminal for what `progress` tells; elsewhere do nothing."""
        if self.quiet or self.mode is not None or not is_terminal(sys.stderr):
            yield
            return
        with self._screen.live():
            self._is_live = True
            try:
                yield
            finally:
                self._is_live = False

    def progress(self, text: str) -> None:
        """Change the line at the bottom of the terminal."""
        if self._is_live:
            self._screen.progress(text)

    def _talk(self, text: str, label: str = "", style: str = "") -> None:
        from .text import printable

        text = printable(text)
        if is_terminal(sys.stderr) and (style or self._is_live):
            self._screen.talk(text, label, style)
            return
        prefix = f"{label}: " if label else ""
        with suppress(OutputClosedError):
            write(sys.stderr, f"{prefix}{text}\n")


def _for_person(data: bytes, view: View) -> str:
    from . import text

    match view.form:
        case Form.AUTO:
            return text.for_person(data, view.encoding)
        case Form.HEX:
            return text.hexdump(data)
        case Form.TEXT:
            return text.printable(data.decode(view.encoding, "backslashreplace"))
        case _:
            return _for_program(data, view)


def _for_program(data: bytes, view: View) -> str:
    match view.form:
        case Form.HEX:
            return data.hex()
        case Form.BASE64:
            from .text import base64

            return base64(data)
        case _:
            return data.decode(view.encoding, "backslashreplace")


# The streams


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person sees the stream at once."""
    return stream.isatty()


def write_text(text: str) -> None:
    """Write text to stdout, with a line feed at its end unless there is one, or no text."""
    write(sys.stdout, text if not text or text.endswith("\n") else f"{text}\n")


def write(stream: TextIO, data: str | bytes) -> None:
    """Write everything at once, text with line feeds alone; raises OutputClosedError if nobody reads."""
    if isinstance(data, str) and not is_terminal(stream):
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
    """Return the encoding of redirected text: the console's, as PowerShell and cmd read a program's output."""
    if sys.platform != "win32":
        return stream.encoding
    from pipectl.core.win32.winapi import GetConsoleOutputCP

    with suppress(LookupError):  # there is no console, or no codec for its code page
        return codecs.lookup(f"cp{GetConsoleOutputCP()}").name
    return "utf-8"


def json_line(record: Record) -> str:
    """Return a record as a line of JSON, with the number of its schema; what is None is absent."""
    import json

    return json.dumps({"schema": SCHEMA, **_present(record)}) + "\n"


def _present(value: Any) -> Any:
    # Models have () for nothing. An empty list is a fact, such as an access list without entries.
    if isinstance(value, Mapping):
        return {key: _present(field) for key, field in value.items() if field is not None and field != ()}
    return value

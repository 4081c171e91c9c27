"""Writes the output of commands: data to stdout or to the file of `-o`, messages to stderr.

There are three formats of data. `table` is for people; `json` is one ASCII object per line; `raw` is only the values.
By default, a terminal gets tables, and a file or a pipe gets a payload's own bytes and plain columns, which are never
truncated. The format is chosen once: `Output.data` is its writer.

All data from outside is escaped before it is written to a terminal: see `text`. Modules that are not needed to write a
redirected payload are imported when they are used: `text`, `json` and `tables`, the only one that draws with rich.
"""

import codecs
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import cached_property
from io import FileIO
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, TypedDict, Unpack

if TYPE_CHECKING:
    from .tables import Screen

# The variable that chooses the encoding of redirected text.
ENCODING = "PIPECTL_ENCODING"
# Seconds of waiting before a message explains it.
_PATIENCE = 1.0

Record = Mapping[str, Any]


class Mode(StrEnum):
    """The formats of data: `--format`."""

    TABLE = "table"
    JSON = "json"
    RAW = "raw"


class Color(StrEnum):
    """When messages and tables are colored: `--color`. `auto` is on a terminal, unless NO_COLOR or TERM forbid it."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


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


class How(TypedDict, total=False):
    """The special properties of a payload, such as its name in JSON, `reply` by default."""

    field: str
    # Whether even text is shown to a person as a hex dump.
    as_dump: bool
    # The separator after each of several payloads, so that a program can split them.
    end: bytes


class OutputClosedError(Exception):
    """The reader of stdout has closed it, as after `| head -1`."""


class OutputFailedError(Exception):
    """Output could not be written, as on a full disk; the text says where and why."""


class Stream:
    """The destination of output: stdout, stderr or a file. A stream of None discards everything."""

    def __init__(self, stream: TextIO | None, warn: Callable[[str], object] = lambda _text: None) -> None:
        self._stream = stream
        self._warn = warn

    @cached_property
    def is_terminal(self) -> bool:
        """Whether it is a terminal, where a person sees the output at once."""
        if self._stream is None or not self._stream.isatty():
            return self.is_msys
        # To `isatty`, NUL is a terminal too; but only a console's file has its own class, unless this variable is set.
        raw = getattr(getattr(self._stream, "buffer", None), "raw", None)
        return sys.platform != "win32" or not isinstance(raw, FileIO) or "PYTHONLEGACYWINDOWSSTDIO" in os.environ

    @cached_property
    def is_msys(self) -> bool:
        """Whether it is the terminal of Git Bash, MSYS2 or Cygwin, which is a pipe for Windows programs."""
        # They set TERM, unlike cmd and PowerShell, so that a redirected call there avoids an import.
        if sys.platform != "win32" or self._stream is None or "TERM" not in os.environ:
            return False
        from pipectl.core.win32.consoles import is_msys_terminal

        return is_msys_terminal(self._stream)

    def write(self, data: str | bytes) -> None:
        """Write and flush everything; text gets no carriage returns.

        Raises OutputClosedError if the reader has closed the stream, and OutputFailedError.
        """
        stream = self._stream
        if stream is None:
            return
        if isinstance(data, str) and not stream.isatty():
            data = self._encoded(data, stream)
        try:
            if isinstance(data, str):
                stream.write(data)
            else:
                stream.flush()
                stream.buffer.write(data)
            stream.flush()
        except OSError as error:
            self.fail(error)

    def write_text(self, text: str) -> None:
        """Write text, with a line feed added at its end if it has none and is not empty."""
        self.write(text if not text or text.endswith("\n") else f"{text}\n")

    def truncate(self) -> None:
        """Discard the old content, if it is a file."""
        with suppress(OSError):
            if self._stream is not None:
                self._stream.truncate(0)

    def close(self) -> None:
        """Close the file; write errors were already reported."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()

    def _encoded(self, text: str, stream: TextIO) -> bytes:
        encoding = self._encoding(stream)
        try:
            return text.encode(encoding)
        except UnicodeEncodeError:
            self._warn(f"characters not in {encoding} are written as escapes: set {ENCODING}=utf-8")
            return text.encode(encoding, "backslashreplace")

    def _encoding(self, stream: TextIO) -> str:
        """Return the encoding of redirected text: PIPECTL_ENCODING, or the console's, as PowerShell and cmd expect."""
        chosen = os.environ.get(ENCODING)
        if chosen:
            with suppress(LookupError):
                return codecs.lookup(chosen).name
            self._warn(f"{ENCODING}={chosen}: unknown encoding")
        if self.is_msys:
            return "utf-8"
        if sys.platform != "win32" or stream not in (sys.stdout, sys.stderr):
            return stream.encoding
        from pipectl.core.win32.consoles import console_encoding

        return console_encoding()

    def fail(self, error: OSError) -> None:
        """Raise the exception for a write error; none if the stream was already closed when pipectl started."""
        import errno
        import stat

        stream = self._stream
        if stream is None or error.errno == errno.EBADF:
            self._stream = None
            return
        is_unread = error.errno == errno.EINVAL and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
        if is_unread or isinstance(error, BrokenPipeError):  # on Windows it is EINVAL
            raise OutputClosedError from error
        where = "stdout" if stream is sys.stdout else "stderr" if stream is sys.stderr else f"`{stream.name}`"
        raise OutputFailedError(f"{where} cannot be written: {error.strerror or error}") from error


class Writer:
    """Writes data to a file or a pipe: a payload's own bytes, and columns of text.

    The writers of the other formats override what they write differently. With `has_facts`, a payload is written with
    the facts about it, and as for a person.
    """

    def __init__(self, stream: Stream, *, has_facts: bool = False) -> None:
        self._stream = stream
        self._has_facts = has_facts

    def payload(self, data: bytes, view: View, record: Record, **how: Unpack[How]) -> None:
        """Write data that a pipe sent; `record` has the facts about it."""
        as_dump, end = how.get("as_dump", False), how.get("end", b"")
        for_person = view._replace(form=Form.HEX) if as_dump and view.form is Form.AUTO else view
        if self._has_facts:
            self.record({**record, "bytes": len(data)})
            self._shown_to_person(data, for_person)
        elif view.form is Form.RAW:
            self._stream.write(data + end)
        else:
            self._payload_alone(data, view, for_person, end)

    def record(self, record: Record) -> None:
        """Write the fields of one record, except those that are None."""
        from .text import fields

        self._columns(list(fields(record)))

    def records(self, records: Sequence[Record], columns: Sequence[str], title: str | None = None) -> None:
        """Write records of one kind, one per line; `columns` are the fields to show."""
        from .text import cells

        self._rows([column.replace("_", " ") for column in columns], cells(records, columns), title)

    def change(self, record: Record, before: Record, after: Record) -> None:
        """Write two states side by side; `record` identifies what has changed."""
        del record
        from .text import fields

        was, now = dict(fields(before)), dict(fields(after))
        rows = [{"state": label, "before": was.get(label), "after": now.get(label)} for label in was | now]
        self.records(rows, ("state", "before", "after"))

    def event(self, record: Record, line: str) -> None:
        """Write an event at once: its line for people, or its record."""
        del record
        from .text import printable

        self._stream.write_text(printable(line))

    # What differs on a terminal

    def _payload_alone(self, data: bytes, view: View, for_person: View, end: bytes) -> None:
        del for_person
        if view.form is Form.AUTO:
            self._stream.write(data + end)
            return
        from .text import for_program

        text = for_program(data, *view)
        if end:
            self._stream.write(text)
            self._stream.write(end)
        else:
            self._stream.write_text(text)

    def _shown_to_person(self, data: bytes, view: View) -> None:
        from .text import for_person

        self._stream.write_text(for_person(data, *view))

    def _columns(self, rows: Sequence[Sequence[str]]) -> None:
        from .text import column_lines

        self._stream.write_text("\n".join(column_lines(rows, has_heads=False)))

    def _rows(self, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
        del title
        from .text import column_lines

        self._stream.write_text("\n".join(column_lines([[head.upper() for head in heads], *rows])))


class TableWriter(Writer):
    """Writes data to a terminal: tables, and payloads in readable form."""

    def __init__(self, stream: Stream, screen: "Screen", *, has_facts: bool = False) -> None:
        super().__init__(stream, has_facts=has_facts)
        self._screen = screen

    def event(self, record: Record, line: str) -> None:
        """Write the line, above the status line if there is one."""
        if not self._screen.is_live:
            super().event(record, line)
            return
        from .text import printable

        self._screen.print_above(printable(line))

    def _payload_alone(self, data: bytes, view: View, for_person: View, end: bytes) -> None:
        del view, end
        self._shown_to_person(data, for_person)

    def _columns(self, rows: Sequence[Sequence[str]]) -> None:
        self._screen.draw_fields(rows)

    def _rows(self, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
        self._screen.draw_rows(heads, rows, title)


class RawWriter(Writer):
    """Writes only the values, separated by tabs."""

    def payload(self, data: bytes, view: View, record: Record, **how: Unpack[How]) -> None:
        """Write the bytes, whatever the view."""
        del view, record
        self._stream.write(data + how.get("end", b""))

    def _columns(self, rows: Sequence[Sequence[str]]) -> None:
        self._stream.write_text("\n".join(map("\t".join, rows)))

    def _rows(self, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
        del heads, title
        self._columns(rows)


class JsonWriter(Writer):
    """Writes objects with all fields, one per line."""

    def payload(self, data: bytes, view: View, record: Record, **how: Unpack[How]) -> None:
        """Write the record, with the bytes as the last field."""
        from .text import for_json

        self.record({**record, how.get("field", "reply"): for_json(data, view.encoding, view.form)})

    def record(self, record: Record) -> None:
        """Write an object."""
        from .text import json_line

        self._stream.write(json_line(record))

    def records(self, records: Sequence[Record], columns: Sequence[str], title: str | None = None) -> None:
        """Write an object for each record, with all its fields."""
        del columns, title
        for record in records:
            self.record(record)

    def change(self, record: Record, before: Record, after: Record) -> None:
        """Write one object with both states."""
        self.record({**record, "before": before, "after": after})

    def event(self, record: Record, line: str) -> None:
        """Write the record."""
        del line
        self.record(record)


class Output:
    """The output of one command; commands get it as click's `obj`, with the options already applied."""

    def __init__(self) -> None:
        self.mode: Mode | str | None = None  # a string is a format of this command, which writes it itself
        self.color = Color.AUTO
        self.verbosity = 0
        self.quiet = False
        self.debug = False
        self.path: str | None = None  # the file of `-o`, which `open` opens
        self.appends = False  # whether the file keeps its content
        self.runs_program = False  # whether exit codes and errors are those of `popen`, whose program has its own
        self._is_live = False  # whether the terminal has a status line at the bottom
        self._file: Stream | None = None
        self._has_warned = False

    @property
    def is_json(self) -> bool:
        """Whether data, messages and errors are JSON objects."""
        return self.mode is Mode.JSON

    @cached_property
    def _stdout(self) -> Stream:
        return Stream(sys.stdout, self._warn_once)

    @cached_property
    def stderr(self) -> Stream:
        """The stream of messages."""
        return Stream(sys.stderr)

    def open(self, path: str) -> None:
        """Write data to a file from now on; its old content stays until there is data. Raises OSError."""
        keep, mode = ~os.O_TRUNC, "a" if self.appends else "w"
        stream: Any = open(  # noqa: SIM115 - `close` closes it
            path, mode, encoding="utf-8", newline="\n", opener=lambda name, flags: os.open(name, flags & keep, 0o666)
        )
        self._file = Stream(stream, self._warn_once)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    @cached_property
    def stream(self) -> Stream:
        """The stream of data: stdout, or the file, whose old content is discarded unless data is appended."""
        if self._file is None:
            return self._stdout
        if not self.appends:
            self._file.truncate()
        return self._file

    @cached_property
    def data(self) -> Writer:
        """The writer of data, in the chosen format or the one that suits the stream."""
        stream = self.stream
        has_facts = self.mode is Mode.TABLE
        if self.mode in (None, Mode.TABLE) and not stream.is_terminal:
            return Writer(stream, has_facts=has_facts)
        if self.mode is Mode.JSON:
            return JsonWriter(stream)
        if self.mode is Mode.RAW:
            return RawWriter(stream)
        return TableWriter(stream, self._screen, has_facts=has_facts)

    @cached_property
    def _screen(self) -> "Screen":
        from .tables import Screen

        return Screen(self._stdout.is_msys, self.stderr.is_msys, self.color)

    # Messages

    def note(self, text: str, style: str = "") -> None:
        """Print a message on stderr, unless `--quiet` is set."""
        if not self.quiet:
            self._print_message(text, style=style)

    def detail(self, text: str) -> None:
        """Print a message on stderr if `--verbose` is set."""
        if self.verbosity and not self.quiet:
            self._print_message(text)

    def warning(self, text: str) -> None:
        """Print a warning; the command continues."""
        self._print_message(text, label="warning", style="yellow")

    def error(self, text: str, hint: str | None = None, **facts: Any) -> None:
        """Print why the command failed and what to try; `facts` are for JSON."""
        if self.is_json:
            self._object({"error": {"message": text, **facts, "hint": hint}})
            return
        self._print_message(text, label="error", style="bold red")
        if hint:
            self._print_message(hint, label="hint", style="cyan")

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Print on a terminal what this block waits for, if it takes more than a second."""
        if self.quiet or self.is_json or not self.stderr.is_terminal:
            yield
            return
        from threading import Timer

        timer = Timer(_PATIENCE, self.note, [f"waiting for {what}; press Ctrl+C to stop"])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep a status line at the bottom of a terminal for `progress`; elsewhere, do nothing."""
        if self.quiet or self.mode is not None or not self.stderr.is_terminal:
            yield
            return
        with self._screen.live():
            self._is_live = True
            try:
                yield
            finally:
                self._is_live = False

    def progress(self, text: str) -> None:
        """Change the status line."""
        if self._is_live:
            self._screen.progress(text)

    def _warn_once(self, text: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            self.warning(text)

    def _print_message(self, text: str, label: str = "", style: str = "") -> None:
        if self.is_json:
            self._object({label or "note": text})
            return
        from .text import printable

        text = printable(text)
        if (style and self._is_colored) or self._is_live:
            self._screen.print_message(text, label, style)
            return
        with suppress(OutputClosedError, OutputFailedError):
            self.stderr.write(f"{label}: {text}\n" if label else f"{text}\n")

    @property
    def _is_colored(self) -> bool:
        is_likely = self.stderr.is_terminal or bool(os.environ.get("FORCE_COLOR"))
        return is_likely if self.color is Color.AUTO else self.color is Color.ALWAYS

    def _object(self, record: Record) -> None:
        from .text import json_line

        with suppress(OutputClosedError, OutputFailedError):
            self.stderr.write(json_line(record))

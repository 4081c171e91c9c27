"""Output: what goes to which stream in which form, and that a terminal never gets what a pipe sent as it is."""

import errno
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from pipectl import output as module
from pipectl.output import Color, Form, Mode, Output, OutputClosedError, OutputFailedError, Record, View
from tests.streams import Stream, Streams

ON_WINDOWS = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows")


@pytest.fixture
def streams(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Terminals, unless the test says `redirected`."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    return Streams(monkeypatch, are_terminals=getattr(request, "param", "terminal") == "terminal")


redirected = pytest.mark.parametrize("streams", ["redirected"], indirect=True)
either = pytest.mark.parametrize("streams", ["redirected", "terminal"], indirect=True)


# A payload

TEXT = "grüße\x1b[1m"
DATA = TEXT.encode()
DUMP = "00000000  67 72 c3 bc c3 9f 65 1b  5b 31 6d                 gr....e.[1m\n"


@pytest.mark.parametrize(
    ("streams", "mode", "form", "shown"),
    [
        ("redirected", None, Form.AUTO, DATA),
        ("redirected", None, Form.TEXT, DATA + b"\n"),
        ("redirected", None, Form.HEX, f"{DATA.hex()}\n".encode()),
        ("redirected", None, Form.BASE64, b"Z3LDvMOfZRtbMW0=\n"),
        ("redirected", None, Form.RAW, DATA),
        ("redirected", Mode.RAW, Form.AUTO, DATA),
        ("terminal", None, Form.AUTO, "grüße\\x1b[1m\n".encode()),
        ("terminal", None, Form.TEXT, "grüße\\x1b[1m\n".encode()),
        ("terminal", None, Form.HEX, DUMP.encode()),
        ("terminal", None, Form.BASE64, b"Z3LDvMOfZRtbMW0=\n"),
        ("terminal", None, Form.RAW, DATA),
        ("terminal", Mode.RAW, Form.AUTO, DATA),
    ],
    indirect=["streams"],
    ids=str,
)
def test_a_payload_goes_to_stdout_in_the_form_that_suits(
    streams: Streams, mode: Mode | None, form: Form, shown: bytes
) -> None:
    streams.output(mode).data.payload(DATA, View(form), {"pipe": "x"})
    assert (streams.stdout.written, streams.stderr.written) == (shown, b"")


@either
@pytest.mark.parametrize("form", Form)
def test_json_carries_a_payload_as_text_unless_the_form_is_hex_or_base64(streams: Streams, form: Form) -> None:
    streams.output(Mode.JSON).data.payload(DATA, View(form), {"pipe": "x", "absent": None})
    forms = {Form.HEX: {"hex": DATA.hex()}, Form.BASE64: {"base64": "Z3LDvMOfZRtbMW0="}}
    reply = {"size": 11, **forms.get(form, {"text": TEXT})}
    assert json.loads(streams.stdout.text) == {"schema": 1, "pipe": "x", "reply": reply}


@either
@pytest.mark.parametrize("form", [Form.AUTO, Form.TEXT])
def test_a_table_has_the_facts_and_then_the_payload(streams: Streams, form: Form) -> None:
    streams.output(Mode.TABLE).data.payload(DATA, View(form), {"pipe": "x", "ms": 1.5})
    assert "11" in streams.stdout.text
    assert streams.stdout.text.splitlines()[-1] == r"grüße\x1b[1m"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", "<empty message>\n"),
        (b"a\n", "a\n"),
        (b"a\r\nb", "a\nb\n"),
        (b"\xff\xfe", "00000000  ff fe                                             ..\n"),
        (b"a\0b", "00000000  61 00 62                                          a.b\n"),
        ("\u202egnp.exe [red]x[/red] :smile:".encode(), "\\u202egnp.exe [red]x[/red] :smile:\n"),
        (b"\x9b31m \x07 \x08", "00000000  9b 33 31 6d 20 07 20 08                           .31m . .\n"),
        ("\u009b31m\x07\x08\x7f".encode(), "\\x9b31m\\x07\\x08\\x7f\n"),
    ],
    ids=repr,
)
def test_a_terminal_gets_text_without_anything_that_controls_it(streams: Streams, data: bytes, shown: str) -> None:
    streams.output().data.payload(data, View(), {})
    assert streams.stdout.text == shown


def test_what_is_no_text_is_escaped_when_text_is_asked_for(streams: Streams) -> None:
    streams.output().data.payload(b"a\xff\x1b", View(Form.TEXT), {})
    assert streams.stdout.text == "a\\xff\\x1b\n"


def test_text_is_shown_in_its_encoding(streams: Streams) -> None:
    streams.output().data.payload("grüße".encode("utf-16-le"), View(encoding="utf-16-le"), {})
    assert streams.stdout.text == "grüße\n"


@redirected
@pytest.mark.parametrize("data", [b"", b"\0\xff\r\n\x1a", b"no end of line"])
def test_a_redirected_payload_is_written_byte_for_byte(streams: Streams, data: bytes) -> None:
    streams.output().data.payload(data, View(), {})
    assert streams.stdout.written == data


def test_even_text_can_be_shown_as_a_dump_to_a_person(streams: Streams) -> None:
    streams.output().data.payload(b"ab", View(), {}, as_dump=True)
    streams.output().data.payload(b"ab", View(Form.TEXT), {}, as_dump=True)
    assert streams.stdout.text == "00000000  61 62                                             ab\nab\n"


# Records

RECORD = {"pipe": r"\\.\pipe\x", "is": True, "none": None, "server": {"pid": 4, "session": 0}, "access": ("a", "b")}


@redirected
def test_a_redirected_record_is_plain_columns(streams: Streams) -> None:
    streams.output().data.record(RECORD)
    assert streams.stdout.text.splitlines() == [
        r"pipe            \\.\pipe\x",
        "is              yes",
        "server pid      4",
        "server session  0",
        "access          a",
        "                b",
    ]


def test_a_record_on_a_terminal_is_two_columns_without_borders(streams: Streams) -> None:
    streams.output().data.record({**RECORD, "sddl": "x" * 200})
    assert streams.stdout.text.splitlines() == [
        r"pipe            \\.\pipe\x",
        "is              yes",
        "server pid      4",
        "server session  0",
        "access          a",
        "                b",
        f"sddl            {'x' * 200}",
    ]


def test_on_a_narrow_terminal_each_value_is_whole_below_its_label(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")  # a dumb one has 80 columns, whatever anybody says
    monkeypatch.setenv("NO_COLOR", "1")
    streams.output().data.record(RECORD)
    assert streams.stdout.text.splitlines()[:4] == ["pipe", r"  \\.\pipe\x", "is", "  yes"]


@pytest.mark.parametrize(
    ("pipe", "why", "columns"),
    [
        ("x", "y", ["pipe", "why", "pid"]),
        ("x" * 80, "y", ["why", "pid", "pipe"]),
        ("x", "y" * 80, ["pipe", "pid", "why"]),
    ],
    ids=len,
)
def test_the_widest_column_is_the_last_of_a_table_that_is_too_wide(
    streams: Streams, pipe: str, why: str, columns: list[str]
) -> None:
    streams.output().data.records([{"pipe": pipe, "why": why, "pid": 4}], ("pipe", "why", "pid"))
    assert streams.stdout.text.split()[:3] == columns


@either
def test_a_raw_record_is_labels_and_values_with_tabs_between(streams: Streams) -> None:
    streams.output(Mode.RAW).data.record({"a": 1, "b c": "x"})
    assert streams.stdout.text == "a\t1\nb c\tx\n"


@either
def test_json_is_ascii_on_one_line_with_its_schema(streams: Streams) -> None:
    streams.output(Mode.JSON).data.record(
        {"name": "grüße\n\u202e", "none": None, "empty": (), "deep": {"none": None, "pid": 4}}
    )
    assert streams.stdout.written.isascii()
    assert streams.stdout.text.count("\n") == 1
    assert json.loads(streams.stdout.text) == {"schema": 1, "name": "grüße\n\u202e", "deep": {"pid": 4}}


@redirected
def test_redirected_records_are_columns_with_heads_and_are_never_cut(streams: Streams) -> None:
    streams.output().data.records(
        [{"name": "x" * 200, "max_instances": None}, {"name": "y", "max_instances": 3}], COLUMNS
    )
    assert streams.stdout.text.splitlines() == ["NAME  MAX INSTANCES", "x" * 200, "y                 3"]


@redirected
def test_columns_have_numbers_on_the_right_and_count_wide_characters_twice(streams: Streams) -> None:
    records: list[Record] = [
        {"name": "漢字", "max_instances": 3},
        {"name": "e\u0301", "unlimited": True},
        {"name": "abc"},
    ]
    streams.output().data.records(records, COLUMNS)
    assert streams.stdout.text.splitlines() == [
        "NAME  MAX INSTANCES",
        "漢字              3",
        "e\u0301         unlimited",
        "abc",
    ]


COLUMNS = ("name", "max_instances")


def test_records_on_a_terminal_are_columns_that_break_no_name(streams: Streams) -> None:
    streams.output().data.records([{"name": "x" * 200, "max_instances": 1}], COLUMNS, title="1 pipe")
    assert streams.stdout.text.splitlines() == ["1 pipe", "max instances  name", f"{'1':>13}  {'x' * 200}"]


def test_where_rows_are_too_wide_the_first_column_is_the_last(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    streams.output().data.records([{"name": "x" * 50, "max_instances": 1}], COLUMNS)
    lines = [re.sub(r"\x1b\[\d*m", "", line) for line in streams.stdout.text.splitlines()]
    assert lines == ["max instances  name", f"{'1':>13}  {'x' * 50}"]


@either
def test_names_in_a_table_control_nothing(streams: Streams) -> None:
    streams.output().data.records([{"name": "[red]\x1b[31m\u202e\n\r", "max_instances": 1}], COLUMNS)
    assert r"[red]\x1b[31m\u202e\x0a\x0d" in streams.stdout.text
    assert not set("\x1b\u202e\r") & set(streams.stdout.text)


@either
def test_raw_records_are_values_with_tabs_between_and_no_heads(streams: Streams) -> None:
    streams.output(Mode.RAW).data.records(
        [{"name": "x", "max_instances": None}, {"name": "y", "max_instances": 3}], COLUMNS
    )
    assert streams.stdout.text == "x\t\ny\t3\n"


@either
@pytest.mark.parametrize("mode", [None, Mode.TABLE, Mode.RAW, Mode.JSON])
def test_no_records_are_no_error(streams: Streams, mode: Mode | None) -> None:
    streams.output(mode).data.records([], COLUMNS)
    assert (mode in (Mode.RAW, Mode.JSON)) is not bool(streams.stdout.text)


@redirected
def test_a_change_is_shown_side_by_side(streams: Streams) -> None:
    streams.output().data.change(
        {"pipe": "x"}, {"read_mode": "byte", "user": None}, {"read_mode": "message", "user": "me"}
    )
    assert streams.stdout.text.splitlines() == [
        "STATE      BEFORE  AFTER",
        "read mode  byte    message",
        "user               me",
    ]


# Talk


@either
def test_talk_goes_to_stderr(streams: Streams) -> None:
    made = streams.output(verbosity=1)
    made.note("note")
    made.detail("detail")
    made.warning("look")
    made.error("it failed", "try this")
    assert streams.stdout.text == ""
    assert streams.stderr.text.splitlines() == [
        "note",
        "detail",
        "warning: look",
        "error: it failed",
        "hint: try this",
    ]


@either
def test_quiet_leaves_warnings_and_errors(streams: Streams) -> None:
    made = streams.output(quiet=True, verbosity=1)
    made.note("note")
    made.detail("detail")
    made.warning("look")
    made.error("it failed")
    assert streams.stderr.text == "warning: look\nerror: it failed\n"


def test_details_are_for_the_verbose(streams: Streams) -> None:
    streams.output().detail("detail")
    assert streams.stderr.text == ""


@either
def test_an_error_is_never_cut_and_controls_nothing(streams: Streams) -> None:
    streams.output().error(f"\x1b[31m[bold]{'x' * 200}\u202e")
    assert streams.stderr.text == f"error: \\x1b[31m[bold]{'x' * 200}\\u202e\n"


@either
@pytest.mark.parametrize("color", Color)
@pytest.mark.parametrize(("name", "value"), [("TERM", "xterm-256color"), ("TERM", "dumb"), ("NO_COLOR", "1")])
def test_a_color_option_decides_before_the_environment(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, color: Color, name: str, value: str
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(name, value)
    made = streams.output()
    made.color = color
    made.error("it failed")
    by_itself = streams.stderr.isatty() and value == "xterm-256color"
    assert ("\x1b[" in streams.stderr.text and "31m" in streams.stderr.text) == {
        Color.ALWAYS: True,
        Color.NEVER: False,
        Color.AUTO: by_itself,
    }[color]


def test_errors_are_coloured_on_a_terminal_unless_no_color_says_otherwise(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    streams.output().error("it failed")
    assert "31m" not in streams.stderr.text
    monkeypatch.delenv("NO_COLOR")
    streams.output().error("it failed")
    assert "31m" in streams.stderr.text


@either
@pytest.mark.parametrize(
    ("color", "environment", "colored"),
    [
        (Color.ALWAYS, {"NO_COLOR": "1", "TERM": "dumb"}, True),
        (Color.NEVER, {"TERM": "xterm-256color", "FORCE_COLOR": "1"}, False),
        (Color.AUTO, {"TERM": "xterm-256color", "FORCE_COLOR": "1"}, True),
        (Color.AUTO, {"TERM": "dumb"}, False),
    ],
)
def test_colors_can_be_chosen(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, color: Color, environment: dict[str, str], colored: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = streams.output()
    made.color = color
    made.error("it failed")
    assert ("31m" in streams.stderr.text) is colored


@pytest.mark.parametrize("takes_escapes", [True, False])
def test_a_console_that_takes_escapes_is_not_used_the_old_way(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, takes_escapes: bool
) -> None:
    from pipectl.output import tables

    given: list[object] = []

    def made(**options: object) -> Console:
        given.append(options["legacy_windows"])
        return Console()

    monkeypatch.setattr(tables, "takes_escapes", lambda _stream: takes_escapes)
    monkeypatch.setattr(tables, "Console", made)
    streams.output().error("it failed")
    assert given == [False if takes_escapes else None]


@redirected
def test_json_errors_are_objects_on_stderr(streams: Streams) -> None:
    streams.output(Mode.JSON).error("it failed", "try this", code=5, pipe=None)
    assert streams.stdout.text == ""
    assert json.loads(streams.stderr.text) == {
        "schema": 1,
        "error": {"message": "it failed", "code": 5, "hint": "try this"},
    }


@either
def test_with_json_messages_are_objects_too(streams: Streams) -> None:
    made = streams.output(Mode.JSON, verbosity=1)
    made.note("note")
    made.detail("detail")
    made.warning("look")
    assert [json.loads(line) for line in streams.stderr.text.splitlines()] == [
        {"schema": 1, "note": "note"},
        {"schema": 1, "note": "detail"},
        {"schema": 1, "warning": "look"},
    ]


@pytest.mark.parametrize(
    ("streams", "mode", "quiet", "told"),
    [
        ("terminal", None, False, "waiting for the reply; press Ctrl+C to stop\n"),
        ("terminal", None, True, ""),
        ("terminal", Mode.JSON, False, ""),
        ("redirected", None, False, ""),
    ],
    indirect=["streams"],
)
def test_a_person_who_waits_is_told_what_for(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, mode: Mode | None, quiet: bool, told: str
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    made = streams.output(mode, quiet=quiet)
    with made.waiting("the reply"):
        end = time.perf_counter() + 5
        while time.perf_counter() < end and told and not streams.stderr.text:
            time.sleep(0.001)
    assert streams.stderr.text == told


def test_a_short_wait_is_not_told_of(streams: Streams) -> None:
    with streams.output().waiting("the reply"):
        pass
    assert streams.stderr.text == ""


# Encodings


@ON_WINDOWS
@redirected
@pytest.mark.parametrize(
    ("page", "shown"),
    [
        (65001, "grüße 漢\n".encode()),
        (437, b"gr\x81\xe1e \\u6f22\n"),
        (1252, b"gr\xfc\xdfe \\u6f22\n"),
        (932, b"gr\\xfc\\xdfe \x8a\xbf\n"),
        (54936, "grüße 漢\n".encode()),  # Python has no codec of that name
        (0, "grüße 漢\n".encode()),
    ],
)
def test_redirected_text_is_in_the_consoles_code_page(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, page: int, shown: bytes
) -> None:
    from pipectl.core.win32 import winapi

    monkeypatch.setattr(winapi, "GetConsoleOutputCP", lambda: page)
    streams.output().data.payload("grüße 漢".encode(), View(Form.TEXT), {})
    streams.output().note("grüße 漢")
    assert streams.stdout.written == shown
    assert streams.stderr.written.endswith(shown)


@redirected
def test_the_encoding_of_redirected_text_can_be_chosen(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPECTL_ENCODING", "utf-16-le")
    streams.output().data.payload("grüße 漢".encode(), View(Form.TEXT), {})
    assert streams.stdout.written == "grüße 漢\n".encode("utf-16-le")


@redirected
def test_characters_that_are_escaped_in_data_are_warned_of_once(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPECTL_ENCODING", "ascii")
    made = streams.output(quiet=True)
    made.data.record({"name": "ü"})
    made.data.record({"name": "ö"})
    assert streams.stdout.text == "name  \\xfc\nname  \\xf6\n"
    assert streams.stderr.text.count("warning: characters not in ascii are written") == 1
    assert streams.stderr.text.count("\n") == 1


# Streams that are closed


@ON_WINDOWS
@pytest.mark.parametrize("options", [[], ["--json"]], ids=" ".join)
def test_a_stdout_that_nobody_reads_ends_a_command_quietly(
    pipe_name: str, program: list[str], options: list[str]
) -> None:
    from pipectl.core.pipe.server import PipeServer

    with PipeServer(pipe_name, lambda _client, _data: bytes(200_000)):
        result = unread([*program, "call", pipe_name, "x", *options])
    assert result == (1, "")


@ON_WINDOWS
@pytest.mark.parametrize("arguments", [["--help"], ["call", "--help"], ["--version"]], ids=" ".join)
def test_help_that_nobody_reads_ends_quietly(program: list[str], arguments: list[str]) -> None:
    assert unread([*program, *arguments]) == (1, "")


@ON_WINDOWS
def test_a_server_whose_log_nobody_reads_any_more_ends_too(pipe_name: str, program: list[str]) -> None:
    from pipectl.core.constants import Wait
    from pipectl.core.pipe.connection import connect

    with subprocess.Popen(
        [*program, "serve", pipe_name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        connect(pipe_name, 20, wait=Wait.EXISTS).close()
        assert process.wait(20) == 1
        assert b"Traceback" not in process.stderr.read()


def unread(command: list[str]) -> tuple[int, str]:
    """Run a program whose stdout is closed at the other end; give its exit code and stderr."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read().decode()
        return process.wait(60), stderr


@redirected
@pytest.mark.parametrize("mode", [None, Mode.JSON])
def test_talk_that_nobody_reads_is_no_error(streams: Streams, mode: Mode | None) -> None:
    made = streams.output(mode)
    streams.stderr.is_broken = True
    made.note("note")
    made.error("it failed")
    streams.stderr.is_broken = False


class Unwritable(Stream):
    """A stream on a disk that is full."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "no space")


def test_a_disk_that_is_full_is_told_and_not_taken_for_a_reader_that_left(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = streams.output()
    monkeypatch.setattr(sys, "stdout", Unwritable(is_terminal=False))
    with pytest.raises(OutputFailedError, match="stdout cannot be written: no space"):
        made.data.record({"a": 1})
    monkeypatch.undo()


@pytest.mark.parametrize("is_closed", [True, False])
def test_without_standard_streams_nothing_fails(monkeypatch: pytest.MonkeyPatch, is_closed: bool) -> None:
    class Closed(Stream):
        def flush(self) -> None:
            raise OSError(errno.EBADF, "bad file descriptor")

    monkeypatch.setattr(sys, "stdout", Closed(is_terminal=False) if is_closed else None)
    monkeypatch.setattr(sys, "stderr", Closed(is_terminal=False) if is_closed else None)
    made = Output()
    made.note("note")
    made.data.record({"a": 1})
    made.data.payload(b"data", View(), {})
    monkeypatch.undo()


# The file of -o


@either
def test_data_goes_to_a_file_as_it_is_and_nothing_to_stdout(streams: Streams, tmp_path: Path) -> None:
    file = tmp_path / "reply.bin"
    file.write_bytes(b"what was there before, which is longer")
    made = streams.output()
    made.open(str(file))
    assert file.read_bytes().startswith(b"what was there before")
    made.data.payload(b"\0\xff\r\n\x1a", View(), {})
    made.close()
    assert (file.read_bytes(), streams.stdout.written) == (b"\0\xff\r\n\x1a", b"")


@either
def test_text_goes_to_a_file_as_utf_8_and_without_escape_sequences(streams: Streams, tmp_path: Path) -> None:
    made = streams.output()
    made.open(str(tmp_path / "x.txt"))
    made.data.record({"name": "漢"})
    made.close()
    assert (tmp_path / "x.txt").read_bytes() == "name  漢\n".encode()


@redirected
def test_data_that_nobody_reads_is_an_error(streams: Streams) -> None:
    made = streams.output()
    streams.stdout.is_broken = True
    with pytest.raises(OutputClosedError):
        made.data.record({"a": 1})
    streams.stdout.is_broken = False

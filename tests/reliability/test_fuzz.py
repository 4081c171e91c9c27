"""Anything at all as a name, a payload, a rule, a descriptor, memory or a command line: an answer, or a clear error.

Each property takes 100 cases in the suite, and 10,000 with `--long`. An exception that is not the one of the contract
fails the test; a hang is ended by pytest's own time-out.
"""

import base64
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from encodings.aliases import aliases
from io import BytesIO, TextIOWrapper
from typing import Any

import click
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipectl.cli import cli
from pipectl.commands import COMMANDS
from pipectl.core import names
from pipectl.core.constants import Access
from pipectl.core.errors import InvalidPipeNameError, PipeError, error_for
from pipectl.core.inventory.directory import parse_directory
from pipectl.core.inventory.handles import parse_handles, type_of
from pipectl.core.inventory.processlist import parse_processes, suspended
from pipectl.core.pipe.frames import Framing
from pipectl.core.pipe.framing import parse
from pipectl.core.security import sddl
from pipectl.core.security.access_check import allowed
from pipectl.exitcodes import ExitCode
from pipectl.hints import hint_for
from pipectl.options import with_examples
from pipectl.options.payload import Payload, PayloadFormat, ViewOptions
from pipectl.options.types import DURATION, ENCODING, SIZE
from pipectl.output import Form, Output, View
from pipectl.output.text import printable
from tests.runner import Result

needs_windows = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows' pipes")

# What a command line can hold: anything but NUL, also halves of surrogate pairs.
arguments = st.text(st.characters(exclude_characters="\0"), max_size=60)
PREFIXES = ("", "\\\\.\\pipe\\", "//./pipe/", "npipe:////./pipe/", "\\.\\pipe\\", "\\\\host\\pipe\\")

encodings = st.sampled_from(sorted(set(aliases.values()) | {"utf-8", "ascii", "idna", "undefined"}))
shows = st.builds(View, st.sampled_from(Form), st.sampled_from(["utf-8", "utf-16", "utf-7", "latin-1", "cp932"]))


class Stream(TextIOWrapper):
    """A standard stream that keeps what is written, and says that it is a terminal if it is asked to be one."""

    def __init__(self, *, is_terminal: bool = False) -> None:
        self.kept = BytesIO()
        super().__init__(self.kept, "utf-8", "surrogatepass", newline="")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Tell what was asked for."""
        return self._is_terminal

    def text(self) -> str:
        """Give what was written."""
        self.flush()
        return self.kept.getvalue().decode("utf-8", "surrogatepass")


def run(*command_line: str) -> Result:
    """Run a command line in this process."""
    out, err = Stream(), Stream()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run(list(command_line), prog_name="pipectl")
    return Result(code, out.text().encode(), err.text())


def assert_harmless(text: str) -> None:
    """Make sure that a terminal finds nothing to obey in a text."""
    assert text.replace("\n", "").replace("\t", "").isprintable()


# Names


@given(arguments, st.sampled_from(PREFIXES))
def test_any_name_has_a_full_name_that_can_be_shown_and_typed(text: str, prefix: str) -> None:
    try:
        full = names.full_name(prefix + text)
    except InvalidPipeNameError as error:
        assert_harmless(str(error))
        return
    shown = names.display(full)
    assert shown.isprintable()
    assert names.full_name(shown) == full


@needs_windows
@given(arguments)
@example("a\\..\\b")
@example("*")
@example("con")
@example("\ud800")
def test_any_name_can_be_asked_for(text: str) -> None:
    with suppress(InvalidPipeNameError):
        assume(not names.is_remote(names.full_name(text)))  # no test goes to the network
    result = run("wait", "--for", "exists", "--timeout", "0", "--json", "--", text)
    assert result.exit_code in (ExitCode.USAGE, ExitCode.TIMED_OUT)
    assert result.error["exit_code"] == result.exit_code


# What is sent


@with_examples(groups={"view": ViewOptions, "payload": Payload})
def sent(payload: bytes, view: View) -> tuple[bytes, str]:
    """Give what a command gets of its options."""
    return payload, view.encoding


flags = st.lists(st.sampled_from(["--hex", "--base64", "--escapes", "--newline"]), unique=True, max_size=2)
escaped = st.lists(st.sampled_from(["\\", "x", "u", "n", "0", "41", "00ff", "é", " "]), max_size=8).map("".join)
digits = st.text("0123456789abcdefABCDEF+/= \t", max_size=40)


@given(flags, encodings | arguments, arguments | escaped | digits)
@example([], "idna", "x" * 64)
@example([], "undefined", "")
@example(["--escapes"], "utf-8", "\\ud800")
def test_any_payload_is_bytes_or_a_usage_error(options: list[str], encoding: str, text: str) -> None:
    assume(text != "-")
    with redirect_stderr(Stream()), suppress(click.ClickException):
        data, known = sent.main([*options, "--encoding", encoding, "--", text], standalone_mode=False)
        assert isinstance(data, bytes)
        if not options:
            assert data == text.encode(known)


written = st.builds(PayloadFormat, *[st.booleans()] * 5, encodings)


@given(written, st.binary(max_size=60) | digits.map(str.encode))
def test_any_line_and_any_file_are_bytes_or_a_usage_error(how: PayloadFormat, data: bytes) -> None:
    try:
        ENCODING.convert(how.encoding, None, None)
    except click.BadParameter:
        assume(False)
    with suppress(click.UsageError):
        assert isinstance(how.convert(data), bytes)


@given(st.binary())
def test_every_payload_can_be_written_in_each_way(data: bytes) -> None:
    spellings = {
        "--hex": data.hex(" "),
        "--base64": base64.b64encode(data).decode(),
        "--escapes": "".join(f"\\x{byte:02x}" for byte in data),
    }
    for option, text in spellings.items():
        assert sent.main([option, "--", text], standalone_mode=False)[0] == data


@given(arguments | st.from_regex(r"[0-9.]{1,10}(ms|s|m|h|k|MiB|g)?", fullmatch=True))
@example("9" * 400)
@example("9" * 306 + "h")
@example("9" * 5000)
@example("4g")
def test_any_time_and_any_size_is_a_number_or_a_usage_error(text: str) -> None:
    with suppress(click.BadParameter):
        assert 0 <= SIZE.convert(text, None, None) <= 0xFFFF_FFFF
    with suppress(click.BadParameter):
        timeout = DURATION.convert(text, None, None)
        assert timeout is None or timeout >= 0


# Framing

frames = st.sampled_from(["u16le", "u16be", "u32le", "u32be"]).map(parse)
rules = st.sampled_from(["line", "eof", "idle:0.5", "bytes:1", "bytes:7"]).map(parse) | frames
streams = st.lists(st.binary(max_size=5) | st.sampled_from([b"\n", b"\x02\0", b"\0\0\0\0"]), max_size=20)


@given(arguments | st.from_regex(r"(idle|bytes|u16le|eof|line|json|http):?[-0-9a-z.]{0,8}", fullmatch=True))
@example("bytes:" + "9" * 5000)
@example("idle:nan")
def test_any_rule_is_one_or_a_value_error(text: str) -> None:
    try:
        until = parse(text)
    except ValueError:
        return
    assert parse(str(until)) == until


@given(rules, streams)
def test_where_a_reply_ends_does_not_depend_on_how_it_comes(until: Framing, pieces: list[bytes]) -> None:
    """A stream has the same replies if it comes whole, and if it comes in any pieces."""
    whole = list(_replies(until, [b"".join(pieces)]))
    assert list(_replies(until, pieces)) == whole
    assert len(b"".join(whole)) <= len(b"".join(pieces))


def _replies(until: Framing, pieces: Sequence[bytes]) -> list[bytes]:
    received, replies, searched = bytearray(), [], 0
    for piece in pieces:
        received += piece
        while span := until.split(received, searched):
            replies.append(bytes(received[span[0] : span[1]]))
            del received[: span[1]]
            searched = 0
        searched = len(received)
        needed = until.needed(received)
        assert needed is None or needed >= 0
    return [*replies, bytes(received)]


@given(frames, st.binary(), st.binary())
def test_what_is_framed_is_found_again(until: Framing, data: bytes, more: bytes) -> None:
    framed = bytearray(until.wrap(data) + more)
    span = until.split(framed)
    assert span is not None
    assert framed[slice(*span)] == data


# Access lists

_SDDL_WORDS = [
    "O:", "G:", "D:", "S:", "P", "AI", "NO_ACCESS_CONTROL", "(", ")", ";", "A", "D", "XA", "ML", "OA", "ZZ", "GA", "GR",
    "0x12019b", "0xffffffff", "4294967296", "NW", "SY", "BA", "WD", "OW", "S-1-5-18", "S-1-5-21-1-2-3-500", "S-1-", '"',
    "IO", "CI", " ", "(A;;GA;;;WD)", "(D;OICI;GW;;;S-1-1-0)", "(XA;;GR;;;AU;(Member_of {SID(BA)}))", "(ML;;NW;;;LW)",
]  # fmt: skip
descriptors = st.lists(st.sampled_from(_SDDL_WORDS) | st.text(max_size=3), max_size=12).map("".join)


@given(descriptors)
@example("D:" + "(" * 3000)
@example("D:(A;;" + "9" * 5000 + ";;;WD)")
def test_any_descriptor_is_read_and_told_or_is_a_value_error(text: str) -> None:
    try:
        found = sddl.parse(text)
    except ValueError:
        return
    if found.dacl is not None:
        assert all(isinstance(line, str) for line in sddl.dacl_in_words(found.dacl))
        assert allowed(found.dacl, {"S-1-1-0", "S-1-5-11"}, found.owner) & ~Access(0xFFFF_FFFF) == 0
    if found.label is not None:
        assert sddl.label_in_words(found.label)


wanted = st.sampled_from(["me", "admins", "users", "everyone", "S-1-15-2-1", "S-1-5-4", "bob"]) | arguments


@given(st.lists(wanted, max_size=4), st.booleans())
def test_whoever_is_let_in_cannot_make_instances(allow: list[str], is_elevated: bool) -> None:
    me = "S-1-5-21-1-2-3-1001"
    owner = "S-1-5-32-544" if is_elevated else me
    try:
        text = sddl.for_server(allow, me, {"bob": "S-1-5-21-1-2-3-1002"}.get, owner=owner)
    except ValueError:
        return
    assume(not any(word.lower().startswith("sddl:") for word in allow))
    dacl = sddl.parse(text).dacl
    assert dacl is not None
    masters = {owner, "S-1-5-18", "S-1-5-32-544"}
    strangers = {entry.account for entry in dacl.entries} - masters
    assert not allowed(dacl, strangers) & ~Access.PIPE_CLIENT
    assert allowed(dacl, {owner}) == Access.FILE_ALL_ACCESS
    assert allowed(dacl, {me}) == (Access.PIPE_CLIENT if is_elevated else Access.FILE_ALL_ACCESS)


# The directory of pipes


@st.composite
def directories(draw: st.DrawFn) -> bytes:
    """A directory as the system writes it, with bytes that it did not write, or an end that comes too early."""
    parts: list[bytes] = []
    names = draw(st.lists(st.text(max_size=8), max_size=4))
    for name in names:
        encoded = name.encode("utf-16-le", "surrogatepass")
        is_last = len(parts) == len(names) - 1
        step = 0 if is_last else -(-(64 + len(encoded)) // 8) * 8
        head = step.to_bytes(4, "little") + bytes(56) + len(encoded).to_bytes(4, "little")
        parts.append((head + encoded).ljust(step, b"\0"))
    memory = bytearray(b"".join(parts))
    for _ in range(draw(st.integers(0, 3)) if memory else 0):
        memory[draw(st.integers(0, len(memory) - 1))] = draw(st.integers(0, 255))
    end = draw(st.just(len(memory)) | st.integers(0, len(memory)))
    return bytes(memory[:end])


@given(directories() | st.binary(max_size=300))
def test_any_directory_is_read_or_is_a_value_error(memory: bytes) -> None:
    with suppress(ValueError):
        assert len(parse_directory(memory)) * 64 <= len(memory)


# The tables of handles and processes


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, int]:
    """A table as the system writes it, with a count or bytes that it did not write; and the size of a pointer."""
    pointer = draw(st.sampled_from([4, 8]))
    entry = {4: 28, 8: 40}[pointer]
    count = draw(st.integers(0, 4))
    said = draw(st.just(count) | st.integers(0, (1 << 8 * pointer) - 1))
    body = draw(st.binary(min_size=count * entry, max_size=count * entry + 8))
    return said.to_bytes(pointer, "little") + bytes(pointer) + body, pointer


@given(tables() | st.tuples(st.binary(max_size=200), st.sampled_from([4, 8])), st.integers(0, 0xFFFF))
def test_any_table_of_handles_is_read_or_is_a_value_error(table: tuple[bytes, int], kind: int) -> None:
    data, pointer = table
    with suppress(ValueError):
        assert len(list(parse_handles(memoryview(data), kind, pointer))) * 28 <= len(data)
    with suppress(ValueError):
        found = type_of(memoryview(data), 1, 1, pointer)
        assert found is None or 0 <= found <= 0xFFFF


@given(st.binary(max_size=400), st.integers(-8, 400), st.sampled_from([4, 8]))
def test_any_list_of_processes_is_read_or_is_a_value_error(data: bytes, address: int, pointer: int) -> None:
    with suppress(ValueError):
        assert len(parse_processes(memoryview(data), address, pointer)) * 84 <= len(data)
    assert all(pid >= 0 for pid in suspended(memoryview(data), pointer))


# Output


@given(st.binary(max_size=200), encodings)
@example(b"\xfe\xff\0a", "utf-16")
@example(b"+AGE-", "utf-7")
def test_json_carries_every_payload_exactly(data: bytes, encoding: str) -> None:
    try:
        encoding = ENCODING.convert(encoding, None, None)
    except click.BadParameter:
        assume(False)
    out = Stream()
    with redirect_stdout(out):
        output = Output()
        run_in_json(output, data, View(Form.AUTO, encoding))
    line = out.text()
    assert line.isascii()
    assert line.count("\n") == 1
    reply = json.loads(line)["reply"]
    assert reply["size"] == len(data)
    assert (reply["text"].encode(encoding) if "text" in reply else base64.b64decode(reply["base64"])) == data


def run_in_json(output: Output, data: bytes, show: View) -> None:
    """Write a payload as `call --json` does."""
    from pipectl.output import Mode

    output.mode = Mode.JSON
    output.data.payload(data, show, {"pipe": "\\\\.\\pipe\\x", "ms": 1.5})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | arguments,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(arguments, children, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(arguments, values, max_size=4), st.sampled_from(["json", "raw", "table"]))
def test_any_record_is_written_in_every_form(record: dict[str, Any], form: str) -> None:
    from pipectl.output import Mode

    out = Stream()
    with redirect_stdout(out):
        output = Output()
        output.mode = Mode(form)
        output.data.record(record)
    if form == "json":
        assert isinstance(json.loads(out.text()), dict)


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")), shows, st.booleans())
@example(b"\x1b]0;title\x07\x1b[2J\x9b31m\r", View(), False)
@example("\u202e\u2066\x85\x7f".encode(), View(), False)
def test_nothing_that_a_pipe_sends_can_command_a_terminal(data: bytes, show: View, as_dump: bool) -> None:
    assume(show.form is not Form.RAW)  # which asks for the bytes themselves
    out = Stream(is_terminal=True)
    with redirect_stdout(out):
        Output().data.payload(data, show, {}, as_dump=as_dump)
    assert_harmless(out.text())


@given(arguments, arguments, st.integers(0, 0xFFFF_FFFF))
def test_any_error_and_its_hint_are_told_on_a_terminal_harmlessly(pipe: str, reason: str, code: int) -> None:
    error = error_for(code, reason, "CreateFileW", pipe)
    assert_harmless(printable(f"{error} {hint_for(error)}"))


# Command lines


def _words() -> list[str]:
    """The options of all commands, and values that they take."""
    options = {
        spelling
        for name in COMMANDS
        for parameter in cli.get_command(click.Context(cli), name).params  # type: ignore[union-attr]
        for spelling in parameter.opts
        if spelling.startswith("-")
    }
    return [*sorted(options), "--", "-", "svc", "none", "0", "1", "-1", "json", "free", "eof", "64k", "sddl:D:"]


@given(st.sampled_from(sorted(COMMANDS)), st.lists(st.sampled_from(_words()) | arguments, max_size=6))
def test_any_command_line_is_read_or_refused(name: str, words: list[str]) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    with redirect_stdout(Stream()), suppress(click.ClickException, click.exceptions.Exit, PipeError):
        command.make_context(name, list(words), obj=Output())


@given(st.lists(arguments.filter(lambda word: word not in COMMANDS), min_size=1, max_size=3))
def test_a_command_that_does_not_exist_is_a_usage_error_in_json_too(words: list[str]) -> None:
    assume(words[0] not in ("", "--help", "--version"))
    assume(not {"--", "--exec"} & set(words))  # what follows these is not ours
    result = run(*words, "--json")
    assert result.exit_code == ExitCode.USAGE
    assert result.error["exit_code"] == ExitCode.USAGE

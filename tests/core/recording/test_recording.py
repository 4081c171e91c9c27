"""Recordings: what is written can be read again, and no file makes the reader fail."""

import io
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.codecs.base import Side
from pipectl.core.errors import PartialResultError, RecordingError
from pipectl.core.recording.recorder import File, Recorder, RecordLimit
from pipectl.core.recording.recording import (
    Closed,
    Event,
    Header,
    Opened,
    Recording,
    Said,
    event_line,
    event_to_json,
    header_line,
    read,
)
from tests import schema

HEADER = Header(r"\\.\pipe\svc", r"\\.\pipe\svc-real", True, "jsonrpc", "2026-11-26T10:00:00.000000Z", ("to.en",))

seconds = st.integers(0, 10**9).map(lambda number: number / 1000)
clients = st.integers(1, 3)
events = st.one_of(
    st.builds(Opened, seconds, clients, st.just({"pid": 42, "image": "C:\\a b.exe", "user": "PC\\ü"})),
    st.builds(Said, seconds, clients, st.sampled_from(Side), st.binary(max_size=50), st.booleans()),
    st.builds(
        Closed, seconds, clients, st.sampled_from(["client", "server", "relay"]), st.integers(1, 2000), st.text()
    ),
)


def lines_of(*parts: Event, header: Header = HEADER) -> list[bytes]:
    return [header_line(header), *map(event_line, parts)]


def read_file(content: bytes) -> Recording:
    return read(io.BytesIO(content))


# Writing and reading


@given(st.lists(events))
def test_what_is_written_is_read_again(parts: list[Event]) -> None:
    parts = sorted(parts, key=lambda one: one.t)
    assert read(lines_of(*parts)) == Recording(HEADER, tuple(parts))


@given(st.lists(events))
def test_every_line_fits_the_schema(parts: list[Event]) -> None:
    for line in lines_of(*parts):
        assert schema.errors(json.loads(line), schema.load("recording.schema.json")) == []
        assert line.isascii()
        assert line.count(b"\n") == 1


def test_lines_are_as_the_documentation_has_them() -> None:
    said: list[Event] = [
        Said(0.000213, 1, Side.CLIENT, b"ping"),
        Said(0.000871, 1, Side.SERVER, b"\x00\xff"),
        Said(0.001002, 1, Side.CLIENT, b"", True),
        Closed(0.0019, 1, "server", 109),
    ]
    assert [event_to_json(one) for one in said] == [
        {"t": 0.000213, "client": 1, "from": "client", "data": {"size": 4, "text": "ping"}},
        {"t": 0.000871, "client": 1, "from": "server", "data": {"size": 2, "base64": "AP8="}},
        {"t": 0.001002, "client": 1, "from": "client", "data": {"size": 0, "text": ""}, "end": True},
        {"t": 0.0019, "client": 1, "event": "close", "by": "server", "code": 109},
    ]
    opened = Opened(0, 1, {"pid": 0, "image": None, "services": (), "user": "PC\\user"})
    assert event_to_json(opened) == {"t": 0, "client": 1, "event": "open", "pid": 0, "user": "PC\\user"}


def test_recordings_one_after_the_other_are_read_as_one() -> None:
    parts = lines_of(Said(1, 1, Side.CLIENT, b"a"), Said(2, 3, Side.CLIENT, b"b"))
    found = read([*parts, *parts])
    assert [(one.client, one.t) for one in found.events] == [(1, 1), (3, 2), (4, 3), (6, 4)]
    assert found.warnings == ()


def test_conversations_are_apart_and_in_order() -> None:
    said = [Said(t, client, Side.CLIENT, b"%d" % t) for t, client in ((1, 2), (2, 1), (3, 2))]
    found = read(lines_of(*said, Closed(4, 2, "server")))
    assert found.conversations() == {2: [said[0], said[2]], 1: [said[1]]}
    assert (found.end_of(2).by, found.end_of(1).by) == ("server", "")


# Bad input

SAID = event_line(Said(5, 1, Side.CLIENT, b"x"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"GET / HTTP/1.1\r\n", "is not a recording"),
        (b"\xff\xfe\x00", "is not a recording"),
        (b"[1]\n", "is not a recording"),
        (b"[" * 100_000, "is not a recording"),
        (b'{"t": 0}\n', "is not a recording"),
        (b'{"schema": 1, "recording": 2}\n', "has `recording` 2"),
        (b'{"schema": 1, "recording": true}\n', "has `recording` true"),
        (b'{"schema": "1", "recording": 1}\n', 'has `schema` "1"'),
        (header_line(HEADER) + b'{"schema": 1, "recording": 7}\n', "has `recording` 7"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_reason(content: bytes, words: str) -> None:
    with pytest.raises(RecordingError, match=re.escape(words)):
        read_file(content)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b"{}", "`t`"),
        (b'{"t": -1, "client": 1}', "`t`"),
        (b'{"t": NaN, "client": 1}', "`t`"),
        (b'{"t": true, "client": 1}', "`t`"),
        (b'{"t": 1e999, "client": 1}', "`t`"),
        (b'{"t": 0, "client": 0}', "`client`"),
        (b'{"t": 0, "client": "1"}', "`client`"),
        (b'{"t": 0, "client": 1, "event": "dance"}', "`event`"),
        (b'{"t": 0, "client": 1, "event": []}', "`event`"),
        (b'{"t": 0, "client": 1, "from": "x"}', "`from`"),
        (b'{"t": 0, "client": 1, "from": "client"}', "`data`"),
        (b'{"t": 0, "client": 1, "from": "client", "data": {"base64": "A"}}', "`base64`"),
        (b'{"t": 0, "client": 1, "from": "client", "data": {"base64": "A A="}}', "`base64`"),
        (b'{"t": 0, "client": 1, "from": "client", "data": {"text": "\\ud800"}}', "half of a character"),
        (b'{"t": 0, "client": 1, "from": "client", "data": {"size": 2, "text": "x"}}', "`size`"),
    ],
)
def test_a_line_that_cannot_be_used_is_passed_over_with_a_warning(line: bytes, words: str) -> None:
    found = read_file(header_line(HEADER) + line + b"\n" + SAID)
    assert found.events == (Said(5, 1, Side.CLIENT, b"x"),)
    (warning,) = found.warnings
    assert warning.startswith("line 2 is passed over: ")
    assert words in warning


def test_a_last_line_that_is_cut_is_passed_over_with_a_warning() -> None:
    whole = header_line(HEADER) + SAID + SAID
    for size in range(len(whole) - len(SAID) + 1, len(whole) - 1):
        found = read_file(whole[:size])
        assert len(found.events) == 1
        assert found.warnings == ("line 3 is passed over: the line is cut",)


def test_a_time_that_goes_back_is_taken_for_the_one_before_it() -> None:
    found = read_file(b"".join([header_line(HEADER), SAID, event_line(Said(4, 2, Side.CLIENT, b"y"))]))
    assert found.warnings == ()  # of another client, whose lines may come later
    found = read_file(b"".join([header_line(HEADER), SAID, event_line(Said(4, 1, Side.CLIENT, b"y"))]))
    assert [one.t for one in found.events] == [5, 5]
    assert found.warnings == ("line 3: the time goes back for client 1",)


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = ["schema", "recording", "t", "client", "event", "from", "data", "end", "redacted", "pipe", "type", "by", "code"]


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), json_values)), st.booleans())
def test_any_objects_are_read_or_refused(found: list[dict[str, Any]], has_header: bool) -> None:
    lines = [header_line(HEADER)] * has_header + [json.dumps(one).encode() for one in found]
    read_or_refuse(b"\n".join(lines))


@given(st.binary(), st.integers(0, 400), st.integers(0, 400))
def test_any_damage_is_read_or_refused(damage: bytes, start: int, size: int) -> None:
    whole = b"".join(lines_of(Opened(0, 1, {"pid": 4}), Said(1, 1, Side.SERVER, b"\xff\x00"), Closed(2, 1, "client")))
    read_or_refuse(whole[:start] + damage + whole[start + size :])


def read_or_refuse(content: bytes) -> None:
    with suppress(RecordingError):
        for event in read_file(content).events:
            event_line(event)


# The recorder


class Disk:
    """Files in memory, with so much room."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.files: dict[str, list[bytes]] = {}
        self.room = room

    def open(self, path: str, appends: bool) -> File:
        if path in self.files and not appends:
            raise FileExistsError(path)
        return _File(self, self.files.setdefault(path, []))


class _File:
    def __init__(self, disk: Disk, writes: list[bytes]) -> None:
        self._disk, self._writes = disk, writes
        self.is_closed = False

    def write(self, data: bytes, /) -> int:
        count = min(len(data), self._disk.room)
        self._disk.room -= count
        self._writes.append(data[:count])
        return count

    def close(self) -> None:
        self.is_closed = True


def test_each_line_is_one_write() -> None:
    disk = Disk()
    recorder = Recorder("a.jsonl", HEADER, disk.open)
    for _ in range(3):
        recorder.write(Said(0, 1, Side.CLIENT, b"x\ny"))
    writes = disk.files["a.jsonl"]
    assert len(writes) == 4
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in writes)


def test_a_disk_that_is_full_is_an_error() -> None:
    disk = Disk(len(header_line(HEADER)) + 5)
    recorder = Recorder("a.jsonl", HEADER, disk.open)
    with pytest.raises(PartialResultError, match=r"a\.jsonl: the file is cut off"):
        recorder.write(Said(0, 1, Side.CLIENT, b"x"))


def test_a_full_file_is_followed_by_the_next_which_can_be_read_alone(tmp_path: Path) -> None:
    def open_file(path: str, appends: bool) -> File:
        return Path(path).open("ab" if appends else "xb", buffering=0)

    (tmp_path / "rec.2.jsonl").write_bytes(b"mine")
    recorder = Recorder(str(tmp_path / "rec.jsonl"), HEADER, open_file, limit=RecordLimit(700, 2))
    opened = Opened(0, 1, {"pid": 7})
    recorder.write(opened)
    for number in range(20):
        recorder.write(Said(number, 1, Side.CLIENT, b"%d" % number))
    recorder.close()
    files = sorted(tmp_path.iterdir(), key=lambda path: (len(path.name), path.name))
    assert (tmp_path / "rec.2.jsonl").read_bytes() == b"mine"
    kept = [path for path in files if path.name != "rec.2.jsonl"]
    assert len(kept) == 2
    assert all(path.stat().st_size <= 700 for path in kept)
    found = [read(path.read_bytes().splitlines(keepends=True)) for path in kept]
    assert all(one.header == HEADER and one.events[0] == opened for one in found)
    assert [one.data for one in found[-1].events if isinstance(one, Said)][-1] == b"19"


def test_a_line_larger_than_the_limit_has_a_file_of_its_own() -> None:
    disk = Disk()
    recorder = Recorder("a", HEADER, disk.open, limit=RecordLimit(10))
    for _ in range(2):
        recorder.write(Said(0, 1, Side.CLIENT, bytes(50)))
    assert [len(writes) for writes in disk.files.values()] == [2, 2]


@pytest.mark.parametrize(
    ("text", "limit"), [("64m", RecordLimit(64 << 20)), ("1k:5", RecordLimit(1024, 5)), ("9:1", RecordLimit(9, 1))]
)
def test_a_limit_is_a_size_and_perhaps_a_number_of_files(text: str, limit: RecordLimit) -> None:
    assert RecordLimit.parse(text) == limit


@pytest.mark.parametrize("text", ["", "x", "0", "1k:", "1k:0", "1k:x", "1k:-1", "1k:²", ":5", "1k:5:6"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid|no bytes"):
        RecordLimit.parse(text)

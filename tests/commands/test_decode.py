"""`pipectl decode`: a recording is shown, filtered, or written in another form; what is wrong with it is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipectl.core.codecs.base import Side
from pipectl.core.recording.recording import Closed, Event, Header, Opened, Said, event_line, header_line, read
from tests import schema
from tests.runner import Pipectl

HEADER = Header(r"\\.\pipe\svc-tap", r"\\.\pipe\svc", False, "json-lines", "2026-11-26T10:00:00Z")
REQUEST = b'{"jsonrpc": "2.0", "id": 7, "method": "greet", "params": ["secret"]}\n'
REPLY = b'{"jsonrpc": "2.0", "id": 7, "result": "hi"}\n'
EVENTS: tuple[Event, ...] = (
    Opened(0, 1, {"pid": 7, "image": r"C:\app\a.exe"}),
    Said(0.001, 1, Side.CLIENT, REQUEST[:10]),
    Opened(0.002, 2),
    Said(0.003, 2, Side.CLIENT, b'{"event": "other"}\n'),
    Said(0.004, 1, Side.CLIENT, REQUEST[10:]),
    Said(0.005, 1, Side.SERVER, REPLY),
    Closed(0.006, 1, "client"),
    Closed(0.007, 2, "server"),
)
LINES = [header_line(HEADER), *map(event_line, EVENTS)]


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "rec.jsonl"
    path.write_bytes(b"".join(LINES))
    return path


def test_it_shows_what_tap_had_shown(pipectl: Pipectl, recorded: Path) -> None:
    result = pipectl("decode", str(recorded))
    assert result.exit_code == 0
    assert result.text.splitlines() == [
        "#1  connected  pid 7, a.exe",
        "#2  connected",
        '#2  >    0.003  {"event": "other"}',
        '#1  >    0.004  greet #7 ["secret"]',
        "#1  <   +1.0ms  result #7 hi",
        "#1  closed by the client after 6.0ms: 1 answered, median 1.0ms, longest 1.0ms",
        "#2  closed by the server after 5.0ms: no reply seen",
    ]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--show", "method=greet"], [REQUEST, REPLY]),
        (["--show", "hi"], [REPLY]),
        (["--client", "2"], [b'{"event": "other"}\n']),
        (["--from", "server"], [REPLY]),
        (["--from", "server", "--client", "2"], []),
    ],
    ids=str,
)
def test_only_what_is_asked_for_is_shown(
    pipectl: Pipectl, recorded: Path, options: list[str], shown: list[bytes]
) -> None:
    objects = pipectl("decode", str(recorded), "--json", *options).objects
    assert [one["data"]["text"].encode() for one in objects if "data" in one] == shown
    for one in objects:
        assert schema.errors(one, schema.load("decode.schema.json")) == []


def test_its_json_can_be_decoded_again(pipectl_process: Pipectl, recorded: Path) -> None:
    pipectl = pipectl_process
    once = pipectl("decode", str(recorded), "--json").stdout
    assert pipectl("decode", "-", "--json", stdin=once).stdout == once
    assert pipectl("decode", "-", "--json", stdin=once.decode().encode("utf-16")).stdout == once


def test_bytes_that_are_no_recording_are_decoded_as_those_of_one_side(pipectl: Pipectl, tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(REQUEST * 2)
    assert pipectl("decode", str(path), "--codec", "json-lines").text == '#1  >    0.000  greet #7 ["secret"]\n' * 2
    line = pipectl("decode", str(path), "--from", "server", "--codec", "hex").text
    assert line.startswith("#1  <    0.000  ")


def test_with_timing_it_tells_how_long_replies_took(pipectl: Pipectl, recorded: Path) -> None:
    assert pipectl("decode", str(recorded), "--timing").text.splitlines()[-1].split()[-3:] == ["1", "1.0ms", "1.0ms"]


# Other forms


def test_each_form_is_written_to_a_new_file(pipectl: Pipectl, recorded: Path, tmp_path: Path) -> None:
    beginnings = {
        "pcapng": bytes.fromhex("0a0d0d0a"),
        "html": b"<!DOCTYPE html>",
        "jsonl": b'{"schema": 1, "recording"',
    }
    for form, beginning in beginnings.items():
        out = tmp_path / f"out.{form}"
        result = pipectl("decode", str(recorded), "--to", f"{form}:{out}")
        assert (result.exit_code, result.stdout, result.stderr) == (0, b"", "")
        content = out.read_bytes()
        assert content.startswith(beginning)
        assert pipectl("decode", str(recorded), "--to", f"{form}:{out}").exit_code == 2
        assert out.read_bytes() == content


def test_a_recording_is_written_again_with_more_masked(pipectl: Pipectl, recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert pipectl("decode", str(recorded), "--to", f"jsonl:{out}", "--redact", "secret").exit_code == 0
    found = read(out.read_bytes().splitlines(keepends=True))
    assert found.header.redacted == ("secret",)
    said = [one.data for one in found.events if isinstance(one, Said) and one.client == 1]
    assert said == [REQUEST[:10], REQUEST[10:].replace(b"secret", b"******"), REPLY]
    html = tmp_path / "out.html"
    pipectl("decode", str(recorded), "--to", f"html:{html}", "--redact", "secret")
    assert b"secret" not in html.read_bytes()


@pytest.mark.parametrize("form", ["pdf:x", "html", "html:", ":x", "rules:x"])
def test_an_unknown_form_is_refused(pipectl: Pipectl, recorded: Path, form: str) -> None:
    result = pipectl("decode", str(recorded), "--to", form)
    assert result.exit_code == 2
    assert "pcapng, html, jsonl" in result.stderr


# What is wrong with a recording


def header_with(**changed: Any) -> bytes:
    return json.dumps({**HEADER.to_json(), **changed}).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (header_with(recording=2), "has `recording` 2"),
        (header_with(recording=None), "has `recording` null"),
        (header_with(schema=7), "has `schema` 7"),
    ],
    ids=["empty", "version", "no version", "schema"],
)
def test_what_cannot_be_read_is_refused_by_name(pipectl: Pipectl, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "rec.jsonl"
    path.write_bytes(content)
    result = pipectl("decode", str(path))
    assert (result.exit_code, result.stdout) == (2, b"")
    assert f"{path}: {words}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (LINES[-1][:20], "the line is cut"),
        (b"nonsense\n", "not a JSON object"),
        (b"[" * 100_000 + b"\n", "not a JSON object"),
        (b'{"t": 0.1, "client": 3, "from": "client", "data": {"size": 1, "base64": "*"}}\n', "`base64` is not valid"),
        (b'{"t": 0.1, "client": 3, "from": "client", "data": {"size": 9, "text": "x"}}\n', "`size`"),
        (b'{"t": 0.1, "client": 3, "from": "nobody", "data": {"size": 1, "text": "x"}}\n', "`from`"),
        (b'{"t": -1, "client": 3, "event": "open"}\n', "`t`"),
        (b'{"t": 0.1, "client": 0, "event": "open"}\n', "`client`"),
        (b'{"t": 0.1, "client": 1, "event": "what"}\n', "`event`"),
    ],
    ids=["cut", "not JSON", "deep", "base64", "size", "from", "t", "client", "event"],
)
def test_a_line_that_cannot_be_used_is_passed_over_with_a_warning(
    pipectl: Pipectl, tmp_path: Path, line: bytes, words: str
) -> None:
    path = tmp_path / "rec.jsonl"
    path.write_bytes(b"".join([*LINES, line]))
    result = pipectl("decode", str(path))
    assert result.exit_code == 0
    assert f"line {len(LINES) + 1} is passed over" in result.stderr
    assert words in result.stderr
    assert "result #7 hi" in result.text


def test_a_time_that_goes_back_is_told(pipectl: Pipectl, tmp_path: Path) -> None:
    path = tmp_path / "rec.jsonl"
    path.write_bytes(b"".join([*LINES, event_line(Said(0.0, 1, Side.CLIENT, b"late\n"))]))
    result = pipectl("decode", str(path), "--codec", "lines")
    assert result.exit_code == 0
    assert "the time goes back for client 1" in result.stderr
    assert "#1  >    0.006  late" in result.text


def test_a_codec_of_a_recording_that_is_not_known_is_guessed(pipectl: Pipectl, tmp_path: Path) -> None:
    path = tmp_path / "rec.jsonl"
    path.write_bytes(b"".join([header_with(codec="evil.py:Class"), *LINES[1:]]))
    result = pipectl("decode", str(path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "greet #7" in result.text

"""`--codec` in `call`, `transact`, `read` and `connect`: what is sent is a frame, and what comes is decoded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipectl.core.constants import Wait
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.framing import parse
from pipectl.core.pipe.server import PipeServer
from tests import schema
from tests.runner import Pipectl, Running

from .test_read import sending

VERSION = b'{"Version":"27.0","token":"hunter22"}'
PLUGIN = """
from pipectl.core.codecs.plain import Lines

class Shout(Lines):
    name = "shout"
    title = "lines in capitals"

    def wrap(self, fields, body):
        return super().wrap(fields, body.upper())

    def feed(self, side, data, *, message=False):
        if b"oops" in data:
            raise ZeroDivisionError
        return super().feed(side, data, message=message)
"""


def docker(_client: Client, data: bytes) -> bytes:
    """Answer a whole request of HTTP in two messages, as a server that writes a stream does."""
    path = data.split()[1]
    if path == b"/missing":
        body, status = b'{"message":"No such image"}', b"404 Not Found"
    else:
        body, status = VERSION, b"200 OK"
    return b"HTTP/1.1 %b\r\nSet-Cookie: hunter22\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def mpv(client: Client, data: bytes) -> bytes:
    client.send(b'{"event":"idle"}\n')
    return b'{"request_id":%d,"error":"success"}\n' % json.loads(data)["request_id"]


def serving(pipe: str, answer: Callable[[Client, bytes], bytes | None], *, is_message: bool = True) -> PipeServer:
    return PipeServer(pipe, answer, config=PipeConfig(is_message=is_message))


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_a_request_of_http_is_made_and_its_response_shown(pipe_name: str, pipectl: Pipectl, is_message: bool) -> None:
    with serving(pipe_name, docker, is_message=is_message):
        result = pipectl("call", pipe_name, "--codec", "docker", "GET /version")
    body = VERSION.replace(b"hunter22", b"********").decode()
    assert (result.exit_code, result.text.splitlines()) == (0, ["200 OK, 37 bytes", body])


def test_an_error_is_shown_with_its_message(pipe_name: str, pipectl: Pipectl) -> None:
    with serving(pipe_name, docker):
        result = pipectl("call", pipe_name, "--codec", "docker", "GET /missing")
    assert result.text.splitlines()[0] == "404 Not Found: No such image"


def test_secrets_are_shown_on_request(pipe_name: str, pipectl: Pipectl) -> None:
    with serving(pipe_name, docker):
        assert "hunter22" in pipectl("call", pipe_name, "--codec", "docker", "GET /v", "--secrets").text


def test_raw_is_the_body_alone(pipe_name: str, pipectl: Pipectl) -> None:
    with serving(pipe_name, docker):
        result = pipectl("call", pipe_name, "--codec", "docker", "GET /v", "--as", "raw", "--secrets")
    assert result.stdout == VERSION


def test_frames_are_in_the_object_and_secrets_are_not(pipe_name: str, pipectl: Pipectl) -> None:
    with serving(pipe_name, docker):
        result = pipectl("call", pipe_name, "--codec", "docker", "GET /v", "--json")
    (one,) = result.objects
    assert schema.errors(one, schema.load("call.schema.json")) == []
    (frame,) = one["decoded"]
    assert (one["ended_by"], frame["kind"], frame["fields"]["status"]) == ("docker", "reply", 200)
    assert "hunter22" not in result.text


def test_another_rule_can_end_the_reply(pipe_name: str, pipectl: Pipectl) -> None:
    with serving(pipe_name, docker):
        (one,) = pipectl("call", pipe_name, "--codec", "docker", "GET /v", "--json", "--until", "bytes:20").objects
    assert (one["ended_by"], one["decoded"][0]["kind"]) == ("bytes:20", "bad")


def test_each_exchange_is_decoded_with_the_events_before_its_reply(pipe_name: str, pipectl: Pipectl) -> None:
    requests = ['{"request_id":1}', '{"request_id":2}']
    with serving(pipe_name, mpv, is_message=False):
        result = pipectl("transact", pipe_name, "--codec", "json-lines", *requests)
        objects = pipectl("transact", pipe_name, "--codec", "json-lines", *requests, "--json").objects
    assert result.text.splitlines() == [
        '{"event":"idle"}',
        '{"request_id":1,"error":"success"}',
        '{"event":"idle"}',
        '{"request_id":2,"error":"success"}',
    ]
    assert [[frame["kind"] for frame in one["decoded"]] for one in objects] == [["event", "reply"]] * 2
    assert schema.errors(objects[0], schema.load("transact.schema.json")) == []


def test_what_is_read_is_decoded_frame_by_frame(pipe_name: str, pipectl: Pipectl) -> None:
    pieces = [b'{"event":"one"}\n{"ev', b'ent":"two"}\n{"event":"three"}\n']
    with sending(pipe_name, pieces, is_message=False):
        result = pipectl("read", pipe_name, "--codec", "json-lines")
    assert result == (0, b'{"event":"one"}\n{"event":"two"}\n{"event":"three"}\n', "")
    with sending(pipe_name, pieces, is_message=False):
        objects = pipectl("read", pipe_name, "--codec", "json-lines", "--count", "2", "--json").objects
    assert [one["decoded"][0]["fields"]["event"] for one in objects] == ["one", "two"]
    assert schema.errors(objects[0], schema.load("read.schema.json")) == []


def test_lines_are_sent_as_frames_and_what_comes_is_decoded(pipe_name: str, pipectl_process: Pipectl) -> None:
    with serving(pipe_name, mpv, is_message=False):
        result = pipectl_process("connect", pipe_name, "--codec", "json-lines", "--json", stdin=b'{"request_id":7}\r\n')
    assert (result.exit_code, result.stderr) == (0, "")
    assert [one["decoded"][0]["kind"] for one in result.objects] == ["event", "reply"]
    assert all(schema.errors(one, schema.load("connect.schema.json")) == [] for one in result.objects)


def test_a_codec_of_a_file_makes_frames(pipe_name: str, pipectl: Pipectl, tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(PLUGIN, encoding="utf-8")
    with serving(pipe_name, lambda _client, data: data, is_message=False):
        assert pipectl("call", pipe_name, "--codec", f"{tmp_path / 'shout.py'}:Shout", "hello") == (0, b"HELLO\n", "")


def test_a_codec_that_fails_is_reported_once_and_the_reply_is_raw(
    pipe_name: str, pipectl: Pipectl, tmp_path: Path
) -> None:
    (tmp_path / "shout.py").write_text(PLUGIN, encoding="utf-8")
    with serving(pipe_name, lambda _client, _data: b"oops\n", is_message=False):
        result = pipectl("call", pipe_name, "--codec", f"{tmp_path / 'shout.py'}:Shout", "hello")
    assert (result.exit_code, result.text) == (0, '5 bytes: "oops\\x0a"\n')
    assert result.stderr.count("ZeroDivisionError") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--codec", "dokker"],
        ["--codec", "docker", "--frame", "line"],
        ["--codec", "docker", "hello"],
        ["--secrets"],
        ["--codec", "docker", "--native"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_refused(pipe_name: str, pipectl: Pipectl, options: list[str]) -> None:
    assert pipectl("call", pipe_name, "--wait", "none", *options).exit_code == 2


def test_the_reply_of_a_real_server_of_ours_is_decoded(
    pipe_name: str, running: Callable[..., Running], pipectl: Pipectl
) -> None:
    server = running("serve", pipe_name, "--hex", "--reply", "000000050c00000000", "--once", "--type", "byte")
    server.said()
    result = pipectl("call", pipe_name, "--codec", "ssh-agent", "REQUEST_IDENTITIES")
    assert result == (0, b"IDENTITIES_ANSWER 0 keys\n", "")
    assert server.end().exit_code == 0


def test_a_codec_that_fails_harms_no_tap(pipe_name: str, running: Callable[..., Running], tmp_path: Path) -> None:
    """The peers hear one another, the screen shows what it still can, and says once why."""
    (tmp_path / "shout.py").write_text(PLUGIN, encoding="utf-8")
    with serving(pipe_name, lambda _client, data: data, is_message=False):
        program = running("tap", pipe_name, "--once", "--codec", f"{tmp_path / 'shout.py'}:Shout")
        with connect(f"{pipe_name}-tap", 20, wait=Wait.EXISTS) as client:
            for line in (b"fine\n", b"oops\n", b"more\n"):
                client.send(line, 20)
                assert client.receive_until(parse("line"), 20).data == line
        result = program.end()
    assert result.exit_code == 0
    assert "fine" in result.text
    assert "more" in result.text
    assert result.stderr.count("ZeroDivisionError") == 1


def test_an_invalid_request_has_a_hint(pipe_name: str, pipectl: Pipectl) -> None:
    result = pipectl("call", pipe_name, "--codec", "json-lines", "{")
    assert result.exit_code == 2
    assert "pipectl help codecs" in result.stderr

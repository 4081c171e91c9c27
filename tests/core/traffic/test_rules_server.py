"""A server that answers by rules, as raw clients see it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any

import pytest

from pipectl.core.codecs.base import Frame
from pipectl.core.constants import WinError
from pipectl.core.errors import CheckFailedError, PipeClosedError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig, StopAfter
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.contract import ServerEvents
from pipectl.core.traffic.faults import Faults
from pipectl.core.traffic.rules import Rule, Rules
from pipectl.core.traffic.rules_file import read_rules
from pipectl.core.traffic.rules_match import Who
from pipectl.core.traffic.rules_server import RulesServer


class _Me:
    """This test, as the client of a server."""

    number, pid, exe, user, is_remote = 1, 4711, "test.exe", "me", False


class Notes(ServerEvents):
    """What a server has reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        # All messages and replies.
        self.data: list[bytes] = []
        self.error: Exception | None = None
        self.has_left = Event()
        self.has_reloaded = Event()

    def who(self, client: Client) -> Who:
        del client
        return _Me()

    def matched(self, client: Client, rule: Rule, frame: Frame) -> None:
        del client, frame
        self.seen.append(("matched", str(rule)))

    def unmatched(self, client: Client, frame: Frame) -> None:
        del client
        self.seen.append(("unmatched", frame.summary))

    def invalid(self, client: Client, reason: str) -> None:
        del client
        self.seen.append(("invalid", reason))

    def greeted(self, client: Client, data: bytes) -> None:
        del client
        self.seen.append(("greeted", data.decode()))

    def reloaded(self, rules: Rules) -> None:
        del rules
        self.has_reloaded.set()

    def received(self, client: Client, data: bytes) -> None:
        del client
        self.data.append(data)

    def answered(self, client: Client, data: bytes) -> None:
        del client
        self.data.append(data)

    def left(self, client: Client, error: Any) -> None:
        del client
        self.error = error
        self.has_left.set()


@contextmanager
def serving(
    pipe: str, text: str, *, is_message: bool = False, reload: Callable[[], Rules | None] | None = None, **options: Any
) -> Iterator[tuple[RulesServer, Notes]]:
    """Serve a pipe by rules."""
    rules = read_rules(f"version = 1\n{text}".encode(), "r.toml")
    notes = Notes()
    with RulesServer(
        pipe,
        rules,
        faults=Faults((), 1),
        rules_events=notes,
        events=notes,
        config=PipeConfig(is_message=is_message),
        reload=reload,
        **options,
    ) as server:
        yield server, notes


def rule(when: str = "", reply: str = 'text = "yes"', head: str = "") -> str:
    """A file with one rule."""
    return f"{head}\n[[rule]]\nwhen = {{ {when} }}\nreply = {{ {reply} }}\n"


def received(client: Connection, size: int) -> bytes:
    """Read so many bytes of a stream."""
    data = b""
    while len(data) < size:
        data += client.receive(5)
    return data


def code_of_end(client: Connection) -> int:
    """The error with which the pipe ends; nothing may be read before."""
    with pytest.raises(PipeClosedError) as raised:
        client.receive(5)
    return raised.value.code


def test_messages_are_answered_by_the_first_rule_that_applies(pipe_name: str) -> None:
    text = rule('text = "a"', 'text = "1"') + rule("", 'text = "2"')
    with serving(pipe_name, text, is_message=True) as (_, notes), connect(pipe_name, 10) as client:
        assert [client.transact(data, 5) for data in (b"a", b"b", b"a")] == [b"1", b"2", b"1"]
    assert notes.seen == [("matched", "rule 1"), ("matched", "rule 2"), ("matched", "rule 1")]


def test_frames_in_any_pieces_are_answered_with_frames(pipe_name: str) -> None:
    text = rule("", 'text = "${body}!"', 'frame = "u16be"')
    with serving(pipe_name, text), connect(pipe_name, 10) as client:
        for piece in (b"\0", b"\2a", b"b\0\1c\0", b"\0"):
            client.send(piece, 5)
        assert received(client, 12) == b"\0\3ab!\0\2c!\0\1!"


def test_a_codec_finds_frames_and_fields_and_makes_frames(pipe_name: str) -> None:
    text = rule('field = { op = "ping" }', 'field = { op = "pong" }, echo = true', 'codec = "discord"')
    with serving(pipe_name, text) as (_, notes), connect(pipe_name, 10) as client:
        client.send(b"\3\0\0\0\2\0\0\0{}" * 2, 5)
        assert received(client, 20) == b"\4\0\0\0\2\0\0\0{}" * 2
        assert notes.seen == [("matched", "rule 1")] * 2


def test_secrets_that_a_codec_knows_are_masked_in_what_is_reported(pipe_name: str) -> None:
    text = rule('json = { "/args/access_token" = "secret" }', "echo = true", 'codec = "discord"')
    body = b'{"cmd": "AUTHENTICATE", "args": {"access_token": "secret"}}'
    with serving(pipe_name, text) as (_, notes), connect(pipe_name, 10) as client:
        client.send(b"\1\0\0\0%c\0\0\0%b" % (len(body), body), 5)
        assert received(client, len(body) + 8).endswith(body)
    assert len(notes.data) == 2
    assert all(data.endswith(b'"access_token": "******"}}') for data in notes.data)


@pytest.mark.parametrize("is_message", [True, False])
def test_http_requests_get_responses(pipe_name: str, is_message: bool) -> None:
    text = rule('http = { path = "/a" }', 'http = { body = "${n}" }', 'frame = "http"')
    with serving(pipe_name, text, is_message=is_message), connect(pipe_name, 10) as client:
        for piece in (b"GET /a HTTP/1.1\r\nHo", b"st: h\r\n\r\nGET /a HTTP/1.1\r\n\r\n"):
            client.send(piece, 5)
        response = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
        assert received(client, 2 * len(response) + 2) == response + b"1" + response + b"2"


_UPGRADE = """
codec = "docker"
[[rule]]
when = { http = { path = ".*/attach" } }
reply = { http = { status = 101, headers = { Connection = "Upgrade", Upgrade = "tcp" } } }
[[rule]]
when = { http = {} }
reply = { http = { body = "${body}" } }
[[rule]]
reply = { echo = true }
"""


def test_what_follows_an_upgrade_is_a_message_as_it_comes(pipe_name: str) -> None:
    with serving(pipe_name, _UPGRADE, is_message=True), connect(pipe_name, 10) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 5)
        assert client.receive(5) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        client.send(b"POST /attach HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly", 5)
        switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        assert [client.receive(5), client.receive(5)] == [switched, b"early"]
        client.send(b"GET / HTTP/1.1\r\n\r\n"[:5], 5)
        assert client.receive(5) == b"GET /"


@pytest.mark.parametrize(
    "request_",
    [
        b"no http at all\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * (1 << 20),
    ],
    ids=["not http", "two lengths", "bare line feeds", "folded", "long chunk size", "long head"],
)
def test_an_invalid_request_is_refused_with_400(pipe_name: str, request_: bytes) -> None:
    with serving(pipe_name, _UPGRADE) as (_, notes), connect(pipe_name, 10) as client:
        with suppress(PipeClosedError):  # it need not read all
            client.send(request_, 5)
        replies = b""
        with suppress(PipeClosedError):
            while True:
                replies += client.receive(5)
        # The head of a request in chunks is valid, and gets its response.
        assert replies.rpartition(b"HTTP/1.1 ")[2].startswith(b"400 Bad Request\r\n")
    assert notes.seen[-1][0] == "invalid"


def test_a_greeting_comes_first_and_has_faults_too(pipe_name: str) -> None:
    text = rule("", 'text = "${n}"', 'greeting = { text = "hello ${client.number}", truncate = 5 }')
    with serving(pipe_name, text, is_message=True) as (_, notes), connect(pipe_name, 10) as client:
        assert client.receive(5) == b"hello"
        assert client.transact(b"x", 5) == b"1"
    assert notes.seen[0] == ("greeted", "hello 1")


def test_a_reply_can_close_or_reset_the_connection(pipe_name: str) -> None:
    text = rule('text = "a"', 'text = "bye", close = "after"') + rule("", 'none = true, close = "reset"')
    with serving(pipe_name, text, is_message=True):
        with connect(pipe_name, 10) as client:
            assert client.transact(b"a", 5) == b"bye"
            assert code_of_end(client) == WinError.BROKEN_PIPE
        with connect(pipe_name, 10) as client:
            client.send(b"b", 5)
            assert code_of_end(client) == WinError.PIPE_NOT_CONNECTED


def test_a_reply_of_nothing_sends_nothing_not_even_an_empty_message(pipe_name: str) -> None:
    text = rule('text = "a"', 'none = true, delay = "10ms"') + rule("", "empty = true")
    with serving(pipe_name, text, is_message=True), connect(pipe_name, 10) as client:
        client.send(b"a", 5)
        client.send(b"b", 5)
        client.send(b"b", 5)
        assert [client.receive(5), client.receive(5)] == [b"", b""]
        with pytest.raises(TimeoutError):
            client.receive(0.2)


def test_a_reply_of_several_frames_is_several_messages(pipe_name: str) -> None:
    text = rule("", 'frames = [{ text = "a" }, { text = "b", delay = "20ms" }]')
    with serving(pipe_name, text, is_message=True), connect(pipe_name, 10) as client:
        client.send(b"x", 5)
        assert [client.receive(5), client.receive(5)] == [b"a", b"b"]


def test_a_message_without_a_rule_can_close_the_connection(pipe_name: str) -> None:
    text = rule('text = "a"', head='unmatched = "close"')
    with serving(pipe_name, text, is_message=True) as (_, notes), connect(pipe_name, 10) as client:
        client.send(b"b", 5)
        assert code_of_end(client) == WinError.BROKEN_PIPE
    assert notes.seen == [("unmatched", "")]


def test_a_strict_server_stops_at_a_message_without_a_rule(pipe_name: str) -> None:
    served = serving(pipe_name, rule('text = "a"'), is_message=True, is_strict=True)
    with served as (server, _), connect(pipe_name, 10) as client:
        assert client.transact(b"a", 5) == b"yes"
        client.send(b"b", 5)
        with pytest.raises(CheckFailedError, match="no rule applies to a message of client #1: 1 bytes"):
            server.wait(10)


def test_rules_that_were_not_used_fail_the_server_that_expects_it(pipe_name: str) -> None:
    text = rule('text = "a"') + rule('text = "b"')
    for sent, problem in ((b"a", "rule 2"), (b"ab", None)):
        stop_after = StopAfter(messages=len(sent))
        with serving(pipe_name, text, is_message=True, expects_all=True, stop_after=stop_after) as (server, _):
            with connect(pipe_name, 10) as client:
                for byte in sent:
                    assert client.transact(bytes([byte]), 5) == b"yes"
            if problem is None:
                assert server.wait(10)
            else:
                with pytest.raises(CheckFailedError, match=problem):
                    server.wait(10)


@pytest.mark.parametrize(
    ("head", "data", "reason"),
    [
        ('frame = "u16be"', b"\0\4ab", "the stream ended within a frame after 4 bytes"),
        ('codec = "ssh-agent"', b"\0\0\0\x10\x0b", "the stream ended within a frame, after 5 of 20 bytes"),
    ],
)
def test_a_client_that_leaves_within_a_frame_is_reported(pipe_name: str, head: str, data: bytes, reason: str) -> None:
    with serving(pipe_name, rule("", "none = true", head)) as (_, notes):
        with connect(pipe_name, 10) as client:
            client.send(data, 5)
        assert notes.has_left.wait(10)
    assert notes.seen == [("invalid", reason)]


def test_a_strict_server_stops_when_a_client_leaves_within_a_frame(pipe_name: str) -> None:
    text = rule("", "none = true", 'frame = "u16be"')
    with serving(pipe_name, text, is_strict=True) as (server, _):
        with connect(pipe_name, 10) as client:
            client.send(b"\0\4ab", 5)
        with pytest.raises(CheckFailedError, match="client #1 has sent an invalid frame: the stream ended within a"):
            server.wait(10)


@pytest.mark.parametrize(
    ("head", "data", "reason"),
    [
        ('frame = "u32be"', b"\xff\xff\xff\xff", "a frame of 4294967295 bytes is more than the 67108864 allowed"),
        ('codec = "ssh-agent"', b"\xff\xff\xff\xff", "a frame of 4294967299 bytes is more than the 67108864 allowed"),
        ('codec = "discord"', b"\x09\0\0\0\2\0\0\0{}", "no operation 9"),
        ('codec = "json-lines"', b"no json\n", "not JSON: Expecting value at character 0"),
        ('codec = "json-lines"', b"[" * 100_000 + b"\n", "deeper than 200"),
        ('codec = "json-lines"', b'{"a": 1, "a": 2}\n', "the key 'a' occurs twice"),
        ('codec = "lsp"', b"Content-Length: -1\r\n\r\n{}", "invalid Content-Length b'-1'"),
        ('codec = "lsp"', b"printed by mistake\r\nContent-Length: 2\r\n\r\n{}", "text before a header"),
        ('codec = "lsp"', b"Content-Type: x\r\n\r\n", "no Content-Length"),
    ],
)
def test_a_client_that_sends_an_invalid_frame_is_disconnected(
    pipe_name: str, head: str, data: bytes, reason: str
) -> None:
    with serving(pipe_name, rule("", "none = true", head)) as (_, notes), connect(pipe_name, 10) as client:
        client.send(data, 5)
        assert code_of_end(client) == WinError.BROKEN_PIPE
    assert reason in str(notes.error)
    assert notes.seen[-1] == ("invalid", reason)


@pytest.mark.parametrize("head", ['frame = "u32be"', 'codec = "ssh-agent"'])
def test_a_strict_server_stops_at_an_invalid_frame(pipe_name: str, head: str) -> None:
    served = serving(pipe_name, rule("", "none = true", head), is_strict=True)
    with served as (server, _), connect(pipe_name, 10) as client:
        client.send(b"\xff\xff\xff\xff", 5)
        with pytest.raises(CheckFailedError, match="client #1 has sent an invalid frame: a frame of 42949672"):
            server.wait(10)


def test_other_rules_are_used_from_the_next_message_on(pipe_name: str) -> None:
    others: list[Rules] = []
    text = rule("", 'text = "${n}"')

    def reload() -> Rules | None:
        return others.pop() if others else None

    with serving(pipe_name, text, is_message=True, reload=reload) as (_, notes), connect(pipe_name, 10) as client:
        assert client.transact(b"x", 5) == b"1"
        others.append(read_rules(f"version = 1\n{text.replace('${n}', 'new ${n}')}".encode(), "r"))
        assert notes.has_reloaded.wait(10)
        assert client.transact(b"x", 5) == b"new 1"


def test_a_server_that_watches_its_file_still_notices_that_nothing_happens(pipe_name: str) -> None:
    stop_after = StopAfter(idle=1)
    with serving(pipe_name, rule(), reload=lambda: None, stop_after=stop_after) as (server, _):
        assert server.wait(10)

"""`pipectl replay`: a recorded conversation is played again as its server or as its client, and compared."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipectl.core.codecs.base import Side
from pipectl.core.constants import Wait
from pipectl.core.errors import PipeClosedError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.recording.recording import Closed, Event, Header, Opened, Said, event_line, header_line
from tests import schema
from tests.commands.interruptible import Interruptible
from tests.runner import Background, Pipectl

PATIENCE = 20
ASKED, SAID = Side.CLIENT, Side.SERVER
Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(
        *said: tuple[int, Side, bytes], is_message: bool = True, by: str = "client", code: int = 0, **header: object
    ) -> Path:
        path = tmp_path / "svc.jsonl"
        clients = dict.fromkeys(client for client, _, _ in said)
        events: list[Event] = [Opened(0, client) for client in clients]
        events += [Said(n / 10, client, side, data, not data) for n, (client, side, data) in enumerate(said)]
        events += [Closed(len(said) / 10, client, by, code) for client in clients]
        first = Header(is_message=is_message, **header)  # type: ignore[arg-type]
        path.write_bytes(header_line(first) + b"".join(map(event_line, events)))
        return path

    return write


def ask(pipe: str, *messages: bytes) -> list[bytes]:
    with connect(pipe, PATIENCE, wait=Wait.EXISTS) as client:
        replies = []
        for message in messages:
            client.send(message, PATIENCE)
            replies.append(client.receive(PATIENCE))
        return replies


@pytest.mark.parametrize("is_message", [True, False])
def test_it_serves_what_the_server_said(
    pipe_name: str, pipectl: Pipectl, background: Background, written: Written, is_message: bool
) -> None:
    path = written(
        (1, ASKED, b"a"), (1, SAID, b"b"), (1, ASKED, b"c"), (1, SAID, b"d"), (2, ASKED, b"x"), (2, SAID, b"y")
        , is_message=is_message)  # fmt: skip
    done = background(pipectl, "replay", str(path), "--serve", pipe_name, "--json")
    # The second first: a conversation is chosen by what is said first.
    assert ask(pipe_name, b"x") == [b"y"]
    assert ask(pipe_name, b"a", b"c") == [b"b", b"d"]
    result = done.result(PATIENCE)
    assert result.exit_code == 0
    assert [(one["conversation"], one["messages"]) for one in result.objects] == [(2, 2), (1, 4)]
    for one in result.objects:
        assert schema.errors(one, schema.load("replay.schema.json")) == []


def test_it_says_first_what_the_server_said_first_and_closes_as_it_did(
    pipe_name: str, pipectl: Pipectl, background: Background, written: Written
) -> None:
    path = written((1, SAID, b"hello"), (1, ASKED, b"a"), (1, SAID, b"bye"), by="server")
    done = background(pipectl, "replay", str(path), "--serve", pipe_name)
    with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
        assert client.receive(PATIENCE) == b"hello"
        client.send(b"a", PATIENCE)
        assert client.receive(PATIENCE) == b"bye"
        with pytest.raises(PipeClosedError):
            client.receive(PATIENCE)
    assert done.result(PATIENCE).exit_code == 0


def test_it_resets_where_the_server_did(
    pipe_name: str, pipectl: Pipectl, background: Background, written: Written
) -> None:
    for code, seen in ((233, 233), (109, 109)):
        path = written((1, ASKED, b"a"), (1, SAID, b"b"), (1, ASKED, b"c"), by="server", code=code)
        done = background(pipectl, "replay", str(path), "--serve", pipe_name)
        with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
            client.send(b"a", PATIENCE)
            assert client.receive(PATIENCE) == b"b"
            client.send(b"c", PATIENCE)
            with pytest.raises(PipeClosedError) as caught:
                client.receive(PATIENCE)
        assert caught.value.code == seen
        assert done.result(PATIENCE).exit_code == 0


def test_a_client_that_says_something_else_ends_it_with_12_and_a_diff(
    pipe_name: str, pipectl: Pipectl, background: Background, written: Written
) -> None:
    path = written((1, ASKED, b"one\ntwo\n"), (1, SAID, b"b"))
    done = background(pipectl, "replay", str(path), "--serve", pipe_name)
    with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
        client.send(b"one\n2\n", PATIENCE)
        with pytest.raises(PipeClosedError):
            client.receive(PATIENCE)
    result = done.result(PATIENCE)
    assert result.exit_code == 12
    assert "-two\n+2\n" in result.stderr
    assert "hint: Compare less" in result.stderr


def test_a_client_that_leaves_too_soon_ends_it_with_7(
    pipe_name: str, pipectl: Pipectl, background: Background, written: Written
) -> None:
    path = written((1, ASKED, b"a"), (1, SAID, b"b"), (1, ASKED, b"c"))
    done = background(pipectl, "replay", str(path), "--serve", pipe_name)
    assert ask(pipe_name, b"a") == [b"b"]
    result = done.result(PATIENCE)
    assert result.exit_code == 7
    assert "left after 1 of its 2 messages" in result.stderr


def test_with_repeat_it_serves_until_ctrl_c(pipe_name: str, written: Written) -> None:
    path = written((1, ASKED, b"a"), (1, SAID, b"b"))
    program = Interruptible(pipe_name, "replay", str(path), "--serve", pipe_name, "--repeat")
    try:
        assert [ask(pipe_name, b"a") for _ in range(3)] == [[b"b"]] * 3
        program.interrupt()
    finally:
        program.kill()


def test_with_timing_a_reply_takes_as_long_as_it_did(
    pipe_name: str, pipectl: Pipectl, background: Background, written: Written
) -> None:
    path = written((1, ASKED, b"a"), (1, SAID, b"b"), (1, SAID, b"c"), (1, SAID, b"d"), (1, SAID, b"e"))
    for factor, least in (("recorded", 0.4), ("2", 0.2)):
        done = background(pipectl, "replay", str(path), "--serve", pipe_name, "--timing", factor)
        with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
            begun = time.perf_counter()
            client.send(b"a", PATIENCE)
            assert [client.receive(PATIENCE) for _ in range(4)] == [b"b", b"c", b"d", b"e"]
            assert time.perf_counter() - begun >= least - 0.05
        assert done.result(PATIENCE).exit_code == 0


# As the client


def answering(_client: Client, data: bytes) -> bytes:
    return {b"a": b"b", b"c": b"d"}.get(data, b"?")


@pytest.mark.parametrize("is_message", [True, False])
def test_it_calls_as_the_clients_did(pipe_name: str, pipectl: Pipectl, written: Written, is_message: bool) -> None:
    path = written((1, ASKED, b"a"), (1, SAID, b"b"), (2, ASKED, b"c"), (2, SAID, b"d"), is_message=is_message)
    with PipeServer(pipe_name, answering, config=PipeConfig(is_message=is_message)):
        result = pipectl("replay", str(path), "--call", pipe_name)
        assert (result.exit_code, result.stdout.count(b"2 messages, as recorded")) == (0, 2)
        assert pipectl("replay", str(path), "--call", pipe_name, "--client", "2").stdout.count(b"as recorded") == 1


@pytest.mark.parametrize(
    ("options", "exit_code"), [([], 12), (["--match", "any"], 0), (["--redact", "(B)"], 0)], ids=str
)
def test_a_server_that_says_something_else_is_told(
    pipe_name: str, pipectl: Pipectl, written: Written, options: list[str], exit_code: int
) -> None:
    path = written((1, ASKED, b"a"), (1, SAID, b"B" if options[:1] != ["--redact"] else b"*"))
    replying = b"B" if options[:1] == ["--redact"] else b"b"
    with PipeServer(pipe_name, lambda _client, _data: replying):
        result = pipectl("replay", str(path), "--call", pipe_name, *options)
    assert result.exit_code == exit_code
    assert ("-B\n+b" in result.stderr) is (exit_code == 12)


def test_a_server_that_closes_too_soon_is_7_and_one_that_is_silent_6(
    pipe_name: str, pipectl: Pipectl, written: Written
) -> None:
    path = written((1, ASKED, b"a"), (1, SAID, b"b"))
    with PipeServer(pipe_name, lambda client, _data: client.close()):
        assert pipectl("replay", str(path), "--call", pipe_name).exit_code == 7
    with PipeServer(pipe_name, lambda _client, _data: None):
        assert pipectl("replay", str(path), "--call", pipe_name, "--timeout", "0.2").exit_code == 6


def test_a_pipe_of_the_other_type_is_refused(pipe_name: str, pipectl: Pipectl, written: Written) -> None:
    path = written((1, ASKED, b"a"), is_message=False)
    with PipeServer(pipe_name, answering):
        assert pipectl("replay", str(path), "--call", pipe_name).exit_code == 9


def test_nothing_is_sent_to_a_pipe_that_only_the_recording_names(
    pipe_name: str, pipectl: Pipectl, written: Written
) -> None:
    came = []
    path = written((1, ASKED, b"a"), pipe=f"{pipe_name}-2", target=f"{pipe_name}-2")
    with PipeServer(f"{pipe_name}-2", lambda _client, data: came.append(data)):
        assert pipectl("replay", str(path), "--call", pipe_name, "--timeout", "0.1").exit_code == 3
    assert came == []


def test_what_tap_has_recorded_plays_on_both_sides(
    pipe_name: str, pipectl: Pipectl, background: Background, tmp_path: Path
) -> None:
    path = tmp_path / "svc.jsonl"
    with PipeServer(pipe_name, lambda _client, data: data[::-1]):
        done = background(pipectl, "tap", pipe_name, "--once", "--record", str(path), "--redact", "s.cret")
        said = ask(f"{pipe_name}-tap", b"abc", b"\x00\xff", b"secret")
        assert done.result(PATIENCE).exit_code == 0
        assert b"secret" not in path.read_bytes()
        result = pipectl("replay", str(path), "--call", pipe_name)
        assert result.exit_code == 12  # the server answers to the mask, and not to the secret
        assert "message 3" in result.stderr
    done = background(pipectl, "replay", str(path), "--serve", pipe_name)
    assert ask(pipe_name, b"abc", b"\x00\xff", b"secret") == said
    assert done.result(PATIENCE).exit_code == 0


# What is wrong


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "replay plays one side"),
        (["--serve", "a", "--call", "b"], "replay plays one side"),
        (["--serve", "a", "--timing", "slow"], "--timing"),
        (["--serve", "a", "--timing", "0"], "--timing"),
        (["--serve", "a", "--match", "exact", "--ignore", "/id"], "needs `--match codec`"),
        (["--serve", "a", "--ignore", "id"], "--ignore /id"),
        (["--serve", "a", "--client", "7"], "client 7 has said nothing"),
        (["--serve", "a", "--codec", "jsonn"], "no codec is called"),
    ],
    ids=str,
)
def test_a_wrong_line_is_refused_and_says_why(
    pipectl: Pipectl, written: Written, options: list[str], words: str
) -> None:
    result = pipectl("replay", str(written((1, ASKED, b"a"))), *options)
    assert (result.exit_code, result.stdout) == (2, b"")
    assert words in result.stderr


@pytest.mark.parametrize("content", [b"", b"no recording", b'{"recording": 2, "schema": 1}\n'])
def test_what_is_no_recording_is_refused(pipectl: Pipectl, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "svc.jsonl"
    path.write_bytes(content)
    result = pipectl("replay", str(path), "--serve", "svc")
    assert (result.exit_code, result.stdout) == (2, b"")
    assert str(path) in result.stderr


def test_a_recording_that_is_cut_plays_up_to_there(pipe_name: str, pipectl: Pipectl, written: Written) -> None:
    path = written((1, ASKED, b"a"), (1, SAID, b"b"), (1, ASKED, b"c"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:20])
    with PipeServer(pipe_name, answering):
        result = pipectl("replay", str(path), "--call", pipe_name)
    assert result.exit_code == 0
    assert "the line is cut" in result.stderr

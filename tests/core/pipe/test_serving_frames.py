"""`FramedServer`: each frame of a stream is a message, in order, whatever pieces the stream comes in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from pipectl.core.errors import FrameError, MessageTooLongError, PipeClosedError, PipeError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig, StopAfter
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.contract import LATER, Later
from pipectl.core.pipe.framed import FramedServer
from pipectl.core.pipe.framing import parse
from tests.pipes import reporting


def upper(_client: Client, data: bytes) -> bytes:
    return data.upper()


@contextmanager
def serving(pipe: str, rule: str, *, is_message: bool = False, max_message: int = 1 << 20) -> Iterator[list[PipeError]]:
    """Serve frames; give the errors for which clients were closed."""
    errors: list[PipeError] = []

    def left(_client: Client, error: PipeError | None) -> None:
        if error is not None:
            errors.append(error)

    config = PipeConfig(is_message=is_message, max_message=max_message)
    with FramedServer(pipe, upper, parse(rule), events=reporting(left=left), config=config):
        yield errors


def frames_from(client: Connection, rule: str, count: int) -> list[bytes]:
    until = parse(rule)
    return [until.body(client.receive_until(until, 5).data) for _ in range(count)]


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
@pytest.mark.parametrize("rule", ["line", "u16be", "varint", "content-length", "pkt"])
def test_each_frame_is_answered_in_order_however_it_is_cut(pipe_name: str, is_message: bool, rule: str) -> None:
    bodies = [b"one", b"two", b"x" * 3000, b"four"]
    stream = b"".join(map(parse(rule).wrap, bodies))
    with serving(pipe_name, rule, is_message=is_message):
        for size in (len(stream), 1000, 7):
            with connect(pipe_name, 10) as client:
                for begin in range(0, len(stream), size):
                    client.send(stream[begin : begin + size], 5)
                assert frames_from(client, rule, 4) == [body.upper() for body in bodies]


def test_many_frames_in_one_piece_do_not_nest(pipe_name: str) -> None:
    with serving(pipe_name, "line"), connect(pipe_name, 10) as client:
        client.send(b"a\n" * 5000, 10)
        assert frames_from(client, "line", 5000) == [b"A"] * 5000


def test_answers_that_come_later_keep_the_order(pipe_name: str) -> None:
    def later(client: Client, data: bytes) -> Later:
        Thread(target=client.reply, args=(data.upper(),)).start()
        return LATER

    config = PipeConfig(is_message=False)
    with FramedServer(pipe_name, later, parse("line"), config=config), connect(pipe_name, 10) as client:
        client.send(b"one\ntwo\nth", 5)
        client.send(b"ree\nfour\n", 5)
        assert frames_from(client, "line", 4) == [b"ONE", b"TWO", b"THREE", b"FOUR"]


def test_frames_are_counted_and_not_pieces(pipe_name: str) -> None:
    config, stop_after = PipeConfig(is_message=False), StopAfter(messages=2)
    with (
        FramedServer(pipe_name, upper, parse("line"), config=config, stop_after=stop_after) as server,
        connect(pipe_name, 10) as client,
    ):
        client.send(b"o", 5)
        client.send(b"ne\n", 5)
        client.send(b"two\n", 5)
        assert server.wait(5)
        assert server.stats.messages == 2


def test_an_empty_message_ends_a_frame_of_eof(pipe_name: str) -> None:
    with serving(pipe_name, "eof", is_message=True), connect(pipe_name, 10) as client:
        for piece in (b"a", b"b", b""):
            client.send(piece, 5)
        assert client.receive(5) == b"AB"


@pytest.mark.parametrize(
    ("rule", "stream", "kind"),
    [
        ("u32le", b"\xff\xff\xff\xff", MessageTooLongError),
        ("line", os.urandom(2000).replace(b"\n", b"x"), MessageTooLongError),
        ("json", b"}", FrameError),
        ("u8", b"\1" + b"a" * 300, None),
    ],
)
def test_a_client_that_sends_no_frame_is_closed_and_others_are_not(
    pipe_name: str, rule: str, stream: bytes, kind: type[PipeError] | None
) -> None:
    with serving(pipe_name, rule, max_message=1000) as errors, connect(pipe_name, 10) as other:
        with connect(pipe_name, 10) as client:
            client.send(stream, 5)
            if kind is not None:
                with pytest.raises(PipeClosedError):
                    client.receive(5)
        other.send(parse(rule).wrap(b'"x"'), 5)
        assert frames_from(other, rule, 1) == [b'"X"']
    assert [type(error) for error in errors] == ([kind] if kind else [])


def test_an_answer_without_a_frame_closes_its_client_alone(pipe_name: str) -> None:
    config = PipeConfig(is_message=False)
    with FramedServer(pipe_name, lambda _client, data: data * 200, parse("u8"), config=config):
        with connect(pipe_name, 10) as client:
            client.send(b"\2ab", 5)
            with pytest.raises(PipeClosedError):
                client.receive(5)
        with connect(pipe_name, 10) as client:
            client.send(b"\1a", 5)
            assert frames_from(client, "u8", 1) == [b"a" * 200]


def test_frames_of_a_client_that_left_at_once_are_still_received(pipe_name: str) -> None:
    received: list[bytes] = []
    is_closed, has_left = Event(), Event()

    def answer(_client: Client, data: bytes) -> None:
        received.append(data)
        assert is_closed.wait(10)

    events = reporting(left=lambda _client, _error: has_left.set())
    with FramedServer(pipe_name, answer, parse("line"), events=events, config=PipeConfig(is_message=False)):
        with connect(pipe_name, 10) as client:
            client.send(b"a\nb\nc\n", 5)
        is_closed.set()
        assert has_left.wait(10)
    assert received == [b"a", b"b", b"c"]

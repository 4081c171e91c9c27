"""`relay --frame`: messages on one side, frames in a stream on the other."""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipectl.core.errors import FrameError, MessageTooLongError, PipeError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.framing import parse as rule_of
from pipectl.core.pipe.server import PipeServer
from pipectl.core.traffic.reframing import reframing
from pipectl.core.traffic.session import Session
from tests.runner import Background

from .relaying import PATIENCE, Told, accepted, port_of, received, relaying, tcp_client, tcp_server

MIB = 1 << 20
U32 = rule_of("u32le")


def echo(_client: Client, data: bytes) -> bytes:
    return data


@pytest.fixture
def behind(pipe_name: str) -> str:
    """The name of the pipe behind the relay."""
    return f"{pipe_name}-behind"


def frames_at(*, listen: str | None = None, target: str | None = None, max_frame: int = 2 * MIB) -> object:
    """The filters of `--frame`."""
    return reframing(listen and rule_of(listen), target and rule_of(target), max_frame)  # type: ignore[arg-type]


@contextmanager
def through(pipe: str, *, framed: bool) -> Iterator[Connection]:
    """A message client whose echo comes back through one relay, or as frames on a byte pipe between two."""
    with ExitStack() as stack:
        enter = stack.enter_context
        enter(PipeServer(f"{pipe}-end", echo))
        if framed:
            enter(relaying(f"{pipe}-bytes", f"{pipe}-end", is_message=False, filters=frames_at(listen="u32le")))
            enter(relaying(pipe, f"{pipe}-bytes", filters=frames_at(target="u32le")))
        else:
            enter(relaying(pipe, f"{pipe}-end"))
        yield enter(connect(pipe, PATIENCE, max_message=2 * MIB))


def send_all(client: Connection, messages: list[bytes]) -> None:
    for message in messages:
        client.send(message, PATIENCE)


SIZES = st.lists(
    st.sampled_from([0, 1, 2, 3, 4, 5, 4095, 4096, 65531, 65536, 65537, MIB]) | st.integers(0, MIB), max_size=8
)


@pytest.mark.parametrize("framed", [False, True], ids=["messages", "messages to u32le to messages"])
def test_any_messages_come_back_as_the_same_sequence(pipe_name: str, background: Background, framed: bool) -> None:
    with through(pipe_name, framed=framed) as client:

        @given(SIZES, st.integers(0, 1 << 32))
        @example([0, MIB, 0, 0, 1, 65536], 1)
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        def check(sizes: list[int], seed: int) -> None:
            source = random.Random(seed)
            messages = [source.randbytes(size) for size in sizes]
            sending = background(send_all, client, messages)
            assert [client.receive(PATIENCE) for _ in messages] == messages
            sending.result(PATIENCE)

        check()


@pytest.mark.parametrize("rule", ["line", "crlf", "nul", "u16be+self", "varint", "content-length", "json", "pkt"])
def test_each_message_is_a_frame_of_the_rule_and_back(pipe_name: str, rule: str) -> None:
    messages = [b'{"a": 1}', b'["\\n"]', b"{}"]
    with (
        tcp_server() as server,
        relaying(pipe_name, port_of(server), filters=frames_at(target=rule)),
        connect(pipe_name, PATIENCE) as client,
    ):
        for message in messages:
            client.send(message, PATIENCE)
        frames = b"".join(map(rule_of(rule).wrap, messages))
        with accepted(server) as peer:
            assert received(peer, len(frames)) == frames
            for byte in frames:
                peer.sendall(bytes([byte]))
            assert [client.receive(PATIENCE) for _ in messages] == messages


def test_an_empty_message_is_an_empty_frame_and_not_the_end(pipe_name: str) -> None:
    with (
        tcp_server() as server,
        relaying(pipe_name, port_of(server), filters=frames_at(target="u32le")),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"", PATIENCE)
        client.send(b"x", PATIENCE)
        with accepted(server) as peer:
            assert received(peer, 9) == b"\0\0\0\0\1\0\0\0x"
            peer.sendall(b"\0\0\0\0")
            assert client.receive(PATIENCE) == b""


def test_an_empty_frame_for_a_side_without_messages_is_no_end() -> None:
    with (
        tcp_server() as server,
        relaying("tcp:0", port_of(server), filters=frames_at(listen="u32le")) as (relay, told),
    ):
        with tcp_client(relay) as client:
            client.sendall(b"\0\0\0\0\1\0\0\0x")
            with accepted(server) as peer:
                assert received(peer, 1) == b"x"
        session = told.end()
    assert (session.to_target.bytes, session.error) == (1, None)


def test_fin_behind_whole_frames_is_passed_on_after_them(pipe_name: str) -> None:
    messages: SimpleQueue[bytes] = SimpleQueue()

    def answer(client: Client, data: bytes) -> None:
        messages.put(data)
        if not data:
            client.send(b"all")
            client.close()

    with (
        PipeServer(pipe_name, answer),
        relaying("tcp:0", pipe_name, filters=frames_at(listen="u32le")) as (relay, _),
        tcp_client(relay) as client,
    ):
        client.sendall(b"\1\0\0\0a\2\0\0\0bc")
        client.shutdown(socket.SHUT_WR)
        assert received(client) == b"\3\0\0\0all"
    assert [messages.get(timeout=PATIENCE) for _ in range(3)] == [b"a", b"bc", b""]


def refused(pipe: str, listen: str, sent: bytes, filters: object) -> tuple[Session, list[bytes]]:
    """How a session ends whose client sends this and then FIN, and which messages have arrived."""
    messages: list[bytes] = []
    with (
        PipeServer(pipe, lambda _client, data: messages.append(data)),
        relaying(listen, pipe, filters=filters) as (relay, told),
    ):
        with tcp_client(relay) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            session = told.end()
        relay_lives(relay.place.port, told)
    return session, messages


def relay_lives(port: int, told: Told) -> None:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(U32.wrap(b"still"))
        assert told.connections.get(timeout=PATIENCE).number == 1
        assert told.opens.get(timeout=PATIENCE).number == 1
        assert told.opens.get(timeout=PATIENCE).number == 2


@pytest.mark.parametrize(
    ("sent", "error", "lost"),
    [
        (b"\1\0\0\0a\5\0\0\0ab", FrameError, 6),
        (b"\1\0\0\0a\xff\xff\xff\xffab", MessageTooLongError, 6),
        (b"\1\0\0\0a\1\0\x20\0", MessageTooLongError, 4),
    ],
    ids=["half a frame", "a length of 4 GiB", "one byte too many"],
)
def test_what_is_no_whole_frame_is_not_sent_and_the_relay_lives(
    pipe_name: str, sent: bytes, error: type[PipeError], lost: int
) -> None:
    session, messages = refused(pipe_name, "tcp:0", sent, frames_at(listen="u32le"))
    assert isinstance(session.error, error)
    assert (session.ended_by, session.to_target.dropped, session.to_target.bytes) == ("client", lost, 1)
    assert messages[0] == b"a"
    assert messages[1:] in ([], [b"still"])


def test_a_length_of_4_gib_ends_the_session_at_the_header(pipe_name: str, behind: str) -> None:
    with (
        PipeServer(behind, echo),
        relaying(pipe_name, behind, is_message=False, filters=frames_at(listen="u32be")) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"\xff\xff\xff\xff", PATIENCE)  # and waits, with its end open
        session = told.end()
    assert isinstance(session.error, MessageTooLongError)


def test_a_message_that_is_too_long_for_its_length_field_is_an_error(pipe_name: str) -> None:
    with tcp_server() as server, relaying(pipe_name, port_of(server), filters=frames_at(target="u8")) as (_, told):
        with connect(pipe_name, PATIENCE) as client:
            client.send(b"x" * 255, PATIENCE)
            client.send(b"x" * 256, PATIENCE)
            session = told.end()
        with accepted(server) as peer:
            assert received(peer) == b"\xff" + b"x" * 255
    assert isinstance(session.error, FrameError)
    assert session.to_target.dropped == 256


def test_a_pipe_that_closes_within_a_frame_ends_with_an_error(pipe_name: str, behind: str) -> None:
    def answer(client: Client, _data: bytes) -> bytes:
        client.close()
        return b"\2\0\0\0ab\7\0\0\0half"

    with (
        PipeServer(behind, answer, config=PipeConfig(is_message=False)),
        relaying(pipe_name, behind, filters=frames_at(target="u32le")) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"x", PATIENCE)
        session = told.end()
        assert client.receive(PATIENCE) == b"ab"
    assert isinstance(session.error, FrameError)
    assert (session.ended_by, session.to_client.dropped) == ("target", 8)


def test_both_sides_may_have_frames_of_different_rules() -> None:
    with (
        tcp_server() as server,
        relaying("tcp:0", port_of(server), filters=frames_at(listen="line", target="u16be")) as (relay, _),
        tcp_client(relay) as client,
    ):
        client.sendall(b"one\r\n\ntwo\n")
        with accepted(server) as peer:
            assert received(peer, 12) == b"\0\3one\0\0\0\3two"
            peer.sendall(b"\0\0\0\1x")
            assert received(client, 3) == b"\nx\n"


def test_an_empty_message_ends_a_stream_that_a_message_pipe_carries(pipe_name: str) -> None:
    """As Docker's, where the boundaries of messages are not those of the protocol."""
    with (
        tcp_server() as server,
        relaying(pipe_name, port_of(server), filters=frames_at(listen="line", target="u8")),
        connect(pipe_name, PATIENCE) as client,
    ):
        for piece in (b"on", b"e\ntw", b"o\n", b""):
            client.send(piece, PATIENCE)
        with accepted(server) as peer:
            assert received(peer) == b"\3one\3two"

"""What a relay reports of the data that passes, and what filters make of it."""

import socket
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from pipectl.core.codecs.base import Side
from pipectl.core.constants import WinError
from pipectl.core.errors import FrameError, PipeClosedError, PipeNotFoundError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.framing import Count
from pipectl.core.pipe.server import PipeServer
from pipectl.core.traffic.filters import Filter, Then, Verdict
from pipectl.core.traffic.places import parse
from pipectl.core.traffic.relay import Relay, RelayConfig
from pipectl.core.traffic.session import Session
from pipectl.core.traffic.watched import WatchedSession
from tests.pipes import reporting

from .relaying import PATIENCE, Told, accepted, is_silent, port_of, received, relaying, tcp_client, tcp_server

Report = tuple[Side, bytes, bool]


class Watching(Told):
    """Keeps what passes, beside what `Told` keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: SimpleQueue[Report] = SimpleQueue()

    def passed(self, session: Session, side: Side, data: bytes, is_message: bool) -> None:
        assert session.number == 1
        self.reports.put((side, data, is_message))

    def all(self) -> list[Report]:
        """What was reported of a session that is over."""
        return [self.reports.get() for _ in range(self.reports.qsize())]


class Deciding:
    """A filter with a function for `take`, and one verdict for `end`; keeps what it was given."""

    def __init__(self, take: Callable[[bytes], Verdict], end: Verdict | None = None) -> None:
        self.given: SimpleQueue[bytes] = SimpleQueue()
        self._take = take
        self._end = end or Verdict()

    def take(self, data: bytes, is_message: bool) -> Verdict:  # noqa: ARG002
        self.given.put(data)
        return self._take(data)

    def end(self) -> Verdict:
        return self._end


def only(side: Side, chosen: Filter) -> Callable[[Session, Side], Filter | None]:
    """The filters of a relay where only one side's data is filtered."""
    return lambda _session, of: chosen if of is side else None


def as_it_is(data: bytes) -> Verdict:
    return Verdict([(0.0, data)])


def echo(_client: Client, data: bytes) -> bytes:
    return data


@pytest.fixture
def behind(pipe_name: str) -> str:
    """The name of the pipe behind the relay."""
    return f"{pipe_name}-behind"


# What is reported


def test_a_relay_whose_events_ignore_the_data_makes_plain_sessions(pipe_name: str, behind: str) -> None:
    with PipeServer(behind, echo), relaying(pipe_name, behind) as (_, told):
        with connect(pipe_name, PATIENCE) as client:
            client.transact(b"x", PATIENCE)
        assert type(told.end()) is Session


def test_each_message_is_reported_in_order_with_its_side(pipe_name: str, behind: str) -> None:
    watching, messages = Watching(), [b"one", b"", bytes(100_000), b"end"]
    with PipeServer(behind, echo), Relay(parse(pipe_name), parse(behind), events=watching):
        with connect(pipe_name, PATIENCE) as client:
            for message in messages:
                client.send(message, PATIENCE)
                assert client.receive(PATIENCE) == message
        watching.end()
    assert watching.all() == [(side, message, True) for message in messages for side in Side]


def test_fin_is_reported_as_no_data_that_is_no_message(pipe_name: str) -> None:
    watching = Watching()
    with tcp_server() as server, Relay(parse(pipe_name), parse(port_of(server)), events=watching):
        with connect(pipe_name, PATIENCE) as client:
            client.send(b"request", PATIENCE)
            client.send(b"", PATIENCE)
            with accepted(server) as peer:
                assert received(peer) == b"request"
                peer.sendall(b"answer")
                assert client.receive(PATIENCE) == b"answer"
        watching.end()
    assert watching.all() == [
        (Side.CLIENT, b"request", True),
        (Side.CLIENT, b"", True),
        (Side.SERVER, b"answer", False),
        (Side.SERVER, b"", False),
    ]


def test_what_comes_for_a_target_that_is_absent_is_reported(pipe_name: str, behind: str) -> None:
    watching = Watching()
    with Relay(parse(pipe_name), parse(behind), events=watching), connect(pipe_name, PATIENCE) as client:
        client.send(b"lost", PATIENCE)
        assert isinstance(watching.end().error, PipeNotFoundError)
    assert watching.all() == [(Side.CLIENT, b"lost", True)]


def test_what_a_filter_changes_is_reported_as_it_was_read(pipe_name: str, behind: str) -> None:
    watching, config = Watching(), RelayConfig(filters=only(Side.CLIENT, Deciding(lambda _: as_it_is(b"changed"))))
    with PipeServer(behind, echo), Relay(parse(pipe_name), parse(behind), events=watching, config=config):
        with connect(pipe_name, PATIENCE) as client:
            assert client.transact(b"as read", PATIENCE) == b"changed"
        watching.end()
    assert watching.all() == [(Side.CLIENT, b"as read", True), (Side.SERVER, b"changed", True)]


def test_an_exception_of_an_observer_ends_the_relay(pipe_name: str, behind: str) -> None:
    watching = Watching()

    def fail(*_: object) -> None:
        raise RuntimeError("the disk is full")

    watching.passed = fail  # type: ignore[method-assign, assignment]
    with (
        PipeServer(behind, echo),
        Relay(parse(pipe_name), parse(behind), events=watching) as relay,
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"x", PATIENCE)
        with pytest.raises(RuntimeError, match="disk"):
            relay.wait(PATIENCE)


# What filters decide


def test_each_piece_is_a_message_and_no_side_is_read_before_the_last(pipe_name: str, behind: str) -> None:
    deciding = Deciding(lambda data: Verdict([(0.0, data + b"1"), (0.3, b""), (0.0, data + b"2")]))
    with (
        PipeServer(behind, echo),
        relaying(pipe_name, behind, filters=only(Side.SERVER, deciding)) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"a", PATIENCE)
        client.send(b"b", PATIENCE)
        assert deciding.given.get(timeout=PATIENCE) == b"a"
        assert client.receive(PATIENCE) == b"a1"
        assert deciding.given.empty()
        assert [client.receive(PATIENCE) for _ in range(5)] == [b"", b"a2", b"b1", b"", b"b2"]
        client.close()
        session = told.end()
    assert isinstance(session, WatchedSession)
    assert (session.to_client.bytes, session.to_client.messages, session.to_target.bytes) == (8, 6, 2)


def test_what_is_dropped_leaves_the_next_as_it_is(pipe_name: str, behind: str) -> None:
    deciding = Deciding(lambda data: Verdict() if data == b"drop" else as_it_is(data))
    with (
        PipeServer(behind, echo),
        relaying(pipe_name, behind, filters=only(Side.CLIENT, deciding)),
        connect(pipe_name, PATIENCE) as client,
    ):
        for message in (b"drop", b"drop", b"kept"):
            client.send(message, PATIENCE)
        assert client.receive(PATIENCE) == b"kept"


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_close_leaves_what_was_written_and_reset_does_not(pipe_name: str, behind: str, is_message: bool) -> None:
    for then, code in ((Then.CLOSE, WinError.BROKEN_PIPE), (Then.RESET, WinError.PIPE_NOT_CONNECTED)):
        deciding = Deciding(lambda data, then=then: Verdict([(0.0, data)], then, pause=0.01))  # type: ignore[misc]
        with (
            PipeServer(behind, echo, config=PipeConfig(is_message=is_message)),
            relaying(pipe_name, behind, is_message=is_message, filters=only(Side.SERVER, deciding)) as (_, told),
            connect(pipe_name, PATIENCE) as client,
        ):
            client.send(b"x", PATIENCE)
            session = told.end()
            assert (session.ended_by, session.error, session.to_client.bytes) == ("relay", None, 1)
            if then is Then.CLOSE:
                assert client.receive(PATIENCE) == b"x"
            with pytest.raises(PipeClosedError) as caught:
                client.receive(PATIENCE)
            assert caught.value.code == code


def test_a_stalled_side_is_not_read_and_the_other_goes_on(pipe_name: str, behind: str) -> None:
    deciding = Deciding(lambda _data: Verdict(then=Then.STALL))
    servers: SimpleQueue[Client] = SimpleQueue()
    with (
        PipeServer(behind, echo, events=reporting(connected=servers.put)),
        relaying(pipe_name, behind, filters=only(Side.CLIENT, deciding)),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"one", PATIENCE)
        client.send(b"two", PATIENCE)
        server = servers.get(timeout=PATIENCE)
        for number in range(3):
            server.send(b"%d" % number)
            assert client.receive(PATIENCE) == b"%d" % number
        assert deciding.given.get(timeout=PATIENCE) == b"one"
        assert deciding.given.empty()


def test_an_error_of_the_data_ends_the_session_after_the_pieces(pipe_name: str, behind: str) -> None:
    error = FrameError("no frame")
    deciding = Deciding(lambda data: Verdict([(0.0, data)], Then.CLOSE, error=error))
    messages: SimpleQueue[bytes] = SimpleQueue()
    with (
        PipeServer(behind, lambda _client, data: messages.put(data)),
        relaying(pipe_name, behind, filters=only(Side.CLIENT, deciding)) as (relay, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"whole", PATIENCE)
        session = told.end()
        assert messages.get(timeout=PATIENCE) == b"whole"
        assert not relay.wait(0)
    assert (session.ended_by, session.error) == ("client", error)


def test_what_a_filter_has_kept_comes_before_the_end(pipe_name: str, behind: str) -> None:
    kept = Verdict([(0.1, b"ke"), (0.0, b"pt")])
    messages: SimpleQueue[bytes] = SimpleQueue()
    with PipeServer(behind, lambda _client, data: messages.put(data)):
        for listen in ("tcp:0", pipe_name):
            filters = only(Side.CLIENT, Deciding(lambda _data: Verdict(), kept))
            with relaying(listen, behind, filters=filters) as (relay, told):
                if listen == pipe_name:
                    with connect(pipe_name, PATIENCE) as client:
                        client.send(b"x", PATIENCE)
                    session = told.end()
                    assert session.ended_by == "client"
                else:
                    with tcp_client(relay) as peer:
                        peer.sendall(b"x")
                        peer.shutdown(socket.SHUT_WR)
                        assert messages.get(timeout=PATIENCE) == b"ke"
                        assert messages.get(timeout=PATIENCE) == b"pt"
                        assert messages.get(timeout=PATIENCE) == b""  # the end
        assert [messages.get(timeout=PATIENCE) for _ in range(2)] == [b"ke", b"pt"]
        assert is_silent(messages)


def test_pieces_that_nobody_takes_any_more_are_lost_and_counted(pipe_name: str, behind: str) -> None:
    deciding = Deciding(lambda _data: Verdict([(0.0, b"1"), (60.0, b"23"), (0.0, b"456")]))
    with PipeServer(behind, echo), relaying(pipe_name, behind, filters=only(Side.SERVER, deciding)) as (_, told):
        with connect(pipe_name, PATIENCE) as client:
            client.send(b"x", PATIENCE)
            assert client.receive(PATIENCE) == b"1"
        session = told.end()
    assert (session.to_client.bytes, session.to_client.dropped) == (1, 5)


def test_a_side_that_takes_nothing_more_has_the_next_pieces_dropped(pipe_name: str, behind: str) -> None:
    """The target closes while pieces for it wait, and what it has said before is still passed on."""

    def answer(client: Client, _data: bytes) -> bytes:
        client.close()
        return b"last words"

    deciding = Deciding(lambda data: Verdict([(0.0, data), (0.0, b"2"), (0.0, b"3")]))
    with (
        PipeServer(behind, answer),
        relaying(pipe_name, behind, filters=only(Side.CLIENT, deciding)) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"1", PATIENCE)
        assert client.receive(PATIENCE) == b"last words"
        session = told.end()
    assert session.ended_by == "target"


def test_a_late_answer_is_no_silence_for_linger(pipe_name: str) -> None:
    deciding = Deciding(lambda data: Verdict([(1.0, data)]))
    config = PipeConfig(is_message=False)
    with (
        PipeServer(pipe_name, echo, config=config),
        relaying("tcp:0", pipe_name, linger=0.2, filters=only(Side.SERVER, deciding)) as (relay, _),
        tcp_client(relay) as client,
    ):
        client.sendall(b"late")
        client.shutdown(socket.SHUT_WR)
        assert received(client) == b"late"


def test_an_empty_piece_tells_a_side_without_messages_the_end(pipe_name: str) -> None:
    deciding = Deciding(lambda data: Verdict([(0.0, data), (0.0, b"")]))
    with (
        tcp_server() as server,
        relaying(pipe_name, port_of(server), filters=only(Side.CLIENT, deciding)),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"x", PATIENCE)
        with accepted(server) as peer:
            assert received(peer) == b"x"


def test_a_long_piece_arrives_whole_on_a_byte_pipe(pipe_name: str, behind: str) -> None:
    deciding = Deciding(lambda data: Verdict([(0.0, data * 1_000_000)]))
    with (
        PipeServer(behind, echo, config=PipeConfig(is_message=False)),
        relaying(pipe_name, behind, is_message=False, filters=only(Side.SERVER, deciding)),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"x", PATIENCE)
        assert client.receive_until(Count(1_000_000), PATIENCE).data == b"x" * 1_000_000

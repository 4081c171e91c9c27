"""Faults in a relay as a raw client and a raw server see them: the exact bytes, and the exact error codes."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

import pytest

from pipectl.core.codecs.base import Side
from pipectl.core.constants import WinError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.framing import parse as rule_of
from pipectl.core.pipe.server import PipeServer
from pipectl.core.traffic.disturbing import Disturbance
from pipectl.core.traffic.faults import Fault, Faults, parse
from pipectl.core.traffic.reframing import reframing
from pipectl.core.traffic.session import Session
from pipectl.core.traffic.watched import Filters
from tests.pipes import write_file

from .relaying import PATIENCE, Told, accepted, is_silent, port_of, received, relaying, tcp_client, tcp_server
from .test_planned import code_of_read, writes

DATA = b"0123456789"
BOTH = (Side.CLIENT, Side.SERVER)
Struck = list[tuple[Side, str]]


def echo(_client: Client, data: bytes) -> bytes:
    return data


@pytest.fixture
def behind(pipe_name: str) -> str:
    """The name of the pipe behind the relay."""
    return f"{pipe_name}-behind"


@contextmanager
def disturbing(
    listen: str,
    target: str,
    *written: str,
    sides: tuple[Side, ...] = (Side.SERVER,),
    seed: int = 1,
    is_message: bool = True,
    filters: Filters | None = None,
) -> Iterator[tuple[Told, Struck]]:
    """Run a relay with faults; the second value is those that have occurred, in order."""
    struck: Struck = []

    def note(_session: Session, side: Side, fault: Fault) -> None:
        struck.append((side, str(fault)))

    faults = Faults([fault for text in written for fault in parse(text)], seed)
    made = Disturbance(faults, sides, filters=filters, on_fault=note)
    with relaying(listen, target, is_message=is_message, filters=made.filter, refuses=made.refuses) as (_, told):
        yield told, struck


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
@pytest.mark.parametrize(
    ("written", "sent", "code"),
    [
        (["delay=50ms"], [DATA], None),
        (["rate=1k"], [DATA], None),
        (["split=4", "gap=20ms"], [b"0123", b"4567", b"89"], None),
        (["truncate=3"], [b"012"], None),
        (["cut=3"], [b"012"], WinError.BROKEN_PIPE),
        (["cut=3", "delay=50ms", "split=2"], [b"01", b"2"], WinError.BROKEN_PIPE),
        (["drop"], [], None),
        (["duplicate=2"], [DATA] * 3, None),
        (["stall"], [], None),
        (["close"], [DATA], WinError.BROKEN_PIPE),
        (["close=middle"], [b"01234"], WinError.BROKEN_PIPE),
        (["close=before"], [], WinError.BROKEN_PIPE),
        (["close=reset"], [], WinError.PIPE_NOT_CONNECTED),
    ],
    ids=str,
)
def test_a_client_sees_exactly_what_a_fault_does(
    pipe_name: str, behind: str, written: list[str], sent: list[bytes], code: int | None, is_message: bool
) -> None:
    with (
        PipeServer(behind, echo, config=PipeConfig(is_message=is_message)),
        disturbing(pipe_name, behind, *written, is_message=is_message) as (_, struck),
        connect(pipe_name, PATIENCE) as client,
    ):
        write_file(client.handle, DATA)
        came: list[bytes] = []
        while len(b"".join(came)) < len(b"".join(sent)) or len(came) < len(sent) * is_message:
            came += writes(client, 1)
        assert code_of_read(client, 5 if code else 0.3) == code
    assert (came if is_message else b"".join(came)) == (sent if is_message else b"".join(sent))
    assert [text.partition("=")[0] for _, text in struck] == [text.partition("=")[0] for text in written]


def test_a_fault_of_the_requests_is_seen_by_the_target_alone(pipe_name: str, behind: str) -> None:
    requests: SimpleQueue[bytes] = SimpleQueue()

    def answer(_client: Client, data: bytes) -> bytes:
        requests.put(data)
        return DATA

    with (
        PipeServer(behind, answer),
        disturbing(pipe_name, behind, "truncate=1", "duplicate", "empty", sides=(Side.CLIENT,)) as (_, struck),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"abc", PATIENCE)
        assert [client.receive(PATIENCE) for _ in range(4)] == [DATA] * 4
    assert [requests.get() for _ in range(4)] == [b"", b"a", b"", b"a"]
    assert struck == [(Side.CLIENT, "truncate=1"), (Side.CLIENT, "duplicate=1"), (Side.CLIENT, "empty")]


def test_the_same_seed_repeats_what_both_sides_get(pipe_name: str, behind: str) -> None:
    def run(seed: int) -> tuple[list[bytes], Struck]:
        with (
            PipeServer(behind, echo),
            disturbing(pipe_name, behind, "flip@0.3", "garbage@0.3", sides=BOTH, seed=seed) as (_, struck),
            connect(pipe_name, PATIENCE) as client,
        ):
            return [client.transact(b"message %d" % number, PATIENCE) for number in range(20)], struck

    first = run(5)
    assert run(5) == first
    assert run(6) != first
    assert {side for side, _ in first[1]} == set(BOTH)


def test_a_client_that_is_refused_is_reset_and_never_reaches_the_target(pipe_name: str, behind: str) -> None:
    with PipeServer(behind, echo) as server, disturbing(pipe_name, behind, "refuse") as (told, struck):
        with connect(pipe_name, PATIENCE) as client:
            assert code_of_read(client) == WinError.PIPE_NOT_CONNECTED
        assert told.end().ended_by == "relay"
        assert is_silent(told.opens)
        assert server.stats.clients == 0
    assert struck == [(Side.CLIENT, "refuse")]


def test_a_late_reply_delays_no_other_client(pipe_name: str, behind: str) -> None:
    faults = Faults(parse("delay=60s@0.5"), 1)
    is_late = {number: bool(faults.stream(number).plan(DATA).struck) for number in range(1, 6)}
    assert is_late[1]
    with (
        PipeServer(behind, echo),
        disturbing(pipe_name, behind, "delay=60s@0.5", seed=1) as (told, struck),
        ExitStack() as stack,
    ):
        for number in is_late:
            client = stack.enter_context(connect(pipe_name, PATIENCE))
            client.send(DATA, PATIENCE)
            assert told.opens.get(timeout=PATIENCE).number == number
            if not is_late[number]:
                assert client.receive(PATIENCE) == DATA
        assert len(struck) == sum(is_late.values()) < len(is_late)


def test_a_late_reply_is_as_late_as_asked(pipe_name: str, behind: str) -> None:
    with (
        PipeServer(behind, echo),
        disturbing(pipe_name, behind, "delay=300ms", "split=5", "gap=100ms"),
        connect(pipe_name, PATIENCE) as client,
    ):
        begun = time.perf_counter()
        assert client.transact(DATA, PATIENCE) == DATA[:5]
        assert time.perf_counter() - begun >= 0.3
        assert client.receive(PATIENCE) == DATA[5:]
        assert time.perf_counter() - begun >= 0.4


def test_an_empty_message_that_is_an_end_stays_one(pipe_name: str) -> None:
    with (
        tcp_server() as server,
        disturbing(pipe_name, port_of(server), "garbage=2", sides=(Side.CLIENT,)) as (_, struck),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"", PATIENCE)
        with accepted(server) as peer:
            assert received(peer) == b""
    assert not struck


def test_an_end_is_told_after_what_was_delayed() -> None:
    with (
        tcp_server() as server,
        disturbing("tcp:0", port_of(server), "delay=50ms", "duplicate", sides=(Side.CLIENT,)) as (told, _),
    ):
        with tcp_client(told.relay) as client:
            client.sendall(DATA)
            client.shutdown(1)
            with accepted(server) as peer:
                assert received(peer) == DATA * 2
        assert told.end().error is None


def test_faults_damage_frames_with_their_length(pipe_name: str) -> None:
    filters = reframing(None, rule_of("u16be"), 1 << 20)
    with (
        tcp_server() as server,
        disturbing(pipe_name, port_of(server), "truncate=3", sides=(Side.CLIENT,), filters=filters),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(DATA, PATIENCE)
        client.send(b"x", PATIENCE)
        with accepted(server) as peer:
            assert received(peer, 6) == b"\0\x0a0\0\1x"

"""Faults as a raw client sees them: the exact bytes, the exact error code, and the same again with the same seed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any

import pytest

from pipectl.core.constants import Wait, WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeBusyError, PipeClosedError, PipeError, PipeNotFoundError, PipeTimeoutError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig, StopAfter
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.contract import LATER, Later
from pipectl.core.pipe.framing import parse as framing
from pipectl.core.traffic.faults import Fault, Faults, Outgoing, parse
from pipectl.core.traffic.planned import PlanServer
from tests.pipes import read_file, reporting, write_file

_DATA = b"0123456789"
_SHORT = 0.3  # seconds in which nothing comes
_BYTE_OR_MESSAGE = pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])


def echo(_client: Client, data: bytes) -> bytes:
    return data


@contextmanager
def serving(
    pipe: str,
    *written: str,
    is_message: bool = True,
    seed: int = 1,
    answer: Callable[..., Any] = echo,
    config: PipeConfig = PipeConfig(),
    **options: Any,
) -> Iterator[list[str]]:
    """Serve a pipe with faults; give those that have struck, in order."""
    struck: list[str] = []

    def note(_client: Client, fault: Fault) -> None:
        struck.append(str(fault))

    faults = Faults([fault for text in written for fault in parse(text)], seed)
    config = config._replace(is_message=is_message)
    with PlanServer(pipe, answer, faults=faults, on_fault=note, config=config, **options):
        yield struck


def writes(client: Connection, count: int) -> list[bytes]:
    """Read as many messages of a message pipe, or on a byte pipe until as many bytes have come as they have."""
    return [read_file(client.handle, 1 << 16, 5)[0] for _ in range(count)]


def code_of_read(client: Connection, timeout: float = 5) -> int | None:
    """The error that the next read ends with; nothing may be read."""
    try:
        read_file(client.handle, 100, timeout)
    except PipeTimeoutError:
        return None
    except PipeError as error:
        return error.code
    pytest.fail("something was read")


# On a byte pipe the reader may find pieces joined.
@_BYTE_OR_MESSAGE
@pytest.mark.parametrize(
    ("written", "sent", "code"),
    [
        (["delay=50ms"], [_DATA], None),
        (["rate=1k"], [_DATA], None),
        (["split=4", "gap=20ms"], [b"0123", b"4567", b"89"], None),
        (["truncate=3"], [b"012"], None),
        (["cut=3"], [b"012"], WinError.BROKEN_PIPE),
        (["cut"], [b"01234"], WinError.BROKEN_PIPE),
        (["cut=3", "delay=50ms", "split=2"], [b"01", b"2"], WinError.BROKEN_PIPE),
        (["drop"], [], None),
        (["duplicate=2"], [_DATA] * 3, None),
        (["garbage=4"], [_DATA + bytes.fromhex("e8b2a4cf")], None),
        (["garbage=2:before"], [bytes.fromhex("e8b2") + _DATA], None),
        (["flip=3"], [b"?"], None),
        (["stall"], [], None),
        (["close=after"], [_DATA], WinError.BROKEN_PIPE),
        (["close=middle"], [b"01234"], WinError.BROKEN_PIPE),
        (["close=before"], [], WinError.BROKEN_PIPE),
        (["close=reset"], [], WinError.PIPE_NOT_CONNECTED),
    ],
    ids=str,
)
def test_a_client_sees_exactly_what_a_fault_does(
    pipe_name: str, written: list[str], sent: list[bytes], code: int | None, is_message: bool
) -> None:
    seen = []
    for _ in range(2):  # with the same seed
        with serving(pipe_name, *written, is_message=is_message) as struck, connect(pipe_name, 10) as client:
            write_file(client.handle, _DATA)
            came: list[bytes] = []
            while len(b"".join(came)) < len(b"".join(sent)) or len(came) < len(sent) * is_message:
                came += writes(client, 1)
            assert code_of_read(client, 5 if code else _SHORT) == code
            seen.append((came if is_message else b"".join(came), struck))
    assert seen[0] == seen[1]
    random = written[0].startswith(("garbage", "flip"))
    assert seen[0][0] == (sent if is_message else b"".join(sent)) or random
    assert [text.partition("=")[0] for text in seen[0][1]] == [text.partition("=")[0] for text in written]


def test_an_empty_message_precedes_the_answer(pipe_name: str) -> None:
    with serving(pipe_name, "empty"), connect(pipe_name, 10) as client:
        write_file(client.handle, _DATA)
        assert writes(client, 2) == [b"", _DATA]


@_BYTE_OR_MESSAGE
def test_a_stalled_client_is_not_read_from_and_its_leaving_is_noticed(pipe_name: str, is_message: bool) -> None:
    has_left = Event()
    events = reporting(left=lambda _client, _error: has_left.set())
    stop_after = StopAfter(clients=1)
    with serving(pipe_name, "stall", is_message=is_message, events=events, stop_after=stop_after):
        with connect(pipe_name, 10) as client:
            write_file(client.handle, _DATA)
            assert any(is_blocked(client) for _ in range(5))  # the first one may still be read
        assert has_left.wait(10)


def is_blocked(client: Connection) -> bool:
    """Whether a write is not taken."""
    try:
        write_file(client.handle, bytes(1 << 16), _SHORT)
    except PipeTimeoutError:
        return True
    return False


def test_a_reset_loses_what_was_not_read(pipe_name: str) -> None:
    has_left = Event()

    def answer(_client: Client, data: bytes) -> tuple[Outgoing, ...]:
        return (Outgoing(data, data, parse("close=reset") if data == b"2" else ()),)

    events = reporting(left=lambda _client, _error: has_left.set())
    with serving(pipe_name, answer=answer, events=events), connect(pipe_name, 10) as client:
        write_file(client.handle, b"1")
        write_file(client.handle, b"2")
        assert has_left.wait(10)
        with connect(pipe_name, 10) as other:  # by whose answer the server has also disconnected the first
            assert other.transact(_DATA, 5) == _DATA
        assert code_of_read(client) == WinError.PIPE_NOT_CONNECTED


def test_a_closed_client_can_read_what_was_written(pipe_name: str) -> None:
    has_left = Event()
    events = reporting(left=lambda _client, _error: has_left.set())
    with serving(pipe_name, "close", events=events), connect(pipe_name, 10) as client:
        write_file(client.handle, _DATA)
        assert has_left.wait(10)
        assert writes(client, 1) == [_DATA]
        assert code_of_read(client) == WinError.BROKEN_PIPE


@_BYTE_OR_MESSAGE
def test_a_refused_client_is_disconnected_at_once(pipe_name: str, is_message: bool) -> None:
    with serving(pipe_name, "refuse", is_message=is_message) as struck, connect(pipe_name, 10) as client:
        assert code_of_read(client) == WinError.PIPE_NOT_CONNECTED
        assert struck == ["refuse"]


def attempt(pipe: str) -> type[PipeError] | None:
    """What becomes of an attempt to connect, without waiting."""
    try:
        connect(pipe, 0, wait=Wait.NONE).close()
    except PipeError as error:
        return type(error)
    return None


def becomes(pipe: str, outcome: type[PipeError] | None) -> bool:
    """Wait until attempts to connect have an outcome."""
    deadline = Deadline(10)
    while (found := attempt(pipe)) is not outcome and not deadline.passed:
        Event().wait(0.02)
    return found is outcome


def test_a_busy_pipe_has_no_free_instance_for_a_time(pipe_name: str) -> None:
    with serving(pipe_name, "busy=1s") as struck:
        with connect(pipe_name, 10) as client:
            assert client.transact(_DATA, 5) == _DATA
            assert becomes(pipe_name, PipeBusyError)
        assert becomes(pipe_name, PipeBusyError)  # also when nobody is connected
        assert set(struck) == {"busy=1s"}
        connect(pipe_name, 10).close()  # which waits for the free instance


def test_an_absent_pipe_is_gone_for_a_time_after_a_client_has_left(pipe_name: str) -> None:
    with serving(pipe_name, "absent=1s") as struck:
        with connect(pipe_name, 10) as client:
            assert client.transact(_DATA, 5) == _DATA
            assert struck == []
        assert becomes(pipe_name, PipeNotFoundError)
        assert set(struck) == {"absent=1s"}
        connect(pipe_name, 10, wait=Wait.EXISTS).close()


def test_a_server_outlives_all_faults_at_once(pipe_name: str) -> None:
    def meet(_number: int) -> None:
        with suppress(PipeError), connect(pipe_name, 10) as client:
            for _ in range(3):
                client.transact(_DATA, 1)

    with serving(pipe_name, "terrible", "busy=10ms@0.2", "absent=10ms@0.2", answer=later) as struck:
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(meet, range(60)))
        assert becomes(pipe_name, None)
    assert {text.partition("=")[0] for text in struck} > {"delay", "close", "refuse", "busy", "absent"}


def test_nothing_overtakes_an_answer_that_is_late(pipe_name: str) -> None:
    with serving(pipe_name, "delay=100ms@0.5", "split=3@0.5", is_message=False), connect(pipe_name, 10) as client:
        sent = [b"%d," % number for number in range(20)]
        for data in sent:
            write_file(client.handle, data)
        came = b""
        while len(came) < len(b"".join(sent)):
            came += writes(client, 1)[0]
        assert came == b"".join(sent)


def test_a_late_answer_of_one_client_does_not_hold_up_others(pipe_name: str) -> None:
    def answer(_client: Client, data: bytes) -> tuple[Outgoing, ...]:
        return (Outgoing(data, data, parse("delay=30") if data == b"slow" else ()),)

    with serving(pipe_name, answer=answer), connect(pipe_name, 10) as slow, connect(pipe_name, 10) as quick:
        write_file(slow.handle, b"slow")
        assert [quick.transact(b"%d" % number, 5) for number in range(20)] == [b"%d" % number for number in range(20)]
        assert code_of_read(slow, 0) is None


def test_a_client_that_leaves_before_its_late_answer_is_forgotten(pipe_name: str) -> None:
    left = Event()
    events = reporting(left=lambda _client, _error: left.set())
    with serving(pipe_name, "delay=200ms", events=events):
        with connect(pipe_name, 10) as client:
            write_file(client.handle, _DATA)
        assert left.wait(10)
        with connect(pipe_name, 10) as client:
            assert client.transact(b"next", 5) == b"next"


def test_frames_are_faulted_with_their_frames_around_them(pipe_name: str) -> None:
    served = serving(pipe_name, "truncate=3", is_message=False, framing=framing("u16be"))
    with served, connect(pipe_name, 10) as client:
        write_file(client.handle, b"\0\4abcd\0\2ef")
        came = b""
        while len(came) < 6:
            came += writes(client, 1)[0]
        assert came == b"\0\4a\0\2e"


def test_many_frames_in_one_piece_do_not_nest(pipe_name: str) -> None:
    with serving(pipe_name, "split=1", is_message=False, framing=framing("line")), connect(pipe_name, 10) as client:
        client.send(b"a\n" * 3000, 10)
        came = b""
        while len(came) < 6000:
            came += writes(client, 1)[0]
        assert came == b"a\n" * 3000


def later(client: Client, data: bytes) -> Later:
    """Defer the answer, so that the client's next message is being read when it is sent."""
    client.reply(data)
    return LATER


def test_a_deferred_answer_has_faults_too(pipe_name: str) -> None:
    with serving(pipe_name, "cut=2", answer=later), connect(pipe_name, 10) as client:
        write_file(client.handle, _DATA)
        assert writes(client, 1) == [b"01"]
        assert code_of_read(client) == WinError.BROKEN_PIPE


def test_a_greeting_has_faults_too(pipe_name: str) -> None:
    events = reporting(connected=lambda _client: b"hello")
    with serving(pipe_name, "split=2", "gap=10ms", events=events), connect(pipe_name, 10) as client:
        write_file(client.handle, b"hi!")
        assert writes(client, 5) == [b"he", b"ll", b"o", b"hi", b"!"]


def test_a_server_that_stops_still_sends_what_is_late(pipe_name: str) -> None:
    with serving(pipe_name, "delay=200ms", stop_after=StopAfter(messages=1)), connect(pipe_name, 10) as client:
        assert client.transact(_DATA, 5) == _DATA
        with pytest.raises(PipeClosedError):
            client.receive(5)


def test_with_a_limit_of_instances_each_is_used_again(pipe_name: str) -> None:
    with serving(pipe_name, "close=reset@0.5", config=PipeConfig(max_instances=1)):
        codes = []
        for _ in range(12):
            with connect(pipe_name, 10) as client:
                write_file(client.handle, _DATA)
                try:
                    codes.append(writes(client, 1) == [_DATA])
                except PipeClosedError as error:
                    codes.append(error.code == WinError.PIPE_NOT_CONNECTED)
        assert codes == [True] * 12


@pytest.mark.parametrize("answer", [echo, later])
def test_the_last_answer_of_a_server_that_stops_may_be_a_reset(pipe_name: str, answer: Callable[..., Any]) -> None:
    served = serving(pipe_name, "close=reset", stop_after=StopAfter(messages=1), answer=answer)
    with served, connect(pipe_name, 10) as client:
        write_file(client.handle, _DATA)
        assert code_of_read(client) == WinError.PIPE_NOT_CONNECTED


def test_a_server_that_stops_does_not_wait_for_a_stalled_client(pipe_name: str) -> None:
    stalled = Event()
    faults = Faults(parse("stall"), 1)
    server = PlanServer(pipe_name, echo, faults=faults, on_fault=lambda _client, _fault: stalled.set())
    with server, connect(pipe_name, 10) as client:
        write_file(client.handle, _DATA)
        assert stalled.wait(10)
        server.stop(drain=60)
        with pytest.raises(PipeClosedError):
            client.receive(20)
        assert server.wait(20)

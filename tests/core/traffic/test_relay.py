"""The relay: messages, ends and errors through it, between each two kinds of places; and many clients at once."""

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from queue import SimpleQueue

import pytest

from pipectl.core.constants import PipeMode, Wait, WinError
from pipectl.core.errors import (
    MessageTooLongError,
    PeerMismatchError,
    PipeAccessError,
    PipeBusyError,
    PipeClosedError,
    PipeError,
    PipeNotFoundError,
    PipeStateError,
    PipeTimeoutError,
)
from pipectl.core.inventory.peers import Expected
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig, StopAfter
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.flusher import Flusher
from pipectl.core.pipe.framing import Count
from pipectl.core.pipe.server import PipeServer
from pipectl.core.traffic.places import Kind, Place, parse
from pipectl.core.traffic.relay import Relay, RelayConfig
from pipectl.core.traffic.session import Session
from pipectl.core.traffic.targets import Opening
from pipectl.core.win32.calls import create_named_pipe
from pipectl.core.win32.queries import set_named_pipe_handle_state
from tests.pipes import connect_named_pipe, disconnect_named_pipe, read_file, reporting
from tests.runner import Background

from .relaying import PATIENCE, accepted, port_of, received, relay_threads, relaying, tcp_client, tcp_server

MESSAGES = [b"x", b"", b"", b"two", os.urandom(4096), os.urandom(4097), b"", os.urandom(1 << 20), b"end"]


def echo(_client: Client, data: bytes) -> bytes:
    return data


def program(text: str) -> Place:
    """A program of Python's as a place."""
    arguments = (sys.executable, "-S", "-u", "-c", text)
    return Place(Kind.PROGRAM, "python", arguments=arguments)


@pytest.fixture
def behind(pipe_name: str) -> str:
    """The name of the pipe behind the relay."""
    return f"{pipe_name}-behind"


class Recorder:
    """A handler that keeps each message, and who has sent it, and answers nothing."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.came = threading.Semaphore(0)

    def __call__(self, _client: Client, data: bytes) -> None:
        self.messages.append(data)
        self.came.release()

    def wait_for(self, count: int) -> list[bytes]:
        for _ in range(count):
            assert self.came.acquire(timeout=PATIENCE)
        return self.messages


# Pipe to pipe


def test_messages_pass_one_for_one_empty_ones_too(pipe_name: str, behind: str) -> None:
    with PipeServer(behind, echo), relaying(pipe_name, behind) as (_, told):
        with connect(pipe_name, PATIENCE) as client:
            for message in MESSAGES:
                client.send(message, PATIENCE)
                assert client.receive(PATIENCE) == message
        session = told.end()
    total = sum(map(len, MESSAGES))
    assert (session.to_target.bytes, session.to_client.bytes) == (total, total)
    assert (session.to_target.messages, session.to_client.messages) == (len(MESSAGES), len(MESSAGES))
    assert (session.ended_by, session.error, session.to_client.dropped) == ("client", None, 0)


def test_messages_sent_at_once_keep_their_order_and_bounds(pipe_name: str, behind: str) -> None:
    recorder = Recorder()
    with PipeServer(behind, recorder), relaying(pipe_name, behind), connect(pipe_name, PATIENCE) as client:
        for message in MESSAGES:
            client.send(message, PATIENCE)
        assert recorder.wait_for(len(MESSAGES)) == MESSAGES


def test_a_byte_pipe_passes_every_byte(pipe_name: str, behind: str, background: Background) -> None:
    data = os.urandom(5 << 20)
    with (
        PipeServer(behind, echo, config=PipeConfig(is_message=False)),
        relaying(pipe_name, behind, is_message=False),
        connect(pipe_name, PATIENCE) as client,
    ):
        sending = background(client.send, data, PATIENCE)
        assert client.receive_until(Count(len(data)), PATIENCE).data == data
        sending.result(PATIENCE)


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_what_a_client_wrote_before_it_left_arrives(pipe_name: str, behind: str, is_message: bool) -> None:
    recorder = Recorder()
    with (
        PipeServer(behind, recorder, config=PipeConfig(is_message=is_message)),
        relaying(pipe_name, behind, is_message=is_message),
    ):
        with connect(pipe_name, PATIENCE) as client:
            client.send(b"last words", PATIENCE)
        assert recorder.wait_for(1) == [b"last words"]


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_what_the_target_wrote_before_it_closed_arrives(pipe_name: str, behind: str, is_message: bool) -> None:
    def answer(client: Client, _data: bytes) -> bytes:
        client.close()
        return b"y" * 50_000

    with (
        PipeServer(behind, answer, config=PipeConfig(is_message=is_message)),
        relaying(pipe_name, behind, is_message=is_message) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"x", PATIENCE)
        assert told.end().ended_by == "target"  # and only then is it read
        assert client.receive_until(Count(50_000), PATIENCE).data == b"y" * 50_000
        with pytest.raises(PipeClosedError) as caught:
            client.receive(PATIENCE)
    assert caught.value.code == WinError.BROKEN_PIPE


def test_a_disconnect_of_the_target_is_passed_on(pipe_name: str, behind: str, background: Background) -> None:
    with create_named_pipe(behind, max_instances=1) as server, relaying(pipe_name, behind) as (_, told):
        connecting = background(connect_named_pipe, server, PATIENCE)
        with connect(pipe_name, PATIENCE) as client:
            client.send(b"x", PATIENCE)
            connecting.result(PATIENCE)
            assert read_file(server, 10, PATIENCE) == (b"x", False)
            disconnect_named_pipe(server)
            session = told.end()
            with pytest.raises(PipeClosedError) as caught:
                client.receive(PATIENCE)
    assert caught.value.code == WinError.PIPE_NOT_CONNECTED
    assert isinstance(session.error, PipeClosedError)
    assert session.ended_by == "target"


def test_messages_become_a_stream_and_a_stream_messages(pipe_name: str, behind: str) -> None:
    with PipeServer(behind, echo, config=PipeConfig(is_message=False)), relaying(pipe_name, behind) as (_, told):
        with connect(pipe_name, PATIENCE) as client:
            client.send(b"", PATIENCE)
            client.send(b"x" * 100, PATIENCE)
            assert client.receive_until(Count(100), PATIENCE).data == b"x" * 100
        session = told.end()
    assert session.to_target.unsaid == 1  # of the empty message there is no word on a byte pipe


def test_a_message_beyond_the_limit_ends_its_session_alone(pipe_name: str, behind: str) -> None:
    recorder = Recorder()
    pipe = PipeConfig(max_message=100_000)
    with (
        PipeServer(behind, recorder),
        relaying(pipe_name, behind, pipe=pipe) as (_, told),
        connect(pipe_name, PATIENCE) as client,
        connect(pipe_name, PATIENCE) as other,
    ):
        other.send(b"first", PATIENCE)
        assert recorder.wait_for(1) == [b"first"]
        client.send(b"x" * 100_000, PATIENCE)
        recorder.wait_for(1)
        client.send(b"x" * 100_001, PATIENCE)
        session = told.end()
        other.send(b"still there", PATIENCE)
        recorder.wait_for(1)
    assert isinstance(session.error, MessageTooLongError)
    assert [len(message) for message in recorder.messages] == [5, 100_000, 11]


# When the target is opened


def test_a_visit_without_a_byte_costs_the_target_nothing(pipe_name: str, behind: str) -> None:
    came: list[Client] = []
    with (
        PipeServer(behind, echo, events=reporting(connected=came.append)),
        relaying(pipe_name, behind, stop_after=StopAfter(clients=1)) as (relay, told),
    ):
        for _ in range(3):
            connect(pipe_name, PATIENCE).close()
        with connect(pipe_name, PATIENCE) as client:
            assert client.transact(b"x", PATIENCE) == b"x"
        assert relay.wait(PATIENCE)
    assert len(came) == 1
    assert told.connections.get(timeout=PATIENCE).number == 1
    assert told.connections.empty()


def test_a_client_that_waits_is_connected_and_greeted(pipe_name: str, behind: str) -> None:
    with (
        PipeServer(behind, echo, events=reporting(connected=lambda _client: b"welcome")),
        relaying(pipe_name, behind),
        connect(pipe_name, PATIENCE) as client,
    ):
        assert client.receive(PATIENCE) == b"welcome"


# Targets that are not as they should be


def ends_of(pipe: str, target: object, opening: Opening) -> tuple[PipeError | None, PipeError]:
    """What a relay tells of a client whose target cannot be had, and what the client sees."""
    with relaying(pipe, target, opening=opening) as (relay, told):
        with connect(pipe, PATIENCE) as client:
            client.send(b"lost", PATIENCE)
            session = told.end()
            with pytest.raises(PipeClosedError) as caught:
                client.receive(PATIENCE)
        assert session.to_target.dropped == 4
        assert not relay.wait(0)
        connect(pipe, PATIENCE).close()  # the relay lives
    return session.error, caught.value


def test_an_absent_target_ends_the_client_and_not_the_relay(pipe_name: str, behind: str) -> None:
    error, seen = ends_of(pipe_name, behind, Opening())
    assert isinstance(error, PipeNotFoundError)
    assert seen.code == WinError.BROKEN_PIPE


def test_a_target_that_stays_busy_ends_the_client(pipe_name: str, behind: str) -> None:
    with PipeServer(behind, echo, config=PipeConfig(max_instances=1)), connect(behind, PATIENCE):
        error, _ = ends_of(pipe_name, behind, Opening(timeout=0.2))
    assert isinstance(error, PipeBusyError)


def test_the_wrong_server_gets_not_one_byte(pipe_name: str, behind: str) -> None:
    recorder = Recorder()
    with PipeServer(behind, recorder):
        error, _ = ends_of(pipe_name, behind, Opening(expect=Expected(exe="svchost.exe")))
    assert isinstance(error, PeerMismatchError)
    assert recorder.messages == []


def test_a_port_without_a_server_ends_the_client(pipe_name: str) -> None:
    with tcp_server() as server:
        place = port_of(server)
    error, _ = ends_of(pipe_name, place, Opening())
    assert isinstance(error, PipeNotFoundError)


def test_a_program_that_cannot_be_run_ends_the_client(pipe_name: str) -> None:
    error, _ = ends_of(pipe_name, Place(Kind.PROGRAM, "x", arguments=("pipectl-no-such-program",)), Opening())
    assert error is not None
    assert error.function == "CreateProcessW"


def test_a_busy_target_is_waited_for_in_turn(pipe_name: str, behind: str) -> None:
    order: list[bytes] = []

    def answer(_client: Client, data: bytes) -> bytes:
        order.append(data)
        return data

    with (
        PipeServer(behind, answer, config=PipeConfig(max_instances=1)),
        relaying(pipe_name, behind, opening=Opening(timeout=PATIENCE)) as (_, told),
        ExitStack() as stack,
    ):
        clients = []
        for number in range(5):
            clients.append(stack.enter_context(connect(pipe_name, PATIENCE)))
            clients[-1].send(b"%d" % number, PATIENCE)
            assert told.connections.get(timeout=PATIENCE).number == number + 1
        for number, client in enumerate(clients):
            assert client.receive(PATIENCE) == b"%d" % number
            client.close()
    assert order == [b"0", b"1", b"2", b"3", b"4"]


def test_an_absent_target_is_waited_for_where_that_is_asked(pipe_name: str, behind: str) -> None:
    with (
        relaying(pipe_name, behind, opening=Opening(timeout=PATIENCE, wait=Wait.EXISTS)) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"x", PATIENCE)
        told.connections.get(timeout=PATIENCE)
        assert told.ends.empty()
        with PipeServer(behind, echo):
            assert client.receive(PATIENCE) == b"x"


def test_a_name_that_is_taken_is_refused(pipe_name: str, behind: str) -> None:
    config = PipeConfig(max_instances=1)
    with PipeServer(pipe_name, echo, config=config), pytest.raises((PipeAccessError, PipeBusyError)):
        Relay(parse(pipe_name), parse(behind), config=RelayConfig(pipe=config)).start()
    with tcp_server() as server, pytest.raises(PipeAccessError) as caught:
        Relay(parse(port_of(server)), parse(behind)).start()
    assert caught.value.code in (WinError.WSAEADDRINUSE, WinError.WSAEACCES)


# TCP


def test_an_empty_message_is_fin_and_fin_an_empty_message(pipe_name: str) -> None:
    with (
        tcp_server() as server,
        relaying(pipe_name, port_of(server)) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"request", PATIENCE)
        with accepted(server) as peer:
            client.send(b"", PATIENCE)
            assert received(peer) == b"request"
            peer.sendall(b"a late answer")
            assert client.receive(PATIENCE) == b"a late answer"
        assert client.receive(PATIENCE) == b""
        session = told.end()
    assert (session.to_target.bytes, session.to_client.bytes, session.error) == (7, 13, None)


@pytest.mark.parametrize("delay", [0, 0.02, 0.2])
@pytest.mark.parametrize("way", ["pipe", "tcp"])
def test_an_end_through_two_relays_still_gets_a_late_answer(
    pipe_name: str, behind: str, way: str, delay: float
) -> None:
    """As `docker attach` ends its stdin, and the container answers when it likes."""
    said: list[bytes] = []

    def answer(client: Client, data: bytes) -> None:
        said.append(data)
        if not data:
            threading.Timer(delay, finish, [client]).start()

    def finish(client: Client) -> None:
        client.send(b"".join(said).upper())
        client.close()

    with PipeServer(behind, answer), ExitStack() as stack:
        middle, _ = stack.enter_context(relaying("tcp:0" if way == "tcp" else f"{pipe_name}-middle", behind))
        _, told = stack.enter_context(relaying(pipe_name, str(middle.place)))
        with connect(pipe_name, PATIENCE) as client:
            for data in (b"one ", b"two", b""):
                client.send(data, PATIENCE)
            assert client.receive(PATIENCE) == b"ONE TWO"
        session = told.end()
    assert (session.to_target.bytes, session.to_client.bytes, session.error) == (7, 7, None)


def test_fin_of_a_client_leaves_it_the_answer_of_a_message_pipe(pipe_name: str) -> None:
    messages: list[bytes] = []

    def answer(client: Client, data: bytes) -> bytes | None:
        messages.append(data)
        if data:
            return None
        client.send(b"all of " + b"".join(messages))
        client.close()
        return b""

    with PipeServer(pipe_name, answer), relaying("tcp:0", pipe_name) as (relay, _), tcp_client(relay) as client:
        client.sendall(b"it")
        client.shutdown(socket.SHUT_WR)
        assert received(client) == b"all of it"
    assert messages[-1] == b""


def test_the_end_waits_until_what_stands_before_it_is_read(pipe_name: str, background: Background) -> None:
    with create_named_pipe(pipe_name) as server, relaying("tcp:0", pipe_name) as (relay, _):
        connecting = background(connect_named_pipe, server, PATIENCE)
        with tcp_client(relay) as client:
            client.sendall(b"abc")
            client.shutdown(socket.SHUT_WR)
            connecting.result(PATIENCE)
            time.sleep(0.1)  # for an end that comes too early
            # A reader in byte mode takes an empty message behind unread data for nothing.
            set_named_pipe_handle_state(server, PipeMode.READ_BYTE)
            assert read_file(server, 100, PATIENCE) == (b"abc", False)
            assert read_file(server, 100, PATIENCE) == (b"", False)


@pytest.mark.parametrize("is_taken", [True, False])
def test_the_end_is_told_only_if_all_before_it_was_taken(
    pipe_name: str, background: Background, monkeypatch: pytest.MonkeyPatch, is_taken: bool
) -> None:
    flushes: SimpleQueue[Callable[[bool], None]] = SimpleQueue()
    monkeypatch.setattr(Flusher, "flush", lambda _self, _handle, _deadline, done: flushes.put(done))
    with create_named_pipe(pipe_name) as server, relaying("tcp:0", pipe_name) as (relay, told):
        connecting = background(connect_named_pipe, server, PATIENCE)
        with tcp_client(relay) as client:
            client.sendall(b"abc")
            client.shutdown(socket.SHUT_WR)
            connecting.result(PATIENCE)
            flushed = flushes.get(timeout=PATIENCE)
            assert read_file(server, 100, PATIENCE) == (b"abc", False)
            with pytest.raises(PipeTimeoutError):
                read_file(server, 100, 0.1)
            flushed(is_taken)
            if is_taken:
                assert read_file(server, 100, PATIENCE) == (b"", False)
            else:
                assert isinstance(told.end().error, PipeTimeoutError)


def test_a_flush_that_lasts_longer_than_the_relay_keeps_no_handle(
    pipe_name: str, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: SimpleQueue[object] = SimpleQueue()
    monkeypatch.setattr(Flusher, "flush", lambda *arguments: flushes.put(arguments))
    with create_named_pipe(pipe_name) as server, relaying("tcp:0", pipe_name) as (relay, told):
        connecting = background(connect_named_pipe, server, PATIENCE)
        with tcp_client(relay) as client:
            client.sendall(b"abc")
            client.shutdown(socket.SHUT_WR)
            connecting.result(PATIENCE)
            flushes.get(timeout=PATIENCE)
            server.close()
            assert received(client) == b""
        session = told.opens.get(timeout=PATIENCE)
        target = session.target
        assert target is not None
        assert not target.is_gone
    assert target.is_gone
    assert target.handle is not None
    assert target.handle.closed


def test_fin_to_a_byte_pipe_still_gets_a_slow_answer(pipe_name: str) -> None:
    def answer(client: Client, data: bytes) -> None:
        threading.Timer(0.2, client.send, [data * 2]).start()

    with (
        PipeServer(pipe_name, answer, config=PipeConfig(is_message=False)),
        relaying("tcp:0", pipe_name, linger=0.6) as (relay, told),
        tcp_client(relay) as client,
    ):
        client.sendall(b"ab")
        client.shutdown(socket.SHUT_WR)
        assert received(client) == b"abab"  # and then the relay closes, because the pipe cannot be told
        assert told.end().ended_by == "client"


def test_fin_of_the_target_closes_a_byte_pipe_after_its_data(pipe_name: str) -> None:
    with (
        tcp_server() as server,
        relaying(pipe_name, port_of(server), is_message=False) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"x", PATIENCE)
        with accepted(server) as peer:
            peer.sendall(b"y" * 30_000)
            peer.shutdown(socket.SHUT_WR)
            assert told.end().ended_by == "target"
            assert client.receive_until(Count(30_000), PATIENCE).data == b"y" * 30_000
            with pytest.raises(PipeClosedError):
                client.receive(PATIENCE)


def test_half_close_none_passes_on_data_alone(pipe_name: str) -> None:
    with (
        tcp_server() as server,
        relaying(pipe_name, port_of(server), half_closes=False) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"one", PATIENCE)
        with accepted(server) as peer:
            client.send(b"", PATIENCE)
            client.send(b"two", PATIENCE)
            assert received(peer, 6) == b"onetwo"
            client.close()
            assert received(peer) == b""
        assert told.end().to_target.unsaid == 1


def test_data_after_an_end_is_an_error_and_counted(pipe_name: str) -> None:
    with (
        tcp_server() as server,
        relaying(pipe_name, port_of(server)) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"one", PATIENCE)
        with accepted(server) as peer:
            client.send(b"", PATIENCE)
            assert received(peer) == b"one"
            client.send(b"too late", PATIENCE)
            session = told.end()
    assert isinstance(session.error, PipeStateError)
    assert (session.to_target.bytes, session.to_target.dropped) == (3, 8)


def test_a_pipe_client_that_leaves_lets_the_tcp_target_finish(pipe_name: str) -> None:
    with tcp_server() as server, relaying(pipe_name, port_of(server)) as (_, told):
        with connect(pipe_name, PATIENCE) as client:
            client.send(b"request", PATIENCE)
            peer = server.accept()[0]
        with peer:
            peer.settimeout(PATIENCE)
            assert received(peer) == b"request"  # to the FIN, and no reset
            peer.sendall(b"for nobody")
        session = told.end()
    assert (session.ended_by, session.to_client.bytes, session.to_client.dropped) == ("client", 0, 10)


@pytest.mark.windows(reason="Wine tells RST as it tells FIN", claim="W67")
def test_a_reset_is_passed_on_as_one(pipe_name: str) -> None:
    with (
        tcp_server() as server,
        relaying(pipe_name, port_of(server)) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        client.send(b"x", PATIENCE)
        peer = server.accept()[0]
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh", 1, 0))
        peer.close()
        session = told.end()
        with pytest.raises(PipeClosedError) as caught:
            client.receive(PATIENCE)
    assert isinstance(session.error, PipeClosedError)
    assert caught.value.code == WinError.PIPE_NOT_CONNECTED


def test_tcp_to_tcp_passes_both_ends_of_a_conversation(background: Background) -> None:
    data = os.urandom(3 << 20)
    with tcp_server() as server, relaying("tcp:[::1]:0", port_of(server)) as (relay, _), tcp_client(relay) as client:

        def send() -> None:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        sending = background(send)
        with accepted(server) as peer:
            assert received(peer) == data
            sending.result(PATIENCE)
            peer.sendall(data[:1000])
        assert received(client) == data[:1000]


# Programs


UPPER = "import sys\nfor line in sys.stdin: sys.stdout.write(line.upper()); sys.stdout.flush()"


def test_a_program_is_run_for_each_client(pipe_name: str) -> None:
    with (
        relaying(pipe_name, program(UPPER), is_message=False) as (_, told),
        connect(pipe_name, PATIENCE) as one,
        connect(pipe_name, PATIENCE) as two,
    ):
        for client, word in ((one, b"one\n"), (two, b"two\n")):
            client.send(word, PATIENCE)
            assert client.receive(PATIENCE).strip() == word.strip().upper()
        one.close()
        session = told.end()
        assert session.target is not None
        assert (session.ended_by, session.target.remark) == ("client", "ended with exit code 0")


def test_an_empty_message_ends_the_stdin_of_a_program(pipe_name: str) -> None:
    text = "import sys; sys.stdout.write(str(len(sys.stdin.read()))); sys.exit(3)"
    with relaying(pipe_name, program(text)) as (_, told), connect(pipe_name, PATIENCE) as client:
        client.send(b"12345", PATIENCE)
        client.send(b"", PATIENCE)
        assert client.receive(PATIENCE) == b"5"
        session = told.end()
    assert session.target is not None
    assert session.target.remark == "ended with exit code 3"


def test_a_program_that_does_not_end_is_ended(pipe_name: str) -> None:
    text = "import time; print('here', flush=True); time.sleep(600)"
    with relaying(pipe_name, program(text), linger=0.2) as (_, told):
        with connect(pipe_name, PATIENCE) as client:
            assert client.receive(PATIENCE).strip() == b"here"
        session = told.end()
    assert session.target is not None
    assert session.target.remark == "was ended"


# Back-pressure


BUFFER = 64 << 10


@pytest.mark.parametrize("size", [16 << 10, 256 << 10])
def test_a_slow_reader_slows_the_writer_and_nothing_piles_up(
    pipe_name: str, behind: str, background: Background, size: int
) -> None:
    """10 MiB, read 1 KiB at a time: whatever the timing, the writer is never further ahead than all buffers allow."""
    total, taken, sent = 10 << 20, 0, 0

    def write(client: Connection) -> None:
        nonlocal sent
        for _ in range(total // size):
            client.send(bytes(size), PATIENCE)
            sent += size

    with (
        create_named_pipe(behind, pipe_mode=PipeMode.TYPE_BYTE) as server,
        relaying(pipe_name, behind, is_message=False) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        writing = background(write, client)
        session = told.opens.get(timeout=PATIENCE)
        most_sent = most_passed = 0
        while taken < total:
            most_sent, most_passed = max(most_sent, sent - taken), max(most_passed, session.to_target.bytes - taken)
            taken += len(read_file(server, 1 << 10, PATIENCE)[0])
        writing.result(PATIENCE)
        # What the target's pipe holds and one write of the relay's; then one read of the relay's and the client's pipe.
        assert most_passed <= 2 * BUFFER
        assert most_sent <= 4 * BUFFER


def test_a_client_that_never_reads_holds_up_nobody_else(pipe_name: str, behind: str) -> None:
    def answer(client: Client, data: bytes) -> bytes | None:
        if data == b"flood":
            client.send(bytes(4 << 20))
            return None
        return data

    with (
        PipeServer(behind, answer, config=PipeConfig(is_message=False)),
        relaying(pipe_name, behind, is_message=False) as (_, told),
        connect(pipe_name, PATIENCE) as deaf,
        connect(pipe_name, PATIENCE) as other,
    ):
        deaf.send(b"flood", PATIENCE)
        session = told.opens.get(timeout=PATIENCE)
        for _ in range(100):
            other.send(b"x", PATIENCE)
            assert other.receive(PATIENCE) == b"x"
        assert session.to_client.bytes < 400 << 10


# Many


def test_many_clients_at_once_get_every_byte_from_one_thread(
    pipe_name: str, behind: str, many: int, handle_count: Callable[[], int]
) -> None:
    threads, handles = relay_threads(), handle_count()
    with PipeServer(behind, echo), relaying(pipe_name, behind) as (relay, _):
        echo_to_many(pipe_name, many, lambda: (relay.connected, relay_threads() - threads) == (many, 1))
    assert relay_threads() == threads
    assert handle_count() < handles + 40  # made once, whatever the number of clients


def echo_to_many(pipe: str, many: int, check: Callable[[], bool]) -> None:
    """Have messages echoed to many clients, and check something while all are connected."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(pipe, PATIENCE)) for _ in range(many)]
        for turn in range(3):
            messages = [b"%d of %d" % (turn, number) + bytes(number) for number in range(many)]
            for client, message in zip(clients, messages, strict=True):
                client.send(message, PATIENCE)
            assert [client.receive(PATIENCE) for client in clients] == messages
        assert check()


@pytest.mark.parametrize("kind", ["pipe", "tcp", "program"])
def test_handles_stay_as_many_whatever_ends(
    pipe_name: str, behind: str, kind: str, handle_count: Callable[[], int]
) -> None:
    with ExitStack() as stack:
        stack.enter_context(PipeServer(behind, echo))
        target: object = behind if kind == "pipe" else program(UPPER)
        if kind == "tcp":
            front, _ = stack.enter_context(relaying("tcp:0", behind))
            target = str(front.place)
        relay, told = stack.enter_context(relaying(pipe_name, target, linger=0.1))
        rounds = 3 if kind == "program" else 20

        def go(count: int) -> int:
            for number in range(count):
                with connect(pipe_name, PATIENCE) as client:
                    client.send(b"x\n", PATIENCE)
                    if number % 2:
                        assert client.receive(PATIENCE).strip().lower() == b"x"
                told.end()
            return handle_count()

        before = go(rounds)
        assert go(rounds) <= before + 4
        assert relay.connected == 0


def test_with_a_limit_of_instances_the_next_client_waits(pipe_name: str, behind: str) -> None:
    with PipeServer(behind, echo), relaying(pipe_name, behind, pipe=PipeConfig(max_instances=1)) as (_, told):
        for _ in range(3):
            with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
                assert client.transact(b"x", PATIENCE) == b"x"
                with pytest.raises(PipeBusyError):
                    connect(pipe_name, 0)
            told.end()


def test_it_adds_no_instance_to_a_pipe_that_another_has_made(pipe_name: str, behind: str) -> None:
    with PipeServer(behind, echo), relaying(pipe_name, behind, pipe=PipeConfig(max_instances=1)) as (relay, told):
        client = connect(pipe_name, PATIENCE)
        assert client.transact(b"x", PATIENCE) == b"x"
        create = PipeConfig.create
        calls: list[bool] = []

        def spied(config: PipeConfig, pipe: str, *, is_first: bool) -> object:
            calls.append(is_first)
            return create(config, pipe, is_first=is_first)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PipeConfig, "create", spied)
            client.close()
            told.end()
            with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as other:
                assert other.transact(b"y", PATIENCE) == b"y"
        assert calls[0] is True  # the name was free for a moment, and is taken as at the start
        assert not relay.wait(0)


def test_a_question_about_a_client_ends_that_client_alone(pipe_name: str, behind: str) -> None:
    with PipeServer(behind, echo), relaying(pipe_name, behind) as (_, told):
        connected, questions = told.connected, [PipeClosedError("gone meanwhile")]

        def ask(session: Session) -> None:
            if questions:
                raise questions.pop()
            connected(session)

        told.connected = ask  # type: ignore[method-assign]
        with connect(pipe_name, PATIENCE) as first:
            first.send(b"x", PATIENCE)
            assert isinstance(told.end().error, PipeClosedError)
        with connect(pipe_name, PATIENCE) as second:
            assert second.transact(b"x", PATIENCE) == b"x"


def test_its_end_ends_the_programs_that_linger(pipe_name: str) -> None:
    text = "import sys, time; sys.stdout.write('here'); time.sleep(600)"
    with (
        relaying(pipe_name, program(text), linger=60, client_idle=2) as (_, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        assert client.receive(PATIENCE) == b"here"
        with pytest.raises(PipeClosedError):
            client.receive(PATIENCE)  # which is when the program begins to linger
        assert told.ends.empty()
        begun = time.perf_counter()
    assert time.perf_counter() - begun < 10
    session = told.end()
    assert session.target is not None
    assert session.target.remark == "was ended"


# Eager


def test_an_eager_relay_is_there_only_while_its_target_is(pipe_name: str, behind: str) -> None:
    with relaying(pipe_name, behind, is_eager=True) as (_, told):
        assert isinstance(told.targets.get(timeout=PATIENCE), PipeNotFoundError)
        with pytest.raises(PipeNotFoundError):
            connect(pipe_name, 0)
        for _ in range(2):
            with PipeServer(behind, echo):
                assert told.targets.get(timeout=PATIENCE) is None
                with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
                    assert client.transact(b"x", PATIENCE) == b"x"
                told.end()
            assert isinstance(told.targets.get(timeout=PATIENCE), PipeError)
            with pytest.raises(PipeNotFoundError):
                connect(pipe_name, 0)


def test_an_eager_relay_keeps_what_the_target_says_first(pipe_name: str, behind: str) -> None:
    with (
        PipeServer(behind, echo, events=reporting(connected=lambda _client: b"welcome")),
        relaying(pipe_name, behind, is_eager=True),
    ):
        for _ in range(3):
            with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
                client.send(b"x", PATIENCE)
                assert [client.receive(PATIENCE) for _ in range(2)] == [b"welcome", b"x"]


def test_an_eager_relay_reads_on_only_when_the_first_words_are_written(pipe_name: str, behind: str) -> None:
    """A greeting that does not fit into the client's pipe, and more behind it: one write at a time."""

    def greet(client: Client) -> bytes:
        for number in range(20):
            client.send(b"%d" % number * 100_000)
        return b"the last"

    with (
        PipeServer(behind, echo, events=reporting(connected=greet)),
        relaying(pipe_name, behind, is_eager=True),
        connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client,
    ):
        client.send(b"x", PATIENCE)
        time.sleep(0.2)  # in which nothing is read
        messages = [client.receive(PATIENCE) for _ in range(22)]
    assert messages == [*(b"%d" % number * 100_000 for number in range(20)), b"the last", b"x"]


# The end


def test_it_ends_after_its_clients_and_lets_no_more_in(pipe_name: str, behind: str) -> None:
    with PipeServer(behind, echo), relaying(pipe_name, behind, stop_after=StopAfter(clients=2)) as (relay, _):
        clients = [connect(pipe_name, PATIENCE) for _ in range(2)]
        for client in clients:
            assert client.transact(b"x", PATIENCE) == b"x"
        with pytest.raises(PipeError):
            connect(pipe_name, 0)
        clients[0].close()
        assert not relay.wait(0.1)
        clients[1].close()
        assert relay.wait(PATIENCE)


def test_it_ends_when_nothing_has_happened_for_long_enough(pipe_name: str, behind: str) -> None:
    with (
        PipeServer(behind, echo),
        relaying(pipe_name, behind, stop_after=StopAfter(idle=0.4)) as (relay, _),
        connect(pipe_name, PATIENCE) as client,
    ):
        for _ in range(4):
            assert client.transact(b"x", PATIENCE) == b"x"
            assert not relay.wait(0.15)
        assert relay.wait(PATIENCE)


def test_a_silent_client_is_let_go_after_its_time(pipe_name: str, behind: str) -> None:
    with (
        PipeServer(behind, echo),
        relaying(pipe_name, behind, client_idle=0.3) as (relay, told),
        connect(pipe_name, PATIENCE) as client,
    ):
        assert client.transact(b"x", PATIENCE) == b"x"
        assert told.end().ended_by == "relay"
        with pytest.raises(PipeClosedError):
            client.receive(PATIENCE)
        assert not relay.wait(0)


def test_its_end_leaves_clients_what_was_written(pipe_name: str, behind: str) -> None:
    with PipeServer(behind, echo), connect_after(pipe_name, behind) as client:
        assert client.receive(PATIENCE) == b"kept"
        with pytest.raises(PipeClosedError):
            client.receive(PATIENCE)


def connect_after(pipe: str, behind: str) -> Connection:
    """A client for which something was written by a relay that has ended."""
    with relaying(pipe, behind) as (_, told):
        client = connect(pipe, PATIENCE)
        client.send(b"kept", PATIENCE)
        session = told.opens.get(timeout=PATIENCE)
        while session.to_client.bytes < 4:
            time.sleep(0.01)
    return client


def test_an_exception_in_an_event_ends_the_relay_and_is_raised(pipe_name: str, behind: str) -> None:
    with relaying(pipe_name, behind) as (relay, told), connect(pipe_name, PATIENCE) as client:

        def fail(_session: object) -> None:
            raise RuntimeError("told too much")

        told.connected = fail  # type: ignore[method-assign, assignment]
        client.send(b"x", PATIENCE)
        with pytest.raises(RuntimeError, match="told too much"):
            relay.wait(PATIENCE)

"""pipectl and .NET's System.IO.Pipes: what its ends do that an echo, which is in test_peers.py, does not show.

One process has all .NET ends, because .NET takes seconds to start; the tests say what each end does.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self

import pytest

from pipectl.core.constants import Wait
from pipectl.core.errors import PipeBusyError, PipeClosedError, PipeError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.framing import Count
from pipectl.core.pipe.server import PipeServer
from tests.core.traffic.relaying import relaying
from tests.pipes import reporting
from tests.runner import Background, Pipectl, Running

if find_spec("dotnetcore2") is None:
    pytest.skip("needs dotnetcore2", allow_module_level=True)

_ENDS = Path(__file__).parent / "peers" / "dotnet_ends.py"


class DotNetError(Exception):
    """The name of the exception that .NET raised."""


class DotNet:
    """The process that has the .NET ends; one that does not answer fails the test, and the next test has another."""

    def __init__(self) -> None:
        self._process: Running | None = None

    def ask(self, *line: Any) -> Any:
        self._process = self._process or Running([sys.executable, str(_ENDS)])
        self._process.tell(json.dumps(line))
        try:
            answer = json.loads(self._process.wrote())
        except Empty:
            self.kill()
            raise
        if "error" in answer:
            raise DotNetError(answer["error"])
        return answer["result"]

    def kill(self) -> None:
        if self._process:
            self._process.kill()
        self._process = None

    def server(self, pipe: str, mode: str = "Message", **arguments: Any) -> "End":
        return End(self, self.ask("server", {"pipe": pipe, "mode": mode, **arguments}))

    def client(self, pipe: str, mode: str = "Message", **arguments: Any) -> "End":
        return End(self, self.ask("client", {"pipe": pipe, "mode": mode, **arguments}))


class End:
    """One .NET end; peers/dotnet.py has what it does."""

    def __init__(self, dotnet: DotNet, number: int) -> None:
        self._dotnet = dotnet
        self._number = number

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, name: str, *arguments: Any) -> Any:
        return self._dotnet.ask(name, self._number, *arguments)

    def accept(self) -> None:
        self._ask("accept")

    def read(self, size: int) -> tuple[bytes, bool | None]:
        """What one read brings, and IsMessageComplete in message mode."""
        data, is_complete = self._ask("read", size)
        return data.encode("latin-1"), is_complete

    def write(self, data: bytes) -> None:
        self._ask("write", data.decode("latin-1"))

    def echo(self, size: int) -> None:
        """Write what it reads, until it was so many bytes."""
        self._ask("echo", size)

    def is_connected(self) -> bool:
        return bool(self._ask("is_connected"))

    def drain(self) -> None:
        """Wait until we have read everything."""
        self._ask("drain")

    def disconnect(self) -> None:
        self._ask("disconnect")

    def close(self) -> None:
        self._ask("close")


@pytest.fixture(scope="module")
def dotnet() -> Iterator[DotNet]:
    process = DotNet()
    yield process
    process.kill()


@pytest.fixture(params=["None", "Asynchronous"], ids=["sync", "async"])
def options(request: pytest.FixtureRequest) -> str:
    """The ways of .NET to wait, as PipeOptions."""
    return str(request.param)


def echo(_: Client, data: bytes) -> bytes:
    return data


# Its client, our server


@pytest.mark.parametrize("mode", ["Message", "Byte"])
def test_its_client_has_a_mebibyte_echoed(dotnet: DotNet, pipe_name: str, mode: str, options: str) -> None:
    data = os.urandom(1 << 20)
    with (
        PipeServer(pipe_name, echo, config=PipeConfig(is_message=mode == "Message")),
        dotnet.client(pipe_name, mode, options=options) as client,
    ):
        client.write(data)
        answer = b""
        while len(answer) < len(data):
            answer += client.read(len(data))[0]
    assert answer == data


def test_its_client_reads_a_long_message_in_pieces(dotnet: DotNet, pipe_name: str, options: str) -> None:
    with PipeServer(pipe_name, echo), dotnet.client(pipe_name, options=options) as client:
        client.write(b"0123456789")
        assert [client.read(4) for _ in range(3)] == [(b"0123", False), (b"4567", False), (b"89", True)]


def test_its_client_reads_messages_as_a_stream_in_byte_mode(dotnet: DotNet, pipe_name: str, options: str) -> None:
    with PipeServer(pipe_name, echo), dotnet.client(pipe_name, "Byte", options=options) as client:
        client.write(b"0123456789")
        assert [client.read(6), client.read(6)] == [(b"012345", None), (b"6789", None)]


def test_its_client_takes_an_empty_message_for_no_end(dotnet: DotNet, pipe_name: str, options: str) -> None:
    def answer(client: Client, data: bytes) -> bytes:
        client.send(b"")
        return data

    with PipeServer(pipe_name, answer), dotnet.client(pipe_name, options=options) as client:
        client.write(b"after it")
        assert client.read(64) == (b"", True)
        assert client.is_connected()
        assert client.read(64) == (b"after it", True)


def test_its_client_writes_no_empty_message(dotnet: DotNet, pipe_name: str, options: str) -> None:
    messages: SimpleQueue[bytes] = SimpleQueue()
    with (
        PipeServer(pipe_name, lambda _, data: messages.put(data)),
        dotnet.client(pipe_name, options=options) as client,
    ):
        client.write(b"")
        client.write(b"something")
        assert messages.get(timeout=20) == b"something"


# With a limit the server disconnects the client, which then meets ERROR_PIPE_NOT_CONNECTED and not ERROR_BROKEN_PIPE.
@pytest.mark.parametrize("limit", [None, 1], ids=["without a limit", "with a limit of instances"])
def test_its_client_sees_our_server_close(dotnet: DotNet, pipe_name: str, options: str, limit: int | None) -> None:
    def answer(client: Client, data: bytes) -> bytes:
        client.close()
        return data

    with (
        PipeServer(pipe_name, answer, config=PipeConfig(max_instances=limit)),
        dotnet.client(pipe_name, options=options) as client,
    ):
        client.write(b"bye")
        assert client.read(64) == (b"bye", True)
        # An asynchronous read that is under way when the end comes brings nothing, and IsConnected is still true.
        assert [client.read(64)[0] for _ in range(2)] == [b"", b""]
        assert not client.is_connected()


@pytest.mark.parametrize("unread", [0, 1 << 20], ids=["with nothing unread", "with a reply unread"])
def test_its_client_may_leave_early(dotnet: DotNet, pipe_name: str, options: str, unread: int) -> None:
    left: SimpleQueue[PipeError | None] = SimpleQueue()
    asked: SimpleQueue[bytes] = SimpleQueue()

    def answer(_: Client, data: bytes) -> bytes | None:
        asked.put(data)
        return bytes(unread) or None

    events = reporting(left=lambda _, error: left.put(error))
    with PipeServer(pipe_name, answer, events=events):
        with dotnet.client(pipe_name, options=options) as client:
            client.write(b"x")
            assert asked.get(timeout=20) == b"x"
        assert left.get(timeout=20) is None
        with connect(pipe_name, 20) as ours:
            ours.send(b"still there", 20)
            assert asked.get(timeout=20) == b"still there"


def test_its_client_waits_for_a_busy_server(
    dotnet: DotNet, pipe_name: str, options: str, background: Background
) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)):
        with connect(pipe_name, 20):
            with pytest.raises(DotNetError, match="TimeoutException"):
                dotnet.client(pipe_name, options=options, timeout=50)
            waiting = background(dotnet.client, pipe_name, options=options)
        with waiting.result(20) as client:
            client.write(b"in")
            assert client.read(64) == (b"in", True)


def test_its_client_that_only_writes_is_heard(dotnet: DotNet, pipe_name: str, options: str) -> None:
    messages: SimpleQueue[bytes] = SimpleQueue()
    with (
        PipeServer(pipe_name, lambda _, data: messages.put(data)),
        dotnet.client(pipe_name, "Byte", options=options, direction="Out") as client,
    ):
        client.write(b"one")
        client.write(b"two")
        assert [messages.get(timeout=20) for _ in range(2)] == [b"one", b"two"]


@pytest.mark.parametrize("level", ["None", "Anonymous", "Identification", "Impersonation", "Delegation"])
def test_its_client_is_served_at_any_impersonation_level(dotnet: DotNet, pipe_name: str, level: str) -> None:
    with PipeServer(pipe_name, echo), dotnet.client(pipe_name, level=level) as client:
        client.write(b"x")
        assert client.read(64) == (b"x", True)


def test_its_client_for_the_current_user_only_trusts_serve(
    dotnet: DotNet, pipe_name: str, options: str, running: Callable[..., Running]
) -> None:
    server = running("serve", pipe_name, "--echo")
    server.said()
    with dotnet.client(pipe_name, options=f"{options},CurrentUserOnly") as client:
        client.write(b"x")
        assert client.read(64) == (b"x", True)


@pytest.mark.parametrize("way", ["pipe", "pipe and TCP"])
def test_its_ends_meet_through_relays(dotnet: DotNet, pipe_name: str, options: str, way: str) -> None:
    """Its client and its server in message mode; between pipes messages stay whole, and TCP makes them a stream."""
    with ExitStack() as stack:
        server = stack.enter_context(dotnet.server(f"{pipe_name}-behind", options=options))
        target = f"{pipe_name}-behind"
        if way == "pipe and TCP":
            target = str(stack.enter_context(relaying("tcp:0", target))[0].place)
        _, told = stack.enter_context(relaying(pipe_name, target))
        client = dotnet.client(pipe_name, options=options)
        server.accept()  # of a relay, which connects for a client that says nothing too
        client.write(b"0123456789")
        assert [server.read(4) for _ in range(3)] == [(b"0123", False), (b"4567", False), (b"89", True)]
        server.write(b"x" * 5000)
        assert client.read(8000) == (b"x" * 5000, True)
        client.close()
        assert server.read(64)[0] == b""
        assert told.end().error is None


# Its server, our client


@pytest.mark.parametrize("mode", ["Message", "Byte"])
def test_its_server_echoes_a_mebibyte(
    dotnet: DotNet, pipe_name: str, mode: str, options: str, background: Background
) -> None:
    data = os.urandom(1 << 20)
    with dotnet.server(pipe_name, mode, options=options) as server, connect(pipe_name, 20) as client:
        server.accept()
        sending = background(client.send, data, 20)
        echoing = background(server.echo, len(data))
        if mode == "Message":
            assert client.receive(20) == data
        else:
            assert client.receive_until(Count(len(data)), 20).data == data
        sending.result(20)
        echoing.result(20)


def test_our_call_gets_the_whole_reply_of_its_server(
    dotnet: DotNet, pipe_name: str, options: str, pipectl: Pipectl, background: Background
) -> None:
    request = "x" * 100_000
    with dotnet.server(pipe_name, options=options) as server:
        called = background(pipectl, "call", pipe_name, request, "--timeout", "20")
        server.accept()
        server.echo(len(request))
        result = called.result(30)
    assert (result.exit_code, result.text.rstrip()) == (0, request)


def test_our_transaction_is_answered_by_its_server(
    dotnet: DotNet, pipe_name: str, options: str, background: Background
) -> None:
    with dotnet.server(pipe_name, options=options) as server, connect(pipe_name, 20) as client:
        server.accept()
        for request in (b"one", b"two" * 30_000):
            asked = background(client.transact, request, 20)
            server.echo(len(request))
            assert asked.result(20) == request


def test_its_server_reads_our_long_message_in_pieces(dotnet: DotNet, pipe_name: str, options: str) -> None:
    with dotnet.server(pipe_name, options=options) as server, connect(pipe_name, 20) as client:
        server.accept()
        client.send(b"0123456789", 20)
        client.send(b"", 20)
        assert [server.read(5) for _ in range(3)] == [(b"01234", False), (b"56789", True), (b"", True)]
        assert server.is_connected()


def test_its_server_writes_no_empty_message(dotnet: DotNet, pipe_name: str, options: str) -> None:
    with dotnet.server(pipe_name, options=options) as server, connect(pipe_name, 20) as client:
        server.accept()
        server.write(b"")
        server.write(b"something")
        assert client.receive(20) == b"something"


@pytest.mark.parametrize("mode", ["Message", "Byte"])
def test_its_server_disconnects_after_the_last_words(
    dotnet: DotNet, pipe_name: str, mode: str, options: str, background: Background
) -> None:
    with dotnet.server(pipe_name, mode, options=options) as server, connect(pipe_name, 20) as client:
        server.accept()
        server.write(b"bye")
        draining = background(server.drain)
        assert client.receive(20) == b"bye"
        draining.result(20)
        server.disconnect()
        with pytest.raises(PipeClosedError):
            client.receive(20)


def test_our_client_may_leave_early_and_the_next_is_served(
    dotnet: DotNet, pipe_name: str, options: str, background: Background
) -> None:
    with dotnet.server(pipe_name, options=options) as server:
        for _ in range(3):
            accepting = background(server.accept)
            with connect(pipe_name, 20):
                accepting.result(20)
            assert server.read(64)[0] == b""
            assert not server.is_connected()
            server.disconnect()
        accepting = background(server.accept)
        with connect(pipe_name, 20) as client:
            accepting.result(20)
            client.send(b"x", 20)
            assert server.read(64) == (b"x", True)


def test_its_instances_serve_as_many_clients_and_no_more(dotnet: DotNet, pipe_name: str, options: str) -> None:
    with (
        dotnet.server(pipe_name, options=options, instances=2) as one,
        dotnet.server(pipe_name, options=options, instances=2) as two,
        connect(pipe_name, 20) as first,
        connect(pipe_name, 20) as second,
    ):
        with pytest.raises(DotNetError, match="IOException"):
            dotnet.server(pipe_name, options=options, instances=2)
        with pytest.raises(PipeBusyError):
            connect(pipe_name, 0)
        for server in (one, two):
            server.accept()
        first.send(b"first", 20)
        second.send(b"second", 20)
        for server, size in ((one, 5), (two, 6)):
            server.echo(size)
        assert (first.receive(20), second.receive(20)) == (b"first", b"second")


def test_its_server_for_the_current_user_only_serves_us(dotnet: DotNet, pipe_name: str, options: str) -> None:
    with (
        dotnet.server(pipe_name, options=f"{options},CurrentUserOnly") as server,
        connect(pipe_name, 20, wait=Wait.EXISTS) as client,
    ):
        server.accept()
        client.send(b"x", 20)
        server.echo(1)
        assert client.receive(20) == b"x"


@pytest.mark.parametrize("mode", ["Message", "Byte"])
def test_connect_passes_stdin_and_the_answer_of_its_server(
    dotnet: DotNet, pipe_name: str, pipectl_process: Pipectl, background: Background, mode: str, options: str
) -> None:
    with dotnet.server(pipe_name, mode, options=options) as server:
        result = background(pipectl_process, "connect", pipe_name, stdin=b"request")
        server.accept()
        assert server.read(100)[0] == b"request"
        if mode == "Message":
            assert server.read(100) == (b"", True)  # the end of stdin
        server.write(b"answer")
        server.drain()
        server.close()
        assert result.result(20) == (0, b"answer", "")

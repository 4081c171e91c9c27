"""Who has connected by TCP, and who is let in."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pipectl.core.errors import PipeAccessError
from pipectl.core.inventory.callers import Admission
from pipectl.core.pipe.server import PipeServer
from pipectl.core.security import tokens
from pipectl.core.security.descriptors import pipe_security
from pipectl.core.win32 import tcptable
from pipectl.core.win32.winsock import Address, Socket
from tests.core.traffic.relaying import PATIENCE, is_silent, relaying, tcp_client


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[Socket]:
    """A connection of this process to itself, whose process the system tells."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address(bytes((127, 0, 0, 1)), server.getsockname()[1])
        with socket.socket() as plain, Socket(is_ipv6=False, name="tcp") as end:
            plain.connect(server.getsockname())
            local = Address(address.ip, plain.getsockname()[1])
            monkeypatch.setattr(Socket, "remote", local)
            monkeypatch.setattr(Socket, "local", address)
            yield end


def test_a_program_of_the_same_user_is_let_in_and_known(connection: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcptable, "process_of", lambda _local, _remote: os.getpid())
    client = Admission(pipe_security())(connection)
    assert client.process.pid == os.getpid()
    assert client.process.user


def test_a_program_that_the_access_list_leaves_out_is_refused(
    connection: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcptable, "process_of", lambda _local, _remote: os.getpid())
    # It lets anybody make instances, as the server must, and nobody write.
    security = pipe_security(["sddl:D:(A;;0x120085;;;WD)"])
    with pytest.raises(PipeAccessError, match="does not allow"):
        Admission(security)(connection)


def test_a_program_that_may_not_be_looked_at_is_refused(connection: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> None:
        raise PipeAccessError("denied", code=5, function="OpenProcess")

    monkeypatch.setattr(tcptable, "process_of", lambda _local, _remote: 4)
    monkeypatch.setattr(tokens, "of_process", refuse)
    with pytest.raises(PipeAccessError, match="another user"):
        Admission(pipe_security())(connection)


def test_a_program_that_is_not_known_is_refused(connection: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcptable, "process_of", lambda _local, _remote: None)
    with pytest.raises(PipeAccessError, match="is unknown"):
        Admission(pipe_security())(connection)


def test_a_list_that_is_open_to_everyone_asks_nobody(connection: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcptable, "process_of", lambda _local, _remote: None)
    assert Admission(pipe_security(["everyone"]))(connection).process.pid == 0


def test_a_relay_resets_who_is_not_let_in_and_serves_the_next(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[int | None] = [None, os.getpid()]
    monkeypatch.setattr(tcptable, "process_of", lambda _local, _remote: known.pop(0))
    with (
        PipeServer(pipe_name, lambda _client, data: data),
        relaying("tcp:0", pipe_name, admit=Admission(pipe_security())) as (relay, told),
    ):
        with tcp_client(relay) as stranger:
            assert isinstance(told.strangers.get(timeout=PATIENCE), PipeAccessError)
            with suppress(ConnectionError):  # as Windows tells RST; Wine tells it as FIN
                assert stranger.recv(1) == b""
        assert is_silent(told.connections, 0.1)
        with tcp_client(relay) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"


# The system's table


ONE = Address(bytes((127, 0, 0, 1)), 0x1234)
TWO = Address(bytes((127, 0, 0, 1)), 0x5678)


def row(local: Address, remote: Address, pid: int) -> bytes:
    """A MIB_TCPROW_OWNER_PID, or MIB_TCP6ROW_OWNER_PID."""
    ports = [port.to_bytes(2, "big") + b"\xaa\xbb" for port in (local.port, remote.port)]  # the upper half is undefined
    if local.is_ipv6:
        return local.ip + bytes(4) + ports[0] + remote.ip + bytes(4) + ports[1] + struct.pack("<II", 5, pid)
    return struct.pack("<I", 5) + local.ip + ports[0] + remote.ip + ports[1] + struct.pack("<I", pid)


def test_the_process_of_an_end_is_found_among_both_ends() -> None:
    table = struct.pack("<I", 2) + row(ONE, TWO, 11) + row(TWO, ONE, 22) + b"what stands behind it"
    assert (tcptable.find(table, ONE, TWO), tcptable.find(table, TWO, ONE)) == (11, 22)


def test_an_end_that_is_not_listed_has_no_process() -> None:
    table = struct.pack("<I", 1) + row(ONE, TWO, 11) + row(TWO, ONE, 22)
    assert tcptable.find(table, TWO, ONE) is None
    assert tcptable.find(struct.pack("<I", 1) + row(ONE, TWO, 0), ONE, TWO) is None


def test_an_end_by_ipv6_is_found() -> None:
    one, two = Address(bytes(15) + b"\1", 80), Address(bytes(15) + b"\1", 49152)
    assert tcptable.find(struct.pack("<I", 1) + row(two, one, 33), two, one) == 33


@pytest.mark.windows(reason="Wine names no process", claim="W66")
def test_the_system_names_the_process_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ends = [Address(bytes((127, 0, 0, 1)), one.getsockname()[1]) for one in (client, server)]
        assert tcptable.process_of(*ends) == os.getpid()

"""TCP sockets without a completion port: names are looked up, and waits for a connection have a limit."""

import pytest

from pipectl.core.errors import PipeError, PipeNotFoundError, PipeTimeoutError
from pipectl.core.win32.winsock import Address, Socket, addresses_of

LOOPBACK = bytes((127, 0, 0, 1))


def test_a_name_is_looked_up_and_an_address_stays_one() -> None:
    assert Address(LOOPBACK, 445) in addresses_of("localhost", 445)
    assert addresses_of("127.0.0.1", 80) == [Address(LOOPBACK, 80)]


@pytest.mark.parametrize("name", ["no-such-computer.invalid", "münchen.invalid"])
def test_a_name_that_nobody_has_is_an_error(name: str) -> None:
    with pytest.raises(PipeError) as raised:
        addresses_of(name, 445)
    assert raised.value.code in (11001, 11002, 11003, 11004)  # WSAHOST_NOT_FOUND and its relatives


def test_both_ends_of_a_connection_know_each_other() -> None:
    with (
        Socket(is_ipv6=False, name="listener") as listener,
        Socket(is_ipv6=False, name="client") as client,
        Socket(is_ipv6=False, name="server") as server,
    ):
        listener.listen(Address(LOOPBACK, 0))
        client.connect_within(listener.local, 5)
        listener.accept_within(server, 5)
        assert (client.local, client.remote) == (server.remote, server.local)


def test_a_port_on_which_nobody_listens_refuses() -> None:
    with Socket(is_ipv6=False, name="taken") as taken, Socket(is_ipv6=False, name="client") as client:
        taken.listen(Address(LOOPBACK, 0))
        free = taken.local
        taken.close()
        with pytest.raises(PipeNotFoundError):
            client.connect_within(free, 5)


def test_a_client_that_does_not_come_is_waited_for_only_so_long() -> None:
    with Socket(is_ipv6=False, name="listener") as listener, Socket(is_ipv6=False, name="server") as server:
        listener.listen(Address(LOOPBACK, 0))
        with pytest.raises(PipeTimeoutError):
            listener.accept_within(server, 0.05)

"""TCP for a relay: the address that it listens on, and the one that it connects to."""

import ctypes
from collections.abc import Callable
from functools import partial

from pipectl.core.constants import STATUS_SUCCESS
from pipectl.core.errors import PipeError, timed_out
from pipectl.core.win32.winsock import ACCEPT_ROOM, Address, Socket

from .ends import End, Shared, SocketEnd
from .listeners import RETRY
from .loop import Operation
from .places import Place
from .targets import Environment, Opened, Opening

# Sockets that wait for a client, so that this many can connect at the same time.
_SPARE = 4


def address_of(place: Place) -> Address:
    """Return the address of a TCP place."""
    from ipaddress import ip_address

    return Address(ip_address(place.name).packed, place.port)


class TcpListener:
    """Listens on a TCP address; each client becomes an end."""

    def __init__(
        self,
        shared: Shared,
        place: Place,
        arrived: Callable[[End], None],
        refused: Callable[[PipeError], None],
    ) -> None:
        self._shared = shared
        self._refused = refused
        self.place = place
        self._arrived = arrived
        self._listening: Socket | None = None

    def open(self) -> None:
        """Bind the address; raises PipeAccessError if another program has it. Port 0 is replaced by a free one."""
        address = address_of(self.place)
        self._listening = Socket(is_ipv6=address.is_ipv6, name=str(self.place))
        try:
            self._listening.listen(address)
            self._shared.loop.watch(self._listening)
            self.place = self.place._replace(port=self._listening.local.port)
            for _ in range(_SPARE):
                self._accept(self._listening)
        except PipeError:
            self.close()
            raise

    def close(self) -> None:
        """Stop accepting clients; connected ones stay."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()

    def _accept_next(self, listening: Socket) -> None:
        """Wait for another client; retry later if the system refuses."""
        if self._listening is not listening:
            return
        try:
            self._accept(listening)
        except PipeError as error:
            self._refused(error)
            self._shared.loop.after(RETRY, partial(self._accept_next, listening))

    def _accept(self, listening: Socket) -> None:
        socket = Socket(is_ipv6=address_of(self.place).is_ipv6, name=f"a client of {self.place}")
        room = ctypes.create_string_buffer(ACCEPT_ROOM)
        operation = Operation(self._shared.loop, lambda status, _count: self._accepted(listening, socket, status))
        try:
            listening.accept(socket, room, operation.reference)
        except PipeError:
            socket.close()
            raise
        operation.begun(room)

    def _accepted(self, listening: Socket, socket: Socket, status: int) -> None:
        if self._listening is not listening:
            socket.close()
            return
        self._accept_next(listening)
        if status != STATUS_SUCCESS:  # it has left before it was accepted
            socket.close()
            return
        try:
            socket.accepted_by(listening)
            self._shared.loop.watch(socket)
        except PipeError:  # it has left
            socket.close()
            return
        self._arrived(SocketEnd(self._shared, socket))


class TcpTarget:
    """A TCP address."""

    def __init__(self, shared: Shared, place: Place, opening: Opening) -> None:
        self._shared = shared
        self._name = str(place)
        self._address = address_of(place)
        self._timeout = opening.timeout

    def open(self, opened: Opened, environment: Environment) -> None:  # noqa: ARG002
        try:
            _Connecting(self._shared, self._address, self._name, self._timeout, opened)
        except PipeError as error:
            opened(error)

    def close(self) -> None:
        """Do nothing: a pending connect ends at its deadline, or with the loop."""


class _Connecting:
    """A pending connect."""

    def __init__(self, shared: Shared, address: Address, name: str, timeout: float | None, opened: Opened) -> None:
        self._shared = shared
        self._opened = opened
        self._timeout = timeout
        self._is_late = False
        self._operation = Operation(shared.loop, self._ended)
        self._socket = Socket(is_ipv6=address.is_ipv6, name=name)
        try:
            shared.loop.watch(self._socket)
            self._operation.begun(self._socket.connect(address, self._operation.reference))
        except PipeError:
            self._socket.close()
            raise
        self._timer = None if timeout is None else shared.loop.after(timeout, self._expire)

    def _expire(self) -> None:
        self._is_late = True
        self._operation.cancel(self._socket)

    def _ended(self, status: int, _count: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if status == STATUS_SUCCESS:
            self._socket.connected()
            self._opened(SocketEnd(self._shared, self._socket))
            return
        error = self._socket.connect_error(status)
        self._socket.close()
        if self._is_late:
            error = timed_out(self._timeout, self._socket.name)
        self._opened(error if isinstance(error, PipeError) else PipeError(str(error)))

"""Accepts the clients of a relay: on a pipe, or on this process's own stdin and stdout. `sockets` has TCP."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pipectl.core.constants import STATUS_SUCCESS, WinError
from pipectl.core.errors import PipeClosedError, PipeError
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.win32 import winapi

from .ends import End, PipeEnd, Shared
from .loop import Operation, Timer
from .places import Place

if TYPE_CHECKING:
    from pipectl.core.win32.handle import Handle

# Seconds until an instance that the system refused is retried.
RETRY = 1.0


class Listener(Protocol):
    """Accepts clients, and reports each one."""

    place: Place

    def open(self) -> None:
        """Claim the name and start accepting clients; raises PipeError if that fails."""

    def close(self) -> None:
        """Stop accepting clients; connected ones stay."""


class PipeListener:
    """Creates the instances of a pipe. Until `close`, a spare one always listens, unless there is a limit.

    `is_held` returns whether clients have instances of the pipe, which keep its name. If none has, the next instance
    must be the first of its name, so that it is never added to a pipe that another program has created meanwhile.
    """

    def __init__(
        self,
        shared: Shared,
        place: Place,
        config: PipeConfig,
        arrived: Callable[[End], None],
        refused: Callable[[PipeError], None],
        is_held: Callable[[], bool],
    ) -> None:
        self.place = place
        self._is_held = is_held
        self._shared = shared
        self._config = config
        self._arrived = arrived
        self._refused = refused
        self._listening: dict[Operation, Handle] = {}
        self._is_open = False
        self._retry: Timer | None = None

    def open(self) -> None:
        """Claim the name, which must be free unless clients of this relay still hold it."""
        self._is_open = True
        try:
            self._add_instance()
        except PipeError:
            self._is_open = False
            raise
        self._listen()

    def close(self) -> None:
        """Close the listening instances; the name is free once those of the clients are closed too."""
        self._is_open = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for operation, handle in self._listening.items():
            operation.cancel(handle)
            handle.close()  # at once, so that the name is free when this returns

    def _listen(self) -> None:
        """Create the missing listening instances; those that the system refuses are retried later."""
        self._retry = None
        try:
            while self._is_open and len(self._listening) < self._config.spare_instances:
                self._add_instance()
        except PipeError as error:
            # With a limit of instances, ERROR_PIPE_BUSY only means that the relay is full.
            if not (self._config.max_instances and error.code == WinError.PIPE_BUSY):
                self._refused(error)
            self._retry = self._shared.loop.after(RETRY, self._listen)

    def freed(self) -> None:
        """Retry a refused instance at once, because a client has left."""
        if self._retry is not None:
            self._retry.cancel()
            self._listen()

    def _add_instance(self) -> None:
        is_first = not (self._listening or self._is_held())
        handle = self._config.create(self.place.name, is_first=is_first)
        self._shared.loop.watch(handle)
        operation = Operation(self._shared.loop, lambda status, _count: self._connected(operation, status))
        self._listening[operation] = handle
        try:
            is_here = winapi.ConnectNamedPipe(handle, operation.reference) == WinError.PIPE_CONNECTED
        except PipeClosedError:  # a client has connected and left again, perhaps after sending a message
            is_here = True
        if is_here:
            operation.post_success()
        else:
            operation.begun()

    def _connected(self, operation: Operation, status: int) -> None:
        handle = self._listening.pop(operation)
        if status != STATUS_SUCCESS or not self._is_open:
            handle.close()
            return
        self._listen()
        self._arrived(PipeEnd(self._shared, handle, is_message=self._config.is_message, is_server=True))


class StdioListener:
    """Accepts this process's own stdin and stdout as one client, at once."""

    def __init__(self, shared: Shared, place: Place, arrived: Callable[[End], None]) -> None:
        self.place = place
        self._shared = shared
        self._arrived = arrived

    def open(self) -> None:
        """Accept the one client."""
        from .stdio import StdioEnd

        self._shared.loop.post(lambda: self._arrived(StdioEnd(self._shared)))

    def close(self) -> None:
        """Do nothing, because there is only one client."""

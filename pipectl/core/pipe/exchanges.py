"""Several requests over one connection, and single requests with Win32's CallNamedPipe."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from pipectl.core.deadline import Stopwatch, Timeout, deadline_of
from pipectl.core.errors import PartialResultError, PipeError

if TYPE_CHECKING:
    from pipectl.core.win32.overlapped import Buffer

    from .connection import Connection, Reply
    from .frames import Framing

# The longest reply that Windows guarantees.
_MOST = 65536


class Exchange(NamedTuple):
    """A request that was sent over a connection, and its reply; the number counts from 1."""

    number: int
    request: bytes
    reply: "Reply"
    seconds: float


def exchanges(
    connection: "Connection",
    requests: Iterable[bytes],
    until: "Framing | None" = None,
    timeout: float | None = None,
    *,
    is_framed: bool = False,
) -> Iterator[Exchange]:
    """Send requests one after another, and yield each with its reply; `timeout` applies to each exchange.

    `until` and `is_framed` are those of `Connection.ask`.

    Raises PartialResultError if one fails after others have succeeded.
    """
    for number, request in enumerate(requests, 1):
        watch = Stopwatch()
        try:
            reply = connection.ask(request, until, timeout, is_framed=is_framed)
        except PipeError as error:
            if number == 1:
                raise
            raise PartialResultError.after(error) from error
        yield Exchange(number, request, reply, watch.seconds)


def call_native(pipe: str, data: "Buffer", timeout: Timeout = 5.0) -> bytes:
    """Call a message pipe with CallNamedPipe itself, within the timeout; Ctrl+C interrupts it.

    Windows guarantees replies of up to 64 KiB; for a longer one, MessageTooLongError has what was read as its `data`.
    """
    from pipectl.core.win32.blocking import run_blocking  # seldom needed
    from pipectl.core.win32.calls import call_named_pipe

    deadline = deadline_of(timeout)
    return run_blocking(lambda: call_named_pipe(pipe, data, _MOST, deadline.remaining()), deadline, pipe)

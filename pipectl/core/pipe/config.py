"""The configuration of a server: how it creates its pipe, its limits for clients, and when it stops by itself."""

from typing import NamedTuple

from pipectl.core.constants import BUFFER_SIZE, MAX_MESSAGE, UNLIMITED_INSTANCES, OpenMode, PipeMode
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.handle import Handle


class PipeConfig(NamedTuple):
    """How a server creates its pipe. None for `max_instances` means no limit; sizes are in bytes.

    Without `security` the pipe gets the default ACL, which lets everyone read.
    """

    is_message: bool = True
    max_instances: int | None = None
    buffer_size: int = BUFFER_SIZE
    # A client that sends a longer message is disconnected.
    max_message: int = MAX_MESSAGE
    security: winapi.SECURITY_ATTRIBUTES | None = None
    allow_remote: bool = False
    # How many instances listen, so that this many clients can connect at the same time.
    spare_instances: int = 4
    # Bytes of all large messages that are being read at the same time; clients that need more wait.
    max_memory: int = 256 << 20
    # Bytes that can be queued for a client that does not read; beyond that it is disconnected.
    max_queue: int = 16 << 20
    # Seconds that a closed client has to read the remaining data.
    linger: float = 1.0
    # Who may send: INBOUND only clients, OUTBOUND only the server, which does not learn that a client has left.
    direction: OpenMode = OpenMode.DUPLEX

    @property
    def reads(self) -> bool:
        """Whether clients can send."""
        return self.direction is not OpenMode.OUTBOUND

    def create(self, pipe: str, *, is_first: bool) -> Handle:
        """Create an instance; the first one claims the name, which must be free."""
        open_mode = self.direction | OpenMode.OVERLAPPED
        if is_first:
            open_mode |= OpenMode.FIRST_PIPE_INSTANCE
        pipe_mode = PipeMode.MESSAGE if self.is_message else PipeMode.TYPE_BYTE
        if not self.allow_remote:
            pipe_mode |= PipeMode.REJECT_REMOTE_CLIENTS
        return calls.create_named_pipe(
            pipe,
            open_mode,
            pipe_mode,
            max_instances=UNLIMITED_INSTANCES if self.max_instances is None else self.max_instances,
            out_buffer_size=self.buffer_size,
            in_buffer_size=self.buffer_size,
            security=self.security,
        )


class StopAfter(NamedTuple):
    """When a server stops by itself: after a number of clients or replies, or seconds without activity.

    A client that leaves without having sent or received anything does not count: many programs open a pipe only to
    check that it exists.
    """

    clients: int | None = None
    messages: int | None = None
    idle: float | None = None

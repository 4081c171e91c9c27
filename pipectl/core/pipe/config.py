"""How a server makes its pipe, what it allows a client, and when it ends by itself."""

from typing import NamedTuple

from pipectl.core.constants import BUFFER_SIZE, MAX_MESSAGE, UNLIMITED_INSTANCES, OpenMode, PipeMode
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.handle import Handle


class PipeConfig(NamedTuple):
    """How a server makes its pipe. None for `max_instances` is as many as the system has room for; sizes in bytes.

    Without `security` the pipe gets the default access list, which lets everyone read.
    """

    is_message: bool = True
    max_instances: int | None = None
    buffer_size: int = BUFFER_SIZE
    # A client that sends a longer message is closed.
    max_message: int = MAX_MESSAGE
    security: winapi.SECURITY_ATTRIBUTES | None = None
    allow_remote: bool = False
    # How many instances listen, so that as many clients can come at once.
    spare_instances: int = 4
    # Bytes of all long messages that are being read at once, together; who needs more waits.
    max_memory: int = 256 << 20
    # Bytes that may wait to be written to a client that does not read; one for which more wait is closed.
    max_queue: int = 16 << 20
    # Seconds that a client that is closed has to take what was written to it.
    linger: float = 1.0
    # Who may send: INBOUND only clients, OUTBOUND only the server, which does not learn that a client has left.
    direction: OpenMode = OpenMode.DUPLEX

    @property
    def reads(self) -> bool:
        """Whether clients can send."""
        return self.direction is not OpenMode.OUTBOUND

    def create(self, pipe: str, *, is_first: bool) -> Handle:
        """Create an instance; the first one takes the name, which must be free."""
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
    """When a server ends by itself: after clients that have left, messages answered, or seconds without anything."""

    clients: int | None = None
    messages: int | None = None
    idle: float | None = None

"""What a program and its PipeServer tell each other: how the pipe is made, answers, events, and when to stop."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from pipectl.core.constants import BUFFER_SIZE, MAX_MESSAGE, UNLIMITED_INSTANCES, OpenMode, PipeMode
from pipectl.core.errors import PipeError
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.handle import Handle

from .client import Client


class Later:
    """What a handler returns to answer a message later, with `Client.reply`; until then the client is not read from."""


LATER = Later()

Answer = Callable[[Client, bytes], bytes | Later | None]


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

    def create(self, pipe: str, *, is_first: bool) -> Handle:
        """Create an instance; the first one takes the name, which must be free."""
        open_mode = OpenMode.DUPLEX | OpenMode.OVERLAPPED
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


class Running(Protocol):
    """A server that runs, for who follows its events."""

    pipe: str

    @property
    def stats(self) -> "Stats":
        """What it has done so far."""

    @property
    def connected(self) -> int:
        """How many clients are connected now."""

    def abort(self, error: BaseException) -> None:
        """End it because of an error, which its `wait` raises; from any thread."""


class ServerEvents:
    """What a server reports, in its one thread; a subclass takes what it needs.

    A PipeError in one of these closes the client; any other exception ends the server, and its `wait` raises it.
    """

    def started(self, server: Running) -> None:
        """The server has taken the name; this comes first, and in the thread that has started it."""

    def connected(self, client: Client) -> None:
        """A client has come; what is sent to it here comes before any answer."""

    def received(self, client: Client, data: bytes) -> None:
        """A client has sent a message, which is answered next."""

    def answered(self, client: Client, data: bytes) -> None:
        """A client is sent an answer, whoever made it."""

    def unanswered(self, client: Client, data: bytes) -> None:
        """An answer was made for a client that had left before."""

    def left(self, client: Client, error: PipeError | None) -> None:
        """A client has left by itself, or was closed, perhaps because of an error of its own."""

    def refused(self, error: PipeError) -> None:
        """The system has refused a further instance. The server goes on with those it has, and tries again."""


class Stats(NamedTuple):
    """What a server has done so far; clients are those that have come, bytes are payload."""

    clients: int
    messages: int
    bytes_in: int
    bytes_out: int

"""`PipeServer`: many clients of one pipe, served from one thread over an I/O completion port.

Every operation that was started without an error puts exactly one packet into the port when it has ended, also if it
ended at once; the loop takes the packets in batches, hands each to its `Client`, and does what the state that the
client is in then makes due. So nothing is locked, and a silent client costs no processor time.

* There is always a spare instance that listens, made before the client that took the last one is served: no client
  ever finds the name gone between two others.
* ERROR_PIPE_CONNECTED means that the client was quicker than ConnectNamedPipe; ERROR_NO_DATA that it also left again.
* A client is let go with CloseHandle, which leaves it what was written, and not with DisconnectNamedPipe, which throws
  that away; except when the client closed first, and the instance can be used again.
"""

import ctypes
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from ctypes import byref
from ctypes.wintypes import ULONG
from functools import partial
from struct import Struct
from threading import Thread, get_ident
from types import TracebackType
from typing import Any, NamedTuple, Self

from pipectl.core.constants import (
    BUFFER_SIZE,
    MAX_MESSAGE,
    STATUS_SUCCESS,
    UNLIMITED_INSTANCES,
    OpenMode,
    PipeMode,
    WinError,
)
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.handle import Handle, kernel_time, wait

from .client import Client, State

_BATCH = 64
# A FILE_IO_COMPLETION_INFORMATION: client, operation, status, bytes. Taken apart all at once, because each access to a
# field of ctypes takes as long as a call.
_PACKET = Struct("PPIP")
# How long, in seconds, a server that ends waits for clients to take their last replies.
_DRAIN = 1.0

_WAKE = 0  # the completion key of a packet that only wakes the loop; clients count from 1

_LISTENING, _CONNECTED, _CLOSING, _GONE = State


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


class StopAfter(NamedTuple):
    """When a server ends by itself: after clients that have left, messages answered, or seconds without anything."""

    clients: int | None = None
    messages: int | None = None
    idle: float | None = None


class ServerEvents:
    """What a server reports, in its one thread; a subclass takes what it needs.

    An exception ends the server, and its `wait` raises it.
    """

    def started(self, server: "PipeServer") -> None:
        """The server has taken the name; this comes first, and in the thread that has started it."""

    def connected(self, client: Client) -> None:
        """A client has come; what is sent to it here comes before any answer."""

    def received(self, client: Client, data: bytes) -> None:
        """A client has sent a message, which is answered next."""

    def answered(self, client: Client, data: bytes) -> None:
        """A client is sent an answer, whoever made it."""

    def left(self, client: Client, error: PipeError | None) -> None:
        """A client has left by itself, or was closed, perhaps because of an error of its own."""


class Stats(NamedTuple):
    """What a server has done so far; clients are those that have come, bytes are payload."""

    clients: int
    messages: int
    bytes_in: int
    bytes_out: int


class PipeServer:
    """Serves a pipe: `answer` is called with each message, and what it returns is sent back.

    On a byte pipe a message is whatever bytes have come. `answer` and `events` run in the server's one thread, so a
    slow one keeps all clients waiting: it returns LATER and lets another thread answer. An exception there ends the
    server, and `wait` raises it.

    The name is taken with FIRST_PIPE_INSTANCE and remote clients are rejected, unless `config` says otherwise. The
    server runs from `start` (or `with`) to `stop`, or as long as `stop_after` says.
    """

    def __init__(
        self,
        pipe: str,
        answer: Answer,
        *,
        events: ServerEvents | None = None,
        config: PipeConfig = PipeConfig(),
        stop_after: StopAfter = StopAfter(),
    ) -> None:
        self.pipe = pipe
        self._answer_to = answer
        self._events = events
        self._config = config
        self._most_instances = sys.maxsize if config.max_instances is None else config.max_instances
        self._stop_after = stop_after

        self._clients: dict[int, Client] = {}
        self._listening = 0
        self._last_key = _WAKE
        self._came = self._left = self._messages = self._answers = self._bytes_in = self._bytes_out = 0
        self._packets = ctypes.create_string_buffer(_PACKET.size * _BATCH)
        self._packet_memory = memoryview(self._packets)
        self._packet_count = ULONG()
        self._packet_count_reference = byref(self._packet_count)
        self._orders: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_stopping = False
        self._drain_seconds = _DRAIN
        self._error: BaseException | None = None
        self._thread: Thread | None = None
        self._port: Handle | None = None
        self._ended: Handle | None = None

    # For the program's thread

    @property
    def stats(self) -> Stats:
        """What the server has done so far; may be asked from any thread."""
        return Stats(self._came, self._messages, self._bytes_in, self._bytes_out)

    @property
    def connected(self) -> int:
        """How many clients are connected now."""
        return len(self._clients) - self._listening

    def start(self) -> Self:
        """Take the name and begin to serve; raises PipeAccessError or PipeBusyError if it is taken."""
        self._port = Handle(winapi.CreateIoCompletionPort(winapi.INVALID_HANDLE_VALUE, None, 0, 0), self.pipe)
        self._remove_packets_call = partial(winapi.NtRemoveIoCompletionEx, self._port.pointer, self._packets)
        try:
            self._listen()
            self._ended = calls.create_event()
        except BaseException:
            self._close_handles()
            raise
        if self._events is not None:
            self._events.started(self)
        self._thread = Thread(target=self._run, name=f"PipeServer {self.pipe}", daemon=True)
        self._thread.start()
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server has ended by itself; return whether it has. Raises what a handler raised."""
        if self._ended is None or self._thread is None:
            raise RuntimeError("the server was not started")
        if not wait(self._ended, Deadline(timeout)):
            return False
        self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return True

    def stop(self, drain: float = _DRAIN) -> None:
        """End the server: nothing more is read, and clients have `drain` seconds to take what was queued for them."""
        self.post(self._begin_stop, drain)

    def close(self, drain: float = _DRAIN) -> None:
        """Stop, wait for the end, and give everything up; does nothing the second time."""
        if self._thread is not None and self._ended is not None:
            self.stop(drain)
            wait(self._ended, Deadline(None))  # which Ctrl+C ends, and a join it does not
            self._thread.join()
            self._thread = None
        self._close_handles()

    def __enter__(self) -> Self:
        return self if self._thread is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(_DRAIN if error is None else 0)
        if error is None and self._error is not None:
            raise self._error

    # The loop

    def _run(self) -> None:
        try:
            while not self._is_stopping and self._take_packets(self._stop_after.idle):
                pass
            self._is_stopping = True
            if self._error is None:
                self._drain(Deadline(self._drain_seconds))
            self._abandon()
        except BaseException as error:  # noqa: BLE001
            self.fail(error)
        finally:
            winapi.SetEvent(self._ended)

    def _take_packets(self, seconds: float | None) -> bool:
        """Wait for packets and do what they ask; return False if none came in time."""
        # Wine asks its server once for each packet, and once more when there are fewer than asked for.
        most = min(_BATCH, max(1, self.connected))
        status = self._remove_packets_call(most, self._packet_count_reference, kernel_time(seconds), False)
        if status == WinError.WAIT_TIMEOUT:
            return False
        if status != STATUS_SUCCESS:
            raise winapi.native_error(status, winapi.NtRemoveIoCompletionEx, self._port)
        packets = self._packet_memory[: self._packet_count.value * _PACKET.size]
        for key, operation, status, count in _PACKET.iter_unpack(packets):
            client = self._clients.get(key)
            try:
                if client is None:
                    self._obey()
                    continue
                if operation == client.read_address:
                    self._bytes_in += count
                    message = client.read_ended(status, count)
                    if message is not None:
                        self._received(client, message)
                    elif client.state is _LISTENING:
                        self._came_or_not(client, status)
                else:
                    self._bytes_out += count
                    client.write_ended(status)
                if client.state is not _CONNECTED:
                    self._remove_if_over(client)
            except BaseException as error:  # noqa: BLE001 - the other packets must not go unseen
                self.fail(error)
        return True

    def is_here(self) -> bool:
        """Return whether this is the server's thread."""
        return self._thread is not None and get_ident() == self._thread.ident

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have the server's thread call a function, after what it is doing now; void once the server has ended."""
        self._orders.append((function, arguments))
        with suppress(PipeError):
            winapi.PostQueuedCompletionStatus(self._port, 0, _WAKE, None)

    def _obey(self) -> None:
        while self._orders:
            function, arguments = self._orders.popleft()
            function(*arguments)

    def fail(self, error: BaseException) -> None:
        """End the server because of an error, which `wait` raises in the program's thread."""
        self._error = self._error or error
        self._events = None
        self._is_stopping = True

    # Instances

    def _listen(self) -> None:
        """Have as many instances listen as should."""
        while self._wants_listener():
            try:
                handle = self._create_instance()
            except PipeError:
                if self._clients:
                    return  # another server of the same name has the rest, or the system has no more to give
                raise
            self._last_key += 1
            winapi.CreateIoCompletionPort(handle, self._port, self._last_key, 0)
            self._await_client(self._last_key, handle)

    def _wants_listener(self) -> bool:
        wanted = self._config.spare_instances
        if self._stop_after.clients is not None:
            wanted = min(wanted, self._stop_after.clients - self._came)
        return self._listening < wanted and len(self._clients) < self._most_instances and not self._is_stopping

    def _create_instance(self) -> Handle:
        config = self._config
        open_mode = OpenMode.DUPLEX | OpenMode.OVERLAPPED
        if not self._clients:
            open_mode |= OpenMode.FIRST_PIPE_INSTANCE
        pipe_mode = PipeMode.MESSAGE if config.is_message else PipeMode.TYPE_BYTE
        if not config.allow_remote:
            pipe_mode |= PipeMode.REJECT_REMOTE_CLIENTS
        return calls.create_named_pipe(
            self.pipe,
            open_mode,
            pipe_mode,
            max_instances=UNLIMITED_INSTANCES if config.max_instances is None else config.max_instances,
            out_buffer_size=config.buffer_size,
            in_buffer_size=config.buffer_size,
            security=config.security,
        )

    def _await_client(self, key: int, handle: Handle) -> None:
        client = Client(self, key, handle, is_message=self._config.is_message, max_message=self._config.max_message)
        self._clients[key] = client
        self._listening += 1
        if not client.listen():
            winapi.PostQueuedCompletionStatus(self._port, 0, key, client.read_address)

    def _came_or_not(self, client: Client, status: int) -> None:
        """Greet the client that an instance was waiting for, or give up an instance that is not to wait any more."""
        self._listening -= 1
        if status != STATUS_SUCCESS or self._is_stopping:
            self._forget(client)
            self._give_back(client, is_reusable=True)
            return
        client.state = _CONNECTED
        self._came += 1
        self._listen()
        if self._events is not None:
            self._events.connected(client)
        client.begin_read()

    # Messages

    def _received(self, client: Client, message: bytes) -> None:
        if self._is_stopping:
            client.begin_close()
            return
        self._messages += 1
        if self._events is not None:
            self._events.received(client, message)
        answer = self._answer_to(client, message)
        if isinstance(answer, Later):
            client.is_paused = True
        else:
            self._answered(client, answer)

    def _answered(self, client: Client, answer: bytes | None) -> None:
        """Send an answer, by whichever way it came; every answer passes here."""
        client.is_paused = False
        if answer is not None:
            if self._events is not None:
                self._events.answered(client, answer)
            client.queue(answer)
        self._answers += 1
        if self._answers == self._stop_after.messages:
            self._begin_stop()
        else:
            client.begin_read()

    def answer(self, client: Client, data: bytes | None) -> None:
        """Send an answer that comes later; one to a client that has left is dropped."""
        self._answered(client, data if client.state is _CONNECTED else None)
        if client.state is not _CONNECTED:
            self._remove_if_over(client)

    # Leaving

    def close_client(self, client: Client, error: PipeError | None = None) -> None:
        """Close a client once everything queued for it is written."""
        client.begin_close(error)
        self._remove_if_over(client)

    def _remove_if_over(self, client: Client) -> None:
        """Remove a client that is closing or gone, unless an operation is under way, whose packet comes here again.

        Its key may belong to the next client of the instance by now; then nothing is done.
        """
        if self._clients.get(client.key) is client and client.is_idle:
            has_left_by_itself = client.state is _GONE
            self._forget(client)
            self._say_goodbye(client)
            self._give_back(client, is_reusable=has_left_by_itself)

    def _forget(self, client: Client) -> None:
        """Count a client no more; it is inert from here on."""
        del self._clients[client.key]
        client.leave()

    def _give_back(self, client: Client, *, is_reusable: bool) -> None:
        """Give the instance of a client that was forgotten to the next, or close it."""
        if is_reusable and self._wants_listener():
            winapi.DisconnectNamedPipe(client.handle)
            # An owner of its own: whoever kept the old client must not meet the next one through it.
            self._await_client(client.key, Handle(client.handle.detach(), self.pipe))
        else:
            client.handle.close()
            self._listen()

    def _say_goodbye(self, client: Client) -> None:
        self._left += 1
        if self._left == self._stop_after.clients:
            self._begin_stop()
        if self._events is not None:
            try:
                self._events.left(client, client.error)
            except BaseException as error:  # noqa: BLE001 - the instance must be freed all the same
                self.fail(error)

    # Ending

    def _begin_stop(self, drain: float = _DRAIN) -> None:
        self._is_stopping = True
        self._drain_seconds = drain

    def _drain(self, deadline: Deadline) -> None:
        """Close every client, and wait until all is written or the deadline has passed."""
        for client in list(self._clients.values()):
            if client.state is _LISTENING:
                client.cancel_read()
            else:
                self.close_client(client)
        self._take_last_packets(deadline)

    def _abandon(self) -> None:
        """Cancel what is left, and wait for its packets: until then the memory is the kernel's."""
        self._is_stopping = True
        for client in list(self._clients.values()):
            winapi.CancelIoEx(client.handle, None)
            if client.state is not _LISTENING:
                self.close_client(client)
        self._take_last_packets(Deadline(_DRAIN))

    def _take_last_packets(self, deadline: Deadline) -> None:
        while self._clients and not deadline.passed:
            self._take_packets(deadline.remaining())

    def _close_handles(self) -> None:
        for client in self._clients.values():
            client.handle.close()
        for handle in (self._port, self._ended):
            if handle is not None:
                handle.close()

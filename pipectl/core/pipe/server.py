"""`PipeServer`: many clients of one pipe, served from one thread over an I/O completion port.

Each client is an instance of the pipe with at most one read and one write under way. Every operation that was started
without an error puts exactly one packet into the port when it has ended, also if it ended at once; the loop takes the
packets in batches and does what comes next. So nothing is locked, a silent client costs no processor time, and a client
costs two OVERLAPPED structures and a small buffer, which grows only for one that sends long messages.

What is worth knowing:

* There is always a spare instance that listens, made before the client that took the last one is served: no client
  ever finds the name gone between two others.
* ERROR_PIPE_CONNECTED means that the client was quicker than ConnectNamedPipe; ERROR_NO_DATA that it also left again.
* A client that has closed its end can be told nothing more, but what it sent before is still read.
* A client is let go with CloseHandle, which leaves it what was written, and not with DisconnectNamedPipe, which throws
  that away; except when the client closed first, and the instance can be used again.
* The memory of an operation is freed only after its packet was seen.
* A client that does not read its replies is not read from either, once `_HIGH_WATER` bytes wait for it.
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
    STATUS_BUFFER_OVERFLOW,
    STATUS_PENDING,
    STATUS_SUCCESS,
    UNLIMITED_INSTANCES,
    OpenMode,
    PipeMode,
    WinError,
)
from pipectl.core.deadline import Deadline, kernel_time
from pipectl.core.errors import MessageTooLongError, PipeClosedError, PipeError
from pipectl.core.win32 import calls, queries, winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.waiting import wait

from .connection import MAX_MESSAGE

_BATCH = 64
# A FILE_IO_COMPLETION_INFORMATION: client, operation, status, bytes. Taken apart all at once, because each access to a
# field of ctypes takes as long as a call.
_PACKET = Struct("PPIP")
_SMALL_BUFFER = 512
_LARGE_BUFFER = 65536
_HIGH_WATER = 1 << 20
# How long, in seconds, a server that ends waits for clients to take their last replies.
_DRAIN = 1.0

# What an operation answers with that will have a packet.
_BEGUN = frozenset((STATUS_SUCCESS, STATUS_PENDING, STATUS_BUFFER_OVERFLOW))

_WAKE = 0  # the completion key of a packet that only wakes the loop; clients count from 1


class Later:
    """What a handler returns to answer a message later, with `Client.reply`; until then the client is not read from."""


LATER = Later()

OnMessage = Callable[["Client", bytes], "bytes | Later | None"]
OnConnect = Callable[["Client"], "bytes | None"]
OnDisconnect = Callable[["Client", PipeError | None], None]


class Stats(NamedTuple):
    """What a server has done so far; clients are those that have come, bytes are payload."""

    clients: int
    messages: int
    bytes_in: int
    bytes_out: int


class Client:
    """A client of a PipeServer, from the time that its instance began to listen for it."""

    __slots__ = (
        "_begin_read",
        "_begin_write",
        "_buffer",
        "_closing",
        "_connected",
        "_deaf",
        "_error",
        "_gone",
        "_handle",
        "_key",
        "_output",
        "_output_size",
        "_parts",
        "_paused",
        "_read",
        "_read_address",
        "_reading",
        "_server",
        "_size",
        "_taken",
        "_write",
        "_writing",
        "data",
    )

    def __init__(self, server: "PipeServer", key: int, handle: Handle) -> None:
        # For the handler's own use.
        self.data: Any = None
        self._server = server
        self._key = key
        self._handle = handle
        self._read = winapi.OVERLAPPED()
        self._read_address = ctypes.addressof(self._read)
        self._write = winapi.OVERLAPPED()
        # As far as it is the same always: the handle, no event, no APC, what the packet tells, and the result.
        write = byref(self._write)
        self._begin_write = partial(winapi.NtWriteFile, handle.pointer, None, None, write, write)
        self._keep_buffer(_SMALL_BUFFER)
        # Whether a read, or the wait for the client, is under way; what is being written.
        self._reading = False
        self._writing: bytes | None = None
        # Whether the pipe has taken what is being written, so that the packet is on its way.
        self._taken = False
        self._output: deque[bytes] | None = None
        self._output_size = 0
        # The beginning of a message that is longer than the buffer.
        self._parts: bytearray | None = None
        self._connected = False
        # Let go: nothing more is read, and it is removed when nothing is under way; or gone by itself, and why.
        self._closing = False
        self._gone = False
        # Whether a write has found its end closed.
        self._deaf = False
        self._error: PipeError | None = None
        # Whether an answer comes later.
        self._paused = False

    def _keep_buffer(self, size: int) -> None:
        # Its slices are bytes, though its type hints say that they are lists.
        self._buffer: Any = ctypes.create_string_buffer(size)
        self._size = size
        read = byref(self._read)
        self._begin_read = partial(
            winapi.NtReadFile, self._handle.pointer, None, None, read, read, self._buffer, size, winapi.NO_OFFSET, None
        )

    @property
    def handle(self) -> Handle:
        """The server end of the pipe, for the functions that ask about it; it stays the server's own."""
        return self._handle

    @property
    def pid(self) -> int:
        """The client's process, as the system reports it."""
        return queries.get_named_pipe_client_process_id(self._handle)

    def send(self, data: bytes) -> None:
        """Queue a message; from any thread. One to a client that has left is dropped."""
        if self._server._is_loop():
            self._server._send(self, data)  # before the answer that the handler returns
        else:
            self._server._post(self._server._send, self, data)

    def reply(self, data: bytes | None) -> None:
        """Answer a message for which the handler returned LATER, with nothing if None; from any thread."""
        self._server._post(self._server._answered, self, data)

    def close(self) -> None:
        """Let the client go once everything queued for it is written; from any thread."""
        self._server._post(self._server._let_go, self)

    def fail(self, error: BaseException) -> None:
        """End the server because of an error, which its `wait` raises, as one in a handler does; from any thread."""
        self._server._post(self._server._fail, error)


class PipeServer:
    """Serves a pipe: `on_message` is called with each message, and what it returns is sent back.

    On a byte pipe a message is whatever bytes have come. Handlers run in the server's one thread, so a slow one keeps
    all clients waiting: it returns LATER and lets another thread answer. An exception in a handler ends the server,
    and `wait` raises it.

    The name is taken with FIRST_PIPE_INSTANCE and remote clients are rejected, unless the caller says otherwise. The
    server runs from `start` (or `with`) to `stop`, or until `stop_after_clients` clients have left,
    `stop_after_messages` messages are answered, or nothing has happened for `idle_timeout` seconds.
    """

    def __init__(
        self,
        pipe: str,
        on_message: OnMessage,
        *,
        on_connect: OnConnect | None = None,
        on_disconnect: OnDisconnect | None = None,
        is_message: bool = True,
        max_instances: int = UNLIMITED_INSTANCES,
        spare_instances: int = 4,
        buffer_size: int = calls.BUFFER_SIZE,
        max_message: int = MAX_MESSAGE,
        security: winapi.SECURITY_ATTRIBUTES | None = None,
        allow_remote: bool = False,
        stop_after_clients: int | None = None,
        stop_after_messages: int | None = None,
        idle_timeout: float | None = None,
    ) -> None:
        self.pipe = pipe
        self._on_message = on_message
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._is_message = is_message
        self._max_instances = max_instances
        # 255 is Windows' word for no limit.
        self._most_instances = sys.maxsize if max_instances == UNLIMITED_INSTANCES else max_instances
        self._spare_instances = spare_instances
        self._buffer_size = buffer_size
        self._max_message = max_message
        self._security = security
        self._allow_remote = allow_remote
        self._stop_after_clients = stop_after_clients
        self._stop_after_messages = stop_after_messages
        self._idle_timeout = idle_timeout

        self._clients: dict[int, Client] = {}
        self._listening = 0
        self._last_key = _WAKE
        self._came = self._left = self._messages = self._answers = self._bytes_in = self._bytes_out = 0
        self._packets = ctypes.create_string_buffer(_PACKET.size * _BATCH)
        self._memory = memoryview(self._packets)
        self._taken = ULONG()
        self._taken_reference = byref(self._taken)
        self._orders: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._stopping = False
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
        self._take = partial(winapi.NtRemoveIoCompletionEx, self._port.pointer, self._packets)
        try:
            self._listen()
            self._ended = calls.create_event()
        except BaseException:
            self._close_handles()
            raise
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
        self._post(self._begin_stop, drain)

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
            while not self._stopping and self._take_packets(self._idle_timeout):
                pass
            self._stopping = True
            if self._error is None:
                self._drain(Deadline(self._drain_seconds))
            self._abandon()
        except BaseException as error:  # noqa: BLE001
            self._fail(error)
        finally:
            winapi.SetEvent(self._ended)

    def _fail(self, error: BaseException) -> None:
        """End the server because of an error, which `wait` raises in the program's thread."""
        self._error = self._error or error
        self._on_disconnect = None
        self._stopping = True

    def _take_packets(self, seconds: float | None) -> bool:
        """Wait for packets and do what they ask; return False if none came in time."""
        # Wine asks its server once for each packet, and once more when there are fewer than asked for.
        most = min(_BATCH, max(1, self.connected))
        status = self._take(most, self._taken_reference, kernel_time(seconds), False)
        if status == WinError.WAIT_TIMEOUT:
            return False
        if status != STATUS_SUCCESS:
            raise winapi.native_error(status, winapi.NtRemoveIoCompletionEx, self._port)
        for key, operation, status, count in _PACKET.iter_unpack(self._memory[: self._taken.value * _PACKET.size]):
            client = self._clients.get(key)
            try:
                if client is None:
                    self._obey()
                elif operation == client._read_address:
                    self._read_ended(client, status, count)
                else:
                    self._write_ended(client, status, count)
            except BaseException as error:  # noqa: BLE001 - the other packets must not go unseen
                self._fail(error)
        return True

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have the loop call a function, after what it is doing now."""
        self._orders.append((function, arguments))
        with suppress(PipeError):  # the server has ended, and the order is void
            winapi.PostQueuedCompletionStatus(self._port, 0, _WAKE, None)

    def _is_loop(self) -> bool:
        return self._thread is not None and get_ident() == self._thread.ident

    def _obey(self) -> None:
        while self._orders:
            function, arguments = self._orders.popleft()
            function(*arguments)

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
            self._await_client(Client(self, self._last_key, handle))

    def _wants_listener(self) -> bool:
        wanted = self._spare_instances
        if self._stop_after_clients is not None:
            wanted = min(wanted, self._stop_after_clients - self._came)
        return self._listening < wanted and len(self._clients) < self._most_instances and not self._stopping

    def _create_instance(self) -> Handle:
        open_mode = OpenMode.DUPLEX | OpenMode.OVERLAPPED
        if not self._clients:
            open_mode |= OpenMode.FIRST_PIPE_INSTANCE
        pipe_mode = PipeMode.MESSAGE if self._is_message else PipeMode.TYPE_BYTE
        if not self._allow_remote:
            pipe_mode |= PipeMode.REJECT_REMOTE_CLIENTS
        return calls.create_named_pipe(
            self.pipe,
            open_mode,
            pipe_mode,
            max_instances=self._max_instances,
            out_buffer_size=self._buffer_size,
            in_buffer_size=self._buffer_size,
            security=self._security,
        )

    def _await_client(self, client: Client) -> None:
        self._clients[client._key] = client
        self._listening += 1
        client._reading = True
        try:
            code = winapi.ConnectNamedPipe(client._handle, byref(client._read))
        except PipeClosedError:  # a client came, and has left, perhaps with a message
            code = WinError.PIPE_CONNECTED
        if code == WinError.PIPE_CONNECTED:  # which puts no packet into the port
            winapi.PostQueuedCompletionStatus(self._port, 0, client._key, byref(client._read))

    def _greet(self, client: Client) -> None:
        client._connected = True
        self._came += 1
        self._listen()
        greeting = self._on_connect(client) if self._on_connect else None
        if greeting is not None:
            self._send(client, greeting)
        self._read(client)

    # Reading

    def _read(self, client: Client) -> None:
        """Begin to read, unless that is under way, or an answer is still to come, or too much waits to be written.

        Nor while the packet of a write is on its way, which is the next chance: by then there is often something to
        read, and a read that has not to wait costs the system less.
        """
        if client._reading or client._closing or client._paused or client._taken or client._output_size >= _HIGH_WATER:
            return
        status = client._begin_read()
        if status in _BEGUN:
            client._reading = True
        else:
            self._check_closed(status, winapi.NtReadFile, client)
            self._lost(client)

    def _read_ended(self, client: Client, status: int, count: int) -> None:
        client._reading = False
        if not client._connected:
            self._listening -= 1
            if status == STATUS_SUCCESS and not client._closing and not self._stopping:
                self._greet(client)
            else:
                self._remove(client, reuse=True)
        elif client._closing or self._stopping:
            self._remove_when_idle(client)
        elif status == STATUS_SUCCESS:
            self._received(client, count)
        elif status == STATUS_BUFFER_OVERFLOW:
            self._received_part(client, count)
        else:
            self._lost(client)

    def _received(self, client: Client, count: int) -> None:
        data = client._buffer[:count]
        if client._parts is not None:
            client._parts += data
            data = bytes(client._parts)
            client._parts = None
            client._keep_buffer(min(len(data), _LARGE_BUFFER))
        elif count == client._size < _LARGE_BUFFER:
            client._keep_buffer(min(count * 4, _LARGE_BUFFER))
        self._bytes_in += count
        self._messages += 1
        answer = self._on_message(client, data)
        if isinstance(answer, Later):
            client._paused = True
        else:
            self._answered(client, answer)

    def _received_part(self, client: Client, count: int) -> None:
        self._bytes_in += count
        if client._parts is None:
            client._parts = bytearray()
        client._parts += memoryview(client._buffer)[:count]
        try:
            left = calls.peek_named_pipe(client._handle).left_in_message
        except PipeClosedError:  # a writer that was killed takes the rest of its message with it
            self._lost(client)
            return
        if len(client._parts) + left > self._max_message:
            self._let_go(client, MessageTooLongError(f"a message is longer than {self._max_message} bytes"))
            return
        client._keep_buffer(max(left, 1))
        self._read(client)

    def _answered(self, client: Client, answer: bytes | None) -> None:
        client._paused = False
        if answer is not None:
            self._send(client, answer)
        self._answers += 1
        if self._answers == self._stop_after_messages:
            self._begin_stop()
        else:
            self._read(client)

    # Writing

    def _send(self, client: Client, data: bytes) -> None:
        if client._closing or client._deaf or not client._connected or not (data or self._is_message):
            return
        if client._writing is None:
            self._write(client, data)
            return
        if client._output is None:
            client._output = deque()
        client._output.append(data)
        client._output_size += len(data)

    def _write(self, client: Client, data: bytes) -> None:
        status = client._begin_write(data, len(data), winapi.NO_OFFSET, None)
        if status in _BEGUN:
            client._writing = data
            client._taken = status == STATUS_SUCCESS
        else:
            self._check_closed(status, winapi.NtWriteFile, client)
            self._deafen(client)

    def _write_ended(self, client: Client, status: int, count: int) -> None:
        self._bytes_out += count
        client._writing = None
        client._taken = False
        if status != STATUS_SUCCESS:
            self._deafen(client)
        elif client._output:
            data = client._output.popleft()
            client._output_size -= len(data)
            self._write(client, data)
        if client._closing and client._writing is None:
            self._let_go(client)
        else:
            self._read(client)

    def _check_closed(self, status: int, function: Callable[..., int], client: Client) -> None:
        """Raise the error of an operation that failed at once, unless it is that the client has closed its end."""
        error = winapi.native_error(status, function, client._handle)
        if not isinstance(error, PipeClosedError):
            raise error

    def _deafen(self, client: Client) -> None:
        """Write no more to a client that closed its end; what it sent before is still read."""
        client._deaf = True
        client._output = None
        client._output_size = 0

    # Leaving

    def _let_go(self, client: Client, error: PipeError | None = None) -> None:
        """Close a client once everything queued for it is written."""
        client._closing = True
        client._error = client._error or error
        if client._writing is None:
            if client._reading:
                winapi.CancelIoEx(client._handle, byref(client._read))
            self._remove_when_idle(client)

    def _lost(self, client: Client) -> None:
        """Give up a client that closed its end, and of which everything is read."""
        client._closing = client._gone = True
        self._deafen(client)
        self._remove_when_idle(client)

    def _remove_when_idle(self, client: Client) -> None:
        if not client._reading and client._writing is None and client._key in self._clients:
            self._remove(client, reuse=client._gone)

    def _remove(self, client: Client, *, reuse: bool) -> None:
        del self._clients[client._key]
        if client._connected:
            self._say_goodbye(client)
        if reuse and self._wants_listener():
            winapi.DisconnectNamedPipe(client._handle)
            # An owner of its own: whoever kept the old client must not meet the next one through it.
            self._await_client(Client(self, client._key, Handle(client._handle.detach(), self.pipe)))
        else:
            client._handle.close()
            self._listen()

    def _say_goodbye(self, client: Client) -> None:
        client._connected = False
        self._left += 1
        if self._left == self._stop_after_clients:
            self._begin_stop()
        if self._on_disconnect:
            try:
                self._on_disconnect(client, client._error)
            except BaseException as error:  # noqa: BLE001 - the instance must be freed all the same
                self._fail(error)

    # Ending

    def _begin_stop(self, drain: float = _DRAIN) -> None:
        self._stopping = True
        self._drain_seconds = drain

    def _drain(self, deadline: Deadline) -> None:
        """Let every client go, and wait until all is written or the deadline has passed."""
        for client in list(self._clients.values()):
            self._let_go(client)
        while self._clients and not deadline.passed:
            self._take_packets(deadline.remaining())

    def _abandon(self) -> None:
        """Cancel what is left, and wait for its packets: until then the memory is the kernel's."""
        self._stopping = True
        for client in list(self._clients.values()):
            client._closing = True
            winapi.CancelIoEx(client._handle, None)
            self._remove_when_idle(client)
        deadline = Deadline(_DRAIN)
        while self._clients and not deadline.passed:
            self._take_packets(deadline.remaining())

    def _close_handles(self) -> None:
        for client in self._clients.values():
            client._handle.close()
        for handle in (self._port, self._ended):
            if handle is not None:
                handle.close()

"""`PipeServer`: many clients of one pipe, served from one thread over an I/O completion port.

Every operation that starts without an error queues exactly one completion packet, even if it completes at once. The
loop takes the packets in batches, passes each to its `Client`, and acts on the state that the client is in then. So
there are no locks, and a silent client costs no processor time.

* Unless the limit of instances is reached, a spare instance always listens; it is created before the client that took
  the last one is served. One instance exists as long as the server, so no client finds the name missing, and no other
  program can claim it.
* ERROR_PIPE_CONNECTED means that the client was faster than ConnectNamedPipe; ERROR_NO_DATA, that it also left again.
* An instance exists until both its ends are closed, so CloseHandle does not free it while the client stays. Only
  DisconnectNamedPipe does, and it discards unread data. So in a server with a limit, which needs the instance, a closed
  client lingers until it has read everything, has left, or its time is up.
* An error of one client, or of a query about it, ends only that client.
"""

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread, get_ident
from typing import Any, Self

from pipectl.core.constants import STATUS_SUCCESS
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeAccessError, PipeError, PipeStateError
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.handle import Handle, wait
from pipectl.core.win32.port import CompletionPort

from .client import Client, State
from .config import PipeConfig, StopAfter
from .contract import Answer, Later, ServerEvents, Stats
from .flusher import Flusher
from .memory import Memory

# Seconds that a server that stops waits for clients to read their last replies.
_DRAIN = 1.0
# Seconds until an instance that the system refused is retried.
_RETRY = 1.0

_WAKE = 0  # the completion key of a packet that only wakes the loop; clients count from 1

_LISTENING, _CONNECTED, _CLOSING, _LINGERING, _GONE = State


class PipeServer:
    """Serves a pipe: calls `answer` with each message, and sends back what it returns.

    On a byte pipe, a message is the bytes that have arrived. `answer` and `events` run in the server's single thread,
    so a slow one blocks all clients: it should return LATER and let another thread reply. A PipeError there closes the
    client; any other exception stops the server, and `wait` raises it.

    The name is claimed with FIRST_PIPE_INSTANCE, and remote clients are rejected unless `config` allows them. The
    server runs from `start` (or `with`) to `stop`, or to a limit in `stop_after`.
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
        self._last_key = _WAKE
        self._listening = self._arrived = self._left = self._visits = 0
        self._messages = self._answers = self._bytes_in = self._bytes_out = 0
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_stopping = False
        self._drain_seconds = _DRAIN
        self._error: BaseException | None = None
        # Clients that are closing or lingering, in the order of their deadlines.
        self._lingering: deque[tuple[Deadline, Client]] = deque()
        self._flusher = Flusher()
        self._memory = Memory(config.max_memory)
        # When to retry an instance that was refused.
        self._retry: Deadline | None = None
        self._thread: Thread | None = None
        self._port: CompletionPort | None = None
        self._ended: Handle | None = None

    # For the program's thread

    @property
    def stats(self) -> Stats:
        """The totals of the server so far; can be read from any thread."""
        return Stats(self._arrived, self._messages, self._bytes_in, self._bytes_out)

    @property
    def connected(self) -> int:
        """The number of clients connected now."""
        return len(self._clients) - self._listening

    def start(self) -> Self:
        """Claim the name and start serving.

        Raises PipeAccessError or PipeBusyError if the name is in use, and PipeAccessError if the ACL does not allow
        this user to create more instances: such a server could serve only one client at a time.
        """
        self._port = CompletionPort(self.pipe)
        try:
            self._add_instance(is_first=True)
            self._listen(is_starting=True)
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
        """Wait until the server has stopped by itself; return whether it has. Raises the exception of a handler."""
        if self._ended is None or self._thread is None:
            raise RuntimeError("the server was not started")
        if not wait(self._ended, Deadline(timeout)):
            return False
        self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return True

    def abort(self, error: BaseException) -> None:
        """Stop the server because of an error, which `wait` raises; can be called from any thread."""
        self.post(self.fail, error)

    def stop(self, drain: float = _DRAIN) -> None:
        """Stop the server: it reads nothing more, and clients have `drain` seconds to read what was queued for them."""
        self.post(self._begin_stop, drain)

    def close(self, drain: float = _DRAIN) -> None:
        """Stop, wait for the end, and close all handles; does nothing the second time.

        Called in a handler, which cannot wait for its own end, it only stops.
        """
        if self.is_here():
            self._begin_stop(drain)
            return
        if self._thread is not None and self._ended is not None:
            self.stop(drain)
            wait(self._ended, Deadline(None))  # unlike a join, Ctrl+C interrupts it
            self._thread.join()
            self._thread = None
            self._flusher.join()
        self._close_handles()

    def __enter__(self) -> Self:
        return self if self._thread is not None else self.start()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.close(_DRAIN if error is None else 0)
        if error is None and self._error is not None:
            raise self._error

    # The loop

    def _run(self) -> None:
        try:
            self._serve()
            self._is_stopping = True
            if self._error is None:
                self._drain(Deadline(self._drain_seconds))
            self._abandon()
        except BaseException as error:  # noqa: BLE001
            self.fail(error)
        finally:
            winapi.SetEvent(self._ended)

    def _serve(self) -> None:
        """Take packets until the server is stopped, or nothing has happened for long enough."""
        idle = Deadline(self._stop_after.idle)
        while not self._is_stopping:
            if self._take_packets(self._until_due(idle)):
                idle = idle if idle.at is None else Deadline(self._stop_after.idle)
            elif idle.passed:
                return
            self._look_at_the_clock()

    def _until_due(self, deadline: Deadline) -> float | None:
        """Return the seconds until the deadline, or until something else is due before it."""
        if not self._lingering and self._retry is None:
            return deadline.remaining()
        dues = [deadline, *([self._lingering[0][0]] if self._lingering else []), *filter(None, [self._retry])]
        return min(seconds for due in dues if (seconds := due.remaining()) is not None)

    def _look_at_the_clock(self) -> None:
        """Close clients whose time is up, and retry an instance that was refused."""
        while self._lingering and self._lingering[0][0].passed:
            client = self._lingering.popleft()[1]
            if client.state is not _GONE:
                client.end()
                self._settle(client)
        if self._retry is not None and self._retry.passed:
            self._listen()

    def _take_packets(self, seconds: float | None) -> bool:
        """Wait for packets and handle them; return False if none arrived in time."""
        # Wine calls its server once for each packet, and once more if there are fewer than requested.
        assert self._port is not None
        packets = self._port.take(seconds, max(1, self.connected))
        if packets is None:
            return False
        for key, operation, status, count in packets:
            client = self._clients.get(key)
            try:
                if client is None:
                    self._call_posted()
                    continue
                if operation == client.read_address:
                    self._bytes_in += count
                    message = client.read_ended(status, count)
                    if message is not None:
                        self._received(client, message)
                    elif client.state is _LISTENING:
                        self._connect_ended(client, status)
                else:
                    self._bytes_out += count
                    client.write_ended(status)
                if client.state is not _CONNECTED:
                    self._settle(client)
            except PipeError as error:
                self._give_up(client, error)
            except BaseException as error:  # noqa: BLE001 - the other packets must be handled
                self.fail(error)
        return True

    def is_here(self) -> bool:
        """Return whether this is the server's thread."""
        return self._thread is not None and get_ident() == self._thread.ident

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the server's thread, after its current work; does nothing once the server has ended."""
        self._posted.append((function, arguments))
        if self._port is not None:
            with suppress(PipeError):
                self._port.post(_WAKE)

    def _call_posted(self) -> None:
        while self._posted:
            function, arguments = self._posted.popleft()
            client = arguments[0] if arguments and isinstance(arguments[0], Client) else None
            try:
                function(*arguments)
            except PipeError as error:
                self._give_up(client, error)
            except BaseException as error:  # noqa: BLE001 - the other calls must be made
                self.fail(error)

    def _give_up(self, client: Client | None, error: PipeError) -> None:
        """Close a client because of its own error; without a client, stop the server."""
        if client is None:
            self.fail(error)
            return
        client.begin_close(error)
        self._settle(client)

    def fail(self, error: BaseException) -> None:
        """Stop the server because of an error, which `wait` raises in the program's thread."""
        self._error = self._error or error
        self._events = None
        self._is_stopping = True

    # Instances

    def _listen(self, *, is_starting: bool = False) -> None:
        """Create the missing listening instances; those that the system refuses are retried later."""
        if self._retry is not None and not self._retry.passed:
            return
        try:
            while self._wants_listener():
                self._add_instance()
        except PipeError as error:
            if is_starting and isinstance(error, PipeAccessError):
                reason = "the ACL does not allow this user to create more instances of the pipe"
                raise PipeAccessError(
                    reason, code=error.code, function=error.function, pipe=self.pipe, topic="own instances"
                ) from None
            if self._retry is None and self._events is not None:
                self._events.refused(error)
            self._retry = Deadline(_RETRY)
        else:
            self._retry = None

    def _add_instance(self, *, is_first: bool = False) -> None:
        handle = self._config.create(self.pipe, is_first=is_first)
        self._last_key += 1
        assert self._port is not None
        self._port.add(handle, self._last_key)
        self._await_client(self._last_key, handle)

    def _wants_listener(self) -> bool:
        wanted = self._config.spare_instances
        if self._stop_after.clients is not None:
            wanted = min(wanted, self._stop_after.clients - self._arrived + self._visits)
        return self._listening < wanted and len(self._clients) < self._most_instances and not self._is_stopping

    def _await_client(self, key: int, handle: Handle) -> None:
        client = self._clients[key] = Client(self, key, handle, self._memory, self._config)
        self._listening += 1
        if not client.listen() and self._port is not None:
            self._port.post(key, client.read_address)

    def _connect_ended(self, client: Client, status: int) -> None:
        """Greet the client that an instance was waiting for, or close an instance whose wait was canceled."""
        self._listening -= 1
        if status != STATUS_SUCCESS or self._is_stopping:
            client.has_left = True
            self._forget(client)
            self._give_back(client)
            return
        client.state = _CONNECTED
        self._arrived += 1
        self._listen()
        self._greet(client)

    def _greet(self, client: Client) -> None:
        if self._events is not None:
            self._events.connected(client)
        client.begin_read()

    # Messages

    def _received(self, client: Client, message: bytes) -> None:
        if self._is_stopping:
            client.begin_close()
            return
        if client.is_paused:
            client.next_message = message
            return
        self._messages += 1
        if self._events is not None:
            self._events.received(client, message)
        answer = self._answer_to(client, message)
        if isinstance(answer, Later):
            client.is_paused = True
            client.begin_read()
        else:
            self._answered(client, answer)

    def _answered(self, client: Client, answer: bytes | None) -> None:
        """Send an answer; every answer passes here, whether it was deferred or not."""
        if self._memory.held:
            self._memory.give_back(client)
        if answer is not None:
            is_sent = self._queue(client, answer)
            if self._events is not None:
                report = self._events.answered if is_sent else self._events.unanswered
                report(client, answer)
        self._answers += 1
        if self._answers == self._stop_after.messages:
            self._begin_stop()
        else:
            client.begin_read()

    def answer(self, client: Client, data: bytes | None) -> None:
        """Send a reply that was deferred; it is dropped if the client has left."""
        client.is_paused = False
        message, client.next_message = client.next_message, None
        self._answered(client, data)
        if self._is_stopping:
            client.begin_close()
        elif message is not None and client.state is _CONNECTED:
            self._received(client, message)
        self._settle(client)

    def send(self, client: Client, data: bytes) -> None:
        """Send a message that is not a reply; closes a client that reads too slowly."""
        self._queue(client, data)
        if client.is_overfull:
            client.begin_close(
                PipeStateError(f"more than {self._config.max_queue} bytes are queued for a client that does not read")
            )
        self._settle(client)

    def _queue(self, client: Client, data: bytes) -> bool:
        return client.queue(data)

    # Leaving

    def close_client(self, client: Client) -> None:
        """Close a client after everything queued for it is written."""
        client.begin_close()
        self._settle(client)

    def _settle(self, client: Client) -> None:
        """Act on the state of a client that is no longer connected.

        Does nothing if its key already belongs to the next client of the instance.
        """
        if client.state in (_LISTENING, _CONNECTED) or self._clients.get(client.key) is not client:
            return
        if client.state is not _GONE and client.time is None:
            client.time = Deadline(self._config.linger)
            self._lingering.append((client.time, client))
        if client.state is _LINGERING and not self._needs_back(client):
            client.end()
        elif client.state is _LINGERING and client.time is not None and not client.is_flushing:
            client.is_flushing = True
            self._flusher.flush(client.handle, client.time, partial(self.post, self._flushed, client))
        if client.state is _GONE and client.is_idle:
            self._forget(client)
            self._report_left(client)
            self._give_back(client)

    def _flushed(self, client: Client, is_taken: bool) -> None:
        client.is_flushing = False
        if client.state is _LINGERING and is_taken:
            client.end()
        self._settle(client)

    def _needs_back(self, client: Client) -> bool:
        """Return whether to disconnect a client, instead of only closing the handle.

        A client that is still connected then gets an error (233) instead of the end of the stream (109).
        """
        return not self._is_stopping and (client.has_left or self._config.max_instances is not None)

    def _forget(self, client: Client) -> None:
        """Remove a client; its methods do nothing from here on."""
        del self._clients[client.key]
        client.end()
        if client.when_gone is not None:
            client.when_gone()

    def _give_back(self, client: Client) -> None:
        """Reuse the instance of a client that has left for the next one, or close it."""
        is_back = False
        if self._needs_back(client):
            with suppress(PipeError):  # a handler has closed the handle
                winapi.DisconnectNamedPipe(client.handle)
                is_back = self._wants_listener()
        if is_back:
            # A new owner of the handle, so that a reference to the old client cannot affect the next one.
            self._await_client(client.key, Handle(client.handle.detach(), self.pipe))
        else:
            client.handle.close()
            self._listen()

    def _report_left(self, client: Client) -> None:
        self._visits += client.was_visit
        self._left += not client.was_visit
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
            elif not client.is_paused:  # a paused one still gets its answer
                self.close_client(client)
        self._take_last_packets(deadline)

    def _abandon(self) -> None:
        """Cancel the remaining operations, and wait for their packets: until then, the kernel uses their memory."""
        self._is_stopping = True
        self._flusher.close()
        for client in list(self._clients.values()):
            client.is_flushing = False
            if client.state is _LISTENING:
                client.cancel_read()
            else:
                client.end()
                self._settle(client)
        self._take_last_packets(Deadline(_DRAIN))

    def _take_last_packets(self, deadline: Deadline) -> None:
        while self._clients and not deadline.passed:
            self._take_packets(self._until_due(deadline))
            self._look_at_the_clock()

    def _close_handles(self) -> None:
        for owner in (*(client.handle for client in self._clients.values()), self._port, self._ended):
            if owner is not None:
                owner.close()

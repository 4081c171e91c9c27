"""`PlanServer`: a PipeServer whose answers have faults: they are sent changed, in pieces, late, or not at all.

Delays are timers in the server's one thread. Each client has one queue, so that nothing overtakes a delayed answer;
until that is sent, the client's next message waits, as with LATER.

`close` is CloseHandle, so the client can read what was written and then gets ERROR_BROKEN_PIPE (109); a server with a
limit of instances disconnects it instead, once it has read everything. `close=reset` is DisconnectNamedPipe: unread
data is lost, and the client gets ERROR_PIPE_NOT_CONNECTED (233).
"""

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError
from pipectl.core.pipe.client import Client, State
from pipectl.core.pipe.framed import FramedServer
from pipectl.core.pipe.frames import Framing
from pipectl.core.pipe.server import PipeServer
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.queries import get_local_info

from .faults import Arrival, Ending, Fault, Faults, FaultStream, Outgoing

# Seconds between two checks whether a client that is no longer read from has left.
_GLANCE = 0.5

_Step = tuple[float, Callable[[], None]]


class _Peer(NamedTuple):
    """The server's data for each client: its faults, and the steps that are queued for it."""

    arrival: Arrival
    stream: FaultStream
    line: "deque[_Step]"


class PlanServer(FramedServer):
    """Serves a pipe like PipeServer, with faults; with `framing`, like FramedServer.

    The handler may also return a sequence of `Outgoing`, whose data is sent without a frame around it. `on_fault` is
    called in the server's thread with each fault that occurs.
    """

    def __init__(
        self,
        pipe: str,
        answer: Callable[..., Any],
        framing: Framing | None = None,
        *,
        faults: Faults | None = None,
        on_fault: Callable[[Client, Fault], object] = lambda _client, _fault: None,
        **options: Any,
    ) -> None:
        super().__init__(pipe, answer, framing or Framing(), **options)
        self._is_framed = framing is not None
        self._faults = faults or Faults((), 0)
        self._on_fault = on_fault
        self._peers: WeakKeyDictionary[Client, _Peer] = WeakKeyDictionary()
        self._stalled: set[Client] = set()
        self._resets: WeakSet[Client] = WeakSet()
        self._timers: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._turn = itertools.count()
        # Until when no instance listens, and the one that keeps the name meanwhile, if it is kept.
        self._shut = Deadline(0)
        self._keeps_name = True
        self._kept: tuple[int, Handle] | None = None

    # What is received

    def _received(self, client: Client, message: bytes) -> None:
        if self._is_framed:
            super()._received(client, message)
        else:
            PipeServer._received(self, client, message)

    def _greet(self, client: Client) -> None:
        stream = self._faults.stream(self._arrived, is_message=self._config.is_message)
        arrival = self._faults.arrival(self._arrived)
        self._peers[client] = _Peer(arrival, stream, deque())
        super()._greet(client)
        self._report_faults(client, [fault for fault in arrival.struck if fault.name != "absent"])
        if arrival.busy:
            self._stop_listening(arrival.busy, keeps_name=True)
        if arrival.is_refused:
            self.reset(client)

    # What is sent

    def _answered(self, client: Client, answer: Any) -> None:
        """Send an answer by its plan; the client's next message is answered after that."""
        outgoing = () if answer is None else self._outgoing(answer)
        if not outgoing:
            super()._answered(client, None)
            return
        steps, ending = self._steps(client, outgoing, is_reply=True)
        client.is_paused = True
        self._play(client, [*steps, (0, partial(self._finish, client, ending))])
        if client.is_paused:
            client.begin_read()

    def send(self, client: Client, data: Any) -> None:
        """Send data that is not a reply, by its plan."""
        if client.state is State.CONNECTED:
            steps, ending = self._steps(client, self._outgoing(data), is_reply=False)
            self._play(client, [*steps, *([] if ending is None else [(0.0, partial(self._end, client, ending))])])

    def _outgoing(self, answer: Any) -> Sequence[Outgoing]:
        if isinstance(answer, bytes):
            return (Outgoing(self._wire(answer) if self._is_framed else answer, answer),)
        parts: Sequence[Outgoing] = answer
        return parts

    def _steps(
        self, client: Client, outgoing: Sequence[Outgoing], *, is_reply: bool
    ) -> tuple[list[_Step], Ending | None]:
        """Return the steps to send some data, and how the connection ends after them, if it does."""
        steps: list[_Step] = []
        for one in outgoing:
            plan = self._peers[client].stream.plan(one.data, one.faults)
            self._report_faults(client, plan.struck)
            write = self._wait if one.data is None else self._write
            steps += [(piece.delay, partial(write, client, piece.data)) for piece in plan.pieces]
            if is_reply and plan.pieces and one.data is not None:
                whole = b"".join(piece.data for piece in plan.pieces)
                steps.append((0, partial(self._report, client, one.shown if whole == one.data else whole)))
            if plan.ending is not None:
                return steps, plan.ending
        return steps, None

    def _report_faults(self, client: Client, struck: Sequence[Fault]) -> None:
        for fault in struck:
            self._on_fault(client, fault)

    def _write(self, client: Client, data: bytes) -> None:
        super().send(client, data)

    def _wait(self, client: Client, data: bytes) -> None:
        """Send nothing: this step is only a delay."""

    def _queue(self, client: Client, data: bytes) -> bool:
        return client.queue(data)

    def _report(self, client: Client, data: bytes) -> None:
        if self._events is not None:
            report = self._events.answered if client.state is State.CONNECTED else self._events.unanswered
            report(client, data)

    def _finish(self, client: Client, ending: Ending | None) -> None:
        """Continue with a client whose answer was sent, or end the connection as the answer's plan says."""
        if ending is not None:
            self._end(client, ending)
        if ending is Ending.STALL:
            super()._answered(client, None)
        else:
            self.answer(client, None)

    def _end(self, client: Client, ending: Ending) -> None:
        if ending is Ending.CLOSE:
            self.close_client(client)
        elif ending is Ending.RESET:
            self.reset(client)
        elif client.state is State.CONNECTED:
            client.is_paused = True
            self._stalled.add(client)
            self._watch(client)

    def reset(self, client: Client) -> None:
        """Disconnect a client as soon as none of its operations is pending; unread data is lost."""
        if client.state is State.CONNECTED:
            self._resets.add(client)
            client.leave()
            self._settle(client)

    def _may_take(self, client: Client) -> bool:
        return client not in self._resets and super()._may_take(client)

    def _needs_back(self, client: Client) -> bool:
        return client in self._resets or super()._needs_back(client)

    def _watch(self, client: Client) -> None:
        """Check whether a client that is not read from has left; its unread data would hide that from a read."""
        if client.state is not State.CONNECTED:
            self._stalled.discard(client)
            return
        try:
            has_left = get_local_info(client.handle).state != "connected"
        except PipeError:
            has_left = True
        if has_left:
            self._stalled.discard(client)
            client.leave()
            self._settle(client)
        else:
            self._after(_GLANCE, self._watch, client)

    # What is due

    def _play(self, client: Client, steps: Sequence[_Step]) -> None:
        """Do some steps after those that are already queued for the client."""
        line = self._peers[client].line
        is_idle = not line
        line.extend(steps)
        if is_idle:
            self._go_on(client, line)

    def _go_on(self, client: Client, line: "deque[_Step]") -> None:
        # The current step stays in the queue, so that steps that it adds are done after it.
        while line:
            delay, do = line[0]
            if client.state is State.GONE:
                delay = 0  # nothing is written; what was not sent is reported
            if delay:
                line[0] = (0, do)
                self._after(delay, self._go_on, client, line)
                return
            do()
            line.popleft()

    def _after(self, seconds: float, function: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._timers, (time.perf_counter() + seconds, next(self._turn), function, arguments))

    def _until_due(self, deadline: Deadline) -> float | None:
        seconds = super()._until_due(deadline)
        if not self._timers:
            return seconds
        due = max(0.0, self._timers[0][0] - time.perf_counter())
        return due if seconds is None else min(due, seconds)

    def _look_at_the_clock(self) -> None:
        super()._look_at_the_clock()
        while self._timers and self._timers[0][0] <= time.perf_counter():
            _, _, function, arguments = heapq.heappop(self._timers)
            self._posted.append((function, arguments))
        self._call_posted()  # which blames an error on its client; unlike a packet, a timer is no activity

    # Instances

    def _stop_listening(self, seconds: float, *, keeps_name: bool) -> None:
        """Prevent connections for some seconds: no instance is free, or without `keeps_name` none exists."""
        self._shut = self._shut if self._shut.at_most(seconds) == seconds else Deadline(seconds)
        self._keeps_name = keeps_name
        for client in list(self._clients.values()):
            if client.state is State.LISTENING:
                client.cancel_read()
        self._after(seconds, self._listen_again)

    def _listen_again(self) -> None:
        if self._shut.passed and not self._is_stopping:
            if self._kept is not None:
                (key, handle), self._kept = self._kept, None
                self._await_client(key, handle)
            self._listen()

    def _wants_listener(self) -> bool:
        return self._shut.passed and super()._wants_listener()

    def _add_instance(self, *, is_first: bool = False) -> None:
        super()._add_instance(is_first=is_first or not self._clients)

    def _give_back(self, client: Client) -> None:
        peer = self._peers.get(client)  # None if no client has connected
        if peer is not None and peer.arrival.absent and not self._is_stopping:
            self._report_faults(client, [fault for fault in peer.arrival.struck if fault.name == "absent"])
            self._stop_listening(peer.arrival.absent, keeps_name=False)
        if self._shut.passed or self._clients or self._is_stopping or not self._keeps_name:
            super()._give_back(client)
            return
        # The last instance: while it exists but does not listen, an attempt to connect finds the pipe busy.
        with suppress(PipeError):
            winapi.DisconnectNamedPipe(client.handle)
        self._kept = client.key, Handle(client.handle.detach(), self.pipe)

    # Ending

    def _drain(self, deadline: Deadline) -> None:
        for client in self._stalled:
            client.is_paused = False  # no answer is pending
        super()._drain(deadline)

    def _close_handles(self) -> None:
        if self._kept is not None:
            self._kept[1].close()
        super()._close_handles()

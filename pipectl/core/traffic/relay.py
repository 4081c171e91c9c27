"""`Relay`: connects each client of one endpoint to another endpoint, in one thread with one completion port.

* The target is opened when a client's first data arrives, or after 50 ms, so that a program that only checks whether
  the pipe exists does not reach the target. An eager relay keeps one connection to the target open in advance, and
  accepts clients only while it has one.
* An error of one client, or of its connection to the target, ends only that client's session.
* `RelayConfig.admit` decides which TCP clients are accepted, because an address has no ACL.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pipectl.core.errors import PipeError, PipeStateError
from pipectl.core.pipe.config import PipeConfig, StopAfter
from pipectl.core.pipe.contract import Stats
from pipectl.core.pipe.flusher import Flusher
from pipectl.core.pipe.memory import Memory

from .ends import End, Ending, Limits, Shared, User
from .listeners import Listener, PipeListener, StdioListener
from .loop import Loop
from .places import Kind, Place
from .session import Connected, Session
from .targets import Opening, PipeTarget, ProgramTarget, StdioTarget, Target

if TYPE_CHECKING:
    from pipectl.core.codecs.base import Side

    from .filters import Filter

# Seconds until an eager relay retries a target that is not available.
_RETRY = 0.25


class RelayConfig(NamedTuple):
    """How a relay listens, how it connects, and when it exits by itself."""

    # How the pipe that it listens on is created.
    pipe: PipeConfig = PipeConfig()
    opening: Opening = Opening()
    stop_after: StopAfter = StopAfter()
    is_eager: bool = False
    # Whether the end of one direction is passed on to the other side.
    half_closes: bool = True
    # Seconds that a side has to send its last data if it cannot receive the end of the other direction; and seconds
    # without data after which a client is disconnected.
    linger: float = 1.0
    client_idle: float | None = None
    # Checks a TCP client by its socket, in another thread: returns who it is, or raises PipeAccessError. Without it,
    # everyone who can reach the address is accepted.
    admit: "Callable[[Any], object] | None" = None
    # Returns the filter for the data that one side of a session sends, or None to pass it on unchanged. It is called
    # for both sides, in the relay's thread, when the client is connected to the target; see `filters`.
    filters: "Callable[[Session, Side], Filter | None] | None" = None
    # Returns whether to disconnect a new client instead of opening the target; called in the relay's thread.
    refuses: Callable[[Session], bool] | None = None


class RelayEvents:
    """The events of a relay, called in its thread; override the ones you need. An exception in one stops the relay."""

    def started(self, relay: "Relay") -> None:
        """The relay listens; called in the thread that has started it."""

    def connected(self, session: Session) -> None:
        """A client has connected, and the target is being opened; a PipeError raised here ends only that client."""

    def opened(self, session: Session) -> None:
        """A client is connected to the target."""

    def passed(self, session: Session, side: "Side", data: bytes, is_message: bool) -> None:
        """One side has sent data, which is then written to the other; called after `connected` and before `left`.

        `data` is as it was read, even if it is then dropped, or changed by a filter. `is_message`: it is a whole
        message. No data ends this direction: an empty message (`is_message`) by convention, although between message
        pipes more may follow; otherwise FIN, or the end of a program's output or of stdin. When a side closes or is
        reset, only `left` is called. A relay whose events do not override this method has no cost for it.
        """

    def left(self, session: Session) -> None:
        """A session is over; it holds the amount of data, and how it ended."""

    def turned_away(self, error: PipeError) -> None:
        """A client was refused: by `admit`, or because the relay already has all the clients that it accepts."""

    def refused(self, error: PipeError) -> None:
        """The system has refused another instance; the relay continues, and tries again."""

    def target_lost(self, error: PipeError) -> None:
        """An eager relay has no target, and so accepts no clients."""

    def target_found(self) -> None:
        """An eager relay has a target again, and accepts clients."""


class Relay:
    """Passes data between the clients of an endpoint and a target, from `start` (or `with`) to `close`.

    `environment` returns environment variables for the program that a session runs as its target; it is called in
    another thread.
    """

    def __init__(
        self,
        listen: Place,
        target: Place,
        *,
        events: RelayEvents | None = None,
        config: RelayConfig = RelayConfig(),
        environment: Callable[[Session], Mapping[str, str]] = lambda _session: {},
    ) -> None:
        self.events = events or RelayEvents()
        self.config = config
        self.target_place = target
        self.half_closes = config.half_closes
        self.linger = config.linger
        self.sessions: set[Session] = set()
        # Clients that `admit` is checking.
        self._entering: set[End] = set()
        self._environment = environment
        self._arrived = self._left = 0
        self._bytes_in = self._bytes_out = 0
        self._is_stopping = False
        self._is_listening = False
        self._last = time.perf_counter()
        self._stock: _Stock | None = None
        self._is_lost = False
        self.loop = Loop(str(listen))
        limits = Limits(config.pipe.buffer_size, config.pipe.max_message, config.opening.timeout, config.linger)
        self._shared = Shared(self.loop, limits, Memory(config.pipe.max_memory), Flusher())
        self._listener = self._listener_of(listen)
        self._target = self._target_of(target)
        self._session = self._session_maker()

    def _listener_of(self, place: Place) -> Listener:
        match place.kind:
            case Kind.PIPE:
                return PipeListener(
                    self._shared,
                    place,
                    self.config.pipe,
                    self._client_connected,
                    self.events.refused,
                    lambda: bool(self.sessions),
                )
            case Kind.TCP:
                from .sockets import TcpListener

                return TcpListener(self._shared, place, self._client_connected, self.events.refused)
            case _:
                return StdioListener(self._shared, place, self._client_connected)

    def _target_of(self, place: Place) -> Target:
        match place.kind:
            case Kind.PIPE:
                return PipeTarget(self._shared, place.name, self.config.opening)
            case Kind.TCP:
                from .sockets import TcpTarget

                return TcpTarget(self._shared, place, self.config.opening)
            case Kind.PROGRAM:
                return ProgramTarget(self._shared, place.arguments)
            case _:
                return StdioTarget(self._shared)

    def _session_maker(self) -> Callable[..., Session]:
        """Return the factory of sessions: plain ones, unless the events or filters need the data."""
        is_watched = getattr(self.events.passed, "__func__", None) is not RelayEvents.passed
        if not is_watched and self.config.filters is None:
            return Session
        from .watched import WatchedSession

        passed = self.events.passed if is_watched else None
        return partial(WatchedSession, passed=passed, filters=self.config.filters)

    # For the program's thread

    @property
    def place(self) -> Place:
        """Where it listens; port 0 is replaced by the port that the system has chosen."""
        return self._listener.place

    @property
    def stats(self) -> Stats:
        """The clients so far, and the bytes sent to the target and to the clients."""
        sessions = list(self.sessions)
        return Stats(
            self._arrived,
            0,
            self._bytes_in + sum(session.to_target.bytes for session in sessions),
            self._bytes_out + sum(session.to_client.bytes for session in sessions),
        )

    @property
    def connected(self) -> int:
        """The number of clients that are connected now."""
        return self._arrived - self._left

    def start(self) -> Self:
        """Claim the name or the address, and start; an eager relay claims it once the target is available.

        Raises PipeAccessError if another program has it.
        """
        try:
            if not self.config.is_eager:
                self._listen()
            self.events.started(self)
        except BaseException:
            self._listener.close()
            self.loop.close()
            raise
        self.loop.start(self._end)
        if self.config.is_eager:
            self.loop.post(self._fill_stock)
        if self.config.stop_after.idle is not None:
            self.loop.post(self._stop_when_idle, self.config.stop_after.idle)
        if self.config.client_idle is not None:
            self.loop.post(self._end_idle_sessions, self.config.client_idle)
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the relay exits by itself; return whether it has. Raises the error that ended it."""
        return self.loop.wait(timeout)

    def abort(self, error: BaseException) -> None:
        """End the relay with an error, which `wait` raises; can be called from any thread."""
        self.loop.abort(error)

    def close(self) -> None:
        """End all sessions; their clients can still read data that was written. Does nothing the second time."""
        self.loop.close()
        self._shared.flusher.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.close()

    # Clients

    def _listen(self) -> None:
        self._listener.open()
        self._is_listening = True

    def _client_connected(self, end: End) -> None:
        self._last = time.perf_counter()
        admit = self.config.admit
        if self._is_stopping or not self._wants_clients():
            end.close(reset=True)
        elif admit is None or self.place.kind is not Kind.TCP:
            self._begin(end, None)
        else:
            self._entering.add(end)
            self.loop.elsewhere(partial(admit, end.handle), partial(self._admitted, end))

    def _admitted(self, end: End, who: object) -> None:
        self._entering.discard(end)
        if isinstance(who, PipeError):
            end.close(reset=True)
            self.events.turned_away(who)
        else:
            self._begin(end, who)

    def _begin(self, end: End, who: object) -> None:
        session = self._session(self, end, who)
        self.sessions.add(session)
        session.start(at_once=self.place.kind is Kind.STDIO)

    def _wants_clients(self) -> bool:
        most = 1 if Kind.STDIO in (self.place.kind, self.target_place.kind) else self.config.stop_after.clients
        return most is None or self._arrived < most

    def begin(self, session: Session, opened: Connected) -> None:
        """Count a client, and connect it to the target."""
        if not self._wants_clients():
            error = PipeStateError("the relay already has all the clients that it accepts")
            self.events.turned_away(error)
            opened(error)
            return
        self._arrived += 1
        self.loop.batch = self.connected
        session.number = self._arrived
        try:
            self.events.connected(session)
        except PipeError as error:  # as when the client has left and cannot be identified any more
            opened(error)
            return
        if not self._wants_clients():
            self._stop_listening()
        if self.config.refuses is not None and self.config.refuses(session):
            session.close(reset=True)
            return
        stock, self._stock = self._stock, None
        if stock is not None:
            stock.hand_over(opened)
            self._fill_stock()
        else:
            self._target.open(opened, partial(self._environment, session))

    def opened(self, session: Session) -> None:
        """Report that a client is connected to the target."""
        self.events.opened(session)

    def forget(self, session: Session) -> None:
        """Count a session that is over, and stop the relay if it was the last."""
        self._last = time.perf_counter()
        self.sessions.discard(session)
        self._bytes_in += session.to_target.bytes
        self._bytes_out += session.to_client.bytes
        if isinstance(self._listener, PipeListener):
            self._listener.freed()
        if session.is_visit:
            return
        self._left += 1
        self.loop.batch = max(1, self.connected)
        self.events.left(session)
        if not self._wants_clients() and self._left == self._arrived:
            self.loop.stop()

    def _stop_listening(self) -> None:
        self._listener.close()
        self._is_listening = False

    # Eager

    def _fill_stock(self) -> None:
        """Keep one connection to the target in stock, and accept clients only while there is one; retry if it fails."""
        if self._is_stopping or self._stock is not None or not self._wants_clients():
            return
        self._target.open(self._stocked, dict)

    def _stocked(self, end: End | PipeError) -> None:
        if isinstance(end, PipeError):
            self._lost(end)
            return
        if self._is_stopping:
            end.close()
            return
        try:
            if not self._is_listening:
                self._listen()
        except PipeError as error:
            end.close()
            self.events.refused(error)
            self.loop.after(_RETRY, self._fill_stock)
            return
        if self._is_lost:
            self._is_lost = False
            self.events.target_found()
        self._stock = _Stock(end, self._stock_ended)

    def _stock_ended(self, error: PipeError) -> None:
        self._stock = None
        self._lost(error)

    def _lost(self, error: PipeError) -> None:
        if self._is_stopping:
            return
        if self._is_listening:
            self._stop_listening()
        if not self._is_lost:
            self._is_lost = True
            self.events.target_lost(error)
        self.loop.after(_RETRY, self._fill_stock)

    # Ending

    def _end_idle_sessions(self, seconds: float) -> None:
        """Disconnect clients without data for some seconds, and check again later, with one timer for all."""
        now = time.perf_counter()
        next_look = seconds
        for session in [session for session in self.sessions if session.number]:
            left = session.last_activity + seconds - now
            if left <= 0:
                session.close(ended_by="relay")
            else:
                next_look = min(next_look, left)
        self.loop.after(max(next_look, seconds / 20), partial(self._end_idle_sessions, seconds))

    def _stop_when_idle(self, seconds: float) -> None:
        busiest = max((session.last_activity for session in self.sessions), default=0.0)
        left = max(self._last, busiest) + seconds - time.perf_counter()
        if left <= 0:
            self.loop.stop()
        else:
            self.loop.after(left, partial(self._stop_when_idle, seconds))

    def _end(self) -> None:
        self._is_stopping = True
        self._listener.close()
        self._target.close()
        self._shared.flusher.close()
        if self._stock is not None:
            self._stock.end.close()
        for end in self._entering:
            end.close(reset=True)
        for session in list(self.sessions):
            session.close()
            for one in (session.client, session.target):
                if one is not None:
                    one.finish_closing()


class _Stock(User):
    """A connection to the target that waits for a client; the first data is kept, and no more is read."""

    def __init__(self, end: End, ended: Callable[[PipeError], None]) -> None:
        self.end = end
        self._ended = ended
        self._first: bytes | None = None
        end.user = self
        end.read()

    def received(self, end: End, data: bytes) -> None:  # noqa: ARG002
        self._first = data

    def ended(self, end: End, ending: Ending, error: PipeError | None) -> None:  # noqa: ARG002
        end.close()
        self._ended(error or PipeStateError("the target has closed the connection", subject=end.name))

    def hand_over(self, opened: Connected) -> None:
        """Hand over the connection, with the data received from it, to a client."""
        opened(self.end, self._first)

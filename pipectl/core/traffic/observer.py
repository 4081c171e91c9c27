"""`Observer`: decodes and masks the data of a relay in a thread of its own, for recordings and a screen.

The relay waits for it only when it is `_MOST_WAITING` bytes behind, so memory is bounded and nothing is lost. Its
callbacks must not wait for anything but a disk.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Event as Signal
from threading import Thread
from typing import Any, NamedTuple

from pipectl.core.codecs.base import Side
from pipectl.core.recording.conversation import Choose, Conversations, Decoded, Mask, Part
from pipectl.core.recording.recording import Closed, Event, Opened, Said

# The most bytes that wait to be decoded, and the overhead that is counted for each piece.
_MOST_WAITING = 4 << 20
_PIECE = 256
# Seconds for which pieces are gathered before they are decoded: a thread switch for each would slow the relay.
_GATHERING = 0.01
# The longest single wait for room, in seconds.
_GLANCE = 0.1
# Seconds that `close` waits until everything is passed on.
_PATIENCE = 10.0

# Receive the events of all clients, those of each client in order: a recording, and a screen.
Record = Callable[[Event], None]
Show = Callable[[Part], None]


class _Connected(NamedTuple):
    t: float
    client: int
    # Called in the observer's thread, so it may be slow.
    facts: Callable[[], Mapping[str, Any]]


class _Piece(NamedTuple):
    said: Said
    is_message: bool


class Observer:
    """Passes the traffic of a relay to recordings and a screen.

    `rest` is called when nothing more is queued for now. `failed` is called with an exception that a callback raised;
    after that, nothing is passed on.
    """

    def __init__(
        self,
        records: Sequence[Record],
        show: Show,
        choose: Choose,
        mask: Mask,
        *,
        failed: Callable[[BaseException], None],
        rest: Callable[[], None] = lambda: None,
        codec_failed: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        self._records = records
        self._show = show
        self._conversations = Conversations(choose, mask, failed=codec_failed)
        self._failed = failed
        self._rest = rest
        self._begun = time.perf_counter()
        self._waiting: SimpleQueue[_Connected | _Piece | Closed | None] = SimpleQueue()
        # Each is changed by one thread only.
        self._put = self._taken = 0
        self._has_room = Signal()
        self._closing = Signal()
        self._thread = Thread(target=self._run, name="Observer", daemon=True)
        self._thread.start()

    @property
    def now(self) -> float:
        """The seconds since it was created, which are the times of its events."""
        return time.perf_counter() - self._begun

    # For the relay's thread

    def opened(self, client: int, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Report a new client."""
        self._waiting.put(_Connected(self.now, client, facts))

    def passed(self, client: int, side: Side, data: bytes, is_message: bool) -> None:
        """Report what one side of a client's session has sent; no data is an end, or an empty message."""
        self._waiting.put(_Piece(Said(self.now, client, side, data, not data), is_message))
        self._put += len(data) + _PIECE
        while self._put - self._taken > _MOST_WAITING and not self._closing.is_set():
            self._has_room.clear()
            if self._put - self._taken > _MOST_WAITING:
                self._has_room.wait(_GLANCE)

    def closed(self, client: int, by: str, code: int, error: str) -> None:
        """Report that a client's session is over."""
        self._waiting.put(Closed(self.now, client, by, code, error))

    # For the program's thread

    def stop_waiting(self) -> None:
        """Stop making the relay wait, because it is about to end."""
        self._closing.set()
        self._has_room.set()

    def close(self) -> None:
        """Pass on everything that is queued, unless that takes too long."""
        self.stop_waiting()
        self._waiting.put(None)
        self._thread.join(_PATIENCE)

    # The thread

    def _run(self) -> None:
        try:
            while self._report_some():
                self._rest()
            for part in self._conversations.end(self.now):  # the relay was ended by an error
                self._give(part)
            self._rest()
        except BaseException as error:  # noqa: BLE001 - the relay's `wait` raises it
            self._closing.set()
            self._has_room.set()
            self._failed(error)

    def _report_some(self) -> bool:
        """Wait for an event, and pass on it and those that follow soon; return whether there may be more."""
        one, is_relays_turn = self._waiting.get(), False
        self._closing.wait(_GATHERING)
        while one is not None:
            self._process(one)
            if is_relays_turn:
                time.sleep(0)
            is_relays_turn = not is_relays_turn
            try:
                one = self._waiting.get_nowait()
            except Empty:
                return True
        return False

    def _process(self, one: _Connected | _Piece | Closed) -> None:
        match one:
            case _Piece(said, is_message):
                self._feed(said, is_message=is_message)
                self._taken += len(said.data) + _PIECE
                if not self._has_room.is_set():
                    self._has_room.set()
            case _Connected(t, client, facts):
                self._feed(Opened(t, client, facts()))
            case Closed():
                self._feed(one)

    def _feed(self, event: Event, *, is_message: bool = False) -> None:
        for part in self._conversations.feed(event, is_message=is_message):
            self._give(part)

    def _give(self, part: Part) -> None:
        if not isinstance(part, Decoded):
            for record in self._records:
                record(part)
        self._show(part)

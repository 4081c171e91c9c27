"""Plays recorded conversations: `ReplayServer` is their server, and `call` their client."""

import time
from collections.abc import Callable, Sequence
from threading import Timer
from typing import Any

from pipectl.core.codecs.base import Side
from pipectl.core.deadline import Deadline
from pipectl.core.errors import MismatchError, PipeClosedError, PipeError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.connection import Connection
from pipectl.core.pipe.contract import ServerEvents
from pipectl.core.recording.conversation import Mask
from pipectl.core.recording.replay import Player, Rules, Script

from .planned import PlanServer

# Called with each conversation that was played.
Played = Callable[[Script], None]


class Part:
    """A conversation that is being played, and when its next message is due."""

    def __init__(self, script: Script, side: Side, rules: Rules, mask: Mask, speed: float) -> None:
        """`speed` 2 plays it in half the time, and 0 without waiting."""
        self.player = Player(script, side, rules, mask)
        self._speed = speed
        self._begun = time.perf_counter()
        self._first = script.steps[0].t if script.steps else 0.0
        self._waiting: tuple[float, Sequence[bytes]] | None = None

    def next(self) -> tuple[float, Sequence[bytes]] | None:
        """Return the seconds to wait, and what to send then: call again after the wait. None if nothing is due."""
        found, self._waiting = self._waiting or self.player.next(), None
        if found is None or not self._speed:
            return found and (0.0, found[1])
        due = self._begun + (found[0] - self._first) / self._speed
        delay = max(0.0, due - time.perf_counter())
        if delay:
            self._waiting = found
        return delay, found[1]


class ReplayServer(ServerEvents):
    """The server of recorded conversations, each of which is played to one client.

    A client gets the first one that begins with the client's own first message, or else the next. The server stops
    when all are played, with MismatchError if a client sends something else, PipeClosedError if one leaves too soon.
    """

    def __init__(
        self, scripts: Sequence[Script], make: Callable[[Script], Part], played: Played, *, repeats: bool = False
    ) -> None:
        self._scripts = scripts
        self._make = make
        self._played = played
        self._repeats = repeats
        self._ahead = list(scripts)
        self._parts: dict[Client, Part] = {}
        self._playing = 0
        self._server: Any = None

    def serve(self, pipe: str, **options: Any) -> PlanServer:
        """Return the server, which is not started."""
        return PlanServer(pipe, self._answer, events=self, **options)

    def started(self, server: Any) -> None:
        """Keep the server."""
        self._server = server

    def connected(self, client: Client) -> None:
        """Begin a conversation in which the server sends first, if there is one."""
        first = next((one for one in self._ahead if one.steps and one.steps[0].side is Side.SERVER), None)
        if first is not None:
            self._begin(client, first)
            self._go_on(client)

    def left(self, client: Client, error: PipeError | None) -> None:
        """Check that the client sent everything, and stop the server if all conversations are played."""
        part = self._parts.pop(client, None)
        if part is None:
            return
        self._playing -= 1
        if error is not None and not part.player.is_over:
            self._server.abort(error)
            return
        self._checked(part.player.leave)
        self._played(part.player.script)
        if not (self._ahead or self._playing):
            self._server.stop()

    def _answer(self, client: Client, data: bytes) -> None:
        if client not in self._parts:
            if not self._ahead:
                self._server.abort(MismatchError("more clients have come than were recorded"))
                return
            self._begin(client, self._choose(data))
        self._parts[client].player.feed(data)
        self._go_on(client)

    def _choose(self, data: bytes) -> Script:
        for script in self._ahead:
            player = self._make(script).player
            player.feed(data)
            try:
                player.next()
            except MismatchError:
                continue
            return script
        return self._ahead[0]

    def _begin(self, client: Client, script: Script) -> None:
        self._ahead.remove(script)
        if self._repeats and not self._ahead:
            self._ahead = list(self._scripts)
        self._playing += 1
        self._parts[client] = self._make(script)

    def _go_on(self, client: Client) -> None:
        part = self._parts.get(client)
        while part is not None and (found := self._checked(part.next)) is not None:
            delay, writes = found
            if delay:
                timer = Timer(delay, self._server.post, (self._go_on, client))
                timer.daemon = True
                timer.start()
                return
            for data in writes:
                client.send(data)
        if part is None or not part.player.is_over:
            return
        if part.player.script.was_reset:
            self._server.reset(client)
        elif part.player.script.closed_by == "server":
            client.close()

    def _checked(self, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except (MismatchError, PipeClosedError) as error:
            self._server.abort(error)
            return None


def call(part: Part, connection: Connection, timeout: float | None) -> None:
    """Play the client of a conversation; `timeout` is for each reply.

    Raises MismatchError if the server sends something else, PipeClosedError if it closes too soon, PipeTimeoutError.
    """
    player = part.player
    while True:
        while (found := part.next()) is not None:
            delay, writes = found
            if delay:
                time.sleep(delay)
                continue
            for data in writes:
                connection.send(data, Deadline(timeout))
        if player.is_over and player.script.closed_by != "server":
            return
        try:
            player.feed(connection.receive(Deadline(timeout)))
        except PipeClosedError:
            player.leave()
            if not player.is_over:
                raise
            return

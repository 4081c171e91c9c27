"""Random requests to a jittery server, with timeouts and Ctrl+C: `promise.py PIPE STEPS SEED KIND`, a client's model.

KIND is `message`, `byte`, or `stream`: a message pipe whose messages are pieces of a stream.

The server replies at once, late, in two parts, before it has read the request, or never. Sometimes it closes, with or
without a last message. The client knows the one correct reply to each of its requests. Prints the outcomes.
"""

import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from types import FrameType

from pipectl import (
    Connection,
    ConnectionUnusableError,
    PipeClosedError,
    PipeError,
    PipeStateError,
    PipeTimeoutError,
    Wait,
    connect,
    parse_framing,
)
from pipectl.core.constants import PipeMode
from pipectl.core.errors import MessageTooLongError
from pipectl.core.win32.calls import create_named_pipe
from tests import pipes

LINE = parse_framing("line")
PATIENCE = 20
SIZES = [10, 10, 10, 3000, 5000, 60_000, 70_000, 200_000]


def reply_to(number: bytes) -> bytes:
    """Return the one correct reply to a request; some are longer than a connection's first buffer."""
    return number + b"." * (int(number) % 3 * 4000) + b"\n"


class Server(threading.Thread):
    """Serves one instance after another with raw operations, whatever its clients do."""

    def __init__(self, pipe: str, kind: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._pipe, self._kind, self._chance = pipe, kind, random.Random(seed)
        self._is_message = kind != "byte"

    def run(self) -> None:
        mode = PipeMode.MESSAGE if self._is_message else PipeMode.TYPE_BYTE
        while True:
            handle = create_named_pipe(self._pipe, pipe_mode=mode)
            with Connection(handle, is_message=self._is_message) as end, suppress(PipeError):
                pipes.connect_named_pipe(handle)
                while self._serve(end):
                    pass

    def _serve(self, end: Connection) -> bool:
        """Answer one request; return whether to continue."""
        kind = self._chance.choices(
            ["now", "late", "parts", "early", "never", "closes", "refuses"], [60, 12, 8, 8, 6, 3, 3]
        )[0]
        if kind == "refuses":
            end.send(b"refused\n", 1)
            return False
        number = self._head(end, kind == "early")
        if kind in ("now", "early"):
            end.send(reply_to(number), 1)
        elif kind == "late":
            time.sleep(self._chance.uniform(0, 0.008))
            end.send(reply_to(number), 1)
        elif kind == "parts":
            self._in_parts(end, reply_to(number))
        if kind == "early":
            self._rest(end)
        return kind != "closes"

    def _head(self, end: Connection, early: bool) -> bytes:
        memory = bytearray(9)
        if self._is_message:
            if not early:
                return end.receive()[:8]
            with suppress(MessageTooLongError):
                end.receive_into(memory)
            return bytes(memory[:8])
        if not early:
            return end.receive_until(LINE).data[:8]
        while end.receive_into(memory) < 9:
            pass
        return bytes(memory[:8])

    def _rest(self, end: Connection) -> None:
        if self._is_message:
            with suppress(PipeTimeoutError):
                end.receive(0)
        else:
            end.receive_until(LINE)

    def _in_parts(self, end: Connection, reply: bytes) -> None:
        if self._kind == "message":
            end.send(reply, 1)  # a message has no parts
            return
        end.send(reply[:5], 1)
        time.sleep(self._chance.uniform(0, 0.003))
        if self._is_message:
            end.send(b"", 1)
        end.send(reply[5:], 1)


class Interrupts:
    """Ctrl+C, once or twice, at a random time while `armed`; otherwise it is ignored."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.armed = False
        signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self.armed:
            raise KeyboardInterrupt

    def plan(self) -> threading.Thread | None:
        """Choose whether and when Ctrl+C is raised, and start."""
        times = self._chance.choices([0, 1, 2, 3], [75, 12, 9, 4])[0]
        if not times:
            return None
        thread = threading.Thread(
            target=self._raise, args=([self._chance.uniform(0, 0.002) / n for n in range(1, times + 1)],)
        )
        thread.start()
        return thread

    @staticmethod
    def _raise(pauses: list[float]) -> None:
        for pause in pauses:
            time.sleep(pause)
            signal.raise_signal(signal.SIGINT)


class Model:
    """A client that continues whatever happens, and checks that each reply belongs to its request."""

    def __init__(self, pipe: str, kind: str, seed: int) -> None:
        self._chance = random.Random(seed)
        self._until = None if kind == "message" else LINE
        self._interrupts = Interrupts(self._chance)
        self._connection = connect(pipe, PATIENCE, wait=Wait.EXISTS)
        self._number = 0
        # The requests of this connection whose replies were not received yet.
        self._open: list[bytes] = []
        self.outcomes: Counter[str] = Counter()

    def step(self) -> None:
        """Send a request, or receive other data."""
        planned = self._interrupts.plan()
        try:
            outcome = self._ask() if self._chance.random() < 0.85 else self._receive()
        finally:
            if planned:
                planned.join()
        self.outcomes[outcome] += 1
        if outcome in ("unusable", "closed", "refused") or (outcome == "unread" and self._chance.random() < 0.5):
            self._connection.reconnect(PATIENCE)
            self._open.clear()

    def _ask(self) -> str:
        self._number += 1
        number = b"%08d" % self._number
        data = number + b"x" * self._chance.choice(SIZES) + b"\n"
        timeout = self._chance.choice([0, 0.001, 0.004, 0.05, 0.05, 0.05, 0.05])
        try:
            self._interrupts.armed = True
            reply = self._connection.ask(data, self._until, timeout).data
            self._interrupts.armed = False
        except KeyboardInterrupt:
            self._interrupts.armed = False
            self._open.append(number)
            return "interrupted"
        except PipeError as error:
            self._interrupts.armed = False
            return self._without_reply(number, error)
        if reply == b"refused\n":
            return "refused"
        assert reply == reply_to(number), (reply[:20], number)
        return "answered"

    def _without_reply(self, number: bytes, error: PipeError) -> str:
        if isinstance(error, PipeTimeoutError):
            self._open.append(number)
            return "timed out"
        if isinstance(error, ConnectionUnusableError):
            return "unusable"
        if isinstance(error, PipeClosedError):
            return "closed"
        assert isinstance(error, PipeStateError), error
        return "unread"

    def _receive(self) -> str:
        try:
            self._interrupts.armed = True
            if self._until is None:
                message = self._connection.receive(0.002)
            else:
                message = self._connection.receive_until(self._until, 0.002).data
            self._interrupts.armed = False
        except KeyboardInterrupt:
            self._interrupts.armed = False
            return "interrupted"
        except PipeTimeoutError:
            self._interrupts.armed = False
            return "nothing"
        except PipeClosedError:
            self._interrupts.armed = False
            return "closed"
        if message == b"refused\n":
            return "refused"
        # A complete message that was not received before; the requests before it were never answered.
        number = message[:8]
        assert number in self._open, (message[:20], self._open)
        assert message == reply_to(number)
        del self._open[: self._open.index(number) + 1]
        return "late reply"


def main(pipe: str, steps: int, seed: int, kind: str) -> None:
    """Run the steps, and print their outcomes."""
    for number in range(4):
        Server(pipe, kind, seed + number).start()
    model = Model(pipe, kind, seed)
    for _ in range(steps):
        model.step()
    model._interrupts.armed = False
    outcomes = (f"{count:,} {outcome}" for outcome, count in model.outcomes.most_common())
    sys.stdout.write(", ".join(outcomes))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

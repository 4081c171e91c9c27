"""Ctrl+C at each point of an exchange where CPython runs signal handlers, and again at each point after it.

`interrupted.py PIPE SCENE STEP` prints how many pairs of points it has tested; every STEP-th second point is tested. A
profile function raises the first signal and a trace function the second, at the same kinds of points: where a function
is entered, or has returned from C.
"""

import itertools
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Self

from pipectl.core.win32 import winapi


def _visible(function: Callable[..., int]) -> Callable[..., int]:
    """Wrap a foreign function, so that a profile function is called when it returns."""

    def call(*arguments: Any) -> int:
        result = function(*arguments)
        len("")
        return result

    call.__name__ = function.__name__
    return call


for _name in (
    "NtReadFile",
    "NtWriteFile",
    "NtTransactNamedPipe",
    "NtWaitForMultipleObjects",
    "CancelIoEx",
    "PeekNamedPipe",
    "CloseHandle",
):
    setattr(winapi, _name, _visible(getattr(winapi, _name)))

# After the functions that they bind are replaced.
# Imported in advance: an import that Ctrl+C ends may leave its lock locked, and another thread would wait for it.
import pipectl.core.pipe.requests  # noqa: E402
import pipectl.core.win32.calls  # noqa: E402, F401
from pipectl import (  # noqa: E402
    Client,
    Connection,
    ConnectionUnusableError,
    Framing,
    PipeConfig,
    PipeServer,
    PipeTimeoutError,
    connect,
    parse_framing,
)

PATIENCE = 10
LINE = parse_framing("line")
EOF = parse_framing("eof")
STEP = int(sys.argv[3])
_numbers = itertools.count(1)


class CtrlC:
    """Raises SIGINT at the point `first`, and again `second` calls of Python functions later; 0 means never."""

    def __init__(self, first: int, second: int) -> None:
        self._left, self._left_after = first, second
        self.came = self.came_again = False

    def __enter__(self) -> Self:
        sys.setprofile(self._profile)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> bool:
        sys.setprofile(None)
        sys.settrace(None)
        return kind is KeyboardInterrupt

    def _profile(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event in ("call", "c_return") and _is_theirs(frame):
            self._left -= 1
            if not self._left:
                self.came = True
                sys.setprofile(None)
                sys.settrace(self._trace)
                signal.raise_signal(signal.SIGINT)

    def _trace(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and _is_theirs(frame):
            self._left_after -= 1
            if not self._left_after:
                self.came_again = True
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)


def _is_theirs(frame: FrameType) -> bool:
    """Return whether a function belongs to pipectl or wraps a foreign function, and not to a scene."""
    return frame.f_code.co_filename != __file__ or frame.f_code.co_name == "call"


def at_each_point(scene: Callable[[int, CtrlC], None]) -> int:
    """Play a scene with Ctrl+C at each point, until it ends before the point; return how often it was played."""
    first = played = 0
    while True:
        first += 1
        second = 0
        while True:
            ctrl_c = CtrlC(first, second)
            scene(next(_numbers), ctrl_c)
            played += 1
            if not ctrl_c.came:
                return played
            if second and not ctrl_c.came_again:
                break
            second += STEP if second else 1 + first % STEP


def receive(pipe: str) -> int:
    """Messages of one buffer and of several, and one into memory: none is lost or truncated."""
    from pipectl.core.win32.calls import create_named_pipe

    def scene(number: int, ctrl_c: CtrlC) -> None:
        message = b"%d " % number * (1 if number % 2 else 1500)
        server.send(message, PATIENCE)
        with ctrl_c:
            assert client.receive(PATIENCE) == message
            return
        assert client.receive(PATIENCE) == message

    def scene_into(number: int, ctrl_c: CtrlC) -> None:
        message = b"%d" % number
        server.send(message, PATIENCE)
        memory = bytearray(100)
        with ctrl_c:
            assert client.receive_into(memory, PATIENCE) == len(message)
            return
        assert client.receive(PATIENCE) == message

    def scene_until(number: int, ctrl_c: CtrlC) -> None:
        pieces = [b"%d" % number * (1 if number % 2 else 1500), b"end", b""]
        for piece in pieces:
            server.send(piece, PATIENCE)
        with ctrl_c:
            assert client.receive_until(EOF, PATIENCE) == (b"".join(pieces), "eof")
            return
        assert client.receive_until(EOF, PATIENCE) == (b"".join(pieces), "eof")

    def scene_nothing(_number: int, ctrl_c: CtrlC) -> None:
        with ctrl_c, suppress(PipeTimeoutError):
            client.receive(0)
        server.send(b"something", PATIENCE)
        assert client.receive(PATIENCE) == b"something"

    with Connection(create_named_pipe(pipe), is_message=True) as server, connect(pipe) as client:
        return sum(map(at_each_point, (scene, scene_into, scene_until, scene_nothing)))


def request(pipe: str) -> int:
    """Requests of every size and type of pipe: the reply belongs to the request, or the connection is unusable."""

    def scenes(connection: Connection, size: int, until: Framing | None) -> Callable[[int, CtrlC], None]:
        def scene(number: int, ctrl_c: CtrlC) -> None:
            with ctrl_c:
                ask(connection, number, size, until)
                return
            try:
                ask(connection, number + 1_000_000, size, until)
            except ConnectionUnusableError:
                connection.reconnect(PATIENCE)
                ask(connection, number + 2_000_000, size, until)

        return scene

    with (
        PipeServer(pipe, echo),
        PipeServer(f"{pipe}-byte", echo, config=PipeConfig(is_message=False)),
        connect(pipe) as messages,
        connect(f"{pipe}-byte") as stream,
    ):
        kinds: list[tuple[Connection, int, Framing | None]] = [
            *((messages, size, None) for size in (1, 2000, 20_000)),
            *((connection, size, LINE) for connection in (messages, stream) for size in (1, 20_000)),
        ]
        return sum(at_each_point(scenes(*kind)) for kind in kinds)


def echo(_client: Client, data: bytes) -> bytes:
    return data


def ask(connection: Connection, number: int, size: int, until: Framing | None) -> None:
    """Send a request with a unique reply."""
    data = b"%08d" % number * size + b"\n"
    assert connection.ask(data, until, PATIENCE).data == data


def close(pipe: str) -> int:
    """A `close` that is interrupted in any state completes when it is repeated, and closes the handle."""

    def scene(number: int, ctrl_c: CtrlC) -> None:
        connection = connect(pipe)
        with CtrlC(number % 20 + 1, number // 20 % 10), suppress(PipeTimeoutError):
            connection.transact(bytes(number % 3 * 40_000), 0.001)
        with ctrl_c:
            connection.close()
        connection.close()
        assert connection.handle.closed
        assert not connection._read_operation.pending

    with PipeServer(pipe, lambda _client, _data: None):
        return sum(at_each_point(scene) for _ in range(10))


SCENES = {"receive": receive, "request": request, "close": close}
sys.stdout.write(str(SCENES[sys.argv[2]](sys.argv[1])))

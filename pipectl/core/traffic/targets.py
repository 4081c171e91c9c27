"""The targets of a relay, which connect each client: a pipe, a program, or stdin and stdout. `sockets` has TCP."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipectl.core.constants import Sqos, Wait
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeBusyError, PipeError, PipeNotFoundError
from pipectl.core.names import is_remote
from pipectl.core.pipe.availability import pauses
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.lifetime import ServerLifetime
from pipectl.core.win32.handle import Handle

from .ends import End, PipeEnd, ProgramEnd, Shared

if TYPE_CHECKING:
    from pipectl.core.children.piped import PipedProgram
    from pipectl.core.pipe.connection import Expectation

    from .loop import Timer


Opened = Callable[[End | PipeError], None]
# Returns the environment variables for a program; called in another thread.
Environment = Callable[[], Mapping[str, str]]


class Opening(NamedTuple):
    """How a target is opened; `wait`, `sqos` and `expect` are for pipes, as in `connect`."""

    timeout: float | None = 5.0
    wait: Wait = Wait.FREE
    sqos: Sqos = Sqos.IDENTIFICATION
    expect: "Expectation | None" = None


class Target(Protocol):
    """What clients are connected to."""

    def open(self, opened: Opened, environment: Environment) -> None:
        """Open a connection, and call `opened` with it or with the error, at once or later."""

    def close(self) -> None:
        """Stop waiting for connections."""


class _Waiting(NamedTuple):
    opened: Opened
    deadline: Deadline


class PipeTarget:
    """A pipe. While it is busy, clients wait in order of arrival, and only the first one retries."""

    def __init__(self, shared: Shared, pipe: str, opening: Opening) -> None:
        self._shared = shared
        self._pipe = pipe
        self._opening = opening
        self._waiting: deque[_Waiting] = deque()
        self._pauses: Iterator[float] = pauses()
        self._timer: Timer | None = None
        # A pipe that was busy, and is then not found, is between two instances of its server.
        self._was_busy = False

    def open(self, opened: Opened, environment: Environment) -> None:  # noqa: ARG002
        opening = self._opening
        if opening.expect is not None or is_remote(self._pipe):  # which may query other computers
            attempt = partial(
                connect,
                self._pipe,
                opening.timeout,
                wait=opening.wait,
                sqos=opening.sqos,
                expect=opening.expect,
            )
            self._shared.loop.elsewhere(attempt, lambda found: opened(self._end(found)))
            return
        self._waiting.append(_Waiting(opened, Deadline(opening.timeout)))
        if len(self._waiting) == 1:
            self._serve_waiting()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()

    def _serve_waiting(self) -> None:
        """Open the pipe for the waiting clients until it is busy; then retry after a pause."""
        while self._waiting:
            first = self._waiting[0]
            found = self._attempt()
            if isinstance(found, PipeError) and self._may_pass(found) and not first.deadline.passed:
                pause = max(0.001, next(self._pauses))
                self._timer = self._shared.loop.after(first.deadline.at_most(pause), self._serve_waiting)
                return
            self._pauses, self._was_busy = pauses(), False
            self._waiting.popleft()
            first.opened(self._end(found))

    def _attempt(self) -> Connection | PipeError:
        try:
            return connect(self._pipe, 0, wait=Wait.NONE, sqos=self._opening.sqos)
        except PipeError as error:
            return error

    def _may_pass(self, error: PipeError) -> bool:
        wait = self._opening.wait
        if isinstance(error, PipeBusyError):
            self._was_busy = True
            return wait is not Wait.NONE
        return isinstance(error, PipeNotFoundError) and (wait is Wait.EXISTS or (wait is Wait.FREE and self._was_busy))

    def _end(self, found: Connection | PipeError) -> End | PipeError:
        if isinstance(found, PipeError):
            return found
        handle = Handle(found.handle.detach(), self._pipe)
        found.close()
        self._shared.loop.watch(handle)
        return ServedEnd(self._shared, handle, is_message=found.is_message)


class ServedEnd(PipeEnd):
    """The client's end of a named pipe, which recognizes that the server was killed or has crashed."""

    def __init__(self, shared: Shared, handle: Handle, *, is_message: bool) -> None:
        super().__init__(shared, handle, is_message=is_message, is_server=False)
        self._server = ServerLifetime(handle)

    def _why_closed(self) -> PipeError | None:
        return self._server.error(self.name)

    def _give_up(self) -> None:
        self._server.close()
        super()._give_up()


class ProgramTarget:
    """A program that is started for each client."""

    def __init__(self, shared: Shared, arguments: tuple[str, ...]) -> None:
        self._shared = shared
        self._arguments = arguments
        self._is_closed = False

    def open(self, opened: Opened, environment: Environment) -> None:
        from pipectl.core.children.piped import PipedProgram

        def done(program: "PipedProgram | PipeError") -> None:
            if isinstance(program, PipeError):
                opened(program)
                return
            for handle in (program.stdin, program.stdout):
                self._shared.loop.watch(handle)
            opened(ProgramEnd(self._shared, program))

        self._shared.loop.elsewhere(lambda: PipedProgram(self._arguments, env=environment()), done)

    def close(self) -> None:
        """Do nothing: a program that is being started ends with this process."""


class StdioTarget:
    """This process's own stdin and stdout, for one client."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def open(self, opened: Opened, environment: Environment) -> None:  # noqa: ARG002
        from .stdio import StdioEnd

        opened(StdioEnd(self._shared))

    def close(self) -> None:
        """Do nothing."""

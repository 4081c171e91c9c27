"""A program as a pipe's answers: each message is its stdin, its stdout the reply.

It runs without a shell and without a window, several at once, and learns the client from its environment. What it
writes to stderr, and an exit code other than 0, are the server's to tell; a program that fails without an answer has
its client let go, which tells the client that no answer will come.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident
from typing import NamedTuple

from pipectl.core.children.child import Child, Completed, run
from pipectl.core.errors import PipeError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.contract import LATER, Later

# Programs that run at once; a message beyond them waits for its turn.
_AT_ONCE = 32


class Failure(NamedTuple):
    """Why a program gave no good answer: its exit code and stderr, or the error that kept it from running."""

    exit_code: int | None
    text: str


class ProgramAnswers:
    """Answers messages with a program's stdout; the callbacks are called from other threads than the server's.

    An exception in a callback ends the server. `close` ends what still runs.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment_of: Callable[[Client], Mapping[str, str]],
        on_failure: Callable[[Client, Failure], None],
        *,
        timeout: float | None = None,
    ) -> None:
        self._arguments = arguments
        self._environment_of = environment_of
        self._on_failure = on_failure
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(_AT_ONCE, "program")
        # By the thread that waits for it.
        self._running: dict[int, Child] = {}
        self._closed = False

    def __call__(self, client: Client, data: bytes) -> Later:
        """Start the program for a message; the answer follows."""
        self._pool.submit(self._answer, client, data)
        return LATER

    def close(self) -> None:
        """Start nothing more, and end every program that runs, with all that it has started."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in list(self._running.values()):
            child.kill()

    def _answer(self, client: Client, data: bytes) -> None:
        try:
            outcome = self._run(data, self._environment_of(client))
            if not self._closed:
                self._tell(client, outcome)
        except BaseException as error:  # noqa: BLE001 - raised again where the server is waited for
            client.fail(error)

    def _run(self, data: bytes, environment: Mapping[str, str]) -> Completed | PipeError:
        try:
            return run(self._arguments, data, env=environment, timeout=self._timeout, on_start=self._started)
        except PipeError as error:
            return error
        finally:
            self._running.pop(get_ident(), None)

    def _started(self, child: Child) -> None:
        self._running[get_ident()] = child
        if self._closed:
            child.kill()

    def _tell(self, client: Client, outcome: Completed | PipeError) -> None:
        """Tell the client the answer, or by letting it go that there is none; and the server what went wrong."""
        if isinstance(outcome, PipeError):
            self._on_failure(client, Failure(None, str(outcome)))
            client.close()
            return
        if outcome.exit_code:
            self._on_failure(client, Failure(outcome.exit_code, outcome.stderr.decode("utf-8", "replace").strip()))
        if outcome.exit_code and not outcome.stdout:
            client.close()
        else:
            client.reply(outcome.stdout)

"""A program as a pipe's answers: each message is its stdin, its stdout the reply.

It runs without a shell and without a window, several at once, and learns the client from its environment. What it
writes to stderr, and an exit code other than 0, are the server's to report; a program that fails without an answer has
its client closed, by which the client knows that no answer will come. A program whose client has left is ended, and so
is one that takes longer than the time limit, with everything that it has started.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from pipectl.core.children.child import Child, Completed, run
from pipectl.core.children.text import text_of
from pipectl.core.errors import MessageTooLongError, PipeError, PipeTimeoutError
from pipectl.core.pipe.client import Client, State
from pipectl.core.pipe.contract import LATER, Later

# Programs that run at once; a message beyond them waits for its turn.
_AT_ONCE = 32


class Failure(NamedTuple):
    """Why a program gave no good answer: its exit code and stderr, or without a code the error that it met.

    `was_ended` means that it ran, and was ended because it took too long or wrote too much.
    """

    exit_code: int | None
    text: str
    was_ended: bool = False


class ProgramAnswers:
    """Answers messages with a program's stdout; the callbacks are called from other threads than the server's.

    `timeout` limits the seconds of each program; None is no limit. An exception in a callback ends the server. `close`
    ends what still runs.
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
        self._running: dict[Client, Child] = {}
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
            if self._is_wanted(client):
                outcome = self._run(client, data)
                if self._is_wanted(client):
                    self._tell(client, outcome)
        except BaseException as error:  # noqa: BLE001 - raised again where the server is waited for
            client.fail(error)

    def _is_wanted(self, client: Client) -> bool:
        return not self._closed and client.state is not State.GONE

    def _run(self, client: Client, data: bytes) -> Completed | PipeError:
        try:
            environment = self._environment_of(client)
            started = partial(self._started, client)
            return run(self._arguments, data, env=environment, timeout=self._timeout, on_start=started)
        except PipeError as error:
            return error
        finally:
            client.when_gone = None
            self._running.pop(client, None)

    def _started(self, client: Client, child: Child) -> None:
        """Have the program end with the client that asks for it, and with the server."""
        self._running[client] = child
        client.when_gone = child.kill
        if not self._is_wanted(client):
            child.kill()

    def _tell(self, client: Client, outcome: Completed | PipeError) -> None:
        """Tell the client the answer, or by letting it go that there is none; and the server what went wrong."""
        if isinstance(outcome, PipeTimeoutError | MessageTooLongError):
            self._on_failure(client, Failure(None, outcome.reason, was_ended=True))
            client.close()
            return
        if isinstance(outcome, PipeError):
            self._on_failure(client, Failure(None, str(outcome)))
            client.close()
            return
        if outcome.exit_code:
            self._on_failure(client, Failure(outcome.exit_code, text_of(outcome.stderr).strip()))
        if outcome.exit_code and not outcome.stdout:
            client.close()
        else:
            client.reply(outcome.stdout)

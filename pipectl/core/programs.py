"""A program as a pipe's answers: each message is its stdin, its stdout the reply.

It runs without a shell and without a window, several at once, and learns the client from its environment. What it
writes to stderr, and an exit code other than 0, are the server's to tell; a program that fails without an answer has
its client let go, which tells the client that no answer will come.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from .errors import PipeError
from .popen import run
from .server import LATER, Client, Later

# Programs that run at once; a message beyond them waits for its turn.
_AT_ONCE = 32


class Failure(NamedTuple):
    """Why a program gave no good answer: its exit code and stderr, or the error that kept it from running."""

    exit_code: int | None
    text: str


class ProgramAnswers:
    """Answers messages with a program's stdout; `with` ends what still runs."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment_of: Callable[[Client], Mapping[str, str]],
        on_answer: Callable[[Client, bytes], None],
        on_failure: Callable[[Client, Failure], None],
        *,
        timeout: float | None = None,
    ) -> None:
        self._arguments = arguments
        self._environment_of = environment_of
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(_AT_ONCE, "program")

    def __call__(self, client: Client, data: bytes) -> Later:
        """Start the program for a message; the answer follows."""
        self._pool.submit(self._answer, client, data)
        return LATER

    def close(self) -> None:
        """Start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, client: Client, data: bytes) -> None:
        try:
            done = run(self._arguments, data, env=self._environment_of(client), timeout=self._timeout)
        except PipeError as error:
            self._on_failure(client, Failure(None, str(error)))
            client.close()
            return
        if done.exit_code:
            self._on_failure(client, Failure(done.exit_code, done.stderr.decode("utf-8", "replace").strip()))
        if done.exit_code and not done.stdout:
            client.close()
        else:
            self._on_answer(client, done.stdout)
            client.reply(done.stdout)

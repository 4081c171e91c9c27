"""`ProgramAnswers`: runs a program for each message, which is its stdin; its stdout is the reply.

Programs run without a shell and without a window, several at once; environment variables describe the client. An exit
code other than 0 is reported to the server, with stderr. If a program fails without output, its client is closed, so
that it does not wait for a reply. A program is killed, with all processes that it has started, if its client leaves or
the time limit passes.
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

# Programs that run at once; further messages are queued.
_AT_ONCE = 32


class Failure(NamedTuple):
    """Why a program has failed: its exit code and stderr, or the error if there is no exit code.

    `was_ended` means that it was killed because it took too long or wrote too much.
    """

    exit_code: int | None
    text: str
    was_ended: bool = False


class ProgramAnswers:
    """Answers messages with a program's stdout; the callbacks are called in other threads than the server's.

    `timeout` is the time limit of each program in seconds; None is no limit. An exception in a callback stops the
    server. `close` kills the programs that still run.
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
        """Queue the program for a message, and return LATER."""
        self._pool.submit(self._answer, client, data)
        return LATER

    def close(self) -> None:
        """Start no more programs, and kill those that run, with all processes that they have started."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in list(self._running.values()):
            child.kill()

    def _answer(self, client: Client, data: bytes) -> None:
        try:
            if self._is_wanted(client):
                outcome = self._run(client, data)
                if self._is_wanted(client):
                    self._report(client, outcome)
        except BaseException as error:  # noqa: BLE001 - the server's `wait` raises it
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
        """Have the program killed when its client leaves or the server stops."""
        self._running[client] = child
        client.when_gone = child.kill
        if not self._is_wanted(client):
            child.kill()

    def _report(self, client: Client, outcome: Completed | PipeError) -> None:
        """Send the reply to the client, or close it if there is none; report a failure to the server."""
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

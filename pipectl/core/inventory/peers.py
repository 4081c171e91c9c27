"""Who is at the other end of a pipe, and whether it is who it should be.

What the system reports was recorded when the end was opened, and another process may have that number by now: good
enough to tell a person, and to catch a mistake. It is no proof against an attacker.
"""

from collections.abc import Callable
from contextlib import suppress
from ntpath import basename
from typing import Any, NamedTuple

from pipectl.core.errors import PeerMismatchError, PipeNotFoundError, if_allowed
from pipectl.core.models import Process
from pipectl.core.names import is_remote, upper
from pipectl.core.pipe.availability import exists
from pipectl.core.pipe.connection import TO_ASK, open_pipe
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.queries import (
    get_named_pipe_client_computer_name,
    get_named_pipe_client_process_id,
    get_named_pipe_server_process_id,
)

from .processes import describe


def server_of(pipe: Handle) -> Process:
    """Tell who serves the pipe behind a client's handle; of a remote one nothing but the number is known here."""
    pid = get_named_pipe_server_process_id(pipe)
    return Process(pid) if pipe.name and is_remote(pipe.name) else describe(pid)


def find_server(pipe: str, timeout: float | None, **opening: Any) -> Process | None:
    """Open a pipe if it exists, given its full name, and tell who serves it; None if nobody does.

    On Windows a pipe whose server is gone exists until the last client has closed its end, and cannot be opened.
    `opening` is what else `open_pipe` takes; raises what it raises, but for a pipe that is not there.
    """
    if exists(pipe):
        with suppress(PipeNotFoundError), open_pipe(pipe, timeout, access=TO_ASK, **opening) as handle:
            return server_of(handle)
    return None


def client_of(pipe: Handle) -> Process:
    """Tell who is connected to a server's handle; of a client on another computer only the number is known here."""
    pid = get_named_pipe_client_process_id(pipe)
    return Process(pid) if client_computer(pipe) else describe(pid)


def client_computer(pipe: Handle) -> str | None:
    """Tell the computer of a server's client; None for this one, and where the system cannot tell."""
    return if_allowed(get_named_pipe_client_computer_name, pipe)


class Expected(NamedTuple):
    """Who a program expects at the other end of a pipe; None stands for anyone. `connect` takes one as `expect`.

    A program is given by its file name or its full path, a user as a name or as `DOMAIN\\name`; case does not matter.
    """

    pid: int | None = None
    exe: str | None = None
    user: str | None = None

    def check(self, pipe: Handle) -> None:
        """Raise PeerMismatchError unless the server behind a client's handle is the expected one.

        What cannot be known does not match.
        """
        server = server_of(pipe)
        for what, expected, matches in (
            ("process", self.pid, server.pid == self.pid),
            ("program", self.exe, _matches(self.exe, server.image, basename)),
            ("user", self.user, _matches(self.user, server.user, lambda account: account.rpartition("\\")[2])),
        ):
            if expected is not None and not matches:
                raise PeerMismatchError(
                    f"the server is process {server.pid}, {server.image or 'an unknown program'}, "
                    f"run by {server.user or 'an unknown user'}, not the {what} `{expected}`",
                    pipe=pipe.name,
                    topic="peer",
                )


def _matches(expected: str | None, actual: str | None, shorten: Callable[[str], str]) -> bool:
    if expected is None or actual is None:
        return False
    return upper(expected) in (upper(actual), upper(shorten(actual)))

"""Who is at the other end of a pipe, and whether it is who it should be.

What the system reports of processes was recorded when the end was opened, and another process may have that number by
now: good enough to tell a person, and to catch a mistake. It is no proof against an attacker. The owner of a pipe is
better: it is a user or group of whoever made the pipe.
"""

from collections.abc import Callable
from ntpath import basename
from typing import NamedTuple

from pipectl.core.errors import PeerMismatchError, if_allowed
from pipectl.core.models import Process
from pipectl.core.names import is_remote, upper
from pipectl.core.security.accounts import account_name
from pipectl.core.security.descriptors import get_owner
from pipectl.core.security.sids import ADMINISTRATORS
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


def client_of(pipe: Handle) -> Process:
    """Tell who is connected to a server's handle; of a client on another computer only the number is known here."""
    pid = get_named_pipe_client_process_id(pipe)
    return Process(pid) if client_computer(pipe) else describe(pid)


def client_computer(pipe: Handle) -> str | None:
    """Tell the computer of a server's client; None for this one, and where the system cannot tell."""
    return if_allowed(get_named_pipe_client_computer_name, pipe)


class Expected(NamedTuple):
    """The server that a program expects; None accepts anyone. Pass one to `connect` as `expect`.

    A program is given by its file name or its full path, a user as a name, as `DOMAIN\\name` or as a SID; case does not
    matter. The user is the owner of the pipe, which can be known of any process and cannot be forged. Only if that is
    Administrators, who own what an elevated program makes, or is not told, it is the user of the process.
    """

    pid: int | None = None
    exe: str | None = None
    user: str | None = None

    def check(self, pipe: Handle) -> None:
        """Raise PeerMismatchError unless the server behind a client's handle is the expected one.

        What cannot be known does not match.
        """
        server = server_of(pipe)
        owner = None if self.user is None else if_allowed(get_owner, pipe)
        for what, expected, matches in (
            ("process", self.pid, server.pid == self.pid),
            ("program", self.exe, _matches(self.exe, server.image, basename)),
            ("user", self.user, _is_user(self.user, owner, server.user)),
        ):
            if expected is not None and not matches:
                owned = f", on a pipe that belongs to {if_allowed(account_name, owner) or owner}" if owner else ""
                raise PeerMismatchError(
                    f"the server is process {server.pid}, {server.image or 'an unknown program'}, "
                    f"run by {server.user or 'an unknown user'}{owned}, not the {what} `{expected}`",
                    pipe=pipe.name,
                    topic="peer",
                )


def _is_user(expected: str | None, owner: str | None, user: str | None) -> bool:
    """Return whether the server's user is the expected one, by the owner of its pipe and the user of its process."""
    owner_name = owner and if_allowed(account_name, owner)
    if _matches(expected, owner_name, _without_domain) or (owner is not None and expected == owner):
        return True
    return owner in (None, ADMINISTRATORS) and _matches(expected, user, _without_domain)


def _without_domain(account: str) -> str:
    return account.rpartition("\\")[2]


def _matches(expected: str | None, actual: str | None, shorten: Callable[[str], str]) -> bool:
    if expected is None or actual is None:
        return False
    return upper(expected) in (upper(actual), upper(shorten(actual)))

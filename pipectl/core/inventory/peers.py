"""Identifies the process and user at the other end of a pipe, and compares them with the expected ones.

The process IDs that the system reports were recorded when the end was opened, and another process may have the same ID
by now. That is good enough to inform a person and to catch a mistake, but it is no proof against an attacker. The owner
of a pipe is better: it is a user or group of the process that created the pipe.
"""

from collections.abc import Callable
from functools import cached_property
from ntpath import basename
from typing import NamedTuple

from pipectl.core.deadline import Deadline, Timeout, deadline_of
from pipectl.core.errors import PeerMismatchError, PipeTimeoutError, if_allowed
from pipectl.core.models import Process
from pipectl.core.names import is_remote, upper
from pipectl.core.security.accounts import account_name
from pipectl.core.security.descriptors import get_owner
from pipectl.core.security.sids import ADMINISTRATORS
from pipectl.core.win32.blocking import run_brief
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.queries import (
    get_named_pipe_client_computer_name,
    get_named_pipe_client_process_id,
    get_named_pipe_server_process_id,
)

from .processes import Glimpse, describe, glimpse, identify


def server_of(pipe: Handle) -> Process:
    """Return the server process of the pipe behind a client's handle; for a remote pipe, only the process ID."""
    pid = get_named_pipe_server_process_id(pipe)
    return Process(pid) if pipe.name and is_remote(pipe.name) else describe(pid)


class ClientProcess:
    """The process connected to a server's handle; `computer` is None for this computer, or if it is unknown.

    Facts that are lost when the client exits are queried at once. Names are looked up when `process` is read, which may
    take seconds; do not read it in a thread that others wait for.
    """

    def __init__(self, pipe: Handle) -> None:
        pid = get_named_pipe_client_process_id(pipe)
        self.computer = if_allowed(get_named_pipe_client_computer_name, pipe)
        self._seen = glimpse(pid) if self.computer is None else None
        self.pid = pid

    @property
    def image(self) -> str | None:
        """The path of the client's program, or None if it is not known at once."""
        return self._seen and self._seen.image

    @cached_property
    def process(self) -> Process:
        """The client's process; for a client on another computer, only its ID is known."""
        return Process(self.pid) if self._seen is None else identify(self._seen)


class Expected(NamedTuple):
    """The server that a program expects; None accepts anyone. Pass one to `connect` as `expect`.

    A program is given by its file name or its full path; a user by its name, by `DOMAIN\\name` or by its SID; case does
    not matter. The user is compared with the owner of the pipe, which is known for any process and cannot be forged. If
    the owner is unknown, or Administrators, who own what an elevated program creates, the user of the process counts,
    too.
    """

    pid: int | None = None
    exe: str | None = None
    user: str | None = None

    def check(self, pipe: Handle, timeout: Timeout = 5.0) -> None:
        """Raise PeerMismatchError unless the server behind a client's handle is the expected one.

        Unknown facts do not match. Raises PipeTimeoutError if the name of a user is not found in time.
        """
        deadline = deadline_of(timeout)
        pid = get_named_pipe_server_process_id(pipe)
        seen = Glimpse(pid) if pipe.name and is_remote(pipe.name) else glimpse(pid)
        owner = None if self.user is None else if_allowed(get_owner, pipe)
        if self.pid not in (None, pid):
            wrong = f"process `{self.pid}`"
        elif self.exe is not None and not _matches(self.exe, seen.image, basename):
            wrong = f"program `{self.exe}`"
        elif self.user is not None and not _is_user(self.user, owner, seen.user_sid, deadline):
            wrong = f"user `{self.user}`"
        else:
            return
        owned = f", on a pipe that belongs to {_in_words(owner, deadline)}" if owner else ""
        raise PeerMismatchError(
            f"the server is process {pid}, {seen.image or 'an unknown program'}, "
            f"run by {_in_words(seen.user_sid, deadline)}{owned}, not the {wrong}",
            pipe=pipe.name,
            topic="peer",
        )


def _is_user(expected: str, owner: str | None, user: str | None, deadline: Deadline) -> bool:
    """Return whether a server's user is the expected one, by the owner of its pipe and the user of its process."""
    known = [sid for sid in (owner, user if owner in (None, ADMINISTRATORS) else None) if sid is not None]
    return upper(expected) in known or any(
        _matches(expected, _name_in_time(sid, deadline), _without_domain) for sid in known
    )


def _in_words(sid: str | None, deadline: Deadline) -> str:
    """Return the name of a user for an error, or the SID if the name is not found in time."""
    if sid is None:
        return "an unknown user"
    try:
        return _name_in_time(sid, deadline) or sid
    except PipeTimeoutError:
        return sid


def _name_in_time(sid: str, deadline: Deadline) -> str | None:
    return run_brief(lambda: if_allowed(account_name, sid), deadline)


def _without_domain(account: str) -> str:
    return account.rpartition("\\")[2]


def _matches(expected: str | None, actual: str | None, shorten: Callable[[str], str]) -> bool:
    if expected is None or actual is None:
        return False
    return upper(expected) in (upper(actual), upper(shorten(actual)))

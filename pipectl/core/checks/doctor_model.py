"""What a diagnosis is made from, and what it is made of: facts, checks and one problem. Plain values."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from pipectl.core.constants import Access
from pipectl.core.errors import (
    InvalidPipeNameError,
    PartialResultError,
    PeerMismatchError,
    PipeAccessError,
    PipeBusyError,
    PipeClosedError,
    PipeError,
    PipeNotFoundError,
    PipeStateError,
    PipeTimeoutError,
    UnsupportedError,
)
from pipectl.core.inventory.holders import End, Holders
from pipectl.core.inventory.processlist import ListedProcess
from pipectl.core.models import LocalInfo, Process
from pipectl.core.security.access_check import Judgement, Token
from pipectl.core.security.sddl import Descriptor


class Mode(StrEnum):
    """What a client opens a pipe for, or a server makes it for."""

    READ = "read"
    WRITE = "write"
    DUPLEX = "duplex"

    @property
    def access(self) -> Access:
        """The rights that a client asks for."""
        return {Mode.READ: Access.GENERIC_READ, Mode.WRITE: Access.GENERIC_WRITE, Mode.DUPLEX: Access.DUPLEX}[self]

    @property
    def in_words(self) -> str:
        """What is done, such as `read and write`."""
        return {Mode.READ: "read", Mode.WRITE: "write", Mode.DUPLEX: "read and write"}[self]


class Status(StrEnum):
    """What came of a check."""

    OK = "ok"
    PROBLEM = "problem"
    # Worth knowing, and no reason why the pipe could not be opened.
    NOTE = "note"
    # It could not be looked at.
    UNKNOWN = "unknown"
    # It was not to be looked at, or there was nothing to look at.
    SKIPPED = "skipped"


class Outcome(StrEnum):
    """What a diagnosis comes to."""

    OK = "ok"
    NAME = "name"
    ABSENT = "absent"
    BUSY = "busy"
    DENIED = "denied"
    STUCK = "stuck"
    ENDED = "ended"
    MISMATCH = "mismatch"
    STATE = "state"
    PARTIAL = "partial"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"

    @property
    def error(self) -> type[PipeError] | None:
        """The error that opening the pipe, or talking over it, ends in; None for none."""
        return _ERRORS.get(self)


_ERRORS: dict[Outcome, type[PipeError]] = {
    Outcome.NAME: InvalidPipeNameError,
    Outcome.ABSENT: PipeNotFoundError,
    Outcome.BUSY: PipeBusyError,
    Outcome.DENIED: PipeAccessError,
    Outcome.STUCK: PipeTimeoutError,
    Outcome.ENDED: PipeClosedError,
    Outcome.MISMATCH: PeerMismatchError,
    Outcome.STATE: PipeStateError,
    Outcome.PARTIAL: PartialResultError,
    Outcome.UNSUPPORTED: UnsupportedError,
    Outcome.FAILED: PipeError,
}


def outcome_of(error: PipeError) -> Outcome:
    """Return what an error comes to."""
    for outcome, kind in _ERRORS.items():
        if isinstance(error, kind):
            return outcome
    return Outcome.FAILED


class Cause(StrEnum):
    """Why a pipe cannot be opened, or made; for each there is something to try."""

    NAME_TOO_LONG = "name-too-long"
    ABSENT = "absent"
    NEAR_NAME = "near-name"
    SERVICE = "service"
    SHADOWED = "shadowed"
    NAME_KEPT = "name-kept"
    SERVER_ENDED = "server-ended"
    SERVERS_DIFFER = "servers-differ"
    SUSPENDED = "suspended"
    NOT_ELEVATED = "not-elevated"
    NOT_IN_LIST = "not-in-list"
    DENIED_BY_ENTRY = "denied-by-entry"
    NETWORK_LOGON = "network-logon"
    INTEGRITY = "integrity"
    APPCONTAINER = "appcontainer"
    RESTRICTED = "restricted"
    DIRECTION = "direction"
    DENIED = "denied"
    DENIED_ALL_THE_SAME = "denied-all-the-same"
    FULL = "full"
    NOT_LISTENING = "not-listening"
    CLIENT_LEFT = "client-left"
    NOT_READING = "not-reading"
    WRONG_TYPE = "wrong-type"
    NO_REPLY = "no-reply"
    HUNG_UP = "hung-up"
    NOT_SEEN = "not-seen"
    FAILED = "failed"
    # Another computer.
    UNKNOWN_HOST = "unknown-host"
    NO_SMB = "no-smb"
    REMOTE = "remote"
    # To make a pipe.
    TAKEN = "taken"
    NO_INSTANCE_RIGHT = "no-instance-right"
    MOST_INSTANCES = "most-instances"
    DIFFERS = "differs"
    PROTECTED_PREFIX = "protected-prefix"


class Problem(NamedTuple):
    """What is wrong, in a sentence, and what a remedy needs to know."""

    outcome: Outcome
    cause: Cause
    summary: str
    # A name, a service, processes or a direction that the remedy names.
    value: str | None = None
    # An access list with which it would work.
    sddl: str | None = None
    # The Win32 code, where the remedy depends on it.
    code: int = 0


class Check(NamedTuple):
    """What one check found; `details` are lines for a person who wants to know more."""

    id: str
    status: Status
    text: str
    details: tuple[str, ...] = ()
    problem: Problem | None = None
    judgement: Judgement | None = None


def problem(
    check: str,
    outcome: Outcome,
    cause: Cause,
    summary: str,
    *,
    text: str = "",
    details: Sequence[str] = (),
    judgement: Judgement | None = None,
    value: str | None = None,
    sddl: str | None = None,
    code: int = 0,
) -> Check:
    """Return a check that has found something wrong; `text` is what it says instead of the summary."""
    found = Problem(outcome, cause, summary, value, sddl, code)
    return Check(check, Status.PROBLEM, text or summary, tuple(details), found, judgement)


class Opening(NamedTuple):
    """What came of opening the pipe: a Win32 code, 0 if it was opened, and which process served it."""

    code: int = 0
    error: PipeError | None = None
    server: int | None = None


class Remote(NamedTuple):
    """What is known of another computer; None is not known."""

    host: str
    is_known: bool | None = None
    takes_smb: bool | None = None


class Facts(NamedTuple):
    """All that is known of a pipe and of whoever wants to open it; None is what this user may not know."""

    pipe: str
    mode: Mode = Mode.DUPLEX
    # Whom `token` belongs to, unless it is this process: then only theory can tell what it may do.
    who: str | None = None
    token: Token | None = None
    # The elevated token of this user.
    elevated: Token | None = None
    # Whether the pipe is to be made, and not opened.
    serves: bool = False
    # Whether a message pipe is needed (True), or a byte pipe (False).
    is_message: bool | None = None
    # The names of the pipes of this computer.
    names: Sequence[str] | None = None
    is_there: bool | None = None
    is_free: bool | None = None
    holders: Holders | None = None
    # What of the walk is missing: processes that could not be inspected, handles without an answer.
    unseen: int = 0
    unanswered: int = 0
    processes: Mapping[int, Process] = MappingProxyType({})
    running: Mapping[int, ListedProcess] = MappingProxyType({})
    suspended: frozenset[int] = frozenset()
    # The running services with these names.
    services: Mapping[str, int] | None = None
    local: LocalInfo | None = None
    descriptor: Descriptor | None = None
    # The names of the accounts in it, by their SIDs.
    accounts: Mapping[str, str] = MappingProxyType({})
    # The unread bytes of servers' ends, after a while, by process and handle.
    unread_later: Mapping[tuple[int, int], int] | None = None
    opens: bool = True
    opening: Opening | None = None
    asks: bool = False
    reply: Opening | None = None
    remote: Remote | None = None

    @property
    def subject(self) -> str:
        """Who wants to open it, in words."""
        return "you" if self.who is None else f"`{self.who}`"

    @property
    def is_open(self) -> bool:
        """Whether it was opened."""
        return self.opening is not None and self.opening.code == 0

    def ends(self, *, is_server: bool) -> list[End]:
        """Return the ends of one side."""
        return [end for end in self.holders.ends if end.is_server is is_server] if self.holders else []

    def program(self, pid: int) -> str:
        """Return a process in words: its number, program, services and user."""
        process = self.processes.get(pid, Process(pid))
        services = f"service {', '.join(process.services)}" if process.services else None
        return ", ".join(filter(None, [f"process {pid}", process.program, services, process.user]))

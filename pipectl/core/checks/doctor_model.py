"""The input and the result of a diagnosis: facts, checks and one problem. Plain values."""

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
    """The access for which a client opens a pipe or a server creates it."""

    READ = "read"
    WRITE = "write"
    DUPLEX = "duplex"

    @property
    def access(self) -> Access:
        """The access rights that a client requests."""
        return {Mode.READ: Access.GENERIC_READ, Mode.WRITE: Access.GENERIC_WRITE, Mode.DUPLEX: Access.DUPLEX}[self]

    @property
    def in_words(self) -> str:
        """The verbs, such as `read and write`."""
        return {Mode.READ: "read", Mode.WRITE: "write", Mode.DUPLEX: "read and write"}[self]


class Status(StrEnum):
    """The result of a check."""

    OK = "ok"
    PROBLEM = "problem"
    # Worth knowing, but does not prevent opening the pipe.
    NOTE = "note"
    # It could not be checked.
    UNKNOWN = "unknown"
    # It was not requested, or there was nothing to check.
    SKIPPED = "skipped"


class Outcome(StrEnum):
    """The overall result of a diagnosis."""

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
        """The error that opening or using the pipe raises, or None."""
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
    """Return the outcome that corresponds to an error."""
    for outcome, kind in _ERRORS.items():
        if isinstance(error, kind):
            return outcome
    return Outcome.FAILED


class Cause(StrEnum):
    """Why a pipe cannot be opened or created; each cause has a remedy to try."""

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
    # Creating a pipe.
    TAKEN = "taken"
    NO_INSTANCE_RIGHT = "no-instance-right"
    MOST_INSTANCES = "most-instances"
    DIFFERS = "differs"
    PROTECTED_PREFIX = "protected-prefix"


class Problem(NamedTuple):
    """What is wrong, in a sentence, and the values for a remedy."""

    outcome: Outcome
    cause: Cause
    summary: str
    # A name, service, processes or direction in the remedy.
    value: str | None = None
    # An ACL that would grant access.
    sddl: str | None = None
    # The Win32 code, if the remedy depends on it.
    code: int = 0


class Check(NamedTuple):
    """The finding of one check; `details` are lines with more information."""

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
    """Return a check that has found a problem; `text` replaces the summary."""
    found = Problem(outcome, cause, summary, value, sddl, code)
    return Check(check, Status.PROBLEM, text or summary, tuple(details), found, judgement)


class Opening(NamedTuple):
    """The result of opening the pipe: a Win32 code, 0 if it was opened, and the ID of the server's process."""

    code: int = 0
    error: PipeError | None = None
    server: int | None = None


class Remote(NamedTuple):
    """The facts about another computer; None means unknown."""

    host: str
    is_known: bool | None = None
    takes_smb: bool | None = None


class Facts(NamedTuple):
    """The facts about a pipe and the user who wants to open it; None means unknown to this user."""

    pipe: str
    mode: Mode = Mode.DUPLEX
    # The owner of `token` if that is not this process: then access can only be predicted.
    who: str | None = None
    token: Token | None = None
    # The elevated token of this user.
    elevated: Token | None = None
    # Whether to create the pipe instead of opening it.
    serves: bool = False
    # Whether a message pipe (True) or a byte pipe (False) is required.
    is_message: bool | None = None
    # The names of the pipes of this computer.
    names: Sequence[str] | None = None
    is_there: bool | None = None
    is_free: bool | None = None
    holders: Holders | None = None
    # What the walk could not inspect: processes, and handles that did not respond.
    unseen: int = 0
    unanswered: int = 0
    processes: Mapping[int, Process] = MappingProxyType({})
    running: Mapping[int, ListedProcess] = MappingProxyType({})
    suspended: frozenset[int] = frozenset()
    # The process IDs of the running services, by upper-case name.
    services: Mapping[str, int] | None = None
    local: LocalInfo | None = None
    descriptor: Descriptor | None = None
    # The names of the accounts in the descriptor, by SID.
    accounts: Mapping[str, str] = MappingProxyType({})
    # The unread bytes of servers' ends after a delay, by process and handle.
    unread_later: Mapping[tuple[int, int], int] | None = None
    opens: bool = True
    opening: Opening | None = None
    asks: bool = False
    reply: Opening | None = None
    remote: Remote | None = None

    @property
    def subject(self) -> str:
        """The user or process that wants to open it, in words."""
        return "you" if self.who is None else f"`{self.who}`"

    @property
    def is_open(self) -> bool:
        """Whether it was opened."""
        return self.opening is not None and self.opening.code == 0

    def ends(self, *, is_server: bool) -> list[End]:
        """Return the ends of one side."""
        return [end for end in self.holders.ends if end.is_server is is_server] if self.holders else []

    def program(self, pid: int) -> str:
        """Return a process in words: its ID, program, services and user."""
        process = self.processes.get(pid, Process(pid))
        services = f"service {', '.join(process.services)}" if process.services else None
        return ", ".join(filter(None, [f"process {pid}", process.program, services, process.user]))

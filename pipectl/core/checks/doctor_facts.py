"""Gathers the facts for a diagnosis: first without opening the pipe, and then by opening it, unless that is disabled.

Each query takes at most one second, and all of them together take at most the time limit. Unavailable facts are None.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import NamedTuple

from pipectl.core.constants import Access, Wait
from pipectl.core.deadline import Deadline, Timeout, deadline_of
from pipectl.core.errors import PipeError, PipeTimeoutError, if_allowed
from pipectl.core.inventory import directory
from pipectl.core.inventory.holders import Holders, Walk, by_pipe, entries_of
from pipectl.core.inventory.processes import running_services
from pipectl.core.inventory.walk import ask_ends, suspended_processes, walk
from pipectl.core.inventory.who import describe_listed
from pipectl.core.models import LocalInfo
from pipectl.core.names import is_remote, short, upper
from pipectl.core.pipe.availability import Availability, probe, sleep
from pipectl.core.pipe.connection import Connection, connect, open_pipe
from pipectl.core.security import tokens
from pipectl.core.security.access_check import Token
from pipectl.core.security.accounts import account_name
from pipectl.core.security.descriptors import get_descriptor
from pipectl.core.security.sddl import Descriptor
from pipectl.core.security.sids import name_of
from pipectl.core.win32.blocking import run_brief
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.queries import get_local_info, get_named_pipe_server_process_id

from .doctor import Diagnosis, diagnose, opening_would_help
from .doctor_model import Facts, Mode, Opening, Remote
from .doctor_names import known_pipe

# The time limit of one query, and the delay before unread bytes are checked again, in seconds.
_AT_MOST = 1.0
_A_WHILE = 0.5
# The port of SMB.
_SMB = 445


class Question(NamedTuple):
    """The input of a diagnosis; `pipe` is a full name.

    `who` names the owner of `token` if that is not this process; then the pipe is not opened. With `serves`, the
    diagnosis is whether the pipe can be created. `is_message` is the required type. `data` is a request to send.
    """

    pipe: str
    mode: Mode = Mode.DUPLEX
    who: str | None = None
    token: Token | None = None
    serves: bool = False
    is_message: bool | None = None
    opens: bool = True
    data: bytes | None = None


def examine(question: Question, timeout: Timeout = 5.0) -> Diagnosis:
    """Diagnose within a time limit why a pipe cannot be opened or created.

    Opens the pipe once if that is allowed, adds information, and the question is about this process as a client.
    """
    deadline = deadline_of(timeout)
    facts = gather(question, deadline)
    diagnosis = diagnose(facts)
    if question.opens and not question.serves and question.who is None and opening_would_help(diagnosis):
        diagnosis = diagnose(open_for(facts, question.data, deadline))
    return diagnosis


def gather(question: Question, timeout: Timeout = 5.0) -> Facts:
    """Return the facts about a pipe that are available without opening it."""
    deadline = deadline_of(timeout)
    token = question.token or if_allowed(tokens.current)
    facts = Facts(
        pipe=question.pipe,
        mode=question.mode,
        who=question.who,
        token=token,
        elevated=if_allowed(tokens.linked) if question.who is None else None,
        serves=question.serves,
        is_message=question.is_message,
        opens=question.opens,
        asks=question.data is not None,
    )
    if is_remote(question.pipe):
        return facts._replace(remote=None if question.serves else _remote(question.pipe, deadline))
    return _with_security(_with_holders(facts, deadline), deadline)


# This computer


def _with_holders(facts: Facts, deadline: Deadline) -> Facts:
    state = if_allowed(probe, facts.pipe)
    walked = if_allowed(walk, _soon(deadline))
    listed = if_allowed(directory.list_pipes)
    found = walked or Walk(())
    entries = entries_of(found) if listed is None else listed
    name = short(facts.pipe)
    holders = next((one for one in by_pipe(found, entries) if upper(one.pipe) == upper(name)), None)
    pids = {end.pid for end in holders.ends} | set(holders.servers) if holders else set()
    return facts._replace(
        names=[entry.name for entry in entries],
        is_there=None if state is None else state is not Availability.ABSENT,
        is_free=None if state is None else state is Availability.FREE,
        holders=holders or (walked and Holders(name, None, None, 0, is_complete=False, ends=[])),
        unseen=len(found.unseen),
        unanswered=len(found.busy) + found.unasked,
        processes=describe_listed(pids, found.running, _soon(deadline)),
        running=found.running,
        suspended=if_allowed(suspended_processes) or frozenset(),
        services=_services(facts.pipe),
        unread_later=_unread_later(holders, deadline),
    )


def _services(pipe: str) -> Mapping[str, int] | None:
    known = known_pipe(pipe)
    services = if_allowed(running_services) if known and known.service else None
    return None if services is None else {upper(name): pid for pid, names in services.items() for name in names}


def _unread_later(holders: Holders | None, deadline: Deadline) -> Mapping[tuple[int, int], int] | None:
    """Check again, after a delay, how much the servers with unread data have not read; None if there is no time."""
    waiting = (
        [end for end in holders.ends if end.is_server and end.unread and end.state == "connected"] if holders else []
    )
    if not waiting or deadline.at_most(_A_WHILE) < _A_WHILE:
        return None
    sleep(_A_WHILE, deadline)
    later = ask_ends(waiting, get_local_info, _soon(deadline))
    return {(end.pid, end.handle or 0): local.read_data_available for end, local in later}


def _with_security(facts: Facts, deadline: Deadline) -> Facts:
    servers = facts.ends(is_server=True) or facts.ends(is_server=False)
    asked = ask_ends(servers[:1], LookedAt.through, _soon(deadline), access=TO_LOOK) if servers else []
    return _looked_at(facts, asked[0][1] if asked else LookedAt(), deadline)


TO_LOOK = Access.FILE_READ_ATTRIBUTES | Access.READ_CONTROL


class LookedAt(NamedTuple):
    """The facts about a pipe that a handle of one of its ends provides."""

    local: LocalInfo | None = None
    descriptor: Descriptor | None = None

    @classmethod
    def through(cls, handle: Handle) -> "LookedAt":
        return cls(if_allowed(get_local_info, handle), if_allowed(get_descriptor, handle))


def _looked_at(facts: Facts, found: LookedAt, deadline: Deadline) -> Facts:
    """Add the facts from a handle that were not known before."""
    descriptor = facts.descriptor or found.descriptor
    sids = {entry.account for entry in descriptor.dacl.entries} if descriptor and descriptor.dacl else set()
    user = facts.token.user if facts.token else None
    return facts._replace(
        local=facts.local or found.local,
        descriptor=descriptor,
        accounts=_accounts(sids | ({user} if user else set()), deadline),
    )


def _accounts(sids: set[str], deadline: Deadline) -> Mapping[str, str]:
    """Return the names of accounts; if the lookup times out, names that the SIDs alone provide."""

    def look_up() -> dict[str, str]:
        return {sid: name_of(sid, account_name) for sid in sids}

    try:
        return run_brief(look_up, _soon(deadline))
    except PipeTimeoutError:
        return {sid: name_of(sid) for sid in sids}


def _soon(deadline: Deadline) -> Deadline:
    return deadline.sooner(_AT_MOST)


# Opening it


def open_for(facts: Facts, data: bytes | None, timeout: Timeout) -> Facts:
    """Open the pipe as a client, once and without waiting for an instance; send a request if there is data."""
    deadline = deadline_of(timeout)
    # Another computer may need more than a second to refuse.
    limit = deadline if facts.remote else _soon(deadline)
    reply = None
    try:
        with ExitStack() as stack:
            if data is None:
                handle = stack.enter_context(open_pipe(facts.pipe, limit, wait=Wait.NONE, access=facts.mode.access))
            else:
                connection = stack.enter_context(connect(facts.pipe, limit, wait=Wait.NONE))
                handle = connection.handle
            server = None if facts.remote else if_allowed(get_named_pipe_server_process_id, handle)
            found = LookedAt.through(handle)
            if data is not None:
                reply = _ask(connection, data, deadline)
    except PipeError as error:
        return facts._replace(opening=Opening(error.code, error))
    facts = _looked_at(facts, found, deadline)._replace(opening=Opening(server=server), reply=reply)
    if server is None or server in facts.processes:
        return facts
    described = describe_listed({server}, facts.running, _soon(deadline))
    return facts._replace(processes={**facts.processes, **described})


def _ask(connection: Connection, data: bytes, deadline: Deadline) -> Opening:
    try:
        connection.ask(data, timeout=deadline)
    except PipeError as error:
        return Opening(error.code, error)
    return Opening()


# Another computer


def _remote(pipe: str, deadline: Deadline) -> Remote:
    host = pipe.removeprefix("\\\\?\\UNC\\").lstrip("\\").partition("\\")[0]
    name = host.strip("[]")
    is_known = _in_time(lambda: _resolves(name), deadline)
    takes_smb = _in_time(lambda: _answers(name), deadline) if is_known else None
    return Remote(host, is_known, takes_smb)


def _in_time(question: Callable[[], bool], deadline: Deadline) -> bool | None:
    return if_allowed(run_brief, question, _soon(deadline))


def _resolves(host: str) -> bool:
    from pipectl.core.win32.winsock import addresses_of  # loads two DLLs, and is rarely needed

    with suppress(PipeError):
        return bool(addresses_of(host, _SMB))
    return False


def _answers(host: str) -> bool:
    from pipectl.core.win32.winsock import Socket, addresses_of

    for address in addresses_of(host, _SMB):
        with suppress(PipeError), Socket(is_ipv6=address.is_ipv6, name=str(address)) as socket:
            socket.connect_within(address, _AT_MOST)
            return True
    return False

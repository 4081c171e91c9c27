"""Gathers the facts of an audit: the ACLs, properties and servers of pipes, without opening a pipe unless allowed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipectl.core.constants import Sqos, Wait
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError, PipeTimeoutError, if_allowed
from pipectl.core.inventory import directory
from pipectl.core.inventory.holders import End, Holders, Walk, by_pipe, entries_of
from pipectl.core.inventory.walk import ask_ends, walk
from pipectl.core.inventory.watch import Watch
from pipectl.core.inventory.who import describe_listed
from pipectl.core.models import PipeEntry, Process
from pipectl.core.names import from_directory, short, upper
from pipectl.core.pipe.connection import open_pipe
from pipectl.core.security import tokens
from pipectl.core.security.accounts import account_name
from pipectl.core.win32.blocking import run_brief
from pipectl.core.win32.queries import get_named_pipe_server_process_id

from .audit_rules import Facts, Finding, Server, Who, check
from .doctor_facts import TO_LOOK, LookedAt

_LANMAN = r"SYSTEM\CurrentControlSet\Services\LanmanServer\Parameters"
# The polling interval of the directory of pipes, in seconds.
_INTERVAL = 0.05
# The maximum number of ends of a pipe to query: some may be closed by then, or not respond.
_TRIES = 3


class Gathered(NamedTuple):
    """The facts of the matching pipes; with `by_handles`, there may be others that the walk did not find."""

    pipes: Sequence[Facts]
    unseen: int = 0
    by_handles: bool = False


class Report(NamedTuple):
    """The result of an audit.

    `not_judged` are the pipes whose ACL could not be read, and `partly_judged` the others that may have servers that
    were not found.
    """

    findings: list[Finding]
    servers: Mapping[str, tuple[Server, ...]]
    not_judged: list[str]
    partly_judged: list[str]
    unseen: int
    by_handles: bool

    @property
    def pipes(self) -> int:
        """The number of pipes."""
        return len(self.servers)

    @property
    def judged(self) -> dict[str, bool]:
        """Whether the ACL of each pipe was judged."""
        return {**dict.fromkeys(self.servers, True), **dict.fromkeys(self.not_judged, False)}

    @property
    def is_partial(self) -> bool:
        """Whether something could not be judged."""
        return bool(self.not_judged or self.partly_judged) or (self.by_handles and self.unseen > 0)


def judged(gathered: Gathered, who: Who | None = None) -> Report:
    """Apply all rules to the gathered facts; `who` is whose access is judged (None = users in general)."""
    findings = [finding for facts in gathered.pipes for finding in check(facts, who)]
    not_judged, partly = [], []
    for facts in gathered.pipes:
        if facts.descriptor is None or facts.descriptor.dacl is None:
            not_judged.append(facts.pipe)
        elif not facts.has_all_servers:
            partly.append(facts.pipe)
    return Report(
        sorted(findings, key=lambda finding: (-finding.severity, finding.rule)),
        {facts.pipe: facts.servers for facts in gathered.pipes},
        not_judged,
        partly,
        gathered.unseen,
        gathered.by_handles,
    )


def watch_names(pattern: str, seconds: float) -> dict[str, float]:
    """Watch pipes for a number of seconds; return how long each name that was created again had been free."""
    gaps: dict[str, float] = {}
    try:
        for record in Watch(pattern).changes(_INTERVAL, seconds):
            if record["gap"] is not None:
                name = short(record["pipe"])
                gaps[name] = max(record["gap"], gaps.get(name, 0.0))
    except PipeTimeoutError:
        pass
    return gaps


def gather(
    pattern: str = "*",
    timeout: float | None = 10.0,
    *,
    opens: bool = False,
    gaps: Mapping[str, float] | None = None,
) -> Gathered:
    """Return the facts about the matching pipes; `gaps` is the result of `watch_names`.

    Opens no pipe, unless `opens` allows it for those whose ACL cannot be read otherwise. Raises PipeNotFoundError if no
    pipe matches, and the errors of `walk`.
    """
    deadline = Deadline(timeout)
    walked = walk(deadline)
    listed = if_allowed(directory.list_pipes)
    entries = list(entries_of(walked) if listed is None else listed)
    there = {upper(entry.name) for entry in entries}
    entries += [PipeEntry(name, 0, None) for name in gaps or () if upper(name) not in there]
    names = {upper(entry.name) for entry in directory.some_matching(pattern, entries)}
    pipes = [holders for holders in by_pipe(walked, entries) if upper(holders.pipe) in names]
    looked = _look(pipes, deadline)
    servers = {holders.pipe: holders.servers for holders in pipes}
    if opens:
        _look_by_opening([holders.pipe for holders in pipes], looked, servers, deadline)
    facts = _facts(pipes, looked, _servers(servers, walked, deadline), _names(looked.values(), deadline), gaps or {})
    return Gathered(facts, len(walked.unseen) + len(walked.busy) + walked.unasked, listed is None)


def _look(pipes: Sequence[Holders], deadline: Deadline) -> dict[str, LookedAt]:
    """Query each pipe through a duplicate of one of its ends, preferably a server's."""
    looked: dict[str, LookedAt] = {}
    # The spelling of `by_pipe`: ends of the same pipe may differ in case.
    spelled = {upper(holders.pipe): holders.pipe for holders in pipes}
    candidates = {holders.pipe: _candidates(holders) for holders in pipes}
    for turn in range(_TRIES):
        ends = [end for name, found in candidates.items() if name not in looked for end in found[turn : turn + 1]]
        for end, answer in ask_ends(ends, LookedAt.through, deadline, access=TO_LOOK):
            looked[spelled[upper(end.pipe)]] = answer
    return looked


def _candidates(holders: Holders) -> list[End]:
    return sorted((end for end in holders.ends if end.handle is not None), key=lambda end: not end.is_server)


def _look_by_opening(
    names: Iterable[str], looked: dict[str, LookedAt], servers: dict[str, list[int]], deadline: Deadline
) -> None:
    for name in names:
        if name in looked and looked[name].descriptor is not None:
            continue
        try:
            handle = open_pipe(from_directory(name), deadline, wait=Wait.NONE, access=TO_LOOK, sqos=Sqos.ANONYMOUS)
        except PipeError:
            continue
        with handle:
            looked[name] = LookedAt.through(handle)
            pid = if_allowed(get_named_pipe_server_process_id, handle)
        if pid is not None and not servers[name]:
            servers[name] = [pid]


def _servers(servers: Mapping[str, Sequence[int]], walked: Walk, deadline: Deadline) -> dict[str, tuple[Server, ...]]:
    pids = {pid for found in servers.values() for pid in found}
    processes = describe_listed(pids, walked.running, deadline)
    known = {pid: Server(processes.get(pid, Process(pid)), if_allowed(tokens.of_process, pid)) for pid in pids}
    return {name: tuple(known[pid] for pid in found) for name, found in servers.items()}


def _names(looked: Iterable[LookedAt], deadline: Deadline) -> dict[str, str | None]:
    """Return the names of the accounts in security descriptors, or none if the lookup times out."""
    descriptors = [found.descriptor for found in looked if found.descriptor]
    accounts = {entry.account for one in descriptors if one.dacl for entry in one.dacl.entries}
    accounts |= {one.owner for one in descriptors if one.owner}
    try:
        return run_brief(lambda: {sid: account_name(sid) for sid in accounts if len(sid) > 2}, deadline)
    except PipeTimeoutError:
        return {}


def _facts(
    pipes: Sequence[Holders],
    looked: Mapping[str, LookedAt],
    servers: Mapping[str, tuple[Server, ...]],
    accounts: Mapping[str, str | None],
    gaps: Mapping[str, float],
) -> list[Facts]:
    null_sessions = {upper(name) for name in _null_session_pipes()}
    free = {upper(name): seconds for name, seconds in gaps.items()}
    facts = []
    for holders in pipes:
        found, name = looked.get(holders.pipe, LookedAt()), upper(holders.pipe)
        facts.append(
            Facts(
                holders.pipe,
                found.descriptor,
                servers[holders.pipe],
                holders.is_complete,
                found.local and found.local.rejects_remote,
                holders.max_instances,
                name in null_sessions,
                accounts,
                free.get(name),
            )
        )
    return facts


def _null_session_pipes() -> Sequence[str]:
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _LANMAN) as key:
            names, kind = winreg.QueryValueEx(key, "NullSessionPipes")
    except OSError:
        return ()
    return names if kind == winreg.REG_MULTI_SZ else ()

"""Records of the processes that have pipes open, with warnings, and with a proof of completeness where possible."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from ntpath import basename
from typing import Any, NamedTuple

from pipectl.core.constants import WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import (
    PartialResultError,
    PipeAccessError,
    PipeError,
    PipeNotFoundError,
    error_for,
    if_allowed,
    timed_out,
)
from pipectl.core.models import PipeEntry, Process
from pipectl.core.names import from_directory, full_name, is_remote, short, upper
from pipectl.core.pipe.availability import Availability, probe
from pipectl.core.pipe.connection import TO_ASK, open_pipe
from pipectl.core.win32.queries import get_named_pipe_server_process_id

from . import directory
from .details import Record, limit
from .directory import matching, pid_hint
from .holders import End, Holders, Source, Walk, by_pipe
from .processes import describe_all
from .processlist import ListedProcess
from .walk import walk

_FILETIME_BEGIN = datetime(1601, 1, 1, tzinfo=UTC)


class Wanted(NamedTuple):
    """A filter for pipes and ends; None means any.

    A process is given by its ID, by its program's file name or path, or by its user, `NAME` or `DOMAIN\\NAME`; a pipe
    matches if that process has one of its ends open.
    """

    pattern: str = "*"
    pid: int | None = None
    exe: str | None = None
    user: str | None = None
    is_server: bool | None = None

    @property
    def is_any_process(self) -> bool:
        """Whether the filter accepts any process."""
        return (self.pid, self.exe, self.user) == (None, None, None)

    def is_pipe(self, holders: Holders, processes: Mapping[int, Process]) -> bool:
        """Return whether a pipe matches, by the processes that have its ends open."""
        ends = filter(self.is_end, holders.ends)
        return self.is_any_process or any(self.is_process(processes[end.pid]) for end in ends)

    def is_end(self, end: End) -> bool:
        """Return whether an end matches; an end of unknown side does."""
        return self.is_server is None or end.is_server in (None, self.is_server)

    def is_process(self, process: Process) -> bool:
        """Return whether a process matches; unknown facts do not match."""
        return (
            self.pid in (None, process.pid)
            and _is(self.exe, process.image, basename)
            and _is(self.user, process.user, lambda user: user.rpartition("\\")[2])
        )


class Found(NamedTuple):
    """A record for each pipe; `shortfall` is the error to raise at the end if the result is incomplete."""

    records: list[Record]
    shortfall: PipeError | None


def who(wanted: Wanted, timeout: float | None = 5.0, *, opens: bool = False, every_process: bool = False) -> Found:
    """Find the processes that have pipes open, without opening a pipe, unless `opens` allows it to find a server.

    Raises PipeNotFoundError if there is no such pipe or no such process, and the errors of `walk`.
    """
    deadline = Deadline(timeout)
    walked = walk(deadline, every_process=every_process)
    if wanted.pid is not None and wanted.pid not in walked.running:
        raise error_for(WinError.FILE_NOT_FOUND, "process not found", subject=f"process {wanted.pid}")
    pipes = _matching(wanted.pattern, walked)
    if opens:
        pipes = [_asked(holders, deadline) for holders in pipes]
    processes = describe_listed({end.pid for holders in pipes for end in holders.ends}, walked.running, deadline)
    pipes = [holders for holders in pipes if wanted.is_pipe(holders, processes)]
    if not pipes:
        raise _nothing(wanted, walked)
    records = [_record(holders, wanted, walked, processes) for holders in pipes]
    return Found(records, _shortfall(pipes, walked, deadline))


# Which pipes


def _matching(pattern: str, walked: Walk) -> list[Holders]:
    """Return the holders of the matching pipes, including pipes without any known end.

    A word that is the full name of a pipe only matches that pipe, although other names may contain it.
    """
    pipes = by_pipe(walked, if_allowed(directory.list_pipes) or ())
    entries = [PipeEntry(holders.pipe, holders.instances or 0, holders.max_instances) for holders in pipes]
    pipe = full_name(pattern)
    names = {entry.name for entry in matching(pattern, entries)}
    names = {name for name in names if upper(name) == upper(short(pipe))} or names
    found = [holders for holders in pipes if holders.pipe in names]
    return found or _hidden(pipe)


def _hidden(pipe: str) -> list[Holders]:
    """Return an existing pipe of which no end was found, if the directory of pipes cannot be read."""
    name = short(pipe)
    if is_remote(pipe) or any(character in name for character in "*?["):
        return []
    if if_allowed(probe, pipe) in (None, Availability.ABSENT):
        return []
    return [Holders(name, None, None, 0, is_complete=False, ends=[])]


def _asked(holders: Holders, deadline: Deadline) -> Holders:
    """Add the server that the pipe itself reports, if none was found."""
    if holders.servers:
        return holders
    pid = if_allowed(_server_by_opening, from_directory(holders.pipe), deadline)
    if pid is None:
        return holders
    end = End(holders.pipe, pid, is_server=True, server_pid=pid, source=Source.PIPE)
    return holders._replace(ends=[end, *holders.ends])


def _server_by_opening(pipe: str, deadline: Deadline) -> int:
    with open_pipe(pipe, deadline, access=TO_ASK) as handle:
        return get_named_pipe_server_process_id(handle)


def _nothing(wanted: Wanted, walked: Walk) -> PipeError:
    if wanted.pid in walked.unseen:
        return PipeAccessError(
            "this user may not inspect it", code=WinError.ACCESS_DENIED, subject=f"process {wanted.pid}", topic="who"
        )
    missing = _missing(walked)
    not_seen = f"; {missing}" if missing else ""
    if not wanted.is_any_process:
        reason = f"no matching process has such a pipe open{not_seen}"
        return PipeNotFoundError(reason, code=WinError.FILE_NOT_FOUND, subject=wanted.pattern)
    pipe = full_name(wanted.pattern)
    return PipeNotFoundError(f"pipe not found{not_seen}", code=WinError.FILE_NOT_FOUND, pipe=pipe)


def _is(wanted: str | None, actual: str | None, shorten: Any) -> bool:
    if wanted is None:
        return True
    return actual is not None and upper(wanted) in (upper(actual), upper(shorten(actual)))


# Who they are


def describe_listed(
    pids: Iterable[int], running: Mapping[int, ListedProcess], deadline: Deadline
) -> dict[int, Process]:
    """Describe processes; if one may not be opened, its program and session are from the list of all processes."""
    described = describe_all(pids, deadline)
    for pid, process in described.items():
        if (listed := running.get(pid)) is not None:
            described[pid] = process._replace(
                image=process.image or listed.program or None,
                session=listed.session if process.session is None else process.session,
            )
    return described


# Records


def _record(holders: Holders, wanted: Wanted, walked: Walk, processes: Mapping[int, Process]) -> Record:
    return {
        "pipe": from_directory(holders.pipe),
        "instances": holders.instances,
        **({} if holders.instances is None else limit(holders.max_instances)),
        "found": holders.found,
        "complete": holders.is_complete,
        "ends": [_end(end, walked.running, processes[end.pid]) for end in holders.ends if wanted.is_end(end)],
        "warnings": list(_warnings(holders, walked.running, processes)),
        "unseen": {
            "processes": len(walked.unseen),
            "busy": [{"pid": handle.pid, "handle": hex(handle.handle)} for handle in walked.busy],
            "unasked": walked.unasked,
        },
        "pid_hint": None if holders.servers else pid_hint(holders.pipe),
    }


def _end(end: End, running: Mapping[int, ListedProcess], process: Process) -> Record:
    started = running.get(end.pid)
    record = {
        "end": {True: "server", False: "client", None: "unknown"}[end.is_server],
        "process": _known(process._asdict()),
        "started": started and _time(started.started),
        "handle": None if end.handle is None else hex(end.handle),
        "access": None if end.access is None else hex(end.access),
        "inheritable": end.is_inheritable,
        "handles": end.handles,
        "state": end.state,
        "unread": end.unread,
        "opened_by": end.opened_by,
        "peer": end.peer,
        "computer": end.computer,
        "source": end.source,
    }
    return _known(record)


def _known(record: Record) -> Record:
    return {key: value for key, value in record.items() if value is not None and value != ()}


def _time(filetime: int) -> str:
    """Return a FILETIME as ISO 8601, in UTC, to the millisecond."""
    moment = _FILETIME_BEGIN + timedelta(microseconds=filetime // 10)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _warnings(
    holders: Holders, running: Mapping[int, ListedProcess], processes: Mapping[int, Process]
) -> Iterable[Record]:
    for maker, keepers in holders.kept(running).items():
        are_children = all(pid in running and running[pid].parent == maker for pid in keepers)
        yield {"kind": "server-ended", "pid": maker, "held_by": keepers, "by_children": are_children}
    makers = [pid for pid in holders.servers if pid in running]
    if len(makers) > 1:
        known = [processes[pid] for pid in makers if pid in processes]
        differ = len({(process.image, process.user) for process in known}) > 1
        yield {"kind": "several-servers", "pids": makers, "programs_differ": differ}


# What is missing


def _shortfall(pipes: list[Holders], walked: Walk, deadline: Deadline) -> PipeError | None:
    partial = [holders for holders in pipes if not holders.is_complete]
    if not partial:
        return None
    missing = _missing(walked) or "the pipe changed meanwhile"
    pipe = from_directory(partial[0].pipe) if len(pipes) == 1 else None
    if walked.unasked and deadline.timeout is not None:
        return timed_out(deadline.timeout, pipe)
    if walked.unseen and not any(holders.ends for holders in pipes):
        return PipeAccessError(f"no process that has it open was found: {missing}", pipe=pipe, topic="who")
    if pipe is None:
        return PartialResultError(f"incomplete for {len(partial)} of {len(pipes)} pipes: {missing}", topic="who")
    instances = partial[0].instances
    count = f"{partial[0].found} of {instances if instances is not None else 'its'} instances found"
    return PartialResultError(f"{count}: {missing}", pipe=pipe, topic="who")


def _missing(walked: Walk) -> str:
    """Return a description of what could not be inspected, or "" if nothing is missing."""
    parts = (
        (len(walked.unseen), "{} could not be inspected", "process", "processes"),
        (len(walked.busy), "{} did not answer", "handle", "handles"),
        (walked.unasked, "{} not reached in time", "handle", "handles"),
    )
    return ", ".join(
        text.format(f"{count:,} {one if count == 1 else many}") for count, text, one, many in parts if count
    )

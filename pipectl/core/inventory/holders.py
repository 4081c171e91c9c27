"""Derives from process handles which processes have pipes open, and whether the result is complete."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from math import ceil
from types import MappingProxyType
from typing import NamedTuple

from pipectl.core.models import PipeEntry
from pipectl.core.names import upper

from .handles import OpenHandle
from .processlist import ListedProcess


class Source(StrEnum):
    """How it is known that a process holds an end."""

    HANDLE = "handle"
    # The other end.
    PEER = "peer"
    # The pipe, which was opened and queried.
    PIPE = "pipe"


class End(NamedTuple):
    """One end of an instance of a pipe, and a process that has a handle on it; None means unknown."""

    # As spelled in the directory of pipes.
    pipe: str
    pid: int
    is_server: bool | None
    # The handle's value in that process; None for an end that only the other end reports.
    handle: int | None = None
    access: int | None = None
    is_inheritable: bool | None = None
    # How many handles all processes have on this end.
    handles: int | None = None
    state: str | None = None
    # The bytes that this end has not read yet.
    unread: int | None = None
    instances: int | None = None
    max_instances: int | None = None
    # The processes that created the instance and connected to it, as recorded at the time; they may have ended.
    server_pid: int | None = None
    client_pid: int | None = None
    # The client's computer, if it is another one.
    computer: str | None = None
    source: Source = Source.HANDLE

    @property
    def opened_by(self) -> int | None:
        """The process that opened this end, and may have passed it on."""
        return self.server_pid if self.is_server else self.client_pid

    @property
    def peer(self) -> int | None:
        """The process that opened the other end."""
        return self.client_pid if self.is_server else self.server_pid


class Walk(NamedTuple):
    """What a walk through the handles of all processes has found, and what it could not inspect."""

    ends: Sequence[End]
    # Handles without an answer: a thread of their process is reading or writing, without FILE_FLAG_OVERLAPPED.
    busy: Sequence[OpenHandle] = ()
    # Processes that this user may not inspect, and those that are skipped.
    unseen: Sequence[int] = ()
    # The number of handles that were not reached in time.
    unasked: int = 0
    # All processes at the start of the walk, by process ID.
    running: Mapping[int, ListedProcess] = MappingProxyType({})


class Holders(NamedTuple):
    """The ends of one pipe; `is_complete` means that all instances and all processes that have them open are here."""

    pipe: str
    instances: int | None
    max_instances: int | None
    found: int
    is_complete: bool
    ends: list[End]

    @property
    def servers(self) -> list[int]:
        """The IDs of the processes that created the instances, sorted, without duplicates."""
        return sorted({end.opened_by for end in self.ends if end.is_server and end.opened_by is not None})

    def kept(self, running: Container[int]) -> dict[int, list[int]]:
        """Return the ended processes that created instances, each with the processes that keep those instances open."""
        kept: dict[int, set[int]] = {}
        for end in self.ends:
            maker = end.opened_by
            if not end.is_server or end.handle is None or maker is None:
                continue
            if maker != end.pid and maker not in running:
                kept.setdefault(maker, set()).add(end.pid)
        return {maker: sorted(keepers) for maker, keepers in sorted(kept.items())}


def by_pipe(walk: Walk, directory: Iterable[PipeEntry] = ()) -> list[Holders]:
    """Return the holders of each pipe, sorted by name; pipes in `directory` are included even if no end was found."""
    ends: dict[str, list[End]] = {}
    entries = {upper(entry.name): entry for entry in directory}
    for end in walk.ends:
        ends.setdefault(upper(end.pipe), []).append(end)
    return [_holders(ends.get(name, []), entries.get(name)) for name in sorted(ends.keys() | entries)]


def entries_of(walk: Walk) -> list[PipeEntry]:
    """Return the pipes that were found, as the directory of pipes would list them.

    A name of which only a client end is left may no longer have instances; it is left out.
    """
    return [
        PipeEntry(holders.pipe, holders.instances or holders.found, holders.max_instances)
        for holders in by_pipe(walk)
        if holders.instances != 0
    ]


def servers_by_pipe(walk: Walk) -> Mapping[str, list[int]]:
    """Return the processes that serve each pipe, by its name in upper case."""
    return {upper(holders.pipe): holders.servers for holders in by_pipe(walk) if holders.servers}


def _holders(ends: list[End], entry: PipeEntry | None) -> Holders:
    told = [end for end in ends if end.instances is not None]
    # The latest answer, because a pipe may change during the walk.
    instances = told[-1].instances if told else entry and entry.instances
    limit = told[-1].max_instances if told else entry and entry.max_instances
    distinct = _distinct(ends)
    return Holders(
        pipe=ends[0].pipe if ends else entry.name if entry else "",
        instances=instances,
        max_instances=limit,
        found=int(distinct),
        is_complete=instances is not None and distinct >= instances,
        ends=sorted([*ends, *_reported_by_peers(ends)], key=_order),
    )


def _distinct(ends: Iterable[End]) -> Fraction:
    """Return the number of instances for which every handle on the end that represents them was found.

    An instance is represented by its server end or, once that is closed, by the client end in the state `closing`. An
    end may have several handles, in one process or in many. The system reports how many, so each one that is found
    counts as a fraction, and the fractions of an end add up to 1 only if all were found.
    """
    return _shares(
        end for end in ends if end.handles and (end.is_server or (end.is_server is False and end.state == "closing"))
    )


def _shares(ends: Iterable[End]) -> Fraction:
    counts = Counter(end.handles or 1 for end in ends)
    return sum((Fraction(count, handles) for handles, count in counts.items()), Fraction(0))


def _reported_by_peers(ends: list[End]) -> Iterator[End]:
    """Yield the ends that were not found but are reported by their other end."""
    for is_server in (False, True):
        speakers: dict[int, list[End]] = {}
        found: dict[int | None, list[End]] = {}
        for end in ends:
            if end.is_server is is_server:
                found.setdefault(end.opened_by, []).append(end)
            elif end.is_server is not None and end.state == "connected" and end.peer is not None:
                speakers.setdefault(end.peer, []).append(end)
        for pid, others in speakers.items():
            missing = ceil(_shares(others)) - ceil(_shares(found.get(pid, [])))
            for other in others[: max(0, missing)]:
                yield _end_reported_by(other)


def _end_reported_by(other: End) -> End:
    return End(
        other.pipe,
        other.peer or 0,
        not other.is_server,
        state=other.state,
        server_pid=other.server_pid,
        client_pid=other.client_pid,
        computer=other.computer,
        source=Source.PEER,
    )


def _order(end: End) -> tuple[bool, int, int]:
    return end.is_server is False, end.pid, end.handle or 0

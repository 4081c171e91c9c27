"""Reports pipes as they appear and disappear, by polling, without opening a pipe.

Each poll reads the directory of pipes. If it cannot be read, as under Wine, each poll walks through the handles of all
processes. That is slower, so walks are limited to a fifth of the time. A pipe that exists for less than the interval
may be missed.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime

from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError, if_allowed, timed_out
from pipectl.core.models import PipeEntry
from pipectl.core.names import from_directory, upper
from pipectl.core.pipe.availability import Availability, probe

from . import directory
from .catalog import server_record
from .details import Record, limit
from .history import Change, Happening, History
from .holders import Walk, entries_of, servers_by_pipe
from .walk import walk

# The time limit of a walk, in seconds.
_PATIENCE = 2.0
# Walks take at most one part in this many of the time.
_SHARE = 5


class Watch:
    """A watch over the pipes that match a pattern; `by_handles` says that the directory of pipes cannot be read.

    Raises InvalidPipeNameError for a pattern that no name can match, and the errors of `list_pipes` if pipes cannot be
    listed in any way.
    """

    def __init__(self, pattern: str = "*", *, with_servers: bool = False) -> None:
        self._pattern = pattern
        self._with_servers = with_servers
        self._walk: Walk | None = None
        # The duration of the last walk, and the time when it ended, from perf_counter.
        self._cost = 0.0
        self._walked_at = 0.0
        self._history = History()
        self.by_handles = False
        directory.matching(pattern, ())
        try:
            directory.list_pipes()
        except PipeError:
            self.by_handles = True
            self._look_by_handles()
            if self._walk is None:
                raise

    def changes(self, interval: float, timeout: float | None = None) -> Iterator[Record]:
        """Yield a record for each change, and first for each existing pipe; raises PipeTimeoutError at the end.

        `interval` is the polling interval in seconds.
        """
        deadline = Deadline(timeout)
        while True:
            for change in self._look():
                yield self._record(change)
            if deadline.passed:
                raise timed_out(timeout)
            pause = max(interval, (_SHARE - 1) * self._cost) if self.by_handles else interval
            time.sleep(deadline.at_most(pause))

    def _look(self) -> list[Change]:
        """Poll the pipes; return the changes."""
        if self.by_handles:
            found = entries_of(self._walk) if self._look_by_handles() and self._walk is not None else None
        else:
            found = if_allowed(directory.list_pipes)
        if found is None:  # the result is incomplete, so a missing pipe may still exist
            return []
        # A walk also misses a pipe if its handles did not respond.
        is_gone = _is_absent if self.by_handles else lambda _name: True
        changes = self._history.update(directory.matching(self._pattern, found), time.perf_counter(), is_gone)
        if self._with_servers and not self.by_handles and any(_wants_servers(change) for change in changes):
            self._look_for_servers()
        return changes

    def _look_by_handles(self) -> bool:
        """Walk through the handles; return whether every handle was queried."""
        begun = time.perf_counter()
        self._walk = if_allowed(walk, _PATIENCE)
        self._walked_at = time.perf_counter()
        self._cost = self._walked_at - begun
        return self._walk is not None and not self._walk.unasked

    def _look_for_servers(self) -> None:
        if time.perf_counter() - self._walked_at >= (_SHARE - 1) * self._cost:
            self._look_by_handles()

    def _record(self, change: Change) -> Record:
        entry = change.entry
        return {
            "time": datetime.now().astimezone().isoformat(timespec="milliseconds"),
            "event": change.event,
            "pipe": from_directory(entry.name),
            "instances": None if change.event is Happening.GONE else entry.instances,
            "was": change.was,
            **limit(entry.max_instances),
            "pid_hint": directory.pid_hint(entry.name),
            "servers": self._servers(entry) if self._with_servers and _wants_servers(change) else (),
            "lived": _rounded(change.lived),
            "gap": _rounded(change.gap),
        }

    def _servers(self, entry: PipeEntry) -> tuple[Record, ...]:
        if self._walk is None:
            return ()
        found: Mapping[str, list[int]] = servers_by_pipe(self._walk)
        return tuple(server_record(pid, self._walk) for pid in found.get(upper(entry.name), ()))


def _wants_servers(change: Change) -> bool:
    return change.event is not Happening.GONE


def _is_absent(name: str) -> bool:
    return if_allowed(probe, from_directory(name)) is Availability.ABSENT


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)

"""Compares two snapshots of the pipes: which appeared, which disappeared, and how their instances changed."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from pipectl.core.models import PipeEntry
from pipectl.core.names import upper

# The directory of pipes is no snapshot: a name may be missing once. So it is gone when it was missing this often.
_GONE_AFTER = 2
# How many names that are gone are remembered, so that a gap is noticed when one comes back.
_MOST_GONE = 10_000


class Happening(StrEnum):
    """What has happened to a pipe."""

    # There it was when the watch began.
    PRESENT = "present"
    APPEARED = "appeared"
    GONE = "gone"
    INSTANCES = "instances"


class Change(NamedTuple):
    """A change of one pipe; times in seconds, as exact as the looks are close together."""

    event: Happening
    entry: PipeEntry
    # How many instances there were before.
    was: int | None = None
    # How long a pipe that is gone was there, if it appeared during the watch.
    lived: float | None = None
    # How long the name was free before it appeared again.
    gap: float | None = None


class _Life(NamedTuple):
    entry: PipeEntry
    # When it was seen first, unless the watch began with it, and last.
    since: float | None
    last: float
    missed: int = 0


class History:
    """The lives of pipes, by what is seen of them from time to time."""

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}
        # When names that are gone were seen last.
        self._gone: dict[str, float] = {}
        self._has_begun = False

    def update(
        self, entries: Iterable[PipeEntry], now: float, is_gone: Callable[[str], bool] = lambda _name: True
    ) -> list[Change]:
        """Take what is seen now, at a time in seconds; return what has changed since the last time.

        `is_gone` is asked about a name that is missing, before it is taken to be gone.
        """
        seen = {upper(entry.name): entry for entry in entries}
        changes = [change for name, entry in seen.items() if (change := self._see(name, entry, now)) is not None]
        missing = [name for name in self._lives if name not in seen]
        changes += [change for name in missing if (change := self._miss(name, is_gone)) is not None]
        self._has_begun = True
        return changes

    def _see(self, name: str, entry: PipeEntry, now: float) -> Change | None:
        life = self._lives.get(name)
        if life is not None:
            self._lives[name] = _Life(entry, life.since, now)
            if entry.instances == life.entry.instances:
                return None
            return Change(Happening.INSTANCES, entry, was=life.entry.instances)
        self._lives[name] = _Life(entry, now if self._has_begun else None, now)
        if not self._has_begun:
            return Change(Happening.PRESENT, entry)
        last = self._gone.pop(name, None)
        return Change(Happening.APPEARED, entry, gap=None if last is None else now - last)

    def _miss(self, name: str, is_gone: Callable[[str], bool]) -> Change | None:
        life = self._lives[name]
        life = life._replace(missed=life.missed + 1)
        self._lives[name] = life
        if life.missed < _GONE_AFTER or not is_gone(life.entry.name):
            return None
        del self._lives[name]
        self._gone[name] = life.last
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        lived = None if life.since is None else life.last - life.since
        return Change(Happening.GONE, life.entry, was=life.entry.instances, lived=lived)

"""Compares two snapshots of the pipes: which appeared, which disappeared, and how their instances changed."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from pipectl.core.models import PipeEntry
from pipectl.core.names import upper

# The directory of pipes is not a snapshot, so an existing name may be missing once. It counts as gone after this many
# times.
_GONE_AFTER = 2
# The maximum number of gone names that are remembered, so that the gap is known if a name appears again.
_MOST_GONE = 10_000


class Happening(StrEnum):
    """The kind of a change of a pipe."""

    # It existed when the watch began.
    PRESENT = "present"
    APPEARED = "appeared"
    GONE = "gone"
    INSTANCES = "instances"


class Change(NamedTuple):
    """A change of one pipe; times are in seconds, with the precision of the polling interval."""

    event: Happening
    entry: PipeEntry
    # The previous number of instances.
    was: int | None = None
    # How long a gone pipe existed, if it appeared during the watch.
    lived: float | None = None
    # How long the name was free before it appeared again.
    gap: float | None = None


class _Life(NamedTuple):
    entry: PipeEntry
    # When it was first seen (None if it existed when the watch began), and when it was last seen.
    since: float | None
    last: float
    missed: int = 0


class History:
    """The lifetimes of pipes, from repeated snapshots."""

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}
        # When gone names were last seen.
        self._gone: dict[str, float] = {}
        self._has_begun = False

    def update(
        self, entries: Iterable[PipeEntry], now: float, is_gone: Callable[[str], bool] = lambda _name: True
    ) -> list[Change]:
        """Add a snapshot, taken at `now` in seconds, and return the changes since the last one.

        `is_gone` is called to confirm that a missing name is gone.
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

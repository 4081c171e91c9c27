"""The pipes on this computer with their server processes, from the directory of pipes or from handles."""

from collections.abc import Mapping
from ntpath import basename
from typing import NamedTuple

from pipectl.core.constants import WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError, error_for, if_allowed
from pipectl.core.models import PipeEntry
from pipectl.core.names import upper

from . import directory
from .details import Record, listing
from .holders import Walk, entries_of, servers_by_pipe
from .processes import glimpse
from .walk import walk


class Catalog(NamedTuple):
    """Pipes, and their known servers by the upper-case name of the pipe.

    `by_handles` is the number of processes that were inspected because the directory of pipes cannot be read; then some
    pipes may be missing. None means that all pipes are included.
    """

    entries: list[PipeEntry]
    servers: Mapping[str, list[Record]]
    by_handles: int | None

    def record(self, entry: PipeEntry) -> Record:
        """Return the facts about a pipe."""
        source = None if self.by_handles is None else "handles"
        servers = tuple(self.servers.get(upper(entry.name), ()))
        return {**listing(entry), "servers": servers, "source": source}


def catalog(timeout: float, *, pid: int | None = None, exe: str | None = None) -> Catalog:
    """Return the pipes of this computer, or those that a process serves; none of them is opened.

    `timeout` limits the search for servers; servers that are not found in time are left out. Specify a process by its
    ID, or by its program's file name or path. Raises the errors of `list_pipes` if pipes cannot be listed in any way,
    and PipeNotFoundError for a process that does not exist.
    """
    walked = if_allowed(walk, Deadline(timeout)) or Walk(())
    if pid is not None and walked.running and pid not in walked.running:
        raise error_for(WinError.FILE_NOT_FOUND, "process not found", subject=f"process {pid}")
    entries, by_handles = _entries(walked)
    pids = servers_by_pipe(walked)
    programs = {server: server_record(server, walked) for found in pids.values() for server in found}
    servers = {name: [programs[server] for server in found] for name, found in pids.items()}
    if pid is not None or exe is not None:
        entries = [entry for entry in entries if _is_served_by(servers.get(upper(entry.name), []), pid, exe)]
    return Catalog(entries, servers, by_handles)


def _entries(walked: Walk) -> tuple[list[PipeEntry], int | None]:
    try:
        return directory.list_pipes(), None
    except PipeError:
        if not walked.running:
            raise
        return entries_of(walked), len(walked.running) - len(walked.unseen)


def server_record(pid: int, walked: Walk) -> Record:
    """Return a process that serves a pipe, with its program if known."""
    listed = walked.running.get(pid)
    image = glimpse(pid).image or (listed and listed.program)
    return {"pid": pid, "image": image} if image else {"pid": pid}


def _is_served_by(servers: list[Record], pid: int | None, exe: str | None) -> bool:
    return any(
        pid in (None, server["pid"])
        and (exe is None or upper(exe) in (upper(server.get("image", "")), upper(basename(server.get("image", "")))))
        for server in servers
    )

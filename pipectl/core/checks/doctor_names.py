"""What the name of an absent pipe reveals: which program creates the pipe, and which pipes have similar names."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipectl.core.names import short, upper


class KnownPipe(NamedTuple):
    """A pipe that a well-known program creates; `service` is its Windows service, if it is one."""

    maker: str
    service: str | None = None


# By upper-case name. An instance of SQL Server is a service of the same name.
_KNOWN = {
    "DOCKER_ENGINE": KnownPipe("Docker Desktop, or the service of Docker Engine", "docker"),
    "DOCKERDESKTOPLINUXENGINE": KnownPipe("Docker Desktop"),
    "DOCKER_ENGINE_WINDOWS": KnownPipe("Docker Desktop"),
    "PODMAN-MACHINE-DEFAULT": KnownPipe("Podman (`podman machine start`)"),
    "OPENSSH-SSH-AGENT": KnownPipe("the OpenSSH agent", "ssh-agent"),
    "SQL\\QUERY": KnownPipe("the default instance of SQL Server", "MSSQLSERVER"),
    "MYSQL": KnownPipe("MySQL, if it has `enable-named-pipe`", "MySQL"),
    "SPOOLSS": KnownPipe("the print spooler", "Spooler"),
    "TERMSRV_API_SERVICE": KnownPipe("Remote Desktop Services", "TermService"),
    "DISCORD-IPC-0": KnownPipe("Discord"),
}
_SQL_INSTANCE = re.compile(r"(MSSQL\$[^\\]+)\\SQL\\QUERY")
# GUIDs, long hexadecimal numbers, and any digits: the parts that differ each time a program starts.
_CHANGING = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}|[0-9A-F]{8,}|\d+")


def known_pipe(pipe: str) -> KnownPipe | None:
    """Return the well-known pipe with this full name, or None."""
    name = upper(short(pipe))
    if match := _SQL_INSTANCE.fullmatch(name):
        return KnownPipe("a named instance of SQL Server", match[1])
    return _KNOWN.get(name)


def like(pipe: str, names: Iterable[str]) -> list[str]:
    """Return the names that differ from this one only in numbers, such as process ids."""
    name = upper(short(pipe))
    pattern = _CHANGING.sub("*", name)
    if pattern == name:
        return []
    return [other for other in names if upper(other) != name and _CHANGING.sub("*", upper(other)) == pattern]


def in_the_way(pipe: str, names: Sequence[str]) -> str | None:
    """Return the pipe whose name is this one up to a backslash: on NT it hides all names below it."""
    name = upper(short(pipe))
    return next((other for other in names if name.startswith(upper(other) + "\\")), None)

"""The places that a relay connects, and how they are written: `svc`, `pipe:svc`, `tcp:PORT`, `tcp:HOST:PORT`, `-`."""

import os
import re
from enum import StrEnum
from typing import NamedTuple

from pipectl.core.errors import InvalidPipeNameError
from pipectl.core.names import full_name, upper

_LOCALHOST = "127.0.0.1"
_LAST_PORT = 65535
# The kind before a colon. A single letter is not a kind: a drive letter has an error of its own.
_KIND = re.compile(r"([A-Za-z][A-Za-z0-9+-]+):(.*)", re.DOTALL)


class Kind(StrEnum):
    """What kind of place it is."""

    PIPE = "pipe"
    TCP = "tcp"
    STDIO = "stdio"
    PROGRAM = "program"


class Place(NamedTuple):
    """A place: a pipe by its full name, an IP address and a port, a program's command line, or stdin and stdout."""

    kind: Kind
    name: str = ""
    port: int = 0
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.kind:
            case Kind.TCP:
                return f"tcp:[{self.name}]:{self.port}" if ":" in self.name else f"tcp:{self.name}:{self.port}"
            case Kind.STDIO:
                return "stdio"
            case _:
                return self.name

    def is_same(self, other: "Place") -> bool:
        """Return whether it is the same place as another; False for a program, whose effect is not known."""
        if self.kind is not other.kind or self.kind is Kind.PROGRAM:
            return False
        return (_here(self.name), self.port) == (_here(other.name), other.port)


def _here(name: str) -> str:
    """Return a name for comparison: in upper case, and a pipe's without a host that is this computer."""
    *start, rest = upper(name).split("\\", 3)
    is_here = start[2:] and start[2] in (".", "LOCALHOST", _LOCALHOST, upper(os.environ.get("COMPUTERNAME", ".")))
    return rest if is_here else upper(name)


def parse(text: str) -> Place:
    """Return the place that a text means; raises InvalidPipeNameError if it is none."""
    if text in ("-", "stdio"):
        return Place(Kind.STDIO)
    match = _KIND.fullmatch(text)
    kind, rest = (match[1].lower(), match[2]) if match else ("", text)
    if kind == "tcp":
        return _tcp(text, rest)
    if kind not in ("", "pipe"):
        raise InvalidPipeNameError(
            f"`{text}`: there is no kind of place `{kind}`",
            topic="place",
            meant=(f"`pipe:{text}` for a pipe of that name",),
        )
    return Place(Kind.PIPE, full_name(rest))


def _tcp(text: str, rest: str) -> Place:
    from ipaddress import ip_address

    host, _, port = rest.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > _LAST_PORT:
        raise InvalidPipeNameError(f"`{text}`: a port is a number from 0 to {_LAST_PORT}", topic="place")
    host = host.removeprefix("[").removesuffix("]")
    host = _LOCALHOST if host.lower() in ("", "localhost") else host
    try:
        return Place(Kind.TCP, str(ip_address(host)), int(port))
    except ValueError:
        raise InvalidPipeNameError(
            f"`{text}`: `{host}` is no IP address, and no name but `localhost` is looked up", topic="place"
        ) from None


def is_loopback(place: Place) -> bool:
    """Return whether a TCP address is a loopback address, which no other computer can reach."""
    from ipaddress import ip_address

    return ip_address(place.name).is_loopback

"""The log of a relay: clients that connect and leave, the amount of data, faults, and a summary."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pipectl.core.codecs.base import Side
from pipectl.core.errors import PipeAccessError, PipeError
from pipectl.core.inventory.peers import ClientProcess
from pipectl.core.models import Process
from pipectl.core.traffic.relay import Relay, RelayEvents
from pipectl.core.traffic.session import Flow, Session

from . import Output
from .eventlog import EventLog, Peer, Visitor
from .text import counted, size_in_words

if TYPE_CHECKING:
    from pipectl.core.traffic.faults import Fault


# Node.js closes a pipe this many seconds after `end()` and its last byte; on a busy computer, that is seen later.
_NODE_ENDS = (0.045, 0.1)


class _Itself:
    """This process, whose stdin and stdout are the client."""

    computer: str | None = None
    process = Process(os.getpid())


class RelayLog(EventLog[Relay], RelayEvents):
    """Writes the events of one Relay to an Output."""

    summary = "relayed"

    def __init__(
        self,
        output: Output,
        *,
        announce: Callable[[Relay], None],
        access: Callable[[], Sequence[str]] = tuple,
        clients: bool = True,
    ) -> None:
        super().__init__(output, lambda: announce(self._relay))
        self._access = access
        self._logs_clients = clients
        self._visitors: WeakKeyDictionary[Session, Visitor] = WeakKeyDictionary()
        self._relay: Relay
        # The error of the session that ended last.
        self._error: PipeError | None = None

    def check(self) -> None:
        """Raise the error of the last session, if any."""
        if self._error is not None:
            raise self._error

    def environment(self, session: Session) -> Mapping[str, str]:
        """Return the environment variables of the program that is run for a client."""
        return self._visitors[session].environment()

    def started(self, relay: Relay) -> None:
        """Announce the relay, before any client, and start counting."""
        self._relay = relay
        places = {"listen": str(relay.place), "target": str(relay.target_place)}
        self.begin(relay, places, self._access, self._logs_clients)

    def connected(self, session: Session) -> None:
        """Log a new client, and remember who it is."""
        visitor = self._visitors[session] = Visitor(session.number, _peer(session))
        if self._logs_clients:
            self.log("connected", session.number, visitor, visitor.facts)

    def stop_waiting(self) -> None:
        """Stop making the relay wait, because it is about to end."""

    def left(self, session: Session) -> None:
        """Log how a session ended, and how much data has passed."""
        self._error = session.error
        seconds = round(time.perf_counter() - session.begun, 6)
        if self._logs_clients:
            facts = _facts(session, seconds)
            self.log("left", session.number, in_words(session, seconds), lambda: facts)

    def faulted(self, session: Session, side: Side, fault: "Fault") -> None:
        """Log a fault, even if nothing else is logged, because it explains what clients receive."""
        source = "client" if side is Side.CLIENT else "target"
        facts = {"fault": fault.name, "from": source, **({"value": fault.text} if fault.text else {})}
        self.log("fault", session.number, f"{fault} (from the {source})", lambda: facts)

    def turned_away(self, error: PipeError) -> None:
        """Warn that a client was refused."""
        hint = " (`--allow` sets who can connect)" if isinstance(error, PipeAccessError) else ""
        self.warn(f"refused a client: {error}{hint}")

    def refused(self, error: PipeError) -> None:
        """Warn that fewer clients can connect at once than configured."""
        self.warn(f"cannot create another instance, retrying: {error}")

    def target_lost(self, error: PipeError) -> None:
        """Log that no client can connect any more."""
        if self._logs_clients:
            self.log_all("closed", f"no client can connect without the target: {error}", {"error": str(error)})

    def target_found(self) -> None:
        """Log that clients can connect again."""
        if self._logs_clients:
            self.log_all("open", "the target is back, and clients can connect", {})

    def counts(self, server: Relay) -> str:
        """Return the number of clients and the amount of data so far."""
        stats = server.stats
        return (
            f"{counted(stats.clients, 'client')} ({server.connected} now), {size_in_words(stats.bytes_in)} to the "
            f"target, {size_in_words(stats.bytes_out)} back"
        )


def _peer(session: Session) -> Peer:
    if session.who is not None:
        return session.who  # type: ignore[return-value]
    if session.client.handle is None:
        return _Itself()
    return ClientProcess(session.client.handle)


def _ends_like_node(session: Session) -> bool:
    """Return whether a client has left as Node.js does, which does not wait for the rest of an answer."""
    least, most = _NODE_ENDS
    has_asked = session.ended_by == "client" and session.last_from is session.client
    return has_asked and session.silence is not None and least <= session.silence <= most


def _facts(session: Session, seconds: float) -> dict[str, Any]:
    """Return the fields of the end of a session in a JSON log."""
    error = session.error
    return {
        "ended_by": session.ended_by,
        "seconds": seconds,
        "silence": None if session.silence is None else round(session.silence, 6),
        "to_target": _flow_facts(session.to_target),
        "to_client": _flow_facts(session.to_client),
        "target_remark": (session.target and session.target.remark) or None,
        "error": str(error) if error else None,
    }


def _flow_facts(flow: Flow) -> dict[str, Any]:
    return {
        "bytes": flow.bytes,
        "messages": flow.messages or None,
        "dropped": flow.dropped or None,
        "unsaid_ends": flow.unsaid or None,
    }


def in_words(session: Session, seconds: float) -> str:
    """Return, as text, how a session has ended, its duration, and its amount of data."""
    words = [
        f"ended by the {session.ended_by} after {seconds:.1f} s",
        f"{size_in_words(session.to_target.bytes)} to the target",
        f"{size_in_words(session.to_client.bytes)} back",
    ]
    for flow, direction in ((session.to_target, "to the target"), (session.to_client, "back")):
        if flow.dropped:
            words.append(f"{size_in_words(flow.dropped)} {direction} lost")
        if flow.unsaid:
            words.append(f"{counted(flow.unsaid, 'empty message')} {direction} not passed on")
    if _ends_like_node(session):
        words.append(f"closed {session.silence:.3f} s after its last data, like Node.js after end()")
    if session.target is not None and session.target.remark:
        words.append(f"program {session.target.remark}")
    return ", ".join(words) + (f": {session.error}" if session.error else "")

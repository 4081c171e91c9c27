"""Recordings: the conversations of clients with a server, in a file of JSON lines, one for each event.

The first line is a `Header`. Each read of a byte pipe, each message of a message pipe, and each client that connects or
disconnects is one more line. docs/schema/recording.schema.json describes the lines. Times are seconds since the start
of the recording. They never decrease for one client; the lines of different clients may be out of order.
"""

import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pipectl.core.codecs.base import Side
from pipectl.core.errors import RecordingError

SCHEMA = 1
VERSION = 1


class Header(NamedTuple):
    """The first line of a recording: what was recorded, and how."""

    pipe: str = ""
    target: str = ""
    # Whether the clients' side was a message pipe.
    is_message: bool = False
    codec: str = "none"
    # ISO 8601, UTC.
    started: str = ""
    # The regular expressions whose matches are masked, and whether the secrets that the codec finds are left in.
    redacted: tuple[str, ...] = ()
    has_secrets: bool = False
    by: str = "pipectl"

    def to_json(self) -> dict[str, Any]:
        """Return the line as an object."""
        kind, frame = ("message", "message") if self.is_message else ("byte", "chunk")
        facts = {"pipe": self.pipe, "target": self.target, "type": kind, "frame": frame}
        more = {"secrets": True} if self.has_secrets else {}
        redacted = {"redacted": list(self.redacted)} if self.redacted else {}
        start = {"schema": SCHEMA, "recording": VERSION, "by": self.by}
        return {**start, **facts, "codec": self.codec, "started": self.started, **redacted, **more}


class Opened(NamedTuple):
    """A client has connected; `facts` is what is known about its process: pid, image, user, session and so on."""

    t: float
    client: int
    facts: Mapping[str, Any] = {}


class Said(NamedTuple):
    """One side has sent data: one read, or one message; `is_end` means that it sends nothing more."""

    t: float
    client: int
    side: Side
    data: bytes
    is_end: bool = False


class Closed(NamedTuple):
    """A client's connection has ended; `by` is `client`, `server` or `relay`, and `error` describes what failed."""

    t: float
    client: int
    by: str = ""
    code: int = 0
    error: str = ""


Event = Opened | Said | Closed


class Recording(NamedTuple):
    """A recording that was read; `warnings` describe invalid lines, which are skipped, and times that decrease."""

    header: Header
    events: tuple[Event, ...]
    warnings: tuple[str, ...] = ()

    def conversations(self) -> dict[int, list[Said]]:
        """Return the data of each conversation in order, by client; clients without any data are left out."""
        found: dict[int, list[Said]] = {}
        for event in self.events:
            if isinstance(event, Said):
                found.setdefault(event.client, []).append(event)
        return found

    def end_of(self, client: int) -> Closed:
        """Return how a client's connection ended, or an event without facts if that is not known."""
        ends = (event for event in self.events if isinstance(event, Closed) and event.client == client)
        return next(ends, Closed(0.0, client))


# Writing


def header_line(header: Header) -> bytes:
    """Return the first line of a recording."""
    return _line(header.to_json())


def event_line(event: Event) -> bytes:
    """Return the line of an event."""
    return _line(event_to_json(event))


def event_to_json(event: Event) -> dict[str, Any]:
    """Return an event as an object."""
    start: dict[str, Any] = {"t": round(event.t, 6), "client": event.client}
    match event:
        case Opened():
            known = {key: value for key, value in event.facts.items() if value not in (None, (), "")}
            return {**start, "event": "open", **known}
        case Said():
            end = {"end": True} if event.is_end else {}
            return {**start, "from": event.side.value, "data": payload(event.data), **end}
        case Closed():
            facts = {"by": event.by, "code": event.code, "error": event.error}
            return {**start, "event": "close", **{key: value for key, value in facts.items() if value}}


def payload(data: bytes) -> dict[str, Any]:
    """Return bytes as a JSON object: as text if they are valid UTF-8, otherwise as base64."""
    try:
        return {"size": len(data), "text": data.decode()}
    except UnicodeDecodeError:
        return {"size": len(data), "base64": b2a_base64(data, newline=False).decode()}


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


# Reading


def is_recording(first_line: bytes) -> bool:
    """Return whether a file with this first line is a recording, of any version."""
    return "recording" in (_object(first_line) or {})


def read(lines: Iterable[bytes]) -> Recording:
    """Parse a recording. Raises RecordingError if it is not one; an invalid line becomes a warning."""
    ahead = iter(lines)
    header = _header(next(ahead, b""))
    warnings: list[str] = []
    events = tuple(_events(ahead, warnings))
    return Recording(header, events, tuple(warnings))


def _header(line: bytes) -> Header:
    found = _object(line)
    if found is None or "recording" not in found:
        raise RecordingError("is empty" if not line.strip() else "is not a recording of pipectl")
    for key, known in (("recording", VERSION), ("schema", SCHEMA)):
        if found.get(key) != known or isinstance(found.get(key), bool):
            version = json.dumps(found.get(key))[:20]
            raise RecordingError(f"has `{key}` {version}, and this pipectl reads {known}")
    redacted = found.get("redacted")
    return Header(
        _text(found, "pipe"),
        _text(found, "target"),
        found.get("type") == "message",
        _text(found, "codec") or "none",
        _text(found, "started"),
        tuple(filter(lambda one: isinstance(one, str), redacted)) if isinstance(redacted, list) else (),
        found.get("secrets") is True,
        _text(found, "by"),
    )


def _events(lines: Iterator[bytes], warnings: list[str]) -> Iterator[Event]:
    # The time of each client's last event, and the offsets of times and client numbers in an appended recording.
    last: dict[int, float] = {}
    t, client = 0.0, 0
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        found = _object(line)
        if found is not None and "recording" in found:
            _header(line)
            t, client = max(last.values(), default=0.0), max(last, default=0)
            continue
        if found is not None and found.get("event") == "fault":  # of `tap --json`, which has no data
            continue
        try:
            event = _event(found)
        except ValueError as error:
            reason = str(error) if line.endswith(b"\n") else "the line is cut"
            warnings.append(f"line {number} is passed over: {reason}")
            continue
        event = event._replace(t=event.t + t, client=event.client + client)
        if event.t < last.get(event.client, 0.0):
            warnings.append(f"line {number}: the time goes back for client {event.client}")
            event = event._replace(t=last[event.client])
        last[event.client] = event.t
        yield event


def _event(found: dict[str, Any] | None) -> Event:
    """Return the event of a line; raises ValueError with the reason if it is invalid."""
    if found is None:
        raise ValueError("it is not a JSON object")
    time, client = found.get("t"), found.get("client")
    if not isinstance(time, int | float) or isinstance(time, bool) or not 0 <= time < 1e10:
        raise ValueError("`t` is no number of seconds")
    if not isinstance(client, int) or isinstance(client, bool) or not 0 < client < 1 << 53:
        raise ValueError("`client` is no number")
    start = float(time), client
    match found.get("event"):
        case "open":
            return Opened(*start, {key: value for key, value in found.items() if key not in ("t", "client", "event")})
        case "close":
            code = found.get("code")
            return Closed(*start, _text(found, "by"), code if isinstance(code, int) else 0, _text(found, "error"))
        case None:
            side, data = found.get("from"), found.get("data")
            if side not in ("client", "server"):
                raise ValueError("`from` is neither client nor server")
            return Said(*start, Side(side), _data(data), found.get("end") is True)
    raise ValueError("its `event` is not known")


def _data(found: Any) -> bytes:
    """Return the bytes of a payload; raises ValueError with the reason."""
    if not isinstance(found, dict):
        raise ValueError("`data` is no payload")
    text, encoded = found.get("text"), found.get("base64")
    if isinstance(text, str):
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise ValueError("`text` has half of a character") from None
    elif isinstance(encoded, str):
        try:
            data = a2b_base64(encoded, strict_mode=True)
        except ValueError:
            raise ValueError("`base64` is not valid") from None
    else:
        raise ValueError("`data` has neither text nor base64")
    if found.get("size", len(data)) != len(data):
        raise ValueError("`size` is not the size of the data")
    return data


def _object(line: bytes) -> dict[str, Any] | None:
    """Parse a line as a JSON object; return None for anything else, and for an object that is nested too deeply."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""

"""Shows the frames of a conversation: in `tap` as they arrive, and in `decode` from a recording."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from pipectl.core.codecs.base import Frame, FrameKind, Side
from pipectl.core.names import escape
from pipectl.core.recording.conversation import KIND_FIELDS, Decoded, Part
from pipectl.core.recording.recording import Closed, Opened, Said, event_to_json

from . import Form, View
from .text import decoded, for_json, for_person, size_in_words

_ARROWS = {Side.CLIENT: ">", Side.SERVER: "<"}
# The most characters that a line shows of bytes without a protocol, and of a summary.
_PREVIEW = 80
_WIDEST = 300
# How many reply times are kept for each client and for each kind of request; and how many kinds.
_MOST_TIMES = 100_000
_MOST_REQUESTS = 20_000


class Wanted(NamedTuple):
    """Which frames are shown: those in which a text occurs or a field has a value, and the replies to them."""

    words: tuple[str, ...] = ()
    # Only of this client and this side, if they are set.
    client: int | None = None
    side: str | None = None

    def covers(self, client: int, side: str | None = None) -> bool:
        """Return whether anything is shown of a client, or of one side of it."""
        return self.client in (None, client) and (side is None or self.side in (None, side))

    def matches(self, one: Decoded) -> bool:
        """Return whether a frame is shown; without words, each is."""
        if not self.words or any(self._is_in(word, one) for word in self.words):
            return True
        return one.request is not None and self.matches(one.request)

    def _is_in(self, word: str, one: Decoded) -> bool:
        name, equals, value = word.partition("=")
        if equals and _in_words(_found(one.frame.fields, name)) == value:
            return True
        return word in one.frame.summary or word in one.frame.data.decode(errors="replace")


def _found(fields: Any, path: str) -> Any:
    """Return the field of a name, or of a path such as `headers.host`; None if there is none."""
    if not isinstance(fields, Mapping):
        return None
    if path in fields:
        return fields[path]
    name, dot, rest = path.partition(".")
    return _found(fields.get(name), rest) if dot else None


def _in_words(value: Any) -> str | None:
    return value if isinstance(value, str) or value is None else json.dumps(value)


class FrameView(NamedTuple):
    """How frames are shown: as lines, or as the objects of `--json`."""

    view: View = View()
    # Whether bodies are shown, below the line of their frame.
    is_full: bool = False

    def line(self, one: Decoded) -> str:
        """Return the line of a frame: its client, its side, its time or that since its request, and its content."""
        when = f"{one.t:.3f}" if one.seconds is None else f"+{short_time(one.seconds)}"
        line = f"{self._begin(one.client, one.frame.side)} {when:>8}  {self.what(one)}"
        body = one.frame.body
        if not (self.is_full and body):
            return line
        shown = body.decode(errors="replace") if self.view.form is Form.RAW else for_person(body, *self.view)
        return "\n".join([line, *(f"    {row}" for row in shown.rstrip("\n").split("\n"))])

    def end_line(self, said: Said, *, is_message: bool) -> str:
        """Return the line of an end, or of an empty message, which is an end by convention."""
        what = "(empty message: end of data by convention)" if is_message else "(end of data)"
        return f"{self._begin(said.client, said.side)} {said.t:>8.3f}  {what}"

    def record(self, one: Decoded) -> dict[str, Any]:
        """Return a frame as a line of a recording that has `decoded` too."""
        frame = one.frame
        record = event_to_json(Said(one.t, one.client, frame.side, frame.data))
        form = "" if self.view.form in (Form.AUTO, Form.TEXT, Form.RAW) else self.view.form
        if form:
            record["data"] = for_json(frame.data, "utf-8", form)
        more: dict[str, Any] = {"kind": frame.kind.value, "summary": frame.summary}
        if frame.fields:
            more["fields"] = frame.fields
        if self.is_full and frame.body != frame.data:
            more["body"] = for_json(frame.body, "utf-8", form)
        if one.seconds is not None:
            more["seconds"] = round(one.seconds, 6)
        return {**record, "decoded": more}

    def what(self, one: Decoded) -> str:
        """Return a summary of a frame, on one line that is safe for a terminal."""
        frame = one.frame
        if frame.kind is FrameKind.RAW:
            shown = self._preview(frame.data)
            return f"{size_in_words(len(frame.data))}{': ' if shown else ''}{shown}"
        if frame.kind is FrameKind.BAD:
            return f"bad, {frame.summary}: {size_in_words(len(frame.data))}: {self._preview(frame.data)}"
        summary = escape(frame.summary)
        if len(summary) > _WIDEST and not self.is_full:
            summary = f"{summary[:_WIDEST]} ... {len(summary) - _WIDEST:,} more"
        return summary

    def _begin(self, client: int, side: Side) -> str:
        return f"#{client:<2} {_ARROWS[side]}"

    def _preview(self, data: bytes) -> str:
        """Return the beginning of bytes, as text in quotes if they are text, and how much more there is."""
        head = data[: 4 * _PREVIEW]
        text = None if self.view.form is Form.HEX else _text_of(head, self.view.encoding)
        shown = head.hex(" ") if text is None else escape(text)
        more = len(data) - len(head)
        if len(shown) > _PREVIEW:
            cut = shown[:_PREVIEW]
            used = len(cut) // 3 if text is None else len(cut)
            more, shown = max(1, len(data) - used), cut
        end = f" ... {more:,} more" if more else ""
        return f"{shown.rstrip()}{end}" if text is None else f'"{shown}"{end}'


def _text_of(head: bytes, encoding: str) -> str | None:
    """Return bytes as text, without up to three bytes of a character that is cut at the end."""
    for lost in range(4):
        text = decoded(head[: len(head) - lost], encoding)
        if text is not None:
            return text
    return None


class Shown(NamedTuple):
    """How a part of a conversation is shown: as an object, or as a line; and how many bytes it has."""

    record: Callable[[], Mapping[str, Any]]
    line: Callable[[], str]
    size: int = 0


class Story:
    """Formats conversations part by part: clients that connect and leave, and wanted frames; and times replies."""

    def __init__(self, frames: FrameView, wanted: Wanted, *, is_message: bool = False) -> None:
        self._frames = frames
        self._wanted = wanted
        self._is_message = is_message
        # For each client: when it connected, the time of its last frame, and, after its first request, how long its
        # replies took.
        self._connected_at: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._times: dict[int, list[float]] = {}
        # For each kind of request: how long the replies took.
        self._answers: dict[str, list[float]] = {}

    def shown(self, part: Part) -> Shown | None:
        """Return a part as it is shown; None if it is not shown."""
        if not self._wanted.covers(part.client):
            return None
        match part:
            case Decoded():
                if part.frame.kind is FrameKind.REQUEST:
                    self._times.setdefault(part.client, [])
                if part.request is not None and part.seconds is not None:
                    self._count(part.client, _kind_of(part.request.frame), part.seconds)
                self._last[part.client] = part.t
                if self._wanted.covers(part.client, part.frame.side) and self._wanted.matches(part):
                    frames = self._frames
                    return Shown(partial(frames.record, part), partial(frames.line, part), len(part.frame.data))
            case Said(is_end=True) if self._wanted.covers(part.client, part.side):
                # Frames of earlier data may have been completed later than this.
                end = part._replace(t=max(part.t, self._last.get(part.client, 0.0)))
                line = partial(self._frames.end_line, end, is_message=self._is_message)
                return Shown(partial(event_to_json, end), line)
            case Opened():
                self._connected_at[part.client] = part.t
                return Shown(partial(event_to_json, part), partial(_opened_line, part))
            case Closed():
                times = times_in_words(self._times.pop(part.client, None))
                self._last.pop(part.client, None)
                seconds = part.t - self._connected_at.pop(part.client, part.t)
                return Shown(partial(event_to_json, part), partial(_closed_line, part, seconds, times))
        return None

    def times(self) -> list[dict[str, Any]]:
        """Return how long replies took, for each kind of request; the longest total time is first."""
        found = sorted(self._answers.items(), key=lambda item: -sum(item[1]))
        return [
            {
                "request": summary,
                "replies": len(seconds),
                "median": short_time(sorted(seconds)[len(seconds) // 2]),
                "longest": short_time(max(seconds)),
            }
            for summary, seconds in found
        ]

    def _count(self, client: int, summary: str, seconds: float) -> None:
        times = self._times.setdefault(client, [])
        if len(times) < _MOST_TIMES:
            times.append(seconds)
        if summary in self._answers or len(self._answers) < _MOST_REQUESTS:
            by_request = self._answers.setdefault(summary, [])
            if len(by_request) < _MOST_TIMES:
                by_request.append(seconds)


def _kind_of(request: Frame) -> str:
    """Return the kind of a request: the fields, or the summary, that requests of a kind share."""
    found = (request.fields.get(name) for name in KIND_FIELDS)
    return " ".join(str(one) for one in found if one is not None and one != "") or request.summary


def _opened_line(opened: Opened) -> str:
    facts = opened.facts
    image = str(facts.get("image") or "").rpartition("\\")[2]
    known = (facts.get("pid") and f"pid {facts['pid']}", image, facts.get("user"), facts.get("computer"))
    return f"#{opened.client:<2} connected  {', '.join(str(fact) for fact in known if fact)}".rstrip()


def _closed_line(closed: Closed, seconds: float, times: str) -> str:
    by = f" by the {closed.by}" if closed.by else ""
    more = "".join(f": {text}" for text in (times, closed.error) if text)
    return f"#{closed.client:<2} closed{by} after {short_time(seconds)}{more}"


def short_time(seconds: float) -> str:
    """Return a duration as text, such as `1.2ms` or `3.4s`."""
    if seconds < 1:
        return f"{seconds * 1000:.1f}ms"
    return f"{seconds:.1f}s" if seconds < 1000 else f"{seconds:.0f}s"


def times_in_words(seconds: Sequence[float] | None) -> str:
    """Return the number of replies and their times as text; empty for None, if there was no request."""
    if seconds is None:
        return ""
    if not seconds:
        return "no reply seen"
    middle = sorted(seconds)[len(seconds) // 2]
    return f"{len(seconds):,} answered, median {short_time(middle)}, longest {short_time(max(seconds))}"

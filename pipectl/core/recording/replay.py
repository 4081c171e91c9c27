"""`Player`: plays one side of a recorded conversation, and compares what the other side sends with the recording.

Both are masked in the same way before they are compared, so that a recording without its secrets can be replayed. A
reply is sent as soon as its request arrives, even if the other side had sent more by then in the recording.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from pipectl.core.codecs.base import Codec, Frame, FrameKind, Side
from pipectl.core.constants import WinError
from pipectl.core.errors import CodecError, MismatchError, PipeClosedError

from .conversation import KIND_FIELDS, Choose, Conversation, Decoded, Mask
from .recording import Recording, Said

# The members of a JSON object that pair a reply with its request.
_IDS = ("id", "request_id", "nonce", "call_id")
# The maximum number of lines of each frame in a diff, and the number of context lines.
_MOST_LINES = 200
_CONTEXT = 3


class Match(StrEnum):
    """What counts as the same message: `--match`."""

    EXACT = "exact"
    CODEC = "codec"
    KIND = "kind"
    ANY = "any"


class Rules(NamedTuple):
    """How messages are compared with the recording."""

    match: Match = Match.EXACT
    # JSON pointers to values that are not compared, in the fields of a frame or in a JSON body.
    ignored: tuple[str, ...] = ()
    keeps_ids: bool = True


class Step(NamedTuple):
    """What one side has sent: a frame or, on a message pipe, an empty message, which has no frame."""

    t: float
    side: Side
    frame: Frame | None
    # For a reply: the step that is its request.
    request: int | None = None
    # For the played side of a message pipe: the sizes of the messages that carried the step, and the frames that begin
    # in the first of them; () if the frame is sent with an earlier one.
    sizes: tuple[int, ...] | None = None
    frames: tuple[Frame, ...] = ()


class Script(NamedTuple):
    """A recorded conversation that can be played."""

    client: int
    steps: tuple[Step, ...]
    codec: type[Codec]
    closed_by: str
    # Whether the other side spoke last and was then disconnected by DisconnectNamedPipe, which discards unread data.
    was_reset: bool
    is_message: bool


def scripts(recording: Recording, choose: Choose, mask: Mask, ours: Side) -> list[Script]:
    """Return the conversations of a recording."""
    return [_script(client, said, recording, choose, mask, ours) for client, said in recording.conversations().items()]


def _script(client: int, said: Sequence[Said], recording: Recording, choose: Choose, mask: Mask, ours: Side) -> Script:
    is_message = recording.header.is_message
    first = next((one for one in said if one.data), None)
    codec = type(choose(Side.CLIENT, b"") if first is None else choose(first.side, first.data[:64]))
    conversation = Conversation(client, lambda _side, _first: codec(), mask)
    steps: list[Step] = []
    places: dict[int, int] = {}
    for one in said:
        steps += _steps(conversation.feed(one, is_message=is_message), places, len(steps), is_message=is_message)
    steps += _steps(conversation.end(said[-1].t), places, len(steps), is_message=is_message)
    if is_message:
        _cut(steps, ours, [len(one.data) for one in said if one.side is ours and one.data])
    else:
        steps = _joined(steps)
    end = recording.end_of(client)
    was_reset = end.code == WinError.PIPE_NOT_CONNECTED and said[-1].side is not ours
    return Script(client, tuple(_in_time(steps, ours)), codec, end.by, was_reset, is_message)


def _steps(parts: Iterator[Said | Decoded], places: dict[int, int], count: int, *, is_message: bool) -> Iterator[Step]:
    """Yield the steps of a conversation; `places` maps the identity of each frame to the index of its step."""
    for part in parts:
        if isinstance(part, Decoded):
            places[id(part.frame)] = count
            request = None if part.request is None else places.get(id(part.request.frame))
            yield Step(part.t, part.frame.side, part.frame, request)
        elif is_message and not part.data:
            yield Step(part.t, part.side, None)
        else:
            continue
        count += 1


def _cut(steps: list[Step], ours: Side, sizes: list[int]) -> None:
    """Store in the steps of one side the messages that they were sent in."""
    ahead, first, sent, taken = deque(sizes), -1, 0, 0
    for place, step in enumerate(steps):
        if step.side is not ours or step.frame is None:
            continue
        if sent == taken:  # a frame and a message begin here
            first = place
        group = steps[first]
        mine = list(group.sizes or ())
        taken += len(step.frame.data)
        while ahead and sent < taken:
            sent += ahead[0]
            mine.append(ahead.popleft())
        steps[place] = step._replace(sizes=())
        steps[first] = steps[first]._replace(sizes=tuple(mine), frames=(*group.frames, step.frame))


def _joined(steps: list[Step]) -> list[Step]:
    """Return the steps with adjacent raw bytes joined, because where a stream is split means nothing."""
    joined: list[Step] = []
    places = []
    for step in steps:
        last = joined[-1] if joined else None
        if (
            last is not None
            and step.side is last.side
            and last.frame is not None
            and step.frame is not None
            and last.frame.kind is step.frame.kind is FrameKind.RAW
        ):
            joined[-1] = last._replace(frame=_and(last.frame, step.frame))
        else:
            joined.append(step)
        places.append(len(joined) - 1)
    return [one if one.request is None else one._replace(request=places[one.request]) for one in joined]


def _and(first: Frame, second: Frame) -> Frame:
    return first._replace(data=first.data + second.data, body=first.body + second.body)


def _in_time(steps: list[Step], ours: Side) -> list[Step]:
    """Return the steps with each reply of our side before what the other side sent after its request."""
    found: list[tuple[int, Step]] = []
    for place, step in enumerate(steps):
        at = len(found)
        is_alone = step.sizes is None or len(step.sizes) == len(step.frames) == 1
        if step.side is ours and step.request is not None and is_alone:
            while at and found[at - 1][1].side is not ours and found[at - 1][0] > step.request:
                at -= 1
        found.insert(at, (place, step))
    return [step for _, step in found]


class Player:
    """Plays one side of a conversation.

    Call `next` and send what it returns, until it returns None. Pass what arrives to `feed`; `next` compares it.
    """

    def __init__(self, script: Script, ours: Side, rules: Rules, mask: Mask) -> None:
        self.script = script
        self._ours = ours
        self._rules = rules
        self._codec = script.codec
        self._live = Conversation(script.client, lambda _side, _first: script.codec(), mask)
        # What the other side has sent and `next` has not compared yet; None is an empty message.
        self._heard: deque[Frame | None] = deque()
        self._place = 0
        # The current values of ids, by the ids of their frames in the recording.
        self._ids: dict[str, Any] = {}

    @property
    def is_over(self) -> bool:
        """Return whether all steps are played."""
        return self._place == len(self.script.steps)

    def feed(self, data: bytes) -> None:
        """Add what the other side has sent: a read, or a message."""
        said = Said(0.0, self.script.client, self._ours.other, data, not data)
        self._add(self._live.feed(said, is_message=self.script.is_message))
        if not data and self.script.is_message:
            self._heard.append(None)

    def leave(self) -> None:
        """End the other side. Raises PipeClosedError if the recording has more from it, and MismatchError."""
        self._add(self._live.end(0.0))
        while self.next() is not None:
            pass
        left = [step for step in self.script.steps[self._place :] if step.side is not self._ours and step.frame]
        if left:
            said = len([step for step in self.script.steps if step.side is not self._ours and step.frame]) - len(left)
            raise PipeClosedError(
                f"the {self._ours.other} of conversation {self.script.client} left after {said} of its "
                f"{said + len(left)} messages",
                topic="replay",
            )

    def next(self) -> tuple[float, Sequence[bytes]] | None:
        """Return the time and the writes of the next step to send; None means wait. Raises MismatchError."""
        steps = self.script.steps
        while self._place < len(steps):
            step = steps[self._place]
            if step.side is self._ours:
                self._place += 1
                return step.t, self._writes(step)
            if not (self._heard and self._is_next(step)):
                return None
            self._place += 1
        if self._heard and self._rules.match is not Match.ANY:
            raise self._different(None, self._heard[0])
        return None

    # Comparing

    def _add(self, parts: Iterator[Said | Decoded]) -> None:
        for part in parts:
            if not isinstance(part, Decoded):
                continue
            last, frame = self._heard[-1] if self._heard else None, part.frame
            if not self.script.is_message and last and last.kind is frame.kind is FrameKind.RAW:
                self._heard[-1] = _and(last, frame)
            else:
                self._heard.append(frame)

    def _is_next(self, step: Step) -> bool:
        """Compare what arrived with a step; return False if more is needed. Raises MismatchError on a difference."""
        heard, expected = self._heard[0], step.frame
        if (heard is None) != (expected is None):
            if self._rules.match is not Match.ANY:
                raise self._different(expected, heard)
        elif heard is not None and expected is not None:
            is_raw = heard.kind is expected.kind is FrameKind.RAW and not self.script.is_message
            if is_raw and self._rules.match is not Match.ANY:
                return self._is_next_raw(heard, expected)
            if not self._is_same(expected, heard):
                raise self._different(expected, heard)
            self._remember(expected, heard)
        self._heard.popleft()
        return True

    def _is_next_raw(self, heard: Frame, expected: Frame) -> bool:
        size = len(expected.data)
        if not (heard.data.startswith(expected.data) or expected.data.startswith(heard.data)):
            raise self._different(expected, heard)
        if len(heard.data) < size:
            return False
        self._heard.popleft()
        if rest := heard.data[size:]:
            self._heard.appendleft(heard._replace(data=rest, body=rest))
        return True

    def _is_same(self, expected: Frame, heard: Frame) -> bool:
        match self._rules.match:
            case Match.ANY:
                return True
            case Match.KIND:
                return _kind(expected) == _kind(heard)
            case Match.CODEC:
                return bool(self._meaning(expected) == self._meaning(heard))
        if expected.data == heard.data:
            return True
        ids = _id_of(expected), _id_of(heard)
        if not (self._rules.keeps_ids and ids[0] and ids[1]):
            return False
        return _with_id(heard.body, ids[1][0], ids[1][1], ids[0][1]) == expected.body

    def _meaning(self, frame: Frame) -> Any:
        ignored = [*self._rules.ignored, *(f"/{key}" for key in _IDS if self._rules.keeps_ids and frame.ident)]
        value = _json_of(frame.body)
        return (
            frame.kind,
            _without(frame.fields, ignored),
            frame.body if value is None else _without(value, ignored),
        )

    def _remember(self, expected: Frame, heard: Frame) -> None:
        if self._rules.keeps_ids and heard.kind is FrameKind.REQUEST and expected.ident:
            found = _id_of(heard)
            if found is not None:
                self._ids[expected.ident] = found[1]

    # Sending

    def _writes(self, step: Step) -> Sequence[bytes]:
        if step.frame is None:
            return (b"",)
        if step.sizes is None:
            return (self._now(step.frame),)
        data = b"".join(map(self._now, step.frames))
        if not step.sizes:
            return ()
        writes = []
        for size in step.sizes[:-1]:
            writes.append(data[:size])
            data = data[size:]
        return (*writes, data)

    def _now(self, frame: Frame) -> bytes:
        """Return a frame's bytes, with the current id of its request."""
        if frame.kind not in (FrameKind.REPLY, FrameKind.ERROR) or frame.ident not in self._ids:
            return frame.data
        found, value = _id_of(frame), self._ids[frame.ident]
        if found is None or found[1] == value:
            return frame.data
        body = _with_id(frame.body, *found, value)
        fields = {key: frame.fields[key] for key in ("op",) if key in frame.fields}
        try:
            return self._codec().wrap(fields, body)
        except CodecError:
            return frame.data

    # Reporting

    def _different(self, expected: Frame | None, heard: Frame | None) -> MismatchError:
        from difflib import unified_diff

        lines = [_lines(expected), _lines(heard)]
        if self._rules.match is Match.CODEC:
            lines = [[] if one is None else self._lines_of_meaning(one) for one in (expected, heard)]
        who = self._ours.other
        diff = unified_diff(lines[0], lines[1], "recorded", "now", n=_CONTEXT, lineterm="")
        count = len([step for step in self.script.steps[: self._place] if step.side is who]) + 1
        what = "said more than was recorded" if self.is_over else "said something else"
        return MismatchError(f"conversation {self.script.client}, message {count}: the {who} {what}", "\n".join(diff))

    def _lines_of_meaning(self, frame: Frame) -> list[str]:
        kind, fields, body = self._meaning(frame)
        shown = [str(kind), *json.dumps(fields, indent=1, default=str).split("\n")]
        return [*shown, *(_lines(frame) if isinstance(body, bytes) else json.dumps(body, indent=1).split("\n"))]


def _kind(frame: Frame) -> tuple[Any, ...]:
    return frame.kind, *(frame.fields.get(name) for name in KIND_FIELDS)


def _lines(frame: Frame | None) -> list[str]:
    """Return a frame's content as lines: JSON and text unchanged, anything else in hex."""
    if frame is None:
        return []
    value = _json_of(frame.body)
    if value is not None:
        shown = json.dumps(value, indent=1, ensure_ascii=False).split("\n")
    else:
        try:
            shown = frame.data.decode().splitlines() or [""]
        except UnicodeDecodeError:
            shown = [frame.data[at : at + 16].hex(" ") for at in range(0, len(frame.data), 16)]
    return shown[:_MOST_LINES]


def _json_of(body: bytes) -> Any:
    """Parse a body as a JSON object or array; return None if it is neither."""
    if body.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _without(value: Any, pointers: Sequence[str]) -> Any:
    """Return a value without the parts that JSON pointers refer to."""
    for pointer in pointers:
        keys = [key.replace("~1", "/").replace("~0", "~") for key in pointer.removeprefix("/").split("/")]
        value = _pruned(value, keys)
    return value


def _pruned(value: Any, keys: Sequence[str]) -> Any:
    prune = partial(_pruned, keys=keys[1:])
    if isinstance(value, Mapping):
        return {key: one if key != keys[0] else prune(one) for key, one in value.items() if key != keys[0] or keys[1:]}
    if isinstance(value, list):
        return [
            one if str(at) != keys[0] else prune(one) for at, one in enumerate(value) if str(at) != keys[0] or keys[1:]
        ]
    return value


def _id_of(frame: Frame) -> tuple[str, Any] | None:
    """Return the key and the value of the id in a JSON body, or None."""
    value = _json_of(frame.body) if frame.ident is not None else None
    if not isinstance(value, dict):
        return None
    return next(((key, value[key]) for key in _IDS if isinstance(value.get(key), int | str)), None)


def _with_id(body: bytes, key: str, old: Any, new: Any) -> bytes:
    """Replace the id in a JSON object and keep all other bytes; return the body unchanged if that is not possible."""
    wanted = json.loads(body) | {key: new}
    for is_ascii in (True, False):
        text = json.dumps(old, ensure_ascii=is_ascii).encode()
        for match in re.finditer(rb'("%b"\s*:\s*)%b' % (key.encode(), re.escape(text)), body):
            changed = body[: match.end(1)] + json.dumps(new).encode() + body[match.end() :]
            if _json_of(changed) == wanted:
                return changed
    return body

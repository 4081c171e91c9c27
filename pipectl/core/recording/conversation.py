"""`Conversation`: one client's data, decoded into frames and with its secrets masked, before it is shown or recorded.

A secret can be split over several reads, so a read is released only when frames cover all its bytes. The codec holds
back at most one frame of each side. Without a codec, every read is released at once.
"""

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from pipectl.core.codecs.base import Codec, Frame, FrameKind, Side

from .recording import Closed, Event, Opened, Recording, Said

# Replaces every masked byte. A mask is as long as what it hides, so that lengths in the data stay correct.
_MASK = b"*"
# Maximum number of requests that wait for a reply: a request that never gets one must not use memory forever.
_MOST_OPEN = 10_000
# Shorter secrets are not masked in texts, where the same characters may mean something else.
_SHORTEST = 4

# The fields of a frame that identify the kind of message, for any codec.
KIND_FIELDS = ("method", "path", "op", "cmd", "command", "type", "event", "evt", "status")


class Decoded(NamedTuple):
    """A masked frame of a client's conversation, and the time when its last byte arrived."""

    t: float
    client: int
    frame: Frame
    # For a reply: its request.
    request: "Decoded | None" = None

    @property
    def seconds(self) -> float | None:
        """Return the seconds between a reply and its request."""
        return None if self.request is None else self.t - self.request.t


class Mask:
    """Masks secrets: those that codecs know, and the matches of regular expressions, or of the groups in them."""

    def __init__(self, patterns: Sequence[str] = (), *, shows_secrets: bool = False) -> None:
        """Raises `re.error` for a pattern that is not a regular expression of Python."""
        self.patterns = tuple(patterns)
        self.shows_secrets = shows_secrets
        self._compiled = [re.compile(pattern.encode()) for pattern in patterns]

    def frame(self, frame: Frame) -> Frame:
        """Return a frame without its secrets."""
        spans = [] if self.shows_secrets else [one.indices(len(frame.data))[:2] for one in frame.secrets]
        spans += self._matches(frame.data)
        in_body = self._matches(frame.body)
        if not (spans or in_body):
            return frame
        found = {frame.data[start:end] for start, end in spans} | {frame.body[start:end] for start, end in in_body}
        hidden = sorted((one for one in found if len(one) >= _SHORTEST), key=len, reverse=True)
        words = {one.decode(errors="replace"): "*" * len(one) for one in hidden}
        body = _masked(frame.body, in_body)
        for one in hidden:
            body = body.replace(one, _MASK * len(one))
        return frame._replace(
            data=_masked(frame.data, spans),
            body=body,
            summary=_without(frame.summary, words),
            fields=_without(frame.fields, words),
        )

    def _matches(self, data: bytes) -> list[tuple[int, int]]:
        return [
            match.span(group)
            for pattern in self._compiled
            for match in pattern.finditer(data)
            for group in (range(1, pattern.groups + 1) if pattern.groups else (0,))
            if match.start(group) < match.end(group)
        ]


def _masked(data: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    masked = bytearray(data)
    for start, end in spans:
        masked[start:end] = _MASK * max(0, end - start)
    return bytes(masked)


def _without(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for word, mask in words.items():
            value = value.replace(word, mask)
        return value
    if isinstance(value, Mapping):
        return {key: _without(one, words) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without(one, words) for one in value]
    return value


class Pieces(Codec):
    """Passes every read on unchanged: the codec for "no codec"."""

    name = "none"
    title = "bytes as they are read"

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:  # noqa: ARG002
        """Yield one frame."""
        if data:
            yield Frame(side, data, data)

    def end(self, side: Side) -> Iterator[Frame]:  # noqa: ARG002
        """Yield nothing, because `feed` keeps nothing."""
        return iter(())


# Chooses the codec of a conversation by its first bytes.
Choose = Callable[[Side, bytes], Codec]


class Conversation:
    """Decodes and masks the data of one client and its server."""

    def __init__(
        self, client: int, choose: Choose, mask: Mask, *, failed: Callable[[Exception], None] = lambda _error: None
    ) -> None:
        """`failed` is called with an exception of the codec; all later frames are raw."""
        self.client = client
        self._choose = choose
        self._mask = mask
        self._failed = failed
        self._codec: Codec | None = None
        # The reads that are not released yet, and the masked bytes of each side that will replace theirs.
        self._waiting: deque[Said] = deque()
        self._ready = {Side.CLIENT: bytearray(), Side.SERVER: bytearray()}
        self._requests: dict[Side, OrderedDict[str | int, Decoded]] = {side: OrderedDict() for side in Side}
        self._count = 0

    def feed(self, said: Said, *, is_message: bool = False) -> Iterator[Said | Decoded]:
        """Yield the frames that are now complete and the reads that can now be recorded, masked and in order."""
        if self._codec is None and said.data:
            self._codec = self._choose(said.side, said.data[:64])
        self._waiting.append(said)
        if self._codec is not None and said.data:
            yield from self._taken(said, partial(self._codec.feed, said.side, said.data, message=is_message))
        if self._codec is not None and said.is_end and not is_message:
            yield from self._taken(said, partial(self._codec.end, said.side))
        yield from self._given_out()

    def end(self, t: float) -> Iterator[Said | Decoded]:
        """Yield what is left when the connection has ended."""
        for side in Side:
            if self._codec is None:
                break
            said = Said(t, self.client, side, b"")
            yield from self._taken(said, partial(self._codec.end, side))
            if rest := self._unframed(side):
                yield self._decoded(said, Frame(side, rest, rest))
        yield from self._given_out()

    def _taken(self, said: Said, frames: Callable[[], Iterator[Frame]]) -> Iterator[Decoded]:
        """Yield masked frames; if the codec fails, yield the rest of each side raw, and decode nothing more."""
        try:
            found = list(frames())
        except Exception as error:  # noqa: BLE001 - a third-party codec must not stop the relay
            self._codec, found = Pieces(), []
            self._failed(error)
            for side in Side:
                if rest := self._unframed(side):
                    yield self._decoded(said, Frame(side, rest, rest, FrameKind.RAW))
        for frame in found:
            yield self._decoded(said, frame)

    def _unframed(self, side: Side) -> bytes:
        data = b"".join(one.data for one in self._waiting if one.side is side)
        return data[len(self._ready[side]) :]

    def _decoded(self, said: Said, frame: Frame) -> Decoded:
        frame = self._mask.frame(frame)
        self._ready[frame.side] += frame.data
        one = Decoded(said.t, self.client, frame)
        if frame.kind is FrameKind.REQUEST:
            self._count += 1
            asked = self._requests[frame.side]
            asked[self._count if frame.ident is None else frame.ident] = one
            if len(asked) > _MOST_OPEN:
                asked.popitem(last=False)
        elif frame.kind in (FrameKind.REPLY, FrameKind.ERROR):
            return one._replace(request=self._request_of(frame))
        return one

    def _request_of(self, frame: Frame) -> Decoded | None:
        asked = self._requests[frame.side.other]
        if frame.ident is not None:
            return asked.pop(frame.ident, None)
        first = next((key for key in asked if isinstance(key, int)), None)
        return None if first is None else asked.pop(first)

    def _given_out(self) -> Iterator[Said]:
        while self._waiting:
            said = self._waiting[0]
            ready = self._ready[said.side]
            if len(ready) < len(said.data):
                return
            self._waiting.popleft()
            data = bytes(ready[: len(said.data)])
            del ready[: len(said.data)]
            yield said._replace(data=data)


# The parts of a conversation: the events of a recording, and the decoded frames.
Part = Opened | Said | Decoded | Closed


class Conversations:
    """Decodes and masks the data of all clients and their server."""

    def __init__(
        self, choose: Choose, mask: Mask, *, failed: Callable[[Exception], None] = lambda _error: None
    ) -> None:
        self._make = partial(Conversation, choose=choose, mask=mask, failed=failed)
        self._open: dict[int, Conversation] = {}

    def feed(self, event: Event, *, is_message: bool = False) -> Iterator[Part]:
        """Yield the parts that are now complete; consume them before the next call."""
        match event:
            case Said():
                if event.client not in self._open:
                    self._open[event.client] = self._make(event.client)
                yield from self._open[event.client].feed(event, is_message=is_message)
            case Closed():
                if event.client in self._open:
                    yield from self._open.pop(event.client).end(event.t)
                yield event
            case _:
                yield event

    def end(self, t: float) -> Iterator[Part]:
        """Yield what is left of all open conversations."""
        for client in list(self._open):
            yield from self._open.pop(client).end(t)

    def replay(self, recording: Recording) -> Iterator[Part]:
        """Yield all parts of a recording."""
        is_message = recording.header.is_message
        for event in recording.events:
            yield from self.feed(event, is_message=is_message)
        yield from self.end(max((event.t for event in recording.events), default=0.0))

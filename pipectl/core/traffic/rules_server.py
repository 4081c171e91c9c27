"""`RulesServer`: a PipeServer whose answers come from a rules file."""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from pipectl.core.codecs.base import Codec, Frame, FrameKind, Side
from pipectl.core.errors import CheckFailedError, FrameError, PipeError
from pipectl.core.pipe.client import Client, State
from pipectl.core.pipe.framed import Splitter
from pipectl.core.pipe.frames import Frames
from pipectl.core.recording.conversation import Mask

from .faults import Faults, Outgoing
from .planned import PlanServer
from .rules import Actor, Choice, Play, Rule, Rules
from .rules_match import Who

# Seconds between two checks whether the rules have changed.
_GLANCE = 0.3
_NOTHING = Frame(Side.CLIENT, b"", b"")
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class RulesEvents(Protocol):
    """Identifies the clients of a server and receives its events; called in the server's thread."""

    def who(self, client: Client) -> Who:
        """Return who a client is; called after `ServerEvents.connected`."""

    def matched(self, client: Client, rule: Rule, frame: Frame) -> None:
        """A rule applies to a message."""

    def unmatched(self, client: Client, frame: Frame) -> None:
        """No rule applies to a message."""

    def invalid(self, client: Client, reason: str) -> None:
        """A client has sent an invalid frame, or has left within one."""

    def greeted(self, client: Client, data: bytes) -> None:
        """A client is sent the greeting."""

    def reloaded(self, rules: Rules) -> None:
        """The rules were replaced."""


class _Decoder:
    """Splits what a client sends into the frames of a codec."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that these bytes complete; nothing after an invalid one."""
        for frame in self._codec.feed(Side.CLIENT, data):
            yield frame
            if frame.kind is FrameKind.BAD:
                return

    def answered(self, data: bytes) -> list[Frame]:
        """Feed a reply, without its faults, to the codec; return its frames, and client frames that it completes.

        A codec may need both sides: what a client sends after an upgrade depends on the reply.
        """
        return list(self._codec.feed(Side.SERVER, data))

    def close(self) -> None:
        """Raise FrameError if the client has left within a frame."""
        for frame in self._codec.end(Side.CLIENT):
            if frame.kind is FrameKind.BAD:
                raise FrameError(frame.summary)


class _NotedFrames:
    """Splits what a client sends into frames, and reports an invalid one."""

    def __init__(self, frames: Frames, note: Callable[[str], None]) -> None:
        self._frames = frames
        self._note = note
        self.close = frames.close

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the bodies of frames that these bytes complete; raises PipeError for an invalid one."""
        try:
            yield from self._frames.feed(data)
        except PipeError as error:
            self._note(error.reason)
            raise


class RulesServer(PlanServer):
    """Serves a pipe by rules; `wait` raises CheckFailedError if a check has failed.

    With `is_strict`, a message that is invalid, or that no rule applies to, fails the check and stops the server; with
    `expects_all`, also a rule that was not used as often as expected fails it, at the end. `reload` is called a few
    times each second, and returns new rules or None.
    """

    def __init__(
        self,
        pipe: str,
        rules: Rules,
        *,
        faults: Faults,
        rules_events: RulesEvents,
        is_strict: bool = False,
        expects_all: bool = False,
        reload: Callable[[], Rules | None] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pipe, self._reply, rules.framing, faults=faults, **options)
        self.play = Play(rules, faults.seed)
        self._codec = rules.codec
        self._is_framed = rules.framing is not None or rules.codec is not None
        self._is_http = rules.framing is not None and str(rules.framing) == "http"
        self._rules_events = rules_events
        self._is_strict = is_strict
        self._expects_all = expects_all
        self._reload = reload
        self._mask = Mask()
        self._actors: WeakKeyDictionary[Client, Actor] = WeakKeyDictionary()
        # The frame that is being answered.
        self._frame = _NOTHING

    def start(self) -> "RulesServer":
        super().start()
        if self._reload is not None:
            self.post(self._look_at_the_rules)
        return self

    def wait(self, timeout: float | None = None) -> bool:
        is_over = super().wait(timeout)
        if is_over and self._expects_all and (unmet := self.play.unmet()):
            raise CheckFailedError("; ".join(unmet), pipe=self.pipe, topic="rules")
        return is_over

    def _look_at_the_rules(self) -> None:
        if self._reload is None or self._is_stopping:
            return
        rules = self._reload()
        if rules is not None:
            self.play.replace(rules)
            self._rules_events.reloaded(rules)
        self._after(_GLANCE, self._look_at_the_rules)

    # What is received

    def _greet(self, client: Client) -> None:
        super()._greet(client)
        self._actors[client] = self.play.actor(self._rules_events.who(client))
        greeting = self.play.greeting(self._actors[client], _NOTHING)
        if greeting and client.state is State.CONNECTED:
            self.send(client, greeting)
            self._rules_events.greeted(client, b"".join(one.shown for one in greeting))

    def _splitter(self, client: Client) -> Splitter:
        if self._codec is not None:
            return _Decoder(self._codec(self._config.max_message))
        frames = Frames(self._framing, self._config.max_message, self.pipe)
        return _NotedFrames(frames, partial(self._note_invalid, client))

    def _take(self, client: Client, frame: Any) -> None:
        if not isinstance(frame, Frame):
            super()._take(client, frame)
        elif frame.kind is FrameKind.BAD:
            self._refuse(client, frame)
        else:
            self._frame = frame
            super()._take(client, self._mask.frame(frame).data)

    def _refuse(self, client: Client, frame: Frame) -> None:
        """Close a client that has sent an invalid frame; an HTTP server sends status 400 first."""
        if self._codec is not None and self._codec.framing == "http":
            client.queue(_BAD_REQUEST)
        self._note_invalid(client, frame.summary)
        client.begin_close(FrameError(frame.summary, pipe=self.pipe))
        self._settle(client)

    def _reply(self, client: Client, data: bytes) -> tuple[Outgoing, ...]:
        """Return the answer to a message; the server's handler."""
        frame = self._frame if self._codec is not None else self._without_codec(data)
        self._frame = _NOTHING
        choice = self.play.choose(self._actors[client], frame)
        self._report_choice(client, choice, self._mask.frame(frame))
        if choice.closes:
            self.close_client(client)
        return tuple(self._followed(client, one) for one in choice.outgoing)

    def _followed(self, client: Client, one: Outgoing) -> Outgoing:
        """Feed a reply to the codec of a client; return it with its secrets masked in what a log shows."""
        splitter, waiting = self._streams.get(client, (None, deque()))
        if not isinstance(splitter, _Decoder) or not one.data:
            return one
        frames = splitter.answered(one.data)
        waiting.extend(frame for frame in frames if frame.side is Side.CLIENT)
        shown = b"".join(self._mask.frame(frame).data for frame in frames if frame.side is Side.SERVER)
        return one._replace(shown=shown) if len(shown) == len(one.data) else one

    def _without_codec(self, data: bytes) -> Frame:
        return Frame(Side.CLIENT, data, data.partition(b"\r\n\r\n")[2] if self._is_http else data)

    def _report_choice(self, client: Client, choice: Choice, frame: Frame) -> None:
        if choice.rule is not None:
            self._rules_events.matched(client, choice.rule, frame)
            return
        self._rules_events.unmatched(client, frame)
        if self._is_strict:
            number = self._actors[client].who.number
            what = frame.summary or f"{len(frame.body)} bytes"
            self.fail_check(f"no rule applies to a message of client #{number}: {what}")

    def _report_left(self, client: Client) -> None:
        if client in self._streams and client.error is None:
            splitter = self._streams[client][0]
            try:
                if isinstance(splitter, _NotedFrames | _Decoder):
                    splitter.close()
            except PipeError as error:
                left = f" after {len(error.partial)} bytes" if error.partial else ""
                self._note_invalid(client, f"{error.reason}{left}")
        super()._report_left(client)

    def _note_invalid(self, client: Client, reason: str) -> None:
        self._rules_events.invalid(client, reason)
        if self._is_strict:
            self.fail_check(f"client #{self._actors[client].who.number} has sent an invalid frame: {reason}")

    def fail_check(self, reason: str) -> None:
        """Stop the server because a check has failed; `wait` raises CheckFailedError."""
        self.abort(CheckFailedError(reason, pipe=self.pipe, topic="rules"))

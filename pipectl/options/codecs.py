"""Applies `--codec` in `call`, `transact`, `read` and `connect`: wraps requests, and decodes received data."""

from collections.abc import Iterable, Mapping
from typing import Any

from pipectl.core.codecs.base import Codec, Frame, FrameKind, Side
from pipectl.core.codecs.plugins import find
from pipectl.core.codecs.replies import CodecRule, request_of
from pipectl.core.pipe.frames import Framing
from pipectl.core.recording.conversation import Decoded, Mask
from pipectl.output import Form, Mode, Output, View
from pipectl.output.frames import FrameView
from pipectl.output.text import decoded, for_json, for_person


class Decoder:
    """Decodes one connection with the codec of `--codec`, and shows what the server sends, with its secrets masked."""

    def __init__(self, output: Output, view: View, codec: str, *, shows_secrets: bool, is_reply: bool = True) -> None:
        """`is_reply`: the frames of a reply are shown together; otherwise, each frame is shown alone."""
        self._output = output
        self._view = view
        self._codec: type[Codec] = find(codec)
        self._mask = Mask(shows_secrets=shows_secrets)
        self._rule = CodecRule(self._codec(), is_reply=is_reply)
        self._frames = FrameView(view)
        self._is_reply = is_reply
        self._has_warned = False

    @property
    def rule(self) -> Framing | None:
        """The rule for where a reply ends; None for a codec without replies."""
        knows = self._codec.makes_frames() or self._codec.framing != "chunk"
        return self._rule if knows or not self._is_reply else None

    def request(self, data: bytes) -> bytes:
        """Return the frame of a request; raises CodecError if the protocol has none for this data."""
        return request_of(self._codec, data)

    def show_reply(self, request: bytes, reply: bytes, facts: Mapping[str, Any], *, was_split: bool) -> None:
        """Show a reply; `was_split` means that `rule` has ended it."""
        rule = self._rule
        if was_split:
            self._show(rule.take(), facts, "reply")
        else:
            rule = CodecRule(self._codec())
            rule.for_reply_to(request)
            self._show([*rule.feed(Side.SERVER, reply), *rule.feed(Side.SERVER)], facts, "reply")
        self._warn(rule)

    def show_pieces(self, facts: Mapping[str, Any]) -> None:
        """Show the frames that `rule` has found."""
        self._show(self._rule.take(), facts, "data")
        self._warn(self._rule)

    def taken_as_text(self) -> str:
        """Return the frames that `rule` has found, as text for a person."""
        frames = self._rule.take()
        self._warn(self._rule)
        return "\n".join(self.text(self._mask.frame(frame)) for frame in frames)

    def text(self, frame: Frame) -> str:
        """Return a frame as text for a person: its summary, and its body if that says more."""
        line = self._frames.what(Decoded(0, 1, frame))
        body = frame.body.decode(errors="replace").strip()
        says_no_more = not body or body in frame.summary
        if frame.kind in (FrameKind.RAW, FrameKind.BAD) or says_no_more or self._is_shown_by_fields(frame):
            return line
        return f"{line}\n{for_person(frame.body, *self._view)}".removesuffix("\n")

    def _is_shown_by_fields(self, frame: Frame) -> bool:
        """Return whether the body is binary, and the summary already describes it."""
        is_text = decoded(frame.body, self._view.encoding) is not None
        return bool(frame.fields) and not is_text and self._view.form is Form.AUTO

    def _show(self, frames: Iterable[Frame], facts: Mapping[str, Any], field: str) -> None:
        frames = [self._mask.frame(frame) for frame in frames]
        output, view = self._output, self._view
        if view.form is Form.RAW or output.mode is Mode.RAW:
            output.data.payload(b"".join(frame.body for frame in frames), view._replace(form=Form.RAW), facts)
        elif output.is_json:
            data = b"".join(frame.data for frame in frames)
            output.data.payload(data, view, {**facts, "decoded": list(map(self._record, frames))}, field=field)
        else:
            for frame in frames:
                output.data.event({}, self.text(frame))

    def _record(self, frame: Frame) -> dict[str, Any]:
        record: dict[str, Any] = {"kind": frame.kind.value, "summary": frame.summary}
        if frame.fields:
            record["fields"] = dict(frame.fields)
        if frame.body != frame.data:
            record["body"] = for_json(frame.body, self._view.encoding, self._view.form)
        return record

    def _warn(self, rule: CodecRule) -> None:
        if rule.failed is not None and not self._has_warned:
            self._has_warned = True
            self._output.warning(f"{rule.failed}: what follows is not decoded")

"""What one client says, decoded and masked: secrets are out of it before anything is given out, however it was cut."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.codecs.base import Codec, Frame, FrameKind, Side
from pipectl.core.recording.conversation import Conversation, Decoded, Mask, Pieces
from pipectl.core.recording.recording import Said


class Lines(Codec):
    """Lines; what follows `key=` is a secret, `?N` is a request, and `!N` its reply."""

    name = "lines"

    def __init__(self) -> None:
        self._rest = {Side.CLIENT: b"", Side.SERVER: b""}

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:  # noqa: ARG002
        *lines, self._rest[side] = (self._rest[side] + data).split(b"\n")
        for line in lines:
            yield self._frame(side, line + b"\n")

    def end(self, side: Side) -> Iterator[Frame]:
        rest, self._rest[side] = self._rest[side], b""
        if rest:
            yield self._frame(side, rest)

    def _frame(self, side: Side, line: bytes) -> Frame:
        body = line.rstrip(b"\n")
        kind = {b"?": FrameKind.REQUEST, b"!": FrameKind.REPLY}.get(body[:1], FrameKind.EVENT)
        secret = re.search(rb"key=(.*)", body)
        return Frame(
            side,
            line,
            body,
            kind,
            body.decode(errors="replace"),
            {"text": body.decode(errors="replace"), "parts": [body.decode(errors="replace")]},
            body[1:].decode(errors="replace") or None,
            (slice(*secret.span(1)),) if secret else (),
        )


def heard(parts: list[Said], *, mask: Mask | None = None, codec: type[Codec] = Lines) -> list[Said | Decoded]:
    conversation = Conversation(1, lambda _side, _first: codec(), mask or Mask())
    found = [one for said in parts for one in conversation.feed(said)]
    return [*found, *conversation.end(9)]


def said(data: bytes, side: Side = Side.CLIENT, t: float = 0) -> Said:
    return Said(t, 1, side, data)


def recorded(found: list[Said | Decoded]) -> list[Said]:
    return [one for one in found if isinstance(one, Said)]


def frames(found: list[Said | Decoded]) -> list[Frame]:
    return [one.frame for one in found if isinstance(one, Decoded)]


TEXT = b"?1\nkey=secret!\nx\n\xff\x00\nkey=other secret\nend"
MASKED = b"?1\nkey=*******\nx\n\xff\x00\nkey=************\nend"


@given(st.lists(st.integers(0, len(TEXT))), st.lists(st.booleans(), min_size=1))
def test_a_secret_is_masked_wherever_it_is_cut(cuts: list[int], sides: list[bool]) -> None:
    edges = [0, *sorted(cuts), len(TEXT)]
    parts: list[Said] = []
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        parts.append(said(TEXT[start:end]))
        if sides[number % len(sides)]:
            parts.append(said(TEXT[start:end], Side.SERVER))
    found = recorded(heard(parts))
    assert [(one.side, len(one.data)) for one in found] == [(one.side, len(one.data)) for one in parts]
    for side in Side:
        whole = b"".join(one.data for one in parts if one.side is side)
        masked = b"".join(one.data for one in found if one.side is side)
        assert whole != TEXT or masked == MASKED


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=20)), max_size=20))
def test_without_secrets_everything_is_given_out_as_it_came(parts: list[tuple[Side, bytes]]) -> None:
    given_in = [said(data.replace(b"key=", b""), side) for side, data in parts]
    assert recorded(heard(given_in, mask=Mask(shows_secrets=True))) == given_in


def test_what_a_frame_still_lacks_is_held_back_and_no_more() -> None:
    conversation = Conversation(1, lambda _side, _first: Lines(), Mask())
    first, second, third = said(b"a\nke"), said(b"", Side.SERVER), said(b"y=1\n")
    assert not recorded(list(conversation.feed(first)))
    assert not recorded(list(conversation.feed(second)))
    assert [one.data for one in recorded(list(conversation.feed(third)))] == [b"a\nke", b"", b"y=*\n"]


def test_a_masked_frame_shows_the_secret_nowhere() -> None:
    (frame,) = frames(heard([said(b"key=hunter2!\n")]))
    assert frame.data == b"key=********\n"
    assert "hunter2" not in repr(frame._replace(ident=None))
    assert frame.fields["parts"] == ["key=********"]


def test_secrets_can_be_shown() -> None:
    (frame,) = frames(heard([said(b"key=hunter2!\n")], mask=Mask(shows_secrets=True)))
    assert frame.data == b"key=hunter2!\n"


@pytest.mark.parametrize(
    ("pattern", "masked"), [("hun.er", b"say ******2 and ******3\n"), ("(hun)ter(2)", b"say ***ter* and hunter3\n")]
)
def test_matches_of_a_pattern_or_of_its_groups_are_masked(pattern: str, masked: bytes) -> None:
    found = heard([said(b"say hun"), said(b"ter2 and hunter3\n")], mask=Mask([pattern]))
    assert b"".join(one.data for one in recorded(found)) == masked
    assert frames(found)[0].data == masked


def test_masking_a_second_time_changes_nothing() -> None:
    mask = Mask(["hun.er"])
    once = recorded(heard([said(b"hunter\nkey=abcdef\n")], mask=mask))
    assert recorded(heard(once, mask=mask)) == once


def test_a_reply_has_the_time_since_its_request_by_its_number_or_in_order() -> None:
    parts = [
        said(b"?1\n", t=1),
        said(b"?2\n", t=2),
        said(b"?\n?\n", t=3),
        said(b"!2\n", Side.SERVER, 5),
        said(b"!1\n", Side.SERVER, 7),
        said(b"!\n", Side.SERVER, 8),
        said(b"!3\n", Side.SERVER, 9),
    ]
    replies = [one for one in heard(parts) if isinstance(one, Decoded) and one.frame.kind is FrameKind.REPLY]
    assert [one.seconds for one in replies] == [3, 6, 5, None]


def test_without_a_codec_each_read_is_a_frame() -> None:
    found = heard([said(b"a"), said(b""), said(b"bc", Side.SERVER)], codec=Pieces)
    assert [frame.data for frame in frames(found)] == [b"a", b"bc"]
    assert [one.data for one in recorded(found)] == [b"a", b"", b"bc"]


class Broken(Lines):
    """Fails at the word `fail`, and loses the word `lose`."""

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        for frame in super().feed(side, data, message=message):
            if frame.body == b"lose":
                continue
            yield frame
            assert frame.body != b"fail"


def test_a_codec_that_fails_or_loses_data_harms_nothing() -> None:
    errors: list[Exception] = []
    for word in (b"fail", b"lose"):
        conversation = Conversation(1, lambda _side, _first: Broken(), Mask(), failed=errors.append)
        parts = [said(b"a\nbc"), said(b"d", Side.SERVER), said(b"\n" + word + b"\nx"), said(b"rest\n")]
        found: list[Any] = [one for part in parts for one in conversation.feed(part)]
        found += conversation.end(9)
        assert len(recorded(found)) == len(parts)
        if word == b"fail":
            assert recorded(found) == parts
            assert (
                b"".join(frame.data for frame in frames(found) if frame.side is Side.CLIENT) == b"a\nbc\nfail\nxrest\n"
            )
    assert [type(error) for error in errors] == [AssertionError]

"""Conversations are played again: what is sent, what counts as the same, and how a difference is told."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.codecs import codec_class
from pipectl.core.codecs.base import Codec, Side
from pipectl.core.errors import MismatchError, PipeClosedError
from pipectl.core.recording.conversation import Mask, Pieces
from pipectl.core.recording.recording import Closed, Event, Header, Recording, Said
from pipectl.core.recording.replay import Match, Player, Rules, Script, scripts

ASKED, SAID = Side.CLIENT, Side.SERVER
NO_MASK, EXACT = Mask(), Rules()


def recording(*said: tuple[Side, bytes], is_message: bool = False, closed_by: str = "client") -> Recording:
    events: list[Event] = [Said(n / 1000, 1, side, data, not data) for n, (side, data) in enumerate(said)]
    return Recording(Header(is_message=is_message), (*events, Closed(1, 1, closed_by)))


def script(found: Recording, codec: type[Codec] = Pieces, *, ours: Side = SAID, mask: Mask = NO_MASK) -> Script:
    (one,) = scripts(found, lambda _side, _first: codec(), mask, ours)
    return one


def player(
    found: Recording, codec: str = "none", rules: Rules = EXACT, *, ours: Side = SAID, mask: Mask = NO_MASK
) -> Player:
    known = Pieces if codec == "none" else codec_class(codec)
    return Player(script(found, known, ours=ours, mask=mask), ours, rules, mask)


def sent(one: Player) -> list[bytes]:
    """What is to be sent now."""
    writes: list[bytes] = []
    while (found := one.next()) is not None:
        writes += found[1]
    return writes


def line(**members: Any) -> bytes:
    return json.dumps(members).encode() + b"\n"


@pytest.mark.parametrize("is_message", [True, False])
def test_the_server_answers_as_it_did(is_message: bool) -> None:
    one = player(recording((SAID, b"hello"), (ASKED, b"a"), (SAID, b"b"), (SAID, b"c"), is_message=is_message))
    assert sent(one) == [b"hello"]
    one.feed(b"a")
    assert sent(one) == ([b"b", b"c"] if is_message else [b"bc"])
    assert one.is_over
    one.leave()


def test_the_client_asks_as_it_did() -> None:
    one = player(recording((ASKED, b"a"), (SAID, b"b"), (ASKED, b"c"), is_message=True), ours=ASKED)
    assert sent(one) == [b"a"]
    one.feed(b"b")
    assert sent(one) == [b"c"]
    assert one.is_over


@given(st.lists(st.binary(min_size=1), min_size=1, max_size=5), st.lists(st.integers(0, 40), max_size=6))
def test_a_stream_may_come_in_any_pieces(pieces: list[bytes], cuts: list[int]) -> None:
    one = player(recording(*((ASKED, piece) for piece in pieces), (SAID, b"done")))
    whole = b"".join(pieces)
    at = 0
    for cut in sorted({min(cut, len(whole)) for cut in cuts} | {len(whole)}):
        if cut > at:
            assert sent(one) == []
            one.feed(whole[at:cut])
            at = cut
    assert sent(one) == [b"done"]


def test_what_a_stream_has_more_than_was_read_then_is_for_what_follows() -> None:
    one = player(recording((ASKED, b"ab"), (SAID, b"x"), (ASKED, b"cd"), (SAID, b"y")))
    one.feed(b"abc")
    assert sent(one) == [b"x"]
    one.feed(b"d")
    assert sent(one) == [b"y"]


def test_an_empty_message_is_a_message() -> None:
    found = recording((ASKED, b""), (SAID, b""), (ASKED, b"x"), is_message=True)
    one = player(found)
    assert sent(one) == []
    one.feed(b"")
    assert sent(one) == [b""]
    one.feed(b"")
    with pytest.raises(MismatchError):
        one.next()


def test_frames_are_sent_in_the_messages_they_were_sent_in() -> None:
    found = recording((ASKED, b"a\n"), (SAID, b"b\nc"), (SAID, b"\nd\n"), (SAID, b"e\n"), is_message=True)
    one = player(found, "lines")
    one.feed(b"a\n")
    assert sent(one) == [b"b\nc", b"\nd\n", b"e\n"]


def test_something_else_is_told_with_a_difference() -> None:
    one = player(recording((ASKED, b"a\nb\nc\n"), (SAID, b"d"), is_message=True))
    one.feed(b"a\nX\nc\n")
    with pytest.raises(MismatchError) as caught:
        one.next()
    assert caught.value.reason == "conversation 1, message 1: the client said something else"
    assert caught.value.difference.splitlines() == [
        "--- recorded",
        "+++ now",
        "@@ -1,3 +1,3 @@",
        " a",
        "-b",
        "+X",
        " c",
    ]


@pytest.mark.parametrize("data", [b"\x00\x01", b"\xff" * 100])
def test_a_difference_of_bytes_is_in_hex(data: bytes) -> None:
    one = player(recording((ASKED, b"\xfe\x02"), is_message=True))
    one.feed(data + b"\xff")
    with pytest.raises(MismatchError) as caught:
        one.next()
    assert "-fe 02\n" in caught.value.difference
    assert f"+{data[:2].hex(' ')}" in caught.value.difference


def test_more_than_was_said_is_a_difference() -> None:
    one = player(recording((ASKED, b"a"), is_message=True))
    one.feed(b"a")
    one.feed(b"b")
    with pytest.raises(MismatchError, match=r"message 2: the client said more than was recorded(.|\n)*\+b"):
        one.next()


def test_who_leaves_too_soon_is_told() -> None:
    one = player(recording((ASKED, b"a"), (SAID, b"b"), (ASKED, b"c"), (ASKED, b"d"), is_message=True))
    one.feed(b"a")
    with pytest.raises(PipeClosedError, match="the client of conversation 1 left after 1 of its 3 messages"):
        one.leave()


# What counts as the same

REQUEST, REPLY = line(id=1, method="get", params={"name": "x", "time": 5}), line(id=1, result="ok")
RECORDED = recording((ASKED, REQUEST), (SAID, REPLY))


@pytest.mark.parametrize(
    ("match", "ignored", "request_now", "is_same"),
    [
        ("exact", (), REQUEST, True),
        ("exact", (), REQUEST.replace(b'": ', b'":'), False),
        ("exact", (), REQUEST.replace(b": 1,", b": 9,"), True),
        ("exact", (), REQUEST.replace(b": 1,", b": 9,").replace(b"5", b"6"), False),
        ("codec", (), REQUEST.replace(b'": ', b'":'), True),
        ("codec", (), REQUEST.replace(b"5", b"6"), False),
        ("codec", ("/params/time",), REQUEST.replace(b"5", b"6"), True),
        ("codec", ("/params/time",), REQUEST.replace(b'"x"', b'"y"'), False),
        ("codec", ("/params",), line(id=1, method="get"), True),
        ("codec", (), line(id=1, method="put", params={"name": "x", "time": 5}), False),
        ("kind", (), line(id=1, method="get"), True),
        ("kind", (), line(id=1, method="put"), False),
        ("any", (), b"nonsense\n", True),
    ],
)
def test_what_is_the_same(match: str, ignored: tuple[str, ...], request_now: bytes, is_same: bool) -> None:
    one = player(RECORDED, "json-lines", Rules(Match(match), ignored))
    one.feed(request_now)
    if is_same:
        assert json.loads(sent(one)[0])["result"] == "ok"
    else:
        with pytest.raises(MismatchError):
            one.next()


def test_a_difference_that_is_decoded_shows_the_fields() -> None:
    one = player(RECORDED, "json-lines", Rules(Match.CODEC, ("/params/time",)))
    one.feed(REQUEST.replace(b'"x"', b'"y"'))
    with pytest.raises(MismatchError) as caught:
        one.next()
    assert '-  "name": "x"' in caught.value.difference
    assert '+  "name": "y"' in caught.value.difference
    assert "time" not in caught.value.difference


@pytest.mark.parametrize("now", [9, "nine", 10**12, 'with "quotes"'])
@pytest.mark.parametrize("codec", ["json-lines", "jsonrpc", "u32json"])
def test_a_reply_has_the_id_of_the_request_now(codec: str, now: object) -> None:
    made = codec_class(codec)()
    request, reply = ({"jsonrpc": "2.0", "params": {"id": 1}, "id": 1, "method": "m"}, {"result": {"id": 1}, "id": 1})
    said = [made.wrap({}, json.dumps(one).encode()) for one in (request, reply)]
    one = player(recording((ASKED, said[0]), (SAID, said[1])), codec)
    one.feed(made.wrap({}, json.dumps({**request, "id": now}).encode()))
    (data,) = sent(one)
    (frame,) = [*codec_class(codec)().feed(SAID, data)]
    assert json.loads(frame.body) == {"id": now, "result": {"id": 1}}


def test_without_keeping_ids_another_id_is_a_difference() -> None:
    one = player(RECORDED, "json-lines", Rules(keeps_ids=False))
    one.feed(REQUEST.replace(b": 1,", b": 9,"))
    with pytest.raises(MismatchError):
        one.next()


def test_a_reply_waits_for_its_request_alone() -> None:
    first, second = line(id=1, method="a"), line(id=2, method="b")
    found = recording((ASKED, first), (ASKED, second), (SAID, line(id=1, result=1)), (SAID, line(id=2, result=2)))
    one = player(found, "json-lines")
    one.feed(first)
    assert sent(one) == [line(id=1, result=1)]
    one.feed(second)
    assert sent(one) == [line(id=2, result=2)]


def test_a_redacted_recording_plays() -> None:
    mask = Mask(("pass=(\\S+)",))
    one = player(recording((ASKED, b"user pass=******* x\n"), (SAID, b"ok\n")), "lines", mask=mask)
    one.feed(b"user pass=hunter2 x\n")
    assert sent(one) == [b"ok\n"]


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=6)), max_size=12), st.booleans())
def test_both_players_of_a_recording_agree(said: list[tuple[Side, bytes]], is_message: bool) -> None:
    said = [one for one in said if is_message or one[1]]
    if not said:
        return
    found = recording(*said, is_message=is_message)
    server, client = player(found), player(found, ours=ASKED)
    for _ in range(2 * len(said) + 2):
        for one, other in ((server, client), (client, server)):
            for data in sent(one):
                other.feed(data)
    assert server.is_over
    assert client.is_over

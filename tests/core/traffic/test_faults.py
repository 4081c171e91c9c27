"""Faults as the command line has them, and what is made of some data by them. Runs on any system."""

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipectl.core.traffic import faults
from pipectl.core.traffic.faults import Ending, Fault, Faults, Plan, apply, parse

_DATA = b"0123456789"


def planned(*written: str, data: bytes = _DATA, is_message: bool = False) -> Plan:
    """What some faults make of some data."""
    return apply([fault for text in written for fault in parse(text)], data, Random(1), is_message=is_message)


def sent(*written: str, data: bytes = _DATA, is_message: bool = False) -> list[bytes]:
    """The writes that some faults make of one."""
    return [piece.data for piece in planned(*written, data=data, is_message=is_message).pieces]


@pytest.mark.parametrize(
    ("written", "pieces", "ending"),
    [
        ("delay=0", [_DATA], None),
        ("split=4", [b"0123", b"4567", b"89"], None),
        ("split=5", [b"01234", b"56789"], None),
        ("split=1,4", [b"0", b"1234", b"56789"], None),
        ("split=20", [_DATA], None),
        ("truncate=3", [b"012"], None),
        ("truncate", [b"01234"], None),
        ("truncate=0", [b""], None),
        ("truncate=20", [_DATA], None),
        ("cut=3", [b"012"], Ending.CLOSE),
        ("cut", [b"01234"], Ending.CLOSE),
        ("drop", [], None),
        ("duplicate", [_DATA, _DATA], None),
        ("duplicate=2", [_DATA] * 3, None),
        ("stall", [], Ending.STALL),
        ("close", [_DATA], Ending.CLOSE),
        ("close=after", [_DATA], Ending.CLOSE),
        ("close=before", [], Ending.CLOSE),
        ("close=middle", [b"01234"], Ending.CLOSE),
        ("close=reset", [], Ending.RESET),
        ("flip=0", None, None),
    ],
)
def test_a_fault_changes_what_is_sent(written: str, pieces: list[bytes] | None, ending: Ending | None) -> None:
    if pieces is None:
        with pytest.raises(ValueError, match="less than 1"):
            parse(written)
        return
    plan = planned(written)
    assert ([piece.data for piece in plan.pieces], plan.ending) == (pieces, ending)
    assert [str(fault) for fault in plan.struck] in ([written], [f"{written}=1"], [f"{written}=after"])


def test_an_empty_message_comes_first_and_only_on_a_message_pipe() -> None:
    assert sent("empty", is_message=True) == [b"", _DATA]
    plan = planned("empty")
    assert ([piece.data for piece in plan.pieces], plan.struck) == ([_DATA], ())


def test_garbage_goes_after_before_or_over_the_data() -> None:
    after, before, over = (sent(f"garbage={value}")[0] for value in ("3", "3:before", "3:over"))
    assert (len(after), after[:10]) == (13, _DATA)
    assert (len(before), before[3:]) == (13, _DATA)
    assert len(over) == 10
    assert 1 <= sum(a != b for a, b in zip(over, _DATA, strict=True)) <= 3


def test_flip_turns_over_as_many_bits_as_it_says() -> None:
    flipped = sent("flip=5")[0]
    assert sum((a ^ b).bit_count() for a, b in zip(flipped, _DATA, strict=True)) == 5
    assert sent("flip=100", data=b"\x00\xff") == [b"\xff\x00"]


@pytest.mark.parametrize(
    ("written", "is_message", "delays"),
    [
        (["delay=2"], False, [2]),
        (["delay=2", "split=5", "gap=500ms"], False, [2, 0.5]),
        (["rate=100"], False, [0.05, 0.05]),
        (["rate=100/s"], True, [0.1]),
        (["rate=100", "split=5"], True, [0.05, 0.05]),
    ],
)
def test_delays_are_those_of_the_faults(written: list[str], is_message: bool, delays: list[float]) -> None:
    plan = planned(*written, is_message=is_message)
    assert [piece.delay for piece in plan.pieces] == pytest.approx(delays)


def test_jitter_varies_a_delay_and_is_one_without() -> None:
    streams = Faults([*parse("delay=1"), *parse("jitter=500ms")], 1).stream(1), Faults(parse("jitter=2"), 1).stream(1)
    around, alone = ([stream.plan(b"x").pieces[0].delay for _ in range(300)] for stream in streams)
    assert (0.5 <= min(around) < 0.6, 1.4 < max(around) <= 1.5) == (True, True)
    assert (0 <= min(alone) < 0.2, 1.8 < max(alone) <= 2) == (True, True)


def test_faults_are_combined_in_their_own_order() -> None:
    assert sent("split=2", "duplicate", "truncate=3") == [b"01", b"2", b"01", b"2"]
    assert planned("close=after", "stall").ending is Ending.CLOSE
    assert planned("cut=2", "drop") == Plan((), Ending.CLOSE, (*parse("cut=2"), *parse("drop")))


def test_the_number_of_pieces_has_a_limit() -> None:
    pieces = sent("split=1", data=bytes(200_000))
    assert (len(pieces), sum(map(len, pieces))) == (faults.MOST_PIECES, 200_000)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("dealy=1", "unknown fault `dealy`: did you mean `delay`?"),
        ("latency=1", "unknown fault `latency`: it is `delay` here"),
        ("reset", "unknown fault `reset`: it is `close=reset` here"),
        ("xyzzy", "unknown fault `xyzzy`: use one of delay, jitter, "),
        ("", "unknown fault ``: use one of delay, "),
        ("delay", "`delay` needs a value: delay=... (send it this much later)"),
        ("delay=", "`delay=` has no value after `=`"),
        ("delay=soon", "`delay=soon`: invalid duration 'soon'"),
        ("delay=none", "`delay=none`: a fault needs a duration that ends"),
        ("drop=3", "`drop` takes no value"),
        ("close=aftr", "`close=aftr`: use one of before, middle, after, reset: did you mean `after`?"),
        ("garbage=3:befor", "`garbage=3:befor`: use one of before, after, over: did you mean `before`?"),
        ("split=0", "`split=0`: '0' is less than 1"),
        ("split=4,x", "`split=4,x`: invalid size 'x'"),
        ("duplicate=1m", "`duplicate=1m`: '1m' is more than 65536"),
        ("drop@2", "`@2` is not a probability: use 0 to 1, or 0% to 100%"),
        ("drop@nan", "`@nan` is not a probability"),
        ("drop@", "`@` is not a probability"),
        ("mild@0.5", "the preset `mild` takes no value and no probability"),
        ("mild=5", "the preset `mild` takes no value and no probability"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(written: str, problem: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the text is compared
        parse(written)
    assert str(raised.value).startswith(problem)


@pytest.mark.parametrize(("written", "share"), [("drop", 1), ("drop@0.25", 0.25), ("drop@25%", 0.25), ("drop@0", 0)])
def test_a_probability_is_written_after_an_at_sign(written: str, share: float) -> None:
    assert parse(written) == (Fault("drop", None, share, ""),)


def test_a_fault_strikes_as_often_as_its_probability_says() -> None:
    stream = Faults(parse("drop@0.25"), 7).stream(1)
    assert 200 < sum(not stream.plan(b"x").pieces for _ in range(1000)) < 300
    assert not any(Faults(parse("drop@0"), 7).stream(1).plan(b"x").struck for _ in range(50))


@pytest.mark.parametrize("preset", faults.PRESETS)
def test_a_preset_is_a_list_of_faults(preset: str) -> None:
    assert [fault.name for fault in parse(preset)] == [
        text.partition("@")[0].partition("=")[0] for text in faults.PRESETS[preset]
    ]


@given(some.integers(), some.lists(some.binary(max_size=40), max_size=30))
def test_a_client_has_the_same_faults_whatever_other_clients_do(seed: int, messages: list[bytes]) -> None:
    every = [fault for name in faults.PRESETS for fault in parse(name)]
    alone = Faults(every, seed).stream(2)
    among = Faults(every, seed)
    other, same = among.stream(1), among.stream(2)
    for message in messages:
        other.plan(message * 2)
        among.arrival(3)
        assert same.plan(message) == alone.plan(message)


def test_another_seed_client_or_side_has_other_faults() -> None:
    def drops(seed: int, client: int, side: str) -> list[bool]:
        stream = Faults(parse("drop@0.5"), seed).stream(client, side)
        return [not stream.plan(b"x").pieces for _ in range(64)]

    assert len({tuple(drops(*key)) for key in [(1, 1, "a"), (2, 1, "a"), (1, 2, "a"), (1, 1, "b")]}) == 4


def test_what_strikes_for_a_seed_never_changes() -> None:
    stream = Faults([*parse("drop@0.3"), *parse("flip@0.5"), *parse("garbage=2@0.5")], 42).stream(1)
    found = [b"".join(piece.data for piece in stream.plan(b"abc").pieces).hex() for _ in range(6)]
    assert found == ["616223e8b2", "616263", "61626361e4", "", "616263d49e", ""]


def test_faults_of_one_message_come_first() -> None:
    stream = Faults(parse("drop@0"), 1).stream(1)
    assert [piece.data for piece in stream.plan(_DATA, parse("truncate=2")).pieces] == [b"01"]


@given(some.binary(max_size=200), some.lists(some.integers(1, 50), min_size=1, max_size=4), some.booleans())
def test_pieces_joined_are_the_data(data: bytes, sizes: list[int], is_message: bool) -> None:
    pieces = sent(f"split={','.join(map(str, sizes))}", "gap=1ms", data=data, is_message=is_message)
    assert b"".join(pieces) == data
    assert all(pieces) or pieces == [b""]


@pytest.mark.parametrize(
    ("written", "arrival"),
    [
        (["refuse"], (True, 0, 0)),
        (["busy=3s"], (False, 3, 0)),
        (["busy"], (False, 2, 0)),
        (["absent=500ms"], (False, 0, 0.5)),
        (["drop", "refuse@0"], (False, 0, 0)),
    ],
)
def test_some_faults_strike_when_a_client_connects(written: list[str], arrival: tuple[bool, float, float]) -> None:
    assert Faults([fault for text in written for fault in parse(text)], 1).arrival(1)[:3] == arrival


def test_faults_of_arrivals_do_not_strike_data() -> None:
    assert Faults([*parse("refuse"), *parse("busy")], 1).stream(1).plan(b"x").struck == ()


def test_the_page_about_faults_has_all_of_them() -> None:
    page = (Path(faults.__file__).parents[3] / "docs" / "faults.md").read_text(encoding="utf-8")
    cells = "".join(re.findall(r"^\| `.*?\|", page, re.MULTILINE))
    names = re.findall(r"`([a-z]+)[=`]", cells)
    assert set(names) == set(faults.KINDS)
    assert all(f"`{preset}`" in page for preset in faults.PRESETS)

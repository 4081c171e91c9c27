"""An observer tells everything, in order and in a thread of its own; peers wait for it only when it is far behind."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import pytest

from pipectl.core.codecs import codec_class
from pipectl.core.codecs.base import Side
from pipectl.core.recording.conversation import Decoded, Mask
from pipectl.core.recording.recording import Closed, Opened, Said
from pipectl.core.traffic.observer import Observer

PATIENCE = 20


class Told:
    """What an observer tells; it can be made to wait."""

    def __init__(self) -> None:
        self.recorded: list[Any] = []
        self.shown: list[Any] = []
        self.errors: list[BaseException] = []
        self.rests = 0
        self.may_go_on = Event()
        self.may_go_on.set()

    def record(self, event: Any) -> None:
        assert self.may_go_on.wait(PATIENCE)
        self.recorded.append(event)

    def rest(self) -> None:
        self.rests += 1


@pytest.fixture
def told() -> Told:
    return Told()


def observer(told: Told, record: Callable[[Any], None] | None = None) -> Observer:
    return Observer(
        [record or told.record],
        told.shown.append,
        lambda _side, _first: codec_class("lines")(),
        Mask(("secret",)),
        failed=told.errors.append,
        rest=told.rest,
    )


def test_all_is_told_in_order_and_masked(told: Told) -> None:
    one = observer(told)
    one.opened(1, lambda: {"pid": 7})
    one.passed(1, Side.CLIENT, b"a secret\n", False)
    one.passed(1, Side.SERVER, b"hal", False)
    one.passed(1, Side.SERVER, b"f", False)
    one.closed(1, "client", 0, "")
    one.close()
    assert [type(part) for part in told.shown] == [Opened, Decoded, Said, Decoded, Said, Said, Closed]
    assert [part.data for part in told.recorded if isinstance(part, Said)] == [b"a ******\n", b"hal", b"f"]
    assert told.recorded[0].facts == {"pid": 7}
    assert told.rests
    assert told.errors == []


def test_what_is_still_open_at_the_end_is_told_too(told: Told) -> None:
    one = observer(told)
    one.passed(1, Side.CLIENT, b"half", False)
    one.close()
    assert [part.data for part in told.recorded] == [b"half"]


@pytest.mark.parametrize("hurries", [True, False])
def test_a_peer_waits_only_while_a_recording_is_far_behind(told: Told, hurries: bool) -> None:
    told.may_go_on.clear()
    one, piece, count = observer(told), bytes((1 << 20) - 1) + b"\n", 10
    passed = []

    def pass_on() -> None:
        for number in range(count):
            one.passed(1, Side.CLIENT, piece, False)
            passed.append(number)

    peer = Thread(target=pass_on, daemon=True)
    peer.start()
    peer.join(0.5)
    assert peer.is_alive()
    assert 2 < len(passed) < 6
    if hurries:
        one.stop_waiting()
        peer.join(PATIENCE)
        assert len(passed) == count
    told.may_go_on.set()
    peer.join(PATIENCE)
    one.close()
    assert sum(len(part.data) for part in told.recorded) == count * len(piece)


def test_an_error_of_a_recording_is_told_once_and_nobody_waits(told: Told) -> None:
    error = OSError("full")

    def fail(_event: Any) -> None:
        raise error

    one = observer(told, fail)
    for _ in range(10):
        one.passed(1, Side.CLIENT, bytes(1 << 20) + b"\n", False)
    one.close()
    assert told.errors == [error]

"""Questions that may never be answered: all others are, in time, and nothing is left open."""

import time
from collections.abc import Callable, Iterator
from threading import Event, active_count

import pytest

from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeStateError
from pipectl.core.inventory import bounded
from pipectl.core.inventory.bounded import FIRST_PATIENCE, MOST_WORKERS, PATIENCE, Asked, ask_each
from pipectl.core.win32.calls import create_event
from pipectl.core.win32.handle import Handle


class Files:
    """Files by their numbers, some of which give no answer until `release`."""

    def __init__(self, silent: set[int] | None = None) -> None:
        self.silent = silent or set()
        self.lent: list[Handle] = []
        self.most_open = 0
        self.asked: list[int] = []
        self._released = Event()

    def borrow(self, _number: int) -> Handle:
        """Lend a handle."""
        self.lent.append(create_event())
        self.most_open = max(self.most_open, self.open)
        return self.lent[-1]

    def ask(self, number: int, _handle: Handle) -> str:
        """Answer, or do not."""
        self.asked.append(number)
        if number in self.silent:
            self._released.wait(60)
        return f"answer {number}"

    def release(self) -> None:
        """Answer all questions."""
        self._released.set()

    @property
    def open(self) -> int:
        """How many handles are lent."""
        return sum(not handle.closed for handle in self.lent)

    def walk(self, count: int, seconds: float = 10) -> Asked[int, str]:
        """Ask about the first so many."""
        return ask_each(range(count), self.borrow, self.ask, Deadline(seconds))


@pytest.fixture
def files() -> Iterator[Callable[..., Files]]:
    """Make files, whose questions are answered at the end of the test."""
    made: list[Files] = []

    def make(*silent: int) -> Files:
        made.append(Files(set(silent)))
        return made[-1]

    yield make
    for one in made:
        one.release()
    await_answers()


def await_answers() -> None:
    """Wait until no thread waits for an answer."""
    until = Deadline(10)
    while bounded._left and not until.passed:
        time.sleep(0.005)
    assert bounded._left == {}


Make = Callable[..., Files]


def test_every_question_is_asked_once_and_answered(files: Make) -> None:
    them = files()
    asked = them.walk(200)
    assert asked == ([(number, f"answer {number}") for number in range(200)], [], [])
    assert them.asked == list(range(200))


def test_one_thread_with_one_handle_asks_as_long_as_all_answer(files: Make) -> None:
    them = files()
    them.walk(200)
    assert (them.most_open, them.open) == (1, 0)


def test_what_is_never_answered_costs_nothing_but_itself(files: Make) -> None:
    them = files(3, 50, 51, 120)
    asked = them.walk(200)
    assert sorted(asked.hung) == [3, 50, 51, 120]
    assert sorted(number for number, _ in asked.answers) == sorted(set(range(200)) - them.silent)
    assert asked.unasked == []


def test_what_is_never_answered_costs_little_time(files: Make) -> None:
    begun = time.perf_counter()
    files().walk(100)
    calm = time.perf_counter() - begun
    begun = time.perf_counter()
    files(*range(0, 100, 10)).walk(100)
    seconds = time.perf_counter() - begun
    # A busy machine may be late with each.
    assert seconds - calm < FIRST_PATIENCE + 9 * PATIENCE + 0.3


def test_a_handle_of_a_thread_that_is_left_is_closed_for_it(files: Make) -> None:
    them = files(1, 2)
    them.walk(4)
    assert them.open == 0
    assert them.most_open <= MOST_WORKERS


def test_who_was_not_answered_is_not_asked_again_as_long_as_a_thread_waits(files: Make) -> None:
    them = files(1, 2)
    them.walk(4)
    threads = active_count()
    again = them.walk(4)
    assert sorted(again.hung) == [1, 2]
    assert them.asked.count(1) == 1
    assert active_count() <= threads


def test_who_answers_later_is_asked_again(files: Make) -> None:
    them = files(1)
    assert them.walk(3).hung == [1]
    them.release()
    await_answers()
    assert len(them.walk(3).answers) == 3


def test_an_answer_that_is_late_is_asked_for_once_more_in_the_same_walk(
    files: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "PATIENCE", 10)
    them = files()

    def ask(number: int, handle: Handle) -> str:
        answer = them.ask(number, handle)
        if number == 0 and them.asked.count(0) == 1:
            time.sleep(FIRST_PATIENCE * 1.5)
        while number == 2 and 0 in bounded._left:  # so that the walk is not over before that one is free
            time.sleep(0.001)
        return answer

    asked = ask_each(range(3), them.borrow, ask, Deadline(20))
    assert sorted(asked.answers) == [(0, "answer 0"), (1, "answer 1"), (2, "answer 2")]
    assert asked.hung == []


def test_at_the_deadline_the_rest_is_not_asked(files: Make) -> None:
    them = files()

    def ask(number: int, _handle: Handle) -> str:
        time.sleep(0.02)
        return str(number)

    asked = ask_each(range(1000), them.borrow, ask, Deadline(0.2))
    assert 1 <= len(asked.answers) < 1000
    assert len(asked.answers) + len(asked.hung) + len(asked.unasked) == 1000


def test_without_time_nothing_is_asked(files: Make) -> None:
    asked = files().walk(5, seconds=0)
    assert asked == ([], [], [0, 1, 2, 3, 4])


def test_no_more_threads_than_the_limit_are_left(files: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MOST_LEFT", 3)
    them = files(*range(20))
    asked = them.walk(20)
    assert 3 <= len(bounded._left) < 3 + MOST_WORKERS
    assert len(asked.hung) + len(asked.unasked) == 20


@pytest.mark.parametrize("where", ["borrow", "ask"])
def test_a_question_that_is_refused_has_no_answer(files: Make, where: str) -> None:
    them = files()

    def refuse(number: int, *arguments: Handle) -> Handle | str:
        if number == 1:
            raise PipeStateError("no")
        return them.ask(number, *arguments) if arguments else them.borrow(number)

    borrow, ask = (refuse, them.ask) if where == "borrow" else (them.borrow, refuse)
    asked = ask_each(range(3), borrow, ask, Deadline(5))  # type: ignore[arg-type]
    assert asked == ([(0, "answer 0"), (2, "answer 2")], [], [])
    assert them.open == 0


def test_a_mistake_of_the_program_is_raised(files: Make) -> None:
    them = files()

    def ask(_number: int, _handle: Handle) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_each(range(3), them.borrow, ask, Deadline(5))
    assert them.open == 0


def test_ctrl_c_ends_it_and_closes_what_was_lent(files: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    them = files(0)

    def interrupted(*_arguments: object) -> bool:
        while not them.asked:
            time.sleep(0.001)
        raise KeyboardInterrupt

    monkeypatch.setattr(bounded, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        them.walk(3)
    assert them.open == 0

"""Queries files of other processes with a time limit, although some queries may never return.

A file that was opened without FILE_FLAG_OVERLAPPED has one lock. A pending read holds it, and a query of any duplicate
of the handle waits for it: as long as the server waits for its client, which may be forever. Nothing ends such a wait
from outside, neither a timeout nor CancelSynchronousIo. So worker threads query one file at a time, and a thread that
gets no answer is abandoned: it ends when the read in the other process does.

While a duplicate is open, its pipe continues to exist even if its server ends. So each thread has at most one, closes
it before it makes the next, and the duplicate of an abandoned thread is closed for it.
"""

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, Generic, NamedTuple, TypeVar

from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_event, set_event
from pipectl.core.win32.handle import Handle, wait

_Q = TypeVar("_Q", bound=Hashable)
_A = TypeVar("_A")

# How long, in seconds, a query may take: until one has not been answered, and from then on. An answer takes about
# 20 microseconds; the first limit allows for a busy machine.
FIRST_PATIENCE = 0.1
PATIENCE = 0.025
# The number of worker threads once a query has not been answered.
MOST_WORKERS = 8
# The maximum number of abandoned threads in this process; beyond it, nothing more is queried.
MOST_LEFT = 128

# The abandoned threads of this process by their question. The same question again would cost another thread.
_left: "dict[Hashable, _Worker[Any, Any]]" = {}
_left_lock = Lock()


class Asked(NamedTuple, Generic[_Q, _A]):
    """The answers, the questions that were not answered in time, and those not asked because the time was up."""

    answers: list[tuple[_Q, _A]]
    hung: list[_Q]
    unasked: list[_Q]


def ask_each(
    questions: Sequence[_Q],
    borrow: Callable[[_Q], Handle],
    ask: Callable[[_Q, Handle], _A | None],
    deadline: Deadline,
) -> Asked[_Q, _A]:
    """Query the files behind handles one by one until the deadline or Ctrl+C.

    `borrow` returns a duplicate of a handle, which is closed afterwards; `ask` returns the answer, or None. A PipeError
    raised by either means that there is no answer.
    """
    hung, ahead = _known_to_hang(questions)
    walk = _Walk(ahead, borrow, ask)
    walk.run(deadline)
    if walk.failure is not None:
        raise walk.failure
    return Asked(walk.answers, hung + walk.hung, walk.interrupted + list(walk.ahead))


def _known_to_hang(questions: Iterable[_Q]) -> tuple[list[_Q], list[_Q]]:
    """Return the questions for whose answers abandoned threads of earlier walks wait, and all others."""
    hung: list[_Q] = []
    others: list[_Q] = []
    with _left_lock:
        for question in questions:
            (hung if question in _left else others).append(question)
    return hung, others


class _Walk(Generic[_Q, _A]):
    """One walk through all questions: the caller's thread starts the workers and watches their progress."""

    def __init__(
        self, questions: Sequence[_Q], borrow: Callable[[_Q], Handle], ask: Callable[[_Q, Handle], _A | None]
    ) -> None:
        self.borrow = borrow
        self.ask = ask
        self.ahead = deque(questions)
        self.answers: list[tuple[_Q, _A]] = []
        self.hung: list[_Q] = []
        self.interrupted: list[_Q] = []
        self.failure: BaseException | None = None
        self._workers: list[_Worker[_Q, _A]] = []
        # Set when a worker has ended.
        self._event = create_event()

    def run(self, deadline: Deadline) -> None:
        """Ask all questions, until the deadline."""
        with self._event:
            try:
                self._ask_all(deadline)
                # Those that were late only because the machine was busy have been answered by now; ask them again.
                self.hung, late = _known_to_hang(self.hung)
                self.ahead.extend(late)
                self._ask_all(deadline)
            except BaseException:
                self.ahead.clear()  # Ctrl+C may have come before a running worker was recorded
                raise
            finally:
                self._leave_all()

    def _ask_all(self, deadline: Deadline) -> None:
        while self._start_workers(deadline):
            if wait(self._event, Deadline(deadline.at_most(self._next_look()))):
                winapi.ResetEvent(self._event)
            else:
                self._leave_silent()

    def _leave_all(self) -> None:
        for worker in self._workers:
            if (question := worker.leave()) is not None:
                self.interrupted.append(question)
        self._workers.clear()

    def ended(self, failure: BaseException | None) -> None:
        """Record that a worker that was not abandoned has ended."""
        if failure is not None:
            self.failure = failure
            self.ahead.clear()
        with suppress(PipeError):  # the walk was interrupted, and is over
            set_event(self._event)

    def _start_workers(self, deadline: Deadline) -> bool:
        """Start workers as needed; return whether there is a worker and the deadline has not passed."""
        self._workers = [worker for worker in self._workers if not worker.is_done]
        most = MOST_WORKERS if self.hung else 1
        while self.ahead and len(self._workers) < min(most, len(self.ahead)) and not deadline.passed:
            if len(_left) >= MOST_LEFT:
                return False
            self._workers.append(_Worker(self))
        return bool(self._workers) and not deadline.passed

    @property
    def _patience(self) -> float:
        return PATIENCE if self.hung else FIRST_PATIENCE

    def _next_look(self) -> float:
        """Return the seconds until a worker may exceed its time limit."""
        oldest = min(worker.since for worker in self._workers)
        return max(0.001, oldest + self._patience - time.perf_counter())

    def _leave_silent(self) -> None:
        """Abandon the workers that exceeded their time limit, and record their questions."""
        latest = time.perf_counter() - self._patience
        for worker in list(self._workers):
            if worker.since <= latest and (question := worker.leave(latest)) is not None:
                self._workers.remove(worker)
                self.hung.append(question)


class _Worker(Generic[_Q, _A]):
    """A thread that asks one question after another until there are no more or it is abandoned."""

    def __init__(self, walk: _Walk[_Q, _A]) -> None:
        # When it began with its question, of perf_counter.
        self.since = time.perf_counter()
        self._walk = walk
        self._lock = Lock()
        self._question: _Q | None = None
        self._duplicate: Handle | None = None
        self._is_left = False
        self._has_ended = False
        Thread(target=self._run, name="Asks about pipes", daemon=True).start()

    @property
    def is_done(self) -> bool:
        """Whether it has ended and has reported this to the walk."""
        with self._lock:
            return self._has_ended

    def leave(self, latest: float | None = None) -> _Q | None:
        """Abandon the worker, close its duplicate, and return its question.

        Returns None if it has no question, or one that it began after `latest`; then it continues.
        """
        with self._lock:
            question = self._question
            if latest is not None and (self.since > latest or question is None):
                return None
            self._is_left = True
            self._give_back()
            if question is not None:
                with _left_lock:
                    _left[question] = self
            return question

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            while self._begin():
                self._end(self._answer())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            failure = error
        with self._lock:
            self._give_back()
            self._question = None
            self._has_ended = True
            if not self._is_left:
                self._walk.ended(failure)

    def _begin(self) -> bool:
        """Take the next question, and return whether there was one."""
        with self._lock:
            if self._is_left:
                return False
            self.since = time.perf_counter()
            with suppress(IndexError):
                self._question = self._walk.ahead.popleft()
                return True
            return False

    def _answer(self) -> _A | None:
        question, walk = self._question, self._walk
        assert question is not None
        with suppress(PipeError):
            duplicate = walk.borrow(question)
            with self._lock:
                if self._is_left:
                    duplicate.close()
                    return None
                self._duplicate = duplicate
            return walk.ask(question, duplicate)
        return None

    def _end(self, answer: _A | None) -> None:
        """Close the duplicate, and pass the answer on unless the worker was abandoned."""
        with self._lock:
            self._give_back()
            question, self._question = self._question, None
            if self._is_left:
                with _left_lock:
                    _left.pop(question, None)
            elif answer is not None and question is not None:
                self._walk.answers.append((question, answer))

    def _give_back(self) -> None:
        duplicate, self._duplicate = self._duplicate, None
        if duplicate is not None:
            duplicate.close()

"""Queries files of other processes with a time limit, although some queries may never return.

A file that was opened without OVERLAPPED has one lock. Whoever reads from it holds the lock, and every question about
any duplicate of its handle waits for it: for as long as a server waits for its client, which may be for ever. Nothing
ends such a wait from outside, neither a timeout nor CancelSynchronousIo. So threads ask, one file at a time, and a
thread that gets no answer is left: it ends by itself when the other process's read does.

While somebody holds a duplicate, its pipe lives on, even if its server dies. So there is one for each thread, it is
closed before the next is made, and that of a thread that is left is closed for it.
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

# How long, in seconds, the first question may take, and each question after one was not answered. An answer takes some
# twenty microseconds; the first is allowed for a machine that is busy.
FIRST_PATIENCE = 0.1
PATIENCE = 0.025
# The threads that ask at once, when one was not answered.
MOST_WORKERS = 8
# The threads of this process that are left at any time: then nothing more is asked.
MOST_LEFT = 128

# By question: the threads of this process that wait for its answer. Who asks again is not answered either, and would
# leave another thread.
_left: "dict[Hashable, _Worker[Any, Any]]" = {}
_left_lock = Lock()


class Asked(NamedTuple, Generic[_Q, _A]):
    """The answers, what was not answered within our patience, and what was not asked because the time was up."""

    answers: list[tuple[_Q, _A]]
    hung: list[_Q]
    unasked: list[_Q]


def ask_each(
    questions: Sequence[_Q],
    borrow: Callable[[_Q], Handle],
    ask: Callable[[_Q, Handle], _A | None],
    deadline: Deadline,
) -> Asked[_Q, _A]:
    """Ask about the files behind handles, each in turn, until the deadline; Ctrl+C ends it too.

    `borrow` returns a duplicate of a handle, which is closed afterwards, and `ask` what it finds out by it, or None. A
    PipeError of either means that there is no answer.
    """
    hung, ahead = _known_to_hang(questions)
    walk = _Walk(ahead, borrow, ask)
    walk.run(deadline)
    if walk.failure is not None:
        raise walk.failure
    return Asked(walk.answers, hung + walk.hung, walk.interrupted + list(walk.ahead))


def _known_to_hang(questions: Iterable[_Q]) -> tuple[list[_Q], list[_Q]]:
    """Return the questions that threads wait for the answers of, from walks before, and all others."""
    hung: list[_Q] = []
    others: list[_Q] = []
    with _left_lock:
        for question in questions:
            (hung if question in _left else others).append(question)
    return hung, others


class _Walk(Generic[_Q, _A]):
    """One walk through all questions, by the thread that wants the answers, which watches those that ask."""

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
                # Those that a busy machine alone was late with are answered by now, and are asked again.
                self.hung, late = _known_to_hang(self.hung)
                self.ahead.extend(late)
                self._ask_all(deadline)
            except BaseException:
                self.ahead.clear()  # Ctrl+C may have come before a worker was noted that has begun
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
        """Take note that a worker, which is not left, has no more to do."""
        if failure is not None:
            self.failure = failure
            self.ahead.clear()
        with suppress(PipeError):  # the walk was interrupted, and is over
            set_event(self._event)

    def _start_workers(self, deadline: Deadline) -> bool:
        """See to it that there are as many workers as it takes; return whether there is one, and time."""
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
        """Return after how many seconds a worker may have waited for too long."""
        oldest = min(worker.since for worker in self._workers)
        return max(0.001, oldest + self._patience - time.perf_counter())

    def _leave_silent(self) -> None:
        """Leave the workers that have waited for too long, and note what they asked."""
        latest = time.perf_counter() - self._patience
        for worker in list(self._workers):
            if worker.since <= latest and (question := worker.leave(latest)) is not None:
                self._workers.remove(worker)
                self.hung.append(question)


class _Worker(Generic[_Q, _A]):
    """A thread that asks one question after the other, until there are no more or it is left."""

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
        """Whether it has ended, and told the walk so."""
        with self._lock:
            return self._has_ended

    def leave(self, latest: float | None = None) -> _Q | None:
        """Take the worker's question from it, and close its duplicate; return the question.

        None means that it has none, or one that it began with after `latest`: then it goes on.
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
        """Take the next question; return whether there is one."""
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
        """Return the duplicate, and the answer to the thread that still waits for it."""
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

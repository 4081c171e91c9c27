"""Children over anonymous pipes, twenty or ten thousand of each kind: no handle, object or memory stays behind."""

import sys
from collections.abc import Callable

import pytest

from pipectl.core.children.child import run
from pipectl.core.children.files import popen, popen2, popen3, popen4
from pipectl.core.errors import PipeTimeoutError, ProgramNotFoundError
from tests.conftest import NOT_STARTED

from .conftest import Amount, Figure
from .growth import assert_nothing_grows

# A program that is quick to start, and is there on every Windows.
PROGRAM = ["hostname"]
# One that does not end.
ENDLESS = [sys.executable, "-S", "-c", "while True: pass"]
# CPython's own `subprocess` keeps some hundred blocks of its first hundred children, and then no more.
MOST_BLOCKS = 500


def of_popen() -> None:
    with popen(PROGRAM) as stdout:
        assert stdout.read()


def of_popen2() -> None:
    stdin, stdout = popen2(PROGRAM, "b")
    with stdin, stdout:
        assert stdout.read()


def of_popen3() -> None:
    stdin, stdout, stderr = popen3(PROGRAM)
    with stdin, stdout, stderr:
        assert stdout.read()


def of_popen4() -> None:
    stdin, output = popen4(PROGRAM, "b")
    with stdin, output:
        assert output.read()


def of_run() -> None:
    assert run(PROGRAM, b"x").stdout


def of_popen_that_is_not_read() -> None:
    popen(PROGRAM).close()


def of_what_is_not_there() -> None:
    for start in (popen, run):
        with pytest.raises(ProgramNotFoundError):
            start(["pipectl-no-such-program"])


def of_an_encoding_that_there_is_not() -> None:
    with pytest.raises(LookupError):
        popen(PROGRAM, encoding="no-such-encoding")


def of_run_that_times_out() -> None:
    with pytest.raises(PipeTimeoutError):
        run(ENDLESS, timeout=0)


@pytest.mark.parametrize(
    ("round_", "most"),
    [
        *((round_, 10_000) for round_ in (of_popen, of_popen2, of_popen3, of_popen4)),
        (of_run, 1000),
        (of_popen_that_is_not_read, 1000),
        (of_what_is_not_there, 1000),
        (of_an_encoding_that_there_is_not, 1000),
        (of_run_that_times_out, 1000),
    ],
)
def test_nothing_of_a_child_stays_behind(
    round_: Callable[[], None], most: int, handle_count: Callable[[], int], amount: Amount, figure: Figure
) -> None:
    before, rounds = len(NOT_STARTED), amount(12, most)
    assert_nothing_grows(round_, handle_count, rounds, MOST_BLOCKS)
    figure(f"{rounds} times, nothing left; {len(NOT_STARTED) - before} started again, because Wine did not")

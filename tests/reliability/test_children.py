"""Children over anonymous pipes, ten thousand of each kind: no handle, no object and no memory stays behind."""

from collections.abc import Callable

import pytest

from pipectl.core.children.files import popen, popen2, popen3, popen4
from tests.conftest import NOT_STARTED
from tests.reliability.test_leaks import assert_nothing_grows

from .conftest import Amount, Figure

# A program that is quick to start, and is there on every Windows.
PROGRAM = ["hostname"]


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


@pytest.mark.parametrize("round_", [of_popen, of_popen2, of_popen3, of_popen4])
def test_nothing_of_a_child_stays_behind(
    round_: Callable[[], None], handle_count: Callable[[], int], amount: Amount, figure: Figure
) -> None:
    before, rounds = len(NOT_STARTED), amount(50, 10_000)
    assert_nothing_grows(round_, handle_count, rounds)
    figure(f"{rounds} children, nothing left; {len(NOT_STARTED) - before} started again, because Wine did not")

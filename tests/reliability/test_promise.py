"""A connection's promise: a receive gives one whole message, a reply answers its own request, or an error says why.

The interrupted side is a process of its own, because a signal is the whole process's.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pipectl

from .conftest import Amount, Figure

_PROGRAMS = Path(__file__).parent / "programs"
_ROOT = Path(pipectl.__file__).parents[1]


def run(program: str, *arguments: object, timeout: float) -> str:
    done = subprocess.run(
        [sys.executable, _PROGRAMS / program, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("scene", ["receive", "request", "close"])
def test_ctrl_c_at_any_point_and_again_after_it_breaks_nothing(
    pipe_name: str, scene: str, amount: Amount, figure: Figure
) -> None:
    figure(f"{run('interrupted.py', pipe_name, scene, amount(11, 1), timeout=120)} pairs of points")


@pytest.mark.parametrize("kind", ["message", "stream", "byte"])
def test_every_reply_is_that_of_its_request_whatever_happens(
    pipe_name: str, kind: str, amount: Amount, figure: Figure
) -> None:
    steps = amount(400, 100_000)
    begun = time.perf_counter()
    outcomes = run("promise.py", pipe_name, steps, 1, kind, timeout=60 + steps / 20)
    figure(f"{steps:,} steps in {time.perf_counter() - begun:.0f} s: {outcomes}")


def test_ctrl_c_at_any_point_of_a_command_and_ever_after_is_exit_code_130(
    pipe_name: str, amount: Amount, figure: Figure
) -> None:
    figure(f"{run('command_interrupted.py', pipe_name, amount(11, 1), timeout=amount(120, 1200))} points")

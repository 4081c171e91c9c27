"""`pipectl demo`: the tour, whole and in time."""

import os
import re
import time
from pathlib import Path

import pytest

from pipectl.commands import COMMANDS
from pipectl.commands.demo import _TOUR
from tests.runner import Pipectl

# What the steps that fail on purpose end with: no such pipe, a busy one.
_FAILURES = ["3", "4"]


def test_the_tour_shows_every_command_but_itself() -> None:
    assert {step.arguments.split()[0] for step in _TOUR} == COMMANDS.keys() - {"connect", "demo", "help", "selftest"}


def test_the_tour_ends_well_in_ten_seconds_and_says_what_to_try_next(pipectl: Pipectl) -> None:
    begun = time.perf_counter()
    result = pipectl("demo")
    assert result.exit_code == 0
    assert time.perf_counter() - begun < 10
    assert re.findall(r"exit code (\d+)", result.stderr) == _FAILURES
    assert "What to try next" in result.stderr


def test_every_line_of_the_tour_is_shown(pipectl: Pipectl) -> None:
    stderr = pipectl("demo", "--pause").stderr  # for which there is no terminal
    shown = re.findall(r"(?m)^> pipectl (.*)$", stderr)
    name = re.search(r"pipectl-demo-\d+", stderr)
    assert name is not None
    file = Path(os.environ["TEMP"]) / f"{name[0]}.jsonl"
    assert shown == [step.arguments.format(n=name[0], f=file) for step in _TOUR]
    assert not file.exists()


def test_the_tour_in_json_is_an_object_a_line(pipectl: Pipectl) -> None:
    result = pipectl("demo", "--json")
    assert result.exit_code == 0
    assert all(found["schema"] == 1 for found in result.objects)
    assert any(found.get("event") == "connected" for found in result.objects)


@pytest.mark.parametrize("options", [["--quiet"], ["--quiet", "--json"]], ids=" ".join)
def test_a_quiet_tour_says_only_what_fails(pipectl: Pipectl, options: list[str]) -> None:
    result = pipectl("demo", *options)
    assert result.exit_code == 0
    assert _TOUR[0].shows not in result.stderr
    assert all(line.startswith(("error: ", "hint: ", '{"schema": 1, "error": ')) for line in result.stderr.splitlines())

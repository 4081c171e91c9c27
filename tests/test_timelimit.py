"""A test that hangs fails alone, and does not end the run."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFTEST = """
    from tests.timelimit import TimeLimit

    def pytest_configure(config):
        config.pluginmanager.register(TimeLimit(config, 1))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def outcomes(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the counts in pytest's last line."""
    return done.stdout.splitlines()[-1].strip("= ").partition(" in ")[0]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run tests in a separate pytest, each with a time limit of one second."""

    def run_tests(text: str, *options: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "conftest.py").write_text(textwrap.dedent(CONFTEST))
        (tmp_path / "test_it.py").write_text(
            "import os, subprocess, sys, threading, time, pytest\n" + textwrap.dedent(text)
        )
        (tmp_path / "pytest.ini").touch()
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            text=True,
            timeout=110,
            check=False,
        )

    return run_tests


@pytest.mark.slow
def test_what_hangs_fails_and_all_else_runs(run: Run) -> None:
    done = run(
        """
        @pytest.fixture
        def before():
            threading.Event().wait()

        @pytest.fixture
        def after():
            yield
            threading.Event().wait()

        def test_that_fails(): assert 1 == 2
        def test_that_waits_in_the_kernel(): os.read(os.pipe()[0], 1)
        def test_that_waits_for_a_child(): subprocess.call([sys.executable, "-c", "import time; time.sleep(999)"])
        def test_that_needs_what_hangs(before): pass
        def test_that_loops():
            while True: pass
        def test_that_ends_too_late(): time.sleep(1.5)
        @pytest.mark.parametrize("number", range(3))
        def test_that_has_enough_of_its_own_time(number): time.sleep(0.6)
        def test_that_fails_after(): assert 3 == 4
        def test_that_passes_and_leaves_what_hangs(after): pass
        """,
        "-s",  # a child that still runs would keep our pipe open, so that this test would hang
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert outcomes(done) == "6 failed, 4 passed, 2 errors", done.stdout
    assert done.stdout.count("\nIt has not ended after 1 s") == 6
    for text in ("assert 1 == 2", "assert 3 == 4", "in test_that_waits_in_the_kernel", "in after"):
        assert text in done.stdout


@pytest.mark.slow
def test_a_test_that_hangs_counts_for_maxfail(run: Run) -> None:
    done = run(
        """
        def test_that_hangs(): threading.Event().wait()
        def test_that_would_hang(): threading.Event().wait()
        """,
        "--maxfail=1",
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert outcomes(done) == "1 failed", done.stdout

"""The amount of work of a reliability test, and its figures."""

from collections.abc import Callable

import pytest

Amount = Callable[[int, int], int]
Figure = Callable[[str], None]

_FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_FIGURES]:
        terminalreporter.section("figures")
        for line in config.stash[_FIGURES]:
            terminalreporter.line(line)


@pytest.fixture
def amount(request: pytest.FixtureRequest) -> Amount:
    """Choose between the amount of work in the suite and with `--long`."""
    return lambda short, long: long if request.config.getoption("--long") else short


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Add a figure to print at the end of the run."""

    def tell(text: str) -> None:
        request.config.stash[_FIGURES].append(f"{request.node.name}: {text}")

    return tell

"""Checks the claims on this system one by one, each with a time limit."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from subprocess import SubprocessError
from typing import Any, NamedTuple

from pipectl.core.deadline import Deadline, Stopwatch
from pipectl.core.errors import CheckFailedError, PipeError, PipeTimeoutError
from pipectl.core.win32.blocking import run_blocking

from . import ask_access, ask_data, ask_handles, ask_names, ask_processes, ask_waits, tokens
from .claim import Claim, Need
from .claims import WINE, described
from .fixture import Fixture, NotTried, Observed
from .system import wine_version

_FILES = {
    "access": ask_access,
    "data": ask_data,
    "handles": ask_handles,
    "names": ask_names,
    "processes": ask_processes,
    "waits": ask_waits,
}


class Verdict(StrEnum):
    """The verdict on a claim."""

    HOLDS = "holds"
    DIFFERS = "differs"
    NOT_TRIED = "not tried"


class Result(NamedTuple):
    """The result of a claim: its verdict, the observation, a note, and the seconds it took.

    The note says why the claim was not tried, why it is known to differ, or what else is worth knowing. `is_known`
    means that it is known to differ under Wine. No text names users, computers, paths, SIDs, or other programs' pipes.
    """

    claim: Claim
    verdict: Verdict
    observed: str | None = None
    note: str | None = None
    is_known: bool = False
    seconds: float = 0.0


class Summary:
    """The results so far, and their totals."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self._watch = Stopwatch()

    def add(self, result: Result) -> None:
        """Add a result."""
        self.results.append(result)

    @property
    def differing(self) -> list[str]:
        """The ids of the claims that differ."""
        return self._ids(Verdict.DIFFERS)

    def counts(self) -> dict[str, Any]:
        """Return the number of claims with each verdict, and the elapsed seconds."""
        return {
            "claims": len(self.results),
            "holds": len(self._ids(Verdict.HOLDS)),
            "differs": len(self.differing),
            "not_tried": len(self._ids(Verdict.NOT_TRIED)),
            "seconds": self._watch.seconds,
        }

    def __str__(self) -> str:
        parts = [f"{len(self._ids(Verdict.HOLDS))} hold"]
        for verdict, word in ((Verdict.DIFFERS, "differ"), (Verdict.NOT_TRIED, "not tried")):
            if ids := self._ids(verdict):
                parts.append(f"{len(ids)} {word} ({' '.join(ids)})")
        return ", ".join(parts)

    def verify(self) -> None:
        """Raise CheckFailedError if a claim differs."""
        if self.differing:
            raise CheckFailedError(f"{len(self.differing)} of {len(self.results)} claims differ", topic="selftest")

    def _ids(self, verdict: Verdict) -> list[str]:
        return [result.claim.id for result in self.results if result.verdict is verdict]


def recorded(result: Result) -> dict[str, Any]:
    """Return a result as a record."""
    return {
        **described(result.claim),
        "verdict": result.verdict.value,
        "observed": result.observed,
        "note": result.note,
        "known": result.is_known or None,
        "seconds": result.seconds,
    }


def run(claims: Sequence[Claim], role_arguments: Sequence[str], offered: Sequence[str] = ()) -> Iterator[Result]:
    """Check the claims in order, and yield each result at once; an error in one claim does not stop the others.

    `role_arguments` are the arguments of this program before a role of `companion` and the name of a pipe. `offered`
    are the needs that are met.
    """
    known = WINE if wine_version() else {}
    for claim in claims:
        watch = Stopwatch()
        result = _ask(claim, role_arguments, offered)
        if result.verdict is Verdict.DIFFERS and claim.id in known:
            result = result._replace(note=f"known under Wine: {known[claim.id]}", is_known=True)
        yield result._replace(seconds=watch.seconds)


def _ask(claim: Claim, role_arguments: Sequence[str], offered: Sequence[str]) -> Result:
    file, _, name = claim.ask.partition(".")
    question: Callable[[Fixture], Observed | str] = getattr(_FILES[file], name)
    deadline = Deadline(claim.bound)
    answer: Observed | NotTried | str = Observed(f"no answer within {claim.bound:g} s")
    try:
        _check_needs(claim, offered)
        with suppress(PipeTimeoutError), Fixture(role_arguments) as fixture:
            found = run_blocking(lambda: _caught(question, fixture), deadline)
            if not deadline.passed:  # otherwise, it is the result of a canceled call
                answer = found
    except NotTried as reason:
        answer = reason
    except (OSError, SubprocessError) as error:  # from the end of the fixture
        answer = Observed(f"cannot be cleaned up: {type(error).__name__}")
    if isinstance(answer, NotTried):
        return Result(claim, Verdict.NOT_TRIED, note=str(answer))
    observed, note = answer if isinstance(answer, Observed) else Observed(answer)
    verdict = Verdict.HOLDS if observed == claim.expected else Verdict.DIFFERS
    return Result(claim, verdict, observed, note=note or None)


def _caught(question: Callable[[Fixture], Observed | str], fixture: Fixture) -> Observed | NotTried | str:
    """Return the observation, or the reason why there is none; an error never names its subject."""
    try:
        return question(fixture)
    except NotTried as reason:
        return reason
    except PipeError as error:
        what = f"{error.function or 'it'} failed"
        return NotTried(f"{what} with {error.symbol or error.code}" if error.code else what)
    except OSError as error:
        return NotTried(f"{type(error).__name__} {error.winerror or error.errno}")
    except Exception as error:  # noqa: BLE001 - a bug in one claim must not lose the other results
        return Observed(f"unexpected: {type(error).__name__}")


def _check_needs(claim: Claim, offered: Sequence[str]) -> None:
    if claim.needs is None:
        return
    if claim.needs not in offered:
        raise NotTried(f"needs --{claim.needs}")
    if claim.needs is Need.ADMIN and not tokens.is_elevated():
        raise NotTried("this process is not elevated")

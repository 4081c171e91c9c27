"""What the self-test finds on this machine, and that nothing that a claim does ends the rest."""

import threading
import time
from collections.abc import Callable
from ctypes import byref
from ctypes.wintypes import HANDLE
from typing import Any

import pytest

from pipectl.core.checks import ask_names, tokens
from pipectl.core.checks.claim import CHILD, Need
from pipectl.core.checks.claims import CLAIMS, NOT_ON_WINE, STRICT, WINE, WINE_VERSION, chosen
from pipectl.core.checks.fixture import Companion, Fixture, NotTried, Observed, code_of
from pipectl.core.checks.selftest import _FILES, Result, Summary, Verdict, run
from pipectl.core.checks.system import wine_version
from pipectl.core.constants import WinError
from pipectl.core.deadline import Stopwatch
from pipectl.core.errors import CheckFailedError, error_for
from pipectl.core.security.sids import EVERYONE
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import TokenAccess
from tests import conftest

ROLE = ("selftest", "--role")
# It is asked where the tests have a console.
CONSOLE = {"W47"}
NEEDING = {claim.id for claim in CLAIMS if claim.needs}

ON_WINE = pytest.mark.skipif(
    not (wine_version() or "").startswith(f"{WINE_VERSION}."), reason=f"the tables are those of Wine {WINE_VERSION}"
)

ERROR_NO_TOKEN = 1008

Question = Callable[[Fixture], Observed | str]


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    """All claims, checked once."""
    return {result.claim.id: result for result in run(CLAIMS, ROLE)}


def having(results: dict[str, Result], verdict: Verdict) -> set[str]:
    return {name for name, result in results.items() if result.verdict is verdict} - CONSOLE


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Result]]:
    """Check a claim that a function answers, and another one after it."""

    def checked(question: Question, *, offered: tuple[Need, ...] = (), **changes: Any) -> list[Result]:
        monkeypatch.setattr(ask_names, "first_instance", question)
        claim = chosen(["W02"])[0]._replace(expected="yes", **changes)
        return list(run([claim, *chosen(["W63"])], ROLE, offered))

    return checked


# What is known


@ON_WINE
def test_what_differs_under_wine_is_exactly_what_is_known(results: dict[str, Result]) -> None:
    assert having(results, Verdict.DIFFERS) == (set(WINE) - STRICT if conftest.STRICT else set(WINE))


@ON_WINE
def test_what_is_not_tried_under_wine_is_exactly_what_is_known(results: dict[str, Result]) -> None:
    assert having(results, Verdict.NOT_TRIED) == {*NOT_ON_WINE, *NEEDING}


@ON_WINE
def test_what_is_known_to_differ_is_marked_with_its_reason(results: dict[str, Result]) -> None:
    differing = having(results, Verdict.DIFFERS)
    assert {name for name, result in results.items() if result.is_known} - CONSOLE == differing
    assert all(WINE[name] in (results[name].note or "") for name in differing)


def test_claims_that_start_no_child_take_less_than_ten_seconds(results: dict[str, Result]) -> None:
    """With the children it is less than twenty, unless the machine takes seconds to start one."""
    assert sum(result.seconds for result in results.values() if result.claim.bound < CHILD) < 10


def test_every_claim_is_asked_by_a_function_of_its_own() -> None:
    asked = [claim.ask for claim in CLAIMS]
    assert len(set(asked)) == len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    for ask in asked:
        file, _, name = ask.partition(".")
        assert callable(getattr(_FILES[file], name))


def test_the_tables_of_wine_name_claims_and_none_twice() -> None:
    assert {*WINE, *NOT_ON_WINE} <= {claim.id for claim in CLAIMS}
    assert not set(WINE) & set(NOT_ON_WINE)
    assert set(WINE) > STRICT
    assert not {*WINE, *NOT_ON_WINE} & NEEDING


# What comes of one claim


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("yes", (Verdict.HOLDS, "yes", None)),
        ("no", (Verdict.DIFFERS, "no", None)),
        (Observed("yes", "in 2 ms"), (Verdict.HOLDS, "yes", "in 2 ms")),
    ],
)
def test_an_answer_is_compared_with_the_expected_one(
    check: Callable[..., list[Result]],
    monkeypatch: pytest.MonkeyPatch,
    answer: Observed | str,
    result: tuple[object, ...],
) -> None:
    monkeypatch.setattr("pipectl.core.checks.selftest.WINE", {})
    found, _ = check(lambda _: answer)
    assert (found.verdict, found.observed, found.note) == result


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (NotTried("there is no such thing here"), "there is no such thing here"),
        (
            error_for(WinError.ACCESS_DENIED, "Access to C:/Users/me is denied", "OpenProcess", subject="C:/Users/me"),
            "OpenProcess failed with ERROR_ACCESS_DENIED",
        ),
        (FileNotFoundError(2, "not found", "C:/Users/me"), "FileNotFoundError 2"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_machine_forbids_is_not_tried_and_names_nobody(
    check: Callable[..., list[Result]], error: Exception, note: str
) -> None:
    def forbidden(_fixture: Fixture) -> str:
        raise error

    result, after = check(forbidden)
    assert (result.verdict, result.observed, result.note) == (Verdict.NOT_TRIED, None, note)
    assert after.verdict is Verdict.HOLDS


def test_a_mistake_in_a_claim_differs_and_ends_no_other(check: Callable[..., list[Result]]) -> None:
    def mistaken(_fixture: Fixture) -> str:
        raise KeyError("C:/Users/me")

    result, after = check(mistaken)
    assert (result.verdict, result.observed) == (Verdict.DIFFERS, "unexpected: KeyError")
    assert after.verdict is Verdict.HOLDS


def test_what_cannot_be_cleaned_up_differs_and_ends_no_other(check: Callable[..., list[Result]]) -> None:
    def leave_a_mess(fixture: Fixture) -> str:
        fixture.callback(Handle(0xBAD0).close)  # which is no handle
        return "yes"

    result, after = check(leave_a_mess)
    assert (result.verdict, result.observed) == (Verdict.DIFFERS, "cannot be cleaned up: PipeError")
    assert after.verdict is Verdict.HOLDS


def test_a_claim_that_hangs_is_left_behind_and_ends_no_other(check: Callable[..., list[Result]]) -> None:
    released = threading.Event()
    watch = Stopwatch()
    try:
        result, after = check(lambda _: str(released.wait(60)), bound=0.2)
    finally:
        released.set()
    assert (result.verdict, result.observed) == (Verdict.DIFFERS, "no answer within 0.2 s")
    assert after.verdict is Verdict.HOLDS
    assert watch.seconds < 5


def test_the_child_of_a_claim_that_hangs_is_ended(check: Callable[..., list[Result]]) -> None:
    children: list[Companion] = []

    def hang(fixture: Fixture) -> str:
        children.append(fixture.child("serve", fixture.name()))
        return children[0].said() + children[0].said()  # which it does not say

    result, _ = check(hang, bound=2)
    assert result.observed == "no answer within 2 s"
    assert children[0]._process.poll() is not None


@pytest.mark.parametrize(("need", "option"), [(Need.ADMIN, "--admin"), (Need.NETWORK, "--network")])
def test_what_needs_an_option_is_tried_only_with_it(
    check: Callable[..., list[Result]], monkeypatch: pytest.MonkeyPatch, need: Need, option: str
) -> None:
    monkeypatch.setattr(tokens, "is_elevated", lambda: True)
    result, _ = check(lambda _: "yes", needs=need)
    assert (result.verdict, result.note) == (Verdict.NOT_TRIED, f"needs {option}")
    result, _ = check(lambda _: "yes", needs=need, offered=(need,))
    assert result.verdict is Verdict.HOLDS


def test_what_needs_elevation_is_not_tried_without_it(
    check: Callable[..., list[Result]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "is_elevated", lambda: False)
    result, _ = check(lambda _: "yes", needs=Need.ADMIN, offered=(Need.ADMIN,))
    assert (result.verdict, result.note) == (Verdict.NOT_TRIED, "this process is not elevated")


def test_a_weaker_token_is_given_back_at_the_end_of_its_block() -> None:
    def code_of_thread_token() -> int:
        token = HANDLE()
        code = code_of(winapi.OpenThreadToken, winapi.GetCurrentThread(), TokenAccess.QUERY, True, byref(token))
        if not code:
            Handle(token.value).close()
        return code

    with tokens.without_group(EVERYONE) as weaker, tokens.as_token(weaker):
        assert code_of_thread_token() == 0
    assert code_of_thread_token() == ERROR_NO_TOKEN


def test_a_selftest_leaves_no_handle_behind(handle_count: Callable[[], int]) -> None:
    quick = [claim for claim in CLAIMS if claim.bound < CHILD]
    list(run(quick, ROLE))
    before = handle_count()
    list(run(quick, ROLE))
    deadline = time.monotonic() + 5
    while handle_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)  # threads that end
    assert handle_count() <= before


# What it comes to


def test_a_summary_names_every_claim_that_does_not_hold() -> None:
    summary = Summary()
    for name, verdict in (("W02", Verdict.DIFFERS), ("W12", Verdict.HOLDS), ("W07", Verdict.NOT_TRIED)):
        summary.add(Result(chosen([name])[0], verdict))
    assert str(summary) == "1 hold, 1 differ (W02), 1 not tried (W07)"
    with pytest.raises(CheckFailedError):
        summary.verify()


def test_what_is_not_tried_is_no_failure() -> None:
    summary = Summary()
    summary.add(Result(chosen(["W07"])[0], Verdict.NOT_TRIED))
    summary.verify()

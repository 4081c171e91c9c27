"""When the requests of a bench are due, what came of them, and the limits that they are held to."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipectl.core.checks.bench_plan import Limit, Plan, Schedule, Score, failures_as_records, verify
from pipectl.core.constants import WinError
from pipectl.core.errors import CheckFailedError, PartialResultError, PipeClosedError, PipeStateError, timed_out

PIPE = r"\\.\pipe\svc"


def taken(schedule: Schedule, times: list[float]) -> list[float]:
    """Take a request at each time, and return when the taken ones were due."""
    return [due for due in map(schedule.take, times) if due is not None]


# A closed loop


def test_a_closed_loop_sends_until_its_time_is_up_and_measures_what_came_after_the_warm_up() -> None:
    schedule = Schedule(Plan(duration=2, warmup=1), 10)
    assert taken(schedule, [10, 10.9, 11, 12.9, 13, 14]) == [10, 10.9, 11, 12.9]
    assert [schedule.is_measured(due) for due in (10, 10.9, 11, 12.9)] == [False, False, True, True]
    assert schedule.is_over(13)
    assert schedule.wait(10.5) is None


def test_a_number_of_exchanges_does_not_count_those_of_the_warm_up() -> None:
    schedule = Schedule(Plan(exchanges=2, warmup=1), 10)
    assert taken(schedule, [10, 10.5, 11.5, 99, 100]) == [10, 10.5, 11.5, 99]
    assert schedule.is_over(100)


def test_the_time_that_was_measured_is_that_of_the_plan_or_until_the_last_exchange() -> None:
    assert Schedule(Plan(duration=2, warmup=1), 10).seconds(12.5) == 2
    assert Schedule(Plan(duration=2, warmup=1), 10).seconds(14) == 3
    assert Schedule(Plan(exchanges=5, warmup=1), 10).seconds(11.5) == 0.5
    interrupted = Schedule(Plan(duration=2, warmup=1), 10)
    interrupted.close()
    assert (interrupted.take(11), interrupted.seconds(11.25), interrupted.seconds(0)) == (None, 0.25, 0)


# An open loop


@settings(deadline=None)
@given(st.floats(0.5, 500), st.floats(0, 1), st.floats(0.01, 2))
def test_an_open_loop_has_its_rate_whenever_it_is_asked(rate: float, warmup: float, duration: float) -> None:
    schedule = Schedule(Plan(rate=rate, warmup=warmup, duration=duration), 100)
    dues: list[float] = []
    while (pause := schedule.wait(now := 100 + len(dues) / rate)) is not None:
        due = schedule.take(now + pause + 1e-9)
        assert due is not None
        dues.append(due)
    assert dues[0] >= 100 - 1e-9
    assert all(late - soon == pytest.approx(1 / rate) for soon, late in itertools.pairwise(dues))
    measured = sum(map(schedule.is_measured, dues))
    assert measured == pytest.approx(duration * rate, abs=1.001)
    assert schedule.unsent == 0


def test_a_request_that_is_late_is_due_when_it_should_have_been_sent() -> None:
    schedule = Schedule(Plan(rate=10, warmup=0, duration=1), 0)
    assert schedule.take(-0.01) is None
    assert taken(schedule, [0.55] * 7) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert schedule.wait(0.55) == pytest.approx(0.05)


def test_an_open_loop_that_falls_behind_catches_up_for_a_second_at_most() -> None:
    schedule = Schedule(Plan(rate=10, warmup=0, duration=1), 0)
    assert len(taken(schedule, [0.9] * 4)) == 4
    assert not schedule.is_over(1.0)
    assert schedule.backlog == schedule.unsent == 6
    assert schedule.take(1.5) == pytest.approx(0.4)
    assert schedule.is_over(2.0)
    assert schedule.take(2.1) is None
    assert (schedule.backlog, schedule.unsent) == (6, 5)


def test_a_number_of_requests_at_a_rate_is_sent_however_late() -> None:
    schedule = Schedule(Plan(rate=10, warmup=0.2, exchanges=3), 0)
    assert len(taken(schedule, [60] * 9)) == 2 + 3
    assert schedule.is_over(60)
    assert schedule.end == pytest.approx(0.5)


@pytest.mark.parametrize("rate", [None, 10.0])
def test_progress_goes_from_nothing_to_all(rate: float | None) -> None:
    schedule = Schedule(Plan(rate=rate, duration=2), 0)
    assert [schedule.progress(now) for now in (0, 1.25, 2.5, 9)] == [0, 0.5, 1, 1]
    counted = Schedule(Plan(exchanges=4, warmup=0), 0)
    counted.take(5)
    assert counted.progress(9) == 0.25


# What came of them


def score_of(*latencies: float) -> Score:
    score = Score(sent_each=10)
    for latency in latencies:
        score.succeeded(0, latency, 3)
    return score


def test_a_score_has_latencies_and_bytes_of_what_succeeded() -> None:
    score = score_of(*(number / 1000 for number in range(1, 101)))
    score.failed(101, timed_out(5, PIPE))
    assert (score.succeeded_count, score.failed_count, score.bytes_sent, score.bytes_received) == (100, 1, 1000, 300)
    assert score.times() == pytest.approx(
        {"min": 0.001, "p50": 0.05, "p90": 0.09, "p99": 0.099, "p99.9": 0.1, "max": 0.1, "mean": 0.0505}, rel=1e-3
    )
    assert score.until == 101


def test_failures_are_counted_by_kind_the_most_frequent_first() -> None:
    score = score_of()
    for error in (
        timed_out(5, PIPE),
        PipeClosedError("closed", code=WinError.BROKEN_PIPE, pipe=PIPE),
        PipeClosedError("closed", code=WinError.BROKEN_PIPE, pipe=PIPE),
        PipeStateError("unread", code=WinError.PIPE_BUSY, function="TransactNamedPipe", pipe=PIPE),
    ):
        score.failed(1, error)
    records = failures_as_records(score.failures)
    assert [(one["kind"], one["exchanges"]) for one in records] == [("closed", 2), ("timed out", 1), ("unread data", 1)]
    assert records[0]["symbol"] == "ERROR_BROKEN_PIPE"
    assert score.times() == {}


# Limits


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("p99=5ms", ("p99", 0.99, 0.005)),
        ("P99.9=2", ("p99.9", 0.999, 2)),
        ("p50=1m", ("p50", 0.5, 60)),
        ("p50=200us", ("p50", 0.5, 0.0002)),
        ("p50=2.5µs", ("p50", 0.5, 0.0000025)),
        ("p100=1", ("p100", 1, 1)),
        ("max=250ms", ("max", 1, 0.25)),
    ],
)
def test_a_limit_is_a_percentile_and_a_time(text: str, limit: tuple[str, float, float]) -> None:
    assert Limit.parse(text) == pytest.approx(limit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p99",
        "p99=",
        "p99=none",
        "p101=1",
        "99=1",
        "p=1",
        "mean=1",
        "p99=fast",
        "p99=us",
        "p99=-1us",
        "p99=infus",
        "p99=-1",
    ],
)
def test_an_invalid_limit_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="invalid"):
        Limit.parse(text)


def test_a_limit_holds_up_to_its_time() -> None:
    score = score_of(0.001, 0.002, 0.003)
    verify(score, map(Limit.parse, ["p50=3ms", "max=3ms"]))
    with pytest.raises(CheckFailedError, match=r"max is 3.000 ms, above 2 ms"):
        verify(score, map(Limit.parse, ["p50=3ms", "max=2ms"]))


def test_a_failed_exchange_comes_before_a_limit_and_has_the_facts_of_its_error() -> None:
    score = score_of(10)
    score.failed(1, timed_out(5, PIPE))
    with pytest.raises(PartialResultError, match="1 of 2 exchanges failed") as raised:
        verify(score, [Limit.parse("max=1")])
    assert (raised.value.code, raised.value.pipe) == (WinError.TIMEOUT, PIPE)


def test_a_bench_without_an_exchange_has_measured_nothing() -> None:
    with pytest.raises(PartialResultError, match="before an exchange was measured"):
        verify(score_of(), [])

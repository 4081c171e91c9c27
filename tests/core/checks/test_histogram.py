"""What a histogram says of times, compared with the times themselves."""

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipectl.core.checks.histogram import Histogram

# Half of them are spread over the powers of ten, as latencies are.
TIMES = st.floats(0, 100) | st.floats(-6, 2).map(lambda power: 10.0**power)
PARTS = st.floats(0, 1) | st.sampled_from([0.5, 0.9, 0.99, 0.999, 1.0])


def histogram_of(times: list[float]) -> Histogram:
    histogram = Histogram()
    for time in times:
        histogram.record(time)
    return histogram


def exact(times: list[float], part: float) -> float:
    """Return the quantile by nearest rank."""
    return sorted(times)[max(1, ceil(round(part * len(times), 6))) - 1]


@settings(deadline=None)
@given(st.lists(TIMES, min_size=1), PARTS)
def test_a_quantile_is_never_too_short_and_at_most_a_thousandth_too_long(times: list[float], part: float) -> None:
    quantile = histogram_of(times).quantile(part)
    assert exact(times, part) <= quantile + 1e-12
    assert quantile <= exact(times, part) * (1 + 1 / 1024) + 1.01e-7


@settings(deadline=None)
@given(st.lists(TIMES, min_size=1))
def test_the_least_the_most_and_the_mean_are_exact(times: list[float]) -> None:
    histogram = histogram_of(times)
    assert (histogram.least, histogram.most, histogram.count) == (min(times), max(times), len(times))
    assert histogram.mean == pytest.approx(sum(times) / len(times))
    assert histogram.quantile(1) == max(times)
    assert min(times) <= histogram.quantile(0) <= min(times) * (1 + 1 / 1024) + 1.01e-7


@settings(deadline=None)
@given(st.lists(TIMES), st.lists(TIMES), PARTS)
def test_merged_histograms_equal_one_of_all_times(some: list[float], more: list[float], part: float) -> None:
    merged, whole = histogram_of(some), histogram_of(some + more)
    merged.merge(histogram_of(more))
    assert (merged.count, merged.least, merged.most) == (whole.count, whole.least, whole.most)
    assert merged.mean == pytest.approx(whole.mean)
    if whole.count:
        assert merged.quantile(part) == whole.quantile(part)


@settings(deadline=None)
@given(st.lists(st.floats(100.0, 1e6), min_size=1))
def test_times_above_the_longest_are_counted_and_only_the_most_shows_them(times: list[float]) -> None:
    histogram = histogram_of([1.0] * len(times) + times)
    assert histogram.count == 2 * len(times)
    assert histogram.quantile(0.5) == pytest.approx(1.0, rel=1e-3)
    assert histogram.quantile(1) == histogram.most == max(times)
    assert 100 <= histogram.quantile(0.75) <= max(100.1, times[0])


def test_a_histogram_without_times_says_zero() -> None:
    histogram = Histogram()
    assert (histogram.count, histogram.least, histogram.most, histogram.mean, histogram.quantile(0.5)) == (
        0,
        0,
        0,
        0,
        0,
    )


def test_a_negative_time_is_counted_as_zero() -> None:
    histogram = histogram_of([-1e-6, 5.0])
    assert histogram.count == 2
    assert histogram.quantile(0.5) == pytest.approx(0, abs=2e-7)


def test_the_size_of_a_histogram_does_not_grow() -> None:
    few, many = histogram_of([1.0]), histogram_of([number * 1e-4 for number in range(1, 10_001)])
    assert len(few._counts) == len(many._counts) == 21_504

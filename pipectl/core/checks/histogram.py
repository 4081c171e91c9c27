"""Histograms of times, from 1 µs to 100 s with three significant digits, in constant memory. Runs on any system.

The layout is that of HdrHistogram. The unit is 100 ns, as in Windows' clock. Each time up to 2,047 units has its own
count. Above that, each power of two is divided into 1,024 counts, so a count covers less than a thousandth of its time.
"""

from array import array
from math import ceil

_UNITS_PER_SECOND = 10_000_000
_LONGEST = 100 * _UNITS_PER_SECOND
_BITS = 11  # in the numbers of units that have their own count
_HALF = 1 << (_BITS - 1)


def _index(units: int) -> int:
    shift = max(0, units.bit_length() - _BITS)
    return shift * _HALF + (units >> shift)


_SIZE = _index(_LONGEST) // _HALF * _HALF + _HALF


def _end(index: int) -> int:
    """Return the first number of units that is above the range of a count."""
    shift = max(0, index // _HALF - 1)
    return (index - shift * _HALF + 1) << shift


class Histogram:
    """Counts times in seconds; `least`, `most` and `mean` are exact, and 0 if there are no times.

    A time above 100 s is counted as 100 s, except in `most` and `mean`. A negative time is counted as 0.
    """

    __slots__ = ("_counts", "_sum", "count", "least", "most")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _SIZE))
        self._sum = 0.0
        self.count = 0
        self.least = 0.0
        self.most = 0.0

    def record(self, seconds: float) -> None:
        """Count a time."""
        self._counts[_index(min(max(0, int(seconds * _UNITS_PER_SECOND)), _LONGEST))] += 1
        if seconds > self.most:
            self.most = seconds
        if seconds < self.least or not self.count:
            self.least = seconds
        self.count += 1
        self._sum += seconds

    @property
    def mean(self) -> float:
        """The average."""
        return self._sum / self.count if self.count else 0.0

    def quantile(self, part: float) -> float:
        """Return the time that a part (from 0 to 1) of all times does not exceed.

        The result is never too short, and at most a thousandth or 100 ns too long.
        """
        rank = max(1, ceil(round(part * self.count, 6)))
        if rank >= self.count:
            return self.most
        for index, count in enumerate(self._counts):
            rank -= count
            if rank <= 0:
                return max(self.least, min(self.most, _end(index) / _UNITS_PER_SECOND))
        raise AssertionError("the counts are fewer than `count`")

    def merge(self, other: "Histogram") -> None:
        """Add the times of another histogram."""
        if other.count:
            self.least = min(self.least, other.least) if self.count else other.least
        self._counts = array("Q", map(int.__add__, self._counts, other._counts))
        self.most = max(self.most, other.most)
        self.count += other.count
        self._sum += other._sum

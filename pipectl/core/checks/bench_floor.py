"""The overhead of a bench without the measured server: the same exchanges with an echo server of its own."""

import os
from collections.abc import Sequence
from functools import partial
from subprocess import SubprocessError
from typing import NamedTuple

from pipectl.core.constants import MAX_MESSAGE, Sqos, Wait
from pipectl.core.deadline import Deadline
from pipectl.core.names import LOCAL_PREFIX
from pipectl.core.pipe.framing import Count
from pipectl.core.win32.blocking import run_blocking

from .bench import Bench, Target
from .bench_plan import Plan
from .fixture import Fixture, NotTried

# In seconds: the time limits for the start of the echo server and for an exchange, and the length of the measurement.
_START, _TIMEOUT = 15.0, 5.0
_DURATION, _WARMUP = 0.4, 0.1


class Floor(NamedTuple):
    """The exchanges per second with the echo server, and their median latency in seconds."""

    per_second: float
    p50: float

    def as_dict(self) -> dict[str, float]:
        """Return it as a record."""
        return {"per_second": round(self.per_second, 3), "p50": round(self.p50, 7)}


def measure_floor(bench: Bench, role_arguments: Sequence[str]) -> Floor | None:
    """Measure the same exchanges as a bench, in a closed loop, with an echo server in another process.

    The server is this program, started with `role_arguments` and a role; it is slower than a server in C. Returns None
    if it cannot be started. Takes about a second; Ctrl+C interrupts it.
    """
    target, plan = bench.target, bench.plan
    own = Target(
        f"{LOCAL_PREFIX}pipectl-bench-{os.getpid()}",
        target.request,
        Count(len(target.request)) if target.until and target.request else None,
        MAX_MESSAGE,
        _TIMEOUT,
        Wait.EXISTS,
        Sqos.IDENTIFICATION,
        new_connection=target.new_connection,
    )
    try:
        with Fixture(role_arguments) as fixture:
            role = "echo" if bench.is_message else "echo-bytes"
            run_blocking(partial(fixture.child, role, own.pipe), Deadline(_START))
            with Bench(own, Plan(plan.connections, _DURATION, warmup=_WARMUP)) as measured:
                measured.open()
                measured.start()
                measured.wait(_DURATION + _WARMUP + 2 * _TIMEOUT)
    except (NotTried, OSError, SubprocessError):
        return None
    times = measured.score.times()
    return Floor(measured.per_second, times["p50"]) if times else None

"""The engine of `pipectl bench`: `pipectl_bench.py PIPE CONNECTIONS` prints the seconds for each line with a count.

Like those of the programs in C, they do not include the time to open the connections and a short warm-up.
"""

import sys

from worker import SMALL

from pipectl.core.checks.bench import Bench, Target
from pipectl.core.checks.bench_plan import Plan, verify
from pipectl.core.constants import Wait

target = Target(sys.argv[1], SMALL, wait=Wait.EXISTS)
print("ready", flush=True)
for line in sys.stdin:
    plan = Plan(int(sys.argv[2]), exchanges=int(line.split()[-1]), warmup=0.01)
    with Bench(target, plan) as bench:
        bench.open()
        bench.start()
        bench.wait(60)
    verify(bench.score, ())
    print(bench.seconds, flush=True)

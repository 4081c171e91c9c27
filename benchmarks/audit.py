"""Measure the rules of an audit for the pipes of a computer: the section `audit` of run.py.

The facts are recorded: a thousand pipes, each with its own ACL.
"""

import time
from statistics import median

from pipectl.core.checks.audit_rules import Facts, Server, check
from pipectl.core.models import Process
from pipectl.core.security.access_check import Integrity, Token
from pipectl.core.security.sddl import parse

PIPES = 1000
# A mix of ACLs, with and without findings.
SDDL = (
    "O:SYG:SYD:P(D;;GA;;;AN)(A;;GA;;;SY)(A;;GA;;;S-1-5-80-1-2-3-4-{0})(A;;0x12019b;;;IU)(A;;GR;;;DU)S:(ML;;NW;;;LW)",
    "O:BAG:SYD:(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;S-1-5-21-1-2-3-{0})(A;;GR;;;WD)(A;;GR;;;AN)",
    "O:SYG:SYD:(A;;GRGW;;;WD)(A;;GA;;;AC)(A;;0x12019b;;;S-1-15-2-1-2-3-4-5-6-{0})(D;;GA;;;NU)",
    "O:S-1-5-21-1-2-3-{0}D:(A;;GA;;;S-1-5-21-1-2-3-{0})(A;;0x12019b;;;BU)",
)
SERVERS = (Server(Process(4312, r"C:\Windows\svc.exe"), Token(user="S-1-5-18", integrity=Integrity.SYSTEM)),)


def recorded() -> list[Facts]:
    """Return the facts of a thousand pipes."""
    return [
        Facts(f"svc-{number}", parse(SDDL[number % len(SDDL)].format(number)), SERVERS, rejects_remote=False)
        for number in range(1, PIPES + 1)
    ]


def measure(rounds: int) -> dict[str, float]:
    """Print and return the median and the minimum of the rounds, in milliseconds."""
    pipes = recorded()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        findings = sum(len(check(facts)) for facts in pipes)
        times.append((time.perf_counter() - begun) * 1000)
    print(f"\n{PIPES:,} pipes judged: {median(times):.0f} ms ({min(times):.0f}), {findings:,} findings")
    return {"median": median(times), "least": min(times)}

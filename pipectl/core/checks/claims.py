"""All claims about Windows that pipectl relies on, and their known differences under Wine. Runs on any system.

A claim is something that pipectl depends on and that no test on Linux can prove. `selftest` checks the claims, with
the functions in the files `ask_*` in this folder.
"""

from collections.abc import Collection
from typing import Any

from .claim import Claim
from .claims_opening import OPENING
from .claims_using import USING

CLAIMS: tuple[Claim, ...] = (*OPENING, *USING)

# The claims that are known to differ under Wine, and why. Measured with Wine 8; other versions may differ.
WINE_VERSION = "8"
WINE = {
    "W01": "its server does not check ACLs",
    "W02": "it ignores FILE_FLAG_FIRST_PIPE_INSTANCE",
    "W04": "a server always receives the level Impersonation",
    "W05": "a pipe does not keep its label",
    "W08": "the pipe directory cannot be listed",
    "W09": "it looks for a free instance first",
    "W10": "it returns an empty DACL instead of a NULL DACL",
    "W11": "its server does not check ACLs",
    "W13": "CancelIoEx succeeds although there is nothing to cancel",
    "W15": "it accepts and returns collection values of a local pipe",
    "W16": "the console host of a child keeps the child's streams open until it exits",
    "W19": "a synchronous handle has no lock",
    "W20": "the default security descriptor of a pipe cannot be queried",
    "W23": "the pipe directory has no change notifications",
    "W25": "it returns a number that is not a process id",
    "W27": "it does not implement this query",
    "W31": "its server does not check ACLs",
    "W32": "it counts only server ends",
    "W33": "a pipe disappears with its last server end",
    "W34": "WaitNamedPipe accepts all spellings",
    "W35": "its server does not check ACLs",
    "W36": "its server does not require a right to set the state",
    "W37": "a pipe name and a name below it are independent",
    "W44": "it has no integrity levels",
    "W49": "a reused instance moves to the end",
    "W50": "the quota is always 0",
    "W51": "it does not keep the flag",
    "W52": "`whoami` does not show a SID",
    "W53": "it parses only 32 bits of an authority",
    "W54": "a write of 0 bytes does not complete a read",
    "W57": "every operation is canceled when its thread ends",
    "W59": "a client can be impersonated at any time",
    "W60": "it has no integrity levels",
    "W66": "the TCP table contains no process ids",
    "W67": "a reset is reported as a close",
    "W68": "the default security descriptor of a pipe cannot be queried",
}
# Those of them that hold on a Wine server that enforces NT's rules, such as that of `dev.py test --strict`.
STRICT = frozenset(("W01", "W09", "W31", "W32", "W33", "W35", "W36", "W37", "W49", "W50"))
# The claims that cannot be checked under Wine, and why.
NOT_ON_WINE = {
    "W07": "it does not implement this query",
    "W26": "it has no aliases",
    "W40": "all processes are one user's, who is an administrator",
    "W45": "it has no AppContainers",
    "W62": "no query blocks",
}


def chosen(wanted: Collection[str] = ()) -> list[Claim]:
    """Return the claims with these ids, or all of them, in the order of the table; raises ValueError for other ids."""
    if unknown := sorted(set(wanted) - {claim.id for claim in CLAIMS}):
        raise ValueError(f"there is no claim {', '.join(unknown)}")
    return [claim for claim in CLAIMS if not wanted or claim.id in wanted]


def described(claim: Claim) -> dict[str, Any]:
    """Return a claim as a record, before it is checked."""
    return {
        "id": claim.id,
        "claim": claim.sentence,
        "how": claim.how,
        "expected": claim.expected,
        "needs": claim.needs and f"--{claim.needs}",
    }

"""All claims about Windows that pipectl relies on, and their known differences under Wine. Runs on any system.

A claim is something that pipectl depends on and that no test on Linux can prove. `selftest` checks the claims, with
the functions in the files `ask_*` beside this one.
"""

from collections.abc import Collection
from typing import Any

from .claim import Claim
from .claims_opening import OPENING
from .claims_using import USING

CLAIMS: tuple[Claim, ...] = (*OPENING, *USING)

# What is known to differ under Wine 8, and why; measured there, and nothing is promised of other versions.
WINE_VERSION = "8"
WINE = {
    "W01": "its server asks no access list",
    "W02": "it does not pass FILE_FLAG_FIRST_PIPE_INSTANCE on",
    "W04": "a server gets the level impersonation, whatever the client allows",
    "W05": "a pipe keeps no label",
    "W08": "the directory of pipes cannot be listed",
    "W09": "it looks for a free instance first",
    "W10": "it makes an empty list of none",
    "W11": "its server asks no access list",
    "W13": "CancelIoEx says that it cancelled something when there was nothing",
    "W15": "it tells and takes collection values of a local pipe",
    "W16": "the console host of a child holds the child's streams until its end",
    "W19": "a synchronous handle has no lock",
    "W20": "the default descriptor of a pipe is not told",
    "W23": "it does not watch the directory of pipes",
    "W25": "it answers with a number that is no process",
    "W27": "it does not have this question",
    "W31": "its server asks no access list",
    "W32": "it counts the servers' ends",
    "W33": "a pipe is gone with its last server",
    "W34": "WaitNamedPipe takes all spellings",
    "W35": "its server asks no access list",
    "W36": "its server asks for no right to set the state",
    "W37": "a name and one below it have nothing to do with each other",
    "W44": "it has no integrity levels",
    "W49": "an instance that is used again comes last",
    "W50": "the quota is always 0",
    "W51": "the flag is not kept",
    "W52": "`whoami` tells no SID",
    "W53": "it reads no more than 32 bits of an authority",
    "W54": "a write of no bytes wakes nobody",
    "W57": "every operation ends with its thread",
    "W59": "a client can be impersonated at any time",
    "W60": "it has no integrity levels",
    "W66": "it names no process",
    "W67": "a reset is reported as a close",
}
# Of these, what holds on a server of Wine that keeps NT's rules, such as that of `dev.py test --strict`.
STRICT = frozenset(("W01", "W09", "W31", "W32", "W33", "W35", "W36", "W37", "W49", "W50"))
# What cannot be asked under Wine, and why.
NOT_ON_WINE = {
    "W07": "it does not have this question",
    "W26": "it has no aliases",
    "W40": "all processes are one user's, who is an administrator",
    "W45": "it has no AppContainers",
    "W62": "no question waits",
}


def chosen(wanted: Collection[str] = ()) -> list[Claim]:
    """Return the claims with these ids, or all of them, in the order of the table; raises ValueError for other ids."""
    if unknown := sorted(set(wanted) - {claim.id for claim in CLAIMS}):
        raise ValueError(f"there is no claim {', '.join(unknown)}")
    return [claim for claim in CLAIMS if not wanted or claim.id in wanted]


def described(claim: Claim) -> dict[str, Any]:
    """Return what is known of a claim before it is checked, as a record."""
    return {
        "id": claim.id,
        "claim": claim.sentence,
        "how": claim.how,
        "expected": claim.expected,
        "needs": claim.needs and f"--{claim.needs}",
    }

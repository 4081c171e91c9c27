"""A claim about Windows: a sentence, the function that checks it, and the expected observation."""

from enum import StrEnum
from typing import NamedTuple


class Need(StrEnum):
    """A precondition of a claim: an option of `selftest` and, for `ADMIN`, also an elevated token."""

    ADMIN = "admin"
    NETWORK = "network"


class Claim(NamedTuple):
    """A sentence about Windows, how it is checked, and the expected observation.

    `ask` is the function that checks it, as `FILE.NAME` without the `ask_` of the file. `rules` are the numbered rules
    of NT that the tests' models of Windows enforce; `rests` describes what in pipectl depends on the claim if there is
    neither a rule nor a test that only runs on Windows. `bound` is the time limit in seconds.
    """

    id: str
    sentence: str
    how: str
    expected: str
    ask: str
    rules: tuple[str, ...] = ()
    rests: str = ""
    needs: Need | None = None
    bound: float = 5.0


FIRST_INSTANCE = "FIRST_PIPE_INSTANCE"
# The time limit, in seconds, of a claim that starts a child, which can be slow on a busy machine.
CHILD = 15.0

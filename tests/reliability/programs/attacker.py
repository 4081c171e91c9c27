"""Malicious clients: `attacker.py PIPE SEED` runs until it is killed.

Several threads run one session after another, each of a random kind, and write its name when it begins. They use
CPython's own functions for pipes, so that they do not depend on pipectl.
"""

import _winapi
import os
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

THREADS = 4
# The longest session in milliseconds: a client that stays blocks a server with few instances.
LONGEST = 30
TINY, LARGE, TOO_LARGE = 8, 60_000, 2_000_000

pipe, seed = sys.argv[1], int(sys.argv[2])


class Session:
    """One connection to the server, which starts operations and may not wait for them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        access = _winapi.GENERIC_READ | _winapi.GENERIC_WRITE
        self._end = _winapi.CreateFile(pipe, access, 0, 0, _winapi.OPEN_EXISTING, _winapi.FILE_FLAG_OVERLAPPED, 0)
        self._begun: list[_winapi.Overlapped] = []

    def write(self, size: int) -> None:
        operation, _ = _winapi.WriteFile(self._end, self.chance.randbytes(size), overlapped=True)
        self._begun.append(operation)

    def read(self) -> None:
        operation, _ = _winapi.ReadFile(self._end, LARGE, overlapped=True)
        self._begun.append(operation)

    def stay(self) -> None:
        """Wait briefly for the last operation."""
        if self._begun:
            _winapi.WaitForSingleObject(self._begun[-1].event, self.chance.randint(0, LONGEST))

    def close(self) -> None:
        _winapi.CloseHandle(self._end)  # also ends pending operations


# Kinds of sessions


def says_nothing(_session: Session) -> None:
    pass


def waits_for_a_word(session: Session) -> None:
    session.read()
    session.stay()


def sends_nothing_often(session: Session) -> None:
    for _ in range(session.chance.randint(1, 50)):
        session.write(0)
    session.read()
    session.stay()


def sends_too_much(session: Session) -> None:
    session.write(TOO_LARGE)
    session.stay()


def leaves_in_the_middle(session: Session) -> None:
    session.write(session.chance.randint(LARGE, 4 * LARGE))


def never_reads(session: Session) -> None:
    for _ in range(session.chance.randint(1, 30)):
        session.write(session.chance.randint(1, LARGE))
    session.stay()


def floods(session: Session) -> None:
    for _ in range(session.chance.randint(50, 500)):
        session.write(session.chance.randint(1, TINY))
    session.stay()


def talks(session: Session) -> None:
    for _ in range(session.chance.randint(1, 10)):
        session.write(session.chance.randint(0, 1000))
        session.read()
        session.stay()


def comes_again_and_again(session: Session) -> None:
    for _ in range(session.chance.randint(2, 10)):
        Session(session.chance).close()


KINDS: list[Callable[[Session], None]] = [
    says_nothing,
    waits_for_a_word,
    sends_nothing_often,
    sends_too_much,
    leaves_in_the_middle,
    never_reads,
    floods,
    talks,
    comes_again_and_again,
]


def attack(chance: random.Random) -> None:
    while True:
        kind = chance.choice(KINDS)
        try:
            session = Session(chance)
        except OSError:
            with suppress(OSError):
                _winapi.WaitNamedPipe(pipe, LONGEST)
            continue
        os.write(1, f"{kind.__name__}\n".encode())
        with suppress(OSError):  # the server has disconnected it
            kind(session)
        session.close()


for number in range(THREADS):
    Thread(target=attack, args=[random.Random(seed * THREADS + number)]).start()

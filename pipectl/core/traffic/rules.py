"""Rules: which reply a server sends to which message. Rules are data; a decision changes only counts and states.

A rule applies if the client is in one of its states, its condition holds, and it is not used up; with `chance`, only
sometimes. The first rule that applies is used. A state belongs to a client, or to the server. Uses, and which reply is
next, are counted for all clients together, because many programs connect again for each request.
"""

from collections.abc import Sequence
from enum import StrEnum
from random import Random
from typing import NamedTuple

from pipectl.core.codecs.base import Codec, Frame
from pipectl.core.pipe.frames import Framing

from .faults import Faults, Outgoing
from .rules_lines import Mistake
from .rules_match import Condition, Found, Message, Who
from .rules_reply import Reply
from .rules_template import Scene

# The state of a client that has just connected.
START = "start"


class Unmatched(StrEnum):
    """What happens to a message that no rule applies to."""

    NONE = "none"
    CLOSE = "close"
    ECHO = "echo"


class Rule(NamedTuple):
    """One rule; see docs/mock.md."""

    number: int
    line: int
    name: str
    # The condition as in the file, for a summary.
    when_text: str
    when: Condition
    states: frozenset[str]
    replies: tuple[Reply, ...]
    cycles: bool = False
    times: int | None = None
    # How often it must be used exactly; None for at least `at_least` times.
    expect: int | None = None
    at_least: int = 1
    next_state: str | None = None
    chance: float = 1.0

    def __str__(self) -> str:
        return f"`{self.name}`" if self.name else f"rule {self.number}"


class Rules(NamedTuple):
    """The content of a rules file."""

    rules: tuple[Rule, ...]
    # The file's settings for the pipe; None leaves them to the command line.
    is_message: bool | None = None
    framing: Framing | None = None
    codec: type[Codec] | None = None
    greeting: Reply | None = None
    unmatched: Unmatched | Reply = Unmatched.NONE
    shares_state: bool = False
    warnings: tuple[Mistake, ...] = ()


class Choice(NamedTuple):
    """The decision about a message: the rule that applies, if any, what is sent, and whether the client is closed."""

    rule: Rule | None
    outgoing: tuple[Outgoing, ...] = ()
    closes: bool = False


class Actor:
    """The data of one client: who it is, its state, its random numbers, and its messages so far."""

    def __init__(self, who: Who, random: Random) -> None:
        self.who = who
        self.random = random
        self.state = START
        self.count = 0


class Play:
    """Decides by rules what to send, for all clients of one server."""

    def __init__(self, rules: Rules, seed: int) -> None:
        self.rules = rules
        self._seeded = Faults((), seed)
        self._shared_state = START
        self._uses = [0] * len(rules.rules)

    def replace(self, rules: Rules) -> None:
        """Switch to other rules, whose uses start at 0; clients keep their states."""
        self.rules = rules
        self._uses = [0] * len(rules.rules)

    def actor(self, who: Who) -> Actor:
        """Return the data of a new client."""
        return Actor(who, self._seeded.random(who.number, "rules"))

    def greeting(self, actor: Actor, nothing: Frame) -> tuple[Outgoing, ...]:
        """Return what to send to a new client."""
        reply = self.rules.greeting
        return () if reply is None else reply.make(Scene(Message(nothing, actor.who, 0), Found(), 0, actor.random))

    def choose(self, actor: Actor, frame: Frame) -> Choice:
        """Decide about a message. Raises CodecError or FrameError if a reply cannot be sent as a frame."""
        actor.count += 1
        message = Message(frame, actor.who, actor.count)
        for index, rule in enumerate(self.rules.rules):
            found = Found()
            if self._applies(index, rule, actor, message, found):
                self._uses[index] += 1
                self._go_to(actor, rule.next_state)
                scene = Scene(message, found, self._uses[index], actor.random)
                return Choice(rule, _reply(rule, self._uses[index]).make(scene))
        return self._unmatched(Scene(message, Found(), 0, actor.random))

    def _applies(self, index: int, rule: Rule, actor: Actor, message: Message, found: Found) -> bool:
        state = self._shared_state if self.rules.shares_state else actor.state
        return (
            (not rule.states or state in rule.states)
            and (rule.times is None or self._uses[index] < rule.times)
            and rule.when(message, found)
            and (rule.chance >= 1 or actor.random.random() < rule.chance)
        )

    def _go_to(self, actor: Actor, state: str | None) -> None:
        if state is not None:
            actor.state = self._shared_state = state

    def _unmatched(self, scene: Scene) -> Choice:
        what = self.rules.unmatched
        if isinstance(what, Reply):
            return Choice(None, what.make(scene))
        if what is Unmatched.ECHO:
            return Choice(None, (Outgoing(scene.message.frame.data, scene.message.body),))
        return Choice(None, closes=what is Unmatched.CLOSE)

    def unmet(self) -> Sequence[str]:
        """Return, in words, the rules that were not used as often as expected."""
        return [
            f"{rule} (line {rule.line}) was used {_times(uses)}, not {expected}"
            for rule, uses in zip(self.rules.rules, self._uses, strict=True)
            if (expected := _unmet(rule, uses))
        ]


def _reply(rule: Rule, uses: int) -> Reply:
    """Return the reply for a use: one after another, and then the last one again, or with `cycle` all of them."""
    index = (uses - 1) % len(rule.replies) if rule.cycles else min(uses, len(rule.replies)) - 1
    return rule.replies[index]


def _unmet(rule: Rule, uses: int) -> str:
    if rule.expect is not None:
        return "" if uses == rule.expect else _times(rule.expect)
    return "" if uses >= rule.at_least else "at least once"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"

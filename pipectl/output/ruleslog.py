"""The log of a server that answers by rules, which also has the rule for each message."""

from typing import TYPE_CHECKING, Any

from pipectl.core.inventory.peers import ClientProcess
from pipectl.core.pipe.client import Client

from .serverlog import ServerLog
from .text import counted

if TYPE_CHECKING:
    from pipectl.core.codecs.base import Frame
    from pipectl.core.traffic.rules import Rule, Rules
    from pipectl.core.traffic.rules_match import Who

    from . import Output


class _Who:
    """A client, with the facts that conditions of rules check."""

    def __init__(self, number: int, client: ClientProcess) -> None:
        self.number = number
        self._who = client
        self.pid = client.pid

    @property
    def exe(self) -> str | None:
        return self._who.image

    @property
    def user(self) -> str | None:
        return self._who.process.user

    @property
    def is_remote(self) -> bool:
        return self._who.computer is not None


class RulesLog(ServerLog):
    """Writes the events of a RulesServer; `core.traffic.rules_server.RulesEvents` describes them."""

    def who(self, client: Client) -> "Who":
        """Return who a client is."""
        visitor = self.visitor(client)
        assert isinstance(visitor.who, ClientProcess)
        return _Who(visitor.number, visitor.who)

    def matched(self, client: Client, rule: "Rule", frame: "Frame") -> None:
        """Log the rule for a message."""
        if self._logs_messages:
            summary = f": {frame.summary}" if frame.summary else ""
            facts = {**_facts(rule), **({"summary": frame.summary} if frame.summary else {})}
            self.log("matched", self.visitor(client).number, f"{rule}{summary}", lambda: facts)

    def unmatched(self, client: Client, frame: "Frame") -> None:
        """Log a message without a rule, even if messages are not logged, because it explains a missing answer."""
        facts = {"summary": frame.summary} if frame.summary else {}
        self.log("unmatched", self.visitor(client).number, frame.summary, lambda: facts)

    def invalid(self, client: Client, reason: str) -> None:
        """Log that a client broke the protocol, and how."""
        self.log("invalid", self.visitor(client).number, reason, lambda: {"reason": reason})

    def greeted(self, client: Client, data: bytes) -> None:
        """Log the greeting of a client."""
        if self._logs_messages:
            self._log_payload("greeted", client, data)

    def reloaded(self, rules: "Rules") -> None:
        """Log that new rules are in use."""
        for mistake in rules.warnings:
            self.warn(f"line {mistake.line}: {mistake.text}")
        count = len(rules.rules)
        self.log_all("reloaded", counted(count, "rule"), {"rules": count})


def show_rules(output: "Output", name: str, rules: "Rules") -> None:
    """Write a line or an object for each rule."""
    for rule in rules.rules:
        replies = ", then ".join(reply.kind for reply in rule.replies)
        when = rule.when_text or "any message"
        states = f"in state {' or '.join(sorted(rule.states))}, " if rule.states else ""
        record = {
            "event": "rule",
            **_facts(rule),
            "when": rule.when_text,
            "replies": [one.kind for one in rule.replies],
        }
        output.data.event(record, f"{name}:{rule.line}: {rule}: {states}{when} -> {replies}")


def _facts(rule: "Rule") -> dict[str, Any]:
    return {"rule": rule.number, "line": rule.line, **({"name": rule.name} if rule.name else {})}

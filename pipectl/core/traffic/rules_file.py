"""Reads rules files, TOML or JSON. All mistakes are reported at once, with their lines, before a pipe is created.

A file names no pipe, runs nothing, and reads no file outside of its folder.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

from pipectl.core.codecs import codec_class
from pipectl.core.codecs.base import Codec
from pipectl.core.errors import RulesError
from pipectl.core.pipe import framing
from pipectl.core.pipe.frames import Framing

from .faults import did_you_mean
from .rules import START, Rule, Rules, Unmatched
from .rules_lines import Mistakes, Path, lines_of
from .rules_match import all_of
from .rules_reply import NOTHING, Reply, ReplyReader, Wire
from .rules_template import Groups
from .rules_when import WhenReader

_KEYS = ("version", "type", "frame", "codec", "greeting", "unmatched", "scope", "rule")
_RULE_KEYS = ("name", "when", "reply", "replies", "cycle", "times", "expect", "state", "set", "chance")


def read_rules(
    data: bytes,
    name: str,
    folder: FilePath | None = None,
    *,
    rule: Framing | None = None,
    is_message: bool | None = None,
) -> Rules:
    """Return the rules in the content of a file, which is JSON if it begins with a brace.

    `name` is the file's name in errors. `folder` has the files that replies may contain; None allows none. `rule` and
    `is_message` are the framing rule and the pipe type of the command line, if it sets them: a file cannot have
    another rule, and its type is overridden. Raises RulesError with all mistakes.
    """
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RulesError(name, [(line, "not UTF-8")]) from None
    is_json = text.lstrip().startswith("{")
    table = _parsed(text, name, is_json=is_json)
    mistakes = Mistakes(lines_of(text, is_json=is_json))
    rules = _Reader(mistakes, table, folder, rule, is_message).read()
    if mistakes.errors:
        raise RulesError(name, sorted(mistakes.errors))
    return rules._replace(warnings=tuple(sorted(mistakes.warnings)))


def _parsed(text: str, name: str, *, is_json: bool) -> dict[str, Any]:
    """Return the parsed text; raises RulesError if it is not valid TOML or JSON."""
    if is_json:
        try:
            found: dict[str, Any] = json.loads(text)
        except json.JSONDecodeError as error:
            raise RulesError(name, [(error.lineno, f"not JSON: {error.msg}")]) from None
        except RecursionError:
            raise RulesError(name, [(1, "nested too deeply")]) from None
        return found
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", str(error))
        line = int(at[1]) if at and at[1] else text.rstrip("\n").count("\n") + 1
        raise RulesError(name, [(line, f"not TOML: {str(error).replace(at[0] if at else '', '')}")]) from None
    except RecursionError:
        raise RulesError(name, [(1, "nested too deeply")]) from None


class Watched:
    """Reads a rules file again when it has changed; an invalid one is reported, and changes nothing."""

    def __init__(
        self, path: FilePath, parse: Callable[[bytes], Rules], rules: Rules, failed: Callable[[str], None]
    ) -> None:
        self._path = path
        self._parse = parse
        self._rules = rules
        self._failed = failed
        self._seen = self._stamp()

    def changed(self) -> Rules | None:
        """Return the rules if the file has changed since the last call; None if not, or if it cannot be used."""
        stamp = self._stamp()
        if stamp in (self._seen, None):  # an editor may remove it for a moment
            return None
        self._seen = stamp
        try:
            rules = self._parse(self._path.read_bytes())
        except (OSError, ValueError) as error:
            self._failed(f"the previous rules stay in use: {error}")
            return None
        old = self._rules
        if (rules.is_message, rules.framing, rules.codec) != (old.is_message, old.framing, old.codec):
            self._failed(
                "the previous rules stay in use: `type`, `frame` or `codec` is another; start the server again"
            )
            return None
        self._rules = rules
        return rules

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


class _Reader:
    """Reads the tables of one file."""

    def __init__(
        self,
        mistakes: Mistakes,
        table: dict[str, Any],
        folder: FilePath | None,
        rule: Framing | None,
        is_message: bool | None,
    ) -> None:
        self._mistakes = mistakes
        self._table = table
        mistakes.keys(table, _KEYS, ())
        is_message_there = self._type()
        self._is_message = is_message_there if is_message is None else is_message
        self._codec = self._named_codec()
        self._framing = self._frame(rule)
        wire = Wire(self._framing, self._codec)
        self._replies = ReplyReader(mistakes, wire, folder, is_message=self._is_message)

    def read(self) -> Rules:
        """Return the rules, which must not be used after a mistake."""
        table, mistakes = self._table, self._mistakes
        if "version" not in table:
            mistakes.add((), "the first line must be `version = 1`")
        elif table["version"] != 1 or table["version"] is True:
            mistakes.add(("version",), f"version {table['version']} is not known: this pipectl knows version 1")
        written = mistakes.get(table, "rule", list, (), [])
        if table.get("rule", []) == []:
            mistakes.add(("rule",), "there is no rule: write `[[rule]]`")
        rules = [self._rule(one, index) for index, one in enumerate(written)]
        greeting = None
        if "greeting" in table:
            greeting = self._replies.read(table["greeting"], Groups(), ("greeting",))
        scope = self._one_of(table, "scope", ("client", "server"), ()) or "client"
        found = tuple(filter(None, rules))
        self._warn(found)
        return Rules(
            found, self._is_message, self._framing, self._codec, greeting, self._unmatched(), scope == "server"
        )

    # Of the whole file

    def _type(self) -> bool | None:
        kind = self._one_of(self._table, "type", ("byte", "message"), ())
        return None if kind is None else kind == "message"

    def _named_codec(self) -> type[Codec] | None:
        name = self._mistakes.get(self._table, "codec", str, (), "")
        if name:
            with self._mistakes.at(("codec",)):
                return codec_class(name)
        return None

    def _frame(self, rule: Framing | None) -> Framing | None:
        name = self._mistakes.get(self._table, "frame", str, (), "")
        if rule is not None and (name or self._codec is not None):
            self._mistakes.add(("frame" if name else "codec",), f"remove this, or `--frame {rule}`")
        if not name:
            return rule
        if self._codec is not None:
            self._mistakes.add(("frame",), "use `frame` or `codec`: a codec has its own frames")
        if name in ("message", "chunk"):
            return None
        with self._mistakes.at(("frame",)):
            found = framing.parse(name)
            if found.idle is not None:
                raise ValueError(f"`{name}`: a server cannot use silence as the end of a message: use another rule")
            return found
        return None

    def _unmatched(self) -> Unmatched | Reply:
        what = self._table.get("unmatched", Unmatched.NONE.value)
        if isinstance(what, dict):
            return self._replies.read(what, Groups(), ("unmatched",))
        word = self._one_of({"unmatched": what}, "unmatched", tuple(Unmatched), ())
        return Unmatched(word or Unmatched.NONE)

    def _one_of(self, table: dict[str, Any], key: str, words: tuple[str, ...], path: Path) -> str | None:
        word = table.get(key)
        if word is None or word in words:
            return word
        meant = did_you_mean(str(word), words) or f": use one of {', '.join(words)}"
        self._mistakes.add((*path, key), f"unknown {key} `{word}`{meant}")
        return None

    # Of a rule

    def _rule(self, table: Any, index: int) -> Rule | None:
        path: Path = ("rule", index)
        mistakes = self._mistakes
        if not isinstance(table, dict):
            mistakes.add(path, "a rule must be a table")
            return None
        if not mistakes.keys(table, _RULE_KEYS, path) and not ("reply" in table or "replies" in table):
            return None  # a reply may have been meant
        when = WhenReader(mistakes, has_fields=self._codec is not None)
        condition = when.read(table["when"], (*path, "when")) if "when" in table else all_of(())
        expect = table.get("expect")
        if expect != "any":
            expect = self._count(table, "expect", path, least=0)
        replies = self._replies_of(table, when.groups, path)
        cycles = mistakes.get(table, "cycle", bool, path, default=False)
        if cycles and "replies" not in table:
            mistakes.add((*path, "cycle"), "`cycle` needs `replies`")
        return Rule(
            number=index + 1,
            line=mistakes.line(path),
            name=mistakes.get(table, "name", str, path, ""),
            when_text=_brief(table.get("when")),
            when=condition,
            states=self._states(table, path),
            replies=replies,
            cycles=cycles,
            times=self._count(table, "times", path, least=1),
            expect=None if expect == "any" else expect,
            at_least=0 if expect == "any" else 1,
            next_state=mistakes.get(table, "set", str, path, "") or None,
            chance=self._chance(table, path),
        )

    def _replies_of(self, table: dict[str, Any], groups: Groups, path: Path) -> tuple[Reply, ...]:
        if ("reply" in table) == ("replies" in table):
            self._mistakes.add(path, "a rule must have `reply` or `replies`; to send nothing: reply = { none = true }")
            return (NOTHING,)
        if "reply" in table:
            return (self._replies.read(table["reply"], groups, (*path, "reply")),)
        several = self._mistakes.get(table, "replies", list, path, [])
        if not several:
            self._mistakes.add((*path, "replies"), "`replies` must have at least one reply")
        found = (self._replies.read(one, groups, (*path, "replies", at)) for at, one in enumerate(several))
        return tuple(found) or (NOTHING,)

    def _states(self, table: dict[str, Any], path: Path) -> frozenset[str]:
        names = table.get("state", [])
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._mistakes.add((*path, "state"), "`state` must be a string or an array of strings")
            return frozenset()
        return frozenset(names)

    def _count(self, table: dict[str, Any], key: str, path: Path, *, least: int) -> int | None:
        if key not in table:
            return None
        number = self._mistakes.get(table, key, int, path, least)
        if number < least:
            self._mistakes.add((*path, key), f"`{key}` must be {least} or more")
        return number

    def _chance(self, table: dict[str, Any], path: Path) -> float:
        chance = table.get("chance", 1)
        if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance <= 1:
            self._mistakes.add((*path, "chance"), f"`chance` must be a number from 0 to 1, not `{chance}`")
            return 1.0
        return float(chance)

    # Warnings

    def _warn(self, rules: tuple[Rule, ...]) -> None:
        reached = {START, *(rule.next_state for rule in rules)}
        # Those that apply to every message in their states.
        always: list[Rule] = []
        for rule in rules:
            path: Path = ("rule", rule.number - 1)
            for state in sorted(rule.states - reached):
                meant = did_you_mean(state, filter(None, reached))
                self._mistakes.warn(
                    (*path, "state"), f"no rule has `set = {state!r}`, so this rule is never used{meant}"
                )
            hides = next((one for one in always if not one.states or (rule.states and rule.states <= one.states)), None)
            if hides is not None:
                self._mistakes.warn(path, f"never used: {hides} in line {hides.line} applies to every message")
            elif not rule.when_text and rule.times is None and rule.chance >= 1:
                always.append(rule)


def _brief(when: Any) -> str:
    """Return a condition as text for a list."""
    return "" if not when else json.dumps(when, ensure_ascii=False, default=str)

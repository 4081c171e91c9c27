"""The options of `serve --rules`: the file with the rules, and how strictly they are checked."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from . import Option
from .payload import file_content
from .server import seed_of
from .types import FILE

if TYPE_CHECKING:
    from pipectl.core.traffic.faults import Faults
    from pipectl.core.traffic.rules import Rules

_RULES = "Rules"
_OTHERS = ("echo", "reply", "reply_file", "execute", "greeting")


class RulesOptions(NamedTuple):
    """The rules of a server, and how they are checked."""

    name: str
    rules: "Rules"
    # Reads the content of the file; raises RulesError.
    parse: "Callable[[bytes], Rules]"
    # Without faults, but with the seed of the rules.
    faults: "Faults"
    only_checks: bool
    is_strict: bool
    expects_all: bool
    watches: bool

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--rules` and the options for it."""
        return [
            Option(
                ["--rules"],
                type=FILE,
                metavar="FILE",
                section=_RULES,
                help="Answer by the rules in a TOML or JSON file (`-` reads stdin), instead of `--reply` and the like: "
                "`pipectl help mock`.",
            ),
            Option(["--check"], is_flag=True, section=_RULES, help="Check the rules, list them, and exit."),
            Option(
                ["--strict"],
                is_flag=True,
                section=_RULES,
                help="Exit with code 12 at the first message that no rule applies to, or that is invalid.",
            ),
            Option(
                ["--expect-all"],
                is_flag=True,
                section=_RULES,
                help="Exit with code 12 unless each rule was used, or as often as its `expect` says.",
            ),
            Option(
                ["--watch"],
                is_flag=True,
                section=_RULES,
                help="Read the file again when it changes; while it has mistakes, the previous rules stay in use.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "RulesOptions | None":
        """Return the rules, None without `--rules`; raises UsageError and RulesError."""
        path = params["rules"]
        flags = {name: params[name] for name in ("check", "strict", "expect_all", "watch")}
        if path is None:
            if given := [name for name, is_given in flags.items() if is_given]:
                raise click.UsageError(f"`--{given[0].replace('_', '-')}` needs `--rules`")
            return None
        _check(path, params)
        from pipectl.core.traffic.faults import Faults

        parse = _parser(path, params)
        rules = parse(_from_stdin() if path == "-" else file_content(path))
        return cls(path, rules, parse, Faults((), seed_of(params)), *flags.values())


def _check(path: str, params: Mapping[str, Any]) -> None:
    """Raise UsageError for options that rules exclude."""
    for name in _OTHERS:
        if params[name]:
            option = {"execute": "exec"}.get(name, name.replace("_", "-"))
            more = ": write `greeting` in the file" if name == "greeting" else ""
            raise click.UsageError(f"use only one of `--rules` and `--{option}`{more}")
    if params["direction"] != "duplex":
        raise click.UsageError("`--rules` needs both directions: omit `--direction`")
    if params["watch"] and path == "-":
        raise click.UsageError("`--watch` needs a file")


def _from_stdin() -> bytes:
    from .stdin import read_all

    return read_all()


def _parser(path: str, params: Mapping[str, Any]) -> "Callable[[bytes], Rules]":
    """Return a function that reads the rules, with the pipe's settings on the command line."""
    from pathlib import Path

    from pipectl.core.traffic.rules_file import read_rules

    is_typed = click.get_current_context().get_parameter_source("kind") is not ParameterSource.DEFAULT
    return partial(
        read_rules,
        name="stdin" if path == "-" else path,
        folder=None if path == "-" else Path(path).parent,
        rule=params["frame"],
        is_message=params["kind"] == "message" if is_typed else None,
    )

"""Write the parts of docs/ that are from the code (help, exit codes, packages, claims), and the topics from docs/.

`gen_docs.py` writes; `gen_docs.py --check` writes nothing, and fails if anything would change.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import click  # noqa: E402 - after the path is set

from pipectl.cli import cli  # noqa: E402
from pipectl.commands import COMMANDS, TOPICS  # noqa: E402
from pipectl.core import errors  # noqa: E402
from pipectl.core.checks.audit_table import RULES, Rule, link, title  # noqa: E402
from pipectl.core.checks.claim import Claim  # noqa: E402
from pipectl.core.checks.claims import CLAIMS, NOT_ON_WINE, STRICT, WINE, WINE_VERSION  # noqa: E402
from pipectl.exitcodes import MEANINGS, PROGRAM_MEANINGS, exit_code_for  # noqa: E402
from plain_text import plain_text  # noqa: E402

_GENERATED = "<!-- Written by scripts/gen_docs.py: change the code instead. -->"


def commands() -> str:
    """Return the help of every command as a page."""
    return "\n".join(
        [
            _GENERATED,
            "# Commands",
            "",
            "What `pipectl --help` and `pipectl COMMAND --help` print.",
            "",
            *_help("pipectl", cli, None),
            *(line for name in COMMANDS for line in _command(name)),
        ]
    )


def _command(name: str) -> Iterator[str]:
    root = click.Context(cli, info_name="pipectl")
    command = cli.get_command(root, name)
    assert command is not None
    yield f"## {name}"
    yield ""
    yield from _help(name, command, root)


def _help(name: str, command: click.Command, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100)
    yield "```text"
    yield command.get_help(context)
    yield "```"
    yield ""


def exit_codes(*, with_errors: bool = True) -> str:
    """Return the table of exit codes as a page, with the library's errors for each."""
    heads = "| code | meaning |"
    rows = [f"| {code.value} | {MEANINGS[code]} |" for code in MEANINGS]
    if with_errors:
        heads += " library error |"
        rows = [f"{row} {_errors(code)} |" for row, code in zip(rows, MEANINGS, strict=True)]
    return "\n".join(
        [
            _GENERATED,
            "# Exit codes",
            "",
            "Every command except `popen` exits with one of these codes.",
            "",
            heads,
            "| ---: | --- | --- |" if with_errors else "| ---: | --- |",
            *rows,
            "",
            "`popen` passes on the exit code of its program. Its own failures have these codes, and 130.",
            "",
            "| code | meaning |",
            "| ---: | --- |",
            *[f"| {code.value} | {meaning} |" for code, meaning in PROGRAM_MEANINGS.items()],
            "",
        ]
    )


def _errors(code: int) -> str:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PipeError)]
    return ", ".join(f"`{kind.__name__}`" for kind in kinds if exit_code_for(kind("")) == code)


def topic(name: str) -> str:
    """Return a module with a page of docs/ as plain text in ASCII, which every code page supports."""
    page = exit_codes(with_errors=False) if name == "exit-codes" else _read(f"docs/{name}.md")
    text = plain_text(page).translate(_IN_ASCII)
    assert text.isascii(), f"docs/{name}.md has characters that not every console can show"
    docstring = f"`pipectl help {name}`. Written by scripts/gen_docs.py: change docs/{name}.md instead."
    return f'"""{docstring}"""\n\nTEXT = r"""{text}"""\n'


_IN_ASCII = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2019": "'", "\u2026": "..."})


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


_CLAIMS = f"""{_GENERATED}
# What pipectl assumes about Windows

pipectl is developed under Wine. Its assumptions about Windows are written down as claims, and `pipectl selftest`
checks them on the computer that it runs on. None has been checked on Windows yet: until then, the last column says
`not yet`.

*Wine* is Wine {WINE_VERSION}. *Strict* is the same with a server that is edited to follow rules of NT. This is a model,
not a proof; see [CONTRIBUTING.md](../CONTRIBUTING.md).

| claim | assumption | Wine | strict | Windows |
| --- | --- | --- | --- | --- |"""


def windows() -> str:
    """Return the claims about Windows as a page, with the systems on which each holds."""
    return "\n".join(
        [
            _CLAIMS,
            *(f"| {c.id} | {c.sentence} | {_on_wine(c)} | {_on_strict_wine(c)} | not yet |" for c in CLAIMS),
            "",
            "## How each claim is checked, and what depends on it",
            "",
            *(line for claim in CLAIMS for line in _claim(claim)),
        ]
    )


def _on_wine(claim: Claim) -> str:
    if claim.needs:
        return f"needs `--{claim.needs}`"
    if claim.id in NOT_ON_WINE:
        return f"not tried: {NOT_ON_WINE[claim.id]}"
    return f"differs: {WINE[claim.id]}" if claim.id in WINE else "holds"


def _on_strict_wine(claim: Claim) -> str:
    return "holds" if claim.id in STRICT else "as Wine"


def _claim(claim: Claim) -> Iterator[str]:
    yield f"**{claim.id}** {claim.how} Expected: `{claim.expected}`."
    if claim.rests:
        yield f"What rests on it: {claim.rests}."
    yield ""


_RULES = "<!-- The rules: written by scripts/gen_docs.py from core/checks/audit_table.py. -->"


def audit() -> str:
    """Return the page about audits with the current rules at its end."""
    before = _read("docs/audit.md").partition(_RULES)[0]
    return "\n".join([f"{before}{_RULES}", *(line for rule in RULES for line in _rule(rule))]) + "\n"


def _rule(rule: Rule) -> Iterator[str]:
    yield from ("", f"### {rule.id} {rule.title}", "", f"Severity: {rule.severity}.", "", rule.why, "")
    yield f"Fix: {rule.fix}"
    if rule.references:
        yield from ("", "See " + ", ".join(f"[{title(one)}]({link(one)})" for one in rule.references) + ".")


_ROOMS = "<!-- The rooms: written by scripts/gen_docs.py from the first lines of the docstrings. -->"
_END = "<!-- End of the rooms. -->"


def architecture() -> str:
    """Return the page about the architecture with the current list of packages and files."""
    page = _read("docs/architecture.md")
    before, _, rest = page.partition(_ROOMS)
    after = rest.partition(_END)[2]
    return "\n".join([f"{before}{_ROOMS}", "", *_rooms(ROOT / "pipectl", "pipectl/"), f"{_END}{after}"])


def _rooms(folder: Path, title: str) -> Iterator[str]:
    yield f"**`{title}`** {_first_line(folder / '__init__.py')}"
    yield ""
    files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    if files:
        yield from (f"- `{path.name}` {_first_line(path)}" for path in files)
        yield ""
    for room in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        yield from _rooms(room, f"{title}{room.name}/")


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ")


# The topics follow the pages from which they are made, and precede the list of files.
PAGES: dict[str, Callable[[], str]] = {
    "docs/commands.md": commands,
    "docs/exit-codes.md": exit_codes,
    "docs/windows.md": windows,
    "docs/audit.md": audit,
    **{f"{entry.module.replace('.', '/')}.py": partial(topic, name) for name, entry in TOPICS.items()},
    "docs/architecture.md": architecture,
}


def main() -> int:
    """Write the pages, or compare them."""
    stale = []
    for path, make in PAGES.items():
        page = ROOT / path
        text = make()
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            stale.append(path)
            if "--check" not in sys.argv[1:]:
                page.parent.mkdir(exist_ok=True)
                page.write_text(text, encoding="utf-8", newline="\n")
    if stale and "--check" in sys.argv[1:]:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run `python3 scripts/gen_docs.py`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

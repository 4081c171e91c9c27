"""Write what the documentation repeats of the code: the help, the exit codes, the rooms and files, and the claims.

`gen_docs.py` writes; `gen_docs.py --check` writes nothing, and fails if something would change.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import click  # noqa: E402 - after the path is set

from pipectl.cli import cli  # noqa: E402
from pipectl.commands import COMMANDS  # noqa: E402
from pipectl.core import errors  # noqa: E402
from pipectl.core.checks.claim import Claim  # noqa: E402
from pipectl.core.checks.claims import CLAIMS, NOT_ON_WINE, STRICT, WINE, WINE_VERSION  # noqa: E402
from pipectl.exitcodes import MEANINGS, exit_code_for  # noqa: E402

_GENERATED = "<!-- Written by scripts/gen_docs.py: change the code instead. -->"


def commands() -> str:
    """Give the help of every command, as a page."""
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


def exit_codes() -> str:
    """Give the table of exit codes, as a page."""
    rows = [f"| {code.value} | {MEANINGS[code]} | {_errors(code)} |" for code in MEANINGS]
    return "\n".join(
        [
            _GENERATED,
            "# Exit codes",
            "",
            "Every command ends with one of these; `popen` passes its child's own exit code on.",
            "",
            "| code | meaning | error of the library |",
            "| ---: | --- | --- |",
            *rows,
            "",
        ]
    )


def _errors(code: int) -> str:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PipeError)]
    return ", ".join(f"`{kind.__name__}`" for kind in kinds if exit_code_for(kind("")) == code)


_CLAIMS = f"""{_GENERATED}
# What pipectl assumes about Windows

pipectl is developed under Wine. What it assumes about Windows is written down as claims, and `pipectl selftest` checks
them on the computer that it runs on. None has been checked on Windows yet: until then, the last column says `not yet`.

*Wine* is Wine {WINE_VERSION}. *Strict* is the same with a server that is edited to follow rules of NT, which is a model
and no proof; see [CONTRIBUTING.md](../CONTRIBUTING.md).

| claim | what is assumed | Wine | strict | Windows |
| --- | --- | --- | --- | --- |"""


def windows() -> str:
    """Give the claims about Windows and where each was shown, as a page."""
    return "\n".join(
        [
            _CLAIMS,
            *(f"| {c.id} | {c.sentence} | {_on_wine(c)} | {_on_strict_wine(c)} | not yet |" for c in CLAIMS),
            "",
            "## How each is checked, and what rests on it",
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


_ROOMS = "<!-- The rooms: written by scripts/gen_docs.py from the first lines of the docstrings. -->"
_END = "<!-- End of the rooms. -->"


def architecture() -> str:
    """Give the page about the architecture, with the list of rooms and files in it as they are now."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
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


PAGES = {
    "docs/commands.md": commands,
    "docs/exit-codes.md": exit_codes,
    "docs/architecture.md": architecture,
    "docs/windows.md": windows,
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

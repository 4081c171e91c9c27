"""How many programs find all of pywin32's names that they use: measured with a table of public programs.

`programs/names.txt` has a line for each source file that uses pywin32 for pipes: its repository and path, and then the
names that it uses of each module, found by parsing it, if pywin32 312 has them. Read on 26 November 2026.
"""

from collections import defaultdict
from pathlib import Path

import pytest

from pipectl.core import win32pipe

TABLE = (Path(__file__).parent / "programs" / "names.txt").read_text(encoding="utf-8")

# For these pywin32 is needed: accounts' rights and logons, and consoles.
LACKING = {
    "buildbot/buildbot": {
        "win32api.SetConsoleCtrlHandler",
        "win32security.GetPolicyHandle",
        "win32security.LsaAddAccountRights",
        "win32security.LsaClose",
        "win32security.LsaEnumerateAccountRights",
        "win32security.POLICY_ALL_ACCESS",
    },
    "geertj/winpexpect": {
        "win32con.LOGON32_LOGON_INTERACTIVE",
        "win32con.LOGON32_PROVIDER_DEFAULT",
        "win32process.CreateProcessAsUser",
        "win32process.ExitProcess",
        "win32security.LogonUser",
    },
}


def used(line: str) -> set[str]:
    """The names that a program uses, each with its module."""
    modules = (part.partition(".") for part in line.split()[1:])
    return {f"{module}.{name}" for module, _, names in modules for name in names.split(",")}


def lacking(line: str) -> set[str]:
    return {name for name in used(line) if not hasattr(win32pipe, name.partition(".")[2])}


def test_nine_in_ten_programs_find_all_their_names() -> None:
    lines = TABLE.splitlines()
    found: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        found["/".join(line.split("/")[:2])] |= lacking(line)
    assert {repository: names for repository, names in found.items() if names} == LACKING
    assert len(found) >= 28
    assert 1 - len(LACKING) / len(found) >= 0.9
    assert sum(not lacking(line) for line in lines) / len(lines) >= 0.9


def test_the_names_of_the_table_are_pywin32s() -> None:
    names = {name for line in TABLE.splitlines() for name in used(line)}
    assert len(names) > 130
    for name in names:
        module, _, attribute = name.partition(".")
        assert hasattr(pytest.importorskip(module), attribute), name

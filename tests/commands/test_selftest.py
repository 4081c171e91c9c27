"""`pipectl selftest`: claims in each form of output, what ends it how, and what it never tells."""

import getpass
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipectl.core.checks import ask_names
from pipectl.core.checks.claims import CLAIMS
from pipectl.core.checks.system import wine_version
from pipectl.core.deadline import Stopwatch
from pipectl.core.security import tokens
from pipectl.core.security.accounts import account_name, current_user_sid
from pipectl.exitcodes import ExitCode
from tests import schema
from tests.runner import Pipectl

# A claim that holds everywhere.
HOLDS = "W12"
ON_WINE = pytest.mark.skipif(wine_version() is None, reason="needs a claim that differs")
DIFFERS = "W02"


def test_claims_that_hold_are_exit_code_0(pipectl: Pipectl) -> None:
    result = pipectl("selftest", "--only", HOLDS)
    assert result.exit_code == 0
    head, line = result.text.splitlines()
    assert head.split() == ["CLAIM", "ID", "VERDICT", "ANSWER", "NOTE"]
    assert f"  {HOLDS}  holds " in line


@ON_WINE
def test_a_claim_that_differs_is_exit_code_12(pipectl: Pipectl) -> None:
    result = pipectl("selftest", "--only", DIFFERS, "--only", HOLDS, "--json")
    assert result.exit_code == result.error["exit_code"] == ExitCode.FAILED_CHECK
    claims = {one["id"]: one for one in result.objects if "id" in one}
    assert claims[DIFFERS]["verdict"] == "differs"
    assert claims[DIFFERS]["known"] is True
    assert claims[HOLDS]["verdict"] == "holds"


@ON_WINE
def test_a_table_shows_what_was_expected_where_it_differs(pipectl: Pipectl) -> None:
    text = pipectl("selftest", "--only", DIFFERS, "--only", HOLDS, "--format", "table").text
    assert "(expected: 5)" in text
    assert text.count("expected") == 1
    assert "known under Wine" in text


@ON_WINE
def test_it_says_that_wine_proves_nothing_about_windows(pipectl: Pipectl) -> None:
    assert "this is Wine" in pipectl("selftest", "--only", HOLDS).stderr
    assert "wine" in pipectl("selftest", "--only", HOLDS, "--json").objects[-1]["system"]


@pytest.mark.parametrize("options", [[], ["--list"]], ids=str)
def test_objects_fit_the_schema(pipectl: Pipectl, options: list[str]) -> None:
    objects = pipectl("selftest", "--only", HOLDS, "--only", "w26", "--only", "W03", "--json", *options).objects
    assert len(objects) == (3 if options else 4)
    for one in objects:
        assert schema.errors(one, schema.load("selftest.schema.json")) == []


def test_a_list_has_all_claims_and_checks_none(pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipectl.core.checks.selftest.run", None)
    result = pipectl("selftest", "--list", "--json")
    assert result.exit_code == 0
    assert [one["id"] for one in result.objects] == [claim.id for claim in CLAIMS]


@pytest.mark.parametrize(
    "options",
    [["--only", "W99"], ["--only", ""], ["--report", "--json"], ["--report", "--format", "table"], ["extra"]],
    ids=str,
)
def test_what_cannot_be_meant_is_exit_code_2(pipectl: Pipectl, options: list[str]) -> None:
    result = pipectl("selftest", *options)
    assert (result.exit_code, result.stdout) == (2, b"")


def test_an_id_may_be_written_small(pipectl: Pipectl) -> None:
    assert pipectl("selftest", "--only", HOLDS.lower(), "--json").objects[0]["id"] == HOLDS


def test_what_needs_an_option_says_which(pipectl: Pipectl) -> None:
    objects = pipectl("selftest", "--only", "W29", "--only", "W43", "--json").objects
    assert {one["id"]: one["note"] for one in objects[:-1]} == {"W29": "needs --admin", "W43": "needs --network"}


def test_a_child_is_this_program_again(pipectl: Pipectl) -> None:
    assert pipectl("selftest", "--only", "W65", "--json").objects[0]["verdict"] == "holds"


def test_ctrl_c_ends_it_with_exit_code_130(pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_fixture: object) -> str:
        signal.raise_signal(signal.SIGINT)
        return "too late" if threading.Event().wait(3) else ""

    monkeypatch.setattr(ask_names, "unlimited", interrupt)
    watch = Stopwatch()
    result = pipectl("selftest", "--only", "W63", "--only", HOLDS)
    assert (result.exit_code, result.stdout) == (130, b"")
    assert watch.seconds < 2


# What it never tells


def personal() -> dict[str, str]:
    """What would tell whose report it is."""
    user = account_name(current_user_sid()) or ""
    return {
        "user": getpass.getuser(),
        "account": user.rpartition("\\")[2],
        "domain": user.partition("\\")[0],
        "computer": socket.gethostname(),
        "SID": current_user_sid(),
        "logon": next((sid for sid in tokens.current().groups if sid.startswith("S-1-5-5-")), current_user_sid()),
        "home": str(Path.home()),
        "folder": str(Path.cwd()),
        "program": str(Path(sys.executable).parent),
        "temp": os.environ.get("TEMP", "C:\\"),
    }


@pytest.mark.parametrize("form", ["--report", "--json"])
def test_all_that_is_told_names_no_person_no_computer_and_no_path(pipectl_process: Pipectl, form: str) -> None:
    secret = "Secret-0b1d"
    result = pipectl_process(
        "selftest",
        form,
        env={"USERNAME": secret, "COMPUTERNAME": secret, "USERDOMAIN": secret, "USERPROFILE": f"C:\\{secret}"},
    )
    told = (result.stdout.decode() + result.stderr).lower()
    assert len(told) > 2000
    assert secret.lower() not in told
    for what, value in personal().items():
        assert not re.search(rf"\b{re.escape(value.lower())}\b", told), what
    assert "s-1-5-21-" not in told
    assert ":\\" not in told


def test_a_report_is_markdown_with_the_system_and_each_claim(pipectl: Pipectl) -> None:
    report = pipectl("selftest", "--report", "--only", HOLDS).text
    assert report.startswith("<details><summary>pipectl selftest: 1 hold")
    assert report.rstrip().endswith("</details>")
    rows = [line for line in report.splitlines() if line.startswith("| ")]
    assert any(row.startswith("| pipectl | ") for row in rows)
    assert any(row.startswith(f"| {HOLDS} | holds | ") for row in rows)


# What loses no verdict


def test_a_closed_stdout_loses_no_verdict(program: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*program, "selftest", "--only", HOLDS, "--only", "W03"],
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)
    assert done.returncode == 1
    assert "1 hold, 1 not tried (W03)" in done.stderr.decode()

"""The checks of scripts/shells pass here with the exe, where this computer has the shell."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_SHELLS = _ROOT / "scripts" / "shells"
_PATIENCE = 100

with_exe = pytest.mark.usefixtures("exe")
on_windows = pytest.mark.skipif(sys.platform != "win32", reason="cmd and consoles are those of Windows")
in_wine = pytest.mark.skipif(not (_ROOT / ".dev" / "windows" / ".stamp").exists(), reason="needs what `dev.py` sets up")
in_bash = pytest.mark.skipif(sys.platform == "win32", reason="here bash is that of Linux")


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a program without stdin."""
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=_PATIENCE, check=False
    )


def refused(output: str) -> list[str]:
    """Return the checks that are not ok, in an output that has some checks."""
    assert "\nok - " in output
    return [line for line in output.splitlines() if not line.startswith("ok - ")]


@on_windows
def test_all_checks_pass_in_cmd(exe: Path) -> None:
    done = run("cmd", "/d", "/c", str(_SHELLS / "check.bat"), exe)
    assert (refused(done.stdout), done.returncode) == ([], 0)


@on_windows
@pytest.mark.parametrize("script", ["check.bat", "console.py"])
def test_a_check_that_fails_is_told_with_exit_code_1(script: str) -> None:
    runner = ["cmd", "/d", "/c"] if script == "check.bat" else [sys.executable]
    done = run(*runner, str(_SHELLS / script), shutil.which("whoami") or "whoami")  # a program that is not pipectl
    assert "not ok - " in done.stdout
    assert done.returncode == 1


@on_windows
def test_ctrl_c_ends_the_exe_in_a_console_alone_and_under_cmd(exe: Path) -> None:
    done = run(sys.executable, _SHELLS / "console.py", exe, "cmd")
    assert (refused(done.stdout), done.returncode) == (["alone:", "cmd:"], 0)
    assert done.stdout.count("with 130: [130, 130]") == 2


@in_bash
@in_wine
@with_exe
def test_all_checks_pass_in_bash() -> None:
    dev = _SHELLS.parent / "dev.py"
    done = run(_SHELLS / "check.sh", sys.executable, dev, "exe")
    assert (refused(done.stdout), done.returncode) == ([], 0)


@in_bash
def test_a_check_that_fails_in_bash_is_told_with_exit_code_1() -> None:
    done = run(_SHELLS / "check.sh", "false")
    assert "not ok - text" in done.stdout
    assert done.returncode == 1

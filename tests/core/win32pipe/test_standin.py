"""`install`: programs that import pywin32's modules run on the stand-in, with pywin32 beside it and without."""

from pathlib import Path

import pytest

pytest.importorskip("win32pipe", reason="compares with pywin32")

import win32pipe

from tests.core.win32pipe.test_beside_pywin32 import ALONE
from tests.runner import run_python

INSTALL = "from pipectl import win32pipe as ours\nours.install()\n"
SETTINGS = {"beside pywin32": "", "without pywin32": ALONE}


def run(program: str, *arguments: str) -> list[str]:
    """Run a program on the stand-in; return the lines that it prints."""
    done = run_python(program, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_every_module_of_pywin32_is_the_stand_in(setting: str) -> None:
    program = """
import importlib.util
import ntsecuritycon, pywintypes, win32api, win32con, win32event
import win32file, win32pipe, win32process, win32security, winerror
from win32file import ReadFile, GENERIC_READ
from win32pipe import *
assert ReadFile is win32file.ReadFile is ours.ReadFile and CreateNamedPipe is ours.CreateNamedPipe
assert pywintypes.error is win32file.error is win32api.error is ours.error
assert win32process.CreateProcess is ours.CreateProcess and win32con.DUPLICATE_SAME_ACCESS == 2
assert winerror.ERROR_PIPE_BUSY == 231 and pywintypes.HANDLEType is ours.HANDLE
assert importlib.util.find_spec("win32file").name == "win32file"
ours.install()
import win32file as again
assert again is win32file
"""
    assert run(setting + INSTALL + program) == []


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_a_program_of_pywin32_runs_unchanged(setting: str, pipe_name: str) -> None:
    program = """
import sys, threading
import pywintypes, win32api, win32file, win32pipe, winerror
server = win32pipe.CreateNamedPipe(sys.argv[1], win32pipe.PIPE_ACCESS_DUPLEX, 6, 1, 512, 512, 0, None)
def serve():
    win32pipe.ConnectNamedPipe(server, None)
    win32file.WriteFile(server, win32file.ReadFile(server, 100)[1].upper())
thread = threading.Thread(target=serve)
thread.start()
print(win32pipe.CallNamedPipe(sys.argv[1], b"ping", 100, 5000))
thread.join()
win32api.CloseHandle(server)
try:
    win32pipe.WaitNamedPipe(sys.argv[1], 1)
except pywintypes.error as error:
    print(error.winerror == winerror.ERROR_FILE_NOT_FOUND, type(error).__name__)
"""
    assert run(setting + INSTALL + program, pipe_name) == ["b'PING'", "True error"]


ASK = """
import win32api, win32file, win32security
for module, name in ((win32api, "RegOpenKeyEx"), (win32api, "GetFileAttributes"), (win32security, "LogonUser")):
    try:
        print(getattr(module, name).__name__)
    except AttributeError as error:
        print(error)
try:
    win32file.Nonsense
except AttributeError as error:
    print(error.name, error)
try:
    from win32file import Nonsense
except ImportError as error:
    print("Nonsense" in str(error), "win32pipe" in str(error))
"""


def test_what_the_stand_in_lacks_is_pywin32s() -> None:
    lines = run(INSTALL + ASK)
    assert lines[:3] == ["RegOpenKeyEx", "GetFileAttributes", "LogonUser"]
    assert lines[3:] == ["Nonsense module 'win32file' has no attribute 'Nonsense'", "True True"]


def test_without_pywin32_what_is_lacking_is_named() -> None:
    lines = run(ALONE + INSTALL + ASK)
    for line, name in zip(lines, ("RegOpenKeyEx", "GetFileAttributes", "LogonUser", "Nonsense"), strict=False):
        assert f"has no attribute '{name}'" in line
        assert "pipectl.win32pipe" in line
        assert "pywin32 is not installed" in line
    assert lines[4] == "True True"


def test_each_catches_the_errors_of_the_other_when_installed() -> None:
    program = """
import pywintypes, win32api, win32file, win32gui
calls = (
    (win32api.RegOpenKeyEx, (0x80000001, "no-such-key")),
    (win32file.CreateFile, ("no-such-file", 0, 0, None, 3, 0, None)),
    (win32gui.SetWindowText, (0x1234, "text")),
)
for call, arguments in calls:
    try:
        call(*arguments)
    except pywintypes.error as error:
        print(type(error) is pywintypes.error, error.winerror)
"""
    lines = run(INSTALL + program)
    assert len(lines) == 3
    assert all(line.startswith("True ") for line in lines)


def test_modules_that_were_imported_before_keep_what_they_have() -> None:
    program = "import win32file as before\n" + INSTALL + "import win32file\n"
    program += "print(before.ReadFile is win32file.ReadFile, type(before.ReadFile).__name__)"
    assert run(program) == ["False builtin_function_or_method"]


def test_pywin32s_own_test_of_pipes_passes() -> None:
    path = Path(win32pipe.__file__).parent / "test" / "test_win32pipe.py"
    done = run_python(INSTALL + f"import runpy\nrunpy.run_path({str(path)!r}, run_name='__main__')")
    assert done.returncode == 0, done.stderr
    assert "Ran 4 tests" in done.stderr

"""Check pipectl in a new console: that it draws there, and that Ctrl+C ends it with exit code 130 in each shell.

`console.py EXE [SHELL]...` runs `EXE serve` directly, and then from each SHELL: cmd, powershell, pwsh or bash. It needs
a Python for Windows, but no packages. The console has no window, so it is always conhost, never Windows Terminal.
Prints a line for each check, `ok` or `not ok`. The exit code is 1 if a check fails.

The script starts itself again in the new console: only a process in a console can read it and raise Ctrl+C in it.
"""

import _winapi
import argparse
import ctypes
import msvcrt
import os
import shutil
import signal
import subprocess
import sys
import threading
from ctypes.wintypes import DWORD
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipectl.core.inventory.processes import glimpse
from pipectl.core.win32 import winapi
from pipectl.core.win32.processes import ProcessAccess

_PATIENCE = 60  # the time limit of each step, in seconds
_LIFETIME = "30"  # seconds without a client after which a server exits that Ctrl+C did not end
_INTERRUPTED = 130
_SYNCHRONIZE = 0x0010_0000
_SCREEN = 80 * 25  # the number of characters to read from the top of the console
_ESCAPES = {"\x1b", "\u2190"}  # the character, and what the console draws for it
_INSIDE = "--inside"

SHELLS = ("cmd", "powershell", "pwsh", "bash")


def git_bash() -> str | None:
    """Return the path of Git's bash; the `bash` on PATH may be that of WSL."""
    git = shutil.which("git")
    bash = git and Path(git).resolve().parents[1] / "bin" / "bash.exe"
    return str(bash) if bash and bash.exists() else None


def serving(exe: Path, shell: str | None, pipe: str) -> list[str]:
    """Return the command line with which a shell runs `serve`; raises LookupError if the shell is not installed."""
    words = ["serve", pipe, "--idle-timeout", _LIFETIME]
    if shell is None:
        return [str(exe), *words]
    program = git_bash() if shell == "bash" else shutil.which(shell)
    if program is None:
        raise LookupError(f"{shell} is not found")
    if shell == "cmd":
        return [program, "/d", "/c", str(exe), *words]
    if shell == "bash":  # the second command prevents bash from replacing itself with the first
        return [program, "-c", '"$0" "$@"; exit $?', exe.as_posix(), *words]
    return [program, "-NoProfile", "-Command", f"& '{exe}' {' '.join(words)}; exit $LASTEXITCODE"]


def screen(console: int) -> str:
    """Return the text on the console behind a file descriptor."""
    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    read = kernel32.ReadConsoleOutputCharacterW
    read.argtypes = (ctypes.c_void_p, ctypes.c_wchar_p, DWORD, DWORD, ctypes.POINTER(DWORD))  # for COORD, too
    text, length = ctypes.create_unicode_buffer(_SCREEN + 1), DWORD()
    if not read(msvcrt.get_osfhandle(console), text, _SCREEN, 0, ctypes.byref(length)):
        raise ctypes.WinError(ctypes.get_last_error())
    return text.value


def processes_of(exe: Path) -> list[int]:
    """Return a handle for each process of the exe in this console; a one-file exe has two."""
    pids = (DWORD * 64)()
    count = winapi.GetConsoleProcessList(pids, len(pids))
    found = [pid for pid in pids[:count] if Path(glimpse(pid).image or "").name.lower() == exe.name.lower()]
    access = _SYNCHRONIZE | ProcessAccess.QUERY_LIMITED_INFORMATION
    return [_winapi.OpenProcess(access, False, pid) for pid in found]


def end_of(process: int) -> int | None:
    """Return the exit code of a process, or None if it does not end."""
    if _winapi.WaitForSingleObject(process, _PATIENCE * 1000) != _winapi.WAIT_OBJECT_0:
        return None
    return _winapi.GetExitCodeProcess(process)


_come = threading.Event()


def _ignore(_event: int) -> bool:
    _come.set()
    return True


_handler = winapi.CtrlHandler(_ignore)  # kept alive, because Windows only has its address


def interrupt_others() -> None:
    """Raise Ctrl+C in every process of this console, and return when this process has ignored it.

    Ctrl+C arrives in a separate thread, and would give a Python that is about to exit another exit code.
    """
    winapi.SetConsoleCtrlHandler(_handler, True)
    os.kill(0, signal.CTRL_C_EVENT)
    _come.wait(_PATIENCE)


def check_inside(exe: Path, shell: str | None = None) -> bool:
    """Run a server in the console of this process, and check it; return whether all checks passed."""
    winapi.SetConsoleCtrlHandler(
        winapi.CtrlHandler(), False
    )  # a parent process may have disabled Ctrl+C, which is inherited
    pipe = f"pipectl-check-{os.getpid()}"
    keyboard, console = (os.open(name, os.O_RDWR | os.O_BINARY) for name in ("CONIN$", "CONOUT$"))
    with subprocess.Popen(serving(exe, shell, pipe), stdin=keyboard, stdout=console, stderr=console) as command:
        try:
            return check_server(exe, pipe, console)
        finally:
            command.kill()


def check_server(exe: Path, pipe: str, console: int) -> bool:
    """Call a server in this console, check its output, and end it with Ctrl+C."""
    wait = (str(exe), "wait", pipe, "--for", "exists", "--timeout", str(_PATIENCE))
    is_there = (
        subprocess.call(wait, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    )
    call = subprocess.run((str(exe), "call", pipe, "ping"), input=b"", stdout=subprocess.PIPE, check=False)
    shown = screen(console)
    servers = processes_of(exe)
    interrupt_others()
    codes = [end_of(server) for server in servers]
    checks = {
        "the server is there": is_there,
        f"it answers: {call.stdout!r}": call.stdout == b"ping",
        "the console shows the name of the pipe": pipe in shown,
        f"Ctrl+C ends all its processes with {_INTERRUPTED}: {codes}": {*codes} == {_INTERRUPTED},
    }
    if not hasattr(ctypes.WinDLL("ntdll"), "wine_get_version"):  # Wine's console accepts the mode, but ignores it
        checks["the console obeys escape sequences, and shows none"] = not _ESCAPES & {*shown}
    for text, holds in checks.items():
        print(f"{'ok' if holds else 'not ok'} - {text}", flush=True)
    return all(checks.values())


def is_ok(exe: Path, shell: str | None) -> bool:
    """Check the exe in a new console, directly or from a shell; return whether all checks passed."""
    print(f"{shell or 'alone'}:", flush=True)
    done = subprocess.run(
        [sys.executable, __file__, str(exe), *filter(None, (shell,)), _INSIDE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=4 * _PATIENCE,
        text=True,
        errors="replace",
        creationflags=subprocess.CREATE_NO_WINDOW,
        check=False,
    )
    print(done.stdout, end="", flush=True)
    return done.returncode == 0


def shell_name(word: str) -> str:
    """Return the name of a shell; `choices` of argparse does not allow an empty list."""
    if word not in SHELLS:
        raise argparse.ArgumentTypeError(f"`{word}` is none of {', '.join(SHELLS)}")
    return word


def main() -> int:
    """Run the checks that the command line requests."""
    options = argparse.ArgumentParser(description="Check pipectl.exe in a console of its own, and Ctrl+C.")
    options.add_argument("exe", type=Path, help="the pipectl.exe to check")
    options.add_argument("shell", nargs="*", type=shell_name, help=f"a shell that runs it: {', '.join(SHELLS)}")
    options.add_argument(_INSIDE, action="store_true", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    exe = arguments.exe.resolve(strict=True)
    if arguments.inside:
        return 0 if check_inside(exe, *arguments.shell) else 1
    results = [is_ok(exe, shell) for shell in (None, *arguments.shell)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Runs the steps of the setup: each once, in one process at a time, with a cause and a hint if it fails."""

import contextlib
import hashlib
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

ROOT = Path(__file__).resolve().parents[2]
DEV = ROOT / ".dev"

Arguments = Sequence[str]
Command = Sequence[str | Path]


class DevError(Exception):
    """An error to print as an `error:` line after its log, with a `hint:` line on what to do."""

    def __init__(self, error: str, hint: str = "", log: str = "", code: int = 1) -> None:
        super().__init__(error)
        self.hint = hint
        self.log = log
        self.code = code


def say(text: str) -> None:
    """Print a message to stderr, because stdout belongs to the program that is run."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


# ---- steps ----------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """A step that must be done before a program can run."""

    label: str
    done: Callable[[], bool]
    do: Callable[[], None]


def remove_directory(path: Path) -> None:
    """Remove a directory that an earlier setup may have left."""
    if path.exists():
        shutil.rmtree(path)


def directory_step(
    label: str,
    path: Path,
    inputs: Callable[[], str],
    fill: Callable[[Path], None],
    clear: Callable[[Path], None] = remove_directory,
) -> Step:
    """Return a step that creates a directory, and creates it again when its inputs change.

    The stamp is written last, so that an incomplete directory does not count.
    """
    stamp = path / ".stamp"

    def key() -> str:
        return hashlib.sha256(inputs().encode()).hexdigest()

    def done() -> bool:
        return stamp.exists() and stamp.read_text() == key()

    def do() -> None:
        stamp.unlink(missing_ok=True)
        clear(path)
        path.mkdir(parents=True)
        fill(path)
        stamp.write_text(key())

    return Step(label, done, do)


def set_up(*steps: Step) -> None:
    """Run the steps that are not done yet, in one process at a time."""
    require_supported_system()
    with setup_lock():
        for step in steps:
            if not step.done():
                say(f"dev: {step.label} ...")
                started = time.monotonic()
                step.do()
                say(f"dev: {step.label}: done in {time.monotonic() - started:.0f} s")


def require_supported_system() -> None:
    """Raise an error on systems that cannot run Windows programs."""
    machine = platform.machine()
    if sys.platform != "win32" and (sys.platform, machine) != ("linux", "x86_64"):
        raise DevError(
            f"pipectl is developed on Windows or on Linux (x86-64), and this is {platform.system()} ({machine})",
            "Use a virtual machine or a container with one of them",
        )


@contextlib.contextmanager
def setup_lock() -> Iterator[None]:
    """Hold the lock of this checkout's setup. The system releases it however this process ends."""
    DEV.mkdir(exist_ok=True)
    with (DEV / "lock").open("w") as file:
        if not try_lock(file.fileno()):
            say("dev: waiting for another set-up of this checkout ...")
            while not try_lock(file.fileno()):
                time.sleep(0.1)
        yield


def try_lock(fd: int) -> bool:
    """Take the lock if it is free."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# ---- programs of the setup, and why they fail -----------------------------------------------------------------------

AGAIN = "Run the same command again; completed steps are kept"

# The messages of tools that fail, and their causes.
CAUSES = (
    (
        r"hash mismatch|do not match the hashes",
        "a download does not match requirements.lock",
        "Something changes downloads on their way: use another network or index, and do not trust this download",
    ),
    (
        r"dns error|temporary failure|name or service not known|connection|timed out|error sending request|network",
        "the package index cannot be reached",
        "Check the network and the proxy settings, then run the same command again",
    ),
    (r"no space left", "the disk is full", "Make room, then run the same command again"),
)


def run_quietly(failing: str, *command: str | Path, otherwise: str = AGAIN, **options: Any) -> None:
    """Run a program of the setup, and show its output only if it fails."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    result = subprocess.run(command, **streams, **options, text=True, errors="replace", check=False)
    if result.returncode:
        raise failure_of(failing, result.stdout, otherwise)


def failure_of(failing: str, output: str, otherwise: str) -> DevError:
    """Return an error with the likely cause of a tool's failure and the last lines of its output."""
    log = "\n".join(output.splitlines()[-15:])
    for pattern, cause, hint in CAUSES:
        if re.search(pattern, output, re.IGNORECASE):
            return DevError(f"{failing}: {cause}", hint, log)
    return DevError(f"{failing} failed", otherwise, log)

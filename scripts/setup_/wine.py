"""Installs, sets up and starts Wine on Linux, and prepares the environment of its programs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .steps import AGAIN, DEV, ROOT, Arguments, DevError, Step, directory_step, remove_directory, run_quietly

PREFIX = DEV / "prefix"


# ---- the programs of Wine -------------------------------------------------------------------------------------------


def find_wine_program(name: str) -> str:
    """Return the path of a program of Wine, or "" if there is none."""
    return shutil.which(name, path="/usr/lib/wine") or shutil.which(name) or ""


def wine_loader() -> str:
    """Return the loader of Windows programs; on Debian, `wine` is a script that complains about missing 32-bit Wine."""
    return find_wine_program("wine64") or find_wine_program("wine")


def apt_install(*packages: str) -> None:
    """Install packages on Debian-based systems; update the package list if the current one is too old."""
    install = ("install", "-y", "--no-install-recommends", *packages)
    by_hand = f"Have an administrator run `{' '.join(('apt-get', *install))}`"
    missing = f"{' and '.join(packages)} must be installed"
    if not shutil.which("apt-get"):
        raise DevError(missing, "Use this system's package manager; Wine must be a 64-bit one, and 8 or newer")
    if os.geteuid() != 0 and not shutil.which("sudo"):
        raise DevError(missing, by_hand)
    rights = () if os.geteuid() == 0 else ("sudo",)
    apt = (*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")
    try:
        run_quietly("apt-get install", *apt, *install)
    except DevError:
        run_quietly("apt-get update", *apt, "update", otherwise=by_hand)
        run_quietly("apt-get install", *apt, *install, otherwise=by_hand)


# ---- prefix and server ----------------------------------------------------------------------------------------------


def make_prefix(prefix: Path) -> None:
    """Create drive C: and the registry, as on Windows 10."""
    run_wine_detached(prefix, "wineboot", "-i")
    run_wine_detached(prefix, "winecfg", "-v", "win10")
    # Otherwise, the next step would find this server, which is about to exit.
    run_detached(prefix, find_wine_program("wineserver"), "-w")


def remove_prefix(prefix: Path) -> None:
    """Remove drive C: and the registry, after ending the programs that still run there and may write."""
    stop_server(prefix)
    remove_directory(prefix)


def start_server(prefix: Path, program: str) -> bool:
    """Start a Wine server that keeps running, because a start without one takes seconds; return False if one runs."""
    return run_detached(prefix, program, "-p") == 0


def stop_server(prefix: Path) -> None:
    """End the Wine server of this prefix, if there is one, and all programs on it."""
    if find_wine_program("wineserver") and prefix.exists():
        command = (find_wine_program("wineserver"), "-k")
        subprocess.call(command, env=wine_environment(prefix), stderr=subprocess.DEVNULL)


def start_services(prefix: Path) -> None:
    """Start Wine's services without our streams: they would keep them open, so that a pipe would never end."""
    try:
        run_wine_detached(prefix, "cmd", "/c", "exit")
    except BaseException:
        stop_server(prefix)  # otherwise, the next call would find a server, and start the services itself
        raise


def run_wine_detached(prefix: Path, *command: str) -> None:
    """Run a program of Wine without our streams."""
    if code := run_detached(prefix, wine_loader(), *command):
        raise DevError(f"Wine's `{' '.join(command)}` ended with {code}", AGAIN)


def run_detached(prefix: Path, *command: str) -> int:
    """Run a program that may leave others behind, without our streams, and return its exit code."""
    nowhere = subprocess.DEVNULL
    streams: dict[str, Any] = {"stdin": nowhere, "stdout": nowhere, "stderr": nowhere}
    return subprocess.call(command, **streams, start_new_session=True, **wine_process_options(prefix))


def server_steps(name: str, prefix: Path, program: Callable[[], str]) -> tuple[Step, Step]:
    """Return the steps that create a prefix and start its server."""
    return (
        directory_step(f"making drive C: for {name}", prefix, lambda: "Windows 10", make_prefix, remove_prefix),
        Step(f"starting {name}", lambda: not start_server(prefix, program()), lambda: start_services(prefix)),
    )


WINE = (
    Step(
        "installing Wine",
        lambda: bool(wine_loader() and find_wine_program("wineserver")),
        lambda: apt_install("wine", "wine64"),
    ),
    *server_steps("Wine", PREFIX, lambda: find_wine_program("wineserver")),
)


# ---- the environment of a Windows program ---------------------------------------------------------------------------

NOT_FOR_WINDOWS = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV")


def windows_command(program: Path) -> Arguments:
    """Return the command that starts a Windows program on this system."""
    return (str(program),) if sys.platform == "win32" else (wine_loader(), windows_path(program))


def windows_path(path: Path) -> str:
    """Return the Windows path of a Linux file."""
    return "Z:" + str(path).replace("/", "\\")


def wine_process_options(prefix: Path = PREFIX) -> dict[str, Any]:
    """Return the options with which `subprocess` starts a process of Wine."""
    return {"env": wine_environment(prefix), "preexec_fn": partial(os.sched_setaffinity, 0, wine_cores())}


def wine_environment(prefix: Path = PREFIX) -> dict[str, str]:
    """Return our environment with the variables for Wine, without those for Linux' Python."""
    return {
        "WINEDEBUG": "-all",
        **{name: value for name, value in os.environ.items() if name not in NOT_FOR_WINDOWS},
        "WINEPREFIX": str(prefix),
        "WINEARCH": "win64",
        # No offers to install .NET, no menus, and no desktop: the first window, an invisible one of the exe, would wait
        # ten seconds for the desktop, which would keep the streams of the exe open, so that a pipe would never end.
        "WINEDLLOVERRIDES": "mscoree=d;mshtml=d;winemenubuilder.exe=d;explorer.exe=d",
        "LC_ALL": "C.UTF-8",  # Wine's encoding of file names and arguments
        "PYTHONPATH": windows_path(ROOT),
    }


def wine_cores() -> set[int]:
    """Return the CPU cores that Wine may use: those in PIPECTL_CPUS, or one."""
    free = os.sched_getaffinity(0)
    wanted = os.environ.get("PIPECTL_CPUS") or str(min(free))
    chosen = free if wanted == "all" else {int(core) if core.isdecimal() else -1 for core in wanted.split(",")}
    if not chosen <= free:
        known = ",".join(map(str, sorted(free)))
        raise DevError(f"PIPECTL_CPUS is `{wanted}`, and there are {known}", "Set it to some of these, or to `all`")
    return chosen

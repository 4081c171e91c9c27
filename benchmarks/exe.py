"""Compare the size and the start-up time of the exe with PyInstaller's minimal `hello` and with Python, in one run.

`python3 scripts/dev.py python benchmarks/exe.py [ROUNDS]` builds both as one file and as a folder, and runs all of them
in turn, so that other load on the machine affects each. Under Wine, dev.py runs everything on one core.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "build" / "benchmark"
sys.path.insert(0, str(ROOT))

from pipectl.core.pipe.server import PipeServer  # noqa: E402 - after the path is set

PIPE = rf"\\.\pipe\pipectl-benchmark-{os.getpid()}"
VERSION = ("--version",)
CALL = ("call", PIPE, "ping")

# A command, the reference command, and the maximum ratio of their times.
GOALS = (
    ("one file, --version", "hello, one file", 1.1),
    ("one file, call", "hello, one file", 1.25),
    ("folder, --version", "python -m pipectl --version", 0.5),
    ("folder, call", "python -m pipectl call", 0.5),
)
MOST_BYTES = 5_500_000


def build() -> None:
    """Build pipectl and hello, each as one file and as a folder."""
    script = OUTPUT / "hello.py"
    OUTPUT.mkdir(parents=True, exist_ok=True)
    script.write_text('print("hello")\n', encoding="ascii")
    builder = (sys.executable, ROOT / "scripts" / "build.py", "--output", OUTPUT)
    hello = (sys.executable, "-m", "PyInstaller", "--noconfirm", "--specpath", OUTPUT, "--distpath", OUTPUT, script)
    for command in (builder, (*builder, "--one-folder"), (*hello, "--onefile"), (*hello, "--onedir")):
        print("building ...", file=sys.stderr)
        subprocess.run(command, cwd=OUTPUT, check=True, capture_output=True, input=b"")


def commands() -> dict[str, tuple[str, ...]]:
    """Return the commands to time."""
    one_file, folder = str(OUTPUT / "pipectl.exe"), str(OUTPUT / "pipectl" / "pipectl.exe")
    python = (sys.executable, "-m", "pipectl")
    return {
        "hello, one file": (str(OUTPUT / "hello.exe"),),
        "one file, --version": (one_file, *VERSION),
        "one file, call": (one_file, *CALL),
        "hello, folder": (str(OUTPUT / "hello" / "hello.exe"),),
        "folder, --version": (folder, *VERSION),
        "folder, call": (folder, *CALL),
        "python -m pipectl --version": (*python, *VERSION),
        "python -m pipectl call": (*python, *CALL),
    }


def timed(command: tuple[str, ...]) -> float:
    """Run a program, and return the elapsed seconds."""
    begun = time.perf_counter()
    subprocess.run(command, input=b"", capture_output=True, check=True, timeout=120)
    return time.perf_counter() - begun


def measure(rounds: int) -> dict[str, list[float]]:
    """Run everything in turn; the first round only warms up."""
    results: dict[str, list[float]] = {name: [] for name in commands()}
    for index in range(rounds + 1):
        for name, command in commands().items():
            seconds = timed(command)
            if index:
                results[name].append(seconds)
    return results


def report(results: dict[str, list[float]]) -> Iterator[str]:
    """Yield the lines of the tables."""
    size = (OUTPUT / "pipectl.exe").stat().st_size
    hello = (OUTPUT / "hello.exe").stat().st_size
    yield f"{datetime.now(UTC):%Y-%m-%d}, {platform.platform()}, CPython {platform.python_version()}"
    yield f"one file: {size / 1e6:.2f} MB (goal {MOST_BYTES / 1e6} MB), hello {hello / 1e6:.2f} MB"
    yield ""
    yield "| start | median, s | quartiles |"
    yield "| --- | ---: | --- |"
    for name, seconds in results.items():
        low, middle, high = statistics.quantiles(seconds, n=4)
        yield f"| {name} | {middle:.3f} | {low:.3f} - {high:.3f} |"
    yield ""
    yield "| ratio of medians | goal | measured |"
    yield "| --- | ---: | ---: |"
    for name, base, goal in GOALS:
        ratio = statistics.median(results[name]) / statistics.median(results[base])
        yield f"| {name} / {base} | {goal} | {ratio:.2f} |"


def main() -> None:
    """Build, measure and print the results."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    build()
    with PipeServer(PIPE, lambda _client, data: data):
        results = measure(rounds)
    print("\n".join(report(results)))


if __name__ == "__main__":
    main()

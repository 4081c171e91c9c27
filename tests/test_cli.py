"""The root of the command line: error handling, imports, and suggestions for mistakes."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from pipectl import __version__
from pipectl.cli import cli
from pipectl.commands import COMMANDS, TOPICS
from pipectl.core import errors
from pipectl.core.checks.claims import CLAIMS
from pipectl.core.constants import WinError
from pipectl.core.inventory import directory
from pipectl.core.pipe.framing import IDLE
from pipectl.exitcodes import ExitCode, exit_code_for
from tests.runner import Pipectl, run_python

Failing = Callable[[Exception], None]

ON_WINDOWS = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows")

# The errors of the core, and the exit code of each.
ENDS = {
    errors.PipeError: 1,
    errors.PipeNotFoundError: 3,
    errors.PipeBusyError: 4,
    errors.PipeAccessError: 5,
    errors.PipeTimeoutError: 6,
    errors.PipeClosedError: 7,
    errors.PeerMismatchError: 8,
    errors.PipeStateError: 9,
    errors.ConnectionUnusableError: 9,
    errors.MessageTooLongError: 10,
    errors.FrameError: 10,
    errors.PartialResultError: 10,
    errors.OperationAbortedError: 1,
    errors.InvalidPipeNameError: 2,
    errors.ProgramNotFoundError: 2,
    errors.UnsupportedError: 11,
    errors.CodecError: 2,
    errors.RecordingError: 2,
    errors.RulesError: 2,
    errors.MismatchError: 12,
    errors.CheckFailedError: 12,
}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Make `pipectl wait` fail with an error."""
    from pipectl.commands.wait import command

    def fail_with(error: Exception) -> None:
        def fail(*_arguments: object, **_options: object) -> None:
            raise error

        monkeypatch.setattr(command, "callback", fail)

    return fail_with


# Errors


def test_every_error_of_the_tree_has_its_exit_code() -> None:
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PipeError)]
    assert set(tree) == set(ENDS)


@pytest.mark.parametrize("kind", ENDS, ids=lambda kind: kind.__name__)
def test_an_error_ends_in_its_exit_code_and_in_words(pipectl: Pipectl, failing: Failing, kind: type) -> None:
    error = kind("it did not work")
    error.subject = r"\\.\pipe\x"
    failing(error)
    result = pipectl("wait", "x")
    assert (result.exit_code, result.stdout) == (ENDS[kind], b"")
    assert result.stderr.startswith(r"error: \\.\pipe\x: it did not work")
    assert "Traceback" not in result.stderr


def test_an_error_tells_what_failed_why_and_what_to_try(pipectl: Pipectl, failing: Failing) -> None:
    failing(errors.error_for(WinError.PIPE_BUSY, "All instances are busy", "CreateFileW", r"\\.\pipe\my pipe"))
    assert pipectl("wait", "x").stderr.splitlines() == [
        r"error: CreateFileW on \\.\pipe\my pipe: All instances are busy (ERROR_PIPE_BUSY, 231)",
        r'hint: Wait for a free instance: `pipectl wait "my pipe"`',
    ]


def test_json_has_the_error_as_an_object(pipectl: Pipectl, failing: Failing) -> None:
    failing(errors.error_for(WinError.PIPE_BUSY, "All instances are busy", "CreateFileW", r"\\.\pipe\x"))
    assert pipectl("wait", "x", "--json").error == {
        "message": r"CreateFileW on \\.\pipe\x: All instances are busy (ERROR_PIPE_BUSY, 231)",
        "function": "CreateFileW",
        "pipe": r"\\.\pipe\x",
        "code": 231,
        "symbol": "ERROR_PIPE_BUSY",
        "exit_code": 4,
        "hint": "Wait for a free instance: `pipectl wait x`",
    }


def test_what_nobody_expected_is_told_without_a_traceback(pipectl: Pipectl, failing: Failing) -> None:
    failing(RuntimeError("surprise"))
    result = pipectl("wait", "x")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "error: unexpected: RuntimeError('surprise')"
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EPIPE], ids=errno.errorcode.get)
def test_an_error_of_a_file_is_told_and_not_taken_for_a_closed_stdout(
    pipectl: Pipectl, failing: Failing, code: int
) -> None:
    failing(OSError(code, "cannot be written", "C:/x.log"))
    result = pipectl("wait", "x")
    assert result.exit_code == 1
    assert "C:/x.log" in result.stderr.splitlines()[0]


def test_json_has_the_exit_code_of_an_error_that_nobody_expected_too(pipectl: Pipectl, failing: Failing) -> None:
    failing(RuntimeError("surprise"))
    assert pipectl("wait", "x", "--json").error["exit_code"] == 1


@pytest.mark.parametrize("error", [RuntimeError("surprise"), errors.PipeClosedError("gone"), BrokenPipeError("x")])
def test_debug_shows_the_traceback_and_changes_nothing_else(
    pipectl: Pipectl, failing: Failing, error: Exception
) -> None:
    failing(error)
    expected = pipectl("wait", "x")
    result = pipectl("wait", "x", "--debug")
    assert result.exit_code == expected.exit_code == (7 if isinstance(error, errors.PipeClosedError) else 1)
    assert "Traceback" in result.stderr
    assert result.stderr.endswith(expected.stderr)


def test_ctrl_c_is_exit_code_130(pipectl: Pipectl, failing: Failing) -> None:
    failing(KeyboardInterrupt())  # type: ignore[arg-type]
    assert pipectl("wait", "x").exit_code == 130


# Near misses


@pytest.mark.parametrize(("wrong", "near"), [("cal", "call"), ("Call", "call"), ("srve", "serve"), ("lst", "list")])
def test_a_command_that_does_not_exist_is_answered_with_the_near_ones(pipectl: Pipectl, wrong: str, near: str) -> None:
    result = pipectl(wrong)
    assert (result.exit_code, result.stdout) == (2, b"")
    assert result.stderr == f"error: no such command '{wrong}'\nhint: Did you mean `{near}`? See `pipectl --help`\n"


def test_an_option_that_does_not_exist_is_answered_with_the_near_ones(pipectl: Pipectl) -> None:
    result = pipectl("call", "svc", "--timout", "5")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "error: no such option '--timout'",
        "hint: Did you mean `--timeout` or `--output`? See `pipectl call --help`",
    ]


@ON_WINDOWS
def test_a_pipe_that_does_not_exist_is_answered_with_the_near_ones(
    pipe_name: str, pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipectl.core.models import PipeEntry

    near = pipe_name.removeprefix("\\\\.\\pipe\\")[:-1]
    monkeypatch.setattr(directory, "list_pipes", lambda: [PipeEntry(near, 1, None), PipeEntry("other", 1, None)])
    result = pipectl("call", pipe_name, "x")
    assert result.exit_code == 3
    assert result.stderr.splitlines()[1] == f"hint: Did you mean `{near}`? See `pipectl list`"


@pytest.mark.parametrize("line", [["call"], ["call", "svc"], ["wait", "svc", "--timeout", "soon"], ["frobnicate"]])
@pytest.mark.parametrize("json", [["--json"], ["--format", "json"], ["--format=json"]], ids=" ".join)
def test_a_usage_error_is_json_too_if_the_line_asks_for_it(pipectl: Pipectl, line: list[str], json: list[str]) -> None:
    assert pipectl(*line, *json).error["exit_code"] == 2


def test_json_for_another_program_is_not_for_this_one(pipectl: Pipectl) -> None:
    assert pipectl("serve", "svc", "--count", "0", "--exec", "x", "--json").stderr.startswith("error: ")
    assert pipectl("call", "svc", "--timeout", "x", "--", "--json").stderr.startswith("error: ")


# Help


def test_alone_it_shows_the_overview(pipectl: Pipectl) -> None:
    alone, asked = pipectl(), pipectl("--help")
    assert alone.exit_code == asked.exit_code == 0
    assert alone.text == asked.text
    for name, entry in COMMANDS.items():
        assert re.search(rf"^  {name}\s+{re.escape(entry.summary.split()[0])} ", alone.text, re.MULTILINE)


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_told(pipectl: Pipectl, option: str) -> None:
    assert pipectl(option).text == f"pipectl {__version__}\n"


@pytest.mark.parametrize("line", [["-h"], ["/?"], ["help"]], ids=" ".join)
def test_the_overview_is_asked_for_in_every_way_of_windows(pipectl: Pipectl, line: list[str]) -> None:
    assert pipectl(*line) == pipectl("--help")


@pytest.mark.parametrize("line", [["wait", "-h"], ["wait", "/?"], ["help", "wait"]], ids=" ".join)
def test_a_commands_help_is_asked_for_in_every_way_of_windows(pipectl: Pipectl, line: list[str]) -> None:
    assert pipectl(*line) == pipectl("wait", "--help")


def test_what_looks_like_a_question_may_be_sent(pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipectl.options.payload import PayloadFormat

    sent: list[str] = []

    def encode(_self: PayloadFormat, text: str) -> bytes:
        sent.append(text)
        return b""

    monkeypatch.setattr(PayloadFormat, "encode", encode)
    pipectl("call", "pipectl-test-absent", "/?")
    assert sent == ["/?"]


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_is_a_page_of_its_own_in_ascii(pipectl: Pipectl, name: str) -> None:
    result = pipectl("help", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.text.isascii()
    assert len(result.text.splitlines()) > 10
    assert f"\n  {name} " in pipectl("--help").text


def test_neither_a_command_nor_a_topic_is_answered_with_near_ones(pipectl: Pipectl) -> None:
    result = pipectl("help", "quotign")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[1] == "hint: Did you mean `quoting`? See `pipectl help`"


@pytest.mark.parametrize("before", [["--json"], ["-q", "--json"], ["--json", "-vv"]], ids=" ".join)
def test_options_of_the_output_may_stand_before_the_command(
    pipectl: Pipectl, failing: Failing, before: list[str]
) -> None:
    failing(errors.PipeBusyError("busy"))
    assert pipectl(*before, "wait", "x").error["exit_code"] == 4
    assert pipectl(*before, "nothing").error["exit_code"] == 2


@pytest.mark.parametrize("line", [["--color", "always", "wait", "x"], ["wait", "x", "--color=always"]], ids=" ".join)
def test_color_is_forced_where_errors_are_redirected(pipectl: Pipectl, failing: Failing, line: list[str]) -> None:
    failing(errors.PipeBusyError("busy"))
    assert pipectl(*line).stderr.startswith("\x1b[")
    assert "\x1b" not in pipectl("wait", "x").stderr


def test_short_options_are_those_of_other_tools(pipectl: Pipectl) -> None:
    for name in ("call", "wait", "popen", "peek"):
        assert "-t, --timeout SECONDS " in pipectl(name, "--help").text
    for name in ("serve", "client-pid"):
        assert "-n, --count N " in pipectl(name, "--help").text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help_within_80_columns(pipectl: Pipectl, name: str) -> None:
    text = pipectl(name, "--help").text
    assert text.startswith(f"Usage: pipectl {name} ")
    assert "\nExamples:\n" in text
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_help_names_the_rule_that_a_byte_pipe_has_without_a_choice(pipectl: Pipectl) -> None:
    assert f"[default: {IDLE} on a byte pipe, " in " ".join(pipectl("call", "--help").text.split())


# Imports


def imported_by(program: str) -> set[str]:
    """Return the modules that a program has imported, in a shell other than Git Bash and the like, which set TERM."""
    done = run_python(
        f"import os\nos.environ.pop('TERM', None)\nimport sys\n{program}\nprint('\\nIMPORTED', *sys.modules)",
        timeout=60,
    )
    done.check_returncode()
    names = done.stdout.rpartition("IMPORTED ")[2].split()
    return {name for name in names if not name.startswith("encodings.")}


def running(*arguments: str) -> str:
    """Return a program that runs a command line."""
    return f"from pipectl.cli import cli\ncli.run({list(arguments)!r}, prog_name='pipectl')"


@pytest.fixture(scope="module")
def of_click() -> set[str]:
    """Return the modules that click imports itself and for a help page, which on Windows include ctypes."""
    return imported_by("import click\ncli = click.Command('x')\ncli.main(['--help'], standalone_mode=False)")


OVERVIEW = {"pipectl", "pipectl.cli", "pipectl.commands", "pipectl.options", "pipectl.output"}


# The additional imports of a command's help.
HELP = {
    "pipectl.core",
    "pipectl.core.constants",
    "pipectl.core.deadline",
    "pipectl.core.errors",
    "pipectl.core.names",
    "pipectl.options.client",
    "pipectl.options.payload",
    "pipectl.options.types",
}


# The additional imports of a redirected `call`. Each module adds half a millisecond to the startup time.
CALL = {
    "pipectl.commands.call",
    "pipectl.core.pipe",
    "pipectl.core.pipe.channel",
    "pipectl.core.pipe.connection",
    "pipectl.core.win32",
    "pipectl.core.win32.handle",
    "pipectl.core.win32.overlapped",
    "pipectl.core.win32.winapi",
}


@pytest.mark.parametrize("line", [["--help"], ["--version"], []], ids=" ".join)
def test_an_overview_imports_nothing_but_the_table_of_commands(line: list[str], of_click: set[str]) -> None:
    assert imported_by(running(*line)) - of_click <= OVERVIEW


def test_the_help_of_every_command_together_imports_nothing_of_windows(of_click: set[str]) -> None:
    programs = "\n".join(running(name, "--help") for name in COMMANDS)
    ours = OVERVIEW | HELP | {f"pipectl.commands.{name.replace('-', '_')}" for name in COMMANDS}
    more = {
        "pipectl.options.passing",
        "pipectl.options.behind",
        "pipectl.options.record",
        "pipectl.options.replies",
        "pipectl.options.rules",
        "pipectl.options.server",
        "pipectl.options.stdin",
        "pipectl.options.talk",
        "pipectl.output.text",
        "binascii",
    }
    assert imported_by(programs) - of_click - ours - more == set()


@ON_WINDOWS
def test_a_redirected_call_imports_only_what_it_needs(pipe_name: str) -> None:
    from pipectl.core.pipe.server import PipeServer

    with PipeServer(pipe_name, lambda _client, data: data):
        modules = imported_by(running("call", pipe_name, "ping"))
    assert modules - imported_by("import click") - OVERVIEW - HELP - CALL == set()


@ON_WINDOWS
def test_a_redirected_connect_imports_hardly_more_than_a_call(pipe_name: str) -> None:
    from pipectl.core.pipe.server import PipeServer

    more = {
        "pipectl.commands.connect",
        "pipectl.core.pipe.lifetime",
        "pipectl.core.traffic",
        "pipectl.core.traffic.streams",
        "pipectl.core.win32.blocking",
        "pipectl.options.stdin",
        "pipectl.options.talk",
    }
    with PipeServer(pipe_name, lambda _client, data: data):
        modules = imported_by(running("connect", pipe_name))
    assert modules - imported_by("import click") - OVERVIEW - HELP - CALL == more


# The end of the process


def program_that_first(
    statement: str, *arguments: str, stdout: int | IO[bytes] = subprocess.PIPE
) -> "subprocess.CompletedProcess[str]":
    """Run pipectl in a program that first executes a statement."""
    program = f"import atexit, threading\nfrom pipectl.cli import main\n{statement}\nmain()"
    return run_python(program, *arguments, timeout=60, stdout=stdout)


@pytest.mark.parametrize(("line", "exit_code"), [("--version", 0), ("frobnicate", 2)])
def test_alone_in_its_process_it_skips_the_end_of_the_interpreter(line: str, exit_code: int) -> None:
    done = program_that_first("atexit.register(print, 'the end'); print('written', end=' ')", line)
    assert done.returncode == exit_code
    assert done.stdout == ("written " if exit_code else f"written pipectl {__version__}\n")


def test_a_thread_is_waited_for() -> None:
    last = "threading.Thread(target=lambda: (threading.main_thread().join(), print('last'))).start()"
    assert program_that_first(last, "--version").stdout == f"pipectl {__version__}\nlast\n"


def test_a_thread_that_need_not_end_is_not_waited_for() -> None:
    endless = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    done = program_that_first(f"{endless}; atexit.register(print, 'the end')", "--version")
    assert (done.returncode, done.stdout) == (0, f"pipectl {__version__}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_file_that_cannot_grow_is_one_error_and_exit_code_1(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    with (tmp_path / "out.txt").open("wb") as file:
        done = program_that_first(limit, "help", "--json", stdout=file)
    assert done.returncode == ExitCode.UNEXPECTED
    assert json.loads(done.stderr)["error"]["message"].startswith("stdout cannot be written")


@ON_WINDOWS
@pytest.mark.parametrize(
    ("line", "exit_code"),
    [
        (["call", "PIPE", "ping"], 0),
        (["call", "PIPE", "--stdin"], 0),
        (["transact", "PIPE"], 0),
        (["wait", "PIPE"], 0),
        (["info", "PIPE"], 0),
        (["--help"], 0),
        (["popen", "--", "cmd", "/c", "exit 3"], 3),
        (["popen", "--", "cmd", "/c", "echo hello& exit 3"], 3),
        (["call", "PIPE-absent", "ping"], 3),
    ],
    ids=str,
)
def test_without_standard_streams_a_command_still_does_its_work(
    pipe_name: str, program: list[str], line: list[str], exit_code: int
) -> None:
    import _winapi

    from pipectl.core.pipe.server import PipeServer

    no_streams = subprocess.STARTUPINFO(dwFlags=subprocess.STARTF_USESTDHANDLES)
    words = subprocess.list2cmdline([*program, *(word.replace("PIPE", pipe_name) for word in line)])
    with PipeServer(pipe_name, lambda _client, data: data):
        process, thread, _, _ = _winapi.CreateProcess(
            None, words, None, None, False, 0, dict(os.environ), None, no_streams
        )
        _winapi.CloseHandle(thread)
        _winapi.WaitForSingleObject(process, 30_000)
        code = _winapi.GetExitCodeProcess(process)
        _winapi.CloseHandle(process)
    assert code == exit_code


# Other systems than Windows


@pytest.mark.skipif(sys.platform == "win32", reason="what Windows can")
@pytest.mark.parametrize("name", COMMANDS.keys() - {"help"})
def test_elsewhere_a_command_says_that_it_needs_windows(pipectl: Pipectl, name: str) -> None:
    lines = {"popen": ["ls"], "list": [], "selftest": [], "demo": [], "relay": ["svc", "other"]}
    arguments = {**lines, "replay": ["file", "--call", "svc"]}.get(name, ["svc"])
    result = pipectl(name, *arguments, *(["x"] if name in ("call", "transact", "write") else []))
    assert (result.exit_code, result.stdout) == (125 if name == "popen" else 11, b"")
    assert "Windows" in result.stderr.splitlines()[0]
    assert "Wine" in result.stderr


def test_the_claims_of_the_selftest_are_listed_on_any_system(pipectl: Pipectl) -> None:
    result = pipectl("selftest", "--list", "--json")
    assert result.exit_code == 0
    assert len(result.objects) == len(CLAIMS)


def test_exit_codes_follow_the_nearest_kind_of_error() -> None:
    class Special(errors.PipeBusyError):
        pass

    assert exit_code_for(Special("x")) is ExitCode.BUSY


def test_the_root_is_a_group_of_all_commands() -> None:
    assert cli.list_commands(None) == list(COMMANDS)  # type: ignore[arg-type]

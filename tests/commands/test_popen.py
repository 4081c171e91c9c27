"""`pipectl popen`: a child's streams and its exit code, as if it had been started without pipectl."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipectl.cli import cli
from pipectl.core.win32 import winapi
from tests.runner import Pipectl, Running
from tests.streams import Streams


def python(program: str, *arguments: str) -> list[str]:
    return ["--", sys.executable, "-S", "-u", "-c", program, *arguments]


BOTH = "import os; os.write(1, b'out'); os.write(2, b'err')"
COPY = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"


@pytest.mark.parametrize("code", [0, 1, 3, 130, 255])
def test_the_childs_exit_code_is_the_commands_own(pipectl: Pipectl, code: int) -> None:
    assert pipectl("popen", "--no-stdin", *python(f"import os; os._exit({code})")) == (code, b"", "")


def test_an_exit_code_beyond_a_c_long_is_passed_on(pipectl_process: Pipectl) -> None:
    program = "import ctypes; ctypes.windll.kernel32.ExitProcess(0xC0000005)"
    assert pipectl_process("popen", *python(program)).exit_code == 0xC0000005


@pytest.mark.parametrize(("options", "out", "err"), [([], b"out", "err"), (["--merge-stderr"], b"outerr", "")])
def test_both_streams_are_passed_on(pipectl_process: Pipectl, options: list[str], out: bytes, err: str) -> None:
    assert pipectl_process("popen", *options, *python(BOTH)) == (0, out, err)


def test_stdin_is_passed_to_it_byte_for_byte(pipectl_process: Pipectl) -> None:
    data = os.urandom(1 << 20)
    assert pipectl_process("popen", *python(COPY), stdin=data) == (0, data, "")


def test_without_stdin_it_has_none(pipectl_process: Pipectl) -> None:
    assert pipectl_process("popen", "--no-stdin", *python(COPY), stdin=b"data").stdout == b""


def test_what_it_writes_comes_at_once(running: Callable[..., Running]) -> None:
    program = running("popen", *python("for line in iter(input, 'end'): print(line.upper(), flush=True)"))
    for word in ("one", "two"):
        program.tell(word)
        assert program.wrote().strip() == word.upper().encode()
    program.tell("end")
    assert program.end().exit_code == 0


def test_its_arguments_reach_it_as_they_are(pipectl: Pipectl) -> None:
    arguments = ["--json", "-q", "a b", 'say "hi"', "%PATH%", "&", "--", "", "ü", "*"]
    result = pipectl("popen", "--no-stdin", *python("import sys; print(ascii(sys.argv[1:]), end='')", *arguments))
    assert result.text == ascii(arguments)


def test_the_double_dash_may_be_left_out(pipectl: Pipectl) -> None:
    assert pipectl("popen", "--no-stdin", "cmd", "/c", "exit 7").exit_code == 7


def test_json_has_an_object_for_each_piece_and_one_at_the_end(pipectl: Pipectl) -> None:
    result = pipectl("popen", "--no-stdin", "--json", *python(BOTH + "; os._exit(3)"))
    assert result.exit_code == 3
    *pieces, end = result.objects
    assert {one["event"]: one["data"] for one in pieces} == {
        "stdout": {"size": 3, "text": "out"},
        "stderr": {"size": 3, "text": "err"},
    }
    assert 0 < end.pop("seconds") < 30
    counts = {"stdin_bytes": 0, "stdout_bytes": 3, "stderr_bytes": 3}
    assert end == {"schema": 1, "event": "exit", "exit_code": 3, **counts}


def test_json_names_a_program_that_is_not_there_and_not_as_a_pipe(pipectl: Pipectl) -> None:
    error = pipectl("popen", "--json", "--", "no-such-program.exe").error
    assert (error["program"], error["exit_code"]) == ("no-such-program.exe", 127)
    assert not error.keys() & {"pipe", "subject"}


def test_a_program_that_is_not_there_is_exit_code_127(pipectl: Pipectl) -> None:
    result = pipectl("popen", "--no-stdin", "there-is-no-such-program")
    assert (result.exit_code, result.stdout) == (127, b"")
    assert "ERROR_FILE_NOT_FOUND" in result.stderr


def test_the_timeout_ends_it_and_all_that_it_has_started(pipectl: Pipectl, tmp_path: Path, late: float) -> None:
    grandchild = f"import time; time.sleep(2); open({str(tmp_path / 'alive')!r}, 'w')"
    program = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {grandchild!r}]); time.sleep(60)"
    begun = time.perf_counter()
    result = pipectl("popen", "--no-stdin", "--timeout", "1", *python(program))
    taken = time.perf_counter() - begun
    assert result.exit_code == 124
    assert 1 <= taken < 1.2 + late
    time.sleep(2)
    assert not (tmp_path / "alive").exists()


@pytest.mark.parametrize("arguments", [(), ("--",), ("--mode", "r", "--", "cmd"), ("--timeout", "x", "--", "cmd")])
def test_a_wrong_command_line_is_125_which_programs_seldom_have(pipectl: Pipectl, arguments: tuple[str, ...]) -> None:
    assert pipectl("popen", *arguments).exit_code == 125
    assert pipectl("popen", "--json", *arguments).error["exit_code"] == 125


def test_a_batch_file_without_its_ending_is_named(
    pipectl: Pipectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "batchtool.cmd").write_text("@echo off\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    result = pipectl("popen", "--", "batchtool")
    assert result.exit_code == 127
    assert "`batchtool.cmd`" in result.stderr
    assert pipectl("popen", "--", "batchtool.cmd").exit_code == 0


def test_what_is_no_program_is_exit_code_126(pipectl: Pipectl, tmp_path: Path) -> None:
    file = tmp_path / "text.exe"
    file.write_text("no program", encoding="ascii")
    assert pipectl("popen", "--no-stdin", "--", str(file)).exit_code == 126


# Text


OEM = "import os; os.write(1, b'gr\\x81n '); os.write(1, b'f\\x81r'); os.write(2, b'\\x81')"


def test_a_terminal_gets_text_of_the_consoles_code_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winapi, "GetConsoleOutputCP", lambda: 850)
    streams = Streams(monkeypatch, are_terminals=True)
    streams.connect()
    assert cli.run(["popen", "--no-stdin", *python(OEM)]) == 0
    assert (streams.stdout.text, streams.stderr.text) == ("grün für", "ü")


def test_a_terminal_gets_utf_8_of_which_a_character_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winapi, "GetConsoleOutputCP", lambda: 850)
    streams = Streams(monkeypatch, are_terminals=True)
    streams.connect()
    cut = "import os, time; os.write(1, b'\\xc3'); time.sleep(0.3); os.write(1, b'\\xbc\\xe6')"
    assert cli.run(["popen", "--no-stdin", *python(cut)]) == 0
    assert streams.stdout.text == "üµ"


def test_redirected_bytes_stay_as_they_are(pipectl: Pipectl) -> None:
    assert pipectl("popen", "--no-stdin", "--merge-stderr", *python(OEM)).stdout == b"gr\x81n f\x81r\x81"


def test_json_has_text_of_the_encoding_that_is_asked_for(pipectl: Pipectl) -> None:
    line = ("popen", "--no-stdin", "--merge-stderr", "--json")
    assert pipectl(*line, "--encoding", "cp850", *python(OEM)).objects[0]["data"] == {"size": 9, "text": "grün fürü"}
    assert "base64" in pipectl(*line, *python(OEM)).objects[0]["data"]


def test_json_does_not_cut_a_line_in_two(pipectl: Pipectl) -> None:
    slow = "import os, time; os.write(1, b'one\\ntw'); time.sleep(0.3); os.write(1, b'o\\nthree')"
    *pieces, _end = pipectl("popen", "--no-stdin", "--json", *python(slow)).objects
    assert [one["data"]["text"] for one in pieces] == ["one\n", "two\n", "three"]

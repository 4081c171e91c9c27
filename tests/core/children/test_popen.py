"""The files of `popen`, `popen2`, `popen3` and `popen4`: real programs, their streams, and the status of their end."""

import io
import itertools
import msvcrt
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pipectl
from pipectl.core.children.child import run
from pipectl.core.children.files import PipeFile, popen, popen2, popen3, popen4
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError, ProgramNotFoundError
from pipectl.core.win32.calls import create_named_pipe, peek_named_pipe
from pipectl.core.win32.handle import Handle, wait
from tests.pipes import connect_named_pipe

from .programs import ECHO, MEGABYTES, STAY, process, python

if TYPE_CHECKING:
    from concurrent.futures import Future

Background = Callable[..., "Future[Any]"]


def close(*files: PipeFile) -> list[int | None]:
    return [file.close() for file in files]


# What the files give


def test_a_command_of_the_shell_can_be_read() -> None:
    with popen("echo one& echo two") as file:
        assert list(file) == ["one\n", "two\n"]


@pytest.mark.parametrize(("mode", "line"), [("r", "one\n"), ("rt", "one\n"), ("rb", b"one\r\n")])
def test_text_has_its_line_ends_translated_and_bytes_have_not(mode: str, line: str | bytes) -> None:
    with popen("echo one", mode) as file:
        assert file.readline() == line


@pytest.mark.parametrize(
    ("mode", "line", "count"), [("w", "one\n", 5), ("wt", "one\n", 5), ("wb", b"one\n", 4)], ids=["w", "wt", "wb"]
)
def test_what_is_written_is_the_childs_stdin(mode: str, line: str | bytes, count: int) -> None:
    file = popen(python("import sys; sys.exit(len(sys.stdin.buffer.read()))"), mode)
    file.write(line)
    assert file.close() == count


@pytest.mark.parametrize(("function", "mode"), [(popen, "t"), (popen, "x"), (popen, ""), (popen2, "r"), (popen4, "tb")])
def test_another_mode_is_an_error(function: Callable[..., object], mode: str) -> None:
    with pytest.raises(ValueError, match="mode must be"):
        function("echo one", mode)


@pytest.mark.parametrize("mode", ["t", "b"])
def test_a_child_that_is_asked_answers_without_a_flush(mode: str) -> None:
    stdin, stdout = popen2(python("import sys\nfor line in sys.stdin: print(line.strip().upper())"), mode)
    for line in "one", "two":
        stdin.write(f"{line}\n" if mode == "t" else f"{line}\n".encode())
        answer = stdout.readline()
        assert (answer if mode == "t" else answer.decode()).strip() == line.upper()
    close(stdin, stdout)


def test_stdout_and_stderr_come_apart_or_together() -> None:
    stdin, stdout, stderr = popen3("echo one& echo two>&2")
    assert (stdout.read(), stderr.read()) == ("one\n", "two\n")
    close(stdin, stdout, stderr)
    stdin, output = popen4("echo one& echo two>&2")
    assert output.read() == "one\ntwo\n"
    close(stdin, output)


def test_a_child_that_is_only_read_has_no_input() -> None:
    with popen(python("import sys; print(len(sys.stdin.read()))")) as file:
        assert file.read() == "0\n"


def test_text_is_encoded_as_the_caller_says() -> None:
    with popen(
        python("import sys; sys.stdout.buffer.write('grüße'.encode('utf-16-le'))"), encoding="utf-16-le"
    ) as file:
        assert file.read() == "grüße"
    stdin, stdout = popen2(python(ECHO), encoding="ascii", errors="replace")
    stdin.write("grüße")
    stdin.close()
    assert stdout.read() == "gr??e"
    stdout.close()


def test_arguments_arrive_as_they_are_and_no_shell_reads_them() -> None:
    arguments = ["grüße, 世界 🌍", 'say "hi" \\', "%PATH%", "a & b | c > d ^ e", "", "--"]
    program = "import sys; sys.stdout.buffer.write('\\0'.join(sys.argv[1:]).encode())"
    with popen(python(program, *arguments), "rb") as file:
        assert file.read().decode().split("\0") == arguments


def test_a_command_line_reaches_the_shell_with_its_quotes() -> None:
    with popen(f'"{sys.executable}" -S -c "print(1 + 1)"') as file:
        assert file.read() == "2\n"


def test_a_file_can_be_the_input_of_another_program() -> None:
    with popen("echo one") as file:
        done = subprocess.run(python(ECHO), stdin=file, capture_output=True, timeout=20, check=True)
    assert done.stdout == b"one\r\n"


def test_nothing_is_read_from_the_pipe_before_somebody_asks(pipe_name: str) -> None:
    program = f"import os; os.write(1, b'one'); open({pipe_name!r}, 'rb')"
    with create_named_pipe(pipe_name) as server, popen(python(program), "rb") as file:
        connect_named_pipe(server, 20)
        end = Handle(msvcrt.get_osfhandle(file.fileno()))
        assert peek_named_pipe(end, 10).data == b"one"
        end.detach()
        assert file.read() == b"one"


def test_a_reader_of_text_is_a_text_file_and_of_bytes_a_binary_one() -> None:
    with popen("echo one") as text, popen("echo one", "rb") as binary:
        assert isinstance(text, io.TextIOBase)
        assert isinstance(binary, io.BufferedIOBase)
        assert (text.readable(), text.writable(), text.isatty(), binary.read1(3)) == (True, False, False, b"one")


# What `close` gives


@pytest.mark.parametrize("code", [0, 1, 3, 255, 0xC000_0005, 0xFFFF_FFFF])
def test_close_gives_the_exit_status_and_none_for_success(code: int) -> None:
    assert popen(f"exit {code - (1 << 32) if code >> 31 else code}").close() == (code or None)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_the_last_file_to_be_closed_gives_the_exit_status(order: tuple[int, ...]) -> None:
    files = popen3("exit 7")
    assert close(*(files[index] for index in order)) == [None, None, 7]


def test_a_second_close_gives_nothing() -> None:
    file = popen("exit 7")
    assert close(file, file) == [7, None]
    assert file.closed


def test_a_closed_file_is_as_closed_as_any() -> None:
    file = popen("exit 7")
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_close_waits_for_a_child_that_closed_its_streams_first() -> None:
    program = "import os, time; os.close(1); time.sleep(0.3); os._exit(7)"
    file = popen(python(program))
    assert file.read() == ""
    assert file.close() == 7


def test_a_file_that_is_closed_early_breaks_the_childs_pipe() -> None:
    program = """
import os
try:
    while True: os.write(1, bytes(65536))
except OSError:
    os._exit(7)
"""
    file = popen(python(program), "rb")
    assert len(file.read(100_000)) == 100_000
    assert file.close() == 7


def test_after_a_write_that_nobody_reads_the_status_still_comes() -> None:
    stdin, stdout = popen2("exit 7", "b")
    assert stdout.read() == b""
    with pytest.raises(BrokenPipeError):
        stdin.write(b"x")
    assert close(stdin, stdout) == [None, 7]


@pytest.mark.windows(reason="Wine's console host of a child holds the child's streams until its end", claim="W16")
def test_a_write_to_a_child_that_closed_its_stdin_is_a_broken_pipe_at_once() -> None:
    stdin, stdout = popen2(python("import os, time; os.close(0); print('closed'); time.sleep(1)"), "b")
    assert stdout.readline() == b"closed\r\n"
    begun = time.perf_counter()
    with pytest.raises(BrokenPipeError):
        stdin.write(b"x")
    assert time.perf_counter() - begun < 0.5
    close(stdin, stdout)


def test_a_forgotten_file_warns_and_waits_for_nobody() -> None:
    files = [popen(python("import time; time.sleep(5)"))]
    begun = time.perf_counter()
    with pytest.warns(ResourceWarning):
        files.pop()
    assert time.perf_counter() - begun < 3


# Pipes that fill


@pytest.mark.parametrize("first", [1, 2])
def test_a_child_that_fills_one_stream_blocks_no_reader_of_the_other(first: int) -> None:
    program = f"import os; os.write({3 - first}, b'x' * {MEGABYTES}); os.write({first}, b'done')"
    files = popen3(python(program), "b")
    assert files[first].read() == b"done"
    assert files[3 - first].read() == b"x" * MEGABYTES
    close(*files)


@pytest.mark.parametrize("function", [popen2, popen3, popen4])
def test_a_child_that_writes_while_it_is_written_to_blocks_no_writer(function: Callable[..., Any]) -> None:
    files = function(python(ECHO), "b")
    data = os.urandom(MEGABYTES)
    files[0].write(data)
    files[0].close()
    assert files[1].read() == data
    close(*files[1:])


def test_a_child_that_writes_without_end_is_held_up_while_nobody_listens() -> None:
    program = f"import os; os.write(1, b'%d\\n' % os.getpid()); os.write(1, bytes({MEGABYTES}))"
    with popen(python(program), "rb") as file, process(int(file.readline())) as child:
        assert not wait(child, Deadline(0.3))
        assert len(file.read()) == MEGABYTES
        assert wait(child, Deadline(10))


# What a child inherits


def test_no_child_holds_the_pipes_of_another() -> None:
    stdin, stdout = popen2(python(STAY))
    with popen(python(STAY), "w") as sibling:
        sibling.write("x")
        assert stdout.readline() == "here\n"
        assert close(stdin, stdout) == [None, None]  # it saw the end of its stdin


def test_children_started_at_one_time_do_not_hold_each_others_pipes(background: Background) -> None:
    start = threading.Barrier(4)

    def life() -> str:
        start.wait(10)
        stdin, stdout = popen2(python(STAY))
        stdin.close()
        text: str = stdout.read()
        stdout.close()
        start.wait(20)
        return text

    lives = [background(life) for _ in range(4)]
    assert [future.result(30) for future in lives] == ["here\n"] * 4


def test_it_works_without_a_console_and_without_streams_of_its_own() -> None:
    program = """
import sys
from ctypes import windll
from pipectl.core.children.child import run
from pipectl.core.children.files import popen, popen3

assert not windll.kernel32.GetConsoleCP()
for handle in None, 0x7FFC:  # nothing, and something that is no handle
    for which in -10, -11, -12:
        assert windll.kernel32.SetStdHandle(which, handle)
    with popen("echo one& echo two>&2") as file:
        assert file.read() == "one\\n"
    assert popen("exit 3", "w").close() == 3
files = popen3("echo one& echo two>&2")
assert [file.read() for file in files[1:]] == ["one\\n", "two\\n"]
assert [file.close() for file in files] == [None] * 3
assert run("echo one& exit 5") == (5, b"one\\r\\n", b"")
sys.exit(42)
"""
    root = str(Path(pipectl.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, creationflags=subprocess.DETACHED_PROCESS, timeout=60, check=False
    )
    assert done.returncode == 42


# What cannot be started


def test_a_program_that_is_not_there_is_told_by_name() -> None:
    for start in popen, popen3, run:
        with pytest.raises(ProgramNotFoundError) as raised:
            start(["pipectl-no-such-program", "x"])
        assert (raised.value.symbol, raised.value.winerror) == ("ERROR_FILE_NOT_FOUND", 2)
        assert isinstance(raised.value, FileNotFoundError)
        assert "pipectl-no-such-program" in str(raised.value)


def test_a_file_that_is_no_program_is_told(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("no program")
    with pytest.raises(PipeError) as raised:
        run([str(text)])
    assert (raised.value.symbol, raised.value.subject, raised.value.pipe) == ("ERROR_BAD_EXE_FORMAT", str(text), None)

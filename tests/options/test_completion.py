"""Completion in real shells: what is completed at a prompt is what pipectl then gets. For PowerShell, its protocol."""

import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipectl.options.completion import PowerShellComplete

if sys.platform == "win32":
    pytest.skip("a terminal for bash and zsh is made by Linux", allow_module_level=True)

import pty

# A pipectl that sees these pipes, and otherwise prints its arguments.
NAMES = ["docker_engine", "my pipe", r"MSSQL$X\sql\query", "it's", "other"]
PROGRAM = f"""#!{sys.executable}
import json, os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
if "_PIPECTL_COMPLETE" not in os.environ:
    print("ARGUMENTS", json.dumps(sys.argv[1:]), "END")
    sys.exit()
from pipectl.cli import main
from pipectl.core.inventory import directory
from pipectl.core.models import PipeEntry
directory.list_pipes = lambda: [PipeEntry(name, 1, None) for name in {NAMES!r}]
main()
"""
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(_PIPECTL_COMPLETE=bash_source pipectl)"'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -U compinit; compinit -u -D; eval "$(_PIPECTL_COMPLETE=zsh_source pipectl)"',
    ),
}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """Each shell that is installed."""
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param}")
    return str(request.param)


def arguments_of(shell: str, typed: str, folder: Path) -> list[str]:
    """Type a line with tabs in it at a prompt, and return the arguments that pipectl gets in the end."""
    (folder / "pipectl").write_text(PROGRAM)
    (folder / "pipectl").chmod(0o755)
    command, setup = SHELLS[shell]
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "PATH": path, "TERM": "dumb", "INPUTRC": os.devnull, "HOME": str(folder)},
    )
    os.close(theirs)
    try:
        os.write(ours, f"{setup}; echo 'SET' UP\n".encode())
        read_until(ours, "SET UP")
        os.write(ours, f"{typed}\n".encode())
        found = re.search(r"ARGUMENTS (.*) END", read_until(ours, " END"))
        assert found
        return json.loads(found[1])
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)


def read_until(terminal: int, mark: str) -> str:
    """Return what a shell writes up to a mark; fails if that does not come."""
    text, end = "", time.monotonic() + 60
    while mark not in text:
        assert select.select([terminal], [], [], max(0, end - time.monotonic()))[0], text
        text += os.read(terminal, 65536).decode(errors="replace")
    return text


@pytest.mark.parametrize(
    ("typed", "arguments"),
    [
        ("call do\t", ["call", "docker_engine"]),
        ("call my\t", ["call", "my pipe"]),
        ("call 'my\t", ["call", "my pipe"]),
        ('call "MS\t', ["call", r"MSSQL$X\sql\query"]),
        ("call 'MS\t", ["call", r"MSSQL$X\sql\query"]),
        ("call MS\t", ["call", r"MSSQL$X\sql\query"]),
        ("call it\t", ["call", "it's"]),
        (r"call '\\.\pipe\do" + "\t", ["call", r"\\.\pipe\docker_engine"]),
        (r"call \\.\pipe\do" + "\t", ["call", r"\\.\pipe\docker_engine"]),
        (r"call \\\\.\\pipe\\MS" + "\t", ["call", r"\\.\pipe\MSSQL$X\sql\query"]),
        ("cl\t", ["client-pid"]),
        ("call do\t--as ba\t", ["call", "docker_engine", "--as", "base64"]),
    ],
)
def test_what_is_completed_is_what_pipectl_gets(shell: str, typed: str, arguments: list[str], tmp_path: Path) -> None:
    assert arguments_of(shell, f"pipectl {typed}", tmp_path) == arguments


def test_the_path_of_a_file_is_left_to_the_shell(shell: str, tmp_path: Path) -> None:
    (tmp_path / "request file").touch()
    assert arguments_of(shell, f"pipectl call svc --data-file {tmp_path}/req\t", tmp_path)[-1] == str(
        tmp_path / "request file"
    )


@pytest.mark.parametrize(
    ("word", "shown", "inserted"),
    [
        ("do", "docker_engine", "docker_engine"),
        ("'my", "my pipe", "'my pipe'"),
        ("it", "it's", "'it''s'"),
        ("MS", r"MSSQL$X\sql\query", r"'MSSQL$X\sql\query'"),
        (r"\\.\pipe\do", r"\\.\pipe\docker_engine", r"\\.\pipe\docker_engine"),
        (r"'\\.\pipe\MS", r"\\.\pipe\MSSQL$X\sql\query", r"'\\.\pipe\MSSQL$X\sql\query'"),
    ],
)
def test_powershell_gets_names_quoted_as_it_needs_them(word: str, shown: str, inserted: str, tmp_path: Path) -> None:
    asked = {"_PIPECTL_COMPLETE": "powershell_complete", "_PIPECTL_WORDS": f"pipectl\ncall\n{word}"}
    (tmp_path / "pipectl.py").write_text(PROGRAM)
    program = [sys.executable, tmp_path / "pipectl.py"]
    done = subprocess.check_output(program, stdin=subprocess.DEVNULL, timeout=60, env={**os.environ, **asked})
    assert done.decode().split("\n") == [f"plain\t{inserted}\t{shown}\t{shown}", ""]


def test_the_script_of_powershell_has_no_syntax_error() -> None:
    tree_sitter = pytest.importorskip("tree_sitter")
    language = tree_sitter.Language(pytest.importorskip("tree_sitter_powershell").language())
    names = {"complete_func": "_f", "complete_var": "_PIPECTL_COMPLETE", "prog_name": "pipectl"}
    script = (PowerShellComplete.source_template % names).encode()
    parser = tree_sitter.Parser(language)
    assert not parser.parse(script).root_node.has_error
    assert parser.parse(script.replace(b"foreach (", b"foreach ((")).root_node.has_error

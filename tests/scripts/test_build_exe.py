"""The scripts of PowerShell are read here, and run on Windows alone; build_exe.ps1 hands its parameters to build.py."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has PowerShell to read it", allow_module_level=True)

tree_sitter = pytest.importorskip("tree_sitter")
tree_sitter_powershell = pytest.importorskip("tree_sitter_powershell")

_SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
_SCRIPT = _SCRIPTS / "build_exe.ps1"

each_script = pytest.mark.parametrize("script", sorted(_SCRIPTS.rglob("*.ps1")), ids=lambda script: script.stem)


def _parsed(source: bytes) -> Any:
    language = tree_sitter.Language(tree_sitter_powershell.language())
    return tree_sitter.Parser(language).parse(source).root_node


def _texts(node: Any, kind: str) -> list[str]:
    found = [node.text.decode()] if node.type == kind else []
    return found + [text for child in node.children for text in _texts(child, kind)]


@each_script
def test_script_has_no_syntax_error(script: Path) -> None:
    assert not _parsed(script.read_bytes()).has_error


def test_parser_sees_a_syntax_error() -> None:
    assert _parsed(_SCRIPT.read_bytes().replace(b"if ($OneFolder", b"if (($OneFolder")).has_error


@each_script
def test_script_is_ascii_which_powershell_5_reads_right_without_a_mark(script: Path) -> None:
    assert script.read_bytes().isascii()


@each_script
def test_every_parameter_is_described_and_used(script: Path) -> None:
    root = _parsed(script.read_bytes())
    (block,) = _texts(root, "param_block")
    parameters = re.findall(r"\] \$(\w+)(?= *[,=\n])", block)
    used = _texts(root, "variable")
    described = re.findall(r"^\.PARAMETER (\w+)", script.read_text(), re.MULTILINE)
    assert parameters == described
    assert all(used.count(f"${name}") >= 2 for name in parameters)


def test_build_knows_every_option_that_the_script_passes() -> None:
    specification = importlib.util.spec_from_file_location("build", _SCRIPTS / "build.py")
    assert specification is not None
    assert specification.loader is not None
    build = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(build)
    passed = re.findall(r"'(--[\w-]+)'", _SCRIPT.read_text())
    assert passed == ["--one-folder", "--sign", "--output"]
    assert {option for action in build.parser()._actions for option in action.option_strings} >= {*passed}


@each_script
def test_no_newer_powershell_is_needed_than_5(script: Path) -> None:
    root = _parsed(script.read_bytes())
    operators = {child.type for child in _walk(root)}
    assert operators.isdisjoint({"&&", "||", "??", "??=", "?.", "?"})


def _walk(node: Any) -> Any:
    yield node
    for child in node.children:
        yield from _walk(child)


@pytest.mark.parametrize(("command", "code"), [("exec '{python}' -m pipectl \"$@\"", 0), ("echo pipectl 0.0.0", 1)])
def test_check_tells_this_pipectl_from_another_program(tmp_path: Path, command: str, code: int) -> None:
    program = tmp_path / "pipectl"
    program.write_text(f"#!/bin/sh\n{command.format(python=sys.executable)}\n")
    program.chmod(0o755)
    check = (sys.executable, _SCRIPTS / "build.py", "--check", program)
    done = subprocess.run(check, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, b"error: " in done.stderr) == (code, bool(code))

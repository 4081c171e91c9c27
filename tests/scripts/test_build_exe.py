"""build_exe.ps1 is PowerShell, and hands its parameters to build.py. It is read here, and run on Windows alone."""

import importlib.util
import re
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


def _parsed(source: bytes) -> Any:
    language = tree_sitter.Language(tree_sitter_powershell.language())
    return tree_sitter.Parser(language).parse(source).root_node


def _texts(node: Any, kind: str) -> list[str]:
    found = [node.text.decode()] if node.type == kind else []
    return found + [text for child in node.children for text in _texts(child, kind)]


def test_script_has_no_syntax_error() -> None:
    assert not _parsed(_SCRIPT.read_bytes()).has_error


def test_parser_sees_a_syntax_error() -> None:
    assert _parsed(_SCRIPT.read_bytes().replace(b"if ($OneFolder", b"if (($OneFolder")).has_error


def test_script_is_ascii_which_powershell_5_reads_right_without_a_mark() -> None:
    assert _SCRIPT.read_bytes().isascii()


def test_every_parameter_is_described_and_used() -> None:
    root = _parsed(_SCRIPT.read_bytes())
    (block,) = _texts(root, "param_block")
    parameters = re.findall(r"\$(\w+)(?= *[,=\n])", block)
    used = _texts(root, "variable")
    described = re.findall(r"^\.PARAMETER (\w+)", _SCRIPT.read_text(), re.MULTILINE)
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


def test_no_newer_powershell_is_needed_than_5() -> None:
    root = _parsed(_SCRIPT.read_bytes())
    operators = {child.type for child in _walk(root)}
    assert operators.isdisjoint({"&&", "||", "??", "??=", "?.", "?"})


def _walk(node: Any) -> Any:
    yield node
    for child in node.children:
        yield from _walk(child)

"""The public interface of the library: its exports, the cost of importing it, and the programs in docs/library.md."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pipectl

ROOT = Path(pipectl.__file__).parents[1]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
NAMES = [re.findall(r"pipectl-library-(\w+)", program)[0] for program, _ in PROGRAMS]

ON_WINDOWS = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows' pipes")


def python(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )


def test_importing_it_imports_nothing_else_of_ours() -> None:
    done = python("import pipectl, sys; print([name for name in sys.modules if name.startswith('pipectl.')])")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_name_that_it_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'pipectl' has no attribute 'winapi'"):
        _ = pipectl.winapi  # type: ignore[attr-defined]


def test_every_error_of_the_core_is_exported() -> None:
    errors = import_module("pipectl.core.errors")
    kinds = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.PipeError)
    }
    assert kinds == {name for name in pipectl.__all__ if name.endswith("Error")}


@ON_WINDOWS
@pytest.mark.parametrize("name", pipectl.__all__)
def test_every_name_is_there(name: str) -> None:
    assert name in dir(pipectl)
    value = getattr(pipectl, name)
    assert getattr(value, "__doc__", None)


def test_the_page_has_eight_programs() -> None:
    assert len(PROGRAMS) == 8


@ON_WINDOWS
@pytest.mark.parametrize(("program", "printed"), PROGRAMS, ids=NAMES)
def test_a_program_of_the_page_prints_what_the_page_says(program: str, printed: str) -> None:
    done = python(program)
    assert (done.stdout, done.stderr) == (printed, "")

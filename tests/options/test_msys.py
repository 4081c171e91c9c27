"""In Git Bash, pipectl says which arguments the shell has changed before any program could see them."""

import pytest

from pipectl.options import payload
from tests.runner import Pipectl

GIT = r"C:\Program Files\Git"


@pytest.fixture(params=[("EXEPATH", GIT), ("EXEPATH", rf"{GIT}\bin"), ("SHELL", rf"{GIT}\usr\bin\bash.exe")], ids=str)
def in_git_bash(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what Git Bash sets for programs of Windows."""
    for name in ("EXEPATH", "SHELL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MSYSTEM", "MINGW64")
    monkeypatch.setenv(*request.param)


@pytest.mark.usefixtures("in_git_bash")
@pytest.mark.parametrize(
    ("line", "written"),
    [
        (("call", "svc", "C:/Program Files/Git/status"), "/status"),
        (("call", "svc", "c:/program files/git/usr"), "/usr"),
        (("popen", "--", "no-such-program", "R:/"), "/r"),
        (("transact", "svc", "one", "C:/Program Files/Git/two"), "/two"),
    ],
    ids=str,
)
def test_an_argument_that_the_shell_has_changed_is_told(pipectl: Pipectl, line: tuple[str, ...], written: str) -> None:
    told = pipectl(*line).stderr.splitlines()
    assert [text for text in told if "MSYS2_ARG_CONV_EXCL" in text] == told[:1]
    assert f"`{written}` to `{line[-1]}`: write `/{written}`" in told[0]
    assert "MSYS2_ARG_CONV_EXCL" not in pipectl(line[0], "-q", *line[1:]).stderr


@pytest.mark.usefixtures("in_git_bash")
@pytest.mark.parametrize(
    "line",
    [
        ("call", "svc", "ping"),
        ("call", "svc", "C:/Program Files/Git"),
        ("call", "svc", "C:/Program Files/Gitea/x"),
        ("call", "svc", "--data-file", "C:/Program Files/Git/no-such-file"),
    ],
    ids=str,
)
def test_nothing_is_said_of_other_arguments(
    pipectl: Pipectl, line: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "file_content", lambda *_arguments: b"ping")
    assert "MSYS2" not in pipectl(*line).stderr


def test_nothing_is_said_in_other_shells(pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSYSTEM", raising=False)
    monkeypatch.setenv("EXEPATH", GIT)
    assert "MSYS2" not in pipectl("call", "svc", "C:/Program Files/Git/status").stderr

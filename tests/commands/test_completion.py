"""Shell completion: what the shells' scripts get from pipectl."""

import os
import time

import pytest

from pipectl.core.errors import UnsupportedError
from pipectl.core.inventory import bounded, directory
from pipectl.core.models import PipeEntry
from pipectl.core.win32.calls import create_named_pipe
from pipectl.options.types import PIPE
from tests.core.inventory.test_walk import SilentPipe
from tests.runner import Pipectl


def _complete(pipectl_process: Pipectl, *words: str, shell: str = "bash") -> list[list[str]]:
    """Give the fields of each line that a shell's script gets for the words up to the cursor."""
    result = pipectl_process(
        env={**os.environ, "_PIPECTL_COMPLETE": f"{shell}_complete", "_PIPECTL_WORDS": "\n".join(words)}
    )
    assert (result.exit_code, result.stderr) == (0, "")
    return [line.split("\t") for line in result.text.splitlines() if line]


@pytest.mark.parametrize("shell", ["powershell", "bash", "zsh"])
def test_each_shell_has_its_script(pipectl_process: Pipectl, shell: str) -> None:
    result = pipectl_process(env={**os.environ, "_PIPECTL_COMPLETE": f"{shell}_source"})
    assert result.exit_code == 0
    assert f"{shell}_complete" in result.text


def test_commands_options_and_their_values_are_completed(pipectl_process: Pipectl) -> None:
    for words, completed in (
        (["cl"], "client-pid"),
        (["call", "--ti"], "--timeout"),
        (["call", "--as", "ba"], "base64"),
    ):
        (found,) = _complete(pipectl_process, "pipectl", *words)
        assert found[:3] == ["plain", completed, completed]
        assert found[3]


def test_names_of_pipes_are_completed_from_the_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [PipeEntry("svc", 1, None), PipeEntry("svc-log", 1, 1), PipeEntry("other", 1, 1)]
    monkeypatch.setattr(directory, "list_pipes", lambda: entries)
    assert [item.value for item in PIPE.shell_complete(None, None, "sv")] == ["svc", "svc-log"]  # type: ignore[arg-type]


def test_where_the_directory_cannot_be_read_names_are_completed_from_handles_in_time(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise UnsupportedError("no")

    monkeypatch.setattr(directory, "list_pipes", refuse)
    bare = pipe_name.removeprefix("\\\\.\\pipe\\")
    with create_named_pipe(pipe_name):
        assert directory.names_beginning(bare.upper()[:-4]) == [bare]
        monkeypatch.setattr(bounded, "FIRST_PATIENCE", 5)
        begun = time.perf_counter()
        with SilentPipe(pipe_name):
            directory.names_beginning(bare)
            assert time.perf_counter() - begun < 0.5  # 0.3, and a machine that is busy


def test_where_pipes_cannot_be_listed_nothing_is_completed_or_said(pipectl_process: Pipectl) -> None:
    assert _complete(pipectl_process, "pipectl", "call", "zz-no-such-pipe") == []

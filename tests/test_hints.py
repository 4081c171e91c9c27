"""Hints, by the function that failed and its error code."""

import re

import pytest

from pipectl.core.checks.doctor_model import Cause
from pipectl.core.errors import error_for
from pipectl.core.names import full_name
from pipectl.hints import fix_for, hint_for, pasteable


@pytest.mark.parametrize(
    ("function", "code", "word"),
    [
        ("CallNamedPipeW", 87, "--native"),
        ("CallNamedPipeW", 230, "--native"),
        ("CreateFileW", 123, "up to a backslash"),
        ("CreateNamedPipeW", 123, "up to a backslash"),
        ("CreateNamedPipeW", 5, "client"),
        ("WaitNamedPipeW", 161, "only wait for"),
        ("ReadFile", 232, "yet"),
        ("WriteFile", 232, "closed"),
    ],
)
def test_the_same_code_is_advised_on_by_the_call(function: str, code: int, word: str) -> None:
    assert word in (hint_for(error_for(code, "it failed", function, r"\\.\pipe\svc")) or "")


@pytest.mark.parametrize(
    ("pipe", "pasted"),
    [
        (r"\\.\pipe\svc", "svc"),
        (r"\\.\pipe\a\b", "a/b"),
        (r"\\host\pipe\svc", "//host/pipe/svc"),
        (r"\\.\pipe\my pipe", '"my pipe"'),
        (r"\\.\pipe\MSSQL$SQLEXPRESS\sql\query", "'MSSQL$SQLEXPRESS/sql/query'"),
        (r"\\.\pipe\it's $5", "'it''s $5'"),
        (r"\\.\pipe\a;b", '"a;b"'),
        (r"\\?\pipe\a.", r'"\\?\pipe\a."'),
        (r"\\.\pipe\a\x1b", r'"\\.\pipe\a\x1b"'),
    ],
)
def test_a_name_in_a_hint_survives_every_shell_that_can_have_it(pipe: str, pasted: str) -> None:
    assert pasteable(pipe) == pasted
    assert full_name(pasted.strip("'\"").replace("''", "'")) == full_name(pipe)


@pytest.mark.parametrize("cause", Cause)
def test_what_is_to_be_tried_for_a_cause_has_a_command_with_its_names(cause: Cause) -> None:
    fix = fix_for(cause, r"\\.\pipe\a b", "77", code=1326)
    (command,) = re.findall("`([^`]+)`", fix)
    assert "{" not in fix
    assert "a b" not in command or '"a b"' in command


def test_what_another_computer_refuses_is_advised_on_by_its_code() -> None:
    assert "net use" in fix_for("remote", r"\\host\pipe\svc", code=1326)
    assert "--as network" in fix_for("remote", r"\\host\pipe\svc", code=5)


def test_access_that_is_denied_is_for_the_doctor() -> None:
    hint = hint_for(error_for(5, "denied", "CreateFileW", r"\\.\pipe\svc")) or ""
    assert "`pipectl doctor svc`" in hint


def test_a_pipe_of_another_computer_is_listed_there() -> None:
    assert "on that computer" in (hint_for(error_for(2, "not found", "CreateFileW", r"\\host\pipe\svc")) or "")
    assert "on that computer" not in (hint_for(error_for(2, "not found", "CreateFileW", r"\\.\pipe\svc")) or "")


def test_where_is_the_program_and_not_an_alias_of_powershell() -> None:
    hint = hint_for(error_for(2, "not found", "CreateProcessW", subject="no such program")) or ""
    assert '`where.exe "no such program"`' in hint

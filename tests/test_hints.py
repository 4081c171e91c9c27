"""What a person is advised to try, by the function that failed and its code."""

import pytest

from pipectl.core.errors import error_for
from pipectl.hints import hint_for


@pytest.mark.parametrize(
    ("function", "code", "word"),
    [
        ("CallNamedPipeW", 87, "--native"),
        ("CallNamedPipeW", 230, "--native"),
        ("CreateFileW", 123, "beginning"),
        ("CreateNamedPipeW", 123, "beginning"),
        ("CreateNamedPipeW", 5, "client"),
        ("WaitNamedPipeW", 161, "waits"),
        ("ReadFile", 232, "yet"),
        ("WriteFile", 232, "closed"),
    ],
)
def test_the_same_code_is_advised_on_by_the_call(function: str, code: int, word: str) -> None:
    assert word in (hint_for(error_for(code, "it failed", function, r"\\.\pipe\svc")) or "")

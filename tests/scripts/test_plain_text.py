"""Markdown becomes plain text for a terminal: what a reader of `pipectl help TOPIC` sees."""

import pytest

from plain_text import plain_text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<!-- By a script. -->\n# A title\n\nText.", "A TITLE\n\nText."),
        ("See [a page](other.md) and [a site](https://x.org).", "See a page and a site (https://x.org)."),
        ("- one\n  more\n- **two**", "- one more\n- two"),
        ("```sh\na\n\n  b\n```", "    a\n\n      b"),
        ("| a | b |\n| --- | ---: |\n| `x\\|y` | 1 |", "a      b\n`x|y`  1"),
    ],
)
def test_what_only_a_renderer_obeys_is_left_out(page: str, text: str) -> None:
    assert plain_text(page) == f"{text}\n"


def test_a_table_that_is_too_wide_becomes_a_list() -> None:
    long = "word " * 20
    lines = plain_text(f"| a | b |\n| --- | --- |\n| x | {long}|").splitlines()
    assert lines[:2] == ["x", f"    b: {long[:70].rstrip()}"]
    assert max(map(len, lines)) < 80

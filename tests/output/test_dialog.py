"""What `connect` shows on a terminal: received data, or what a codec makes of it, apart from what the user types."""

from io import StringIO
from types import SimpleNamespace
from typing import Any

from pipectl.output import Form, View
from pipectl.output.conversation import Dialog


def dialog() -> tuple[Dialog, StringIO]:
    written = StringIO()
    output: Any = SimpleNamespace(stream=written)
    return Dialog(output, View(Form.AUTO, "utf-8"), lambda: 2), written


def test_received_data_is_shown_line_by_line_above_the_prompt() -> None:
    shown, written = dialog()
    shown.prompt()
    shown.show(b"one\ntwo\n")
    assert written.getvalue() == "> \r< one\n< two\n> "


def test_what_a_codec_says_is_shown_in_place_of_the_data() -> None:
    shown, written = dialog()
    shown.show(b"\0\0\0\1\x06", "SUCCESS")
    assert (written.getvalue(), shown.last) == ("< SUCCESS\n", b"\0\0\0\1\x06")

"""Shows what a pipe sends, as it arrives: piece by piece for programs, or apart from what the user types."""

from collections.abc import Callable, Mapping
from datetime import datetime
from threading import Event, Lock
from typing import Any, Protocol

from . import Output, View
from .text import for_person

_PROMPT = "> "
# Seconds to wait for a reply before the next prompt; later data appears below the text that is being typed.
_MOMENT = 0.3


class Decoding(Protocol):
    """Shows the frames that it has found in received data."""

    def show_pieces(self, facts: Mapping[str, Any]) -> None:
        """Show the frames."""


class Messages:
    """Writes what a pipe sends, each piece with its number and time; `end` returns the text after it."""

    def __init__(
        self,
        output: Output,
        pipe: str,
        view: View,
        end: Callable[[bytes], bytes],
        decoder: Decoding | None = None,
    ) -> None:
        """If there is a `decoder`, it shows the pieces, which are frames."""
        self._output = output
        self._pipe = pipe
        self._view = view
        self._end = end
        self._decoder = decoder
        self._count = 0

    def show(self, data: bytes) -> None:
        """Write a piece."""
        self._count += 1
        time = datetime.now().astimezone().isoformat(timespec="milliseconds")
        facts = {"pipe": self._pipe, "message": self._count, "time": time}
        if self._decoder is not None:
            self._decoder.show_pieces(facts)
            return
        self._output.data.payload(data, self._view, facts, field="data", end=self._end(data))


class Dialog:
    """Shows received data on a terminal where the user types, with a prompt below it; for use from any thread."""

    def __init__(self, output: Output, view: View, column: Callable[[], int | None]) -> None:
        """`column` returns the column of the cursor, or None if it is unknown."""
        self._output = output
        self._view = view
        self._column = column
        self._lock = Lock()
        self._has_prompt = False
        self._data_arrived = Event()
        # The last received message.
        self.last = b""

    def show(self, data: bytes, text: str | None = None) -> None:
        """Show received data, or a text in its place, above the prompt; text being typed stays on the line above."""
        with self._lock:
            self.last = data
            lines = (for_person(data, *self._view) if text is None else text).split("\n")
            if len(lines) > 1 and not lines[-1]:
                del lines[-1]
            self._write("".join(f"< {line}\n" for line in lines))
        self._data_arrived.set()

    def expect_answer(self) -> None:
        """Prepare `await_answer`; call it before sending."""
        self._data_arrived.clear()

    def await_answer(self) -> None:
        """Wait briefly for a reply."""
        self._data_arrived.wait(_MOMENT)

    def note(self, text: str) -> None:
        """Show a text to the user."""
        with self._lock:
            self._write("".join(f"{line}\n" for line in text.splitlines()))

    def prompt(self) -> None:
        """Show the prompt."""
        with self._lock:
            self._has_prompt = True
            self._output.stream.write(_PROMPT)

    def take_prompt(self) -> None:
        """Record that there is no prompt: the user has typed the end of the line."""
        with self._lock:
            self._has_prompt = False

    def _write(self, text: str) -> None:
        if not self._has_prompt:
            self._output.stream.write(text)
            return
        # Over an empty prompt, or below the text typed so far.
        lead = "\r" if self._column() == len(_PROMPT) else "\n"
        self._output.stream.write(f"{lead}{text}{_PROMPT}")

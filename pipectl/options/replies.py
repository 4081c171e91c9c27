"""The fixed reply of `serve`: a text, or a file that is read again for each message."""

from collections.abc import Callable
from typing import Protocol

import click

from pipectl.core.errors import PipeError

from .payload import PayloadFormat, file_content

# The time limit in seconds for reading the file, which may be a pipe or on another computer.
_PATIENCE = 1.0


class Reply(Protocol):
    """The same reply to every message."""

    def current(self, warn: Callable[[str], object]) -> bytes:
        """Return the reply; calls `warn` with the reason if it may be out of date."""


class TextReply:
    """A reply that never changes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def current(self, warn: Callable[[str], object]) -> bytes:
        """Return the reply."""
        del warn
        return self._data


class FileReply:
    """The content of a file, in the format of the options; raises UsageError if the first read fails."""

    def __init__(self, path: str, written: PayloadFormat) -> None:
        self._path = path
        self._written = written
        self._last = written.convert(file_content(path))

    def current(self, warn: Callable[[str], object]) -> bytes:
        """Return the current content of the file, or the last known one if it cannot be read."""
        try:
            self._last = self._written.convert(file_content(self._path, _PATIENCE))
        except (click.UsageError, PipeError) as error:
            warn(f"sending the previous reply: {error}")
        return self._last

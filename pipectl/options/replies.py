"""The reply of `serve --reply-file`: what the file holds at each message, so that it can be changed meanwhile."""

from collections.abc import Callable
from typing import Protocol

import click

from pipectl.core.errors import PipeError

from .payload import PayloadFormat, file_content

# Seconds that a file, which may be a pipe or on another computer, has to give its content.
_PATIENCE = 1.0


class Reply(Protocol):
    """What a server answers, whatever it is asked."""

    def current(self, warn: Callable[[str], object]) -> bytes:
        """Return it; `warn` is told why it may be an old one."""


class TextReply:
    """A reply that stays the same."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def current(self, warn: Callable[[str], object]) -> bytes:
        """Return it."""
        del warn
        return self._data


class FileReply:
    """What a file holds, in the form that the options say; raises UsageError if it cannot be read at first."""

    def __init__(self, path: str, written: PayloadFormat) -> None:
        self._path = path
        self._written = written
        self._last = written.convert(file_content(path))

    def current(self, warn: Callable[[str], object]) -> bytes:
        """Return what the file holds now, or what it held last if that cannot be read."""
        try:
            self._last = self._written.convert(file_content(self._path, _PATIENCE))
        except (click.UsageError, PipeError) as error:
            warn(f"the last reply is sent again: {error}")
        return self._last

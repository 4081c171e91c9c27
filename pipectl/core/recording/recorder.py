"""`Recorder`: writes a recording to a file, with one write per line, and rotates files if a size limit is set."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePath
from typing import NamedTuple, Protocol

from pipectl.core.constants import parse_size
from pipectl.core.errors import PartialResultError

from .recording import Closed, Event, Header, Opened, event_line, header_line


class File(Protocol):
    """A file without a buffer, as `io.FileIO` is."""

    def write(self, data: bytes, /) -> int | None:
        """Write as much as fits, and return the number of bytes written."""

    def close(self) -> None:
        """Close it."""


# Creates a file that must not exist or, with True, opens a file to append to. Raises OSError.
OpenFile = Callable[[str, bool], File]


class RecordLimit(NamedTuple):
    """The maximum size of a file in bytes, after which the next file begins, and how many to keep (None = all)."""

    size: int
    files: int | None = None

    @classmethod
    def parse(cls, text: str) -> "RecordLimit":
        """Parse a limit such as `64m` or `64m:5`; raises ValueError."""
        size, colon, files = text.partition(":")
        if colon and not (files.isascii() and files.isdecimal() and 0 < int(files) < 1_000_000):
            raise ValueError(f"invalid number of files {files!r}: use SIZE:FILES, such as 64m:5")
        limit = cls(parse_size(size), int(files) if colon else None)
        if not limit.size:
            raise ValueError("a file of no bytes holds no recording")
        return limit


class Recorder:
    """Writes events to a file from its creation to `close`; raises PartialResultError if a line is cut."""

    def __init__(
        self, path: str, header: Header, open_file: OpenFile, *, appends: bool = False, limit: RecordLimit | None = None
    ) -> None:
        self._path = path
        self._header = header
        self._open_file = open_file
        self._limit = limit
        # The files of this recorder that are kept, and the number of the last.
        self._files = [path]
        self._number = 1
        self._size = 0
        self._has_events = False
        # The connected clients: the next file repeats their events.
        self._connected: dict[int, Opened] = {}
        self._file = open_file(path, appends)
        self._begin()

    def write(self, event: Event) -> None:
        """Write an event, to the next file if it would make this one too large."""
        line = event_line(event)
        if self._limit is not None and self._has_events and self._size + len(line) > self._limit.size:
            self._begin_next()
        match event:
            case Opened():
                self._connected[event.client] = event
            case Closed():
                self._connected.pop(event.client, None)
        self._write(line)
        self._has_events = True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _begin(self) -> None:
        self._size = 0
        self._has_events = False
        self._write(header_line(self._header))
        for opened in self._connected.values():
            self._write(event_line(opened))

    def _begin_next(self) -> None:
        self._file.close()
        path = PurePath(self._path)
        while True:
            self._number += 1
            name = str(path.with_name(f"{path.stem}.{self._number}{path.suffix}"))
            try:
                self._file = self._open_file(name, False)
            except FileExistsError:
                continue
            break
        self._files.append(name)
        if self._limit is not None and self._limit.files is not None and len(self._files) > self._limit.files:
            with suppress(OSError):
                os.remove(self._files.pop(0))  # noqa: PTH107 - its own file, by the name with which it was created
        self._begin()

    def _write(self, line: bytes) -> None:
        write_whole(self._file, line, self._files[-1])
        self._size += len(line)


def write_whole(file: File, data: bytes, path: str) -> None:
    """Write all data in one call; raises PartialResultError, with the path as its subject, if that fails."""
    try:
        is_whole = file.write(data) == len(data)
        reason = "there is no room for all that was to be written"
    except OSError as error:
        is_whole, reason = False, error.strerror or str(error)
    if not is_whole:
        raise PartialResultError(f"the file is cut off: {reason}", subject=path, topic="recording cut")

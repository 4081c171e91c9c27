"""The fixed reply of `serve`: a text, or a file that is read again for each message."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

import click

from pipectl.core.errors import PipeError

from .payload import PayloadFormat, file_content

if TYPE_CHECKING:
    from pipectl.core.pipe.client import Client

# The time limit in seconds for reading the file, which may be a pipe or on another computer.
_PATIENCE = 5.0

# Called with the reply, by any thread.
Send = Callable[[bytes], object]


class TextReply:
    """A reply that never changes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def deliver(self, client: "Client", send: Send) -> None:
        """Call `send` with the reply."""
        del client
        send(self.data)


class FileReply:
    """The content of a file, in the format of the options; raises UsageError if the first read fails.

    A thread reads the file, because a slow one would stop the server. A read that begins after several messages have
    arrived is the reply to all of them.
    """

    def __init__(self, path: str, written: PayloadFormat) -> None:
        from queue import SimpleQueue

        self._path = path
        self._written = written
        self._last = written.convert(file_content(path))
        self._waiting: SimpleQueue[tuple[Client, Send] | None] = SimpleQueue()

    @contextmanager
    def reading(self, warn: Callable[[str], object]) -> Iterator[None]:
        """Run the thread; it calls `warn` with the reason if a reply may be out of date."""
        Thread(target=self._run, args=(warn,), name="Reply file", daemon=True).start()
        try:
            yield
        finally:
            self._waiting.put(None)  # twice, because the thread can take one together with the last messages
            self._waiting.put(None)

    def deliver(self, client: "Client", send: Send) -> None:
        """Have the thread call `send` with the content that the file has from now on."""
        self._waiting.put((client, send))

    def _run(self, warn: Callable[[str], object]) -> None:
        while (first := self._waiting.get()) is not None:
            due = [first]
            while not self._waiting.empty() and (another := self._waiting.get()) is not None:
                due.append(another)
            try:
                reply = self._current(warn)
                for _, send in due:
                    send(reply)
            except BaseException as error:  # noqa: BLE001 - the server's `wait` raises it
                first[0].fail(error)

    def _current(self, warn: Callable[[str], object]) -> bytes:
        """Return the current content of the file, or the last known one if it cannot be read."""
        try:
            self._last = self._written.convert(file_content(self._path, _PATIENCE))
        except (click.UsageError, PipeError) as error:
            warn(f"sending the previous reply: {error}")
        return self._last


Reply = TextReply | FileReply

"""This process's stdin and stdout as an end of a relay; two threads read and write them, because that can block."""

import os
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread

from pipectl.core.constants import WinError
from pipectl.core.errors import PipeClosedError

from .ends import End, Ending, Shared

_STDIN, _STDOUT = 0, 1


class StdioEnd(End):
    """Reads this process's stdin, and writes to its stdout; the end of stdin ends one direction."""

    name = "stdio"
    ends_at_once = True

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._output: SimpleQueue[bytes | None] = SimpleQueue()
        self._is_reading = False
        # Daemons, because a read of stdin may block as long as the process runs.
        for function in (self._read_all, self._write_all):
            Thread(target=function, name="Relay stdio", daemon=True).start()

    def read(self) -> None:
        if not self._is_reading and not self.is_closed:
            self._is_reading = True
            self._wanted.put(True)

    def write(self, data: bytes) -> None:
        self._output.put(data)

    def signal_end(self) -> bool:
        """Return True: stdout ends when this process exits."""
        return True

    def close(self, *, reset: bool = False) -> None:  # noqa: ARG002
        if not self.is_closed:
            self.is_closed = True
            self._wanted.put(False)
            self._output.put(None)
            self.is_gone = True
            self.user.gone(self)

    # In the loop's thread

    def _unless_closed(self, what: Callable[[], None]) -> None:
        if not self.is_closed:
            what()

    def _received(self, data: bytes) -> None:
        self._is_reading = False
        if data:
            self.user.received(self, data)
        else:
            self.user.ended(self, Ending.FINISHED, None)

    def _refused(self, size: int) -> None:
        error = PipeClosedError("its reader has closed it", code=WinError.NO_DATA, subject="stdout")
        self.user.refused(self, size, error)

    # In threads of their own

    def _read_all(self) -> None:
        data = b"x"
        while data and self._wanted.get():
            try:
                data = os.read(_STDIN, self._limits.buffer_size)
            except OSError:  # no stdin, or its other end was closed
                data = b""
            self._loop.post(self._unless_closed, partial(self._received, data))

    def _write_all(self) -> None:
        while (data := self._output.get()) is not None:
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[os.write(_STDOUT, rest) :]
            except OSError:
                self._loop.post(self._unless_closed, partial(self._refused, len(rest)))
            else:
                self._loop.post(self._unless_closed, partial(self.user.written, self))

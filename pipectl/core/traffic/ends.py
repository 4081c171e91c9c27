"""The ends that a relay passes data between: of pipes, of sockets, of programs, and this process's own streams.

An end has at most one pending read and one pending write, and buffers only their data. It reports to its user the data
received, when it can be written to again, and how the other side has ended:

* `FINISHED`: the other side sends nothing more, but may still read, as after FIN.
* `CLOSED`: the other side has closed normally.
* `RESET`: the other side has closed and discarded unread data.

Not every end can signal a half-close. A socket sends FIN, and a program's stdin is closed. A pipe has no such signal;
on a message pipe, an empty message is one by convention (Docker, go-winio). It is written only after everything before
it was read, because a reader in byte mode does not see an empty message behind unread data.
"""

import ctypes
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pipectl.core.constants import (
    BUFFER_SIZE,
    LARGEST_WRITE,
    MAX_MESSAGE,
    STATUS_BUFFER_OVERFLOW,
    STATUS_END_OF_FILE,
    STATUS_SUCCESS,
    WinError,
)
from pipectl.core.deadline import Deadline
from pipectl.core.errors import MessageTooLongError, PipeClosedError, PipeError, PipeTimeoutError
from pipectl.core.pipe.flusher import Flusher
from pipectl.core.pipe.memory import Memory
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.handle import Handle

from .loop import BEGUN, Loop, Operation

if TYPE_CHECKING:
    from pipectl.core.children.piped import PipedProgram
    from pipectl.core.win32.winsock import Socket

# Seconds between two checks whether a program has exited.
_GLANCE = 0.02
# The errors after a normal close; other errors of a closed pipe mean that data was discarded.
_IN_ORDER = (WinError.BROKEN_PIPE, WinError.NO_DATA)


class Ending(Enum):
    """How the data from an end has ended."""

    FINISHED = "finished"
    CLOSED = "closed"
    RESET = "reset"


class Limits(NamedTuple):
    """How much an end may hold, in bytes, and how long it waits, in seconds."""

    buffer_size: int = BUFFER_SIZE
    max_message: int = MAX_MESSAGE
    # For the other side to read everything before the signal of an end, and for a program to exit after its end closed.
    timeout: float | None = 5.0
    linger: float = 1.0


class Shared(NamedTuple):
    """What all ends of a relay share."""

    loop: Loop
    limits: Limits
    memory: Memory
    flusher: Flusher


class User:
    """Receives the events of an end, as a session does. These methods do nothing."""

    def received(self, end: "End", data: bytes) -> None:
        """Data or a message was received; more follows only after another `End.read`."""

    def ended(self, end: "End", ending: Ending, error: PipeError | None) -> None:
        """Nothing more will be received; `error` is set if a read has failed, or if an error is why it was closed."""

    def written(self, end: "End") -> None:
        """The last write is complete; the next one can begin."""

    def refused(self, end: "End", lost: int, error: PipeError) -> None:
        """The other side accepts no more data; `lost` bytes of the last write were not delivered."""

    def gone(self, end: "End") -> None:
        """The end is closed, and none of its operations is pending."""


class End:
    """One end, which reports to `user`. Its methods are for the loop's thread."""

    is_message = False
    # Whether to read what the other side still sends before closing: closing with unread data would reset it.
    drains = False
    # Whether to close it as soon as the target has sent everything, even if it could still send.
    ends_at_once = False
    # Its name in errors and logs.
    name = ""
    # The handle that it reads from, if there is one.
    handle: Handle | None = None

    def __init__(self, shared: Shared) -> None:
        self.user = User()
        self.is_closed = False
        # Whether it is closed and none of its operations is pending.
        self.is_gone = False
        # Whether it last reported a long message, whose memory `release` gives back.
        self.is_long = False
        # A note for the log once it is gone, such as a program's exit code.
        self.remark = ""
        self._shared = shared
        self._loop = shared.loop
        self._limits = shared.limits

    def read(self) -> None:
        """Begin a read, unless one is pending."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Begin a write; call it only when the last write is complete."""
        raise NotImplementedError

    def signal_end(self) -> bool:
        """Signal the end of this direction to the other side; return whether that is possible.

        If it takes time, `is_writing` is True until `written` or `refused` is called.
        """
        return False

    @property
    def is_writing(self) -> bool:
        """Whether a write, or the signal of an end, is pending."""
        return False

    def release(self) -> None:
        """Give back the memory of a long message that was passed on."""

    def close(self, *, reset: bool = False) -> None:
        """Close it. The other side can still read what was written; `reset` discards that, where possible."""
        raise NotImplementedError

    def finish_closing(self) -> None:
        """Finish closing without waiting for the other side, because the loop ends."""


class PortEnd(End):
    """An end with one or two handles whose operations complete on the loop's port."""

    # Grows with the data received.
    first_buffer = 4096

    def __init__(self, shared: Shared, source: Handle, sink: Handle, *, is_message: bool = False) -> None:
        super().__init__(shared)
        self.handle: Handle = source
        self._sink = sink
        self.is_message = is_message
        self.name = source.name or ""
        self._reading = Operation(self._loop, self._read_ended)
        self._writing = Operation(self._loop, self._write_ended)
        self._write_succeeded = partial(self._write_ended, STATUS_SUCCESS, 0)
        self._parts: bytearray | None = None
        self._is_reading = False
        self._rest = memoryview(b"")
        self._under_way = 0
        self._gives_up = False
        write = self._writing.reference
        self._write_call = partial(winapi.NtWriteFile, sink.pointer, None, None, write, write)
        self._keep_buffer(min(self.first_buffer, self._limits.buffer_size))

    # Reading

    def read(self) -> None:
        if self._is_reading or self.is_closed:
            return
        status = self._read_call()
        if status in BEGUN:
            self._is_reading = True
            self._reading.begun(self._buffer, status)
        else:
            self._read_failed(status)

    def _read_ended(self, status: int, count: int) -> None:
        self._is_reading = False
        if self.is_closed:
            self._close_when_idle()
        elif status == STATUS_SUCCESS:
            data = self._buffer[:count]
            if self._parts is not None:
                data = self._joined(data)
            elif count == self._size < self._limits.buffer_size:
                self._keep_buffer(min(count * 4, self._limits.buffer_size))
            if data or self.is_message:
                self.user.received(self, data)
            else:
                self._received_nothing()
        elif status == STATUS_BUFFER_OVERFLOW:
            self._read_on(count)
        else:
            self._read_failed(status)

    def _joined(self, rest: bytes) -> bytes:
        """Return a long message whose last part was read; `release` gives back its memory."""
        data = b"".join((self._parts or b"", rest))
        self._parts = None
        self.is_long = True
        self._keep_buffer(min(len(data), self._limits.buffer_size))
        return data

    def _received_nothing(self) -> None:
        """Handle a read of no bytes: on a byte pipe, the other side has written none."""
        self.read()

    def _read_failed(self, status: int) -> None:
        if status == STATUS_END_OF_FILE:
            self.user.ended(self, Ending.FINISHED, None)
            return
        error = winapi.native_error(status, winapi.NtReadFile, self.handle)
        assert isinstance(error, PipeError)
        self._end_by(error)

    def _end_by(self, error: PipeError) -> None:
        """Report the ending that an error means."""
        ending = self._ending_by(error) if isinstance(error, PipeClosedError) else Ending.RESET
        self.user.ended(self, ending, error if ending is Ending.RESET else self._why_closed())

    def _why_closed(self) -> PipeError | None:
        """Return the error that made the other side close, if there was one and it is known."""
        return None

    def _ending_by(self, error: PipeClosedError) -> Ending:
        return Ending.CLOSED if error.code in _IN_ORDER else Ending.RESET

    def _read_on(self, count: int) -> None:
        """Keep a part of a message, and read the rest once there is memory for it, unless it is too long."""
        if self._parts is None:
            self._parts = bytearray()
        self._parts += memoryview(self._buffer)[:count]
        left = self._left_in_message()
        size = len(self._parts) + left
        if size > self._limits.max_message:
            error = MessageTooLongError(
                f"a message of {size} bytes is longer than {self._limits.max_message}",
                pipe=self.name,
                topic="message size",
            )
            self.user.ended(self, Ending.RESET, error)
        elif left and self._shared.memory.take(self, size):
            self.go_on()

    def go_on(self) -> None:
        """Read the rest of a message, now that there is memory for it."""
        left = self._left_in_message()
        if left:
            self._keep_buffer(left)
            self.read()

    def _left_in_message(self) -> int:
        """Return how much of a message is unread; 0 if its writer was killed, because then the rest is lost."""
        try:
            return calls.peek_named_pipe(self.handle).left_in_message
        except PipeClosedError as error:
            self._end_by(error)
            return 0

    def _keep_buffer(self, size: int) -> None:
        # Any, because its slices are bytes, although the type hints say lists.
        self._buffer: Any = ctypes.create_string_buffer(size)
        self._size = size
        read = self._reading.reference
        self._read_call = partial(
            winapi.NtReadFile, self.handle.pointer, None, None, read, read, self._buffer, size, winapi.NO_OFFSET, None
        )

    # Writing

    def write(self, data: bytes) -> None:
        if len(data) > LARGEST_WRITE and not self.is_message:
            self._rest = memoryview(data)[LARGEST_WRITE:]
            data = data[:LARGEST_WRITE]
        status = self._write_call(data, len(data), winapi.NO_OFFSET, None)
        if status == STATUS_SUCCESS and self._writing.skips:  # the kernel has a copy
            self._loop.ready.append(self._write_succeeded)
        elif status in BEGUN:
            self._under_way = len(data)
            self._writing.begun(data, status)
        else:
            self._write_failed(status, len(data))

    def _write_ended(self, status: int, count: int) -> None:
        if self.is_closed:
            self._close_when_idle()
        elif status != STATUS_SUCCESS:
            self._write_failed(status, self._under_way - count)
        elif self._rest:
            rest, self._rest = bytes(self._rest), memoryview(b"")
            self.write(rest)
        else:
            self.user.written(self)

    def _write_failed(self, status: int, size: int) -> None:
        lost, self._rest = size + len(self._rest), memoryview(b"")
        error = winapi.native_error(status, winapi.NtWriteFile, self._sink)
        assert isinstance(error, PipeError)
        self.user.refused(self, lost, error)

    @property
    def is_writing(self) -> bool:
        return self._writing.is_pending

    def release(self) -> None:
        self.is_long = False
        self._shared.memory.give_back(self)

    # Ending

    def close(self, *, reset: bool = False) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._shared.memory.give_back(self)
        self._parts = None
        self._reading.cancel(self.handle)
        self._writing.cancel(self._sink)
        if reset:
            with suppress(PipeError):  # nothing is left to discard
                self._discard_unread()
        self._close_when_idle()

    def _discard_unread(self) -> None:
        """Discard what the other side has not read."""

    @property
    def _is_idle(self) -> bool:
        return not (self._is_reading or self._writing.is_pending)

    def _close_when_idle(self) -> None:
        if self.is_closed and self._is_idle and not self._gives_up:
            self._gives_up = True
            self._give_up()

    def _give_up(self) -> None:
        self.handle.close()
        self._sink.close()
        self._report_gone()

    def _report_gone(self) -> None:
        self.is_gone = True
        self.user.gone(self)


class PipeEnd(PortEnd):
    """An end of a named pipe; a message pipe's handle is in message read mode."""

    def __init__(self, shared: Shared, handle: Handle, *, is_message: bool, is_server: bool) -> None:
        super().__init__(shared, handle, handle, is_message=is_message)
        self._reading.skips = self._writing.skips = self._loop.skip_packets(handle)
        self._is_server = is_server
        self._is_flushing = False

    def signal_end(self) -> bool:
        """Write an empty message once everything before it is read; return False on a byte pipe."""
        if not self.is_message:
            return False
        self._is_flushing = True
        done = partial(self._loop.post, self._flushed)
        self._shared.flusher.flush(self.handle, Deadline(self._limits.timeout), done)
        return True

    def _flushed(self, is_taken: bool) -> None:
        self._is_flushing = False
        if self.is_closed:
            self._close_when_idle()
        elif is_taken:
            self.write(b"")
        else:
            error = PipeTimeoutError(
                "did not read what stands before an end", code=WinError.TIMEOUT, function="FlushFileBuffers"
            )
            self.user.refused(self, 0, error)

    @property
    def is_writing(self) -> bool:
        return self._is_flushing or super().is_writing

    def finish_closing(self) -> None:
        self._close_when_idle()

    @property
    def _is_idle(self) -> bool:
        # When the loop ends, `_flushed` is not called any more; a pending flush fails once the handle is closed.
        return super()._is_idle and (self._loop.is_stopping or not self._is_flushing)

    def _discard_unread(self) -> None:
        if self._is_server:
            winapi.DisconnectNamedPipe(self.handle)


class SocketEnd(PortEnd):
    """An end of a TCP connection."""

    handle: "Socket"
    drains = True
    # Large from the start, because each read becomes one message on a message pipe.
    first_buffer = BUFFER_SIZE

    def __init__(self, shared: Shared, socket: "Socket") -> None:
        super().__init__(shared, socket, socket)

    def _received_nothing(self) -> None:
        self.user.ended(self, Ending.FINISHED, None)

    def _ending_by(self, error: PipeClosedError) -> Ending:  # noqa: ARG002
        return Ending.RESET

    def signal_end(self) -> bool:
        """Send FIN."""
        try:
            self.handle.end_sending()
        except PipeError as error:
            self.user.refused(self, 0, error)
        return True

    def _discard_unread(self) -> None:
        self.handle.reset()


class ProgramEnd(PortEnd):
    """The stdin and stdout of a program, which has `linger` to exit after its end was closed."""

    drains = True
    first_buffer = BUFFER_SIZE

    def __init__(self, shared: Shared, program: "PipedProgram") -> None:
        super().__init__(shared, program.stdout, program.stdin)
        self._program = program
        self._patience = Deadline(None)
        self.name = program.name

    def _ending_by(self, error: PipeClosedError) -> Ending:  # noqa: ARG002
        """Return FINISHED: a program that has closed its stdout may still run; `_watch` reports its exit."""
        self._watch()
        return Ending.FINISHED

    def _watch(self) -> None:
        if self.is_closed:
            return
        if self._program.exit_code is None:
            self._loop.after(_GLANCE, self._watch)
        else:
            self._loop.post(self._report_exit)

    def _report_exit(self) -> None:
        if not self.is_closed:
            self.user.ended(self, Ending.CLOSED, None)

    def signal_end(self) -> bool:
        """Close its stdin."""
        self._sink.close()
        return True

    def close(self, *, reset: bool = False) -> None:
        self._patience = Deadline(0 if reset else self._limits.linger)
        super().close(reset=reset)

    def _give_up(self) -> None:
        self._sink.close()
        self._await_end()

    def finish_closing(self) -> None:
        if self._gives_up and not self.is_gone:
            self._await_end()

    def _await_end(self) -> None:
        """Let the program exit by itself until the time limit, then end it; its further output is discarded."""
        if self.is_gone:
            return
        code = self._program.exit_code
        if code is None and not self._patience.passed and not self._loop.is_stopping:
            self._loop.after(_GLANCE, self._await_end)
            return
        self.remark = "was ended" if code is None else f"ended with exit code {code}"
        self._program.close()
        self._report_gone()

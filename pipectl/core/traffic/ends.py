"""The ends that a relay passes data between: of pipes, of sockets, of programs, and this process's own streams.

An end has at most one read and one write under way, and holds no more than what these were given. It tells its user
what came, when it may be written to again, and how the other side has ended:

* `FINISHED`: nothing more comes, and the other side may still listen, as after FIN.
* `CLOSED`: the other side has gone, in order.
* `RESET`: it has gone, and has thrown away what it had not read.

Microsoft's ends differ in what they can say themselves. A socket and a program's stdin have an end of their own. A pipe
has none; on a message pipe a message of no bytes is taken for one by convention (Docker, go-winio). It is written after
everything before it was read, because a reader in byte mode does not see one that stands behind unread data.
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

# Between two looks at whether a program has ended, in seconds.
_GLANCE = 0.02
# How the other end of a pipe closes; other errors of a closed end mean that it has thrown something away.
_IN_ORDER = (WinError.BROKEN_PIPE, WinError.NO_DATA)


class Ending(Enum):
    """How what comes from an end has ended."""

    FINISHED = "finished"
    CLOSED = "closed"
    RESET = "reset"


class Limits(NamedTuple):
    """How much an end may hold, in bytes, and how long it waits, in seconds."""

    buffer_size: int = BUFFER_SIZE
    max_message: int = MAX_MESSAGE
    # For the other side to take what stands before an end that is told, or to do what it does after one.
    timeout: float | None = 5.0
    linger: float = 1.0


class Shared(NamedTuple):
    """What all ends of a relay have in common."""

    loop: Loop
    limits: Limits
    memory: Memory
    flusher: Flusher


class User:
    """What an end tells: its session is one. These do nothing."""

    def received(self, end: "End", data: bytes) -> None:
        """Data, or a message, has come; the next comes after another `End.read`."""

    def ended(self, end: "End", ending: Ending, error: PipeError | None) -> None:
        """Nothing more comes; with an error, because the end could not be read from."""

    def written(self, end: "End") -> None:
        """What was to be written is; the next may follow."""

    def refused(self, end: "End", lost: int, error: PipeError) -> None:
        """The other side takes nothing more, and some bytes of what was to be written are lost."""

    def gone(self, end: "End") -> None:
        """The end is closed, and everything about it has ended."""


class End:
    """One end; `user` is told what happens. Its methods are for the loop's thread."""

    is_message = False
    # Whether its other side is to be let say its last when the session is over: what closes too early resets it.
    drains = False
    # Whether it is closed when the target has sent everything, whatever it may still have to say itself.
    ends_at_once = False
    # What errors and logs call it.
    name = ""
    # What the system knows it by, if it is one thing.
    handle: Handle | None = None

    def __init__(self, shared: Shared) -> None:
        self.user = User()
        self.is_closed = False
        # Closed, and everything about it has ended.
        self.is_gone = False
        # Whether what it has told last was a long message, whose memory is to be given back.
        self.is_long = False
        # What is worth a word once it is gone, such as a program's exit code.
        self.remark = ""
        self._shared = shared
        self._loop = shared.loop
        self._limits = shared.limits

    def read(self) -> None:
        """Begin to read, unless that is under way."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Begin to write; not before the last write has ended."""
        raise NotImplementedError

    def say_end(self) -> bool:
        """Tell the other side that nothing more comes, and return whether it can be told.

        `written` or `refused` follows where that takes time, and `is_writing` meanwhile.
        """
        return False

    @property
    def is_writing(self) -> bool:
        """Whether something is on its way to the other side."""
        return False

    def release(self) -> None:
        """Give back the memory of a long message, which was passed on."""

    def close(self, *, reset: bool = False) -> None:
        """Close it, and leave to the other side what was written, or with `reset` throw that away, if it can be."""
        raise NotImplementedError

    def hurry(self) -> None:
        """Be gone, once closed, without waiting for anybody: the loop ends."""


class PortEnd(End):
    """An end whose data moves by the loop's port, which watches its one or two handles."""

    # Grows with what comes.
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
        """Return a long message whose last part has come; its memory is given back by `release`."""
        data = b"".join((self._parts or b"", rest))
        self._parts = None
        self.is_long = True
        self._keep_buffer(min(len(data), self._limits.buffer_size))
        return data

    def _received_nothing(self) -> None:
        """Take a read of no bytes: on a byte pipe, somebody has written none."""
        self.read()

    def _read_failed(self, status: int) -> None:
        if status == STATUS_END_OF_FILE:
            self.user.ended(self, Ending.FINISHED, None)
            return
        error = winapi.native_error(status, winapi.NtReadFile, self.handle)
        assert isinstance(error, PipeError)
        self._end_by(error)

    def _end_by(self, error: PipeError) -> None:
        """Tell the end that an error means."""
        ending = self._ending_by(error) if isinstance(error, PipeClosedError) else Ending.RESET
        self.user.ended(self, ending, error if ending is Ending.RESET else None)

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
        """Read the rest of a message, for which there is memory now."""
        left = self._left_in_message()
        if left:
            self._keep_buffer(left)
            self.read()

    def _left_in_message(self) -> int:
        """Return how much of a message is unread; 0 if its writer was ended, and has taken the rest with it."""
        try:
            return calls.peek_named_pipe(self.handle).left_in_message
        except PipeClosedError as error:
            self._end_by(error)
            return 0

    def _keep_buffer(self, size: int) -> None:
        # Its slices are bytes, though its type hints say that they are lists.
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
            with suppress(PipeError):  # there is nothing to throw away any more
                self._throw_away()
        self._close_when_idle()

    def _throw_away(self) -> None:
        """Have the other side lose what it has not read."""

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
        self._tell_gone()

    def _tell_gone(self) -> None:
        self.is_gone = True
        self.user.gone(self)


class PipeEnd(PortEnd):
    """An end of a named pipe; a message pipe's handle is in message read mode."""

    def __init__(self, shared: Shared, handle: Handle, *, is_message: bool, is_server: bool) -> None:
        super().__init__(shared, handle, handle, is_message=is_message)
        self._reading.skips = self._writing.skips = self._loop.skip_packets(handle)
        self._is_server = is_server
        self._is_flushing = False

    def say_end(self) -> bool:
        """Write an empty message once all before it is read; a byte pipe cannot be told."""
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

    def hurry(self) -> None:
        self._close_when_idle()

    @property
    def _is_idle(self) -> bool:
        # After the end of the loop, `_flushed` is not called; a flush on a handle that is closed fails.
        return super()._is_idle and (self._loop.is_stopping or not self._is_flushing)

    def _throw_away(self) -> None:
        if self._is_server:
            winapi.DisconnectNamedPipe(self.handle)


class SocketEnd(PortEnd):
    """An end of a TCP connection."""

    handle: "Socket"
    drains = True
    # Large from the start: what goes to a message pipe is a message as it is read.
    first_buffer = BUFFER_SIZE

    def __init__(self, shared: Shared, socket: "Socket") -> None:
        super().__init__(shared, socket, socket)

    def _received_nothing(self) -> None:
        self.user.ended(self, Ending.FINISHED, None)

    def _ending_by(self, error: PipeClosedError) -> Ending:  # noqa: ARG002
        return Ending.RESET

    def say_end(self) -> bool:
        """Send FIN."""
        try:
            self.handle.end_sending()
        except PipeError as error:
            self.user.refused(self, 0, error)
        return True

    def _throw_away(self) -> None:
        self.handle.reset()


class ProgramEnd(PortEnd):
    """The stdin and stdout of a program, which ends with its end, at the latest after `linger`."""

    drains = True
    first_buffer = BUFFER_SIZE

    def __init__(self, shared: Shared, program: "PipedProgram") -> None:
        super().__init__(shared, program.stdout, program.stdin)
        self._program = program
        self._patience = Deadline(None)
        self.name = program.name

    def _ending_by(self, error: PipeClosedError) -> Ending:  # noqa: ARG002
        """A program that has closed its stdout may go on; `_watch` tells whether it has ended."""
        self._watch()
        return Ending.FINISHED

    def _watch(self) -> None:
        if self.is_closed:
            return
        if self._program.exit_code is None:
            self._loop.after(_GLANCE, self._watch)
        else:
            self._loop.post(self._tell_ended)

    def _tell_ended(self) -> None:
        if not self.is_closed:
            self.user.ended(self, Ending.CLOSED, None)

    def say_end(self) -> bool:
        """Close its stdin."""
        self._sink.close()
        return True

    def close(self, *, reset: bool = False) -> None:
        self._patience = Deadline(0 if reset else self._limits.linger)
        super().close(reset=reset)

    def _give_up(self) -> None:
        self._sink.close()
        self._await_end()

    def hurry(self) -> None:
        if self._gives_up and not self.is_gone:
            self._await_end()

    def _await_end(self) -> None:
        """Let the program end by itself, until its time is up; what it still writes is for nobody."""
        if self.is_gone:
            return
        code = self._program.exit_code
        if code is None and not self._patience.passed and not self._loop.is_stopping:
            self._loop.after(_GLANCE, self._await_end)
            return
        self.remark = "was ended" if code is None else f"ended with exit code {code}"
        self._program.close()
        self._tell_gone()

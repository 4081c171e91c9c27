"""Any order of operations on a pipe, against a model in memory and against pywin32 on a second pipe.

The model is two queues of messages. `Core` does what a rule says with `functions` and `Overlapped`, `Pywin32` does the
same on a pipe of its own; both must answer as the model does, and alike down to the error code. A second model holds
two `Connection`s to whole messages, and to the replies that rules cut out of a stream. At the end of each run the pipes
are read empty: every byte that was written is read, or went with a disconnect or a reader that closed.
"""

from collections import deque
from collections.abc import Callable
from ctypes import create_string_buffer
from functools import wraps
from typing import Any, Literal, NamedTuple, ParamSpec, Protocol
from uuid import uuid4

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pipectl.core.constants import STATUS_PENDING, OpenMode, PipeMode, WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import MessageTooLongError, PipeClosedError, PipeError, PipeTimeoutError
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.frames import Framing, Span
from pipectl.core.pipe.framing import parse
from pipectl.core.win32 import calls, queries, winapi
from pipectl.core.win32.calls import create_file, create_named_pipe
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.overlapped import Overlapped
from tests import pipes

from .conftest import Amount, Figure

pywintypes = pytest.importorskip("pywintypes", reason="needs pywin32")
import win32con  # noqa: E402
import win32file  # noqa: E402
import win32pipe  # noqa: E402

End = Literal["client", "server"]
_P = ParamSpec("_P")

BUFFER = 65536
# So much may wait in each direction that no write has to.
MOST_WAITING = 32768
# Nothing is waited for that is not there already.
PATIENCE = 2


class Outcome(NamedTuple):
    """What an operation gave: bytes, whether the message goes on, other numbers; or a code."""

    data: bytes = b""
    more: bool = False
    numbers: tuple[int, ...] = ()
    code: int = 0


# In the place of a code: nothing was there to be read, and the operation was taken back.
EMPTY = Outcome(code=-1)
_CLOSED = frozenset({WinError.BROKEN_PIPE, WinError.NO_DATA, WinError.PIPE_NOT_CONNECTED, WinError.BAD_PIPE})


def as_outcome(operation: Callable[_P, Outcome]) -> Callable[_P, Outcome]:
    """Have an operation give an outcome even if it fails, with pipectl or with pywin32."""

    @wraps(operation)
    def give(*arguments: _P.args, **options: _P.kwargs) -> Outcome:
        try:
            return operation(*arguments, **options)
        except PipeTimeoutError:
            return EMPTY
        except PipeError as error:
            return Outcome(code=error.code)
        except pywintypes.error as error:
            return EMPTY if error.winerror == WinError.OPERATION_ABORTED else Outcome(code=error.winerror)

    return give


class Ends(Protocol):
    """Both ends of a pipe, and what can be done with them."""

    def write(self, end: End, data: bytes) -> Outcome: ...
    def read(self, end: End, size: int) -> Outcome: ...
    def peek(self, end: End, size: int) -> Outcome: ...
    def set_mode(self, end: End, mode: PipeMode) -> Outcome: ...
    def state(self, end: End) -> Outcome: ...
    def start_transaction(self, data: bytes, size: int) -> Outcome: ...
    def end_transaction(self) -> Outcome: ...
    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def close(self, end: End) -> None: ...


class Core:
    """With pipectl's own functions."""

    def __init__(self, pipe: str, mode: PipeMode) -> None:
        self._pipe = pipe
        self._server = create_named_pipe(pipe, pipe_mode=mode)
        self.connect()

    def _handle(self, end: End) -> Handle:
        return self._client if end == "client" else self._server

    @as_outcome
    def write(self, end: End, data: bytes) -> Outcome:
        return Outcome(numbers=(pipes.write_file(self._handle(end), data, PATIENCE),))

    @as_outcome
    def read(self, end: End, size: int) -> Outcome:
        return Outcome(*pipes.read_file(self._handle(end), size, 0))

    @as_outcome
    def peek(self, end: End, size: int) -> Outcome:
        found = calls.peek_named_pipe(self._handle(end), size)
        return Outcome(found.data, numbers=(found.available, found.left_in_message))

    @as_outcome
    def set_mode(self, end: End, mode: PipeMode) -> Outcome:
        queries.set_named_pipe_handle_state(self._handle(end), mode)
        return Outcome()

    @as_outcome
    def state(self, end: End) -> Outcome:
        found = queries.get_named_pipe_handle_state(self._handle(end))
        return Outcome(numbers=(PipeMode.READ_MESSAGE if found.is_message_mode else 0, found.current_instances))

    @as_outcome
    def start_transaction(self, data: bytes, size: int) -> Outcome:
        self._buffer = create_string_buffer(size)
        self._transaction = Overlapped(self._client)
        try:
            self._transaction.start(winapi.TransactNamedPipe, data, len(data), self._buffer, size, None)
        except PipeError:
            self._transaction.close()
            raise
        return Outcome()

    def end_transaction(self) -> Outcome:
        with self._transaction:
            count, code = self._transaction.result(Deadline(PATIENCE))
        return Outcome(self._buffer.raw[:count], code == WinError.MORE_DATA)

    def connect(self) -> None:
        with Overlapped(self._server) as operation:
            operation.start(winapi.ConnectNamedPipe)
            self._client = create_file(self._pipe)
            operation.result(Deadline(PATIENCE))

    def disconnect(self) -> None:
        pipes.disconnect_named_pipe(self._server)

    def close(self, end: End) -> None:
        self._handle(end).close()


class Pywin32:
    """With pywin32, as its documentation tells to."""

    def __init__(self, pipe: str, mode: PipeMode) -> None:
        self._pipe = pipe
        self._server = win32pipe.CreateNamedPipe(
            pipe, int(OpenMode.DUPLEX | OpenMode.OVERLAPPED), int(mode), 255, BUFFER, BUFFER, 0, None
        )
        self._operations = {"client": self._operation(), "server": self._operation()}
        self.connect()

    @staticmethod
    def _operation() -> Any:
        import win32event

        operation = pywintypes.OVERLAPPED()
        operation.hEvent = win32event.CreateEvent(None, True, False, None)
        return operation

    def _handle(self, end: End) -> Any:
        return self._client if end == "client" else self._server

    @as_outcome
    def write(self, end: End, data: bytes) -> Outcome:
        win32file.WriteFile(self._handle(end), data, self._operations[end])
        return Outcome(numbers=(win32file.GetOverlappedResult(self._handle(end), self._operations[end], True),))

    @as_outcome
    def read(self, end: End, size: int) -> Outcome:
        handle, operation = self._handle(end), self._operations[end]
        code, memory = win32file.ReadFile(handle, win32file.AllocateReadBuffer(size), operation)
        if code == WinError.IO_PENDING:
            win32file.CancelIo(handle)
            win32file.GetOverlappedResult(handle, operation, True)  # raises OPERATION_ABORTED
        count = operation.InternalHigh if code else win32file.GetOverlappedResult(handle, operation, True)
        return Outcome(bytes(memory[:count]), code == WinError.MORE_DATA)

    @as_outcome
    def peek(self, end: End, size: int) -> Outcome:
        data, available, left = win32pipe.PeekNamedPipe(self._handle(end), size)
        return Outcome(data, numbers=(available, max(0, left)))  # on Wine, -4 on a byte pipe

    @as_outcome
    def set_mode(self, end: End, mode: PipeMode) -> Outcome:
        win32pipe.SetNamedPipeHandleState(self._handle(end), int(mode), None, None)
        return Outcome()

    @as_outcome
    def state(self, end: End) -> Outcome:
        return Outcome(numbers=win32pipe.GetNamedPipeHandleState(self._handle(end))[:2])

    @as_outcome
    def start_transaction(self, data: bytes, size: int) -> Outcome:
        operation = self._operations["client"]
        operation.Internal = STATUS_PENDING  # which Wine leaves to the caller
        memory = win32file.AllocateReadBuffer(size)
        _, self._memory = win32pipe.TransactNamedPipe(self._client, data, memory, operation)
        return Outcome()

    def end_transaction(self) -> Outcome:
        more = False
        operation = self._operations["client"]
        try:
            win32file.GetOverlappedResult(self._client, operation, True)
        except pywintypes.error as error:
            if error.winerror != WinError.MORE_DATA:
                raise
            more = True
        return Outcome(bytes(self._memory[: operation.InternalHigh]), more)

    def connect(self) -> None:
        access = win32con.GENERIC_READ | win32con.GENERIC_WRITE
        flags = win32con.FILE_FLAG_OVERLAPPED
        win32pipe.ConnectNamedPipe(self._server, self._operations["server"])
        self._client = win32file.CreateFile(self._pipe, access, 0, None, win32con.OPEN_EXISTING, flags, None)
        win32file.GetOverlappedResult(self._server, self._operations["server"], True)

    def disconnect(self) -> None:
        win32pipe.DisconnectNamedPipe(self._server)

    def close(self, end: End) -> None:
        self._handle(end).Close()


PEER: dict[End, End] = {"client": "server", "server": "client"}
ends = st.sampled_from(["client", "server"])
sizes = st.sampled_from([1, 2, 10, 100, 5000, BUFFER])
# Also some around the size of the first buffer of a Connection, and beyond.
lengths = st.sampled_from([1, 100, 4095, 4096, 4097, 5000, 20_000])
payloads = st.binary(max_size=20) | st.builds(lambda length, byte: bytes([byte]) * length, lengths, st.integers(0, 255))


class PipeMachine(RuleBasedStateMachine):
    """The model: a queue of messages for each reader, its mode, and what became of every byte."""

    steps = 0

    @initialize(is_message=st.booleans())
    def create(self, is_message: bool) -> None:
        self.is_message = is_message
        mode = PipeMode.MESSAGE if is_message else PipeMode.TYPE_BYTE
        self.both: list[Ends] = [kind(rf"\\.\pipe\pipectl-model-{uuid4().hex}", mode) for kind in (Core, Pywin32)]
        self.reads_messages: dict[End, bool] = {"client": False, "server": is_message}
        self.queues: dict[End, deque[bytes]] = {"client": deque(), "server": deque()}
        self.sent = self.received = self.dropped = 0
        self.has_client = self.is_connected = True

    def do(self, name: str, *arguments: Any) -> Outcome:
        """Do it with both; they must answer alike."""
        type(self).steps += 1
        core, pywin32 = (getattr(one, name)(*arguments) for one in self.both)
        assert core == pywin32
        return core or Outcome()

    def exists(self, end: End) -> bool:
        return end == "server" or self.has_client

    @rule(end=ends, data=payloads)
    def write(self, end: End, data: bytes) -> None:
        reader = PEER[end]
        if not self.exists(end) or sum(map(len, self.queues[reader])) + len(data) > MOST_WAITING:
            return
        if not data and not self.reads_messages[reader]:
            return  # a message of no bytes is none to who reads bytes
        outcome = self.do("write", end, data)
        if not self.is_connected:
            assert outcome.code in _CLOSED
            return
        assert outcome == Outcome(numbers=(len(data),))
        self.queues[reader].append(data)
        self.sent += len(data)

    @rule(end=ends, size=sizes)
    def read(self, end: End, size: int) -> None:
        if not self.exists(end):
            return
        outcome = self.do("read", end, size)
        if self.queues[end]:
            assert outcome == self.expected(end, size)
            self.received += len(outcome.data)
        elif self.is_connected:
            assert outcome == EMPTY
        else:
            assert outcome.code in _CLOSED

    def expected(self, end: End, size: int) -> Outcome:
        """Take what a read gives out of the queue."""
        queue = self.queues[end]
        if self.reads_messages[end]:
            message = queue.popleft()
            if len(message) > size:
                queue.appendleft(message[size:])
            return Outcome(message[:size], len(message) > size)
        data = b""
        while queue and len(data) < size:
            head = queue.popleft()
            rest = head[size - len(data) :]
            data += head[: len(head) - len(rest)]
            if rest:
                queue.appendleft(rest)
        return Outcome(data)

    @rule(end=ends, size=st.just(0) | sizes)
    def peek(self, end: End, size: int) -> None:
        if not self.exists(end):
            return
        outcome = self.do("peek", end, size)
        queue = self.queues[end]
        if not queue and not self.is_connected:
            assert outcome.code in _CLOSED
            return
        stream = b"".join(queue)
        assert outcome.code == 0
        assert outcome.numbers[0] == len(stream)
        assert stream.startswith(outcome.data)
        if self.is_message and self.reads_messages[end]:
            head = queue[0] if queue else b""
            assert outcome.data == head[:size]
            assert outcome.numbers[1] == len(head) - len(outcome.data)
        elif not self.is_message:
            assert (outcome.data, outcome.numbers[1]) == (stream[:size], 0)

    @rule(end=ends, reads_messages=st.booleans())
    def set_mode(self, end: End, reads_messages: bool) -> None:
        if not self.exists(end) or not self.is_connected or (not reads_messages and b"" in self.queues[end]):
            return
        outcome = self.do("set_mode", end, PipeMode.READ_MESSAGE if reads_messages else PipeMode.READ_BYTE)
        if reads_messages and not self.is_message:
            assert outcome.code == WinError.INVALID_PARAMETER
            return
        assert outcome == Outcome()
        self.reads_messages[end] = reads_messages

    @rule(end=ends)
    def ask_state(self, end: End) -> None:
        if self.exists(end) and self.is_connected:
            mode = PipeMode.READ_MESSAGE if self.reads_messages[end] else 0
            assert self.do("state", end).numbers == (mode, 1)

    @precondition(lambda self: self.has_client and self.is_connected)
    @rule(data=payloads, answer=payloads, size=sizes)
    def transact(self, data: bytes, answer: bytes, size: int) -> None:
        if not data and not self.reads_messages["server"]:
            return
        outcome = self.do("start_transaction", data, size)
        if not self.reads_messages["client"]:
            assert outcome.code == WinError.BAD_PIPE
            return
        if self.queues["client"]:
            assert outcome.code == WinError.PIPE_BUSY
            return
        assert outcome == Outcome()
        self.queues["server"].append(data)
        self.sent += len(data) + len(answer)
        while self.queues["server"]:
            self.read("server", BUFFER)
        assert self.do("write", "server", answer) == Outcome(numbers=(len(answer),))
        self.queues["client"].append(answer)
        outcome = self.do("end_transaction")
        assert outcome == self.expected("client", size)
        self.received += len(outcome.data)

    @precondition(lambda self: self.has_client)
    @rule()
    def close_client(self) -> None:
        """What waits for the client goes with it; what it has written stays."""
        self.do("close", "client")
        self.has_client = self.is_connected = False
        self.drop("client")

    @rule()
    def disconnect_and_connect(self) -> None:
        """A disconnect takes everything with it, and the server's mode stays."""
        self.do("disconnect")
        self.drop("client")
        self.drop("server")
        self.is_connected = False
        if self.has_client:
            for end in PEER:
                assert self.do("read", end, 10).code in _CLOSED
            self.do("close", "client")
        self.do("connect")
        self.has_client = self.is_connected = True
        self.reads_messages["client"] = False

    def drop(self, end: End) -> None:
        self.dropped += sum(map(len, self.queues[end]))
        self.queues[end].clear()

    def teardown(self) -> None:
        """Read both pipes empty: every byte is accounted for."""
        if not hasattr(self, "both"):
            return
        try:
            for end in PEER:
                while self.exists(end) and self.queues[end]:
                    self.read(end, BUFFER)
                self.read(end, 1)
            assert self.sent == self.received + self.dropped
        finally:
            for one in self.both:
                one.close("client")
                one.close("server")


class ConnectionMachine(RuleBasedStateMachine):
    """Two Connections to one another: whole messages, or a stream that rules cut into replies."""

    steps = 0

    @initialize(is_message=st.booleans())
    def create(self, is_message: bool) -> None:
        pipe = rf"\\.\pipe\pipectl-model-{uuid4().hex}"
        self.is_message = is_message
        mode = PipeMode.MESSAGE if is_message else PipeMode.TYPE_BYTE
        server = Connection(create_named_pipe(pipe, pipe_mode=mode), is_message=is_message)
        self.ends: dict[End, Connection] = {"server": server, "client": connect(pipe)}
        self.waiting: dict[End, list[bytes]] = {"client": [], "server": []}
        # What an end has read of messages for a stream, and not received yet.
        self.kept: dict[End, bytes] = {"client": b"", "server": b""}
        self.sent = self.received = 0

    @property
    def is_open(self) -> bool:
        return len(self.ends) == 2

    @precondition(lambda self: self.is_open)
    @rule(end=ends, several=st.lists(payloads, min_size=1, max_size=4))
    def send(self, end: End, several: list[bytes]) -> None:
        reader = PEER[end]
        for data in several:
            if len(self.stream(reader)) + len(data) <= MOST_WAITING and (data or self.is_message):
                self.ends[end].send(data, PATIENCE)
                self.waiting[reader].append(data)
                self.sent += len(data)
                type(self).steps += 1

    @rule(end=ends)
    def receive(self, end: End) -> None:
        if end not in self.ends:
            return
        type(self).steps += 1
        if not self.waiting[end] and not self.kept[end]:
            with pytest.raises(PipeTimeoutError if self.is_open else PipeClosedError):
                self.ends[end].receive(0)
            return
        data = self.ends[end].receive(PATIENCE)
        if self.kept[end]:
            assert data == self.kept[end]
            self.kept[end] = b""
            self.received += len(data)
            return
        self.take(end, data, self.waiting[end][0] if self.is_message else self.stream(end)[: max(1, len(data))])

    @precondition(lambda self: not self.is_message)
    @rule(end=ends, text=st.sampled_from(["line", "eof", "idle:0.01", "bytes:3", "u16le", "u16be"]))
    def receive_until(self, end: End, text: str) -> None:
        if end not in self.ends:
            return
        type(self).steps += 1
        until, stream = parse(text), self.stream(end)
        span = until.split(bytearray(stream))
        if (
            span is None
            and stream
            and (until.idle or (not self.is_open and until.is_whole_at_close(bytearray(stream))))
        ):
            span = Span(0, len(stream))
        elif span is None and not self.is_open and until.is_whole_at_close(bytearray()):
            span = Span(0, 0)
        if span is not None:
            data = self.ends[end].receive_until(until, PATIENCE).data
            self.take(end, stream[: span[0]] + data, stream[: span[1]])
            return
        too_long = (until.needed(bytearray(stream)) or 0) > self.ends[end].max_message
        expected = MessageTooLongError if too_long else PipeTimeoutError if self.is_open else PipeClosedError
        with pytest.raises(expected):
            self.ends[end].receive_until(until, 0.02)

    @precondition(lambda self: self.is_message)
    @rule(end=ends, text=st.sampled_from(["line", "eof", "idle:0.01", "bytes:3", "u16le", "u16be"]))
    def receive_joined(self, end: End, text: str) -> None:
        """Join messages, piece by piece as a Connection reads them, until the rule is met or nothing is there."""
        if end not in self.ends:
            return
        type(self).steps += 1
        connection, until = self.ends[end], parse(text)
        span, expected = self.join(end, until)
        if span is None:
            with pytest.raises(expected):
                connection.receive_until(until, 0.02)
            return
        data, kept = connection.receive_until(until, PATIENCE).data, self.kept[end]
        assert data == kept[slice(*span)]
        self.received += span.end
        self.kept[end] = kept[span.end :]

    def join(self, end: End, until: Framing) -> tuple[Span | None, type[PipeError]]:
        """Move messages to what is kept; return where in it the reply is, or the error that comes instead."""
        size = self.ends[end]._size
        while (span := until.split(bytearray(kept := self.kept[end]))) is None:
            if (until.needed(bytearray(kept)) or 0) > self.ends[end].max_message:
                return None, MessageTooLongError
            if not self.waiting[end]:
                break
            piece = self.waiting[end].pop(0)
            if not piece and until.ends_at_empty_message:
                return Span(0, len(kept)), PipeError
            self.kept[end] += piece[:size]
            if piece[size:]:
                self.waiting[end].insert(0, piece[size:])
        is_over = until.idle and kept if self.is_open else until.is_whole_at_close(bytearray(kept))
        if span is None and is_over:
            span = Span(0, len(kept))
        return span, PipeTimeoutError if self.is_open else PipeClosedError

    @rule(end=ends)
    def peek(self, end: End) -> None:
        if end in self.ends and self.is_open and self.is_message:
            found = self.ends[end].peek(10)
            head = self.waiting[end][0] if self.waiting[end] else b""
            assert (found.data, found.available) == (head[:10], len(self.stream(end)))

    @precondition(lambda self: self.is_open and self.received > MOST_WAITING)
    @rule(end=ends)
    def close(self, end: End) -> None:
        """What it has sent is still there for the other one."""
        self.sent -= len(self.kept[end] + self.stream(end))
        self.ends.pop(end).close()
        self.waiting[end], self.kept[end] = [], b""

    def stream(self, end: End) -> bytes:
        return b"".join(self.waiting[end])

    def take(self, end: End, data: bytes, expected: bytes) -> None:
        assert data == expected
        self.received += len(data)
        rest = self.stream(end)[len(data) :]
        self.waiting[end] = self.waiting[end][1:] if self.is_message else [rest] if rest else []

    def teardown(self) -> None:
        """Receive all that is left: every byte is accounted for."""
        if not hasattr(self, "ends"):
            return
        try:
            for end in list(self.ends):
                while self.waiting[end] or self.kept[end]:
                    self.receive(end)
                self.receive(end)
            assert self.sent == self.received
        finally:
            for one in self.ends.values():
                one.close()


@pytest.mark.parametrize("machine", [PipeMachine, ConnectionMachine])
def test_any_order_of_operations_is_as_the_model_says(
    machine: type[PipeMachine | ConnectionMachine], amount: Amount, figure: Figure
) -> None:
    machine.steps = 0
    run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(
            max_examples=amount(60, 3000),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
    figure(f"{machine.steps:,} operations")

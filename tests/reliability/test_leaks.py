"""Nothing is lost, however often anything is done: no handle, no Python object, no memory.

Each round uses several functions of `calls`, `queries` or `win32pipe`; a test sees to it that none is left out.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pipectl.core import win32pipe
from pipectl.core.constants import Nmpwait, OpenMode, PipeMode
from pipectl.core.deadline import Deadline
from pipectl.core.errors import (
    MessageTooLongError,
    PipeClosedError,
    PipeError,
    PipeNotFoundError,
    PipeTimeoutError,
    UnsupportedError,
)
from pipectl.core.pipe.exchanges import call_native
from pipectl.core.win32 import calls, queries, winapi
from pipectl.core.win32.handle import wait
from pipectl.core.win32.overlapped import Overlapped
from pipectl.core.win32pipe import functions
from tests import pipes

from .conftest import Amount
from .growth import assert_nothing_grows

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pipectl.core.win32.handle import Handle

pytestmark = pytest.mark.slow

Background = Callable[..., "Future[Any]"]
Round = Callable[["Scene"], object]

# More seconds than all rounds of a test take anywhere. An echo server that gives up earlier leaves an instance that
# listens and has nobody to answer, and CallNamedPipe waits for an answer without end.
_PATIENCE = 900

DUPLEX = win32pipe.PIPE_ACCESS_DUPLEX
ASYNC = win32pipe.FILE_FLAG_OVERLAPPED
MESSAGES = win32pipe.PIPE_TYPE_MESSAGE | win32pipe.PIPE_READMODE_MESSAGE
ACCESS = win32pipe.GENERIC_READ | win32pipe.GENERIC_WRITE
SDDL = "D:" + "(A;;FA;;;SY)" * 20


class Scene(NamedTuple):
    """A connected pipe, a client that is talking to an echo server, and the names of other pipes.

    `talking`, `server` and `client` are core's; the rest is the stand-in's, on the same pipe.
    """

    server: "Handle"
    client: "Handle"
    talking: "Handle"
    free: str
    listening: str
    echo: str
    win32_server: win32pipe.HANDLE
    win32_client: win32pipe.HANDLE
    ol: win32pipe.OVERLAPPED
    memory: memoryview


@pytest.fixture
def scene(pipe_name: str, background: Background) -> Iterator[Scene]:
    listening, echo, talk = (f"{pipe_name}-{what}" for what in ("listening", "echo", "talk"))
    with (
        calls.create_named_pipe(pipe_name) as server,
        calls.create_file(pipe_name) as client,
        calls.create_named_pipe(listening),
        calls.create_named_pipe(echo, max_instances=1) as echoing,
        calls.create_named_pipe(talk) as talking,
        calls.create_file(talk) as talker,
    ):
        for end in (client, talker):
            queries.set_named_pipe_handle_state(end, PipeMode.READ_MESSAGE)
        for end in (echoing, talking):
            background(echo_messages, end)
        ol = win32pipe.OVERLAPPED()
        ol.hEvent = win32pipe.CreateEvent(None, True, False, None)
        win32_server, win32_client = win32pipe.HANDLE(server), win32pipe.HANDLE(client)
        memory = win32pipe.AllocateReadBuffer(100)
        free = f"{pipe_name}-free"
        yield Scene(server, client, talker, free, listening, echo, win32_server, win32_client, ol, memory)
        win32_server.Detach()
        win32_client.Detach()
        call_native(echo, b"the end", 5)  # bounded: a server that is gone, or another's, would hold the whole run
        pipes.transact_named_pipe(talker, b"the end", 10, 5)


def echo_messages(pipe: "Handle") -> None:
    """Send each client's messages back to it, until one is the end."""
    message = b""
    while message != b"the end":
        try:
            pipes.connect_named_pipe(pipe, _PATIENCE)
            while message != b"the end":
                message, _ = pipes.read_file(pipe, 100, _PATIENCE)
                pipes.write_file(pipe, message, _PATIENCE)
        except PipeClosedError:  # it left
            pipes.disconnect_named_pipe(pipe)


# Rounds, and the functions that are in them


# Every second time something goes wrong.
OFTEN = cycle((True, False))

COVERED: dict[Round, tuple[str, ...]] = {}


def covers(*names: str) -> Callable[[Round], Round]:
    def note(round_: Round) -> Round:
        COVERED[round_] = names
        return round_

    return note


@covers("create_named_pipe", "create_file")
def a_connection(s: Scene) -> None:
    with calls.create_named_pipe(s.free) as server, calls.create_file(s.free):
        pipes.connect_named_pipe(server, 5)
        pipes.disconnect_named_pipe(server)


@covers("peek_named_pipe")
def messages(s: Scene) -> None:
    pipes.write_file(s.client, bytearray(b"message"))
    assert calls.peek_named_pipe(s.server, 10).data == b"message"
    assert pipes.read_file(s.server, 4, 5) == (b"mess", True)
    assert pipes.read_file(s.server, 4, 5) == (b"age", False)


@covers()
def an_operation_that_ends_and_one_that_is_left(s: Scene) -> None:
    buffer = ctypes.create_string_buffer(10)
    with Overlapped(s.server) as operation:
        operation.start(winapi.ReadFile, buffer, 10, None)
        pipes.write_file(s.client, b"message")
        assert operation.result(5) == (7, 0)
        operation.start(winapi.ReadFile, buffer, 10, None)
        assert pipes.cancel_io_ex(s.server)


@covers()
def a_read_that_times_out(s: Scene) -> None:
    with pytest.raises(PipeTimeoutError):
        pipes.read_file(s.server, 100, 0)


@covers()
def a_transaction(s: Scene) -> None:
    assert pipes.transact_named_pipe(s.talking, b"message", 10, 5) == (b"message", False)


@covers("call_named_pipe")
def a_call(s: Scene) -> None:
    if next(OFTEN):
        assert calls.call_named_pipe(s.echo, b"message", 10, 5) == b"message"
    else:
        with pytest.raises(MessageTooLongError):
            calls.call_named_pipe(s.echo, b"message", 3, 5)


@covers(
    "get_named_pipe_info", "get_named_pipe_handle_state", "set_named_pipe_handle_state", "get_local_info",
    "get_named_pipe_client_process_id", "get_named_pipe_server_process_id",
    "get_named_pipe_client_computer_name", "wait_named_pipe", "is_file", "is_pipe", "get_object_name",
    "get_handle_count",
)  # fmt: skip
def questions(s: Scene) -> None:
    queries.get_named_pipe_info(s.client)
    queries.get_named_pipe_handle_state(s.client)
    queries.set_named_pipe_handle_state(s.client, PipeMode.READ_MESSAGE)
    queries.get_local_info(s.server)
    queries.get_named_pipe_client_process_id(s.server)
    queries.get_named_pipe_server_process_id(s.client)
    with suppress(UnsupportedError):  # of Wine
        queries.get_named_pipe_client_computer_name(s.server)
    calls.wait_named_pipe(s.listening, Nmpwait.NOWAIT)
    assert queries.is_file(s.server.value)
    assert queries.is_pipe(s.server)
    assert queries.get_object_name(s.server)
    assert queries.get_handle_count(s.server)


@covers("create_pipe", "fd_create_pipe")
def anonymous_pipes(_s: Scene) -> None:
    for end in calls.create_pipe():
        end.close()
    for descriptor in calls.fd_create_pipe():
        os.close(descriptor)


@covers("create_event", "set_event")
def events(_s: Scene) -> None:
    with calls.create_event() as event:
        calls.set_event(event)
        assert wait(event, Deadline(5))


@covers("create_file", "create_named_pipe")
def failures(s: Scene) -> None:
    with pytest.raises(PipeNotFoundError):
        calls.create_file(s.free)
    with pytest.raises(PipeError):
        calls.create_named_pipe(s.echo, max_instances=1)


@covers()
def an_operation_whose_owner_is_forgotten(s: Scene) -> None:
    with calls.create_named_pipe(s.free, OpenMode.INBOUND | OpenMode.OVERLAPPED) as server:
        operation = Overlapped(server)
        operation.start(winapi.ConnectNamedPipe)
        del operation


@covers("CreateNamedPipe", "CreateFile", "CreateFileW", "ConnectNamedPipe", "DisconnectNamedPipe", "CloseHandle")
def win32_a_connection(s: Scene) -> None:
    server = win32pipe.CreateNamedPipe(s.free, DUPLEX, MESSAGES, 1, 512, 512, 0, win32pipe.SECURITY_ATTRIBUTES())
    client = win32pipe.CreateFile(s.free, ACCESS, 0, None, win32pipe.OPEN_EXISTING, 0, None)
    assert win32pipe.ConnectNamedPipe(server) == win32pipe.ERROR_PIPE_CONNECTED
    win32pipe.DisconnectNamedPipe(server)
    win32pipe.CloseHandle(server)
    del client


@covers("WriteFile", "PeekNamedPipe", "ReadFile", "GetOverlappedResult", "AllocateReadBuffer")
def win32_messages(s: Scene) -> None:
    win32pipe.WriteFile(s.win32_client, bytearray(b"message"), s.ol)
    assert win32pipe.PeekNamedPipe(s.win32_server, 10)[0] == b"message"
    assert win32pipe.ReadFile(s.win32_server, 4, s.ol)[0] == win32pipe.ERROR_MORE_DATA
    assert win32pipe.ReadFile(s.win32_server, win32pipe.AllocateReadBuffer(10), s.ol)[0] == 0
    assert win32pipe.GetOverlappedResult(s.win32_server, s.ol, True) == 3


@covers("CreatePipe", "ReadFile", "WriteFile", "FlushFileBuffers", "GetFileType")
def win32_messages_without_overlapped(_s: Scene) -> None:
    read, write = win32pipe.CreatePipe(None, 0)
    win32pipe.WriteFile(write, b"message")
    assert win32pipe.ReadFile(read, 4096) == (0, b"message")
    win32pipe.FlushFileBuffers(write)
    win32pipe.GetFileType(read)


@covers("CancelIo")
def win32_an_operation_that_is_cancelled(s: Scene) -> None:
    assert win32pipe.ReadFile(s.win32_server, s.memory, s.ol)[0] == win32pipe.ERROR_IO_PENDING
    win32pipe.CancelIo(s.win32_server)
    with pytest.raises(win32pipe.error):
        win32pipe.GetOverlappedResult(s.win32_server, s.ol, True)


@covers("ReadFile")
def win32_an_operation_whose_overlapped_is_forgotten(s: Scene) -> None:
    ol = win32pipe.OVERLAPPED()
    assert win32pipe.ReadFile(s.win32_server, 4096, ol)[0] == win32pipe.ERROR_IO_PENDING
    del ol
    win32pipe.WriteFile(s.win32_client, b"message", s.ol)


@covers("TransactNamedPipe")
def win32_a_transaction(s: Scene) -> None:
    win32pipe.TransactNamedPipe(s.talking, b"message", s.memory, s.ol)
    assert win32pipe.GetOverlappedResult(s.talking, s.ol, True) == 7


@covers("CallNamedPipe")
def win32_a_call(s: Scene) -> None:
    if next(OFTEN):
        assert win32pipe.CallNamedPipe(s.echo, b"message", 10, 5000) == b"message"
    else:
        with pytest.raises(win32pipe.error):
            win32pipe.CallNamedPipe(s.echo, b"message", 3, 5000)


@covers(
    "GetNamedPipeInfo", "GetNamedPipeHandleState", "SetNamedPipeHandleState", "GetNamedPipeClientProcessId",
    "GetNamedPipeServerProcessId", "GetNamedPipeClientSessionId", "GetNamedPipeServerSessionId", "WaitNamedPipe",
)  # fmt: skip
def win32_questions(s: Scene) -> None:
    win32pipe.GetNamedPipeInfo(s.win32_client)
    win32pipe.GetNamedPipeHandleState(s.win32_client)
    win32pipe.SetNamedPipeHandleState(s.win32_client, win32pipe.PIPE_READMODE_MESSAGE, None, None)
    win32pipe.GetNamedPipeClientProcessId(s.win32_server)
    win32pipe.GetNamedPipeServerProcessId(s.win32_client)
    win32pipe.GetNamedPipeClientSessionId(s.win32_server)
    win32pipe.GetNamedPipeServerSessionId(s.win32_client)
    win32pipe.WaitNamedPipe(s.listening, win32pipe.NMPWAIT_NOWAIT)


@covers("ImpersonateNamedPipeClient", "RevertToSelf")
def win32_impersonation(s: Scene) -> None:
    win32pipe.WriteFile(s.win32_client, b"message", s.ol)
    win32pipe.ReadFile(s.win32_server, 10, s.ol)
    win32pipe.ImpersonateNamedPipeClient(s.win32_server)
    win32pipe.RevertToSelf()


@covers("FdCreatePipe")
def win32_descriptors(_s: Scene) -> None:
    for descriptor in win32pipe.FdCreatePipe(None, 0, os.O_BINARY):
        os.close(descriptor)


@covers("CreateEvent", "SetEvent", "ResetEvent", "WaitForSingleObject", "WaitForMultipleObjects")
def win32_events(_s: Scene) -> None:
    event = win32pipe.CreateEvent(None, True, False, None)
    win32pipe.SetEvent(event)
    assert win32pipe.WaitForMultipleObjects([event], True, 0) == win32pipe.WAIT_OBJECT_0
    win32pipe.ResetEvent(event)
    assert win32pipe.WaitForSingleObject(event, 0) == win32pipe.WAIT_TIMEOUT


@covers("ConvertStringSecurityDescriptorToSecurityDescriptor")
def win32_security(_s: Scene) -> None:
    sa = win32pipe.SECURITY_ATTRIBUTES()
    sa.SetSecurityDescriptorDacl(1, None, 0)
    sa.SECURITY_DESCRIPTOR = win32pipe.ConvertStringSecurityDescriptorToSecurityDescriptor(SDDL, 1)


@covers("CreateFile", "WaitNamedPipe", "ReadFile")
def win32_failures(s: Scene) -> None:
    with pytest.raises(win32pipe.error):
        win32pipe.CreateFile(s.free, ACCESS, 0, None, win32pipe.OPEN_EXISTING, 0, None)
    with pytest.raises(win32pipe.error):
        win32pipe.WaitNamedPipe(s.free, 1)
    with pytest.raises(win32pipe.error):
        win32pipe.ReadFile(None, 10, s.ol)


@pytest.mark.parametrize("round_", COVERED, ids=lambda round_: round_.__name__)
def test_nothing_grows(round_: Round, scene: Scene, handle_count: Callable[[], int], amount: Amount) -> None:
    rounds = amount(500, 10_000)
    assert_nothing_grows(lambda: round_(scene), handle_count, rounds, most_blocks=max(100, rounds // 20))


@pytest.mark.parametrize("module", [calls, queries, functions], ids=lambda module: module.__name__)
def test_no_function_is_left_out(module: ModuleType) -> None:
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__
        if name in getattr(module, "__all__", [name])
    }
    assert public
    assert public <= {name for names in COVERED.values() for name in names}

"""The rules of tests/nt/layer.py, and what pipectl does under each; on Windows, which has the rules, both hold too."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import byref, c_int64
from typing import Any

import pytest

from pipectl.core.children.files import popen
from pipectl.core.constants import BUFFER_SIZE, Condition, OpenMode, PipeMode, WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import (
    ConnectionUnusableError,
    InvalidPipeNameError,
    PeerMismatchError,
    PipeAccessError,
    PipeClosedError,
    PipeError,
    PipeTimeoutError,
)
from pipectl.core.inventory.directory import did_you_mean, list_pipes
from pipectl.core.inventory.peers import Expected, server_of
from pipectl.core.inventory.processes import describe
from pipectl.core.models import PipeEntry
from pipectl.core.pipe.availability import Availability, probe, wait_for
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig, StopAfter
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.pipe.framing import Count, Line
from pipectl.core.pipe.server import PipeServer
from pipectl.core.security import descriptors
from pipectl.core.security.accounts import account_name, current_user_sid
from pipectl.core.win32 import blocking, winapi
from pipectl.core.win32.blocking import run_blocking
from pipectl.core.win32.calls import create_event, create_file, create_named_pipe, wait_named_pipe
from pipectl.core.win32.files import read_whole
from pipectl.core.win32.handle import Handle, wait
from pipectl.core.win32.queries import get_local_info
from tests.pipes import read_file, reporting, write_file
from tests.runner import Background, Pipectl, Running

from .layer import (
    Directory,
    FirstInstance,
    Quota,
    RefusedProcesses,
    RefusedTokens,
    Silence,
    SilentComputer,
    SlowNames,
    Ticks,
    WaitableNames,
    in_force,
)

# With `--exe` no test here runs in this process: a rule changes it.
pytestmark = pytest.mark.usefixtures("monkeypatch")

FIRST = OpenMode.DUPLEX | OpenMode.OVERLAPPED | OpenMode.FIRST_PIPE_INSTANCE
BYTES = PipeConfig(is_message=False)
REMOTE = r"\\host\pipe\x"
# Of what must come at once, in seconds, on a busy machine; what must not come at all takes longer.
SOON = 1.0


def echo(_client: Client, data: bytes) -> bytes:
    return data


def code_of(function: Callable[..., Any], *arguments: Any, **options: Any) -> int:
    """Return the code of the error that a call raises."""
    with pytest.raises(PipeError) as raised:
        function(*arguments, **options)
    return raised.value.code


@contextmanager
def within(seconds: float, least: float = 0) -> Iterator[None]:
    """Assert that a block takes no longer, and no less."""
    begun = time.perf_counter()
    yield
    assert least <= time.perf_counter() - begun < seconds


@contextmanager
def serving(rule: str, pipe: str, *arguments: str) -> Iterator[Running]:
    """Run `pipectl serve` in a process of its own with a rule in force, once it serves."""
    server = Running(in_force(rule, "serve", pipe, *arguments))
    try:
        assert server.said().startswith("serving")
        yield server
    finally:
        server.kill()


# FIRST_PIPE_INSTANCE


def test_a_first_instance_is_refused_where_there_is_one(pipe_name: str) -> None:
    with FirstInstance():
        with create_named_pipe(pipe_name, FIRST):
            assert code_of(create_named_pipe, pipe_name, FIRST) == WinError.ACCESS_DENIED
            create_named_pipe(pipe_name).close()
        create_named_pipe(pipe_name, FIRST).close()


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_name_that_somebody_else_has_is_not_served(
    pipe_name: str, handle_count: Callable[[], int], is_busy: bool
) -> None:
    with FirstInstance(), create_named_pipe(pipe_name) as other:
        client = create_file(pipe_name) if is_busy else other
        before = handle_count()
        with pytest.raises(PipeAccessError):
            PipeServer(pipe_name, echo).start()
        assert handle_count() <= before
        client.close()


def test_the_command_ends_at_once_if_the_name_is_taken(pipe_name: str, pipectl: Pipectl) -> None:
    with FirstInstance(), PipeServer(pipe_name, echo) as server:
        result = pipectl("serve", pipe_name, "--json", "--idle-timeout", "1")
        assert result.exit_code == 5
        assert result.error["code"] == WinError.ACCESS_DENIED
        with connect(pipe_name) as client:
            assert client.transact(b"still here", SOON) == b"still here"
        assert server.stats.clients == 1


def test_a_server_that_has_ended_leaves_its_name_to_the_next(pipe_name: str) -> None:
    with FirstInstance():
        for _ in range(3):
            with PipeServer(pipe_name, echo), connect(pipe_name) as client:
                assert client.transact(b"x", SOON) == b"x"


# N3: names that can be waited for


@pytest.mark.parametrize("prefix", ["\\\\?\\pipe\\", "\\\\?\\UNC\\localhost\\pipe\\", "\\\\.\\", "\\\\.\\pipe", ""])
def test_only_names_of_pipes_can_be_waited_for(pipe_name: str, prefix: str) -> None:
    with WaitableNames(), create_named_pipe(pipe_name):
        assert code_of(winapi.WaitNamedPipeW, prefix + pipe_name[9:], 1) == WinError.BAD_PATHNAME


@pytest.mark.parametrize("prefix", ["\\\\.\\pipe\\", "\\\\.\\PIPE\\", "//./pipe/"])
def test_a_name_is_waited_for_in_either_case_and_with_slashes(pipe_name: str, prefix: str) -> None:
    with WaitableNames(), create_named_pipe(pipe_name):
        assert winapi.WaitNamedPipeW(prefix + pipe_name[9:].upper(), 1) == 0


def test_a_name_that_is_waited_for_is_not_normalized(pipe_name: str) -> None:
    with WaitableNames(), create_named_pipe(pipe_name):
        assert code_of(winapi.WaitNamedPipeW, f"{pipe_name}. ", 1) == WinError.FILE_NOT_FOUND


@pytest.mark.parametrize("end", [".", " ", r"\.", "\\..\\x"])
def test_a_pipe_with_a_verbatim_name_is_waited_for(pipe_name: str, pipectl: Pipectl, end: str) -> None:
    verbatim = "\\\\?" + pipe_name[3:] + end
    with WaitableNames():
        assert probe(verbatim) is Availability.ABSENT
        with create_named_pipe(verbatim):
            wait_named_pipe(verbatim, 0)
            assert probe(verbatim) is Availability.FREE
            wait_for(verbatim, Condition.FREE, Deadline(SOON))
            assert pipectl("wait", verbatim, "--timeout", "0").exit_code == 0
            with connect(verbatim):
                assert probe(verbatim) is Availability.BUSY
                assert code_of(connect, verbatim, 0.05) == WinError.PIPE_BUSY
        wait_for(verbatim, Condition.GONE, Deadline(SOON))


def test_a_verbatim_name_with_a_slash_is_an_error_that_says_so(pipe_name: str, pipectl: Pipectl) -> None:
    verbatim = "\\\\?" + pipe_name[3:] + "/x"
    with WaitableNames(), create_named_pipe(verbatim):
        with pytest.raises(InvalidPipeNameError) as raised:
            probe(verbatim)
        assert raised.value.topic == "waiting"
        assert pipectl("wait", verbatim, "--timeout", "0").exit_code == 2


# N9: the ticks of the clock


def shortest(function: Callable[[], object]) -> float:
    """Return the least time that a function takes: the others are what the machine was busy with."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return min(times)


def four_times(function: Callable[..., object], *arguments: Any) -> Callable[[], None]:
    def often() -> None:
        for _ in range(4):
            function(*arguments)

    return often


@contextmanager
def an_event() -> Iterator[Handle]:
    """Make an event that nobody sets."""
    with create_event() as event:
        yield event


def test_a_wait_ends_at_a_tick() -> None:
    with Ticks(), an_event() as event:
        assert shortest(four_times(lambda: wait(event, Deadline(0.001)))) > 3 * Ticks.TICK


def test_a_wait_of_exactly_0_ends_at_once() -> None:
    with Ticks(), an_event() as event:
        now = byref(c_int64(0))
        assert shortest(four_times(winapi.NtWaitForSingleObject, event.pointer, False, now)) < Ticks.TICK


def test_a_wait_for_a_busy_pipe_ends_at_a_tick(pipe_name: str) -> None:
    with Ticks(), create_named_pipe(pipe_name), create_file(pipe_name):
        assert shortest(four_times(probe, pipe_name)) > 3 * Ticks.TICK
        assert probe(pipe_name) is Availability.BUSY


def test_a_deadline_of_0_asks_and_does_not_wait(pipe_name: str) -> None:
    with Ticks(), create_named_pipe(pipe_name) as server, connect(pipe_name) as client:
        write_file(server, b"greeting")
        assert client.receive(0) == b"greeting"

        def ask() -> None:
            with pytest.raises(PipeTimeoutError):
                client.receive(0)

        assert shortest(four_times(ask)) < Ticks.TICK


def test_no_timeout_is_early_though_a_tick_is(pipe_name: str) -> None:
    seconds = 2 * Ticks.TICK - 0.001
    with Ticks(), create_named_pipe(pipe_name), connect(pipe_name) as client:
        while time.perf_counter() % Ticks.TICK < Ticks.TICK / 2:
            pass  # the last tick is long ago only for a few ms
        with within(SOON, least=seconds), pytest.raises(PipeTimeoutError):
            client.receive(seconds)


def test_timeouts_are_late_by_no_more_than_a_few_ticks(pipe_name: str) -> None:
    with Ticks(), create_named_pipe(pipe_name), connect(pipe_name) as client:

        def ask() -> None:
            assert code_of(client.receive, 0.1) == WinError.TIMEOUT

        def open_busy() -> None:
            assert code_of(connect, pipe_name, 0.1) == WinError.PIPE_BUSY

        for function in (ask, open_busy):
            assert 0.1 - Ticks.TICK <= shortest(function) < 0.1 + 4 * Ticks.TICK


def test_a_server_that_is_to_end_when_idle_ends_no_earlier(pipe_name: str) -> None:
    with Ticks(), within(2, least=0.1), PipeServer(pipe_name, echo, stop_after=StopAfter(idle=0.1)) as server:
        assert server.wait(2)


# N10: questions about a handle that never return


def test_a_question_about_a_handle_waits_until_it_is_let_go(pipe_name: str, background: Background) -> None:
    with Silence() as silence, create_named_pipe(pipe_name) as server:
        asking = background(get_local_info, server), background(winapi.GetFileType, server)
        assert silence.asked.wait(5)
        assert not any(question.done() for question in asking)
        silence.release()
        assert asking[0].result(5).is_server_end
        assert asking[1].result(5) == 3  # FILE_TYPE_PIPE


def test_a_question_that_never_returns_is_given_up_in_time(pipe_name: str) -> None:
    with Silence(), create_named_pipe(pipe_name) as server, within(SOON, least=0.2):
        assert code_of(run_blocking, lambda: get_local_info(server), Deadline(0.2)) == WinError.TIMEOUT


def test_neither_a_server_nor_a_client_asks_about_its_handle(pipe_name: str) -> None:
    config = PipeConfig(max_instances=1, linger=0.1)
    with Silence() as silence:
        with PipeServer(pipe_name, close_after, config=config):
            for _ in range(3):
                with connect(pipe_name) as client:
                    assert client.transact(b"x", SOON) == b"x"
        assert not silence.asked.is_set()


def close_after(client: Client, data: bytes) -> bytes:
    """Answer with an echo, and let the client go."""
    client.close()
    return data


def test_a_program_answers_though_the_servers_handles_are_silent(pipe_name: str) -> None:
    program = ("--exec", sys.executable, "-S", "-c", "print(1)")
    with serving("Silence()", pipe_name, *program), connect(pipe_name) as client:
        assert client.transact(b"x", 20).strip() == b"1"


def test_a_program_inherits_handles_that_are_silent(background: Background) -> None:
    def read_what_it_writes() -> str:
        with popen([sys.executable, "-S", "-c", "print(1)"]) as file:
            return str(file.read())

    with Silence():
        assert background(read_what_it_writes).result(3) == "1\n"


# N11: processes and tokens that are refused


def test_the_user_of_another_process_is_refused() -> None:
    with RefusedTokens():
        process = describe(os.getpid())
        assert process.image
        assert process.user is None
        assert current_user_sid().startswith("S-1-")


def test_a_protected_process_can_not_be_opened() -> None:
    with RefusedProcesses():
        assert code_of(winapi.OpenProcess, 0x1000, False, os.getpid()) == WinError.ACCESS_DENIED


@pytest.mark.parametrize("rule", [RefusedTokens, RefusedProcesses])
def test_what_a_process_does_not_tell_is_left_out(pipe_name: str, pipectl: Pipectl, rule: type[RefusedTokens]) -> None:
    with rule(), PipeServer(pipe_name, echo):
        told = pipectl("info", pipe_name, "--json").object["server"]
        assert told["pid"] == os.getpid()
        assert "user" not in told
        assert ("image" in told) == (rule is RefusedTokens)


def test_a_server_of_which_nothing_is_known_is_not_the_expected_one(pipe_name: str) -> None:
    with RefusedProcesses(), PipeServer(pipe_name, echo):
        with connect(pipe_name, expect=Expected(pid=os.getpid())) as client:
            assert server_of(client.handle)[:3] == (os.getpid(), None, None)
        for expected in (Expected(exe=sys.executable), Expected(user="S-1-5-21-9-9-9-1234")):
            with pytest.raises(PeerMismatchError):
                connect(pipe_name, expect=expected)


def test_the_owner_of_a_pipe_stands_for_the_user_who_is_not_told(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = current_user_sid()
    monkeypatch.setattr(descriptors, "_descriptor_text", lambda *_: f"O:{user}")  # which Wine does not tell
    with RefusedProcesses(), PipeServer(pipe_name, echo):
        for expected in (user, account_name(user)):
            connect(pipe_name, expect=Expected(user=expected)).close()


def test_a_server_serves_clients_of_which_it_learns_nothing(pipe_name: str) -> None:
    with serving("RefusedProcesses()", pipe_name, "--count", "1") as server:
        with connect(pipe_name) as client:
            assert client.transact(b"x", SOON) == b"x"
        result = server.end()
        assert result.exit_code == 0
        assert f"pid {os.getpid()}" in result.text


# N12: look-ups that take seconds


def test_the_name_of_an_account_takes_long() -> None:
    with SlowNames(0.3), within(SOON, least=0.3):
        account_name("S-1-1-0")


def test_a_name_is_looked_up_once_however_long_it_took() -> None:
    with SlowNames(0.3):
        account_name("S-1-1-0")
        with within(0.3):
            account_name("S-1-1-0")


def test_a_server_looks_up_no_name(pipe_name: str) -> None:
    with SlowNames() as names, PipeServer(pipe_name, echo), connect(pipe_name) as client:
        assert client.transact(b"x", SOON) == b"x"
        assert not names.asked.is_set()


@pytest.mark.parametrize(
    "expected", [{"pid": os.getpid()}, {"exe": sys.executable}, {"user": current_user_sid()}], ids=str
)
def test_what_a_client_expects_is_known_without_a_name(pipe_name: str, expected: dict[str, Any]) -> None:
    with SlowNames() as names, PipeServer(pipe_name, echo):
        connect(pipe_name, SOON, expect=Expected(**expected)).close()
        assert not names.asked.is_set()


def test_the_user_whom_a_client_expects_is_looked_up_in_time(pipe_name: str) -> None:
    with SlowNames(), PipeServer(pipe_name, echo), within(SOON, least=0.3):
        assert code_of(connect, pipe_name, 0.3, expect=Expected(user="somebody")) == WinError.TIMEOUT


def test_a_server_that_is_not_expected_is_described_in_time(pipe_name: str) -> None:
    with (
        SlowNames(),
        PipeServer(pipe_name, echo),
        within(SOON),
        pytest.raises(PeerMismatchError, match=current_user_sid()),
    ):
        connect(pipe_name, 0.3, expect=Expected(pid=0))


def test_a_command_serves_while_the_name_of_a_user_is_looked_up(pipe_name: str) -> None:
    with serving("SlowNames(1.5)", pipe_name), connect(pipe_name) as client, within(SOON):
        assert client.transact(b"x", 5) == b"x"


# N13: one write of many MiB

LARGE = bytes(Quota.MOST + 1)


def test_a_write_of_many_mib_is_refused(pipe_name: str) -> None:
    with Quota(), create_named_pipe(pipe_name) as server, create_file(pipe_name) as client:
        assert code_of(write_file, client, LARGE, 1) == WinError.NO_SYSTEM_RESOURCES
        write_file(client, b"less")
        assert read_file(server, 10, 1) == (b"less", False)


@pytest.mark.parametrize("ask", [Connection.send, Connection.transact])
def test_a_client_whose_message_was_refused_can_connect_again(
    pipe_name: str, ask: Callable[[Connection, bytes, float], object]
) -> None:
    with Quota(), PipeServer(pipe_name, echo), connect(pipe_name) as client:
        assert code_of(ask, client, LARGE, 1) == WinError.NO_SYSTEM_RESOURCES
        client.reconnect()
        assert client.transact(b"x", SOON) == b"x"


def test_a_server_goes_on_when_an_answer_is_refused(pipe_name: str) -> None:
    errors: list[PipeError | None] = []
    left = threading.Event()

    def note(_client: Client, error: PipeError | None) -> None:
        errors.append(error)
        left.set()

    with Quota(), PipeServer(pipe_name, too_much, events=reporting(left=note)), connect(pipe_name) as other:
        with connect(pipe_name) as client:
            client.send(b"much", 1)
            assert other.transact(b"x", SOON) == b"x"
        assert left.wait(SOON)
        assert [error and error.code for error in errors] == [WinError.NO_SYSTEM_RESOURCES]
        assert other.transact(b"x", SOON) == b"x"


def test_a_client_whose_answer_was_refused_is_let_go(pipe_name: str) -> None:
    with Quota(), PipeServer(pipe_name, too_much), connect(pipe_name) as client, pytest.raises(PipeClosedError):
        client.transact(b"much", SOON)


def too_much(_client: Client, data: bytes) -> bytes:
    """Answer with an echo, or with too much."""
    return LARGE if data == b"much" else data


def test_a_stream_of_many_mib_is_sent_in_several_writes(pipe_name: str, background: Background) -> None:
    with Quota(), create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE) as server, connect(pipe_name) as client:
        sending = background(client.send, LARGE, 5)
        received = 0
        while received < len(LARGE):
            received += len(read_file(server, BUFFER_SIZE, SOON)[0])
        sending.result(5)


def test_a_request_of_many_mib_is_written_while_its_reply_is_read(pipe_name: str) -> None:
    request = os.urandom(1 << 20) * (len(LARGE) >> 20) + b"end"
    with Quota(), PipeServer(pipe_name, echo, config=BYTES), connect(pipe_name) as client:
        for _ in range(2):
            assert client.ask(request, Count(len(request)), 20).data == request


def test_a_reply_that_comes_early_ends_a_request_of_many_mib(pipe_name: str) -> None:
    with Quota(), PipeServer(pipe_name, lambda *_: b"too large\n", config=BYTES), connect(pipe_name) as client:
        assert client.ask(bytes(30 << 20), Line(), 20).data == b"too large\n"
        with pytest.raises(ConnectionUnusableError):
            client.ask(b"x", None, 5)


def test_an_answer_of_many_mib_is_several_writes_on_a_byte_pipe(pipe_name: str) -> None:
    with Quota(), PipeServer(pipe_name, too_much, config=BYTES), connect(pipe_name) as client:
        assert client.ask(b"much", Count(len(LARGE)), 20).data == LARGE
        assert client.ask(b"next", Count(4), 5).data == b"next"


# N14: another computer that does not answer


def test_a_computer_that_does_not_answer_is_waited_for() -> None:
    with SilentComputer(0.3):
        for function in (create_file, wait_named_pipe):
            with within(SOON, least=0.3):
                assert code_of(function, REMOTE) == WinError.BAD_NETPATH


def test_the_wait_for_a_computer_can_be_cancelled(background: Background) -> None:
    handles: list[Handle] = []
    is_there = threading.Event()

    def open_it() -> int:
        handles.append(blocking._this_thread())
        is_there.set()
        return code_of(create_file, REMOTE)

    with SilentComputer(), within(5):
        opening = background(open_it)
        assert is_there.wait(5)
        while not opening.done():  # it may not have come there yet
            winapi.CancelSynchronousIo(handles[0])
        assert opening.result(5) == WinError.OPERATION_ABORTED
        handles[0].close()


@pytest.mark.parametrize(
    "function",
    [
        lambda: connect(REMOTE, timeout=0.3),
        lambda: probe(REMOTE, deadline=Deadline(0.3)),
        lambda: wait_for(REMOTE, Condition.GONE, Deadline(0.3)),
        lambda: read_whole(r"\\host\share\file", 0.3),
    ],
    ids=["connect", "probe", "wait_for", "read_whole"],
)
def test_whoever_asks_a_silent_computer_gives_up_in_time(
    function: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "_BRIEF", 1.5)  # so that this is over sooner where the timeout does not hold
    threads = threading.active_count()
    with SilentComputer(), within(SOON, least=0.3):
        assert code_of(function) == WinError.TIMEOUT
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    "command",
    [["call", REMOTE, "x"], ["transact", REMOTE, "x"], ["info", REMOTE], ["peek", REMOTE], ["wait", REMOTE]],
    ids=lambda command: command[0],
)
def test_a_command_gives_a_silent_computer_up_in_time(pipectl: Pipectl, command: list[str], late: float) -> None:
    with SilentComputer(), within(0.4 + late + SOON):
        assert pipectl(*command, "--timeout", "0.3").exit_code == 6


def test_a_local_pipe_is_opened_while_a_computer_is_silent(pipe_name: str, background: Background) -> None:
    with SilentComputer(), PipeServer(pipe_name, echo):
        opening = background(code_of, connect, REMOTE, timeout=0.3)
        with connect(pipe_name) as client:
            assert client.transact(b"x", SOON) == b"x"
        assert opening.result(5) == WinError.TIMEOUT


# N20: the directory of pipes

PIPES = [
    PipeEntry("svc", 1, 1),
    PipeEntry("Winsock2\\CatalogChangeListener-4d2-0", 1, 1),
    PipeEntry("dotnet-diagnostic-42", 3, None),
    PipeEntry("a", 2, 5),
    PipeEntry("half of a pair \ud800", 1, 1),
    PipeEntry("long " * 40, 1, 1),
]


@pytest.mark.parametrize("most_at_once", [1, 2, 1000])
def test_the_directory_is_read_in_as_many_reads_as_it_takes(most_at_once: int) -> None:
    with Directory(PIPES, most_at_once):
        assert list_pipes() == PIPES
        assert list_pipes() == PIPES


def test_a_directory_larger_than_a_buffer_is_read_whole() -> None:
    many = [PipeEntry(f"pipe-{number}-{'x' * 100}", 1, None) for number in range(2000)]
    with Directory(many, 10_000):
        assert list_pipes() == many


def test_a_directory_may_be_empty_and_a_name_may_come_twice() -> None:
    with Directory([]):
        assert list_pipes() == []
    with Directory([*PIPES, *PIPES], 4):
        assert list_pipes() == PIPES


def test_pipes_are_listed_from_a_directory_as_nt_has_it(pipectl: Pipectl) -> None:
    with Directory(PIPES):
        told = pipectl("list", "--sort", "instances", "--json").objects
        assert [one["name"] for one in told][:2] == ["dotnet-diagnostic-42", "a"]
        assert [one.get("pid_hint") for one in told if one["name"].startswith("Winsock2")] == [1234]
        assert [one["name"] for one in pipectl("list", r"\\.\pipe\s?c", "--json").objects] == ["svc"]
        assert len(pipectl("list", "--format", "raw").text.splitlines()) == len(PIPES)


def test_what_the_directory_tells_of_a_pipe_is_known_unopened(pipe_name: str, pipectl: Pipectl) -> None:
    with Directory([*PIPES, PipeEntry(pipe_name[9:], 3, 7)]), create_named_pipe(pipe_name) as server:
        told = pipectl("info", pipe_name, "--no-open", "--json").object
        assert (told["instances"], told["max_instances"]) == (3, 7)
        assert get_local_info(server).state == "listening"


def test_names_that_are_near_are_those_of_the_directory() -> None:
    with Directory(PIPES):
        assert did_you_mean("\\\\.\\pipe\\svx") == ["svc"]


def test_a_program_of_its_own_can_have_a_rule() -> None:
    listing = Running(in_force("Directory([layer.PipeEntry('svc', 1, 1)])", "list", "--format", "raw"))
    try:
        assert listing.end()[:2] == (0, b"svc\t1\t1\t\n")
    finally:
        listing.kill()

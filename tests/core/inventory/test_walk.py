"""The walk through the handles of all processes: whom it finds, whom it disturbs, and what it leaves."""

import ctypes
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from ctypes.wintypes import DWORD, HANDLE
from threading import Event
from typing import Any

import pytest

from pipectl.core.constants import Access, OpenMode
from pipectl.core.errors import PipeAccessError, UnsupportedError
from pipectl.core.inventory import bounded
from pipectl.core.inventory import walk as walking
from pipectl.core.inventory.bounded import FIRST_PATIENCE
from pipectl.core.inventory.holders import End, Holders, Walk, by_pipe
from pipectl.core.inventory.walk import ask_ends, file_handles, list_processes, walk
from pipectl.core.pipe.availability import Availability, probe
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.security.descriptors import get_owner
from pipectl.core.win32 import system, winapi
from pipectl.core.win32.calls import create_named_pipe
from pipectl.core.win32.processes import TokenAccess
from pipectl.core.win32.queries import get_local_info
from tests.nt.layer import RefusedProcesses, Rule
from tests.runner import Background, Holding

# A walk on a busy machine, in seconds.
PATIENCE = 30.0


def of(pipe: str, found: Walk) -> Holders:
    """Who holds a pipe, as a walk has found."""
    (only,) = [holders for holders in by_pipe(found) if rf"\\.\pipe\{holders.pipe}" == pipe]
    return only


def holders_of(pipe: str) -> Holders:
    """Who holds a pipe, as a walk finds."""
    return of(pipe, walk(PATIENCE))


def in_short(holders: Holders) -> list[tuple[str, int, str | None]]:
    """The ends of a pipe: which, whose, and in what state."""
    return [("server" if end.is_server else "client", end.pid, end.state) for end in holders.ends]


def sleep_until(is_so: Callable[[], bool], seconds: float = 10) -> float:
    """Wait until a condition without an event holds, and return how long it took."""
    begun = time.perf_counter()
    while not is_so():
        assert time.perf_counter() < begun + seconds
        time.sleep(0.002)
    return time.perf_counter() - begun


# Who is found


def test_an_end_of_this_process_is_found_with_all_that_is_known(pipe_name: str) -> None:
    with create_named_pipe(pipe_name, max_instances=3) as server:
        holders = holders_of(pipe_name)
    assert holders._replace(ends=[]) == Holders(holders.pipe, 1, 3, 1, is_complete=True, ends=[])
    assert holders.ends == [
        End(
            pipe=holders.pipe,
            pid=os.getpid(),
            is_server=True,
            handle=holders.ends[0].handle,
            access=Access.FILE_GENERIC_READ | Access.FILE_GENERIC_WRITE,
            is_inheritable=False,
            handles=1,
            state="listening",
            unread=0,
            instances=1,
            max_instances=3,
            server_pid=os.getpid(),
        )
    ]
    assert server.closed


def test_instances_of_several_processes_are_found(pipe_name: str, holding: Holding) -> None:
    first, _ = holding("listen", pipe_name, "3")
    second, _ = holding("listen", pipe_name, "2")
    holders = holders_of(pipe_name)
    assert in_short(holders) == [("server", pid, "listening") for pid in sorted([first.pid] * 3 + [second.pid] * 2)]
    assert (holders.instances, holders.found, holders.is_complete) == (5, 5, True)
    assert holders.servers == sorted([first.pid, second.pid])


def test_a_client_of_another_process_is_found(pipe_name: str, holding: Holding) -> None:
    with PipeServer(pipe_name, lambda _client, data: data):
        client, _ = holding("connect", pipe_name, "2")
        holders = holders_of(pipe_name)
    clients = [("client", client.pid, "connected")] * 2
    servers = [("server", os.getpid(), "connected")] * 2
    assert set(in_short(holders)) == {*clients, *servers, ("server", os.getpid(), "listening")}
    assert holders.is_complete
    assert {end.peer for end in holders.ends if end.is_server} == {client.pid, None}


def test_a_server_that_is_blocked_in_its_read_or_its_accept_is_found(pipe_name: str, holding: Holding) -> None:
    reading, _ = holding("block", pipe_name)
    accepting, _ = holding("accept", pipe_name)
    assert set(in_short(holders_of(pipe_name))) == {
        ("server", reading.pid, "connected"),
        ("client", reading.pid, "connected"),
        ("server", accepting.pid, "listening"),
    }


@pytest.mark.parametrize("direction", [OpenMode.INBOUND, OpenMode.OUTBOUND])
def test_the_server_of_a_one_way_pipe_is_found(pipe_name: str, direction: OpenMode) -> None:
    with create_named_pipe(pipe_name, direction | OpenMode.OVERLAPPED):
        assert in_short(holders_of(pipe_name)) == [("server", os.getpid(), "listening")]


def test_what_waits_unread_for_an_end_is_counted(pipe_name: str) -> None:
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        client.send(b"12345", 5)
        unread = {end.is_server: end.unread for end in holders_of(pipe_name).ends}
    assert unread == {True: 5, False: 0}


def test_a_handle_that_a_child_has_inherited_is_found_with_both(pipe_name: str, holding: Holding) -> None:
    parent, child = holding("bequeath", pipe_name)
    holders = holders_of(pipe_name)
    assert {end.pid for end in holders.ends} == {parent.pid, int(child)}
    assert {end.opened_by for end in holders.ends} == {parent.pid}
    assert {end.handles for end in holders.ends} == {2}
    assert any(end.is_inheritable for end in holders.ends)
    assert (holders.found, holders.is_complete) == (1, True)
    assert holders.kept(walk(PATIENCE).running) == {}


def test_a_child_that_keeps_the_pipe_of_a_server_that_has_ended_is_found(pipe_name: str, holding: Holding) -> None:
    parent, child = holding("bequeath", pipe_name)
    parent.crash()
    found = walk(PATIENCE)
    holders = of(pipe_name, found)
    assert {end.pid for end in holders.ends} == {int(child)}
    assert holders.kept(found.running) == {parent.pid: [int(child)]}


@pytest.mark.strict(rule="N1")
def test_an_instance_whose_server_is_gone_is_complete_with_its_client(pipe_name: str) -> None:
    server = create_named_pipe(pipe_name)
    with connect(pipe_name):
        server.close()
        holders = holders_of(pipe_name)
    assert in_short(holders) == [("client", os.getpid(), "closing")]
    assert (holders.instances, holders.found, holders.is_complete) == (1, 1, True)


def test_all_of_a_thousand_instances_are_found(pipe_name: str) -> None:
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(create_named_pipe(pipe_name))
        holders = holders_of(pipe_name)
    assert (holders.instances, holders.found, holders.is_complete) == (1000, 1000, True)
    assert len({end.handle for end in holders.ends}) == 1000


def test_a_name_of_many_characters_of_any_kind_is_found(pipe_name: str) -> None:
    name = f"{pipe_name}\\é\u4e2d\U0001f600{'x' * 150}"
    with create_named_pipe(name):
        assert holders_of(name).is_complete


# Whom it disturbs


def test_a_conversation_goes_on_beside_many_walks(pipe_name: str, background: Background) -> None:
    def walk_three_times() -> None:
        for _ in range(3):
            walk(PATIENCE)

    with PipeServer(pipe_name, lambda _client, data: data), connect(pipe_name) as client:
        walking = background(walk_three_times)
        number = 0
        while number < 300 or not walking.done():
            assert client.ask(b"%d" % number, timeout=10).data == b"%d" % number
            number += 1
        walking.result()


def test_servers_that_are_killed_during_walks_leave_no_pipe(
    pipe_name: str, holding: Holding, background: Background
) -> None:
    done = Event()

    def walk_on() -> None:
        while not done.is_set():
            walk(PATIENCE)

    walks = background(walk_on)
    try:
        servers = [holding("listen", f"{pipe_name}{number}", "20")[0] for number in range(5)]
        for number, server in enumerate(servers):
            server.kill()
            sleep_until(lambda name=f"{pipe_name}{number}": probe(name) is Availability.ABSENT)  # type: ignore[misc]
    finally:
        done.set()
    walks.result(PATIENCE)


class Duplicates(Rule):
    """Notes how handles are duplicated."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[int, bool, int]] = []

    def DuplicateHandle(self, *arguments: Any) -> int:
        """Note it."""
        *_, access, is_inheritable, options = arguments
        self.made.append((int(access), bool(is_inheritable), options))
        return int(self.real("DuplicateHandle", *arguments))


def test_no_duplicate_has_a_right_to_data_or_closes_what_it_is_of(pipe_name: str) -> None:
    with create_named_pipe(pipe_name), Duplicates() as duplicates:
        holders_of(pipe_name)
    assert set(duplicates.made) <= {(Access.FILE_READ_ATTRIBUTES, False, 0), (Access.NONE, False, 0)}


class Openings(Rule):
    """Notes which processes are opened, and for what."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, int] = {}

    def OpenProcess(self, access: int, is_inheritable: bool, pid: int) -> int:
        """Note it."""
        self.made[pid] = access
        return int(self.real("OpenProcess", access, is_inheritable, pid))


def test_what_windows_protects_is_left_alone_unless_every_process_is_wanted(
    pipe_name: str, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = holding("listen", pipe_name)
    real = list_processes
    monkeypatch.setattr(
        walking, "list_processes", lambda: real() | {server.pid: real()[server.pid]._replace(program="LSASS.EXE")}
    )
    with Openings() as openings:
        found = walk(PATIENCE)
        assert server.pid in found.unseen
        assert openings.made.keys().isdisjoint({server.pid, os.getpid(), 0, 4})
        assert set(openings.made.values()) <= {0x40}
        assert server.pid not in walk(PATIENCE, every_process=True).unseen
        assert server.pid in openings.made


# Asking about an end that was found


def test_an_end_that_was_found_is_asked_about_with_the_access_that_is_wanted(
    pipe_name: str, holding: Holding, handle_count: Callable[[], int]
) -> None:
    server, _ = holding("listen", pipe_name, "2")
    ends = holders_of(pipe_name).ends
    before = handle_count()
    access = Access.FILE_READ_ATTRIBUTES | Access.READ_CONTROL
    answers = ask_ends(ends, lambda handle: (get_local_info(handle).state, get_owner(handle)), PATIENCE, access=access)
    assert [(end.pid, state) for end, (state, _owner) in answers] == [(server.pid, "listening")] * 2
    assert handle_count() == before


def test_a_number_that_is_another_handles_by_now_is_not_asked_about(pipe_name: str) -> None:
    with create_named_pipe(pipe_name), create_named_pipe(f"{pipe_name}-other"):
        (end,) = holders_of(pipe_name).ends
        (other,) = holders_of(f"{pipe_name}-other").ends
        changed = end._replace(handle=other.handle)
        assert ask_ends([changed, end], get_local_info, PATIENCE) == ask_ends([end], get_local_info, PATIENCE)


def test_an_end_that_gives_no_answer_is_left_out(pipe_name: str, holding: Holding) -> None:
    holding("listen", pipe_name)
    ends = holders_of(pipe_name).ends
    with SilentPipe(pipe_name):
        assert ask_ends(ends, get_local_info, 0.5) == []


# What it cannot see


def test_a_process_that_refuses_is_counted_and_told_by_the_other_end(pipe_name: str, holding: Holding) -> None:
    with PipeServer(pipe_name, lambda _client, data: data):
        client, _ = holding("connect", pipe_name)
        with RefusedProcesses():
            found = walk(PATIENCE)
        holders = of(pipe_name, found)
    assert client.pid in found.unseen
    assert [(end.pid, end.handle) for end in holders.ends if not end.is_server] == [(client.pid, None)]
    assert holders.is_complete


def test_a_server_that_refuses_is_told_by_its_client(pipe_name: str, holding: Holding) -> None:
    server, _ = holding("listen", pipe_name, "2")
    with connect(pipe_name), RefusedProcesses():
        holders = holders_of(pipe_name)
    assert holders.servers == [server.pid]
    assert (holders.instances, holders.found, holders.is_complete) == (2, 0, False)


class SilentPipe(Rule):
    """N10 for the handles on one pipe: questions about it are not answered until `release`."""

    def __init__(self, pipe: str) -> None:
        super().__init__()
        self._name = pipe.rpartition("\\")[2]
        self._released = Event()
        self.asked = 0

    def NtQueryObject(self, handle: Any, what: int, answer: Any, *arguments: Any) -> int:
        """Answer, unless it is about that pipe."""
        status = int(self.real("NtQueryObject", handle, what, answer, *arguments))
        if what == 1 and self._name.encode("utf-16-le") in ctypes.string_at(answer, 1000):
            self.asked += 1
            self._released.wait(60)
        return status

    def end(self) -> None:
        """Answer, and wait until nobody waits."""
        self._released.set()
        sleep_until(lambda: not bounded._left)


def test_a_pipe_that_gives_no_answer_hides_no_other(pipe_name: str, holding: Holding) -> None:
    blocked, _ = holding("listen", f"{pipe_name}-silent", "3")
    listening, _ = holding("listen", pipe_name, "3")
    with SilentPipe(f"{pipe_name}-silent") as silent:
        begun = time.perf_counter()
        found = walk(PATIENCE)
        assert time.perf_counter() - begun < FIRST_PATIENCE + 2
        assert [handle.pid for handle in found.busy] == [blocked.pid] * 3
        assert in_short(of(pipe_name, found)) == [("server", listening.pid, "listening")] * 3
        # The threads that wait are enough for all walks.
        assert len(walk(PATIENCE).busy) == 3
        assert silent.asked == 3
    assert walk(PATIENCE).busy == []


def test_a_walk_without_time_asks_nothing_and_says_so(pipe_name: str) -> None:
    with create_named_pipe(pipe_name):
        found = walk(0)
    assert found.ends == []
    assert found.unasked > 0


def test_a_process_that_may_list_nothing_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "type_of", lambda *_arguments: None)
    with pytest.raises(PipeAccessError):
        walk()


@pytest.mark.parametrize(("status", "error"), [(0xC000_0022, PipeAccessError), (0xC000_0003, UnsupportedError)])
def test_a_system_that_lists_nothing_is_an_error(status: int, error: type[Exception]) -> None:
    class Refused(Rule):
        """Gives a status instead of a table."""

        def NtQuerySystemInformation(self, *_arguments: Any) -> int:
            """Refuse."""
            return status - (1 << 32)

    with Refused(), pytest.raises(error):
        walk()


def test_a_table_that_does_not_fit_is_asked_for_with_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_FIRST_SIZE", 64)
    assert any(handle.pid == os.getpid() for handle in file_handles())
    assert os.getpid() in list_processes()


# What it leaves


def test_walks_leave_no_handle_and_no_privilege(pipe_name: str, handle_count: Callable[[], int]) -> None:
    def is_enabled() -> bool:
        """Whether SeDebugPrivilege is enabled, asked by the number that Windows gave it."""
        token_privileges = 3
        token, answer, size = HANDLE(), (DWORD * 300)(), DWORD()
        winapi.OpenProcessToken(winapi.GetCurrentProcess(), TokenAccess.QUERY, ctypes.byref(token))
        winapi.GetTokenInformation(token, token_privileges, answer, ctypes.sizeof(answer), ctypes.byref(size))
        winapi.CloseHandle(token)
        privileges = (answer[1 + 3 * index : 4 + 3 * index] for index in range(answer[0]))
        return any(number == 20 and attributes & 2 for number, _, attributes in privileges)

    with create_named_pipe(pipe_name), connect(pipe_name):
        enabled = is_enabled()
        walk(PATIENCE)
        before = handle_count()
        for _ in range(10):
            walk(PATIENCE)
        assert handle_count() == before
        assert is_enabled() == enabled

"""Who is at the other end: this process, and another one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipectl.core.errors import PeerMismatchError, UnsupportedError
from pipectl.core.inventory import peers
from pipectl.core.inventory.peers import ClientProcess, Expected, server_of
from pipectl.core.inventory.processes import Glimpse
from pipectl.core.models import Process
from pipectl.core.names import short
from pipectl.core.pipe.connection import connect
from pipectl.core.security import descriptors
from pipectl.core.security.accounts import account_name, current_user_sid
from pipectl.core.win32.calls import create_named_pipe
from pipectl.core.win32.handle import Handle
from pipectl.hints import hint_for
from tests.pipes import connect_named_pipe

if TYPE_CHECKING:
    from collections.abc import Callable

EXE = Path(sys.executable).name
USER = os.environ["USERNAME"]


def test_both_ends_are_told_from_each_other(pipe_name: str) -> None:
    program = "import sys, time; f = open(sys.argv[1], 'r+b', 0); sys.stdin.read()"
    with (
        create_named_pipe(pipe_name) as server,
        subprocess.Popen([sys.executable, "-S", "-c", program, pipe_name], stdin=subprocess.PIPE) as client,
    ):
        connect_named_pipe(server, 20)
        found = ClientProcess(server)
        client.communicate()
        assert (found.process.pid, found.process.program) == (client.pid, EXE)


def test_the_server_of_a_client_is_told(pipe_name: str) -> None:
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        server = server_of(client.handle)
    assert (server.pid, server.image) == (os.getpid(), sys.executable)
    assert server.user is not None
    assert server.user.rpartition("\\")[2] == USER


def test_a_client_of_this_computer_has_no_other_computer(pipe_name: str) -> None:
    with create_named_pipe(pipe_name) as server, connect(pipe_name):
        assert ClientProcess(server).computer is None


def test_where_the_system_cannot_tell_the_computer_there_is_none(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_pipe: Handle) -> str:
        raise UnsupportedError("not on this system")

    monkeypatch.setattr(peers, "get_named_pipe_client_computer_name", unknown)
    with create_named_pipe(pipe_name) as server, connect(pipe_name):
        client = ClientProcess(server)
        assert client.computer is None
        assert client.process.image == sys.executable


def test_the_program_of_a_client_is_known_without_looking_up_names(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "identify", lambda _seen: pytest.fail("names were looked up"))
    with create_named_pipe(pipe_name) as server, connect(pipe_name):
        client = ClientProcess(server)
        assert (client.pid, client.image) == (os.getpid(), sys.executable)


def test_of_another_computers_client_only_the_number_is_told(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "get_named_pipe_client_computer_name", lambda _pipe: "FAR")
    with create_named_pipe(pipe_name) as server, connect(pipe_name):
        client = ClientProcess(server)
        assert (client.process, client.computer) == (Process(os.getpid()), "FAR")


def test_of_another_computers_server_only_the_number_is_told(pipe_name: str) -> None:
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        client.handle.name = r"\\far\pipe\x"
        assert server_of(client.handle) == Process(os.getpid())


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"pid": os.getpid()},
        {"exe": EXE},
        {"exe": EXE.upper()},
        {"exe": sys.executable},
        {"user": USER},
        {"user": USER.upper()},
        {"pid": os.getpid(), "exe": EXE, "user": USER},
    ],
    ids=str,
)
def test_the_expected_server_passes(pipe_name: str, expected: dict[str, Any]) -> None:
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        Expected(**expected).check(client.handle)


@pytest.mark.parametrize(
    ("expected", "what"),
    [
        ({"pid": 0}, "process"),
        ({"pid": os.getpid() + 1, "exe": EXE}, "process"),
        ({"exe": "other.exe"}, "program"),
        ({"exe": EXE.partition(".")[0]}, "program"),
        ({"exe": r"C:\elsewhere" + "\\" + EXE}, "program"),
        ({"exe": ""}, "program"),
        ({"user": "somebody"}, "user"),
        ({"user": f"ELSEWHERE\\{USER}"}, "user"),
        ({"user": ""}, "user"),
    ],
    ids=str,
)
def test_another_server_is_an_error_that_tells_what_is_wrong(
    pipe_name: str, expected: dict[str, Any], what: str
) -> None:
    with create_named_pipe(pipe_name), connect(pipe_name) as client, pytest.raises(PeerMismatchError) as raised:
        Expected(**expected).check(client.handle)
    assert f"not the {what} " in raised.value.reason
    assert (
        hint_for(raised.value)
        == f"Nothing was sent. See which process serves the pipe: `pipectl info {short(pipe_name)}`"
    )


SYSTEM, ADMINISTRATORS, ME = "S-1-5-18", "S-1-5-32-544", current_user_sid()


@pytest.fixture
def owned_by(monkeypatch: pytest.MonkeyPatch) -> "Callable[[str], None]":
    """Have the system tell an owner for every pipe."""
    return lambda owner: monkeypatch.setattr(descriptors, "_descriptor_text", lambda *_: f"O:{owner}")


@pytest.mark.parametrize(
    ("owner", "expected", "passes"),
    [
        (ME, USER, True),
        (ME, ME, True),
        (SYSTEM, SYSTEM, True),
        (SYSTEM, account_name(SYSTEM), True),
        # What the process is said to be does not count against the owner of the pipe.
        (SYSTEM, USER, False),
        ("S-1-5-21-9-9-9-9", USER, False),
        # An elevated process, of which the user is known only by its token.
        (ADMINISTRATORS, USER, True),
        (ADMINISTRATORS, account_name(ADMINISTRATORS), True),
        (ADMINISTRATORS, "somebody", False),
    ],
)
def test_the_owner_of_the_pipe_decides_who_the_user_is(
    pipe_name: str, owned_by: "Callable[[str], None]", owner: str, expected: str, passes: bool
) -> None:
    owned_by(owner)
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        if passes:
            Expected(user=expected).check(client.handle)
            return
        with pytest.raises(PeerMismatchError) as raised:
            Expected(user=expected).check(client.handle)
    assert (account_name(owner) or owner) in raised.value.reason


def test_a_server_whose_process_tells_nothing_is_known_by_its_pipe(
    pipe_name: str, owned_by: "Callable[[str], None]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "glimpse", Glimpse)  # as of a service, or of an elevated program
    owned_by(SYSTEM)
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        Expected(user=account_name(SYSTEM)).check(client.handle)


def test_what_cannot_be_known_does_not_match(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "glimpse", Glimpse)
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        for expected in (Expected(exe=EXE), Expected(user=USER)):
            with pytest.raises(PeerMismatchError, match="an unknown program, run by an unknown user"):
                expected.check(client.handle)

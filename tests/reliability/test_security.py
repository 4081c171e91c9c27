"""What is protected: who may open, who may pose, what a server may do as its client, what a terminal or a log gets."""

import ctypes
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from ctypes import byref
from ctypes.wintypes import DWORD, HANDLE
from pathlib import Path
from typing import Any

import pytest

from pipectl.core.constants import Access, OpenMode, PipeMode, Sqos, Wait
from pipectl.core.errors import PipeAccessError, PipeClosedError
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.security.access_check import allowed
from pipectl.core.security.accounts import current_owner_sid, current_user_sid
from pipectl.core.security.descriptors import get_security, sddl_for, security_attributes
from pipectl.core.security.sddl import AccessEntry, Dacl
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_named_pipe
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import TokenAccess
from pipectl.core.win32.queries import get_local_info
from tests import pipes
from tests.pipes import read_file, reporting
from tests.runner import Pipectl, Running

# The owner of what this process makes is another where it is elevated, as it is under Wine.
ME, OWNER = current_user_sid(), current_owner_sid()
EVERYONE, ANONYMOUS, GUESTS = "S-1-1-0", "S-1-5-7", "S-1-5-32-546"
NETWORK, INTERACTIVE, SERVICE, LOCAL = "S-1-5-2", "S-1-5-4", "S-1-5-6", "S-1-2-0"
USERS, BUILTIN_USERS, ADMINS, SYSTEM = "S-1-5-11", "S-1-5-32-545", "S-1-5-32-544", "S-1-5-18"
STRANGER, LOCAL_SERVICE, APPS = "S-1-5-21-9-9-9-1234", "S-1-5-19", "S-1-15-2-1"
ALL, NONE, CLIENT = Access.FILE_ALL_ACCESS, Access.NONE, Access.PIPE_CLIENT

# The SIDs in the token of somebody, and what the default list lets that person do.
VIEWS: dict[str, tuple[set[str], Access]] = {
    "the server": ({ME, OWNER, EVERYONE, USERS, BUILTIN_USERS, INTERACTIVE, LOCAL}, ALL),
    "me": ({ME, EVERYONE, USERS, BUILTIN_USERS, INTERACTIVE, LOCAL}, ALL if OWNER == ME else CLIENT),
    "me over ssh": ({ME, EVERYONE, USERS, BUILTIN_USERS, NETWORK}, ALL if OWNER == ME else CLIENT),
    "another user": ({STRANGER, EVERYONE, USERS, BUILTIN_USERS, INTERACTIVE, LOCAL}, NONE),
    "another user over the network": ({STRANGER, EVERYONE, USERS, BUILTIN_USERS, NETWORK}, NONE),
    "an administrator": ({STRANGER, EVERYONE, USERS, BUILTIN_USERS, ADMINS, INTERACTIVE, LOCAL}, ALL),
    "an administrator over ssh": ({STRANGER, EVERYONE, USERS, ADMINS, NETWORK}, ALL),
    "the system": ({SYSTEM, EVERYONE, USERS}, ALL),
    "a service": ({LOCAL_SERVICE, EVERYONE, USERS, BUILTIN_USERS, SERVICE}, NONE),
    "a guest": ({STRANGER, EVERYONE, GUESTS, INTERACTIVE}, NONE),
    "nobody": ({ANONYMOUS}, NONE),
    "an app": ({APPS}, NONE),
}


def served_dacl(pipe: str, *allow: str) -> Dacl:
    """Serve a pipe for these, and read its access list from the system."""
    with (
        PipeServer(pipe, lambda _, data: data, config=PipeConfig(security=security_attributes(sddl_for(allow)))),
        connect(pipe) as client,
    ):
        dacl = get_security(client.handle).dacl
    assert dacl is not None
    return dacl


# Who may open


@pytest.mark.parametrize("who", VIEWS)
def test_the_default_list_as_another_user_sees_it(pipe_name: str, who: str) -> None:
    sids, expected = VIEWS[who]
    assert allowed(served_dacl(pipe_name), sids) == expected


def test_each_entry_of_the_default_list_is_needed(pipe_name: str) -> None:
    dacl = served_dacl(pipe_name)
    assert {entry.account for entry in dacl.entries} == {ME, OWNER, SYSTEM, ADMINS}
    for entry in dacl.entries:
        rest = Dacl(tuple(other for other in dacl.entries if other is not entry))
        assert [who for who, (sids, expected) in VIEWS.items() if allowed(rest, sids) != expected]


@pytest.mark.parametrize(
    ("allow", "sids"),
    [
        ("users", {STRANGER, EVERYONE, USERS}),
        ("everyone", {STRANGER, EVERYONE}),
        ("everyone", {GUESTS, EVERYONE}),
        ("appcontainer", {APPS}),
        (LOCAL_SERVICE, {LOCAL_SERVICE, EVERYONE, USERS}),
        (STRANGER, {STRANGER, EVERYONE, USERS}),
    ],
)
def test_those_who_are_let_in_can_be_clients_and_make_no_instance(pipe_name: str, allow: str, sids: set[str]) -> None:
    rights = allowed(served_dacl(pipe_name, allow), sids)
    assert rights == CLIENT
    assert not rights & (Access.FILE_CREATE_PIPE_INSTANCE | Access.WRITE_DAC | Access.WRITE_OWNER | Access.DELETE)


@pytest.mark.parametrize("allow", ["me", "admins", "users", "everyone", "appcontainer", STRANGER])
def test_whoever_is_let_in_nobody_else_is(pipe_name: str, allow: str) -> None:
    dacl = served_dacl(pipe_name, allow)
    masters = {ME, OWNER, SYSTEM} if allow == "me" else {ME, OWNER, SYSTEM, ADMINS}
    beside = {entry.account: entry.mask for entry in dacl.entries if entry.account not in masters}
    assert set(beside.values()) <= {CLIENT}
    assert len(beside) == (allow not in ("me", "admins"))


def test_an_owner_is_not_let_in_by_owning(pipe_name: str) -> None:
    """Ownership lets one change the list, and no more; here the owner is a master anyway."""
    entries = tuple(entry for entry in served_dacl(pipe_name).entries if entry.account != ME)
    assert allowed(Dacl(entries), {ME}, owner=ME) == Access.READ_CONTROL | Access.WRITE_DAC
    assert all(isinstance(entry, AccessEntry) for entry in entries)


# Who may pose as the server


class Calls(list[tuple[Any, ...]]):
    """The arguments of every call of a Win32 function."""


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Calls]:
    """Note the arguments of each call of a function of `winapi`."""

    def watch(name: str) -> Calls:
        calls, function = Calls(), getattr(winapi, name)

        def noted(*arguments: Any) -> Any:
            calls.append(arguments)
            return function(*arguments)

        monkeypatch.setattr(winapi, name, noted)
        return calls

    return watch


@pytest.mark.parametrize("allow_remote", [False, True])
def test_a_server_takes_the_first_instance_and_rejects_other_computers(
    pipe_name: str, spy: Callable[[str], Calls], allow_remote: bool
) -> None:
    calls = spy("CreateNamedPipeW")
    with (
        PipeServer(pipe_name, lambda _, data: data, config=PipeConfig(allow_remote=allow_remote)),
        connect(pipe_name) as client,
    ):
        client.transact(b"x", 10)
    assert len(calls) > 1
    assert [bool(mode & OpenMode.FIRST_PIPE_INSTANCE) for _, mode, *_ in calls] == [True] + [False] * (len(calls) - 1)
    assert {bool(mode & PipeMode.REJECT_REMOTE_CLIENTS) for _, _, mode, *_ in calls} == {not allow_remote}


@pytest.mark.windows(reason="Wine does not keep the flag")
def test_the_kernel_knows_that_other_computers_are_rejected(pipe_name: str) -> None:
    with create_named_pipe(pipe_name) as server:
        assert get_local_info(server).rejects_remote


@pytest.mark.windows(reason="Wine does not enforce FILE_FLAG_FIRST_PIPE_INSTANCE")
def test_a_name_that_somebody_else_has_is_not_served(pipe_name: str) -> None:
    with create_named_pipe(pipe_name), pytest.raises(PipeAccessError):
        PipeServer(pipe_name, lambda _, data: data).start()


# What a server may do in its client's name

LEVELS = {Sqos.IDENTIFICATION: 1, Sqos.IMPERSONATION: 2, Sqos.DELEGATION: 3}
_TOKEN_IMPERSONATION_LEVEL = 9


@contextmanager
def impersonated(pipe: Handle) -> Iterator[None]:
    winapi.ImpersonateNamedPipeClient(pipe)
    try:
        yield
    finally:
        winapi.RevertToSelf()


def level_of_client(pipe: Handle) -> int:
    """Impersonate the client, and ask the system how far that goes."""
    token, level = HANDLE(), DWORD()
    with impersonated(pipe):
        winapi.OpenThreadToken(winapi.GetCurrentThread(), TokenAccess.QUERY, True, byref(token))
    with Handle(token.value) as owner:
        size = ctypes.sizeof(level)
        winapi.GetTokenInformation(owner, _TOKEN_IMPERSONATION_LEVEL, byref(level), size, byref(DWORD()))
    return level.value


@pytest.mark.windows(reason="Wine gives a server the level impersonation, whatever its client allows")
@pytest.mark.parametrize("options", [{}, *({"sqos": sqos} for sqos in LEVELS)], ids=str)
def test_a_server_gets_the_level_that_its_client_allows(pipe_name: str, options: dict[str, Sqos]) -> None:
    with create_named_pipe(pipe_name) as server, connect(pipe_name, **options) as client:  # type: ignore[arg-type]
        client.send(b"x")
        read_file(server, 10, 10)
        assert level_of_client(server) == LEVELS[options.get("sqos", Sqos.IDENTIFICATION)]


_SQOS = 0x0013_0000


@pytest.mark.parametrize(
    ("options", "sqos"),
    [
        # SECURITY_SQOS_PRESENT, and SECURITY_IDENTIFICATION and so on, as winbase.h has them.
        ([], 0x0011_0000),
        (["--sqos", "anonymous"], 0x0010_0000),
        (["--sqos", "impersonation"], 0x0012_0000),
        (["--sqos", "delegation"], 0x0013_0000),
    ],
)
@pytest.mark.parametrize("command", [["call", "x"], ["transact", "x"], ["peek"], ["info"], ["state"]], ids=" ".join)
def test_a_server_may_identify_the_client_and_no_more_unless_told(
    pipectl: Pipectl, pipe_name: str, spy: Callable[[str], Calls], command: list[str], options: list[str], sqos: int
) -> None:
    calls = spy("CreateFileW")
    name, *data = command
    greeting = b"something to peek at" if name == "peek" else None
    with PipeServer(pipe_name, lambda _, message: message, events=reporting(connected=lambda _: greeting)):
        assert pipectl(name, pipe_name, *data, *options, "--timeout", "2").exit_code == 0
    opened = [flags for pipe, _, _, _, _, flags, _ in calls if pipe == pipe_name]
    assert opened
    assert {flags & _SQOS for flags in opened} == {sqos}


# What a terminal, a log and a program get

HOSTILE = [
    b"\x1b]0;owned\x07\x1b[2J",
    b"& calc.exe | more > file && exit",
    b"\"; $(exit) `exit` %PATH% ^ ' \\",
    b"--help",
    b"\0\r\n\x1a" * 10,
    "\u202e\u2066/../..\\".encode(),
]


def test_a_hostile_message_reaches_a_program_on_its_stdin_alone(
    pipe_name: str, running: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its arguments and its environment hold none of it, and what the server inherited does not pass for a fact."""
    facts = ("PID", "EXE", "USER", "SESSION")
    for fact in facts:
        monkeypatch.setenv(f"PIPECTL_CLIENT_{fact}", "forged")
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, sys\n"
        "data = sys.stdin.buffer.read()\n"
        "print(json.dumps([data.hex(), sys.argv[1:], dict(os.environ), os.getcwd()]))\n"
    )
    server = running("serve", pipe_name, "--log", "none", "--exec", sys.executable, "-S", str(program), "fixed")
    assert server.said().startswith("serving")
    with connect(pipe_name, 20, wait=Wait.EXISTS) as client:
        for message in HOSTILE:
            data, arguments, environment, directory = json.loads(client.transact(message, 30))
            assert bytes.fromhex(data) == message
            assert arguments == ["fixed"]
            assert directory == os.getcwd()  # noqa: PTH109
            assert "forged" not in [environment[f"PIPECTL_CLIENT_{fact}"] for fact in facts]
            assert environment["PIPECTL_CLIENT_PID"] == str(os.getpid())
            known = {name.upper() for name in os.environ} | {f"PIPECTL_CLIENT_{fact}" for fact in facts}
            assert {name.upper() for name in environment} <= known


@pytest.mark.parametrize("form", [(), ("--json",), ("--as", "text", "--encoding", "utf-16-le")], ids=str)
def test_a_servers_log_is_harmless_whatever_clients_send(
    pipe_name: str, running: Callable[..., Running], form: tuple[str, ...]
) -> None:
    server = running("serve", pipe_name, "--count", "1", *form)
    assert "serving" in server.said()
    with connect(pipe_name, 20) as client:
        for message in HOSTILE:
            assert client.transact(message, 20) == message
    result = server.end()
    assert result.exit_code == 0
    assert all(line.isprintable() for line in result.text.splitlines())
    listening = form == ("--json",)
    assert len(result.text.splitlines()) == listening + 2 + 2 * len(HOSTILE)


SECRET = "hunter2-correct-horse"


@pytest.mark.parametrize(
    "options",
    [
        ["--hex", SECRET],
        ["--base64", SECRET + "!"],
        ["--escapes", SECRET + r"\q"],
        ["--encoding", "ascii", SECRET + "é"],
        ["--encoding", "no-such-encoding", SECRET],
        ["--data-file", "no-such-file", SECRET],
        ["--until", "nonsense", SECRET],
        ["--timeout", "soon", SECRET],
        [SECRET, "--max-message", "3"],
        [SECRET],
        [SECRET, "--native"],
        [SECRET, "--expect-exe", "another.exe"],
        ["--hex", SECRET.encode().hex(), "--max-message", "3", "--as", "text"],
    ],
    ids=lambda options: " ".join(options).replace(SECRET, "SECRET"),
)
@pytest.mark.parametrize("form", [["-v"], ["--json", "--debug"]], ids=str)
@pytest.mark.parametrize("there", ["absent", "silent", "rude"])
def test_no_error_tells_what_was_sent(
    pipectl: Pipectl, pipe_name: str, there: str, options: list[str], form: list[str]
) -> None:
    """However a call fails: there is no pipe, a server never answers, or it lets its client go."""

    def refuse(client: Any, _data: bytes) -> None:
        if there == "rude":
            client.close()

    timeout = [] if "--timeout" in options else ["--timeout", "50ms" if there == "silent" else "5"]
    with perhaps(there != "absent", lambda: PipeServer(pipe_name, refuse)):
        result = pipectl("call", pipe_name, *options, *form, *timeout)
    assert result.exit_code not in (0, 1)
    assert SECRET not in result.stderr
    assert SECRET.encode().hex() not in result.stderr
    assert result.stdout == b""


def perhaps(wanted: bool, make: Callable[[], PipeServer]) -> "PipeServer | nullcontext[None]":
    """Make a server to have around a block, or nothing."""
    return make() if wanted else nullcontext()


def test_no_error_of_the_core_tells_what_was_sent(pipe_name: str) -> None:
    with create_named_pipe(pipe_name) as server, connect(pipe_name) as client:
        client.send(SECRET.encode())
        pipes.disconnect_named_pipe(server)
        with pytest.raises(PipeClosedError) as raised:
            client.send(SECRET.encode())
        assert SECRET not in repr(raised.value) + str(raised.value)

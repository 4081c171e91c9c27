"""All that can be known of a pipe; what cannot is absent."""

import os
from typing import Any

import pytest

from pipectl.core.constants import OpenMode, PipeMode, ReadMode, WaitMode
from pipectl.core.errors import PipeNotFoundError, PipeStateError, UnsupportedError
from pipectl.core.inventory import details
from pipectl.core.inventory.details import change_state, glance, handle_state, inspect, listing
from pipectl.core.models import PipeEntry
from pipectl.core.pipe.connection import TO_ASK, connect, open_pipe
from pipectl.core.security import tokens
from pipectl.core.security.access_check import Integrity
from pipectl.core.security.accounts import current_user_sid
from pipectl.core.security.descriptors import SecurityInfo
from pipectl.core.security.sddl import parse
from pipectl.core.win32.calls import create_named_pipe
from pipectl.core.win32.queries import get_named_pipe_handle_state

ME = current_user_sid()


def fail(*_arguments: object) -> None:
    raise UnsupportedError("not on this system")


def test_a_pipe_is_told_with_all_that_is_known(pipe_name: str) -> None:
    with create_named_pipe(pipe_name, max_instances=2), open_pipe(pipe_name, access=TO_ASK) as pipe:
        told = inspect(pipe)
    assert (told["pipe"], told["type"], told["direction"], told["state"]) == (
        pipe_name,
        "message",
        "duplex",
        "connected",
    )
    assert (told["instances"], told["max_instances"]) == (1, 2)
    assert told["server"]["pid"] == os.getpid()
    assert set(told["security"]) == {"owner", "group", "access", "integrity", "sddl"}


@pytest.mark.parametrize(
    ("descriptor", "you_may"),
    [
        (f"D:P(A;;GA;;;{ME})", "full control"),
        (f"O:SYD:P(A;;GR;;;{ME})", "read"),
        (f"O:{ME}D:P(A;;GR;;;{ME})", "read and change the ACL"),
        (f"O:SYD:P(A;;0x12019b;;;{ME})", "read and write"),
        ("O:SYD:P(A;;GA;;;SY)", "nothing"),
        (f'O:SYD:P(A;;GR;;;{ME})(XA;;0x12019b;;;{ME};(@User.x=="1"))', "read (perhaps read and write)"),
    ],
)
def test_what_this_process_may_do_is_judged_by_the_list(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch, descriptor: str, you_may: str
) -> None:
    found = parse(descriptor)
    info = SecurityInfo(descriptor, found.owner, None, None, None, found.dacl, found.label)
    monkeypatch.setattr(details, "get_security", lambda _: info)
    with create_named_pipe(pipe_name), open_pipe(pipe_name, access=TO_ASK) as pipe:
        told = inspect(pipe)
    assert list(told)[-1] == "you_may"
    assert told["you_may"] == you_may


def test_a_label_that_keeps_this_process_out_shows_in_what_it_may(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = parse(f"O:SYD:P(A;;GA;;;{ME})S:(ML;;NW;;;SI)")
    info = SecurityInfo("", found.owner, None, None, None, found.dacl, found.label)
    medium = tokens.current()._replace(integrity=Integrity.MEDIUM)
    monkeypatch.setattr(details, "get_security", lambda _: info)
    monkeypatch.setattr(tokens, "current", lambda: medium)
    with create_named_pipe(pipe_name), open_pipe(pipe_name, access=TO_ASK) as pipe:
        assert inspect(pipe)["you_may"] == "read"


def test_without_a_list_what_this_process_may_do_is_absent(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(details, "get_security", lambda _: SecurityInfo("", None, None, None, None, None, None))
    with create_named_pipe(pipe_name), open_pipe(pipe_name, access=TO_ASK) as pipe:
        assert inspect(pipe)["you_may"] is None


@pytest.mark.parametrize("what", ["get_local_info", "server_of", "get_security"])
def test_what_the_system_does_not_tell_is_absent_and_the_rest_is_told(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(details, what, fail)
    with create_named_pipe(pipe_name), open_pipe(pipe_name, access=TO_ASK) as pipe:
        told = inspect(pipe)
    absent = {"get_local_info": "direction", "server_of": "server", "get_security": "security"}
    assert told["type"] == "message"
    assert {field for field in absent.values() if told[field] is None} == {absent[what]}


@pytest.mark.parametrize("open_mode", [OpenMode.INBOUND, OpenMode.OUTBOUND])
def test_a_pipe_of_one_direction_can_be_told(pipe_name: str, open_mode: OpenMode) -> None:
    with create_named_pipe(pipe_name, open_mode), open_pipe(pipe_name, access=TO_ASK) as pipe:
        assert inspect(pipe)["type"] == "message"


# Without opening it


@pytest.fixture
def directory(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the pipe, in another case, in the directory of pipes."""
    name = pipe_name.rpartition("\\")[2].upper()
    monkeypatch.setattr(details, "known_pipes", lambda: [PipeEntry("other", 9, 9), PipeEntry(name, 3, None)])
    return name


@pytest.mark.usefixtures("directory")
def test_a_glance_tells_what_the_directory_says(pipe_name: str) -> None:
    with create_named_pipe(pipe_name):
        told = glance(pipe_name)
    assert told == {
        "pipe": pipe_name,
        "is": "free",
        "instances": 3,
        "unlimited": True,
        "pid_hint": None,
    }


def test_a_glance_needs_no_directory(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(details, "known_pipes", list)
    with create_named_pipe(pipe_name, max_instances=1), connect(pipe_name):
        assert glance(pipe_name) == {"pipe": pipe_name, "is": "busy", "pid_hint": None}


def test_an_absent_pipe_is_an_error(pipe_name: str) -> None:
    with pytest.raises(PipeNotFoundError):
        glance(pipe_name)


def test_an_entry_of_the_directory_is_told_with_its_hint() -> None:
    assert listing(PipeEntry("dotnet-diagnostic-42", 1, 7)) == {
        "name": "dotnet-diagnostic-42",
        "instances": 1,
        "max_instances": 7,
        "pid_hint": 42,
    }


# The state of a handle


def test_the_state_of_a_handle_is_told_in_words(pipe_name: str) -> None:
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        told = handle_state(client.handle)
    assert (told["read_mode"], told["wait_mode"], told["instances"]) == ("message", "wait", 1)


@pytest.mark.windows(reason="Wine tells collection values of a local pipe, and the user of any handle", claim="W15")
def test_what_only_other_handles_have_is_absent(pipe_name: str) -> None:
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        told = handle_state(client.handle)
    assert told["collect_count"] is told["collect_timeout"] is told["user"] is None


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({}, (True, False)),
        ({"read_mode": ReadMode.BYTE}, (False, False)),
        ({"wait_mode": WaitMode.NOWAIT}, (True, True)),
        ({"read_mode": ReadMode.BYTE, "wait_mode": WaitMode.NOWAIT}, (False, True)),
    ],
    ids=str,
)
def test_a_change_leaves_what_was_not_asked_for(
    pipe_name: str, changes: dict[str, Any], after: tuple[bool, bool]
) -> None:
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        change_state(client.handle, **changes)
        state = get_named_pipe_handle_state(client.handle)
        assert (state.is_message_mode, state.is_nowait) == after
        change_state(client.handle, read_mode=ReadMode.MESSAGE, wait_mode=WaitMode.WAIT)
        state = get_named_pipe_handle_state(client.handle)
        assert (state.is_message_mode, state.is_nowait) == (True, False)


def test_no_change_asks_nothing_of_the_system(pipe_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(details, "set_named_pipe_handle_state", fail)
    with create_named_pipe(pipe_name), connect(pipe_name) as client:
        change_state(client.handle)


def test_a_byte_pipe_refuses_message_mode(pipe_name: str) -> None:
    with (
        create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE),
        connect(pipe_name) as client,
        pytest.raises(PipeStateError),
    ):
        change_state(client.handle, read_mode=ReadMode.MESSAGE)

"""Security that the system keeps: given to pipes and read back."""

import ctypes
import gc
import time
from ctypes import byref, c_void_p

import pytest

from pipectl.core.constants import Access, OpenMode
from pipectl.core.errors import PipeAccessError
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.security import accounts, tokens
from pipectl.core.security.access_check import Token, allowed
from pipectl.core.security.accounts import account_name, account_sid, current_owner_sid, current_user_sid
from pipectl.core.security.descriptors import get_security, pipe_security, sddl_for, security_attributes
from pipectl.core.security.sddl import Dacl, parse
from pipectl.core.security.sids import EVERYONE, canonical, from_bytes, to_bytes
from pipectl.core.win32 import calls, winapi

ME, OWNER = current_user_sid(), current_owner_sid()


# Given and read back


def test_a_pipe_has_the_list_that_it_was_made_with(pipe_name: str) -> None:
    text = f"D:P(D;;GA;;;NU)(A;;GA;;;{ME})(A;;GA;;;SY)(A;;0x12019b;;;AU)"
    with calls.create_named_pipe(pipe_name, security=security_attributes(text)) as server:
        found = get_security(server)
    assert found.dacl == parse(text).dacl
    assert parse(found.sddl).dacl == found.dacl
    assert found.owner is not None
    assert found.owner_name == (account_name(found.owner) or found.owner)


def test_a_client_can_read_it_too(pipe_name: str) -> None:
    text = f"D:P(A;;GA;;;{ME})"
    attributes = security_attributes(text)
    with (
        calls.create_named_pipe(pipe_name, security=attributes),
        calls.create_file(pipe_name, Access.READ_CONTROL) as end,
    ):
        assert get_security(end).dacl == parse(text).dacl


def test_an_empty_list_is_found_empty(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name, security=security_attributes("D:P")) as server:
        assert get_security(server).dacl == Dacl()


@pytest.mark.windows(reason="Wine makes an empty list of none")
def test_a_missing_list_is_found_missing(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name, security=security_attributes("D:NO_ACCESS_CONTROL")) as server:
        assert get_security(server).dacl == Dacl(is_null=True)


@pytest.mark.windows(reason="Wine keeps no label on a pipe")
def test_a_label_is_read_back(pipe_name: str) -> None:
    text = f"D:P(A;;GA;;;{ME})S:(ML;;NW;;;LW)"
    with calls.create_named_pipe(pipe_name, security=security_attributes(text)) as server:
        assert get_security(server).label == parse(text).label


def test_nothing_is_invented_for_a_default_descriptor(pipe_name: str) -> None:
    with calls.create_named_pipe(pipe_name) as server:
        found = get_security(server)
    if found.sddl:
        assert found.owner is not None
        assert found.dacl is not None
        # Windows' default lets everyone read, and no more.
        assert allowed(found.dacl, {EVERYONE}) == Access.FILE_GENERIC_READ
    else:  # Wine
        assert found == ("", None, None, None, None, None, None)


def test_all_instances_share_one_descriptor_after_its_maker_forgot_it(pipe_name: str) -> None:
    with PipeServer(
        pipe_name, lambda _, data: data, config=PipeConfig(security=security_attributes(sddl_for(["users"])))
    ):
        gc.collect()
        found = set()
        with connect(pipe_name) as first, connect(pipe_name) as second, connect(pipe_name) as third:
            for client in (first, second, third):
                assert client.transact(b"x", 5) == b"x"
                found.add(get_security(client.handle).sddl)
    assert len(found) == 1
    assert parse(found.pop()).dacl == parse(sddl_for(["users"])).dacl


def test_attributes_are_not_inherited_and_give_their_memory_back() -> None:
    freed: list[int | None] = []
    free = winapi.LocalFree

    def spy(pointer: c_void_p) -> None:
        freed.append(pointer.value)
        free(pointer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winapi, "LocalFree", spy)
        attributes = security_attributes("D:P(A;;GA;;;WD)")
    assert len(freed) == 1
    assert attributes.lpSecurityDescriptor not in freed
    assert not attributes.bInheritHandle
    assert attributes.nLength == ctypes.sizeof(winapi.SECURITY_ATTRIBUTES)


@pytest.mark.parametrize("text", ["hello", "D:(A;;GA;;;WD", "D:(A;;GA;;;QQ)", "D:(A;;GA;;;WD)\0"])
def test_a_text_that_the_system_refuses_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the type is the contract
        security_attributes(text)


# Whom a server lets in


def test_the_default_is_me_the_system_and_the_administrators() -> None:
    dacl = parse(sddl_for()).dacl
    assert dacl is not None
    for sid in (OWNER, canonical("SY"), canonical("BA")):
        assert allowed(dacl, {sid}) == Access.FILE_ALL_ACCESS
    assert allowed(dacl, {ME}) == (Access.FILE_ALL_ACCESS if OWNER == ME else Access.PIPE_CLIENT)
    assert allowed(dacl, {EVERYONE, canonical("AU"), canonical("BU")}) == Access.NONE


def test_a_program_of_this_computer_that_came_over_the_network_is_let_in() -> None:
    dacl = parse(sddl_for(["users"])).dacl
    assert dacl is not None
    assert allowed(dacl, {canonical("AU"), canonical("NU")}) == Access.PIPE_CLIENT


@pytest.mark.parametrize("entry", ["(A;;0x12019b;;;AU)", f"(D;;0x4;;;WD)(A;;GA;;;{ME})", ""])
def test_a_list_that_gives_the_server_one_instance_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="one client at a time") as raised:
        pipe_security([f"sddl:D:P{entry}"])
    assert f"(A;;GA;;;{OWNER})" in str(raised.value)


def test_what_only_denies_gives_the_server_no_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    administrators = canonical("BA")
    monkeypatch.setattr(tokens, "current", lambda: Token(ME, deny_only=frozenset({administrators})))
    with pytest.raises(ValueError, match="one client at a time"):
        pipe_security([f"sddl:D:P(A;;GA;;;BA)(A;;0x12019b;;;{ME})"])


@pytest.mark.parametrize(
    "allow", [[], ["me"], ["admins"], ["users"], ["everyone"], ["appcontainer"], ["S-1-5-32-545"], ["Users"]]
)
def test_the_system_accepts_every_preset_and_so_does_a_second_instance(pipe_name: str, allow: list[str]) -> None:
    attributes = security_attributes(sddl_for(allow))
    with (
        calls.create_named_pipe(
            pipe_name, OpenMode.DUPLEX | OpenMode.OVERLAPPED | OpenMode.FIRST_PIPE_INSTANCE, security=attributes
        ) as first,
        calls.create_named_pipe(pipe_name, security=attributes),
    ):
        assert get_security(first).dacl == parse(sddl_for(allow)).dacl


@pytest.mark.windows(reason="Wine lets everybody open every pipe")
def test_a_client_that_may_read_and_write_can_connect_and_cannot_serve(pipe_name: str) -> None:
    first = OpenMode.DUPLEX | OpenMode.OVERLAPPED | OpenMode.FIRST_PIPE_INSTANCE
    attributes = security_attributes(f"D:P(A;;0x12019b;;;{ME})")
    with calls.create_named_pipe(pipe_name, first, security=attributes):
        connect(pipe_name).close()
        with pytest.raises(PipeAccessError):
            calls.create_named_pipe(pipe_name, security=attributes).close()


def test_a_list_is_told_line_by_line() -> None:
    me = account_name(ME) or ME
    words = [f"{me}: full control", "Authenticated Users: read and write"]
    assert pipe_security([f"sddl:D:P(A;;GA;;;{ME})(A;;0x12019b;;;AU)"]).in_words() == words
    assert pipe_security(["sddl:D:NO_ACCESS_CONTROL"]).in_words()[0].startswith("Everyone")
    assert pipe_security(["sddl:O:SY"]).in_words()


def test_those_who_are_let_in_have_short_names() -> None:
    assert pipe_security([f"sddl:D:P(D;;GA;;;NU)(A;;GA;;;{ME})(A;;GR;;;{ME})(A;;0x12019b;;;AU)"]).admitted() == [
        "you",
        "Authenticated Users",
    ]
    assert pipe_security(["sddl:D:NO_ACCESS_CONTROL"]).admitted() == ["Everyone"]


def test_the_label_is_told_too() -> None:
    assert pipe_security(["appcontainer"]).in_words()[-1].startswith("Low integrity")


# Accounts


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The look-ups that the system was asked for, with nothing remembered before."""
    asked = []
    real = winapi.LookupAccountSidW

    def look_up(*arguments: object) -> int:
        asked.append(1)
        code: int = real(*arguments)
        return code

    monkeypatch.setattr(winapi, "LookupAccountSidW", look_up)
    monkeypatch.setattr(accounts, "_names", {})
    return asked


def test_a_name_is_looked_up_once(lookups: list[int]) -> None:
    assert account_name(ME) == account_name(ME) is not None
    assert len(lookups) == 1


def test_that_there_is_no_name_is_believed_for_a_minute(lookups: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for _ in range(3):
        assert account_name("S-1-5-21-9-9-9-9") is None
    assert len(lookups) == 1
    now[0] += 61
    assert account_name("S-1-5-21-9-9-9-9") is None
    assert len(lookups) == 2


def test_an_account_is_found_by_its_name_and_back() -> None:
    name = account_name(ME)
    assert name is not None
    assert account_sid(name) == ME
    administrators = account_name("S-1-5-32-544")
    assert administrators is not None
    assert account_sid(administrators) == account_sid(administrators.split("\\")[-1]) == "S-1-5-32-544"


def test_what_is_no_account_is_not_found() -> None:
    assert account_sid("no such account here") is None
    # Computers and domains have SIDs, and are nobody who could open a pipe.
    assert account_sid("BUILTIN") is None
    assert account_sid("") is None


_LONG_SID = pytest.param(
    "S-1-0xFFFFFFFFFFFF-1-4294967295",
    marks=pytest.mark.windows(reason="Wine reads no more than 32 bits of an authority"),
)


@pytest.mark.parametrize("sid", [ME, EVERYONE, "S-1-5-32-544", "S-1-15-2-1", _LONG_SID])
def test_our_sids_are_the_systems(sid: str) -> None:
    binary = c_void_p()
    winapi.ConvertStringSidToSidW(sid, byref(binary))
    try:
        ours = to_bytes(sid.upper())
        assert ctypes.string_at(binary.value or 0, len(ours)) == ours
        assert from_bytes(ours) == sid
    finally:
        winapi.LocalFree(binary)

"""Checks claims about access lists, integrity levels and impersonation; each function returns what it observed."""

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack
from ctypes import byref, c_void_p
from ctypes.wintypes import BOOL, DWORD, HANDLE
from functools import partial
from itertools import product

from pipectl.core.constants import Access, OpenMode, PipeMode, Sqos, WinError
from pipectl.core.errors import PipeError
from pipectl.core.security import sddl, sids
from pipectl.core.security.access_check import Token, judge
from pipectl.core.security.accounts import current_owner_sid, current_user_sid
from pipectl.core.security.descriptors import get_security, security_attributes
from pipectl.core.security.tokens import current
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_file, create_named_pipe
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import TokenAccess, TokenInformation
from pipectl.core.win32.queries import set_named_pipe_handle_state

from . import tokens
from .fixture import Fixture, NotTried, Observed, code_of, codes, read, write

_LOW = "S:(ML;;NW;;;LW)"
_NETWORK = "S-1-5-2"
_MEDIUM = 8192
_LONG_SID = "S-1-0xFFFFFFFFFFFF-1-4294967295"
# TOKEN_ELEVATION_TYPE: a token that is one half of two.
_SPLIT = (2, 3)


def _pipe(fixture: Fixture, text: str, open_mode: OpenMode = OpenMode.DUPLEX | OpenMode.OVERLAPPED) -> Handle:
    """Create an instance with a security descriptor; the fixture closes it."""
    return fixture.enter_context(create_named_pipe(fixture.name(), open_mode, security=security_attributes(text)))


def _open(server: Handle, access: Access = Access.DUPLEX) -> int:
    """Return the error code of opening a server's pipe."""
    return code_of(create_file, server.name, access)


# Access lists


def foreign_list(fixture: Fixture) -> str:
    """Return the code of opening a pipe that only SYSTEM may open."""
    if current_user_sid() == sids.SYSTEM:
        raise NotTried("this process runs as SYSTEM")
    return codes(_open(_pipe(fixture, "D:P(A;;GA;;;SY)")))


def restricted_token(fixture: Fixture) -> str:
    """Return the codes of opening a pipe for Everyone with and without that group, and of one for the user."""
    for_everyone, for_user = "D:P(A;;GA;;;WD)", f"D:P(A;;GA;;;{current_user_sid()})"
    with_group = _open(_pipe(fixture, for_everyone))
    servers = [_pipe(fixture, text) for text in (for_everyone, for_user)]
    with tokens.without_group(sids.EVERYONE) as token, tokens.as_token(token):
        return codes(with_group, *map(_open, servers))


def client_rights(fixture: Fixture) -> str:
    """Return the code of opening for reading and writing with the rights of a client."""
    return codes(_open(_pipe(fixture, f"D:P(A;;{Access.PIPE_CLIENT:#x};;;{current_user_sid()})")))


def further_instance(fixture: Fixture) -> str:
    """Return the code of creating a second instance without the right to."""
    server = _pipe(fixture, f"D:P(A;;{Access.PIPE_CLIENT:#x};;;{current_user_sid()})")
    return codes(code_of(create_named_pipe, server.name))


def order_of_checks(fixture: Fixture) -> str:
    """Return the codes of opening a busy pipe in the wrong direction and in the right one."""
    server = fixture.enter_context(create_named_pipe(fixture.name(), OpenMode.OUTBOUND | OpenMode.OVERLAPPED))
    with create_file(str(server.name), Access.GENERIC_READ):
        return codes(_open(server, Access.GENERIC_WRITE), _open(server, Access.GENERIC_READ))


def set_state(fixture: Fixture) -> str:
    """Return the codes of setting message read mode without and with FILE_WRITE_ATTRIBUTES."""
    found = []
    for more in (Access.NONE, Access.FILE_WRITE_ATTRIBUTES):
        pipe = fixture.name()
        with create_named_pipe(pipe), create_file(pipe, Access.GENERIC_READ | more) as client:
            found.append(code_of(set_named_pipe_handle_state, client, PipeMode.READ_MESSAGE))
    return codes(*found)


def null_dacl(fixture: Fixture) -> str:
    """Return whether a pipe that was created with a NULL DACL reports one."""
    dacl = get_security(_pipe(fixture, "D:NO_ACCESS_CONTROL")).dacl
    return "no list" if dacl is not None and dacl.is_null else "a list"


def default_dacl(fixture: Fixture) -> str:
    """Return what the default ACL of a pipe grants to Everyone and to Anonymous."""
    dacl = get_security(fixture.enter_context(create_named_pipe(fixture.name()))).dacl
    masks = {entry.account: entry.mask for entry in dacl.effective} if dacl else {}
    return ", ".join(hex(masks.get(account, Access.NONE)) for account in (sids.EVERYONE, sids.ANONYMOUS))


def owner_rights(fixture: Fixture) -> str:
    """Return which standard rights the owner of a pipe has if its ACL grants none of them."""
    owner = current_owner_sid()
    # CreateFile always requests these two.
    least = Access.SYNCHRONIZE | Access.FILE_READ_ATTRIBUTES
    asked = (Access.DELETE, Access.READ_CONTROL, Access.WRITE_DAC, Access.WRITE_OWNER)
    allowed = []
    for right in asked:
        server = _pipe(fixture, f"O:{owner}D:P(A;;{least:#x};;;{owner})(A;;{least:#x};;;{current_user_sid()})")
        if _open(server, right) == 0:
            allowed.append(str(right.name))
    return ", ".join(allowed)


def judged_alike(_fixture: Fixture) -> str:
    """Return whether AccessCheck and `judge` grant the same rights for short ACLs."""
    if tokens.integrity() < _MEDIUM:
        raise NotTried("this process is below medium integrity")
    own = current()
    everyone, stranger = sids.EVERYONE, "S-1-5-21-9-9-9-9"
    group = min(own.groups - {everyone})
    entries = [f"({kind};;{mask};;;{sid})" for kind, mask, sid in product("AD", ("FR", "0x3"), (everyone, group))]
    lists = [
        *(f"{first}{second}" for first, second in product(entries, entries[:7])),
        f"(A;;FA;;;{stranger})",
        "(A;;GA;;;OW)",
        "(A;;FA;;;AN)",
        "",
    ]
    with tokens.own_token() as token:
        differ = sum(not _is_judged_alike(text, token, own) for text in lists)
    return f"{differ} of {len(lists)} lists differ" if differ else "the same"


def _is_judged_alike(entries: str, token: Handle, own: Token) -> bool:
    text = f"O:S-1-5-21-9-9-9-9G:S-1-5-21-9-9-9-9D:{entries}"
    dacl = sddl.parse(text).dacl
    assert dacl is not None
    descriptor = sddl.Descriptor("S-1-5-21-9-9-9-9", "S-1-5-21-9-9-9-9", dacl, None)
    return all(
        judge(descriptor, own, right).is_allowed == is_allowed for right, is_allowed in _access_check(text, token)
    )


def _access_check(text: str, token: Handle) -> Iterator[tuple[Access, bool]]:
    """Yield each right of a file and whether AccessCheck grants it; not WRITE_OWNER, which a privilege also grants."""
    mapping = winapi.GENERIC_MAPPING(
        Access.FILE_GENERIC_READ, Access.FILE_GENERIC_WRITE, Access.FILE_GENERIC_EXECUTE, Access.FILE_ALL_ACCESS
    )
    attributes = security_attributes(text)
    privileges, granted, status = ctypes.create_string_buffer(4096), DWORD(), BOOL()
    with tokens.impersonation_copy(token) as copy:
        for right in Access:
            if right not in Access.FILE_ALL_ACCESS & ~Access.WRITE_OWNER:
                continue
            size = DWORD(len(privileges))
            winapi.AccessCheck(
                attributes.lpSecurityDescriptor,
                copy,
                right,
                byref(mapping),
                privileges,
                byref(size),
                byref(granted),
                byref(status),
            )
            yield right, bool(status)


def long_authority(_fixture: Fixture) -> str:
    """Return whether the system's binary form of a SID equals pipectl's."""
    binary = c_void_p()
    winapi.ConvertStringSidToSidW(_LONG_SID, byref(binary))
    try:
        ours = sids.to_bytes(_LONG_SID.upper())
        return "the same bytes" if ctypes.string_at(binary.value or 0, len(ours)) == ours else "others"
    finally:
        winapi.LocalFree(binary)


# Integrity, AppContainers and kinds of logon


def label_kept(fixture: Fixture) -> str:
    """Return the integrity label of a pipe that was created with a low one."""
    label = get_security(_pipe(fixture, f"D:P(A;;GA;;;{current_user_sid()}){_LOW}")).label
    if label is None:
        return "none"
    return "low, no write up" if label == sddl.parse(_LOW).label else "another"


def low_integrity(fixture: Fixture) -> str:
    """Return the codes of opening a pipe without a label at low integrity, for reading and for writing."""
    text = f"D:P(A;;GA;;;{current_user_sid()})"
    readable, writable = _pipe(fixture, text), _pipe(fixture, text)
    with tokens.at_low_integrity() as token, tokens.as_token(token):
        return codes(_open(readable, Access.GENERIC_READ), _open(writable, Access.GENERIC_WRITE))


def app_container(fixture: Fixture) -> str:
    """Return the codes of opening a pipe from an AppContainer, without and with an entry for AppContainers."""
    for_user = f"(A;;GA;;;{current_user_sid()})"
    closed = _pipe(fixture, f"D:P{for_user}{_LOW}")
    opened = _pipe(fixture, f"D:P{for_user}(A;;GA;;;AC){_LOW}")
    try:
        with tokens.of_app_container() as token, tokens.as_token(token):
            return codes(_open(closed), _open(opened))
    except PipeError as error:
        raise NotTried(f"no token of an AppContainer can be made: {error.function}, {error.code}") from error


def network_logon(fixture: Fixture) -> str:
    """Return whether an ACL that denies NETWORK denies this process exactly if its token has that group."""
    code = _open(_pipe(fixture, f"D:P(D;;GA;;;NU)(A;;GA;;;{current_user_sid()})"))
    is_remote = tokens.has_group(_NETWORK)
    return "as the token says" if is_remote == (code == WinError.ACCESS_DENIED) else f"{code}"


def linked_token(_fixture: Fixture) -> str:
    """Return whether the linked token of a split token can be read."""
    with tokens.own_token() as own, ExitStack() as stack:
        if tokens.number_in(own, TokenInformation.ELEVATION_TYPE) not in _SPLIT:
            raise NotTried("the token of this process is not split in two")
        linked, size = HANDLE(), DWORD()
        winapi.GetTokenInformation(
            own, TokenInformation.LINKED_TOKEN, byref(linked), ctypes.sizeof(linked), byref(size)
        )
        token = stack.enter_context(Handle(linked.value))
        winapi.GetTokenInformation(token, TokenInformation.GROUPS, None, 0, byref(size))
        return "read" if size.value else "empty"


# What a server may do as its client


def impersonation_levels(fixture: Fixture) -> str:
    """Return the impersonation level that a server gets for each level that a client can allow."""
    found = []
    for label, open_client in (
        ("identification", partial(create_file, sqos=Sqos.IDENTIFICATION)),
        ("impersonation", partial(create_file, sqos=Sqos.IMPERSONATION)),
        ("delegation", partial(create_file, sqos=Sqos.DELEGATION)),
        ("default", create_file),
    ):
        pipe = fixture.name()
        with create_named_pipe(pipe) as server, open_client(pipe) as client:
            write(client, b"x")
            read(server)
            found.append(f"{label}: {_level_of_client(server)}")
    return ", ".join(found)


def _level_of_client(server: Handle) -> int:
    token = HANDLE()
    with tokens.as_client(server):
        winapi.OpenThreadToken(winapi.GetCurrentThread(), TokenAccess.QUERY, True, byref(token))
    with Handle(token.value) as owner:
        return tokens.number_in(owner, TokenInformation.IMPERSONATION_LEVEL)


def impersonation_before_read(fixture: Fixture) -> Observed:
    """Return the codes of impersonating a client before and after reading its data."""
    found = {}
    for sqos in (Sqos(0), Sqos.IDENTIFICATION):
        pipe = fixture.name()
        with create_named_pipe(pipe) as server, create_file(pipe, sqos=sqos) as client:
            before = code_of(_impersonate, server)
            write(client, b"x")
            read(server)
            found[sqos] = codes(before, code_of(_impersonate, server))
    return Observed(found[Sqos(0)], f"with SECURITY_IDENTIFICATION: {found[Sqos.IDENTIFICATION]}")


def _impersonate(server: Handle) -> None:
    with tokens.as_client(server):
        pass

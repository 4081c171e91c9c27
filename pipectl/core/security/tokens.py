"""Access tokens: of this process, of other processes, the elevated token of an administrator, and constructed ones.

Facts that the system does not report are None, never guessed. Wine does not report restricting SIDs, capabilities and
policies.
"""

import ctypes
from collections.abc import Callable
from ctypes import byref, c_void_p
from ctypes.wintypes import DWORD, HANDLE
from typing import TypeVar

from pipectl.core.errors import UnsupportedError, if_allowed
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import (
    GroupAttributes,
    PrivilegeAttributes,
    ProcessAccess,
    TokenFlags,
    TokenInformation,
)

from . import sids
from .access_check import Elevation, Integrity, Token, TokenPolicy, level_of
from .accounts import account_sid, sid_text, token_of

_Item = TypeVar("_Item", bound=ctypes.Structure)


def current() -> Token:
    """Return this process's token."""
    with token_of(winapi.GetCurrentProcess()) as token:
        return of_handle(token)


def of_process(pid: int) -> Token:
    """Return the token of a process; raises PipeAccessError for elevated and for most other users' processes."""
    with (
        Handle(winapi.OpenProcess(ProcessAccess.QUERY_LIMITED_INFORMATION, False, pid)) as process,
        token_of(process) as token,
    ):
        return of_handle(token)


def of_handle(token: Handle) -> Token:
    """Read a token that is open for TOKEN_QUERY, such as that of an impersonated client."""
    groups = _sids(token, TokenInformation.GROUPS)
    user, of_user = _sid(token, TokenInformation.USER)
    return Token(
        user=user,
        groups=_with(groups, GroupAttributes.ENABLED),
        deny_only=_with({**groups, user: of_user}, GroupAttributes.USE_FOR_DENY_ONLY),
        restricted=if_allowed(lambda: frozenset(_sids(token, TokenInformation.RESTRICTED_SIDS))),
        is_write_restricted=if_allowed(_is_write_restricted, token),
        integrity=if_allowed(lambda: level_of(_sid(token, TokenInformation.INTEGRITY_LEVEL)[0])),
        policy=if_allowed(lambda: TokenPolicy(_number(token, TokenInformation.MANDATORY_POLICY))),
        is_appcontainer=if_allowed(lambda: bool(_number(token, TokenInformation.IS_APP_CONTAINER))),
        package=if_allowed(_package, token),
        capabilities=if_allowed(lambda: _with(_sids(token, TokenInformation.CAPABILITIES), GroupAttributes.ENABLED)),
        is_lpac=if_allowed(lambda: bool(_number(token, TokenInformation.IS_LESS_PRIVILEGED_APP_CONTAINER))),
        privileges=if_allowed(_privileges, token),
        elevation=if_allowed(lambda: Elevation(_number(token, TokenInformation.ELEVATION_TYPE))),
        session=if_allowed(_number, token, TokenInformation.SESSION_ID),
        logon=_with(groups, GroupAttributes.LOGON_ID),
    )


def linked() -> Token | None:
    """Return the linked token of an administrator, which is elevated if this process is not; None if there is none."""
    with token_of(winapi.GetCurrentProcess()) as token:
        handle = if_allowed(_linked, token)
    if handle is None:
        return None
    with Handle(handle) as other:
        return of_handle(other)


def by_name(who: str) -> Token:
    """Return the token for `elevated`, `pid:N`, or a name that `constructed` accepts.

    Raises ValueError for an unknown name, the errors of `of_process`, and UnsupportedError for `elevated` if this user
    has no elevated token or the system does not report it.
    """
    if who.lower() == "elevated":
        return _elevated()
    kind, colon, pid = who.partition(":")
    if colon and kind.lower() == "pid":
        if not pid.isascii() or not pid.isdecimal():
            raise ValueError(f"`{pid}` is not the number of a process")
        return of_process(int(pid))
    return constructed(who)


def _elevated() -> Token:
    here = current()
    other = here if here.elevation is Elevation.FULL else linked()
    if other is None or (other.integrity or 0) < Integrity.HIGH:
        raise UnsupportedError("this user has no elevated token, or the system does not show it", subject="elevated")
    return other


def constructed(who: str) -> Token:
    """Return a constructed token; raises ValueError for an unknown name.

    * `low`: a program of this user at low integrity.
    * `appcontainer`: an app of this user. ACL entries for all packages apply to it; entries for one package or
      capability do not.
    * `network`: this user, logged on over the network. Whether such a token is elevated depends on the account and the
      server; here it is the same as for this process.
    * `anonymous`: a user who has not logged on.
    * `users`: an ordinary user, not an administrator, who is logged on to this computer.
    * A SID or a name: an ordinary user with that SID or in that group. Its other groups are not looked up, so access
      that depends on them is unknown.
    """
    preset = _PRESETS.get(who.lower())
    if preset:
        return preset()
    sid = sids.canonical(who) if who[:2].upper() == "S-" else account_sid(who)
    if sid is None:
        raise ValueError(f"unknown account `{who}`: use {', '.join(_PRESETS)}, an account or a SID (S-1-…)")
    if sid == sids.ANONYMOUS:
        return _anonymous()
    return _SPECIAL.get(sid, _USER._replace(has_all_groups=False))._replace(user=sid)


def _low() -> Token:
    return current()._replace(integrity=Integrity.LOW)


def _app() -> Token:
    return _low()._replace(
        is_appcontainer=True, package=None, capabilities=frozenset(), is_lpac=False, privileges=frozenset()
    )


def _over_network() -> Token:
    here = current()
    groups = (here.groups | {sids.NETWORK}) - _LOGGED_ON_HERE - (here.logon or frozenset())
    return here._replace(groups=groups, session=None, logon=None)


def _anonymous() -> Token:
    return _USER._replace(user=sids.ANONYMOUS, groups=frozenset(), integrity=Integrity.UNTRUSTED)


_PRESETS: dict[str, Callable[[], Token]] = {
    "low": _low,
    "appcontainer": _app,
    "network": _over_network,
    "anonymous": _anonymous,
    "users": lambda: _USER,
}

# Kinds of logon: Local, Console Logon, Batch, Interactive, Service, Terminal Server Users, Remote Interactive Logon.
_LOGGED_ON_HERE = frozenset(("S-1-2-0", "S-1-2-1", "S-1-5-3", sids.INTERACTIVE, sids.SERVICE, "S-1-5-13", "S-1-5-14"))
_USER: Token = Token(
    groups=frozenset((sids.EVERYONE, sids.AUTHENTICATED_USERS, sids.USERS, sids.INTERACTIVE)),
    restricted=frozenset(),
    integrity=Integrity.MEDIUM,
    is_appcontainer=False,
    privileges=frozenset(),
)
_SERVICE: Token = _USER._replace(
    groups=frozenset((sids.EVERYONE, sids.AUTHENTICATED_USERS, sids.USERS, sids.SERVICE)), integrity=Integrity.SYSTEM
)
_SPECIAL = {
    sids.ADMINISTRATORS: _USER._replace(integrity=Integrity.HIGH, has_all_groups=False),
    sids.SYSTEM: _SERVICE._replace(groups=frozenset((sids.EVERYONE, sids.AUTHENTICATED_USERS, sids.ADMINISTRATORS))),
    sids.LOCAL_SERVICE: _SERVICE,
    sids.NETWORK_SERVICE: _SERVICE,
}


def _with(groups: dict[str, int], attribute: GroupAttributes) -> frozenset[str]:
    return frozenset(sid for sid, attributes in groups.items() if attributes & attribute == attribute)


def _sids(token: Handle, which: TokenInformation) -> dict[str, int]:
    return {sid_text(item.Sid): item.Attributes for item in _items(token, which, winapi.SID_AND_ATTRIBUTES)}


def _privileges(token: Handle) -> frozenset[int]:
    found = _items(token, TokenInformation.PRIVILEGES, winapi.LUID_AND_ATTRIBUTES)
    return frozenset(item.LowPart for item in found if item.Attributes & PrivilegeAttributes.ENABLED)


def _items(token: Handle, which: TokenInformation, item: type[_Item]) -> list[_Item]:
    """Return the array after a count; it begins at the alignment of its items."""
    buffer = _ask(token, which)
    count = DWORD.from_buffer(buffer).value
    # The buffer of an empty array may end before that.
    return list((item * count).from_buffer(buffer, ctypes.alignment(item))) if count else []


def _sid(token: Handle, which: TokenInformation) -> tuple[str, int]:
    """Return a SID and its attributes."""
    buffer = _ask(token, which)
    told = winapi.SID_AND_ATTRIBUTES.from_buffer(buffer)
    return sid_text(told.Sid), told.Attributes


def _package(token: Handle) -> str | None:
    address = c_void_p.from_buffer(_ask(token, TokenInformation.APP_CONTAINER_SID)).value
    return sid_text(address) if address else None


def _is_write_restricted(token: Handle) -> bool:
    told = winapi.TOKEN_ACCESS_INFORMATION.from_buffer(_ask(token, TokenInformation.ACCESS_INFORMATION))
    return bool(told.Flags & TokenFlags.WRITE_RESTRICTED)


def _linked(token: Handle) -> int | None:
    handle = HANDLE()
    winapi.GetTokenInformation(
        token, TokenInformation.LINKED_TOKEN, byref(handle), ctypes.sizeof(handle), byref(DWORD())
    )
    return handle.value


def _number(token: Handle, which: TokenInformation) -> int:
    number = DWORD()
    winapi.GetTokenInformation(token, which, byref(number), ctypes.sizeof(number), byref(DWORD()))
    return number.value


def _ask(token: Handle, which: TokenInformation) -> "ctypes.Array[ctypes.c_char]":
    """Return information of variable length; it contains addresses in its own memory, which must stay alive."""
    size = DWORD()
    winapi.GetTokenInformation(token, which, None, 0, byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    winapi.GetTokenInformation(token, which, buffer, len(buffer), byref(size))
    return buffer

"""The properties of the pipe behind a relay, and which users the relay accepts who could not open that pipe."""

from collections.abc import Iterator
from typing import NamedTuple

from pipectl.core.constants import Access, Wait
from pipectl.core.errors import PipeError, if_allowed
from pipectl.core.names import is_remote, short, upper
from pipectl.core.pipe.connection import TO_ASK, open_pipe
from pipectl.core.security import sids
from pipectl.core.security.access_check import allowed
from pipectl.core.security.accounts import account_name, current_owner_sid, current_user_sid
from pipectl.core.security.descriptors import PipeSecurity, SecurityInfo, get_security
from pipectl.core.security.sddl import Dacl, Kind
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.queries import get_named_pipe_info, get_named_pipe_server_process_id

from .directory import list_pipes
from .processes import glimpse

_BOTH = Access.FILE_READ_DATA | Access.FILE_WRITE_DATA
# Administrators, who can get any access, and the system's own accounts.
_SYSTEM = frozenset((sids.SYSTEM, sids.ADMINISTRATORS, sids.LOCAL_SERVICE, sids.NETWORK_SERVICE))
_SERVICES = "S-1-5-80-"  # NT SERVICE\…


class Behind(NamedTuple):
    """The pipe behind a relay; None means unknown. `stranger` is its server's user, if that one is unexpected."""

    is_message: bool | None = None
    security: SecurityInfo | None = None
    stranger: str | None = None


def look_behind(pipe: str) -> Behind:
    """Open a pipe briefly and return its properties; they are unknown if it is absent, busy, or access is denied.

    A pipe with a single instance is not opened, because that may use it up, as with a virtual machine's serial port.
    """
    if _has_one_instance(pipe):
        return Behind()
    try:
        handle = open_pipe(pipe, 0, wait=Wait.NONE, access=TO_ASK)
    except PipeError:
        return Behind()
    with handle:
        security = if_allowed(get_security, handle)
        return Behind(if_allowed(_is_message, handle), security, _stranger(handle, security))


def beyond(listen: PipeSecurity, target: SecurityInfo) -> str | None:
    """Return in words which accounts may open `listen` but not `target`; None if there are none, or if unknown."""
    if listen.dacl is None or target.dacl is None:
        return None
    more = list(dict.fromkeys(_names(listen.dacl, target.dacl)))
    if not more:
        return None
    entries = () if target.dacl.is_null else target.dacl.effective
    inside = [_name(entry.account) for entry in entries if entry.kind is Kind.ALLOW]
    allowed = ", ".join(dict.fromkeys(inside)) or "nobody"
    return f"{', '.join(more)} can reach it through pipectl, but its own ACL only allows {allowed}"


def _names(listen: Dacl, target: Dacl) -> Iterator[str]:
    if listen.is_null:
        if not _lets_in(target, sids.EVERYONE):
            yield _name(sids.EVERYONE)
        return
    ours = {current_user_sid(), current_owner_sid(), *_SYSTEM}
    for entry in listen.effective:
        is_in = entry.kind is Kind.ALLOW and entry.account not in ours
        if is_in and _lets_in(listen, entry.account) and not _lets_in(target, entry.account):
            yield _name(entry.account)


def _lets_in(dacl: Dacl, account: str) -> bool:
    """Return whether an ACL grants read and write access to an account, assuming an ordinary local account."""
    groups = {account, sids.EVERYONE}
    if account != sids.EVERYONE:
        groups.add(sids.AUTHENTICATED_USERS)
    if account not in (sids.EVERYONE, sids.AUTHENTICATED_USERS):
        groups.add(sids.USERS)
    return allowed(dacl, groups) & _BOTH == _BOTH


def _name(sid: str) -> str:
    return sids.name_of(sid, account_name)


def _has_one_instance(pipe: str) -> bool:
    if is_remote(pipe):
        return False
    entries = if_allowed(list_pipes) or []
    return any(upper(entry.name) == upper(short(pipe)) and entry.max_instances == 1 for entry in entries)


def _is_message(handle: Handle) -> bool:
    return bool(get_named_pipe_info(handle).is_message_type)


def _stranger(handle: Handle, security: SecurityInfo | None) -> str | None:
    """Return who created a pipe, if it is not this user, the system or one of its services."""
    owner = security.owner if security else None
    if owner is None and not (handle.name and is_remote(handle.name)):
        owner = if_allowed(lambda: glimpse(get_named_pipe_server_process_id(handle)).user_sid)
    known = {current_user_sid(), current_owner_sid(), *_SYSTEM}
    return None if owner is None or owner in known or owner.startswith(_SERVICES) else _name(owner)

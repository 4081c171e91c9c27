"""What the pipe behind a relay is like, and whom the relay lets in who could not open that pipe."""

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
# Who may do as they like in any case, or is the system itself.
_SYSTEM = frozenset((sids.SYSTEM, sids.ADMINISTRATORS, sids.LOCAL_SERVICE, sids.NETWORK_SERVICE))
_SERVICES = "S-1-5-80-"  # NT SERVICE\…


class Behind(NamedTuple):
    """The pipe behind a relay; None is what is not known. `stranger` is its server's user, if that is a surprise."""

    is_message: bool | None = None
    security: SecurityInfo | None = None
    stranger: str | None = None


def look_behind(pipe: str) -> Behind:
    """Open a pipe for a moment and tell what it is like; nothing is known of one that is absent, busy or closed to us.

    One that has a single instance is not opened: that may use it up, as with the serial port of a virtual machine.
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
    """Return in words who may open the one pipe and not the other; None if nobody, or if it is not known."""
    if listen.dacl is None or target.dacl is None:
        return None
    more = list(dict.fromkeys(_names(listen.dacl, target.dacl)))
    if not more:
        return None
    entries = () if target.dacl.is_null else target.dacl.effective
    inside = [_name(entry.account) for entry in entries if entry.kind is Kind.ALLOW]
    return f"{', '.join(more)} may now reach it, and it is open to {', '.join(dict.fromkeys(inside)) or 'nobody'} alone"


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
    """Return whether a list lets an account in, which is taken to be an ordinary one of this computer."""
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
    """Return who has made a pipe, if that is neither this user nor the system nor one of its services."""
    owner = security.owner if security else None
    if owner is None and not (handle.name and is_remote(handle.name)):
        owner = if_allowed(lambda: glimpse(get_named_pipe_server_process_id(handle)).user_sid)
    known = {current_user_sid(), current_owner_sid(), *_SYSTEM}
    return None if owner is None or owner in known or owner.startswith(_SERVICES) else _name(owner)

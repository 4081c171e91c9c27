"""AccessCheck: the system's own result of which access a token has to a pipe with a security descriptor."""

import ctypes
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from ctypes import byref, c_void_p
from ctypes.wintypes import BOOL, DWORD, HANDLE
from functools import reduce
from operator import or_

from pipectl.core.constants import Access
from pipectl.core.security.descriptors import security_attributes
from pipectl.core.security.sids import from_bytes, to_bytes
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle


class _GenericMapping(ctypes.Structure):
    _fields_ = (("GenericRead", DWORD), ("GenericWrite", DWORD), ("GenericExecute", DWORD), ("GenericAll", DWORD))


class _TokenGroups(ctypes.Structure):
    _fields_ = (
        ("GroupCount", DWORD),
        ("Groups", winapi.SID_AND_ATTRIBUTES * 512),
        ("Memory", ctypes.c_ubyte * 65536),
    )


_ADVAPI32 = ctypes.WinDLL("advapi32", use_last_error=True)
_ADVAPI32.DuplicateToken.argtypes = (HANDLE, DWORD, c_void_p)
_ADVAPI32.AccessCheck.argtypes = (c_void_p, HANDLE, DWORD, *[c_void_p] * 5)
_LIST = (DWORD, c_void_p)
_ADVAPI32.CreateRestrictedToken.argtypes = (HANDLE, DWORD, *_LIST, *_LIST, *_LIST, c_void_p)

_MAPPING = _GenericMapping(
    Access.FILE_GENERIC_READ, Access.FILE_GENERIC_WRITE, Access.FILE_GENERIC_EXECUTE, Access.FILE_ALL_ACCESS
)
_SE_GROUP_ENABLED = 0x4

# Checked one at a time, because for MAXIMUM_ALLOWED, Wine ignores the order of entries. Without WRITE_OWNER, which a
# privilege also grants.
_ASKED = [right for right in Access if right in Access.FILE_ALL_ACCESS & ~Access.WRITE_OWNER]
ALL_ASKED = reduce(or_, _ASKED)


@contextmanager
def my_token() -> Iterator[Handle]:
    """This process's token."""
    token = HANDLE()
    winapi.OpenProcessToken(winapi.GetCurrentProcess(), 0x000A, byref(token))  # TOKEN_DUPLICATE | TOKEN_QUERY
    with Handle(token.value) as owner:
        yield owner


def my_groups() -> set[str]:
    """Return the SIDs of the enabled groups in this process's token."""
    groups = _TokenGroups()
    with my_token() as token:
        winapi.GetTokenInformation(token, 2, byref(groups), ctypes.sizeof(groups), byref(DWORD()))  # TokenGroups
    enabled = [group.Sid for group in groups.Groups[: groups.GroupCount] if group.Attributes & _SE_GROUP_ENABLED]
    return {from_bytes(ctypes.string_at(sid, 68)) for sid in enabled}


@contextmanager
def token_without(disabled: Collection[str], restricting: Collection[str] = (), flags: int = 0) -> Iterator[Handle]:
    """This process's token with deny-only groups and restricting SIDs."""
    memory = {sid: ctypes.create_string_buffer(to_bytes(sid)) for sid in (*disabled, *restricting)}

    def listed(sids: Collection[str]) -> "ctypes.Array[winapi.SID_AND_ATTRIBUTES]":
        items = [winapi.SID_AND_ATTRIBUTES(ctypes.addressof(memory[sid]), 0) for sid in sids]
        return (winapi.SID_AND_ATTRIBUTES * len(items))(*items)

    token = HANDLE()
    with my_token() as whole:
        assert _ADVAPI32.CreateRestrictedToken(
            whole, flags, len(disabled), listed(disabled), 0, None, len(restricting), listed(restricting), byref(token)
        ), ctypes.get_last_error()
    with Handle(token.value) as owner:
        yield owner


@contextmanager
def access_check(token: Handle) -> Iterator[Callable[[str], Access]]:
    """AccessCheck for a token as a function of SDDL."""
    impersonation = HANDLE()
    assert _ADVAPI32.DuplicateToken(token, 2, byref(impersonation)), ctypes.get_last_error()

    def grants(descriptor: int, right: Access) -> bool:
        granted, status, privileges = DWORD(), BOOL(), ctypes.create_string_buffer(4096)
        size = byref(DWORD(len(privileges)))
        assert _ADVAPI32.AccessCheck(
            descriptor, impersonation, right, byref(_MAPPING), privileges, size, byref(granted), byref(status)
        ), ctypes.get_last_error()
        return bool(status)

    def ask(text: str) -> Access:
        attributes = security_attributes(text)
        rights = (right for right in _ASKED if grants(attributes.lpSecurityDescriptor or 0, right))
        return reduce(or_, rights, Access.NONE)

    with Handle(impersonation.value):
        yield ask

"""Accounts by name and by SID, and the user of a process."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import byref, c_void_p
from ctypes.wintypes import BOOL, DWORD, HANDLE

from pipectl.core.errors import PipeError
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import TokenAccess, TokenInformation

from . import sids

# Longer than any account's or domain's name: UNLEN and DNS names end at 256 and 255.
_MAX_NAME = 512
# Of SID_NAME_USE: users, groups, aliases and well-known groups, and not domains or computers, can open a pipe.
_CAN_OPEN = (1, 2, 4, 5)


def current_user_sid() -> str:
    """Tell whom this process runs as: the user's SID, such as `S-1-5-21-…-1001`."""
    return user_sid(winapi.GetCurrentProcess())


def account_name(sid: str) -> str | None:
    """Give the name of an account, `DOMAIN\\name`, or None where no name is known for the SID."""
    name, domain = ctypes.create_unicode_buffer(_MAX_NAME), ctypes.create_unicode_buffer(_MAX_NAME)
    sizes = byref(DWORD(_MAX_NAME)), byref(DWORD(_MAX_NAME))
    # That a domain cannot be reached is as good as a name that nobody knows.
    with _sid(sid) as binary, suppress(PipeError):
        winapi.LookupAccountSidW(None, binary, name, sizes[0], domain, sizes[1], byref(DWORD()))
    return "\\".join(part for part in (domain.value, name.value) if part) or None


def account_sid(name: str) -> str | None:
    """Find the SID of a user or group, `NAME` or `DOMAIN\\NAME`; None where there is no such account."""
    sid = ctypes.create_string_buffer(sids.MAX_BYTES)
    domain = ctypes.create_unicode_buffer(_MAX_NAME)
    sizes = byref(DWORD(sids.MAX_BYTES)), byref(DWORD(_MAX_NAME))
    use = DWORD()
    code = winapi.LookupAccountNameW(None, name, sid, sizes[0], domain, sizes[1], byref(use))
    return sids.from_bytes(sid.raw) if code == 0 and use.value in _CAN_OPEN else None


def user_sid(process: Handle | int) -> str:
    """Return the SID of the user that a process runs as."""
    token = HANDLE()
    winapi.OpenProcessToken(process, TokenAccess.QUERY, byref(token))
    user = winapi.TOKEN_USER()
    with Handle(token.value) as owner:
        winapi.GetTokenInformation(owner, TokenInformation.USER, byref(user), ctypes.sizeof(user), byref(DWORD()))
    text = c_void_p()
    winapi.ConvertSidToStringSidW(user.Sid, byref(text))
    try:
        return ctypes.wstring_at(text)
    finally:
        winapi.LocalFree(text)


def is_network_logon() -> bool:
    """Return whether this process was logged on over the network, as in a remote shell."""
    is_member = BOOL()
    winapi.CheckTokenMembership(None, sids.to_bytes(sids.NETWORK), byref(is_member))
    return bool(is_member.value)


@contextmanager
def _sid(text: str) -> Iterator[c_void_p]:
    binary = c_void_p()
    winapi.ConvertStringSidToSidW(text, byref(binary))
    try:
        yield binary
    finally:
        winapi.LocalFree(binary)

"""Accounts by name and by SID, and the user of a process."""

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import byref, c_void_p
from ctypes.wintypes import DWORD, HANDLE

from pipectl.core.errors import PipeError
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import TokenAccess, TokenInformation

from . import sids

# Longer than any account's or domain's name: UNLEN is 256, and DNS names have at most 255 characters.
_MAX_NAME = 512
# From SID_NAME_USE: users, groups, aliases and well-known groups can open a pipe; domains and computers cannot.
_CAN_OPEN = (1, 2, 4, 5)
# How long, in seconds, a failed lookup is cached, and the maximum number of cached SIDs.
_NAMELESS_FOR = 60
_MOST_NAMES = 10_000
# By SID: its name, and when it was looked up.
_names: dict[str, tuple[str | None, float]] = {}


def current_user_sid() -> str:
    """Return the SID of this process's user, such as `S-1-5-21-…-1001`."""
    return user_sid(winapi.GetCurrentProcess())


def current_owner_sid() -> str:
    """Return the SID that owns the objects this process creates: its user, or Administrators if it is elevated."""
    return _sid_in(winapi.GetCurrentProcess(), TokenInformation.OWNER)


def account_name(sid: str) -> str | None:
    """Return the name of an account, `DOMAIN\\name`, or None if no name is known for the SID.

    If a domain controller does not respond, a lookup takes seconds; so names are cached, and failures for a minute.
    """
    name, when = _names.get(sid, (None, 0.0))
    if name is None and (sid not in _names or time.monotonic() >= when + _NAMELESS_FOR):
        name = look_up(sid)
        if len(_names) >= _MOST_NAMES:
            _names.clear()
        _names[sid] = (name, time.monotonic())
    return name


def look_up(sid: str) -> str | None:
    """Return the name of an account like `account_name`, but without the cache."""
    name, domain = ctypes.create_unicode_buffer(_MAX_NAME), ctypes.create_unicode_buffer(_MAX_NAME)
    sizes = byref(DWORD(_MAX_NAME)), byref(DWORD(_MAX_NAME))
    # An unreachable domain counts as an unknown name.
    with _sid(sid) as binary, suppress(PipeError):
        winapi.LookupAccountSidW(None, binary, name, sizes[0], domain, sizes[1], byref(DWORD()))
    return "\\".join(part for part in (domain.value, name.value) if part) or None


def account_sid(name: str) -> str | None:
    """Return the SID of a user or group, `NAME` or `DOMAIN\\NAME`, or None if there is no such account."""
    sid = ctypes.create_string_buffer(sids.MAX_BYTES)
    domain = ctypes.create_unicode_buffer(_MAX_NAME)
    sizes = byref(DWORD(sids.MAX_BYTES)), byref(DWORD(_MAX_NAME))
    use = DWORD()
    code = winapi.LookupAccountNameW(None, name, sid, sizes[0], domain, sizes[1], byref(use))
    return sids.from_bytes(sid.raw) if code == 0 and use.value in _CAN_OPEN else None


def user_sid(process: Handle | int) -> str:
    """Return the SID of the user that a process runs as."""
    return _sid_in(process, TokenInformation.USER)


def _sid_in(process: Handle | int, which: TokenInformation) -> str:
    """Return the SID at the start of a token's information about its user or owner."""
    memory = winapi.TOKEN_USER()
    with token_of(process) as token:
        winapi.GetTokenInformation(token, which, byref(memory), ctypes.sizeof(memory), byref(DWORD()))
    return sid_text(memory.Sid)


@contextmanager
def token_of(process: Handle | int) -> Iterator[Handle]:
    """Open the token of a process for queries, and close it at the end."""
    token = HANDLE()
    winapi.OpenProcessToken(process, TokenAccess.QUERY, byref(token))
    with Handle(token.value) as owner:
        yield owner


def sid_text(sid: int) -> str:
    """Return the text form of the SID at an address."""
    text = c_void_p()
    winapi.ConvertSidToStringSidW(sid, byref(text))
    try:
        return ctypes.wstring_at(text)
    finally:
        winapi.LocalFree(text)


@contextmanager
def _sid(text: str) -> Iterator[c_void_p]:
    binary = c_void_p()
    winapi.ConvertStringSidToSidW(text, byref(binary))
    try:
        yield binary
    finally:
        winapi.LocalFree(binary)

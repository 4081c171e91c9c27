"""Who a process is: its program, user and session, and the services it hosts.

What this user may not know is absent, and never guessed. A process id is a number that the system reports, and no proof
of identity: the process may have ended since, and another may have its number.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import byref, c_void_p
from ctypes.wintypes import DWORD, HANDLE

from . import winapi
from .constants import TokenAccess, TokenInformation
from .errors import PipeError
from .handle import Handle

# Longer than any account's or domain's name: UNLEN and DNS names end at 256 and 255.
_MAX_NAME = 512


def current_user_sid() -> str:
    """Tell whom this process runs as: the user's SID, such as `S-1-5-21-…-1001`."""
    return _user_sid(winapi.GetCurrentProcess())


def account_name(sid: str) -> str | None:
    """Give the name of an account, `DOMAIN\\name`, or None where no name is known for the SID."""
    name, domain = ctypes.create_unicode_buffer(_MAX_NAME), ctypes.create_unicode_buffer(_MAX_NAME)
    sizes = byref(DWORD(_MAX_NAME)), byref(DWORD(_MAX_NAME))
    # That a domain cannot be reached is as good as a name that nobody knows.
    with _sid(sid) as binary, suppress(PipeError):
        winapi.LookupAccountSidW(None, binary, name, sizes[0], domain, sizes[1], byref(DWORD()))
    return "\\".join(part for part in (domain.value, name.value) if part) or None


def _user_sid(process: Handle | int) -> str:
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


@contextmanager
def _sid(text: str) -> Iterator[c_void_p]:
    binary = c_void_p()
    winapi.ConvertStringSidToSidW(text, byref(binary))
    try:
        yield binary
    finally:
        winapi.LocalFree(binary)

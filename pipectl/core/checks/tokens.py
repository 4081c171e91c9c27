"""Restricted copies of this process's token for one thread, to check what other users and apps could do."""

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes import byref
from ctypes.wintypes import DWORD, HANDLE

from pipectl.core.security import sids
from pipectl.core.security.tokens import current
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import TokenAccess, TokenInformation

LOW_INTEGRITY = "S-1-16-4096"
# The SID of an AppContainer package; it does not have to exist.
_PACKAGE = "S-1-15-2-1-2-3-4-5-6-7"

_DISABLE_MAX_PRIVILEGE = 0x1
_SECURITY_IMPERSONATION = 2
_TOKEN_IMPERSONATION = 2
_SE_GROUP_INTEGRITY = 0x20


@contextmanager
def own_token(access: TokenAccess = TokenAccess.QUERY | TokenAccess.DUPLICATE) -> Iterator[Handle]:
    """Open the token of this process."""
    token = HANDLE()
    winapi.OpenProcessToken(winapi.GetCurrentProcess(), access, byref(token))
    with Handle(token.value) as owner:
        yield owner


@contextmanager
def without_group(sid: str) -> Iterator[Handle]:
    """Yield a copy of this process's token in which a group is only used to deny access."""
    group = ctypes.create_string_buffer(sids.to_bytes(sid))
    disabled = winapi.SID_AND_ATTRIBUTES(ctypes.addressof(group), 0)
    token = HANDLE()
    with own_token(TokenAccess.ALL) as own:
        winapi.CreateRestrictedToken(own, _DISABLE_MAX_PRIVILEGE, 1, byref(disabled), 0, None, 0, None, byref(token))
    with Handle(token.value) as restricted:
        yield restricted


@contextmanager
def at_low_integrity() -> Iterator[Handle]:
    """Yield a copy of this process's token at low integrity."""
    level = ctypes.create_string_buffer(sids.to_bytes(LOW_INTEGRITY))
    label = winapi.SID_AND_ATTRIBUTES(ctypes.addressof(level), _SE_GROUP_INTEGRITY)
    with own_token(TokenAccess.ALL) as own, impersonation_copy(own) as token:
        winapi.SetTokenInformation(
            token, TokenInformation.INTEGRITY_LEVEL, byref(label), ctypes.sizeof(label) + len(level)
        )
        yield token


@contextmanager
def of_app_container() -> Iterator[Handle]:
    """Yield a copy of this process's token in an AppContainer without capabilities."""
    package = ctypes.create_string_buffer(sids.to_bytes(_PACKAGE))
    token = HANDLE()
    with own_token(TokenAccess.ALL) as own:
        winapi.NtCreateLowBoxToken(
            byref(token), own, TokenAccess.ALL, None, ctypes.addressof(package), 0, None, 0, None
        )
    with Handle(token.value) as contained:
        yield contained


@contextmanager
def impersonation_copy(token: Handle) -> Iterator[Handle]:
    """Yield an impersonation copy of a token, for a thread or for AccessCheck."""
    copy = HANDLE()
    winapi.DuplicateTokenEx(token, TokenAccess.ALL, None, _SECURITY_IMPERSONATION, _TOKEN_IMPERSONATION, byref(copy))
    with Handle(copy.value) as owner:
        yield owner


@contextmanager
def as_token(token: Handle) -> Iterator[None]:
    """Run a block with another token, in this thread only."""
    with ExitStack() as stack:
        copy = stack.enter_context(impersonation_copy(token))
        winapi.SetThreadToken(None, copy)
        stack.callback(winapi.RevertToSelf)
        yield


@contextmanager
def as_client(pipe: Handle) -> Iterator[None]:
    """Run a block as the client of a server's end, in this thread only."""
    winapi.ImpersonateNamedPipeClient(pipe)
    try:
        yield
    finally:
        winapi.RevertToSelf()


def number_in(token: Handle, what: TokenInformation) -> int:
    """Return a number from the information about a token."""
    number = DWORD()
    winapi.GetTokenInformation(token, what, byref(number), ctypes.sizeof(number), byref(DWORD()))
    return number.value


def integrity() -> int:
    """Return the integrity level of this process's token, such as 8192 for medium."""
    memory = winapi.TOKEN_USER()  # TOKEN_MANDATORY_LABEL has the same layout
    with own_token() as token:
        winapi.GetTokenInformation(
            token, TokenInformation.INTEGRITY_LEVEL, byref(memory), ctypes.sizeof(memory), byref(DWORD())
        )
    return int(sids.from_bytes(ctypes.string_at(memory.Sid, sids.MAX_BYTES)).rpartition("-")[2])


def is_elevated() -> bool:
    """Return whether this process runs as an administrator."""
    with own_token() as token:
        return bool(number_in(token, TokenInformation.ELEVATION))


def has_group(sid: str) -> bool:
    """Return whether this process's token has a group, and the group is enabled."""
    return sid in current().groups

"""Privileges of this process, enabled for as long as they are needed."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import byref
from ctypes.wintypes import DWORD, HANDLE

from pipectl.core.errors import PipeError
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import TokenAccess

_DEBUG = "SeDebugPrivilege"
_SE_PRIVILEGE_ENABLED = 0x2


@contextmanager
def debugging() -> Iterator[None]:
    """Enable SeDebugPrivilege, to open other users' processes; does nothing if this process is not elevated.

    The privilege applies to the whole process, and is disabled at the end unless it was enabled before.
    """
    before = winapi.TOKEN_PRIVILEGE()
    token = HANDLE()
    with suppress(PipeError):
        winapi.OpenProcessToken(
            winapi.GetCurrentProcess(), TokenAccess.QUERY | TokenAccess.ADJUST_PRIVILEGES, byref(token)
        )
    if not token.value:
        yield
        return
    with Handle(token.value) as owner:
        with suppress(PipeError):
            wanted = winapi.TOKEN_PRIVILEGE(PrivilegeCount=1, Attributes=_SE_PRIVILEGE_ENABLED)
            winapi.LookupPrivilegeValueW(None, _DEBUG, byref(wanted.Luid))
            # It also succeeds, without any effect, if the token does not have the privilege.
            winapi.AdjustTokenPrivileges(
                owner, False, byref(wanted), ctypes.sizeof(before), byref(before), byref(DWORD())
            )
        try:
            yield
        finally:
            if before.PrivilegeCount:
                with suppress(PipeError):
                    winapi.AdjustTokenPrivileges(owner, False, byref(before), 0, None, None)

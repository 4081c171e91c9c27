"""The declarations of Win32's functions that only this room needs; they raise `error`."""

from collections.abc import Callable
from ctypes import c_void_p
from ctypes.wintypes import BOOL, DWORD
from typing import Any

from pipectl.core.win32 import winapi

from .errors import api_error

_ADVAPI32 = winapi.library("advapi32")


def _declare(dll: Any, name: str, result: Any, *arguments: Any, check: Any) -> Callable[..., Any]:
    function: Any = winapi.declare(dll, name, result, *arguments, check=check)
    function.error = api_error
    return function  # type: ignore[no-any-return]


# fmt: off
_OK = winapi.check_ok()

# Access lists
InitializeAcl         = _declare(_ADVAPI32, "InitializeAcl", BOOL, c_void_p, DWORD, DWORD, check=_OK)
IsValidAcl            = _declare(_ADVAPI32, "IsValidAcl", BOOL, c_void_p, check=winapi.check_nothing)
AddAccessAllowedAce   = _declare(_ADVAPI32, "AddAccessAllowedAce", BOOL, c_void_p, DWORD, DWORD, c_void_p, check=_OK)
AddAccessDeniedAce    = _declare(_ADVAPI32, "AddAccessDeniedAce", BOOL, c_void_p, DWORD, DWORD, c_void_p, check=_OK)
AddAccessAllowedAceEx = _declare(_ADVAPI32, "AddAccessAllowedAceEx", BOOL, c_void_p, DWORD, DWORD, DWORD, c_void_p, check=_OK)
AddAccessDeniedAceEx  = _declare(_ADVAPI32, "AddAccessDeniedAceEx", BOOL, c_void_p, DWORD, DWORD, DWORD, c_void_p, check=_OK)
AddMandatoryAce       = _declare(_ADVAPI32, "AddMandatoryAce", BOOL, c_void_p, DWORD, DWORD, DWORD, c_void_p, check=_OK)
AddAuditAccessAce     = _declare(_ADVAPI32, "AddAuditAccessAce", BOOL, c_void_p, DWORD, DWORD, c_void_p, BOOL, BOOL, check=_OK)
# fmt: on

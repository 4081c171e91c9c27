"""pywin32's `win32security`, as far as pipes need it."""

import ctypes
from operator import index

from pipectl.core.win32 import winapi

from .arguments import HandleLike, Integer, to_text
from .descriptors import SECURITY_DESCRIPTOR
from .errors import raising
from .objects import handle_value

__all__ = [
    "ConvertStringSecurityDescriptorToSecurityDescriptor",
    "ImpersonateNamedPipeClient",
    "RevertToSelf",
]

_ConvertSddl = raising(winapi.ConvertStringSecurityDescriptorToSecurityDescriptorW)
_ImpersonateNamedPipeClient = raising(winapi.ImpersonateNamedPipeClient)
_RevertToSelf = raising(winapi.RevertToSelf)


def ConvertStringSecurityDescriptorToSecurityDescriptor(
    StringSecurityDescriptor: str, StringSDRevision: Integer, /
) -> SECURITY_DESCRIPTOR:
    """Return a security descriptor for SDDL such as `D:P(A;;GA;;;SY)(A;;0x12019b;;;AU)`."""
    descriptor = ctypes.c_void_p()
    _ConvertSddl(to_text(StringSecurityDescriptor), index(StringSDRevision), descriptor, None)
    try:
        size = winapi.GetSecurityDescriptorLength(descriptor)
        return SECURITY_DESCRIPTOR(ctypes.string_at(descriptor, size))
    finally:
        winapi.LocalFree(descriptor)


def ImpersonateNamedPipeClient(handle: HandleLike, /) -> None:
    """Let this thread act as the client of a server end."""
    _ImpersonateNamedPipeClient(handle_value(handle))


def RevertToSelf() -> None:
    """Let this thread be itself again."""
    _RevertToSelf()

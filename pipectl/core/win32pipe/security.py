"""The functions of pywin32's `win32security` that pipe programs use."""

import ctypes
from collections.abc import Callable
from ctypes import c_void_p
from ctypes.wintypes import DWORD
from ctypes.wintypes import HANDLE as _HANDLE
from operator import index
from typing import Any

from pipectl.core.win32 import winapi

from . import constants, native
from .acls import ACL, SID, acl_at, sid_at, to_sid
from .arguments import HandleLike, Integer, to_long, to_text
from .descriptors import SECURITY_DESCRIPTOR, acl_bytes, to_descriptor
from .errors import api_error, raising
from .objects import HANDLE, handle_value

__all__ = [
    "ConvertSecurityDescriptorToStringSecurityDescriptor",
    "ConvertSidToStringSid",
    "ConvertStringSecurityDescriptorToSecurityDescriptor",
    "ConvertStringSidToSid",
    "CreateWellKnownSid",
    "GetSecurityInfo",
    "GetTokenInformation",
    "ImpersonateNamedPipeClient",
    "LookupAccountName",
    "LookupAccountSid",
    "OpenProcessToken",
    "OpenThreadToken",
    "RevertToSelf",
    "SetSecurityInfo",
]

_ConvertSddl = raising(winapi.ConvertStringSecurityDescriptorToSecurityDescriptorW)
_ConvertToSddl = raising(winapi.ConvertSecurityDescriptorToStringSecurityDescriptorW)
_ConvertSid = raising(winapi.ConvertStringSidToSidW)
_ConvertToSid = raising(winapi.ConvertSidToStringSidW)
_GetSecurityInfo = raising(winapi.GetSecurityInfo)
_GetTokenInformation = raising(winapi.GetTokenInformation)
_ImpersonateNamedPipeClient = raising(winapi.ImpersonateNamedPipeClient)
_LookupAccountName = raising(winapi.LookupAccountNameW)
_LookupAccountSid = raising(winapi.LookupAccountSidW)
_OpenProcessToken = raising(winapi.OpenProcessToken)
_OpenThreadToken = raising(winapi.OpenThreadToken)
_RevertToSelf = raising(winapi.RevertToSelf)


def _freed(address: c_void_p, read: Callable[[Any], Any]) -> Any:
    """Read a value at an address, free its memory, and return the value."""
    try:
        return read(address)
    finally:
        winapi.LocalFree(address)


def _descriptor_at(address: c_void_p) -> SECURITY_DESCRIPTOR:
    return SECURITY_DESCRIPTOR(ctypes.string_at(address, winapi.GetSecurityDescriptorLength(address)))


def _text_at(address: c_void_p) -> str:
    return ctypes.wstring_at(address.value or 0)


# Text


def ConvertStringSecurityDescriptorToSecurityDescriptor(
    StringSecurityDescriptor: str, StringSDRevision: Integer, /
) -> SECURITY_DESCRIPTOR:
    """Return a security descriptor for SDDL such as `D:P(A;;GA;;;SY)(A;;0x12019b;;;AU)`."""
    descriptor = c_void_p()
    _ConvertSddl(to_text(StringSecurityDescriptor), index(StringSDRevision), descriptor, None)
    return _freed(descriptor, _descriptor_at)  # type: ignore[no-any-return]


def ConvertSecurityDescriptorToStringSecurityDescriptor(
    SecurityDescriptor: Any, RequestedStringSDRevision: Integer, SecurityInformation: Integer, /
) -> str:
    """Return the SDDL of the requested parts of a descriptor."""
    descriptor, text = to_descriptor(SecurityDescriptor), c_void_p()
    memory = None if descriptor is None else descriptor._memory
    _ConvertToSddl(memory, index(RequestedStringSDRevision), index(SecurityInformation), text, None)
    return _freed(text, _text_at)  # type: ignore[no-any-return]


def ConvertStringSidToSid(StringSid: str, /) -> SID:
    """Return the SID for a text such as S-1-5-18."""
    sid = c_void_p()
    _ConvertSid(to_text(StringSid), sid)
    return _freed(sid, sid_at)  # type: ignore[no-any-return]


def ConvertSidToStringSid(Sid: Any, /) -> str:
    """Return the text form of a SID."""
    text = c_void_p()
    _ConvertToSid(to_sid(Sid), text)
    return _freed(text, _text_at)  # type: ignore[no-any-return]


# Accounts


def CreateWellKnownSid(WellKnownSidType: Integer, DomainSid: Any = None, /) -> SID:
    """Return a well-known SID, of a domain if needed; the types are Win*Sid."""
    memory, size = ctypes.create_string_buffer(68), DWORD(68)
    native.CreateWellKnownSid(index(WellKnownSidType), None if DomainSid is None else to_sid(DomainSid), memory, size)
    return SID(memory.raw[: size.value])


def _name(text: str | None) -> str | None:
    return None if text is None else to_text(text)


def LookupAccountName(systemName: str | None, accountName: str, /) -> tuple[SID, str, int]:
    """Return the SID of an account, its domain and its SidType."""
    sid, sid_size, size, kind = ctypes.create_string_buffer(68), DWORD(68), DWORD(256), DWORD()
    domain = ctypes.create_unicode_buffer(size.value)
    code = _LookupAccountName(_name(systemName), to_text(accountName), sid, sid_size, domain, size, kind)
    if code == constants.ERROR_NONE_MAPPED:
        raise api_error(code, "LookupAccountName")
    return SID(sid.raw[: 8 + 4 * sid.raw[1]]), domain.value, kind.value


def LookupAccountSid(systemName: str | None, sid: Any, /) -> tuple[str, str, int]:
    """Return the name, the domain and the SidType of an account."""
    size, domain_size, kind = DWORD(256), DWORD(256), DWORD()
    name, domain = (ctypes.create_unicode_buffer(256) for _ in range(2))
    code = _LookupAccountSid(_name(systemName), to_sid(sid), name, size, domain, domain_size, kind)
    if code == constants.ERROR_NONE_MAPPED:
        raise api_error(code, "LookupAccountSid")
    return name.value, domain.value, kind.value


# Tokens


def OpenProcessToken(ProcessHandle: HandleLike, DesiredAccess: Integer, /) -> HANDLE:
    """Open the token of a process."""
    token = _HANDLE()
    _OpenProcessToken(handle_value(ProcessHandle), index(DesiredAccess), token)
    return HANDLE(token.value)


def OpenThreadToken(ThreadHandle: HandleLike, DesiredAccess: Integer, OpenAsSelf: Integer, /) -> HANDLE:
    """Open the token of an impersonating thread; with `OpenAsSelf`, with the access rights of the process."""
    token = _HANDLE()
    _OpenThreadToken(handle_value(ThreadHandle), index(DesiredAccess), to_long(OpenAsSelf), token)
    return HANDLE(token.value)


def _number_in(memory: Any) -> int:
    return DWORD.from_buffer(memory).value


def _sid_in(memory: Any) -> SID | None:
    return sid_at(c_void_p.from_buffer(memory).value)


def _sid_and_attributes(found: winapi.SID_AND_ATTRIBUTES) -> tuple[SID | None, int]:
    attributes = found.Attributes
    return sid_at(found.Sid), attributes if attributes < 1 << 31 else attributes - (1 << 32)


def _one_sid(memory: Any) -> tuple[SID | None, int]:
    return _sid_and_attributes(winapi.SID_AND_ATTRIBUTES.from_buffer(memory))


def _sids_in(memory: Any) -> tuple[tuple[SID | None, int], ...]:
    groups = winapi.SID_AND_ATTRIBUTES * _number_in(memory)
    return tuple(map(_sid_and_attributes, groups.from_buffer(memory, ctypes.sizeof(c_void_p))))


def _acl_in(memory: Any) -> ACL | None:
    return acl_at(c_void_p.from_buffer(memory).value)


# The reader for each information class. Structures that pipe programs do not use are left out.
_READERS: dict[int, Callable[[Any], Any]] = {
    constants.TokenUser: _one_sid,
    constants.TokenGroups: _sids_in,
    constants.TokenOwner: _sid_in,
    constants.TokenPrimaryGroup: _sid_in,
    constants.TokenDefaultDacl: _acl_in,
    constants.TokenType: _number_in,
    constants.TokenImpersonationLevel: _number_in,
    constants.TokenRestrictedSids: _sids_in,
    constants.TokenSessionId: _number_in,
    constants.TokenElevationType: _number_in,
    constants.TokenElevation: _number_in,
    constants.TokenIntegrityLevel: _one_sid,
}


def GetTokenInformation(TokenHandle: HandleLike, TokenInformationClass: Integer, /) -> Any:
    """Return information about a token: for TokenUser, a SID and its attributes; for TokenGroups, several of these."""
    kind = index(TokenInformationClass)
    handle, size = handle_value(TokenHandle), DWORD()
    _GetTokenInformation(handle, kind, None, 0, size)
    if kind not in _READERS:
        raise NotImplementedError(f"TokenInformationClass {kind} is not supported yet")
    memory = ctypes.create_string_buffer(size.value)
    _GetTokenInformation(handle, kind, memory, size.value, size)
    return _READERS[kind](memory)


def ImpersonateNamedPipeClient(handle: HandleLike, /) -> None:
    """Impersonate the client of a server end in this thread."""
    _ImpersonateNamedPipeClient(handle_value(handle))


def RevertToSelf() -> None:
    """End the impersonation in this thread."""
    _RevertToSelf()


# Descriptors of open handles


def GetSecurityInfo(handle: HandleLike, ObjectType: Integer, SecurityInfo: Integer, /) -> SECURITY_DESCRIPTOR:
    """Return the requested parts of the security descriptor of a handle's object."""
    descriptor = c_void_p()
    number = handle_value(handle)
    _GetSecurityInfo(number, index(ObjectType), index(SecurityInfo), None, None, None, None, descriptor)
    return _freed(descriptor, _descriptor_at)  # type: ignore[no-any-return]


def SetSecurityInfo(
    handle: HandleLike,
    ObjectType: Integer,
    SecurityInfo: Integer,
    Owner: Any,
    Group: Any,
    Dacl: Any,
    Sacl: Any,
    /,
) -> None:
    """Set parts of the security descriptor of a handle's object."""
    owner, group = (None if sid is None else to_sid(sid) for sid in (Owner, Group))
    dacl, sacl = map(acl_bytes, (Dacl, Sacl))
    native.SetSecurityInfo(handle_value(handle), index(ObjectType), index(SecurityInfo), owner, group, dacl, sacl)

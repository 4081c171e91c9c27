"""The security of pipes as the system keeps it: given to a new one, read from an open one, and the accounts in it.

`sddl` has what can be said without asking the system: access lists, their words, and what they allow.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import byref, c_void_p
from ctypes.wintypes import DWORD
from typing import NamedTuple

from pipectl.core.errors import PipeError
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle

from . import sddl, sids
from .accounts import account_name, account_sid, current_user_sid, is_network_logon
from .sddl import Dacl, Label

_SDDL_REVISION_1 = 1
_SE_KERNEL_OBJECT = 6
# Owner, group, access list and label: all that a handle with READ_CONTROL may read.
_SECURITY_INFORMATION = 0x1 | 0x2 | 0x4 | 0x10


class SecurityInfo(NamedTuple):
    """What a pipe's security descriptor tells; None is what the system does not tell, as Wine for a default one."""

    sddl: str
    owner: str | None
    owner_name: str | None
    group: str | None
    group_name: str | None
    dacl: Dacl | None
    label: Label | None


class SecurityAttributes(winapi.SECURITY_ATTRIBUTES):
    """The security of pipes to be created; holds the memory of its descriptor, and lets no child inherit the handle."""

    def __init__(self, descriptor: bytes) -> None:
        self.descriptor = ctypes.create_string_buffer(descriptor, len(descriptor))
        super().__init__(ctypes.sizeof(winapi.SECURITY_ATTRIBUTES), ctypes.addressof(self.descriptor), False)


def security_attributes(text: str) -> SecurityAttributes:
    """Make the security of new pipes from SDDL; raises ValueError for a text that the system does not accept."""
    descriptor, size = c_void_p(), DWORD()
    if "\0" in text:  # Win32 would see only what stands before it
        raise ValueError("a security descriptor cannot contain NUL")
    try:
        winapi.ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text, _SDDL_REVISION_1, byref(descriptor), byref(size)
        )
    except PipeError as error:
        raise ValueError(f"`{text}` is not a security descriptor: {error.reason}") from error
    with _local_memory(descriptor) as address:
        return SecurityAttributes(ctypes.string_at(address, size.value))


def sddl_for(allow: Sequence[str] = (), *, remote: bool = False) -> str:
    """Write the descriptor for a pipe of this user that those in `allow` may use; `sddl.for_server` tells how.

    Clients from the network are denied unless they are wanted. Where this program itself was logged on over the
    network, as in a remote shell, that would shut it out too, so that REJECT_REMOTE_CLIENTS alone has to do.
    """
    deny_network = not remote and not is_network_logon()
    return sddl.for_server(allow, current_user_sid(), account_sid, deny_network=deny_network)


class PipeSecurity(NamedTuple):
    """The security of a pipe to be created; None for the access list is the default one."""

    sddl: str
    attributes: SecurityAttributes
    dacl: Dacl | None

    def in_words(self) -> list[str]:
        """Return whom the access list lets do what, a line for each entry."""
        if self.dacl is None:
            return ["as this user's default access list says"]
        return sddl.dacl_in_words(self.dacl, account_name)

    def lets_everyone_in(self) -> bool:
        """Return whether the access list lets every user of the computer open the pipe."""
        return self.dacl is not None and sddl.is_open_to_everyone(self.dacl)


def pipe_security(allow: Sequence[str] = (), *, remote: bool = False) -> PipeSecurity:
    """Return the security of a pipe of this user that those in `allow` may use; `sddl.for_server` tells how.

    Raises ValueError for who cannot be allowed, and for a descriptor that the system does not accept.
    """
    text = sddl_for(allow, remote=remote)
    return PipeSecurity(text, security_attributes(text), sddl.parse(text).dacl)


def get_security(pipe: Handle) -> SecurityInfo:
    """Read the security descriptor of a pipe; either end will do, if the handle has READ_CONTROL."""
    text = _descriptor_text(pipe)
    descriptor = sddl.parse(text)
    return SecurityInfo(
        sddl=text,
        owner=descriptor.owner,
        owner_name=_name(descriptor.owner),
        group=descriptor.group,
        group_name=_name(descriptor.group),
        dacl=descriptor.dacl,
        label=descriptor.label,
    )


def _name(sid: str | None) -> str | None:
    return sid and sids.name_of(sid, account_name)


def _descriptor_text(pipe: Handle) -> str:
    descriptor, text = c_void_p(), c_void_p()
    winapi.GetSecurityInfo(pipe, _SE_KERNEL_OBJECT, _SECURITY_INFORMATION, None, None, None, None, byref(descriptor))
    with _local_memory(descriptor) as address:
        winapi.ConvertSecurityDescriptorToStringSecurityDescriptorW(
            address, _SDDL_REVISION_1, _SECURITY_INFORMATION, byref(text), None
        )
    with _local_memory(text) as address:
        return ctypes.wstring_at(address)


@contextmanager
def _local_memory(pointer: c_void_p) -> Iterator[int]:
    """Free what a function has allocated for its caller."""
    try:
        yield pointer.value or 0
    finally:
        winapi.LocalFree(pointer)

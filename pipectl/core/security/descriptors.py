"""The security descriptors of pipes: set for a new pipe, read from an open one, with the accounts in them.

`sddl` and `access_check` have the parts without system calls: ACLs, their description, and the access that they grant.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import byref, c_void_p
from ctypes.wintypes import DWORD
from typing import NamedTuple

from pipectl.core.constants import Access
from pipectl.core.errors import PipeError
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle

from . import sddl, sids, tokens
from .access_check import Token, is_open_to_everyone, judge
from .accounts import account_name, account_sid, current_owner_sid, current_user_sid
from .sddl import Dacl, Descriptor, Label

_SDDL_REVISION_1 = 1
_SE_KERNEL_OBJECT = 6
# Owner, group, DACL and label: all that a handle with READ_CONTROL can read.
_SECURITY_INFORMATION = 0x1 | 0x2 | 0x4 | 0x10
_OWNER_SECURITY_INFORMATION = 0x1


class SecurityInfo(NamedTuple):
    """The contents of a pipe's security descriptor; None for parts that the system does not report, as under Wine."""

    sddl: str
    owner: str | None
    owner_name: str | None
    group: str | None
    group_name: str | None
    dacl: Dacl | None
    label: Label | None


class SecurityAttributes(winapi.SECURITY_ATTRIBUTES):
    """The security attributes of new pipes. They own the memory of the descriptor; handles are not inheritable."""

    def __init__(self, descriptor: bytes) -> None:
        self.descriptor = ctypes.create_string_buffer(descriptor, len(descriptor))
        super().__init__(ctypes.sizeof(winapi.SECURITY_ATTRIBUTES), ctypes.addressof(self.descriptor), False)


def security_attributes(text: str) -> SecurityAttributes:
    """Return security attributes for new pipes from SDDL; raises ValueError for a text that the system rejects."""
    descriptor, size = c_void_p(), DWORD()
    if "\0" in text:  # Win32 would ignore everything after it
        raise ValueError("a security descriptor cannot contain NUL")
    try:
        winapi.ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text, _SDDL_REVISION_1, byref(descriptor), byref(size)
        )
    except PipeError as error:
        raise ValueError(f"`{text}` is not a security descriptor: {error.reason}") from error
    with _local_memory(descriptor) as address:
        return SecurityAttributes(ctypes.string_at(address, size.value))


def sddl_for(allow: Sequence[str] = ()) -> str:
    """Return the SDDL for a pipe of this user that grants access to `allow`; see `sddl.for_server`."""
    return sddl.for_server(allow, current_user_sid(), account_sid, owner=current_owner_sid())


class PipeSecurity(NamedTuple):
    """The security of a new pipe; if the ACL is None, the pipe gets the default ACL."""

    sddl: str
    attributes: SecurityAttributes
    dacl: Dacl | None
    label: Label | None = None

    def in_words(self) -> list[str]:
        """Return the ACL in words, one line for each entry, and the integrity label."""
        words = ["this user's default ACL"] if self.dacl is None else sddl.dacl_in_words(self.dacl, account_name)
        return [*words, *([sddl.label_in_words(self.label)] if self.label else [])]

    def admitted(self) -> list[str]:
        """Return the names of the accounts that the ACL grants access to; this user is `you`."""
        if self.dacl is None or self.dacl.is_null:
            return ["this user's default" if self.dacl is None else "Everyone"]
        me = current_user_sid()
        accounts = [entry.account for entry in self.dacl.effective if entry.kind is sddl.Kind.ALLOW]
        names = ["you" if account == me else sids.name_of(account, account_name) for account in accounts]
        return list(dict.fromkeys(names)) or ["nobody"]

    def lets_everyone_in(self) -> bool:
        """Return whether the ACL allows every user of the computer to open the pipe."""
        return self.dacl is not None and is_open_to_everyone(self.dacl)


def pipe_security(allow: Sequence[str] = ()) -> PipeSecurity:
    """Return the security for a pipe of this user that grants access to `allow`; see `sddl.for_server`.

    Raises ValueError for an unknown account, for a descriptor that the system rejects, and for one that allows this
    process to create only the pipe's first instance: it could serve only one client at a time.
    """
    text = sddl_for(allow)
    security, attributes = sddl.parse(text), security_attributes(text)
    if security.dacl is not None and not _lets_us_serve(security):
        raise ValueError(
            f"`{text}` does not allow the server itself to create more instances of the pipe, so it could serve only "
            f"one client at a time; add an entry such as (A;;GA;;;{current_owner_sid()})"
        )
    return PipeSecurity(text, attributes, security.dacl, security.label)


def _lets_us_serve(security: Descriptor) -> bool:
    us = tokens.current()
    # By the ACL only: an entry could not grant access to an app or a low-integrity program.
    by_list = Token(us.user, us.groups, us.deny_only)
    owned = security._replace(owner=security.owner or current_owner_sid())
    return judge(owned, by_list, Access.FILE_CREATE_PIPE_INSTANCE).is_possible


def get_owner(pipe: Handle) -> str | None:
    """Return the SID of a pipe's owner; None if the system does not report it, as Wine for a default descriptor.

    On Windows, the owner must be a SID in the token of the process that created the pipe, so it cannot be forged.
    """
    return sddl.parse(_descriptor_text(pipe, _OWNER_SECURITY_INFORMATION)).owner


def get_descriptor(pipe: Handle) -> Descriptor:
    """Read the security descriptor of a pipe, without looking up names, which can be slow."""
    return sddl.parse(_descriptor_text(pipe))


def get_security(pipe: Handle) -> SecurityInfo:
    """Read the security descriptor of a pipe through a handle of either end with READ_CONTROL."""
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


def _descriptor_text(pipe: Handle, what: int = _SECURITY_INFORMATION) -> str:
    descriptor, text = c_void_p(), c_void_p()
    winapi.GetSecurityInfo(pipe, _SE_KERNEL_OBJECT, what, None, None, None, None, byref(descriptor))
    with _local_memory(descriptor) as address:
        winapi.ConvertSecurityDescriptorToStringSecurityDescriptorW(address, _SDDL_REVISION_1, what, byref(text), None)
    with _local_memory(text) as address:
        return ctypes.wstring_at(address)


@contextmanager
def _local_memory(pointer: c_void_p) -> Iterator[int]:
    """Yield the address of memory that a function has allocated for its caller, and free it."""
    try:
        yield pointer.value or 0
    finally:
        winapi.LocalFree(pointer)

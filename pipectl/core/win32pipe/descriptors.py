"""The types SECURITY_DESCRIPTOR and SECURITY_ATTRIBUTES of pywin32's `pywintypes`, for the security of new objects.

A function that accepts one of these also accepts pywin32's own type, and copies it.
"""

import struct
from ctypes import addressof, sizeof
from operator import index
from typing import TYPE_CHECKING, Any

from pipectl.core.win32 import winapi

from .acls import ACL, SID, acl_of, is_pywin32s, memory_of, to_sid
from .arguments import to_long
from .constants import ERROR_INVALID_PARAMETER, ERROR_INVALID_SID
from .errors import api_error, pywin32_types
from .objects import PyObject, refuse

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["SECURITY_ATTRIBUTES", "SECURITY_DESCRIPTOR", "SECURITY_ATTRIBUTESType", "SECURITY_DESCRIPTORType"]


def acl_bytes(acl: Any) -> bytes | None:
    """Return the bytes of an ACL, ours or pywin32's; None for None."""
    if acl is None:
        return None
    if isinstance(acl, ACL):
        return bytes(acl._memory.raw)
    if not is_pywin32s(acl, "ACL"):
        refuse("ACL")
    # pywin32's ACL does not expose its bytes, but a descriptor that contains it does.
    types = pywin32_types()
    assert types is not None
    theirs = types.SECURITY_DESCRIPTOR()
    theirs.SetSecurityDescriptorDacl(1, acl, 0)
    return SECURITY_DESCRIPTOR(bytes(theirs))._part(_DACL)


# SECURITY_DESCRIPTOR_RELATIVE: revision, padding, control; offsets of owner, group, SACL and DACL.
_HEADER = struct.Struct("<BBHLLLL")
_OWNER, _GROUP, _SACL, _DACL = range(4)
_PRESENT = {_SACL: 0x0010, _DACL: 0x0004}
_DEFAULTED = {_OWNER: 0x0001, _GROUP: 0x0002, _SACL: 0x0020, _DACL: 0x0008}
_SELF_RELATIVE = 0x8000
# The control bits that SetSecurityDescriptorControl may change: those about inheritance and protection from it.
_SETTABLE = 0x3F00
_BLANK = _HEADER.pack(1, 0, _SELF_RELATIVE, 0, 0, 0, 0)
_LEAST = 8  # size in bytes of the smallest SID, and of an empty ACL


def _is_whole(data: bytes) -> bool:
    """Return whether a self-relative descriptor and all its parts are within these bytes.

    IsValidSecurityDescriptor does not know where they end. RtlValidRelativeSecurityDescriptor does, but in Wine 10 it
    rejects every valid descriptor, and in Wine 8 it checks no offsets.
    """
    if len(data) < _HEADER.size:
        return False
    _, _, control, owner, group, sacl, dacl = _HEADER.unpack_from(data)
    sids = [offset for offset in (owner, group) if offset]
    acls = [offset for place, offset in ((_SACL, sacl), (_DACL, dacl)) if control & _PRESENT[place] and offset]
    return (
        bool(control & _SELF_RELATIVE)
        and all(_HEADER.size <= offset <= len(data) - _LEAST for offset in sids + acls)
        and all(offset + _sid_size(data, offset) <= len(data) for offset in sids)
        and all(offset + _acl_size(data, offset) <= len(data) for offset in acls)
    )


def _sid_size(data: bytes, offset: int) -> int:
    return _LEAST + 4 * data[offset + 1]


def _acl_size(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset + 2 : offset + 4], "little")


class SECURITY_DESCRIPTOR(PyObject):
    """A self-relative security descriptor, created empty or from bytes."""

    __slots__ = ("_memory",)

    def __init__(self, descriptor: "int | ReadableBuffer" = 0, /) -> None:
        data = _BLANK if isinstance(descriptor, int) else bytes(descriptor)
        if not (_is_whole(data) and winapi.IsValidSecurityDescriptor(data)):
            raise ValueError("Data is not a valid security descriptor")
        self._memory: Any = memory_of(data)

    def Initialize(self) -> None:
        """Reset it: no owner, no group, no ACLs."""
        _HEADER.pack_into(self._memory, 0, *_HEADER.unpack(_BLANK))

    def IsValid(self) -> bool:
        """Return whether it is a valid security descriptor."""
        return bool(winapi.IsValidSecurityDescriptor(self._memory))

    def IsSelfRelative(self) -> int:
        """Return whether it is self-relative, which is always the case."""
        return 1

    def GetLength(self) -> int:
        """Return its size in bytes."""
        return int(winapi.GetSecurityDescriptorLength(self._memory))

    def GetSecurityDescriptorControl(self) -> tuple[int, int]:
        """Return its control bits and its revision."""
        revision, _, control, *_ = _HEADER.unpack_from(self._memory)
        return control, revision

    def SetSecurityDescriptorControl(self, ControlBitsOfInterest: int, ControlBitsToSet: int, /) -> None:
        """Change control bits: only those about inheritance."""
        mask, bits = to_long(ControlBitsOfInterest), to_long(ControlBitsToSet)
        if (mask | bits) & ~_SETTABLE:
            raise api_error(ERROR_INVALID_PARAMETER, "SetSecurityDescriptorControl")
        control = self.GetSecurityDescriptorControl()[0] & ~mask | bits & mask
        struct.pack_into("<H", self._memory, 2, control)

    def GetSecurityDescriptorDacl(self) -> ACL | None:
        """Return the DACL; None if there is none, or if it is a NULL DACL."""
        data = self._part(_DACL)
        return None if data is None else acl_of(data)

    def GetSecurityDescriptorSacl(self) -> ACL | None:
        """Return the SACL, which has audit entries and the integrity label."""
        data = self._part(_SACL)
        return None if data is None else acl_of(data)

    def GetSecurityDescriptorOwner(self) -> SID | None:
        """Return the owner."""
        data = self._part(_OWNER)
        return None if data is None else SID(data)

    def GetSecurityDescriptorGroup(self) -> SID | None:
        """Return the primary group."""
        data = self._part(_GROUP)
        return None if data is None else SID(data)

    def SetSecurityDescriptorDacl(self, bDaclPresent: int, DACL: Any, bDaclDefaulted: int, /) -> None:
        """Replace the DACL; None is a NULL DACL, which grants everyone full access.

        `bDaclPresent` 0 removes the DACL, so that the system's default applies.
        """
        self._set_list(_DACL, index(bDaclPresent), acl_bytes(DACL), index(bDaclDefaulted))

    def SetSecurityDescriptorSacl(self, bSaclPresent: int, SACL: Any, bSaclDefaulted: int, /) -> None:
        """Replace the SACL."""
        self._set_list(_SACL, index(bSaclPresent), acl_bytes(SACL), index(bSaclDefaulted))

    def SetSecurityDescriptorOwner(self, sid: Any, bOwnerDefaulted: int, /) -> None:
        """Set the owner; None removes it."""
        self._set_sid(_OWNER, sid, index(bOwnerDefaulted))

    def SetSecurityDescriptorGroup(self, sid: Any, bOwnerDefaulted: int, /) -> None:
        """Set the primary group; None removes it."""
        self._set_sid(_GROUP, sid, index(bOwnerDefaulted))

    SetDacl = SetSecurityDescriptorDacl

    def _part(self, place: int) -> bytes | None:
        data = self._memory.raw
        control, offset = self.GetSecurityDescriptorControl()[0], _HEADER.unpack_from(data)[3 + place]
        if not offset or not control & _PRESENT.get(place, control | 1):
            return None
        size = (_acl_size if place in _PRESENT else _sid_size)(data, offset)
        return bytes(data[offset : offset + size])

    def _set_list(self, place: int, present: int, acl: bytes | None, defaulted: int) -> None:
        control = self.GetSecurityDescriptorControl()[0]
        if not present:
            self._replace(place, None, control & ~_PRESENT[place])
        else:
            control = control | _PRESENT[place] | _DEFAULTED[place]
            self._replace(place, acl, control if defaulted else control & ~_DEFAULTED[place])

    def _set_sid(self, place: int, sid: Any, defaulted: int) -> None:
        data = None
        if sid is not None:
            own = SID(to_sid(sid).raw)
            if not own.IsValid():
                name = "SetSecurityDescriptorOwner" if place == _OWNER else "SetSecurityDescriptorGroup - invalid sid"
                raise api_error(ERROR_INVALID_SID, name)
            data = bytes(own)
        control = self.GetSecurityDescriptorControl()[0] | _DEFAULTED[place]
        self._replace(place, data, control if defaulted else control & ~_DEFAULTED[place])

    def _replace(self, place: int, part: bytes | None, control: int) -> None:
        parts = [self._part(number) for number in range(4)]
        parts[place] = part
        offsets, data = [], b""
        for found in parts:
            offsets.append(_HEADER.size + len(data) if found is not None else 0)
            data += (found or b"") + bytes(-len(found or b"") % 4)
        revision = self.GetSecurityDescriptorControl()[1]
        self._memory = memory_of(_HEADER.pack(revision, 0, control, *offsets) + data)

    def __bytes__(self) -> bytes:
        return bytes(self._memory.raw)

    def __buffer__(self, _flags: int) -> memoryview:
        return memoryview(bytes(self))


# An alias, because in SECURITY_ATTRIBUTES the name is a property.
_Descriptor = SECURITY_DESCRIPTOR


def to_descriptor(descriptor: Any) -> SECURITY_DESCRIPTOR | None:
    """Return a descriptor unchanged, or a copy of one of pywin32's."""
    if descriptor is None or isinstance(descriptor, SECURITY_DESCRIPTOR):
        return descriptor
    if not is_pywin32s(descriptor, "SECURITY_DESCRIPTOR"):
        refuse("SECURITY_DESCRIPTOR")
    return SECURITY_DESCRIPTOR(bytes(descriptor))


class SECURITY_ATTRIBUTES(PyObject):
    """The security of a new object, and whether child processes inherit its handle (by default, they do).

    The methods of its SECURITY_DESCRIPTOR can be called on it, too.
    """

    __slots__ = ("_descriptor", "_struct")

    def __init__(self) -> None:
        self._struct = winapi.SECURITY_ATTRIBUTES(nLength=sizeof(winapi.SECURITY_ATTRIBUTES), bInheritHandle=True)
        self._descriptor: _Descriptor | None = _Descriptor()

    @property
    def bInheritHandle(self) -> int:
        """Whether child processes inherit the handle."""
        return self._struct.bInheritHandle  # type: ignore[no-any-return]

    @bInheritHandle.setter
    def bInheritHandle(self, inherit: int) -> None:
        self._struct.bInheritHandle = inherit

    @property
    def SECURITY_DESCRIPTOR(self) -> "_Descriptor | None":
        """The security descriptor; None means the system's default."""
        return self._descriptor

    @SECURITY_DESCRIPTOR.setter
    def SECURITY_DESCRIPTOR(self, descriptor: "_Descriptor | None") -> None:
        self._descriptor = to_descriptor(descriptor)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._descriptor, name)


def structure_of(attributes: Any) -> winapi.SECURITY_ATTRIBUTES:
    """Return the structure of security attributes, which keeps its descriptor alive."""
    if not isinstance(attributes, SECURITY_ATTRIBUTES):
        if not is_pywin32s(attributes, "SECURITY_ATTRIBUTES"):
            refuse("SECURITY_ATTRIBUTES")
        theirs, attributes = attributes, SECURITY_ATTRIBUTES()
        attributes.bInheritHandle, attributes.SECURITY_DESCRIPTOR = theirs.bInheritHandle, theirs.SECURITY_DESCRIPTOR
    structure: winapi.SECURITY_ATTRIBUTES = attributes._struct
    descriptor = attributes._descriptor
    memory = descriptor and descriptor._memory
    structure.descriptor = memory  # keeps it alive, because the structure only contains its address
    structure.lpSecurityDescriptor = addressof(memory) if memory else None
    return structure


# pywin32's names of the types; its other names are functions that create objects.
SECURITY_ATTRIBUTESType = SECURITY_ATTRIBUTES
SECURITY_DESCRIPTORType = SECURITY_DESCRIPTOR

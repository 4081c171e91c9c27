"""The types SID and ACL of pywin32's `pywintypes`, for access control.

A function that accepts one of these also accepts pywin32's own type, and copies it.
"""

import struct
from collections.abc import Sequence
from ctypes import c_char, c_void_p, memmove, string_at
from typing import TYPE_CHECKING, Any

from . import native
from .arguments import to_long
from .constants import ERROR_ALLOTTED_SPACE_EXCEEDED, ERROR_INVALID_PARAMETER
from .errors import api_error, error_type, pywin32_types
from .objects import PyObject, refuse

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["ACL", "SID", "ACLType", "SIDType"]


def memory_of(data: bytes) -> Any:
    """Return a copy of data that ctypes passes by address."""
    return (c_char * len(data)).from_buffer_copy(data)


def is_pywin32s(value: object, kind: str) -> bool:
    """Return whether an object has pywin32's own type; `kind` is the type's name without `Type`."""
    types = pywin32_types()
    return types is not None and type(value) is getattr(types, f"{kind}Type")


_MOST = 68  # SECURITY_MAX_SID_SIZE


class SID(PyObject):
    """A security identifier, created from a size, from bytes, or from an authority and sub-authorities."""

    __slots__ = ("_memory",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, first: "int | ReadableBuffer | Sequence[int]" = 32, sub_authorities: Sequence[int] | None = None, /
    ) -> None:
        if sub_authorities is not None:
            if len(sub_authorities) > 8:
                raise TypeError("sub authorities sequence size must be <= 8")
            authority = _authority(first)
            first = bytes([1, len(sub_authorities)]) + authority
            first += b"".join(struct.pack("<L", to_long(number) & 0xFFFF_FFFF) for number in sub_authorities)
        elif isinstance(first, str | tuple | list):
            raise TypeError("a bytes-like object is required, or an authority and sub authorities")
        # Large enough for the longest SID, so that no call reads beyond it. A number means that many zeros.
        self._memory = memory_of(bytes(first).ljust(_MOST, b"\0"))

    def Initialize(self, idAuthority: Sequence[int], numSubauths: int, /) -> None:
        """Set the authority and the number of sub-authorities."""
        data = bytes([1, numSubauths]) + _authority(idAuthority)
        self._memory[: len(data)] = data

    def IsValid(self) -> bool:
        """Return whether it is a valid SID."""
        return self._memory.raw[0] & 0xF == 1 and self.GetLength() <= _MOST

    def GetLength(self) -> int:
        """Return its size in bytes."""
        return 8 + 4 * self.GetSubAuthorityCount()

    def GetSubAuthorityCount(self) -> int:
        """Return the number of its sub-authorities."""
        return int(self._memory.raw[1])

    def _place(self, number: int) -> int:
        number = to_long(number)
        if not 0 <= number < self.GetSubAuthorityCount():
            raise ValueError("The index is out of range")
        return 8 + 4 * number

    def GetSubAuthority(self, index: int, /) -> int:
        """Return one of its sub-authorities, signed."""
        return int(struct.unpack_from("<l", self._memory, self._place(index))[0])

    def SetSubAuthority(self, index: int, val: int, /) -> None:
        """Set one of its sub-authorities."""
        struct.pack_into("<l", self._memory, self._place(index), to_long(val))

    def GetSidIdentifierAuthority(self) -> tuple[int, ...]:
        """Return the six bytes of its authority."""
        if not self.IsValid():
            raise ValueError("GetSidIdentifierAuthority: Invalid SID in object")
        return tuple(self._memory.raw[2:8])

    def __bytes__(self) -> bytes:
        return bytes(self._memory.raw[: self.GetLength()])

    def __buffer__(self, _flags: int) -> memoryview:
        return memoryview(bytes(self))

    def __eq__(self, other: object) -> bool:
        return bytes(self) == bytes(other) if isinstance(other, SID) else NotImplemented

    def __repr__(self) -> str:
        return f"<PySID object at 0x{id(self):016X}>"

    def __str__(self) -> str:
        authority = int.from_bytes(self._memory.raw[2:8], "big")
        below = (self.GetSubAuthority(number) & 0xFFFF_FFFF for number in range(self.GetSubAuthorityCount()))
        first = str(authority) if authority < 1 << 32 else f"0x{authority:012x}"
        return "-".join(["PySID:S-1", first, *map(str, below)])


def _authority(numbers: Any) -> bytes:
    data = bytes(numbers)
    if isinstance(numbers, int) or len(data) != 6:
        raise TypeError("an authority is a sequence of six bytes")
    return data


def to_sid(sid: Any) -> Any:
    """Return the memory of a SID."""
    if not isinstance(sid, SID):
        if not is_pywin32s(sid, "SID"):
            refuse("SID")
        sid = SID(bytes(sid))
    if sid.GetLength() > _MOST:
        raise ValueError("the SID is not valid")
    return sid._memory


def sid_at(address: "int | c_void_p | None") -> SID | None:
    """Return a copy of the SID at an address."""
    if not address:
        return None
    return SID(string_at(address, 8 + 4 * string_at(address, 2)[1]))


_ACL = struct.Struct("<BBHHH")
_ACE = struct.Struct("<BBHL")
_DENIED, _DENIED_OBJECT, _ALLOWED, _ALLOWED_OBJECT, _AUDIT, _LABEL = 1, 6, 0, 5, 2, 0x11
_ORDER = (_DENIED, _DENIED_OBJECT, _ALLOWED, _ALLOWED_OBJECT)
_INHERITED_ACE = 0x10


class ACL(PyObject):
    """An access control list; entries that deny come before entries that allow. It grows as needed."""

    __slots__ = ("_memory",)

    def __init__(self, bufSize: int = 64, aclrev: int = 2, /) -> None:
        self._memory: Any = (c_char * to_long(bufSize))()
        native.InitializeAcl(self._memory, len(self._memory), to_long(aclrev))

    def Initialize(self) -> None:
        """Remove all entries."""
        native.InitializeAcl(self._memory, self.GetAclSize(), self.GetAclRevision())

    def IsValid(self) -> int:
        """Return whether it is a valid ACL."""
        return int(native.IsValidAcl(self._memory))

    def GetAclSize(self) -> int:
        """Return its size in bytes, including unused bytes."""
        return len(self._memory)

    def GetAclRevision(self) -> int:
        """Return its revision."""
        return int(self._memory.raw[0])

    def GetAceCount(self) -> int:
        """Return the number of its entries."""
        return int(_ACL.unpack_from(self._memory)[3])

    def GetAce(self, index: int, /) -> tuple[tuple[int, int], int, SID]:
        """Return the type and flags, the rights and the SID of the entry at an index."""
        entry = self._entries("GetAce", index)[index]
        kind, flags, _, mask = _ACE.unpack_from(entry)
        if kind not in (_ALLOWED, _DENIED, _AUDIT, _LABEL):
            raise NotImplementedError(f"Ace type {kind} is not supported yet")
        return (kind, flags), mask if mask < 1 << 31 else mask - (1 << 32), SID(entry[_ACE.size :])

    def DeleteAce(self, index: int, /) -> None:
        """Remove the entry at an index."""
        entries = self._entries("DeleteAce", index)
        del entries[index]
        self._fill(entries)

    def AddAccessAllowedAce(self, *arguments: Any) -> None:
        """Allow rights; the arguments are revision (optional), rights and SID."""
        self._add(native.AddAccessAllowedAce, *_with_revision(*arguments))

    def AddAccessDeniedAce(self, *arguments: Any) -> None:
        """Deny rights; the arguments are revision (optional), rights and SID."""
        self._add(native.AddAccessDeniedAce, *_with_revision(*arguments))

    def AddAccessAllowedAceEx(self, revision: int, aceflags: int, access: int, sid: SID, /) -> None:
        """Allow rights; the flags control which objects inherit the entry."""
        self._add(native.AddAccessAllowedAceEx, revision, aceflags, access, sid)

    def AddAccessDeniedAceEx(self, revision: int, aceflags: int, access: int, sid: SID, /) -> None:
        """Deny rights; the flags control which objects inherit the entry."""
        self._add(native.AddAccessDeniedAceEx, revision, aceflags, access, sid)

    def AddMandatoryAce(self, AceRevision: int, AceFlags: int, MandatoryPolicy: int, LabelSid: SID, /) -> None:
        """Set an integrity level."""
        self._add(native.AddMandatoryAce, AceRevision, AceFlags, MandatoryPolicy, LabelSid, is_ordered=False)

    def AddAuditAccessAce(self, revision: int, access: int, sid: SID, success: int, failure: int, /) -> None:
        """Audit the use of rights: successful uses, failed ones, or both."""
        after = to_long(success), to_long(failure)
        self._add(native.AddAuditAccessAce, revision, access, sid, after=after, is_ordered=False)

    def _add(self, function: Any, *arguments: Any, after: tuple[int, ...] = (), is_ordered: bool = True) -> None:
        *numbers, sid = arguments
        memory_of_sid = to_sid(sid)
        given = (*map(to_long, numbers), memory_of_sid, *after)
        try:
            function(self._memory, *given)
        except error_type() as error:
            if error.winerror != ERROR_ALLOTTED_SPACE_EXCEEDED:
                raise
            # Like pywin32, add one more word: the part of the SID that ACCESS_ALLOWED_ACE includes.
            self._grow(_ACE.size + 4 + 8 + 4 * memory_of_sid.raw[1], function, given)
        if is_ordered and self.GetAceCount() > 1:
            self._fill(sorted(self._entries(), key=_rank))

    def _grow(self, size: int, function: Any, given: tuple[Any, ...]) -> None:
        size += len(self._memory)
        if size > 0xFFFF:
            raise OverflowError(f"{function.__name__}: adding ACE would put ACL over size limit")
        memory: Any = (c_char * size)()
        memmove(memory, self._memory, len(self._memory))
        struct.pack_into("<H", memory, 2, size)
        function(memory, *given)
        self._memory = memory

    def _entries(self, function: str = "", place: int = 0) -> list[bytes]:
        """Return its entries; raise pywin32's error if a function was given an index without an entry."""
        count, data, start, entries = self.GetAceCount(), self._memory.raw, _ACL.size, []
        if function and not 0 <= to_long(place) < count:
            raise api_error(ERROR_INVALID_PARAMETER, function)
        for _ in range(count):
            end = start + _ACE.unpack_from(data, start)[2]
            entries.append(data[start:end])
            start = end
        return entries

    def _fill(self, entries: list[bytes]) -> None:
        data = b"".join(entries)
        self._memory[_ACL.size :] = data + bytes(len(self._memory) - _ACL.size - len(data))
        struct.pack_into("<H", self._memory, 4, len(entries))


def _with_revision(*arguments: Any) -> tuple[Any, ...]:
    if len(arguments) == 2:
        return 2, *arguments
    if len(arguments) != 3:
        raise TypeError(f"function takes exactly 3 arguments ({len(arguments)} given)")
    return arguments


def _rank(entry: bytes) -> int:
    """Return the rank of an entry in canonical order: deny entries, allow entries, inherited entries."""
    kind, flags = entry[0], entry[1]
    if flags & _INHERITED_ACE:
        return len(_ORDER)
    if kind not in _ORDER:
        raise NotImplementedError(f"Ace type {kind} is not supported yet")
    return _ORDER.index(kind)


def acl_of(data: bytes) -> ACL:
    """Return an ACL from its bytes."""
    acl = ACL.__new__(ACL)
    acl._memory = memory_of(data)
    return acl


def acl_at(address: int | None) -> ACL | None:
    """Return a copy of the ACL at an address."""
    return acl_of(string_at(address, _ACL.unpack(string_at(address, _ACL.size))[2])) if address else None


# pywin32's names of the types; its other names are functions that create objects.
ACLType = ACL
SIDType = SID

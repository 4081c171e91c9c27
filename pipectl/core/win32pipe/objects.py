"""The types of pywin32's `pywintypes` for pipe programs: HANDLE, OVERLAPPED, SECURITY_ATTRIBUTES, error.

They look and behave as pywin32's do, with one thing added. An overlapped operation is a loan: until it has ended, the
kernel writes to the OVERLAPPED structure and to the caller's memory. pywin32 leaves it to the program to keep both
alive; here the OVERLAPPED keeps the memory, from the call that starts the operation until

* GetOverlappedResult tells its end,
* the OVERLAPPED is used again after it has ended, or
* the OVERLAPPED is collected. If the operation is still under way then, structure and memory move to a place of their
  own, where they stay until the kernel has written the operation's end into the structure.

That end is in `Internal`: STATUS_PENDING until the very last, when every byte is where it belongs.
"""

import struct
from collections.abc import Callable
from contextlib import suppress
from ctypes import addressof, byref, c_char, sizeof
from ctypes.wintypes import DWORD
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, SupportsInt

from pipectl.core.constants import STATUS_PENDING
from pipectl.core.win32 import winapi

from .constants import ERROR_IO_PENDING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# What ctypes says of a code that the system has no text for.
_NO_TEXT = "<no description>"


class error(Exception):
    """A Win32 call that failed: `args` are the code, the function's name and the system's text for the code.

    `data` is what a call read before it failed, where pywin32 loses it: CallNamedPipe with ERROR_MORE_DATA.
    """

    data: bytes | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.winerror, self.funcname, self.strerror = (*args, None, None, None)[:3]


def api_error(code: int, function: str, _arguments: tuple[Any, ...] = ()) -> error:
    """Return the error for a code that a Win32 function gave; pywin32 calls the function by its name without W."""
    text = winapi.format_error(code)
    return error(code, function.removesuffix("W"), text if text != _NO_TEXT else "No error message is available")


def raising(function: Callable[..., Any]) -> Callable[..., int]:
    """Return a function of `winapi` that raises `error` where that one raises a PipeError."""
    return winapi.raising(api_error, function)


_CloseHandle = raising(winapi.CloseHandle)


class HANDLE:
    """Owns a Win32 handle: closes it at the latest when it is collected, and is 0 from then on."""

    __slots__ = ("_value",)

    def __init__(self, handle: SupportsInt | None = None, /) -> None:
        self._value = handle_value(handle)

    @property
    def handle(self) -> int:
        """The handle's number; 0 after `Close` and `Detach`."""
        return self._value

    def Close(self) -> None:
        """Close the handle; does nothing the second time."""
        value, self._value = self._value, 0
        if value:
            _CloseHandle(value)

    close = Close

    def Detach(self) -> int:
        """Return the raw handle; the caller must close it."""
        value, self._value = self._value, 0
        return value

    def __int__(self) -> int:
        return self._value

    def __bool__(self) -> bool:
        return self._value != 0

    def __eq__(self, other: object) -> bool:
        return self._value == int(other) if isinstance(other, HANDLE | int) else NotImplemented

    # Its value changes when it is closed, so that only the object itself can be a key.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<PyHANDLE:{self._value}>"

    def __del__(self) -> None:
        with suppress(AttributeError, error):  # it was never made, or closed behind its back
            self.Close()


def handle_value(handle: SupportsInt | None) -> int:
    """Return the number of a handle, signed as pywin32 does: of a HANDLE, a number, or any object that `int` takes.

    Text is no handle, though `int` takes it.
    """
    if type(handle) is HANDLE:
        return handle._value
    if handle is None:
        return 0
    if isinstance(handle, str | bytes | bytearray):
        _refuse("HANDLE")
    try:
        value = int(handle)
    except (TypeError, ValueError, OverflowError):
        _refuse("HANDLE")
    if not -(1 << 63) <= value < 1 << 64:
        _refuse("HANDLE")
    return value if value < 1 << 63 else value - (1 << 64)


def _field(name: str) -> Any:
    """A number of an OVERLAPPED's structure, as an attribute."""

    def get(overlapped: "OVERLAPPED") -> int:
        return getattr(overlapped._struct, name)  # type: ignore[no-any-return]

    def set(overlapped: "OVERLAPPED", value: int) -> None:  # noqa: A001
        setattr(overlapped._struct, name, value)

    return property(get, set)


class _Overlapped(winapi.OVERLAPPED):
    _fields_ = (("dword", DWORD),)  # type: ignore[assignment]


class OVERLAPPED:
    """An operation that may go on after the call that starts it; keeps the memory that it uses."""

    __slots__ = ("_event", "_loans", "_reference", "_struct", "object")

    # Those of operations whose OVERLAPPED is gone, by the address of the structure.
    _orphans: ClassVar[dict[int, tuple[winapi.OVERLAPPED, list[tuple[Any, ...]]]]] = {}

    Internal = _field("Internal")
    InternalHigh = _field("InternalHigh")
    Offset = _field("Offset")
    OffsetHigh = _field("OffsetHigh")
    # For the program to use, as `object` is.
    dword = _field("dword")

    def __init__(self) -> None:
        self._struct = _Overlapped()
        self._reference = byref(self._struct)
        self._event: Any = 0
        # What the operations under way use, oldest first. One at a time is the rule, which nothing enforces.
        self._loans: list[tuple[Any, ...]] = []
        self.object: Any = None

    @property
    def hEvent(self) -> Any:
        """The event that is set when the operation has ended; its owner is kept alive."""
        return self._event

    @hEvent.setter
    def hEvent(self, event: SupportsInt | None) -> None:
        value = handle_value(event)
        self._struct.hEvent = value
        self._event = value if event is None or isinstance(event, int) else event

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OVERLAPPED):
            return NotImplemented
        return bytes(self._struct) == bytes(other._struct) and self.object is other.object

    __hash__ = object.__hash__

    def __del__(self) -> None:
        if getattr(self, "_loans", None) and self._struct.Internal == STATUS_PENDING:
            self._orphans[addressof(self._struct)] = self._struct, self._loans


def start(overlapped: OVERLAPPED, function: Callable[..., int], *arguments: Any) -> int:
    """Call a function with an OVERLAPPED as its last argument, and keep the others while its operation is under way."""
    if not isinstance(overlapped, OVERLAPPED):
        _refuse("OVERLAPPED")
    if OVERLAPPED._orphans:
        _release_orphans()
    loans, structure = overlapped._loans, overlapped._struct
    if loans and structure.Internal != STATUS_PENDING:
        loans.clear()
    # So does Windows itself, and Wine but for TransactNamedPipe; a 0 would be an operation that has ended.
    structure.Internal = STATUS_PENDING
    loans.append(arguments)
    try:
        code = function(*arguments, overlapped._reference)
    except Exception:  # it never started, of which a KeyboardInterrupt is no sign
        loans.pop()
        raise
    if code != ERROR_IO_PENDING:
        loans.pop()
    return code


def finish(overlapped: OVERLAPPED, function: Callable[..., int], handle: int, count: DWORD, wait: int) -> int:
    """Ask GetOverlappedResult, and give back what the operation used if it has ended."""
    if not isinstance(overlapped, OVERLAPPED):
        _refuse("OVERLAPPED")
    try:
        return function(handle, overlapped._reference, count, wait)
    finally:
        if overlapped._loans and overlapped._struct.Internal != STATUS_PENDING:
            del overlapped._loans[0]


def _release_orphans() -> None:
    for address, (structure, _) in list(OVERLAPPED._orphans.items()):
        if structure.Internal != STATUS_PENDING:
            OVERLAPPED._orphans.pop(address, None)


class SECURITY_DESCRIPTOR:
    """Who may do what, self-relative: a blank one, or a copy of the bytes of another."""

    __slots__ = ("_memory",)

    def __init__(self, descriptor: "int | ReadableBuffer" = 0, /) -> None:
        data = _BLANK if isinstance(descriptor, int) else bytes(descriptor)
        if not (_is_whole(data) and winapi.IsValidSecurityDescriptor(data)):
            raise ValueError("Data is not a valid security descriptor")
        self._memory = (c_char * len(data)).from_buffer_copy(data)

    def Initialize(self) -> None:
        """Reset it: no owner, no group, no ACLs."""
        _HEADER.pack_into(self._memory, 0, *_HEADER.unpack(_BLANK))

    def GetSecurityDescriptorControl(self) -> tuple[int, int]:
        """Return its control bits and its revision."""
        revision, _, control, *_ = _HEADER.unpack_from(self._memory)
        return control, revision

    def SetSecurityDescriptorDacl(self, bDaclPresent: int, DACL: None, bDaclDefaulted: int, /) -> None:
        """Replace the access list: by one that lets everyone do everything, or by none, which is the system's default.

        Another list comes with ConvertStringSecurityDescriptorToSecurityDescriptor.
        """
        present, defaulted = index(bDaclPresent), index(bDaclDefaulted)
        if DACL is not None:
            _refuse("ACL")
        revision, zero, control, owner, group, sacl, _ = _HEADER.unpack_from(self._memory)
        if not present:
            control &= ~_DACL_PRESENT
        elif defaulted:
            control |= _DACL_PRESENT | _DACL_DEFAULTED
        else:
            control = control & ~_DACL_DEFAULTED | _DACL_PRESENT
        _HEADER.pack_into(self._memory, 0, revision, zero, control, owner, group, sacl, 0)

    SetDacl = SetSecurityDescriptorDacl

    def __bytes__(self) -> bytes:
        return self._memory.raw


# Alias: inside SECURITY_ATTRIBUTES the name is a property.
_Descriptor = SECURITY_DESCRIPTOR

# SECURITY_DESCRIPTOR_RELATIVE: revision, nothing, control; offsets of owner, group, system and access list.
_HEADER = struct.Struct("<BBHLLLL")
_DACL_PRESENT = 0x0004
_DACL_DEFAULTED = 0x0008
_SACL_PRESENT = 0x0010
_SELF_RELATIVE = 0x8000
_BLANK = _HEADER.pack(1, 0, _SELF_RELATIVE, 0, 0, 0, 0)
_LEAST = 8  # bytes of the smallest SID, and of an empty access list


def _is_whole(data: bytes) -> bool:
    """Return whether a self-relative descriptor and all that it points to are within these bytes.

    IsValidSecurityDescriptor does not know where they end. RtlValidRelativeSecurityDescriptor does, but Wine 10's
    refuses every descriptor that is valid, and Wine 8's looks at no offset.
    """
    if len(data) < _HEADER.size:
        return False
    _, _, control, owner, group, sacl, dacl = _HEADER.unpack_from(data)
    sids = [offset for offset in (owner, group) if offset]
    acls = [offset for flag, offset in ((_SACL_PRESENT, sacl), (_DACL_PRESENT, dacl)) if control & flag and offset]
    return (
        bool(control & _SELF_RELATIVE)
        and all(_HEADER.size <= offset <= len(data) - _LEAST for offset in sids + acls)
        and all(offset + _LEAST + 4 * data[offset + 1] <= len(data) for offset in sids)
        and all(offset + int.from_bytes(data[offset + 2 : offset + 4], "little") <= len(data) for offset in acls)
    )


class SECURITY_ATTRIBUTES:
    """The access list of something new, and whether children inherit its handle: yes, unless told otherwise.

    The methods of its SECURITY_DESCRIPTOR can be called on it.
    """

    __slots__ = ("_descriptor", "_struct")

    def __init__(self) -> None:
        self._struct = winapi.SECURITY_ATTRIBUTES(nLength=sizeof(winapi.SECURITY_ATTRIBUTES), bInheritHandle=True)
        self.SECURITY_DESCRIPTOR = SECURITY_DESCRIPTOR()

    @property
    def bInheritHandle(self) -> int:
        """Whether children inherit the handle."""
        return self._struct.bInheritHandle  # type: ignore[no-any-return]

    @bInheritHandle.setter
    def bInheritHandle(self, inherit: int) -> None:
        self._struct.bInheritHandle = inherit

    @property
    def SECURITY_DESCRIPTOR(self) -> "_Descriptor | None":
        """The descriptor; None for the system's default."""
        return self._descriptor

    @SECURITY_DESCRIPTOR.setter
    def SECURITY_DESCRIPTOR(self, descriptor: "_Descriptor | None") -> None:
        if descriptor is not None and not isinstance(descriptor, SECURITY_DESCRIPTOR):
            _refuse("SECURITY_DESCRIPTOR")
        self._descriptor = descriptor
        self._struct.lpSecurityDescriptor = addressof(descriptor._memory) if descriptor else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._descriptor, name)


def security(attributes: SECURITY_ATTRIBUTES | None) -> winapi.SECURITY_ATTRIBUTES | None:
    """Return the structure of security attributes, as `winapi` takes it."""
    if attributes is None:
        return None
    if not isinstance(attributes, SECURITY_ATTRIBUTES):
        _refuse("SECURITY_ATTRIBUTES")
    return attributes._struct


def _refuse(kind: str) -> NoReturn:
    raise TypeError(f"The object is not a Py{kind} object")

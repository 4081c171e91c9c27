"""The types of pywin32's `pywintypes` for what is under way: HANDLE and OVERLAPPED.

They look and behave as pywin32's do, with one thing added. An overlapped operation is a loan: until it has ended, the
kernel writes to the OVERLAPPED structure and to the caller's memory. pywin32 leaves it to the program to keep both
alive; here the OVERLAPPED keeps the memory, from the call that starts the operation until

* GetOverlappedResult tells its end,
* the OVERLAPPED is used again after it has ended, or
* the OVERLAPPED is collected. If the operation is still under way then, structure and memory move to a place of their
  own, where they stay until the kernel has written the operation's end into the structure.

That end is in `Internal`: STATUS_PENDING until the very last, when every byte is where it belongs.
"""

from collections.abc import Callable
from contextlib import suppress
from ctypes import Structure, _SimpleCData, addressof, byref, c_void_p, sizeof, string_at
from ctypes.wintypes import DWORD
from functools import cache
from typing import Any, ClassVar, NoReturn, SupportsInt

from pipectl.core.constants import STATUS_PENDING
from pipectl.core.win32 import winapi

from .constants import ERROR_IO_PENDING, ERROR_MORE_DATA, ERROR_PIPE_CONNECTED
from .errors import failed, pywin32_types

__all__ = ["HANDLE", "OVERLAPPED", "HANDLEType", "OVERLAPPEDType"]

_CloseHandle = winapi.bare(winapi.CloseHandle)

# What a call that starts an operation may answer instead of success.
_STARTED = (ERROR_IO_PENDING, ERROR_MORE_DATA, ERROR_PIPE_CONNECTED)


class PyObject:
    """What has one owner, or memory that the kernel knows: it cannot be copied or pickled, just as pywin32's."""

    __slots__ = ()

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError(f"cannot pickle 'Py{type(self).__name__}' object")


class HANDLE(PyObject, _SimpleCData):  # type: ignore[type-arg]
    """Owns a Win32 handle: closes it at the latest when it is collected, and is 0 from then on.

    It is a pointer of ctypes, so that no call has to convert it. c_void_p itself would let anybody add attributes.
    """

    __slots__ = ()
    _type_ = "P"

    def __init__(self, handle: SupportsInt | None = None, /) -> None:
        self.value = handle if type(handle) is int and 0 <= handle < 1 << 63 else handle_value(handle)

    @property
    def handle(self) -> int:
        """The handle's number, signed; 0 after `Close` and `Detach`."""
        value = self.value or 0
        return value if value < 1 << 63 else value - (1 << 64)

    def Close(self) -> None:
        """Close the handle; does nothing the second time."""
        value, self.value = self.value, None
        if value and not _CloseHandle(c_void_p(value)):
            failed("CloseHandle")

    close = Close

    def Detach(self) -> int:
        """Return the raw handle; the caller must close it."""
        value, self.value = self.handle, None
        return value

    def __int__(self) -> int:
        return self.handle

    def __bool__(self) -> bool:
        return self.value is not None

    def __eq__(self, other: object) -> bool:
        return self.handle == int(other) if isinstance(other, HANDLE | int) else NotImplemented

    # Otherwise `float` would take the number's bytes for text.
    __float__ = None

    # Its value changes when it is closed, so that only the object itself can be a key.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<PyHANDLE:{self.handle}>"

    def __del__(self) -> None:
        if self.value:
            with suppress(Exception):  # it was closed behind its back, perhaps while the interpreter ends
                self.Close()


def handle_value(handle: SupportsInt | None) -> int:
    """Return the number of a handle, signed as pywin32 does: of a HANDLE, a number, or any object that `int` takes.

    Text is no handle, though `int` takes it.
    """
    if type(handle) is HANDLE:
        return handle.handle
    if handle is None:
        return 0
    if isinstance(handle, str | bytes | bytearray):
        refuse("HANDLE")
    try:
        value = int(handle)
    except (TypeError, ValueError, OverflowError):
        refuse("HANDLE")
    if not -(1 << 63) <= value < 1 << 64:
        refuse("HANDLE")
    return value if value < 1 << 63 else value - (1 << 64)


def to_handle(handle: SupportsInt | None) -> "HANDLE | c_void_p":
    """Return a handle as ctypes takes it for a bare function."""
    return handle if type(handle) is HANDLE else c_void_p(handle_value(handle))


class _Overlapped(winapi.OVERLAPPED):
    _fields_ = (("dword", DWORD),)  # type: ignore[assignment]


class _Block(Structure):
    """An OVERLAPPED behind what pywin32 looks at if one comes out of its completion port: a count of references.

    It finds that there are none, and raises RuntimeError; without the zeros it would take what it finds for an object.
    """

    _fields_ = (("references", c_void_p * 3), ("overlapped", _Overlapped))


@cache
def _offset(make: Callable[[], Any]) -> int:
    """Return where pywin32 has the structure in an OVERLAPPED of its own, which no function tells: by looking."""
    probe, mark = make(), 0x0123_4567_89AB_CDEF
    probe.Internal = mark
    offset = string_at(id(probe), type(probe).__basicsize__).find(mark.to_bytes(sizeof(c_void_p), "little"))
    if offset < 0:
        refuse("OVERLAPPED")
    return offset


def _field(name: str) -> Any:
    """A number of an OVERLAPPED's structure, as an attribute."""

    def get(overlapped: "OVERLAPPED") -> int:
        return getattr(overlapped._struct, name)  # type: ignore[no-any-return]

    def set(overlapped: "OVERLAPPED", value: int) -> None:  # noqa: A001
        setattr(overlapped._struct, name, value)

    return property(get, set)


class OVERLAPPED(PyObject):
    """An operation that may go on after the call that starts it; keeps the memory that it uses."""

    __slots__ = ("_event", "_loans", "_owner", "_reference", "_struct", "object")

    # Those of operations whose OVERLAPPED is gone, by the address of the structure.
    _orphans: ClassVar[dict[int, tuple[winapi.OVERLAPPED, list[Any]]]] = {}

    Internal = _field("Internal")
    InternalHigh = _field("InternalHigh")
    Offset = _field("Offset")
    OffsetHigh = _field("OffsetHigh")
    # For the program to use, as `object` is.
    dword = _field("dword")

    def __init__(self) -> None:
        self._use(_Block().overlapped)

    def _use(self, structure: _Overlapped) -> None:
        self._struct = structure
        self._reference = byref(structure)
        self._event: Any = 0
        # What the operations under way use, oldest first. One at a time is the rule, which nothing enforces.
        self._loans: list[Any] = []
        # The object of pywin32 that the structure is in.
        self._owner: Any = None
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


def _own(overlapped: Any) -> OVERLAPPED:
    """Return an OVERLAPPED of pywin32 as one of ours that uses its memory and keeps it."""
    types = pywin32_types()
    if types is None or type(overlapped) is not types.OVERLAPPEDType:
        refuse("OVERLAPPED")
    ours = OVERLAPPED.__new__(OVERLAPPED)
    address = id(overlapped) + _offset(types.OVERLAPPED)
    ours._use(_Overlapped.from_address(address))
    ours._owner = overlapped
    _, ours._loans = OVERLAPPED._orphans.pop(address, (None, []))  # of an operation that was started before
    return ours


def start(
    overlapped: Any, name: str, function: Callable[..., int], handle: "HANDLE | c_void_p", *arguments: Any
) -> int:
    """Call a function with an OVERLAPPED as its last argument, and keep the others while its operation is under way.

    All but the handle: a pipe may be closed while an operation is under way, and ends it.
    """
    if type(overlapped) is not OVERLAPPED:
        overlapped = _own(overlapped)
    if OVERLAPPED._orphans:
        release_orphans()
    loans, structure = overlapped._loans, overlapped._struct
    if loans and structure.Internal != STATUS_PENDING:
        loans.clear()
    # So does Windows itself, and Wine but for TransactNamedPipe; a 0 would be an operation that has ended.
    structure.Internal = STATUS_PENDING
    loans.append((arguments, overlapped._owner))
    try:
        code = 0 if function(handle, *arguments, overlapped._reference) else failed(name, *_STARTED)
    except Exception:  # it never started, of which a KeyboardInterrupt is no sign
        loans.pop()
        raise
    if code != ERROR_IO_PENDING:
        loans.pop()
    return code


def finish(overlapped: Any, function: Callable[..., int], handle: "HANDLE | c_void_p", wait: int) -> int:
    """Ask GetOverlappedResult for the bytes transferred, and give back what the operation used if it has ended."""
    if type(overlapped) is not OVERLAPPED:
        overlapped = _own(overlapped)
    count = DWORD()
    try:
        if not function(handle, overlapped._reference, byref(count), wait):
            failed("GetOverlappedResult")
        return count.value
    finally:
        if overlapped._loans and overlapped._struct.Internal != STATUS_PENDING:
            del overlapped._loans[0]


def release_orphans() -> None:
    """Give back the memory of operations that have ended and whose OVERLAPPED is gone."""
    for address, (structure, _) in list(OVERLAPPED._orphans.items()):
        if structure.Internal != STATUS_PENDING:
            OVERLAPPED._orphans.pop(address, None)


def refuse(kind: str) -> NoReturn:
    """Raise what pywin32 raises for an object of another type."""
    raise TypeError(f"The object is not a Py{kind} object")


# As pywin32 calls the types, where its other names are functions that make one.
HANDLEType = HANDLE
OVERLAPPEDType = OVERLAPPED

"""The types HANDLE and OVERLAPPED of pywin32's `pywintypes`.

They look and behave like pywin32's, with one addition. The kernel borrows the memory of an overlapped operation: until
it has ended, the kernel writes to the OVERLAPPED structure and to the caller's memory. With pywin32, the program must
keep both alive. Here, the OVERLAPPED keeps the memory from the call that starts the operation until

* GetOverlappedResult reports its end,
* the OVERLAPPED is used again after the operation has ended, or
* the OVERLAPPED is collected. If the operation is still pending then, a table keeps the structure and the memory until
  the kernel has written the end of the operation into the structure.

The end is visible in `Internal`: it is STATUS_PENDING until all data is in place.
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

# The codes other than success that a call that starts an operation may return.
_STARTED = (ERROR_IO_PENDING, ERROR_MORE_DATA, ERROR_PIPE_CONNECTED)


class PyObject:
    """An object with a handle or with memory that the kernel uses; like pywin32's, it cannot be copied or pickled."""

    __slots__ = ()

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError(f"cannot pickle 'Py{type(self).__name__}' object")


class HANDLE(PyObject, _SimpleCData):  # type: ignore[type-arg]
    """Owns a Win32 handle; closes it when it is collected, if not before. Its value is 0 after that.

    It is a ctypes pointer, so that calls do not have to convert it. c_void_p itself would allow new attributes.
    """

    __slots__ = ()
    _type_ = "P"

    def __init__(self, handle: SupportsInt | None = None, /) -> None:
        self.value = handle if type(handle) is int and 0 <= handle < 1 << 63 else handle_value(handle)

    @property
    def handle(self) -> int:
        """The handle's value, signed; 0 after `Close` and `Detach`."""
        value = self.value or 0
        return value if value < 1 << 63 else value - (1 << 64)

    def Close(self) -> None:
        """Close the handle; a second call does nothing."""
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

    # Otherwise, `float` would parse the value's bytes as text.
    __float__ = None

    # Its value changes when it is closed, so the hash is that of the object.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<PyHANDLE:{self.handle}>"

    def __del__(self) -> None:
        if self.value:
            with suppress(Exception):  # the handle was closed elsewhere, or the interpreter is exiting
                self.Close()


def handle_value(handle: SupportsInt | None) -> int:
    """Return the value of a handle, signed as in pywin32; accepts a HANDLE, a number, or any object that `int` accepts.

    Text is not a handle, although `int` accepts it.
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
    """Return a handle in a form that ctypes accepts for a bare function."""
    return handle if type(handle) is HANDLE else c_void_p(handle_value(handle))


class _Overlapped(winapi.OVERLAPPED):
    _fields_ = (("dword", DWORD),)  # type: ignore[assignment]


class _Block(Structure):
    """An OVERLAPPED after the reference count that pywin32 checks for each packet of its completion port.

    The count is 0, so pywin32 raises RuntimeError; without the zeros, it would use arbitrary memory as an object.
    """

    _fields_ = (("references", c_void_p * 3), ("overlapped", _Overlapped))


@cache
def _offset(make: Callable[[], Any]) -> int:
    """Return the offset of the structure in pywin32's OVERLAPPED, by searching for a mark: no function reports it."""
    probe, mark = make(), 0x0123_4567_89AB_CDEF
    probe.Internal = mark
    offset = string_at(id(probe), type(probe).__basicsize__).find(mark.to_bytes(sizeof(c_void_p), "little"))
    if offset < 0:
        refuse("OVERLAPPED")
    return offset


def _field(name: str) -> Any:
    """Return a property for a number in an OVERLAPPED's structure."""

    def get(overlapped: "OVERLAPPED") -> int:
        return getattr(overlapped._struct, name)  # type: ignore[no-any-return]

    def set(overlapped: "OVERLAPPED", value: int) -> None:  # noqa: A001
        setattr(overlapped._struct, name, value)

    return property(get, set)


class OVERLAPPED(PyObject):
    """An operation that may continue after the call that starts it; keeps the memory that it uses."""

    __slots__ = ("_event", "_loans", "_owner", "_reference", "_struct", "object")

    # The structures and memory of pending operations whose OVERLAPPED was collected, by the address of the structure.
    _orphans: ClassVar[dict[int, tuple[winapi.OVERLAPPED, list[Any]]]] = {}

    Internal = _field("Internal")
    InternalHigh = _field("InternalHigh")
    Offset = _field("Offset")
    OffsetHigh = _field("OffsetHigh")
    # For use by the program, like `object`.
    dword = _field("dword")

    def __init__(self) -> None:
        self._use(_Block().overlapped)

    def _use(self, structure: _Overlapped) -> None:
        self._struct = structure
        self._reference = byref(structure)
        self._event: Any = 0
        # The memory of the pending operations, oldest first. There should be only one, but nothing enforces that.
        self._loans: list[Any] = []
        # The pywin32 object that contains the structure.
        self._owner: Any = None
        self.object: Any = None

    @property
    def hEvent(self) -> Any:
        """The event that is signaled when the operation has ended; its owner is kept alive."""
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
    """Wrap pywin32's OVERLAPPED in one of ours that uses its memory and keeps it alive."""
    types = pywin32_types()
    if types is None or type(overlapped) is not types.OVERLAPPEDType:
        refuse("OVERLAPPED")
    ours = OVERLAPPED.__new__(OVERLAPPED)
    address = id(overlapped) + _offset(types.OVERLAPPED)
    ours._use(_Overlapped.from_address(address))
    ours._owner = overlapped
    _, ours._loans = OVERLAPPED._orphans.pop(address, (None, []))  # of an earlier operation
    return ours


def start(
    overlapped: Any, name: str, function: Callable[..., int], handle: "HANDLE | c_void_p", *arguments: Any
) -> int:
    """Call a function with an OVERLAPPED as its last argument, and keep the other arguments while it is pending.

    The handle is not kept: closing a pipe during an operation is allowed, and ends the operation.
    """
    if type(overlapped) is not OVERLAPPED:
        overlapped = _own(overlapped)
    if OVERLAPPED._orphans:
        release_orphans()
    loans, structure = overlapped._loans, overlapped._struct
    if loans and structure.Internal != STATUS_PENDING:
        loans.clear()
    # Windows does the same, and so does Wine except for TransactNamedPipe; 0 would mean that the operation has ended.
    structure.Internal = STATUS_PENDING
    loans.append((arguments, overlapped._owner))
    try:
        code = 0 if function(handle, *arguments, overlapped._reference) else failed(name, *_STARTED)
    except Exception:  # it never started; a KeyboardInterrupt would not mean that
        loans.pop()
        raise
    if code != ERROR_IO_PENDING:
        loans.pop()
    return code


def finish(overlapped: Any, function: Callable[..., int], handle: "HANDLE | c_void_p", wait: int) -> int:
    """Return the bytes transferred from GetOverlappedResult, and release the operation's memory if it has ended."""
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
    """Release the memory of ended operations whose OVERLAPPED was collected."""
    for address, (structure, _) in list(OVERLAPPED._orphans.items()):
        if structure.Internal != STATUS_PENDING:
            OVERLAPPED._orphans.pop(address, None)


def refuse(kind: str) -> NoReturn:
    """Raise the error that pywin32 raises for an object of a wrong type."""
    raise TypeError(f"The object is not a Py{kind} object")


# pywin32's names of the types; its other names are functions that create objects.
HANDLEType = HANDLE
OVERLAPPEDType = OVERLAPPED

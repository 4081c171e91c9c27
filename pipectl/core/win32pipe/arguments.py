"""Converts arguments and results by pywin32's rules: what it accepts, what it rejects, and with which error."""

from collections.abc import Callable
from ctypes import byref, c_char
from ctypes.wintypes import DWORD
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex, SupportsInt

from pipectl.core.win32.overlapped import address_of

from .objects import handle_value

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

HandleLike = SupportsInt | None
Integer = SupportsIndex
# `bytes`, or an array of c_char, whose slices are bytes although its type hints say lists.
Memory = Any


def to_text(text: str) -> str:
    """Return a text up to its first NUL, where Win32 stops reading."""
    if text is None:
        raise TypeError("None is not a valid string in this context")
    if not isinstance(text, str):
        raise TypeError(f"Objects of type '{type(text).__name__}' can not be converted to Unicode.")
    return text.partition("\0")[0] if "\0" in text else text


def to_long(number: Integer) -> int:
    """Check that a number fits in a C long: 0xFFFF_FFFF does not, and must be passed as -1."""
    value = index(number)
    if not -0x8000_0000 <= value <= 0x7FFF_FFFF:
        raise OverflowError("Python int too large to convert to C long")
    return value


def to_longs(*numbers: Integer) -> list[int]:
    """Check several numbers like `to_long`."""
    values = [*map(index, numbers)]
    if min(values) < -0x8000_0000 or max(values) > 0x7FFF_FFFF:
        raise OverflowError("Python int too large to convert to C long")
    return values


def to_signed(number: DWORD) -> int:
    """Return a number as a signed C long."""
    return (number.value ^ 0x8000_0000) - 0x8000_0000


def to_optional(number: int | None, name: str) -> Any:
    """Return a pointer to a number that may be None."""
    if number is None:
        return None
    if not isinstance(number, int):
        raise TypeError(f"{name} param must be None or an integer (got {type(number).__name__})")
    return byref(DWORD(to_long(number)))


def ask_number(function: Callable[..., int], handle: HandleLike) -> int:
    number = DWORD()
    function(handle_value(handle), number)
    return number.value


def to_data(data: "ReadableBuffer") -> Memory:
    """Return the memory of data to write, in a form that ctypes accepts."""
    if type(data) is not bytes:
        view = _view(data)
        if not view.c_contiguous:
            raise BufferError("memoryview: underlying buffer is not C-contiguous")
        data = address_of(view)
    if len(data) > 0xFFFF_FFFF:
        raise ValueError("Buffer length can be at most 4294967295 characters")
    return data


def _is_size(buffer: Any) -> bool:
    return type(buffer) is int or hasattr(buffer, "__index__")


def to_memory(buffer: "Integer | WriteableBuffer") -> Memory:
    """Return memory to read into: new memory of a given size, or the caller's buffer."""
    if _is_size(buffer):
        return (c_char * _size(buffer))()
    view = _view(buffer)
    if view.readonly or not view.c_contiguous:
        raise BufferError("Object is not writable.")
    return (c_char * view.nbytes).from_buffer(view)


def to_lasting_memory(buffer: "Integer | WriteableBuffer") -> tuple[Any, Any, int]:
    """Return an object for the data of a read, a pointer that keeps its memory alive, and its size."""
    answer: Any = buffer
    if _is_size(buffer):
        size = _size(buffer)
        answer = memoryview(bytearray(size))
    else:
        size = _view(buffer).nbytes
    try:
        return answer, byref(c_char.from_buffer(answer)) if size else None, size
    except TypeError:
        raise BufferError("Object is not writable.") from None


def _view(buffer: Any) -> memoryview:
    try:
        return memoryview(buffer)
    except TypeError:
        kind = type(buffer).__name__
        text = "Buffer cannot be None" if buffer is None else f"a bytes-like object is required, not '{kind}'"
        raise TypeError(text) from None


def _size(buffer: Any) -> int:
    size = index(buffer)
    if size > 0x7FFF_FFFF:
        raise TypeError("a bytes-like object is required, not 'int'")
    return size

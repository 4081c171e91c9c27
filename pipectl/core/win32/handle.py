"""`Handle`: owns one Win32 handle; and `Closing`, for all that `with` closes."""

import warnings
from ctypes import c_void_p
from types import TracebackType
from typing import Self

from . import winapi


class Closing:
    """A thing that `with` closes at its end."""

    __slots__ = ()

    def close(self) -> None:
        """Give everything up; does nothing the second time."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Handle(Closing):
    """The one owner of a Win32 handle; closes it once, at the end of a `with` or by `close`.

    `winapi`'s functions take it as it is. After `close` they get NULL, and so fail with ERROR_INVALID_HANDLE. An
    owner that is forgotten gives a ResourceWarning when it is collected, and closes.
    """

    __slots__ = ("__weakref__", "_as_parameter_", "name")

    def __init__(self, value: int | None, name: str | None = None) -> None:
        # The same object for good, so that whoever keeps it sees NULL after `close`.
        self._as_parameter_ = c_void_p(value)
        # What errors call it: the pipe's full name.
        self.name = name

    @property
    def value(self) -> int:
        """The number that Win32 knows the handle by; raises ValueError after `close`."""
        value = self._as_parameter_.value
        if value is None:
            raise ValueError("the handle is closed")
        return value

    @property
    def pointer(self) -> c_void_p:
        """The handle as functions without declared arguments take it, for as long as it lives."""
        return self._as_parameter_

    @property
    def closed(self) -> bool:
        """Whether this owner has given its handle up."""
        return self._as_parameter_.value is None

    def __int__(self) -> int:
        return self.value

    def detach(self) -> int:
        """Give the handle's number away, together with the duty to close it."""
        value = self.value
        self._as_parameter_.value = None
        return value

    def close(self) -> None:
        """Close the handle; does nothing the second time."""
        pointer = self._as_parameter_
        value, pointer.value = pointer.value, None
        if value is not None:
            winapi.CloseHandle(value)

    def __del__(self) -> None:
        if hasattr(self, "_as_parameter_") and not self.closed:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"0x{self.value:x}"
        return f"<{type(self).__name__} {state}{f' of {self.name}' if self.name else ''}>"

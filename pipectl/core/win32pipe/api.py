"""pywin32's `win32api`, as far as pipe programs use it."""

import ctypes

__all__ = ["GetLastError", "SetLastError"]


def GetLastError() -> int:
    """Return the code that this thread's last call of a function here left, as ctypes keeps it for each thread."""
    return ctypes.get_last_error()


def SetLastError(errorCode: int, /) -> None:
    """Set what GetLastError returns."""
    ctypes.set_last_error(errorCode)

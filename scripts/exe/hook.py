"""Runs in the exe before pipectl: hides the unpacked files from child processes, and ends this process with the first.

A one-file exe is two processes: the first unpacks, starts the second, which is this one, and cleans up afterwards.
"""

import _thread
import _winapi
import ctypes
import os
import sys

assert sys.platform == "win32"  # for type checkers


def hide_from_children() -> None:
    """Prevent child processes, including pipectl itself, from using files of this exe instead of their own DLLs."""
    for name in ("_PYI_ARCHIVE_FILE", "_PYI_APPLICATION_HOME_DIR", "_PYI_PARENT_PROCESS_LEVEL"):
        os.environ.pop(name, None)
    ctypes.windll.kernel32.SetDllDirectoryW(None)  # children inherit it, and would lock files that must be removed


def end_with_parent(process: int) -> None:
    """Exit when the first process is terminated, because that is the process that the caller can terminate."""
    try:
        parent = _winapi.OpenProcess(_winapi.SYNCHRONIZE, False, process)
    except OSError:  # it has already ended
        os._exit(1)
    _thread.start_new_thread(_end_with, (parent,))


def _end_with(process: int) -> None:
    _winapi.WaitForSingleObject(process, _winapi.INFINITE)
    os._exit(1)


hide_from_children()
# The first process names the folder `_MEI`, its own ID in eight hexadecimal digits, and a random part.
folder = os.path.basename(sys._MEIPASS)  # type: ignore[attr-defined]  # noqa: PTH119
if folder.startswith("_MEI"):
    end_with_parent(int(folder[4:12], 16))

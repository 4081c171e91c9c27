"""Runs in the exe before pipectl: what the exe is made of is not for its children, nor does its second half outlive it.

An exe of one file is two processes: the first unpacks, starts the second, which is this one, and tidies up after it.
"""

import _thread
import _winapi
import ctypes
import os
import sys

assert sys.platform == "win32"  # which tells it to a type checker


def hide_from_children() -> None:
    """Let programs that pipectl starts, itself among them, find nothing of this exe and load their own DLLs."""
    for name in ("_PYI_ARCHIVE_FILE", "_PYI_APPLICATION_HOME_DIR", "_PYI_PARENT_PROCESS_LEVEL"):
        os.environ.pop(name, None)
    ctypes.windll.kernel32.SetDllDirectoryW(None)  # children inherit it, and would lock what is to be removed


def end_with_parent(process: int) -> None:
    """End when the first process is ended from outside, which is how a program that started the exe ends it."""
    try:
        parent = _winapi.OpenProcess(_winapi.SYNCHRONIZE, False, process)
    except OSError:  # it has ended already
        os._exit(1)
    _thread.start_new_thread(_end_with, (parent,))


def _end_with(process: int) -> None:
    _winapi.WaitForSingleObject(process, _winapi.INFINITE)
    os._exit(1)


hide_from_children()
# The first process names the folder `_MEI`, its own id in eight hexadecimal digits, and something random.
folder = os.path.basename(sys._MEIPASS)  # type: ignore[attr-defined]  # noqa: PTH119
if folder.startswith("_MEI"):
    end_with_parent(int(folder[4:12], 16))

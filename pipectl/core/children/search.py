"""Finds a program by name as Windows does, and batch files, which Windows does not find without their extension."""

import os
import shutil
import sys
from ntpath import basename, dirname, splitext

_BATCH_FILES = (".bat", ".cmd")


def is_program(name: str) -> bool:
    """Return whether CreateProcess would probably find a program; only an attempt to start it is certain."""
    return bool(_which(name if splitext(basename(name))[1] else f"{name}.exe"))


def batch_file(name: str) -> str | None:
    """Return the file name of the batch file that a shell runs for this name; None if it runs none.

    A shell adds the extensions in PATHEXT, CreateProcess only `.exe`.
    """
    found = None if splitext(basename(name))[1] else _which(name)
    return basename(found) if found and splitext(found)[1].lower() in _BATCH_FILES else None


def _which(name: str) -> str | None:
    # CreateProcess searches the folder of the running program, and then PATH, which contains the Windows folders.
    folders = (dirname(sys.executable), os.environ.get("PATH", ""))
    return shutil.which(name, path=os.pathsep.join(filter(None, folders)))

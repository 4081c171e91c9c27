"""The DLLs of Windows that few programs need: where they come from, and the timers of one."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from pipectl.core.win32 import winapi
from pipectl.core.win32.timers import coarse_timers, fine_timers


def test_only_the_dlls_of_windows_are_loaded_from_system32(tmp_path: Path) -> None:
    """Not one beside the program, as in a folder of downloads; the folder here is searched when that one is."""
    planted = f"planted-{tmp_path.name}"
    shutil.copy(Path(sys.executable).with_name("python3.dll"), tmp_path / f"{planted}.dll")
    with os.add_dll_directory(str(tmp_path)), pytest.raises(FileNotFoundError):
        winapi.library(planted)


def test_timers_can_be_fine_again_and_again() -> None:
    for _ in range(3):
        fine_timers()
    for _ in range(3):
        coarse_timers()

"""Describes the system for a report, without names of users, computers, paths or programs."""

import os
import sys
from contextlib import suppress
from ctypes import byref
from ctypes.wintypes import DWORD, ULONG, USHORT
from typing import Any

from pipectl import __version__
from pipectl.core.errors import PipeError, if_allowed
from pipectl.core.win32 import winapi
from pipectl.core.win32.processes import TokenInformation

from . import tokens
from .ask_names import npfs_aliases

_CURRENT_VERSION = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion"
_MACHINES = {0x014C: "x86", 0x8664: "x64", 0xAA64: "arm64", 0x01C4: "arm"}
_LEVELS = {0: "untrusted", 4096: "low", 8192: "medium", 8448: "medium plus", 12288: "high", 16384: "system"}
_ELEVATION_TYPES = {1: "not split", 2: "elevated half", 3: "limited half"}

Facts = dict[str, Any]


def facts() -> Facts:
    """Return the facts about the system; facts that are unknown to this user are absent."""
    found: Facts = {
        "pipectl": __version__,
        "runs_as": "exe" if getattr(sys, "frozen", False) else "module",
        "python": sys.version.partition(" ")[0],
        "wine": wine_version(),
        **_windows(),
        "machine": if_allowed(_machine),
        "process_bits": 64 if sys.maxsize > 1 << 32 else 32,
        "processors": os.cpu_count(),
        "code_pages": {
            "ansi": winapi.GetACP(),
            "oem": winapi.GetOEMCP(),
            "console": winapi.GetConsoleOutputCP() or None,
        },
        "terminal": _terminal(),
        "timer_ms": if_allowed(_timer),
        "aliases_of_pipes": len(npfs_aliases()),
        **_token(),
    }
    return {name: value for name, value in found.items() if value is not None}


def wine_version() -> str | None:
    """Return the version of Wine; None on Windows."""
    with suppress(PipeError):
        return str(winapi.wine_get_version().decode("ascii", "replace"))
    return None


def _windows() -> Facts:
    """Return product, version and build from the registry: the results of Win32 functions depend on the manifest."""
    import winreg

    found: Facts = {}
    version = sys.getwindowsversion()
    with suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _CURRENT_VERSION) as key:
        for name, value in (("windows", "ProductName"), ("edition", "EditionID"), ("version", "DisplayVersion")):
            with suppress(OSError):
                found[name] = str(winreg.QueryValueEx(key, value)[0])
        with suppress(OSError):
            found["build"] = f"{version.build}.{winreg.QueryValueEx(key, 'UBR')[0]}"
    return {"build": str(version.build), **found}


def _machine() -> str | None:
    process, native = USHORT(), USHORT()
    winapi.IsWow64Process2(winapi.GetCurrentProcess(), byref(process), byref(native))
    return _MACHINES.get(native.value)


def _terminal() -> str:
    """Return the kind of terminal, by which environment variables exist, without their values."""
    kinds = {"WT_SESSION": "Windows Terminal", "ConEmuPID": "ConEmu", "SSH_CONNECTION": "ssh"}
    kind = next((kinds[name] for name in kinds if name in os.environ), "console")
    return kind if winapi.GetConsoleOutputCP() else "none"


def _timer() -> float:
    """Return the resolution of the timer, in milliseconds."""
    coarsest, finest, now = ULONG(), ULONG(), ULONG()
    winapi.NtQueryTimerResolution(byref(coarsest), byref(finest), byref(now))
    return now.value / 10_000


def _token() -> Facts:
    """Return the facts about the token of this process."""
    with tokens.own_token() as token:
        kind = if_allowed(tokens.number_in, token, TokenInformation.ELEVATION_TYPE)
        container = if_allowed(tokens.number_in, token, TokenInformation.IS_APP_CONTAINER)
    session = DWORD()
    winapi.ProcessIdToSessionId(winapi.GetCurrentProcessId(), byref(session))
    level = if_allowed(tokens.integrity)
    return {
        "elevated": if_allowed(tokens.is_elevated),
        "token": None if kind is None else _ELEVATION_TYPES.get(kind),
        "integrity": None if level is None else _LEVELS.get(level, str(level)),
        "app_container": None if container is None else bool(container),
        "session": session.value,
        "logon": next((name for sid, name in _LOGONS.items() if tokens.has_group(sid)), None),
    }


_LOGONS = {
    "S-1-5-2": "network",
    "S-1-5-3": "batch",
    "S-1-5-6": "service",
    "S-1-5-4": "interactive",
}

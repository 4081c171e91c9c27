"""pywin32's `win32process`, as far as programs use it round a pipe: to start a child, wait for its end, and end it."""

import os
from collections.abc import Mapping
from ctypes import create_string_buffer, create_unicode_buffer, sizeof
from ctypes.wintypes import DWORD
from operator import index
from typing import Any, SupportsInt

from pipectl.core.win32 import winapi

from . import native
from .arguments import HandleLike, Integer, ask_number, to_long, to_signed, to_text
from .functions import to_security
from .objects import HANDLE, PyObject, handle_value, refuse

__all__ = [
    "STARTUPINFO",
    "CreateProcess",
    "GetCurrentProcess",
    "GetCurrentProcessId",
    "GetExitCodeProcess",
    "GetProcessId",
    "GetStartupInfo",
    "ResumeThread",
    "SuspendThread",
    "TerminateProcess",
]

_CREATE_UNICODE_ENVIRONMENT = 0x400


def _number(name: str) -> Any:
    """A number of a STARTUPINFO's structure, as an attribute; signed if it is a DWORD."""
    is_signed = name.startswith("dw")

    def get(info: "STARTUPINFO") -> int:
        value = getattr(info._struct, name)
        return to_signed(DWORD(value)) if is_signed else value

    def set(info: "STARTUPINFO", value: int) -> None:  # noqa: A001
        setattr(info._struct, name, index(value))

    return property(get, set)


def _text(name: str) -> Any:
    def get(info: "STARTUPINFO") -> str | None:
        return getattr(info._struct, name)  # type: ignore[no-any-return]

    def set(info: "STARTUPINFO", text: str | None) -> None:  # noqa: A001
        setattr(info._struct, name, None if text is None else to_text(text))

    return property(get, set)


def _handle(name: str) -> Any:
    def get(info: "STARTUPINFO") -> Any:
        return info._handles.get(name) or getattr(info._struct, name) or 0

    def set(info: "STARTUPINFO", handle: SupportsInt | None) -> None:  # noqa: A001
        setattr(info._struct, name, handle_value(handle))
        info._handles[name] = None if isinstance(handle, int) else handle  # the owner is kept

    return property(get, set)


class STARTUPINFO(PyObject):
    """What a new process begins with: its streams if `dwFlags` has STARTF_USESTDHANDLES, and its window."""

    __slots__ = ("_handles", "_struct")

    def __init__(self) -> None:
        self._struct = native.STARTUPINFO()
        self._handles: dict[str, Any] = {}

    dwX, dwY, dwXSize, dwYSize = map(_number, ("dwX", "dwY", "dwXSize", "dwYSize"))
    dwXCountChars, dwYCountChars = map(_number, ("dwXCountChars", "dwYCountChars"))
    dwFillAttribute, dwFlags, wShowWindow = map(_number, ("dwFillAttribute", "dwFlags", "wShowWindow"))
    lpDesktop, lpTitle = map(_text, ("lpDesktop", "lpTitle"))
    hStdInput, hStdOutput, hStdError = map(_handle, ("hStdInput", "hStdOutput", "hStdError"))


def GetStartupInfo() -> STARTUPINFO:
    """Return what this process began with."""
    info = STARTUPINFO()
    native.GetStartupInfo(info._struct)
    return info


def _block(environment: Mapping[Any, Any] | None) -> tuple[Any, int]:
    """Return the block of an environment, and the flag for how it is written: all of it text, or all bytes."""
    if environment is None:
        return None, 0
    if not isinstance(environment, Mapping):
        raise TypeError("environment parameter must be a dictionary object of strings or unicode objects.")
    kinds = {type(item) for pair in environment.items() for item in pair}
    if not kinds <= {str, bytes}:
        raise TypeError("dictionary must have keys and values as strings or unicode objects.")
    if len(kinds) == 2:
        raise TypeError("All dictionary items must be strings, or all must be unicode")
    # Each variable ends with a NUL, and all of them with one more, which the buffers add; an empty block has two too.
    if kinds == {bytes}:
        return create_string_buffer(b"".join(b"%b=%b\0" % pair for pair in environment.items())), 0
    text = "".join(f"{name}={value}\0" for name, value in environment.items()) or "\0"
    return create_unicode_buffer(text), _CREATE_UNICODE_ENVIRONMENT


def CreateProcess(
    appName: str | None,
    commandLine: str | None,
    processAttributes: Any,
    threadAttributes: Any,
    bInheritHandles: Integer,
    dwCreationFlags: Integer,
    newEnvironment: Mapping[Any, Any] | None,
    currentDirectory: str | None,
    startupinfo: STARTUPINFO,
    /,
) -> tuple[HANDLE, HANDLE, int, int]:
    """Start a program; return its process, its first thread, and the numbers of both."""
    application, line, folder = (
        None if text is None else to_text(text) for text in (appName, commandLine, currentDirectory)
    )
    process, thread = map(to_security, (processAttributes, threadAttributes))
    inherit, flags = to_long(bInheritHandles), index(dwCreationFlags)
    if not isinstance(startupinfo, STARTUPINFO):
        refuse("STARTUPINFO")
    block, encoding = _block(newEnvironment)
    found, info = native.PROCESS_INFORMATION(), startupinfo._struct
    info.cb = sizeof(info)
    # Windows writes into the command line.
    writable = None if line is None else create_unicode_buffer(line)
    native.CreateProcess(
        application, writable, process, thread, bool(inherit), flags | encoding, block, folder, info, found
    )
    return HANDLE(found.hProcess), HANDLE(found.hThread), found.dwProcessId, found.dwThreadId


def GetCurrentProcess() -> int:
    """Return what stands for this process: no handle, and not to be closed."""
    return handle_value(winapi.GetCurrentProcess())


def GetCurrentProcessId() -> int:
    """Return the number of this process."""
    return os.getpid()


def GetExitCodeProcess(handle: HandleLike, /) -> int:
    """Return the exit code of a process, signed; STILL_ACTIVE while it runs."""
    return to_signed(DWORD(ask_number(native.GetExitCodeProcess, handle)))


def TerminateProcess(handle: HandleLike, exitCode: Integer, /) -> None:
    """End a process at once, with an exit code."""
    native.TerminateProcess(handle_value(handle), index(exitCode) & 0xFFFF_FFFF)


def GetProcessId(Process: HandleLike, /) -> int:
    """Return the number of a process."""
    return int(native.GetProcessId(handle_value(Process)))


def ResumeThread(handle: HandleLike, /) -> int:
    """Let a suspended thread go on; return how often it was suspended."""
    return int(native.ResumeThread(handle_value(handle)))


def SuspendThread(handle: HandleLike, /) -> int:
    """Stop a thread; return how often it was suspended before."""
    return int(native.SuspendThread(handle_value(handle)))

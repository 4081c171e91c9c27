"""The functions of pywin32's `win32process` that pipe programs use to start, wait for and terminate processes."""

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
    """Return a property for a number in a STARTUPINFO's structure; a DWORD is signed."""
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
        info._handles[name] = None if isinstance(handle, int) else handle  # keeps the owner alive

    return property(get, set)


class STARTUPINFO(PyObject):
    """The startup parameters of a process: its window, and its streams if `dwFlags` has STARTF_USESTDHANDLES."""

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
    """Return the startup parameters of this process."""
    info = STARTUPINFO()
    native.GetStartupInfo(info._struct)
    return info


def _block(environment: Mapping[Any, Any] | None) -> tuple[Any, int]:
    """Return an environment block and its creation flag; the items must be all text or all bytes."""
    if environment is None:
        return None, 0
    if not isinstance(environment, Mapping):
        raise TypeError("environment parameter must be a dictionary object of strings or unicode objects.")
    kinds = {type(item) for pair in environment.items() for item in pair}
    if not kinds <= {str, bytes}:
        raise TypeError("dictionary must have keys and values as strings or unicode objects.")
    if len(kinds) == 2:
        raise TypeError("All dictionary items must be strings, or all must be unicode")
    # Each variable ends with NUL, and the block with one more, which the buffers add; an empty block also needs two.
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
    """Start a program; return the handles of its process and its first thread, and the IDs of both."""
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
    # CreateProcessW may modify the command line.
    writable = None if line is None else create_unicode_buffer(line)
    native.CreateProcess(
        application, writable, process, thread, bool(inherit), flags | encoding, block, folder, info, found
    )
    return HANDLE(found.hProcess), HANDLE(found.hThread), found.dwProcessId, found.dwThreadId


def GetCurrentProcess() -> int:
    """Return the pseudo handle of this process, which must not be closed."""
    return handle_value(winapi.GetCurrentProcess())


def GetCurrentProcessId() -> int:
    """Return the ID of this process."""
    return os.getpid()


def GetExitCodeProcess(handle: HandleLike, /) -> int:
    """Return the exit code of a process, signed; STILL_ACTIVE while it runs."""
    return to_signed(DWORD(ask_number(native.GetExitCodeProcess, handle)))


def TerminateProcess(handle: HandleLike, exitCode: Integer, /) -> None:
    """Terminate a process at once, with an exit code."""
    native.TerminateProcess(handle_value(handle), index(exitCode) & 0xFFFF_FFFF)


def GetProcessId(Process: HandleLike, /) -> int:
    """Return the ID of a process."""
    return int(native.GetProcessId(handle_value(Process)))


def ResumeThread(handle: HandleLike, /) -> int:
    """Resume a suspended thread; return its previous suspend count."""
    return int(native.ResumeThread(handle_value(handle)))


def SuspendThread(handle: HandleLike, /) -> int:
    """Suspend a thread; return its previous suspend count."""
    return int(native.SuspendThread(handle_value(handle)))

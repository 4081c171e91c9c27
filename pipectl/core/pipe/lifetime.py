"""Detects that the server of a pipe was killed or has crashed while a client was connected.

The pipe itself does not show that: the system closes the handles of a process that ends, as the process itself would.
But it sets the exit code first, so the code is known once the pipe is closed (claim W69). A server that still runs, or
has exited with 0, has closed its pipe normally.
"""

from contextlib import suppress
from ctypes import byref
from ctypes.wintypes import DWORD

from pipectl.core.constants import WinError
from pipectl.core.errors import PipeClosedError, PipeError
from pipectl.core.names import is_remote
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Closing, Handle

# PROCESS_QUERY_LIMITED_INFORMATION; a client does not import `processes` with its enums.
_QUERY_LIMITED_INFORMATION = 0x1000
_STILL_ACTIVE = 259
# From here on, an exit code is an NTSTATUS, such as 0xC0000005 for an access violation.
_FIRST_STATUS = 0x8000_0000


class ServerLifetime(Closing):
    """Keeps the process that serves a client's handle open, so that its exit code can be queried after its end.

    The exit code is unknown for a server on another computer, for one that this user may not query, and if a process
    has passed its pipe to another one.
    """

    __slots__ = ("_pid", "_process")

    def __init__(self, pipe: Handle) -> None:
        self._process: Handle | None = None
        self.follow(pipe)

    def follow(self, pipe: Handle) -> None:
        """Keep the process behind this handle open instead, such as after reconnecting."""
        self.close()
        if is_remote(pipe.name or ""):
            return
        with suppress(PipeError):
            pid = DWORD()  # `queries` has a function for this, and `connect` starts without that module
            winapi.GetNamedPipeServerProcessId(pipe, byref(pid))
            self._pid = pid.value
            self._process = Handle(winapi.OpenProcess(_QUERY_LIMITED_INFORMATION, False, self._pid))
            if self.exit_code is not None:
                self.close()

    @property
    def exit_code(self) -> int | None:
        """The exit code of the process; None while it runs, or if it is unknown."""
        if self._process is None:
            return None
        code = DWORD()
        winapi.GetExitCodeProcess(self._process, byref(code))
        return None if code.value == _STILL_ACTIVE else code.value

    def error(self, pipe: str | None) -> PipeClosedError | None:
        """Return the error of a pipe that was closed because the process has ended with an exit code other than 0."""
        code = self.exit_code
        if not code:
            return None
        shown = f"0x{code:08X}" if code >= _FIRST_STATUS else str(code)
        return PipeClosedError(
            f"the server, process {self._pid}, has ended with exit code {shown}", code=WinError.BROKEN_PIPE, pipe=pipe
        )

    def check(self, pipe: str | None) -> None:
        """Raise that error, if there is one."""
        if error := self.error(pipe):
            raise error

    def close(self) -> None:
        """Close the process's handle; its exit code is unknown then."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

"""Starting a program with its ends of anonymous pipes, without a window, and also where there is no console.

A child inherits its own ends of its pipes and nothing else, also when two threads start one at the same time. Otherwise
one child would hold another's pipe open, and the end of that stream would never come.
"""

import contextlib
import io
import os
import subprocess
from collections.abc import Mapping, Sequence

from pipectl.core.deadline import Deadline
from pipectl.core.errors import error_for
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import fd_create_pipe
from pipectl.core.win32.handle import Handle, wait
from pipectl.core.win32.processes import StdHandle

# A text is a command line for the shell; a sequence is a program and its arguments, and no shell sees them, except when
# the program is a batch file, which Windows itself gives to one.
Command = str | Sequence[str]

_CREATE_SUSPENDED = 0x4


class Process:
    """A program that was started; `close` gives the handle up and leaves the program alone."""

    def __init__(
        self,
        command: Command,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
        *,
        env: Mapping[str, str] | None = None,
        job: Handle | None = None,
    ) -> None:
        try:
            self._popen = subprocess.Popen(
                command,
                shell=isinstance(command, str),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **{name.upper(): value for name, value in env.items()}} if env else None,
                creationflags=subprocess.CREATE_NO_WINDOW | (_CREATE_SUSPENDED if job else 0),
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise error_for(error.winerror or 0, reason, "CreateProcessW", subject=name_of(command)) from None
        # Popen owns this handle; `close` detaches it.
        self._handle = Handle(int(self._popen._handle))  # type: ignore[attr-defined]
        if job is not None:
            self._resume_in(job)

    def _resume_in(self, job: Handle) -> None:
        try:
            winapi.AssignProcessToJobObject(job, self._handle)
            winapi.NtResumeProcess(self._handle)
        except BaseException:
            self._popen.kill()
            self.close()
            raise

    def wait(self, deadline: Deadline) -> int | None:
        """Wait for the program's end; give its exit code, unsigned, or None if the deadline passed."""
        return self._popen.wait() if wait(self._handle, deadline) else None

    def close(self) -> None:
        """Give the handle up; the program goes on."""
        if not self._handle.closed:
            self._handle.detach()
        if self._popen.returncode is None:  # which subprocess would warn of, and keep the handle for
            self._popen.returncode = 0


def name_of(command: Command) -> str:
    """Return what errors call a command: its command line, or its program."""
    return command if isinstance(command, str) else str(command[0])


def pipe(theirs: contextlib.ExitStack, undo: contextlib.ExitStack, *, to_child: bool = False) -> tuple[int, io.FileIO]:
    """Make a pipe and give the child's end, which is closed when the child has its own, and ours."""
    read, write = fd_create_pipe()
    child_end, our_end = (read, write) if to_child else (write, read)
    theirs.callback(os.close, child_end)
    return child_end, undo.enter_context(io.FileIO(our_end, "w" if to_child else "r"))


def inherited(which: StdHandle) -> int | None:
    """Choose for a stream without a pipe: this process's own or, where that has none, such as in a GUI, nowhere."""
    # A type of 0 is FILE_TYPE_UNKNOWN: there is no handle, or one that does not work.
    return None if winapi.GetFileType(winapi.GetStdHandle(which)) else subprocess.DEVNULL

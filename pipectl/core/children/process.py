"""Starts a program with anonymous pipes as its standard streams, without a window, even if there is no console.

A child shares this process's console, because an inherited console handle refers to the console of the process that
uses it: with CREATE_NO_WINDOW, the child would write to a hidden console of its own. So that flag is only set if this
process has no console. A child in a job, which this process kills, is in a process group of its own and does not get
Ctrl+C; one without a job gets what is typed, like a program that the shell started.

A child inherits only its own ends of its pipes, even when two threads start one at the same time. Otherwise, one child
would keep another's pipe open, and that stream would never end.
"""

import contextlib
import io
import os
import subprocess
from collections.abc import Mapping, Sequence

from pipectl.core.constants import BUFFER_SIZE
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError, error_for
from pipectl.core.win32 import winapi
from pipectl.core.win32.blocking import run_blocking
from pipectl.core.win32.calls import fd_create_pipe
from pipectl.core.win32.handle import Handle, wait
from pipectl.core.win32.processes import StdHandle
from pipectl.core.win32.queries import is_file

# A string is a command line for the shell. A sequence is a program and its arguments, which are not interpreted by a
# shell, except for a batch file, which Windows itself runs in one.
Command = str | Sequence[str]

_CREATE_SUSPENDED = 0x4


class Process:
    """A program that was started; `close` closes its handle, and the program keeps running."""

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
                creationflags=_creation_flags(in_job=job is not None),
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
            self.kill()
            raise

    def kill(self) -> None:
        """Kill the program, and close the handle."""
        with contextlib.suppress(OSError):  # it has ended
            self._popen.kill()
        self.close()

    def wait(self, deadline: Deadline) -> int | None:
        """Wait for the program's end; return its exit code, unsigned, or None if the deadline has passed."""
        return self._popen.wait() if wait(self._handle, deadline) else None

    def close(self) -> None:
        """Close the handle; the program keeps running."""
        if not self._handle.closed:
            self._handle.detach()
        if self._popen.returncode is None:  # otherwise, subprocess would warn, and keep the handle
            self._popen.returncode = 0


def start_in_job(
    command: Command, stdin: int, stdout: int, stderr: int, *, env: Mapping[str, str] | None, job: Handle
) -> Process:
    """Start a program that is in a job before it runs; Ctrl+C leaves no program behind, not even a suspended one.

    It is started in a thread, where KeyboardInterrupt cannot occur; if the wait is interrupted, it is killed.
    """
    return run_blocking(
        lambda: Process(command, stdin, stdout, stderr, env=env, job=job), Deadline(None), undo=Process.kill
    )


def _creation_flags(*, in_job: bool) -> int:
    flags = 0 if winapi.GetConsoleOutputCP() else subprocess.CREATE_NO_WINDOW
    return flags | (_CREATE_SUSPENDED | subprocess.CREATE_NEW_PROCESS_GROUP if in_job else 0)


def read_some(pipe: io.FileIO) -> bytes:
    """Return what a child has written, at most one buffer; b"" only at the end of the stream.

    By Microsoft's documentation, a read also returns no bytes if the other end has written zero bytes.
    """
    while not (data := pipe.read(BUFFER_SIZE)) and _is_open(pipe):
        pass
    return data or b""


def _is_open(pipe: io.FileIO) -> bool:
    import msvcrt

    try:
        winapi.PeekNamedPipe(msvcrt.get_osfhandle(pipe.fileno()), None, 0, None, None, None)
    except PipeError:
        return False
    return True


def name_of(command: Command) -> str:
    """Return the name of a command in errors: its command line, or its program."""
    return command if isinstance(command, str) else str(command[0])


def pipe(theirs: contextlib.ExitStack, undo: contextlib.ExitStack, *, to_child: bool = False) -> tuple[int, io.FileIO]:
    """Create a pipe and return both ends: the child's, which is closed once the child has its own, and ours."""
    read, write = fd_create_pipe()
    child_end, our_end = (read, write) if to_child else (write, read)
    theirs.callback(os.close, child_end)
    return child_end, undo.enter_context(io.FileIO(our_end, "w" if to_child else "r"))


def inherited(which: StdHandle) -> int | None:
    """Return the stream to inherit: None for this process's own, or DEVNULL if it has none, such as in a GUI."""
    return None if is_file(winapi.GetStdHandle(which)) else subprocess.DEVNULL

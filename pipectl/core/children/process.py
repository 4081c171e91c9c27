"""Starts a program with anonymous pipes as its standard streams, without a window, even if there is no console.

A child shares this process's console, because a stream that it inherits from a console means the console of whoever
uses it: with CREATE_NO_WINDOW it would write into a hidden one of its own. So only where there is no console it gets
that. A child that is to be ended by this process, in its job, is in a process group of its own, and Ctrl+C is not
meant for it; one that is left to itself gets what is typed, as a program of the shell does.

A child inherits its own ends of its pipes and nothing else, also when two threads start one at the same time. Otherwise
one child would hold another's pipe open, and the end of that stream would never come.
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
        """End the program at once, and give the handle up."""
        with contextlib.suppress(OSError):  # it has ended
            self._popen.kill()
        self.close()

    def wait(self, deadline: Deadline) -> int | None:
        """Wait for the program's end; give its exit code, unsigned, or None if the deadline passed."""
        return self._popen.wait() if wait(self._handle, deadline) else None

    def close(self) -> None:
        """Close the handle; the program keeps running."""
        if not self._handle.closed:
            self._handle.detach()
        if self._popen.returncode is None:  # which subprocess would warn of, and keep the handle for
            self._popen.returncode = 0


def start_in_job(
    command: Command, stdin: int, stdout: int, stderr: int, *, env: Mapping[str, str] | None, job: Handle
) -> Process:
    """Start a program that is in a job before it runs; Ctrl+C meanwhile leaves none behind, not even a suspended one.

    In a thread, which KeyboardInterrupt does not reach; what it starts for nobody is ended.
    """
    return run_blocking(
        lambda: Process(command, stdin, stdout, stderr, env=env, job=job), Deadline(None), undo=Process.kill
    )


def _creation_flags(*, in_job: bool) -> int:
    flags = 0 if winapi.GetConsoleOutputCP() else subprocess.CREATE_NO_WINDOW
    return flags | (_CREATE_SUSPENDED | subprocess.CREATE_NEW_PROCESS_GROUP if in_job else 0)


def read_some(pipe: io.FileIO) -> bytes:
    """Return what a child has written, at most a bufferful; b"" at the end of the stream alone.

    Microsoft says that a read gives nothing, too, when the other end has written nothing.
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
    """Return what errors call a command: its command line, or its program."""
    return command if isinstance(command, str) else str(command[0])


def pipe(theirs: contextlib.ExitStack, undo: contextlib.ExitStack, *, to_child: bool = False) -> tuple[int, io.FileIO]:
    """Create a pipe and return both ends: the child's, which is closed once the child has its own, and ours."""
    read, write = fd_create_pipe()
    child_end, our_end = (read, write) if to_child else (write, read)
    theirs.callback(os.close, child_end)
    return child_end, undo.enter_context(io.FileIO(our_end, "w" if to_child else "r"))


def inherited(which: StdHandle) -> int | None:
    """Choose for a stream without a pipe: this process's own or, where that has none, such as in a GUI, nowhere."""
    return None if is_file(winapi.GetStdHandle(which)) else subprocess.DEVNULL

"""`PipedProgram`: a program whose stdin and stdout are overlapped, for a completion port; anonymous pipes are not.

So each is a named pipe that no other process can open: its name is random, and its one instance is taken at once. For
the program, the other end is a stream like any other. The program is in a job, and is killed when that is closed.
"""

import contextlib
import msvcrt
import os
from collections.abc import Mapping
from uuid import uuid4

from pipectl.core.constants import BUFFER_SIZE, Access, Disposition, OpenMode, PipeMode
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError
from pipectl.core.win32 import calls, winapi
from pipectl.core.win32.handle import Closing, Handle
from pipectl.core.win32.processes import StdHandle

from .child import create_job
from .process import Command, Process, inherited, name_of

_KILLED = 1


class PipedProgram(Closing):
    """A running program; its stderr is this process's own. `close` kills it, and all processes that it has started."""

    def __init__(self, command: Command, *, env: Mapping[str, str] | None = None) -> None:
        """Start the program, with `env` added to this process's environment; raises PipeError if that fails."""
        self.name = name_of(command)
        self._job = create_job()
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undo:
            undo.callback(self._job.close)
            # Our ends: this process writes to the program's stdin, and reads its stdout.
            stdin, self.stdin = _pipe(theirs, undo, to_child=True)
            stdout, self.stdout = _pipe(theirs, undo, to_child=False)
            stderr = inherited(StdHandle.ERROR)
            self._process = Process(command, stdin, stdout, stderr, env=env, job=self._job)
            undo.pop_all()

    @property
    def exit_code(self) -> int | None:
        """The program's exit code, unsigned; None while it runs."""
        return self._process.wait(Deadline(0))

    def close(self) -> None:
        """Kill the program and all processes that it has started, and close all handles; a second call does nothing."""
        if self._job.closed:
            return
        with contextlib.suppress(PipeError):
            winapi.TerminateJobObject(self._job, _KILLED)
        for owner in (self.stdin, self.stdout, self._process, self._job):
            owner.close()
        del self._process  # its Popen object keeps one more handle open


def _pipe(theirs: contextlib.ExitStack, undo: contextlib.ExitStack, *, to_child: bool) -> tuple[int, Handle]:
    """Create a pipe, and return the child's end, a file descriptor that is closed once the child has it, and ours."""
    name = rf"\\.\pipe\pipectl-program-{os.getpid()}-{uuid4().hex}"
    direction = OpenMode.OUTBOUND if to_child else OpenMode.INBOUND
    ours = undo.enter_context(
        calls.create_named_pipe(
            name,
            direction | OpenMode.OVERLAPPED | OpenMode.FIRST_PIPE_INSTANCE,
            PipeMode.TYPE_BYTE | PipeMode.REJECT_REMOTE_CLIENTS,
            max_instances=1,
            out_buffer_size=BUFFER_SIZE,
            in_buffer_size=BUFFER_SIZE,
        )
    )
    ours.name = "the program's stdin" if to_child else "the program's stdout"
    access = Access.GENERIC_READ if to_child else Access.GENERIC_WRITE | Access.FILE_READ_ATTRIBUTES
    handle = winapi.CreateFileW(name, access, 0, None, Disposition.OPEN_EXISTING, 0, None)
    descriptor = msvcrt.open_osfhandle(handle, os.O_RDONLY if to_child else 0)
    theirs.callback(os.close, descriptor)
    return descriptor, ours

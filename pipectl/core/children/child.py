"""`Child` runs a program, feeds its stdin and passes on its output as it arrives; `run` collects the whole output.

* A pipe holds a few kilobytes. A child that fills one while the program waits on another would deadlock. So each stream
  is read by a thread of its own.
* A `Child` is created suspended and assigned to a job before it runs, so no process that it starts can escape: killing
  the child kills them too. Those that still run when the child exits normally, such as a daemon, keep running.
* Such a daemon may keep the child's streams open. So a child has ended when its process has exited and its output was
  passed on, which a short silence indicates. Later output is read and discarded, because a full pipe would block the
  daemon, and a closed one might end it.
"""

import contextlib
import ctypes
import io
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from ctypes import byref
from functools import partial
from threading import Lock, Thread
from typing import NamedTuple

from pipectl.core.constants import BUFFER_SIZE, MAX_MESSAGE, WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import MessageTooLongError, PipeError, PipeTimeoutError
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_event
from pipectl.core.win32.handle import Closing, Handle, wait
from pipectl.core.win32.processes import JobLimit

from .process import Command, Process, name_of, pipe, read_some, start_in_job

Sink = Callable[[bytes], object]

_JOB_OBJECT_EXTENDED_LIMIT_INFORMATION = 9
_KILLED = 1  # the exit code of a process that is killed, the same as in subprocess
# Seconds to wait for the streams of a child that was killed.
_GRACE = 1.0
# Seconds of silence after which an open stream has delivered everything that an ended child wrote: at first, and after
# one second in which other processes have written to it.
_SILENCE = 0.2
_SHORT_SILENCE = 0.01
_STEP = 0.005
# More than a child can have left in its pipe, plus what was read from it but not counted yet.
_MOST_LEFT = 2 * BUFFER_SIZE


class ChildStats(NamedTuple):
    """The totals of a child so far: bytes of each stream, seconds; its exit code, unsigned, once it has ended."""

    stdin: int
    stdout: int
    stderr: int
    seconds: float
    exit_code: int | None


class Completed(NamedTuple):
    """The result of a program that has ended: its exit code, unsigned, and its whole output."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Child(Closing):
    """Runs a program: feeds its stdin, and passes on its stdout and stderr in chunks, as they arrive.

    The sinks are called in threads, one for each stream; without one for stderr, stdout includes it. An exception in a
    sink or in the source kills the program, and `wait` raises it. It is no error if a program closes its stdin early.

    The end of a `with` block, or `close`, kills the program and all processes that it has started, unless `wait` has
    returned its exit code: then those that it left behind keep running.
    """

    def __init__(
        self,
        command: Command,
        *,
        stdin: Iterable[bytes] = (),
        on_stdout: Sink,
        on_stderr: Sink | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start the program, with `env` added to this process's own environment."""
        self._started = time.perf_counter()
        self._ended: float | None = None
        self._exit_code: int | None = None
        self._error: BaseException | None = None
        self._name = name_of(command)
        self._job = create_job()
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undo:
            undo.callback(self._job.close)
            stdin_end, stdin_pipe = pipe(theirs, undo, to_child=True)
            stdout_end, stdout_pipe = pipe(theirs, undo)
            outputs = [(stdout_pipe, on_stdout)]
            stderr_end = subprocess.STDOUT
            if on_stderr is not None:
                stderr_end, stderr_pipe = pipe(theirs, undo)
                outputs.append((stderr_pipe, on_stderr))
            self._process: Process = start_in_job(command, stdin_end, stdout_end, stderr_end, env=env, job=self._job)
            undo.callback(self._process.close)
            self._feeder = _Feeder(stdin_pipe, stdin, self._fail)
            self._pumps = [_Pump(pipe, sink, self._fail) for pipe, sink in outputs]
            undo.pop_all()

    @property
    def stats(self) -> ChildStats:
        """The totals of the program so far; can be read from any thread, at any time."""
        stdout, stderr = ([pump.count for pump in self._pumps] + [0])[:2]
        seconds = (self._ended or time.perf_counter()) - self._started
        return ChildStats(self._feeder.count, stdout, stderr, seconds, self._exit_code)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the program has ended and its output was passed on; return its exit code, unsigned.

        Processes that it has started may keep running with its streams; their output is then discarded. Raises
        PipeTimeoutError if it still runs, and the exception of a sink or the source. Ctrl+C interrupts the wait.
        """
        if self._exit_code is None:
            exit_code = self._await_end(Deadline(timeout))
            if self._error is not None:
                raise self._error
            if exit_code is None:
                raise PipeTimeoutError(f"did not end within {timeout:g} s", code=WinError.TIMEOUT, subject=self._name)
            self._ended = time.perf_counter()
            self._exit_code = exit_code
            _set_limit(self._job, JobLimit.NONE)
        return self._exit_code

    def kill(self) -> None:
        """Kill the program and all processes that it has started; can be called from any thread."""
        with contextlib.suppress(PipeError):  # already closed
            winapi.TerminateJobObject(self._job, _KILLED)

    def close(self) -> None:
        """Kill the program unless `wait` has seen its end, and close all handles; does nothing the second time."""
        if self._job.closed:
            return
        try:
            if self._exit_code is None:
                self.kill()
                self._await_end(Deadline(_GRACE))
        finally:
            self._feeder.close()
            for pump in self._pumps:
                pump.ended.close()
            self._process.close()
            self._job.close()

    def _await_end(self, deadline: Deadline) -> int | None:
        exit_code = self._process.wait(deadline)
        if exit_code is None:
            return None
        # The program has ended in time, so the silence of a stream that others keep open may exceed the deadline.
        ended = time.perf_counter()
        return exit_code if all(pump.drain(ended, deadline) for pump in self._pumps) else None

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self.kill()


def run(
    command: Command,
    data: bytes = b"",
    *,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    max_output: int = MAX_MESSAGE,
    on_start: Callable[[Child], object] | None = None,
) -> Completed:
    """Run a program with `data` on its stdin, and return its whole output; `env` is added to its environment.

    `on_start` gets the child, so that another thread can kill it. Raises PipeTimeoutError, and MessageTooLongError
    beyond `max_output` bytes on a stream; the program is killed then.
    """
    stdout, stderr = bytearray(), bytearray()

    def keep(kept: bytearray, chunk: bytes) -> None:
        kept += chunk
        if len(kept) > max_output:
            raise MessageTooLongError(f"wrote more than {max_output} bytes", data=bytes(kept), subject=name_of(command))

    sinks = partial(keep, stdout), partial(keep, stderr)
    with Child(command, stdin=(data,), on_stdout=sinks[0], on_stderr=sinks[1], env=env) as child:
        if on_start is not None:
            on_start(child)
        return Completed(child.wait(timeout), bytes(stdout), bytes(stderr))


class _Pump:
    """Reads one stream of a child to its end, in a thread."""

    def __init__(self, pipe: io.FileIO, sink: Sink, on_error: Callable[[BaseException], None]) -> None:
        self.count = 0
        self.ended = create_event()
        # Under the lock: whether a sink is running, since when it is not, and whether further output is discarded.
        self._lock = Lock()
        self._is_handing_over = False
        self._silent_since = time.perf_counter()
        self._is_given_up = False
        # The count beyond which data is certainly not the child's.
        self._most: int | None = None
        Thread(target=self._run, args=(pipe, sink, on_error), name="Child output", daemon=True).start()

    def _run(self, pipe: io.FileIO, sink: Sink, on_error: Callable[[BaseException], None]) -> None:
        try:
            with pipe:
                for data in iter(partial(read_some, pipe), b""):
                    self._hand_over(data, sink)
        except BaseException as error:  # noqa: BLE001 - `Child.wait` raises it in the program's thread
            on_error(error)
        with contextlib.suppress(PipeError):  # the child was closed, and no thread waits
            winapi.SetEvent(self.ended)

    def _hand_over(self, data: bytes, sink: Sink) -> None:
        with self._lock:
            self._is_given_up |= self._most is not None and self.count >= self._most
            if self._is_given_up:
                return
            self._is_handing_over = True
        try:
            self.count += len(data)
            sink(data)
        finally:
            with self._lock:
                self._is_handing_over = False
                self._silent_since = time.perf_counter()

    def drain(self, ended: float, deadline: Deadline) -> bool:
        """Wait until everything that a child wrote before its end is passed on; return False if that takes too long.

        `ended` is when its process ended, or later. After True, nothing more is passed on.
        """
        with self._lock:
            self._most = self.count + _MOST_LEFT
        while not wait(self.ended, Deadline(_STEP)):
            with self._lock:
                now = time.perf_counter()
                silence = now - max(self._silent_since, ended)
                if not self._is_handing_over:
                    self._is_given_up |= silence >= (_SILENCE if now < ended + _GRACE else _SHORT_SILENCE)
                if self._is_given_up:
                    return True
                is_late = self._is_handing_over and deadline.passed and now > ended + _SILENCE
            if is_late:
                return False
        return True


class _Feeder:
    """Writes a source to the stdin of a child, in a thread, which is abandoned if it still waits for the source."""

    def __init__(self, pipe: io.FileIO, source: Iterable[bytes], on_error: Callable[[BaseException], None]) -> None:
        self.count = 0
        self._pipe = pipe
        self._write_lock = Lock()
        Thread(target=self._run, args=(source, on_error), name="Child input", daemon=True).start()

    def _run(self, source: Iterable[bytes], on_error: Callable[[BaseException], None]) -> None:
        try:
            for data in source:
                if not self._write(memoryview(data)):
                    break
        except BaseException as error:  # noqa: BLE001 - `Child.wait` raises it in the program's thread
            on_error(error)
        self.close()

    def _write(self, data: memoryview) -> bool:
        """Write everything, and return whether the child may read more."""
        with self._write_lock, contextlib.suppress(OSError):
            while data and not self._pipe.closed:
                count = self._pipe.write(data[:BUFFER_SIZE]) or 0
                self.count += count
                data = data[count:]
            return not self._pipe.closed
        return False

    def close(self) -> None:
        """Close the child's stdin; if a write is still pending after a second, the thread closes it."""
        if self._write_lock.acquire(timeout=_GRACE):
            self._pipe.close()
            self._write_lock.release()


def create_job() -> Handle:
    """Create a job that kills its processes when the last handle to it is closed, even by the end of this process."""
    job = Handle(winapi.CreateJobObjectW(None, None))
    try:
        _set_limit(job, JobLimit.KILL_ON_JOB_CLOSE)
    except BaseException:
        job.close()
        raise
    return job


def _set_limit(job: Handle, limit: JobLimit) -> None:
    limits = winapi.JOBOBJECT_EXTENDED_LIMIT_INFORMATION()
    limits.BasicLimitInformation.LimitFlags = limit
    winapi.SetInformationJobObject(job, _JOB_OBJECT_EXTENDED_LIMIT_INFORMATION, byref(limits), ctypes.sizeof(limits))

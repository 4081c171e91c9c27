"""`Child` runs a program, feeds its stdin and passes on its output as it arrives; `run` collects the whole output.

* A pipe holds a few kilobytes. A child that fills one while the program waits at another would block both for ever. So
  each stream is read by a thread of its own.
* A `Child` is created suspended and put into a job before it runs, so nothing that it starts can escape: when the
  program loses interest, the child and all that it has started end. What is left of that at its normal end, such as a
  daemon that it was to start, lives on.
* Such a daemon may hold the child's streams open for as long as it lives. So a child has ended when its process has,
  and what that wrote was handed over, which a short silence tells. What comes later is read and thrown away, since a
  stream that nobody reads would hold the daemon up, and one that is closed might end it.
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
_KILLED = 1  # the exit code of a process that is ended by force, the same as subprocess gives it
# How long, in seconds, the streams of a child that was ended by force are waited for.
_GRACE = 1.0
# The silence, in seconds, after which a stream that is still open has all that an ended child wrote: at first, and
# after a second in which others have written to it.
_SILENCE = 0.2
_SHORT_SILENCE = 0.01
_STEP = 0.005
# More than what a child can have left in its pipe, and what was read of it and not counted yet.
_MOST_LEFT = 2 * BUFFER_SIZE


class ChildStats(NamedTuple):
    """What a child has done so far: bytes of each stream, seconds; its exit code, unsigned, once it has ended."""

    stdin: int
    stdout: int
    stderr: int
    seconds: float
    exit_code: int | None


class Completed(NamedTuple):
    """What a program that has ended gave: its exit code, unsigned, and all that it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Child(Closing):
    """Runs a program: feeds it, and hands over each chunk that it writes to stdout and stderr when it comes.

    The sinks are called from threads, one for each stream; without one for stderr the two streams come as one. An
    exception in a sink or in the source ends the program, and `wait` raises it. A program that closes its stdin early
    is not fed on, and that is no error.

    The end of a `with` block, or `close`, ends the program and all that it has started, unless `wait` gave its exit
    code: then what it left behind was meant to stay.
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
        """What the program has done so far; may be asked from any thread, and at any time."""
        stdout, stderr = ([pump.count for pump in self._pumps] + [0])[:2]
        seconds = (self._ended or time.perf_counter()) - self._started
        return ChildStats(self._feeder.count, stdout, stderr, seconds, self._exit_code)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the program has ended and all that it wrote was handed over; return its exit code, unsigned.

        What it has started may go on, and hold its streams: nothing of that is handed over any more. Raises
        PipeTimeoutError while it goes on, and what a sink or the source raised. Ctrl+C ends the wait.
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
        """End the program and all that it has started, at once; from any thread."""
        with contextlib.suppress(PipeError):  # closed, and so ended, before
            winapi.TerminateJobObject(self._job, _KILLED)

    def close(self) -> None:
        """End what was not seen to end, and give everything up; does nothing the second time."""
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
        # A stream that others hold is given its silence also beyond the deadline, before which the program has ended.
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
    """Run a program with `data` on its stdin, and give all that it writes; `env` is added to its environment.

    `on_start` gets the child, for another thread to kill it. Raises PipeTimeoutError, and MessageTooLongError beyond
    `max_output` bytes on a stream, with all of it ended.
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
        # Held by the lock: whether a piece is being handed over, since when not, and whether nobody wants more.
        self._lock = Lock()
        self._is_handing_over = False
        self._silent_since = time.perf_counter()
        self._is_given_up = False
        # The count beyond which what comes is certainly not the child's.
        self._most: int | None = None
        Thread(target=self._run, args=(pipe, sink, on_error), name="Child output", daemon=True).start()

    def _run(self, pipe: io.FileIO, sink: Sink, on_error: Callable[[BaseException], None]) -> None:
        try:
            with pipe:
                for data in iter(partial(read_some, pipe), b""):
                    self._hand_over(data, sink)
        except BaseException as error:  # noqa: BLE001 - `Child.wait` raises it in the program's thread
            on_error(error)
        with contextlib.suppress(PipeError):  # the child was given up, and nobody waits
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
        """Wait until all is handed over that a child wrote before its end; return False if that takes too long.

        `ended` is when its process ended, or later. Nothing is handed over after True.
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
    """Writes a source to the stdin of a child, in a thread, which may be left behind waiting for the source."""

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
        """Write everything, and return whether the child may want more."""
        with self._write_lock, contextlib.suppress(OSError):
            while data and not self._pipe.closed:
                count = self._pipe.write(data[:BUFFER_SIZE]) or 0
                self.count += count
                data = data[count:]
            return not self._pipe.closed
        return False

    def close(self) -> None:
        """Close the child's stdin, unless it is being written to; then the thread does it."""
        if self._write_lock.acquire(timeout=_GRACE):
            self._pipe.close()
            self._write_lock.release()


def create_job() -> Handle:
    """Make a job that ends all its processes when the last handle on it is closed, even by the end of this process."""
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

"""Child processes over anonymous pipes, without a window, and also where there is no console.

Two ways to have one:

* `popen` and its kin give files, as those of Python 2 and pywin32 did: a string goes to the shell, `close` gives the
  exit status, and nobody ends the child but itself.
* `Child` streams: it feeds the child and hands over what comes back while it comes, and when the program loses interest
  it ends the child and all that the child has started. `run` is one exchange with it.

What is worth knowing:

* A child inherits its own ends of its pipes and nothing else, also when two threads start one at the same time.
  Otherwise one child would hold another's pipe open, and the end of that stream would never come.
* A pipe holds a few kilobytes. A child that fills one while the program waits at another would block both for ever. So
  each stream is read by a thread of its own: that of a `Child` always, that of a file while somebody waits for the
  child, at whichever of its files. A child that writes without end is held up, as it should be, when nobody listens.
* A `Child` is created suspended and put into a job before it runs, so nothing that it starts can escape. What is left
  of that at its normal end, such as a daemon that it was to start, lives on.
"""

import contextlib
import ctypes
import io
import os
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ctypes import byref
from errno import EINVAL, EPIPE
from functools import partial
from threading import Condition, Lock, Thread
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

from . import winapi
from .blocking import run_blocking
from .constants import JobLimit, StdHandle, WinError
from .deadline import Deadline
from .errors import MessageTooLongError, PipeError, PipeTimeoutError, error_for
from .functions import create_event, fd_create_pipe
from .handle import Closing, Handle
from .waiting import wait

# A text is a command line for the shell; a sequence is a program and its arguments, and no shell sees them, except when
# the program is a batch file, which Windows itself gives to one.
Command = str | Sequence[str]
Sink = Callable[[bytes], object]

MAX_OUTPUT = 64 << 20

_CHUNK = 65536
_CREATE_SUSPENDED = 0x4
_JOB_OBJECT_EXTENDED_LIMIT_INFORMATION = 9
_KILLED = 1  # the exit code of a process that is ended by force, the same as subprocess gives it
# How long, in seconds, the streams of a child that was ended by force are waited for.
_GRACE = 1.0


# Processes and pipes


class _Process:
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
            raise error_for(error.winerror or 0, reason, "CreateProcessW", _name(command)) from None
        # It is lent: subprocess closes it.
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
        if not self._handle.closed:
            self._handle.detach()
        if self._popen.returncode is None:  # which subprocess would warn of, and keep the handle for
            self._popen.returncode = 0


def _name(command: Command) -> str:
    return command if isinstance(command, str) else str(command[0])


def _pipe(theirs: contextlib.ExitStack, undo: contextlib.ExitStack, *, to_child: bool = False) -> tuple[int, io.FileIO]:
    """Make a pipe and give the child's end, which is closed when the child has its own, and ours."""
    read, write = fd_create_pipe()
    child_end, our_end = (read, write) if to_child else (write, read)
    theirs.callback(os.close, child_end)
    return child_end, undo.enter_context(io.FileIO(our_end, "w" if to_child else "r"))


def _inherited(which: StdHandle) -> int | None:
    """Choose for a stream without a pipe: this process's own or, where that has none, such as in a GUI, nowhere."""
    # A type of 0 is FILE_TYPE_UNKNOWN: there is no handle, or one that does not work.
    return None if winapi.GetFileType(winapi.GetStdHandle(which)) else subprocess.DEVNULL


# Files


class _Family:
    """What the files of one child have in common: the child, how many are open, and which are being waited at."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.process: _Process | None = None
        self._open = 0
        self._waited_at: list[io.RawIOBase] = []

    def join(self) -> None:
        self._open += 1

    def leave(self, *, may_wait: bool) -> int | None:
        """Count a file that was closed; after the last, wait for the child, and give its status unless that is 0."""
        with self.changed:
            self._open -= 1
            if self._open or self.process is None:
                return None
            process, self.process = self.process, None
        try:
            return (process.wait(Deadline(None)) or None) if may_wait else None
        finally:
            process.close()

    @contextlib.contextmanager
    def waiting_at(self, stream: io.RawIOBase) -> Iterator[None]:
        """Have all streams of the child read while the block runs, so that the child comes to serve this one."""
        with self.changed:
            self._waited_at.append(stream)
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self._waited_at.remove(stream)

    def wants(self, stream: io.RawIOBase, *, has_data: bool) -> bool:
        """Whether a stream must be read on: for the one who waits at it in vain, or at another."""
        return any(other is not stream or not has_data for other in self._waited_at)


class _Input(io.RawIOBase):
    """The stream that a child reads."""

    def __init__(self, pipe: io.FileIO, family: _Family) -> None:
        self._pipe = pipe
        self._family = family

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._pipe.fileno()

    def write(self, data: Any) -> int | None:
        # A copy, for Ctrl+C may leave the write behind.
        write = partial(self._pipe.write, bytes(data))
        try:
            with self._family.waiting_at(self):
                return run_blocking(write, Deadline(None))
        except OSError as error:
            # The C run-time knows ERROR_NO_DATA, by which Windows tells that the reader is gone, as EINVAL.
            if error.errno != EINVAL:
                raise
            raise BrokenPipeError(EPIPE, os.strerror(EPIPE)) from None

    def close(self) -> None:
        self._pipe.close()
        super().close()


class _Output(io.RawIOBase):
    """A stream that a child writes; a thread reads the pipe while the family wants it, so that Ctrl+C ends a wait."""

    def __init__(self, pipe: io.FileIO, family: _Family) -> None:
        self._pipe = pipe
        self._family = family
        # All of these under the lock of `family.changed`.
        self._data = bytearray()
        self._ended = False
        self._is_reading = False
        self._ready = create_event()
        Thread(target=self._pump, name="popen", daemon=True).start()

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._pipe.fileno()

    def readinto(self, memory: Any) -> int:
        with self._family.waiting_at(self):
            wait(self._ready, Deadline(None))
        with self._family.changed:
            count = min(len(memory), len(self._data))
            memory[:count] = self._data[:count]
            del self._data[:count]
            if not self._data and not self._ended:
                winapi.ResetEvent(self._ready)
        return count

    def close(self) -> None:
        with self._family.changed:
            if not self.closed:
                super().close()
                self._ready.close()
                self._family.changed.notify_all()
                if not self._is_reading:
                    self._pipe.close()

    # The thread

    def _pump(self) -> None:
        while self._is_wanted():
            data = self._pipe.read(_CHUNK)
            with self._family.changed:
                self._is_reading = False
                if self.closed:
                    self._pipe.close()
                    return
                self._data += data
                self._ended = not data
                winapi.SetEvent(self._ready)

    def _is_wanted(self) -> bool:
        """Wait until there is cause to read; return False if there never will be."""
        with self._family.changed:
            self._family.changed.wait_for(
                lambda: self.closed or self._ended or self._family.wants(self, has_data=bool(self._data))
            )
            self._is_reading = not self.closed and not self._ended
            return self._is_reading


class _UnbufferedWriter(io.BufferedWriter):
    """Passes on at once what is written, like the files of Python 2: a child that is asked something can answer."""

    def write(self, data: Any) -> int:
        count = super().write(data)
        self.flush()
        return count


if TYPE_CHECKING:
    _File = IO[Any]
else:
    _File = object


class PipeFile(_File):
    """A file on a stream of a child: all that a file can do, and `close` gives the child's exit status.

    That is None for 0, as in Python 2, else the code, unsigned. It comes from the last file of the child to be closed,
    which waits for the child's end; the others give None. `write` sends at once.
    """

    _family: _Family | None = None

    def joining(self, family: _Family) -> Self:
        """Take the file into a family; one that is in none closes like any other."""
        self._family = family
        family.join()
        return self

    def close(self) -> int | None:  # type: ignore[override]
        """Close the file; wait for the child's end and give its exit status if this is its last file."""
        return self._close(may_wait=True)

    def _close(self, *, may_wait: bool) -> int | None:
        family, self._family = self._family, None
        with contextlib.suppress(BrokenPipeError):  # which `write` has told already
            super().close()
        return family.leave(may_wait=may_wait) if family else None

    def __del__(self) -> None:
        # Whoever collects garbage must not be made to wait for a child.
        if self._family is not None:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            self._close(may_wait=False)


class _TextFile(PipeFile, io.TextIOWrapper):  # type: ignore[misc]
    pass


class _BinaryReader(PipeFile, io.BufferedReader):  # type: ignore[misc]
    pass


class _BinaryWriter(PipeFile, _UnbufferedWriter):  # type: ignore[misc]
    pass


def popen(command: Command, mode: str = "r", *, encoding: str | None = None, errors: str | None = None) -> PipeFile:
    """Run a command and give a file on what it writes (`r`) or reads (`w`), of text, or of bytes with a `b` after it.

    Its other output goes where this process's own goes, if that goes anywhere, and it has no other input. Text is
    encoded as `open` does it; what the shell's own commands write is `encoding="oem"`.
    """
    if mode not in ("r", "rt", "rb", "w", "wt", "wb"):
        raise ValueError(f"mode must be 'r' or 'w', and 't' or 'b' after it, not {mode!r}")
    stdin, stdout = (
        (subprocess.DEVNULL, subprocess.PIPE) if mode[0] == "r" else (subprocess.PIPE, _inherited(StdHandle.OUTPUT))
    )
    streams = stdin, stdout, _inherited(StdHandle.ERROR)
    return _files(command, streams, mode[1:] or "t", encoding, errors)[0]


def popen2(
    command: Command, mode: str = "t", *, encoding: str | None = None, errors: str | None = None
) -> tuple[PipeFile, PipeFile]:
    """Run a command and give files on its stdin and its stdout, of text (`t`) or bytes (`b`); otherwise as `popen`."""
    streams = subprocess.PIPE, subprocess.PIPE, _inherited(StdHandle.ERROR)
    stdin, stdout = _files(command, streams, mode, encoding, errors)
    return stdin, stdout


def popen3(
    command: Command, mode: str = "t", *, encoding: str | None = None, errors: str | None = None
) -> tuple[PipeFile, PipeFile, PipeFile]:
    """Run a command and give files on its stdin, stdout and stderr; otherwise as `popen2`."""
    streams = subprocess.PIPE, subprocess.PIPE, subprocess.PIPE
    stdin, stdout, stderr = _files(command, streams, mode, encoding, errors)
    return stdin, stdout, stderr


def popen4(
    command: Command, mode: str = "t", *, encoding: str | None = None, errors: str | None = None
) -> tuple[PipeFile, PipeFile]:
    """Run a command and give files on its stdin, and on its stdout and stderr together; otherwise as `popen2`."""
    streams = subprocess.PIPE, subprocess.PIPE, subprocess.STDOUT
    stdin, output = _files(command, streams, mode, encoding, errors)
    return stdin, output


def _files(
    command: Command,
    streams: tuple[int, int | None, int | None],
    mode: str,
    encoding: str | None,
    errors: str | None,
) -> list[PipeFile]:
    """Start a command and give a file on each of its three streams that is to be a pipe."""
    if mode not in ("t", "b"):
        raise ValueError(f"mode must be 't' or 'b', not {mode!r}")
    family = _Family()
    files: list[PipeFile] = []
    ends = list(streams)
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undo:
        for index, stream in enumerate(streams):
            if stream == subprocess.PIPE:
                ends[index], pipe = _pipe(theirs, undo, to_child=index == 0)
                raw = _Output(pipe, family) if index else _Input(pipe, family)
                undo.callback(raw.close)
                files.append(_file(raw, mode, encoding, errors))
        family.process = _Process(command, *ends)
        undo.pop_all()
    return [file.joining(family) for file in files]


def _file(raw: _Input | _Output, mode: str, encoding: str | None, errors: str | None) -> PipeFile:
    is_output = isinstance(raw, _Output)
    if mode == "b":
        return _BinaryReader(raw) if is_output else _BinaryWriter(raw)
    buffer = io.BufferedReader(raw) if is_output else _UnbufferedWriter(raw)
    return _TextFile(buffer, encoding or "locale", errors, write_through=True)


# Streaming


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
        self._name = _name(command)
        self._job = _create_job()
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undo:
            undo.callback(self._job.close)
            stdin_end, stdin_pipe = _pipe(theirs, undo, to_child=True)
            stdout_end, stdout_pipe = _pipe(theirs, undo)
            outputs = [(stdout_pipe, on_stdout)]
            stderr_end = subprocess.STDOUT
            if on_stderr is not None:
                stderr_end, stderr_pipe = _pipe(theirs, undo)
                outputs.append((stderr_pipe, on_stderr))
            self._process = _Process(command, stdin_end, stdout_end, stderr_end, env=env, job=self._job)
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
        """Wait until the program has ended and all that it wrote was handed over; give its exit code, unsigned.

        Raises PipeTimeoutError while it goes on, and what a sink or the source raised. Ctrl+C ends the wait.
        """
        if self._exit_code is None:
            exit_code = self._await_end(Deadline(timeout))
            if self._error is not None:
                raise self._error
            if exit_code is None:
                raise PipeTimeoutError(f"did not end within {timeout:g} s", code=WinError.TIMEOUT, pipe=self._name)
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
        are_drained = all(wait(pump.ended, deadline) for pump in self._pumps)
        return self._process.wait(deadline) if are_drained else None

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self.kill()


def run(
    command: Command,
    data: bytes = b"",
    *,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    max_output: int = MAX_OUTPUT,
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
            raise MessageTooLongError(f"wrote more than {max_output} bytes", data=bytes(kept), pipe=_name(command))

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
        Thread(target=self._run, args=(pipe, sink, on_error), name="Child output", daemon=True).start()

    def _run(self, pipe: io.FileIO, sink: Sink, on_error: Callable[[BaseException], None]) -> None:
        try:
            with pipe:
                for data in iter(partial(pipe.read, _CHUNK), b""):
                    self.count += len(data)
                    sink(data)
        except BaseException as error:  # noqa: BLE001 - `Child.wait` raises it in the program's thread
            on_error(error)
        with contextlib.suppress(PipeError):  # the child was given up, and nobody waits
            winapi.SetEvent(self.ended)


class _Feeder:
    """Writes a source to the stdin of a child, in a thread, which may be left behind waiting for the source."""

    def __init__(self, pipe: io.FileIO, source: Iterable[bytes], on_error: Callable[[BaseException], None]) -> None:
        self.count = 0
        self._pipe = pipe
        self._writing = Lock()
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
        with self._writing, contextlib.suppress(OSError):
            while data and not self._pipe.closed:
                count = self._pipe.write(data[:_CHUNK]) or 0
                self.count += count
                data = data[count:]
            return not self._pipe.closed
        return False

    def close(self) -> None:
        """Close the child's stdin, unless it is being written to; then the thread does it."""
        if self._writing.acquire(timeout=_GRACE):
            self._pipe.close()
            self._writing.release()


def _create_job() -> Handle:
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

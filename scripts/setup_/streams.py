"""Runs a Windows program in place of this process, with its streams, signals and exit code.

Under Wine 8, Python crashes at startup if a standard stream is a file or a device such as /dev/null; pipes and
terminals work. Those are passed on directly, and anything else is copied through a pipe.
"""

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from .packages import RUNNING
from .steps import ROOT, Arguments, Step, say, set_up
from .wine import PREFIX, windows_command, wine_cores, wine_environment

if sys.platform != "win32":
    import fcntl
    import select
    import termios

CHUNK = 1 << 16  # the capacity of a pipe


def launch(program: Path, *arguments: str, prefix: Path = PREFIX, steps: Sequence[Step] = RUNNING) -> int:
    """Run a Windows program in place of this process; on Linux, with the drive C: and the server of a Wine prefix."""
    set_up(*steps)
    command = (*windows_command(program), *arguments)
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the console sends Ctrl+C to all; that program handles it
        return subprocess.call(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    os.sched_setaffinity(0, wine_cores())
    replaced = [fd for fd in (0, 1, 2) if not wine_can_use(fd)]
    if not replaced:
        os.execve(command[0], command, wine_environment(prefix))
    return run_through_pipes(command, wine_environment(prefix), replaced)


# ---- streams --------------------------------------------------------------------------------------------------------


def keep_standard_streams_open() -> None:
    """Replace closed standard streams by /dev/null, so that the next opened file does not take their place."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:
        fd = os.dup(fd)
    os.close(fd)
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - stays open


def wine_can_use(fd: int) -> bool:
    """Return whether Windows' Python can use this file descriptor as a standard stream."""
    return stat.S_ISFIFO(os.fstat(fd).st_mode) or os.isatty(fd)


def run_through_pipes(command: Arguments, environment: Mapping[str, str], replaced: Sequence[int]) -> int:
    """Run a program with pipes in place of some standard streams, copy their data, and pass on signals."""
    signal.pthread_sigmask(signal.SIG_BLOCK, received_signals())
    ended, end = os.pipe()
    errors: list[OSError] = []
    given: dict[int, int] = {}
    copies = []
    for fd in replaced:
        if fd == 2 and 1 in given and os.path.sameopenfile(1, 2):  # `> log 2>&1`: one pipe keeps the order
            given[2] = given[1]
            continue
        reader, writer = os.pipe()
        given[fd] = writer if fd else reader
        copy = partial(copy_output, reader, fd, ended, errors) if fd else partial(copy_input, writer)
        copies.append(threading.Thread(target=copy, daemon=fd == 0))  # do not wait for input that is not read
    pipes = [(os.POSIX_SPAWN_DUP2, pipe, fd) for fd, pipe in given.items()]
    pid = os.posix_spawn(
        command[0], [*command], environment, file_actions=pipes, setsigmask=(), setsigdef=(signal.SIGPIPE,)
    )
    for pipe in set(given.values()):
        os.close(pipe)
    for thread in copies:
        thread.start()
    code = wait_for_program(pid)
    os.close(end)
    for thread in copies:
        if not thread.daemon:
            thread.join()
    for error in errors:
        say(f"error: the output cannot be written: {error.strerror}")
    return code or len(errors)


def copy_input(target: int) -> None:
    """Copy stdin to the program until the end of either."""
    with contextlib.suppress(OSError):
        while data := os.read(0, CHUNK):
            write_all(target, data)
    os.close(target)


def copy_output(source: int, target: int, ended: int, errors: list[OSError]) -> None:
    """Copy the program's output until the program has ended, and then the rest in the pipe.

    Does not wait for the end of the pipe: a process that the program leaves behind may keep it open forever.
    """
    try:
        while ended not in select.select((source, ended), (), ())[0]:
            data = os.read(source, CHUNK)
            if not data:
                return
            write_all(target, data)
        left = int.from_bytes(fcntl.ioctl(source, termios.FIONREAD, bytes(4)), sys.byteorder)
        while left > 0:
            data = os.read(source, left)
            write_all(target, data)
            left -= len(data)
    except OSError as error:
        if error.errno != errno.EPIPE:
            errors.append(error)
    finally:
        os.close(source)  # so that the program notices a broken output


def write_all(target: int, data: bytes) -> None:
    """Write all data, with as many writes as needed."""
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


# ---- signals --------------------------------------------------------------------------------------------------------


def received_signals() -> set[signal.Signals]:
    """Return the signals to wait for: SIGCHLD, and those that are passed on to the program."""
    return {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


def wait_for_program(pid: int) -> int:
    """Wait for a program to end, and pass on signals that were sent only to this process."""
    while True:
        received = signal.sigwaitinfo(received_signals())
        if received.si_signo != signal.SIGCHLD:
            if received.si_code <= 0:  # sent by a process; the kernel sends Ctrl+C in a terminal to both
                os.kill(pid, received.si_signo)
        elif os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            return code if code >= 0 else 128 - code  # like a shell, if a signal ended the program

r"""Rules of NT that Wine implements outside its server, patched into `winapi` in one process: one class for each rule.

    with FirstInstance(), SlowNames(3):
        ...

The numbers continue the table in scripts/setup_/strict_edits.py. A rule applies to code that looks up functions in
`winapi` while the rule is in force. It does not apply to functions that were bound before: by the stand-in for pywin32
when it was imported, and by a Connection, a server's port and its clients when they were created.

A separate process gets a rule with `python -c`: see `in_force`.
"""

import ctypes
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from ctypes import byref, c_int64
from ctypes.wintypes import HANDLE
from threading import Event, Lock, get_ident
from types import TracebackType
from typing import Any, Self

from pipectl.core.constants import INFINITE, OpenMode, WinError
from pipectl.core.errors import PipeError, PipeNotFoundError
from pipectl.core.models import PipeEntry
from pipectl.core.security import accounts
from pipectl.core.win32 import overlapped, winapi

# The original functions, which the rules use themselves, whatever other rule is in force.
_wait_named_pipe: Callable[..., int] = winapi.WaitNamedPipeW
_duplicate_handle: Callable[..., int] = winapi.DuplicateHandle

# The time limit, in seconds, of waits that "never" end, so that a mistake in a test does not hang.
_NEVER = 60.0

_OBJECT_TYPE_INFORMATION = 2
_STATUS_NO_MORE_FILES = -0x7FFF_FFFA
_STATUS_BUFFER_OVERFLOW = -0x7FFF_FFFB
_STATUS_INSUFFICIENT_RESOURCES = 0xC000_009A


class Rule:
    """A rule: each method with the name of a function of `winapi` replaces it while the rule is in force.

    `real` calls the replaced function, which may belong to another rule. `claim` is the claim of `pipectl selftest`
    that checks the rule on Windows.
    """

    claim: str

    def __init__(self) -> None:
        self._real: dict[str, Any] = {}

    def real(self, name: str, *arguments: Any) -> Any:
        """Call the replaced function."""
        return self._real[name](*arguments)

    def begin(self) -> None:
        """Prepare the rule before it is in force."""

    def end(self) -> None:
        """End pending waits before the rule ends."""

    def __enter__(self) -> Self:
        self.begin()
        for name in (name for name in dir(self) if not name.startswith("_") and hasattr(winapi, name)):
            self._real[name] = getattr(winapi, name)
            setattr(winapi, name, _like(self._real[name], getattr(self, name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        for name, function in self._real.items():
            setattr(winapi, name, function)


def in_force(rule: str, *arguments: str) -> list[str]:
    """Return the command line that runs pipectl with a rule in force, such as `SlowNames(3)`, from its start."""
    code = f"from tests.nt import layer; layer.{rule}.__enter__(); from pipectl.cli import main; main()"
    return [sys.executable, "-c", code, *arguments]


def _like(function: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls a method, and has the name of the other function for errors."""

    def stand_in(*arguments: Any) -> Any:
        return method(*arguments)

    stand_in.__name__ = function.__name__
    return stand_in


def _refuse(code: int, function: str, arguments: tuple[Any, ...]) -> Any:
    raise winapi._pipe_error(code, function, arguments)


class FirstInstance(Rule):
    """FILE_FLAG_FIRST_PIPE_INSTANCE: if the name exists, the call fails with ERROR_ACCESS_DENIED.

    Source: npfs create.c, NpCreateExistingNamedPipe; Microsoft's page on CreateNamedPipe. Wine's kernelbase does not
    pass the flag on. Here, the name is checked before the call, so two simultaneous calls may both succeed.
    """

    claim = "W02"

    def CreateNamedPipeW(self, pipe: str, open_mode: int, *arguments: Any) -> int:
        """Reject the flag if there already is an instance."""
        if open_mode & OpenMode.FIRST_PIPE_INSTANCE and _exists(pipe):
            _refuse(WinError.ACCESS_DENIED, "CreateNamedPipeW", (pipe, open_mode, *arguments))
        return int(self.real("CreateNamedPipeW", pipe, open_mode, *arguments))


def _exists(pipe: str) -> bool:
    try:
        _wait_named_pipe(pipe, 1)
    except PipeNotFoundError:
        return False
    except PipeError:
        pass  # it is busy
    return True


class WaitableNames(Rule):
    r"""N3: WaitNamedPipe accepts `\\.\pipe\NAME` and `\\HOST\pipe\NAME`, and rejects others with ERROR_BAD_PATHNAME.

    It treats a slash as a backslash, but does not normalize the name otherwise. Source: kernel32 npipe.c,
    WaitNamedPipeW; libuv's issue 3914.
    """

    claim = "W34"

    def WaitNamedPipeW(self, pipe: str, timeout: int) -> int:
        """Reject other names, and use these unchanged."""
        plain = pipe.replace("/", "\\")
        host, _, rest = plain[2:].partition("\\")
        share, _, name = rest.partition("\\")
        if plain[:2] != "\\\\" or host in ("", "?") or share.lower() != "pipe" or not name:
            _refuse(WinError.BAD_PATHNAME, "WaitNamedPipeW", (pipe, timeout))
        return int(self.real("WaitNamedPipeW", rf"\\?\pipe\{name}" if host == "." else plain, timeout))


class Ticks(Rule):
    """N9: a wait begins at the last tick of the clock and ends at the first tick after its time is up.

    So it takes up to 15.6 ms more or less than requested; only a wait of exactly 0 returns at once. Source: NT,
    KiInsertTreeTimer and KiTimerExpiration, which only know the time of the last tick; Microsoft's page on Sleep.
    """

    claim = "W39"

    TICK = 0.015625

    def begin(self) -> None:
        """Make operations bind the functions again, here and in `end`."""
        overlapped._spare_kits.clear()

    end = begin

    def NtWaitForSingleObject(self, handle: Any, alertable: bool, due: Any) -> int:
        """Wait until a tick."""
        return int(self.real("NtWaitForSingleObject", handle, alertable, self._rounded(due)))

    def NtWaitForMultipleObjects(self, count: int, handles: Any, kind: int, alertable: bool, due: Any) -> int:
        """Wait until a tick."""
        return int(self.real("NtWaitForMultipleObjects", count, handles, kind, alertable, self._rounded(due)))

    def NtRemoveIoCompletionEx(self, *arguments: Any) -> int:
        """Wait until a tick."""
        *first, due, alertable = arguments
        return int(self.real("NtRemoveIoCompletionEx", *first, self._rounded(due), alertable))

    def WaitNamedPipeW(self, pipe: str, timeout: int) -> int:
        """Wait until a tick; 0 does not mean no time, but the server's default."""
        if timeout not in (0, INFINITE):
            timeout = max(1, -int(-self.until_tick(timeout / 1000) * 1000 // 1))
        return int(self.real("WaitNamedPipeW", pipe, timeout))

    def until_tick(self, seconds: float) -> float:
        """Return the actual length of a wait, which ends at a tick."""
        now = time.perf_counter()
        due = now // self.TICK * self.TICK + seconds
        return float(-(-due // self.TICK)) * self.TICK - now

    def _rounded(self, due: Any) -> Any:
        units = None if due is None else due._obj.value
        if units is None or units >= 0:
            return due
        return byref(c_int64(min(-1, -int(self.until_tick(units / -10_000_000) * 10_000_000))))


class Silence(Rule):
    """N10: queries of a handle block while a read is pending on it; here, all queries block until `release`.

    On NT, a synchronous handle and its duplicates share one lock. Source: NT, IopAcquireFileObjectLock; psutil's
    open_files; libuv's issue 1313.
    """

    claim = "W19"

    def __init__(self) -> None:
        super().__init__()
        # Set when a query has begun.
        self.asked = Event()
        self._released = Event()

    def release(self) -> None:
        """End all blocked queries, and do not block later ones."""
        self._released.set()

    end = release

    def NtQueryInformationFile(self, *arguments: Any) -> int:
        """Wait, and ask then."""
        return int(self._ask("NtQueryInformationFile", *arguments))

    def GetFileType(self, *arguments: Any) -> int:
        """Wait, and ask then."""
        return int(self._ask("GetFileType", *arguments))

    def NtQueryObject(self, handle: Any, what: int, *arguments: Any) -> int:
        """Wait, and then query; but the kernel knows the type of an object without querying it."""
        ask = self.real if what == _OBJECT_TYPE_INFORMATION else self._ask
        return int(ask("NtQueryObject", handle, what, *arguments))

    def _ask(self, name: str, *arguments: Any) -> Any:
        self.asked.set()
        self._released.wait(_NEVER)
        return self.real(name, *arguments)


class RefusedTokens(Rule):
    """N11: a process of SYSTEM or another user, or an elevated one, can be opened, but its token cannot.

    Source: Microsoft's page on OpenProcessToken, and MS-DTYP on mandatory labels. Queries of this process about itself,
    through the handle of GetCurrentProcess, succeed.
    """

    claim = "W40"

    def OpenProcessToken(self, process: Any, *arguments: Any) -> int:
        """Deny access, except to this process's own token."""
        own = winapi.GetCurrentProcess()
        if process != own:
            _refuse(WinError.ACCESS_DENIED, "OpenProcessToken", (process, *arguments))
        return int(self.real("OpenProcessToken", process, *arguments))


class RefusedProcesses(RefusedTokens):
    """N11: a process that Windows protects cannot even be opened.

    Source: Microsoft's page on process security and access rights.
    """

    claim = "W40"

    def OpenProcess(self, *arguments: Any) -> int:
        """Deny access."""
        return int(_refuse(WinError.ACCESS_DENIED, "OpenProcess", arguments))


class SlowNames(Rule):
    """N12: looking up the name of an account takes seconds if it queries a domain controller; no names are cached.

    Source: Microsoft's page on LookupAccountSid.
    """

    claim = "W41"

    def __init__(self, seconds: float = _NEVER) -> None:
        super().__init__()
        # Set when a query has begun.
        self.asked = Event()
        self._seconds = seconds
        self._released = Event()

    def begin(self) -> None:
        """Forget the names that were looked up before."""
        accounts._names.clear()

    def end(self) -> None:
        """End pending lookups."""
        self._released.set()

    def LookupAccountSidW(self, *arguments: Any) -> int:
        """Wait before the lookup."""
        self.asked.set()
        self._released.wait(self._seconds)
        return int(self.real("LookupAccountSidW", *arguments))


class Quota(Rule):
    """N13: one write of many MiB fails with ERROR_NO_SYSTEM_RESOURCES, and the pipe is unchanged.

    Source: NPFS allocates a write's memory from the nonpaged pool, and charges the process for it (write.c); the limit
    is not documented.
    """

    claim = "W42"

    MOST = 8 << 20

    def WriteFile(self, pipe: Any, data: Any, size: int, *arguments: Any) -> int:
        """Reject a write that is too large."""
        if size > self.MOST:
            _refuse(WinError.NO_SYSTEM_RESOURCES, "WriteFile", (pipe, data, size, *arguments))
        return int(self.real("WriteFile", pipe, data, size, *arguments))

    def NtWriteFile(self, *arguments: Any) -> int:
        """Reject a write that is too large; the size follows handle, event, APC and its context, result and data."""
        size = arguments[6]
        return _STATUS_INSUFFICIENT_RESOURCES if size > self.MOST else int(self.real("NtWriteFile", *arguments))


class SilentComputer(Rule):
    r"""N14: opening `\\HOST\…`, or waiting for one of its pipes, blocks for a long time, until CancelSynchronousIo.

    Then it fails with ERROR_OPERATION_ABORTED, otherwise with ERROR_BAD_NETPATH. Source: the SMB redirector, whose
    timeout for a computer that does not respond is 20 s or more; Microsoft's page on CancelSynchronousIo.
    """

    claim = "W43"

    def __init__(self, seconds: float = 20.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._lock = Lock()
        # The event that ends the call of each blocked thread.
        self._blocked: dict[int, Event] = {}

    def CreateFileW(self, path: str, *arguments: Any) -> int:
        """Block if the path is on another computer."""
        self._find(path, "CreateFileW", (path, *arguments))
        return int(self.real("CreateFileW", path, *arguments))

    def WaitNamedPipeW(self, pipe: str, timeout: int) -> int:
        """Block if the pipe is on another computer."""
        self._find(pipe, "WaitNamedPipeW", (pipe, timeout))
        return int(self.real("WaitNamedPipeW", pipe, timeout))

    def CancelSynchronousIo(self, thread: Any) -> int:
        """End the call of a blocked thread."""
        with self._lock:
            blocked = self._blocked.get(_thread_id(thread))
        if blocked is None:
            return int(self.real("CancelSynchronousIo", thread))
        blocked.set()
        return 0

    def end(self) -> None:
        """End all calls."""
        with self._lock:
            for cancelled in self._blocked.values():
                cancelled.set()

    def _find(self, path: str, function: str, arguments: tuple[Any, ...]) -> None:
        if not _is_remote(path):
            return
        cancelled = Event()
        with self._lock:
            self._blocked[get_ident()] = cancelled
        is_cancelled = cancelled.wait(self._seconds)
        with self._lock:
            del self._blocked[get_ident()]
        _refuse(WinError.OPERATION_ABORTED if is_cancelled else WinError.BAD_NETPATH, function, arguments)


def _is_remote(path: str) -> bool:
    start = path.replace("/", "\\").lower()
    return start.startswith("\\\\?\\unc\\") or (start.startswith("\\\\") and start[2:4] not in (".\\", "?\\"))


def _thread_id(thread: Any) -> int:
    """Return the ID of a thread, even if its handle does not have the right to query it."""
    process, handle, query_limited_information = winapi.GetCurrentProcess(), HANDLE(), 0x0800
    with suppress(PipeError):
        _duplicate_handle(process, thread, process, byref(handle), query_limited_information, False, 0)
        number = ctypes.WinDLL("kernel32").GetThreadId(handle)
        winapi.CloseHandle(handle)
        return int(number)
    return 0


class Directory(Rule):
    r"""N20: the directory of pipes, `\\.\pipe\`, can be listed; here it has these pipes, with a limit for each read.

    An entry has the number of instances in the file size, and their limit in the allocation size. Source: npfs
    fileinfo.c and dirctl.c, NpQueryDirectory; Microsoft's page on NtQueryDirectoryFile.
    """

    claim = "W08"

    _ENTRY = struct.Struct("<II4q2q2I")  # FILE_DIRECTORY_INFORMATION up to the name

    def __init__(self, entries: Iterable[PipeEntry], most_at_once: int = 1000) -> None:
        super().__init__()
        self._all = list(entries)
        self._most = most_at_once
        self._left: deque[PipeEntry] = deque(self._all)

    def NtQueryDirectoryFile(self, *arguments: Any) -> int:
        """Write the next entries that fit in the buffer."""
        _directory, _event, _apc, _context, result, buffer, size, _kind, is_single, _pattern, from_start = arguments
        if from_start:
            self._left = deque(self._all)
        if not self._left:
            return _STATUS_NO_MORE_FILES
        written = bytearray()
        begin = 0
        for _ in range(1 if is_single else self._most):
            if not self._left:
                break
            entry = self._entry(self._left[0])
            padding = -len(written) % 8
            if len(written) + padding + len(entry) > size:
                break
            if written:
                written += bytes(padding)
                struct.pack_into("<I", written, begin, len(written) - begin)
            begin = len(written)
            written += entry
            self._left.popleft()
        ctypes.memmove(buffer, bytes(written), len(written))
        result._obj.Information = len(written)
        return 0 if written else _STATUS_BUFFER_OVERFLOW

    def _entry(self, entry: PipeEntry) -> bytes:
        name = entry.name.encode("utf-16-le", "surrogatepass")
        limit = 0xFFFF_FFFF if entry.max_instances is None else entry.max_instances
        normal = 0x80  # FILE_ATTRIBUTE_NORMAL
        return self._ENTRY.pack(0, 0, 0, 0, 0, 0, entry.instances, limit, normal, len(name)) + name

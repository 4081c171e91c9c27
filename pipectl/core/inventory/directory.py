r"""Lists pipes by reading the directory of pipes, without opening any pipe.

Opening a pipe takes one of its instances, and a server with a single instance may exit when that client disconnects. So
no program should check for a pipe with `os.path.exists`, which opens it. The directory, `\\.\pipe\` with the trailing
backslash, can be opened and read like any other. It contains each name and, in the fields for sizes, the current and
the maximum number of instances. It is not a snapshot.
"""

import fnmatch
import re
import struct
from collections.abc import Iterable, Iterator

from pipectl.core.constants import BUFFER_SIZE, Access, FileFlags, ShareMode, instance_limit
from pipectl.core.errors import PipeNotFoundError, UnsupportedError, if_allowed
from pipectl.core.models import PipeEntry
from pipectl.core.names import LOCAL_PREFIX, display, from_directory, full_name, is_remote, near, short, upper

_FILE_DIRECTORY_INFORMATION = 1
_STATUS_NO_MORE_FILES = 0x8000_0006
# The time limit, in seconds, for a search for pipes that is only used for suggestions.
_BRIEFLY = 0.2

# FILE_DIRECTORY_INFORMATION up to the name: NextEntryOffset, EndOfFile, AllocationSize and FileNameLength, without the
# upper halves of the sizes.
_ENTRY = struct.Struct("<I36xI4xI8xI")


# The directory


def list_pipes() -> list[PipeEntry]:
    """Return the entries of the directory of pipes; names have no prefix.

    A pipe that appears or disappears meanwhile may be missing. Raises UnsupportedError if there is no such directory.
    """
    entries = (entry for buffer in _read_directory() for entry in parse_directory(buffer))
    # The directory is not a snapshot, so a name can appear twice.
    return list({entry.name: entry for entry in entries}.values())


def known_pipes(timeout: float = _BRIEFLY) -> list[PipeEntry]:
    """Return the pipes in the directory or, if it cannot be read, those that the handles of processes show in time.

    The list is empty if neither is available.
    """
    entries = if_allowed(list_pipes)
    return (if_allowed(_by_handles, timeout) or []) if entries is None else entries


def _by_handles(timeout: float) -> list[PipeEntry]:
    # On other systems this import raises UnsupportedError, which `if_allowed` handles.
    from .holders import entries_of
    from .walk import walk

    return entries_of(walk(timeout))


def parse_directory(buffer: bytes) -> list[PipeEntry]:
    """Parse a buffer that NtQueryDirectoryFile has filled; raises ValueError for invalid data."""
    entries = []
    offset = 0
    step = len(buffer)
    while step:
        if offset + _ENTRY.size > len(buffer):
            raise ValueError(f"an entry of the directory begins at {offset}, and the buffer ends at {len(buffer)}")
        step, instances, limit, length = _ENTRY.unpack_from(buffer, offset)
        begin = offset + _ENTRY.size
        if length % 2 or begin + length > len(buffer) or 0 < step < _ENTRY.size + length:
            raise ValueError(f"the entry at {offset} has a name of {length} bytes, and the next comes {step} after it")
        name = buffer[begin : begin + length].decode("utf-16-le", "surrogatepass")
        entries.append(PipeEntry(name, instances, instance_limit(limit)))
        offset += step
    return entries


def matching(glob: str, entries: Iterable[PipeEntry]) -> list[PipeEntry]:
    """Return the pipes whose names match, ignoring case: `*` is any text, `?` one character, `[ab]` one of several.

    The glob can have any form of a pipe name; a plain word matches anywhere in a name. Raises InvalidPipeNameError for
    an invalid name.
    """
    pipe = full_name(glob)
    if is_remote(pipe):
        raise UnsupportedError("the pipes of another computer cannot be listed", pipe=pipe, topic="remote directory")
    pattern = upper(short(pipe))
    is_word = short(pipe) == glob and not any(wildcard in glob for wildcard in "*?[")
    matches = re.compile(fnmatch.translate(f"*{pattern}*" if is_word else pattern)).match
    return [entry for entry in entries if matches(upper(entry.name))]


def some_matching(glob: str, entries: Iterable[PipeEntry]) -> list[PipeEntry]:
    """Return the same as `matching`; raises PipeNotFoundError if a specific pattern matches no pipe."""
    found = matching(glob, entries)
    if not found and glob != "*":
        raise PipeNotFoundError("no pipe matches", subject=glob, topic="pattern")
    return found


def sorted_by(order: str, entries: Iterable[PipeEntry]) -> list[PipeEntry]:
    """Return pipes sorted by `name`, or by `instances` in descending order."""
    by_name = sorted(entries, key=lambda entry: upper(entry.name))
    return by_name if order == "name" else sorted(by_name, key=lambda entry: -entry.instances)


def did_you_mean(pipe: str) -> list[str]:
    """Return the names of pipes that are similar to a name, best first; none if the directory cannot be read.

    The names are in the form of `names.display`.
    """
    return [] if is_remote(pipe) else [display(name) for name in near(pipe, _known_names())]


def names_beginning(text: str) -> list[str]:
    """Return the displayed names that begin with a text, ignoring case, for shell completion."""
    names = _known_names()
    shown = map(display, map(from_directory, names) if text.startswith("\\\\") else names)
    return sorted(name for name in shown if upper(name).startswith(upper(text)))


def pid_hint(name: str) -> int | None:
    """Return the process ID that a name contains by a convention of its program; only a hint: names are arbitrary."""
    for pattern, base in _HABITS:
        if match := pattern.fullmatch(name):
            return int(match[1], base)
    return None


def _known_names() -> list[str]:
    return [entry.name for entry in known_pipes()]


def _read_directory() -> Iterator[bytes]:
    import ctypes

    from pipectl.core.win32 import winapi
    from pipectl.core.win32.calls import create_file

    block = winapi.IO_STATUS_BLOCK()
    buffer = ctypes.create_string_buffer(BUFFER_SIZE)
    share = ShareMode.READ | ShareMode.WRITE
    with create_file(LOCAL_PREFIX, Access.GENERIC_READ, share=share, flags=FileFlags.NONE) as directory:
        from_start = True
        while True:
            status = winapi.NtQueryDirectoryFile(
                directory,
                None,
                None,
                None,
                ctypes.byref(block),
                buffer,
                len(buffer),
                _FILE_DIRECTORY_INFORMATION,
                False,
                None,
                from_start,
            )
            if status & 0xFFFF_FFFF == _STATUS_NO_MORE_FILES:
                return
            if status < 0:
                raise UnsupportedError(
                    "this system cannot list its pipes",
                    code=winapi.RtlNtStatusToDosError(status),
                    function="NtQueryDirectoryFile",
                    topic="directory",
                )
            yield buffer.raw[: block.Information]
            from_start = False


# How some programs include their process ID in the names of their pipes, and the base of the number.
_HABITS = [
    (re.compile(pattern, re.IGNORECASE | re.ASCII), base)
    for pattern, base in (
        (r"mojo\.(\d{1,10})\.\d+\.\d+", 10),  # Chromium and programs based on it
        (r"crashpad_(\d{1,10})_\w+", 10),
        (r"gecko-crash-server-pipe\.(\d{1,10})", 10),  # Firefox
        (r"dotnet-diagnostic-(\d{1,10})", 10),
        (r"clr-debug-pipe-(\d{1,10})-.+", 10),
        (r"PSHost\.\d+\.(\d{1,10})\..+", 10),  # PowerShell
        (r"pgsignal_(\d{1,10})", 10),  # PostgreSQL
        (r"pyc-(\d{1,10})-\d+-.+", 10),  # Python's multiprocessing
        (r"python-pipe-(\d{1,10})-\d+-.+", 10),  # Python's asyncio
        (r"uv\\[0-9a-f]+-(\d{1,10})", 10),  # Node.js and all of libuv
        (r"Winsock2\\CatalogChangeListener-([0-9a-f]{1,8})-[0-9a-f]+", 16),
        (r"Win32Pipes\.([0-9a-f]{8})\.[0-9a-f]{8}", 16),  # anonymous pipes of an older Windows
    )
]

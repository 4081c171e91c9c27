"""Parses the system's table of all processes, including those that this user may not open."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

# SYSTEM_PROCESS_INFORMATION, by the size of a pointer: the offset of the next entry, the start time, the length and the
# address of the program's name, the IDs of the process and its parent, the session.
_ENTRIES = {8: struct.Struct("<I28xq16xH6xQ8xQQ4xI"), 4: struct.Struct("<I28xq16xH2xI4xII4xI")}
_POINTER = struct.calcsize("P")
# By the size of a pointer: the offset of the SYSTEM_THREAD_INFORMATION entries, whose number follows the offset of the
# next process, and in each entry the state and the wait reason.
_THREADS = {8: (256, struct.Struct("<68xII4x")), 4: (184, struct.Struct("<52xII4x"))}
_WAITING = 5
_SUSPENDED = 5


class ListedProcess(NamedTuple):
    """A process in the table; `program` is the file name of its program, which is empty for the idle process."""

    pid: int
    parent: int
    program: str
    session: int
    # A FILETIME: units of 100 ns since 1601.
    started: int


def suspended(table: memoryview, pointer: int = _POINTER) -> frozenset[int]:
    """Return the processes with only suspended threads, from a table of class 5 of NtQuerySystemInformation."""
    return frozenset(pid for pid, threads in _threads(table, pointer) if threads and set(threads) == {_ASLEEP})


_ASLEEP = (_WAITING, _SUSPENDED)


def _threads(table: memoryview, pointer: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield the ID of each process, with the state and the wait reason of each of its threads."""
    entry, (place, thread) = _ENTRIES[pointer], _THREADS[pointer]
    offset, step = 0, 1
    while step and offset + entry.size <= len(table):
        step, count = struct.unpack_from("<II", table, offset)
        begin = offset + place
        end = min(begin + count * thread.size, offset + step if step else len(table))
        whole = max(0, end - begin) // thread.size * thread.size
        yield entry.unpack_from(table, offset)[4], list(thread.iter_unpack(table[begin : begin + whole]))
        offset += step


def parse_processes(table: memoryview, address: int, pointer: int = _POINTER) -> list[ListedProcess]:
    """Parse a table of class 5 of NtQuerySystemInformation at an address; raises ValueError for invalid data."""
    entry = _ENTRIES[pointer]
    processes = []
    offset, step = 0, 1
    while step:
        if offset + entry.size > len(table):
            raise ValueError(f"an entry of the list of processes begins at {offset} of {len(table)} bytes")
        step, started, length, name, pid, parent, session = entry.unpack_from(table, offset)
        begin = name - address if length else 0
        if begin < 0 or begin + length > len(table) or length % 2 or 0 < step < entry.size:
            raise ValueError(f"the entry at {offset} of the list of processes has {length} bytes of name at {begin}")
        program = bytes(table[begin : begin + length]).decode("utf-16-le", "surrogatepass")
        processes.append(ListedProcess(pid, parent, program, session, started))
        offset += step
    return processes

"""Parses the system's table of all processes, including those that this user may not open."""

import struct
from typing import NamedTuple

# SYSTEM_PROCESS_INFORMATION, by the size of a pointer: the offset of the next, when it began, the length of its
# program's name and where that stands, its number and its parent's, its session.
_ENTRIES = {8: struct.Struct("<I28xq16xH6xQ8xQQ4xI"), 4: struct.Struct("<I28xq16xH2xI4xII4xI")}
_POINTER = struct.calcsize("P")


class ListedProcess(NamedTuple):
    """A process in the list of all; `program` is the name of its file, and empty for the idle process."""

    pid: int
    parent: int
    program: str
    session: int
    # A FILETIME: units of 100 ns since 1601.
    started: int


def parse_processes(table: memoryview, address: int, pointer: int = _POINTER) -> list[ListedProcess]:
    """Read what class 5 of NtQuerySystemInformation wrote to an address; raises ValueError for what it cannot be."""
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

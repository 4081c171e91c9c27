"""Parses the system's table of all handles of all processes.

The table is old as soon as it is there: a process may have closed a handle, and used its number for another file. So it
says where to look, and only a duplicate of the handle says what it is.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

_OBJ_INHERIT = 0x2

# SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX by the size of a pointer: object, process, handle, access, index of a trace, index
# of the type, attributes, reserved. Before the first come the number of entries and a reserved one.
_ENTRIES = {8: struct.Struct("<QQQIHHII"), 4: struct.Struct("<IIIIHHII")}
_POINTER = struct.calcsize("P")
# From the end of an entry back to the index of the type.
_TYPE_FROM_END = 10


class OpenHandle(NamedTuple):
    """A handle of a process: its number there, and the rights that were granted with it."""

    pid: int
    handle: int
    access: int
    is_inheritable: bool


def parse_handles(table: memoryview, kind: int, pointer: int = _POINTER) -> Iterator[OpenHandle]:
    """Read the entries of one type in what class 64 of NtQuerySystemInformation wrote, for pointers of so many bytes.

    Raises ValueError for what it cannot have written.
    """
    entry = _ENTRIES[pointer]
    begin, count = _extent(table, entry, pointer)
    # The type is an index. Searching only for its lower byte runs in C, and takes a tenth of the time.
    types = bytes(table[begin + entry.size - _TYPE_FROM_END : begin + entry.size * count : entry.size])
    wanted = bytes((kind & 0xFF,))
    index = types.find(wanted)
    while index >= 0:
        _, pid, handle, access, _, found, attributes, _ = entry.unpack_from(table, begin + index * entry.size)
        if found == kind:
            yield OpenHandle(pid, handle, access, bool(attributes & _OBJ_INHERIT))
        index = types.find(wanted, index + 1)


def type_of(table: memoryview, pid: int, handle: int, pointer: int = _POINTER) -> int | None:
    """Return the index of the type that a handle of a process has; None if it is not in the table."""
    entry = _ENTRIES[pointer]
    begin, count = _extent(table, entry, pointer)
    data = bytes(table[begin : begin + entry.size * count])
    wanted = struct.pack("<QQ" if pointer == 8 else "<II", pid, handle)
    offset = data.find(wanted)
    while offset >= 0:
        if offset % entry.size == pointer:  # after the object
            found: int = entry.unpack_from(data, offset - pointer)[5]
            return found
        offset = data.find(wanted, offset + 1)
    return None


def _extent(table: memoryview, entry: struct.Struct, pointer: int) -> tuple[int, int]:
    """Return where the first entry begins, and how many there are."""
    begin = 2 * pointer
    if len(table) < begin:
        raise ValueError(f"the table of handles has {len(table)} bytes")
    count = int.from_bytes(table[:pointer], "little")
    if begin + count * entry.size > len(table):
        raise ValueError(f"the table of handles has {count} entries in {len(table)} bytes")
    return begin, count

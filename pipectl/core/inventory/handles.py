"""Parses the system's table of all handles of all processes.

The table is outdated at once: a process may have closed a handle and reused its value for another file. So the table
only shows which handles to check, and a duplicate of a handle shows what it refers to.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

_OBJ_INHERIT = 0x2

# SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX by the size of a pointer: object, process, handle, access, trace index, type index,
# attributes, reserved. The entries follow their count and a reserved word.
_ENTRIES = {8: struct.Struct("<QQQIHHII"), 4: struct.Struct("<IIIIHHII")}
_POINTER = struct.calcsize("P")
# The distance from the end of an entry back to the type index.
_TYPE_FROM_END = 10


class OpenHandle(NamedTuple):
    """A handle of a process: its value in that process, and its access rights."""

    pid: int
    handle: int
    access: int
    is_inheritable: bool


def parse_handles(table: memoryview, kind: int, pointer: int = _POINTER) -> Iterator[OpenHandle]:
    """Yield the entries of one type in a table of class 64 of NtQuerySystemInformation, for a pointer size in bytes.

    Raises ValueError for invalid data.
    """
    entry = _ENTRIES[pointer]
    begin, count = _extent(table, entry, pointer)
    # Searching for the lower byte of the type index runs in C, in a tenth of the time.
    types = bytes(table[begin + entry.size - _TYPE_FROM_END : begin + entry.size * count : entry.size])
    wanted = bytes((kind & 0xFF,))
    index = types.find(wanted)
    while index >= 0:
        _, pid, handle, access, _, found, attributes, _ = entry.unpack_from(table, begin + index * entry.size)
        if found == kind:
            yield OpenHandle(pid, handle, access, bool(attributes & _OBJ_INHERIT))
        index = types.find(wanted, index + 1)


def type_of(table: memoryview, pid: int, handle: int, pointer: int = _POINTER) -> int | None:
    """Return the type index of a process's handle; None if the handle is not in the table."""
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
    """Return the offset of the first entry, and the number of entries."""
    begin = 2 * pointer
    if len(table) < begin:
        raise ValueError(f"the table of handles has {len(table)} bytes")
    count = int.from_bytes(table[:pointer], "little")
    if begin + count * entry.size > len(table):
        raise ValueError(f"the table of handles has {count} entries in {len(table)} bytes")
    return begin, count

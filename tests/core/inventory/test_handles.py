"""The tables of all handles and of all processes: what is read in them, and what is refused."""

import struct
import time

import pytest

from pipectl.core.inventory.handles import OpenHandle, parse_handles, type_of
from pipectl.core.inventory.processlist import ListedProcess, parse_processes, suspended

FILE = 0x125  # its lower byte, 0x25, is that of another type too
OTHER = 0x25
FORMATS = {8: "<QQQIHHII", 4: "<IIIIHHII"}
POINTERS = pytest.mark.parametrize("pointer", FORMATS)

ADDRESS = 0x7000_0000


def table_of(entries: list[tuple[int, int, int, int, int]], pointer: int = 8) -> memoryview:
    """A table with entries of process, handle, access, type and attributes."""
    header = struct.pack("<QQ" if pointer == 8 else "<II", len(entries), 0)
    rows = (
        struct.pack(FORMATS[pointer], 0, pid, handle, access, 0, kind, attributes, 0)
        for pid, handle, access, kind, attributes in entries
    )
    return memoryview(b"".join([header, *rows]))


@POINTERS
def test_only_handles_of_the_type_are_read(pointer: int) -> None:
    table = table_of([(8, 4, 3, OTHER, 0), (8, 8, 0x12019F, FILE, 2), (12, 4, 1, FILE, 0)], pointer)
    found = list(parse_handles(table, FILE, pointer))
    assert found == [OpenHandle(8, 8, 0x12019F, is_inheritable=True), OpenHandle(12, 4, 1, is_inheritable=False)]


@POINTERS
def test_the_type_is_that_of_a_handle_that_is_known(pointer: int) -> None:
    table = table_of([(8, 4, 3, OTHER, 0), (8, 8, 8, FILE, 2), (12, 4, 1, OTHER, 0)], pointer)
    assert type_of(table, 8, 8, pointer) == FILE
    assert type_of(table, 12, 4, pointer) == OTHER
    assert type_of(table, 12, 8, pointer) is None


def test_numbers_that_stand_elsewhere_in_an_entry_are_no_handle() -> None:
    # The handle of the first and its access look like process 4 and its handle 8.
    table = table_of([(1, 4, 8, OTHER, 0), (4, 8, 8, FILE, 0)])
    assert type_of(table, 4, 8) == FILE


@pytest.mark.parametrize("table", [b"", bytes(15), struct.pack("<QQ", 1, 0), struct.pack("<QQ", 2, 0) + bytes(79)])
def test_a_table_that_ends_too_early_is_refused(table: bytes) -> None:
    with pytest.raises(ValueError, match="table of handles"):
        list(parse_handles(memoryview(table), FILE, 8))
    with pytest.raises(ValueError, match="table of handles"):
        type_of(memoryview(table), 1, 1, 8)


def test_a_table_of_200_000_handles_is_read_in_time() -> None:
    entries = [(pid, handle, 1, FILE if handle % 5 == 0 else OTHER, 0) for pid in range(400) for handle in range(500)]
    table = table_of(entries)
    begun = time.perf_counter()
    kind = type_of(table, 399, 495)
    found = sum(1 for _ in parse_handles(table, FILE))
    seconds = time.perf_counter() - begun
    assert (kind, found) == (FILE, 40_000)
    assert seconds < 0.6, seconds  # of a machine that is busy; a quiet one takes a tenth of that


# Processes


def processes_of(*rows: tuple[int, int, str, int, int], pointer: int = 8) -> memoryview:
    """A list with rows of process, parent, program, session and start."""
    entry = struct.Struct("<I28xq16xHHxxxxQ8xQQ4xI" if pointer == 8 else "<I28xq16xHHI4xII4xI")
    data = b""
    for index, (pid, parent, program, session, started) in enumerate(rows):
        name = program.encode("utf-16-le", "surrogatepass")
        step = 0 if index == len(rows) - 1 else entry.size + len(name)
        place = ADDRESS + len(data) + entry.size if name else 0
        data += entry.pack(step, started, len(name), len(name), place, pid, parent, session) + name
    return memoryview(data)


@POINTERS
def test_processes_are_read(pointer: int) -> None:
    table = processes_of((0, 0, "", 0, 0), (8, 4, "a.exe", 1, 1 << 56), (12, 8, "\ud800é.exe", 2, 3), pointer=pointer)
    assert parse_processes(table, ADDRESS, pointer) == [
        ListedProcess(0, 0, "", 0, 0),
        ListedProcess(8, 4, "a.exe", 1, 1 << 56),
        ListedProcess(12, 8, "\ud800é.exe", 2, 3),
    ]


# The states and the reasons to wait of threads: running, waiting for something, suspended.
RUNS, WAITS, SUSPENDED = (2, 0), (5, 6), (5, 5)


def threads_of(*processes: tuple[int, list[tuple[int, int]]], pointer: int = 8) -> memoryview:
    """A list of processes with the states of their threads, and nothing else."""
    before, between = ("<I4x72xQ", "<68xII4x") if pointer == 8 else ("<I4x60xI", "<52xII4x")
    whole = 256 if pointer == 8 else 184
    data = b""
    for index, (pid, states) in enumerate(processes):
        threads = b"".join(struct.pack(between, *state) for state in states)
        step = 0 if index == len(processes) - 1 else whole + len(threads)
        begin = bytearray(struct.pack(before, step, pid).ljust(whole, b"\0"))
        struct.pack_into("<I", begin, 4, len(states))
        data += begin + threads
    return memoryview(data)


@POINTERS
def test_a_process_is_suspended_if_every_thread_of_it_is(pointer: int) -> None:
    table = threads_of(
        (0, []),
        (8, [SUSPENDED, SUSPENDED]),
        (12, [SUSPENDED, WAITS]),
        (16, [RUNS]),
        (20, [WAITS]),
        (24, [SUSPENDED]),
        pointer=pointer,
    )
    assert suspended(table, pointer) == {8, 24}


def test_threads_beyond_the_end_of_a_list_are_not_read() -> None:
    table = threads_of((8, [SUSPENDED, SUSPENDED]))
    for size in (0, 50, 104, 256, 300):
        assert suspended(table[:size], 8) == frozenset()
    assert suspended(table[:-4], 8) == {8}


@pytest.mark.parametrize("address", [0, ADDRESS + 200, ADDRESS - 100_000])
def test_a_name_outside_of_the_list_is_refused(address: int) -> None:
    with pytest.raises(ValueError, match="list of processes"):
        parse_processes(processes_of((8, 4, "a.exe", 1, 1)), address, 8)


def test_a_list_that_ends_too_early_is_refused() -> None:
    table = processes_of((8, 4, "a.exe", 1, 1), (12, 4, "b.exe", 1, 1))
    for size in (0, 50, 104, 120, len(table) - 4):
        with pytest.raises(ValueError, match="list of processes"):
            parse_processes(table[:size], ADDRESS, 8)

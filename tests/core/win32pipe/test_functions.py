"""The stand-in for pywin32 where it does better than pywin32, or has more: what test_parity.py cannot compare."""

import ctypes
import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, assert_type

import pytest

import pipectl.core.win32pipe as win32file
from pipectl.core import win32pipe
from pipectl.core.deadline import Deadline
from pipectl.core.win32 import calls
from pipectl.core.win32.calls import create_event
from pipectl.core.win32.handle import wait
from pipectl.core.win32pipe import constants, functions, objects
from pipectl.core.win32pipe.objects import OVERLAPPED
from tests import pipes

if TYPE_CHECKING:
    from concurrent.futures import Future

Background = Callable[..., "Future[Any]"]
ROOT = Path(__file__).parents[3]


class Pair(NamedTuple):
    server: win32pipe.HANDLE
    client: win32pipe.HANDLE


@pytest.fixture
def pair(pipe_name: str) -> Iterator[Pair]:
    """A connected message pipe with small buffers, for overlapped operations."""
    mode = win32pipe.PIPE_TYPE_MESSAGE | win32pipe.PIPE_READMODE_MESSAGE
    duplex = win32pipe.PIPE_ACCESS_DUPLEX | win32file.FILE_FLAG_OVERLAPPED
    access = win32file.GENERIC_READ | win32file.GENERIC_WRITE
    server = win32pipe.CreateNamedPipe(pipe_name, duplex, mode, 1, 512, 512, 0, None)
    client = win32file.CreateFile(pipe_name, access, 0, None, 3, win32file.FILE_FLAG_OVERLAPPED, None)
    win32pipe.SetNamedPipeHandleState(client, win32pipe.PIPE_READMODE_MESSAGE, None, None)
    yield Pair(server, client)
    client.Close()
    server.Close()
    objects.release_orphans()
    assert not OVERLAPPED._orphans


@pytest.fixture
def ol() -> OVERLAPPED:
    return overlapped()


def overlapped() -> OVERLAPPED:
    ol = OVERLAPPED()
    ol.hEvent = win32pipe.CreateEvent(None, True, False, None)
    return ol


class Memory(bytearray):
    """Memory that can be watched."""


def alive(memory: "weakref.ref[Memory]") -> bool:
    gc.collect()
    return memory() is not None


# Memory of operations under way


def start_read(pipe: win32pipe.HANDLE, ol: OVERLAPPED) -> "weakref.ref[Memory]":
    """Start a read into memory that nobody here keeps."""
    memory = Memory(100)
    assert win32file.ReadFile(pipe, memory, ol)[0] == win32pipe.ERROR_IO_PENDING
    return weakref.ref(memory)


def send(pipe: win32pipe.HANDLE, data: bytes) -> None:
    ol = overlapped()
    assert win32file.WriteFile(pipe, data, ol) == (0, len(data))


def test_a_read_keeps_its_memory_until_its_result_is_taken(pair: Pair, ol: OVERLAPPED) -> None:
    memory = start_read(pair.server, ol)
    assert alive(memory)
    with pytest.raises(win32pipe.error) as raised:
        win32pipe.GetOverlappedResult(pair.server, ol, False)
    assert raised.value.winerror == win32pipe.ERROR_IO_INCOMPLETE
    assert alive(memory)
    send(pair.client, b"late")
    kept = memory()
    assert win32pipe.GetOverlappedResult(pair.server, ol, True) == 4
    assert kept is not None
    assert kept[:4] == b"late"
    del kept
    assert not alive(memory)


def test_a_write_keeps_its_data_until_its_result_is_taken(pair: Pair, ol: OVERLAPPED) -> None:
    data = Memory(b"x" * 100_000)
    watched = weakref.ref(data)
    assert win32file.WriteFile(pair.client, data, ol) == (win32pipe.ERROR_IO_PENDING, 0)
    del data
    assert alive(watched)
    reading = overlapped()
    _, answer = win32file.ReadFile(pair.server, 100_000, reading)
    assert win32pipe.GetOverlappedResult(pair.server, reading, True) == 100_000
    assert bytes(answer) == b"x" * 100_000
    assert win32pipe.GetOverlappedResult(pair.client, ol, True) == 100_000
    assert not alive(watched)


def test_a_transaction_keeps_data_and_memory(pair: Pair, ol: OVERLAPPED) -> None:
    data, memory = Memory(b"ping"), Memory(10)
    watched = weakref.ref(data), weakref.ref(memory)
    code, _ = win32pipe.TransactNamedPipe(pair.client, data, memory, ol)
    assert code == win32pipe.ERROR_IO_PENDING
    del data, memory, _
    assert all(map(alive, watched))
    send(pair.server, b"pong")
    assert win32pipe.GetOverlappedResult(pair.client, ol, True) == 4
    assert not any(map(alive, watched))


def test_a_read_of_a_size_can_be_forgotten(pair: Pair, ol: OVERLAPPED) -> None:
    win32file.ReadFile(pair.server, 100, ol)
    gc.collect()
    others = [bytearray(100) for _ in range(1000)]
    send(pair.client, b"late")
    assert win32pipe.GetOverlappedResult(pair.server, ol, True) == 4
    assert not any(map(any, others))


def test_an_operation_that_is_done_at_once_keeps_nothing(pair: Pair, ol: OVERLAPPED) -> None:
    send(pair.client, b"early")
    memory = Memory(10)
    assert win32file.ReadFile(pair.server, memory, ol) == (0, memory)
    watched = weakref.ref(memory)
    del memory
    assert not alive(watched)


def test_an_operation_that_fails_at_once_keeps_nothing(ol: OVERLAPPED) -> None:
    memory = Memory(10)
    with pytest.raises(win32pipe.error):
        win32file.ReadFile(0, memory, ol)
    watched = weakref.ref(memory)
    del memory
    assert not alive(watched)


def test_a_cancelled_operation_keeps_its_memory_until_it_has_ended(pair: Pair, ol: OVERLAPPED) -> None:
    memory = start_read(pair.server, ol)
    win32file.CancelIo(pair.server)
    with pytest.raises(win32pipe.error) as raised:
        win32pipe.GetOverlappedResult(pair.server, ol, True)
    assert raised.value.winerror == win32pipe.ERROR_OPERATION_ABORTED
    assert not alive(memory)


def test_an_overlapped_that_is_used_again_gives_back_its_old_memory(pair: Pair, ol: OVERLAPPED) -> None:
    first = start_read(pair.server, ol)
    send(pair.client, b"one")
    assert win32pipe.WaitForSingleObject(ol.hEvent, 5000) == win32pipe.WAIT_OBJECT_0
    assert alive(first)
    second = start_read(pair.server, ol)
    assert not alive(first)
    assert alive(second)


def test_a_second_operation_on_an_overlapped_frees_nothing_of_the_first(pair: Pair, ol: OVERLAPPED) -> None:
    first, second = start_read(pair.server, ol), start_read(pair.server, ol)
    assert alive(first)
    assert alive(second)


def test_a_forgotten_overlapped_keeps_its_memory_until_the_operation_ends(pair: Pair) -> None:
    ol = overlapped()
    done = ol.hEvent
    memory = start_read(pair.server, ol)
    structure = weakref.ref(ol._struct)
    del ol
    assert alive(memory)
    assert structure() is not None
    send(pair.client, b"late")
    assert win32pipe.WaitForSingleObject(done, 5000) == win32pipe.WAIT_OBJECT_0
    start_read(pair.server, overlapped())  # the next operation looks who is done
    assert not alive(memory)
    assert structure() is None


def test_a_type_checker_knows_what_is_read_and_what_is_raised(pair: Pair) -> None:
    win32pipe.WriteFile(pair.client, b"1234")
    assert_type(win32pipe.ReadFile(pair.server, 1), tuple[int, bytes])
    assert_type(win32pipe.ReadFile(pair.server, 1, overlapped()), tuple[int, memoryview])
    assert_type(win32pipe.ReadFile(pair.server, bytearray(1), overlapped()), tuple[int, bytearray])
    with pytest.raises(win32pipe.error) as raised:
        win32pipe.SetEvent(0x00AB_CDE0)
    assert assert_type(raised.value.winerror, int) == win32pipe.ERROR_INVALID_HANDLE


def test_the_end_of_a_pipe_is_the_end_of_its_forgotten_operations(pair: Pair) -> None:
    memory = start_read(pair.server, overlapped())
    assert alive(memory)
    pair.server.Close()
    objects.release_orphans()
    assert not alive(memory)


def test_memory_under_way_cannot_be_resized(pair: Pair, ol: OVERLAPPED) -> None:
    memory = bytearray(10)
    win32file.ReadFile(pair.server, memory, ol)
    with pytest.raises(BufferError):
        memory.append(0)


def test_new_memory_holds_nothing_of_old() -> None:
    assert not any(map(any, [win32file.AllocateReadBuffer(4096) for _ in range(100)]))


# What pywin32 loses, or breaks at


def test_a_call_whose_answer_is_too_long_has_the_part_that_was_read(pipe_name: str, background: Background) -> None:
    with calls.create_named_pipe(pipe_name) as server:
        call = background(_raised_by, win32pipe.CallNamedPipe, pipe_name, b"ping", 3, 5000)
        pipes.connect_named_pipe(server, 5)
        assert pipes.read_file(server, 100, 5) == (b"ping", False)
        pipes.write_file(server, b"pong")
        error = call.result(timeout=5)
    assert error.args[:2] == (win32pipe.ERROR_MORE_DATA, "CallNamedPipe")
    assert error.data == b"pon"


def _raised_by(function: Callable[..., object], *arguments: object) -> BaseException:
    try:
        function(*arguments)
    except win32pipe.error as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_result_of_no_overlapped_is_a_type_error(pair: Pair) -> None:
    with pytest.raises(TypeError):
        win32pipe.GetOverlappedResult(pair.server, None, False)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["5", b"5", bytearray(b"5")])
def test_text_is_no_handle(text: Any) -> None:
    for function in (win32pipe.HANDLE, win32pipe.GetNamedPipeInfo, win32pipe.SetEvent, win32pipe.CloseHandle):
        with pytest.raises(TypeError):
            function(text)
    with pytest.raises(TypeError):
        OVERLAPPED().hEvent = text


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**70])
def test_a_number_that_does_not_fit_is_never_cut(pair: Pair, number: int) -> None:
    for numbers in ((number, None, None), (None, number, None), (None, None, number)):
        with pytest.raises(OverflowError):
            win32pipe.SetNamedPipeHandleState(pair.client, *numbers)


def test_a_negative_size_is_a_value_error() -> None:
    for function, arguments in (
        (win32file.ReadFile, (0, -1)),
        (win32file.ReadFile, (0, -1, OVERLAPPED())),
        (win32pipe.TransactNamedPipe, (0, b"", -1)),
        (win32pipe.CallNamedPipe, ("name", b"", -1, 0)),
        (win32file.AllocateReadBuffer, (-1,)),
    ):
        with pytest.raises(ValueError, match=r".+"):
            function(*arguments)


def test_the_last_error_is_the_failing_calls_own(background: Background) -> None:
    """Other threads, and other foreign calls of this one, fail with other codes all the while."""
    stop = create_event()

    def disturb() -> None:
        while not wait(stop, Deadline(0)):
            with pytest.raises(win32pipe.error):
                win32pipe.WaitNamedPipe(r"\\.\pipe\pipectl-test-missing", 1)
            ctypes.set_last_error(12345)

    with stop:
        disturbing = background(disturb)
        codes = {_raised_by(win32pipe.SetEvent, 0x00AB_CDE0).args[0] for _ in range(2000)}
        calls.set_event(stop)
        disturbing.result(timeout=5)
    assert codes == {win32pipe.ERROR_INVALID_HANDLE}


# Handles


def test_a_forgotten_handle_is_closed_without_a_word(pipe_name: str) -> None:
    win32pipe.CreateNamedPipe(pipe_name, win32pipe.PIPE_ACCESS_DUPLEX, 0, 1, 0, 0, 0, None)
    gc.collect()
    with pytest.raises(win32pipe.error) as raised:
        win32pipe.WaitNamedPipe(pipe_name, 1)
    assert raised.value.winerror == win32pipe.ERROR_FILE_NOT_FOUND


def test_the_cores_own_handles_are_taken_and_closed_by_their_owner() -> None:
    event = create_event(signalled=True)
    assert win32pipe.WaitForSingleObject(event, 0) == win32pipe.WAIT_OBJECT_0
    win32pipe.CloseHandle(event)
    assert event.closed
    with pytest.raises(TypeError):
        win32pipe.SetEvent(event)


def test_a_program_that_ends_with_everything_open_ends_quietly(pipe_name: str) -> None:
    program = """
import sys
from pipectl.core import win32pipe
pipe = win32pipe.CreateNamedPipe(sys.argv[1], 0x40000003, 0, 1, 512, 512, 0, win32pipe.SECURITY_ATTRIBUTES())
ol = win32pipe.OVERLAPPED()
ol.hEvent = win32pipe.CreateEvent(None, 1, 0, None)
ol.object = [ol]
assert win32pipe.ConnectNamedPipe(pipe, ol) == win32pipe.ERROR_IO_PENDING
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, pipe_name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, b"")


# Security


def dacl_of(pipe: win32pipe.HANDLE) -> str:
    """Read a pipe's access list back, as SDDL."""
    from pipectl.core.win32 import winapi

    descriptor, text = ctypes.c_void_p(), ctypes.c_void_p()
    winapi.GetSecurityInfo(int(pipe), 6, 4, None, None, None, None, ctypes.byref(descriptor))
    try:
        winapi.ConvertSecurityDescriptorToStringSecurityDescriptorW(descriptor, 1, 4, ctypes.byref(text), None)
        assert text.value is not None
        return ctypes.wstring_at(text.value)
    finally:
        winapi.LocalFree(text)
        winapi.LocalFree(descriptor)


def create(pipe_name: str, sa: "win32pipe.SECURITY_ATTRIBUTES | None") -> win32pipe.HANDLE:
    return win32pipe.CreateNamedPipe(pipe_name, win32pipe.PIPE_ACCESS_DUPLEX, 0, 1, 0, 0, 0, sa)


def test_a_pipe_gets_the_access_list_of_sddl(pipe_name: str) -> None:
    sa = win32pipe.SECURITY_ATTRIBUTES()
    sddl = "D:(A;;FA;;;SY)(A;;0x12019b;;;AU)"
    sa.SECURITY_DESCRIPTOR = win32pipe.ConvertStringSecurityDescriptorToSecurityDescriptor(sddl, 1)
    assert dacl_of(create(pipe_name, sa)) == sddl


@pytest.mark.windows(reason="Wine lets everyone in", claim="W01")
def test_a_pipe_that_keeps_everyone_out_lets_everyone_in_without_its_list(pipe_name: str) -> None:
    sa = win32pipe.SECURITY_ATTRIBUTES()
    sa.SECURITY_DESCRIPTOR = win32pipe.ConvertStringSecurityDescriptorToSecurityDescriptor("D:(A;;FA;;;SY)", 1)
    opening = (win32file.GENERIC_READ | win32file.GENERIC_WRITE, 0, None, 3, 0, None)
    closed = create(pipe_name, sa)
    with pytest.raises(win32pipe.error) as raised:
        win32file.CreateFile(pipe_name, *opening)
    assert raised.value.winerror == win32pipe.ERROR_ACCESS_DENIED
    closed.Close()
    sa.SetSecurityDescriptorDacl(1, None, 0)
    server = create(pipe_name, sa)
    assert win32file.CreateFile(pipe_name, *opening)
    server.Close()


def test_a_descriptor_outlives_its_name(pipe_name: str) -> None:
    sa = win32pipe.SECURITY_ATTRIBUTES()
    sa.SECURITY_DESCRIPTOR = win32pipe.ConvertStringSecurityDescriptorToSecurityDescriptor("D:(A;;FA;;;SY)", 1)
    gc.collect()
    others = [bytes(100) for _ in range(1000)]
    assert dacl_of(create(pipe_name, sa)) == "D:(A;;FA;;;SY)"
    assert others


# O:SY G:SY S:(ML;;NW;;;ME) D:(A;;FA;;;SY), with the offsets of owner, group, system and access list at 4, 8, 12 and 16.
DESCRIPTOR = bytes.fromhex(
    "0100148014000000200000002c00000048000000"
    "010100000000000512000000"
    "010100000000000512000000"
    "02001c0001000000110014000100000001010000000000100020000002001c000100000000001400ff011f00010100000000000512000000"
)


def test_a_descriptor_that_is_whole_is_taken_and_kept() -> None:
    assert bytes(win32pipe.SECURITY_DESCRIPTOR(DESCRIPTOR)) == DESCRIPTOR
    assert bytes(win32pipe.SECURITY_DESCRIPTOR(DESCRIPTOR + b"more")) == DESCRIPTOR + b"more"


@pytest.mark.parametrize("offset", [4, 8, 12, 16])
@pytest.mark.parametrize("value", [4, 19, len(DESCRIPTOR) - 4, len(DESCRIPTOR), 0xFFFFFFFF])
def test_a_descriptor_that_points_elsewhere_is_refused(offset: int, value: int) -> None:
    with pytest.raises(ValueError, match="not a valid"):
        win32pipe.SECURITY_DESCRIPTOR(DESCRIPTOR[:offset] + value.to_bytes(4, "little") + DESCRIPTOR[offset + 4 :])


@pytest.mark.parametrize("length", [0, 1, 19, 20, 25, 51, 60, len(DESCRIPTOR) - 1])
def test_a_descriptor_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="not a valid"):
        win32pipe.SECURITY_DESCRIPTOR(DESCRIPTOR[:length])


def test_a_list_that_is_not_there_may_have_any_offset() -> None:
    control = (0x8000).to_bytes(2, "little")
    changed = DESCRIPTOR[:2] + control + DESCRIPTOR[4:12] + bytes.fromhex("ffffffff" * 2) + DESCRIPTOR[20:]
    assert win32pipe.SECURITY_DESCRIPTOR(changed).GetSecurityDescriptorControl() == (0x8000, 1)


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 2), (3, 0), (21, 0xFF), (33, 0xFF), (46, 0xFF), (74, 0xFF)],
    ids=["revision", "with pointers", "owner's size", "group's size", "system list's size", "access list's size"],
)
def test_a_descriptor_with_a_wrong_byte_is_refused(place: int, value: int) -> None:
    with pytest.raises(ValueError, match="not a valid"):
        win32pipe.SECURITY_DESCRIPTOR(DESCRIPTOR[:place] + bytes([value]) + DESCRIPTOR[place + 1 :])


# The module, and its page


MODULES = ("win32pipe", "win32file", "win32event", "win32con", "win32security", "winerror", "pywintypes", "win32api")


def test_it_can_be_imported_as_each_of_the_modules_that_it_stands_in_for() -> None:
    names: dict[str, Any] = {}
    exec("\n".join(f"import pipectl.core.win32pipe as {module}" for module in MODULES), names)
    assert {names[module] for module in MODULES} == {win32pipe}


CONSTANTS = [name for name in vars(constants) if not name.startswith("_")]
FUNCTIONS = [*functions.__all__, "popen", "popen2", "popen3", "popen4", "error"]


def test_all_names_are_exported() -> None:
    public = {name for name in vars(functions) if name[0].isupper() and hasattr(getattr(functions, name), "__code__")}
    assert len(public) > 30
    assert public <= set(functions.__all__) <= set(dir(win32pipe))
    assert set(CONSTANTS) <= set(dir(win32pipe))
    assert all(hasattr(win32pipe, name) for name in dir(win32pipe))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_on_its_page(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "win32.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_constant_is_a_plain_number(name: str) -> None:
    assert type(getattr(win32pipe, name)) in (int, bool)

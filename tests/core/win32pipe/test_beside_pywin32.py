"""The stand-in in one process with the real pywin32, and without it: errors, objects of each given to the other."""

import copy
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("win32pipe", reason="compares with pywin32")

import pywintypes
import win32api
import win32event
import win32pipe
import win32security

from pipectl.core import win32pipe as ours
from pipectl.core.win32pipe.objects import OVERLAPPED, release_orphans
from tests.runner import run_python

MISSING = r"\\.\pipe\pipectl-test-missing"
SDDL = "D:P(A;;GA;;;SY)(A;;0x12019b;;;AU)"

MAKERS: dict[str, Callable[[Any], Any]] = {
    "HANDLE": lambda api: api.HANDLE(),
    "OVERLAPPED": lambda api: api.OVERLAPPED(),
    "SECURITY_ATTRIBUTES": lambda api: api.SECURITY_ATTRIBUTES(),
    "SECURITY_DESCRIPTOR": lambda api: api.SECURITY_DESCRIPTOR(),
    "ACL": lambda api: api.ACL(),
    "SID": lambda api: api.SID(),
}
COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "the oldest pickle": lambda value: pickle.dumps(value, 0),
    "a copy of a list": lambda value: copy.deepcopy([value]),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_nothing_that_has_an_owner_can_be_copied(make: Callable[[Any], Any], duplicate: Callable[[Any], Any]) -> None:
    messages = []
    for api in (pywintypes, ours):
        with pytest.raises(TypeError) as raised:
            duplicate(make(api))
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


# Errors


def test_there_is_one_type_of_error() -> None:
    assert ours.error is pywintypes.error is win32api.error


# While one thread loads pywin32's module, another asks; the loading goes on when that has an answer, or has none.
_ASKED_TWICE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import SourceFileLoader
from threading import Event
from pipectl.core import win32pipe

sys.modules["pywintypes"] = win32pipe
loading, asked = Event(), Event()
execute = SourceFileLoader.exec_module

def slowly(loader, module):
    if module.__name__ == "pywintypes":
        loading.set()
        asked.wait(0.5)
    execute(loader, module)

def second():
    loading.wait(20)
    try:
        return win32pipe.error
    finally:
        asked.set()

SourceFileLoader.exec_module = slowly
with ThreadPoolExecutor(2) as pool:
    types = pool.submit(getattr, win32pipe, "error"), pool.submit(second)
    print(types[0].result() is types[1].result())
"""


def test_there_is_one_type_of_error_also_for_threads_that_ask_at_once() -> None:
    done = run_python(_ASKED_TWICE)
    assert (done.stderr, done.stdout.strip()) == ("", "True")


def test_each_except_catches_the_errors_of_the_other() -> None:
    with pytest.raises(pywintypes.error) as raised:
        ours.WaitNamedPipe(MISSING, 1)
    assert raised.value.winerror == ours.ERROR_FILE_NOT_FOUND
    with pytest.raises(ours.error):
        win32event.SetEvent(0x00AB_CDE0)


ALONE = """
import re, sys
sys.path[:] = [path for path in sys.path if not re.search(r"site-packages.(win32|pythonwin)", path)]
from pipectl.core import win32pipe
"""


def test_without_pywin32_an_error_has_its_name_and_can_be_pickled() -> None:
    program = (
        ALONE
        + """
import pickle
try:
    win32pipe.WaitNamedPipe("missing", 1)
except win32pipe.error as error:
    loaded = pickle.loads(pickle.dumps(error))
    assert (type(loaded), loaded.args, loaded.winerror) == (win32pipe.error, error.args, error.winerror)
assert not {"pywintypes", "win32api"} & set(sys.modules)
raise win32pipe.error(1, "f", "text")
"""
    )
    done = run_python(program)
    assert done.stderr.splitlines()[-1] == "pywintypes.error: (1, 'f', 'text')"


def test_without_pywin32_an_error_is_what_pywin32s_is() -> None:
    program = ALONE + "for error in (win32pipe.error(), win32pipe.error(1), win32pipe.error(1, 'f', 'text', 'more')):\n"
    program += "    print(error.args, error.winerror, error.funcname, error.strerror, error)"
    expected = [
        f"{error.args} {error.winerror} {error.funcname} {error.strerror} {error}"
        for error in (pywintypes.error(), pywintypes.error(1), pywintypes.error(1, "f", "text", "more"))
    ]
    assert run_python(program).stdout.splitlines() == expected


def test_no_call_that_succeeds_imports_pywin32() -> None:
    program = """
import sys
from pipectl.core import win32pipe
read, write = win32pipe.CreatePipe(win32pipe.SECURITY_ATTRIBUTES(), 0)
win32pipe.WriteFile(write, b"x")
win32pipe.ReadFile(read, 1)
read.Close()
del write
assert not {"pywintypes", "win32api"} & set(sys.modules)
"""
    done = run_python(program)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_last_error_can_be_asked_for() -> None:
    for api, name in ((ours, "ours"), (win32event, "pywin32's")):
        first = api.CreateEvent(None, 1, 0, f"pipectl-test-{name}")
        api.CreateEvent(None, 1, 0, f"pipectl-test-{name}")
        assert (ours if api is ours else win32api).GetLastError() == ours.ERROR_ALREADY_EXISTS
        first.Close()
    with pytest.raises(ours.error):
        ours.SetEvent(0x00AB_CDE0)
    assert ours.GetLastError() == ours.ERROR_INVALID_HANDLE
    ours.SetLastError(5)
    assert ours.GetLastError() == 5


# pywin32's objects, given to the stand-in


def theirs() -> Any:
    return win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(SDDL, 1)


def acl_of(descriptor: Any) -> list[Any]:
    acl = descriptor.GetSecurityDescriptorDacl()
    entries = [acl.GetAce(place) for place in range(acl.GetAceCount())]
    return [(kind, mask, str(sid)) for kind, mask, sid in entries]


def test_pywin32s_descriptor_is_taken() -> None:
    sa = ours.SECURITY_ATTRIBUTES()
    sa.SECURITY_DESCRIPTOR = theirs()
    assert sa.SECURITY_DESCRIPTOR is not None
    assert bytes(sa.SECURITY_DESCRIPTOR) == bytes(theirs())


def test_pywin32s_access_list_and_sid_are_taken() -> None:
    descriptor = ours.SECURITY_DESCRIPTOR()
    descriptor.SetSecurityDescriptorDacl(1, theirs().GetSecurityDescriptorDacl(), 0)
    descriptor.SetSecurityDescriptorOwner(win32security.ConvertStringSidToSid("S-1-5-18"), 0)
    assert acl_of(descriptor) == acl_of(theirs())
    assert str(descriptor.GetSecurityDescriptorOwner()) == "PySID:S-1-5-18"
    acl = ours.ACL()
    acl.AddAccessAllowedAce(2, 1, win32security.ConvertStringSidToSid("S-1-5-18"))
    assert [str(part) for part in acl.GetAce(0)] == ["(0, 0)", "1", "PySID:S-1-5-18"]


def test_pywin32s_security_attributes_are_taken(pipe_name: str) -> None:
    sa = pywintypes.SECURITY_ATTRIBUTES()
    sa.bInheritHandle = 0
    sa.SECURITY_DESCRIPTOR = theirs()
    pipe = ours.CreateNamedPipe(pipe_name, ours.PIPE_ACCESS_DUPLEX, 0, 1, 0, 0, 0, sa)
    found = win32security.GetSecurityInfo(int(pipe), win32security.SE_KERNEL_OBJECT, 4)
    assert acl_of(found) == acl_of(theirs())
    sa.SECURITY_DESCRIPTOR = None
    ours.CreateEvent(sa, 1, 0, None)


@pytest.fixture
def pair(pipe_name: str) -> Any:
    duplex = ours.PIPE_ACCESS_DUPLEX | ours.FILE_FLAG_OVERLAPPED
    server = ours.CreateNamedPipe(pipe_name, duplex, 0, 1, 512, 512, 0, None)
    return server, ours.CreateFile(pipe_name, ours.GENERIC_READ | ours.GENERIC_WRITE, 0, None, 3, 0, None)


def test_pywin32s_overlapped_is_taken_and_kept_until_its_operation_has_ended(pair: Any) -> None:
    server, client = pair
    ol = pywintypes.OVERLAPPED()
    ol.hEvent = win32event.CreateEvent(None, 1, 0, None)
    count = sys.getrefcount(ol)
    code, memory = ours.ReadFile(server, 10, ol)
    assert code == ours.ERROR_IO_PENDING
    assert sys.getrefcount(ol) > count
    ours.WriteFile(client, b"late")
    assert win32event.WaitForSingleObject(ol.hEvent, 5000) == ours.WAIT_OBJECT_0
    assert ours.GetOverlappedResult(server, ol, True) == win32pipe.GetOverlappedResult(int(server), ol, True) == 4
    assert bytes(memory[:4]) == b"late"
    assert sys.getrefcount(ol) == count
    assert not OVERLAPPED._orphans


def test_two_operations_of_pywin32s_overlapped_each_keep_their_memory(pair: Any) -> None:
    server, client = pair
    ol = pywintypes.OVERLAPPED()
    memories = [ours.ReadFile(server, size, ol)[1] for size in (2, 2)]
    assert [len(loans) for _, loans in OVERLAPPED._orphans.values()] == [2]
    client.Close()
    server.Close()
    release_orphans()
    assert not OVERLAPPED._orphans
    assert len(memories) == 2


def test_a_wrong_object_is_refused_as_before(pair: Any) -> None:
    for value in (5, object(), pywintypes.HANDLE()):
        with pytest.raises(TypeError, match="The object is not a PyOVERLAPPED object"):
            ours.ReadFile(pair[0], 10, value)  # type: ignore[arg-type]


# The stand-in's objects, given to pywin32


def test_an_overlapped_that_comes_out_of_pywin32s_completion_port_does_no_harm(pipe_name: str) -> None:
    program = """
import sys
import win32file
from pipectl.core import win32pipe
server = win32pipe.CreateNamedPipe(sys.argv[1], 0x40000003, 0, 1, 512, 512, 0, None)
port = win32file.CreateIoCompletionPort(int(server), None, 7, 0)
client = win32pipe.CreateFile(sys.argv[1], -0x40000000, 0, None, 3, 0, None)
for _ in range(100):
    ol = win32pipe.OVERLAPPED()
    win32pipe.WriteFile(server, b"x", ol)
    try:
        print(win32file.GetQueuedCompletionStatus(port, 5000))
    except RuntimeError:
        continue
    break
else:
    print("refused")
"""
    done = run_python(program, pipe_name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")


# In pywin32's place


@pytest.mark.parametrize("module", ["pythoncom", "win32api", "win32console", "win32gui"])
def test_pywin32s_other_modules_import_while_pywintypes_is_ours(module: str) -> None:
    program = f"""
import sys
from pipectl.core import win32pipe
sys.modules["pywintypes"] = win32pipe
import {module}
assert sys.modules["pywintypes"] is win32pipe
assert {module}.error is win32pipe.error or {module}.__name__ == "pythoncom"
"""
    done = run_python(program)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_pywin32_its_other_modules_cannot_be_had() -> None:
    program = (
        ALONE
        + """
try:
    win32pipe.__import_pywin32_system_module__("pythoncom", {})
except ImportError as error:
    print(error)
"""
    )
    assert "pythoncom" in run_python(program).stdout

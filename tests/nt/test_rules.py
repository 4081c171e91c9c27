"""Rules of NT for named pipes that Wine lacks; they hold on Windows, and on the server of `dev.py test --strict`.

The numbers are those of scripts/setup_/strict_edits.py, which names the sources.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from pipectl.core.constants import Access, OpenMode, PipeMode, WinError
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError
from pipectl.core.security.descriptors import SecurityAttributes, security_attributes
from pipectl.core.win32 import winapi
from pipectl.core.win32.calls import create_file, create_named_pipe, wait_named_pipe
from pipectl.core.win32.overlapped import Overlapped
from pipectl.core.win32.queries import get_local_info, set_named_pipe_handle_state
from tests.pipes import disconnect_named_pipe, read_file, write_file


def _code(function: Callable[..., Any], *arguments: Any, **options: Any) -> int | None:
    """Return the code of the error that a call raises."""
    with pytest.raises(PipeError) as raised:
        function(*arguments, **options)
    return raised.value.winerror


def _for_everyone(rights: Access) -> SecurityAttributes:
    """Return the security of a pipe on which everyone, and its owner no less, has these rights alone."""
    return security_attributes(f"D:(A;;{rights.value:#x};;;WD)")


# ---- N1 and N2: what is left of an instance whose server's end is closed --------------------------------------------


@pytest.mark.strict(rule="N1")
def test_an_instance_counts_until_its_client_has_closed_too(pipe_name: str) -> None:
    with create_named_pipe(pipe_name, max_instances=1) as server, create_file(pipe_name):
        server.close()
        assert _code(create_named_pipe, pipe_name, max_instances=1) == WinError.PIPE_BUSY
    create_named_pipe(pipe_name, max_instances=1).close()


@pytest.mark.strict(rule="N1")
def test_the_count_of_instances_has_those_that_only_a_client_holds(pipe_name: str) -> None:
    with (
        create_named_pipe(pipe_name) as server,
        create_file(pipe_name) as client,
        create_named_pipe(pipe_name) as other,
    ):
        server.close()
        assert get_local_info(other).current_instances == 2
        client.close()
        assert get_local_info(other).current_instances == 1


def test_a_client_that_was_disconnected_keeps_no_instance(pipe_name: str) -> None:
    with create_named_pipe(pipe_name, max_instances=1) as server, create_file(pipe_name):
        disconnect_named_pipe(server)
        server.close()
        create_named_pipe(pipe_name, max_instances=1).close()


@pytest.mark.strict(rule="N2")
def test_a_pipe_that_only_a_client_holds_can_be_waited_for(pipe_name: str) -> None:
    with create_named_pipe(pipe_name) as server, create_file(pipe_name) as client:
        server.close()
        assert _code(wait_named_pipe, pipe_name, 0.01) == WinError.SEM_TIMEOUT
        client.close()
        assert _code(wait_named_pipe, pipe_name, 0.01) == WinError.FILE_NOT_FOUND


def test_a_pipe_that_only_a_client_holds_is_not_found_by_an_open(pipe_name: str) -> None:
    with create_named_pipe(pipe_name) as server, create_file(pipe_name):
        server.close()
        assert _code(create_file, pipe_name) == WinError.FILE_NOT_FOUND


# ---- N4: what an open asks, and in which order ----------------------------------------------------------------------


@pytest.mark.strict(rule="N4")
def test_an_access_list_is_asked_before_an_instance_is_looked_for(pipe_name: str) -> None:
    with (
        create_named_pipe(pipe_name, security=_for_everyone(Access.FILE_GENERIC_READ)),
        create_file(pipe_name, Access.GENERIC_READ),  # takes the only instance
    ):
        assert _code(create_file, pipe_name) == WinError.ACCESS_DENIED
        assert _code(create_file, pipe_name, Access.GENERIC_READ) == WinError.PIPE_BUSY


@pytest.mark.strict(rule="N4")
def test_a_direction_is_checked_before_an_instance_is_looked_for(pipe_name: str) -> None:
    mode = OpenMode.OUTBOUND | OpenMode.OVERLAPPED
    with create_named_pipe(pipe_name, mode), create_file(pipe_name, Access.GENERIC_READ):
        assert _code(create_file, pipe_name, Access.GENERIC_WRITE) == WinError.ACCESS_DENIED
        assert _code(create_file, pipe_name, Access.GENERIC_READ) == WinError.PIPE_BUSY


def test_a_client_that_writes_needs_no_right_to_create_instances(pipe_name: str) -> None:
    with create_named_pipe(pipe_name, security=_for_everyone(Access.PIPE_CLIENT)):
        create_file(pipe_name, Access.DUPLEX).close()


@pytest.mark.parametrize("rights", [Access.GENERIC_ALL, Access.DUPLEX])
def test_generic_rights_in_a_list_are_those_of_files(pipe_name: str, rights: Access) -> None:
    with create_named_pipe(pipe_name, security=_for_everyone(rights)):
        create_named_pipe(pipe_name).close()
        create_file(pipe_name, Access.DUPLEX).close()


# ---- N5: a further instance -----------------------------------------------------------------------------------------


@pytest.mark.strict(rule="N5")
def test_a_further_instance_needs_the_right_to_it_in_the_first_list(pipe_name: str) -> None:
    everything = _for_everyone(Access.FILE_ALL_ACCESS)
    with create_named_pipe(pipe_name, security=_for_everyone(Access.PIPE_CLIENT)):
        assert _code(create_named_pipe, pipe_name, security=everything) == WinError.ACCESS_DENIED


def test_the_list_of_a_further_instance_is_ignored(pipe_name: str) -> None:
    with create_named_pipe(pipe_name, security=_for_everyone(Access.FILE_ALL_ACCESS)):
        create_named_pipe(pipe_name, security=_for_everyone(Access.PIPE_CLIENT)).close()
        create_named_pipe(pipe_name).close()


# ---- N6: setting the mode of a handle -------------------------------------------------------------------------------


@pytest.mark.strict(rule="N6")
def test_a_handle_that_may_only_read_cannot_set_its_mode(pipe_name: str) -> None:
    with create_named_pipe(pipe_name), create_file(pipe_name, Access.GENERIC_READ) as client:
        assert _code(set_named_pipe_handle_state, client, PipeMode.READ_MESSAGE) == WinError.ACCESS_DENIED


def test_a_reader_with_the_right_to_write_attributes_sets_its_mode(pipe_name: str) -> None:
    access = Access.GENERIC_READ | Access.FILE_WRITE_ATTRIBUTES
    with create_named_pipe(pipe_name), create_file(pipe_name, access) as client:
        set_named_pipe_handle_state(client, PipeMode.READ_MESSAGE)


# ---- N7: names below the name of a pipe -----------------------------------------------------------------------------


@pytest.mark.strict(rule="N7")
@pytest.mark.parametrize("end", [r"\below", r"\far\below"])
def test_a_name_below_that_of_a_pipe_is_invalid(pipe_name: str, end: str) -> None:
    with create_named_pipe(pipe_name):
        assert _code(create_file, pipe_name + end) == WinError.INVALID_NAME
        assert _code(create_named_pipe, pipe_name.upper() + end) == WinError.INVALID_NAME
    assert _code(create_file, pipe_name + end) == WinError.FILE_NOT_FOUND


def test_a_pipe_below_a_name_that_becomes_a_pipe_can_still_be_opened(pipe_name: str) -> None:
    with create_named_pipe(rf"{pipe_name}\below"), create_named_pipe(pipe_name):
        create_file(rf"{pipe_name}\below").close()
        create_file(pipe_name).close()


# ---- N19: which instance a client gets ------------------------------------------------------------------------------


@pytest.mark.strict(rule="N19")
def test_an_instance_that_is_used_again_keeps_its_place(pipe_name: str) -> None:
    with create_named_pipe(pipe_name) as first, create_named_pipe(pipe_name) as second:
        create_file(pipe_name).close()
        disconnect_named_pipe(first)
        with Overlapped(first) as operation:
            operation.start(winapi.ConnectNamedPipe)
            with create_file(pipe_name):
                assert (get_local_info(first).state, get_local_info(second).state) == ("connected", "listening")
                operation.result(Deadline(5))


# ---- N21: what the writer learns of the reader ----------------------------------------------------------------------


@pytest.mark.strict(rule="N21")
def test_the_quota_of_a_writer_is_whole_again_when_all_is_read(pipe_name: str) -> None:
    with create_named_pipe(pipe_name, out_buffer_size=4096) as server, create_file(pipe_name) as client:
        whole = get_local_info(server).outbound_quota
        assert get_local_info(server).write_quota_available == whole > 0
        write_file(server, bytes(100))
        assert get_local_info(server).write_quota_available < whole
        read_file(client, 60)
        assert get_local_info(server).write_quota_available < whole
        read_file(client, 40)
        assert get_local_info(server).write_quota_available == whole


@pytest.mark.strict(rule="N21")
def test_a_read_that_has_ended_uses_no_quota(pipe_name: str) -> None:
    with (
        create_named_pipe(pipe_name, out_buffer_size=4096) as server,
        create_file(pipe_name) as client,
        Overlapped(client) as operation,
    ):
        operation.start(winapi.ReadFile, ctypes.create_string_buffer(50), 50, None)
        write_file(server, b"answer")
        operation.result(Deadline(5))
        assert get_local_info(server).write_quota_available == get_local_info(server).outbound_quota

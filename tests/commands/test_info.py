"""`pipectl info`: all that can be known of a pipe, and what can be known without opening it."""

import os
import sys
from contextlib import ExitStack

import pytest

from pipectl.core.constants import OpenMode, PipeMode
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.security.accounts import current_user_sid
from pipectl.core.security.descriptors import security_attributes
from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import connect_named_pipe
from tests.runner import Pipectl


def echo(_client: Client, data: bytes) -> bytes:
    return data


def test_it_tells_how_the_pipe_was_made(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name, max_instances=3, out_buffer_size=1024, in_buffer_size=2048):
        told = pipectl("info", pipe_name, "--json").object
    assert (told["schema"], told["pipe"], told["type"]) == (1, pipe_name, "message")
    assert (told["instances"], told["max_instances"]) == (1, 3)
    assert (told["out_buffer_size"], told["in_buffer_size"]) == (1024, 2048)
    assert (told["handle"]["read_mode"], told["handle"]["wait_mode"]) == ("byte", "wait")


@pytest.mark.parametrize(
    ("mode", "direction"), [(OpenMode.INBOUND, "inbound"), (OpenMode.OUTBOUND, "outbound"), (OpenMode.DUPLEX, "duplex")]
)
def test_a_pipe_of_any_direction_is_told(pipe_name: str, pipectl: Pipectl, mode: OpenMode, direction: str) -> None:
    with create_named_pipe(pipe_name, mode, PipeMode.TYPE_BYTE):
        told = pipectl("info", pipe_name, "--json").object
    assert (told["type"], told["direction"]) == ("byte", direction)


def test_the_greatest_number_of_instances_is_no_limit(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        told = pipectl("info", pipe_name, "--json").object
    assert told["unlimited"] is True
    assert "max_instances" not in told


def test_it_tells_the_server(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        server = pipectl("info", pipe_name, "--json").object["server"]
    assert (server["pid"], server["image"]) == (os.getpid(), sys.executable)
    assert server["user"].rpartition("\\")[2] == os.environ["USERNAME"]
    assert isinstance(server["session"], int)


def test_it_tells_who_may_open_the_pipe_in_words_and_as_sddl(pipe_name: str, pipectl: Pipectl) -> None:
    security = security_attributes(f"D:P(A;;GA;;;{current_user_sid()})(A;;0x12019b;;;BU)")
    with create_named_pipe(pipe_name, security=security):
        told = pipectl("info", pipe_name, "--json").object["security"]
    assert told["access"][0].endswith(": full control")
    assert told["access"][1].startswith("Users: ")
    assert told["sddl"].partition("D:")[2].startswith("P(A;;GA;;;")


def test_it_ends_with_what_its_user_may_do(pipe_name: str, pipectl: Pipectl) -> None:
    security = security_attributes(f"D:P(A;;GA;;;{current_user_sid()})")
    with PipeServer(pipe_name, echo, config=PipeConfig(security=security)):
        assert pipectl("info", pipe_name, "--json").object["you_may"] == "full control"
        last = pipectl("info", pipe_name).text.splitlines()[-1]
    assert last.split(maxsplit=2) == ["you", "may", "full control"]


def test_the_one_instance_of_a_pipe_is_given_back(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)):
        for _ in range(3):
            assert pipectl("info", pipe_name).exit_code == 0


def test_a_busy_pipe_is_exit_code_4(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)), connect(pipe_name):
        assert pipectl("info", pipe_name, "--timeout", "0.1").exit_code == 4


def test_an_absent_pipe_is_exit_code_3(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("info", pipe_name).exit_code == 3
    assert pipectl("info", pipe_name, "--no-open").exit_code == 3


def test_without_opening_it_tells_whether_it_is_free(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name, max_instances=1) as server, ExitStack() as stack:
        assert pipectl("info", pipe_name, "--no-open", "--json").object["is"] == "free"
        stack.enter_context(connect(pipe_name))
        connect_named_pipe(server, 0)  # it is this client that has come, and no other before it
        assert pipectl("info", pipe_name, "--no-open", "--json").object["is"] == "busy"


def test_another_server_than_expected_is_exit_code_8(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        assert pipectl("info", pipe_name, "--expect-exe", "other.exe").exit_code == 8


def test_plain_columns_are_written_to_a_file(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        lines = pipectl("info", pipe_name).text.splitlines()
    assert lines[0].split() == ["pipe", pipe_name]
    assert len({line.index(line.split("  ")[-1].strip()) for line in lines[:9]}) == 1

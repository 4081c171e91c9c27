"""`pipectl state`: how a handle reads and waits, before and after."""

import itertools

import pytest

from pipectl.core.constants import OpenMode, PipeMode
from pipectl.core.inventory import details
from pipectl.core.pipe.connection import connect
from pipectl.core.win32.calls import create_named_pipe
from tests.runner import Pipectl


def test_a_new_handle_reads_bytes_and_waits(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name):
        told = pipectl("state", pipe_name, "--json").object
    assert (told["pipe"], told["read_mode"], told["wait_mode"], told["instances"]) == (pipe_name, "byte", "wait", 1)


@pytest.mark.parametrize(
    ("options", "after"),
    [
        (["--read-mode", "message"], ("message", "wait")),
        (["--read-mode", "byte"], ("byte", "wait")),
        (["--wait-mode", "nowait"], ("byte", "nowait")),
        (["--read-mode", "message", "--wait-mode", "nowait"], ("message", "nowait")),
    ],
    ids=repr,
)
def test_it_is_set_and_before_and_after_are_told(
    pipe_name: str, pipectl: Pipectl, options: list[str], after: tuple[str, str]
) -> None:
    with create_named_pipe(pipe_name):
        told = pipectl("state", pipe_name, "--json", *options).object
    assert (told["before"]["read_mode"], told["before"]["wait_mode"]) == ("byte", "wait")
    assert (told["after"]["read_mode"], told["after"]["wait_mode"]) == after


def test_the_state_alone_has_one_shape_however_many_instances_come(
    pipe_name: str, pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = itertools.count(1)
    told = details.handle_state
    monkeypatch.setattr(details, "handle_state", lambda pipe: {**told(pipe), "instances": next(instances)})
    with create_named_pipe(pipe_name):
        assert pipectl("state", pipe_name, "--json").object["instances"] == 1


def test_message_mode_on_a_byte_pipe_is_exit_code_9(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_BYTE):
        result = pipectl("state", pipe_name, "--read-mode", "message")
    assert (result.exit_code, result.stdout) == (9, b"")
    assert "message pipe" in result.stderr


@pytest.mark.parametrize("direction", [OpenMode.INBOUND, OpenMode.OUTBOUND], ids=["inbound", "outbound"])
def test_a_pipe_of_one_direction_has_a_state_too(pipe_name: str, pipectl: Pipectl, direction: OpenMode) -> None:
    with create_named_pipe(pipe_name, direction):
        assert pipectl("state", pipe_name).exit_code == 0


def test_plain_columns_are_written_to_a_file(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name):
        lines = pipectl("state", pipe_name).text.splitlines()
    assert lines[0].split() == ["pipe", pipe_name]
    assert lines[1].split() == ["read", "mode", "byte"]


def test_absent_and_busy_pipes_have_their_exit_codes(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("state", pipe_name).exit_code == 3
    with create_named_pipe(pipe_name, max_instances=1), connect(pipe_name):
        assert pipectl("state", pipe_name, "--timeout", "0").exit_code == 4


@pytest.mark.windows(reason="Wine takes collection values for a local pipe")
def test_collection_values_of_a_local_pipe_are_exit_code_9(pipe_name: str, pipectl: Pipectl) -> None:
    with create_named_pipe(pipe_name):
        assert pipectl("state", pipe_name, "--collect-count", "100").exit_code == 9

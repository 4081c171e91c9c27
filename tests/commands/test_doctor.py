"""`pipectl doctor`: the verdict on pipes of real servers, in processes of their own."""

import gc
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipectl.core.checks import doctor_facts
from pipectl.core.checks.doctor_facts import Question, examine, gather
from pipectl.core.checks.doctor_model import Opening
from pipectl.core.constants import OpenMode
from pipectl.core.errors import error_for
from pipectl.core.inventory import directory
from pipectl.core.models import PipeEntry
from pipectl.core.pipe import connection
from pipectl.core.pipe.availability import Availability, probe
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.server import PipeServer
from pipectl.core.security.descriptors import pipe_security, security_attributes
from pipectl.core.win32.calls import create_file, create_named_pipe
from tests.nt.layer import RefusedProcesses, SilentComputer, SlowNames
from tests.runner import Holding, Pipectl, Running

Found = dict[str, Any]


def echo(_client: object, data: bytes) -> bytes:
    """Answer."""
    return data


def statuses(found: Found) -> dict[str, str]:
    """What came of each check."""
    return {check["id"]: check["status"] for check in found["checks"]}


def text_of(found: Found, check: str) -> str:
    """What a check says."""
    (text,) = [one["text"] for one in found["checks"] if one["id"] == check]
    return str(text)


@pytest.fixture
def other_program() -> Iterator[Any]:
    """Start the same holder in another program: the Python without a console."""
    started: list[Running] = []

    def start(role: str, pipe: str) -> Running:
        program = str(Path(sys.executable).with_name("pythonw.exe"))
        started.append(Running([program, "-m", "tests.core.inventory.programs.ends", role, pipe]))
        started[-1].wrote()
        return started[-1]

    yield start
    for process in started:
        process.kill()


# What can be opened


def test_a_pipe_that_can_be_opened_is_exit_code_0(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    server, _ = holding("listen", pipe_name, "2")
    result = pipectl("doctor", pipe_name, "--json")
    found = result.object
    assert (result.exit_code, found["verdict"], found["exit_code"]) == (0, "ok", 0)
    assert {*statuses(found).values()} == {"ok", "skipped"}
    assert text_of(found, "server").startswith(f"process {server.pid}, {Path(sys.executable).name}")
    assert "fix" not in found


def test_a_table_ends_with_the_verdict_and_what_to_try(pipe_name: str, pipectl: Pipectl) -> None:
    result = pipectl("doctor", pipe_name)
    *_, problem, verdict, fix = result.text.splitlines()
    assert problem.split()[:2] == ["exists", "PROBLEM"]
    assert verdict == "verdict: there is no such pipe"
    assert fix.startswith("fix: See which pipes exist: `pipectl list`")
    assert (result.exit_code, result.stderr) == (3, "")


def test_details_and_what_was_skipped_are_shown_with_verbose(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo):
        short, long = (pipectl("doctor", pipe_name, *options).text for options in ([], ["-v"]))
    assert "\nanswer" not in short
    assert "\nanswer  not checked  nothing was sent\n" in long
    assert long.count("\n") > short.count("\n") + 2


def test_the_pipe_is_opened_once_and_only_if_it_may_be(
    pipe_name: str, pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = connection.open_pipe

    def open_pipe(pipe: str, *arguments: Any, **options: Any) -> Any:
        opened.append(pipe)
        return real(pipe, *arguments, **options)

    monkeypatch.setattr(doctor_facts, "open_pipe", open_pipe)
    with PipeServer(pipe_name, echo):
        for options in (["--no-open"], ["--as", "users"], ["--serve"]):
            pipectl("doctor", pipe_name, *options)
        assert opened == []
        assert pipectl("doctor", pipe_name).exit_code == 0
    assert opened == [pipe_name]


def test_without_opening_a_single_instance_stays_free(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    holding("listen", pipe_name, "1", "duplex", "message", "1")
    assert pipectl("doctor", pipe_name, "--no-open").exit_code == 10  # Wine hides the default access list
    assert probe(pipe_name) is Availability.FREE
    pipectl("doctor", pipe_name)
    assert probe(pipe_name) is Availability.BUSY


def test_a_reply_is_waited_for_only_if_something_is_asked(pipe_name: str, pipectl: Pipectl) -> None:
    received: list[bytes] = []

    def answer(_client: object, data: bytes) -> bytes:
        received.append(data)
        return data

    with PipeServer(pipe_name, answer):
        quiet = pipectl("doctor", pipe_name, "--json").object
        assert (statuses(quiet)["answer"], received) == ("skipped", [])
        asked = pipectl("doctor", pipe_name, "--ask", "hello", "--json").object
    assert (statuses(asked)["answer"], received) == ("ok", [b"hello"])


# What cannot


def test_a_near_name_is_proposed(pipe_name: str, pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch) -> None:
    name = pipe_name.removeprefix("\\\\.\\pipe\\")
    monkeypatch.setattr(directory, "list_pipes", lambda: [PipeEntry(f"{name}x", 1, None)])
    found = pipectl("doctor", pipe_name, "--json").object
    assert (found["verdict"], found["cause"], found["exit_code"]) == ("absent", "near-name", 3)
    assert found["fix"]["command"] == f"pipectl doctor {name}x"


def test_a_full_pipe_is_told_with_its_client(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    holding("listen", pipe_name, "1", "duplex", "message", "1")
    client, _ = holding("connect", pipe_name)
    result = pipectl("doctor", pipe_name, "--json")
    found = result.object
    assert (result.exit_code, found["verdict"], found["cause"]) == (4, "busy", "full")
    assert f"process {client.pid}, {Path(sys.executable).name}" in found["summary"]
    assert statuses(found)["open"] == "problem"


def test_a_client_that_has_left_unnoticed_is_told(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    holding("left", pipe_name)
    found = pipectl("doctor", pipe_name, "--json").object
    assert (found["exit_code"], found["cause"]) == (4, "client-left")


def test_a_server_that_does_not_wait_for_the_next_client_is_told(pipe_name: str, pipectl: Pipectl) -> None:
    from tests.pipes import disconnect_named_pipe

    with create_named_pipe(pipe_name, max_instances=1) as server:
        create_file(pipe_name).close()
        disconnect_named_pipe(server)
        found = pipectl("doctor", pipe_name, "--json").object
    assert (found["exit_code"], found["cause"]) == (4, "not-listening")


@pytest.mark.strict(rule="N2")
def test_a_name_that_a_client_keeps_is_absent_and_told_with_the_client(
    pipe_name: str, pipectl: Pipectl, holding: Holding
) -> None:
    with create_named_pipe(pipe_name):
        client, _ = holding("connect", pipe_name)
    found = pipectl("doctor", pipe_name, "--json").object
    assert (found["exit_code"], found["cause"]) == (3, "name-kept")
    assert found["fix"]["command"] == f"taskkill /PID {client.pid}"


@pytest.mark.strict(rule="N4")
def test_a_denial_of_the_system_is_what_the_access_list_says(pipe_name: str, pipectl: Pipectl) -> None:
    security = security_attributes("D:P(A;;0x120089;;;WD)")
    with create_named_pipe(pipe_name, security=security):
        denied = pipectl("doctor", pipe_name, "--json").object
        assert pipectl("doctor", pipe_name, "--mode", "read").exit_code == 0
    assert (denied["exit_code"], denied["cause"]) == (5, "not-in-list")
    assert (statuses(denied)["access"], statuses(denied)["open"]) == ("problem", "note")
    with create_named_pipe(pipe_name, security=security_attributes(denied["fix"]["sddl"])):
        assert pipectl("doctor", pipe_name).exit_code == 0


@pytest.mark.parametrize(("direction", "mode"), [("inbound", "write"), ("outbound", "read")])
def test_a_one_way_pipe_opens_in_its_direction_alone(
    pipe_name: str, pipectl: Pipectl, holding: Holding, direction: str, mode: str
) -> None:
    holding("listen", pipe_name, "2", direction)
    both = pipectl("doctor", pipe_name, "--json").object
    assert (both["exit_code"], both["cause"]) == (5, "direction")
    assert both["fix"]["command"].endswith(f"--mode {mode}")
    assert statuses(both)["open"] == "note"  # Windows says so too
    assert pipectl("doctor", pipe_name, "--mode", mode).exit_code == 0


def test_a_server_that_does_not_read_is_told_and_not_opened(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    server, _ = holding("listen", pipe_name, "2")
    holding("connect", pipe_name, "1", "1234")
    found = pipectl("doctor", pipe_name, "--json").object
    assert (found["exit_code"], found["verdict"], found["cause"]) == (6, "stuck", "not-reading")
    assert f"4 bytes unread for process {server.pid}" in found["summary"]
    assert statuses(found)["open"] == "skipped"


def test_no_reply_in_time_is_exit_code_6(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, lambda _client, _data: None):
        found = pipectl("doctor", pipe_name, "--ask", "x", "--timeout", "2", "--json").object
    assert (found["exit_code"], found["cause"]) == (6, "no-reply")


def test_a_server_that_has_ended_is_told_with_the_child_that_keeps_its_pipe(
    pipe_name: str, pipectl: Pipectl, holding: Holding
) -> None:
    parent, child = holding("bequeath", pipe_name)
    parent.crash()
    found = pipectl("doctor", pipe_name, "--json").object
    assert (found["exit_code"], found["verdict"], found["cause"]) == (7, "ended", "server-ended")
    assert found["fix"]["command"] == f"taskkill /F /PID {child}"


def test_different_programs_that_serve_one_name_are_exit_code_8(
    pipe_name: str, pipectl: Pipectl, holding: Holding, other_program: Any
) -> None:
    holding("listen", pipe_name)
    other = other_program("listen", pipe_name)
    found = pipectl("doctor", pipe_name, "--json").object
    assert (found["exit_code"], found["verdict"], found["cause"]) == (8, "mismatch", "servers-differ")
    assert f"process {other.pid}, pythonw.exe" in found["summary"]


@pytest.mark.parametrize(
    ("kind", "needed", "code"), [("byte", "message", 9), ("message", "byte", 9), ("byte", "byte", 0)]
)
def test_a_pipe_of_another_type_than_is_needed_is_exit_code_9(
    pipe_name: str, pipectl: Pipectl, holding: Holding, kind: str, needed: str, code: int
) -> None:
    holding("listen", pipe_name, "2", "duplex", kind)
    assert pipectl("doctor", pipe_name, "--type", needed).exit_code == code


def test_a_suspended_server_is_told(
    pipe_name: str, pipectl: Pipectl, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = holding("listen", pipe_name)
    monkeypatch.setattr(doctor_facts, "suspended_processes", lambda: frozenset((server.pid,)))
    found = pipectl("doctor", pipe_name, "--json").object
    assert (found["exit_code"], found["cause"]) == (6, "suspended")
    assert statuses(found)["open"] == "skipped"


# Access


def test_an_access_list_is_read_from_another_process_and_judged(pipe_name: str, pipectl: Pipectl, running: Any) -> None:
    server = running("serve", pipe_name, "--echo", "--allow", "me")
    assert "serving" in server.said()
    mine = pipectl("doctor", pipe_name, "--no-open", "--json")
    assert (mine.exit_code, statuses(mine.object)["access"]) == (0, "ok")
    for who, cause in (("users", "not-in-list"), ("anonymous", "integrity")):
        result = pipectl("doctor", pipe_name, "--as", who, "--json")
        assert (result.exit_code, result.object["cause"]) == (5, cause)
        assert result.object["fix"]["sddl"].startswith("D:P(")
        assert result.object["asked"] == {"mode": "duplex", "as": who, "serve": False}


def test_another_process_is_asked_about_by_its_number(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(security=pipe_security(["me"]).attributes)):
        found = pipectl("doctor", pipe_name, "--as", f"pid:{os.getpid()}", "--json").object
    assert (statuses(found)["access"], found["exit_code"]) == ("ok", 0)


@pytest.mark.parametrize("who", ["nobody at all", "pid:x", "S-1-x"])
def test_an_unknown_account_is_a_usage_error(pipe_name: str, pipectl: Pipectl, who: str) -> None:
    assert pipectl("doctor", pipe_name, "--as", who).exit_code == 2


@pytest.mark.usefixtures("monkeypatch")  # what is refused is refused in this process
def test_processes_that_may_not_be_looked_into_are_said_and_not_guessed(
    pipe_name: str, pipectl: Pipectl, holding: Holding
) -> None:
    holding("listen", pipe_name)
    with RefusedProcesses():
        found = pipectl("doctor", pipe_name, "--no-open", "--json").object
    assert (found["exit_code"], found["verdict"], found["cause"]) == (10, "partial", "not-seen")
    unknown = {check for check, status in statuses(found).items() if status == "unknown"}
    assert unknown == {"server", "access", "flow", "kind"}
    assert "could not be inspected" in text_of(found, "server")


@pytest.mark.usefixtures("monkeypatch")  # what is refused is refused in this process
def test_what_a_plain_user_may_not_see_is_asked_of_the_pipe(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    server, _ = holding("listen", pipe_name, "2")
    with RefusedProcesses():
        found = pipectl("doctor", pipe_name, "--json").object
    assert (found["exit_code"], found["verdict"]) == (0, "ok")
    assert text_of(found, "server").startswith(f"process {server.pid}")
    assert text_of(found, "kind") == "a message pipe"


# To make it


def test_a_free_name_can_be_served(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("doctor", pipe_name, "--serve").exit_code == 0


def test_a_name_that_is_served_already_is_told_with_its_server(
    pipe_name: str, pipectl: Pipectl, holding: Holding
) -> None:
    server, _ = holding("listen", pipe_name)
    found = pipectl("doctor", pipe_name, "--serve", "--json").object
    assert (found["exit_code"], found["cause"]) == (5, "taken")
    assert f"process {server.pid}" in found["summary"]


def test_a_pipe_with_all_its_instances_is_busy_for_a_server(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    holding("listen", pipe_name, "2", "duplex", "message", "2")
    found = pipectl("doctor", pipe_name, "--serve", "--json").object
    assert (found["exit_code"], found["cause"]) == (4, "most-instances")


def test_a_server_needs_the_right_to_add_instances(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(security=pipe_security(["users"]).attributes)):
        found = pipectl("doctor", pipe_name, "--serve", "--as", "users", "--json").object
    assert (found["exit_code"], found["cause"]) == (5, "no-instance-right")


# Another computer


def test_a_computer_that_does_not_answer_takes_no_longer_than_the_time_limit(
    pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch, late: float
) -> None:
    monkeypatch.setattr(doctor_facts, "_resolves", lambda _host: True)
    monkeypatch.setattr(doctor_facts, "_answers", lambda _host: False)
    begun = time.perf_counter()
    with SilentComputer():
        found = pipectl("doctor", r"\\host\pipe\svc", "--timeout", "1", "--json").object
    assert time.perf_counter() - begun < 1 + 3 * late
    assert (found["exit_code"], found["cause"]) == (3, "no-smb")


def test_a_refusal_by_another_computer_is_told_by_its_code(pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_facts, "_resolves", lambda _host: True)
    monkeypatch.setattr(doctor_facts, "_answers", lambda _host: True)

    def refuse(*_arguments: object, **_options: object) -> None:
        raise error_for(1385, "refused", "CreateFileW", r"\\host\pipe\svc")

    monkeypatch.setattr(doctor_facts, "open_pipe", refuse)
    found = pipectl("doctor", r"\\host\pipe\svc", "--json").object
    assert (found["exit_code"], found["verdict"], found["fix"]["command"]) == (5, "denied", "secpol.msc")


# What it costs, and leaves


def test_no_handle_is_left(pipe_name: str, handle_count: Any, holding: Holding) -> None:
    holding("listen", pipe_name, "9")
    examine(Question(pipe_name))
    gc.collect()  # what tests before have left
    before = handle_count()
    for _ in range(3):
        examine(Question(pipe_name))
    assert handle_count() <= before


@pytest.mark.usefixtures("monkeypatch")  # the names are slow in this process
def test_names_that_take_long_keep_nobody_from_the_verdict(pipe_name: str, pipectl: Pipectl, late: float) -> None:
    security = pipe_security(["S-1-5-21-1-2-3-1001"]).attributes
    with PipeServer(pipe_name, echo, config=PipeConfig(security=security)), SlowNames():
        begun = time.perf_counter()
        result = pipectl("doctor", pipe_name, "--timeout", "1", "-v", "--json")
        assert time.perf_counter() - begun < 1 + 3 * late
    assert result.exit_code == 0
    (access,) = [check for check in result.object["checks"] if check["id"] == "access"]
    assert any(" S-1-5-21-1-2-3-1001: " in line for line in access["details"])


def test_a_time_limit_of_0_still_says_what_is_known_at_once(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("doctor", pipe_name, "--timeout", "0").exit_code == 3
    with create_named_pipe(pipe_name, OpenMode.DUPLEX | OpenMode.OVERLAPPED, max_instances=2):
        assert pipectl("doctor", pipe_name, "--timeout", "0").exit_code == 0


def test_asking_and_not_opening_exclude_each_other(pipectl: Pipectl) -> None:
    for options in (["--no-open"], ["--serve"], ["--as", "users"], ["--mode", "read"]):
        assert pipectl("doctor", "svc", "--ask", "x", *options).exit_code == 2


def test_the_library_gathers_facts_without_opening(pipe_name: str) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)):
        facts = gather(Question(pipe_name))
        assert probe(pipe_name) is Availability.FREE
    assert facts.opening is None
    assert facts.holders is not None
    assert facts.holders.servers == [os.getpid()]
    assert facts._replace(opening=Opening()).is_open

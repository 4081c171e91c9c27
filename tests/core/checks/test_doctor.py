"""The verdict on a pipe by facts that are made up: what denies access, what is told of it, and what would help."""

from typing import Any

import pytest

from pipectl.core.checks.doctor import Diagnosis, diagnose, opening_would_help
from pipectl.core.checks.doctor_access import remedied
from pipectl.core.checks.doctor_model import Cause, Check, Facts, Mode, Opening, Outcome, Remote, Status
from pipectl.core.checks.doctor_names import in_the_way, known_pipe, like
from pipectl.core.checks.doctor_remote import MEANINGS
from pipectl.core.constants import Access, WinError
from pipectl.core.errors import error_for
from pipectl.core.inventory.holders import End, Holders
from pipectl.core.inventory.processlist import ListedProcess
from pipectl.core.models import LocalInfo, Process
from pipectl.core.security.access_check import Elevation, Integrity, Token, client_rights, judge
from pipectl.core.security.sddl import Descriptor, parse
from pipectl.core.security.sids import (
    ADMINISTRATORS,
    ALL_PACKAGES,
    AUTHENTICATED_USERS,
    EVERYONE,
    NETWORK,
    SYSTEM,
    USERS,
)
from pipectl.exitcodes import exit_code_for

PIPE = r"\\.\pipe\svc"
USER = "S-1-5-21-1-2-3-1001"
SERVER, CLIENT, CHILD = 4312, 7001, 77
ME = Token(
    user=USER,
    groups=frozenset((EVERYONE, AUTHENTICATED_USERS, USERS)),
    restricted=frozenset(),
    integrity=Integrity.MEDIUM,
    is_appcontainer=False,
    privileges=frozenset(),
    elevation=Elevation.DEFAULT,
)
# An administrator's program that is not elevated.
LIMITED = ME._replace(deny_only=frozenset((ADMINISTRATORS,)), elevation=Elevation.LIMITED)
ELEVATED = ME._replace(groups=ME.groups | {ADMINISTRATORS}, integrity=Integrity.HIGH, elevation=Elevation.FULL)
MADE = LocalInfo(
    is_message_type=True,
    rejects_remote=True,
    configuration="duplex",
    max_instances=None,
    current_instances=1,
    inbound_quota=65536,
    read_data_available=0,
    outbound_quota=65536,
    write_quota_available=0,
    state="listening",
    is_server_end=True,
)
FOR_ADMINS = parse("D:P(A;;GA;;;SY)(A;;GA;;;BA)")
FOR_USERS = parse("D:P(A;;GA;;;SY)(A;;0x12019b;;;AU)")


def server(state: str = "listening", unread: int = 0, pid: int = SERVER, made_by: int = SERVER) -> End:
    """A server's end."""
    client = CLIENT if state in ("connected", "closing") else None
    return End("svc", pid, True, 4, state=state, unread=unread, server_pid=made_by, client_pid=client)


def client(pid: int = CLIENT) -> End:
    """A client's end."""
    return End("svc", pid, False, 8, state="connected", server_pid=SERVER, client_pid=pid)


def held(*ends: End, most: int | None = None) -> Holders:
    """A pipe with these ends, all of which are found."""
    count = sum(bool(end.is_server) for end in ends)
    return Holders("svc", count, most, count, is_complete=True, ends=list(ends))


def running(*pids: int, parent: int = 1) -> dict[int, ListedProcess]:
    """Processes that run."""
    return {pid: ListedProcess(pid, parent, "svc.exe", 0, 0) for pid in pids}


# A pipe that anybody can open, as it is before it is opened.
FACTS = Facts(
    PIPE,
    token=ME,
    names=["svc"],
    is_there=True,
    is_free=True,
    holders=held(server()),
    processes={SERVER: Process(SERVER, r"C:\svc.exe", r"VM\svc"), CLIENT: Process(CLIENT, r"C:\app.exe", r"VM\me")},
    running=running(SERVER, CLIENT, CHILD),
    local=MADE,
    descriptor=FOR_USERS,
)
# What is known of a pipe whose processes could not be inspected.
NOBODY = Holders("svc", None, None, 0, is_complete=False, ends=[])
OPENED, REFUSED = Opening(), Opening(WinError.ACCESS_DENIED)


def facts(**changes: Any) -> Facts:
    """The facts of a pipe that can be opened, with changes."""
    return FACTS._replace(**changes)


def check_of(diagnosis: Diagnosis, name: str) -> Check:
    """The one check of a name."""
    (only,) = [check for check in diagnosis.checks if check.id == name]
    return only


def cause_of(found: Facts) -> tuple[Outcome, Cause | None]:
    """The verdict and its cause."""
    diagnosis = diagnose(found)
    return diagnosis.outcome, diagnosis.problem and diagnosis.problem.cause


def exit_code(found: Facts) -> int:
    """The exit code of a verdict."""
    error = diagnose(found).error
    return 0 if error is None else exit_code_for(error)


# What the verdict is


@pytest.mark.parametrize("opening", [None, OPENED])
def test_a_pipe_without_a_problem_can_be_opened(opening: Opening | None) -> None:
    assert cause_of(facts(opening=opening)) == (Outcome.OK, None)
    assert exit_code(facts(opening=opening)) == 0


def test_the_first_problem_is_the_verdict() -> None:
    both = facts(descriptor=FOR_ADMINS, is_free=False, holders=held(server("connected"), client(), most=1))
    diagnosis = diagnose(both)
    assert [check.id for check in diagnosis.checks if check.problem] == ["access", "room"]
    assert diagnosis.outcome is Outcome.DENIED


def test_what_cannot_be_seen_is_exit_code_10_and_never_a_guess() -> None:
    blind = facts(holders=NOBODY, unseen=14, local=None, descriptor=None)
    assert [check.id for check in diagnose(blind).checks if check.status is Status.UNKNOWN] == [
        "server",
        "access",
        "flow",
        "kind",
    ]
    assert "14 processes could not be inspected" in check_of(diagnose(blind), "server").text
    assert exit_code(blind) == 10


def test_once_it_was_opened_what_cannot_be_seen_does_not_matter() -> None:
    blind = facts(holders=NOBODY, unseen=14, local=None, descriptor=None, opening=Opening(server=SERVER))
    assert exit_code(blind) == 0
    assert check_of(diagnose(blind), "server").text.startswith(f"process {SERVER}, svc.exe")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"is_there": False, "holders": None}, 3),
        ({"is_free": False}, 4),
        ({"descriptor": FOR_ADMINS}, 5),
        ({"suspended": frozenset((SERVER,))}, 6),
        ({"holders": held(server(pid=CHILD)), "running": running(CHILD, parent=SERVER)}, 7),
        ({"is_message": False}, 9),
        ({"asks": True, "opening": OPENED}, 10),
        ({"asks": True, "opening": OPENED, "reply": Opening(1460, error_for(1460, "timed out"))}, 6),
        ({"asks": True, "opening": OPENED, "reply": Opening(109, error_for(109, "closed"))}, 7),
        ({"opening": Opening(1450, error_for(1450, "no memory"))}, 1),
        ({"opening": Opening(120, error_for(120, "not here"))}, 11),
    ],
    ids=str,
)
def test_each_kind_of_problem_has_its_exit_code(changes: dict[str, Any], code: int) -> None:
    assert exit_code(facts(**changes)) == code


# Whether it is there


def test_an_absent_pipe_is_told_with_a_near_name() -> None:
    diagnosis = diagnose(facts(is_there=False, names=["svc2", "other"], holders=None))
    assert diagnosis.problem is not None
    assert (diagnosis.problem.cause, diagnosis.problem.value) == (Cause.NEAR_NAME, "svc2")
    assert [check.id for check in diagnosis.checks] == ["name", "place", "exists"]


def test_names_that_differ_in_numbers_alone_are_alike() -> None:
    names = ["dotnet-diagnostic-77", "dotnet-diagnostic-1234", "dotnet", "a-0a1b2c3d4e", "DOTNET-diagnostic-8"]
    assert like(r"\\.\pipe\dotnet-diagnostic-1234", names) == ["dotnet-diagnostic-77", "DOTNET-diagnostic-8"]
    assert like(r"\\.\pipe\a-ffffffff00", names) == ["a-0a1b2c3d4e"]
    assert like(r"\\.\pipe\dotnet", names) == []


def test_a_pipe_in_the_way_is_named() -> None:
    assert in_the_way(r"\\.\pipe\svc\control", ["other", "SVC"]) == "SVC"
    assert in_the_way(r"\\.\pipe\svc2", ["svc"]) is None
    below = facts(pipe=r"\\.\pipe\svc\control", is_there=False)
    assert cause_of(below)[1] is Cause.SHADOWED
    # WaitNamedPipe answers for the one in the way.
    assert cause_of(below._replace(is_there=True))[1] is Cause.SHADOWED
    assert cause_of(below._replace(is_there=True, opening=Opening(WinError.INVALID_NAME)))[1] is Cause.SHADOWED
    assert cause_of(below._replace(is_there=True, names=["svc", r"SVC\Control"]))[1] is None


@pytest.mark.parametrize(
    ("services", "cause"),
    [({}, Cause.SERVICE), ({"SSH-AGENT": 8}, Cause.ABSENT), (None, Cause.ABSENT)],
    ids=["stopped", "running", "unknown"],
)
def test_a_well_known_pipe_is_told_with_its_service(services: dict[str, int] | None, cause: Cause) -> None:
    absent = facts(pipe=r"\\.\pipe\OpenSSH-SSH-Agent", is_there=False, services=services)
    assert cause_of(absent) == (Outcome.ABSENT, cause)
    assert "OpenSSH" in diagnose(absent).summary


def test_an_instance_of_sql_server_is_its_service() -> None:
    known = known_pipe(r"\\.\pipe\MSSQL$EXPRESS\sql\query")
    assert known is not None
    assert known.service == "MSSQL$EXPRESS"


def test_a_pipe_that_opens_and_is_not_listed_is_an_alias() -> None:
    assert cause_of(facts(is_there=False, holders=None, local=None, descriptor=None, opening=OPENED))[0] is Outcome.OK


def test_a_name_that_only_a_client_keeps_is_told_with_the_client() -> None:
    left = facts(is_free=False, holders=held(client()))
    diagnosis = diagnose(left)
    assert diagnosis.problem is not None
    assert (diagnosis.outcome, diagnosis.problem.cause) == (Outcome.ABSENT, Cause.NAME_KEPT)
    assert diagnosis.problem.value == str(CLIENT)
    hidden = left._replace(holders=NOBODY, opening=Opening(WinError.FILE_NOT_FOUND))
    assert cause_of(hidden) == (Outcome.ABSENT, Cause.NAME_KEPT)
    assert cause_of(hidden._replace(opening=None, opens=False))[1] is not Cause.NAME_KEPT


def test_that_it_rejects_other_computers_is_told_to_who_asks_for_the_network() -> None:
    over_network = facts(who="network", token=ME._replace(groups=ME.groups | {NETWORK}))
    assert check_of(diagnose(over_network), "kind").status is Status.NOTE
    assert check_of(diagnose(over_network._replace(who="users")), "kind").status is Status.OK
    open_to_all = over_network._replace(local=MADE._replace(rejects_remote=False))
    assert check_of(diagnose(open_to_all), "kind").status is Status.OK


# Who serves it


def test_two_programs_that_serve_one_name_are_a_mismatch() -> None:
    other = Process(CHILD, r"C:\evil.exe", r"VM\mallory")
    both = facts(holders=held(server(), server(pid=CHILD, made_by=CHILD)), processes={**FACTS.processes, CHILD: other})
    assert cause_of(both) == (Outcome.MISMATCH, Cause.SERVERS_DIFFER)
    assert exit_code(both) == 8
    same = both._replace(processes={**FACTS.processes, CHILD: FACTS.processes[SERVER]._replace(pid=CHILD)})
    assert (cause_of(same)[0], check_of(diagnose(same), "server").status) == (Outcome.OK, Status.NOTE)


def test_a_server_that_has_ended_is_told_with_its_child() -> None:
    kept = facts(holders=held(server(pid=CHILD)), running=running(CHILD, parent=SERVER))
    diagnosis = diagnose(kept)
    assert diagnosis.summary == (
        f"its server, process {SERVER}, has ended, and its child process {CHILD} keeps it open: no server responds"
    )
    stranger = diagnose(kept._replace(running=running(CHILD, parent=1)))
    assert "child" not in stranger.summary


def test_only_when_every_server_is_suspended_is_that_the_reason() -> None:
    two = facts(holders=held(server(), server(pid=CHILD, made_by=CHILD)))
    assert cause_of(two._replace(suspended=frozenset((SERVER, CHILD))))[1] is Cause.SUSPENDED
    assert cause_of(two._replace(suspended=frozenset((SERVER,))))[1] is not Cause.SUSPENDED


# Access

DENIALS = {
    "not elevated": (LIMITED, FOR_ADMINS, Cause.NOT_ELEVATED),
    "not in the list": (ME, FOR_ADMINS, Cause.NOT_IN_LIST),
    "empty list": (ME, parse("D:P"), Cause.NOT_IN_LIST),
    "only read": (ME, parse("D:P(A;;0x120089;;;WD)"), Cause.NOT_IN_LIST),
    "denied": (ME, parse("D:P(D;;GA;;;BU)(A;;GA;;;AU)"), Cause.DENIED_BY_ENTRY),
    "network": (
        ME._replace(groups=ME.groups | {NETWORK}),
        parse("D:P(D;;GA;;;NU)(A;;GA;;;AU)"),
        Cause.NETWORK_LOGON,
    ),
    "low integrity": (ME._replace(integrity=Integrity.LOW), FOR_USERS, Cause.INTEGRITY),
    "high label": (ME, FOR_USERS._replace(label=parse("S:(ML;;NW;;;HI)").label), Cause.INTEGRITY),
    "AppContainer": (
        ME._replace(integrity=Integrity.LOW, is_appcontainer=True, capabilities=frozenset(), is_lpac=False),
        FOR_USERS,
        Cause.APPCONTAINER,
    ),
    "restricted": (ME._replace(restricted=frozenset(("S-1-5-12",))), FOR_USERS, Cause.RESTRICTED),
}


@pytest.mark.parametrize("case", DENIALS)
def test_a_denial_is_told_with_the_rule_that_decides(case: str) -> None:
    token, descriptor, cause = DENIALS[case]
    assert cause_of(facts(token=token, descriptor=descriptor)) == (Outcome.DENIED, cause)


@pytest.mark.parametrize("case", DENIALS)
def test_the_list_that_is_proposed_lets_in_who_was_kept_out(case: str) -> None:
    token, descriptor, _ = DENIALS[case]
    problem = diagnose(facts(token=token, descriptor=descriptor)).problem
    assert problem is not None
    assert problem.sddl is not None
    assert judge(parse(problem.sddl), token, client_rights(Access.DUPLEX)).is_allowed
    stranger = Token(user="S-1-5-21-9-9-9-9", integrity=Integrity.MEDIUM)
    assert not judge(parse(problem.sddl), stranger, client_rights(Access.DUPLEX)).granted & Access.FILE_WRITE_DATA


def test_the_list_that_is_proposed_lets_nobody_pose_as_the_server() -> None:
    problem = diagnose(facts(descriptor=FOR_ADMINS)).problem
    assert problem is not None
    assert problem.sddl == f"D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;{USER})"


def test_an_app_is_let_in_by_its_package_or_by_all() -> None:
    token, descriptor, _ = DENIALS["AppContainer"]
    for package, account in (("S-1-15-2-1-2-3-4-5-6-7", "S-1-15-2-1-2-3-4-5-6-7"), (None, ALL_PACKAGES)):
        text = remedied(
            facts(token=token._replace(package=package), descriptor=descriptor), client_rights(Access.DUPLEX)
        )
        assert text is not None
        assert account in {entry.account for entry in (parse(text).dacl or FOR_USERS.dacl).entries}  # type: ignore[union-attr]


def test_an_administrator_is_told_to_elevate_only_if_that_would_do() -> None:
    only_system = parse("D:P(A;;GA;;;SY)")
    assert cause_of(facts(token=LIMITED, descriptor=only_system))[1] is Cause.NOT_IN_LIST
    assert cause_of(facts(token=ME, elevated=ELEVATED, descriptor=FOR_ADMINS))[1] is Cause.NOT_ELEVATED
    assert cause_of(facts(token=ELEVATED, descriptor=FOR_ADMINS))[0] is Outcome.OK


def test_what_is_granted_and_what_is_missing_is_told() -> None:
    check = check_of(diagnose(facts(token=LIMITED, descriptor=parse("D:P(A;;GA;;;BA)(A;;0x120089;;;WD)"))), "access")
    assert check.text.startswith("you (medium integrity, not elevated) may read but not write")
    assert check.judgement is not None
    assert check.judgement.missing & Access.FILE_WRITE_DATA
    assert [line.rpartition(" (")[2] for line in check.details] == ["applies only to deny: not elevated)", "applies)"]


def test_that_it_was_opened_counts_more_than_its_list() -> None:
    opened = facts(descriptor=FOR_ADMINS, opening=OPENED)
    assert (cause_of(opened)[0], check_of(diagnose(opened), "access").status) == (Outcome.OK, Status.NOTE)


def test_a_refusal_that_the_list_does_not_explain_is_told() -> None:
    assert cause_of(facts(opening=REFUSED))[1] is Cause.DENIED_ALL_THE_SAME
    assert cause_of(facts(opening=REFUSED, descriptor=None))[1] is Cause.DENIED
    explained = diagnose(facts(opening=REFUSED, descriptor=FOR_ADMINS))
    assert check_of(explained, "open").status is Status.NOTE


def test_what_depends_on_groups_that_nobody_has_looked_up_is_unknown() -> None:
    somebody = facts(who="VM\\bob", token=ME._replace(has_all_groups=False), descriptor=FOR_ADMINS)
    assert check_of(diagnose(somebody), "access").status is Status.UNKNOWN
    assert ADMINISTRATORS in check_of(diagnose(somebody), "access").text
    assert exit_code(somebody) == 10


def test_a_busy_pipe_has_let_one_in_by_its_list() -> None:
    hidden = facts(descriptor=None, is_free=False, opening=Opening(WinError.PIPE_BUSY))
    assert check_of(diagnose(hidden), "access").status is Status.NOTE
    assert cause_of(hidden) == (Outcome.BUSY, Cause.FULL)


@pytest.mark.parametrize(("made", "allowed"), [("inbound", Mode.WRITE), ("outbound", Mode.READ)])
@pytest.mark.parametrize("mode", Mode)
def test_a_one_way_pipe_can_be_opened_in_its_direction_alone(made: str, allowed: Mode, mode: Mode) -> None:
    one_way = facts(mode=mode, local=MADE._replace(configuration=made))
    expected = (Outcome.OK, None) if mode is allowed else (Outcome.DENIED, Cause.DIRECTION)
    assert cause_of(one_way) == expected


# Whether it has room, and whether it reads


def test_a_full_pipe_is_told_with_its_clients_the_greediest_first() -> None:
    ends = [server("connected")] * 3, [client(CHILD), client(), client()]
    full = diagnose(facts(is_free=False, holders=held(*ends[0], *ends[1], most=3)))
    assert full.summary == (
        rf"busy: all instances are in use by process {CLIENT}, app.exe, VM\me (2 connections) and process {CHILD}"
    )


def test_why_no_instance_listens_is_told_by_their_states() -> None:
    left = facts(is_free=False, holders=held(server("closing"), most=1))
    idle = facts(is_free=False, holders=held(server("disconnected"), most=1))
    assert cause_of(left) == (Outcome.BUSY, Cause.CLIENT_LEFT)
    assert cause_of(idle) == (Outcome.BUSY, Cause.NOT_LISTENING)


@pytest.mark.parametrize(
    ("unread", "later", "outcome"),
    [
        ([4], {(SERVER, 4): 4}, Outcome.STUCK),
        ([4], {(SERVER, 4): 9}, Outcome.STUCK),
        ([4], {(SERVER, 4): 1}, Outcome.OK),
        ([4], {}, Outcome.OK),
        ([4, 0], {(SERVER, 4): 4}, Outcome.OK),
        ([4], None, Outcome.PARTIAL),
        ([0], None, Outcome.OK),
    ],
    ids=str,
)
def test_a_server_hangs_if_what_waits_for_it_does_not_shrink(
    unread: list[int], later: dict[tuple[int, int], int] | None, outcome: Outcome
) -> None:
    ends = [server("connected", waiting) for waiting in unread]
    assert diagnose(facts(holders=held(*ends, server()), unread_later=later)).outcome is outcome


# Whether to open it


@pytest.mark.parametrize(
    ("changes", "opens"),
    [
        ({}, True),
        ({"descriptor": FOR_ADMINS}, True),
        ({"is_free": False}, True),
        ({"is_there": False}, True),
        ({"suspended": frozenset((SERVER,))}, False),
        ({"holders": held(server("connected", 4), server()), "unread_later": {(SERVER, 4): 4}}, False),
        ({"is_message": False}, False),
    ],
    ids=str,
)
def test_a_pipe_is_opened_only_if_that_would_tell_more(changes: dict[str, Any], opens: bool) -> None:
    assert opening_would_help(diagnose(facts(**changes))) is opens


# Another computer

REMOTE = Facts(r"\\host\pipe\svc", token=ME, remote=Remote("host", True, True))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (2, 3),
        (5, 5),
        (53, 3),
        (64, 7),
        (67, 3),
        (71, 4),
        (231, 4),
        (1203, 3),
        (1219, 5),
        (1231, 3),
        (1272, 5),
        (1326, 5),
        (1327, 5),
        (1385, 5),
        (1396, 8),
    ],
)
def test_a_code_of_another_computer_has_a_meaning_and_an_exit_code(code: int, expected: int) -> None:
    refused = REMOTE._replace(opening=Opening(code, error_for(code, "it failed", "CreateFileW")))
    assert exit_code(refused) == expected
    assert diagnose(refused).summary.startswith(MEANINGS[code])


def test_another_computer_is_looked_for_before_its_pipe_is_opened() -> None:
    assert cause_of(REMOTE._replace(remote=Remote("host", False))) == (Outcome.ABSENT, Cause.UNKNOWN_HOST)
    assert cause_of(REMOTE._replace(remote=Remote("host", True, False))) == (Outcome.ABSENT, Cause.NO_SMB)
    assert cause_of(REMOTE._replace(remote=Remote("host", True, False), opening=OPENED)) == (Outcome.OK, None)
    refused = Opening(1326, error_for(1326, "refused", "CreateFileW"))
    assert cause_of(REMOTE._replace(remote=Remote("host", False), opening=refused)) == (Outcome.DENIED, Cause.REMOTE)
    assert exit_code(REMOTE._replace(opening=OPENED)) == 0
    assert exit_code(REMOTE) == 10


# To make it


def test_a_name_that_is_free_can_be_made() -> None:
    assert exit_code(facts(serves=True, is_there=False)) == 0


@pytest.mark.parametrize(
    ("changes", "outcome", "cause"),
    [
        ({}, Outcome.DENIED, Cause.NO_INSTANCE_RIGHT),
        ({"descriptor": parse("D:P(A;;GA;;;AU)")}, Outcome.DENIED, Cause.TAKEN),
        ({"descriptor": None}, Outcome.DENIED, Cause.TAKEN),
        (
            {"descriptor": parse("D:P(A;;GA;;;AU)"), "holders": held(server(), most=1)},
            Outcome.BUSY,
            Cause.MOST_INSTANCES,
        ),
        ({"descriptor": parse("D:P(A;;GA;;;AU)"), "mode": Mode.READ}, Outcome.DENIED, Cause.DIFFERS),
        ({"descriptor": parse("D:P(A;;GA;;;AU)"), "is_message": False}, Outcome.DENIED, Cause.DIFFERS),
        ({"pipe": r"\\.\pipe\ProtectedPrefix\Administrators\x"}, Outcome.DENIED, Cause.PROTECTED_PREFIX),
        ({"pipe": r"\\.\pipe\svc\x", "is_there": False}, Outcome.ABSENT, Cause.SHADOWED),
        ({"pipe": "\\\\.\\pipe\\" + "x" * 250, "is_there": False}, Outcome.NAME, Cause.NAME_TOO_LONG),
        ({"pipe": r"\\host\pipe\x", "is_there": None}, Outcome.NAME, Cause.REMOTE),
    ],
    ids=str,
)
def test_why_a_pipe_cannot_be_made_is_told(changes: dict[str, Any], outcome: Outcome, cause: Cause) -> None:
    assert cause_of(facts(serves=True, **changes)) == (outcome, cause)


def test_an_administrator_may_use_the_prefix_for_administrators() -> None:
    name = r"\\.\pipe\ProtectedPrefix\Administrators\x"
    assert exit_code(facts(serves=True, pipe=name, is_there=False, token=ELEVATED)) == 0


def test_the_list_for_a_server_lets_it_add_instances() -> None:
    problem = diagnose(facts(serves=True)).problem
    assert problem is not None
    assert problem.sddl is not None
    assert judge(parse(problem.sddl), ME, Access.FILE_CREATE_PIPE_INSTANCE).is_allowed


def test_a_descriptor_without_a_list_says_nothing() -> None:
    assert check_of(diagnose(facts(descriptor=Descriptor(owner=SYSTEM))), "access").status is Status.UNKNOWN

"""The rules of `audit`: for each, a pipe that trips it and a near miss that does not, as facts that are made up."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipectl.core.checks.audit_rules import EVERYBODY, Facts, Finding, Server, Severity, Who, check
from pipectl.core.checks.audit_table import BY_ID, RULES, explained, link, title
from pipectl.core.constants import Access
from pipectl.core.models import Process
from pipectl.core.security.access_check import Integrity, Privilege, Token
from pipectl.core.security.sddl import Kind, parse
from pipectl.core.security.sids import ADMINISTRATORS, ANONYMOUS, AUTHENTICATED_USERS, EVERYONE, NETWORK, SYSTEM, USERS

USER = "S-1-5-21-1-2-3-1001"
OTHER = "S-1-5-21-1-2-3-1002"
PLAIN = Token(user=USER, groups=frozenset((EVERYONE, AUTHENTICATED_USERS, USERS)), integrity=Integrity.MEDIUM)
SERVICE = Token(user=SYSTEM, groups=frozenset((ADMINISTRATORS,)), integrity=Integrity.SYSTEM)
ELEVATED = PLAIN._replace(groups=PLAIN.groups | {ADMINISTRATORS}, integrity=Integrity.HIGH)
SAFE = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;S-1-5-21-1-2-3-1001)"
MEDIUM, HIGH, LOW, NOTE, CRITICAL = Severity.MEDIUM, Severity.HIGH, Severity.LOW, Severity.NOTE, Severity.CRITICAL


def server(token: Token | None = PLAIN, image: str = r"C:\app.exe", pid: int = 4312, **more: Any) -> Server:
    """A process that serves a pipe."""
    return Server(Process(pid, image, r"VM\user", **more), token)


def facts(sddl: str | None = SAFE, token: Token | None = PLAIN, **changes: Any) -> Facts:
    """A pipe with this descriptor, of a server with this token."""
    descriptor = None if sddl is None else parse(sddl)
    return Facts("svc", descriptor, (server(token),), rejects_remote=True)._replace(**changes)


def found(pipe: Facts, rule: str, who: Who | None = None) -> list[tuple[Severity, str | None]]:
    """The severity and the account of each finding of a rule."""
    return [(one.severity, one.account) for one in check(pipe, who) if one.rule == rule]


def privileged(sddl: str, **changes: Any) -> Facts:
    """A pipe of a service."""
    return facts(sddl, SERVICE, **changes)


# The pipes that trip each rule, with what is found.
TRIPPED: list[tuple[str, Facts, list[tuple[Severity, str | None]]]] = [
    ("P001", facts("D:NO_ACCESS_CONTROL"), [(HIGH, EVERYONE)]),
    ("P001", privileged("D:NO_ACCESS_CONTROL"), [(CRITICAL, EVERYONE)]),
    ("P002", facts("D:(A;;WD;;;WD)"), [(HIGH, EVERYONE)]),
    ("P002", facts("D:(A;;GA;;;BU)"), [(HIGH, USERS)]),
    ("P002", facts("D:(A;;SD;;;IU)(A;;WO;;;AU)"), [(HIGH, "S-1-5-4"), (HIGH, AUTHENTICATED_USERS)]),
    ("P002", facts("D:(A;;GA;;;S-1-5-21-1-2-3-513)"), [(HIGH, "S-1-5-21-1-2-3-513")]),
    ("P002", facts("O:BUD:(A;;GR;;;BU)"), [(HIGH, USERS)]),
    ("P003", facts("D:(A;;GW;;;WD)"), [(MEDIUM, EVERYONE)]),
    ("P003", privileged("D:(A;;GRGW;;;AU)"), [(HIGH, AUTHENTICATED_USERS)]),
    ("P003", facts("D:(A;;0x4;;;NU)"), [(MEDIUM, NETWORK)]),
    ("P003", facts("D:(D;;GA;;;DA)(A;;GW;;;DU)"), [(MEDIUM, "DU")]),
    ("P004", facts("D:(A;;0x12019b;;;AN)"), [(HIGH, ANONYMOUS)]),
    ("P004", facts("D:(A;;0x12019b;;;BG)"), [(HIGH, "S-1-5-32-546")]),
    ("P004", facts("D:(A;;0x12019b;;;LG)"), [(HIGH, "LG")]),
    ("P004", facts("D:(A;;0x12019b;;;S-1-5-21-1-2-3-501)"), [(HIGH, "S-1-5-21-1-2-3-501")]),
    ("P004", facts("D:(A;;GA;;;LA)(A;;0x12019b;;;AN)"), [(HIGH, ANONYMOUS)]),
    ("P004", facts(is_null_session=True, rejects_remote=False), [(MEDIUM, ANONYMOUS)]),
    ("P005", facts("D:(A;;0x12019b;;;AU)", rejects_remote=False), [(MEDIUM, AUTHENTICATED_USERS)]),
    ("P005", facts(rejects_remote=False), [(NOTE, None)]),
    ("P005", facts("D:(A;;0x12019b;;;IU)", rejects_remote=False), [(NOTE, None)]),
    ("P005", facts("D:(A;;GA;;;BA)(D;;GA;;;NU)", rejects_remote=False), [(NOTE, None)]),
    ("P005", facts("D:(D;;GR;;;NU)(A;;GA;;;BA)", rejects_remote=False), [(NOTE, None)]),
    ("P006", privileged("D:(A;;0x12019b;;;IU)"), [(LOW, "S-1-5-4")]),
    ("P006", facts("D:(A;;0x12019b;;;BU)", ELEVATED), [(LOW, USERS)]),
    ("P007", privileged("D:(A;;0x12019b;;;WD)S:(ML;;NW;;;LW)"), [(MEDIUM, EVERYONE)]),
    ("P007", privileged("D:(A;;0x12019b;;;AU)(A;;0x12019b;;;AC)"), [(MEDIUM, AUTHENTICATED_USERS)]),
    ("P008", facts(servers=(server(), server(image=r"C:\evil.exe", pid=66))), [(HIGH, None)]),
    ("P008", facts(servers=(server(), server(PLAIN._replace(user=OTHER), pid=66))), [(HIGH, None)]),
    ("P009", facts(f"O:{OTHER}{SAFE}"), [(MEDIUM, OTHER)]),
    ("P010", facts(pipe="lsass"), [(HIGH, None)]),
    ("P010", facts(pipe="epmapper", servers=(server(image=r"C:\tmp\svchost.exe"),)), [(HIGH, None)]),
    ("P010", facts(pipe=r"MSSQL$X\sql\query"), [(HIGH, None)]),
    ("P011", facts("D:(A;;GA;;;SY)(A;;GA;;;BA)(A;;GR;;;WD)(A;;GR;;;AN)"), [(NOTE, EVERYONE)]),
    ("P012", facts("D:(A;;GR;;;AU)", max_instances=1), [(LOW, AUTHENTICATED_USERS)]),
    ("P013", privileged("D:(A;;0x12019b;;;AU)"), [(NOTE, AUTHENTICATED_USERS)]),
    (
        "P013",
        facts("D:(A;;GR;;;AU)", ELEVATED._replace(privileges=frozenset((Privilege.IMPERSONATE,)))),
        [(NOTE, AUTHENTICATED_USERS)],
    ),
    ("P014", facts("D:(A;;GA;;;WD)(D;;GW;;;NU)"), [(LOW, NETWORK)]),
    ("P014", facts("D:(A;;GR;;;BU)(D;;GA;;;BU)"), [(LOW, USERS)]),
    ("P015", facts(f"D:(A;;GR;;;{OTHER})", accounts={OTHER: None}), [(NOTE, OTHER)]),
    ("P016", facts(gap=0.05), [(LOW, None)]),
    ("P016", privileged(SAFE, gap=0.05), [(MEDIUM, None)]),
]

# What nearly trips each rule.
MISSED: list[tuple[str, Facts]] = [
    ("P001", facts("D:")),
    ("P001", facts("O:BA")),
    ("P001", facts(None)),
    ("P002", facts("D:(A;;0x12019f;;;WD)(A;;GA;;;BA)")),
    ("P002", facts("D:(D;;WDWOSD;;;WD)(A;;GA;;;WD)")),
    ("P002", facts("D:(A;;GA;;;S-1-5-21-1-2-3-1513)")),
    ("P002", facts("D:(A;IO;GA;;;WD)")),
    ("P002", facts("O:S-1-5-21-1-2-3-513D:(A;;GA;;;S-1-5-21-1-2-3-513)")),
    ("P003", privileged("D:(A;;0x12019b;;;WD)")),
    ("P003", facts("D:(A;;GW;;;WD)S:(ML;;NW;;;HI)")),
    ("P004", facts("D:(A;;GR;;;AN)(A;;0x12019b;;;WD)")),
    ("P004", facts(is_null_session=True, rejects_remote=True)),
    ("P004", facts("D:(A;;GA;;;S-1-5-21-1-2-3-500)(A;;GA;;;LA)")),
    ("P005", facts("D:(A;;0x12019b;;;AU)")),
    ("P005", facts("D:(A;;0x12019b;;;AU)", rejects_remote=None)),
    ("P005", facts("D:(D;;GA;;;AN)(D;;GA;;;NU)(A;;0x12019b;;;AU)", rejects_remote=False)),
    ("P006", facts("D:(A;;0x12019b;;;IU)")),
    ("P006", privileged("D:(A;;GR;;;IU)")),
    ("P006", privileged("D:(A;;0x12019b;;;NU)")),
    ("P007", privileged("D:(A;;0x12019b;;;WD)")),
    ("P007", privileged("D:(A;;0x12019b;;;AC)")),  # an app needs an entry for its user too
    ("P007", facts("D:(A;;0x12019b;;;WD)S:(ML;;NW;;;LW)")),
    ("P008", facts(servers=(server(), server(image=r"c:\APP.EXE", pid=66)))),
    ("P008", facts(servers=(server(), Server(Process(66))))),
    ("P009", facts(f"O:{USER}{SAFE}")),
    ("P009", facts(f"O:BA{SAFE}")),
    ("P009", facts(f"O:{OTHER}{SAFE}", None)),
    ("P010", facts(pipe="epmapper", servers=(server(image=r"C:\Windows\System32\svchost.exe"),))),
    ("P010", facts(pipe="lsass", servers=(server(image="lsass.exe"),))),
    ("P010", facts(pipe="lsass2")),
    ("P011", facts("D:(A;;GA;;;SY)(A;;GR;;;WD)")),
    ("P011", facts("D:(A;;GRGW;;;WD)(A;;GR;;;AN)")),
    ("P012", facts("D:(A;;GR;;;AU)", max_instances=5)),
    ("P012", facts("D:(A;;GR;;;AU)", max_instances=None)),
    ("P012", facts(max_instances=1)),
    ("P013", facts("D:(A;;0x12019b;;;AU)", ELEVATED)),
    ("P013", privileged(SAFE)),
    ("P014", facts("D:(D;;GW;;;NU)(A;;GA;;;WD)")),
    ("P014", facts("D:(A;;GR;;;WD)(D;;0x2;;;NU)")),
    ("P014", facts("D:(A;;GA;;;BA)(D;;GA;;;NU)")),
    ("P014", facts("D:(A;IO;GA;;;WD)(D;;GW;;;NU)")),
    ("P014", facts('D:(XA;;GA;;;WD;(@User.clearance == "1"))(D;;GW;;;NU)')),
    ("P015", facts(f"D:(A;;GR;;;{OTHER})", accounts={OTHER: r"VM\other"})),
    ("P015", facts(f"D:(A;;GR;;;{OTHER})")),
    ("P015", facts("D:(A;;GR;;;S-1-5-80-1-2-3-4-5)", accounts={"S-1-5-80-1-2-3-4-5": None})),
    ("P016", facts()),
]


@pytest.mark.parametrize(("rule", "pipe", "expected"), TRIPPED)
def test_a_rule_finds_what_it_is_about(rule: str, pipe: Facts, expected: list[tuple[Severity, str | None]]) -> None:
    assert found(pipe, rule) == expected


@pytest.mark.parametrize(("rule", "pipe"), MISSED)
def test_a_rule_does_not_find_what_is_nearly_so(rule: str, pipe: Facts) -> None:
    assert found(pipe, rule) == []


def test_every_rule_is_tripped_and_nearly_tripped() -> None:
    assert {rule for rule, *_ in TRIPPED} == {rule for rule, _ in MISSED} == set(BY_ID)


def test_a_pipe_for_its_user_alone_has_no_finding() -> None:
    assert check(facts()) == []
    assert check(privileged("D:P(A;;GA;;;SY)(A;;GA;;;BA)")) == []


def test_a_pipe_of_which_nothing_is_known_has_no_finding() -> None:
    assert check(Facts("svc")) == []


def test_a_finding_names_the_entry_and_its_rights() -> None:
    (one,) = [one for one in check(facts("D:(A;;GA;;;BA)(A;;GRGW;;;WD)")) if one.rule == "P003"]
    assert one == Finding(
        "P003",
        MEDIUM,
        "svc",
        "Everyone may create instances and reply in the server's name",
        EVERYONE,
        1,
        Access.FILE_CREATE_PIPE_INSTANCE,
    )


# How privileged the server is


@pytest.mark.parametrize(
    ("one", "is_privileged"),
    [
        (server(SERVICE), True),
        (server(ELEVATED), True),
        (server(PLAIN), False),
        (server(PLAIN._replace(user="S-1-5-80-1-2-3-4-5")), True),
        (server(PLAIN._replace(user="S-1-5-20")), True),
        (server(None), None),
        (server(None, services=("Svc",), session=0), True),
        (server(None, services=("CDPUserSvc_1",), session=1), None),
    ],
)
def test_a_server_is_privileged_by_its_token_or_as_a_service(one: Server, is_privileged: bool | None) -> None:
    assert one.is_privileged is is_privileged


@pytest.mark.parametrize(("owner", "is_privileged"), [("SY", True), ("BA", True), ("LS", True), (USER, False)])
def test_an_owner_shows_that_the_server_is_privileged(owner: str, is_privileged: bool) -> None:
    assert facts(f"O:{owner}D:(A;;GR;;;WD)", None).is_privileged is is_privileged


# Whose access is judged


def test_somebodys_own_entry_is_found_when_judged_for_them() -> None:
    pipe = privileged(f"D:(A;;GA;;;{OTHER})")
    assert check(pipe) == []
    who = Who.of(PLAIN._replace(user=OTHER))
    assert found(pipe, "P003", who) == found(pipe, "P002", who) == [(HIGH, OTHER)]
    assert found(pipe, "P006", who) == [(LOW, OTHER)]


def test_what_others_may_do_is_not_found_when_judged_for_somebody() -> None:
    pipe = facts(f"D:(D;;GA;;;{OTHER})(A;;GA;;;AU)")
    assert found(pipe, "P003") == [(MEDIUM, AUTHENTICATED_USERS)]
    assert found(pipe, "P003", Who.of(PLAIN._replace(user=OTHER))) == []


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (PLAIN, "users"),
        (PLAIN._replace(groups=PLAIN.groups | {NETWORK}), "over_network"),
        (PLAIN._replace(integrity=Integrity.LOW), "sandboxed"),
        (PLAIN._replace(is_appcontainer=True), "sandboxed"),
        (Token(user=ANONYMOUS, integrity=Integrity.UNTRUSTED), "anonymous"),
        (PLAIN._replace(groups=frozenset(("S-1-5-32-546",))), "anonymous"),
    ],
)
def test_a_token_is_judged_as_the_kind_of_user_that_it_is(token: Token, kind: str) -> None:
    assert [name for name in Who._fields if getattr(Who.of(token), name)] == [kind]


def test_anonymous_users_are_judged_alike_whether_by_default_or_asked_for() -> None:
    pipe = facts("D:(A;;0x12019b;;;AN)")
    anonymous = Token(user=ANONYMOUS, integrity=Integrity.UNTRUSTED)
    assert found(pipe, "P004", Who.of(anonymous)) == found(pipe, "P004") == [(HIGH, ANONYMOUS)]


def test_a_condition_or_an_unknown_group_is_no_finding() -> None:
    assert check(facts('D:(XA;;GA;;;WD;(@User.clearance == "1"))')) == []
    assert found(facts("D:(D;;GA;;;DA)(A;;GW;;;AU)"), "P003", Who.of(PLAIN)) == []
    unknown = Who.of(PLAIN._replace(user=OTHER, has_all_groups=False))
    assert found(privileged("D:(A;;GA;;;S-1-5-21-9-9-9-1234)"), "P002", unknown) == []


def test_everybody_is_users_network_anonymous_and_sandboxed_programs() -> None:
    assert all(getattr(EVERYBODY, kind) for kind in Who._fields)


# What always holds

_ACES = st.sampled_from(
    [
        "(A;;GA;;;WD)",
        "(A;;GRGW;;;AU)",
        "(A;;0x12019b;;;AN)",
        "(A;;0x12019b;;;BG)",
        "(A;;GA;;;NU)",
        "(A;;GR;;;DU)",
        "(A;;GA;;;DA)",
        "(A;;GA;;;LA)",
        "(A;;GA;;;S-1-5-21-1-2-3-501)",
        "(A;;GA;;;S-1-5-21-1-2-3-513)",
        "(A;IO;GA;;;WD)",
        "(A;;GA;;;AC)",
        "(A;;GA;;;OW)",
        '(XA;;GA;;;WD;(@User.clearance == "1"))',
        f"(A;;GA;;;{OTHER})",
        "(D;;GA;;;NU)",
        "(D;;GW;;;WD)",
        "(D;;WD;;;AN)",
    ]
)
_PIPES = st.builds(
    lambda owner, entries, label, token, **more: facts(f"{owner}D:{''.join(entries)}{label}", token, **more),
    st.sampled_from(["", "O:BU", "O:SY", f"O:{OTHER}"]),
    st.lists(_ACES, max_size=5),
    st.sampled_from(["", "S:(ML;;NW;;;LW)", "S:(ML;;NW;;;HI)"]),
    st.sampled_from([PLAIN, SERVICE, ELEVATED, None]),
    rejects_remote=st.sampled_from([True, False, None]),
    max_instances=st.sampled_from([1, 4, 5, None]),
    is_null_session=st.booleans(),
)
_WHO = st.sampled_from([None, Who.of(PLAIN), Who.of(Token(user=ANONYMOUS)), Who.of(PLAIN._replace(user=OTHER))])


@given(_PIPES, _WHO)
@example(facts("D:(A;;GA;;;DA)(A;;GA;;;WD)"), None)
@settings(max_examples=500)
def test_the_entry_of_a_finding_is_the_one_of_its_account(pipe: Facts, who: Who | None) -> None:
    assert pipe.descriptor
    assert pipe.descriptor.dacl
    for one in check(pipe, who):
        if one.entry is not None:
            entry = pipe.descriptor.dacl.entries[one.entry]
            assert entry.account == one.account
            assert one.rights
            assert one.rights & ~entry.mask == Access.NONE
            assert (entry.kind is Kind.DENY) is (one.rule == "P014")


@given(_PIPES)
def test_a_denial_of_everything_for_everyone_leaves_what_a_server_is(pipe: Facts) -> None:
    assert pipe.descriptor
    assert pipe.descriptor.dacl
    denial = parse("D:(D;;GA;;;WD)(D;;GA;;;AN)").dacl
    assert denial
    closed = pipe.descriptor.dacl._replace(entries=denial.entries + pipe.descriptor.dacl.entries)
    found = check(pipe._replace(descriptor=pipe.descriptor._replace(dacl=closed, owner=None)))
    granting = {"P001", "P002", "P003", "P006", "P007", "P012", "P013"}
    assert not granting & {one.rule for one in found}


# The rules in words


def test_each_rule_says_why_how_to_fix_it_and_where_to_read_more() -> None:
    assert [rule.id for rule in RULES] == [f"P{number:03}" for number in range(1, 17)]
    for rule in RULES:
        assert rule.why.endswith(".")
        assert rule.fix
        links = [f"{title(one)}: {link(one)}" for one in rule.references]
        assert explained(rule) == [
            f"{rule.id}  {rule.title}",
            f"Severity: {rule.severity}.",
            rule.why,
            f"Fix: {rule.fix}",
            *links,
        ]


def test_references_lead_to_their_pages() -> None:
    assert link("CWE-732") == "https://cwe.mitre.org/data/definitions/732.html"
    assert link("T1021.002") == "https://attack.mitre.org/techniques/T1021/002/"

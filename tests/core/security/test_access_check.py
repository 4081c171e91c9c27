"""Access checks, without a system: each rule by hand, all against a plain second telling, and what always holds."""

import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.constants import Access
from pipectl.core.security.access_check import (
    Decider,
    Integrity,
    Judgement,
    Privilege,
    Reason,
    Token,
    TokenPolicy,
    allowed,
    client_rights,
    is_open_to_everyone,
    judge,
    server_rights,
)
from pipectl.core.security.sddl import AccessEntry, AceFlags, Dacl, Descriptor, Kind, LabelPolicy, parse
from pipectl.core.security.sids import ALL_PACKAGES, ALL_RESTRICTED_PACKAGES, EVERYONE, OWNER_RIGHTS, canonical

ME = "S-1-5-21-1-2-3-1001"
ADMINS, USERS, NETWORK, RESTRICTED = map(canonical, ("BA", "AU", "NU", "RC"))
PACKAGE, CAPABILITY = "S-1-15-2-1-2-3-4-5-6-7", "S-1-15-3-1024-1-2-3-4-5-6-7-8"

NONE, ALL = Access.NONE, Access.FILE_ALL_ACCESS
READ, WRITE, EXECUTE = Access.FILE_GENERIC_READ, Access.FILE_GENERIC_WRITE, Access.FILE_GENERIC_EXECUTE
OWNERS = Access.READ_CONTROL | Access.WRITE_DAC
CREATE = Access.FILE_CREATE_PIPE_INSTANCE
# What a program may do with a pipe of a higher integrity level.
UP = READ | EXECUTE

PLAIN = Token(ME, frozenset((EVERYONE, USERS)), integrity=Integrity.MEDIUM)
ELEVATED = PLAIN._replace(groups=PLAIN.groups | {ADMINS}, integrity=Integrity.HIGH)
FILTERED = PLAIN._replace(deny_only=frozenset((ADMINS,)))
LOW = PLAIN._replace(integrity=Integrity.LOW)
RESTRICTING = PLAIN._replace(restricted=frozenset((RESTRICTED, ME)))
WRITE_RESTRICTING = PLAIN._replace(restricted=frozenset((RESTRICTED,)), is_write_restricted=True)
APP = LOW._replace(is_appcontainer=True, package=PACKAGE, capabilities=frozenset((CAPABILITY,)))
LPAC = APP._replace(is_lpac=True)
TOKENS = {
    "plain": PLAIN,
    "elevated": ELEVATED,
    "filtered": FILTERED,
    "low": LOW,
    "restricted": RESTRICTING,
    "write-restricted": WRITE_RESTRICTING,
    "app": APP,
    "less privileged app": LPAC,
}


def dacl_of(entries: str) -> Dacl:
    dacl = parse(f"D:{entries}").dacl
    assert dacl is not None
    return dacl


def granted(text: str, token: Token, desired: Access = ALL) -> Access:
    return judge(parse(text), token, desired).granted


# The list


def test_the_first_entry_that_speaks_of_a_right_decides() -> None:
    deny, allow = f"(D;;GW;;;{ME})", "(A;;GRGW;;;WD)"
    # What reading and writing have in common was denied with the writing.
    assert allowed(dacl_of(deny + allow), {ME, EVERYONE}) == READ & ~WRITE
    assert allowed(dacl_of(allow + deny), {ME, EVERYONE}) == READ | WRITE
    assert allowed(dacl_of(deny + allow), {EVERYONE}) == READ | WRITE


def test_no_list_allows_everything_and_an_empty_one_nothing() -> None:
    assert allowed(Dacl(is_null=True), ()) == ALL
    assert allowed(Dacl(), {EVERYONE, ME, ADMINS}) == NONE


def test_a_list_that_is_not_told_allows_nothing_surely_and_everything_perhaps() -> None:
    found = judge(Descriptor(), PLAIN)
    assert (found.granted, found.unknown) == (NONE, ALL)


def test_an_entry_for_children_alone_counts_for_nothing() -> None:
    assert allowed(dacl_of("(A;CIIO;GA;;;WD)"), {EVERYONE}) == NONE


def test_a_list_that_lets_anyone_write_is_found_open() -> None:
    assert is_open_to_everyone(Dacl(is_null=True))
    assert is_open_to_everyone(dacl_of("(D;;GA;;;NU)(A;;0x12019b;;;WD)"))
    assert not is_open_to_everyone(dacl_of("(A;;GR;;;WD)(A;;GA;;;BA)"))
    assert not is_open_to_everyone(dacl_of("(D;;GA;;;WD)(A;;GA;;;WD)"))


# From [MS-DTYP] 2.5.1.4, an example of SDDL.
EXAMPLE = "O:BAG:BAD:P(A;CIOI;GRGX;;;BU)(A;CIOI;GA;;;BA)(A;CIOI;GA;;;SY)(A;CIOI;GA;;;CO)S:P(AU;FA;GR;;;WD)"


@pytest.mark.parametrize(
    ("sids", "rights"),
    [
        ({"S-1-5-32-545"}, READ | EXECUTE),
        ({"S-1-5-18"}, ALL),
        ({ADMINS}, ALL),
        ({"S-1-3-0"}, ALL),
        ({EVERYONE, USERS}, NONE),
    ],
)
def test_the_example_of_ms_dtyp_is_judged_as_it_reads(sids: set[str], rights: Access) -> None:
    assert granted(EXAMPLE, Token(groups=frozenset(sids))) == rights


def test_the_example_of_microsofts_how_dacls_control_access() -> None:
    andrew, jane, group_a = (f"S-1-5-21-1-2-3-{number}" for number in (1002, 1003, 1004))
    text = f"D:(D;;GRGWGX;;;{andrew})(A;;GW;;;{group_a})(A;;GRGX;;;WD)"
    everything = READ | WRITE | EXECUTE
    assert judge(parse(text), Token(andrew, frozenset((EVERYONE, group_a))), everything).granted == NONE
    assert judge(parse(text), Token(jane, frozenset((EVERYONE, group_a))), everything).is_allowed


# Conditions and accounts that cannot be known


@pytest.mark.parametrize(
    "condition",
    [
        '(@User.Title=="PM" && (@User.Division=="Finance" || @User.Division =="Sales"))',
        "(@User.Project Any_of @Resource.Project)",
        "(Member_of {SID(Smartcard_SID), SID(BO)} && @Device.Bitlocker)",
    ],
)
def test_the_conditions_of_ms_dtyp_may_allow_and_may_not(condition: str) -> None:
    found = judge(parse(f"D:(XA;;FX;;;S-1-1-0;{condition})"), PLAIN, EXECUTE)
    assert (found.granted, found.unknown) == (NONE, EXECUTE)
    assert (found.is_allowed, found.is_possible) == (False, True)
    assert found.reasons == (Reason(Decider.UNKNOWN, EXECUTE, 0, EVERYONE),)


@pytest.mark.parametrize(
    ("entries", "sure", "perhaps"),
    [
        ("(XA;;GR;;;WD;(x))(A;;GR;;;WD)", READ, NONE),
        ("(XA;;GR;;;WD;(x))(D;;GR;;;WD)", NONE, READ),
        ("(D;;GR;;;WD)(XA;;GR;;;WD;(x))", NONE, NONE),
        ("(XA;;GR;;;BA;(x))", NONE, NONE),
        ("(XD;;GR;;;WD;(x))(A;;GR;;;WD)", NONE, READ),
        ("(XD;;GR;;;WD;(x))(D;;GR;;;WD)", NONE, NONE),
        ("(XD;;GR;;;WD;(x))", NONE, NONE),
        ("(A;;GR;;;WD)(XD;;GR;;;WD;(x))", READ, NONE),
        ("(XD;;GW;;;WD;(x))(A;;GA;;;WD)", ALL & ~WRITE, WRITE),
        ("(XD;;GR;;;WD;(x))(XA;;GR;;;WD;(y))", NONE, READ),
        ("(A;;GR;;;DA)", NONE, READ),
        ("(D;;GR;;;DA)(A;;GR;;;WD)", NONE, READ),
    ],
)
def test_what_depends_on_the_unknown_is_neither_granted_nor_denied(entries: str, sure: Access, perhaps: Access) -> None:
    found = judge(parse(f"D:{entries}"), PLAIN)
    assert (found.granted, found.unknown) == (sure, perhaps)


def test_the_entry_whose_condition_decides_is_named() -> None:
    found = judge(parse("D:(A;;GR;;;BA)(XD;;GR;;;WD;(x))(A;;GR;;;WD)"), PLAIN, READ)
    assert found.reasons == (Reason(Decider.UNKNOWN, READ, 1, EVERYONE),)


@pytest.mark.parametrize(
    ("entries", "may"),
    [
        (f"(A;;GA;;;{ME})", True),
        ("(A;;GW;;;WD)", True),
        ("(A;;0x12019b;;;AU)", False),
        ("", False),
        (f"(D;;GA;;;{USERS})(A;;GA;;;{ME})", False),
        (f"(A;;GA;;;{ME})(D;;GA;;;{USERS})", True),
        ("(A;;GA;;;BA)", False),
        (f"(D;;0x4;;;BA)(A;;GA;;;{ME})", False),
        ('(XA;;GA;;;AU;(@User.x=="1"))', True),
        (f'(XD;;GA;;;AU;(@User.x=="1"))(A;;GA;;;{ME})', True),
        ("(A;;GA;;;DA)", True),
        ("(A;;GA;;;OW)", True),
        ("(A;IO;GA;;;WD)", False),
        ("NO_ACCESS_CONTROL", True),
    ],
)
def test_whether_a_server_may_add_instances_is_judged_in_its_favor(entries: str, may: bool) -> None:
    assert judge(parse(f"O:{ME}D:{entries}"), FILTERED, CREATE).is_possible is may


SOMEBODY = PLAIN._replace(has_all_groups=False)
OTHER = "S-1-5-21-1-2-3-2000"


@pytest.mark.parametrize(
    ("text", "sure", "perhaps"),
    [
        ("D:(A;;GR;;;BA)", NONE, READ),
        (f"D:(A;;GR;;;{OTHER})", NONE, READ),
        ("D:(D;;GW;;;BA)(A;;GA;;;WD)", ALL & ~WRITE, WRITE),
        ("D:(A;;GR;;;WD)(D;;GR;;;BA)", READ, NONE),
        (f"D:(A;;GA;;;SY)(A;;GR;;;{ME})(A;;GA;;;AC)", READ, NONE),
        ("O:BAD:", NONE, OWNERS),
        ("O:DAD:", NONE, OWNERS),
        ("O:BAD:(D;;GA;;;WD)", NONE, OWNERS),
        ("O:BAD:(A;;GR;;;OW)", NONE, READ),
        ("O:SYD:(A;;GR;;;OW)", NONE, NONE),
        (f"O:{ME}D:", OWNERS, NONE),
    ],
)
def test_what_depends_on_groups_that_nobody_has_looked_up_is_unknown(text: str, sure: Access, perhaps: Access) -> None:
    found = judge(parse(text), SOMEBODY)
    assert (found.granted, found.unknown) == (sure, perhaps)


def test_an_owner_whose_sid_only_a_domain_knows_may_be_a_restricted_tokens() -> None:
    assert judge(parse("O:DAD:"), RESTRICTING).unknown == OWNERS
    assert judge(parse("O:WDD:"), RESTRICTING).unknown == NONE
    assert judge(parse("O:BAD:"), RESTRICTING._replace(has_all_groups=False)).unknown == NONE


# The owner


def test_the_owner_may_always_read_and_change_the_list() -> None:
    assert allowed(Dacl(), {ME}, ME) == OWNERS
    assert allowed(dacl_of("(D;;GA;;;WD)"), {ME, EVERYONE}, ME) == OWNERS
    assert allowed(Dacl(), {EVERYONE}, ME) == NONE


def test_an_entry_for_the_owner_rights_takes_their_place() -> None:
    assert allowed(dacl_of("(A;;RC;;;OW)"), {ME}, ME) == Access.READ_CONTROL
    assert allowed(dacl_of("(A;;RC;;;OW)"), {ME}, ADMINS) == NONE
    assert allowed(dacl_of("(D;;WD;;;OW)(A;;GA;;;WD)"), {ME, EVERYONE}, ME) == ALL & ~Access.WRITE_DAC
    assert allowed(dacl_of("(A;IO;RC;;;OW)"), {ME}, ME) == OWNERS


def test_who_owns_through_a_group_is_the_owner_and_through_one_that_denies_is_not() -> None:
    assert granted("O:BAD:", ELEVATED) == OWNERS
    assert granted("O:BAD:", FILTERED) == NONE


def test_the_owner_and_the_account_that_makes_it_the_owner_are_named() -> None:
    assert judge(parse("O:BAD:"), ELEVATED, Access.WRITE_DAC).reasons == (
        Reason(Decider.OWNER, Access.WRITE_DAC, None, ADMINS),
    )
    assert judge(parse("O:BAD:(A;;GR;;;OW)"), ELEVATED, READ).reasons == (
        Reason(Decider.ALLOW, READ, 0, OWNER_RIGHTS, ADMINS),
    )


# Groups that only deny


def test_a_group_that_only_denies_lets_nobody_in_and_keeps_out() -> None:
    assert granted("D:(A;;GA;;;BA)", FILTERED) == NONE
    assert granted("D:(D;;GW;;;BA)(A;;GA;;;WD)", FILTERED) == ALL & ~WRITE
    assert granted("D:(D;;GW;;;BA)(A;;GA;;;WD)", PLAIN) == ALL


def test_a_user_can_be_one_who_is_only_denied() -> None:
    token = PLAIN._replace(deny_only=frozenset((ME,)))
    assert granted(f"O:{ME}D:(A;;GA;;;{ME})", token) == NONE
    assert granted(f"D:(D;;GW;;;{ME})(A;;GA;;;WD)", token) == ALL & ~WRITE


# Integrity


@pytest.mark.parametrize(
    ("label", "level", "rights"),
    [
        ("", Integrity.MEDIUM, ALL),
        ("", Integrity.LOW, UP),
        ("", Integrity.UNTRUSTED, UP),
        ("S:(ML;;NW;;;LW)", Integrity.LOW, ALL),
        ("S:(ML;;NW;;;LW)", Integrity.UNTRUSTED, UP),
        ("S:(ML;;NW;;;HI)", Integrity.MEDIUM, UP),
        ("S:(ML;;NW;;;HI)", Integrity.HIGH, ALL),
        ("S:(ML;;NW;;;MP)", Integrity.MEDIUM, UP),
        ("S:(ML;;NW;;;MP)", 0x2100, ALL),
        ("S:(ML;;NWNR;;;HI)", Integrity.MEDIUM, Access.FILE_GENERIC_EXECUTE & ~READ | Access.SYNCHRONIZE),
        ("S:(ML;;NWNRNX;;;HI)", Integrity.MEDIUM, NONE),
        ("S:(ML;;NWNX;;;HI)", Integrity.MEDIUM, READ),
        # Writing up is what the token's policy forbids, whatever the label's says.
        ("S:(ML;;;;;HI)", Integrity.MEDIUM, UP),
        ("S:(ML;;NWNRNX;;;HI)", None, ALL),
    ],
)
def test_a_label_limits_who_is_below_it(label: str, level: int | None, rights: Access) -> None:
    token = PLAIN._replace(integrity=level)
    assert granted(f"O:{ME}D:(A;;GA;;;WD){label}", token) == rights
    assert granted(f"D:NO_ACCESS_CONTROL{label}", token) == rights


def test_below_a_label_ownership_changes_nothing() -> None:
    assert granted(f"O:{ME}D:", LOW) == Access.READ_CONTROL


def test_a_token_without_the_policy_writes_up() -> None:
    assert granted("D:(A;;GA;;;WD)", LOW._replace(policy=TokenPolicy.NEW_PROCESS_MIN)) == ALL
    assert granted("D:(A;;GA;;;WD)", LOW._replace(policy=TokenPolicy.NO_WRITE_UP)) == UP


def test_the_label_that_keeps_out_is_named() -> None:
    found = judge(parse("D:(A;;GA;;;WD)S:(ML;;NW;;;HI)"), PLAIN, Access.FILE_WRITE_DATA | Access.FILE_READ_DATA)
    assert set(found.reasons) == {
        Reason(Decider.INTEGRITY, Access.FILE_WRITE_DATA, None, canonical("HI")),
        Reason(Decider.ALLOW, Access.FILE_READ_DATA, 0, EVERYONE),
    }


# Privileges


def test_a_privilege_gives_the_right_that_it_is_for_and_only_by_name() -> None:
    taker = PLAIN._replace(privileges=frozenset((Privilege.TAKE_OWNERSHIP,)))
    assert granted("D:", taker) == Access.WRITE_OWNER
    assert granted("D:(D;;GA;;;WD)", taker) == Access.WRITE_OWNER
    assert granted("D:", taker, Access.MAXIMUM_ALLOWED) == NONE
    auditor = PLAIN._replace(privileges=frozenset((Privilege.SECURITY,)))
    assert granted("D:", auditor, Access.ACCESS_SYSTEM_SECURITY) == Access.ACCESS_SYSTEM_SECURITY
    assert granted("D:", PLAIN, Access.ACCESS_SYSTEM_SECURITY) == NONE


def test_a_privilege_does_not_write_up_except_to_relabel() -> None:
    for privilege, rights in ((Privilege.TAKE_OWNERSHIP, NONE), (Privilege.RELABEL, Access.WRITE_OWNER)):
        assert granted("D:", LOW._replace(privileges=frozenset((privilege,)))) == rights


# Restricted tokens


@pytest.mark.parametrize(
    ("text", "rights"),
    [
        ("D:(A;;GA;;;WD)", NONE),
        ("D:(A;;GA;;;RC)", NONE),
        ("D:(A;;GA;;;WD)(A;;GR;;;RC)", READ),
        ("D:(A;;GR;;;WD)(A;;GA;;;RC)", READ),
        # A SID that restricts, and is none of the token's, still denies.
        ("D:(D;;GW;;;RC)(A;;GA;;;WD)(A;;GA;;;RC)", ALL & ~WRITE),
        ("D:NO_ACCESS_CONTROL", ALL),
        (f"O:{ME}D:", OWNERS),
        ("O:WDD:", NONE),
        (f"O:{ME}D:(A;;GR;;;OW)", READ),
    ],
)
def test_a_restricted_token_needs_an_entry_for_a_restricting_sid_too(text: str, rights: Access) -> None:
    assert granted(text, RESTRICTING) == rights


@pytest.mark.parametrize(
    ("text", "rights"),
    [
        ("D:(A;;GA;;;WD)", READ | EXECUTE | 0x40),
        ("D:(A;;GA;;;WD)(A;;GW;;;RC)", (READ | WRITE | EXECUTE | 0x40)),
        ("D:(D;;GR;;;RC)(A;;GA;;;WD)", READ | EXECUTE | 0x40),
        (f"O:{ME}D:", NONE),
    ],
)
def test_a_write_restricted_token_needs_it_for_writing_alone(text: str, rights: Access) -> None:
    assert granted(text, WRITE_RESTRICTING) == rights


def test_what_a_restricting_sid_lacks_is_told() -> None:
    found = judge(parse("D:(D;;GW;;;RC)(A;;GA;;;WD)"), RESTRICTING, Access.FILE_WRITE_DATA | Access.FILE_READ_DATA)
    assert set(found.reasons) == {
        Reason(Decider.RESTRICTED, Access.FILE_WRITE_DATA, 0, RESTRICTED),
        Reason(Decider.RESTRICTED, Access.FILE_READ_DATA),
    }


# AppContainers


@pytest.mark.parametrize(
    ("text", "app", "lpac"),
    [
        ("D:(A;;GA;;;WD)", NONE, NONE),
        ("D:(A;;GA;;;AC)", NONE, NONE),
        ("D:(A;;GA;;;WD)(A;;GR;;;AC)", READ, NONE),
        ("D:(A;;GA;;;WD)(A;;GR;;;S-1-15-2-2)", READ, READ),
        (f"D:(A;;GA;;;WD)(A;;GA;;;{PACKAGE})", ALL, ALL),
        (f"D:(A;;GA;;;WD)(A;;GRGW;;;{CAPABILITY})", READ | WRITE, READ | WRITE),
        (f"D:(A;;GA;;;WD)(A;;GA;;;{PACKAGE}-1)", NONE, NONE),
        # What denies something to a package has no effect.
        (f"D:(D;;GA;;;{PACKAGE})(A;;GA;;;WD)(A;;GA;;;{PACKAGE})", ALL, ALL),
        ("D:(D;;GW;;;WD)(A;;GA;;;WD)(A;;GA;;;S-1-15-2-2)", ALL & ~WRITE, ALL & ~WRITE),
        ("D:NO_ACCESS_CONTROL", NONE, NONE),
        (f"O:{ME}D:", NONE, NONE),
        (f"O:{ME}D:(A;;RC;;;S-1-15-2-2)", Access.READ_CONTROL, Access.READ_CONTROL),
        ("D:(A;;GA;;;WD)(A;;GA;;;S-1-15-2-2)S:(ML;;NW;;;ME)", ALL, ALL),
        ("D:(A;;GA;;;WD)(A;;GA;;;S-1-15-2-2)S:(ML;;NW;;;HI)", UP, UP),
    ],
)
def test_an_app_needs_an_entry_for_its_package_too(text: str, app: Access, lpac: Access) -> None:
    assert (granted(text, APP), granted(text, LPAC)) == (app, lpac)


def test_where_a_package_is_let_in_other_programs_of_low_integrity_are_not() -> None:
    text = f"O:{ME}D:(A;;GA;;;WD)(A;;GA;;;{PACKAGE})S:(ML;;NW;;;LW)"
    assert judge(parse(text), LOW).reasons == (Reason(Decider.APPCONTAINER, ALL, 1, PACKAGE),)
    assert granted(text, PLAIN) == granted(text, APP) == ALL
    assert granted("D:(A;;GA;;;WD)(A;;GA;;;AC)S:(ML;;NW;;;LW)", LOW) == ALL


def test_an_account_that_only_a_domain_knows_is_no_apps() -> None:
    found = judge(parse("D:(A;;GA;;;WD)(A;;GA;;;DA)"), APP)
    assert (found.granted, found.unknown) == (NONE, NONE)


def test_what_an_app_lacks_is_told() -> None:
    assert judge(parse("D:(A;;GA;;;WD)"), APP, READ).reasons == (Reason(Decider.APPCONTAINER, READ),)


# What is asked for


@pytest.mark.parametrize(
    ("asked", "rights"),
    [
        (Access.GENERIC_READ, READ),
        (Access.GENERIC_WRITE, WRITE & ~CREATE | Access.FILE_READ_ATTRIBUTES),
        (Access.DUPLEX, Access.PIPE_CLIENT),
        (Access.GENERIC_ALL, ALL & ~CREATE),
        (Access.NONE, Access.SYNCHRONIZE | Access.FILE_READ_ATTRIBUTES),
    ],
)
def test_a_client_asks_for_no_instance(asked: Access, rights: Access) -> None:
    assert client_rights(asked) == rights


def test_a_server_asks_for_an_instance() -> None:
    assert server_rights() == CREATE | Access.SYNCHRONIZE
    assert server_rights(Access.GENERIC_READ) == READ | CREATE
    text = "D:(A;;0x12019b;;;WD)"
    assert judge(parse(text), PLAIN, client_rights(Access.DUPLEX)).is_allowed
    assert judge(parse(text), PLAIN, server_rights(Access.DUPLEX)).missing == CREATE


def test_a_request_succeeds_whole_or_not_at_all() -> None:
    found = judge(parse("D:(A;;GR;;;WD)"), PLAIN, Access.GENERIC_READ | Access.GENERIC_WRITE)
    assert (found.is_allowed, found.is_possible, found.missing) == (False, False, WRITE & ~READ)
    assert judge(parse("D:(A;;GR;;;WD)"), PLAIN, Access.GENERIC_READ).is_allowed


def test_the_maximum_is_what_there_is_and_fails_only_without_any() -> None:
    some = judge(parse("D:(A;;GR;;;WD)"), PLAIN, Access.MAXIMUM_ALLOWED)
    assert (some.granted, some.missing, some.is_allowed) == (READ, NONE, True)
    none = judge(parse("D:(A;;GR;;;BA)"), PLAIN, Access.MAXIMUM_ALLOWED)
    assert (none.granted, none.is_allowed, none.is_possible) == (NONE, False, False)
    both = judge(parse("D:(A;;GR;;;WD)"), PLAIN, Access.MAXIMUM_ALLOWED | Access.WRITE_DAC)
    assert (both.granted, both.missing, both.is_allowed) == (READ, Access.WRITE_DAC, False)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ("(A;;GA;;;WD)", "full control"),
        ("(A;;0x12019b;;;WD)", "read and write"),
        ("(A;;GR;;;BA)", "nothing"),
        ("(A;;GR;;;WD)(XA;;0x12019b;;;WD;(x))", "read (perhaps read and write)"),
        ("(XA;;GR;;;WD;(x))", "nothing (perhaps read)"),
    ],
)
def test_the_outcome_is_told_in_words(entries: str, words: str) -> None:
    assert judge(parse(f"D:{entries}"), PLAIN).in_words() == words


# All of it once more, right by right, as [MS-DTYP] tells it

ENTRIES = [
    "(A;;GA;;;WD)", "(A;;GRGW;;;AU)", f"(D;;GW;;;{ME})", "(D;;GR;;;BA)", "(A;;GW;;;BA)", "(A;;GR;;;RC)",
    "(D;;0x2;;;RC)", f"(A;;GA;;;{PACKAGE})", "(A;;GRGW;;;AC)", f"(A;;GR;;;{CAPABILITY})", "(A;;RC;;;OW)",
    "(A;IO;GA;;;WD)", "(XA;;GW;;;WD;(x))", "(XD;;GR;;;WD;(x))",
]  # fmt: skip
LISTS = ["NO_ACCESS_CONTROL", "", *("".join(entries) for n in (1, 2) for entries in product(ENTRIES, repeat=n))]
DESCRIPTORS = [
    f"{owner}D:{entries}{label}"
    for (owner, label), entries in product(
        [("O:SY", ""), (f"O:{ME}", "S:(ML;;NW;;;LW)"), ("O:BA", "S:(ML;;NWNR;;;HI)")], LISTS
    )
]
RIGHTS = [Access(1 << bit) for bit in range(21) if ALL & (1 << bit)]


def may(descriptor: Descriptor, token: Token, right: Access, conditions_hold: bool) -> bool:
    """Whether one right is granted if all conditions hold, or none: the rules one after another, for one right."""
    assert descriptor.dacl is not None
    entries = [entry for entry in descriptor.dacl.entries if AceFlags.INHERIT_ONLY not in entry.flags]
    entries = [entry for entry in entries if conditions_hold or not entry.condition]
    holders = (token.groups | {token.user or ""}) - token.deny_only
    level, policy = 0x2000, LabelPolicy.NO_WRITE_UP
    if descriptor.label:
        level, policy = int(descriptor.label.level.split("-")[-1]), descriptor.label.policy
    assert token.integrity is not None
    if token.integrity < 0x2000 and not token.is_appcontainer and any(e.account == PACKAGE for e in entries):
        return False
    if token.integrity < level and not (token.is_appcontainer and level <= 0x2000):
        is_read = right in READ
        is_execute = not is_read and right in EXECUTE
        if not (is_read or is_execute) or (
            is_read and LabelPolicy.NO_READ_UP in policy and right is not Access.SYNCHRONIZE
        ):
            return False
    if descriptor.dacl.is_null:
        return not token.is_appcontainer
    is_owner = descriptor.owner in holders and (not token.restricted or descriptor.owner in token.restricted)
    result = False
    if is_owner and right in OWNERS and OWNER_RIGHTS not in [entry.account for entry in entries]:
        result = True
    else:
        passes = [(holders, holders | token.deny_only)]
        if token.restricted and not (token.is_write_restricted and (right in UP or right == 0x40)):
            passes.append((token.restricted, token.restricted))
        result = all(first_decides(entries, right, *sids, is_owner) for sids in passes)
    if result and token.is_appcontainer:
        let_in = {PACKAGE, CAPABILITY, ALL_RESTRICTED_PACKAGES} | (set() if token.is_lpac else {ALL_PACKAGES})
        result = any(e.kind is Kind.ALLOW and e.account in let_in and right in e.mask for e in entries)
    return result


def first_decides(
    entries: list[AccessEntry], right: Access, allow: frozenset[str], deny: frozenset[str], is_owner: bool
) -> bool:
    for entry in entries:
        sids = deny if entry.kind is Kind.DENY else allow
        if right in entry.mask and (is_owner if entry.account == OWNER_RIGHTS else entry.account in sids):
            return entry.kind is Kind.ALLOW
    return False


@pytest.mark.parametrize("name", TOKENS)
def test_hundreds_of_descriptors_are_judged_as_right_by_right(name: str) -> None:
    token = TOKENS[name]
    assert len(DESCRIPTORS) > 600
    for text in DESCRIPTORS:
        descriptor = parse(text)
        found = judge(descriptor, token)
        for right in RIGHTS:
            if right & found.unknown:
                continue
            sure = (
                may(descriptor, token, right, conditions_hold=True),
                may(descriptor, token, right, conditions_hold=False),
            )
            assert sure == (bool(right & found.granted),) * 2, (text, name, right)


# What always holds

PRIVILEGED = ELEVATED._replace(privileges=frozenset(Privilege))
_TOKENS = st.sampled_from([*TOKENS.values(), PRIVILEGED, SOMEBODY])
_ENTRIES = st.lists(st.sampled_from(ENTRIES), max_size=5)
_OWNERS = st.sampled_from(["", f"O:{ME}", "O:BA", "O:WD"])
_LABELS = st.sampled_from(["", "S:(ML;;NW;;;LW)", "S:(ML;;NW;;;HI)", "S:(ML;;NWNR;;;SI)"])
_ASKED = st.sampled_from([ALL, Access.MAXIMUM_ALLOWED, Access.DUPLEX, Access.GENERIC_WRITE | Access.WRITE_DAC])


def judged(owner: str, entries: list[str], label: str, token: Token, asked: Access = ALL) -> Judgement:
    return judge(parse(f"{owner}D:{''.join(entries)}{label}"), token, asked)


@given(_OWNERS, _ENTRIES, _LABELS, _TOKENS, _ASKED)
def test_every_right_has_exactly_one_reason_that_agrees_with_the_outcome(
    owner: str, entries: list[str], label: str, token: Token, asked: Access
) -> None:
    found = judged(owner, entries, label, token, asked)
    told = NONE
    for reason in found.reasons:
        assert reason.rights
        assert not reason.rights & told
        told |= reason.rights
        is_granted = reason.decider in (Decider.ALLOW, Decider.NO_LIST, Decider.OWNER, Decider.PRIVILEGE)
        assert reason.rights & found.granted == (reason.rights if is_granted else NONE)
        assert reason.rights & found.unknown == (reason.rights if reason.decider is Decider.UNKNOWN else NONE)
        assert reason.entry is not None or reason.decider not in (Decider.ALLOW, Decider.DENY)
        if reason.entry is not None:
            assert parse(f"D:{''.join(entries)}").dacl.entries[reason.entry].account == reason.account  # type: ignore[union-attr]
    wanted = ALL if asked == Access.MAXIMUM_ALLOWED else found.desired
    assert told == wanted
    assert not found.granted & found.unknown


_PLACES = st.integers(0, 5)
_MASKS = st.sampled_from(["GA", "GR", "GW", "0x4", "WD"])
# An entry for the owner takes the owner's rights away, and one for a package shuts out others: not these.
_ACCOUNTS = st.sampled_from(["WD", "AU", "BA", "RC", "AC", ME, CAPABILITY, "DA"])


@given(_OWNERS, _ENTRIES, _LABELS, _TOKENS, _PLACES, _MASKS, _ACCOUNTS)
def test_one_more_entry_that_allows_takes_no_right_away(
    owner: str, entries: list[str], label: str, token: Token, place: int, mask: str, account: str
) -> None:
    before = judged(owner, entries, label, token)
    after = judged(owner, [*entries[:place], f"(A;;{mask};;;{account})", *entries[place:]], label, token)
    assert not before.granted & ~after.granted
    assert not (before.granted | before.unknown) & ~(after.granted | after.unknown)


@given(_OWNERS, _ENTRIES, _LABELS, _TOKENS, _PLACES, _MASKS, _ACCOUNTS)
def test_one_more_entry_that_denies_gives_no_right(
    owner: str, entries: list[str], label: str, token: Token, place: int, mask: str, account: str
) -> None:
    before = judged(owner, entries, label, token)
    after = judged(owner, [*entries[:place], f"(D;;{mask};;;{account})", *entries[place:]], label, token)
    assert not after.granted & ~before.granted
    assert not (after.granted | after.unknown) & ~(before.granted | before.unknown)


@given(_OWNERS, _ENTRIES, _LABELS, _TOKENS, st.randoms())
def test_order_matters_only_between_what_denies_and_what_allows(
    owner: str, entries: list[str], label: str, token: Token, random: object
) -> None:
    denials = [entry for entry in entries if entry[1:].startswith(("D", "XD"))]
    others = [entry for entry in entries if entry not in denials]
    before = judged(owner, denials + others, label, token)
    random.shuffle(denials)  # type: ignore[attr-defined]
    random.shuffle(others)  # type: ignore[attr-defined]
    after = judged(owner, denials + others, label, token)
    assert (before.granted, before.unknown) == (after.granted, after.unknown)


@given(_OWNERS, _ENTRIES, _LABELS, _TOKENS)
def test_the_maximum_is_each_right_that_would_be_granted_alone(
    owner: str, entries: list[str], label: str, token: Token
) -> None:
    token = token._replace(privileges=None)  # what they give, only a request by name gets
    most = judged(owner, entries, label, token, Access.MAXIMUM_ALLOWED)
    assert [right for right in RIGHTS if judged(owner, entries, label, token, right).is_allowed] == [
        right for right in RIGHTS if right & most.granted
    ]


@given(_OWNERS, _LABELS, st.sampled_from([token for token in TOKENS.values() if not token.is_appcontainer]))
def test_without_a_list_only_integrity_limits(owner: str, label: str, token: Token) -> None:
    found = judged(owner, ["NO_ACCESS_CONTROL"], label, token)
    assert {reason.decider for reason in found.reasons} <= {Decider.NO_LIST, Decider.INTEGRITY}
    assert judged(owner, ["NO_ACCESS_CONTROL"], label, token._replace(integrity=None)).granted == ALL


@given(_OWNERS, _ENTRIES, _LABELS)
def test_a_limited_token_never_gets_more_than_the_one_that_it_was_made_of(
    owner: str, entries: list[str], label: str
) -> None:
    most = judged(owner, entries, label, PLAIN).granted
    for name in ("filtered", "low", "restricted", "write-restricted"):
        assert not judged(owner, entries, label, TOKENS[name]).granted & ~most, name


def test_a_thousand_descriptors_take_well_under_a_second() -> None:
    some = [parse(text) for text in (DESCRIPTORS * 2)[:1000]]
    begin = time.perf_counter()
    for descriptor in some:
        judge(descriptor, RESTRICTING)
    assert time.perf_counter() - begin < 1

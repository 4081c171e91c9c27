"""Access lists as text: what they say, in values and in words, whom they let in, and which one a server gets."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipectl.core.constants import Access
from pipectl.core.security.access_check import allowed
from pipectl.core.security.sddl import (
    AccessEntry,
    AceFlags,
    Dacl,
    Descriptor,
    Kind,
    Label,
    LabelPolicy,
    dacl_in_words,
    for_server,
    label_in_words,
    parse,
    text_of,
)
from pipectl.core.security.sids import EVERYONE, canonical

ME = "S-1-5-21-1-2-3-1001"
SYSTEM, ADMINS, USERS = canonical("SY"), canonical("BA"), canonical("AU")
NETWORK = canonical("NU")

ALL = Access.FILE_ALL_ACCESS
READ, WRITE = Access.FILE_GENERIC_READ, Access.FILE_GENERIC_WRITE


def dacl_of(entries: str) -> Dacl:
    dacl = parse(f"D:{entries}").dacl
    assert dacl is not None
    return dacl


def words_of(entries: str) -> list[str]:
    return dacl_in_words(dacl_of(entries), {ME: "HOST\\ann"}.get)


# Reading


def test_all_parts_of_a_descriptor_are_read() -> None:
    text = f"O:BAG:S-1-5-18D:PAI(D;;GA;;;NU)(A;CIIOID;0x12019b;;;{ME})S:(AU;SA;GA;;;WD)(ML;;NWNR;;;LW)"
    assert parse(text) == Descriptor(
        owner=ADMINS,
        group=SYSTEM,
        dacl=Dacl(
            (
                AccessEntry(Kind.DENY, NETWORK, ALL),
                AccessEntry(
                    Kind.ALLOW,
                    ME,
                    Access.PIPE_CLIENT,
                    AceFlags.CONTAINER_INHERIT | AceFlags.INHERIT_ONLY | AceFlags.INHERITED,
                ),
            )
        ),
        label=Label("S-1-16-4096", LabelPolicy.NO_WRITE_UP | LabelPolicy.NO_READ_UP),
    )


def test_what_a_descriptor_does_not_tell_is_none() -> None:
    assert parse("") == Descriptor()
    assert parse("O:BA").dacl is None
    assert parse("S:").label is None
    assert parse("S:(AU;SA;GA;;;WD)").label is None


def test_an_empty_list_and_no_list_are_different() -> None:
    assert parse("D:").dacl == parse("D:P").dacl == Dacl()
    assert parse("D:NO_ACCESS_CONTROL").dacl == parse("D:PNO_ACCESS_CONTROL").dacl == Dacl(is_null=True)


def test_letters_that_look_like_the_next_part_are_an_account() -> None:
    assert parse("O:DAG:DDD:(A;;GA;;;SO)") == Descriptor("DA", "DD", dacl_of("(A;;GA;;;SO)"))


def test_case_and_spaces_make_no_difference() -> None:
    assert parse("o:ba d:p (a; ;fr fw;;;wd )".replace("fr fw", "frfw")) == parse("O:BAD:P(A;;FRFW;;;WD)")


@pytest.mark.parametrize(
    ("rights", "mask"),
    [
        ("GA", ALL),
        ("FA", ALL),
        ("GR", READ),
        ("FR", READ),
        ("GW", WRITE),
        ("GRGW", READ | WRITE),
        ("0xc0000000", READ | WRITE),
        ("3221225472", READ | WRITE),
        ("CCDCLC", Access.FILE_READ_DATA | Access.FILE_WRITE_DATA | Access.FILE_CREATE_PIPE_INSTANCE),
        ("RCWDWO", Access.READ_CONTROL | Access.WRITE_DAC | Access.WRITE_OWNER),
        ("0x12019B", Access.PIPE_CLIENT),
        ("", Access.NONE),
        ("0", Access.NONE),
    ],
)
def test_rights_become_those_of_a_pipe(rights: str, mask: Access) -> None:
    assert dacl_of(f"(A;;{rights};;;WD)").entries[0].mask == mask


def test_a_condition_is_kept_with_its_own_parentheses_and_quotes() -> None:
    condition = '(@User.Title == "a)b(" && (Member_of {SID(BA)}; 1))'
    assert parse(f"D:(XA;;FX;;;WD;{condition})(A;;GA;;;BA)").dacl == Dacl(
        (
            AccessEntry(Kind.ALLOW, EVERYONE, Access.FILE_GENERIC_EXECUTE, condition=condition),
            AccessEntry(Kind.ALLOW, ADMINS, ALL),
        )
    )


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "(A;;GA;;;WD)",
        "D",
        "D:X",
        "D:(",
        "D:)",
        "D:(A;;GA;;;WD",
        "D:(A;;GA;;;WD))",
        "D:(A;;GA;;;WD)(",
        "D:(A;;GA;;;WD)P",
        "D:()",
        "D:(A)",
        "D:(A;;GA;;WD)",
        "D:(A;;GA;;;)",
        "D:(A;;GA;;;Users)",
        "D:(B;;GA;;;WD)",
        "D:(AU;;GA;;;WD)",
        "D:(A;XX;GA;;;WD)",
        "D:(A;;G;;;WD)",
        "D:(A;;GAG;;;WD)",
        "D:(A;;ZZ;;;WD)",
        "D:(A;;017;;;WD)",
        "D:(A;;0x100000000;;;WD)",
        "D:(A;;4294967296;;;WD)",
        "D:(A;;-1;;;WD)",
        'D:(XA;;GA;;;WD;(a=="b))',
        "D:D:",
        "D:(A;;GA;;;WD)d:",
        "D:NO_ACCESS_CONTROL(A;;GA;;;WD)",
        "O:",
        "O:BABA",
        "O:BA(A;;GA;;;WD)",
        "O:S-1-5-D:",
        "S:(ML;;GA;;;LW)",
        "S:(ML)",
        "S:hello",
        "S:)(",
        "D:" + "(" * 100_000,
    ],
)
def test_what_is_no_descriptor_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the type is the contract
        parse(text)


_LETTERS = st.sampled_from(["O:", "G:", "D:", "S:", "P", "A", "D", "XA", "ML", "GA", "NW", "WD", "NO_ACCESS_CONTROL"])
_OTHERS = st.sampled_from(["(", ")", ";", ";;;", "0x12019b", "S-1-5-18", '"', " ", "(A;;GA;;;WD)", "(ML;;NW;;;LW)"])


@given(st.lists(_LETTERS | _OTHERS | st.text(max_size=3), max_size=20).map("".join))
@example('D:(XA;;GA;;;WD;")")')
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        descriptor = parse(text)
    except ValueError:
        return
    if descriptor.dacl is not None:
        assert dacl_in_words(descriptor.dacl)
        assert allowed(descriptor.dacl, {EVERYONE, ME}, ME) & ~0xFFFF_FFFF == 0
    if descriptor.label is not None:
        assert label_in_words(descriptor.label)


_ENTRIES = st.builds(
    AccessEntry,
    st.sampled_from(Kind),
    st.sampled_from([EVERYONE, ADMINS, ME, "DA", "S-1-5-5-0-7"]),
    # Without the generic bits, which are read as what they stand for.
    st.integers(0, 0x0FFF_FFFF).map(Access),
    st.integers(0, 0xFF).map(AceFlags),
    st.just(""),
)


@given(st.lists(_ENTRIES).map(lambda entries: Dacl(tuple(entries))))
def test_a_list_that_was_written_is_read_again(dacl: Dacl) -> None:
    assert parse(text_of(dacl)).dacl == dacl


@pytest.mark.parametrize(
    "text",
    [
        "D:P",
        "D:PNO_ACCESS_CONTROL",
        "D:P(A;;GA;;;SY)(D;IO;0x12019b;;;S-1-5-21-1-2-3-1001)S:(ML;;NWNR;;;LW)",
        'D:P(XA;;0x1;;;WD;(@User.Title == "a;b"))(XD;;GA;;;DA;(x))',
    ],
)
def test_a_descriptor_is_written_as_it_was_read(text: str) -> None:
    descriptor = parse(text)
    assert descriptor.dacl is not None
    assert text_of(descriptor.dacl, descriptor.label) == text


# Telling


def test_an_access_list_is_told_in_words() -> None:
    assert words_of(f"(D;;GA;;;NU)(A;;GA;;;{ME})(A;;FA;;;DA)(A;;0x12019b;;;AU)(A;;GR;;;WD)(A;;GW;;;BU)") == [
        "Network: denied",
        "HOST\\ann: full control",
        "Domain Admins: full control",
        "Authenticated Users: read and write",
        "Everyone: read",
        "Users: write and create instances of the pipe (could impersonate the server)",
    ]


def test_odd_rights_are_told_in_words_too() -> None:
    assert words_of("(A;;WDWO;;;WD)(D;;GRGW;;;AN)(A;;RC;;;BU)(A;;0x3;;;BA)(A;;0x20;;;AC)(D;;0x2;;;S-1-9-9)") == [
        "Everyone: change the ACL and take ownership",
        "Anonymous: may not read, write or create instances of the pipe (could impersonate the server)",
        "Users: read its attributes",
        "Administrators: read and write (only 0x3)",
        "All Application Packages: use right 0x20",
        "S-1-9-9: may not write",
    ]


def test_a_condition_is_told_as_it_is_written() -> None:
    assert words_of('(XA;;GR;;;WD;(@User.x == "y"))') == ['Everyone: read, if (@User.x == "y")']


def test_nobody_and_everybody_are_told_apart() -> None:
    assert words_of("") == words_of("(A;IO;GA;;;WD)") == ["Nobody: no access (the ACL is empty)"]
    assert words_of("NO_ACCESS_CONTROL") == ["Everyone: full control (the pipe has no ACL)"]


def test_a_label_is_told_in_words() -> None:
    both = LabelPolicy.NO_WRITE_UP | LabelPolicy.NO_READ_UP
    assert label_in_words(Label("S-1-16-4096", both)) == "Low integrity: programs below it may not read or write"
    assert label_in_words(Label("S-1-16-12288", LabelPolicy.NO_WRITE_UP)) == (
        "High integrity: programs below it may not write"
    )
    assert label_in_words(Label("S-1-16-8192", LabelPolicy.NO_EXECUTE_UP)) == "Medium integrity: keeps nobody out"


# Writing

ACCOUNTS = {"Users": "S-1-5-32-545", "HOST\\bob": "S-1-5-21-1-2-3-1002", "HOST\\ann": ME}.get


BASE = f"(A;;GA;;;{ME})(A;;GA;;;SY)(A;;GA;;;BA)"


@pytest.mark.parametrize(
    ("allow", "entries"),
    [
        ([], BASE),
        (["me"], f"(A;;GA;;;{ME})(A;;GA;;;SY)"),
        (["admins"], BASE),
        (["me", "Admins"], BASE),
        (["users"], f"{BASE}(A;;0x12019b;;;AU)"),
        (
            ["EVERYONE", "users", "everyone"],
            f"{BASE}(A;;0x12019b;;;WD)(A;;0x12019b;;;AU)",
        ),
        (["appcontainer"], f"{BASE}(A;;0x12019b;;;AC)S:(ML;;NW;;;LW)"),
        (["s-1-5-0x20-545"], f"{BASE}(A;;0x12019b;;;S-1-5-32-545)"),
        (["HOST\\bob"], f"{BASE}(A;;0x12019b;;;S-1-5-21-1-2-3-1002)"),
        (["HOST\\ann", "S-1-5-18", "S-1-5-32-544"], BASE),
    ],
)
def test_a_server_lets_in_whom_it_is_told_to(allow: list[str], entries: str) -> None:
    assert for_server(allow, ME, ACCOUNTS) == for_server(allow, ME, ACCOUNTS, owner=ME) == f"D:P{entries}"


@pytest.mark.parametrize(
    ("allow", "entries"),
    [
        ([], f"(A;;GA;;;BA)(A;;GA;;;SY)(A;;0x12019b;;;{ME})"),
        (["me"], f"(A;;GA;;;{ADMINS})(A;;GA;;;SY)(A;;0x12019b;;;{ME})"),
        (["users"], f"(A;;GA;;;BA)(A;;GA;;;SY)(A;;0x12019b;;;{ME})(A;;0x12019b;;;AU)"),
        ([ME], f"(A;;GA;;;BA)(A;;GA;;;SY)(A;;0x12019b;;;{ME})"),
    ],
)
def test_of_an_elevated_server_its_user_is_a_client_alone(allow: list[str], entries: str) -> None:
    assert for_server(allow, ME, ACCOUNTS, owner=ADMINS) == f"D:P{entries}"


def test_the_system_is_always_elevated() -> None:
    assert for_server(["me"], SYSTEM, ACCOUNTS, owner=ADMINS) == "D:P(A;;GA;;;SY)"


def test_an_app_needs_a_label_that_lets_low_integrity_write() -> None:
    label = parse(for_server(["appcontainer", "users"], ME, ACCOUNTS)).label
    assert label == Label("S-1-16-4096", LabelPolicy.NO_WRITE_UP)
    assert parse(for_server(["users"], ME, ACCOUNTS)).label is None


def test_clients_may_do_all_but_pose_as_the_server() -> None:
    dacl = parse(for_server(["users"], ME, ACCOUNTS)).dacl
    assert dacl is not None
    assert allowed(dacl, {USERS}) == (READ | WRITE) & ~Access.FILE_CREATE_PIPE_INSTANCE
    assert allowed(dacl, {ME, USERS}) == ALL
    assert allowed(dacl, {ME, USERS, NETWORK}) == ALL  # ssh and WinRM log on over the network to this computer


def test_a_whole_descriptor_is_taken_as_it_is() -> None:
    assert for_server(["SDDL:D:(A;;GA;;;WD)"], ME, ACCOUNTS) == "D:(A;;GA;;;WD)"


@pytest.mark.parametrize(
    "allow",
    [
        ["sddl:D:", "me"],
        ["me", "sddl:D:"],
        ["sddl:hello"],
        ["nobody"],
        [""],
        ["S-1-"],
        ["S-1-5-x"],
        ["users", "Nobody"],
    ],
)
def test_nobody_is_let_in_by_mistake(allow: list[str]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the type is the contract
        for_server(allow, ME, ACCOUNTS)


def test_a_refusal_says_what_is_possible() -> None:
    with pytest.raises(ValueError, match="me, admins, users, everyone, appcontainer") as raised:
        for_server(["usres"], ME, ACCOUNTS)
    assert "`usres`" in str(raised.value)

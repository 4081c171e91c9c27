"""Tokens: their contents, those of users who are not logged on, and our access check against the system's."""

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.constants import Access, WinError
from pipectl.core.errors import PipeError, UnsupportedError
from pipectl.core.security import tokens
from pipectl.core.security.access_check import Elevation, Integrity, Token, judge
from pipectl.core.security.accounts import current_owner_sid, current_user_sid
from pipectl.core.security.sddl import parse
from pipectl.core.security.sids import ALL_PACKAGES, ANONYMOUS, EVERYONE, INTERACTIVE, NETWORK, SYSTEM, canonical
from pipectl.core.win32 import winapi
from pipectl.core.win32.processes import TokenInformation

from . import oracle

ME = current_user_sid()
OTHER = "S-1-5-21-1-2-3-1001"
LOGON = "S-1-5-5-1-2"
HERE = Token(ME, frozenset((EVERYONE, INTERACTIVE, LOGON)), session=1, logon=frozenset((LOGON,)))


# Told by the system


def test_my_token_has_my_sids() -> None:
    token = tokens.current()
    assert token.user == ME
    assert token.groups == oracle.my_groups()
    assert current_owner_sid() in token.allowed_sids


def test_my_token_is_of_a_session_a_level_and_a_logon() -> None:
    token = tokens.current()
    assert token.integrity in range(Integrity.LOW, Integrity.SYSTEM + 1)
    assert isinstance(token.session, int)
    assert token.logon
    assert token.logon <= token.groups
    assert all(sid.startswith("S-1-5-5-") for sid in token.logon)
    assert token.is_appcontainer is False
    assert token.package is None


def test_another_process_is_asked_by_its_number() -> None:
    assert tokens.of_process(os.getpid()) == tokens.current()


def test_a_process_that_is_not_there_has_no_token() -> None:
    with pytest.raises(PipeError):
        tokens.of_process(0xFFFF_FFF0)


def test_a_group_that_was_disabled_only_denies() -> None:
    group = canonical("BU")
    with oracle.token_without([group]) as handle:
        token = tokens.of_handle(handle)
    assert group in token.deny_only
    assert group not in token.allowed_sids
    assert token.groups == tokens.current().groups - {group}


def test_the_other_half_is_of_the_same_user_where_there_is_one() -> None:
    other = tokens.linked()
    if other is not None:
        assert other.user == ME
        assert other.elevation is not tokens.current().elevation


def test_what_the_system_does_not_tell_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    tell = winapi.GetTokenInformation

    def silent(token: object, which: int, *arguments: object) -> object:
        if which not in (TokenInformation.USER, TokenInformation.GROUPS):
            raise PipeError("not told", code=1)
        return tell(token, which, *arguments)

    monkeypatch.setattr(winapi, "GetTokenInformation", silent)
    token = tokens.current()
    known = {name for name, value in token._asdict().items() if value is not None}
    assert known == {"user", "groups", "deny_only", "logon", "has_all_groups"}
    assert tokens.linked() is None


def test_a_list_without_items_may_end_after_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tell = winapi.GetTokenInformation

    def empty(token: object, which: int, buffer: object, length: int, size: object) -> object:
        if which != TokenInformation.RESTRICTED_SIDS:
            return tell(token, which, buffer, length, size)
        size._obj.value = 4  # type: ignore[attr-defined]
        return 0 if length else WinError.INSUFFICIENT_BUFFER

    monkeypatch.setattr(winapi, "GetTokenInformation", empty)
    assert tokens.current().restricted == frozenset()


@pytest.mark.windows(reason="Wine restricts no token", claim="W17")
@pytest.mark.parametrize("flags", [0, 0x8])  # WRITE_RESTRICTED
def test_restricting_sids_are_told(flags: int) -> None:
    with oracle.token_without([], [EVERYONE], flags) as handle:
        token = tokens.of_handle(handle)
    assert token.restricted == frozenset((EVERYONE,))
    assert token.is_write_restricted is bool(flags)


# Constructed


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Token:
    monkeypatch.setattr(tokens, "current", lambda: HERE)
    return HERE


def test_low_integrity_changes_nothing_else(here: Token) -> None:
    assert tokens.constructed("low") == here._replace(integrity=Integrity.LOW)


@pytest.mark.usefixtures("here")
def test_an_app_is_let_in_by_entries_for_all_apps() -> None:
    app = tokens.constructed("AppContainer")
    assert judge(parse(f"D:(A;;GA;;;{ME})(A;;GR;;;{ALL_PACKAGES})"), app).granted == Access.FILE_GENERIC_READ
    assert judge(parse(f"D:(A;;GA;;;{ME})"), app).granted == Access.NONE


def test_over_the_network_is_no_logon_of_this_computer(here: Token) -> None:
    token = tokens.constructed("network")
    assert token.groups == {EVERYONE, NETWORK}
    assert (token.user, token.session, token.logon) == (here.user, None, None)


@pytest.mark.parametrize("who", ["anonymous", ANONYMOUS, "S-1-5-7"])
def test_who_has_not_logged_on_is_anonymous_alone(who: str) -> None:
    token = tokens.constructed(who)
    assert token.allowed_sids == {ANONYMOUS}
    assert token.integrity == Integrity.UNTRUSTED


def test_a_user_is_one_of_everyone_and_no_administrator() -> None:
    for who in ("users", OTHER):
        token = tokens.constructed(who)
        assert token.groups >= {EVERYONE, canonical("AU"), canonical("BU")}
        assert canonical("BA") not in token.allowed_sids
        assert token.integrity == Integrity.MEDIUM
    assert OTHER in token.allowed_sids


def test_the_groups_of_an_account_that_is_not_here_are_unknown() -> None:
    assert judge(parse("D:(A;;GR;;;BA)"), tokens.constructed(OTHER)).unknown == Access.FILE_GENERIC_READ
    for who in ("users", "anonymous", SYSTEM, "S-1-5-19"):
        assert tokens.constructed(who).has_all_groups


def test_system_is_an_administrator_of_its_own_level() -> None:
    token = tokens.constructed(SYSTEM)
    assert token.allowed_sids >= {SYSTEM, canonical("BA")}
    assert token.integrity == Integrity.SYSTEM


def test_a_process_is_meant_by_its_number() -> None:
    assert tokens.by_name(f"pid:{os.getpid()}") == tokens.of_process(os.getpid())
    with pytest.raises(ValueError, match="`x` is not the number of a process"):
        tokens.by_name("pid:x")
    with pytest.raises(PipeError):
        tokens.by_name("pid:4294967292")


def test_elevated_is_this_user_elevated_or_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    full = HERE._replace(integrity=Integrity.HIGH, elevation=Elevation.FULL)
    monkeypatch.setattr(tokens, "current", lambda: HERE)
    monkeypatch.setattr(tokens, "linked", lambda: full)
    assert tokens.by_name("Elevated") == full
    for other in (None, HERE._replace(integrity=Integrity.MEDIUM)):
        monkeypatch.setattr(tokens, "linked", lambda other=other: other)
        with pytest.raises(UnsupportedError):
            tokens.by_name("elevated")
    monkeypatch.setattr(tokens, "current", lambda: full)
    assert tokens.by_name("elevated") == full


def test_a_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "account_sid", {"bob": ME}.get)
    assert tokens.constructed("bob").user == ME
    with pytest.raises(ValueError, match="unknown account `alice`: use low, appcontainer, network, anonymous, users"):
        tokens.constructed("alice")


# Judged as the system judges


@pytest.fixture(scope="module")
def system_allows() -> Iterator[Callable[[str], Access]]:
    with oracle.my_token() as token, oracle.access_check(token) as check:
        yield check


_MINE = tokens.current()
_MY_SIDS = sorted(_MINE.allowed_sids)
_RIGHTS = st.sampled_from(["GA", "GR", "GW", "GRGW", "FR", "FW", "0x12019b", "0x1", "0x2", "0x4", "RC", "WDWO", "SD"])


def _entries(kinds: str, accounts: list[str]) -> st.SearchStrategy[str]:
    return st.builds(
        "({};{};{};;;{})".format,
        st.sampled_from(kinds),
        st.sampled_from(["", "", "OICI", "CIIO", "NP"]),
        _RIGHTS,
        st.sampled_from(accounts),
    )


_STRANGERS = ["S-1-5-32-551", "S-1-5-21-9-9-9-9", "AN"]
_ENTRIES = _entries("AD", [*_MY_SIDS, *_STRANGERS])


def ours(text: str, token: Token) -> Access:
    return judge(parse(text), token).granted & oracle.ALL_ASKED


@given(entries=st.lists(_ENTRIES, max_size=6).map("".join))
def test_what_we_find_allowed_is_what_the_system_allows(system_allows: Callable[[str], Access], entries: str) -> None:
    text = f"O:S-1-5-21-9-9-9-9G:S-1-5-21-9-9-9-9D:{entries}"
    assert ours(text, _MINE) == system_allows(text)


@pytest.mark.windows(reason="Wine gives an owner every standard right, and not only two", claim="W11")
@given(entries=st.lists(_ENTRIES, max_size=3).map("".join))
def test_what_we_find_allowed_to_an_owner_is_what_the_system_allows(
    system_allows: Callable[[str], Access], entries: str
) -> None:
    text = f"O:{ME}G:{ME}D:{entries}"
    assert ours(text, _MINE) == system_allows(text)


_DISABLED = [EVERYONE, canonical("AU")]
# Wine does not see in a group that only denies what an entry denies it.
_OF_DISABLED = _entries("A", [*_DISABLED, *_MY_SIDS]) | _entries(
    "AD", [sid for sid in _MY_SIDS if sid not in _DISABLED]
)


@pytest.fixture(scope="module")
def disabled() -> Iterator[tuple[Token, Callable[[str], Access]]]:
    with oracle.token_without(_DISABLED) as handle, oracle.access_check(handle) as check:
        yield tokens.of_handle(handle), check


@given(entries=st.lists(_OF_DISABLED, max_size=6).map("".join))
def test_what_we_find_allowed_without_some_groups_is_what_the_system_allows(
    disabled: tuple[Token, Callable[[str], Access]], entries: str
) -> None:
    token, system_allows = disabled
    text = f"O:S-1-5-21-9-9-9-9G:S-1-5-21-9-9-9-9D:{entries}"
    assert ours(text, token) == system_allows(text)


_LABELS = st.sampled_from(["", "S:(ML;;NW;;;LW)", "S:(ML;;NW;;;SI)", "S:(ML;;NWNR;;;SI)", "S:(ML;;NWNRNX;;;SI)"])


@pytest.mark.windows(reason="Wine asks no label, and a group that only denies is not looked for", claim="W17")
@given(entries=st.lists(_entries("AD", [*_MY_SIDS, *_STRANGERS]), max_size=5).map("".join), label=_LABELS)
def test_labels_and_groups_that_only_deny_are_judged_as_the_system_judges(
    disabled: tuple[Token, Callable[[str], Access]], entries: str, label: str
) -> None:
    token, system_allows = disabled
    text = f"O:S-1-5-21-9-9-9-9G:S-1-5-21-9-9-9-9D:{entries}{label}"
    assert ours(text, token) == system_allows(text)


@pytest.mark.windows(reason="Wine restricts no token", claim="W17")
@pytest.mark.parametrize("flags", [0, 0x8], ids=["restricted", "write-restricted"])
def test_restricted_tokens_are_judged_as_the_system_judges(flags: int) -> None:
    with (
        oracle.token_without([], [EVERYONE, canonical("RC")], flags) as handle,
        oracle.access_check(handle) as system_allows,
    ):
        token = tokens.of_handle(handle)
        for owner in ("S-1-5-21-9-9-9-9", ME, EVERYONE):
            for entries in ("", "(A;;GA;;;WD)", f"(A;;GA;;;{ME})", "(A;;GA;;;RC)", f"(A;;GA;;;{ME})(A;;GW;;;RC)"):
                text = f"O:{owner}G:{ME}D:(D;;0x1;;;RC){entries}"
                assert ours(text, token) == system_allows(text), text

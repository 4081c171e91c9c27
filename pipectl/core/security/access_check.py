"""Access checks: what a token may do with a pipe by its security descriptor, and which rule decides each right.

It is the check that Windows makes when a pipe is opened, as a function of plain values that asks no system. The order
is that of [MS-DTYP] 2.5.3.2 and 2.5.3.3, and what these leave open follows the kernel as Forshaw's "Windows Security
Internals" describes it (chapter 7). Not yet compared with AccessCheck on Windows: labels, AppContainers, restricting
SIDs.

A client is asked for `client_rights`, a server that adds an instance for `server_rights`.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import IntEnum, IntFlag, StrEnum
from typing import NamedTuple

from pipectl.core.constants import Access

from .sddl import AccessEntry, AceFlags, Dacl, Descriptor, Kind, Label, LabelPolicy, rights_in_words, specific
from .sids import ALL_PACKAGES, ALL_RESTRICTED_PACKAGES, EVERYONE, OWNER_RIGHTS

# Who asks


class Integrity(IntEnum):
    """Integrity levels; a token or a label can have numbers between them too."""

    UNTRUSTED = 0x0000
    LOW = 0x1000
    MEDIUM = 0x2000
    HIGH = 0x3000
    SYSTEM = 0x4000


class Privilege(IntEnum):
    """Privileges that matter for pipes, as the numbers (LUIDs) that they have on every Windows."""

    SECURITY = 8
    TAKE_OWNERSHIP = 9
    DEBUG = 20
    IMPERSONATE = 29
    RELABEL = 32


class TokenPolicy(IntFlag):
    """What a token's integrity level keeps it from; without NO_WRITE_UP the level has no effect."""

    NO_WRITE_UP = 0x1
    NEW_PROCESS_MIN = 0x2


class Elevation(IntEnum):
    """Whether a token is one of the two halves of an administrator."""

    DEFAULT = 1
    FULL = 2
    LIMITED = 3


class Token(NamedTuple):
    """The contents of an access token; None means that the system does not report it, and that it limits nothing."""

    user: str | None = None
    # The SIDs of enabled groups.
    groups: frozenset[str] = frozenset()
    # Groups that only deny, as Administrators in the token of an administrator's program that is not elevated. The user
    # can be among them.
    deny_only: frozenset[str] = frozenset()
    # The restricting SIDs; a token without any is not restricted.
    restricted: frozenset[str] | None = None
    is_write_restricted: bool | None = None
    integrity: int | None = None
    policy: TokenPolicy | None = None
    is_appcontainer: bool | None = None
    # The SID of the AppContainer's package.
    package: str | None = None
    capabilities: frozenset[str] | None = None
    # Whether it is a less privileged AppContainer (LPAC), which entries for ALL APPLICATION PACKAGES do not let in.
    is_lpac: bool | None = None
    # Those that are enabled.
    privileges: frozenset[int] | None = None
    elevation: Elevation | None = None
    session: int | None = None
    # The SIDs of its logon session, which are among the groups too.
    logon: frozenset[str] | None = None
    # False: it may belong to more groups of its computer or domain, so that what depends on them is unknown.
    has_all_groups: bool = True

    @property
    def allowed_sids(self) -> frozenset[str]:
        """The SIDs for which entries that allow something count."""
        return (self.groups | {self.user} if self.user else self.groups) - self.deny_only

    def has(self, privilege: Privilege) -> bool:
        """Return whether a privilege is known to be enabled."""
        return self.privileges is not None and privilege in self.privileges


# What is answered


class Decider(StrEnum):
    """What decides a right: the first four grant it."""

    ALLOW = "allow"
    NO_LIST = "no list"
    OWNER = "owner"
    PRIVILEGE = "privilege"
    DENY = "deny"
    NO_ENTRY = "no entry"
    INTEGRITY = "integrity"
    # The restricting SIDs of the token, or its AppContainer, would need an entry too.
    RESTRICTED = "restricted"
    APPCONTAINER = "appcontainer"
    # A condition, an account such as `DA` that only a domain knows, a group that nobody has looked up, or a descriptor
    # without a list.
    UNKNOWN = "unknown"


class Reason(NamedTuple):
    """What decides some rights."""

    decider: Decider
    rights: Access
    # The place of the entry in the list, from 0.
    entry: int | None = None
    # The SID in the entry, or of the owner or the label.
    account: str | None = None
    # The SID in the token that makes the entry count, where it is another one: the owner's, or a package's.
    via: str | None = None


class Judgement(NamedTuple):
    """The outcome of an access check; every right that was asked about is in one of the reasons."""

    desired: Access
    granted: Access
    # Rights that may be granted, depending on what cannot be known here.
    unknown: Access
    reasons: tuple[Reason, ...]

    @property
    def missing(self) -> Access:
        """Rights that were asked for by name and are not surely granted."""
        return self.desired & ~self.granted & ~Access.MAXIMUM_ALLOWED

    @property
    def is_allowed(self) -> bool:
        """Whether the request surely succeeds."""
        return not self.missing and bool(self.granted or not self.desired)

    @property
    def is_possible(self) -> bool:
        """Whether the request may succeed; False is certain."""
        return not self.missing & ~self.unknown and bool(self.granted | self.unknown or not self.desired)

    def in_words(self) -> str:
        """Return what is granted, such as `read and write`, and what perhaps is."""
        surely, perhaps = rights_in_words(self.granted), rights_in_words(self.granted | self.unknown)
        return f"{surely} (perhaps {perhaps})" if self.unknown else surely


def client_rights(access: Access) -> Access:
    """Return the rights that a client's CreateFile asks for: what it names, and two that Win32 adds.

    FILE_CREATE_PIPE_INSTANCE is not among them: it is one bit of GENERIC_WRITE, and the pipe file system leaves it out
    for clients (so ReactOS' npfs does it).
    """
    asked = specific(access) | Access.SYNCHRONIZE | Access.FILE_READ_ATTRIBUTES
    return asked & ~Access.FILE_CREATE_PIPE_INSTANCE


def server_rights(access: Access = Access.NONE) -> Access:
    """Return the rights that CreateNamedPipe asks the first instance's list for, to add an instance."""
    return specific(access) | Access.SYNCHRONIZE | Access.FILE_CREATE_PIPE_INSTANCE


def judge(descriptor: Descriptor, token: Token, desired: Access = Access.FILE_ALL_ACCESS) -> Judgement:
    """Judge each right in `desired`, in which generic rights stand for those of a pipe.

    MAXIMUM_ALLOWED asks about all rights, and misses none. What a privilege would give, only a request by name gets.
    """
    desired = specific(desired)
    named = desired & ~Access.MAXIMUM_ALLOWED
    wanted = named | Access.FILE_ALL_ACCESS if desired & Access.MAXIMUM_ALLOWED else named
    reasons = _decide(descriptor, token, wanted, named)
    return Judgement(desired, _rights(reasons, _GRANTING), _rights(reasons, _DOUBTFUL), tuple(reasons))


def allowed(dacl: Dacl, sids: Collection[str], owner: str | None = None) -> Access:
    """Return what a user surely may do with a pipe whose list this is, integrity levels and privileges aside.

    `sids` are the user's and those of the enabled groups.
    """
    return judge(Descriptor(owner=owner, dacl=dacl), Token(groups=frozenset(sids))).granted


def is_open_to_everyone(dacl: Dacl) -> bool:
    """Return whether anyone at all may write to the pipe, which is worth a warning."""
    return bool(allowed(dacl, (EVERYONE,)) & Access.FILE_WRITE_DATA)


# How it is found: each check returns reasons that together speak of every right that it was asked about, and once.

_EVERYTHING = Access(0xFFFF_FFFF)
_READING = Access.FILE_GENERIC_READ | Access.READ_CONTROL
_EXECUTING = Access.FILE_GENERIC_EXECUTE & ~Access.FILE_GENERIC_READ | Access.SYNCHRONIZE
# What a write-restricted token needs its restricting SIDs for.
_WRITING = (
    Access.FILE_GENERIC_WRITE & ~(Access.FILE_GENERIC_READ | Access.FILE_GENERIC_EXECUTE)
    | Access.DELETE
    | Access.WRITE_DAC
    | Access.WRITE_OWNER
    | Access.ACCESS_SYSTEM_SECURITY
)
_OWNERS = Access.READ_CONTROL | Access.WRITE_DAC
_GRANTING = frozenset((Decider.ALLOW, Decider.NO_LIST, Decider.OWNER, Decider.PRIVILEGE))
_DOUBTFUL = frozenset((Decider.UNKNOWN,))

# The entries of a list that have an effect, each with its place in it.
_Entries = Sequence[tuple[int, AccessEntry]]


def _decide(descriptor: Descriptor, token: Token, wanted: Access, named: Access) -> list[Reason]:
    dacl = descriptor.dacl
    if dacl is None:
        return _reason(Decider.UNKNOWN, wanted)
    entries = [(place, entry) for place, entry in enumerate(dacl.entries) if not entry.flags & AceFlags.INHERIT_ONLY]
    package = _of_others(entries, token)
    if package:
        return _reason(Decider.APPCONTAINER, wanted, *package)
    left = wanted & _within(descriptor.label, token)
    found = [Reason(Decider.NO_LIST, left)] if dacl.is_null else _by_list(entries, token, left, named, descriptor.owner)
    if token.is_appcontainer:
        found = _both(found, _by_package(entries, token, left), Decider.APPCONTAINER)
    return [*_reason(Decider.INTEGRITY, wanted & ~left, None, descriptor.label and descriptor.label.level), *found]


def _reason(
    decider: Decider, rights: Access, entry: int | None = None, account: str | None = None, via: str | None = None
) -> list[Reason]:
    return [Reason(decider, rights, entry, account, via)] if rights else []


def _part(reasons: Iterable[Reason], rights: Access) -> Iterator[Reason]:
    """Yield the part of some reasons that speaks of these rights."""
    for reason in reasons:
        if reason.rights & rights:
            yield reason._replace(rights=reason.rights & rights)


def _rights(reasons: Iterable[Reason], deciders: Collection[Decider]) -> Access:
    rights = Access.NONE
    for reason in reasons:
        if reason.decider in deciders:
            rights |= reason.rights
    return rights


def _within(label: Label | None, token: Token) -> Access:
    """Return the rights that the integrity levels leave. A pipe without a label is of medium integrity."""
    if token.integrity is None or (token.policy is not None and not token.policy & TokenPolicy.NO_WRITE_UP):
        return _EVERYTHING
    level = level_of(label.level) if label else Integrity.MEDIUM
    # An AppContainer is of low integrity, and still gets what entries for it allow on what is of medium.
    if token.integrity >= level or (token.is_appcontainer and level <= Integrity.MEDIUM):
        return _EVERYTHING
    # Nobody writes up: that is the policy of the token, whatever the label's is.
    policy = label.policy if label else LabelPolicy.NO_WRITE_UP
    reading = Access.NONE if policy & LabelPolicy.NO_READ_UP else _READING
    executing = Access.NONE if policy & LabelPolicy.NO_EXECUTE_UP else _EXECUTING
    return reading | executing | (Access.WRITE_OWNER if token.has(Privilege.RELABEL) else Access.NONE)


def level_of(sid: str) -> int:
    """Return the integrity level of a SID; medium if the SID is not an integrity level."""
    return int(sid.rpartition("-")[2]) if sid.startswith("S-1-16-") else Integrity.MEDIUM


def _of_others(entries: _Entries, token: Token) -> tuple[int, str] | None:
    """Return the entry for a package, which keeps out every program of low integrity that is no AppContainer."""
    if token.is_appcontainer or token.integrity is None or token.integrity >= Integrity.MEDIUM:
        return None
    for place, entry in entries:
        # The SID of a package is longer than those that stand for all packages.
        if entry.kind is Kind.ALLOW and entry.account.startswith("S-1-15-2-") and entry.account.count("-") > 4:
            return place, entry.account
    return None


class _Holder(NamedTuple):
    """Whose entries are looked for in a list; None is what cannot be known."""

    allow: Collection[str]
    deny: Collection[str]
    has_all_groups: bool = True
    owner: str | None = None
    is_owner: bool | None = False

    def counts(self, entry: AccessEntry) -> bool | None:
        if entry.account == OWNER_RIGHTS:
            return self.is_owner
        return _is_among(entry.account, self.deny if entry.kind is Kind.DENY else self.allow, self.has_all_groups)


def _is_among(account: str | None, sids: Collection[str], are_all: bool = True) -> bool | None:
    if account is None or account in sids:
        return account is not None
    is_told = account.startswith("S-") and (are_all or not account.startswith(_PERHAPS_GROUPS))
    return False if is_told else None


# Groups of a computer, and groups and users of a computer or domain.
_PERHAPS_GROUPS = ("S-1-5-32-", "S-1-5-21-")


def _by_list(entries: _Entries, token: Token, wanted: Access, named: Access, owner: str | None) -> list[Reason]:
    holders, restricted = token.allowed_sids, token.restricted
    owning = {_is_among(owner, holders, token.has_all_groups), *([_is_among(owner, restricted)] if restricted else [])}
    is_owner = False if False in owning else None if None in owning else True
    found = _by_privilege(token, wanted & named)
    left = wanted & ~_rights(found, _GRANTING)
    owners = Access.NONE if any(entry.account == OWNER_RIGHTS for _, entry in entries) else left & _OWNERS
    if is_owner:
        found += _reason(Decider.OWNER, owners, None, owner)
        left &= ~owners
    doubted = _reason(Decider.UNKNOWN, owners, None, owner) if is_owner is None else []
    holder = _Holder(holders, holders | token.deny_only, token.has_all_groups, owner, is_owner)
    by_entries = list(_walk(entries, left, holder, doubted))
    if restricted:
        checked = left & _WRITING if token.is_write_restricted else left
        again = _walk(entries, checked, _Holder(restricted, restricted, True, owner, is_owner), doubted)
        by_entries = [
            *_part(by_entries, left & ~checked),
            *_both(_part(by_entries, checked), list(again), Decider.RESTRICTED),
        ]
    return found + by_entries


def _by_privilege(token: Token, wanted: Access) -> list[Reason]:
    rights = Access.ACCESS_SYSTEM_SECURITY if token.has(Privilege.SECURITY) else Access.NONE
    if token.has(Privilege.TAKE_OWNERSHIP) or token.has(Privilege.RELABEL):
        rights |= Access.WRITE_OWNER
    return _reason(Decider.PRIVILEGE, wanted & rights)


def _by_package(entries: _Entries, token: Token, wanted: Access) -> list[Reason]:
    """Look for entries that let an AppContainer in; what denies something to one has no effect."""
    packages = {ALL_RESTRICTED_PACKAGES, *(token.capabilities or ()), *([token.package] if token.package else [])}
    if not token.is_lpac:
        packages.add(ALL_PACKAGES)
    of_packages = [(place, entry) for place, entry in entries if entry.account.startswith("S-1-15-")]
    return list(_walk(of_packages, wanted, _Holder(packages, ()), []))


def _walk(entries: _Entries, wanted: Access, holder: _Holder, doubted: Sequence[Reason]) -> Iterator[Reason]:
    """Read a list from its first entry to its last: the first that speaks of a right decides about it.

    An entry that may not count, because of its condition or its account, decides nothing, and makes a later one's
    opposite decision doubtful. `doubted` are such reasons to allow something that come before the first entry.
    """
    left, doubtful, doubts = wanted, Access.NONE, list(doubted)
    may_allow, may_deny = _rights(doubts, _DOUBTFUL), Access.NONE
    for place, entry in entries:
        mask, counts = entry.mask & left, holder.counts(entry)
        if not mask or counts is False:
            continue
        is_denied = entry.kind is Kind.DENY
        via = holder.owner if entry.account == OWNER_RIGHTS else None
        reason = Reason(Decider.DENY if is_denied else Decider.ALLOW, mask, place, entry.account, via)
        if entry.condition or counts is None:
            doubts.append(reason._replace(decider=Decider.UNKNOWN))
            may_allow, may_deny = (may_allow, may_deny | mask) if is_denied else (may_allow | mask, may_deny)
            continue
        left &= ~mask
        against = mask & (may_allow if is_denied else may_deny)
        doubtful |= against
        yield from _part([reason], mask & ~against)
    doubtful |= left & may_allow
    yield from _reason(Decider.NO_ENTRY, left & ~doubtful)
    for reason in doubts:
        yield from _part([reason], doubtful)
        doubtful &= ~reason.rights


def _both(first: Iterable[Reason], second: Sequence[Reason], decider: Decider) -> list[Reason]:
    """Return the reasons where two checks must grant a right; `decider` is the second, where it does not."""
    found: list[Reason] = []
    granted, possible = _rights(second, _GRANTING), Access.NONE
    for reason in first:
        if reason.decider in _GRANTING or reason.decider in _DOUBTFUL:
            possible |= reason.rights
            found += _part([reason], granted)
        else:
            found.append(reason)
    for reason in _part(second, possible & ~granted):
        found.append(reason if reason.decider in _DOUBTFUL else reason._replace(decider=decider))
    return found

"""Access checks: the access that a pipe's security descriptor grants to a token, and the rule that decides each right.

This is the check that Windows performs when a pipe is opened, as a function of plain values without system calls. The
order is that of [MS-DTYP] 2.5.3.2 and 2.5.3.3. Where these are not specific, it follows the kernel as described in
Forshaw's "Windows Security Internals" (chapter 7). Not yet compared with AccessCheck on Windows: labels, AppContainers,
restricting SIDs.

A client needs `client_rights`, and a server that adds an instance needs `server_rights`.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import IntEnum, IntFlag, StrEnum
from typing import NamedTuple

from pipectl.core.constants import Access

from .sddl import AccessEntry, AceFlags, Dacl, Descriptor, Kind, Label, LabelPolicy, rights_in_words, specific
from .sids import ALL_PACKAGES, ALL_RESTRICTED_PACKAGES, EVERYONE, OWNER_RIGHTS

# The token


class Integrity(IntEnum):
    """Integrity levels; a token or a label can also have a number between two of them."""

    UNTRUSTED = 0x0000
    LOW = 0x1000
    MEDIUM = 0x2000
    HIGH = 0x3000
    SYSTEM = 0x4000


class Privilege(IntEnum):
    """Privileges that matter for pipes, with their LUIDs, which are the same on every Windows."""

    SECURITY = 8
    TAKE_OWNERSHIP = 9
    DEBUG = 20
    IMPERSONATE = 29
    RELABEL = 32


class TokenPolicy(IntFlag):
    """The mandatory policy of a token; without NO_WRITE_UP, its integrity level has no effect."""

    NO_WRITE_UP = 0x1
    NEW_PROCESS_MIN = 0x2


class Elevation(IntEnum):
    """The elevation type of a token: whether it is one of an administrator's two linked tokens."""

    DEFAULT = 1
    FULL = 2
    LIMITED = 3


class Token(NamedTuple):
    """The contents of an access token; None means that the system does not report it, and that it limits nothing."""

    user: str | None = None
    # The SIDs of enabled groups.
    groups: frozenset[str] = frozenset()
    # Groups that only deny, such as Administrators in an administrator's token that is not elevated. The user's SID can
    # be one of them.
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
    # Whether it is a less privileged AppContainer (LPAC), to which entries for ALL APPLICATION PACKAGES grant nothing.
    is_lpac: bool | None = None
    # The enabled privileges.
    privileges: frozenset[int] | None = None
    elevation: Elevation | None = None
    session: int | None = None
    # The SIDs of its logon session, which are also in the groups.
    logon: frozenset[str] | None = None
    # False: it may have more groups of its computer or domain, so that access that depends on them is unknown.
    has_all_groups: bool = True

    @property
    def allowed_sids(self) -> frozenset[str]:
        """The SIDs to which entries that allow apply."""
        return (self.groups | {self.user} if self.user else self.groups) - self.deny_only

    def has(self, privilege: Privilege) -> bool:
        """Return whether a privilege is known to be enabled."""
        return self.privileges is not None and privilege in self.privileges


# The result


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
    # A condition, an account such as `DA` that only a domain can resolve, a group that was not looked up, or a
    # descriptor without an ACL.
    UNKNOWN = "unknown"


class Reason(NamedTuple):
    """What decides some rights."""

    decider: Decider
    rights: Access
    # The index of the ACL entry, from 0.
    entry: int | None = None
    # The SID in the entry, or of the owner or the label.
    account: str | None = None
    # The SID in the token that makes the entry apply, if it is a different one: the owner's, or a package's.
    via: str | None = None


class Judgement(NamedTuple):
    """The result of an access check; every requested right is in one of the reasons."""

    desired: Access
    granted: Access
    # Rights that may be granted, depending on unknown facts.
    unknown: Access
    reasons: tuple[Reason, ...]

    @property
    def missing(self) -> Access:
        """Rights that were requested by name and are not certainly granted."""
        return self.desired & ~self.granted & ~Access.MAXIMUM_ALLOWED

    @property
    def is_allowed(self) -> bool:
        """Whether the request certainly succeeds."""
        return not self.missing and bool(self.granted or not self.desired)

    @property
    def is_possible(self) -> bool:
        """Whether the request may succeed; False is certain."""
        return not self.missing & ~self.unknown and bool(self.granted | self.unknown or not self.desired)

    def in_words(self) -> str:
        """Return what is granted, such as `read and write`, and what may be granted."""
        surely, perhaps = rights_in_words(self.granted), rights_in_words(self.granted | self.unknown)
        return f"{surely} (perhaps {perhaps})" if self.unknown else surely


def client_rights(access: Access) -> Access:
    """Return the rights that a client's CreateFile requests: those in `access`, and two that Win32 adds.

    FILE_CREATE_PIPE_INSTANCE is not among them: it is a bit of GENERIC_WRITE, but the pipe file system removes it for
    clients (as in ReactOS' npfs).
    """
    asked = specific(access) | Access.SYNCHRONIZE | Access.FILE_READ_ATTRIBUTES
    return asked & ~Access.FILE_CREATE_PIPE_INSTANCE


def server_rights(access: Access = Access.NONE) -> Access:
    """Return the rights that CreateNamedPipe needs in the first instance's ACL to add an instance."""
    return specific(access) | Access.SYNCHRONIZE | Access.FILE_CREATE_PIPE_INSTANCE


def judge(descriptor: Descriptor, token: Token, desired: Access = Access.FILE_ALL_ACCESS) -> Judgement:
    """Check each right in `desired`; generic rights are mapped to those of a pipe.

    MAXIMUM_ALLOWED checks all rights, and none of them is missing. A privilege grants only rights requested by name.
    """
    desired = specific(desired)
    named = desired & ~Access.MAXIMUM_ALLOWED
    wanted = named | Access.FILE_ALL_ACCESS if desired & Access.MAXIMUM_ALLOWED else named
    reasons = _decide(descriptor, token, wanted, named)
    return Judgement(desired, _rights(reasons, _GRANTING), _rights(reasons, _DOUBTFUL), tuple(reasons))


def allowed(dacl: Dacl, sids: Collection[str], owner: str | None = None) -> Access:
    """Return the rights that an ACL certainly grants to a user, without integrity levels and privileges.

    `sids` contains the SIDs of the user and of the enabled groups.
    """
    return judge(Descriptor(owner=owner, dacl=dacl), Token(groups=frozenset(sids))).granted


def is_open_to_everyone(dacl: Dacl) -> bool:
    """Return whether everyone may write to the pipe, which is worth a warning."""
    return bool(allowed(dacl, (EVERYONE,)) & Access.FILE_WRITE_DATA)


# The checks: the reasons that a check returns cover each right that it was given exactly once.

_EVERYTHING = Access(0xFFFF_FFFF)
_READING = Access.FILE_GENERIC_READ | Access.READ_CONTROL
_EXECUTING = Access.FILE_GENERIC_EXECUTE & ~Access.FILE_GENERIC_READ | Access.SYNCHRONIZE
# The rights for which a write-restricted token needs its restricting SIDs.
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

# The effective entries of an ACL, each with its index.
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
    """Yield the reasons that concern these rights, limited to them."""
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
    """Return the rights that the integrity levels allow. A pipe without a label has medium integrity."""
    if token.integrity is None or (token.policy is not None and not token.policy & TokenPolicy.NO_WRITE_UP):
        return _EVERYTHING
    level = level_of(label.level) if label else Integrity.MEDIUM
    # An AppContainer has low integrity, but gets what entries for it allow on a pipe of medium integrity.
    if token.integrity >= level or (token.is_appcontainer and level <= Integrity.MEDIUM):
        return _EVERYTHING
    # The token's policy always denies writing up, whatever the label's policy is.
    policy = label.policy if label else LabelPolicy.NO_WRITE_UP
    reading = Access.NONE if policy & LabelPolicy.NO_READ_UP else _READING
    executing = Access.NONE if policy & LabelPolicy.NO_EXECUTE_UP else _EXECUTING
    return reading | executing | (Access.WRITE_OWNER if token.has(Privilege.RELABEL) else Access.NONE)


def level_of(sid: str) -> int:
    """Return the integrity level of a SID; medium if the SID is not an integrity level."""
    return int(sid.rpartition("-")[2]) if sid.startswith("S-1-16-") else Integrity.MEDIUM


def _of_others(entries: _Entries, token: Token) -> tuple[int, str] | None:
    """Return the entry for a package, which denies access to low-integrity programs outside an AppContainer."""
    if token.is_appcontainer or token.integrity is None or token.integrity >= Integrity.MEDIUM:
        return None
    for place, entry in entries:
        # The SID of a package is longer than those for all packages.
        if entry.kind is Kind.ALLOW and entry.account.startswith("S-1-15-2-") and entry.account.count("-") > 4:
            return place, entry.account
    return None


class _Holder(NamedTuple):
    """The SIDs whose ACL entries apply; None means unknown."""

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
    """Check the ACL entries for an AppContainer's package; entries that deny have no effect on it."""
    packages = {ALL_RESTRICTED_PACKAGES, *(token.capabilities or ()), *([token.package] if token.package else [])}
    if not token.is_lpac:
        packages.add(ALL_PACKAGES)
    of_packages = [(place, entry) for place, entry in entries if entry.account.startswith("S-1-15-")]
    return list(_walk(of_packages, wanted, _Holder(packages, ()), []))


def _walk(entries: _Entries, wanted: Access, holder: _Holder, doubted: Sequence[Reason]) -> Iterator[Reason]:
    """Check ACL entries in order: the first entry with a right decides about it.

    An entry that may not apply, because of its condition or its account, decides nothing, but makes an opposite
    decision of a later entry uncertain. `doubted` contains such reasons to allow rights, from before the first entry.
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
    """Combine two checks that must both grant a right; `decider` is the reason if only the second one does not."""
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

"""The rules of `audit` as functions of facts: what is wrong with a pipe. Runs on any system.

By default, the access of users in general is judged: tokens with the groups that every user has. Access that depends on
a condition in an entry, or on a group that is not looked up, is not a finding.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from ntpath import basename
from types import MappingProxyType
from typing import NamedTuple

from pipectl.core.constants import Access
from pipectl.core.models import Process
from pipectl.core.names import upper
from pipectl.core.security import sids
from pipectl.core.security.access_check import Decider, Integrity, Privilege, Reason, Token, judge
from pipectl.core.security.sddl import AccessEntry, AceFlags, Descriptor, Kind, rights_in_words

from .audit_table import BY_ID


class Severity(IntEnum):
    """How serious a finding is."""

    NOTE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Server(NamedTuple):
    """A process that created instances; its token is None if this user may not read it."""

    process: Process
    token: Token | None = None

    @property
    def is_privileged(self) -> bool | None:
        """Whether it runs as a service account, as SYSTEM or elevated; None if unknown."""
        if self.token is None:
            return True if self.process.services and self.process.session == 0 else None
        user = self.token.user or ""
        is_service = user in _SERVICE_ACCOUNTS or user.startswith(_SERVICE)
        return is_service or sids.ADMINISTRATORS in self.token.groups or (self.token.integrity or 0) >= Integrity.HIGH


class Facts(NamedTuple):
    """The facts about one pipe; None means unknown."""

    # The name in the directory of pipes.
    pipe: str
    descriptor: Descriptor | None = None
    servers: tuple[Server, ...] = ()
    # Whether the servers of all its instances were found.
    has_all_servers: bool = True
    rejects_remote: bool | None = None
    # None: unlimited, or not known.
    max_instances: int | None = None
    # Whether the registry allows anonymous users of other computers to open it.
    is_null_session: bool = False
    # The names of the accounts in the descriptor by their SIDs; None for those that have no name.
    accounts: Mapping[str, str | None] = MappingProxyType({})
    # How long, in seconds, the name was free while pipes were watched.
    gap: float | None = None

    @property
    def is_privileged(self) -> bool:
        """Whether the server is known to have more rights than an ordinary user."""
        owner = self.descriptor and self.descriptor.owner
        return owner in _PRIVILEGED_OWNERS or any(server.is_privileged for server in self.servers)

    def name(self, sid: str) -> str:
        """Return the name of an account."""
        return sids.name_of(sid, self.accounts.get)


class Finding(NamedTuple):
    """A problem of a pipe."""

    rule: str
    severity: Severity
    pipe: str
    why: str
    # The SID in the ACL entry that causes it, the entry's index (from 0), and the rights that it grants.
    account: str | None = None
    entry: int | None = None
    rights: Access = Access.NONE


class Who(NamedTuple):
    """Whose access is judged: tokens, grouped by kind of user."""

    users: tuple[Token, ...] = ()
    over_network: tuple[Token, ...] = ()
    # Anonymous logons, and guests.
    anonymous: tuple[Token, ...] = ()
    sandboxed: tuple[Token, ...] = ()

    @classmethod
    def of(cls, token: Token) -> "Who":
        """Return one token, as the kind of user that it is."""
        one = (token,)
        if token.user == sids.ANONYMOUS or _GUESTS in token.groups:
            return cls(anonymous=(token._replace(integrity=None),))  # as in EVERYBODY
        if token.is_appcontainer or (token.integrity is not None and token.integrity < Integrity.MEDIUM):
            return cls(sandboxed=one)
        return cls(over_network=one) if sids.NETWORK in token.groups else cls(users=one)


def check(facts: Facts, who: Who | None = None) -> list[Finding]:
    """Return the findings of all rules about a pipe, in the order of the rules."""
    grants = _Grants(facts.descriptor or Descriptor(), who or EVERYBODY)
    return [finding for rule in _CHECKS for finding in rule(facts, grants)]


# Who has which rights

_GUESTS = "S-1-5-32-546"
_DOMAIN = "S-1-5-21-"
# Accounts of each computer or domain: Domain Users and the guest, as SDDL spells them and by their SIDs.
_LOCAL = {"DU": re.compile(r"DU|S-1-5-21-[0-9-]+-513"), "LG": re.compile(r"LG|S-1-5-21-[0-9-]+-501")}
_SERVICE = "S-1-5-80-"
_TRUSTED_INSTALLER = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
_SERVICE_ACCOUNTS = (sids.SYSTEM, sids.LOCAL_SERVICE, sids.NETWORK_SERVICE)
_PRIVILEGED_OWNERS = (*_SERVICE_ACCOUNTS, sids.ADMINISTRATORS, _TRUSTED_INSTALLER)

_NOBODY: Token = Token(
    restricted=frozenset(), integrity=Integrity.MEDIUM, is_appcontainer=False, privileges=frozenset()
)
_LOGGED_ON = frozenset((sids.EVERYONE, sids.AUTHENTICATED_USERS, sids.USERS))
# Domain Users as SDDL spells it; `_granted` adds its SID.
_USER: Token = _NOBODY._replace(groups=_LOGGED_ON | {sids.INTERACTIVE, "DU"})
_LOW: Token = _USER._replace(integrity=Integrity.LOW)
# Without the integrity level Untrusted, which may deny writes: an entry for them shows that the server wants them.
_ANONYMOUS: Token = _NOBODY._replace(user=sids.ANONYMOUS, integrity=None)
EVERYBODY = Who(
    users=(_USER,),
    over_network=(_NOBODY._replace(groups=_LOGGED_ON | {sids.NETWORK, "DU"}),),
    anonymous=(_ANONYMOUS, _NOBODY._replace(groups=frozenset((sids.EVERYONE, _GUESTS, "LG")))),
    sandboxed=(_LOW, _LOW._replace(is_appcontainer=True, capabilities=frozenset(), is_lpac=False)),
)


class _Grant(NamedTuple):
    """Rights of an account, and the ACL entry that grants them."""

    account: str | None
    entry: int | None
    rights: Access


class _Grants:
    """The rights that one descriptor grants, by the kind of user."""

    def __init__(self, descriptor: Descriptor, who: Who) -> None:
        self._descriptor = _for_everybody(descriptor) if who is EVERYBODY else descriptor
        self._who = who
        # By the identity of a token: hashing it would often take longer than judging it.
        self._judged: dict[int, tuple[Reason, ...]] = {}

    def users(self, rights: Access) -> list[_Grant]:
        return self._of(self._who.users, rights)

    def over_network(self, rights: Access) -> list[_Grant]:
        return self._of(self._who.over_network, rights)

    def anonymous(self, rights: Access) -> list[_Grant]:
        return self._of(self._who.anonymous, rights)

    def sandboxed(self, rights: Access) -> list[_Grant]:
        return self._of(self._who.sandboxed, rights)

    def anybody(self, rights: Access) -> list[_Grant]:
        return self._of((*self._who.users, *self._who.over_network, *self._who.anonymous), rights)

    def _of(self, tokens: Iterable[Token], rights: Access) -> list[_Grant]:
        found: dict[str | None, _Grant] = {}
        for token in tokens:
            if id(token) not in self._judged:
                self._judged[id(token)] = _granted(self._descriptor, token)
            for reason in self._judged[id(token)]:
                if common := reason.rights & rights:
                    found.setdefault(reason.account, _Grant(reason.account, reason.entry, common))
        return list(found.values())


def _for_everybody(descriptor: Descriptor) -> Descriptor:
    """Return a descriptor whose entries for special domain accounts, such as DA, grant and deny nothing."""
    if descriptor.dacl is None:
        return descriptor
    entries = tuple(
        entry if len(entry.account) > 2 or entry.account in _LOCAL else entry._replace(mask=Access.NONE)
        for entry in descriptor.dacl.entries
    )
    return descriptor._replace(dacl=descriptor.dacl._replace(entries=entries))


def _granted(descriptor: Descriptor, token: Token) -> tuple[Reason, ...]:
    if descriptor.dacl is None:
        return ()
    for alias, sid in _LOCAL.items():
        if alias in token.groups:
            accounts = {entry.account for entry in descriptor.dacl.entries if sid.fullmatch(entry.account)}
            # Under Wine, the primary group owns what an elevated server creates, and `serve` grants the owner access.
            token = token._replace(groups=token.groups | accounts - {descriptor.owner})
    reasons = judge(descriptor, token).reasons
    return tuple(reason for reason in reasons if reason.decider in (Decider.ALLOW, Decider.OWNER, Decider.NO_LIST))


# The rules

_CONTROL = Access.WRITE_DAC | Access.WRITE_OWNER | Access.DELETE
_CONNECT = Access.FILE_READ_DATA | Access.FILE_WRITE_DATA
# Up to this many instances, one program can easily take them all.
_FEW = 4


def _found(
    facts: Facts, rule: str, severity: Severity, why: str, account: str | None = None, grant: _Grant | None = None
) -> Finding:
    if grant is not None:
        return Finding(rule, severity, facts.pipe, why, grant.account, grant.entry, grant.rights)
    return Finding(rule, severity, facts.pipe, why, account)


def _by_grant(
    facts: Facts, rule: str, severity: Severity, grants: Iterable[_Grant], does: str = ""
) -> Iterator[Finding]:
    """Yield a finding for each ACL entry that grants something; P001 reports pipes without an ACL."""
    for grant in grants:
        if grant.account is not None:
            what = does or rights_in_words(grant.rights).partition(" (only")[0]
            yield _found(facts, rule, severity, f"{facts.name(grant.account)} may {what}", grant=grant)


def _no_list(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    del grants
    if facts.descriptor and facts.descriptor.dacl and facts.descriptor.dacl.is_null:
        severity = Severity.CRITICAL if facts.is_privileged else Severity.HIGH
        yield _found(facts, "P001", severity, "there is no ACL: everyone has full control", sids.EVERYONE)


def _control(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    for grant in grants.anybody(_CONTROL):
        verbs = [verb for right, verb in _CONTROLS.items() if grant.rights & right]
        yield from _by_grant(facts, "P002", Severity.HIGH, [grant], " and ".join(verbs))


_CONTROLS = {
    Access.WRITE_DAC: "change the ACL",
    Access.WRITE_OWNER: "take ownership",
    Access.DELETE: "delete the pipe",
}


def _instances(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    severity = Severity.HIGH if facts.is_privileged else Severity.MEDIUM
    found = grants.anybody(Access.FILE_CREATE_PIPE_INSTANCE)
    yield from _by_grant(facts, "P003", severity, found, "create instances and reply in the server's name")


def _no_logon(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    # Everyone includes guests, but write access for Everyone is another finding.
    writers = [
        grant
        for grant in grants.anonymous(Access.FILE_WRITE_DATA)
        if grant.account in (sids.ANONYMOUS, _GUESTS) or _LOCAL["LG"].fullmatch(grant.account or "")
    ]
    if writers:
        yield from _by_grant(facts, "P004", Severity.HIGH, writers, "write")
    elif facts.is_null_session and not facts.rejects_remote:
        why = "NullSessionPipes lists it: anonymous users of other computers can reach it"
        yield _found(facts, "P004", Severity.MEDIUM, why, sids.ANONYMOUS)


def _remote(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    if facts.rejects_remote is not False or _denies_network(facts.descriptor):
        return
    writers = grants.over_network(Access.FILE_WRITE_DATA)
    if writers:
        yield from _by_grant(facts, "P005", Severity.MEDIUM, writers, "write, also from other computers")
    else:
        yield _found(facts, "P005", Severity.NOTE, "it accepts clients from other computers")


def _denies_network(descriptor: Descriptor | None) -> bool:
    """Return whether the ACL begins with a denial for network logons."""
    for entry in descriptor.dacl.effective if descriptor and descriptor.dacl else ():
        if entry.kind is not Kind.DENY:
            return False
        if entry.account == sids.NETWORK and _CONNECT in entry.mask:
            return True
    return False


def _surface(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    if facts.is_privileged:
        found = grants.users(Access.FILE_WRITE_DATA)
        yield from _by_grant(facts, "P006", Severity.LOW, found, "write to a privileged server")


def _sandboxes(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    if facts.is_privileged:
        found = grants.sandboxed(Access.FILE_WRITE_DATA)
        yield from _by_grant(facts, "P007", Severity.MEDIUM, found, "write to a privileged server, also from a sandbox")


def _squatting(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    del grants
    images = {upper(server.process.image) for server in facts.servers if server.process.image}
    users = {server.token.user for server in facts.servers if server.token}
    if len(images) > 1 or len(users) > 1:
        who = " and ".join(f"process {server.process.pid} ({_program(server)})" for server in facts.servers)
        yield _found(facts, "P008", Severity.HIGH, f"it is served by {who}")


def _owner(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    del grants
    owner = facts.descriptor and facts.descriptor.owner
    tokens = [server.token for server in facts.servers if server.token]
    if owner is None or not tokens or owner in _PRIVILEGED_OWNERS:
        return
    if not any(owner == token.user or owner in token.groups for token in tokens):
        yield _found(facts, "P009", Severity.MEDIUM, f"its owner is {facts.name(owner)}", owner)


def _known_name(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    del grants
    name = upper(facts.pipe)
    expected = _SQL if name.endswith("SQL\\QUERY") else _SYSTEM_PIPES.get(name)
    for server in facts.servers:
        image = server.process.image
        if expected and image and not _is_program(upper(image), expected):
            why = f"process {server.process.pid} serves it: {_program(server)}; expected is {expected.lower()}"
            yield _found(facts, "P010", Severity.HIGH, why)


_SQL = "SQLSERVR.EXE"
_SYSTEM_PIPES = {
    "LSASS": "LSASS.EXE",
    "NTSVCS": "SERVICES.EXE",
    "SCERPC": "SERVICES.EXE",
    "INITSHUTDOWN": "WININIT.EXE",
    "SPOOLSS": "SPOOLSV.EXE",
    "EPMAPPER": "SVCHOST.EXE",
    "EVENTLOG": "SVCHOST.EXE",
}


def _is_program(image: str, expected: str) -> bool:
    """Return whether a program is the expected one; a part of Windows must be in the system folder."""
    is_in_place = expected == _SQL or image == expected or image.endswith(f"\\SYSTEM32\\{expected}")
    return basename(image) == expected and is_in_place


def _program(server: Server) -> str:
    user = server.process.user
    return ", ".join(filter(None, [server.process.image or "program not known", user]))


def _default_list(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    del grants
    dacl = facts.descriptor and facts.descriptor.dacl
    if not dacl:
        return
    masks = {entry.account: entry.mask for entry in dacl.effective if entry.kind is Kind.ALLOW}
    readers = [masks.get(account, Access.NONE) & _CONNECT for account in (sids.EVERYONE, sids.ANONYMOUS)]
    if readers == [Access.FILE_READ_DATA] * 2:
        why = "everyone, and anonymous users, may take an instance and read"
        yield _found(facts, "P011", Severity.NOTE, why, sids.EVERYONE)


def _exhaustion(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    if facts.max_instances is not None and facts.max_instances <= _FEW:
        count = "the only instance" if facts.max_instances == 1 else f"all {facts.max_instances} instances"
        yield from _by_grant(facts, "P012", Severity.LOW, grants.users(_CONNECT), f"take {count}")


def _impersonation(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    can = any(
        server.token.has(Privilege.IMPERSONATE) or server.token.user in _SERVICE_ACCOUNTS
        for server in facts.servers
        if server.token
    )
    if can and facts.is_privileged:
        found = grants.users(_CONNECT)
        yield from _by_grant(facts, "P013", Severity.NOTE, found, "connect to a server that can impersonate clients")


def _order(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    del grants
    entries = facts.descriptor.dacl.entries if facts.descriptor and facts.descriptor.dacl else ()
    for place, entry in enumerate(entries):
        before = [one for one in entries[:place] if not one.flags & AceFlags.INHERIT_ONLY]
        if entry.kind is Kind.DENY and (rights := _granted_before(entry, before)):
            why = f"entry {place + 1} denies {facts.name(entry.account)} what an entry before it grants"
            yield Finding("P014", Severity.LOW, facts.pipe, why, entry.account, place, rights)


def _granted_before(denied: AccessEntry, before: Sequence[AccessEntry]) -> Access:
    accounts = {denied.account, sids.EVERYONE}
    rights = Access.NONE
    for entry in before:
        if entry.kind is Kind.ALLOW and not entry.condition and entry.account in accounts:
            rights |= entry.mask
    return rights & denied.mask


def _lost_accounts(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    del grants
    entries = facts.descriptor.dacl.entries if facts.descriptor and facts.descriptor.dacl else ()
    for place, entry in enumerate(entries):
        if entry.account.startswith(_DOMAIN) and facts.accounts.get(entry.account, "") is None:
            why = f"no account is known for {entry.account}"
            yield Finding("P015", Severity.NOTE, facts.pipe, why, entry.account, place, entry.mask)


def _gap(facts: Facts, grants: _Grants) -> Iterator[Finding]:
    del grants
    if facts.gap is not None:
        severity = Severity.MEDIUM if facts.is_privileged else Severity.LOW
        yield _found(facts, "P016", severity, f"the name was free for about {facts.gap:g} s while it was watched")


_CHECKS: tuple[Callable[[Facts, _Grants], Iterator[Finding]], ...] = (
    _no_list,
    _control,
    _instances,
    _no_logon,
    _remote,
    _surface,
    _sandboxes,
    _squatting,
    _owner,
    _known_name,
    _default_list,
    _exhaustion,
    _impersonation,
    _order,
    _lost_accounts,
    _gap,
)
assert len(_CHECKS) == len(BY_ID)

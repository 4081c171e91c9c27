"""The check of access: which rule denies access to a pipe, and the smallest change that would grant it."""

from collections.abc import Iterator

from pipectl.core.constants import Access, WinError
from pipectl.core.security.access_check import (
    Decider,
    Elevation,
    Integrity,
    Judgement,
    Reason,
    Token,
    client_rights,
    judge,
    server_rights,
)
from pipectl.core.security.sddl import (
    AccessEntry,
    AceFlags,
    Dacl,
    Descriptor,
    Kind,
    Label,
    LabelPolicy,
    entry_in_words,
    text_of,
)
from pipectl.core.security.sids import ADMINISTRATORS, ALL_PACKAGES, AUTHENTICATED_USERS, NETWORK

from .doctor_model import Cause, Check, Facts, Mode, Outcome, Status, problem

_ID = "access"
# The maximum number of changes to an ACL that are tried, one reason after another, until it grants access.
_MOST_CHANGES = 4

# The reasons for a denial. Only the first is reported, because the next one shows only after it is removed.
_CAUSES = (
    (Decider.APPCONTAINER, Cause.APPCONTAINER),
    (Decider.INTEGRITY, Cause.INTEGRITY),
    (Decider.RESTRICTED, Cause.RESTRICTED),
    (Decider.DENY, Cause.DENIED_BY_ENTRY),
    (Decider.NO_ENTRY, Cause.NOT_IN_LIST),
)


def check_access(facts: Facts) -> Check:
    """Check by the ACL, the integrity label and the direction whether the pipe may be opened."""
    check = _by_list(facts, _judgement(facts, client_rights(facts.mode.access)))
    if check.problem and facts.is_open and facts.who is None:
        return Check(_ID, Status.NOTE, f"by the access list {check.text}, but it was opened anyway", check.details)
    return _by_direction(facts) or check if check.problem is None else check


def check_instance_right(facts: Facts) -> Check:
    """Check whether the ACL of the first instance allows a server to create another."""
    judgement = _judgement(facts, server_rights())
    if judgement is None:
        return Check(_ID, Status.UNKNOWN, _unseen_list(facts))
    if judgement.is_allowed:
        return Check(_ID, Status.OK, f"{facts.subject} may add instances", judgement=judgement)
    if judgement.is_possible:
        return Check(_ID, Status.UNKNOWN, f"{facts.subject} may add instances, or not: {_doubt(judgement)}")
    return problem(
        _ID,
        Outcome.DENIED,
        Cause.NO_INSTANCE_RIGHT,
        f"the pipe exists, and its access list does not let {facts.subject} add an instance "
        "(FILE_CREATE_PIPE_INSTANCE)",
        details=_entries(facts),
        judgement=judgement,
        sddl=remedied(facts, server_rights(Access.FILE_ALL_ACCESS)),
    )


def _judgement(facts: Facts, desired: Access) -> Judgement | None:
    if facts.token is None or facts.descriptor is None or facts.descriptor.dacl is None:
        return None
    return judge(facts.descriptor, facts.token, desired)


def _by_list(facts: Facts, judgement: Judgement | None) -> Check:
    if judgement is None or facts.descriptor is None:
        return _unseen(facts)
    wanted = facts.mode.in_words
    if judgement.is_allowed:
        return Check(_ID, Status.OK, f"{_who(facts)} may {wanted}", _entries(facts), judgement=judgement)
    if judgement.is_possible:
        text = f"{_who(facts)} may {wanted}, or not: {_doubt(judgement)}"
        status = Status.OK if facts.is_open and facts.who is None else Status.UNKNOWN
        return Check(_ID, status, text, _entries(facts), judgement=judgement)
    cause, why, reason = _cause(facts, judgement)
    text = f"{_who(facts)} {_may(judgement, facts.mode)}{f' ({reason})' if reason else ''}"
    return problem(
        _ID,
        Outcome.DENIED,
        cause,
        f"access denied: {why}",
        text=text,
        details=_entries(facts),
        judgement=judgement,
        sddl=remedied(facts, client_rights(facts.mode.access)),
    )


def _unseen(facts: Facts) -> Check:
    if facts.is_open and facts.who is None:
        return Check(_ID, Status.OK, "the access list cannot be read, but it grants you access")
    if facts.opening is not None and facts.opening.code == WinError.PIPE_BUSY:
        text = "the access list cannot be read; Windows reports `busy` only to accounts that have access"
        return Check(_ID, Status.NOTE, text)
    return Check(_ID, Status.UNKNOWN, _unseen_list(facts))


def _unseen_list(facts: Facts) -> str:
    unseen = "this user may not inspect the processes that have the pipe open"
    why = unseen if facts.local is None else "the system does not report it"
    return f"the access list cannot be read: {why}"


def _by_direction(facts: Facts) -> Check | None:
    """Return the problem of a one-way pipe if its direction is not the requested one."""
    if facts.local is None or facts.local.configuration == "duplex":
        return None
    # `configuration` is from the server's point of view.
    allowed = Mode.WRITE if facts.local.configuration == "inbound" else Mode.READ
    if allowed is facts.mode:
        return None
    return problem(
        _ID,
        Outcome.DENIED,
        Cause.DIRECTION,
        f"access denied: the pipe is {facts.local.configuration}, so that clients can only {allowed.in_words}",
        value=allowed,
        text=f"the pipe is {facts.local.configuration}: clients can only {allowed.in_words}",
    )


# In words


def _who(facts: Facts) -> str:
    """Return who requests access, with the relevant facts about the token."""
    token = facts.token or Token()
    known = facts.accounts.get(token.user or "") if facts.who is None else None
    marks = [known, _level(token), "not elevated" if token.elevation is Elevation.LIMITED else None]
    words = ", ".join(filter(None, marks))
    return f"{facts.subject} ({words})" if words else facts.subject


def _level(token: Token) -> str | None:
    if token.is_appcontainer:
        return "in an AppContainer"
    if token.integrity is None:
        return None
    level = max((level for level in Integrity if level <= token.integrity), default=Integrity.UNTRUSTED)
    return f"{level.name.lower()} integrity"


def _may(judgement: Judgement, mode: Mode) -> str:
    granted = [
        word
        for right, word in ((Access.FILE_READ_DATA, "read"), (Access.FILE_WRITE_DATA, "write"))
        if judgement.granted & right
    ]
    if not granted:
        return f"may not {mode.in_words.replace(' and ', ' or ')}"
    missing = "read" if "write" in granted else "write"
    if len(granted) == 2 or mode is not Mode.DUPLEX:
        return f"may not {mode.in_words}: the right{_rights(judgement)} is missing"
    return f"may {granted[0]} but not {missing}"


def _rights(judgement: Judgement) -> str:
    return f" 0x{judgement.missing:x}"


def _doubt(judgement: Judgement) -> str:
    doubts = [reason for reason in judgement.reasons if reason.decider is Decider.UNKNOWN]
    accounts = sorted({reason.account for reason in doubts if reason.account})
    return f"that depends on {' and '.join(accounts)}" if accounts else "that cannot be known here"


def _entries(facts: Facts) -> tuple[str, ...]:
    """Return the entries of the ACL in words, each with its number and whether it applies."""
    descriptor, token = facts.descriptor, facts.token
    if descriptor is None or descriptor.dacl is None or token is None:
        return ()
    if descriptor.dacl.is_null:
        return ("the pipe has no access list: everyone may do everything",)
    return tuple(
        f"{number} {entry_in_words(entry, facts.accounts.get)} ({_counts(entry, token)})"
        for number, entry in enumerate(descriptor.dacl.entries, 1)
        if not entry.flags & AceFlags.INHERIT_ONLY
    ) or ("the access list is empty: no one has access",)


def _counts(entry: AccessEntry, token: Token) -> str:
    if entry.account in token.allowed_sids:
        return "applies"
    if entry.account in token.deny_only:
        return "applies only to deny: not elevated"
    return "another account's" if token.has_all_groups else "may be another account's"


# Why


def _cause(facts: Facts, judgement: Judgement) -> tuple[Cause, str, str]:
    """Return the cause of a denial, an explanation, and the rule in a few words."""
    desired = client_rights(facts.mode.access)
    elevated = _elevated(facts)
    if elevated and facts.descriptor and judge(facts.descriptor, elevated, desired).is_allowed:
        why = f"only administrators may {facts.mode.in_words}, and this process is not elevated"
        return Cause.NOT_ELEVATED, why, ""
    missing = [reason for reason in judgement.reasons if reason.rights & judgement.missing]
    for decider, cause in _CAUSES:
        for reason in missing:
            if reason.decider is decider:
                is_logon = decider is Decider.DENY and reason.account == NETWORK
                told = Cause.NETWORK_LOGON if is_logon else cause
                return told, _why(facts, told, reason), _rule(reason)
    return Cause.DENIED, "the access list does not allow it", ""


def _elevated(facts: Facts) -> Token | None:
    """Return the elevated token of the same user; None if this one is elevated or the user is no administrator."""
    token = facts.token
    if token is None or token.is_appcontainer or ADMINISTRATORS in token.allowed_sids:
        return None
    if facts.who is None and facts.elevated is not None:
        return facts.elevated
    if ADMINISTRATORS not in token.deny_only:
        return None
    groups = token.groups | {ADMINISTRATORS}
    return token._replace(groups=groups, deny_only=frozenset(), integrity=Integrity.HIGH, elevation=Elevation.FULL)


def _why(facts: Facts, cause: Cause, reason: Reason) -> str:
    account = facts.accounts.get(reason.account or "", reason.account)
    return {
        Cause.APPCONTAINER: "no entry grants access to this AppContainer",
        Cause.INTEGRITY: "the integrity label denies it to programs of a lower integrity",
        Cause.RESTRICTED: "the token is restricted, and no entry is for its restricting SIDs",
        Cause.NETWORK_LOGON: "network logons are denied, which includes ssh and WinRM",
        Cause.DENIED_BY_ENTRY: f"the access list denies it to {account}",
        Cause.NOT_IN_LIST: f"no entry of the access list lets {facts.subject} {facts.mode.in_words}",
    }[cause]


def _rule(reason: Reason) -> str:
    return f"entry {reason.entry + 1}" if reason.entry is not None else ""


# The remedy


def remedied(facts: Facts, desired: Access) -> str | None:
    """Return the ACL and the label with the smallest change that grants access, or None if no change does."""
    descriptor, token = facts.descriptor, facts.token
    if descriptor is None or descriptor.dacl is None or token is None:
        return None
    for _ in range(_MOST_CHANGES):
        judgement = judge(descriptor, token, desired)
        if judgement.is_allowed and descriptor.dacl is not None:
            return text_of(descriptor.dacl, descriptor.label)
        changed = next(_changes(descriptor, token, judgement), None)
        if changed is None or changed == descriptor:
            return None
        descriptor = changed
    return None


def _changes(descriptor: Descriptor, token: Token, judgement: Judgement) -> Iterator[Descriptor]:
    """Yield descriptors in which a rule that denies the access no longer does."""
    dacl = descriptor.dacl or Dacl()
    for decider, _ in _CAUSES:
        for reason in judgement.reasons:
            if reason.decider is not decider or not reason.rights & judgement.missing:
                continue
            match decider:
                case Decider.INTEGRITY:
                    yield descriptor._replace(label=_label_for(token))
                case Decider.DENY:
                    kept = tuple(entry for place, entry in enumerate(dacl.entries) if place != reason.entry)
                    yield descriptor._replace(dacl=dacl._replace(entries=kept))
                case _:
                    entry = AccessEntry(Kind.ALLOW, _let_in(decider, token), _whole(judgement.desired))
                    yield descriptor._replace(dacl=dacl._replace(entries=(*dacl.entries, entry)))


def _label_for(token: Token) -> Label:
    return Label(f"S-1-16-{token.integrity or 0}", LabelPolicy.NO_WRITE_UP)


def _let_in(decider: Decider, token: Token) -> str:
    if decider is Decider.APPCONTAINER:
        return token.package or ALL_PACKAGES
    if decider is Decider.RESTRICTED and token.restricted:
        return min(token.restricted)
    return token.user or AUTHENTICATED_USERS


def _whole(desired: Access) -> Access:
    """Return the rights of a new entry: all that a client needs, or all that a server needs."""
    if desired & Access.FILE_CREATE_PIPE_INSTANCE:
        return Access.FILE_ALL_ACCESS
    return Access.PIPE_CLIENT if desired & Access.FILE_WRITE_DATA else Access.FILE_GENERIC_READ

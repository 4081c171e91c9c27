"""Parses security descriptors (SDDL), describes them in words and writes them, without calling the system.

The grammar is that of [MS-DTYP] 2.5.1: `O:owner G:group D:flags(entry)… S:flags(entry)…`, where an entry is
`type;flags;rights;object;inherited object;account`, with an optional `;condition`. The meaning for a pipe:

* An ACL is read from the first entry to the last, and the first entry with a right decides about it.
* A missing ACL (NULL DACL) grants everyone full access; an ACL without entries grants no access.
* The owner may always read and change the ACL, unless there is an entry for Owner Rights.
* A client that opens with GENERIC_WRITE also requests FILE_CREATE_PIPE_INSTANCE, which is a bit of it. The pipe file
  system removes that bit for clients (as in ReactOS' npfs), so `Access.PIPE_CLIENT` is enough for them.
"""

import re
from collections.abc import Iterator, Sequence
from enum import IntFlag, StrEnum
from typing import NamedTuple

from pipectl.core.constants import Access

from .sids import SYSTEM, Lookup, canonical, name_of, short


class Kind(StrEnum):
    """The kind of an ACL entry: whether it allows or denies its rights."""

    ALLOW = "allow"
    DENY = "deny"


class AceFlags(IntFlag):
    """`AceFlags` of an entry: which objects inherit it. An entry with INHERIT_ONLY has no effect on a pipe."""

    NONE = 0x0
    OBJECT_INHERIT = 0x1
    CONTAINER_INHERIT = 0x2
    NO_PROPAGATE = 0x4
    INHERIT_ONLY = 0x8
    INHERITED = 0x10
    CRITICAL = 0x20
    SUCCESSFUL_ACCESS = 0x40
    FAILED_ACCESS = 0x80


class LabelPolicy(IntFlag):
    """The access that a mandatory label denies to programs of a lower integrity level."""

    NO_WRITE_UP = 0x1
    NO_READ_UP = 0x2
    NO_EXECUTE_UP = 0x4


class AccessEntry(NamedTuple):
    """An ACL entry; its generic rights are mapped to those of a pipe."""

    kind: Kind
    # A SID, or two letters, such as DA, for an account whose SID depends on the domain.
    account: str
    mask: Access
    flags: AceFlags = AceFlags.NONE
    # The condition of a conditional entry, in SDDL.
    condition: str = ""


class Dacl(NamedTuple):
    """An access control list; `is_null` means that there is none (a NULL DACL), so that everyone has full access."""

    entries: tuple[AccessEntry, ...] = ()
    is_null: bool = False

    @property
    def effective(self) -> tuple[AccessEntry, ...]:
        """The entries that have an effect on the pipe itself."""
        return tuple(entry for entry in self.entries if not entry.flags & AceFlags.INHERIT_ONLY)


class Label(NamedTuple):
    """A mandatory label: an integrity level as a SID, and the access denied to programs below it."""

    level: str
    policy: LabelPolicy


class Descriptor(NamedTuple):
    """A security descriptor; None for parts that it does not contain."""

    owner: str | None = None
    group: str | None = None
    dacl: Dacl | None = None
    label: Label | None = None


# Parsing


def parse(text: str) -> Descriptor:
    """Parse a security descriptor; raises ValueError if the text is invalid."""
    parts = _parts(text)
    for letter in "OG":
        if letter in parts and parts[letter].entries:
            raise ValueError(f"`{letter}:` takes an account and no entries")
    return Descriptor(
        owner=canonical(parts["O"].head) if "O" in parts else None,
        group=canonical(parts["G"].head) if "G" in parts else None,
        dacl=_dacl(parts["D"]) if "D" in parts else None,
        label=_label(parts["S"]) if "S" in parts else None,
    )


class _Part(NamedTuple):
    head: str
    entries: list[str]


def _parts(text: str) -> dict[str, _Part]:
    """Split a descriptor into its parts: the letter of each, what follows it, and its entries."""
    parts: dict[str, _Part] = {}
    entries: list[str] | None = None
    for piece, is_entry in _pieces(text):
        if is_entry:
            if entries is None:
                raise ValueError("an entry before any of `O:`, `G:`, `D:` and `S:`")
            entries.append(piece)
            continue
        before, *rest = _HEAD.split(piece)
        if before.strip():
            raise ValueError(f"`{before.strip()}` is not part of a security descriptor")
        for letter, head in zip(rest[::2], rest[1::2], strict=True):
            if letter.upper() in parts:
                raise ValueError(f"`{letter}:` appears twice")
            entries = []
            parts[letter.upper()] = _Part(head.strip(), entries)
    return parts


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the pieces inside the outermost parentheses (True) and between them (False)."""
    depth = begin = 0
    is_quoted = False
    for position, character in enumerate(text):
        if character == '"' and depth:
            is_quoted = not is_quoted
        elif is_quoted:
            continue
        elif character == "(":
            if depth == 0:
                yield text[begin:position], False
                begin = position + 1
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                yield text[begin:position], True
                begin = position + 1
    if depth:
        raise ValueError("unbalanced parentheses")
    yield text[begin:], False


def _dacl(part: _Part) -> Dacl:
    _check_list_flags(part.head)
    is_null = "NO_ACCESS_CONTROL" in part.head.upper()
    if is_null and part.entries:
        raise ValueError("an ACL cannot have entries together with NO_ACCESS_CONTROL")
    return Dacl(tuple(map(_access_entry, part.entries)), is_null)


def _access_entry(text: str) -> AccessEntry:
    kind, flags, rights, account, condition = _fields(text)
    if kind not in _KINDS:
        raise ValueError(f"`{kind}` is not a known type of ACL entry")
    mask = specific(Access(_bits(rights, _RIGHTS)))
    return AccessEntry(_KINDS[kind], canonical(account), mask, AceFlags(_bits(flags, _FLAGS)), condition)


def _label(part: _Part) -> Label | None:
    """Return the mandatory label among the entries of a SACL; audit entries are skipped."""
    _check_list_flags(part.head)
    for text in part.entries:
        kind, _, policy, account, _ = _fields(text)
        if kind == "ML":
            return Label(canonical(account), LabelPolicy(_bits(policy, _POLICIES)))
    return None


def _check_list_flags(text: str) -> None:
    if not _LIST_FLAGS.fullmatch(text):
        raise ValueError(f"`{text}` are not valid ACL flags")


def _fields(text: str) -> tuple[str, str, str, str, str]:
    """Split an entry into kind, flags, rights, account and condition; object types are meaningless for a pipe."""
    fields = [field.strip() for field in text.split(";", 6)]
    if len(fields) < 6:
        raise ValueError(f"`({text})` is not an entry: it has {len(fields)} fields instead of 6")
    return fields[0].upper(), fields[1], fields[2], fields[5], "".join(fields[6:])


def _bits(text: str, codes: dict[str, int]) -> int:
    """Parse a number, or a sequence of two-letter codes, as bits."""
    if _NUMBER.fullmatch(text):
        number = int(text, 16 if text[1:2] in ("x", "X") else 10)
        if number < 1 << 32:
            return number
    bits = 0
    for position in range(0, len(text), 2):
        code = text[position : position + 2].upper()
        if code not in codes:
            raise ValueError(f"unknown right or flag `{code}` in `{text}`")
        bits |= codes[code]
    return bits


def specific(mask: Access) -> Access:
    """Map generic rights to those of a pipe."""
    for generic, specific in _GENERIC.items():
        if mask & generic:
            mask = mask & ~generic | specific
    return mask


# Descriptions


def dacl_in_words(dacl: Dacl, lookup: Lookup | None = None) -> list[str]:
    """Return an ACL in words: one line for each entry that has an effect, in order."""
    if dacl.is_null:
        return ["Everyone: full control (the pipe has no ACL)"]
    words = [entry_in_words(entry, lookup) for entry in dacl.effective]
    return words or ["Nobody: no access (the ACL is empty)"]


def entry_in_words(entry: AccessEntry, lookup: Lookup | None = None) -> str:
    """Return an entry in words, such as `Authenticated Users: read and write`."""
    rights = _denied(entry.mask) if entry.kind is Kind.DENY else rights_in_words(entry.mask)
    condition = f", if {entry.condition}" if entry.condition else ""
    return f"{name_of(entry.account, lookup)}: {rights}{condition}"


def label_in_words(label: Label) -> str:
    """Return an integrity label in words, such as `Low integrity: programs below it may not write`."""
    verbs = [verb for policy, verb in _POLICY_WORDS.items() if label.policy & policy]
    effect = f"programs below it may not {_join(verbs, 'or')}" if verbs else "keeps nobody out"
    return f"{name_of(label.level)}: {effect}"


def rights_in_words(mask: Access) -> str:
    """Return rights in words, such as `read and write`."""
    if not mask:
        return "nothing"
    if mask & Access.FILE_ALL_ACCESS == Access.FILE_ALL_ACCESS:
        return "full control"
    # For example, the right to write data without the right to write attributes is not enough for GENERIC_WRITE.
    is_whole = all(mask & whole == whole for right, whole, _ in _VERBS if mask & right)
    return _join(_verbs(mask), "and") + ("" if is_whole else f" (only 0x{mask:x})")


def _denied(mask: Access) -> str:
    return "denied" if mask == Access.FILE_ALL_ACCESS else f"may not {_join(_verbs(mask), 'or')}"


def _verbs(mask: Access) -> list[str]:
    verbs = [verb for right, _, verb in _VERBS if mask & right]
    if not verbs and mask & _PROPERTIES:
        verbs = ["read its attributes"]
    return verbs or [f"use right 0x{mask:x}"]


def _join(words: Sequence[str], last: str) -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


# Writing


def text_of(dacl: Dacl, label: Label | None = None) -> str:
    """Return a protected ACL and a label as SDDL."""
    entries = "NO_ACCESS_CONTROL" if dacl.is_null else "".join(map(_entry_text, dacl.entries))
    policy = label and "".join(code for code, bit in _POLICIES.items() if label.policy & bit)
    return f"D:P{entries}" + (f"S:(ML;;{policy};;;{short(label.level)})" if label else "")


def _entry_text(entry: AccessEntry) -> str:
    kind = ("X" if entry.condition else "") + ("D" if entry.kind is Kind.DENY else "A")
    flags = "".join(code for code, flag in _FLAGS.items() if entry.flags & flag)
    rights = "GA" if entry.mask == Access.FILE_ALL_ACCESS else f"0x{entry.mask:x}"
    condition = f";{entry.condition}" if entry.condition else ""
    return f"({kind};{flags};{rights};;;{short(entry.account)}{condition})"


def for_server(allow: Sequence[str], user: str, account_sid: Lookup, *, owner: str | None = None) -> str:
    """Return the SDDL for a pipe that `user` serves and that the accounts in `allow` may use as clients.

    Each is `me`, `admins`, `users`, `everyone`, `appcontainer`, a SID, a name that `account_sid` finds, or, as the only
    one, `sddl:` and a complete descriptor. The server and SYSTEM get full control. Administrators get it too, because
    they could take it anyway, unless only `me` is allowed. Raises ValueError for anything else.

    `owner` is the owner of the objects that the server creates, if that is not the user: usually Administrators, for an
    elevated server. Then the owner gets full control instead of the user, and the user is an ordinary client, because
    programs of the same user that are not elevated have the same SID.

    Denying the NETWORK SID is not an alternative to REJECT_REMOTE_CLIENTS: programs on this computer have it, too, if
    their user has logged on over ssh or WinRM.
    """
    wanted = list(dict.fromkeys(_preset(text) for text in allow))
    if any(text.startswith(_VERBATIM) for text in wanted):
        if len(wanted) > 1:
            raise ValueError(f"`{_VERBATIM}…` is a whole ACL and cannot be combined with other values")
        text = wanted[0].removeprefix(_VERBATIM)
        parse(text)  # raises ValueError for text that could not be described in words
        return text
    # For SYSTEM, the owner is Administrators, too, but it has no programs that are not elevated.
    master = user if owner is None or canonical(user) == SYSTEM else owner
    everybody = [master, "SY"] if wanted == ["me"] else [master, "SY", "BA"]
    masters = {canonical(account): account for account in everybody}
    clients = dict.fromkeys([user, *(_client(text, account_sid) for text in wanted if text not in ("me", "admins"))])
    return "".join(
        [
            "D:P",
            *(f"(A;;GA;;;{account})" for account in masters.values()),
            *(f"(A;;0x{Access.PIPE_CLIENT:x};;;{account})" for account in clients if canonical(account) not in masters),
            _LOW_LABEL if "appcontainer" in wanted else "",
        ]
    )


def _preset(text: str) -> str:
    if text[: len(_VERBATIM)].lower() == _VERBATIM:
        return _VERBATIM + text[len(_VERBATIM) :]
    return text.lower() if text.lower() in _PRESETS else text


def _client(text: str, account_sid: Lookup) -> str:
    if text in _CLIENTS:
        return _CLIENTS[text]
    if text[:2].upper() == "S-":
        return canonical(text)
    sid = account_sid(text)
    if sid is None:
        raise ValueError(f"unknown account `{text}`: use {', '.join(_PRESETS)}, an account, a SID (S-1-…) or sddl:…")
    return sid


# Tables

# An AppContainer has low integrity, and a pipe without a label has medium integrity, which denies writes from below.
# Microsoft's examples for apps set this label; according to another source, an entry for the app's package is enough.
# The label stays until that is tested on Windows. It also allows other low-integrity programs to write, if the ACL
# grants that.
_LOW_LABEL = "S:(ML;;NW;;;LW)"

_VERBATIM = "sddl:"
_CLIENTS = {"users": "AU", "everyone": "WD", "appcontainer": "AC"}
_PRESETS = ("me", "admins", *_CLIENTS)

_HEAD = re.compile(r"([OGDS]):", re.IGNORECASE)
_LIST_FLAGS = re.compile(r"(?:P|AR|AI|NO_ACCESS_CONTROL)*", re.IGNORECASE)
# Windows reads a number with a leading zero as octal; it is rejected here.
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,8}|0|[1-9][0-9]{0,9}")

# Object entries (OA, OD) count as plain ones if no object types are requested, as for pipes.
_KINDS = {
    "A": Kind.ALLOW,
    "OA": Kind.ALLOW,
    "XA": Kind.ALLOW,
    "ZA": Kind.ALLOW,
    "D": Kind.DENY,
    "OD": Kind.DENY,
    "XD": Kind.DENY,
}

_FLAGS: dict[str, int] = {
    "OI": AceFlags.OBJECT_INHERIT,
    "CI": AceFlags.CONTAINER_INHERIT,
    "NP": AceFlags.NO_PROPAGATE,
    "IO": AceFlags.INHERIT_ONLY,
    "ID": AceFlags.INHERITED,
    "CR": AceFlags.CRITICAL,
    "SA": AceFlags.SUCCESSFUL_ACCESS,
    "FA": AceFlags.FAILED_ACCESS,
}

_POLICIES: dict[str, int] = {
    "NW": LabelPolicy.NO_WRITE_UP,
    "NR": LabelPolicy.NO_READ_UP,
    "NX": LabelPolicy.NO_EXECUTE_UP,
}
_POLICY_WORDS = {LabelPolicy.NO_READ_UP: "read", LabelPolicy.NO_WRITE_UP: "write"}

# The codes have the same meaning for every kind of object, including those for directories and registry keys.
_RIGHTS: dict[str, int] = {
    "GA": Access.GENERIC_ALL,
    "GR": Access.GENERIC_READ,
    "GW": Access.GENERIC_WRITE,
    "GX": Access.GENERIC_EXECUTE,
    "FA": Access.FILE_ALL_ACCESS,
    "FR": Access.FILE_GENERIC_READ,
    "FW": Access.FILE_GENERIC_WRITE,
    "FX": Access.FILE_GENERIC_EXECUTE,
    "SD": Access.DELETE,
    "RC": Access.READ_CONTROL,
    "WD": Access.WRITE_DAC,
    "WO": Access.WRITE_OWNER,
    "CC": 0x1,
    "DC": 0x2,
    "LC": 0x4,
    "SW": 0x8,
    "RP": 0x10,
    "WP": 0x20,
    "DT": 0x40,
    "LO": 0x80,
    "CR": 0x100,
    "KA": 0xF_003F,
    "KR": 0x2_0019,
    "KW": 0x2_0006,
    "KX": 0x2_0019,
}

_GENERIC = {
    Access.GENERIC_ALL: Access.FILE_ALL_ACCESS,
    Access.GENERIC_READ: Access.FILE_GENERIC_READ,
    Access.GENERIC_WRITE: Access.FILE_GENERIC_WRITE,
    Access.GENERIC_EXECUTE: Access.FILE_GENERIC_EXECUTE,
}

# A right, all rights that it needs to be useful, and its verb.
_VERBS = (
    (Access.FILE_READ_DATA, Access.FILE_GENERIC_READ, "read"),
    (Access.FILE_WRITE_DATA, Access.FILE_GENERIC_WRITE & ~Access.FILE_CREATE_PIPE_INSTANCE, "write"),
    (
        Access.FILE_CREATE_PIPE_INSTANCE,
        Access.FILE_CREATE_PIPE_INSTANCE,
        "create instances of the pipe (could impersonate the server)",
    ),
    (Access.WRITE_DAC, Access.WRITE_DAC, "change the ACL"),
    (Access.WRITE_OWNER, Access.WRITE_OWNER, "take ownership"),
)
_PROPERTIES = Access.READ_CONTROL | Access.FILE_READ_ATTRIBUTES

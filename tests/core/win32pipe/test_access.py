"""Access lists, SIDs and descriptors: the same steps with pywin32 and with the stand-in have the same outcomes."""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("win32pipe", reason="compares with pywin32")

import pywintypes
import win32security

from pipectl.core import win32pipe as ours

WORLD = b"\1\1\0\0\0\0\0\1\0\0\0\0"
SYSTEM = b"\1\1\0\0\0\0\0\5\x12\0\0\0"
USER = b"\1\5\0\0\0\0\0\5\x15\0\0\0" + bytes(range(240, 256))


class Pywin32:
    """The names of two modules in one place, as the stand-in has them."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pywintypes if hasattr(pywintypes, name) else win32security, name)


def tried(api: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a call gives, or the type of what it raises, with the code of an error."""
    try:
        return plain(function(*arguments))
    except api.error as error:
        return error.args[:2]
    except Exception as error:  # noqa: BLE001 - whichever it is, it is the outcome
        return type(error)


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if type(value).__name__.endswith("SID"):
        return str(value)
    return entries(value) if type(value).__name__.endswith("ACL") else value


def entries(acl: Any) -> list[Any]:
    """Its entries in any order: under Wine, AddAce always appends, by which pywin32 sorts them."""
    return sorted([plain(acl.GetAce(place)) for place in range(acl.GetAceCount())])


def sids(api: Any) -> list[Any]:
    done = []
    for data in (WORLD, SYSTEM, USER, USER + b"more"):
        sid = api.SID(data)
        done += [bytes(memoryview(sid)), len(bytes(memoryview(sid))), str(sid), sid.IsValid(), sid.GetLength()]
        done += [sid.GetSubAuthorityCount(), sid.GetSidIdentifierAuthority(), sid.GetSubAuthority(0)]
        done += [tried(api, sid.GetSubAuthority, place) for place in (-1, 4, 5, "0")]
        done += [sid == api.SID(data), sid == api.SID(SYSTEM), sid == 5, tried(api, hash, sid)]
    made = api.SID((0, 0, 0, 0, 0, 5), (32, 544))
    done += [str(made), str(api.SID((1, 2, 3, 4, 5, 6), (-1,)))]
    made.SetSubAuthority(1, 545)
    done += [str(made), tried(api, made.SetSubAuthority, 2, 1)]
    blank = api.SID()
    blank.Initialize((0, 0, 0, 0, 0, 5), 1)
    blank.SetSubAuthority(0, 18)
    done += [str(blank), blank == api.SID(SYSTEM)]
    wrong = [("text",), ((0, 0, 0, 0, 0, 5), (1,) * 9), ((0, 0, 5), (1,)), (5, (1,)), (None,)]
    return done + [tried(api, api.SID, *arguments) for arguments in wrong]


def access_lists(api: Any) -> list[Any]:
    acl, done = api.ACL(), []
    world, system, user = map(api.SID, (WORLD, SYSTEM, USER))
    done += [acl.GetAclSize(), acl.GetAceCount(), acl.GetAclRevision(), acl.IsValid()]
    done += [tried(api, acl.GetAce, 0), tried(api, acl.DeleteAce, 0)]
    for number in range(12):
        acl.AddAccessAllowedAce(2, 1 << number, user if number % 2 else world)
    acl.AddAccessDeniedAce(2, 2, system)
    acl.AddAccessAllowedAceEx(2, 3, 4, system)
    acl.AddAccessDeniedAceEx(2, 16, 8, system)
    acl.AddAccessAllowedAce(-(1 << 31), system)
    done += [entries(acl), acl.GetAceCount(), acl.IsValid()]
    while acl.GetAceCount() > 9:
        acl.DeleteAce(9)
    acl.DeleteAce(0)
    done += [
        acl.GetAceCount(),
        acl.GetAclSize(),
        tried(api, acl.GetAce, 99),
        tried(api, acl.GetAce, -1),
        tried(api, acl.DeleteAce, 99),
    ]
    done += [tried(api, acl.AddAccessAllowedAce, *wrong) for wrong in ((), (2,), (2, 1, b"sid"), (2, "1", system))]
    acl.Initialize()
    done += [entries(acl)]
    acl.AddAuditAccessAce(2, 1, user, 1, 0)
    done += [entries(acl), acl.IsValid()]
    acl.Initialize()
    acl.AddMandatoryAce(2, 0, 1, api.SID((0, 0, 0, 0, 0, 16), (8192,)))
    done += [entries(acl), acl.IsValid()]
    return [*done, api.ACL(256, 4).GetAclRevision(), api.ACL(256).GetAclSize()]


def descriptors(api: Any) -> list[Any]:
    acl = api.ACL()
    acl.AddAccessAllowedAce(2, 0x12019B, api.SID(USER))
    attributes, done = api.SECURITY_ATTRIBUTES(), []
    for descriptor in (api.SECURITY_DESCRIPTOR(), attributes):
        descriptor.SetSecurityDescriptorDacl(1, acl, 0)
        descriptor.SetSecurityDescriptorSacl(1, acl, 1)
        descriptor.SetSecurityDescriptorOwner(api.SID(SYSTEM), 0)
        descriptor.SetSecurityDescriptorGroup(api.SID(USER), 1)
        done += [plain(descriptor.GetSecurityDescriptorDacl()), plain(descriptor.GetSecurityDescriptorSacl())]
        done += [plain(descriptor.GetSecurityDescriptorOwner()), plain(descriptor.GetSecurityDescriptorGroup())]
        done += [descriptor.GetSecurityDescriptorControl(), descriptor.IsValid(), descriptor.IsSelfRelative()]
    descriptor = api.SECURITY_DESCRIPTOR()
    done += [plain(descriptor.GetSecurityDescriptorOwner()), plain(descriptor.GetSecurityDescriptorDacl())]
    done += [tried(api, descriptor.SetSecurityDescriptorDacl, 1, wrong, 0) for wrong in (5, b"acl", "D:")]
    done += [tried(api, descriptor.SetSecurityDescriptorOwner, wrong, 0) for wrong in (5, b"sid")]
    text = api.ConvertStringSecurityDescriptorToSecurityDescriptor("O:SYG:BAD:P(A;;GA;;;SY)(D;;GR;;;WD)", 1)
    return [*done, plain(text.GetSecurityDescriptorDacl()), plain(text.GetSecurityDescriptorOwner()), bytes(text)]


@pytest.mark.parametrize("steps", [sids, access_lists, descriptors], ids=lambda steps: steps.__name__)
def test_each_step_has_pywin32s_outcome(steps: Callable[[Any], list[Any]]) -> None:
    expected, found = steps(Pywin32()), steps(ours)
    assert len(found) > 10
    assert found == expected


def test_entries_that_deny_come_first_and_what_is_inherited_last() -> None:
    acl, sid = ours.ACL(), ours.SID(WORLD)
    acl.AddAccessAllowedAceEx(2, 16, 1, sid)
    acl.AddAccessAllowedAce(2, 2, sid)
    acl.AddAccessDeniedAceEx(2, 16, 4, sid)
    acl.AddAccessDeniedAce(2, 8, sid)
    acl.AddAccessAllowedAce(2, 16, sid)
    assert [acl.GetAce(place)[1] for place in range(acl.GetAceCount())] == [8, 2, 16, 1, 4]

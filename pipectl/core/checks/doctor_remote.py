"""Checks of a pipe on another computer, about which little is known: its host name, SMB port, and one error code."""

from pipectl.core.constants import WinError, symbol_of
from pipectl.core.errors import error_for

from .doctor_model import Cause, Check, Facts, Outcome, Remote, Status, outcome_of, problem

# The meaning of each error code of opening a pipe on another computer. From Microsoft's "System Error Codes" and the
# codes that the SMB client returns; not yet tested on Windows.
MEANINGS: dict[int, str] = {
    WinError.FILE_NOT_FOUND: "the computer responds, but has no such pipe",
    WinError.ACCESS_DENIED: "the computer refuses: the pipe lets no clients of other computers in, its access list "
    "does not let this account in over the network, or the account is a local administrator's, which "
    "LocalAccountTokenFilterPolicy makes an ordinary one there",
    WinError.BAD_NETPATH: "the computer cannot be reached over SMB: it is off, or a firewall is in between",
    WinError.NETNAME_DELETED: "the computer ended the SMB connection",
    WinError.BAD_NET_NAME: "the computer has no share IPC$: its Server service does not run, or the name is mistyped",
    WinError.REQ_NOT_ACCEP: "the computer has as many connections as it accepts",
    WinError.NO_NET_OR_BAD_PATH: "no network provider knows this path: the computer's name is wrong, or the "
    "Workstation service does not run",
    WinError.SESSION_CREDENTIAL_CONFLICT: "there is a connection to this computer with another user name already",
    WinError.NETWORK_UNREACHABLE: "the computer's network cannot be reached",
    WinError.SMB_GUEST_LOGON_BLOCKED: "the computer lets this account in only as a guest, which Windows forbids",
    WinError.LOGON_FAILURE: "the computer does not accept the user name or the password",
    WinError.ACCOUNT_RESTRICTION: "the account may not log on: its password is empty, or expired, or it is limited "
    "to certain hours or computers",
    WinError.LOGON_TYPE_NOT_GRANTED: "the account may not log on to that computer over the network",
    WinError.WRONG_TARGET_NAME: "the computer that answers is not the one of this name: a DNS alias, or a wrong "
    "account in the domain",
    WinError.PIPE_BUSY: "every instance of the pipe is taken",
}


# Codes that show that the computer was reached.
_REACHED = (0, 2, 5, 64, 71, 231, 1272, 1326, 1327, 1385, 1396)


def check_remote(facts: Facts) -> list[Check]:
    """Check the computer, its SMB port, and the result of opening its pipe."""
    remote = facts.remote
    if remote is None:
        return []
    was_reached = facts.opening is not None and facts.opening.code in _REACHED
    return [_host(remote, was_reached=was_reached), _smb(remote, was_reached=was_reached), _opening(facts)]


def _host(remote: Remote, *, was_reached: bool) -> Check:
    host, is_known = remote.host, remote.is_known
    if is_known or was_reached:
        return Check("host", Status.OK, host)
    if is_known is None:
        return Check("host", Status.UNKNOWN, f"{host} could not be looked up")
    return problem("host", Outcome.ABSENT, Cause.UNKNOWN_HOST, f"no computer named {host} was found", value=host)


def _smb(remote: Remote, *, was_reached: bool) -> Check:
    if remote.takes_smb:
        return Check("smb", Status.OK, "port 445 (SMB) answers")
    if was_reached:
        return Check("smb", Status.NOTE, "port 445 (SMB) does not answer; the computer does")
    if remote.takes_smb is None:
        return Check("smb", Status.UNKNOWN, "port 445 (SMB) was not tried")
    return problem(
        "smb",
        Outcome.ABSENT,
        Cause.NO_SMB,
        "port 445 (SMB) does not answer within a second: the computer is off, or a firewall is in between",
        text="port 445 does not answer",
        value=remote.host,
    )


def _opening(facts: Facts) -> Check:
    opening = facts.opening
    if opening is None:
        return Check("open", Status.SKIPPED if not facts.opens else Status.UNKNOWN, "not opened")
    if opening.code == 0:
        return Check("open", Status.OK, f"it can be opened to {facts.mode.in_words}")
    outcome = outcome_of(opening.error or error_for(opening.code, "", "CreateFileW"))
    why = MEANINGS.get(opening.code)
    reason = why or (opening.error.reason if opening.error else "it cannot be opened")
    code = ", ".join(filter(None, (symbol_of(opening.code), str(opening.code))))
    return problem("open", outcome, Cause.REMOTE, f"{reason} ({code})", code=opening.code)

"""Security identifiers (SIDs): their canonical spelling, and English names for the well-known ones.

Nothing here calls the system, whose names depend on its language.
"""

import re
import struct
from collections.abc import Callable

EVERYONE = "S-1-1-0"
OWNER_RIGHTS = "S-1-3-4"
NETWORK = "S-1-5-2"
INTERACTIVE = "S-1-5-4"
SERVICE = "S-1-5-6"
ANONYMOUS = "S-1-5-7"
AUTHENTICATED_USERS = "S-1-5-11"
SYSTEM = "S-1-5-18"
LOCAL_SERVICE = "S-1-5-19"
NETWORK_SERVICE = "S-1-5-20"
ADMINISTRATORS = "S-1-5-32-544"
USERS = "S-1-5-32-545"
# All AppContainers, without and with less privileged ones (LPAC).
ALL_PACKAGES = "S-1-15-2-1"
ALL_RESTRICTED_PACKAGES = "S-1-15-2-2"

# SID_MAX_SUB_AUTHORITIES and SECURITY_MAX_SID_SIZE.
_MAX_NUMBERS = 15
MAX_BYTES = 8 + 4 * _MAX_NUMBERS

# Returns the name of a SID, or the SID of a name; None if there is none.
Lookup = Callable[[str], str | None]


def canonical(text: str) -> str:
    """Return the SID for a text, which is a SID or a two-letter SDDL code; raises ValueError.

    Codes whose SID depends on the domain, such as DA, and codes of newer Windows versions are returned unchanged.
    """
    sid = text.strip().upper()
    if _LETTERS.fullmatch(sid):
        return _BY_LETTERS.get(sid, sid)
    return from_bytes(to_bytes(sid))


def to_bytes(sid: str) -> bytes:
    """Return the SID in binary form; raises ValueError if the text is not a SID."""
    if not _SID.fullmatch(sid):
        raise ValueError(f"`{sid}` is not a SID (S-1-…)")
    authority, *numbers = (int(part, 16 if part.startswith("0X") else 10) for part in sid.split("-")[2:])
    if authority >= 1 << 48 or len(numbers) > _MAX_NUMBERS or any(number >= 1 << 32 for number in numbers):
        raise ValueError(f"`{sid}` is not a SID: a number in it is too large, or there are too many")
    return bytes([1, len(numbers)]) + authority.to_bytes(6, "big") + struct.pack(f"<{len(numbers)}I", *numbers)


def from_bytes(binary: bytes) -> str:
    """Return the text form of the SID at the beginning of some bytes."""
    numbers = struct.unpack_from(f"<{binary[1]}I", binary, 8)
    authority = int.from_bytes(binary[2:8], "big")
    # Windows writes the authority in hexadecimal once it needs more than 32 bits.
    first = str(authority) if authority < 1 << 32 else f"0x{authority:012X}"
    return "-".join(["S-1", first, *map(str, numbers)])


def name_of(sid: str, lookup: Lookup | None = None) -> str:
    """Return the English name of a well-known SID; otherwise the name that `lookup` finds, or the SID itself."""
    if sid in _NAMES:
        return _NAMES[sid]
    if sid.startswith(_LOGON_SESSION):
        return f"Logon session {sid.removeprefix(_LOGON_SESSION)}"
    return (lookup and not _LETTERS.fullmatch(sid) and lookup(sid)) or sid


def short(sid: str) -> str:
    """Return the two-letter SDDL code for a SID, or the SID."""
    return _LETTERS_OF.get(sid, sid)


_LOGON_SESSION = "S-1-5-5-"
_LETTERS = re.compile(r"[A-Z]{2}")
_SID = re.compile(r"S-1-(?:0X[0-9A-F]{1,12}|[0-9]{1,15})(?:-(?:0X[0-9A-F]{1,8}|[0-9]{1,10}))*")

# The SDDL code, the SID unless it depends on the domain, and the English name; from [MS-DTYP] 2.4.2.4 and 2.5.1.1, and
# Microsoft's "SID strings".
_WELL_KNOWN = """
-- S-1-0-0        Nobody
WD S-1-1-0        Everyone
-- S-1-2-0        Local
-- S-1-2-1        Console Logon
CO S-1-3-0        Creator Owner
CG S-1-3-1        Creator Group
OW S-1-3-4        Owner Rights
-- S-1-5-1        Dialup
NU S-1-5-2        Network
-- S-1-5-3        Batch
IU S-1-5-4        Interactive
SU S-1-5-6        Service
AN S-1-5-7        Anonymous
ED S-1-5-9        Enterprise Domain Controllers
PS S-1-5-10       Principal Self
AU S-1-5-11       Authenticated Users
RC S-1-5-12       Restricted Code
-- S-1-5-13       Terminal Server Users
-- S-1-5-14       Remote Interactive Logon
-- S-1-5-15       This Organization
-- S-1-5-17       IUSR
SY S-1-5-18       SYSTEM
LS S-1-5-19       Local Service
NS S-1-5-20       Network Service
WR S-1-5-33       Write Restricted
BA S-1-5-32-544   Administrators
BU S-1-5-32-545   Users
BG S-1-5-32-546   Guests
PU S-1-5-32-547   Power Users
AO S-1-5-32-548   Account Operators
SO S-1-5-32-549   Server Operators
PO S-1-5-32-550   Print Operators
BO S-1-5-32-551   Backup Operators
RE S-1-5-32-552   Replicator
RU S-1-5-32-554   Pre-Windows 2000 Compatible Access
RD S-1-5-32-555   Remote Desktop Users
NO S-1-5-32-556   Network Configuration Operators
MU S-1-5-32-558   Performance Monitor Users
LU S-1-5-32-559   Performance Log Users
IS S-1-5-32-568   IIS_IUSRS
CY S-1-5-32-569   Cryptographic Operators
ER S-1-5-32-573   Event Log Readers
CD S-1-5-32-574   Certificate Service DCOM Access
RA S-1-5-32-575   RDS Remote Access Servers
ES S-1-5-32-576   RDS Endpoint Servers
MS S-1-5-32-577   RDS Management Servers
HA S-1-5-32-578   Hyper-V Administrators
AA S-1-5-32-579   Access Control Assistance Operators
RM S-1-5-32-580   Remote Management Users
-- S-1-5-80-0     All Services
UD S-1-5-84-0-0-0-0-0 User-Mode Drivers
-- S-1-5-113      Local account
-- S-1-5-114      Local account and member of Administrators
AC S-1-15-2-1     All Application Packages
-- S-1-15-2-2     All Restricted Application Packages
-- S-1-16-0       Untrusted integrity
LW S-1-16-4096    Low integrity
ME S-1-16-8192    Medium integrity
MP S-1-16-8448    Medium-plus integrity
HI S-1-16-12288   High integrity
SI S-1-16-16384   System integrity
-- S-1-16-20480   Protected-process integrity
AS S-1-18-1       Authentication Authority Asserted Identity
SS S-1-18-2       Service Asserted Identity
AP --             Protected Users
CA --             Cert Publishers
CN --             Cloneable Domain Controllers
DA --             Domain Admins
DC --             Domain Computers
DD --             Domain Controllers
DG --             Domain Guests
DU --             Domain Users
EA --             Enterprise Admins
EK --             Enterprise Key Admins
KA --             Key Admins
LA --             Administrator
LG --             Guest
PA --             Group Policy Creator Owners
RO --             Enterprise Read-only Domain Controllers
RS --             RAS and IAS Servers
SA --             Schema Admins
"""

_ROWS = [line.split(None, 2) for line in _WELL_KNOWN.strip().splitlines()]
_BY_LETTERS = {letters: letters if sid == "--" else sid for letters, sid, _ in _ROWS if letters != "--"}
_NAMES = {letters if sid == "--" else sid: name for letters, sid, name in _ROWS}
_LETTERS_OF = {sid: letters for letters, sid in _BY_LETTERS.items()}

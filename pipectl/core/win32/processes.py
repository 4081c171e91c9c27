"""The constants of Win32 for processes, threads, tokens, services and jobs: one enum for each parameter.

They are separate from `constants` because `call` does not need them, and creating an enum takes 0.2 ms.
"""

from enum import IntEnum, IntFlag


class ThreadAccess(IntFlag):
    """`dwDesiredAccess` of a thread handle; CancelSynchronousIo requires TERMINATE."""

    TERMINATE = 0x1


class ProcessAccess(IntFlag):
    """`dwDesiredAccess` of OpenProcess."""

    DUP_HANDLE = 0x0000_0040
    # Also granted for other users' processes, except those that Windows protects.
    QUERY_LIMITED_INFORMATION = 0x0000_1000


class ServiceManagerAccess(IntFlag):
    """`dwDesiredAccess` of OpenSCManager."""

    # Also granted to users who are not administrators, if they are logged on locally.
    ENUMERATE_SERVICE = 0x0004


class ServiceType(IntFlag):
    """`dwServiceType` of EnumServicesStatusEx: the types other than drivers."""

    WIN32 = 0x0030


class ServiceState(IntEnum):
    """`dwServiceState` of EnumServicesStatusEx."""

    ACTIVE = 1


class StdHandle(IntEnum):
    """`nStdHandle` of GetStdHandle."""

    OUTPUT = 0xFFFF_FFF5
    ERROR = 0xFFFF_FFF4


class JobLimit(IntFlag):
    """`LimitFlags` of JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    NONE = 0x0000
    KILL_ON_JOB_CLOSE = 0x2000


class TokenAccess(IntFlag):
    """`DesiredAccess` of OpenProcessToken."""

    DUPLICATE = 0x0002
    IMPERSONATE = 0x0004
    QUERY = 0x0008
    ADJUST_PRIVILEGES = 0x0020
    # All rights, including ADJUST_PRIVILEGES, ADJUST_GROUPS and ADJUST_DEFAULT, which a created token may need.
    ALL = 0x000F_01FF


class TokenInformation(IntEnum):
    """`TokenInformationClass` of GetTokenInformation."""

    USER = 1
    GROUPS = 2
    PRIVILEGES = 3
    OWNER = 4
    IMPERSONATION_LEVEL = 9
    RESTRICTED_SIDS = 11
    SESSION_ID = 12
    ELEVATION_TYPE = 18
    LINKED_TOKEN = 19
    ELEVATION = 20
    ACCESS_INFORMATION = 22
    INTEGRITY_LEVEL = 25
    MANDATORY_POLICY = 27
    IS_APP_CONTAINER = 29
    CAPABILITIES = 30
    APP_CONTAINER_SID = 31
    IS_LESS_PRIVILEGED_APP_CONTAINER = 46


class GroupAttributes(IntFlag):
    """`Attributes` of a group in a token."""

    ENABLED = 0x4
    # For example, Administrators in the token of an administrator's program that is not elevated.
    USE_FOR_DENY_ONLY = 0x10
    LOGON_ID = 0xC000_0000


class PrivilegeAttributes(IntFlag):
    """`Attributes` of a privilege in a token."""

    ENABLED = 0x2


class TokenFlags(IntFlag):
    """`Flags` of TOKEN_ACCESS_INFORMATION."""

    WRITE_RESTRICTED = 0x8

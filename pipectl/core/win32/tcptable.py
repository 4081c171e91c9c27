"""Finds the process at the other end of a local TCP connection, in the system's table of connections."""

import ctypes
from ctypes import byref, c_void_p
from ctypes.wintypes import BOOL, DWORD, ULONG
from struct import Struct

from pipectl.core.constants import WinError

from . import winapi
from .winsock import Address

_INET, _INET6 = 2, 23
_TCP_TABLE_OWNER_PID_CONNECTIONS = 4
# MIB_TCPROW_OWNER_PID: state, local address and port, the same for remote, process. Ports are in network byte order.
_ROW = Struct("<4x4sH2x4sH2xI")
# MIB_TCP6ROW_OWNER_PID: local address, scope and port, the same for remote, state, process.
_ROW_6 = Struct("<16s4xH2x16s4xH2x4xI")
_FIRST_SIZE = 64 << 10

_GetExtendedTcpTable = winapi.declare(
    winapi.library("iphlpapi"),
    "GetExtendedTcpTable",
    DWORD,
    c_void_p,
    ctypes.POINTER(DWORD),
    BOOL,
    ULONG,
    ctypes.c_int,
    ULONG,
    check=lambda code, function, arguments: (
        code if code == WinError.INSUFFICIENT_BUFFER else winapi.check_code(code, function, arguments)
    ),
)


def process_of(local: Address, remote: Address) -> int | None:
    """Return the ID of the process that has the end `local` of a connection to `remote`, or None if unknown."""
    return find(_table(local.is_ipv6), local, remote)


def find(table: bytes, local: Address, remote: Address) -> int | None:
    """Return the process ID for a connection in the system's table, which consists of a count and rows."""
    row = _ROW_6 if local.is_ipv6 else _ROW
    count = int.from_bytes(table[:4], "little")
    for local_ip, local_port, remote_ip, remote_port, pid in row.iter_unpack(table[4 : 4 + count * row.size]):
        if (local_ip, _swapped(local_port), remote_ip, _swapped(remote_port)) == (*local, *remote):
            return pid or None
    return None


def _swapped(port: int) -> int:
    return port >> 8 | (port & 0xFF) << 8


def _table(is_ipv6: bool) -> bytes:
    size = DWORD(_FIRST_SIZE)
    while True:
        buffer = ctypes.create_string_buffer(size.value)
        family = _INET6 if is_ipv6 else _INET
        if _GetExtendedTcpTable(buffer, byref(size), False, family, _TCP_TABLE_OWNER_PID_CONNECTIONS, 0) == 0:
            return buffer.raw

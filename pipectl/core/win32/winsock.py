"""TCP sockets as overlapped handles: Winsock's functions, declared here because few commands need them.

Importing this module loads two DLLs. Microsoft documents that ReadFile and WriteFile also work with sockets, so sockets
use the same code as pipes to transfer data.
"""

import ctypes
from ctypes import POINTER, Structure, byref, c_int, c_size_t, c_ubyte, c_ushort, c_void_p
from ctypes.wintypes import BOOL, DWORD, HANDLE, LPCWSTR, ULONG, WORD
from functools import cache
from typing import Any, NamedTuple

from pipectl.core.constants import WinError
from pipectl.core.deadline import Timeout

from . import winapi
from .handle import Handle
from .overlapped import Overlapped

_WS2_32 = winapi.library("ws2_32")
_MSWSOCK = winapi.library("mswsock")
_PENDING = WinError.IO_PENDING

_VERSION_2_2 = 0x0202
_INET, _INET6 = 2, 23
_STREAM, _TCP = 1, 6
_OVERLAPPED, _NO_INHERIT = 0x01, 0x80
_SOL_SOCKET, _IPPROTO_TCP = 0xFFFF, 6
_SO_LINGER, _SO_EXCLUSIVEADDRUSE = 0x0080, -5
_SO_UPDATE_ACCEPT_CONTEXT, _SO_UPDATE_CONNECT_CONTEXT = 0x700B, 0x7010
_TCP_NODELAY = 1
_SD_SEND = 1
_SIO_GET_EXTENSION_FUNCTION_POINTER = 0xC800_0006
_WSAID_CONNECTEX = bytes.fromhex("b907a225f3dd60468ee976e58c74063e")
_BACKLOG = 200
# The buffer that AcceptEx needs for each of the two addresses: the longest address, and 16 bytes.
_ADDRESS_ROOM = 28 + 16


class _SockAddr(Structure):
    """SOCKADDR_IN6, which begins like SOCKADDR_IN with family and port; `flow` has the place of an IPv4 address."""

    _fields_ = (
        ("family", c_ushort),
        ("port", c_ubyte * 2),
        ("flow", c_ubyte * 4),
        ("address", c_ubyte * 16),
        ("scope", ULONG),
    )


class _AddrInfo(Structure):
    """ADDRINFOW."""

    _fields_ = (
        ("flags", c_int),
        ("family", c_int),
        ("kind", c_int),
        ("protocol", c_int),
        ("size", c_size_t),
        ("name", c_void_p),
        ("address", POINTER(_SockAddr)),
        ("next", c_void_p),
    )


class _Linger(Structure):
    _fields_ = (("on", c_ushort), ("seconds", c_ushort))


# fmt: off
_WSAStartup   = winapi.declare(_WS2_32, "WSAStartup", c_int, WORD, c_void_p, check=winapi.check_code)
_WSASocketW   = winapi.declare(_WS2_32, "WSASocketW", HANDLE, c_int, c_int, c_int, c_void_p, DWORD, DWORD, check=winapi.check_handle)
_WSAIoctl     = winapi.declare(_WS2_32, "WSAIoctl", c_int, HANDLE, DWORD, c_void_p, DWORD, c_void_p, DWORD, POINTER(DWORD), c_void_p, c_void_p, check=winapi.check_zero)
_bind         = winapi.declare(_WS2_32, "bind", c_int, HANDLE, c_void_p, c_int, check=winapi.check_zero)
_listen       = winapi.declare(_WS2_32, "listen", c_int, HANDLE, c_int, check=winapi.check_zero)
_shutdown     = winapi.declare(_WS2_32, "shutdown", c_int, HANDLE, c_int, check=winapi.check_zero)
_setsockopt   = winapi.declare(_WS2_32, "setsockopt", c_int, HANDLE, c_int, c_int, c_void_p, c_int, check=winapi.check_zero)
_getsockname  = winapi.declare(_WS2_32, "getsockname", c_int, HANDLE, c_void_p, POINTER(c_int), check=winapi.check_zero)
_getpeername  = winapi.declare(_WS2_32, "getpeername", c_int, HANDLE, c_void_p, POINTER(c_int), check=winapi.check_zero)
_GetAddrInfoW = winapi.declare(_WS2_32, "GetAddrInfoW", c_int, LPCWSTR, LPCWSTR, c_void_p, POINTER(c_void_p), check=winapi.check_code)
_FreeAddrInfo = winapi.declare(_WS2_32, "FreeAddrInfoW", None, c_void_p, check=winapi.unchecked)
_closesocket  = winapi.declare(_WS2_32, "closesocket", c_int, HANDLE, check=winapi.check_zero)
_AcceptEx     = winapi.declare(_MSWSOCK, "AcceptEx", BOOL, HANDLE, HANDLE, c_void_p, DWORD, DWORD, DWORD, POINTER(DWORD), winapi.LPOVERLAPPED, check=winapi.check_ok(_PENDING))
# fmt: on


class Address(NamedTuple):
    """A TCP address: the 4 or 16 bytes of an IP address, and a port."""

    ip: bytes
    port: int

    @property
    def is_ipv6(self) -> bool:
        """Whether it is an IPv6 address."""
        return len(self.ip) == 16

    def __str__(self) -> str:
        from ipaddress import ip_address

        host = ip_address(self.ip)
        return f"[{host}]:{self.port}" if self.is_ipv6 else f"{host}:{self.port}"

    @classmethod
    def _of(cls, packed: _SockAddr) -> "Address":
        ip = packed.address if packed.family == _INET6 else packed.flow
        return cls(bytes(ip), int.from_bytes(bytes(packed.port), "big"))

    def _packed(self) -> "_SockAddr":
        packed = _SockAddr(family=_INET6 if self.is_ipv6 else _INET)
        packed.port[:] = list(self.port.to_bytes(2, "big"))
        (packed.address if self.is_ipv6 else packed.flow)[:] = list(self.ip)
        return packed


class Socket(Handle):
    """The owner of an overlapped TCP socket, which sends data at once (TCP_NODELAY); `name` is its name in errors."""

    __slots__ = ("_is_ipv6",)

    def __init__(self, *, is_ipv6: bool, name: str) -> None:
        _start()
        family = _INET6 if is_ipv6 else _INET
        super().__init__(_WSASocketW(family, _STREAM, _TCP, None, 0, _OVERLAPPED | _NO_INHERIT), name)
        self._is_ipv6 = is_ipv6
        self._set(_IPPROTO_TCP, _TCP_NODELAY, c_int(1))

    def _set(self, level: int, option: int, value: Any) -> None:
        _setsockopt(self, level, option, byref(value), ctypes.sizeof(value))

    def listen(self, address: Address) -> None:
        """Bind exclusively to an address, and listen; raises PipeAccessError if another program uses it."""
        self._set(_SOL_SOCKET, _SO_EXCLUSIVEADDRUSE, c_int(1))
        _bind(self, byref(address._packed()), _size(address.is_ipv6))
        _listen(self, _BACKLOG)

    def accept(self, socket: "Socket", room: Any, overlapped: Any) -> None:
        """Start to accept a client on `socket`; `room` is a buffer of ACCEPT_ROOM bytes."""
        _AcceptEx(self, socket, room, 0, _ADDRESS_ROOM, _ADDRESS_ROOM, byref(DWORD()), overlapped)

    def accepted_by(self, listener: "Socket") -> None:
        """Complete the socket of an accepted client with SO_UPDATE_ACCEPT_CONTEXT."""
        self._set(_SOL_SOCKET, _SO_UPDATE_ACCEPT_CONTEXT, c_void_p(listener.value))

    def connect(self, address: Address, overlapped: Any) -> Any:
        """Start to connect; return memory that must stay alive until the operation has ended."""
        packed = self._bound(address)
        _connect_ex(self)(self, byref(packed), _size(address.is_ipv6), None, 0, None, overlapped)
        return packed

    def connect_within(self, address: Address, timeout: Timeout) -> None:
        """Connect; raises PipeTimeoutError or the error of the attempt."""
        packed = self._bound(address)
        with Overlapped(self) as operation:
            operation.start(_connect_ex(self), byref(packed), _size(address.is_ipv6), None, 0, None)
            operation.result(timeout)
        self.connected()

    def accept_within(self, socket: "Socket", timeout: Timeout) -> None:
        """Accept a client on `socket`; raises PipeTimeoutError."""
        room = ctypes.create_string_buffer(ACCEPT_ROOM)
        with Overlapped(self) as operation:
            operation.start(_AcceptEx, socket, room, 0, _ADDRESS_ROOM, _ADDRESS_ROOM, byref(DWORD()))
            operation.result(timeout)
        socket.accepted_by(self)

    def _bound(self, address: Address) -> _SockAddr:
        """Bind to any address of this computer, as ConnectEx requires; return the address in Winsock's form."""
        anywhere = Address(bytes(len(address.ip)), 0)
        _bind(self, byref(anywhere._packed()), _size(address.is_ipv6))
        return address._packed()

    def connect_error(self, status: int) -> Exception:
        """Return the error of a connection attempt that ended with this status."""
        return winapi.native_error(status, _connect_ex(self), self)

    def connected(self) -> None:
        """Complete a connected socket with SO_UPDATE_CONNECT_CONTEXT."""
        _setsockopt(self, _SOL_SOCKET, _SO_UPDATE_CONNECT_CONTEXT, None, 0)

    @property
    def local(self) -> Address:
        """The address of this end."""
        return self._ask(_getsockname)

    @property
    def remote(self) -> Address:
        """The address of the other end."""
        return self._ask(_getpeername)

    def _ask(self, function: Any) -> Address:
        packed, size = _SockAddr(), c_int(ctypes.sizeof(_SockAddr))
        function(self, byref(packed), byref(size))
        return Address._of(packed)

    def end_sending(self) -> None:
        """Shut down sending (FIN); the other end may continue to send."""
        _shutdown(self, _SD_SEND)

    def reset(self) -> None:
        """Make `close` discard unsent data and reset the connection (RST)."""
        self._set(_SOL_SOCKET, _SO_LINGER, _Linger(1, 0))

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        if not self.closed:
            _closesocket(self.detach())


ACCEPT_ROOM = 2 * _ADDRESS_ROOM


def addresses_of(host: str, port: int) -> list[Address]:
    """Resolve a host name and return its addresses with a port; may take seconds. Raises PipeError if unknown."""
    _start()
    hints, first = _AddrInfo(kind=_STREAM), c_void_p()
    _GetAddrInfoW(host, str(port), byref(hints), byref(first))
    found, at = [], first.value
    while at:
        info = _AddrInfo.from_address(at)
        if info.family in (_INET, _INET6):
            found.append(Address._of(info.address.contents))
        at = info.next
    _FreeAddrInfo(first)
    return found


def _size(is_ipv6: bool) -> int:
    return 28 if is_ipv6 else 16


@cache
def _start() -> None:
    """Start Winsock for the lifetime of the process."""
    _WSAStartup(_VERSION_2_2, ctypes.create_string_buffer(512))


@cache
def _connect_ex_at(address: int) -> Any:
    kind = ctypes.WINFUNCTYPE(
        BOOL, HANDLE, c_void_p, c_int, c_void_p, DWORD, c_void_p, winapi.LPOVERLAPPED, use_last_error=True
    )
    function: Any = kind(address)
    function.__name__ = "ConnectEx"
    function.error = _WSAIoctl.error  # type: ignore[attr-defined]
    function.errcheck = winapi.check_ok(_PENDING)
    return function


def _connect_ex(socket: Socket) -> Any:
    """Return ConnectEx, which no DLL exports."""
    pointer = c_void_p()
    _WSAIoctl(
        socket,
        _SIO_GET_EXTENSION_FUNCTION_POINTER,
        _WSAID_CONNECTEX,
        len(_WSAID_CONNECTEX),
        byref(pointer),
        ctypes.sizeof(pointer),
        byref(DWORD()),
        None,
        None,
    )
    return _connect_ex_at(pointer.value or 0)

"""`Pcapng`: writes conversations as packets that Wireshark can read, in one of two forms.

* `tcp`: made-up TCP connections from 127.0.0.1 to 127.0.0.2, so that Wireshark reassembles the streams. Client *n* has
  port 50000 + *n*, and the server has the port that Wireshark associates with the protocol.
* `pdu`: each message or read is a separate packet, with the name of Wireshark's dissector.

The format is draft-ietf-opsawg-pcapng; the header of `pdu` is Wireshark's epan/exported_pdu.h.
"""

import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum

from pipectl.core.codecs.base import Side

from .recording import Closed, Event, Header, Opened, Said

_LINKTYPE_RAW = 101
_LINKTYPE_WIRESHARK_UPPER_PDU = 252
_MICROSECONDS = 6
# The maximum TCP payload of a packet, in bytes; an IPv4 packet has at most 65535.
_MOST_IN_PACKET = 65535 - 40
_FIN, _SYN, _RST, _PSH, _ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_ADDRESSES = {Side.CLIENT: bytes((127, 0, 0, 1)), Side.SERVER: bytes((127, 0, 0, 2))}
_FIRST_PORT = 50000
# The server's port if Wireshark has none for the protocol. No dissector is registered for this one.
_NO_PORT = 49152
# The dissectors with state for a whole connection: how they decode a packet depends on the packets before it.
_STREAMS = frozenset(("http", "tds", "dcerpc", "mysql", "http2"))


class PacketForm(StrEnum):
    """The form of a packet: the values of `--pcapng-as`."""

    TCP = "tcp"
    PDU = "pdu"


class Pcapng:
    """Writes events as packets: `write` is called with whole blocks."""

    def __init__(
        self,
        write: Callable[[bytes], object],
        header: Header,
        wireshark: tuple[str, int] = ("data", 0),
        form: PacketForm | None = None,
    ) -> None:
        """`wireshark` is a dissector's name, and the port that Wireshark associates with the protocol; 0 = none."""
        dissector, port = wireshark
        self.form = form or (PacketForm.PDU if header.is_message and dissector not in _STREAMS else PacketForm.TCP)
        self._write = write
        self._dissector = dissector.encode()
        self._port = port or _NO_PORT
        self._begun = _microseconds(header.started)
        # The next sequence number of each side of each client, and a comment that identifies each client.
        self._sent: dict[tuple[int, Side], int] = {}
        self._names: dict[int, str] = {}
        is_tcp = self.form is PacketForm.TCP
        link = _LINKTYPE_RAW if is_tcp else _LINKTYPE_WIRESHARK_UPPER_PDU
        section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(4, b"pipectl") + _option(0, b"")
        interface = struct.pack("<HHI", link, 0, 0) + _option(2, header.pipe.encode(errors="replace"))
        interface += _option(9, bytes((_MICROSECONDS,))) + _option(0, b"")
        write(_block(0x0A0D0D0A, section) + _block(1, interface))

    def write(self, event: Event) -> None:
        """Write an event."""
        packets = b"".join(self._tcp(event) if self.form is PacketForm.TCP else self._pdu(event))
        if packets:
            self._write(packets)

    # Packets

    def _tcp(self, event: Event) -> Iterator[bytes]:
        match event:
            case Opened():
                self._name(event)
                yield from self._handshake(event)
            case Said():
                if (event.client, Side.CLIENT) not in self._sent:
                    yield from self._handshake(Opened(event.t, event.client))
                for start in range(0, len(event.data), _MOST_IN_PACKET):
                    yield self._segment(event, event.side, _PSH | _ACK, event.data[start : start + _MOST_IN_PACKET])
            case Closed():
                if (event.client, Side.CLIENT) in self._sent:
                    yield from self._end(event)

    def _handshake(self, event: Opened) -> Iterator[bytes]:
        for side in Side:
            self._sent[event.client, side] = 0
        yield self._segment(event, Side.CLIENT, _SYN, comment=self._names.get(event.client, ""))
        yield self._segment(event, Side.SERVER, _SYN | _ACK)
        yield self._segment(event, Side.CLIENT, _ACK)

    def _end(self, event: Closed) -> Iterator[bytes]:
        side = Side.SERVER if event.by == "server" else Side.CLIENT
        if event.error:
            yield self._segment(event, side, _RST | _ACK, comment=event.error)
        else:
            yield self._segment(event, side, _FIN | _ACK)
            yield self._segment(event, side.other, _FIN | _ACK)
            yield self._segment(event, side, _ACK)
        for one in Side:
            del self._sent[event.client, one]

    def _segment(self, event: Event, side: Side, flags: int, data: bytes = b"", *, comment: str = "") -> bytes:
        ours, theirs = (event.client, side), (event.client, side.other)
        ports = self._ports(event.client, side)
        seen = self._sent[theirs] if flags & _ACK else 0
        tcp = struct.pack(">HHIIBBHHH", *ports, self._sent[ours], seen, 5 << 4, flags, 65535, 0, 0)
        size = 20 + len(tcp) + len(data)
        address = _ADDRESSES[side] + _ADDRESSES[side.other]
        ip = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0x4000, 64, 6, 0) + address
        self._sent[ours] = (self._sent[ours] + len(data) + bool(flags & (_SYN | _FIN))) % (1 << 32)
        return self._packet(event, side, ip + tcp + data, comment)

    def _ports(self, client: int, side: Side) -> tuple[int, int]:
        ports = _FIRST_PORT + client % (65536 - _FIRST_PORT), self._port
        return ports if side is Side.CLIENT else ports[::-1]

    def _pdu(self, event: Event) -> Iterator[bytes]:
        if isinstance(event, Opened):
            self._name(event)
        if not isinstance(event, Said) or not (event.data or event.is_end):
            return
        source, target = self._ports(event.client, event.side)
        tags = (
            (12, self._dissector if event.data else b"data"),
            (20, _ADDRESSES[event.side]),
            (21, _ADDRESSES[event.side.other]),
            (24, struct.pack(">I", 2)),  # the ports are those of TCP
            (25, struct.pack(">I", source)),
            (26, struct.pack(">I", target)),
            (0, b""),
        )
        data = b"".join(struct.pack(">HH", tag, len(value) + -len(value) % 4) + _padded(value) for tag, value in tags)
        yield self._packet(event, event.side, data + event.data, self._names.get(event.client, ""))

    def _packet(self, event: Event, side: Side, data: bytes, comment: str) -> bytes:
        """Return an Enhanced Packet Block; data from a client is inbound."""
        time = self._begun + round(event.t * 1_000_000)
        head = struct.pack("<IIIII", 0, time >> 32 & 0xFFFFFFFF, time & 0xFFFFFFFF, len(data), len(data))
        options = _option(1, comment.encode(errors="replace")[:1000]) if comment else b""
        options += _option(2, struct.pack("<I", 1 if side is Side.CLIENT else 2)) + _option(0, b"")
        return _block(6, head + _padded(data) + options)

    def _name(self, opened: Opened) -> None:
        image = str(opened.facts.get("image") or "").rpartition("\\")[2]
        self._names[opened.client] = f"#{opened.client} pid {opened.facts.get('pid', '?')} {image}".rstrip()


def _microseconds(started: str) -> int:
    try:
        begun = datetime.fromisoformat(started)
    except ValueError:
        return 0
    return max(0, int((begun if begun.tzinfo else begun.replace(tzinfo=UTC)).timestamp() * 1_000_000))


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)

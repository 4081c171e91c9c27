"""Packets are what Wireshark reads: whole blocks, streams that it puts together, and protocols that it names."""

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.codecs import codec_class
from pipectl.core.codecs.base import Side
from pipectl.core.recording.pcapng import PacketForm, Pcapng
from pipectl.core.recording.recording import Closed, Event, Header, Opened, Said

TSHARK = shutil.which("tshark")
ON_TSHARK = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")
ASKED, SAID = Side.CLIENT, Side.SERVER
BYTE = Header(r"\\.\pipe\svc", started="2026-11-26T10:00:00Z")
MESSAGE = BYTE._replace(is_message=True)

REQUEST = (
    b"POST /v1.47/containers/create HTTP/1.1\r\nHost: docker\r\n"
    b'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'
)
REPLY = b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"Id":"ab"}'
PRELOGIN = bytes.fromhex("1201002900000000000015000601001b000102001c000103001d0004ff000000000000020000000000")
BIND = bytes.fromhex(
    "05000b03100000004800000001000000b810b8100000000001000000000001000883afe11f5dc91191a408002b14a0fa03000000"
    "045d888aeb1cc9119fe808002b10486002000000"
)


def written(
    header: Header, *events: Event, wireshark: tuple[str, int] = ("data", 0), form: PacketForm | None = None
) -> bytes:
    file = BytesIO()
    packets = Pcapng(file.write, header, wireshark, form)
    for event in events:
        packets.write(event)
    return file.getvalue()


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        kind, size = struct.unpack_from("<II", data)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, size - 4) == (size,)
        yield kind, data[8 : size - 4]
        data = data[size:]


def packets_of(data: bytes) -> list[bytes]:
    found = []
    for kind, body in blocks(data):
        if kind == 6:
            size, whole = struct.unpack_from("<II", body, 12)
            assert size == whole
            found.append(body[20 : 20 + size])
    return found


def conversation(*said: tuple[Side, bytes], client: int = 1, error: str = "") -> list[Event]:
    events: list[Event] = [Opened(0, client, {"pid": 7, "image": r"C:\app\a.exe"})]
    events += [Said((n + 1) / 1000, client, side, data, not data) for n, (side, data) in enumerate(said)]
    return [*events, Closed(1, client, "client", 0, error)]


@given(
    st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=200)), max_size=20),
    st.sampled_from(PacketForm),
)
def test_every_byte_is_in_a_packet_of_its_side(said: list[tuple[Side, bytes]], form: PacketForm) -> None:
    data = written(BYTE, *conversation(*said), form=form)
    for side in Side:
        source = bytes((127, 0, 0, 1 if side is ASKED else 2))
        if form is PacketForm.TCP:
            found = b"".join(packet[40:] for packet in packets_of(data) if packet[12:16] == source)
        else:
            found = b""
            for packet in packets_of(data):
                at, tags = 0, {}
                while (tag := struct.unpack_from(">HH", packet, at)) != (0, 0):
                    tags[tag[0]] = packet[at + 4 : at + 4 + tag[1]]
                    at += 4 + tag[1]
                found += packet[at + 4 :] if tags[20] == source else b""
        assert found == b"".join(data for one, data in said if one is side)


def test_a_packet_is_never_longer_than_ip_allows() -> None:
    data = written(BYTE, *conversation((ASKED, bytes(200_000))))
    assert max(map(len, packets_of(data))) <= 65535
    assert sum(len(packet) - 40 for packet in packets_of(data)) == 200_000


@pytest.mark.parametrize(
    ("header", "codec", "form"),
    [
        (BYTE, "json-lines", PacketForm.TCP),
        (MESSAGE, "json-lines", PacketForm.PDU),
        (MESSAGE, "docker", PacketForm.TCP),
        (MESSAGE, "hex", PacketForm.PDU),
    ],
)
def test_the_form_suits_the_pipe_and_the_protocol(header: Header, codec: str, form: PacketForm) -> None:
    assert Pcapng(lambda _data: None, header, codec_class(codec).wireshark).form is form


def test_a_reset_ends_a_connection_that_broke() -> None:
    last = packets_of(written(BYTE, *conversation((ASKED, b"x"), error="broken")))[-1]
    assert last[33] & 0x04  # RST


# What Wireshark makes of it


def dissected(tmp_path: Path, data: bytes, *options: str) -> list[dict[str, Any]]:
    file = tmp_path / "packets.pcapng"
    file.write_bytes(data)
    line = [str(TSHARK), "-r", str(file), "-T", "json", *options]
    shown = subprocess.run(line, capture_output=True, timeout=60, check=True).stdout
    return [one["_source"]["layers"] for one in json.loads(shown)]


def named(layers: list[dict[str, Any]], protocol: str) -> int:
    return sum(protocol in one for one in layers)


@ON_TSHARK
@pytest.mark.parametrize("cut", [1, 3, 50, 1000])
@pytest.mark.parametrize("is_message", [True, False])
def test_wireshark_puts_http_together_however_it_was_cut(tmp_path: Path, cut: int, is_message: bool) -> None:
    said = [
        (side, data[at : at + cut])
        for side, data in [(ASKED, REQUEST), (SAID, REPLY)] * 2
        for at in range(0, len(data), cut)
    ]
    header = MESSAGE if is_message else BYTE
    layers = dissected(tmp_path, written(header, *conversation(*said), wireshark=codec_class("docker").wireshark))
    found = [one for one in layers if "http" in one and "json" in one]
    assert len(found) == 4
    assert not [one for one in layers if "_ws.malformed" in one]
    assert len({one["tcp"]["tcp.stream"] for one in layers}) == 1


@ON_TSHARK
@pytest.mark.parametrize(
    ("wireshark", "said", "protocol"),
    [
        (("tds", 1433), [(ASKED, PRELOGIN)], "tds"),
        (("dcerpc", 0), [(ASKED, BIND)], "dcerpc"),
        (("ssh-agent", 0), [(ASKED, bytes.fromhex("000000010b"))], "data"),
    ],
)
def test_wireshark_knows_the_protocol_of_a_stream(
    tmp_path: Path, wireshark: tuple[str, int], said: list[tuple[Side, bytes]], protocol: str
) -> None:
    layers = dissected(tmp_path, written(BYTE, *conversation(*said), wireshark=wireshark))
    assert named(layers, protocol) == 1
    assert named(layers, "_ws.malformed") == 0


@ON_TSHARK
@pytest.mark.parametrize("codec", ["json-lines", "jsonrpc", "json", "u32json"])
def test_wireshark_shows_messages_of_json(tmp_path: Path, codec: str) -> None:
    wireshark = codec_class(codec).wireshark
    said = [(ASKED, b'{"id":1,"method":"greet"}'), (SAID, b'{"id":1,"result":[1,2]}'), (SAID, b"")]
    layers = dissected(tmp_path, written(MESSAGE, *conversation(*said), wireshark=wireshark))
    assert named(layers, "json") == 2
    assert named(layers, "_ws.malformed") == 0


@ON_TSHARK
def test_wireshark_shows_who_has_sent_what_and_when(tmp_path: Path) -> None:
    file = tmp_path / "packets.pcapng"
    file.write_bytes(
        written(MESSAGE, *conversation((ASKED, b"ab")), *conversation((ASKED, b"cd"), (SAID, b"e"), client=2))
    )
    shown = ("ip.src", "exported_pdu.src_port", "frame.time_epoch", "frame.comment", "frame.p2p_dir", "data.data")
    line = [str(TSHARK), "-r", str(file), "-T", "fields", *(word for name in shown for word in ("-e", name))]
    text = subprocess.run(line, capture_output=True, timeout=60, check=True).stdout.decode()
    assert [row.split("\t") for row in text.splitlines()] == [
        ["127.0.0.1", "50001", "1795687200.001000000", "#1 pid 7 a.exe", "1", "6162"],
        ["127.0.0.1", "50002", "1795687200.001000000", "#2 pid 7 a.exe", "1", "6364"],
        ["127.0.0.2", "49152", "1795687200.002000000", "#2 pid 7 a.exe", "0", "65"],
    ]

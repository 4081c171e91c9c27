"""Bytes and values as text: nothing that disturbs a terminal, and nothing lost for JSON."""

import json
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.output.text import counted, decoded, for_json, for_person, hexdump, printable, size_in_words


@given(st.text())
def test_printable_text_has_only_printable_characters_line_ends_and_tabs(text: str) -> None:
    shown = printable(text)
    assert all(character.isprintable() or character in "\n\t" for character in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\r\nb\nc\td", "a\nb\nc\td"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("over\rwritten", r"over\x0dwritten"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b31m", r"\x9b31m"),
        ("[bold]x[/bold] :smile:", "[bold]x[/bold] :smile:"),
        ("grüße 漢字 🙂", "grüße 漢字 🙂"),
    ],
)
def test_what_could_disturb_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        (b"text", "utf-8", "text"),
        ("grüße".encode("cp1252"), "cp1252", "grüße"),
        ("grüße".encode("utf-16-le"), "utf-16-le", "grüße"),
        (b"\xff", "utf-8", None),
        (b"a\0b", "utf-8", None),
        ("text".encode("utf-16-le"), "utf-8", None),
    ],
)
def test_bytes_are_text_if_they_are_meant_so(data: bytes, encoding: str, text: str | None) -> None:
    assert decoded(data, encoding) == text


def test_a_hex_dump_has_offsets_bytes_and_ascii() -> None:
    assert hexdump(bytes(range(0x41, 0x55)) + b"\0\xff\x1b~").splitlines() == [
        "00000000  41 42 43 44 45 46 47 48  49 4a 4b 4c 4d 4e 4f 50  ABCDEFGHIJKLMNOP",
        "00000010  51 52 53 54 00 ff 1b 7e                           QRST...~",
    ]


@given(st.binary(max_size=100))
def test_a_hex_dump_has_every_byte_in_lines_of_80_columns(data: bytes) -> None:
    lines = hexdump(data).splitlines()
    assert b"".join(bytes.fromhex(line[10:58]) for line in lines) == data
    assert all(len(line) <= 80 for line in lines)


@given(st.binary(max_size=100), st.sampled_from(["utf-8", "utf-16-le", "latin-1", "cp1252", "ascii"]))
def test_json_gives_the_bytes_back(data: bytes, encoding: str) -> None:
    told = json.loads(json.dumps(for_json(data, encoding)))
    assert told["size"] == len(data)
    back = told["text"].encode(encoding) if "text" in told else b64decode(told["base64"], validate=True)
    assert back == data


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbfx", b"\xff\xfex\0", b"x\0"], ids=["utf-8 with a mark", "utf-16 with a mark", "utf-16"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-7"])
def test_json_gives_them_back_also_where_decoding_drops_something(data: bytes, encoding: str) -> None:
    told = for_json(data, encoding)
    back = told["text"].encode(encoding) if "text" in told else b64decode(told["base64"])
    assert back == data


def test_an_empty_message_is_shown_as_one() -> None:
    assert for_person(b"", "auto", "utf-8") == "<empty message>"


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (64 << 20, "64.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 50, "1048576.0 GiB"),
    ],
)
def test_sizes_have_words(size: int, words: str) -> None:
    assert size_in_words(size) == words


def test_numbers_have_their_nouns() -> None:
    assert [counted(number, "client") for number in (0, 1, 2, 1000)] == [
        "0 clients",
        "1 client",
        "2 clients",
        "1,000 clients",
    ]

"""The table of codecs: it says what the classes say, and finds the codec for a pipe."""

import pytest

from pipectl.core.codecs import CODECS, codec_class, guess
from pipectl.core.errors import CodecError
from pipectl.core.pipe.framing import parse

from .talks import C, S


@pytest.mark.parametrize("name", CODECS)
def test_the_table_says_what_the_class_says(name: str) -> None:
    found, entry = codec_class(name), CODECS[name]
    assert (found.name, found.title, found.pipes) == (name, entry.title, entry.pipes)
    assert found.framing == "chunk" or parse(found.framing)


def test_an_unknown_name_is_answered_with_those_like_it() -> None:
    with pytest.raises(CodecError, match="use discord"):
        codec_class("Discrod")
    with pytest.raises(CodecError, match="one of text, hex"):
        codec_class("zzz")


@pytest.mark.parametrize(
    ("pipe", "codec"),
    [
        (r"\\.\pipe\discord-ipc-0", "discord"),
        (r"\\.\pipe\openssh-ssh-agent", "ssh-agent"),
        (r"\\.\pipe\lsp-0123-sock", "lsp"),
        (r"\\HOST\pipe\Geth.ipc", "json"),
        ("//./pipe/mpvsocket", "json-lines"),
        ("MPVSOCKET", "json-lines"),
    ],
)
def test_a_pipe_is_known_by_its_name(pipe: str, codec: str) -> None:
    assert guess(pipe, C, b"").name == codec


@pytest.mark.parametrize(
    ("first", "codec"),
    [
        (b"Content-Length: 2\r\n\r\n{}", "jsonrpc"),
        (b'{"id":1}\n', "json-lines"),
        (b'{"id":1}', "json"),
        (b'\x08\0\0\0{"id":1}', "u32json"),
        (b"\0\0\0\1\x0b", "ssh-agent"),
        (b"\0\0\0\0\2\0\0\0{}", "discord"),
        (b"hello", "text"),
        (b"\0\1\2\3", "hex"),
        (b"", "hex"),
    ],
)
def test_another_pipe_is_known_by_the_first_bytes(first: bytes, codec: str) -> None:
    assert guess("svc", C, first).name == codec


def test_the_side_that_speaks_first_counts() -> None:
    assert guess("svc", S, b"\0\0\0\5\x0c\0\0\0\0").name == "ssh-agent"
    assert guess("svc", C, b"\0\0\0\5\x0c\0\0\0\0").name == "hex"

"""Removes the byte order marks that Windows programs put before text: they mark the encoding, and are not data.

Notepad and Windows PowerShell 5.1 begin UTF-8 files with one, and the `>` of Windows PowerShell 5.1 writes UTF-16.
"""

import codecs
from collections.abc import Iterable, Iterator

_UTF_8 = codecs.BOM_UTF8
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def unmarked(data: bytes) -> bytes:
    """Return the content of a file or of stdin without its mark; UTF-16 text becomes UTF-8.

    Data that starts with a UTF-16 mark but is not text, because it has control characters, is returned unchanged.
    """
    if data.startswith(_UTF_8):
        return data[len(_UTF_8) :]
    if not data.startswith(_UTF_16):
        return data
    try:
        text = data.decode("utf-16")
    except UnicodeDecodeError:
        return data
    is_text = all(character.isprintable() or character.isspace() for character in text)
    return text.encode() if is_text else data


def unmarked_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield chunks of text without the mark; UTF-16 becomes UTF-8, even if it is not text."""
    begun = b""
    rest = iter(chunks)
    for chunk in rest:
        begun += chunk
        if not any(mark.startswith(begun) and mark != begun for mark in (_UTF_8, *_UTF_16)):
            break
    if not begun.startswith(_UTF_16):
        yield begun.removeprefix(_UTF_8)
        yield from rest
        return
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    yield decoder.decode(begun).encode()
    yield from (decoder.decode(chunk).encode() for chunk in rest)
    yield decoder.decode(b"", final=True).encode()

"""Decodes the output of a program: as UTF-8 if it is valid, otherwise in the console's code page."""

import codecs
from contextlib import suppress


class ProgramText:
    """Decodes a stream of a program piece by piece; a character that is cut is returned with the next piece.

    Without an encoding, it is UTF-8 up to the first invalid byte, and from there on the code page of the console.
    """

    def __init__(self, encoding: str | None = None) -> None:
        # Used once the text is certainly not UTF-8.
        self._fallback = codecs.getincrementaldecoder(encoding or console_encoding())("backslashreplace")
        self._utf_8 = None if encoding else codecs.getincrementaldecoder("utf-8")()

    def decode(self, data: bytes, *, is_last: bool = False) -> str:
        """Return the text of the next piece; `is_last` for what is left at the end of the stream."""
        if self._utf_8 is None:
            return self._fallback.decode(data, is_last)
        begun = self._utf_8.getstate()[0]
        try:
            return self._utf_8.decode(data, is_last)
        except UnicodeDecodeError:
            self._utf_8 = None
            return self._fallback.decode(begun + data, is_last)


def text_of(data: bytes) -> str:
    """Return the whole output of a program as text."""
    return ProgramText().decode(data, is_last=True)


def console_encoding() -> str:
    """Return Python's name of this console's code page, or if there is no console, of a new console's."""
    from pipectl.core.win32.winapi import GetConsoleOutputCP, GetOEMCP

    for page in (GetConsoleOutputCP(), GetOEMCP()):
        with suppress(LookupError):
            return codecs.lookup(f"cp{page}").name
    return "utf-8"

"""The options for payloads: where the data to send comes from, how it is written, and how received data is shown."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import click

from pipectl.core.errors import PipeError, PipeTimeoutError, UnsupportedError
from pipectl.output import Form, View

from . import REPLY, SENT, Option, UsageError
from .types import ENCODING, FILE, Word


class ViewOptions:
    """How received data is shown: a View."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--as` and `--encoding`."""
        return [
            Option(
                ["--as", "form"],
                type=Word(Form),
                default=Form.AUTO.value,
                section=REPLY,
                help="Show payloads as text, hex, base64 or raw bytes.  [default: text or a hex dump on a terminal, "
                "raw bytes when redirected]",
            ),
            _encoding(
                REPLY,
                "Encoding of text that is sent and received; stdin and files are read as UTF-8 and converted.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> View:
        """Return the form and the encoding."""
        return View(params["form"], params["encoding"])


class EncodingOption:
    """The encoding of the data to send, for a command that shows no data."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--encoding`."""
        return [_encoding(SENT, "Encoding of DATA; stdin and files are read as UTF-8 and converted.")]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> str:
        """Return the encoding."""
        return str(params["encoding"])


def _encoding(section: str, text: str) -> Option:
    return Option(["--encoding"], type=ENCODING, default="utf-8", show_default=True, section=section, help=text)


class Separator(NamedTuple):
    """The text after each of several payloads; None is a line feed."""

    text: bytes | None

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--separator`."""
        return [
            Option(
                ["--separator"],
                metavar="TEXT",
                section=REPLY,
                help=r"Text after each reply, with escapes such as \0.  [default: a line feed; nothing after raw "
                "bytes]",
            )
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "Separator":
        """Return the text; raises UsageError for a wrong escape."""
        text = params["separator"]
        return cls(None if text is None else _unescape(text, params["encoding"]))

    def after(self, data: bytes, *, is_raw: bool) -> bytes:
        """Return what follows a payload."""
        if self.text is not None:
            return self.text
        return b"" if is_raw or data.endswith(b"\n") else b"\n"


class PayloadFormat(NamedTuple):
    """How the data to send is written; used together with ViewOptions, which has the encoding."""

    is_hex: bool
    is_base64: bool
    escapes: bool
    chomp: bool
    newline: bool
    encoding: str

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options for how DATA is written."""
        return [
            Option(
                ["-x", "--hex", "is_hex"],
                is_flag=True,
                section=SENT,
                help="Parse the data as hexadecimal: `deadbeef`, `DE-AD-BE-EF`, `0xde, 0xad`.",
            ),
            Option(["--base64", "is_base64"], is_flag=True, section=SENT, help="Parse the data as base64."),
            Option(
                ["--escapes"],
                is_flag=True,
                section=SENT,
                help=r"Interpret the escapes \n, \r, \t, \0, \\, \xNN and \uNNNN.",
            ),
            Option(
                ["--chomp"],
                is_flag=True,
                section=SENT,
                help="Remove one line ending from the end of the data, such as the one PowerShell adds.",
            ),
            Option(["--newline"], is_flag=True, section=SENT, help="Append a line feed (LF)."),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "PayloadFormat":
        """Return the format; raises UsageError if more than one is given."""
        written = cls(*(params[name] for name in cls._fields))
        if written.is_hex + written.is_base64 + written.escapes > 1:
            raise click.UsageError("use only one of `--hex`, `--base64` and `--escapes`")
        return written

    @classmethod
    def plain(cls, encoding: str) -> "PayloadFormat":
        """Return the format of data that is sent unchanged."""
        return cls(False, False, False, False, False, encoding)

    def encode(self, text: str) -> bytes:
        """Return the bytes that a text means in this format; raises UsageError if it is invalid."""
        if self.is_hex:
            return self._ended(_from_hex(text))
        if self.is_base64:
            return self._ended(_from_base64(text))
        text = _chomped(text) if self.chomp else text
        try:
            return self._ended(_unescape(text, self.encoding) if self.escapes else text.encode(self.encoding))
        except UnicodeError as error:
            raise click.UsageError(f"this text cannot be encoded as {self.encoding}: {error}") from None

    def convert(self, data: bytes) -> bytes:
        """Return the bytes to send for a line of stdin, or for all of stdin or a file, without a byte order mark.

        They are read as UTF-8 text if an option interprets or converts text; otherwise they are sent unchanged.
        """
        if data[:2] in _BEGIN_OF_MARKS:
            from .marks import unmarked

            data = unmarked(data)
        if self.is_hex or self.is_base64:
            return self.encode(data.decode("ascii", "replace"))
        if self.encoding != "utf-8" or self.escapes:
            return self.encode(_from_utf_8(data, "--escapes" if self.escapes else f"--encoding {self.encoding}"))
        data = data.removesuffix(b"\n").removesuffix(b"\r") if self.chomp else data
        return self._ended(data)

    def _ended(self, data: bytes) -> bytes:
        return data + "\n".encode(self.encoding) if self.newline else data


class Payload:
    """The bytes to send, from DATA, stdin or a file; used together with ViewOptions, as PayloadFormat is."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return DATA, the other sources, and the options for how it is written."""
        return [
            click.Argument(["data"], required=False, help="Data to send; `-` reads stdin."),
            Option(["--stdin", "from_stdin"], is_flag=True, section=SENT, help="Read the data from stdin, like `-`."),
            Option(
                ["-f", "--data-file"],
                type=FILE,
                metavar="FILE",
                section=SENT,
                help="Read the data from a file.",
            ),
            Option(
                ["--empty"],
                is_flag=True,
                section=SENT,
                help='Send an empty message; PowerShell up to 7.2 drops the argument "".',
            ),
            *PayloadFormat.parameters(),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> bytes:
        """Return the bytes of the one source that is given; raises UsageError if there is none, or more than one."""
        written = PayloadFormat.from_params(params)
        data, data_file = params["data"], params["data_file"]
        from_stdin = params["from_stdin"] or data == "-"
        text = "" if params["empty"] else data
        sources = (data not in (None, "-")) + from_stdin + (data_file is not None) + params["empty"]
        if not sources:
            raise UsageError(
                "nothing to send: give DATA, `-` (stdin), `--data-file FILE` or `--empty`",
                'PowerShell up to 7.2 drops the argument "": use `--empty`',
            )
        if sources > 1:
            raise click.UsageError("use only one of DATA, `-` (stdin), `--data-file` and `--empty`")
        if from_stdin:
            from .stdin import read_all

            return written.convert(read_all())
        if data_file is not None:
            return written.convert(file_content(data_file, params["timeout"]))
        return written.encode(text)


def file_content(path: str, timeout: float | None = None) -> bytes:
    """Return the content of a file named on the command line; raises UsageError if it cannot be read.

    The path may name a pipe or a device that blocks: raises PipeTimeoutError after `timeout` seconds.
    """
    try:
        from pipectl.core.win32.files import read_whole  # seldom needed

        return read_whole(path, timeout)
    except (PipeTimeoutError, UnsupportedError):
        raise
    except OSError as error:
        reason = error.reason if isinstance(error, PipeError) else error.strerror
        raise click.UsageError(f"`{path}` cannot be read: {reason}") from None


_BEGIN_OF_MARKS = (b"\xef\xbb", b"\xff\xfe", b"\xfe\xff")

# As tools write them: `dead beef`, `de:ad`, `DE-AD`, `0xde, 0xad`, `\xde\xad`, `{0xde}`.
_HEX = re.compile(r"(0x|\\x)?([0-9a-f]+)|[\s:,;_{}()\[\]-]+|(.)", re.IGNORECASE | re.DOTALL)


def _from_hex(text: str) -> bytes:
    """Return the bytes of a hexadecimal text; raises UsageError with the position of an error."""
    with suppress(ValueError):
        return bytes.fromhex(text)
    found = list(_HEX.finditer(text))
    for match in found:
        if match[3]:
            raise click.UsageError(f"invalid hex: {match[3]!r} at position {match.start() + 1} is not a digit")
    return b"".join(map(_from_digits, found))


def _from_digits(match: re.Match[str]) -> bytes:
    """Return the bytes of one group of hexadecimal digits: pairs, or a single digit after `0x`."""
    prefix, digits, _ = match.groups(default="")
    if len(digits) % 2 and not (prefix and len(digits) == 1):
        position = match.start() + 1
        raise click.UsageError(f"invalid hex: {match[0]!r} at position {position} has an odd number of digits")
    return bytes.fromhex(digits.rjust(2, "0") if digits else "")


def _from_base64(text: str) -> bytes:
    """Return the bytes of a base64 text; raises UsageError if it is invalid."""
    import binascii

    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        raise click.UsageError(f"invalid base64: {error}") from None


def _from_utf_8(data: bytes, option: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"`{option}` reads stdin and files as UTF-8: invalid byte at position {error.start + 1}"
        ) from None


def _chomped(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.?))", re.DOTALL)
_SINGLE = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "\\": "\\"}


def _unescape(text: str, encoding: str) -> bytes:
    """Encode a text with its escapes; `\\xNN` is that byte in any encoding."""
    data, end = b"", 0
    for match in _ESCAPE.finditer(text):
        byte, point, single = match.groups()
        data += text[end : match.start()].encode(encoding)
        if byte:
            data += bytes.fromhex(byte)
        elif point:
            data += chr(int(point, 16)).encode(encoding)
        elif single in _SINGLE:
            data += _SINGLE[single].encode(encoding)
        else:
            raise click.UsageError(f"invalid escape `{match[0]}`: write a backslash as `\\\\`")
        end = match.end()
    return data + text[end:].encode(encoding)

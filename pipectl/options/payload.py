"""What is sent, in whatever form it is written, and how what was received is shown."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from pipectl.core.errors import PipeError, PipeTimeoutError
from pipectl.output import Form, View

from . import REPLY, SENT, Option
from .types import ENCODING, FILE, Word


class ViewOptions:
    """How what was received is shown: a View."""

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
                "the bytes themselves elsewhere]",
            ),
            Option(
                ["--encoding"],
                type=ENCODING,
                default="utf-8",
                show_default=True,
                section=REPLY,
                help="The encoding of text that is sent or shown.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> View:
        """Return the form and the encoding."""
        return View(params["form"], params["encoding"])


class PayloadFormat(NamedTuple):
    """How what is sent is written; goes with ViewOptions, which have the encoding."""

    is_hex: bool
    is_base64: bool
    escapes: bool
    newline: bool
    encoding: str

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options that say how DATA is written."""
        return [
            Option(["--hex", "is_hex"], is_flag=True, section=SENT, help="Read what to send as hexadecimal digits."),
            Option(["--base64", "is_base64"], is_flag=True, section=SENT, help="Read what to send as base64."),
            Option(["--escapes"], is_flag=True, section=SENT, help=r"Read \n, \t, \0, \\, \xNN and \uNNNN in text."),
            Option(["--newline"], is_flag=True, section=SENT, help="End what is sent with a line feed."),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "PayloadFormat":
        """Return the format; raises UsageError for two at once."""
        written = cls(*(params[name] for name in cls._fields))
        if written.is_hex + written.is_base64 + written.escapes > 1:
            raise click.UsageError("`--hex`, `--base64` and `--escapes` exclude one another")
        return written

    def encode(self, text: str) -> bytes:
        """Return the bytes that a text stands for; raises UsageError if it stands for none."""
        if self.is_hex or self.is_base64:
            return self.finish(text.encode("ascii", "replace"))
        try:
            data = _unescape(text, self.encoding) if self.escapes else text.encode(self.encoding)
        except UnicodeError as error:
            raise click.UsageError(f"{self.encoding} cannot say this text: {error}") from None
        return self._ended(data)

    def line(self, line: bytes) -> bytes:
        """Return the bytes that a line of stdin stands for: its own, or those of its text, which is UTF-8."""
        if self.is_hex or self.is_base64 or (self.encoding == "utf-8" and not self.escapes):
            return self.finish(line)
        try:
            return self.encode(line.decode())
        except UnicodeDecodeError:
            raise click.UsageError("a line of stdin is not UTF-8") from None

    def finish(self, data: bytes) -> bytes:
        """Return the bytes that the bytes of a file stand for: themselves, or what their digits say."""
        import binascii

        compact = b"".join(data.split()) if self.is_hex or self.is_base64 else data
        try:
            if self.is_hex:
                data = binascii.unhexlify(compact)
            elif self.is_base64:
                data = binascii.a2b_base64(compact, strict_mode=True)
        except ValueError as error:
            raise click.UsageError(f"this is not {'hex' if self.is_hex else 'base64'}: {error}") from None
        return self._ended(data)

    def _ended(self, data: bytes) -> bytes:
        return data + "\n".encode(self.encoding) if self.newline else data


class Payload:
    """What is sent: bytes, from DATA, stdin or a file; goes with ViewOptions, as PayloadFormat does."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return DATA, the other sources, and the options that say how it is written."""
        return [
            click.Argument(["data"], required=False, help="What to send; `-` is stdin."),
            Option(["--stdin", "from_stdin"], is_flag=True, section=SENT, help="Send stdin, as `-` does."),
            Option(["--data-file"], type=FILE, metavar="FILE", section=SENT, help="Send what a file holds."),
            *PayloadFormat.parameters(),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> bytes:
        """Return the bytes, whichever source has them; raises UsageError unless there is just one."""
        written = PayloadFormat.from_params(params)
        data, data_file = params["data"], params["data_file"]
        from_stdin = params["from_stdin"] or data == "-"
        text = None if data == "-" else data
        if (text is not None) + from_stdin + (data_file is not None) != 1:
            raise click.UsageError("say once what to send: DATA, `-` for stdin, or `--data-file FILE`")
        if text is not None:
            return written.encode(text)
        if data_file is not None:
            return written.finish(file_content(data_file, params["timeout"]))
        from .stdin import read_all

        return written.finish(read_all())


def file_content(path: str, timeout: float | None = None) -> bytes:
    """Return what a file holds that the command line names; raises UsageError.

    It may be a pipe or a device, which lets one wait: raises PipeTimeoutError when the time is up.
    """
    try:
        from pipectl.core.win32.files import read_whole  # seldom needed

        return read_whole(path, timeout)
    except PipeTimeoutError:
        raise
    except OSError as error:
        reason = error.reason if isinstance(error, PipeError) else error.strerror
        raise click.UsageError(f"`{path}` cannot be read: {reason}") from None


_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.?))", re.DOTALL)
_SINGLE = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "\\": "\\"}


def _unescape(text: str, encoding: str) -> bytes:
    """Encode a text, in which `\\xNN` is that byte whatever the encoding."""
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
            raise click.UsageError(f"`{match[0]}` is no escape; a backslash is written `\\\\`")
        end = match.end()
    return data + text[end:].encode(encoding)

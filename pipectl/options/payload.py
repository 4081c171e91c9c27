"""What is sent, and how what was received is shown."""

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from pipectl.output import Form, Show

from . import REPLY, SENT, option
from .types import ENCODING, FILE

_F = TypeVar("_F", bound=Callable[..., Any])


class Written(NamedTuple):
    """How what is sent is written."""

    is_hex: bool
    is_base64: bool
    escapes: bool
    newline: bool
    encoding: str

    def encode(self, text: str) -> bytes:
        """Give the bytes that a text stands for; raises UsageError if it stands for none."""
        if self.is_hex or self.is_base64:
            return self.finish(text.encode("ascii", "replace"))
        try:
            data = _unescape(text, self.encoding) if self.escapes else text.encode(self.encoding)
        except UnicodeError as error:
            raise click.UsageError(f"{self.encoding} cannot say this text: {error}") from None
        return self._ended(data)

    def line(self, line: bytes) -> bytes:
        """Give the bytes that a line of stdin stands for: its own, or those of its text, which is UTF-8, elsewhere."""
        if self.is_hex or self.is_base64 or (self.encoding == "utf-8" and not self.escapes):
            return self.finish(line)
        try:
            return self.encode(line.decode())
        except UnicodeDecodeError:
            raise click.UsageError("a line of stdin is not UTF-8") from None

    def finish(self, data: bytes) -> bytes:
        """Give the bytes that the bytes of a file stand for: themselves, or what their digits say."""
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


def showing(function: _F) -> _F:
    """Add the options that say how what was received is shown; the function gets them as `show`."""

    @option(
        "--as",
        "form",
        type=click.Choice([form.value for form in Form]),
        default=Form.AUTO.value,
        section=REPLY,
        help="Show payloads as text, hex, base64 or raw bytes.  [default: text or a hex dump on a terminal, "
        "the bytes themselves elsewhere]",
    )
    @option(
        "--encoding",
        type=ENCODING,
        default="utf-8",
        show_default=True,
        section=REPLY,
        help="The encoding of text that is sent or shown.",
    )
    @functools.wraps(function)
    def command(*arguments: Any, form: str, encoding: str, **options: Any) -> Any:
        return function(*arguments, show=Show(Form(form), encoding), **options)

    return command  # type: ignore[return-value]


def written(function: _F) -> _F:
    """Add the options that say how what is sent is written; the function gets them as `written`, beside `show`."""

    @option("--hex", "is_hex", is_flag=True, section=SENT, help="Read what to send as hexadecimal digits.")
    @option("--base64", "is_base64", is_flag=True, section=SENT, help="Read what to send as base64.")
    @option("--escapes", is_flag=True, section=SENT, help=r"Read \n, \t, \0, \\, \xNN and \uNNNN in text.")
    @option("--newline", is_flag=True, section=SENT, help="End what is sent with a line feed.")
    @functools.wraps(function)
    def command(
        *arguments: Any, show: Show, is_hex: bool, is_base64: bool, escapes: bool, newline: bool, **options: Any
    ) -> Any:
        if is_hex + is_base64 + escapes > 1:
            raise click.UsageError("`--hex`, `--base64` and `--escapes` exclude one another")
        written = Written(is_hex, is_base64, escapes, newline, show.encoding)
        return function(*arguments, written=written, show=show, **options)

    return command  # type: ignore[return-value]


def payload(function: _F) -> _F:
    """Add DATA and the options that say how it is written; the function gets the bytes as `payload`."""

    @click.argument("data", required=False, help="What to send; `-` is stdin.")
    @option("--stdin", "from_stdin", is_flag=True, section=SENT, help="Send stdin, as `-` does.")
    @data_file_option
    @written
    @functools.wraps(function)
    def command(
        *arguments: Any, data: str | None, from_stdin: bool, data_file: str | None, written: Written, **options: Any
    ) -> Any:
        from_stdin = from_stdin or data == "-"
        text = None if data == "-" else data
        if (text is not None) + from_stdin + (data_file is not None) != 1:
            raise click.UsageError("say once what to send: DATA, `-` for stdin, or `--data-file FILE`")
        if text is not None:
            return function(*arguments, payload=written.encode(text), **options)
        source = _read_stdin() if data_file is None else read_file(data_file)
        return function(*arguments, payload=written.finish(source), **options)

    return command  # type: ignore[return-value]


def data_file_option(function: _F) -> _F:
    """Add `--data-file`."""
    return option("--data-file", type=FILE, metavar="FILE", section=SENT, help="Send what a file holds.")(function)


def _read_stdin() -> bytes:
    from .stdin import read_all

    return read_all()


def read_file(path: str) -> bytes:
    """Read a file that the command line names; raises UsageError."""
    from pathlib import Path  # a slow import, and seldom needed

    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise click.UsageError(f"`{path}` cannot be read: {error.strerror}") from None


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

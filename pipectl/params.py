"""What the commands take: click types, and the options that several commands share.

An option that every sender, or every reader, has is written here once, as a decorator for the command's function:

* `opening` gives it `opening`: how to open the pipe; `connecting` also what to take for a reply;
* `showing` gives it `show`: how what was received is shown;
* `payload`, below `showing`, gives it `payload`: the bytes to send, however they were written.
"""

import codecs
import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from .commands import CONNECTION, REPLY, SENT, WHO, option
from .core import names
from .core.errors import InvalidPipeNameError
from .output import Form, Show

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from .core.connection import Connection
    from .core.deadline import Deadline
    from .core.framing import Until
    from .core.handle import Handle

_O = TypeVar("_O", bound="Connection | Handle")
_F = TypeVar("_F", bound=Callable[..., Any])

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SIZES = 1 << 32  # how many a DWORD can tell apart; ctypes would cut off the rest
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 1}


class PipeName(click.ParamType[str]):
    """The name of a pipe in any spelling; the value is its full name. The pipe is not touched."""

    name = "pipe"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return names.full_name(value)
        except InvalidPipeNameError as error:
            self.fail(f"{error}\n{error.hint}" if error.hint else str(error), param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem]":
        """Complete from the directory of pipes, which touches none of them."""
        from click.shell_completion import CompletionItem

        from .core.discovery import names_beginning

        return [CompletionItem(name) for name in names_beginning(incomplete)]


class Duration(click.ParamType[float | None]):
    """A time: seconds, or with a unit such as `500ms` or `2m`; `none` is for ever, and its value None."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return] # a default
        if value.lower() == "none":
            return None
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h|)", value.strip().lower(), re.ASCII)
        if match is None:
            self.fail(f"{value!r} is no time: write seconds such as 2.5, or 500ms, 2m, none", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


class Size(click.ParamType[int]):
    """A number of bytes, or with a unit of 1024 such as `64k` or `1MiB`; no more than Win32 can count."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,10})\s*([bkmg]?)(?:i?b)?", value.strip().lower(), re.ASCII)
        size = int(match[1]) * _UNITS[match[2]] if match else _SIZES
        if size >= _SIZES:
            self.fail(f"{value!r} is no size: write bytes such as 65536, or 64k, 1MiB, of less than 4 GiB", param, ctx)
        return size


class Encoding(click.ParamType[str]):
    """The name of a text encoding that Python knows."""

    name = "encoding"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            "".encode(value)  # refuses codecs that are not for text
            b"x".decode(value, "backslashreplace")  # and those, such as idna, that are for a kind of text alone
        except (LookupError, ValueError):
            self.fail(f"{value!r} is no text encoding: write utf-8, utf-16-le, latin-1, cp1252 …", param, ctx)
        return codecs.lookup(value).name


class UntilRule(click.ParamType["Until"]):
    """The rule by which a reply on a byte pipe ends."""

    name = "rule"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> "Until":
        from .core.framing import parse

        try:
            return parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class FilePath(click.ParamType[str]):
    """The path of a file; opened later. In the place of click's own, which imports `locale` for the word `path`."""

    name = "path"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem]":
        """Leave it to the shell."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


PIPE = PipeName()
DURATION = Duration()
SIZE = Size()
ENCODING = Encoding()
UNTIL = UntilRule()
FILE = FilePath()


def pipe_argument(function: _F) -> _F:
    """Add the argument PIPE."""
    return click.argument("pipe", type=PIPE, help=r"The pipe: NAME, \\.\pipe\NAME or \\HOST\pipe\NAME.")(function)


# What is sent


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


# How a pipe is opened


class Opening(NamedTuple):
    """How a command opens a pipe, and whom it expects there."""

    timeout: float | None
    wait: str
    sqos: str
    expected: dict[str, Any]

    def deadline(self) -> "Deadline":
        """Start the clock of a whole operation."""
        from .core.deadline import Deadline

        return Deadline(self.timeout)

    def handle(self, pipe: str) -> "Handle":
        """Open the pipe only to ask about it, with as few rights as it allows."""
        from .core.connection import TO_ASK, open_pipe

        return self._checked(open_pipe(pipe, self.deadline(), access=TO_ASK, **self._options()))

    def connection(self, pipe: str, deadline: "Deadline", **options: Any) -> "Connection":
        """Connect, and make sure that the server is the expected one before anything is sent."""
        from .core.connection import connect

        return self._checked(connect(pipe, deadline, **self._options(), **options))

    def _options(self) -> dict[str, Any]:
        from .core.connection import Wait
        from .core.constants import Sqos

        return {"wait": Wait(self.wait), "sqos": Sqos[self.sqos.upper()]}

    def _checked(self, opened: _O) -> _O:
        if any(expected is not None for expected in self.expected.values()):
            from .core.handle import Handle
            from .core.peers import check_server

            try:
                check_server(opened if isinstance(opened, Handle) else opened.handle, **self.expected)
            except BaseException:
                opened.close()
                raise
        return opened


def opening_within(default_timeout: str) -> Callable[[_F], _F]:
    """Make a decorator that adds the options which say how a pipe is opened; the function gets `opening`."""

    def decorate(function: _F) -> _F:
        @option(
            "--timeout",
            type=DURATION,
            default=default_timeout,
            show_default=True,
            section=CONNECTION,
            help="Bound the whole operation; 0 does not wait, `none` waits for ever.",
        )
        @option(
            "--wait",
            type=click.Choice(["none", "free", "exists"]),
            default="free",
            show_default=True,
            section=CONNECTION,
            help="Wait for nothing, for a free instance of a busy pipe, or also for the pipe to exist.",
        )
        @option(
            "--sqos",
            type=click.Choice(["anonymous", "identification", "impersonation", "delegation"]),
            default="identification",
            show_default=True,
            section=CONNECTION,
            metavar="LEVEL",
            help="What the server may do in your name: anonymous, identification, impersonation or delegation.",
        )
        @option(
            "--expect-pid",
            type=int,
            metavar="PID",
            section=CONNECTION,
            help="Go on only if this process serves the pipe.",
        )
        @option(
            "--expect-exe",
            metavar="NAME",
            section=CONNECTION,
            help="Go on only if this program serves the pipe: its file name, or its full path.",
        )
        @option(
            "--expect-user",
            metavar="USER",
            section=CONNECTION,
            help="Go on only if this user runs the server: NAME, or DOMAIN\\NAME.",
        )
        @functools.wraps(function)
        def command(
            *arguments: Any,
            timeout: float | None,
            wait: str,
            sqos: str,
            expect_pid: int | None,
            expect_exe: str | None,
            expect_user: str | None,
            **options: Any,
        ) -> Any:
            expected = {"pid": expect_pid, "exe": expect_exe, "user": expect_user}
            return function(*arguments, opening=Opening(timeout, wait, sqos, expected), **options)

        return command  # type: ignore[return-value]

    return decorate


opening = opening_within("5")


class Connecting(NamedTuple):
    """How a command opens a pipe, and what it takes for a reply."""

    opening: Opening
    max_message: int
    # None: what a byte pipe has without a choice. A message pipe needs no rule.
    until: "Until | None"

    def deadline(self) -> "Deadline":
        """Start the clock of a whole operation."""
        return self.opening.deadline()

    def open(self, pipe: str, deadline: "Deadline") -> "Connection":
        """Connect, and make sure that the server is the expected one before anything is sent."""
        return self.opening.connection(pipe, deadline, max_message=self.max_message)


def connecting(function: _F) -> _F:
    """Add what `opening` adds, and the options that say what a reply is; the function gets `connecting`."""

    @opening
    @option("--max-message", type=SIZE, default="64m", show_default=True, section=REPLY, help="Refuse a longer reply.")
    @option(
        "--until",
        type=UNTIL,
        section=REPLY,
        help="Where a reply ends on a byte pipe: newline, eof, idle:SECONDS, bytes:N or frame:u32le "
        "(u16 or u32, le or be).  [default: idle:0.2]",
    )
    @functools.wraps(function)
    def command(*arguments: Any, opening: Opening, max_message: int, until: "Until | None", **options: Any) -> Any:
        return function(*arguments, connecting=Connecting(opening, max_message, until), **options)

    return command  # type: ignore[return-value]


# How a pipe is served


class Allowing(NamedTuple):
    """Whom a server lets in."""

    who: tuple[str, ...]
    remote: bool

    def sddl(self) -> str:
        """Give the security descriptor of the pipe; raises UsageError for one that cannot be."""
        from .core.security import sddl_for, security_attributes

        try:
            text = sddl_for(self.who, remote=self.remote)
            security_attributes(text)
        except ValueError as error:
            raise click.UsageError(f"`--allow`: {error}") from None
        return text


def allowing(function: _F) -> _F:
    """Add the options that say whom a server lets in; the function gets `allowing`."""

    @option(
        "--allow",
        multiple=True,
        metavar="WHO",
        section=WHO,
        help="Let them in: me, admins, users, everyone, appcontainer, an account, a SID, or sddl:... for the whole "
        "descriptor; may be repeated.  [default: me and admins]",
    )
    @option("--allow-remote", is_flag=True, section=WHO, help="Let clients of other computers in.")
    @functools.wraps(function)
    def command(*arguments: Any, allow: tuple[str, ...], allow_remote: bool, **options: Any) -> Any:
        return function(*arguments, allowing=Allowing(allow, allow_remote), **options)

    return command  # type: ignore[return-value]

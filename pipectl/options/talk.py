"""The options of `connect`: what is sent from stdin, the commands that can be typed, and when it exits."""

import sys
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.core.constants import EndOf, HalfClose
from pipectl.core.errors import PipeStateError
from pipectl.output import Form, Mode, Output, Stream, View

from . import CONNECTION, SENT, Option, stdin
from .client import CodecOptions, OpenOptions, framed, max_reply
from .payload import PayloadFormat, Separator, file_content
from .types import DURATION, FRAMING, TIMES, Word

if TYPE_CHECKING:
    from pipectl.core.pipe.connection import Connection
    from pipectl.core.pipe.frames import Framing
    from pipectl.core.pipe.lifetime import ServerLifetime
    from pipectl.core.traffic.streams import Reconnects
    from pipectl.output.conversation import Dialog

    from .codecs import Decoder

_END = "When to exit"

# Time limit for reading a file, which may be a pipe or on another computer; seconds.
_PATIENCE = 5.0


class SendAs(StrEnum):
    """How stdin is divided into messages: `--stdin-as`."""

    AUTO = "auto"
    RAW = "raw"
    LINES = "lines"
    FRAMES = "frames"


class TalkOpenOptions(OpenOptions):
    """The same options for a command that exits when the pipe or stdin ends."""

    @classmethod
    def timeout_help(cls) -> str:
        """Return what `--timeout` does."""
        return (
            "Time limit for opening the pipe, for each attempt of `--reconnect`, and after the end of stdin for the "
            "server to read what was sent (0 = do not wait; none = no limit)."
        )


class TalkOptions(NamedTuple):
    """How `connect` opens a pipe, what it sends, and when it exits."""

    open: OpenOptions
    max_message: int
    send_as: SendAs
    framing: "Framing | None"
    half_close: HalfClose
    end: EndOf
    linger: float | None
    # The messages to send first.
    first: tuple[bytes, ...]
    raw_keys: bool
    # How often to reconnect: 0 or more, may be infinite.
    reconnect: float
    codec: CodecOptions

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options for the data, the end, and the connection."""
        return [
            Option(
                ["--send"],
                metavar="TEXT",
                multiple=True,
                section=SENT,
                help="Send this text first; can be repeated. `--hex` and similar options also apply to it.",
            ),
            Option(
                ["--raw-keys"],
                is_flag=True,
                section=SENT,
                help="Send each key when it is pressed, without showing it, as for a serial console; Ctrl+] exits. "
                "The terminal obeys escape sequences that arrive, unless `--as text` is set.",
            ),
            Option(
                ["--stdin-as", "send_as"],
                type=Word(SendAs),
                default=SendAs.AUTO.value,
                section=SENT,
                help="What of stdin is one message: each block that is read (raw), a line without its line ending "
                "(lines), or the body of a frame of `--frame` (frames; stdout then consists of frames, too).  "
                "[default: lines on a terminal and with `--frame`, otherwise raw]",
            ),
            Option(
                ["--frame"],
                type=FRAMING,
                section=SENT,
                help="Send frames of this rule, and show the bodies of the received frames: `pipectl help framing`.",
            ),
            Option(
                ["--half-close"],
                type=Word(HalfClose),
                default=HalfClose.AUTO.value,
                show_default=True,
                section=_END,
                help="What marks the end of each direction: an empty message on a message pipe (auto); the same, and "
                "a byte pipe is read until the server closes it (empty); or nothing (none).",
            ),
            Option(
                ["--end"],
                type=Word(EndOf),
                default=EndOf.BOTH.value,
                show_default=True,
                section=_END,
                help="Exit when both stdin and the pipe have ended, when the pipe has ended, or when stdin has ended.",
            ),
            Option(
                ["--linger"],
                type=DURATION,
                default="1",
                show_default=True,
                section=_END,
                help="After the end of stdin, if the pipe has no mark for it, exit after this time without data (none "
                "= wait until the server closes the pipe).",
            ),
            *CodecOptions.parameters(),
            max_reply(),
            *TalkOpenOptions.parameters(),
            Option(
                ["--reconnect"],
                type=TIMES,
                metavar="N|forever",
                section=CONNECTION,
                help="When the server closes the pipe before the end of stdin, wait for the pipe and connect again, up "
                "to N times. What is typed meanwhile is sent to the next connection.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "TalkOptions":
        """Return the values; raises UsageError for options that exclude each other."""
        rule, send_as = params["frame"], params["send_as"]
        if send_as is SendAs.FRAMES and rule is None:
            raise click.UsageError("`--stdin-as frames` needs a rule: `--frame RULE`")
        if rule is not None and rule.idle is not None:
            raise click.UsageError(f"`--frame {rule}`: silence cannot mark the end of sent data: use another rule")
        codec = CodecOptions.from_params(params)
        if codec.name and send_as in (SendAs.RAW, SendAs.FRAMES):
            raise click.UsageError("`--codec` makes a frame of each line, and so needs `--stdin-as lines`")
        if codec.name and params["reconnect"]:
            raise click.UsageError("`--codec` cannot be combined with `--reconnect`: it decodes one connection")
        if params["raw_keys"] and (rule or codec.name or send_as not in (SendAs.AUTO, SendAs.RAW)):
            raise click.UsageError("`--raw-keys` sends keys as they are: omit `--codec`, `--frame` and `--stdin-as`")
        return cls(
            TalkOpenOptions.from_params(params),
            params["max_message"],
            send_as,
            rule,
            params["half_close"],
            params["end"],
            params["linger"],
            _first(params),
            params["raw_keys"],
            params["reconnect"] or 0,
            codec,
        )

    def talk(
        self, output: Output, connection: "Connection", view: View, written: PayloadFormat, separator: Separator
    ) -> None:
        """Exchange data until the end; raises the errors of `Pump.run`, and UsageError."""
        from pipectl.core.pipe.lifetime import ServerLifetime
        from pipectl.core.traffic.streams import Pump

        decoder = self.codec.decoder(output, view, is_reply=False)
        framing = decoder.rule if decoder else self.framing
        send_as = self._resolved(output, written, framing)
        with ExitStack() as stack:
            server = stack.enter_context(ServerLifetime(connection.handle))
            if self.raw_keys:
                ends = self._from_keys(stack, output, view, separator, connection, lambda: pump.stop())  # noqa: PLW0108 - made below
            elif _is_dialog(output) and send_as is SendAs.LINES:
                ends = self._from_lines(_dialog(output, connection, view), connection, written, decoder)
            else:
                source = chain(self.first, self._messages(send_as, connection, written))
                ends = _Ends(source, self._sink(send_as, output, view, separator, connection, decoder), output.note)
            pump = Pump(
                connection,
                ends.source,
                ends.sink,
                framing=None if send_as is SendAs.FRAMES else framing,
                half_close=self.half_close,
                end=self.end,
                linger=self.linger,
                patience=self.open.timeout,
                waits=lambda: output.detail(self._waited_for(connection)),
                again=_reconnects(self, output, connection, server, ends.note) if self.reconnect else None,
            )
            pump.run()
            if pump.is_closed:
                server.check(connection.pipe)

    def _waited_for(self, connection: "Connection") -> str:
        """Return what ends the session after stdin has ended."""
        is_told = self.half_close is HalfClose.EMPTY or (self.half_close is HalfClose.AUTO and connection.is_message)
        if self.end is EndOf.STDIN:
            return "stdin has ended"
        if is_told or self.end is EndOf.PIPE or self.linger is None:
            return "stdin has ended; reading until the server closes the pipe"
        return f"stdin has ended; reading until no data has arrived for {self.linger:g} s"

    def _from_lines(
        self, dialog: "Dialog", connection: "Connection", written: PayloadFormat, decoder: "Decoder | None"
    ) -> "_Ends":
        source = Typed(dialog, connection, written).messages(self.first)
        if decoder is None:
            return _Ends(source, dialog.show, dialog.note)
        return _Ends(source, lambda data: dialog.show(data, decoder.taken_as_text()), dialog.note)

    def _from_keys(
        self,
        stack: ExitStack,
        output: Output,
        view: View,
        separator: Separator,
        connection: "Connection",
        stop: Callable[[], None],
    ) -> "_Ends":
        from .keys import keys

        source = stack.enter_context(keys(view.encoding, stop))
        sink = self._sink(SendAs.RAW, output, view, separator, connection)
        if view.form in (Form.AUTO, Form.RAW):
            # Decoded, because a console cannot show a character that arrives in two pieces.
            decode = getincrementaldecoder(view.encoding)("replace").decode
            sink = lambda data: output.stream.write(decode(data))  # noqa: E731
        output.note(f"{_connected(connection)}; Ctrl+] exits")
        return _Ends(chain(self.first, source), sink, output.note)

    def _resolved(self, output: Output, written: PayloadFormat, framing: "Framing | None") -> SendAs:
        """Return how stdin is divided into messages; raises UsageError for options that do not fit."""
        if self.raw_keys and not _is_dialog(output):
            raise click.UsageError("`--raw-keys` needs a terminal: omit redirections, `--format` and `--output`")
        send_as = SendAs.RAW if self.raw_keys else self.send_as
        if send_as is SendAs.AUTO:
            send_as = SendAs.LINES if _is_dialog(output) or framing else SendAs.RAW
        if send_as is not SendAs.LINES and not self.first and written != PayloadFormat.plain(written.encoding):
            raise click.UsageError("`--hex` and similar options apply to lines: add `--stdin-as lines`")
        return send_as

    def _messages(self, send_as: SendAs, connection: "Connection", written: PayloadFormat) -> Iterator[bytes]:
        if send_as is SendAs.RAW:
            return stdin.pieces()
        if send_as is SendAs.LINES:
            return map(written.convert, stdin.lines_of(stdin.pieces()))
        if not connection.is_message:
            raise PipeStateError(
                "`--stdin-as frames` needs a message pipe, and this is a byte pipe", pipe=connection.pipe
            )
        assert self.framing is not None
        return _bodies(self.framing, self.max_message)

    def _sink(
        self,
        send_as: SendAs,
        output: Output,
        view: View,
        separator: Separator,
        connection: "Connection",
        decoder: "Decoder | None" = None,
    ) -> Callable[[bytes], object]:
        stream = output.stream
        if send_as is SendAs.FRAMES and self.framing is not None:
            wrap = self.framing.wrap
            return lambda data: stream.write(wrap(data))
        is_raw = view.form is Form.RAW or output.mode is Mode.RAW or (send_as is SendAs.RAW and view.form is Form.AUTO)
        if (
            decoder is None
            and is_raw
            and output.mode in (None, Mode.RAW)
            and separator.text is None
            and not stream.is_terminal
        ):
            return stream.write
        from pipectl.output.conversation import Messages

        pipe = connection.pipe or ""
        messages = Messages(output, pipe, view, lambda data: separator.after(data, is_raw=is_raw), decoder)
        has_ends = self.half_close is not HalfClose.NONE and not output.is_json
        return lambda data: messages.show(data) if data or not has_ends else None


class _Ends(NamedTuple):
    """The source of data to send, the sink of received data, and the function that shows a text to the user."""

    source: Iterator[bytes | None]
    sink: Callable[[bytes], object]
    note: Callable[[str], object]


def _first(params: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Return the messages of `--send`; raises UsageError for a text that its options do not allow."""
    written, rule = PayloadFormat.from_params(params), params["frame"]
    first = tuple(map(written.encode, params["send"]))
    for data in first if params["send_as"] is not SendAs.FRAMES else ():
        framed(rule, data)
    return first


def _is_dialog(output: Output) -> bool:
    """Return whether a person types the data to send, and sees what arrives."""
    return Stream(sys.stdin).is_terminal and output.stream.is_terminal and output.mode is None


def _bodies(framing: "Framing", max_frame: int) -> Iterator[bytes]:
    """Yield the bodies of the frames of stdin."""
    from pipectl.core.pipe.frames import Frames

    frames = Frames(framing, max_frame)
    for piece in stdin.pieces():
        yield from frames.feed(piece)
    yield from frames.close()


def _dialog(output: Output, connection: "Connection", view: View) -> "Dialog":
    from pipectl.core.win32.consoles import cursor_column
    from pipectl.output.conversation import Dialog

    output.note(f"{_connected(connection)}; `/help` lists commands, Ctrl+Z Enter exits")
    return Dialog(output, view, lambda: cursor_column(sys.stdout))


def _reconnects(
    options: TalkOptions,
    output: Output,
    connection: "Connection",
    server: "ServerLifetime",
    note: Callable[[str], object],
) -> "Reconnects":
    """Return the policy of `--reconnect`, which reports each event to the user."""
    from pipectl.core.traffic.streams import Reconnects

    class Told(Reconnects):
        def closed(self) -> None:
            note(f"{connection.pipe} was closed; waiting for it")

        def connected(self) -> None:
            server.follow(connection.handle)
            note(_connected(connection))

        def lost(self, reason: str) -> None:
            output.warning(reason)

    return Told(options.reconnect, options.open.timeout)


def _connected(connection: "Connection") -> str:
    kind = "message" if connection.is_message else "byte"
    return f"connected to {connection.pipe} ({kind}, {_peer(connection)})"


def _peer(connection: "Connection") -> str:
    """Return which process serves a pipe, as text."""
    from pipectl.core.errors import if_allowed
    from pipectl.core.inventory.peers import server_of

    server = if_allowed(server_of, connection.handle)
    if server is None:
        return "served by an unknown process"
    return ", ".join(
        filter(None, (f"served by pid {server.pid}", server.program, server.user and f"user {server.user}"))
    )


_HELP = """\
a line      sends it as a message; write `//` for a slash at the beginning
/hex DIGITS sends bytes
/file FILE  sends the content of a file
/empty      sends an empty message
/eof        ends what is sent, like Ctrl+Z; data that arrives is still shown
/save FILE  saves the last received message to a file
/peer       shows which process serves the pipe
/quit       exits at once, like Ctrl+C"""


class Typed:
    """What the user types: lines that are messages, and commands that begin with a slash."""

    def __init__(self, dialog: "Dialog", connection: "Connection", written: PayloadFormat) -> None:
        self._dialog = dialog
        self._connection = connection
        self._written = written
        self._is_over = False
        self._commands: dict[str, Callable[[str], Iterator[bytes | None]]] = {
            "/hex": self._hex,
            "/file": self._file,
            "/empty": self._empty,
            "/eof": self._eof,
            "/save": self._save,
            "/peer": self._show_peer,
            "/quit": self._quit,
            "/help": self._help,
        }

    def messages(self, first: Iterable[bytes] = ()) -> Iterator[bytes | None]:
        """Yield the messages to send, after those of `first`; None ends the session at once."""
        yield from self._awaiting(first)
        self._dialog.prompt()
        for line in stdin.lines_of(stdin.pieces()):
            self._dialog.take_prompt()
            try:
                yield from self._awaiting(self._meaning(line))
            except (click.UsageError, OSError) as error:
                self._dialog.note(str(error))
            if self._is_over:
                return
            self._dialog.prompt()
        self._dialog.take_prompt()

    def _awaiting(self, messages: Iterable[bytes | None]) -> Iterator[bytes | None]:
        for data in messages:
            self._dialog.expect_answer()
            yield data
            self._dialog.await_answer()  # the message was sent

    def _meaning(self, line: bytes) -> Iterator[bytes | None]:
        if not line.startswith(b"/") or line.startswith(b"//"):
            data = self._written.convert(line[1:] if line.startswith(b"//") else line)
            if data or self._connection.is_message:
                yield data
            return
        name, _, argument = line.decode(errors="replace").partition(" ")
        if name not in self._commands:
            self._dialog.note(
                f"unknown command `{name}`: `/help` lists the commands; write `//` for a slash at the beginning"
            )
            return
        yield from self._commands[name](argument.strip())

    def _hex(self, argument: str) -> Iterator[bytes]:
        yield PayloadFormat.plain("utf-8")._replace(is_hex=True).encode(argument)

    def _file(self, argument: str) -> Iterator[bytes]:
        yield file_content(argument, _PATIENCE)

    def _empty(self, _argument: str) -> Iterator[bytes]:
        if self._connection.is_message:
            yield b""
        else:
            self._dialog.note("a byte pipe has no empty messages")

    def _eof(self, _argument: str) -> Iterator[bytes]:
        self._is_over = True
        yield from ()

    def _save(self, argument: str) -> Iterator[bytes]:
        from pathlib import Path

        Path(argument).write_bytes(self._dialog.last)
        yield from ()

    def _show_peer(self, _argument: str) -> Iterator[bytes]:
        self._dialog.note(_peer(self._connection))
        yield from ()

    def _help(self, _argument: str) -> Iterator[bytes]:
        self._dialog.note(_HELP)
        yield from ()

    def _quit(self, _argument: str) -> Iterator[None]:
        self._is_over = True
        yield None

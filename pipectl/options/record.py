"""The options of recording: how a conversation is decoded, masked, and written to files."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.output import Stream

from . import Option, UsageError, option, stdin
from .payload import file_content
from .types import FILE, CodecName

if TYPE_CHECKING:
    from pipectl.core.codecs.base import Codec
    from pipectl.core.recording.conversation import Choose, Mask, Part
    from pipectl.core.recording.pcapng import PacketForm
    from pipectl.core.recording.recorder import RecordLimit
    from pipectl.core.recording.recording import Event, Header, Recording, Said
    from pipectl.core.traffic.observer import Record
    from pipectl.core.traffic.relay import Relay
    from pipectl.output.recordlog import Observe, RecordingLog

_DECODED = "What is decoded and masked"
_RECORDED = "Recording"
SHOWN = "What is shown"
AUTO, NONE = "auto", "none"

show_option = option(
    "--show",
    multiple=True,
    metavar="TEXT",
    section=SHOWN,
    help="Show only frames in which TEXT occurs or FIELD=VALUE holds, and the replies to them. Can be repeated.",
)
full_option = option("--full", is_flag=True, section=SHOWN, help="Show whole bodies, below the line of each frame.")
timing_option = option(
    "--timing", is_flag=True, section=SHOWN, help="At the end, show how long replies took, for each kind of request."
)


class DecodeOptions(NamedTuple):
    """Which codec decodes, and what is masked."""

    codec: str
    mask: "Mask"

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--codec`, `--secrets` and `--redact`."""
        return [
            Option(
                ["--codec"],
                type=CodecName(AUTO, NONE),
                default=AUTO,
                show_default=True,
                metavar="NAME",
                section=_DECODED,
                help="The protocol, or FILE.py:CLASS: auto takes it from the pipe name or from the first bytes; "
                "none shows data as it is read.",
            ),
            Option(
                ["--secrets"],
                is_flag=True,
                section=_DECODED,
                help="Do not mask what the codec knows to be secret: passwords, tokens, keys.",
            ),
            Option(
                ["--redact"],
                multiple=True,
                metavar="REGEX",
                section=_DECODED,
                help="Mask matches too, or the groups in them, with as many asterisks. Recordings contain the "
                "expression itself. Can be repeated.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "DecodeOptions":
        """Return the options; raises UsageError for an invalid regular expression."""
        from pipectl.core.recording.conversation import Mask

        try:
            return cls(params["codec"], Mask(params["redact"], shows_secrets=params.get("secrets", False)))
        except re.error as error:
            raise click.UsageError(f"`--redact`: not a regular expression: {error}") from None

    @property
    def is_auto(self) -> bool:
        """Whether the codec is found by the pipe's name, or by the first bytes."""
        return self.codec == AUTO

    def chooser(self, pipe: str, recorded: str = AUTO) -> "Choose":
        """Return the function that chooses the codec of a conversation; `recorded` is the codec in its recording."""
        from pipectl.core.codecs import CODECS, guess
        from pipectl.core.codecs.plugins import find
        from pipectl.core.recording.conversation import Pieces

        name = self.codec
        if name == AUTO and recorded in CODECS:  # a recording must not run code, and its codec may be a file
            name = recorded
        if name == NONE:
            return lambda _side, _first: Pieces()
        if name == AUTO:
            return lambda side, first: guess(pipe, side, first)()
        found = find(name)
        return lambda _side, _first: found()

    def codec_of(self, pipe: str, recorded: str = AUTO, first: "Said | None" = None) -> "type[Codec]":
        """Return the codec as far as it is known; without the first data, only the pipe's name can show it."""
        from pipectl.core.codecs.base import Side

        side, data = (Side.CLIENT, b"") if first is None else (first.side, first.data[:64])
        return type(self.chooser(pipe, recorded)(side, data))


class RecordOptions(NamedTuple):
    """The files to write: a recording, packets, or both."""

    record: str | None
    appends: bool
    limit: "RecordLimit | None"
    pcapng: str | None
    form: "PacketForm | None"

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--record`, `--pcapng` and their options."""
        return [
            Option(
                ["--record"],
                type=FILE,
                metavar="FILE",
                section=_RECORDED,
                help="Write everything to this new file, one JSON line for each event, for `replay` and `decode`.",
            ),
            Option(["--append"], is_flag=True, section=_RECORDED, help="Write to the end of FILE if it exists."),
            Option(
                ["--record-limit"],
                metavar="SIZE[:FILES]",
                section=_RECORDED,
                help="Begin another file, FILE with a number, when one has this size; keep only so many.",
            ),
            Option(
                ["--pcapng"],
                type=FILE,
                metavar="FILE",
                section=_RECORDED,
                help="Write packets for Wireshark to this new file; `-` is stdout, for `wireshark -k -i -`.",
            ),
            Option(
                ["--pcapng-as"],
                type=click.Choice(["tcp", "pdu"]),
                section=_RECORDED,
                help="What a packet is: a segment of a made-up TCP connection, or a message.  [default: pdu on a "
                "message pipe, unless it carries HTTP; else tcp]",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "RecordOptions":
        """Return the options; raises UsageError for an invalid limit, and for options without their file."""
        from pipectl.core.recording.pcapng import PacketForm
        from pipectl.core.recording.recorder import RecordLimit

        record, limit, form = params["record"], params["record_limit"], params["pcapng_as"]
        for name, needed in (("append", record), ("record_limit", record), ("pcapng_as", params["pcapng"])):
            if params[name] and not needed:
                file = "--pcapng" if name == "pcapng_as" else "--record"
                raise UsageError(f"`--{name.replace('_', '-')}` needs `{file}`", f"Name the file: `{file} FILE`")
        if record == "-":
            raise click.UsageError("`--record` needs a file: `--json` writes the same to stdout")
        try:
            parsed = RecordLimit.parse(limit) if limit else None
        except ValueError as error:
            raise click.UsageError(f"`--record-limit`: {error}") from None
        return cls(record, params["append"], parsed, params["pcapng"], PacketForm(form) if form else None)

    def check(self, decoding: DecodeOptions, *, stdout_is_taken: bool) -> None:
        """Raise UsageError for options that a relay, which shows nothing, does not support."""
        if self.takes_stdout and stdout_is_taken:
            raise click.UsageError("`--pcapng -`: stdout is one end of the relay")
        has_options = decoding.codec != AUTO or decoding.mask.patterns or decoding.mask.shows_secrets
        if has_options and not self.is_wanted:
            raise UsageError("`--codec`, `--secrets` and `--redact` are for what is recorded", "Add `--record FILE`")

    @property
    def is_wanted(self) -> bool:
        """Whether anything is written."""
        return self.record is not None or self.pcapng is not None

    @property
    def takes_stdout(self) -> bool:
        """Whether the packets are written to stdout."""
        return self.pcapng == "-"

    @contextmanager
    def records(self, header: "Header", wireshark: tuple[str, int]) -> Iterator[list[Callable[["Event"], None]]]:
        """Open the files and yield the functions that write events to them; raises UsageError if that fails."""
        from contextlib import ExitStack

        from pipectl.core.recording.pcapng import Pcapng
        from pipectl.core.recording.recorder import Recorder

        with ExitStack() as stack:
            found: list[Callable[[Event], None]] = []
            if self.record is not None:
                recorder = _made(
                    self.record,
                    lambda path: Recorder(path, header, open_private, appends=self.appends, limit=self.limit),
                )
                stack.callback(recorder.close)
                found.append(recorder.write)
            if self.pcapng is not None:
                write = Stream(sys.stdout).write if self.takes_stdout else _whole(stack, self.pcapng)
                found.append(Pcapng(write, header, wireshark, self.form).write)
            yield found


def observing(records: "Sequence[Record]", pipe: str, decoding: DecodeOptions) -> "Observe":
    """Return the factory of the observer of a relay to a pipe."""
    from pipectl.core.traffic.observer import Observer

    choose = decoding.chooser(pipe)

    def observe(log: "RecordingLog", relay: "Relay") -> Observer:
        return Observer(
            records, log.show, choose, decoding.mask, failed=relay.abort, rest=log.rest, codec_failed=log.codec_failed
        )

    return observe


def header_for(pipe: str, target: str, decoding: DecodeOptions, *, is_message: bool) -> "Header":
    """Return the first line of a recording that begins now."""
    from pipectl import __version__
    from pipectl.core.recording.recording import Header

    started = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    mask = decoding.mask
    by = f"pipectl {__version__}"
    return Header(pipe, target, is_message, decoding.codec, started, mask.patterns, mask.shows_secrets, by)


def load(path: str, side: str | None = None, *, is_strict: bool = False) -> "Recording":
    """Return the recording in a file, or on stdin for `-`.

    Unless `is_strict`, any other data becomes a recording in which `side`, or else the client, has sent it at once.
    Raises RecordingError and UsageError.
    """
    from pipectl.core.codecs.base import Side
    from pipectl.core.errors import RecordingError
    from pipectl.core.recording.recording import Header, Recording, Said, is_recording, read

    from .marks import unmarked

    data = stdin.read_all() if path == "-" else file_content(path)
    lines = unmarked(data).splitlines(keepends=True)
    if data and not (is_strict or is_recording(lines[0])):
        return Recording(Header(codec=AUTO), (Said(0.0, 1, Side(side or Side.CLIENT), data),))
    try:
        return read(lines)
    except RecordingError as error:
        raise RecordingError(error.reason, subject=path) from None


def export(
    form: str, path: str, header: "Header", first: "Said | None", decoding: DecodeOptions, parts: "Iterable[Part]"
) -> None:
    """Write a recording to a new file in another form: pcapng, html or jsonl; raises UsageError.

    `first` is the first data of the conversation, by which the codec may be detected.
    """
    from contextlib import ExitStack

    from pipectl.core.recording.conversation import Decoded
    from pipectl.core.recording.pcapng import Pcapng
    from pipectl.core.recording.recording import event_line, header_line

    with ExitStack() as stack:
        write = _whole(stack, path)
        if form == "html":
            from pipectl.output.page import page

            for piece in page(header, parts):
                write(piece.encode())
            return
        if form == "pcapng":
            codec = decoding.codec_of(header.target or header.pipe, header.codec, first)
            record = Pcapng(write, header, codec.wireshark).write
        else:
            mask = decoding.mask
            redacted = tuple(dict.fromkeys((*header.redacted, *mask.patterns)))
            has_secrets = header.has_secrets and mask.shows_secrets
            write(header_line(header._replace(redacted=redacted, has_secrets=has_secrets)))

            def record(event: "Event") -> None:
                write(event_line(event))

        for part in parts:
            if not isinstance(part, Decoded):
                record(part)


def open_private(path: str, appends: bool) -> Any:
    """Create a file that only this user, administrators and the system can open; raises OSError."""
    from pipectl.core.security.descriptors import pipe_security
    from pipectl.core.win32.files import create_private

    return create_private(path, pipe_security().attributes, appends=appends)


def _whole(stack: Any, path: str) -> Callable[[bytes], object]:
    """Return a function that writes to a new file."""
    from pipectl.core.recording.recorder import write_whole

    file = _made(path, lambda name: open_private(name, False))
    stack.callback(file.close)
    return lambda data: write_whole(file, data, path)


def _made(path: str, make: Callable[[str], Any]) -> Any:
    try:
        return make(path)
    except FileExistsError:
        raise UsageError(
            f"`{path}` exists already", "Choose another name, or add to a recording with `--append`"
        ) from None
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise click.UsageError(f"`{path}` cannot be written: {reason}") from None

"""The options of client commands: how to open a pipe, which server to expect, and where a reply ends."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import click

from pipectl.core.constants import MAX_MESSAGE, Sqos, Wait, size_text

from . import CONNECTION, REPLY, Option
from .types import DURATION, FRAMING, PIPE, SIZE, CodecName, Word

if TYPE_CHECKING:
    from pipectl.core.inventory.peers import Expected
    from pipectl.core.pipe.frames import Framing
    from pipectl.output import Output, View

    from .codecs import Decoder


def pipe_argument(function: Any) -> Any:
    """Add the argument PIPE to a command's function."""
    return click.argument("pipe", type=PIPE, help=r"The pipe: NAME, \\.\pipe\NAME or \\HOST\pipe\NAME.")(function)


class Opening(TypedDict):
    """The arguments of `connect` and `open_pipe`, except for the timeout."""

    wait: Wait
    sqos: Sqos
    expect: "Expected | None"


class OpenOptions(NamedTuple):
    """How a command opens a pipe, and which server it expects."""

    timeout: float | None
    wait: Wait
    sqos: Sqos
    expect: "Expected | None"

    @classmethod
    def default_timeout(cls) -> str:
        """Return the default of `--timeout`."""
        return "5"

    @classmethod
    def timeout_help(cls) -> str:
        """Return what `--timeout` does."""
        return "Time limit for the whole operation (2.5, 500ms, 2m; 0 = do not wait; none = no limit)."

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options of the connection."""
        levels = [name.lower() for name in Sqos.__members__]
        return [
            Option(
                ["-t", "--timeout"],
                type=DURATION,
                default=cls.default_timeout(),
                show_default=True,
                section=CONNECTION,
                help=cls.timeout_help(),
            ),
            Option(
                ["--wait"],
                type=Word(Wait),
                default=Wait.FREE.value,
                show_default=True,
                section=CONNECTION,
                help="What to wait for before connecting: nothing, a free instance of a busy pipe, or also for the "
                "pipe to exist.",
            ),
            Option(
                ["--sqos"],
                type=Word(Sqos.__members__.values()),
                default="identification",
                show_default=True,
                section=CONNECTION,
                metavar="LEVEL",
                help=f"Impersonation level granted to the server: {', '.join(levels[:-1])} or {levels[-1]}.",
            ),
            Option(
                ["--expect-pid"],
                type=int,
                metavar="PID",
                section=CONNECTION,
                help="Fail unless the server is the process with this id.",
            ),
            Option(
                ["--expect-exe"],
                metavar="NAME",
                section=CONNECTION,
                help="Fail unless the server is this program: a file name or a full path.",
            ),
            Option(
                ["--expect-user"],
                metavar="USER",
                section=CONNECTION,
                help="Fail unless the pipe belongs to this user: NAME, DOMAIN\\NAME or a SID.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "OpenOptions":
        """Return how to open the pipe."""
        expected = {name: params[f"expect_{name}"] for name in ("pid", "exe", "user")}
        return cls(params["timeout"], params["wait"], params["sqos"], _expected(**expected))

    def opening(self) -> Opening:
        """Return the arguments that `connect` and `open_pipe` take for it."""
        return Opening(wait=self.wait, sqos=self.sqos, expect=self.expect)


class ImpatientOpenOptions(OpenOptions):
    """The same options for a command that does not wait by default."""

    @classmethod
    def default_timeout(cls) -> str:
        """Return 0: do not wait."""
        return "0"


class TargetOptions(OpenOptions):
    """The same options for a command that connects to its pipe repeatedly."""

    @classmethod
    def timeout_help(cls) -> str:
        """Return what `--timeout` does."""
        return (
            "Time limit for each connection to TARGET, and for a side to read what was sent before an end; none = no "
            "limit."
        )


class StreamOpenOptions(OpenOptions):
    """The same options for a command that may run until the server closes the pipe."""

    @classmethod
    def timeout_help(cls) -> str:
        """Return what `--timeout` does."""
        return (
            "Time limit for opening the pipe, and with `--count` for the whole operation (0 = do not wait; none = no "
            "limit)."
        )


class CodecOptions(NamedTuple):
    """Which codec decodes what is received, and whether its secrets are shown."""

    name: str | None
    shows_secrets: bool

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--codec` and `--secrets`."""
        return [
            Option(
                ["--codec"],
                type=CodecName(),
                metavar="NAME",
                section=REPLY,
                help="Decode what is received, and make frames of what is sent: docker, ssh-agent, json-lines ... or "
                "FILE.py:CLASS; `pipectl help codecs` lists all.",
            ),
            Option(
                ["--secrets"],
                is_flag=True,
                section=REPLY,
                help="Do not mask what the codec knows to be secret: passwords, tokens, keys.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "CodecOptions":
        """Return the options; raises UsageError for `--codec` with `--frame`, and for `--secrets` without `--codec`."""
        if params["codec"] and params["frame"] is not None:
            raise click.UsageError("`--codec` cannot be combined with `--frame`: the codec makes the frames")
        if params["secrets"] and not params["codec"]:
            raise click.UsageError("`--secrets` needs `--codec`")
        return cls(params["codec"], params["secrets"])

    def decoder(self, output: "Output", view: "View", *, is_reply: bool = True) -> "Decoder | None":
        """Return the decoder of one connection; None without a codec."""
        if self.name is None:
            return None
        from .codecs import Decoder

        return Decoder(output, view, self.name, shows_secrets=self.shows_secrets, is_reply=is_reply)


class ReadOptions(NamedTuple):
    """How a command opens a pipe, which pieces it reads, and for how long."""

    open: OpenOptions
    max_message: int
    # None: whole messages on a message pipe, data as it arrives on a byte pipe.
    until: "Framing | None"
    is_framed: bool
    # Seconds; None for no limit.
    duration: float | None
    codec: "CodecOptions"

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options for reading, and those of the connection."""
        return [
            Option(
                ["--duration"],
                type=DURATION,
                default="none",
                section=REPLY,
                help="Exit after this time.  [default: when the server closes]",
            ),
            max_reply(),
            *rule_options(
                "Print piece by piece, and where a piece ends: line, nul, idle:SECONDS, bytes:SIZE, u32le, json, http "
                "...; `pipectl help framing` lists all rules.  [default: each message; on a byte pipe, data as it "
                "arrives]",
                "Like `--until`, but print the frames without lengths and delimiters.",
            ),
            *CodecOptions.parameters(),
            *StreamOpenOptions.parameters(),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "ReadOptions":
        """Return the values; raises UsageError for more than one rule."""
        rule, is_framed = rule_of(params)
        opening = StreamOpenOptions.from_params(params)
        codec = CodecOptions.from_params(params)
        return cls(opening, params["max_message"], rule, is_framed, params["duration"], codec)


def _expected(**expected: Any) -> "Expected | None":
    if all(value is None for value in expected.values()):
        return None
    from pipectl.core.inventory.peers import Expected

    return Expected(**expected)


class RequestOptions(NamedTuple):
    """How a command opens a pipe, and where a reply ends."""

    open: OpenOptions
    max_message: int
    # None: one message on a message pipe, silence on a byte pipe.
    until: "Framing | None"
    # Whether that rule frames requests too.
    is_framed: bool
    codec: "CodecOptions"

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options for the reply and the connection."""
        return [
            max_reply(),
            *rule_options(
                "Where a reply ends: line, nul, eof, idle:SECONDS, bytes:SIZE, u32le, json, http ...; `pipectl help "
                "framing` lists all rules. On a message pipe, messages are joined until the rule is met; an empty "
                "message ends `eof`.  [default: idle:0.2 on a byte pipe, one message on a message pipe]",
                "Send the request as a frame of this rule, and print the body of the frame that is the reply.",
            ),
            *CodecOptions.parameters(),
            *OpenOptions.parameters(),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "RequestOptions":
        """Return how to open the pipe, and where a reply ends; raises UsageError for more than one rule."""
        rule, is_framed = rule_of(params)
        codec = CodecOptions.from_params(params)
        return cls(OpenOptions.from_params(params), params["max_message"], rule, is_framed, codec)

    def checked(self, data: bytes) -> bytes:
        """Return the request unchanged; raises UsageError if the rule has no frame for it."""
        if self.until is not None and self.is_framed:
            framed(self.until, data)
        return data


def max_reply() -> Option:
    """Return the option that limits the data received."""
    return Option(
        ["--max-message"],
        type=SIZE,
        default=size_text(MAX_MESSAGE),
        show_default=True,
        section=REPLY,
        help="Fail if a reply is larger than SIZE.",
    )


def rule_of(params: Mapping[str, Any]) -> tuple["Framing | None", bool]:
    """Return the rule of `--until` or `--frame`, and whether `--frame` set it; raises UsageError for both."""
    until, frame = params["until"], params["frame"]
    if until is not None and frame is not None:
        raise click.UsageError("use only one of `--until` and `--frame`")
    return until or frame, frame is not None


def framed(rule: "Framing | None", data: bytes) -> bytes:
    """Return the data as a frame of the rule of `--frame`; raises UsageError if the rule has no frame for it."""
    try:
        return data if rule is None else rule.wrap(data)
    except ValueError as error:
        raise click.UsageError(f"`--frame {rule}`: {error}") from None


def rule_options(until: str, frame: str) -> list[Option]:
    """Return `--until` and `--frame`, with the given help texts."""
    return [
        Option(["--until"], type=FRAMING, section=REPLY, help=until),
        Option(["--frame"], type=FRAMING, section=REPLY, help=frame),
    ]

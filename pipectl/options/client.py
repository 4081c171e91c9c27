"""How a client command opens a pipe, whom it expects there, and what it takes for a reply."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import click

from pipectl.core.constants import MAX_MESSAGE, Sqos, Wait, size_text

from . import CONNECTION, REPLY, Option
from .types import DURATION, FRAMING, PIPE, SIZE, Word

if TYPE_CHECKING:
    from pipectl.core.inventory.peers import Expected
    from pipectl.core.pipe.frames import Framing


def pipe_argument(function: Any) -> Any:
    """Add the argument PIPE to a command's function."""
    return click.argument("pipe", type=PIPE, help=r"The pipe: NAME, \\.\pipe\NAME or \\HOST\pipe\NAME.")(function)


class Opening(TypedDict):
    """How `connect` and `open_pipe` open a pipe, apart from the time that they have."""

    wait: Wait
    sqos: Sqos
    expect: "Expected | None"


class OpenOptions(NamedTuple):
    """How a command opens a pipe, and whom it expects there."""

    timeout: float | None
    wait: Wait
    sqos: Sqos
    expect: "Expected | None"

    @classmethod
    def default_timeout(cls) -> str:
        """Return what `--timeout` is without being given."""
        return "5"

    @classmethod
    def timeout_help(cls) -> str:
        """Return what `--timeout` bounds."""
        return "Bound the whole operation; 0 does not wait, `none` waits for ever."

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
                help="Wait for nothing, for a free instance of a busy pipe, or also for the pipe to exist.",
            ),
            Option(
                ["--sqos"],
                type=Word(Sqos.__members__.values()),
                default="identification",
                show_default=True,
                section=CONNECTION,
                metavar="LEVEL",
                help=f"What the server may do in your name: {', '.join(levels[:-1])} or {levels[-1]}.",
            ),
            Option(
                ["--expect-pid"],
                type=int,
                metavar="PID",
                section=CONNECTION,
                help="Go on only if this process serves the pipe.",
            ),
            Option(
                ["--expect-exe"],
                metavar="NAME",
                section=CONNECTION,
                help="Go on only if this program serves the pipe: its file name, or its full path.",
            ),
            Option(
                ["--expect-user"],
                metavar="USER",
                section=CONNECTION,
                help="Go on only if the pipe is this user's: NAME, DOMAIN\\NAME or a SID.",
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
    """The same for a command that, left to itself, does not wait."""

    @classmethod
    def default_timeout(cls) -> str:
        """Return 0: do not wait."""
        return "0"


class StreamOpenOptions(OpenOptions):
    """The same for a command that may go on until the server closes."""

    @classmethod
    def timeout_help(cls) -> str:
        """Return what `--timeout` bounds."""
        return "Bound opening the pipe, and with `--count` the whole operation; 0 does not wait, `none` waits for ever."


class ReadOptions(NamedTuple):
    """How a command opens a pipe, which pieces it reads, and for how long."""

    open: OpenOptions
    max_message: int
    # None: messages on a message pipe, what comes on a byte pipe.
    until: "Framing | None"
    is_framed: bool
    # Seconds; None without an end.
    duration: float | None

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options of what is read, and those of the connection."""
        return [
            Option(
                ["--duration"],
                type=DURATION,
                default="none",
                section=REPLY,
                help="End after this time.  [default: when the server closes]",
            ),
            max_reply(),
            *rule_options(
                "Print piece by piece, and where a piece ends: line, nul, idle:SECONDS, bytes:SIZE, u32le, json, http "
                "...; `pipectl help framing` lists all rules.  [default: each message; on a byte pipe what comes]",
                "The same, without the lengths and delimiters.",
            ),
            *StreamOpenOptions.parameters(),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "ReadOptions":
        """Return the values; raises UsageError for two rules at once."""
        rule, is_framed = rule_of(params)
        opening = StreamOpenOptions.from_params(params)
        return cls(opening, params["max_message"], rule, is_framed, params["duration"])


def _expected(**expected: Any) -> "Expected | None":
    if all(value is None for value in expected.values()):
        return None
    from pipectl.core.inventory.peers import Expected

    return Expected(**expected)


class RequestOptions(NamedTuple):
    """How a command opens a pipe, and what it takes for a reply."""

    open: OpenOptions
    max_message: int
    # None: one message on a message pipe, silence on a byte pipe.
    until: "Framing | None"
    # Whether that rule frames requests too.
    is_framed: bool

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options of the reply, and those of the connection."""
        return [
            max_reply(),
            *rule_options(
                "Where a reply ends: line, nul, eof, idle:SECONDS, bytes:SIZE, u32le, json, http ...; `pipectl help "
                "framing` lists all rules. On a message pipe the messages are joined until then, and an empty one ends "
                "`eof`.  [default: idle:0.2 on a byte pipe, one message on a message pipe]",
                "Send the request as a frame of this rule, and print the body of the frame that is the reply.",
            ),
            *OpenOptions.parameters(),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "RequestOptions":
        """Return how to open the pipe, and what a reply is; raises UsageError for two rules at once."""
        rule, is_framed = rule_of(params)
        return cls(OpenOptions.from_params(params), params["max_message"], rule, is_framed)

    def checked(self, data: bytes) -> bytes:
        """Return a request; raises UsageError for one for which the rule has no frame."""
        if self.until is not None and self.is_framed:
            framed(self.until, data)
        return data


def max_reply() -> Option:
    """Make the option that limits what is received."""
    return Option(
        ["--max-message"],
        type=SIZE,
        default=size_text(MAX_MESSAGE),
        show_default=True,
        section=REPLY,
        help="Refuse a longer reply.",
    )


def rule_of(params: Mapping[str, Any]) -> tuple["Framing | None", bool]:
    """Return the rule of `--until` or of `--frame`, and whether it is that of `--frame`; raises UsageError for both."""
    until, frame = params["until"], params["frame"]
    if until is not None and frame is not None:
        raise click.UsageError("`--until` and `--frame` exclude each other")
    return until or frame, frame is not None


def framed(rule: "Framing | None", data: bytes) -> bytes:
    """Return the frame of some bytes by the rule of `--frame`; raises UsageError if it has none."""
    try:
        return data if rule is None else rule.wrap(data)
    except ValueError as error:
        raise click.UsageError(f"`--frame {rule}`: {error}") from None


def rule_options(until: str, frame: str) -> list[Option]:
    """Make `--until` and `--frame`, with the help of each."""
    return [
        Option(["--until"], type=FRAMING, section=REPLY, help=until),
        Option(["--frame"], type=FRAMING, section=REPLY, help=frame),
    ]

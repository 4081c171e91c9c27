"""`pipectl replay`: plays the server or the client of a recording, and shows where the other side differs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.options import Option, UsageError, option, with_examples
from pipectl.options.client import OpenOptions
from pipectl.options.record import DecodeOptions, load
from pipectl.options.server import PipeOptions
from pipectl.options.types import FILE, PIPE
from pipectl.output import Output

if TYPE_CHECKING:
    from pipectl.core.recording.replay import Rules, Script
    from pipectl.core.traffic.replaying import Part

_PLAYED = "What is played"
_COMPARED = "What is compared"
_MATCHES = ("exact", "codec", "kind", "any")


class Speed(click.ParamType[float]):
    """How fast messages are played: 1 is as recorded, and 0 without waiting."""

    name = "speed"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if value in ("fast", "recorded"):
            return float(value == "recorded")
        speed: float = click.FloatRange(0.001, 1000)(value, param, ctx)
        return speed


class RulesOptions(NamedTuple):
    """How messages are compared, and how fast they are played."""

    rules: "Rules"
    # 0: without waiting.
    speed: float

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options."""
        return [
            Option(
                ["--match"],
                type=click.Choice(_MATCHES),
                section=_COMPARED,
                help="What counts as the same message: the same bytes; what the codec makes of them; its kind, such as "
                "method and path; or anything.  [default: exact, or codec with --ignore]",
            ),
            Option(
                ["--ignore"],
                multiple=True,
                metavar="FIELD",
                section=_COMPARED,
                help="Leave out this field, a JSON pointer into the fields or the body, such as /headers/date. Can be "
                "repeated.",
            ),
            Option(
                ["--keep-ids/--no-keep-ids"],
                default=True,
                show_default=True,
                section=_COMPARED,
                help="Let the ids that pair requests and replies differ, and reply with those of the live requests.",
            ),
            Option(
                ["--timing"],
                type=Speed(),
                metavar="[fast|recorded|FACTOR]",
                default="fast",
                show_default=True,
                section=_PLAYED,
                help="Send without waiting, at the recorded times, or FACTOR times as fast.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "RulesOptions":
        """Return the options; raises UsageError for invalid ones."""
        from pipectl.core.recording.replay import Match, Rules

        match, ignored = params["match"] or ("codec" if params["ignore"] else "exact"), params["ignore"]
        if ignored and match != "codec":
            raise click.UsageError(f"`--ignore` needs `--match codec`, and not `{match}`")
        if wrong := [one for one in ignored if not one.startswith("/")]:
            raise UsageError(f"`--ignore {wrong[0]}` is not a JSON pointer", f"Write `--ignore /{wrong[0]}`")
        return cls(Rules(Match(match), ignored, params["keep_ids"]), params["timing"])


class PlaceOptions(NamedTuple):
    """Which side is played, and where."""

    is_server: bool
    pipe: str

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--serve` and `--call`."""
        return [
            Option(
                ["--serve"], type=PIPE, metavar="PIPE", section=_PLAYED, help="Serve this pipe as the recorded server."
            ),
            Option(
                ["--call"], type=PIPE, metavar="PIPE", section=_PLAYED, help="Call this pipe as the recorded client."
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "PlaceOptions":
        """Return the place; raises UsageError unless exactly one is given."""
        served, called = params["serve"], params["call"]
        if bool(served) == bool(called):
            raise UsageError("replay plays one side", "Name the pipe: `--serve PIPE` or `--call PIPE`")
        return cls(bool(served), served or called)


class RecordedPipeOptions(PipeOptions):
    """How to create a pipe whose type is the recorded one."""

    @classmethod
    def type_options(cls) -> list[click.Parameter]:
        """Return no options, because the recording has the type."""
        return []

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "PipeOptions":
        """Return how to create the pipe."""
        return super().from_params({**params, "kind": "auto"})


class ReplayOpenOptions(OpenOptions):
    """How to open the pipe whose replies are compared."""

    @classmethod
    def timeout_help(cls) -> str:
        """Return what `--timeout` does."""
        return "With --call: time limit for opening the pipe, and for each reply (none = no limit)."


class RecordedDecodeOptions(DecodeOptions):
    """Which codec decodes, and what is masked in addition to what the recording masked."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--codec` and `--redact`."""
        return [one for one in super().parameters() if one.name != "secrets"]


@with_examples(
    ("pipectl replay svc.jsonl --serve svc", "Answer as the recorded server, and check what clients say."),
    ("pipectl replay svc.jsonl --call svc", "Say what the recorded clients said, and compare the answers."),
    ("pipectl replay svc.jsonl --call svc --ignore /params/time", "Leave out what always differs."),
    groups={
        "place": PlaceOptions,
        "compared": RulesOptions,
        "decoding": RecordedDecodeOptions,
        "made": RecordedPipeOptions,
        "opening": ReplayOpenOptions,
    },
)
@click.argument("file", type=FILE)
@option("--client", type=click.IntRange(1), metavar="N", section=_PLAYED, help="Play only this client's conversation.")
@option("--repeat", is_flag=True, section=_PLAYED, help="With --serve: begin again after the last one, until Ctrl+C.")
@click.pass_obj
def command(
    output: Output,
    /,
    file: str,
    place: PlaceOptions,
    compared: RulesOptions,
    decoding: RecordedDecodeOptions,
    made: RecordedPipeOptions,
    opening: ReplayOpenOptions,
    client: int | None,
    repeat: bool,
) -> None:
    """Play one side of a recording against the live other side.

    With --serve, each client gets a recorded conversation: the one that begins with what it says, or else the next; it
    exits when all are played. With --call, each recorded client opens the pipe in turn. The first difference ends it
    with a diff and exit code 12. Secrets that are masked in the recording are masked in what is compared, and are sent
    masked. Only the pipe on the command line is used.
    """
    from pipectl.core.codecs.base import Side
    from pipectl.core.recording.conversation import Mask
    from pipectl.core.recording.replay import scripts
    from pipectl.core.traffic.replaying import Part

    recording = load(file, is_strict=True)
    for warning in recording.warnings:
        output.warning(warning)
    header = recording.header
    patterns = (*header.redacted, *decoding.mask.patterns)
    mask = Mask(patterns, shows_secrets=header.has_secrets)
    ours = Side.SERVER if place.is_server else Side.CLIENT
    found = scripts(recording, decoding.chooser(header.target or header.pipe, header.codec), mask, ours)
    found = [one for one in found if client in (None, one.client)]
    if not found:
        what = "nothing was said" if client is None else f"client {client} has said nothing"
        raise click.UsageError(f"`{file}`: {what}")

    def make(script: "Script") -> "Part":
        return Part(script, ours, compared.rules, mask, compared.speed)

    def played(script: "Script") -> None:
        count = len([step for step in script.steps if step.frame])
        output.data.event(
            {"conversation": script.client, "messages": count},
            f"conversation {script.client}: {count} messages, as recorded",
        )

    if place.is_server:
        _serve(output, place.pipe, made._replace(is_message=header.is_message), found, make, played, repeat)
    else:
        _call(output, place.pipe, opening, found, make, played)


def _serve(
    output: Output,
    pipe: str,
    made: RecordedPipeOptions,
    found: "list[Script]",
    make: "Callable[[Script], Part]",
    played: "Callable[[Script], None]",
    repeats: bool,
) -> None:
    from pipectl.core.traffic.replaying import ReplayServer

    security = made.access.security()
    server = ReplayServer(found, make, played, repeats=repeats).serve(pipe, config=made.config(security))
    with server:
        kind = "message" if made.is_message else "byte"
        output.note(
            f"playing {len(found)} conversations on {pipe} ({kind}, access: {', '.join(security.admitted())}); "
            "press Ctrl+C to stop"
        )
        server.wait()


def _call(
    output: Output,
    pipe: str,
    opening: ReplayOpenOptions,
    found: "list[Script]",
    make: "Callable[[Script], Part]",
    played: "Callable[[Script], None]",
) -> None:
    from pipectl.core.deadline import Deadline
    from pipectl.core.errors import PipeStateError
    from pipectl.core.pipe.connection import connect
    from pipectl.core.traffic.replaying import call

    for script in found:
        with (
            output.waiting(f"the replies of {pipe}"),
            connect(pipe, Deadline(opening.timeout), **opening.opening()) as connection,
        ):
            if connection.is_message is not script.is_message:
                kind = "message" if script.is_message else "byte"
                raise PipeStateError(f"the recording is of a {kind} pipe, and this is none", pipe=pipe)
            call(make(script), connection, opening.timeout)
        played(script)

"""`pipectl tap`: passes data between clients and a server, and shows it decoded, or records it."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.options import Option, UsageError, with_examples
from pipectl.options.behind import like_target
from pipectl.options.client import TargetOptions, pipe_argument
from pipectl.options.passing import RelayFaultOptions
from pipectl.options.payload import ViewOptions
from pipectl.options.record import (
    DecodeOptions,
    RecordOptions,
    full_option,
    header_for,
    observing,
    show_option,
    timing_option,
)
from pipectl.options.server import (
    ListenOptions,
    RelayEndOptions,
    announce_faults_and_access,
)
from pipectl.options.types import PIPE
from pipectl.output import Output, View

if TYPE_CHECKING:
    from pipectl.core.pipe.config import StopAfter
    from pipectl.core.security.descriptors import PipeSecurity
    from pipectl.core.traffic.faults import Faults
    from pipectl.core.traffic.places import Place
    from pipectl.core.traffic.relay import Relay

_WHERE = "Where it stands"


class WhereOptions(NamedTuple):
    """The two names that a tap connects."""

    listen: "Place"
    target: "Place"

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--on` and `--to`."""
        return [
            Option(
                ["--on"],
                type=PIPE,
                metavar="NAME",
                section=_WHERE,
                help="Clients connect to NAME, and are passed on to PIPE.  [default: PIPE-tap]",
            ),
            Option(
                ["--to"],
                type=PIPE,
                metavar="NAME",
                section=_WHERE,
                help="Take PIPE, which must be free, and pass clients on to NAME, where the server was moved.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "WhereOptions":
        """Return both places; raises UsageError if they are the same."""
        from pipectl.core.names import full_name, is_remote
        from pipectl.core.traffic.places import Kind, Place

        pipe, listen, target = params["pipe"], params["on"], params["to"]
        if listen and target:
            raise click.UsageError("use only one of `--on` and `--to`")
        if target:
            listen = pipe
        elif not listen:
            listen = full_name(pipe.lower().partition("\\pipe\\")[2] if is_remote(pipe) else pipe) + "-tap"
        places = cls(Place(Kind.PIPE, listen), Place(Kind.PIPE, target or pipe))
        if places.listen.is_same(places.target):
            raise UsageError("both names are the same: it would talk to itself", "Name another pipe with `--on`")
        return places


@with_examples(
    ("pipectl tap docker_engine", "Show what clients of docker_engine-tap and Docker say."),
    ("pipectl tap svc --show error --record svc.jsonl", "Show only frames with this text; record all."),
    ("pipectl tap svc --pcapng -", "Write packets: pipe them into `wireshark -k -i -`."),
    groups={
        "places": WhereOptions,
        "decoding": DecodeOptions,
        "recording": RecordOptions,
        "faulty": RelayFaultOptions,
        "made": ListenOptions,
        "stop_after": RelayEndOptions,
        "view": ViewOptions,
        "opening": TargetOptions,
    },
)
@pipe_argument
@show_option
@full_option
@timing_option
@click.pass_obj
def command(
    output: Output,
    /,
    pipe: str,  # noqa: ARG001 - `places` has it
    places: WhereOptions,
    decoding: DecodeOptions,
    recording: RecordOptions,
    faulty: RelayFaultOptions,
    made: ListenOptions,
    stop_after: "StopAfter",
    view: View,
    opening: TargetOptions,
    show: tuple[str, ...],
    full: bool,
    timing: bool,
) -> None:
    """Show what clients and a server say to each other, decoded, and record it.

    Listens on a second name, PIPE-tap, and opens PIPE for each client that comes there; messages and ends are passed on
    unchanged. Clients must be told the second name. With --to it is the server that has another name.

    For your own programs: what you may not read, you may not tap. Nothing raises rights, and the server sees pipectl as
    its client. Secrets that the codec knows are masked on the screen and in recordings.
    """
    from pipectl.core.traffic.relay import Relay, RelayConfig
    from pipectl.core.traffic.targets import Opening
    from pipectl.output.frames import FrameView, Story, Wanted
    from pipectl.output.taplog import TapLog

    security = made.access.security()
    made = like_target(output, *places, made, security, expects=opening.expect is not None)
    header = header_for(places.listen.name, places.target.name, decoding, is_message=bool(made.is_message))
    story = Story(FrameView(view, full), Wanted(show), is_message=header.is_message)
    codec = decoding.codec_of(places.target.name)
    hint = codec.hint if decoding.is_auto else ""
    with ExitStack() as stack:
        stack.enter_context(output.live())
        records = stack.enter_context(recording.records(header, codec.wireshark))
        events = TapLog(
            output,
            announce=lambda relay: _announce(output, made, security, relay, hint, faulty.faults),
            observe=observing(records, places.target.name, decoding),
            story=story,
            header=header,
            shows=not recording.takes_stdout or output.path is not None,
        )
        stack.callback(events.summarize)
        config = RelayConfig(
            pipe=made.config(security),
            opening=Opening(opening.timeout, **opening.opening()),
            stop_after=stop_after,
        )
        config = faulty.disturb(config, events.faulted)
        relay = stack.enter_context(Relay(*places, events=events, config=config))
        stack.callback(events.stop_waiting)
        relay.wait()
    if timing:
        output.data.records(story.times(), ("request", "replies", "median", "longest"))
    if stop_after.clients == 1:
        events.check()


def _announce(
    output: Output, made: ListenOptions, security: "PipeSecurity", relay: "Relay", hint: str, faults: "Faults | None"
) -> None:
    name, kind = relay.place.name, "message" if made.is_message else "byte"
    who = f"access: {', '.join(security.admitted())}{'' if made.access.allow_remote else '; no network'}"
    output.note(f"tapping {name} -> {relay.target_place} ({kind}, {who}); press Ctrl+C to stop")
    if hint:
        output.note(f"clients: {hint.format(path=name, url=name.replace(chr(92), '/'))}")
    announce_faults_and_access(output, faults, security)

"""`pipectl relay`: passes data between clients of one endpoint and connections to another."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.options import EXEC, OUTPUT, Option, UsageError, option, with_examples
from pipectl.options.behind import like_target
from pipectl.options.client import TargetOptions
from pipectl.options.passing import PASSED, PassingOptions, RelayFaultOptions
from pipectl.options.record import DecodeOptions, RecordOptions, header_for, observing
from pipectl.options.server import (
    ExecCommand,
    ListenOptions,
    RelayEndOptions,
    announce_faults_and_access,
    log_file_option,
)
from pipectl.options.types import PLACE
from pipectl.output import Output

if TYPE_CHECKING:
    from pipectl.core.pipe.config import StopAfter
    from pipectl.core.security.descriptors import PipeSecurity
    from pipectl.core.traffic.faults import Faults
    from pipectl.core.traffic.places import Place
    from pipectl.core.traffic.relay import Relay, RelayConfig
    from pipectl.output.relaylog import RelayLog


class PlacesOptions(NamedTuple):
    """The two endpoints of a relay."""

    listen: "Place"
    target: "Place"

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return LISTEN, TARGET and `--exec`."""
        return [
            click.Argument(["listen"], type=PLACE, metavar="LISTEN"),
            click.Argument(["target"], nargs=-1, type=click.UNPROCESSED, metavar="[TARGET | --exec PROGRAM [ARGS]...]"),
            Option(
                [EXEC, "execute"],
                is_flag=True,
                section=PASSED,
                help="Run PROGRAM ARGS for each client instead of connecting to TARGET, without a shell. Its stdin and "
                "stdout are the connection; PIPECTL_CLIENT_PID, _EXE, _USER and _SESSION identify the client.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "PlacesOptions":
        """Return both endpoints; raises UsageError for a pair that cannot be connected."""
        from pipectl.core.traffic.places import Kind, Place, is_loopback

        listen, rest = params["listen"], params["target"]
        if params["execute"]:
            if not rest:
                raise click.UsageError("`--exec` needs a PROGRAM")
            return cls(listen, Place(Kind.PROGRAM, rest[0], arguments=rest))
        if len(rest) != 1:
            raise UsageError("relay connects one LISTEN with one TARGET", "Write `pipectl relay LISTEN TARGET`")
        target = PLACE.convert(rest[0], None, None)
        if listen.is_same(target):
            raise UsageError(
                "the relay would connect to itself: LISTEN and TARGET are the same place", "Name two places"
            )
        if listen.kind is Kind.TCP and not is_loopback(listen):
            raise UsageError(
                f"`{listen}`: other computers could connect, and pipectl cannot check who they are",
                f"Listen on this computer only: `tcp:{listen.port}`",
            )
        if listen.kind is not Kind.PIPE and params["allow_remote"]:
            raise click.UsageError(f"`--allow-remote` needs a pipe as LISTEN; `{listen}` accepts this computer alone")
        if target.kind is Kind.TCP and not target.port:
            raise click.UsageError(f"`{target}`: port 0 cannot be connected to")
        return cls(listen, target)


@with_examples(
    ("pipectl relay tcp:2375 docker_engine", "Give programs that support only TCP access to a pipe."),
    ("pipectl relay svc tcp:127.0.0.1:4444", "Give programs that support only pipes access to a TCP server."),
    ("pipectl relay svc --exec ssh host cat", "Run a program for each client, connected to its stdin and stdout."),
    cls=ExecCommand,
    groups={
        "places": PlacesOptions,
        "passing": PassingOptions,
        "faulty": RelayFaultOptions,
        "made": ListenOptions,
        "opening": TargetOptions,
        "stop_after": RelayEndOptions,
        "decoding": DecodeOptions,
        "recording": RecordOptions,
    },
)
@option(
    "--log",
    type=click.Choice(["clients", "none"]),
    default="clients",
    show_default=True,
    section=OUTPUT,
    help="What to log: clients that connect and leave, with the amount of data, or nothing.",
)
@log_file_option
@click.pass_obj
def command(
    output: Output,
    /,
    places: PlacesOptions,
    passing: PassingOptions,
    faulty: RelayFaultOptions,
    made: ListenOptions,
    opening: TargetOptions,
    stop_after: "StopAfter",
    decoding: DecodeOptions,
    recording: RecordOptions,
    log: str,
) -> None:
    """Pass data between pipes, TCP ports, programs and stdio.

    Listens on LISTEN and opens a connection to TARGET for each client. Both can be a pipe (NAME or pipe:NAME),
    tcp:PORT, tcp:HOST:PORT, or - for stdin and stdout. Message boundaries, empty messages and the end of each direction
    are preserved where both sides support them. By default, only the current user, administrators and SYSTEM can
    connect to LISTEN, also over TCP.

    A client's connection to TARGET is opened when its first data arrives, or after 50 ms. If TARGET is a pipe, it is
    also opened once at the start, to find out its type and its ACL.
    """
    from pipectl.core.traffic.relay import Relay

    recording.check(decoding, stdout_is_taken=_has_stdio(places))
    security = made.access.security()
    made = like_target(output, *places, made, security, expects=opening.expect is not None, frames=passing.frames)
    single = stop_after.clients == 1 or _has_stdio(places)
    log_goes_to_stdout = log != "none" and not (recording.takes_stdout or _has_stdio(places))
    with ExitStack() as stack:
        stack.enter_context(output.live())
        events = _log(
            stack,
            places,
            decoding,
            recording,
            is_message=bool(made.is_message),
            output=output,
            announce=partial(_announce, output, made, security, faulty.faults),
            access=security.in_words,
            clients=log_goes_to_stdout or (log != "none" and output.path is not None),
        )
        stack.callback(events.summarize)
        relay = Relay(
            *places,
            events=events,
            config=faulty.disturb(_config(passing, made, security, opening, stop_after), events.faulted),
            environment=events.environment,
        )
        stack.enter_context(relay)
        stack.callback(events.stop_waiting)
        relay.wait()
    if single:
        events.check()


def _log(
    stack: ExitStack,
    places: PlacesOptions,
    decoding: DecodeOptions,
    recording: RecordOptions,
    *,
    is_message: bool,
    **options: Any,
) -> "RelayLog":
    """Return the log of a relay, which also records the data if the options say so."""
    from pipectl.core.traffic.places import Kind
    from pipectl.output.recordlog import RecordingLog
    from pipectl.output.relaylog import RelayLog

    if not recording.is_wanted:
        return RelayLog(**options)
    pipe = places.target.name if places.target.kind is Kind.PIPE else places.listen.name
    is_message = is_message and places.listen.kind is Kind.PIPE
    header = header_for(str(places.listen), str(places.target), decoding, is_message=is_message)
    records = stack.enter_context(recording.records(header, decoding.codec_of(pipe).wireshark))
    return RecordingLog(observe=observing(records, pipe, decoding), **options)


def _has_stdio(places: PlacesOptions) -> bool:
    from pipectl.core.traffic.places import Kind

    return Kind.STDIO in (places.listen.kind, places.target.kind)


def _config(
    passing: PassingOptions,
    made: ListenOptions,
    security: "PipeSecurity",
    opening: TargetOptions,
    stop_after: "StopAfter",
) -> "RelayConfig":
    from pipectl.core.inventory.callers import Admission
    from pipectl.core.traffic.relay import RelayConfig
    from pipectl.core.traffic.targets import Opening

    return RelayConfig(
        pipe=made.config(security),
        opening=Opening(opening.timeout, **opening.opening()),
        stop_after=stop_after,
        is_eager=passing.is_eager,
        half_closes=passing.half_closes,
        linger=passing.linger,
        client_idle=passing.client_idle,
        admit=Admission(security),
        filters=passing.filters(made.max_message),
    )


def _announce(
    output: Output, made: ListenOptions, security: "PipeSecurity", faults: "Faults | None", relay: "Relay"
) -> None:
    from pipectl.core.traffic.places import Kind

    who = f"access: {', '.join(security.admitted())}"
    match relay.place.kind:
        case Kind.PIPE:
            kind = "message" if made.is_message else "byte"
            network = "" if made.access.allow_remote else "; no network"
            facts = f" ({kind}, {who}{network})"
        case Kind.TCP:
            facts = f" ({who})"
        case _:
            facts = ""
    target = relay.target_place
    shown = _program(target.arguments) if target.kind is Kind.PROGRAM else str(target)
    output.note(f"relaying {relay.place}{facts} to {shown}; press Ctrl+C to stop")
    announce_faults_and_access(output, faults, security)
    if target.kind is Kind.PROGRAM:
        from pipectl.output.programs import warn_if_missing

        warn_if_missing(output, target.arguments[0])


def _program(arguments: tuple[str, ...]) -> str:
    from subprocess import list2cmdline

    return f"the program {list2cmdline(arguments)}"

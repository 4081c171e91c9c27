"""The options of servers: who may connect, how the pipe is created, and when the server exits."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.core.constants import BUFFER_SIZE, MAX_MESSAGE, UNLIMITED_INSTANCES, OpenMode, size_text
from pipectl.output import Output

from . import EXEC, OUTPUT, WHO, Command, Option, option
from .types import DURATION, FILE, SIZE

if TYPE_CHECKING:
    from pipectl.core.pipe.config import PipeConfig, StopAfter
    from pipectl.core.security.descriptors import PipeSecurity
    from pipectl.core.traffic.faults import Faults

_PIPE = "Pipe"
FAULTS = "Faults"
_END = "When to exit"
_DIRECTIONS = {"in": OpenMode.INBOUND, "out": OpenMode.OUTBOUND, "duplex": OpenMode.DUPLEX}


class ExecCommand(Command):
    """Leaves everything after `--exec` to the program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert `--` after `--exec` if the user left it out."""
        if EXEC in args:
            end = args.index(EXEC) + 1
            args = [*args[:end], *([] if args[end : end + 1] == ["--"] else ["--"]), *args[end:]]
        return super().parse_args(ctx, args)


def _append_to(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        output = ctx.ensure_object(Output)
        output.path, output.appends = value, True


def log_file_option(function: Any) -> Any:
    """Add `--log-file` to a command's function."""
    return option(
        "--log-file",
        type=FILE,
        metavar="FILE",
        section=OUTPUT,
        expose_value=False,
        callback=_append_to,
        help="Append the log to this file, instead of writing it to stdout.",
    )(function)


class AccessOptions(NamedTuple):
    """Who may connect to a server."""

    allow: tuple[str, ...]
    allow_remote: bool

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--allow` and `--allow-remote`."""
        return [
            Option(
                ["--allow"],
                multiple=True,
                metavar="WHO",
                section=WHO,
                help="Grant access to: me, admins, users, everyone, appcontainer, an account or a SID; sddl:... sets "
                "the whole security descriptor. Can be repeated.  [default: me and admins]",
            ),
            Option(
                ["--allow-remote"],
                is_flag=True,
                section=WHO,
                help="Accept clients on other computers, which connect over SMB.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "AccessOptions":
        """Return who may connect."""
        return cls(params["allow"], params["allow_remote"])

    def security(self) -> "PipeSecurity":
        """Return the security descriptor of the pipe; raises UsageError if `--allow` is invalid."""
        from pipectl.core.security.descriptors import pipe_security

        try:
            return pipe_security(self.allow)
        except ValueError as error:
            raise click.UsageError(f"`--allow`: {error}") from None


class PipeOptions(NamedTuple):
    """How a server creates its pipe, and who may open it."""

    access: AccessOptions
    # None: chosen later, from the type of the target.
    is_message: bool | None
    max_instances: int | None
    buffer_size: int
    max_message: int
    max_memory: int
    direction: OpenMode

    @classmethod
    def type_options(cls) -> list[click.Parameter]:
        """Return `--type` and `--direction`."""
        return [
            Option(
                ["--type", "kind"],
                type=click.Choice(["message", "byte"]),
                default="message",
                show_default=True,
                section=_PIPE,
                help="Pipe type: separate messages, or a stream of bytes.",
            ),
            Option(
                ["--direction"],
                type=click.Choice(list(_DIRECTIONS)),
                default="duplex",
                show_default=True,
                section=_PIPE,
                help="Who can send: clients (in), the server (out), or both. With `out`, each client receives the "
                "greeting and the reply, and is disconnected.",
            ),
        ]

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options for the pipe and its access."""
        return [
            *cls.type_options(),
            Option(
                ["--instances"],
                type=click.IntRange(1, UNLIMITED_INSTANCES),
                default=UNLIMITED_INSTANCES,
                show_default=True,
                metavar="N",
                section=_PIPE,
                help="Maximum number of simultaneous clients (255 = unlimited).",
            ),
            Option(
                ["--buffer"],
                type=SIZE,
                default=size_text(BUFFER_SIZE),
                show_default=True,
                section=_PIPE,
                help="Pipe buffer size in each direction.",
            ),
            Option(
                ["--max-message"],
                type=SIZE,
                default=size_text(MAX_MESSAGE),
                show_default=True,
                section=_PIPE,
                help="Disconnect a client that sends a larger message.",
            ),
            Option(
                ["--max-memory"],
                type=SIZE,
                default="256m",
                show_default=True,
                section=_PIPE,
                help="Memory limit for the large messages of all clients together; beyond it, the largest ones wait.",
            ),
            *AccessOptions.parameters(),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "PipeOptions":
        """Return how to create the pipe."""
        access = AccessOptions.from_params(params)
        instances = None if params["instances"] == UNLIMITED_INSTANCES else params["instances"]
        return cls(
            access,
            None if params["kind"] == "auto" else params["kind"] == "message",
            instances,
            params["buffer"],
            params["max_message"],
            params["max_memory"],
            _DIRECTIONS[params.get("direction", "duplex")],
        )

    def config(self, security: "PipeSecurity") -> "PipeConfig":
        """Return the configuration for PipeServer, with the given security."""
        from pipectl.core.pipe.config import PipeConfig

        return PipeConfig(
            is_message=bool(self.is_message),
            max_instances=self.max_instances,
            buffer_size=self.buffer_size,
            max_message=self.max_message,
            max_memory=self.max_memory,
            security=security.attributes,
            allow_remote=self.access.allow_remote,
            direction=self.direction,
        )


class ListenOptions(PipeOptions):
    """How a relay creates its pipe: by default with the type of the target's pipe."""

    @classmethod
    def type_options(cls) -> list[click.Parameter]:
        """Return `--type`; a relay needs both directions."""
        return [
            Option(
                ["--type", "kind"],
                type=click.Choice(["auto", "message", "byte"]),
                default="auto",
                section=_PIPE,
                help="Pipe type: separate messages, or a stream of bytes.  [default: auto: as TARGET's pipe; else "
                "message]",
            )
        ]


class FaultOptions:
    """The faults of a server or relay: a `Faults`, or None without `--fault`."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--fault` and `--seed`."""
        return [
            Option(
                ["--fault", "faults"],
                multiple=True,
                metavar="NAME[=VALUE][@PROBABILITY]",
                section=FAULTS,
                help="Delay, damage or lose what is sent, to test the other end: delay=50ms, cut=10, drop@0.1, "
                "close=reset, mild, bad, terrible ...: `pipectl help faults`. Can be repeated.",
            ),
            Option(
                ["--seed"],
                type=int,
                metavar="N",
                section=FAULTS,
                help="Repeat the random choices of a run with this seed.  [default: a new one, which is printed]",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "Faults | None":
        """Return the faults; raises UsageError for one that does not exist."""
        if not params["faults"]:
            return None
        from pipectl.core.traffic.faults import Faults, parse

        try:
            faults = [fault for text in params["faults"] for fault in parse(text)]
        except ValueError as error:
            raise click.UsageError(f"`--fault`: {error}") from None
        return Faults(faults, seed_of(params))


def seed_of(params: Mapping[str, Any]) -> int:
    """Return `--seed`, or a random one."""
    seed: int | None = params["seed"]
    return int.from_bytes(os.urandom(4), "big") if seed is None else seed


class EndOptions:
    """When a server exits by itself: a StopAfter."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options for when to exit."""
        return [
            Option(["--once"], is_flag=True, section=_END, help="Exit after one client, like `--count 1`."),
            Option(
                ["-n", "--count"],
                type=click.IntRange(1),
                metavar="N",
                section=_END,
                help="Exit after N clients. A client that only opens the pipe and closes it does not count.",
            ),
            *cls.more(),
            Option(
                ["--idle-timeout"],
                type=DURATION,
                default="none",
                section=_END,
                help="Exit after this long without activity.  [default: none]",
            ),
        ]

    @classmethod
    def more(cls) -> list[click.Parameter]:
        """Return the options that only a server with answers has."""
        return [Option(["--messages"], type=click.IntRange(1), metavar="N", section=_END, help="Exit after N replies.")]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "StopAfter":
        """Return when to stop."""
        from pipectl.core.pipe.config import StopAfter

        clients = 1 if params["once"] else params["count"]
        return StopAfter(clients=clients, messages=params.get("messages"), idle=params["idle_timeout"])


class RelayEndOptions(EndOptions):
    """When a relay exits by itself."""

    @classmethod
    def more(cls) -> list[click.Parameter]:
        """Return nothing, because a relay has no answers of its own."""
        return []


def announce_faults_and_access(output: Output, faults: "Faults | None", security: "PipeSecurity") -> None:
    """Print which faults occur and who can connect, and warn if that is everyone."""
    if faults is not None:
        output.note(f"faults: {faults}; `--seed {faults.seed}` repeats them")
    for words in security.in_words():
        output.detail(f"access: {words}")
    if security.lets_everyone_in():
        output.warning("everyone can connect, including guests and services")

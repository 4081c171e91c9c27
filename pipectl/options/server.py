"""How a pipe is served: who may open it, how it is made, and when its server ends."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.core.constants import BUFFER_SIZE, MAX_MESSAGE, UNLIMITED_INSTANCES, OpenMode, size_text

from . import WHO, Option
from .types import DURATION, SIZE

if TYPE_CHECKING:
    from pipectl.core.pipe.config import PipeConfig, StopAfter
    from pipectl.core.security.descriptors import PipeSecurity

_PIPE = "The pipe"
_END = "When it ends"
_DIRECTIONS = {"in": OpenMode.INBOUND, "out": OpenMode.OUTBOUND, "duplex": OpenMode.DUPLEX}


class AccessOptions(NamedTuple):
    """Whom a server lets in."""

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
                help="Let them in: me, admins, users, everyone, appcontainer, an account, a SID, or sddl:... for the "
                "whole descriptor; may be repeated.  [default: me and admins]",
            ),
            Option(["--allow-remote"], is_flag=True, section=WHO, help="Let clients of other computers in."),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "AccessOptions":
        """Return who is let in."""
        return cls(params["allow"], params["allow_remote"])

    def security(self) -> "PipeSecurity":
        """Return the security of the pipe; raises UsageError for one that cannot be."""
        from pipectl.core.security.descriptors import pipe_security

        try:
            return pipe_security(self.allow)
        except ValueError as error:
            raise click.UsageError(f"`--allow`: {error}") from None


class PipeOptions(NamedTuple):
    """How a server makes its pipe, and who may open it."""

    access: AccessOptions
    is_message: bool
    max_instances: int | None
    buffer_size: int
    max_message: int
    max_memory: int
    direction: OpenMode

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options of the pipe, and those of who may open it."""
        return [
            Option(
                ["--type", "kind"],
                type=click.Choice(["message", "byte"]),
                default="message",
                show_default=True,
                section=_PIPE,
                help="Keep messages apart, or carry a stream of bytes.",
            ),
            Option(
                ["--direction"],
                type=click.Choice(list(_DIRECTIONS)),
                default="duplex",
                show_default=True,
                section=_PIPE,
                help="Who may send: clients (in), the server (out), or both. With `out`, each client is sent the "
                "greeting or the reply, and disconnected.",
            ),
            Option(
                ["--instances"],
                type=click.IntRange(1, UNLIMITED_INSTANCES),
                default=UNLIMITED_INSTANCES,
                show_default=True,
                metavar="N",
                section=_PIPE,
                help="Serve at most this many clients at once; 255 is no limit.",
            ),
            Option(
                ["--buffer"],
                type=SIZE,
                default=size_text(BUFFER_SIZE),
                show_default=True,
                section=_PIPE,
                help="Let Windows hold this many unread bytes in each direction.",
            ),
            Option(
                ["--max-message"],
                type=SIZE,
                default=size_text(MAX_MESSAGE),
                show_default=True,
                section=_PIPE,
                help="Refuse a longer message.",
            ),
            Option(
                ["--max-memory"],
                type=SIZE,
                default="256m",
                show_default=True,
                section=_PIPE,
                help="Limit for the long messages of all clients together; the largest wait.",
            ),
            *AccessOptions.parameters(),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "PipeOptions":
        """Return how to make the pipe."""
        access = AccessOptions.from_params(params)
        instances = None if params["instances"] == UNLIMITED_INSTANCES else params["instances"]
        return cls(
            access,
            params["kind"] == "message",
            instances,
            params["buffer"],
            params["max_message"],
            params["max_memory"],
            _DIRECTIONS[params["direction"]],
        )

    def config(self, security: "PipeSecurity") -> "PipeConfig":
        """Return the same as PipeServer takes it, with the security that `access` has made."""
        from pipectl.core.pipe.config import PipeConfig

        return PipeConfig(
            is_message=self.is_message,
            max_instances=self.max_instances,
            buffer_size=self.buffer_size,
            max_message=self.max_message,
            max_memory=self.max_memory,
            security=security.attributes,
            allow_remote=self.access.allow_remote,
            direction=self.direction,
        )


class EndOptions:
    """When a server ends by itself: a StopAfter."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options of the end."""
        return [
            Option(["--once"], is_flag=True, section=_END, help="End after one client: the same as `--count 1`."),
            Option(
                ["-n", "--count"],
                type=click.IntRange(1),
                metavar="N",
                section=_END,
                help="End after this many clients.",
            ),
            Option(
                ["--messages"], type=click.IntRange(1), metavar="N", section=_END, help="End after this many answers."
            ),
            Option(
                ["--idle-timeout"],
                type=DURATION,
                default="none",
                section=_END,
                help="End when nothing has happened for so long.  [default: none]",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "StopAfter":
        """Return when to stop."""
        from pipectl.core.pipe.config import StopAfter

        clients = 1 if params["once"] else params["count"]
        return StopAfter(clients=clients, messages=params["messages"], idle=params["idle_timeout"])

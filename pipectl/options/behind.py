"""Adapts a relay or a tap to the pipe of its target: takes its type, and warns about its server and its ACL."""

from typing import TYPE_CHECKING

from pipectl.output import Output

from .server import ListenOptions

if TYPE_CHECKING:
    from pipectl.core.security.descriptors import PipeSecurity
    from pipectl.core.traffic.places import Place

    from .passing import SideRules


def like_target(
    output: Output,
    listen: "Place",
    target: "Place",
    made: ListenOptions,
    security: "PipeSecurity",
    *,
    expects: bool,
    frames: "SideRules | None" = None,
) -> ListenOptions:
    """Return the options with the type of LISTEN set; warn if TARGET is not what a user would expect."""
    from pipectl.core.inventory.behind import beyond, look_behind
    from pipectl.core.traffic.places import Kind

    behind = look_behind(target.name) if target.kind is Kind.PIPE else None
    if behind and behind.stranger and not expects:
        output.warning(f"{target} is served by {behind.stranger}: check that with `--expect-user`")
    if behind and behind.security and (more := beyond(security, behind.security)):
        output.warning(f"{target}: {more}")
    if made.is_message is not None:
        return made
    if frames is not None and any(frames):
        return made._replace(is_message=frames.listen is None)
    if behind and behind.is_message is None and listen.kind is Kind.PIPE:
        output.note(f"the type of {target} is unknown, so {listen} is a message pipe: see `--type`")
    return made._replace(is_message=True if behind is None or behind.is_message is None else behind.is_message)

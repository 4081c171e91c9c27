"""Whom a server lets in."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from . import WHO, option

_F = TypeVar("_F", bound=Callable[..., Any])


class Allowing(NamedTuple):
    """Whom a server lets in."""

    who: tuple[str, ...]
    remote: bool

    def sddl(self) -> str:
        """Give the security descriptor of the pipe; raises UsageError for one that cannot be."""
        from pipectl.core.security.descriptors import sddl_for, security_attributes

        try:
            text = sddl_for(self.who, remote=self.remote)
            security_attributes(text)
        except ValueError as error:
            raise click.UsageError(f"`--allow`: {error}") from None
        return text


def allowing(function: _F) -> _F:
    """Add the options that say whom a server lets in; the function gets `allowing`."""

    @option(
        "--allow",
        multiple=True,
        metavar="WHO",
        section=WHO,
        help="Let them in: me, admins, users, everyone, appcontainer, an account, a SID, or sddl:... for the whole "
        "descriptor; may be repeated.  [default: me and admins]",
    )
    @option("--allow-remote", is_flag=True, section=WHO, help="Let clients of other computers in.")
    @functools.wraps(function)
    def command(*arguments: Any, allow: tuple[str, ...], allow_remote: bool, **options: Any) -> Any:
        return function(*arguments, allowing=Allowing(allow, allow_remote), **options)

    return command  # type: ignore[return-value]

"""How a client command opens a pipe, whom it expects there, and what it takes for a reply."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from . import CONNECTION, REPLY, option
from .types import DURATION, SIZE, UNTIL

if TYPE_CHECKING:
    from pipectl.core.deadline import Deadline
    from pipectl.core.pipe.connection import Connection
    from pipectl.core.pipe.framing import Until
    from pipectl.core.win32.handle import Handle

_O = TypeVar("_O", bound="Connection | Handle")
_F = TypeVar("_F", bound=Callable[..., Any])


class Opening(NamedTuple):
    """How a command opens a pipe, and whom it expects there."""

    timeout: float | None
    wait: str
    sqos: str
    expected: dict[str, Any]

    def deadline(self) -> "Deadline":
        """Start the clock of a whole operation."""
        from pipectl.core.deadline import Deadline

        return Deadline(self.timeout)

    def handle(self, pipe: str) -> "Handle":
        """Open the pipe only to ask about it, with as few rights as it allows."""
        from pipectl.core.pipe.connection import TO_ASK, open_pipe

        return self._checked(open_pipe(pipe, self.deadline(), access=TO_ASK, **self._options()))

    def connection(self, pipe: str, deadline: "Deadline", **options: Any) -> "Connection":
        """Connect, and make sure that the server is the expected one before anything is sent."""
        from pipectl.core.pipe.connection import connect

        return self._checked(connect(pipe, deadline, **self._options(), **options))

    def _options(self) -> dict[str, Any]:
        from pipectl.core.constants import Sqos, Wait

        return {"wait": Wait(self.wait), "sqos": Sqos[self.sqos.upper()]}

    def _checked(self, opened: _O) -> _O:
        if any(expected is not None for expected in self.expected.values()):
            from pipectl.core.inventory.peers import check_server
            from pipectl.core.win32.handle import Handle

            try:
                check_server(opened if isinstance(opened, Handle) else opened.handle, **self.expected)
            except BaseException:
                opened.close()
                raise
        return opened


def opening_within(default_timeout: str) -> Callable[[_F], _F]:
    """Make a decorator that adds the options which say how a pipe is opened; the function gets `opening`."""

    def decorate(function: _F) -> _F:
        @option(
            "--timeout",
            type=DURATION,
            default=default_timeout,
            show_default=True,
            section=CONNECTION,
            help="Bound the whole operation; 0 does not wait, `none` waits for ever.",
        )
        @option(
            "--wait",
            type=click.Choice(["none", "free", "exists"]),
            default="free",
            show_default=True,
            section=CONNECTION,
            help="Wait for nothing, for a free instance of a busy pipe, or also for the pipe to exist.",
        )
        @option(
            "--sqos",
            type=click.Choice(["anonymous", "identification", "impersonation", "delegation"]),
            default="identification",
            show_default=True,
            section=CONNECTION,
            metavar="LEVEL",
            help="What the server may do in your name: anonymous, identification, impersonation or delegation.",
        )
        @option(
            "--expect-pid",
            type=int,
            metavar="PID",
            section=CONNECTION,
            help="Go on only if this process serves the pipe.",
        )
        @option(
            "--expect-exe",
            metavar="NAME",
            section=CONNECTION,
            help="Go on only if this program serves the pipe: its file name, or its full path.",
        )
        @option(
            "--expect-user",
            metavar="USER",
            section=CONNECTION,
            help="Go on only if this user runs the server: NAME, or DOMAIN\\NAME.",
        )
        @functools.wraps(function)
        def command(
            *arguments: Any,
            timeout: float | None,
            wait: str,
            sqos: str,
            expect_pid: int | None,
            expect_exe: str | None,
            expect_user: str | None,
            **options: Any,
        ) -> Any:
            expected = {"pid": expect_pid, "exe": expect_exe, "user": expect_user}
            return function(*arguments, opening=Opening(timeout, wait, sqos, expected), **options)

        return command  # type: ignore[return-value]

    return decorate


opening = opening_within("5")


class Connecting(NamedTuple):
    """How a command opens a pipe, and what it takes for a reply."""

    opening: Opening
    max_message: int
    # None: what a byte pipe has without a choice. A message pipe needs no rule.
    until: "Until | None"

    def deadline(self) -> "Deadline":
        """Start the clock of a whole operation."""
        return self.opening.deadline()

    def open(self, pipe: str, deadline: "Deadline") -> "Connection":
        """Connect, and make sure that the server is the expected one before anything is sent."""
        return self.opening.connection(pipe, deadline, max_message=self.max_message)


def connecting(function: _F) -> _F:
    """Add what `opening` adds, and the options that say what a reply is; the function gets `connecting`."""

    @opening
    @option("--max-message", type=SIZE, default="64m", show_default=True, section=REPLY, help="Refuse a longer reply.")
    @option(
        "--until",
        type=UNTIL,
        section=REPLY,
        help="Where a reply ends on a byte pipe: newline, eof, idle:SECONDS, bytes:N or frame:u32le "
        "(u16 or u32, le or be).  [default: idle:0.2]",
    )
    @functools.wraps(function)
    def command(*arguments: Any, opening: Opening, max_message: int, until: "Until | None", **options: Any) -> Any:
        return function(*arguments, connecting=Connecting(opening, max_message, until), **options)

    return command  # type: ignore[return-value]

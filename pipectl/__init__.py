"""pipectl: a command-line tool and library for Windows named pipes.

`__all__` is the library; docs/library.md shows it at work. Each name is imported when it is used, so that
`import pipectl` costs nothing and works on any system.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core import win32pipe
    from .core.constants import Sqos, Wait
    from .core.errors import (
        CheckFailedError,
        CodecError,
        ConnectionUnusableError,
        FrameError,
        InvalidPipeNameError,
        MessageTooLongError,
        MismatchError,
        OperationAbortedError,
        PartialResultError,
        PeerMismatchError,
        PipeAccessError,
        PipeBusyError,
        PipeClosedError,
        PipeError,
        PipeNotFoundError,
        PipeStateError,
        PipeTimeoutError,
        ProgramNotFoundError,
        RecordingError,
        RulesError,
        UnsupportedError,
    )
    from .core.inventory.peers import Expected
    from .core.names import full_name
    from .core.pipe.client import Client
    from .core.pipe.config import PipeConfig, StopAfter
    from .core.pipe.connection import Connection, Reply, connect
    from .core.pipe.contract import LATER, ServerEvents
    from .core.pipe.frames import Framing
    from .core.pipe.framing import parse as parse_framing
    from .core.pipe.server import PipeServer
    from .core.security.descriptors import pipe_security

__version__ = "0.1.0"

__all__ = [
    "LATER",
    "CheckFailedError",
    "Client",
    "CodecError",
    "Connection",
    "ConnectionUnusableError",
    "Expected",
    "FrameError",
    "Framing",
    "InvalidPipeNameError",
    "MessageTooLongError",
    "MismatchError",
    "OperationAbortedError",
    "PartialResultError",
    "PeerMismatchError",
    "PipeAccessError",
    "PipeBusyError",
    "PipeClosedError",
    "PipeConfig",
    "PipeError",
    "PipeNotFoundError",
    "PipeServer",
    "PipeStateError",
    "PipeTimeoutError",
    "ProgramNotFoundError",
    "RecordingError",
    "Reply",
    "RulesError",
    "ServerEvents",
    "Sqos",
    "StopAfter",
    "UnsupportedError",
    "Wait",
    "connect",
    "full_name",
    "parse_framing",
    "pipe_security",
    "win32pipe",
]

# Where a name comes from; an error comes from `core.errors`.
_HOMES = {
    "LATER": "pipe.contract",
    "Client": "pipe.client",
    "Connection": "pipe.connection",
    "Expected": "inventory.peers",
    "Framing": "pipe.frames",
    "PipeConfig": "pipe.config",
    "PipeServer": "pipe.server",
    "Reply": "pipe.connection",
    "ServerEvents": "pipe.contract",
    "Sqos": "constants",
    "StopAfter": "pipe.config",
    "Wait": "constants",
    "connect": "pipe.connection",
    "full_name": "names",
    "pipe_security": "security.descriptors",
}


if not TYPE_CHECKING:  # for which the names above are all that there are

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "win32pipe":
            value: Any = import_module(".core.win32pipe", __name__)
        elif name == "parse_framing":
            value = import_module(".core.pipe.framing", __name__).parse
        else:
            value = getattr(import_module(f".core.{_HOMES.get(name, 'errors')}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

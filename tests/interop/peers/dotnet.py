"""Pipe ends of .NET's System.IO.Pipes in a Python process: pythonnet runs the .NET Core from a package."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pythonnet
from clr_loader import get_coreclr
from clr_loader.util.runtime_spec import DotnetCoreRuntimeSpec


def _load() -> tuple[Any, Any]:
    spec = find_spec("dotnetcore2")
    assert spec is not None
    assert spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0]) / "bin"
    (framework,) = (root / "shared").iterdir()
    (version,) = framework.iterdir()
    runtime = DotnetCoreRuntimeSpec(framework.name, version.name, version)
    pythonnet.load(get_coreclr(runtime_spec=runtime, dotnet_root=root))
    import clr  # it would load another .NET if it were imported first

    clr.AddReference("System.IO.Pipes")
    import System

    return clr, System


CLR, SYSTEM = _load()
PIPES = SYSTEM.IO.Pipes

_CHUNK = 65536
# The time limit of one operation, so that none can hang. A synchronous one ends when the other end closes.
_TIMEOUT_MS = 20_000


def empty(size: int) -> Any:
    """Return a .NET array of this size."""
    return SYSTEM.Array.CreateInstance(SYSTEM.Byte, size)


def array(data: bytes) -> Any:
    """Return the bytes as a .NET array."""
    copy = empty(len(data))
    if data:
        memoryview(copy)[:] = data
    return copy


class End:
    """One end of a pipe: a NamedPipeServerStream or a NamedPipeClientStream, used synchronously or asynchronously.

    `mode` and the names in `options`, `direction` and `level` are members of the .NET enumerations.
    """

    def __init__(self, stream: Any, mode: str, options: str) -> None:
        self.stream = stream
        self.is_message = mode == "Message"
        self.is_async = "Asynchronous" in options

    @classmethod
    def server(cls, pipe: str, mode: str, options: str = "None", instances: int = -1) -> "End":
        """Create an instance of a pipe."""
        stream = PIPES.NamedPipeServerStream(
            _short(pipe),
            PIPES.PipeDirection.InOut,
            instances,
            getattr(PIPES.PipeTransmissionMode, mode),
            _options(options),
            _CHUNK,
            _CHUNK,
        )
        return cls(stream, mode, options)

    @classmethod
    def client(
        cls,
        pipe: str,
        mode: str,
        options: str = "None",
        level: str = "None",
        direction: str = "InOut",
        timeout: int = _TIMEOUT_MS,
    ) -> "End":
        """Connect to a pipe within a number of milliseconds."""
        stream = PIPES.NamedPipeClientStream(
            ".",
            _short(pipe),
            getattr(PIPES.PipeDirection, direction),
            _options(options),
            getattr(SYSTEM.Security.Principal.TokenImpersonationLevel, level),
        )
        try:
            stream.Connect(timeout)
            if mode == "Message":
                stream.ReadMode = PIPES.PipeTransmissionMode.Message
        except BaseException:
            stream.Dispose()
            raise
        return cls(stream, mode, options)

    def accept(self) -> None:
        """Wait for a client."""
        if self.is_async:
            self._result(self.stream.WaitForConnectionAsync())
        else:
            self.stream.WaitForConnection()

    def read(self, size: int) -> tuple[bytes, bool | None]:
        """Return the data of one read, and in message mode IsMessageComplete.

        There is no data at the end, and for a message of length zero. `is_connected` distinguishes them, unless an
        asynchronous read was pending when the other end closed.
        """
        buffer = empty(size)
        if self.is_async:
            count = self._result(self.stream.ReadAsync(buffer, 0, size))
        else:
            count = self.stream.Read(buffer, 0, size)
        return bytes(memoryview(buffer)[:count]), self.stream.IsMessageComplete if self.is_message else None

    def write(self, data: bytes) -> None:
        """Write bytes, as one message on a message pipe."""
        if self.is_async:
            self._result(self.stream.WriteAsync(array(data), 0, len(data)))
        else:
            self.stream.Write(array(data), 0, len(data))

    def receive(self) -> bytes | None:
        """Return a whole message, or on a byte pipe the available data; None at the end.

        An asynchronous end treats a message of length zero as the end, like .NET programs.
        """
        data = b""
        while True:
            piece, is_complete = self.read(_CHUNK)
            if not piece and (self.is_async or not self.is_connected()):
                return None
            data += piece
            if is_complete in (None, True):
                return data

    def exchange(self, data: bytes) -> bytes:
        """Write bytes and read as many."""
        self.write(data)
        answer = b""
        while len(answer) < len(data) and (piece := self.receive()) is not None:
            answer += piece
        return answer

    def echo(self, size: int) -> None:
        """Echo `size` bytes, or until the other end closes."""
        while size > 0 and (data := self.receive()) is not None:
            self.write(data)
            size -= len(data)

    def is_connected(self) -> bool:
        """Return whether no operation has noticed that the other end is closed."""
        return bool(self.stream.IsConnected)

    def drain(self) -> None:
        """Wait until the other end has read everything."""
        self.stream.WaitForPipeDrain()

    def disconnect(self) -> None:
        """Disconnect the client of a server."""
        self.stream.Disconnect()

    def close(self) -> None:
        """Close the handle."""
        self.stream.Dispose()

    @staticmethod
    def _result(task: Any) -> Any:
        if not task.Wait(_TIMEOUT_MS):
            raise TimeoutError
        return getattr(task, "Result", None)


def _short(pipe: str) -> str:
    return pipe.rpartition("\\")[2]


def _options(names: str) -> Any:
    combined = PIPES.PipeOptions(0)
    for name in names.split(","):
        combined |= getattr(PIPES.PipeOptions, name)
    return combined

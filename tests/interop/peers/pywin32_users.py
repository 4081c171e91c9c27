"""Programs that use packages based on pywin32: `pywin32_users.py pywin32|pipectl PROGRAM ...` prints the results.

With `pipectl`, they import `pipectl.win32pipe` as pywin32.
"""

import runpy
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

if sys.argv[1] == "pipectl":
    from pipectl import win32pipe

    win32pipe.install()


def twisted(program: str) -> None:
    """Run a child, send it a line, close its stdin, and print what it writes and how it ends."""
    from twisted.internet import protocol, reactor

    loop: Any = reactor

    class Child(protocol.ProcessProtocol):  # type: ignore[misc]
        def connectionMade(self) -> None:
            transport: Any = self.transport
            transport.write(b"hello\r\n" * 1000)
            transport.closeStdin()

        def outReceived(self, data: bytes) -> None:
            heard.extend(data)

        def errReceived(self, data: bytes) -> None:
            print("stderr", data)

        def processEnded(self, reason: Any) -> None:
            print("ended", reason.value.exitCode)
            loop.stop()

    heard = bytearray()
    loop.spawnProcess(Child(), sys.executable, [sys.executable, "-c", program], env=None)
    loop.run()
    print(len(heard), bytes(heard[:7]))


def rpyc_server(name: str) -> None:
    """Serve one client, which calls functions and whose functions are called."""
    import rpyc
    from rpyc.core.stream import NamedPipeStream

    class Service(rpyc.Service):  # type: ignore[misc]
        def exposed_add(self, one: int, two: int) -> int:
            return one + two

        def exposed_each(self, function: Any, count: int) -> list[Any]:
            return [function(number) for number in range(count)]

        def exposed_long(self, data: bytes) -> bytes:
            return data[::-1]

    stream = NamedPipeStream.create_server(name, connect=False)
    print("listening", flush=True)
    stream.connect_server()
    rpyc.utils.factory.connect_stream(stream, service=Service).serve_all()
    print("the client has left")


def rpyc_client(name: str) -> None:
    import pywintypes
    import rpyc
    from rpyc.core.stream import NamedPipeStream

    connection = rpyc.utils.factory.connect_stream(NamedPipeStream.create_client(name))
    root = connection.root
    data = bytes(range(256)) * 400
    print(root.add(2, 3), list(root.each(lambda number: number * number, 20))[-1], root.long(data) == data[::-1])
    try:
        root.each(None, 1)
    except TypeError as error:
        print("TypeError", "'NoneType' object is not callable" in str(error))
    # rpyc sends a last message; the server may already have exited.
    with suppress(pywintypes.error):
        connection.close()


def web3() -> None:
    """Send two requests to this computer's node, and one that it rejects."""
    from web3 import IPCProvider, Web3

    node = Web3(IPCProvider(timeout=20))
    print(node.is_connected(), node.eth.block_number, len(node.client_version))
    try:
        node.eth.get_balance("0x" + "0" * 40)
    except Exception as error:  # noqa: BLE001 - any exception is a result
        print(type(error).__name__)


def demo(*words: str) -> None:
    """Run pywin32's client of its demo service, which prints the result of each call."""
    import win32

    path = Path(next(iter(win32.__path__))) / "Demos" / "service" / "pipeTestServiceClient.py"
    sys.argv[:] = [str(path), *words]
    runpy.run_path(str(path), run_name="__main__")


if __name__ == "__main__":
    globals()[sys.argv[2]](*sys.argv[3:])

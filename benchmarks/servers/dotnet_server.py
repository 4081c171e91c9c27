"""An echo server on .NET's NamedPipeServerStream, used asynchronously: `dotnet_server.py PIPE`.

A client is echoed by `CopyToAsync`, from its pipe to its pipe, so that Python runs only when a client connects.
"""

import sys

from tests.interop.peers.dotnet import End

copies = []
while True:
    end = End.server(sys.argv[1], "Message", "Asynchronous")
    end.stream.WaitForConnection()
    copies.append(end.stream.CopyToAsync(end.stream))

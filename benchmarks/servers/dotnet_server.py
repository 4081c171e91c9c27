"""An echo server on .NET's NamedPipeServerStream, used asynchronously: `dotnet_server.py PIPE`.

`CopyToAsync` copies from a client's pipe to the same pipe, so that Python code only runs when a client connects.
"""

import sys

from tests.interop.peers.dotnet import End

copies = []
while True:
    end = End.server(sys.argv[1], "Message", "Asynchronous")
    end.stream.WaitForConnection()
    copies.append(end.stream.CopyToAsync(end.stream))

"""HTTP exchanges over one pipectl connection: `http_client.py PIPE`."""

import sys

from worker import run

from pipectl import Wait, connect

REQUEST = (
    b"GET /v1.47/containers/json?all=1 HTTP/1.1\r\nHost: docker\r\nUser-Agent: benchmark/1.0\r\n"
    b"Accept-Encoding: identity\r\nAccept: */*\r\n\r\n"
)
pipe = connect(sys.argv[1], 10, wait=Wait.EXISTS)


def exchange() -> None:
    """Send a request, and receive the whole response."""
    pipe.send(REQUEST, 5)
    if not pipe.receive(5).startswith(b"HTTP/1.1 200"):
        raise AssertionError


run({"http": exchange})

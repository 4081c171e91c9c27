"""`multiprocessing.connection`: `multiprocessing_client.py PIPE`."""

import sys
from multiprocessing.connection import Client

from worker import CHUNK, exchanges, run

pipe = sys.argv[1]
echo, sink = Client(pipe, "AF_PIPE"), Client(f"{pipe}-sink", "AF_PIPE")


def exchange(data: bytes) -> bytes:
    echo.send_bytes(data)
    return echo.recv_bytes()


run({**exchanges(exchange), "write_64k": lambda: sink.send_bytes(CHUNK)})

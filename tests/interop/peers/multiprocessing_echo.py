"""An echo server and its client on `multiprocessing.connection`: `multiprocessing_echo.py serve|call PIPE`."""

import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Client, Listener
from typing import Any

_SIZES = (0, 1, 65536, 1 << 20)


def serve(pipe: str) -> None:
    listener = Listener(pipe, "AF_PIPE")
    while True:
        # The listener's own race: a client that connected and left before `accept`.
        with suppress(OSError):
            threading.Thread(target=echo, args=(listener.accept(),), daemon=True).start()


def echo(connection: Any) -> None:
    with connection, suppress(EOFError):
        while True:
            data = connection.recv_bytes()
            connection.send_bytes(data)
            if data == b"bye":
                break


def call(pipe: str) -> None:
    connections = [Client(pipe, "AF_PIPE") for _ in range(10)]
    for number, connection in enumerate(connections):
        connection.send_bytes(b"%d" % number)
    for number, connection in enumerate(connections):
        assert connection.recv_bytes() == b"%d" % number
    for size in _SIZES:
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        assert exchange(connections[0], data) == data, size
    assert exchange(connections[0], b"bye") == b"bye"
    with suppress(EOFError):
        raise AssertionError(connections[0].recv_bytes())


def exchange(connection: Any, data: bytes) -> Any:
    connection.send_bytes(data)
    return connection.recv_bytes()


if __name__ == "__main__":
    (serve if sys.argv[1] == "serve" else call)(sys.argv[2])

"""pipectl's Connection, with a deadline on everything: `pipectl_client.py PIPE`."""

import sys

from worker import CHUNK, SMALL, exchanges, run

from pipectl.core.connection import Wait, connect

pipe = sys.argv[1]
echo = connect(pipe, 10, wait=Wait.EXISTS)
sink = connect(f"{pipe}-sink", 10, wait=Wait.EXISTS)


def exchange(data: bytes) -> None:
    echo.send(data, 5)
    if len(echo.receive(5)) != len(data):
        raise AssertionError


def open_transact_close() -> None:
    with connect(pipe, 5) as connection:
        connection.request(SMALL, 5)


run(
    {
        **exchanges(exchange),
        "transact_64": lambda: echo.request(SMALL, 5),
        "open_transact_close": open_transact_close,
        "write_64k": lambda: sink.send(CHUNK, 5),
    }
)

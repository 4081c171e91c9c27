"""pipectl's Connection, with a deadline on everything: `pipectl_client.py PIPE`.

`pipectl_client.py PIPE into` receives into its own memory, like the program in C.
"""

import sys
from functools import partial

from worker import CHUNK, LARGE, SMALL, exchanges, run

from pipectl import Wait, connect

pipe = sys.argv[1]
echo = connect(pipe, 10, wait=Wait.EXISTS)
sink = connect(f"{pipe}-sink", 10, wait=Wait.EXISTS)


memory = bytearray(len(LARGE)) if sys.argv[2:] == ["into"] else None


def exchange(data: bytes) -> None:
    echo.send(data, 5)
    size = len(echo.receive(5)) if memory is None else echo.receive_into(memory, 5)
    if size != len(data):
        raise AssertionError


def open_transact_close() -> None:
    with connect(pipe, 5) as connection:
        connection.transact(SMALL, 5)


run(
    {
        **exchanges(exchange),
        **{f"bytes_{size}": partial(exchange, bytes(size)) for size in (1 << power for power in range(6, 25, 3))},
        "transact_64": lambda: echo.transact(SMALL, 5),
        "open_transact_close": open_transact_close,
        "write_64k": lambda: sink.send(CHUNK, 5),
    }
)

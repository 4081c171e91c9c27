"""Many clients in one process: `soak_client.py PIPE CLIENTS MESSAGES` prints the number of correct replies.

Each message contains the client, a number, a checksum, and random bytes of varying length. Several are pending on each
connection, and each reply must be the echo of the oldest of them.
"""

import random
import struct
import sys
import zlib
from contextlib import ExitStack

from pipectl.core.pipe.connection import connect

HEAD = struct.Struct("<IIi")
UNDER_WAY = 4
PATIENCE = 60


def message(client: int, number: int, noise: bytes) -> bytes:
    body = noise[: (client * 7919 + number * 104_729) % len(noise)]
    return HEAD.pack(client, number, zlib.crc32(body) - (1 << 31)) + body


def main(pipe: str, clients: int, messages: int) -> None:
    noise = random.Random(clients).randbytes(300)
    right = 0
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(pipe, PATIENCE)) for _ in range(clients)]
        for first in range(0, messages // clients, UNDER_WAY):
            numbers = range(first, min(first + UNDER_WAY, messages // clients))
            for client, connection in enumerate(connections):
                for number in numbers:
                    connection.send(message(client, number, noise), PATIENCE)
            for client, connection in enumerate(connections):
                for number in numbers:
                    assert connection.receive(PATIENCE) == message(client, number, noise), (client, number)
                    right += 1
        assert not any(connection.peek().available for connection in connections)
    sys.stdout.write(f"{right}\n")


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

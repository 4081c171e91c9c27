"""asyncio's Proactor pipes: `asyncio_client.py PIPE`."""

import asyncio
import sys
import time
from typing import Any

from worker import CHUNK, LARGE, SMALL

_SIZES = {"write_read_64": SMALL, "write_read_64k": CHUNK, "write_read_1m": LARGE}


async def connect(pipe: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop: Any = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 21)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.create_pipe_connection(lambda: protocol, pipe)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def main(pipe: str) -> None:
    reader, writer = await connect(pipe)
    _, sink = await connect(f"{pipe}-sink")
    sink.transport.set_write_buffer_limits(0)
    for line in sys.stdin:
        name, count = line.split()
        begun = time.perf_counter()
        for _ in range(int(count)):
            if name == "write_64k":
                sink.write(CHUNK)
                await sink.drain()
            else:
                writer.write(_SIZES[name])
                await reader.readexactly(len(_SIZES[name]))
        print(time.perf_counter() - begun, flush=True)


asyncio.run(main(sys.argv[1]))

"""An echo server and its client on asyncio's Proactor pipes: `asyncio_echo.py serve|call PIPE`."""

import asyncio
import sys
from typing import Any

# No empty message: a stream treats it as the end.
_SIZES = (1, 65536, 1 << 20)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
        if data == b"bye":
            break
    writer.close()


async def serve(pipe: str) -> None:
    loop: Any = asyncio.get_running_loop()
    await loop.start_serving_pipe(lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), echo), pipe)
    await asyncio.Event().wait()


async def connect(pipe: str) -> Stream:
    loop: Any = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.create_pipe_connection(lambda: protocol, pipe)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def exchange(stream: Stream, data: bytes) -> bytes:
    reader, writer = stream
    writer.write(data)
    return await reader.readexactly(len(data))


async def call(pipe: str) -> None:
    streams = await asyncio.gather(*(connect(pipe) for _ in range(10)))
    answers = await asyncio.gather(*(exchange(stream, b"%d" % number) for number, stream in enumerate(streams)))
    assert answers == [b"%d" % number for number in range(10)]
    for size in _SIZES:
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        assert await exchange(streams[0], data) == data, size
    assert await exchange(streams[0], b"bye") == b"bye"
    assert await streams[0][0].read() == b""
    for _, writer in streams:
        writer.close()


if __name__ == "__main__":
    asyncio.run((serve if sys.argv[1] == "serve" else call)(sys.argv[2]))

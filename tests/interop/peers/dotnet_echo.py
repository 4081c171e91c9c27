"""An echo server and its client on .NET's System.IO.Pipes: `dotnet_echo.py serve|call PIPE Message|Byte OPTIONS`."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from dotnet import End

# No empty message: System.IO.Pipes does not write it.
_SIZES = (1, 65536, 1 << 20)


def serve(pipe: str, mode: str, options: str) -> None:
    while True:
        end = End.server(pipe, mode, options)
        end.accept()
        threading.Thread(target=echo, args=(end,), daemon=True).start()


def echo(end: End) -> None:
    while (data := end.receive()) is not None:
        end.write(data)
        if data == b"bye":
            break
    end.close()


def call(pipe: str, mode: str, options: str) -> None:
    ends = [End.client(pipe, mode, options) for _ in range(10)]
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda numbered: numbered[1].exchange(b"%d" % numbered[0]), enumerate(ends))
        assert list(answers) == [b"%d" % number for number in range(10)]
    for size in _SIZES:
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        assert ends[0].exchange(data) == data, size
    assert ends[0].exchange(b"bye") == b"bye"
    assert ends[0].receive() is None
    for end in ends:
        end.close()


if __name__ == "__main__":
    (serve if sys.argv[1] == "serve" else call)(*sys.argv[2:])

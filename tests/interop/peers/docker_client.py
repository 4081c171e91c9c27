"""A program that uses docker-py on a named pipe: `docker_client.py pywin32|pipectl PIPE` prints the results.

docker-py imports five pywin32 modules; with `pipectl`, these are `pipectl.win32pipe`.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

if sys.argv[1] == "pipectl":
    from pipectl import win32pipe

    win32pipe.install()

from docker import APIClient

MISSING = r"\\.\pipe\pipectl-test-missing"


def client(pipe: str, timeout: float = 20) -> Any:
    return APIClient("npipe://" + pipe.replace("\\", "/"), version="1.44", timeout=timeout)


def error_of(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    try:
        return ["none", function(*arguments)]
    except Exception as error:  # noqa: BLE001 - any exception is a result
        return [type(error).__name__, getattr(error, "winerror", None)]


def streamed(docker: Any) -> list[Any]:
    """Read the first event, make the server send the next, and so on."""
    events = docker.events(decode=True)
    read = []
    for _ in range(3):
        read.append(next(events))
        docker.ping()
    return [*read, *events]


def hijacked(docker: Any) -> list[str]:
    """Use the connection as a socket, like `docker exec -i`."""
    socket = docker.exec_start("an-exec", socket=True)
    heard = []
    for words in (b"one", b"two"):
        socket.sendall(words)
        heard.append(bytes(socket.recv(100)).decode())
    socket.close()
    return heard


def main(pipe: str) -> dict[str, Any]:
    docker = client(pipe)
    impatient = client(pipe, 0.3)
    with ThreadPoolExecutor(8) as pool:
        concurrent = list(pool.map(lambda number: docker.inspect_container(f"{number}")["Id"], range(100)))
    return {
        "ping": docker.ping(),
        "version": docker.version()["Version"],
        "streamed": streamed(docker),
        "long body": docker.containers()[0]["Id"] == "x" * 300_000,
        "long request": docker.put_archive("a-container", "/", b"y" * 300_000),
        "sequential": [docker.inspect_container(f"{number}")["Id"] for number in range(100)],
        "concurrent": concurrent,
        "not found": error_of(docker.inspect_image, "missing"),
        "timed out": error_of(impatient.info),
        "after the timeout": impatient.ping(),
        "hijacked": hijacked(docker),
        "absent": error_of(client(MISSING).ping),
    }


if __name__ == "__main__":
    json.dump(main(sys.argv[2]), sys.stdout)

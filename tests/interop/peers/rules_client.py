"""Clients of the servers in examples/rules: `rules_client.py docker|discord PIPE` prints the results as JSON."""

import json
import sys
from collections.abc import Callable
from typing import Any


def outcome(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - any exception is a result
        return {"failed": getattr(error, "status_code", None) or type(error).__name__}


def docker(pipe: str) -> dict[str, Any]:
    from docker import APIClient

    engine = APIClient("npipe://" + pipe.replace("\\", "/"), version="auto", timeout=20)
    containers = [outcome(engine.containers) for _ in range(3)]
    return {
        "ping": engine.ping(),
        "version": engine.version()["Version"],
        "containers": [*containers[:2], containers[2][0]["Names"]],
        "missing": outcome(lambda: engine.inspect_image("none")),
    }


def discord(pipe: str) -> dict[str, Any]:
    from pypresence import baseclient
    from pypresence.presence import Presence

    # It searches the list of all pipes, which Wine does not have.
    baseclient.get_ipc_path = lambda _pipe=None: pipe
    presence = Presence("123")
    presence.connect()
    updates = [outcome(lambda: presence.update(state="one")["data"]["state"]) for _ in range(2)]
    return {"updates": updates, "third": outcome(lambda: presence.update(state="three"))}


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"docker": docker, "discord": discord}[sys.argv[1]](sys.argv[2])))

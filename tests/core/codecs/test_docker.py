"""Docker's HTTP: the streams of attach and exec, errors, and the secrets in bodies."""

import pytest

from pipectl.core.codecs import guess
from pipectl.core.codecs.base import FrameKind

from .talks import C, S, decoded, keeps_its_promises, secrets_of, shown, wrapped
from .test_http import OK, UPGRADE, request, response

UPGRADED = response("101 UPGRADED", "Content-Type: application/vnd.docker.raw-stream", "Upgrade: tcp")
PARTS = b"\1\0\0\0\0\0\0\3hi\n\2\0\0\0\0\0\0\4oops"
ATTACH = [(C, UPGRADE), (S, UPGRADED), (C, b"in"), (S, PARTS)]
TAKEN_OVER = response("200 OK", "Content-Type: application/vnd.docker.multiplexed-stream")


def test_it_keeps_its_promises() -> None:
    create = request("POST", "Content-Length: 16", body='{"password":"x"}')
    keeps_its_promises(
        "docker", [(C, create), (S, OK)], ATTACH, [(C, request()), (S, TAKEN_OVER), (C, b"in"), (S, PARTS)]
    )


def test_a_ping_is_answered() -> None:
    assert wrapped("docker", b"GET /_ping") == b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"
    assert shown("docker", (C, wrapped("docker", b"GET /_ping")), (S, OK)) == [
        "request GET /_ping",
        "reply 200 OK, 2 bytes",
    ]


@pytest.mark.parametrize("head", [UPGRADED, response("101 UPGRADED", "Upgrade: tcp"), TAKEN_OVER])
def test_stdout_and_stderr_are_told_apart(head: bytes) -> None:
    frames = decoded("docker", (C, UPGRADE), (S, head), (C, b"in"), (S, PARTS[:5]), (S, PARTS[5:]))
    assert [(frame.kind, frame.side, frame.body) for frame in frames[2:]] == [
        (FrameKind.RAW, C, b"in"),
        (FrameKind.EVENT, S, b"hi\n"),
        (FrameKind.EVENT, S, b"oops"),
    ]
    assert [frame.fields for frame in frames[3:]] == [{"stream": "stdout"}, {"stream": "stderr"}]
    assert frames[4].summary == "stderr oops"


@pytest.mark.parametrize("data", [b"hi\n", b"\x1b[0m$ ", b"\1\2", b"\1\0\0"])
def test_a_terminal_is_raw(data: bytes) -> None:
    frames = decoded("docker", (C, UPGRADE), (S, UPGRADED), (S, data))
    assert [(frame.kind, frame.data) for frame in frames[2:]] == [(FrameKind.RAW, data)]


def test_another_protocol_after_an_upgrade_is_raw() -> None:
    frames = decoded("docker", (C, UPGRADE), (S, response("101 OK", "Upgrade: h2c")), (S, PARTS))
    assert [frame.kind for frame in frames[2:]] == [FrameKind.RAW]


def test_a_part_that_is_none_is_bad_and_the_rest_is_raw() -> None:
    frames = decoded("docker", (C, UPGRADE), (S, UPGRADED), (S, PARTS + b"\x09" * 20))
    assert [frame.kind for frame in frames[4:]] == [FrameKind.BAD, FrameKind.RAW]


def test_a_part_of_4_gib_takes_no_memory() -> None:
    frames = decoded("docker", (C, UPGRADE), (S, UPGRADED), (S, b"\1\0\0\0\xff\xff\xff\xffx"))
    assert [(frame.kind, len(frame.data)) for frame in frames[2:]] == [(FrameKind.BAD, 8), (FrameKind.RAW, 1)]


def test_an_error_has_its_message() -> None:
    body = '{"message":"No such image"}'
    missing = response("404 Not Found", f"Content-Length: {len(body)}", body=body)
    assert shown("docker", (C, request()), (S, missing))[1] == "error 404 Not Found: No such image"
    assert shown("docker", (C, request()), (S, missing.replace(b"message", b"MESSAGE")))[1] == (
        "error 404 Not Found, 27 bytes"
    )


@pytest.mark.parametrize("key", ["password", "auth", "identitytoken", "IdentityToken", "registrytoken", "JoinToken"])
def test_secrets_in_bodies_are_known(key: str) -> None:
    body = f'{{"{key}": "a\\"b", "name": "c"}}'
    (frame,) = decoded("docker", (C, request("POST", f"Content-Length: {len(body)}", "X-Registry-Auth: d", body=body)))
    assert secrets_of(frame) == [b"d", rb"a\"b"]


@pytest.mark.parametrize(
    "name", [r"\\.\pipe\docker_engine", r"\\.\pipe\dockerDesktopLinuxEngine", "podman-machine-default"]
)
def test_its_pipes_are_known(name: str) -> None:
    assert guess(name, C, b"").name == "docker"

"""The codec `docker`: HTTP as Docker and Podman use it, followed by the streams of attach and exec."""

import json
import re
from typing import TYPE_CHECKING

from .base import Frame, FrameKind, Side
from .http_ import Http
from .streamed import Broken, Steps, Stream, shortened

if TYPE_CHECKING:
    from .httphead import Head

_STREAMS = ("stdin", "stdout", "stderr", "systemerr")
_HEADER = 8
# Before version 1.42 of the API, multiplexed streams have the type of a raw stream, too.
_STREAM_TYPES = (b"application/vnd.docker.multiplexed-stream", b"application/vnd.docker.raw-stream")
_LONGEST_ERROR = 64 << 10
# JSON members with passwords and tokens. The end may be missing.
_SECRET = re.compile(
    rb'(?i)"(?:password|auth|identity_?token|registry_?token|(?:join)?token|unlockkey|secret)"\s*+:\s*+'
    rb'"((?:[^"\\]++|\\.)*+)',
    re.DOTALL,
)


class Docker(Http):
    """HTTP/1, and the parts of stdout and stderr that a server sends after attach and exec without a terminal."""

    name = "docker"
    title = "Docker Engine API: HTTP/1, with the streams of attach and exec"
    pipes = ("docker_engine*", "dockerdesktop*engine", "docker_cli*", "podman-machine-*")
    hint = "set DOCKER_HOST=npipe:{url}"
    host = "docker"

    def takes_over(self, head: "Head") -> bool:
        """Return whether attach or exec takes over the connection, which it also does without an upgrade."""
        return not {*_STREAM_TYPES}.isdisjoint(head.values(b"content-type"))

    def rest(self, stream: Stream, head: "Head") -> Steps[None]:
        """Read the parts of stdout and stderr; with a terminal there are no parts, and the data is raw."""
        kinds = head.values(b"content-type") or (_STREAM_TYPES if head.values(b"upgrade") == [b"tcp"] else ())
        if {*_STREAM_TYPES}.isdisjoint(kinds):
            return
        yield from self._first_header(stream)
        while stream.received or not stream.is_ended:
            yield from stream.size(_HEADER)
            number, zeros = stream.received[0], stream.received[1:4]
            if number >= len(_STREAMS) or any(zeros):
                raise Broken("no part of a stream", _HEADER)
            size = _HEADER + int.from_bytes(stream.received[4:_HEADER], "big")
            yield from stream.size(size, _HEADER)
            data = stream.take(size)
            yield part(data, _STREAMS[number])
            while not stream.received and not stream.is_ended:
                yield None

    def _first_header(self, stream: Stream) -> Steps[None]:
        """Wait for the first header; raises Broken if the data does not begin with one."""
        while True:
            first = bytes(stream.received[:_HEADER])
            if (first and first[0] >= len(_STREAMS)) or any(first[1:4]) or (stream.is_ended and len(first) < _HEADER):
                raise Broken("", 0)
            if len(first) == _HEADER:
                return
            yield None

    def secrets(self, side: Side, data: bytes, head: int | None = None) -> tuple[slice, ...]:
        """Return the positions of the values of secret headers and secret JSON members."""
        in_body = (slice(*match.span(1)) for match in _SECRET.finditer(data, head or 0) if match[1])
        return (*super().secrets(side, data, head), *in_body)

    def describe(self, frame: Frame) -> Frame:
        """Return a frame with the message of an error in its summary."""
        has_secret = any(one.start >= len(frame.data) - len(frame.body) for one in frame.secrets)
        if frame.kind is not FrameKind.ERROR or len(frame.body) > _LONGEST_ERROR or has_secret:
            return frame
        try:
            message = json.loads(frame.body)["message"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return frame
        return frame._replace(summary=shortened(f"{frame.summary.partition(',')[0]}: {message}"))


def part(data: bytes, stream: str) -> Frame:
    """Return the frame of a part of a stream."""
    body = data[_HEADER:]
    return Frame(Side.SERVER, data, body, FrameKind.EVENT, f"{stream} {shortened(body)}", {"stream": stream})

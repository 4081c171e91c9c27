"""The codec `discord`: the messages between programs and the Discord client."""

import re
from collections.abc import Mapping
from typing import Any

from pipectl.core.errors import CodecError

from .base import Frame, FrameKind, Side
from .json_ import checked, looks_like_json
from .jsontext import Meaning, ident_of, read_json, small_fields
from .streamed import Broken, Steps, Stream, StreamCodec, bad, kind_of, shortened

_OPERATIONS = ("handshake", "frame", "close", "ping", "pong")
_HEADER = 8
# Tokens, and the code of AUTHORIZE, which can be exchanged for one. The end may be missing.
_SECRET = re.compile(rb'"(?:access_token|refresh_token|code)"\s*:\s*"((?:[^"\\]++|\\.)*+)', re.DOTALL)


class Discord(StreamCodec):
    """Messages of an operation, a length and JSON."""

    name = "discord"
    title = "Discord IPC (rich presence)"
    pipes = ("discord-ipc-*",)
    wireshark = ("data", 0)

    def read(self, side: Side, stream: Stream) -> Steps[None]:
        yield from stream.size(_HEADER)
        operation = int.from_bytes(stream.received[:4], "little")
        if operation >= len(_OPERATIONS):
            raise Broken(f"no operation {operation}", _HEADER)
        size = _HEADER + int.from_bytes(stream.received[4:_HEADER], "little")
        yield from stream.size(size, _HEADER)
        data = stream.take(size)
        body, secrets = data[_HEADER:], self.secrets(side, data)
        try:
            value = read_json(body)
        except ValueError as error:
            yield bad(side, data, str(error))._replace(body=body, secrets=secrets)
            return
        kind, summary, fields, ident = _meaning(side, value, _OPERATIONS[operation])
        yield Frame(side, data, body, kind, summary, fields, ident, secrets)

    def secrets(self, side: Side, data: bytes) -> tuple[slice, ...]:
        """Return the positions of the tokens in a message."""
        del side
        return tuple(slice(*match.span(1)) for match in _SECRET.finditer(data, _HEADER))

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        """Return a message with the operation `op`; by default, `handshake` if the body looks like one, or `frame`."""
        is_handshake = b'"client_id"' in body and b'"cmd"' not in body
        operation = fields.get("op", "handshake" if is_handshake else "frame")
        if operation not in _OPERATIONS:
            raise CodecError(f"no operation {operation!r}: use one of {', '.join(_OPERATIONS)}")

        def meaning(side: Side, value: Any, _: bytes) -> Meaning:
            return _meaning(side, value, operation)

        checked(fields, body, meaning)
        return b"".join(n.to_bytes(4, "little") for n in (_OPERATIONS.index(operation), len(body))) + body

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        del side
        is_operation = len(first) > _HEADER and first[0] < len(_OPERATIONS) and not any(first[1:4])
        return 85 if is_operation and first[6:8] == b"\0\0" and looks_like_json(first[_HEADER:]) else 0


def _meaning(side: Side, value: Any, operation: str) -> Meaning:
    """Return the meaning of a message; a reply to a handshake has no nonce, and is paired in order."""
    members = value if isinstance(value, dict) else {}
    fields = {"op": operation, **{key: one for key, one in small_fields(members) if key != "op"}}
    command, event = members.get("cmd"), members.get("evt")
    words = [str(members[key]) for key in ("cmd", "evt", "code", "message", "client_id") if members.get(key)]
    summary = shortened(" ".join([operation, *words]))
    if operation in ("ping", "pong"):
        kind = FrameKind.REQUEST if operation == "ping" else FrameKind.REPLY
        return Meaning(kind, summary, fields, "ping")
    if operation != "frame":
        is_refused = operation == "close" and side is Side.SERVER
        return Meaning(FrameKind.ERROR if is_refused else kind_of(side), summary, fields)
    nonce = members.get("nonce") or None
    if command == "DISPATCH":
        return Meaning(FrameKind.REPLY if event == "READY" else FrameKind.EVENT, summary, fields)
    kind = FrameKind.ERROR if event == "ERROR" else kind_of(side)
    return Meaning(kind, summary, fields, None if nonce is None else ident_of(nonce))

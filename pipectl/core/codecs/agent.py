"""The codec `ssh-agent`: the requests of OpenSSH programs to an agent, and its replies."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipectl.core.errors import CodecError

from .base import Frame, FrameKind, Side
from .streamed import Steps, Stream, StreamCodec, bad, confirm, kind_of, shortened

_REQUESTS = {
    1: "REQUEST_RSA_IDENTITIES",
    11: "REQUEST_IDENTITIES",
    13: "SIGN_REQUEST",
    17: "ADD_IDENTITY",
    18: "REMOVE_IDENTITY",
    19: "REMOVE_ALL_IDENTITIES",
    20: "ADD_SMARTCARD_KEY",
    21: "REMOVE_SMARTCARD_KEY",
    22: "LOCK",
    23: "UNLOCK",
    25: "ADD_ID_CONSTRAINED",
    26: "ADD_SMARTCARD_KEY_CONSTRAINED",
    27: "EXTENSION",
}
_REPLIES = {
    5: "FAILURE",
    6: "SUCCESS",
    12: "IDENTITIES_ANSWER",
    14: "SIGN_RESPONSE",
    28: "EXTENSION_FAILURE",
    29: "EXTENSION_RESPONSE",
}
_NAMES = {**_REQUESTS, **_REPLIES}
_CODES = {name: code for code, name in _NAMES.items()}
_FAILURES = (5, 28)
# The longest message that agents and clients of OpenSSH accept.
_LONGEST = 256 << 10
# For each type, the number of leading strings that are public; the rest is secret: keys, passphrases, PINs, signatures.
_SECRET = {14: 0, 17: 1, 20: 1, 22: 0, 23: 0, 25: 1, 26: 1}
_MOST_KEYS = 16


class SshAgent(StreamCodec):
    """Messages of a length, a type and contents; the body begins with the type."""

    name = "ssh-agent"
    title = "OpenSSH agent"
    pipes = ("openssh-ssh-agent", "pageant.*")
    framing = "u32be"
    wireshark = ("data", 49152)
    hint = "set SSH_AUTH_SOCK={path}"

    def read(self, side: Side, stream: Stream) -> Steps[None]:
        yield from stream.size(4)
        size = 4 + int.from_bytes(stream.received[:4], "big")
        yield from stream.size(size, header=4)
        data = stream.take(size)
        if size == 4:
            yield bad(side, data, "a message without a type")
            return
        secrets, fields = self.secrets(side, data), {}
        try:
            fields = _fields(data[4:])
        except ValueError as error:
            yield bad(side, data, f"{_name(data[4])}: {error}")._replace(body=data[4:], secrets=secrets)
            return
        kind = FrameKind.ERROR if data[4] in _FAILURES else kind_of(side)
        yield Frame(side, data, data[4:], kind, _summary(fields), fields, None, secrets)

    def secrets(self, side: Side, data: bytes) -> tuple[slice, ...]:
        """Return where the secret contents of a message are."""
        del side
        strings = _SECRET.get(data[4]) if len(data) > 4 else None
        if strings is None:
            return ()
        at = 5
        for _ in range(strings):
            at += 4 + int.from_bytes(data[at : at + 4], "big")
        # If the first string is longer than the message, the whole message is secret.
        return (slice(at if at <= len(data) else 5, len(data)),)

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        """Return a message; for a type without contents, pass the field `type` or a body such as REQUEST_IDENTITIES."""
        if not fields and (code := _CODES.get(body.decode(errors="replace"))):
            body = bytes([code])
        if not body:
            if fields.get("type") not in _CODES:
                raise CodecError(f"no type {fields.get('type')!r} of message: use one of {', '.join(_CODES)}")
            body = bytes([_CODES[fields["type"]]])
        try:
            confirm(fields, _fields(body))
        except ValueError as error:
            raise CodecError(f"not a message: {error}") from None
        return len(body).to_bytes(4, "big") + body

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        if len(first) < 5 or not 0 < int.from_bytes(first[:4], "big") <= _LONGEST:
            return 0
        return 80 if first[4] in (_REQUESTS if side is Side.CLIENT else _REPLIES) else 0


def _name(code: int) -> str:
    return _NAMES.get(code, f"type {code}")


def _fields(body: bytes) -> dict[str, Any]:
    """Return the fields of a message; raises ValueError if it is too short."""
    code, contents = body[0], _Contents(body)
    fields: dict[str, Any] = {"type": _name(code), "code": code}
    if code == 12:
        fields["count"] = contents.number()
        fields["keys"] = [key for _, key in zip(range(min(fields["count"], _MOST_KEYS)), contents.keys(), strict=False)]
    elif code == 13:
        fields["key"] = _key_type(contents.string())
        fields["size"] = len(contents.string())
        fields["flags"] = contents.number()
    elif code in (17, 25):
        fields["key"] = shortened(contents.string(), 60)
    elif code == 18:
        fields["key"] = _key_type(contents.string())
    elif code == 27:
        fields["extension"] = shortened(contents.string(), 100)
    return fields


class _Contents:
    """Reads the contents of a message, which follow its type."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 1

    def number(self) -> int:
        return int.from_bytes(self._part(4), "big")

    def string(self) -> bytes:
        return self._part(self.number())

    def keys(self) -> Iterator[str]:
        while True:
            key, comment = self.string(), self.string()
            yield f"{_key_type(key)} {shortened(comment, 80)}"

    def _part(self, size: int) -> bytes:
        at = self._at
        self._at += size
        if self._at > len(self._body):
            raise ValueError(f"{self._at - len(self._body)} bytes are missing")
        return self._body[at : self._at]


def _key_type(blob: bytes) -> str:
    """Return the type of a public key, which is its first string."""
    return shortened(blob[4 : 4 + int.from_bytes(blob[:4], "big")], 60)


def _summary(fields: Mapping[str, Any]) -> str:
    more = [
        *fields.get("keys", ()),
        *(str(fields[name]) for name in ("key", "extension") if name in fields),
    ]
    if "size" in fields:
        more.append(f"{fields['size']} bytes")
    keys = f" {fields['count']} keys" if "count" in fields else ""
    return shortened(f"{fields['type']}{keys}{': ' if keys and more else ' ' if more else ''}{', '.join(more)}")

"""Parses the head of an HTTP/1 message, up to its empty line, with h11. Imported only when it is needed.

h11 accepts a line feed without a carriage return as the end of a line, and joins folded headers, as RFC 9112 allows.
Other programs read such heads differently, so they are rejected here. A length with a transfer coding is rejected, too.
"""

import re
from typing import NamedTuple

import h11

Headers = list[tuple[bytes, bytes]]

_NOT_STRICT = {
    re.compile(rb"(?<!\r)\n"): "a line ends without a carriage return",
    re.compile(rb"\n[ \t]"): "a header is folded over several lines",
}
# h11 quotes a part of the head after the reason, which may be a secret.
_QUOTED = re.compile(r":? *(?:bytearray\()?b['\"].*", re.DOTALL)


class Head(NamedTuple):
    """The first line and the headers of a message."""

    # The method and the target of a request, or the status and the reason of a response.
    start: tuple[bytes, bytes]
    # With names in lower case, in order.
    headers: Headers
    version: bytes

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all headers of this name."""
        return [value for key, value in self.headers if key == name]

    @property
    def length(self) -> int | None:
        """The Content-Length, which h11 has validated, or None."""
        values = self.values(b"content-length")
        return int(values[0]) if values else None

    @property
    def is_chunked(self) -> bool:
        """Whether the body is chunked; h11 rejects other transfer codings."""
        return bool(self.values(b"transfer-encoding"))


def read_request(head: bytes) -> Head:
    """Parse the head of a request; raises ValueError with the reason if it is invalid."""
    event = _event(h11.Connection(h11.SERVER, len(head) + 1), head)
    if not isinstance(event, h11.Request):
        raise ValueError("not a request")
    return _checked(event, (bytes(event.method), bytes(event.target)))


def read_response(head: bytes, method: bytes, *, may_switch: bool) -> Head:
    """Parse the head of a response; raises ValueError with the reason if it is invalid.

    `method` is that of the request. `may_switch`: the request has asked for another protocol, so status 101 is valid.
    """
    connection = h11.Connection(h11.CLIENT, len(head) + 1)
    headers = [("Host", "x"), ("Upgrade", "x"), ("Connection", "upgrade")]
    connection.send(h11.Request(method=method, target="/", headers=headers))
    connection.send(h11.EndOfMessage())
    event = _event(connection, head)
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise ValueError("not a response")
    if event.status_code == 101 and not may_switch:
        raise ValueError("a switch of protocols that no request has asked for")
    return _checked(event, (b"%d" % event.status_code, bytes(event.reason)))


def _event(connection: h11.Connection, head: bytes) -> object:
    for form, reason in _NOT_STRICT.items():
        if form.search(head):
            raise ValueError(reason)
    try:
        connection.receive_data(head)
        return connection.next_event()
    except h11.RemoteProtocolError as error:
        raise ValueError(_QUOTED.sub("", str(error))) from None


def _checked(event: h11.Request | h11.Response | h11.InformationalResponse, start: tuple[bytes, bytes]) -> Head:
    head = Head(start, [(bytes(name), bytes(value)) for name, value in event.headers], bytes(event.http_version))
    if head.version not in (b"1.1", b"1.0"):
        raise ValueError("neither HTTP/1.1 nor HTTP/1.0")
    if head.is_chunked and head.length is not None:
        raise ValueError("both a Content-Length and a transfer coding")
    return head

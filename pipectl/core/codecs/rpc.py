"""Codecs for JSON-RPC with Content-Length headers: `jsonrpc`, and `lsp` for the Language Server Protocol."""

import re
from collections.abc import Mapping
from typing import Any

from pipectl.core.pipe.formats import ContentLength

from .base import Frame, FrameKind, Side
from .json_ import checked
from .jsontext import Meaning, read_json, rpc_meaning, small_fields
from .streamed import Broken, Steps, Stream, StreamCodec, bad, shortened

_HEADER = re.compile(rb"(?i)(content-[a-z]+):[ \t]*([^\r\n]*?)[ \t]*\r\n")
_LENGTH = re.compile(rb"(?i)content-length:")
_MOST_LINE = 8192
_MOST_HEADERS = 16


class JsonRpc(StreamCodec):
    """JSON after headers, with its size in Content-Length.

    Each line of text before a header, such as accidental output to stdout, is a `BAD` frame; the messages after it are
    still decoded.
    """

    name = "jsonrpc"
    title = "JSON-RPC with Content-Length headers"
    framing = "content-length"
    wireshark = ("json", 0)

    def read(self, side: Side, stream: Stream) -> Steps[None]:
        header, length = 0, -1
        for _ in range(_MOST_HEADERS):
            end = yield from stream.find(b"\n", _MOST_LINE, header)
            if end < 0:
                raise Broken(stream.ended(), len(stream.received))
            if length >= 0 and stream.received[header:end] == b"\r\n":
                yield from self._message(side, stream, end, length)
                return
            line = bytes(stream.received[header:end])
            match = _HEADER.fullmatch(line)
            if not match:
                yield _junk(side, stream, header, end)
                return
            header = end
            if match[1].lower() == b"content-length":
                if length >= 0 or not re.fullmatch(rb"\d{1,15}", match[2]):
                    reason = "a second Content-Length" if length >= 0 else f"invalid Content-Length {match[2][:40]!r}"
                    yield bad(side, stream.take(end), reason)
                    return
                length = int(match[2])
        yield bad(side, stream.take(header), f"more than {_MOST_HEADERS} headers")

    def _message(self, side: Side, stream: Stream, header: int, length: int) -> Steps[None]:
        yield from stream.size(header + length, header)
        data = stream.take(header + length)
        body = data[header:]
        try:
            value = read_json(body)
        except ValueError as error:
            yield bad(side, data, str(error))._replace(body=body)
            return
        kind, summary, fields, ident = self.meaning(side, value, body)
        yield Frame(side, data, body, kind, summary, fields, ident)

    def meaning(self, side: Side, value: Any, body: bytes) -> Meaning:
        """Return the meaning of a message."""
        del side
        if isinstance(value, dict):
            return rpc_meaning(value, dict(small_fields(value)))
        return Meaning(FrameKind.EVENT, shortened(body), {})

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        return ContentLength().wrap(checked(fields, body, self.meaning))

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        del side
        return 90 if _LENGTH.match(first) else 0


class Lsp(JsonRpc):
    """The Language Server Protocol; the summary has the document and the name of an error."""

    name = "lsp"
    title = "Language Server Protocol: JSON-RPC with Content-Length headers"
    pipes = ("lsp-*", "*\\lsp-*")
    hint = "--pipe={path}"

    def meaning(self, side: Side, value: Any, body: bytes) -> Meaning:
        """Return the meaning of a message, with its document."""
        meaning = super().meaning(side, value, body)
        if meaning.kind is FrameKind.ERROR:
            name = _ERRORS.get(meaning.fields.get("error.code", 0), "")
            return meaning._replace(summary=f"{meaning.summary} {name}".rstrip())
        params = value.get("params") if isinstance(value, dict) else None
        about = params.get("textDocument") if isinstance(params, dict) else None
        uri = about.get("uri") if isinstance(about, dict) else params.get("uri") if isinstance(params, dict) else None
        if not isinstance(uri, str):
            return meaning
        where = params.get("position") if isinstance(params, dict) else None
        place = f":{where.get('line')}:{where.get('character')}" if isinstance(where, dict) else ""
        ident = "" if meaning.ident is None else f" #{meaning.ident}"
        summary = f"{shortened(str(value.get('method')), 100)}{ident} {shortened(uri, 120)}{shortened(place, 40)}"
        return meaning._replace(summary=summary, fields={**meaning.fields, "uri": shortened(uri, 256)})

    @classmethod
    def guess(cls, side: Side, first: bytes) -> int:
        del side, first
        return 0


def _junk(side: Side, stream: Stream, header: int, end: int) -> Frame:
    """Take text that is not a header, up to the end of its line or up to a Content-Length in that line."""
    match = _LENGTH.search(stream.received, header + 1, end)
    reason = "not a header" if header else "text before a header"
    if stream.received[header:end] == b"\r\n":
        reason = "no Content-Length"
    return bad(side, stream.take(match.start() if match else end), reason)


_ERRORS = {
    -32700: "ParseError",
    -32600: "InvalidRequest",
    -32601: "MethodNotFound",
    -32602: "InvalidParams",
    -32603: "InternalError",
    -32002: "ServerNotInitialized",
    -32803: "RequestFailed",
    -32802: "ServerCancelled",
    -32801: "ContentModified",
    -32800: "RequestCancelled",
}

"""JSON-RPC with Content-Length headers: what is between the messages is found too."""

import json
from typing import Any

import pytest

from pipectl.core.codecs.base import FrameKind
from pipectl.core.codecs.rpc import JsonRpc

from .talks import C, S, decoded, keeps_its_promises, shown, some, wrapped


def message(value: Any, more: bytes = b"") -> bytes:
    body = json.dumps(value).encode()
    return b"Content-Length: %d\r\n%b\r\n%b" % (len(body), more, body)


HOVER = {
    "jsonrpc": "2.0",
    "id": 4,
    "method": "textDocument/hover",
    "params": {"textDocument": {"uri": "file:///a.py"}, "position": {"line": 3, "character": 5}},
}
NOT_READY = {"jsonrpc": "2.0", "id": 4, "error": {"code": -32002, "message": "not initialized"}}


@pytest.mark.parametrize("codec", ["jsonrpc", "lsp"])
def test_it_keeps_its_promises(codec: str) -> None:
    keeps_its_promises(codec, message({"id": 1}), [(C, message(HOVER)), (S, b"Debug: x\n" + message(NOT_READY))])


def test_calls_and_their_outcomes_are_told() -> None:
    assert shown("jsonrpc", (C, message({"id": 1, "method": "initialize"})), (S, message({"id": 1, "result": {}}))) == [
        "request initialize #1",
        "reply result #1",
    ]


def test_lsp_names_the_document_and_the_error() -> None:
    request, error = decoded("lsp", (C, message(HOVER)), (S, message(NOT_READY)))
    assert request.summary == "textDocument/hover #4 file:///a.py:3:5"
    assert request.fields["uri"] == "file:///a.py"
    assert error.summary == "error #4: -32002 not initialized ServerNotInitialized"


def test_other_headers_are_allowed_in_any_order() -> None:
    assert shown("jsonrpc", (C, message([], b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n"))) == [
        "event []"
    ]
    assert shown("jsonrpc", (C, b"content-type: x\r\ncontent-length:2\r\n\r\n{}")) == ["reply result"]


@pytest.mark.parametrize(
    ("junk", "reason"),
    [
        (b"Listening on pipe\r\n", "text before a header"),
        (b"Traceback", "text before a header"),
        (b"Content-Length: -1\r\n", "invalid Content-Length b'-1'"),
        (b"Content-Length: 1e3\r\n", "invalid Content-Length b'1e3'"),
        (b"Content-Length: 5\nx\n", "text before a header"),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", "a second Content-Length"),
        (b"\r\n", "no Content-Length"),
        (b"Content-Type: x\r\n\r\n", "no Content-Length"),
    ],
)
def test_what_is_no_message_is_bad_and_the_next_one_is_found(junk: bytes, reason: str) -> None:
    first, *_, last = decoded("jsonrpc", (S, junk + message({"id": 1, "result": 2})))
    assert (first.kind, first.summary) == (FrameKind.BAD, reason)
    assert (last.kind, last.ident) == (FrameKind.REPLY, "1")


def test_a_body_that_is_no_json_spoils_no_other() -> None:
    bad, good = decoded("jsonrpc", (C, b"Content-Length: 3\r\n\r\n{]}" + message({"method": "x"})))
    assert (bad.kind, bad.body, good.kind) == (FrameKind.BAD, b"{]}", FrameKind.EVENT)


def test_a_message_beyond_the_limit_is_bad_at_its_header() -> None:
    codec = JsonRpc(max_frame=100)
    (frame,) = codec.feed(C, b"Content-Length: 999999999999999\r\n\r\n")
    assert frame.kind is FrameKind.BAD
    assert [frame.kind for frame in codec.feed(C, message([]))] == [FrameKind.RAW]


def test_headers_without_an_end_are_given_up() -> None:
    assert shown("jsonrpc", (C, b"Content-Type: x\r\n" * 20))[0] == "bad more than 16 headers"
    assert decoded("jsonrpc", (C, b"x" * 10_000))[0].kind is FrameKind.BAD


def test_what_is_made_of_a_body_has_its_length_in_bytes() -> None:
    assert (
        wrapped("jsonrpc", '{"method":"é"}'.encode(), method="é") == b'Content-Length: 15\r\n\r\n{"method":"\xc3\xa9"}'
    )


def test_many_fields_stay_in_the_body_alone() -> None:
    (frame,) = decoded("jsonrpc", (C, message({"method": "m", "long": "x" * 999, **{f"{n}": n for n in range(99)}})))
    assert len(frame.fields) == 16
    assert some(frame.fields, "method", "long") == ["m", None]

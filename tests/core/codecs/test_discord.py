"""What programs say to Discord: operations are named, replies find their request, tokens are known."""

import json
from typing import Any

import pytest

from pipectl.core.codecs.base import FrameKind
from pipectl.core.errors import CodecError

from .talks import C, S, decoded, keeps_its_promises, secrets_of, shown, wrapped


def message(operation: int, value: Any) -> bytes:
    body = json.dumps(value).encode()
    return operation.to_bytes(4, "little") + len(body).to_bytes(4, "little") + body


PING = bytes.fromhex("03000000 02000000 7b7d")
HANDSHAKE = bytes.fromhex("00000000 17000000 7b2276223a312c22636c69656e745f6964223a2230227d")
READY = message(1, {"cmd": "DISPATCH", "evt": "READY", "nonce": None, "data": {"v": 1}})
ACTIVITY = message(1, {"cmd": "SET_ACTIVITY", "nonce": "n1", "args": {}})
DONE = message(1, {"cmd": "SET_ACTIVITY", "evt": None, "nonce": "n1", "data": {}})


def test_it_keeps_its_promises() -> None:
    keeps_its_promises("discord", PING, [(C, HANDSHAKE + ACTIVITY), (S, READY + DONE)])


def test_a_session_is_shown_by_its_commands_and_events() -> None:
    assert shown("discord", (C, HANDSHAKE), (S, READY), (C, ACTIVITY), (S, DONE), (C, PING), (S, message(4, {}))) == [
        "request handshake 0",
        "reply frame DISPATCH READY",
        "request frame SET_ACTIVITY",
        "reply frame SET_ACTIVITY",
        "request ping",
        "reply pong",
    ]


def test_a_reply_has_the_nonce_of_its_request() -> None:
    request, reply = decoded("discord", (C, ACTIVITY), (S, DONE))
    assert request.ident == reply.ident == '"n1"'


def test_what_discord_refuses_is_an_error_and_what_it_tells_an_event() -> None:
    closed = message(2, {"code": 4000, "message": "Invalid Client ID"})
    error = message(1, {"cmd": "SET_ACTIVITY", "evt": "ERROR", "nonce": "n1", "data": {"code": 4000}})
    joined = message(1, {"cmd": "DISPATCH", "evt": "ACTIVITY_JOIN", "data": {"secret": "x"}})
    assert shown("discord", (S, closed + error + joined)) == [
        "error close 4000 Invalid Client ID",
        "error frame SET_ACTIVITY ERROR",
        "event frame DISPATCH ACTIVITY_JOIN",
    ]


@pytest.mark.parametrize("key", ["access_token", "refresh_token", "code"])
def test_tokens_are_secret(key: str) -> None:
    (frame,) = decoded("discord", (C, message(1, {"cmd": "AUTHENTICATE", "args": {key: 'a"b'}})))
    assert secrets_of(frame) == [rb"a\"b"]


def test_a_token_that_is_cut_off_is_secret_too() -> None:
    (frame,) = decoded("discord", (C, message(1, {"access_token": "abcdef"})[:-5]))
    assert (frame.kind, secrets_of(frame)) == (FrameKind.BAD, [b"abc"])


def test_an_unknown_operation_is_bad_and_the_rest_is_raw() -> None:
    assert shown("discord", (C, b"\5\0\0\0\2\0\0\0{}")) == ["bad no operation 5", "raw"]


def test_a_body_that_is_no_json_spoils_no_other() -> None:
    assert [frame.kind for frame in decoded("discord", (C, b"\1\0\0\0\1\0\0\0{" + PING))] == [
        FrameKind.BAD,
        FrameKind.REQUEST,
    ]


def test_a_message_is_made_of_its_operation_and_body() -> None:
    assert wrapped("discord", b"{}", op="ping") == PING
    assert wrapped("discord", HANDSHAKE[8:], op="handshake", client_id="0") == HANDSHAKE
    with pytest.raises(CodecError):
        wrapped("discord", b"{}", op="shout")
    with pytest.raises(CodecError):
        wrapped("discord", b"no json")

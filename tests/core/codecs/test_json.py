"""The codecs for streams of JSON values, and the limits with which JSON of somebody else is read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.codecs.base import FrameKind
from pipectl.core.codecs.json_ import U32Json
from pipectl.core.codecs.jsontext import MOST_DEPTH, read_json
from pipectl.core.errors import CodecError

from .talks import C, S, decoded, keeps_its_promises, nested, shown, some, wrapped

MPV = (
    (C, b'{"command":["get_version"],"request_id":1}\n'),
    (S, b'{"event":"idle"}\n{"data":65539,"request_id":1,"error":"success"}\n'),
)
GETH = (
    (C, b'{"jsonrpc":"2.0","id":1,"method":"web3_clientVersion","params":[]}'),
    (S, b'{"jsonrpc":"2.0","id":1,"result":"Geth/v1"}'),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("codec", "sample"),
    [("json-lines", MPV), ("json", GETH), ("u32json", b'\x07\0\0\0{"a":1}'), ("json", b' [1, "x\\"]"] 12 "s" null')],
)
def test_it_keeps_its_promises(codec: str, sample: Any) -> None:
    keeps_its_promises(codec, sample)


def test_mpv_s_events_are_told_from_its_replies() -> None:
    frames = decoded("json-lines", *MPV)
    assert [frame.kind for frame in frames] == [FrameKind.REQUEST, FrameKind.EVENT, FrameKind.REPLY]
    assert [frame.ident for frame in frames] == ["1", None, "1"]
    assert some(frames[2].fields, "data", "error") == [65539, "success"]


def test_mpv_s_errors_are_told_from_its_results() -> None:
    (frame,) = decoded("json-lines", (S, b'{"request_id":8,"error":"invalid parameter"}\n'))
    assert (frame.kind, frame.ident) == (FrameKind.ERROR, "8")


def test_a_line_that_is_no_json_spoils_no_other() -> None:
    assert shown("json-lines", (C, b'oops\n\n{"id":1}\n')) == [
        "bad not JSON: Expecting value at character 0",
        "raw",
        'request {"id":1}',
    ]


def test_calls_results_errors_and_notifications_are_told_apart() -> None:
    more = b'{"id":2,"error":{"code":-32601,"message":"no"}} {"method":"x","params":{"a":1}} 12'
    assert shown("json", *GETH, (S, more)) == [
        "request web3_clientVersion #1",
        "reply result #1 Geth/v1",
        "error error #2: -32601 no",
        'event x {"a": 1}',
        "reply 12",
    ]


def test_an_id_that_is_a_number_and_one_that_is_a_text_are_different() -> None:
    one, other = decoded("json", (C, b'{"id":1,"method":"a"}{"id":"1","method":"a"}'))
    assert one.ident != other.ident


def test_what_begins_no_value_is_bad_and_the_rest_is_raw() -> None:
    assert shown("json", (C, b'{"a":1} }x')) == ['request {"a":1}', "bad b'}' does not begin a JSON value", "raw"]


def test_a_length_beyond_the_limit_is_bad_at_its_header() -> None:
    codec = U32Json()
    (frame,) = codec.feed(C, b"\xff\xff\xff\xff")
    assert (frame.kind, frame.data) == (FrameKind.BAD, b"\xff\xff\xff\xff")
    assert [frame.kind for frame in codec.feed(C, b'\x07\0\0\0{"a":1}')] == [FrameKind.RAW]


def test_a_value_that_is_cut_off_is_bad() -> None:
    assert shown("u32json", (C, b'\x07\0\0\0{"a"')) == ["bad the stream ended within a frame, after 8 of 11 bytes"]
    assert shown("json", (C, b'{"a"'))[0].startswith("bad the stream ended")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"NaN", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b'{"a":1,"a":2}', "the key 'a' occurs twice"),
        (nested(MOST_DEPTH + 1), f"deeper than {MOST_DEPTH}"),
        (nested(100_000), f"deeper than {MOST_DEPTH}"),
        (b"[" * 100_000, f"deeper than {MOST_DEPTH}"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'{"\\udc00":1}', "half of a surrogate pair"),
        (b"1" + b"0" * 10_000_000, "a number of 10000001 digits"),
        (b"1e999", "a number beyond all floats"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        (b"{} x", "not JSON: Extra data at character 3"),
    ],
    ids=lambda it: repr(it)[:40],
)
def test_json_that_programs_read_differently_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        read_json(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'\xef\xbb\xbf{"a":[]}', {"a": []}),
        (b'"' + b"[" * 1000 + b'"', "[" * 1000),
        (b"1" + b"0" * 399, 10**399),
    ],
    ids=["a pair", "a byte order mark", "brackets in a string", "400 digits"],
)
def test_json_that_only_looks_bad_is_read(text: bytes, value: Any) -> None:
    assert read_json(text) == value


def test_values_as_deep_as_allowed_are_read() -> None:
    assert json.dumps(read_json(nested(MOST_DEPTH))).encode() == nested(MOST_DEPTH)


@given(VALUES)
@pytest.mark.parametrize("codec", ["json", "json-lines", "u32json"])
def test_what_is_made_of_a_value_is_read_as_that_value(codec: str, value: Any) -> None:
    body = json.dumps(value).encode()
    frame, *white_space = decoded(codec, (S, wrapped(codec, body)))
    assert (frame.kind is not FrameKind.BAD, frame.body, read_json(frame.body)) == (True, body, value)
    assert not b"".join(one.data for one in white_space).strip()


@pytest.mark.parametrize("codec", ["json", "json-lines", "u32json"])
def test_a_body_that_is_no_json_is_not_sent(codec: str) -> None:
    with pytest.raises(CodecError):
        wrapped(codec, b"{")


def test_a_field_that_the_body_does_not_have_is_refused() -> None:
    assert wrapped("json-lines", b'{"id":1}', id=1) == b'{"id":1}\n'
    with pytest.raises(CodecError):
        wrapped("json-lines", b'{"id":1}', id=2)

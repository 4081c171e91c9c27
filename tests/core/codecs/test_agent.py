"""What is said to an SSH agent: keys are named, and secrets are known."""

import pytest

from pipectl.core.codecs.agent import SshAgent
from pipectl.core.codecs.base import FrameKind
from pipectl.core.errors import CodecError

from .talks import C, S, decoded, keeps_its_promises, secrets_of, shown, some, wrapped


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def message(code: int, *contents: bytes) -> bytes:
    return string(bytes([code]) + b"".join(contents))


KEY = string(b"ssh-ed25519") + string(b"\1" * 32)
ASKED = bytes.fromhex("00000001 0b")
NONE = bytes.fromhex("00000005 0c 00000000")
ONE = message(12, b"\0\0\0\1", string(KEY), string(b"me@home"))
SIGN = message(13, string(KEY), string(b"data to sign"), b"\0\0\0\4")
SIGNED = message(14, string(string(b"ssh-ed25519") + string(b"\2" * 64)))


def test_it_keeps_its_promises() -> None:
    keeps_its_promises("ssh-agent", ASKED, [(C, ASKED + SIGN), (S, NONE + ONE + SIGNED)])


def test_an_agent_without_keys_says_so() -> None:
    assert shown("ssh-agent", (C, ASKED), (S, NONE)) == ["request REQUEST_IDENTITIES", "reply IDENTITIES_ANSWER 0 keys"]


def test_keys_are_shown_by_type_and_comment() -> None:
    (frame,) = decoded("ssh-agent", (S, ONE))
    assert some(frame.fields, "type", "count", "keys") == ["IDENTITIES_ANSWER", 1, ["ssh-ed25519 me@home"]]
    assert frame.summary == "IDENTITIES_ANSWER 1 keys: ssh-ed25519 me@home"


def test_a_request_to_sign_says_with_which_key_and_how_much() -> None:
    (frame,) = decoded("ssh-agent", (C, SIGN))
    assert some(frame.fields, "key", "size", "flags") == ["ssh-ed25519", 12, 4]


def test_failures_are_errors() -> None:
    assert shown("ssh-agent", (S, message(5) + message(28) + message(6))) == [
        "error FAILURE",
        "error EXTENSION_FAILURE",
        "reply SUCCESS",
    ]


def test_types_that_are_unknown_have_their_number() -> None:
    assert shown("ssh-agent", (C, message(99, b"x"))) == ["request type 99"]


@pytest.mark.parametrize(
    ("data", "secret"),
    [
        (message(17, string(b"ssh-ed25519"), b"private"), b"private"),
        (message(25, string(b"ssh-rsa"), b"private", b"\1\0\0\0\1"), b"private\1\0\0\0\1"),
        (message(22, string(b"passphrase")), string(b"passphrase")),
        (message(23, string(b"passphrase")), string(b"passphrase")),
        (message(20, string(b"reader"), string(b"1234")), string(b"1234")),
        (message(26, string(b"reader"), string(b"1234"), b"c"), string(b"1234") + b"c"),
        (SIGNED, SIGNED[5:]),
        (message(17, b"\xff\xff\xff\xffprivate"), b"\xff\xff\xff\xffprivate"),
    ],
    ids=["key", "constrained key", "lock", "unlock", "PIN", "constrained PIN", "signature", "invalid length"],
)
def test_keys_passphrases_pins_and_signatures_are_secret(data: bytes, secret: bytes) -> None:
    (frame,) = decoded("ssh-agent", (C, data))
    assert secrets_of(frame) == [secret]


def test_what_is_cut_off_is_secret_too() -> None:
    (frame,) = decoded("ssh-agent", (C, message(22, string(b"passphrase"))[:-3]))
    assert (frame.kind, secrets_of(frame)) == (FrameKind.BAD, [string(b"passphrase")[:-3]])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0\0\0", "a message without a type"),
        (message(12, b"\0\0\0\1", b"\0\0\0"), "IDENTITIES_ANSWER: 1 bytes are missing"),
        (message(13, b"\xff\xff\xff\xff"), "SIGN_REQUEST: 4294967295 bytes are missing"),
    ],
)
def test_a_message_that_lacks_something_is_bad_and_the_next_is_read(data: bytes, reason: str) -> None:
    assert shown("ssh-agent", (S, data + message(6))) == [f"bad {reason}", "reply SUCCESS"]


def test_a_length_beyond_the_limit_is_bad_and_the_rest_is_raw() -> None:
    assert [frame.kind for frame in decoded("ssh-agent", (C, b"\xff\xff\xff\xff" + ASKED))] == [
        FrameKind.BAD,
        FrameKind.RAW,
    ]


def test_a_count_of_keys_takes_no_memory() -> None:
    (frame,) = decoded("ssh-agent", (S, message(12, b"\xff\xff\xff\xff", (string(KEY) + string(b"c")) * 20)))
    assert (frame.fields["count"], len(frame.fields["keys"])) == (2**32 - 1, 16)


def test_a_message_is_made_of_its_type() -> None:
    assert wrapped("ssh-agent", type="REQUEST_IDENTITIES") == ASKED
    assert wrapped("ssh-agent", NONE[4:]) == NONE
    with pytest.raises(CodecError):
        wrapped("ssh-agent", type="REQUEST")


def test_it_recognizes_itself_by_a_type_of_the_right_side() -> None:
    assert SshAgent.guess(C, ASKED) > 50
    assert SshAgent.guess(S, NONE) > 50
    assert SshAgent.guess(S, ASKED) == 0

"""Every SID has one spelling, and the well-known ones an English name."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipectl.core.security.sids import EVERYONE, MAX_BYTES, canonical, from_bytes, name_of, to_bytes

_NUMBERS = st.integers(0, 2**32 - 1)
_SIDS = st.builds(
    lambda authority, numbers: (
        bytes([1, len(numbers)])
        + authority.to_bytes(6, "big")
        + b"".join(number.to_bytes(4, "little") for number in numbers)
    ),
    st.integers(0, 2**48 - 1),
    st.lists(_NUMBERS, max_size=15),
)


@pytest.mark.parametrize(
    ("text", "sid"),
    [
        ("S-1-5-18", "S-1-5-18"),
        (" s-1-5-18 ", "S-1-5-18"),
        ("S-1-0x5-0x20-544", "S-1-5-32-544"),
        ("S-1-281474976710655-7", "S-1-0xFFFFFFFFFFFF-7"),
        ("S-1-05-018", "S-1-5-18"),
        ("BA", "S-1-5-32-544"),
        ("wd", EVERYONE),
        ("DA", "DA"),
        ("QQ", "QQ"),
    ],
)
def test_every_spelling_of_a_sid_becomes_the_one(text: str, sid: str) -> None:
    assert canonical(text) == sid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "S",
        "S-1",
        "S-1-",
        "S-1-5-",
        "S-1-5--1",
        "S-2-5-18",
        "S-1-5-18-",
        "S-1-5-x",
        "S-1-5-4294967296",
        "S-1-281474976710656",
        "S-1-5" + "-1" * 16,
        "S-1-5-\N{ARABIC-INDIC DIGIT ONE}",
        "S-1-5-18\n(",
        "Users",
    ],
)
def test_what_is_no_sid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a SID"):
        canonical(text)


@given(_SIDS)
def test_memory_and_text_of_a_sid_say_the_same(binary: bytes) -> None:
    assert to_bytes(from_bytes(binary).upper().replace("0X", "0x").upper()) == binary
    assert canonical(from_bytes(binary)) == from_bytes(binary)
    assert len(binary) <= MAX_BYTES


@given(st.text(st.sampled_from("sS-10x529aFf ") | st.characters(), max_size=40))
@example("S-1-5-5-0-999")
def test_any_text_is_a_sid_or_is_refused(text: str) -> None:
    try:
        sid = canonical(text)
    except ValueError:
        return
    assert canonical(sid) == sid
    assert name_of(sid)


def test_a_well_known_sid_is_named_without_asking() -> None:
    assert name_of("S-1-5-2", lambda _: "never asked") == "Network"
    assert name_of(canonical("BA")) == "Administrators"
    assert name_of("DA") == "Domain Admins"
    assert name_of("S-1-5-5-0-123456") == "Logon session 0-123456"


def test_another_sid_has_the_name_that_the_system_knows_or_none() -> None:
    assert name_of("S-1-5-21-1-2-3-1001", {"S-1-5-21-1-2-3-1001": "HOST\\ann"}.get) == "HOST\\ann"
    assert name_of("S-1-5-21-1-2-3-1002", {"S-1-5-21-1-2-3-1001": "HOST\\ann"}.get) == "S-1-5-21-1-2-3-1002"
    assert name_of("QQ", {"QQ": "never asked"}.get) == "QQ"

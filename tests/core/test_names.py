r"""Any spelling of a name leads to the one name, and what is shown can be typed."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipectl.core.errors import InvalidPipeNameError
from pipectl.core.names import LOCAL_PREFIX, MAX_LENGTH, display, full_name, is_remote, near, short

# Weighted to what a name can be misread by.
_CHARACTERS = st.one_of(st.characters(), st.sampled_from("\\/xuU0159aAcC.: \x01\x1b\u202e\ud800\udc00"))
_TEXTS = st.text(_CHARACTERS, max_size=60)
_LOCAL = (
    "",
    "\\\\.\\pipe\\",
    "\\\\?\\pipe\\",
    "//./pipe/",
    "//?/PIPE/",
    "\\.\\pipe\\",
    "/./pipe/",
    "\\?\\pipe\\",
    "\\??\\pipe\\",
    "\\??\\Pipe\\",
    "\\Device\\NamedPipe\\",
    "\\DEVICE\\NAMEDPIPE\\",
    "npipe:////./pipe/",
    "npipe://./pipe/",
    "NPIPE:////./Pipe/",
    "npipe:////?/pipe/",
    "\\\\./pipe\\",
)
_REMOTE = ("\\\\host\\pipe\\", "//host/PIPE/", "npipe:////host/pipe/", "npipe://host/pipe/", "\\\\?\\UNC\\host\\pipe\\")


def _is_name(text: str) -> bool:
    try:
        full_name(LOCAL_PREFIX + text)
    except InvalidPipeNameError:
        return False
    return True


@pytest.mark.parametrize("prefix", _LOCAL)
def test_every_local_spelling_gives_the_same_full_name(prefix: str) -> None:
    assert full_name(f"{prefix}svc") == r"\\.\pipe\svc"


@pytest.mark.parametrize("prefix", _REMOTE)
def test_every_remote_spelling_gives_the_same_full_name(prefix: str) -> None:
    assert full_name(f"{prefix}svc") == r"\\host\pipe\svc"


@pytest.mark.parametrize("prefix", [prefix for prefix in _LOCAL if "npipe" not in prefix.lower()])
def test_what_follows_the_prefix_keeps_its_slashes_and_backslashes(prefix: str) -> None:
    assert full_name(rf"{prefix}sql/a\query") == r"\\.\pipe\sql/a\query"


def test_a_remote_name_keeps_its_slashes_too() -> None:
    assert full_name("//host/pipe/sql/a") == r"\\host\pipe\sql/a"


def test_all_slashes_of_a_url_become_backslashes_and_none_an_escape() -> None:
    assert full_name("npipe:////./pipe/sql/x01") == "\\\\.\\pipe\\sql\\x01"


@pytest.mark.parametrize("name", ["x", "Winsock2\\Catalog-1", "a|b*c?d", "{guid}", "mojo.1.2", " svc ", "über", "a:b"])
def test_odd_names_are_names(name: str) -> None:
    assert full_name(name) == LOCAL_PREFIX + name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\\",
        "/",
        r"\\.\pipe",
        "\\\\.\\pipe\\",
        "//./pipe/",
        "npipe:",
        "npipe:svc",
        "npipe:////./pipe/",
        r"\\host\pipe",
        "\\\\host\\pipe\\",
        "C:\\x",
        "c:/x",
        "/tmp/x",
        "./x",
        r"..\x",
        r"\svc",
        r"\\host\share\x",
        r"\\host",
        r"\\.\COM1",
        r"\\?\C:\x",
        r"\\..\pipe\x",
        r"\\\pipe\x",
        r"\\a b\pipe\x",
        "\\\\\u202eevil\\pipe\\x",
        r"\\.\pipe\\svc",
        r"\\.\pipe\/svc",
        r"\\.\pipe\..\C:\x",
        r"\\.\pipe\a\..\..\C:\x",
        r"\\.\pipe\a\.. \x",
        "//./pipe/a/../../C:/x",
        r"\\host\pipe\..\share",
        r"\\.\pipe\.",
        "   ",
        "a\0b",
        r"a\x00b",
        "tcp://host:1",
        "net.pipe://localhost/x",
    ],
)
def test_what_cannot_be_a_pipe_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(InvalidPipeNameError) as raised:
        full_name(text)
    assert raised.value.hint
    assert str(raised.value).isprintable()


def test_a_refusal_is_a_value_error_too() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the type is the subject
        full_name("")


def test_the_limit_counts_utf16_and_the_prefix() -> None:
    longest = "a" * (MAX_LENGTH - len(LOCAL_PREFIX))
    assert len(full_name(longest)) == MAX_LENGTH
    assert full_name(longest[2:] + "\N{GRINNING FACE}")
    for too_long in (longest + "a", longest[1:] + "\N{GRINNING FACE}", rf"\\longerhost\pipe\{longest}"):
        with pytest.raises(InvalidPipeNameError):
            full_name(too_long)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x01b", r"a\x01b"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x9b1m", r"\x9b1m"),
        ("a\nb\tc", r"a\x0ab\x09c"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u2028b", r"a\u2028b"),
        ("a\ud800b", r"a\ud800b"),
        ("a\U000e0001b", r"a\U000e0001b"),
        ("a\xa0b", r"a\xa0b"),
        (r"a\b", r"a\b"),
        (r"a\x64", r"a\x64"),
        (r"a\x01", r"a\x5cx01"),
        (r"a\x5c", r"a\x5cx5c"),
        (r"a\xAd", r"a\x5cxAd"),
        ("x01", "x01"),
        ("a b", "a b"),
    ],
)
def test_the_shown_form_escapes_what_a_terminal_obeys(name: str, shown: str) -> None:
    assert display(LOCAL_PREFIX + name) == LOCAL_PREFIX + shown
    assert display(name) == shown
    assert full_name(LOCAL_PREFIX + shown) == full_name(shown) == LOCAL_PREFIX + name


def test_an_escape_of_what_is_shown_as_it_is_means_itself() -> None:
    assert full_name(r"a\x41\u0041\x1\xzz\U0011ffff\u+123") == LOCAL_PREFIX + r"a\x41\u0041\x1\xzz\U0011ffff\u+123"


@given(_TEXTS)
@example(r"\x5cx01")
@example(r"a\\x01")
@example("a\\\x01")
@example("\ud83d\ude00")
def test_what_is_shown_can_be_typed(text: str) -> None:
    assume(_is_name(text))
    name = full_name(LOCAL_PREFIX + text)
    assert full_name(display(name)) == name
    assert display(name).isprintable()


@given(_TEXTS)
def test_every_name_that_exists_can_be_shown_and_typed(text: str) -> None:
    # A name from the system, which was never typed: only the halves of a pair come joined.
    name = LOCAL_PREFIX + text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    try:
        assert full_name(display(name)) == name
    except InvalidPipeNameError:
        # Windows does not let anyone open it under its Win32 name.
        parts = text.replace("/", "\\").split("\\")
        assert "\0" in text or not parts[0] or any(part and not part.strip(" .") for part in parts)


@given(_TEXTS, st.sampled_from(_LOCAL + _REMOTE + ("\\\\", "//", "C:", "npipe:", "\\")))
def test_any_text_is_a_name_or_is_refused(text: str, prefix: str) -> None:
    try:
        name = full_name(prefix + text)
    except InvalidPipeNameError as error:
        assert str(error).isprintable()  # noqa: PT017 - most texts are names
    else:
        assert name.startswith(LOCAL_PREFIX) != is_remote(name)
        assert full_name(display(name)) == name


@given(st.text())
def test_showing_takes_any_text(text: str) -> None:
    assert display(text).isprintable()


@pytest.mark.parametrize(
    ("name", "remote"), [(r"\\.\pipe\x", False), (r"\\host\pipe\x", True), (r"\\localhost\pipe\x", True)]
)
def test_only_a_name_on_another_computer_is_remote(name: str, remote: bool) -> None:
    assert is_remote(name) is remote


def test_the_short_form_leaves_the_local_prefix_out() -> None:
    assert short(r"\\.\pipe\sql\query") == r"sql\query"
    assert short(r"\\host\pipe\x") == r"\\host\pipe\x"


def test_near_names_are_found_in_any_case_and_best_first() -> None:
    names = [r"\\.\pipe\docker_engine", r"\\.\pipe\Docker_engine2", r"\\.\pipe\mysql"]
    assert near(r"\\.\pipe\DOCKER_ENGIN", names) == names[:2]
    assert near(r"\\.\pipe\zzz", names) == []

r"""Any spelling of a name leads to the one name, and what is shown can be typed."""

import sys

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipectl.core.errors import InvalidPipeNameError, PipeNotFoundError
from pipectl.core.names import (
    LOCAL_PREFIX,
    MAX_LENGTH,
    VERBATIM_PREFIX,
    check_new,
    display,
    for_waiting,
    from_directory,
    full_name,
    is_remote,
    near,
    short,
    upper,
)
from pipectl.hints import hint_for

if sys.platform == "win32":
    import ctypes

    from pipectl.core.win32 import calls

needs_windows = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows' pipes")

# Weighted to what a name can be misread by.
_CHARACTERS = st.one_of(st.characters(), st.sampled_from("\\/xuU0159aAcC.: \x01\x1b\u202e\ud800\udc00"))
_TEXTS = st.text(_CHARACTERS, max_size=60)
# The printable among them, which stand for themselves whatever follows a backslash.
_PATHS = st.text(st.sampled_from("ab. :*/\\"), min_size=1, max_size=12)
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
    "\\\\?/pipe/",
    "\\\\\\\\.\\\\pipe\\\\",
    "\\\\\\\\?\\\\pipe\\\\",
    "\\\\??\\\\pipe\\\\",
    "\\\\Device\\\\NamedPipe\\\\",
)
# After these Win32 takes a name as it is.
_VERBATIM = ("\\\\?\\pipe\\", "\\?\\PIPE\\", "\\??\\pipe\\", "\\Device\\NamedPipe\\")
_VERBATIM_REMOTE = ("\\\\?\\UNC\\host\\pipe\\", "\\?\\unc\\host\\pipe\\", "\\??\\UNC\\host\\PIPE\\")
_REMOTE = (
    "\\\\host\\pipe\\",
    "//host/PIPE/",
    "npipe:////host/pipe/",
    "npipe://host/pipe/",
    "//?/UNC/host/pipe/",
    "\\\\\\\\host\\\\pipe\\\\",
    *_VERBATIM_REMOTE,
)


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


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a/b", "a\\b"),
        ("a//b", "a\\b"),
        (r"a\\b", "a\\b"),
        (r"\\svc", "svc"),
        ("/svc", "svc"),
        ("svc.", "svc"),
        ("svc . ", "svc"),
        (" a  b ", " a  b"),
        ("a./b", "a\\b"),
        ("a /b", "a \\b"),
        ("a/", "a\\"),
        (r"a\x5c\x5cb", "a\\b"),
        (".a/..b/c", ".a\\..b\\c"),
    ],
)
def test_a_name_is_as_win32_normalises_it(written: str, name: str) -> None:
    for prefix in ("\\\\.\\pipe\\", "//./pipe/", "//?/pipe/", "\\.\\pipe\\", "npipe:////./pipe/"):
        assert full_name(prefix + written) == LOCAL_PREFIX + name
    for prefix in ("\\\\host\\pipe\\", "//?/UNC/host/pipe/"):
        assert full_name(prefix + written) == rf"\\host\pipe\{name}"


def test_a_bare_name_is_normalized_too() -> None:
    assert full_name("docker//x.") == r"\\.\pipe\docker\x"


@pytest.mark.parametrize(
    "name", ["a/b", "/a", "a.", "a ", "a.\\b", "a..\\b", "a\\\\b", ".", "..\\C:\\file", "a\\.\\b", "a\\ \\b", "a\x01."]
)
def test_a_name_that_win32_would_change_keeps_a_prefix_that_hinders_it(name: str) -> None:
    for prefix in _VERBATIM:
        assert full_name(prefix + name) == VERBATIM_PREFIX + name
    for prefix in _VERBATIM_REMOTE:
        assert full_name(prefix + name) == "\\\\?\\UNC\\host\\pipe\\" + name


def test_a_name_that_win32_would_change_twice_is_kept_after_the_first_time() -> None:
    assert full_name(r"\\.\pipe\a..\b") == r"\\?\pipe\a.\b"


def test_a_doubled_backslash_is_one_and_begins_no_escape() -> None:
    assert full_name(r"\\\\.\\pipe\\app\\x86\\x01") == r"\\.\pipe\app\x86\x01"
    assert full_name(r"\\\\?\\pipe\\a/\\x01.") == r"\\?\pipe\a/\x01."
    assert full_name(r"\\.\pipe\a\\x01") == LOCAL_PREFIX + "a\\\x01"


def test_all_slashes_of_a_url_become_backslashes_and_none_an_escape() -> None:
    assert full_name("npipe:////./pipe/sql/x01") == "\\\\.\\pipe\\sql\\x01"


@pytest.mark.parametrize(
    "name",
    ["x", "Winsock2\\Catalog-1", "a|b*c?d", "{guid}", "mojo.1.2", " svc", "über", "pipe", "pipes\\x", "pipe.x", "a:b"],
)
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
        r"\\?\pipe\\svc",
        "\\\\.\\pipe\\\\",
        r"\\\\host\\share\\x",
        r"\\\\.\pipe\x",
        "\\??\\UNC\\host",
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
        r"pipe\x",
        "PIPE/x",
        r"\pipe\x",
        r".\pipe\x",
        "pipe\\\u202ex",
    ],
)
def test_what_cannot_be_a_pipe_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(InvalidPipeNameError) as raised:
        full_name(text)
    assert (hint_for(raised.value) or "").isprintable()
    assert hint_for(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "text", ["npipe:svc", r"\\?\UNC\host\share", r"\?\UNC\host\share\x", r"\??\UNC\a b\pipe\x", "./x", r"pipe\x"]
)
def test_a_refusal_quotes_what_was_written(text: str) -> None:
    with pytest.raises(InvalidPipeNameError) as raised:
        full_name(text)
    assert raised.value.pipe == text


@pytest.mark.parametrize("text", [r"pipe\x", "Pipe/x", r"\pipe\x", r".\pipe\x", r"pipe\\x"])
def test_a_prefix_without_its_beginning_is_refused_with_what_it_may_mean(text: str) -> None:
    with pytest.raises(InvalidPipeNameError) as raised:
        full_name(text)
    hint = hint_for(raised.value) or ""
    assert r"\\.\pipe\x " in hint
    assert r"\\.\pipe\pipe\x " in hint


def test_a_name_whose_backslashes_a_shell_has_removed_is_recognized() -> None:
    with pytest.raises(InvalidPipeNameError, match="backslashes") as raised:
        full_name(r"\.pipesvc")
    assert hint_for(raised.value) == "Write svc"


@pytest.mark.parametrize("name", [r"\\host\pipe\svc", r"\\localhost\pipe\svc"])
def test_no_pipe_can_be_made_on_another_computer(name: str) -> None:
    with pytest.raises(InvalidPipeNameError, match="only pipes on this computer") as raised:
        check_new(full_name(name))
    assert "on that computer" in (hint_for(raised.value) or "")


@pytest.mark.parametrize("name", [r"\\.\PIPE\svc", "//./pipe/svc", r"\\?\Pipe\svc"])
def test_a_pipe_can_be_made_here_by_any_spelling_of_win32(name: str) -> None:
    check_new(name)


def test_a_refusal_is_a_value_error_too() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the type is the subject
        full_name("")


def test_the_limit_counts_utf16_and_the_prefix() -> None:
    longest = "a" * (MAX_LENGTH - len(LOCAL_PREFIX))
    assert len(full_name(longest)) == MAX_LENGTH
    for allowed in (longest, longest[2:] + "\N{GRINNING FACE}"):
        check_new(full_name(allowed))
    for too_long in (longest + "a", longest[1:] + "\N{GRINNING FACE}"):
        with pytest.raises(InvalidPipeNameError):
            check_new(full_name(too_long))


@needs_windows
def test_a_longer_name_is_refused_only_to_a_new_pipe(pipe_name: str) -> None:
    longer = full_name(pipe_name + "a" * MAX_LENGTH)
    with pytest.raises(InvalidPipeNameError) as raised:
        calls.create_named_pipe(longer)
    assert raised.value.pipe == longer
    with pytest.raises(PipeNotFoundError):
        calls.create_file(longer)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (r"\\.\pipe\svc", r"\\.\pipe\svc"),
        (r"\\?\pipe\svc.", r"\\.\pipe\svc."),
        (r"\\host\pipe\svc", r"\\host\pipe\svc"),
        (r"\\?\UNC\host\pipe\a..\b", r"\\host\pipe\a..\b"),
    ],
)
def test_a_name_has_a_form_that_windows_can_wait_for(name: str, form: str) -> None:
    assert full_name(name) == name
    assert for_waiting(name) == form


@pytest.mark.parametrize("name", [r"\\?\pipe\a/b", r"\\?\UNC\host\pipe\a/b"])
def test_a_name_with_a_slash_cannot_be_waited_for(name: str) -> None:
    with pytest.raises(InvalidPipeNameError) as raised:
        for_waiting(name)
    assert hint_for(raised.value)


@pytest.mark.parametrize(
    ("text", "same", "other"),
    [
        ("docker", "DOCKER", "docker1"),
        ("\u00e4\u044f", "\u00c4\u042f", "a"),
        ("stra\u00dfe", "STRA\u00dfE", "STRASSE"),
        ("\u0131", "\u0131", "I"),
        ("\u017f", "\u017f", "S"),
        ("\u212a", "\u212a", "K"),
        ("\u0130", "\u0130", "i"),
        ("\ufb01", "\ufb01", "FI"),
        ("\U00010428", "\U00010428", "\U00010400"),
    ],
)
def test_names_are_compared_in_the_upper_case_of_windows(text: str, same: str, other: str) -> None:
    assert upper(text) == upper(same)
    assert upper(text) != upper(other)


@needs_windows
def test_the_upper_case_is_that_of_the_kernel() -> None:
    kernels = ctypes.windll.ntdll.RtlUpcaseUnicodeChar
    kernels.argtypes, kernels.restype = [ctypes.c_wchar], ctypes.c_wchar
    # The scripts that a name is likely to be in; for others the kernel's table depends on its version.
    characters = [chr(code) for code in (*range(1, 0x250), *range(0x370, 0x530))]
    wrong = {character: (upper(character), kernels(character)) for character in characters}
    assert {character: both for character, both in wrong.items() if both[0] != both[1]} == {}


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


@pytest.mark.parametrize("prefix", [LOCAL_PREFIX, VERBATIM_PREFIX, "\\\\host\\pipe\\", "\\\\?\\UNC\\host\\pipe\\"])
def test_every_prefix_is_shown_as_it_is(prefix: str) -> None:
    assert display(prefix + "a/\\b\x01") == prefix + r"a/\b\x01"


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
@example("a/b")
@example("x. ")
@example("..\\C:\\file")
@example("pipe\\x")
@example("npipe:x")
@example("C:\\x")
@example("\\?\\pipe\\x")
def test_every_name_that_exists_can_be_shown_and_typed(text: str) -> None:
    # A name from the system, which was never typed: only the halves of a pair come joined.
    name = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    # What no pipe is named.
    assume("\0" not in name and not name.startswith("\\") and name.strip("/\\"))
    full = from_directory(name)
    assert full in (LOCAL_PREFIX + name, VERBATIM_PREFIX + name)
    assert short(full) == name
    assert full_name(display(full)) == full_name(display(name)) == full


@pytest.mark.parametrize(
    ("name", "shown"),
    [("svc", "svc"), ("svc.", r"\\?\pipe\svc."), ("a/b\x01", r"\\?\pipe\a/b\x01"), ("pipe\\x", r"\\.\pipe\pipe\x")],
)
def test_a_listed_name_has_its_prefix_where_it_is_another_one_without(name: str, shown: str) -> None:
    assert display(name) == shown


@given(_TEXTS, st.sampled_from(_LOCAL + _REMOTE + ("\\\\", "//", "C:", "npipe:", "\\")))
def test_any_text_is_a_name_or_is_refused(text: str, prefix: str) -> None:
    try:
        name = full_name(prefix + text)
    except InvalidPipeNameError as error:
        assert str(error).isprintable()  # noqa: PT017 - most texts are names
    else:
        assert name.startswith((LOCAL_PREFIX, VERBATIM_PREFIX)) != is_remote(name)
        assert full_name(display(name)) == name
        assert full_name(name.replace("\\", "\\\\")) == name


@given(st.text())
def test_showing_takes_any_text(text: str) -> None:
    assert display(text).isprintable()


@pytest.mark.parametrize(
    ("name", "remote"),
    [
        (r"\\.\pipe\x", False),
        (r"\\?\pipe\x.", False),
        (r"\\host\pipe\x", True),
        (r"\\localhost\pipe\x", True),
        (r"\\?\UNC\host\pipe\x.", True),
    ],
)
def test_only_a_name_on_another_computer_is_remote(name: str, remote: bool) -> None:
    assert is_remote(name) is remote


def test_the_short_form_leaves_the_local_prefix_out() -> None:
    assert short(r"\\.\pipe\sql\query") == r"sql\query"
    assert short(r"\\?\pipe\sql/query.") == "sql/query."
    assert short(r"\\host\pipe\x") == r"\\host\pipe\x"


def test_near_names_are_found_in_any_case_and_best_first() -> None:
    names = [r"\\.\pipe\docker_engine", r"\\.\pipe\Docker_engine2", r"\\.\pipe\mysql"]
    assert near(r"\\.\pipe\DOCKER_ENGIN", names) == names[:2]
    assert near(r"\\.\pipe\zzz", names) == []
    assert near(r"\\?\pipe\docker/engine", names) == names[:2]


@needs_windows
@given(_PATHS)
@example("a..\\b")
@example("a. \\b . .")
@example("//a")
def test_win32_normalises_as_these_names_are(text: str) -> None:
    assume(_is_name(text))
    buffer = ctypes.create_unicode_buffer(MAX_LENGTH)
    assert ctypes.windll.kernel32.GetFullPathNameW(LOCAL_PREFIX + text, len(buffer), buffer, None)
    assert LOCAL_PREFIX + short(full_name(LOCAL_PREFIX + text)) == buffer.value


@needs_windows
@pytest.mark.parametrize("tail", ["", "/b", r"\\b", ".", " .", ".\\b", "..\\b", " \\b", "/"])
def test_windows_finds_a_pipe_under_the_full_name_of_what_it_was_made_with(pipe_name: str, tail: str) -> None:
    with calls.create_named_pipe(pipe_name + tail):
        calls.create_file(full_name(pipe_name + tail)).close()


@needs_windows
@pytest.mark.parametrize("tail", ["/b", ".", " ", ".\\b", r"\\b"])
def test_windows_tells_a_name_apart_from_what_it_would_make_of_it(pipe_name: str, tail: str) -> None:
    verbatim = full_name(VERBATIM_PREFIX + short(pipe_name) + tail)
    with calls.create_named_pipe(verbatim):
        with pytest.raises(PipeNotFoundError):
            calls.create_file(pipe_name + tail)
        calls.create_file(verbatim).close()

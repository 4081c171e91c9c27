r"""Converts every spelling of a pipe's name to the full name that pipectl uses: `\\.\pipe\NAME` or `\\HOST\pipe\NAME`.

Win32 normalizes the part after these prefixes like a file path: slashes become backslashes, several backslashes become
one, and dots and spaces at the end are removed, as is a dot at the end of another part. `full_name` returns the result,
which is the name in the directory of pipes. But the part after `\\?\` (not `//?/`) is used unchanged. This is the only
form for a name that normalizing would change: `\\?\pipe\NAME` or `\\?\UNC\HOST\pipe\NAME`.

A name can contain any character except NUL: backslashes, control characters, halves of surrogate pairs. `display`
escapes characters that could disturb a terminal as `\x1b`, `\u202e` or `\U000e0001`. `full_name` reads these escapes,
but only those that `display` writes: `app\x64` is a backslash and `x64`. A real backslash before text that looks like
such an escape is displayed as `\x5c`. So a displayed name can be typed, and means the same pipe.
"""

from collections.abc import Iterable
from contextlib import suppress

from .errors import InvalidPipeNameError

LOCAL_PREFIX = "\\\\.\\pipe\\"
VERBATIM_PREFIX = "\\\\?\\pipe\\"
MAX_LENGTH = 256

_REMOTE_PREFIX = "\\\\"
_VERBATIM_REMOTE_PREFIX = "\\\\?\\UNC\\"
_THIS_COMPUTER = "."

# In lower case. The prefixes with one leading backslash are what a POSIX shell on Windows makes of the others.
_VERBATIM_SPELLINGS = (VERBATIM_PREFIX, "\\?\\pipe\\", "\\??\\pipe\\", "\\device\\namedpipe\\")
_LOCAL_SPELLINGS = (LOCAL_PREFIX, "\\.\\pipe\\", *_VERBATIM_SPELLINGS)
# The prefixes before HOST\pipe\; the last one is the beginning of the first.
_REMOTE_SPELLINGS = ("\\\\?\\unc\\", "\\?\\unc\\", "\\??\\unc\\", _REMOTE_PREFIX)
_URL = "npipe:"

# The letter after the backslash, and how many hexadecimal digits follow it.
_ESCAPES = {"x": 2, "u": 4, "U": 8}


def full_name(text: str) -> str:
    r"""Return the full name of a pipe written in any accepted form, including URLs and doubled backslashes.

    This is for user input: pass a full name with a real backslash before `x01` through `display` first. The name may be
    longer than that of a new pipe: see `check_new`. Raises InvalidPipeNameError.
    """
    undoubled = _undoubled(text)
    host, rest, is_verbatim = _split(undoubled or _without_scheme(text), text)
    # A doubled backslash is a real one, and does not begin an escape.
    name = _join_surrogates(rest if undoubled else _unescape(rest))
    _check_name(name, text, is_verbatim=is_verbatim)
    return _full(host, name if is_verbatim else _normalized(name))


def check_new(name: str) -> None:
    """Raise InvalidPipeNameError for a name that a new pipe cannot have: a remote or too long one.

    Accepts any name that Win32 accepts: the case of its prefix does not matter, and slashes count as backslashes.
    Windows does not enforce the length: pipes with longer names than Microsoft documents exist and can be opened.
    """
    if not name.replace("/", "\\").upper().startswith((LOCAL_PREFIX.upper(), VERBATIM_PREFIX.upper())):
        raise InvalidPipeNameError(
            "only pipes on this computer can be served", pipe=escape(name), topic="remote server"
        )
    if _utf16_length(name) > MAX_LENGTH:
        raise InvalidPipeNameError(
            f"the name is longer than {MAX_LENGTH} characters, the limit of Windows", pipe=escape(name)
        )


def for_waiting(name: str) -> str:
    r"""Return the form of a full name that WaitNamedPipe accepts on Windows, where it rejects `\\?\`.

    It does not normalize the part after `\\.\pipe\` or `\\HOST\pipe\`, but treats a slash as a backslash. Raises
    InvalidPipeNameError for a name with a slash.
    """
    for prefix, plain in ((VERBATIM_PREFIX, LOCAL_PREFIX), (_VERBATIM_REMOTE_PREFIX, _REMOTE_PREFIX)):
        if name.startswith(prefix):
            if "/" in name:
                raise InvalidPipeNameError(
                    "Windows cannot wait for a pipe whose name contains a slash", pipe=escape(name), topic="waiting"
                )
            return plain + name[len(prefix) :]
    return name


def from_directory(name: str) -> str:
    """Return the full name of a pipe listed under this name in this computer's directory of pipes."""
    return _full(_THIS_COMPUTER, name)


def display(name: str) -> str:
    """Return a name for display: on one line, safe for a terminal, and accepted by `full_name`.

    A name without a prefix is from the directory of pipes; it gets a prefix if `full_name` needs it to read it back.
    """
    prefix = _prefix_of(name)
    rest = name[len(prefix) :]
    shown = escape(prefix) + "".join(
        "\\x5c" if character == "\\" and _escape_at(rest, position) else _escape(character)
        for position, character in enumerate(rest)
    )
    return shown if prefix or _is_read_as(from_directory(name), shown) else display(from_directory(name))


def is_remote(name: str) -> bool:
    """Return whether a full name uses the network; `\\\\localhost` does, too, although it is this computer."""
    return not name.startswith((LOCAL_PREFIX, VERBATIM_PREFIX))


def short(name: str) -> str:
    """Return a local pipe's name in the directory of pipes, without the prefix; a remote name is returned whole."""
    return name.removeprefix(LOCAL_PREFIX).removeprefix(VERBATIM_PREFIX)


def near(name: str, names: Iterable[str]) -> list[str]:
    """Return up to three of `names` that are similar to `name`, best first."""
    from difflib import get_close_matches

    candidates = {upper(short(candidate)): candidate for candidate in names}
    return [candidates[match] for match in get_close_matches(upper(short(name)), candidates)]


def upper(text: str) -> str:
    """Return a text in the upper case that Windows uses to compare the names of pipes, files and accounts.

    Each character becomes one character, so `ß` does not change, nor does any outside the Basic Multilingual Plane.
    """
    if text.isascii():
        return text.upper()
    return "".join(map(_upper, text))


def _upper(character: str) -> str:
    # The kernel's table only has pairs: the long s, for example, is not in it, because the lower case of S is s.
    changed = character.upper()
    return changed if len(changed) == 1 and changed.lower() == character <= "\uffff" else character


def _undoubled(text: str) -> str:
    """Return a name without the doubled backslashes of JSON and C if that yields a pipe prefix; otherwise ""."""
    single = text.replace("\\\\", "\\")
    is_doubled = "\\" not in text.replace("\\\\", "")
    has_prefix = any(_begins(single, spelling) for spelling in _LOCAL_SPELLINGS + _REMOTE_SPELLINGS)
    return single if is_doubled and has_prefix else ""


def _without_scheme(text: str) -> str:
    is_url = text[: len(_URL)].lower() == _URL
    return "//" + text[len(_URL) :].lstrip("/\\") if is_url else text


def _split(spelled: str, text: str) -> tuple[str, str, bool]:
    """Return the computer, the part after the prefix, and whether that part is verbatim; `text` is for errors."""
    for spelling in _LOCAL_SPELLINGS:
        if _begins(spelled, spelling):
            prefix, name = spelled[: len(spelling)], spelled[len(spelling) :]
            return _THIS_COMPUTER, name, spelling in _VERBATIM_SPELLINGS and "/" not in prefix
    for spelling in _REMOTE_SPELLINGS:
        if _begins(spelled, spelling):
            host, name = _split_remote(spelled[len(spelling) :], text)
            prefix = spelled[: len(spelled) - len(name)]
            return host, name, spelling != _REMOTE_PREFIX and "/" not in prefix
    _refuse_path(text)
    return _THIS_COMPUTER, text, False


def _begins(text: str, spelling: str) -> bool:
    r"""Return whether the text has this prefix; the prefix alone, such as `\\.\pipe`, counts too."""
    head = text[: len(spelling)].replace("/", "\\").lower()
    return head == spelling or head + "\\" == spelling


def _split_remote(path: str, text: str) -> tuple[str, str]:
    r"""Return the computer and the name of HOST\pipe\NAME."""
    host, _, rest = path.replace("/", "\\").partition("\\")
    share, _, name = rest.partition("\\")
    if share.lower() != "pipe":
        raise _invalid(text, "this is the path of a file or a device, not of a pipe")
    if not host.strip(".") or escape(host) != host or any(character in ' ?*:"<>|' for character in host):
        raise _invalid(text, "invalid computer name")
    # In `name`, slashes are converted; in the path, they are unchanged.
    return host, path[len(path) - len(name) :]


def _refuse_path(text: str) -> None:
    """Raise InvalidPipeNameError for a text without a pipe prefix that is clearly not a bare name."""
    if "://" in text:
        raise _invalid(text, "only `npipe:` URLs name pipes")
    if text[1:2] == ":" and text[2:3] in ("\\", "/"):
        raise _invalid(text, "this is a file path, not a pipe name")
    first, _, rest = text.replace("/", "\\").removeprefix(".\\").lstrip("\\").partition("\\")
    if first.lower() == "pipe" and rest.strip("\\"):
        raise _invalid(text, "incomplete prefix", meant=_either(escape(rest.lstrip("\\"))))
    if text[:6].lower() == "\\.pipe" and "\\" not in text[1:]:
        raise _invalid(text, "the shell has removed the backslashes", meant=(escape(text[6:]),))
    if text.startswith("/") or (text.startswith("\\") and not _escape_at(text, 0)):
        raise _invalid(text, "this looks like a path, not like a pipe name", topic="path")


def _either(rest: str) -> tuple[str, str]:
    return f"{LOCAL_PREFIX}{rest} for the pipe {rest}", rf"{LOCAL_PREFIX}pipe\{rest} for one named pipe\{rest}"


def _check_name(name: str, text: str, *, is_verbatim: bool) -> None:
    if "\0" in name:
        raise _invalid(text, "a name cannot contain NUL")
    if is_verbatim and name.startswith("\\"):
        raise _invalid(text, "a name cannot start with a backslash")
    if not is_verbatim and _has_part_of_dots(name):
        raise _invalid(text, "no part of a name can consist only of dots and spaces")
    if not name.strip("/\\"):
        raise _invalid(text, "the name is missing after the prefix" if text else "the name is empty")


def _has_part_of_dots(name: str) -> bool:
    r"""Return whether Windows may resolve a part before it searches for a pipe: `\\.\pipe\..\C:\file` is a file."""
    return any(part and not part.strip(" .") for part in name.replace("/", "\\").split("\\"))


def _normalized(name: str) -> str:
    r"""Normalize a name after `\\.\pipe\` like Win32; Microsoft documents this with the formats of file paths."""
    *parts, last = name.replace("/", "\\").split("\\")
    return "\\".join([*(part.removesuffix(".") for part in parts if part), last.rstrip(" .")])


def _full(host: str, name: str) -> str:
    """Return a name with the prefix under which Win32 finds exactly that name."""
    if _normalized(name) == name and not _has_part_of_dots(name):
        return f"{_REMOTE_PREFIX}{host}\\pipe\\{name}"
    return VERBATIM_PREFIX + name if host == _THIS_COMPUTER else f"{_VERBATIM_REMOTE_PREFIX}{host}\\pipe\\{name}"


def _prefix_of(name: str) -> str:
    for prefix in (LOCAL_PREFIX, VERBATIM_PREFIX):
        if name.startswith(prefix):
            return prefix
    for beginning in (_VERBATIM_REMOTE_PREFIX, _REMOTE_PREFIX):
        if name.startswith(beginning):
            host, separator, rest = name[len(beginning) :].partition("\\pipe\\")
            return f"{beginning}{host}{separator}" if separator and "\\" not in host and rest else ""
    return ""


def _is_read_as(name: str, text: str) -> bool:
    with suppress(InvalidPipeNameError):
        return full_name(text) == name
    return False


def _escape(character: str) -> str:
    # Not printable: control, format and bidi characters, separators except the space, surrogates, unassigned ones.
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def escape(text: str) -> str:
    """Return a text for display on one line: characters that are not printable are escaped as by `display`."""
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape_at(text: str, position: int) -> str:
    """Return the character of the escape at this position of the text; "" if there is none."""
    digits = _ESCAPES.get(text[position + 1 : position + 2], 0)
    code = text[position + 2 : position + 2 + digits]
    if not digits or len(code) < digits or not all(digit in "0123456789abcdefABCDEF" for digit in code):
        return ""
    value = int(code, 16)
    character = chr(value) if value <= 0x10FFFF else ""
    written_so = character == "\\" or _escape(character) == text[position : position + 2] + code.lower()
    return character if character and written_so else ""


def _unescape(text: str) -> str:
    characters = []
    position = 0
    while position < len(text):
        character = _escape_at(text, position) if text[position] == "\\" else ""
        position += 2 + _ESCAPES[text[position + 1]] if character else 1
        characters.append(character or text[position - 1])
    return "".join(characters)


def _join_surrogates(text: str) -> str:
    """Join the two halves of each surrogate pair to one character."""
    if text.isascii():
        return text  # nearly every name; the others need to import a codec
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _utf16_length(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _invalid(text: str, reason: str, topic: str = "name", meant: tuple[str, ...] = ()) -> InvalidPipeNameError:
    return InvalidPipeNameError(reason, pipe=escape(text), topic=topic, meant=meant)

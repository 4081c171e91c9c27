r"""Every spelling of a pipe's name, and the one that the rest of pipectl uses: `\\.\pipe\NAME` or `\\HOST\pipe\NAME`.

A name may hold anything but NUL: backslashes, control characters, halves of surrogate pairs. `display` writes what
could disturb a terminal as `\x1b`, `\u202e` or `\U000e0001`, and `full_name` reads such an escape back, but only one
that `display` would have written: `app\x64` is a backslash and `x64`. A real backslash in front of what looks like
such an escape is shown as `\x5c`. So what is shown can be typed, and means the same pipe.
"""

from collections.abc import Iterable

from .errors import InvalidPipeNameError

LOCAL_PREFIX = "\\\\.\\pipe\\"
MAX_LENGTH = 256

_LOCAL_SPELLINGS = (
    LOCAL_PREFIX,
    "\\\\?\\pipe\\",
    "\\??\\pipe\\",
    "\\device\\namedpipe\\",
    # What a POSIX shell on Windows leaves of the first two.
    "\\.\\pipe\\",
    "\\?\\pipe\\",
)
_REMOTE_SPELLING = "\\\\?\\unc\\"
_URL = "npipe:"

# The letter after the backslash, and how many hexadecimal digits follow it.
_ESCAPES = {"x": 2, "u": 4, "U": 8}

_FORMS = "A pipe's name is \\\\.\\pipe\\NAME, or NAME alone, or \\\\HOST\\pipe\\NAME for another computer"
_QUOTES = f"{_FORMS}; a POSIX shell needs single quotes around it"


def full_name(text: str) -> str:
    r"""Give the one full name, `\\.\pipe\NAME` or `\\HOST\pipe\NAME`, of a pipe that is written in any way.

    Slashes stand for backslashes in the prefix, and everywhere in an `npipe:` URL. Raises InvalidPipeNameError.
    For what a person wrote: a full name that holds a real backslash before `x01` must go through `display` first.
    """
    is_url = text[: len(_URL)].lower() == _URL
    prefix, rest = _split("//" + text[len(_URL) :].lstrip("/\\") if is_url else text)
    name = _join_surrogates(_unescape(rest))
    if is_url:
        name = name.replace("/", "\\")
    _check_name(name, text)
    full = prefix + name
    if _utf16_length(full) > MAX_LENGTH:
        raise _invalid(text, f"the name is longer than the {MAX_LENGTH} characters that Windows allows", hint=None)
    return full


def display(name: str) -> str:
    """Write a name for a person: on one line, harmless to a terminal, and readable by `full_name`."""
    prefix = _prefix_of(name)
    rest = name[len(prefix) :]
    return escape(prefix) + "".join(
        "\\x5c" if character == "\\" and _escape_at(rest, position) else _escape(character)
        for position, character in enumerate(rest)
    )


def is_remote(name: str) -> bool:
    """Tell whether a full name goes over the network; `\\\\localhost` does too, although it ends on this computer."""
    return not name.startswith(LOCAL_PREFIX)


def short(name: str) -> str:
    """Leave out the prefix of a local pipe's full name; a remote one stays as it is."""
    return name.removeprefix(LOCAL_PREFIX)


def near(name: str, names: Iterable[str]) -> list[str]:
    """Give those of `names` that somebody who wrote `name` may have meant: at most three, the best first."""
    from difflib import get_close_matches

    candidates = {short(candidate).lower(): candidate for candidate in names}
    return [candidates[match] for match in get_close_matches(short(name).lower(), candidates)]


def _split(text: str) -> tuple[str, str]:
    """Give the canonical prefix, and what follows the prefix in the text."""
    for spelling in _LOCAL_SPELLINGS:
        if _begins(text, spelling):
            return LOCAL_PREFIX, text[len(spelling) :]
    if _begins(text, _REMOTE_SPELLING):
        text = "\\\\" + text[len(_REMOTE_SPELLING) :]
    if _begins(text, "\\\\"):
        return _split_remote(text)
    _refuse_path(text)
    return LOCAL_PREFIX, text


def _begins(text: str, spelling: str) -> bool:
    r"""Tell whether the text has this prefix; one that ends where the name would begin, as `\\.\pipe`, counts."""
    head = text[: len(spelling)].replace("/", "\\").lower()
    return head == spelling or head + "\\" == spelling


def _split_remote(text: str) -> tuple[str, str]:
    host, _, path = text[2:].replace("/", "\\").partition("\\")
    share, _, name = path.partition("\\")
    if share.lower() != "pipe":
        raise _invalid(text, "it is the path of a file or a device, not of a pipe")
    if not host.strip(".") or escape(host) != host or any(character in ' ?*:"<>|' for character in host):
        raise _invalid(text, "there can be no computer of that name")
    # `name` has its slashes turned; the text has them as they were written.
    return f"\\\\{host}\\pipe\\", text[len(text) - len(name) :]


def _refuse_path(text: str) -> None:
    """Raise for a text without a pipe's prefix that is clearly something else than a bare name."""
    if "://" in text:
        raise _invalid(text, "it is a URL of another kind than npipe")
    if text[1:2] == ":" and text[2:3] in ("\\", "/"):
        raise _invalid(text, "it is the path of a file")
    if text.startswith("/") or (text.startswith("\\") and not _escape_at(text, 0)):
        raise _invalid(text, "it starts like a path, and not like a pipe's", hint=_QUOTES)


def _check_name(name: str, text: str) -> None:
    if not name:
        raise _invalid(text, "the name is empty" if not text else "it is the beginning alone, and names no pipe")
    if "\0" in name:
        raise _invalid(text, "a name cannot contain NUL")
    parts = name.replace("/", "\\").split("\\")
    if not parts[0]:
        raise _invalid(text, "a name cannot start with a backslash or a slash")
    # Windows resolves `..` before it looks for a pipe: \\.\pipe\..\C:\file is a file.
    if any(part and not part.strip(" .") for part in parts):
        raise _invalid(text, "no part of a name can be made of dots and spaces alone")


def _prefix_of(name: str) -> str:
    if name.startswith(LOCAL_PREFIX):
        return LOCAL_PREFIX
    if name.startswith("\\\\"):
        host, separator, rest = name[2:].partition("\\pipe\\")
        return f"\\\\{host}{separator}" if separator and "\\" not in host and rest else ""
    return ""


def _escape(character: str) -> str:
    # Not printable: control, format and bidi characters, separators but the space, surrogates, what is unassigned.
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def escape(text: str) -> str:
    """Write any text for a person on one line: what is not printable as the escapes that `display` uses."""
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape_at(text: str, position: int) -> str:
    """Give the character that an escape at this position of the text stands for; "" if there is none."""
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
    """Make one character of the two halves of a pair, as Windows sees them."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _invalid(text: str, reason: str, hint: str | None = _FORMS) -> InvalidPipeNameError:
    return InvalidPipeNameError(reason, pipe=escape(text), hint=hint)
